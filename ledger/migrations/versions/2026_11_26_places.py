"""How many calls are under way at a provider's account is counted over all processes.

Revision: 2026_11_26_places
Before it: 2026_11_26_letters
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from ledger.db import UtcDateTime

revision = "2026_11_26_places"
down_revision = "2026_11_26_letters"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "place",
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("holder", sa.String(), nullable=False),
        sa.Column("until", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("account", "number", name="pk_place"),
    )


def downgrade() -> None:
    op.drop_table("place")
