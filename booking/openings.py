"""What an operator is told when the hours that their calendar had opened are closed again, and people are booked in them.

Bookings stay: closing hours is no cancellation (P5). One review for a slot, which ends by itself where the hours come back.
"""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from booking import capacity
from booking.catalogue import done_by
from connectors.model import Period
from ledger import availability, free_time, reviews
from ledger.db import Tx
from ledger.tables import Review


def look(tx: Tx, operator_id: int, *, now: datetime) -> None:
    """Ask about slots of a locked operator that nothing opens any more; take back what was asked about others. Idempotent;
    what was put away is not asked again for the same time."""
    for offering in done_by(tx, operator_id):
        if not offering.rules.calendar_openings:
            continue
        for slot in capacity.coming(tx, offering, now):
            period = Period(slot.starts_at, slot.ends_at)
            key = f"closed_hours:{slot.id}:{period.start.isoformat()}"
            known = free_time.taken(tx, offering.operator_id, period, now, for_the_line=True).openings
            if availability.capacity_of(offering.rules, period, known) is not None:
                reviews.settle(tx, key, by="operator_calendar", now=now)
            elif not tx.execute(sa.select(Review.id).where(Review.key == key).limit(1)).first():
                reviews.ask(
                    tx, "closed_hours", key, now=now, operator_id=offering.operator_id, slot_id=slot.id,
                    detail={"start": period.start.isoformat(), "end": period.end.isoformat()},
                )  # fmt: skip
