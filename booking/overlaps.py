"""What an operator was asked about foreign events over their bookings, and needs no answer any more."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from ledger import reviews
from ledger.db import Tx
from ledger.tables import Busy, Review, Slot


def look(tx: Tx, operator_id: int, *, now: datetime) -> None:
    """Take back what was asked about slots of a locked operator that no foreign time lies over, and nobody is in, any
    more: who approved it late would cancel for nothing. Idempotent."""
    over = sa.exists().where(
        Busy.operator_id == Slot.operator_id,
        ~Busy.freed,
        Busy.starts_at < Slot.ends_at,
        Busy.ends_at > Slot.starts_at,
    )
    still = sa.exists().where(Slot.id == Review.slot_id, Slot.taken > 0, over)
    asked = sa.select(Review.key).where(
        Review.kind == "overlap", Review.state == "open", Review.operator_id == operator_id, ~still
    )
    for key in tx.execute(asked).scalars().all():
        reviews.settle(tx, key, by="overlap is over", now=now)
