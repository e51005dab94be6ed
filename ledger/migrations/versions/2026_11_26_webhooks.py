"""webhooks

Revision: 2026_11_26_webhooks
Before it: 2026_11_26_identity
"""

from __future__ import annotations

revision = "2026_11_26_webhooks"
down_revision = "2026_11_26_identity"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing yet."""


def downgrade() -> None:
    """Nothing yet."""
