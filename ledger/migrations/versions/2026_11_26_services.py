"""services

Revision: 2026_11_26_services
Before it: 2026_11_26_privacy
"""

from __future__ import annotations

revision = "2026_11_26_services"
down_revision = "2026_11_26_privacy"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing yet."""


def downgrade() -> None:
    """Nothing yet."""
