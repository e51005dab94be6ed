"""A client may want no reminders; a place in line is found by the address its calendar answers to.

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
    op.create_index(
        "ix_waitlist_entry_organizer_tag",
        "waitlist_entry",
        ["organizer_tag"],
        unique=True,
        sqlite_where=sa.text("organizer_tag <> ''"),
        postgresql_where=sa.text("organizer_tag <> ''"),
    )


def downgrade() -> None:
    op.drop_index("ix_waitlist_entry_organizer_tag", "waitlist_entry")
    op.drop_column("booking", "reminders_off")
