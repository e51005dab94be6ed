"""line

Revision: 2026_11_26_line
Before it: 2026_11_26_services
"""

from __future__ import annotations

revision = "2026_11_26_line"
down_revision = "2026_11_26_services"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing yet."""


def downgrade() -> None:
    """Nothing yet."""
