"""How often the books were restored from a backup: events made afterwards get keys that none had before.

Revision: 2026_11_26_privacy
Before it: 2026_11_26_webhooks
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "2026_11_26_privacy"
down_revision = "2026_11_26_webhooks"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("deployment", sa.Column("generation", sa.Integer(), nullable=False, server_default="0"))


def downgrade() -> None:
    op.drop_column("deployment", "generation")
