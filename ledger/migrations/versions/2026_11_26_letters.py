"""A client may want no reminders.

Revision: 2026_11_26_letters
Before it: 2026_11_26_line
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "2026_11_26_letters"
down_revision = "2026_11_26_line"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("booking", sa.Column("reminders_off", sa.String(), nullable=False, server_default=""))


def downgrade() -> None:
    op.drop_column("booking", "reminders_off")
