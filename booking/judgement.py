"""What a human decided where automation waited: held promotions, moves that don't fit, overlaps, places in line."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from booking import capacity, commands, openings, overlaps, turns, waitlist
from booking.catalogue import offering_by_id, offering_of, offering_waited_for
from booking.errors import NotFound, NotPossible
from booking.tables import Booking, WaitlistEntry
from booking.terms import Terms
from connectors.model import Period
from ledger import claims, entries, reviews
from ledger.db import Tx
from ledger.tables import SlotEvent


def give_kept_seat(
    tx: Tx,
    terms: Terms,
    operator_id: int,
    holder: str,
    *,
    entry_id: int,
    now: datetime,
    cause: str,
    by_hand: bool = True,
) -> None:
    """A seat that was kept while promotion was paused goes to the line, or to the person that a human names.

    entry_id: 0 for the first who fits. by_hand: whatever else is paused. Idempotent: a seat that isn't kept any more is nobody's business. Raises
    `NotPossible` where that person can't take it; the seat stays kept then.
    """
    claims.lock_operator(tx, operator_id)
    freed = claims.release(tx, holder, operator_id=operator_id)
    if freed is None:
        return
    if entry_id:
        booking_id = waitlist.promote_named(tx, terms, entry_id, freed.period, now=now, cause=cause)
        taken = tx.execute(sa.select(Booking.seats).where(Booking.id == booking_id)).scalar_one()
        if freed.seats > taken:  # the rest is as it was: for the line, or kept
            waitlist.seats_freed(tx, terms, [replace(freed, seats=freed.seats - taken)], now=now, cause=cause)
        by_hand = False  # so is the time, where they come for less of it, or to somebody else of a team
    block, first = [freed.block], freed.service_id
    waitlist.serve(tx, terms, freed.people, block, first=first, now=now, cause=cause, by_hand=by_hand)


def open_kept_seat(tx: Tx, operator_id: int, holder: str) -> None:
    """A kept seat is given to nobody: from now on everybody may book it."""
    claims.lock_operator(tx, operator_id)
    claims.release(tx, holder, operator_id=operator_id)


def open_freed_time(tx: Tx, operator_id: int, *, now: datetime, cause: str) -> None:
    """Time that was freed or opened is given to nobody in line: from now on everybody may book it. Idempotent."""
    claims.lock_operator(tx, operator_id)
    capacity.adjust(tx, operator_id, now=now, cause=cause)
    openings.look(tx, operator_id, now=now)
    overlaps.look(tx, operator_id, now=now)
    turns.forgo(tx, operator_id, now=now)


def close_review(tx: Tx, holder: str, *, now: datetime, by: str = "resumed") -> None:
    """The question what to do with a kept seat has been answered. Idempotent."""
    reviews.settle(tx, f"promotion:{holder}", by=by, now=now)


def decide_move(tx: Tx, terms: Terms, review: dict[str, Any], choice: str, *, now: datetime, cause: str) -> None:
    """A move that didn't fit. choice: ``follow`` it now, or ``restore`` the event to the booking's time.

    Raises `NotPossible` where it still doesn't fit.
    """
    claims.lock_operator(tx, review["operator_id"])
    event = tx.execute(sa.select(SlotEvent.__table__).where(SlotEvent.slot_id == review["slot_id"])).one_or_none()
    if event is None or not commands.live_in(tx, review["slot_id"]):
        return
    offering = offering_by_id(tx, event.service_id, event.operator_id)
    moved_to = Period(*(datetime.fromisoformat(review["detail"][key]) for key in ("to", "until")))
    if choice == "restore":
        entries.insist(tx, event.slot_id, seen=moved_to, now=now, cause=cause)
        return
    # Another time was wished for since: nobody knows where it lies now, so it is written.
    there = datetime.fromisoformat(review["detail"]["from"]) == event.starts_at
    commands.move_slot(tx, terms, offering, event.slot_id, moved_to, now=now, cause=cause, there=there)


def cancel_slot(tx: Tx, terms: Terms, slot_id: int, *, by: str, now: datetime, cause: str) -> None:
    """Cancel everybody in a slot and give its time on."""
    rows = commands.live_in(tx, slot_id)
    if not rows:
        return
    claims.lock_operator(tx, rows[0].operator_id)
    offering = offering_of(tx, rows[0])
    freed = commands.cancel_all(tx, terms, offering, commands.live_in(tx, slot_id), by=by, now=now, cause=cause)
    waitlist.seats_freed(tx, terms, freed, now=now, cause=cause)


def promote(tx: Tx, terms: Terms, entry_id: int, start: datetime, *, now: datetime, cause: str) -> str:
    """Give a waiting client a free start by hand; the booking's id. Raises `NotFound`, `NotPossible`."""
    row = tx.execute(sa.select(WaitlistEntry.__table__).where(WaitlistEntry.id == entry_id)).one_or_none()
    if row is None:
        raise NotFound("there is no such place in line")
    claims.lock_operator(tx, row.operator_id)
    offering = offering_waited_for(tx, row)
    period = Period(start, start + offering.rules.duration)
    return waitlist.promote_named(tx, terms, entry_id, period, now=now, cause=cause)


def prioritise(tx: Tx, entry_id: int, priority: int, *, now: datetime) -> None:
    """Higher goes first; among equals the older. Raises `NotPossible` for who doesn't wait."""
    operator_id = tx.execute(sa.select(WaitlistEntry.operator_id).where(WaitlistEntry.id == entry_id)).scalar()
    if operator_id is not None:
        claims.hold_still(tx, operator_id)  # nobody is served meanwhile
    changed = tx.execute(
        sa.update(WaitlistEntry)
        .where(WaitlistEntry.id == entry_id, WaitlistEntry.status == "waiting")
        .values(priority=priority, updated_at=now)
    )
    if changed.rowcount != 1:
        raise NotPossible("this place in line is no longer waiting")
