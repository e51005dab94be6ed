"""Does the client come? Asked in good time; who doesn't say so may lose the place to somebody who waits, but only to them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from booking import line, turns
from booking.catalogue import Offering, offering_of
from booking.invitation import About
from booking.reminders import by_day, remind_at
from booking.states import Status
from booking.tables import Booking, Offer
from connectors.model import Period
from ledger import claims, outbox, pauses, timeline
from ledger.availability import SlotState, Start
from ledger.backoff import NotYet
from ledger.db import Tx
from ledger.messages import AskAttendance, ReleaseUnconfirmed, SendMail
from ledger.tables import Slot, TimelineEntry

LOOK_AGAIN = timedelta(minutes=10)
ASKED = "attendance_asked"


def ask(tx: Tx, message: AskAttendance, *, now: datetime, cause: str) -> None:
    """Ask by mail, unless they have said so already or it isn't what was planned for. Raises `NotYet` where the service asks
    later by now, or at night."""
    found = _undecided(tx, message.booking_id, message.revision, now)
    if found is None:
        return
    row, offering = found
    due = remind_at(row.starts_at, offering.spec.confirm_attendance_hours, row.client_timezone)
    if due is None:
        return
    if due > now:
        raise NotYet("the service asks later", due - now)
    if _was_asked(tx, row) or not by_day(row, now):
        return
    scope = outbox.Scope(row.operator_id, row.service_id, row.slot_id, row.id)
    timeline.note(tx, row.id, row.operator_id, ASKED, now=now, cause=cause, revision=row.revision)
    outbox.append(tx, SendMail(row.id, row.revision, About.ATTENDANCE, "client"), now=now, scope=scope, cause=cause)


def release(tx: Tx, message: ReleaseUnconfirmed, *, now: datetime, cause: str) -> None:
    """Offer the place of somebody who was asked and hasn't answered to the first in line whom it fits. It stays theirs
    until that is accepted: nobody loses a place for an empty seat. Raises `NotYet` until somebody waits for it."""
    operator_id = tx.execute(sa.select(Booking.operator_id).where(Booking.id == message.booking_id)).scalar()
    if operator_id is None:
        return
    claims.lock_operator(tx, operator_id)
    found = _undecided(tx, message.booking_id, message.revision, now)
    if found is None or not found[1].spec.release_unconfirmed_hours:
        return
    row, offering = found
    due = row.starts_at - timedelta(hours=offering.spec.release_unconfirmed_hours)
    if due > now:
        raise NotYet("the service waits longer", due - now)
    if not _was_asked(tx, row):
        raise NotYet("they haven't been asked yet", LOOK_AGAIN)
    if tx.execute(sa.select(Offer.id).where(Offer.booking_id == row.id, Offer.status == "open")).first():
        return  # asked for again when that offer ends
    if pauses.is_paused(
        tx, "promote", now=now, operator_id=row.operator_id, service_id=row.service_id, slot_id=row.slot_id,
        booking_id=row.id,
    ):  # fmt: skip
        raise NotYet("promotion is paused", turns.PAUSED_CHECK)
    slot = tx.execute(sa.select(Slot.__table__).where(Slot.id == row.slot_id)).one()
    start = Start(Period(row.starts_at, row.ends_at), slot.capacity, row.seats, SlotState.OPEN, slot.id)
    entry = line.first_fitting(tx, offering, start)
    if entry is None:
        raise NotYet("nobody waits for it", LOOK_AGAIN)
    turns.new_offer(tx, offering, start.period, entry, now=now, cause=cause, slot_id=slot.id, booking_id=row.id)
    timeline.note(tx, row.id, row.operator_id, "offered_to_line", now=now, cause=cause)


def confirm(tx: Tx, row: Any, *, now: datetime, cause: str) -> None:
    """They come: what was offered to others is withdrawn. The operator is locked or held still, and the row was read after
    that. Idempotent."""
    if row.attendance_confirmed_at is not None:
        return
    tx.execute(sa.update(Booking).where(Booking.id == row.id).values(attendance_confirmed_at=now, updated_at=now))
    line.withdraw_offers(tx, Offer.booking_id == row.id, now=now)
    timeline.note(tx, row.id, row.operator_id, "attendance_confirmed", now=now, cause=cause)


def _undecided(tx: Tx, booking_id: str, revision: int, now: datetime) -> tuple[Any, Offering] | None:
    """The booking as it was planned for, if it is still ahead and nobody has said that they come."""
    row = tx.execute(sa.select(Booking.__table__).where(Booking.id == booking_id)).one_or_none()
    if row is None or row.revision != revision or row.status != Status.CONFIRMED:
        return None
    if row.starts_at <= now or row.attendance_confirmed_at is not None:
        return None
    return row, offering_of(tx, row)


def _was_asked(tx: Tx, row: Any) -> bool:
    told = tx.execute(
        sa.select(TimelineEntry.detail).where(TimelineEntry.booking_id == row.id, TimelineEntry.what == ASKED)
    ).scalars()
    return any(detail.get("revision") == row.revision for detail in told)
