"""Push channels, consents by link, and which calendar is an account's default one.

Revision: 2026_11_24_channels
Before it: 2026_11_22_first
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from ledger.db import UtcDateTime

revision = "2026_11_24_channels"
down_revision = "2026_11_22_first"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("calendar", sa.Column("primary", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.create_table(
        "channel",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("calendar_id", ID, nullable=False),
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("remote_id", sa.Text(), nullable=False),
        sa.Column("resource_id", sa.Text(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("opened_at", UtcDateTime(), nullable=True),
        sa.Column("expires_at", UtcDateTime(), nullable=True),
        sa.Column("next_at", UtcDateTime(), nullable=False),
        sa.Column("heard_at", UtcDateTime(), nullable=True),
        sa.Column("silent", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["calendar_id"], ["calendar.id"], name=op.f("fk_channel_calendar_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_channel")),
    )
    op.create_index("ix_channel_calendar_state", "channel", ["calendar_id", "state"], unique=False)
    op.create_table(
        "oauth_flow",
        sa.Column("id", ID, nullable=False),
        sa.Column("operator_id", ID, nullable=False),
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("connection_id", ID, nullable=True),
        sa.Column("voice", sa.String(), nullable=False),
        sa.Column("nonce", sa.String(length=32), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("pending", sa.Text(), nullable=False),
        sa.Column("state_hash", sa.String(length=64), nullable=False),
        sa.Column("session_hash", sa.String(length=64), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["connection_id"], ["connection.id"], name=op.f("fk_oauth_flow_connection_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["operator_id"], ["operator.id"], name=op.f("fk_oauth_flow_operator_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_oauth_flow")),
    )
    op.create_index(op.f("ix_oauth_flow_expires_at"), "oauth_flow", ["expires_at"], unique=False)
    op.create_index(op.f("ix_oauth_flow_operator_id"), "oauth_flow", ["operator_id"], unique=False)
    op.create_index(op.f("ix_oauth_flow_state_hash"), "oauth_flow", ["state_hash"], unique=False)


def downgrade() -> None:
    op.drop_table("oauth_flow")
    op.drop_table("channel")
    op.drop_column("calendar", "primary")
