"""What a message that waits would do if it ran now: to whom, or nothing any more. Only looks; the reaction decides anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import singledispatch
from typing import Any

import sqlalchemy as sa

from booking import commands, line, missed, reminders, turns
from booking.catalogue import offering_by_id
from booking.states import COUNTED, LIVE, Status
from booking.tables import Booking, Offer
from connectors.model import Period
from ledger import claims
from ledger.availability import SlotState, Start
from ledger.db import Tx
from ledger.messages import (
    AskAttendance,
    AskWhoCame,
    ClientDeclined,
    GuestDeclined,
    Message,
    NoShowTagged,
    PromoteWaitlist,
    PushEvent,
    ReleaseUnconfirmed,
    RemindBooking,
    RemoteCancellation,
    RemoteMove,
    TimeFreed,
)
from ledger.tables import Seat, Slot, SlotEvent


@dataclass(frozen=True, slots=True)
class Foreseen:
    """bookings: rows of those concerned. entry: the row of who would be served first in line, or None. idle: there is
    nothing left to do."""

    bookings: tuple[Any, ...] = ()
    entry: Any = None
    idle: bool = False


def foresee(tx: Tx, message: Message, *, slot_id: int | None, booking_id: str | None, now: datetime) -> Foreseen:
    """slot_id, booking_id: where the message belongs, as its outbox row says."""
    return _foresee(message, _Here(tx, slot_id, booking_id, now))


@dataclass(frozen=True, slots=True)
class _Here:
    tx: Tx
    slot_id: int | None
    booking_id: str | None
    now: datetime


@singledispatch
def _foresee(_message: Message, here: _Here) -> Foreseen:
    return Foreseen(_those(here.tx, here.slot_id, here.booking_id))


@_foresee.register
def _(message: RemoteCancellation, here: _Here) -> Foreseen:
    event, rows = _event(here.tx, message.slot_event_id), commands.live_in(here.tx, message.slot_id)
    return Foreseen(tuple(rows), idle=not rows or not _is_ahead(event, here.now))


@_foresee.register
def _(message: RemoteMove, here: _Here) -> Foreseen:
    event, rows = _event(here.tx, message.slot_event_id), commands.live_in(here.tx, message.slot_id)
    there = event is not None and (event.starts_at, event.ends_at) == (message.start, message.end)
    current = _is_ahead(event, here.now) and event.version == message.version
    return Foreseen(tuple(rows), idle=not rows or there or not current)


@_foresee.register
def _(message: GuestDeclined, here: _Here) -> Foreseen:
    event = _event(here.tx, message.slot_event_id)
    rows = [row for row in commands.live_in(here.tx, message.slot_id) if row.voice != "service"]
    current = _is_ahead(event, here.now) and event.version == message.version
    return Foreseen(tuple(rows), idle=len(rows) != 1 or not current)


@_foresee.register
def _(_message: ClientDeclined, here: _Here) -> Foreseen:
    rows = _those(here.tx, None, here.booking_id)
    return Foreseen(rows, idle=bool(rows) and not any(row.status in LIVE and row.ends_at > here.now for row in rows))


@_foresee.register
def _(message: NoShowTagged, here: _Here) -> Foreseen:
    event = _event(here.tx, message.slot_event_id)
    lead = claims.leader_of(here.tx, message.slot_id)
    there = sa.select(Booking.__table__).where(Booking.slot_id == lead, Booking.status.in_(COUNTED))
    rows = tuple(here.tx.execute(there.order_by(Booking.created_at, Booking.id)))
    settled = event is None or all((row.status == Status.NO_SHOW) == event.no_show for row in rows)
    return Foreseen(rows, idle=settled)


@_foresee.register
def _(message: PushEvent, here: _Here) -> Foreseen:
    event = _event(here.tx, message.slot_event_id)
    idle = event is None or event.calendar_id is None or event.state == "gone" or event.pushed_version >= event.version
    return Foreseen(_those(here.tx, here.slot_id, here.booking_id), idle=idle)


@_foresee.register
def _(message: RemindBooking, here: _Here) -> Foreseen:
    rows = _those(here.tx, None, message.booking_id)
    return Foreseen(
        rows, idle=not any(_planned(row, message, here.now) and not reminders.are_off(here.tx, row) for row in rows)
    )


@_foresee.register
def _(message: AskAttendance, here: _Here) -> Foreseen:
    rows = _those(here.tx, None, message.booking_id)
    undecided = (_planned(row, message, here.now) and row.attendance_confirmed_at is None for row in rows)
    return Foreseen(rows, idle=not any(undecided))


@_foresee.register
def _(message: AskWhoCame, here: _Here) -> Foreseen:
    return Foreseen(_those(here.tx, None, message.booking_id), idle=missed.asked_about(here.tx, message) is None)


@_foresee.register
def _(message: ReleaseUnconfirmed, here: _Here) -> Foreseen:
    rows = _those(here.tx, None, message.booking_id)
    for row in rows:
        asked_others = sa.select(Offer.id).where(Offer.booking_id == row.id, Offer.status == "open")
        unsettled = row.attendance_confirmed_at is None and here.tx.execute(asked_others.limit(1)).first() is None
        if _planned(row, message, here.now) and unsettled:
            return Foreseen(rows, _first_for(here.tx, row.slot_id, row.seats, row.service_id))
    return Foreseen(rows, idle=True)


@_foresee.register
def _(message: PromoteWaitlist, here: _Here) -> Foreseen:
    kept = here.tx.execute(
        sa.select(Slot.__table__, Seat.seats).join(Seat, Seat.slot_id == Slot.id).where(Seat.holder == message.holder)
    ).one_or_none()
    if kept is None or kept.starts_at <= here.now:
        return Foreseen(idle=True)  # it has been given by hand, or its time is over
    if kept.taken > kept.seats:  # others are in it: whoever joins them joins their appointment
        return Foreseen(entry=_first_for(here.tx, kept.id, kept.capacity - kept.taken + kept.seats, kept.service_id))
    entry = turns.first_served(
        here.tx, _people_in(here.tx, kept.id), [Period(kept.block_start, kept.block_end)], now=here.now, first=kept.service_id,
        leaving=kept.id,
    )  # fmt: skip
    return Foreseen(entry=entry)


@_foresee.register
def _(message: TimeFreed, here: _Here) -> Foreseen:
    return Foreseen(entry=turns.first_in_turn(here.tx, message.operator_id, now=here.now))


def _planned(row: Any, message: RemindBooking | AskAttendance | ReleaseUnconfirmed, now: datetime) -> bool:
    """Is the booking still what was planned for, and ahead?"""
    return bool(row.revision == message.revision and row.status == Status.CONFIRMED and row.starts_at > now)


def _those(tx: Tx, slot_id: int | None, booking_id: str | None) -> tuple[Any, ...]:
    """The booking, or everybody in the slot whose booking stands."""
    if booking_id:
        return tuple(tx.execute(sa.select(Booking.__table__).where(Booking.id == booking_id)))
    return tuple(commands.live_in(tx, slot_id)) if slot_id is not None else ()


def _event(tx: Tx, slot_event_id: int) -> Any:
    return tx.execute(sa.select(SlotEvent.__table__).where(SlotEvent.id == slot_event_id)).one_or_none()


def _is_ahead(event: Any, now: datetime) -> bool:
    return event is not None and event.wanted and event.ends_at > now


def _first_for(tx: Tx, slot_id: int, seats: int, service_id: int) -> Any:
    slot = tx.execute(sa.select(Slot.__table__).where(Slot.id == slot_id)).one_or_none()
    if slot is None:
        return None
    period = Period(slot.starts_at, slot.ends_at)
    offering = offering_by_id(tx, service_id, slot.operator_id)
    lasting = offering.lasting(int((period.end - period.start).total_seconds() // 60))
    return line.first_fitting(tx, lasting, Start(period, slot.capacity, seats, SlotState.OPEN, slot.id))


def _people_in(tx: Tx, slot_id: int) -> Sequence[int]:
    """Whose time the slot takes."""
    theirs = sa.or_(Slot.id == slot_id, Slot.leader_id == slot_id)
    return tx.execute(sa.select(Slot.operator_id).where(theirs).order_by(Slot.id)).scalars().all()
