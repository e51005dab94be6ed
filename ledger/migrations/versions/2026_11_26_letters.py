"""letters

Revision: 2026_11_26_letters
Before it: 2026_11_26_line
"""

from __future__ import annotations

revision = "2026_11_26_letters"
down_revision = "2026_11_26_line"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing yet."""


def downgrade() -> None:
    """Nothing yet."""
