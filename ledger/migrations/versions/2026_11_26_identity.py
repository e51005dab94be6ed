"""identity

Revision: 2026_11_26_identity
Before it: 2026_11_25_replies
"""

from __future__ import annotations

revision = "2026_11_26_identity"
down_revision = "2026_11_25_replies"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing yet."""


def downgrade() -> None:
    """Nothing yet."""
