"""Mail that comes in, how far each mailbox was read, and what a client's calendar answered last.

Revision: 2026_11_25_replies
Before it: 2026_11_24_channels
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from ledger.db import UtcDateTime

revision = "2026_11_25_replies"
down_revision = "2026_11_24_channels"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "inbound_mail",
        sa.Column("id", ID, nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("verdict", sa.String(), nullable=False),
        sa.Column("received_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_inbound_mail")),
        sa.UniqueConstraint("digest", name=op.f("uq_inbound_mail_digest")),
    )
    op.create_index(op.f("ix_inbound_mail_received_at"), "inbound_mail", ["received_at"], unique=False)
    op.create_table(
        "mailbox_cursor",
        sa.Column("mailbox", sa.String(length=64), nullable=False),
        sa.Column("cursor", sa.Text(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("mailbox", name=op.f("pk_mailbox_cursor")),
    )
    op.add_column("booking", sa.Column("partstat", sa.String(), nullable=False, server_default=""))
    op.add_column("booking", sa.Column("reply_sequence", sa.Integer(), nullable=True))
    op.add_column("booking", sa.Column("reply_dtstamp", UtcDateTime(), nullable=True))


def downgrade() -> None:
    for column in ("reply_dtstamp", "reply_sequence", "partstat"):
        op.drop_column("booking", column)
    op.drop_table("mailbox_cursor")
    op.drop_table("inbound_mail")
