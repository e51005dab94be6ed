"""What booking does about each fact and timer. One transaction each; safe to repeat, reorder and race."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import singledispatch
from typing import Any

import sqlalchemy as sa

from booking import (
    absence,
    attendance,
    capacity,
    changes,
    commands,
    freshness,
    judgement,
    missed,
    openings,
    overlaps,
    privacy,
    reminders,
    replies,
    turns,
    waitlist,
)
from booking.catalogue import Offering, offering_by_id, offering_of
from booking.complete import Completion, Origin, complete, tell
from booking.errors import DoesNotFit, TooLate
from booking.invitation import About
from booking.states import Happening, Status
from booking.tables import Booking
from booking.terms import Terms
from connectors.model import Period
from ledger import claims, reviews, timeline
from ledger.backoff import NotYet
from ledger.db import Tx
from ledger.messages import (
    AskAttendance,
    AskWhoCame,
    CapacityChanged,
    CompleteBooking,
    DecidePending,
    ExpireHold,
    ExpireOffer,
    ForgetClient,
    GuestAccepted,
    GuestDeclined,
    HoursClosed,
    MailFact,
    Message,
    NoShowTagged,
    PromoteWaitlist,
    ReleaseUnconfirmed,
    RemindBooking,
    RemoteCancellation,
    RemoteMove,
    RemoteOverlap,
    TimeFreed,
)
from ledger.tables import Review, Seat, Slot, SlotEvent

STALE_CHECK = timedelta(seconds=2)


def react(tx: Tx, message: Message, *, terms: Terms, now: datetime, cause: str) -> None:
    """Do what the message asks for. Raises `NotYet` where it must wait; never commits."""
    _react(message, tx, terms, now, cause)


@singledispatch
def _react(message: Message, tx: Tx, terms: Terms, now: datetime, cause: str) -> None:
    raise TypeError(f"booking has no reaction to {type(message).__name__}")


@_react.register
def _(message: RemoteCancellation, tx: Tx, terms: Terms, now: datetime, cause: str) -> None:
    event = _locked_event(tx, message.slot_event_id)
    if event is None or not event.wanted or event.ends_at <= now:
        return  # we had given it up ourselves, or it is over: operators clean up
    rows = commands.live_in(tx, event.slot_id)
    if not rows:
        return
    wanted = offering_by_id(tx, event.service_id, event.operator_id)
    freed = commands.cancel_all(tx, terms, wanted, rows, by="operator", now=now, cause=cause or "operator_calendar")
    waitlist.seats_freed(tx, terms, freed, now=now, cause=cause or "operator_calendar")


@_react.register
def _(message: CapacityChanged, tx: Tx, terms: Terms, now: datetime, cause: str) -> None:
    capacity.reword(tx, terms, message.slot_id, now=now, cause=cause)


@_react.register
def _(message: ForgetClient, tx: Tx, terms: Terms, now: datetime, cause: str) -> None:
    privacy.erase_later(tx, terms, message, now=now, cause=cause)


@_react.register
def _(message: RemoteMove, tx: Tx, terms: Terms, now: datetime, cause: str) -> None:
    event = _locked_event(tx, message.slot_event_id)
    if event is None or not event.wanted or event.version != message.version or event.ends_at <= now:
        return  # a newer wish is on its way and will find out what to do
    rows = commands.live_in(tx, event.slot_id)
    period = Period(message.start, message.end)
    if not rows or (event.starts_at, event.ends_at) == (period.start, period.end):
        return
    cause = cause or "operator_calendar"
    wanted = offering_by_id(tx, event.service_id, event.operator_id)
    try:
        # A group, or several operators, can't be asked one by one whether all of it moves: the word of one counts.
        if wanted.spec.operator_moves == "propose" and len(rows) == 1 and not wanted.mates:
            _propose(tx, wanted, event, rows[0], period, now, cause)
        else:
            commands.move_slot(tx, terms, wanted, event.slot_id, period, now=now, cause=cause)
    except DoesNotFit as error:
        _ask_about_move(tx, event, period, error.why, now)


def _propose(tx: Tx, wanted: Offering, event: Any, row: Any, period: Period, now: datetime, cause: str) -> None:
    # Nobody is asked about a time that they could not have: it is a matter for the operator, as where moves are followed.
    lasted = event.ends_at - event.starts_at
    block, slots = commands.movable(tx, wanted, [event.operator_id], period, lasted=lasted, now=now)
    if any(slot.taken and slot.slot_id != event.slot_id and block.overlaps(slot.block) for slot in slots):
        raise DoesNotFit("overlap")
    if _ask_about_move(tx, event, period, "propose", now):
        # Named by its review: a second one about the same revision is a letter of its own.
        asked = tx.execute(sa.select(Review.id).where(Review.key == _move_key(event, period), Review.state == "open"))
        timeline.note(tx, row.id, row.operator_id, "proposed", now=now, cause=cause, to=period.start.isoformat())
        tell(tx, row, f"{About.PROPOSAL}:{asked.scalar_one()}", "client", now=now, cause=cause)


def _ask_about_move(tx: Tx, event: Any, period: Period, why: str, now: datetime) -> bool:
    detail = {
        "why": why, "from": event.starts_at.isoformat(), "to": period.start.isoformat(), "until": period.end.isoformat(),
    }  # fmt: skip
    return reviews.ask(
        tx,
        "move",
        _move_key(event, period),
        now=now,
        operator_id=event.operator_id,
        slot_id=event.slot_id,
        detail=detail,
    )


def _move_key(event: Any, period: Period) -> str:
    return f"move:{event.id}:{event.version}:{period.start.isoformat()}"


@_react.register
def _(message: RemoteOverlap, tx: Tx, terms: Terms, now: datetime, cause: str) -> None:
    slot = tx.execute(sa.select(Slot.__table__).where(Slot.id == message.slot_id, Slot.taken > 0)).one_or_none()
    period = Period(message.start, message.end)
    if slot is None or not period.overlaps(Period(slot.starts_at, slot.ends_at)) or slot.ends_at <= now:
        return
    reviews.ask(
        tx, "overlap", f"overlap:{slot.id}:{message.start.isoformat()}", now=now, operator_id=slot.operator_id,
        slot_id=slot.id, detail={"start": message.start.isoformat(), "end": message.end.isoformat()},
    )  # fmt: skip


@_react.register
def _(message: GuestDeclined, tx: Tx, terms: Terms, now: datetime, cause: str) -> None:
    row = _guest_of(tx, message.slot_event_id, message.version, now)
    if row is None:
        return
    try:
        commands.cancel(tx, terms, row.id, by="client", now=now, cause=cause or "calendar_reply")
    except TooLate:
        reviews.ask(
            tx, "late_decline", f"late_decline:{row.id}:{row.revision}", now=now, operator_id=row.operator_id,
            slot_id=row.slot_id, booking_id=row.id, detail={"start": row.starts_at.isoformat()},
        )  # fmt: skip


@_react.register
def _(message: GuestAccepted, tx: Tx, terms: Terms, now: datetime, cause: str) -> None:
    row = _guest_of(tx, message.slot_event_id, message.version, now)
    if row is not None:
        commands.confirm_attendance(tx, row.id, now=now, cause=cause or "calendar_reply")


def _guest_of(tx: Tx, slot_event_id: int, version: int, now: datetime) -> Any:
    """The booking whose client answered an invitation of the operator's account, if it is still that invitation."""
    event = _locked_event(tx, slot_event_id)
    if event is None or not event.wanted or event.version != version or event.ends_at <= now:
        return None
    rows = [row for row in commands.live_in(tx, event.slot_id) if row.voice != "service"]
    return rows[0] if len(rows) == 1 else None


@_react.register
def _(message: NoShowTagged, tx: Tx, terms: Terms, now: datetime, cause: str) -> None:
    absence.follow_tag(tx, terms, _locked_event(tx, message.slot_event_id), now=now, cause=cause or "operator_calendar")


@_react.register
def _(message: MailFact, tx: Tx, terms: Terms, now: datetime, cause: str) -> None:
    replies.react(tx, message, terms, now=now, cause=cause)


@_react.register
def _(message: RemindBooking, tx: Tx, terms: Terms, now: datetime, cause: str) -> None:
    reminders.remind(tx, message, now=now, cause=cause)


@_react.register
def _(message: HoursClosed, tx: Tx, terms: Terms, now: datetime, cause: str) -> None:
    claims.lock_operator(tx, message.operator_id)
    # No pause holds this: who says fewer seats lets nobody in from now on. More of them are for the line (TimeFreed).
    capacity.adjust(tx, message.operator_id, now=now, cause=cause or "operator_calendar", only_lower=True)
    openings.look(tx, message.operator_id, now=now)


@_react.register
def _(message: AskAttendance, tx: Tx, terms: Terms, now: datetime, cause: str) -> None:
    attendance.ask(tx, message, now=now, cause=cause)


@_react.register
def _(message: ReleaseUnconfirmed, tx: Tx, terms: Terms, now: datetime, cause: str) -> None:
    attendance.release(tx, message, now=now, cause=cause or "unconfirmed")


@_react.register
def _(message: TimeFreed, tx: Tx, terms: Terms, now: datetime, cause: str) -> None:
    claims.lock_operator(tx, message.operator_id)
    cause = cause or "operator_calendar"
    capacity.adjust(tx, message.operator_id, now=now, cause=cause, closed=True)  # an opening may say other seats
    openings.look(tx, message.operator_id, now=now)
    overlaps.look(tx, message.operator_id, now=now)
    turns.take_turn(tx, terms, message.operator_id, now=now, cause=cause)


@_react.register
def _(message: PromoteWaitlist, tx: Tx, terms: Terms, now: datetime, cause: str) -> None:
    judgement.give_kept_seat(
        tx, terms, message.operator_id, message.holder, entry_id=0, now=now, cause=cause, by_hand=False
    )
    judgement.close_review(tx, message.holder, now=now)


@_react.register
def _(message: ExpireHold, tx: Tx, terms: Terms, now: datetime, cause: str) -> None:
    claims.lock_operator(tx, message.operator_id)
    ends = tx.execute(sa.select(Seat.expires_at).where(Seat.holder == message.holder)).scalar()
    if ends is not None and ends > now:  # another host's clock was ahead
        raise NotYet("the hold still stands", ends - now)
    waitlist.seats_freed(tx, terms, claims.expired(tx, message.operator_id, now=now), now=now, cause=cause)


@_react.register
def _(message: ExpireOffer, tx: Tx, terms: Terms, now: datetime, cause: str) -> None:
    waitlist.expire_offer(tx, terms, message.offer_id, now=now, cause=cause)


@_react.register
def _(message: DecidePending, tx: Tx, terms: Terms, now: datetime, cause: str) -> None:
    row = tx.execute(sa.select(Booking.__table__).where(Booking.id == message.booking_id)).one_or_none()
    if row is None:
        return
    claims.lock_operator(tx, row.operator_id)
    if message.reason.startswith(changes.REASON):
        changes.decide(tx, terms, row.id, now=now, cause=cause)
        return
    row = tx.execute(sa.select(Booking.__table__).where(Booking.id == message.booking_id)).one()
    if row.status != Status.PENDING:
        return
    wanted = offering_of(tx, row)
    if message.reason == "expiry":
        if row.expires_at is not None and row.expires_at > now:
            raise NotYet("moved", row.expires_at - now)
        commands.turn_down(tx, terms, wanted, row, Happening.EXPIRE, now=now, cause=cause)
        return
    if "fresh" not in row.waits_for.split(",") or row.expires_at <= now:
        return  # decided already, or its end is due
    if not freshness.is_known(tx, wanted, row.needs_data_from or row.created_at):
        raise NotYet("the operator's calendars have not been read since", STALE_CHECK)
    if not freshness.leaves_free(tx, wanted, row.slot_id, row.seats, now):
        commands.turn_down(tx, terms, wanted, row, Happening.DECLINE, now=now, cause="calendar", reason="calendar")
        return
    complete(tx, terms, Completion(wanted, Origin.DECIDED, cause, booking=row, decided="fresh"), now=now)


@_react.register
def _(message: CompleteBooking, tx: Tx, terms: Terms, now: datetime, cause: str) -> None:
    row = tx.execute(sa.select(Booking.__table__).where(Booking.id == message.booking_id)).one_or_none()
    if row is None or row.revision != message.revision or row.status != Status.CONFIRMED:
        return
    commands.mark(tx, terms, row.id, Happening.COMPLETE, now=now, cause="time")
    missed.ask_later(tx, row, now=now)


@_react.register
def _(message: AskWhoCame, tx: Tx, terms: Terms, now: datetime, cause: str) -> None:
    missed.ask(tx, message, now=now, cause=cause)


def _locked_event(tx: Tx, slot_event_id: int) -> Any:
    """The slot's event as it is once its operator is ours; None if there is no such event."""
    operator_id = tx.execute(sa.select(SlotEvent.operator_id).where(SlotEvent.id == slot_event_id)).scalar()
    if operator_id is None:
        return None
    claims.lock_operator(tx, operator_id)
    return tx.execute(sa.select(SlotEvent.__table__).where(SlotEvent.id == slot_event_id)).one()
