"""Several durations, teams, and what somebody consented to.

Revision: 2026_11_26_services
Before it: 2026_11_26_privacy
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from ledger.db import UtcDateTime

revision = "2026_11_26_services"
down_revision = "2026_11_26_privacy"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    op.add_column("operator", sa.Column("circle", ID, nullable=True))
    op.create_index(op.f("ix_operator_circle"), "operator", ["circle"], unique=False)
    op.add_column("slot", sa.Column("leader_id", ID, nullable=True))
    op.add_column("slot", sa.Column("ceiling", sa.Integer(), nullable=True))
    op.create_index(op.f("ix_slot_leader_id"), "slot", ["leader_id"], unique=False)
    op.create_table(
        "team_member",
        sa.Column("service_id", ID, nullable=False),
        sa.Column("operator_id", ID, nullable=False),
        sa.ForeignKeyConstraint(
            ["service_id"], ["service.id"], name=op.f("fk_team_member_service_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["operator_id"], ["operator.id"], name=op.f("fk_team_member_operator_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("service_id", "operator_id", name=op.f("pk_team_member")),
    )
    op.create_index(op.f("ix_team_member_operator_id"), "team_member", ["operator_id"], unique=False)
    for table in ("booking", "waitlist_entry"):
        op.add_column(table, sa.Column("duration_minutes", sa.Integer(), nullable=False, server_default="0"))
        op.add_column(table, sa.Column("consents", JSON, nullable=False, server_default="{}"))
    op.add_column("booking", sa.Column("needs_data_from", UtcDateTime(), nullable=True))
    op.add_column("waitlist_entry", sa.Column("member_id", ID, nullable=True))


def downgrade() -> None:
    op.drop_column("waitlist_entry", "member_id")
    op.drop_column("booking", "needs_data_from")
    for table in ("booking", "waitlist_entry"):
        for column in ("consents", "duration_minutes"):
            op.drop_column(table, column)
    op.drop_index(op.f("ix_team_member_operator_id"), "team_member")
    op.drop_table("team_member")
    op.drop_index(op.f("ix_slot_leader_id"), "slot")
    op.drop_column("slot", "ceiling")
    op.drop_column("slot", "leader_id")
    op.drop_index(op.f("ix_operator_circle"), "operator")
    op.drop_column("operator", "circle")
