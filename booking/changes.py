"""Another time that a client asked for while the calendar data was old (P11): the old one stays theirs, the new one is kept
for them, and fresh data decides."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from booking import freshness, turns
from booking.catalogue import Offering, offering_of
from booking.complete import Completion, Origin, complete, scope_of, tell
from booking.errors import SlotTaken
from booking.invitation import ASKED_ON_A_PAGE, About
from booking.states import Status
from booking.tables import Booking
from booking.terms import Terms
from connectors.model import Period
from ledger import claims, reviews, timeline
from ledger.availability import SlotState, Start
from ledger.backoff import NotYet
from ledger.claims import Freed
from ledger.db import Tx
from ledger.tables import Review, Seat, Slot

REASON = "change"
CHECK = timedelta(seconds=2)


def asked(tx: Tx, booking_id: str) -> Period | None:
    """The time that waits for fresh data in place of the booking's, or None."""
    slot = _kept(tx, booking_id)
    return None if slot is None else Period(slot.starts_at, slot.ends_at)


def ask(tx: Tx, wanted: Offering, row: Any, start: Start, *, now: datetime, cause: str) -> bool:
    """Keep that time for the booking of a locked operator, and read the calendars. False where it can't be kept beside the
    one it has, because the two overlap."""
    slot_id = claims.claim(
        tx,
        operator_id=wanted.operator_id,
        service_id=wanted.service_id,
        period=start.period,
        block=wanted.rules.block(start.period.start),
        capacity=start.capacity,
        holder=f"change:{row.id}",
        seats=row.seats,
        now=now,
        mates=wanted.mates,
        join=start.slot_id,
    )
    if slot_id is None:
        return False
    timeline.note(
        tx, row.id, row.operator_id, "other_time_wanted", now=now, cause=cause, start=start.period.start.isoformat()
    )
    reason = f"{REASON}:{secrets.token_hex(8)}"
    freshness.ask(tx, wanted, row, reason, now=now, scope=scope_of(row), cause=cause)
    return True


def drop(tx: Tx, row: Any) -> list[Freed]:
    """Keep it no longer; what came free is the caller's to give on. The operator is locked."""
    freed = claims.release(tx, f"change:{row.id}", operator_id=row.operator_id)
    return [] if freed is None else [freed]


def decide(tx: Tx, terms: Terms, booking_id: str, *, now: datetime, cause: str) -> None:
    """Move the booking of a locked operator there, or leave it and say so. Idempotent. Raises `NotYet`."""
    slot = _kept(tx, booking_id)
    if slot is None:
        return
    row = tx.execute(sa.select(Booking.__table__).where(Booking.id == booking_id)).one()
    wanted = offering_of(tx, row)
    late = min(row.starts_at, slot.starts_at, row.needs_data_from + timedelta(hours=wanted.spec.approval_hours)) <= now
    if not late and row.status == Status.CONFIRMED:
        if not freshness.is_known(tx, wanted, row.needs_data_from):
            raise NotYet("the operator's calendars have not been read since", CHECK)
        if freshness.leaves_free(tx, wanted, slot.id, row.seats, now) and _comes(
            tx, terms, wanted, row, now=now, cause=cause
        ):
            return
    freed = drop(tx, row)
    if row.status == Status.CONFIRMED:
        _say_no(tx, row, Period(slot.starts_at, slot.ends_at), now=now, cause=cause)
    turns.seats_freed(tx, terms, freed, now=now, cause=cause)


def _comes(tx: Tx, terms: Terms, wanted: Offering, row: Any, *, now: datetime, cause: str) -> bool:
    """Given back and taken at once, under the lock: so it comes there as if it had been sure from the start. False, and
    nothing is done, where the slot has fewer seats by now than people."""
    try:
        with tx.begin_nested():
            [kept] = drop(tx, row)
            there = kept.slot_id if kept.left else None
            start = Start(kept.period, kept.capacity, row.seats, SlotState.OPEN, there)
            wish = Completion(wanted, Origin.RESCHEDULED, cause, start=start, booking=row, seats=row.seats)
            done = complete(tx, terms, wish, now=now)
    except SlotTaken:
        return False
    turns.seats_freed(tx, terms, done.freed, now=now, cause=cause)
    return True


def _say_no(tx: Tx, row: Any, period: Period, *, now: datetime, cause: str) -> None:
    """As an operator would have said no who had looked into the calendar."""
    key = f"change:{row.id}:{period.start.isoformat()}:{now.isoformat()}"
    detail = {"to": period.start.isoformat(), "until": period.end.isoformat()}
    reviews.ask(
        tx, "counter", key, now=now, operator_id=row.operator_id, slot_id=row.slot_id, booking_id=row.id, detail=detail
    )
    review_id = tx.execute(sa.select(Review.id).where(Review.key == key)).scalar_one()
    reviews.resolve(tx, review_id, state="dismissed", by=ASKED_ON_A_PAGE, now=now)
    timeline.note(
        tx, row.id, row.operator_id, "other_time_declined", now=now, cause=cause, start=period.start.isoformat()
    )
    tell(tx, row, f"{About.COUNTER_DECLINED}:{review_id}", "client", now=now, cause=cause)


def _kept(tx: Tx, booking_id: str) -> Any:
    query = sa.select(Slot.id, Slot.starts_at, Slot.ends_at).join(Seat, Seat.slot_id == Slot.id)
    return tx.execute(query.where(Seat.holder == f"change:{booking_id}")).one_or_none()
