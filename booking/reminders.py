"""The reminder before an appointment: planned when the booking is completed, decided anew when its time has come."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from booking.catalogue import offering_by_id
from booking.letters import About
from booking.services import ServiceSpec
from booking.states import Status
from booking.tables import Booking
from ledger import outbox, timeline
from ledger.backoff import NotYet
from ledger.db import Tx
from ledger.messages import AskAttendance, ReleaseUnconfirmed, RemindBooking, SendMail

NIGHT = time(22)
MORNING = time(7)
EVENING = time(21)
"""When a reminder goes that would fall into the night before an early appointment."""
REACHES = ("booking", "operator")
"""What a client may want no reminders of: one booking, or all with its operator."""

PURPOSE = "reminders"
"""What the signature in a reminder's link is for (`ledger.vault.Vault.sign`)."""


def remind_at(start: datetime, hours: int, zone: str) -> datetime | None:
    """When to remind of an appointment; None for never. hours: before the start. zone: the client's.

    Nobody is woken between 22 and 7: it waits for the morning, unless that leaves less than half of the hours; then it
    goes on the evening before.
    """
    if hours <= 0:
        return None
    wanted = start - timedelta(hours=hours)
    local = wanted.astimezone(ZoneInfo(zone))
    if not _is_night(local):
        return wanted
    night_of = local.date() if local.time() >= NIGHT else local.date() - timedelta(days=1)
    morning = datetime.combine(night_of + timedelta(days=1), MORNING, local.tzinfo).astimezone(start.tzinfo)
    if start - morning >= timedelta(hours=hours) / 2:
        return morning
    return datetime.combine(night_of, EVENING, local.tzinfo).astimezone(start.tzinfo)


def plan(tx: Tx, row: Any, hours: int, *, scope: outbox.Scope, now: datetime, cause: str) -> None:
    """Remind a confirmed booking's client in time. Whoever books later than that has just read the confirmation."""
    due = remind_at(row.starts_at, hours, row.client_timezone)
    if due is not None and due > now:
        outbox.append(tx, RemindBooking(row.id, row.revision), now=now, not_before=due, scope=scope, cause=cause)


def are_off(tx: Tx, row: Any) -> bool:
    """Doesn't the client of this booking want a reminder of it, or of any with its operator?"""
    return bool(row.reminders_off) or _off_at(tx, row)


def _off_at(tx: Tx, row: Any) -> bool:
    theirs = sa.select(Booking.id).where(
        Booking.client_email == row.client_email,
        Booking.operator_id == row.operator_id,
        Booking.reminders_off == "operator",
    )
    return tx.execute(theirs.limit(1)).first() is not None


def claim(row: Any) -> str:
    """What a reminder's link is signed for: this booking, at this address. Anybody can book in another's name and gets a
    link to that booking; only who reads the address' mail may turn off what others are reminded of."""
    return f"{row.id} {row.client_email}"


def claim_of(tx: Tx, booking_id: str) -> str:
    """The same by id."""
    return claim(tx.execute(sa.select(Booking.id, Booking.client_email).where(Booking.id == booking_id)).one())


def wanted(tx: Tx, booking_id: str) -> str:
    """What a booking's client wants: ``all``, ``not_this``, or ``none`` of those with its operator."""
    row = tx.execute(sa.select(Booking.__table__).where(Booking.id == booking_id)).one()
    if not are_off(tx, row):
        return "all"
    return "not_this" if row.reminders_off == "booking" and not _off_at(tx, row) else "none"


def turn_off(tx: Tx, booking_id: str, reach: str, *, now: datetime, cause: str) -> None:
    """The client wants no reminders: of this booking (reach ``booking``) or of all with its operator (``operator``).
    Idempotent. Raises ValueError for another reach."""
    if reach not in REACHES:
        raise ValueError(f"reach is one of {', '.join(REACHES)}")
    row = tx.execute(sa.select(Booking.__table__).where(Booking.id == booking_id)).one()
    if row.reminders_off != reach:
        tx.execute(sa.update(Booking).where(Booking.id == booking_id).values(reminders_off=reach, updated_at=now))
        timeline.note(tx, row.id, row.operator_id, "reminders_off", now=now, cause=cause, reach=reach)


def turn_on(tx: Tx, booking_id: str, *, now: datetime, cause: str) -> None:
    """The client wants reminders again, of everything with this operator. Idempotent."""
    row = tx.execute(sa.select(Booking.__table__).where(Booking.id == booking_id)).one()
    if not are_off(tx, row):
        return
    theirs = (Booking.client_email == row.client_email, Booking.operator_id == row.operator_id)
    tx.execute(sa.update(Booking).where(*theirs, Booking.reminders_off != "").values(reminders_off="", updated_at=now))
    timeline.note(tx, row.id, row.operator_id, "reminders_on", now=now, cause=cause)


def leave_behind(tx: Tx, row: Any, *, now: datetime) -> None:
    """This booking is about to have another address. Who wants no reminders of their others at the old one still won't
    get any."""
    if row.reminders_off != "operator":
        return
    theirs = (Booking.client_email == row.client_email, Booking.operator_id == row.operator_id, Booking.id != row.id)
    tx.execute(sa.update(Booking).where(*theirs).values(reminders_off="operator", updated_at=now))


def plan_attendance(tx: Tx, row: Any, spec: ServiceSpec, *, scope: outbox.Scope, now: datetime, cause: str) -> None:
    """Ask a confirmed booking's client in time whether they come, and later, unanswered, those who wait. Whoever books when
    others have been asked already has just said so."""
    due = remind_at(row.starts_at, spec.confirm_attendance_hours, row.client_timezone)
    if due is None or due <= now:
        return
    outbox.append(tx, AskAttendance(row.id, row.revision), now=now, not_before=due, scope=scope, cause=cause)
    if spec.release_unconfirmed_hours:
        then = row.starts_at - timedelta(hours=spec.release_unconfirmed_hours)
        message = ReleaseUnconfirmed(row.id, row.revision)
        outbox.append(tx, message, now=now, not_before=max(then, due), scope=scope, cause=cause)


def remind(tx: Tx, message: RemindBooking, *, now: datetime, cause: str) -> None:
    """Ask for the mail, if the booking is still what was planned for and hasn't begun. Raises `NotYet` where the service
    reminds later by now, or where it has become night meanwhile."""
    row = tx.execute(sa.select(Booking.__table__).where(Booking.id == message.booking_id)).one_or_none()
    if row is None or row.revision != message.revision or row.status != Status.CONFIRMED or row.starts_at <= now:
        return
    if are_off(tx, row):
        return
    due = remind_at(row.starts_at, offering_by_id(tx, row.service_id).spec.reminder_hours, row.client_timezone)
    if due is None:
        return
    if due > now:
        raise NotYet("the service reminds later", due - now)
    if not by_day(row, now):
        return  # too late to be of use to a sleeper
    scope = outbox.Scope(row.operator_id, row.service_id, row.slot_id, row.id)
    outbox.append(tx, SendMail(row.id, row.revision, About.REMINDER, "client"), now=now, scope=scope, cause=cause)


def by_day(row: Any, now: datetime) -> bool:
    """May a booking's client be written to now? False where it is night with them until it begins. Raises `NotYet` for the
    morning."""
    local = now.astimezone(ZoneInfo(row.client_timezone))
    if not _is_night(local):
        return True
    day = local.date() + timedelta(days=1) if local.time() >= NIGHT else local.date()
    morning = datetime.combine(day, MORNING, local.tzinfo).astimezone(now.tzinfo)
    if morning >= row.starts_at:
        return False
    raise NotYet("it is night where the client is", morning - now)


def _is_night(local: datetime) -> bool:
    return local.time() >= NIGHT or local.time() < MORNING
