"""THE one completion path (P6): however a booking comes to a time, it comes through `complete`.

seats → row and status → timeline → the operator's event → messages. Nothing is sent here; all of it is rows of one
transaction that somebody else commits.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from booking import freshness, history, line, overlaps, reminders
from booking.catalogue import Offering
from booking.errors import HoldExpired, SlotTaken
from booking.invitation import About, event_words
from booking.rules import Client
from booking.states import COUNTED, LIVE, Happening, Status, after
from booking.tables import Booking, Offer, WaitlistEntry
from booking.terms import Terms
from connectors.model import Period
from ledger import claims, entries, outbox, timeline
from ledger.availability import Start
from ledger.claims import Freed
from ledger.db import Tx
from ledger.messages import CompleteBooking, DecidePending, SendMail
from ledger.tables import Slot


class Origin(StrEnum):
    """How the booking came to this time."""

    DIRECT = "direct"
    HOLD = "hold"
    PROMOTED = "promoted"  # first in line, taken for them
    OFFER = "offer"  # first in line, asked and accepted
    DECIDED = "decided"  # was pending: approved, or the calendar data came
    RESCHEDULED = "rescheduled"
    MOVED = "moved"  # by the operator, together with its slot


@dataclass(frozen=True, slots=True)
class Completion:
    """What shall be completed. start: where (for new ones and reschedules). booking: the row of an existing one.

    holder: who holds the seats already (``hold:…``, ``offer:…``). by: who reschedules. decided: what a pending one no longer
    waits for. there: the slot whose event lies at that time already, where its operator has moved it; 0 for none.
    """

    offering: Offering
    origin: Origin
    cause: str
    start: Start | None = None
    booking: Any = None
    client: Client | None = None
    seats: int = 1
    answers: Mapping[str, Any] = field(default_factory=dict)
    consents: Mapping[str, Any] = field(default_factory=dict)
    holder: str = ""
    by: str = "client"
    entry_id: int | None = None
    decided: str = ""
    there: int = 0


@dataclass(frozen=True, slots=True)
class Completed:
    """The booking, and what became free by it (a reschedule leaves its old time)."""

    booking_id: str
    slot_id: int
    freed: tuple[Freed, ...] = ()


def complete(tx: Tx, terms: Terms, wish: Completion, *, now: datetime) -> Completed:
    """Complete a booking. The operator is locked. Raises `SlotTaken`, `HoldExpired`, `NotPossible`; nothing is stored then."""
    booking_id = secrets.token_hex(16) if wish.booking is None else wish.booking.id
    slot_id, freed = _take_seats(tx, wish, booking_id, now)
    if wish.booking is None:
        row = _new_row(tx, terms, wish, booking_id, slot_id, now)
    else:
        row = _changed_row(tx, wish, slot_id, now)
    timeline.note(
        tx, row.id, row.operator_id, _word(wish, row), now=now, cause=wish.cause,
        start=row.starts_at.isoformat(), revision=row.revision,
    )  # fmt: skip
    refresh_event(tx, terms, wish.offering, slot_id, now=now, cause=wish.cause, there=wish.there)
    for old in freed:
        if old.slot_id != slot_id:
            refresh_event(tx, terms, wish.offering, old.slot_id, now=now, cause=wish.cause)
    if wish.booking is not None:
        overlaps.look(tx, row.operator_id, now=now)
    _ask_for_the_rest(tx, wish, row, now)
    return Completed(row.id, slot_id, freed)


def row_of(tx: Tx, booking_id: str) -> Any:
    """The stored booking."""
    return tx.execute(sa.select(Booking.__table__).where(Booking.id == booking_id)).one()


def refresh_event(
    tx: Tx, terms: Terms, offering: Offering, slot_id: int, *, now: datetime, cause: str, there: int = 0
) -> None:
    """Wish for the slot's event as those who come, or came, ask for it, or for none; and for one in the calendar of each
    whose time it takes besides. Idempotent. there: the slot whose event lies where it shall be already."""
    times = tx.execute(
        sa.select(Slot.operator_id, Slot.starts_at, Slot.ends_at).where(
            Slot.id == slot_id,
            sa.exists().where(Booking.slot_id == Slot.id, Booking.status.in_(COUNTED)),
        )
    ).one_or_none()
    mates = claims.mates_of(tx, slot_id)
    if times is None:
        for each in (slot_id, *mates.values()):
            entries.unwish(tx, each, now=now, cause=cause)
        overlaps.look(tx, offering.operator_id, now=now)
        return
    for operator_id, each in {times.operator_id: slot_id, **mates}.items():
        entries.wish(
            tx,
            slot_id=each,
            operator_id=operator_id,
            service_id=offering.service_id,
            period=Period(times.starts_at, times.ends_at),
            words=event_words(tx, slot_id, terms),
            grace_seconds=offering.spec.cancellation_grace_seconds,
            domain=terms.domain,
            now=now,
            cause=cause,
            there=there == each,
        )


def tell(tx: Tx, row: Any, about: str, *audiences: str, now: datetime, cause: str) -> None:
    """Ask for one mail to each audience about this revision."""
    scope = scope_of(row)
    for audience in audiences:
        outbox.append(tx, SendMail(row.id, row.revision, about, audience), now=now, scope=scope, cause=cause)


def scope_of(row: Any) -> outbox.Scope:
    """Where a booking belongs, for pauses."""
    return outbox.Scope(row.operator_id, row.service_id, row.slot_id, row.id)


# --- seats ------------------------------------------------------------------------------------------------------


def _take_seats(tx: Tx, wish: Completion, booking_id: str, now: datetime) -> tuple[int, tuple[Freed, ...]]:
    offering, holder = wish.offering, f"booking:{booking_id}"
    if wish.origin in (Origin.DECIDED, Origin.MOVED):
        return wish.booking.slot_id, ()
    if wish.holder:
        slot_id = claims.hand_over(tx, wish.holder, holder, operator_id=offering.operator_id, now=now)
        if slot_id is None:
            raise HoldExpired
        return slot_id, ()
    if wish.start is None:
        raise ValueError("a start is needed")
    if wish.booking is not None:
        return _change_seats(tx, wish, wish.start, holder, now)
    slot_id = _claim(tx, wish, wish.start, holder, wish.seats, now)
    return slot_id, ()


def _claim(tx: Tx, wish: Completion, start: Start, holder: str, seats: int, now: datetime) -> int:
    slot_id = claims.claim(
        tx,
        operator_id=wish.offering.operator_id,
        service_id=wish.offering.service_id,
        period=start.period,
        block=wish.offering.rules.block(start.period.start),
        capacity=start.capacity,
        holder=holder,
        seats=seats,
        now=now,
        mates=wish.offering.mates,
        join=start.slot_id,
    )
    if slot_id is None:
        raise SlotTaken
    return slot_id


def _change_seats(tx: Tx, wish: Completion, start: Start, holder: str, now: datetime) -> tuple[int, tuple[Freed, ...]]:
    """The old seats are kept until the new ones are claimed; alone in the slot, one takes it along with its event."""
    operator_id = wish.offering.operator_id
    old = tx.execute(sa.select(Slot.__table__).where(Slot.id == wish.booking.slot_id)).one()
    if old.taken == wish.booking.seats and start.slot_id is None:
        block = wish.offering.rules.block(start.period.start)
        if not claims.move(
            tx, old.id, operator_id=operator_id, period=start.period, block=block, capacity=start.capacity
        ):
            raise SlotTaken
        left = Freed(
            old.id, operator_id, old.service_id, Period(old.starts_at, old.ends_at),
            Period(old.block_start, old.block_end), wish.booking.seats, 0, old.capacity, holder,
            tuple(sorted(claims.mates_of(tx, old.id))),
        )  # fmt: skip
        return old.id, (left,)
    slot_id = _claim(tx, wish, start, f"change:{wish.booking.id}", wish.booking.seats, now)
    freed = claims.release(tx, holder, operator_id=operator_id)
    claims.hand_over(tx, f"change:{wish.booking.id}", holder, operator_id=operator_id, now=now)
    return slot_id, (freed,) if freed else ()


# --- the row ----------------------------------------------------------------------------------------------------


def _new_row(tx: Tx, terms: Terms, wish: Completion, booking_id: str, slot_id: int, now: datetime) -> Any:
    offering, client = wish.offering, wish.client
    if client is None:
        raise ValueError("a new booking needs a client")
    slot = tx.execute(sa.select(Slot.operator_id, Slot.starts_at, Slot.ends_at).where(Slot.id == slot_id)).one()
    waits_for = _waits_for(tx, wish, now)
    known = _known_by(tx, wish)
    values = {
        "id": booking_id,
        "token": secrets.token_urlsafe(24),
        "operator_id": slot.operator_id,  # who has the group that they came into, whoever of a team was asked for
        "service_id": offering.service_id,
        "slot_id": slot_id,
        "seats": wish.seats,
        "status": Status.PENDING if waits_for else Status.CONFIRMED,
        "waits_for": ",".join(waits_for),
        "duration_minutes": offering.minutes,
        "expires_at": min(now + timedelta(hours=offering.spec.approval_hours), slot.starts_at) if waits_for else None,
        "starts_at": slot.starts_at,
        "ends_at": slot.ends_at,
        "client_name": client.name,
        "client_email": client.email,
        "client_timezone": client.timezone,
        "language": client.language,
        "answers": dict(wish.answers),
        "consents": dict(wish.consents),
        "revision": 0 if known is None else known.sequence + 1,
        "uid": f"{booking_id}@{terms.domain}" if known is None else known.uid,
        "organizer_tag": secrets.token_hex(16) if known is None else known.organizer_tag,
        "voice": _voice(tx, wish) if known is None else "service",
        "invited": not waits_for,
        "waitlist_entry_id": wish.entry_id,
        "created_at": now,
        "updated_at": now,
    }
    tx.execute(sa.insert(Booking).values(**values))
    return row_of(tx, booking_id)


def _known_by(tx: Tx, wish: Completion) -> Any:
    """The tentative entry in the client's calendar that becomes the booking's, under the same UID; None without one."""
    entry = WaitlistEntry
    theirs = sa.select(entry.uid, entry.organizer_tag, entry.sequence).where(
        entry.id == wish.entry_id, entry.calendar_entry
    )
    return None if wish.entry_id is None else tx.execute(theirs).one_or_none()


def _voice(tx: Tx, wish: Completion) -> str:
    """Who invites this client, for the booking's whole life. A group's event is one for all, and of a team that does it
    together everybody has one, so we invite each (P8)."""
    if wish.offering.spec.capacity > 1 or wish.offering.mates:
        return "service"
    return entries.voice_of(tx, wish.offering.operator_id)


def _waits_for(tx: Tx, wish: Completion, now: datetime) -> list[str]:
    spec = wish.offering.spec
    reasons = []
    missed = wish.client is not None and history.asks_for_approval(
        tx, spec, wish.offering.operator_id, wish.client.email
    )
    if spec.confirmation == "approval" or missed:
        reasons.append("approval")
    if not freshness.is_fresh(tx, wish.offering, now):
        reasons.append("fresh")
    return reasons


def _changed_row(tx: Tx, wish: Completion, slot_id: int, now: datetime) -> Any:
    row = wish.booking
    slot = tx.execute(sa.select(Slot.operator_id, Slot.starts_at, Slot.ends_at).where(Slot.id == slot_id)).one()
    values: dict[str, Any] = {
        "operator_id": slot.operator_id,
        "slot_id": slot_id,
        "starts_at": slot.starts_at,
        "ends_at": slot.ends_at,
        "updated_at": now,
    }
    if wish.origin is Origin.DECIDED:
        rest = [r for r in row.waits_for.split(",") if r and r != wish.decided]
        values["waits_for"] = ",".join(rest)
        if not rest:
            values |= {"status": after(row.status, Happening.CONFIRM), "expires_at": None, "invited": True}
    else:
        # Who was offered this place, because nobody confirmed it, waits again: it is at another time now.
        line.withdraw_offers(tx, Offer.booking_id == row.id, now=now)
        values |= {"status": after(row.status, Happening.MOVE), "revision": row.revision + 1}
        values["attendance_confirmed_at"] = None  # what they said was about the other time
        if row.status == Status.PENDING:
            values["expires_at"] = min(row.expires_at or slot.starts_at, slot.starts_at)
            if wish.origin is Origin.RESCHEDULED and not freshness.is_fresh(tx, wish.offering, now):
                waits = [reason for reason in row.waits_for.split(",") if reason]
                values["waits_for"] = ",".join(dict.fromkeys([*waits, "fresh"]))
    tx.execute(sa.update(Booking).where(Booking.id == row.id, Booking.status.in_(LIVE)).values(**values))
    return row_of(tx, row.id)


# --- what follows -----------------------------------------------------------------------------------------------

_ABOUT = {
    Origin.PROMOTED: About.PROMOTED,
    Origin.OFFER: About.PROMOTED,
    Origin.RESCHEDULED: About.MOVED_BY_CLIENT,
    Origin.MOVED: About.MOVED,
}


def _word(wish: Completion, row: Any) -> str:
    origin = wish.origin
    if row.status == Status.PENDING and origin in (Origin.DIRECT, Origin.HOLD, Origin.PROMOTED, Origin.OFFER):
        return "requested"
    words = {
        Origin.RESCHEDULED: "rescheduled",
        Origin.MOVED: "moved",
        Origin.PROMOTED: "promoted",
        Origin.OFFER: "promoted",
    }
    if origin is Origin.DECIDED:
        if row.status == Status.CONFIRMED:
            return "approved"
        return "accepted" if wish.decided == "approval" else "calendar_checked"
    return words.get(origin, "booked")


def _ask_for_the_rest(tx: Tx, wish: Completion, row: Any, now: datetime) -> None:
    scope, cause = scope_of(row), wish.cause
    if row.status == Status.CONFIRMED:
        done = CompleteBooking(row.id, row.revision)
        outbox.append(tx, done, now=now, not_before=row.ends_at, scope=scope, cause=cause)
        reminders.plan(tx, row, wish.offering.spec.reminder_hours, scope=scope, now=now, cause=cause)
        reminders.plan_attendance(tx, row, wish.offering.spec, scope=scope, now=now, cause=cause)
        about = _ABOUT.get(wish.origin, About.BOOKED)
        if wish.origin is Origin.DECIDED:
            about = About.PROMOTED if row.waitlist_entry_id else About.APPROVED
        if wish.origin is Origin.MOVED or wish.by != "client":
            about = About.MOVED
            tell(tx, row, about, "client", now=now, cause=cause)  # the operator did it and needs no mail
        else:
            tell(tx, row, about, "client", now=now, cause=cause)
            if not (wish.origin is Origin.DECIDED and wish.decided == "approval"):
                tell(tx, row, about, "operator", now=now, cause=cause)
        return
    if wish.origin is Origin.DECIDED:
        return  # still waits for the other thing
    waits = row.waits_for.split(",")
    if "fresh" in waits:
        reason = f"fresh:{row.revision}" if row.revision else "fresh"
        freshness.ask(tx, wish.offering, row, reason, now=now, scope=scope, cause=cause)
    # Asked for already where it was moved; an earlier end counts, a later one is found out when it is due.
    expiry = DecidePending(row.id, "expiry")
    outbox.append(tx, expiry, now=now, not_before=row.expires_at, scope=scope, cause=cause)
    tell(tx, row, About.PENDING, "client", now=now, cause=cause)
    if "approval" in waits:
        tell(tx, row, About.PENDING, "operator", now=now, cause=cause)
