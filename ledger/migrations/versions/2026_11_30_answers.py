"""What was answered to a request with an Idempotency-Key, so that its repeat is answered alike.

Revision: 2026_11_30_answers
Before it: 2026_11_26_places
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "2026_11_30_answers"
down_revision = "2026_11_26_places"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("idempotency_key", sa.Column("answer", sa.Text(), nullable=True))
    op.create_index("ix_idempotency_key_booking_id", "idempotency_key", ["booking_id"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_idempotency_key_booking_id", "idempotency_key")
    op.drop_column("idempotency_key", "answer")
