"""privacy

Revision: 2026_11_26_privacy
Before it: 2026_11_26_webhooks
"""

from __future__ import annotations

revision = "2026_11_26_privacy"
down_revision = "2026_11_26_webhooks"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing yet."""


def downgrade() -> None:
    """Nothing yet."""
