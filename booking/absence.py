"""Who didn't come, as the operator says it in the calendar: one person at once; of a group, a human says who."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa

from booking import commands
from booking.errors import FieldError, Invalid
from booking.states import COUNTED, Happening, Status
from booking.tables import Booking
from booking.terms import Terms
from ledger import claims, reviews
from ledger.backoff import NotYet
from ledger.db import Tx
from ledger.tables import SlotEvent


def follow_tag(tx: Tx, terms: Terms, event: Any, *, now: datetime, cause: str) -> None:
    """Make the bookings agree with the tag on their event. event: its locked row, or None. Raises `NotYet` before the
    start: nobody can have missed what hasn't begun."""
    if event is None:
        return
    rows = _counted_in(tx, event.slot_id)
    if not event.no_show:
        reviews.settle(tx, _key(event.slot_id), by=cause, now=now)
        for row in rows:
            if row.status == Status.NO_SHOW:
                commands.mark(tx, terms, row.id, Happening.UNDO_NO_SHOW, now=now, cause=cause)
        return
    if event.starts_at > now:
        raise NotYet("it hasn't begun", event.starts_at - now)
    if len(rows) == 1:
        commands.mark(tx, terms, rows[0].id, Happening.NO_SHOW, now=now, cause=cause)
    elif any(row.status != Status.NO_SHOW for row in rows):
        detail = {"start": event.starts_at.isoformat(), "bookings": [row.id for row in rows]}
        reviews.ask(
            tx, "no_show", _key(event.slot_id), now=now, operator_id=event.operator_id, slot_id=event.slot_id,
            detail=detail,
        )  # fmt: skip


def mark_absent(tx: Tx, terms: Terms, review: dict[str, Any], choice: str, *, now: datetime, cause: str) -> None:
    """Who of a group didn't come: ``all``, or ids of bookings with commas between. Raises `Invalid` for anybody else."""
    event = tx.execute(sa.select(SlotEvent.operator_id).where(SlotEvent.slot_id == review["slot_id"])).one()
    claims.lock_operator(tx, event.operator_id)
    there = [row.id for row in _counted_in(tx, review["slot_id"])]
    absent = there if choice == "all" else [each.strip() for each in choice.split(",")]
    if not set(absent) <= set(there):
        raise Invalid([FieldError("choice", "unknown_choice", "all, or ids of bookings of this appointment")])
    for booking_id in absent:
        commands.mark(tx, terms, booking_id, Happening.NO_SHOW, now=now, cause=cause)


def _counted_in(tx: Tx, slot_id: int) -> list[Any]:
    lead = claims.leader_of(tx, slot_id)
    query = sa.select(Booking.__table__).where(Booking.slot_id == lead, Booking.status.in_(COUNTED))
    return list(tx.execute(query.order_by(Booking.created_at, Booking.id)).all())


def _key(slot_id: int) -> str:
    return f"no_show:{slot_id}"
