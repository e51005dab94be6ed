"""What anybody may ask of a booking; every door leads here (P9). Load → decide → write + outbox; never commits.

``cause`` says where it came from: ``client_link``, ``api``, ``operator_calendar``, ``admin``, ``calendar_reply``, …
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from booking import attendance, changes, freshness, missed, repeats, times, waitlist
from booking.catalogue import Offering, member_of, offering, offering_by_id, offering_of
from booking.complete import Completion, Origin, complete, scope_of
from booking.ending import end
from booking.errors import DoesNotFit, FieldError, HoldExpired, Invalid, NotFound, NotPossible, SlotTaken
from booking.invitation import About
from booking.repeats import forget_answers
from booking.rules import (
    LINK_LIVES_ON,
    all_of,
    answers_of,
    client_of,
    consents_of,
    duration_of,
    may_change,
    operator_move_fits,
    seats_of,
)
from booking.states import LIVE, Happening, Status, after
from booking.tables import Booking
from booking.terms import Terms
from connectors.model import Period
from ledger import claims, entries, free_time, outbox, reviews, timeline
from ledger.availability import SlotState, Start, TakenSlot
from ledger.claims import Freed
from ledger.db import Tx
from ledger.messages import ExpireHold
from ledger.tables import Review, Seat, Slot

HOLD_MINUTES = 5


@dataclass(frozen=True, slots=True)
class Held:
    """A hold: its token, and until when."""

    token: str
    expires_at: datetime


def hold(
    tx: Tx, terms: Terms, operator: str, service: str, *, start: datetime, seats: Any, now: datetime, cause: str,
    duration_minutes: Any = None, member: str | None = None,
) -> Held:  # fmt: skip
    """Keep seats for five minutes while somebody types. duration_minutes, member: of a service with several durations or
    a team, as for `book`. Raises `SlotTaken`, `Invalid`, `NotFound`."""
    whole = offering(tx, operator, service)
    seats, minutes, asked = all_of(
        lambda: seats_of(seats, whole.spec),
        lambda: duration_of(duration_minutes, whole.spec),
        lambda: member_of(whole, member),
    )
    asked = asked.lasting(minutes)
    _lock(tx, terms, asked.operator_id, now=now, cause=cause)
    wanted, free = _free_start(tx, asked, start, seats, now)
    token, expires_at = secrets.token_urlsafe(18), now + timedelta(minutes=HOLD_MINUTES)
    slot_id = claims.claim(
        tx,
        operator_id=wanted.operator_id,
        service_id=wanted.service_id,
        period=free.period,
        block=wanted.rules.block(start),
        capacity=free.capacity,
        holder=f"hold:{token}",
        seats=seats,
        now=now,
        expires_at=expires_at,
        mates=wanted.mates,
        join=free.slot_id,
    )
    if slot_id is None:
        raise taken(tx, asked, start, now)
    scope = outbox.Scope(wanted.operator_id, wanted.service_id, slot_id)
    message = ExpireHold(wanted.operator_id, f"hold:{token}")
    outbox.append(tx, message, now=now, not_before=expires_at, scope=scope, cause=cause)
    return Held(token, expires_at)


def drop_hold(tx: Tx, terms: Terms, token: str, *, now: datetime, cause: str) -> None:
    """Give a hold back before its time. Idempotent."""
    operator_id = tx.execute(sa.select(Seat.operator_id).where(Seat.holder == f"hold:{token}")).scalar()
    if operator_id is None:
        return
    claims.lock_operator(tx, operator_id)
    freed = claims.release(tx, f"hold:{token}", operator_id=operator_id)
    if freed is not None:
        waitlist.seats_freed(tx, terms, [freed], now=now, cause=cause)


def book(
    tx: Tx,
    terms: Terms,
    operator: str,
    service: str,
    request: Mapping[str, Any],
    *,
    now: datetime,
    cause: str,
    idempotency_key: str = "",
) -> str:
    """Book; returns the booking's id. request: ``start`` (aware), ``seats``, ``client``, ``answers``, ``hold``; of several
    durations ``duration_minutes``, of a team's members ``operator`` (a slug).

    With an Idempotency-Key a repeat of the same request answers the same booking. Raises `SlotTaken` with alternatives,
    `HoldExpired`, `Invalid`, `NotFound`, `KeyReused`.
    """
    wanted = offering(tx, operator, service)
    start = request["start"]
    seats, client, answers, minutes, wanted = all_of(
        lambda: seats_of(request.get("seats", 1), wanted.spec),
        lambda: client_of(request.get("client") or {}, zone=wanted.timezone),
        lambda: answers_of(request.get("answers") or {}, wanted.spec.fields),
        lambda: duration_of(request.get("duration_minutes"), wanted.spec),
        lambda: member_of(wanted, request.get("operator")),
    )
    wanted = wanted.lasting(minutes)
    consents = consents_of(answers, wanted.spec.fields, client.language, now)
    booking_key = f"{wanted.service_id}:{idempotency_key}" if idempotency_key else ""
    if booking_key:
        known = repeats.made_before(tx, booking_key, request)
        if known:
            return known
    _lock(tx, terms, wanted.operator_id, now=now, cause=cause)
    if booking_key:  # a twin may have been faster while we waited for the lock
        known = repeats.made_before(tx, booking_key, request)
        if known:
            return known
    token = request.get("hold") or ""
    if token:
        wanted = _held(tx, wanted, token, start, seats, now, request)
        wish = Completion(
            wanted, Origin.HOLD, cause, client=client, seats=seats, answers=answers, consents=consents,
            holder=f"hold:{token}",
        )  # fmt: skip
    else:
        wanted, free = _free_start(tx, wanted, start, seats, now)
        wish = Completion(
            wanted, Origin.DIRECT, cause, start=free, client=client, seats=seats, answers=answers, consents=consents
        )
    done = complete(tx, terms, wish, now=now)
    if booking_key:
        repeats.remember(tx, booking_key, request, done.booking_id, now=now)
    return done.booking_id


def reschedule(tx: Tx, terms: Terms, booking_id: str, start: datetime, *, by: str, now: datetime, cause: str) -> None:
    """Another time, the same booking and UID. by: ``client`` (within the service's window) or ``operator``.

    Where the calendar data is too old to know, a confirmed booking stays where it is, the client's new time is kept, and
    fresh data decides (`booking.changes`). Moving to the time it has is a no-op. Raises `SlotTaken`, `TooLate`,
    `NotPossible`.
    """
    row, wanted = _locked(tx, terms, booking_id, now=now, cause=cause)
    after(row.status, Happening.MOVE)
    asked = changes.asked(tx, row.id)
    if start == (row.starts_at if asked is None else asked.start):
        return
    if by == "client":
        may_change(wanted.spec, row.starts_at, now)
    waitlist.seats_freed(tx, terms, changes.drop(tx, row), now=now, cause=cause)
    if start == row.starts_at:
        return  # they had asked for another time, and stay after all
    wanted, free = _free_start(tx, wanted, start, row.seats, now, moving=row)
    surely = by != "client" or row.status != Status.CONFIRMED or freshness.is_fresh(tx, wanted, now)
    if not surely and changes.ask(tx, wanted, row, free, now=now, cause=cause):
        return
    wish = Completion(wanted, Origin.RESCHEDULED, cause, start=free, booking=row, seats=row.seats, by=by)
    done = complete(tx, terms, wish, now=now)
    waitlist.seats_freed(tx, terms, done.freed, now=now, cause=cause)


def cancel(tx: Tx, terms: Terms, booking_id: str, *, by: str, now: datetime, cause: str, reason: str = "") -> None:
    """Cancel, and give the seat to the line. by: ``client``, ``operator`` or ``admin``. Idempotent. Raises `TooLate`, `NotPossible`."""
    row, wanted = _locked(tx, terms, booking_id, now=now, cause=cause)
    if row.status == Status.CANCELLED:
        return
    if by == "client":
        may_change(wanted.spec, row.starts_at, now)
    freed = cancel_all(tx, terms, wanted, [row], by=by, now=now, cause=cause, reason=reason)
    waitlist.seats_freed(tx, terms, freed, now=now, cause=cause)


def cancel_all(
    tx: Tx, terms: Terms, wanted: Offering, rows: Sequence[Any], *, by: str, now: datetime, cause: str, reason: str = ""
) -> list[Freed]:
    """Cancel these bookings of one locked operator. The seats are free afterwards and the caller gives them on: first all
    of a slot go, then the line is served, or somebody would be promoted into a slot that is being cancelled."""
    return end(
        tx, terms, wanted, rows, Happening.CANCEL, about=About(f"cancelled_by_{by}"), now=now, cause=cause, reason=reason,
        tell_operator=by != "operator",
    )  # fmt: skip


def move_slot(
    tx: Tx,
    terms: Terms,
    wanted: Offering,
    slot_id: int,
    period: Period,
    *,
    now: datetime,
    cause: str,
    there: bool = True,
) -> None:
    """Give a whole slot with its live bookings another time, as its operator wants it: hours and notice don't bind them.
    Holds that ran out don't stand in the way. Where it takes several people's time, any of them may want it.

    The operator is locked. there: its event has that time already, and isn't written. The old time goes to the line. Raises `DoesNotFit`; nothing has changed then.
    """
    waitlist.seats_freed(tx, terms, claims.expired(tx, wanted.operator_id, now=now), now=now, cause=cause)
    slot = tx.execute(sa.select(Slot.__table__).where(Slot.id == claims.leader_of(tx, slot_id))).one()
    rows, mates = live_in(tx, slot.id), claims.mates_of(tx, slot.id)
    lasted = slot.ends_at - slot.starts_at
    block, _ = movable(tx, wanted, (slot.operator_id, *mates), period, lasted=lasted, now=now)
    if not claims.move(tx, slot.id, operator_id=slot.operator_id, period=period, block=block):
        raise DoesNotFit("overlap")
    withdrawn = waitlist.withdraw_offers(tx, slot.id, now=now)
    for row in rows:
        moved = Completion(wanted, Origin.MOVED, cause, booking=row, there=slot_id if there else 0)
        complete(tx, terms, moved, now=now)
    left = Freed(
        slot.id, slot.operator_id, slot.service_id, Period(slot.starts_at, slot.ends_at),
        Period(slot.block_start, slot.block_end), slot.taken, 0, slot.capacity, "", tuple(sorted(mates)),
    )  # fmt: skip
    dropped = [freed for row in rows for freed in changes.drop(tx, row)]
    waitlist.seats_freed(tx, terms, [left, *withdrawn, *dropped], now=now, cause=cause)


def movable(
    tx: Tx, wanted: Offering, people: Sequence[int], period: Period, *, lasted: timedelta, now: datetime
) -> tuple[Period, list[TakenSlot]]:
    """The time with its buffers, and the slots around it, of an operator's move that nothing but other slots may be in the
    way of. people: whose time it takes. lasted: until now. Raises `DoesNotFit`."""
    block = Period(period.start - wanted.rules.buffer_before, period.end + wanted.rules.buffer_after)
    # What the line may take still is the operator's own time.
    known = [free_time.taken(tx, each, block, now, for_the_line=True) for each in people]
    clear = not any(busy.overlaps(period) for each in known for busy in each.busy)
    if problem := operator_move_fits(now, period, lasted=lasted, all_clear=clear):
        raise DoesNotFit(problem)
    return block, [slot for each in known for slot in each.slots]


def answer_proposal(tx: Tx, terms: Terms, booking_id: str, *, accept: bool, now: datetime, cause: str) -> None:
    """The client's answer to another time that the operator proposed by dragging the event. No: it goes back.

    Raises `NotPossible` where nothing is proposed (any more), `DoesNotFit` where that time was taken meanwhile.
    """
    row, wanted = _locked(tx, terms, booking_id, now=now, cause=cause)
    review = proposal_of(tx, row)
    if review is None or row.status not in LIVE:
        raise NotPossible("nothing is proposed for this booking")
    proposed = Period(*(datetime.fromisoformat(review.detail[key]) for key in ("to", "until")))
    if accept:
        move_slot(tx, terms, wanted, row.slot_id, proposed, now=now, cause=cause)  # also who joined a group meanwhile
    else:
        entries.insist(tx, row.slot_id, seen=proposed, now=now, cause=cause)
        timeline.note(tx, row.id, row.operator_id, "proposal_declined", now=now, cause=cause)
    reviews.resolve(tx, review.id, state="approved" if accept else "dismissed", by="client", now=now)


def proposal_of(tx: Tx, row: Any) -> Any:
    """The open review with the time that the operator proposes for this booking in place of the one it has, or None."""
    query = sa.select(Review.__table__).where(
        Review.kind == "move", Review.state == "open", Review.slot_id == row.slot_id
    )
    found = [r for r in tx.execute(query.order_by(Review.id.desc())) if r.detail.get("why") == "propose"]
    instead = row.starts_at.astimezone(UTC).isoformat()
    return found[0] if found and found[0].detail["from"] == instead else None


def live_in(tx: Tx, slot_id: int) -> list[Any]:
    """The bookings that hold seats of a slot, the oldest first; of one that takes several people's time by any of its slots."""
    lead = claims.leader_of(tx, slot_id)
    query = sa.select(Booking.__table__).where(Booking.slot_id == lead, Booking.status.in_(LIVE))
    return list(tx.execute(query.order_by(Booking.created_at, Booking.id)).all())


def decide(tx: Tx, terms: Terms, booking_id: str, decision: str, *, now: datetime, cause: str) -> None:
    """Approve or decline what waits for approval. decision: ``confirm`` or ``decline``. Repeating is a no-op. Raises
    `NotPossible`, also for a yes after the request's time, whether or not anybody has ended it yet."""
    row, wanted = _locked(tx, terms, booking_id, now=now, cause=cause)
    if decision == "confirm":
        if row.status == Status.CONFIRMED or (row.status == Status.PENDING and "approval" not in row.waits_for):
            return
        after(row.status, Happening.CONFIRM)
        if row.expires_at <= now:
            raise NotPossible("the time to approve this request is over")
        complete(tx, terms, Completion(wanted, Origin.DECIDED, cause, booking=row, decided="approval"), now=now)
        return
    if row.status == Status.DECLINED:
        return
    turn_down(tx, terms, wanted, row, Happening.DECLINE, now=now, cause=cause)


def turn_down(
    tx: Tx,
    terms: Terms,
    wanted: Offering,
    row: Any,
    happening: Happening,
    *,
    now: datetime,
    cause: str,
    reason: str = "",
) -> None:
    """End a pending booking of a locked operator, ``DECLINE`` or ``EXPIRE``; its seats go to the line."""
    about = About.DECLINED if happening is Happening.DECLINE else About.EXPIRED
    freed = end(
        tx, terms, wanted, [row], happening, about=about, now=now, cause=cause, reason=reason, tell_operator=False
    )
    waitlist.seats_freed(tx, terms, freed, now=now, cause=cause)


def mark(tx: Tx, terms: Terms, booking_id: str, happening: Happening, *, now: datetime, cause: str) -> None:
    """``COMPLETE``, ``NO_SHOW`` or ``UNDO_NO_SHOW``. Repeating is a no-op. A no-show is told to the client after
    `missed.UNDONE_WITHIN`. Raises `NotPossible`, also for a no-show at what hasn't begun."""
    row, wanted = _locked(tx, terms, booking_id, now=now, cause=cause)
    aims = {Happening.COMPLETE: Status.COMPLETED, Happening.NO_SHOW: Status.NO_SHOW}
    if row.status == aims.get(happening):
        return
    status = after(row.status, happening)
    if happening is Happening.NO_SHOW and row.starts_at > now:
        raise NotPossible("nobody can have missed what hasn't begun")
    if happening is Happening.UNDO_NO_SHOW and row.ends_at <= now:
        status = Status.COMPLETED
    tx.execute(sa.update(Booking).where(Booking.id == row.id).values(status=status, updated_at=now))
    timeline.note(tx, row.id, row.operator_id, happening.value, now=now, cause=cause)
    if happening is Happening.NO_SHOW:
        missed.tell_client(tx, row, wanted.spec, now=now, cause=cause)
    elif happening is Happening.UNDO_NO_SHOW:
        missed.take_back(tx, row, now=now)


def confirm_attendance(tx: Tx, booking_id: str, *, now: datetime, cause: str) -> None:
    """The client says they come. Idempotent. Raises `NotFound`, `NotPossible`."""
    claims.hold_still(tx, _row(tx, booking_id).operator_id)  # somebody may be taking the place of who didn't answer
    row = _row(tx, booking_id)
    if row.status not in LIVE:
        raise NotPossible(f"nobody is expected at a {row.status} booking")
    attendance.confirm(tx, row, now=now, cause=cause)


def id_of(tx: Tx, token: str, *, now: datetime | None = None) -> str:
    """The booking that a client's token opens. now: of who comes by the link, which leads nowhere when the appointment
    has been over for `rules.LINK_LIVES_ON`. Raises `NotFound`."""
    query = sa.select(Booking.id).where(Booking.token == token)
    if now is not None:
        query = query.where(Booking.ends_at > now - LINK_LIVES_ON)
    booking_id = tx.execute(query).scalar()
    if booking_id is None:
        raise NotFound("there is no such booking")
    return str(booking_id)


# --- inside -----------------------------------------------------------------------------------------------------


def _row(tx: Tx, booking_id: str) -> Any:
    row = tx.execute(sa.select(Booking.__table__).where(Booking.id == booking_id)).one_or_none()
    if row is None:
        raise NotFound("there is no such booking")
    return row


def _locked(tx: Tx, terms: Terms, booking_id: str, *, now: datetime, cause: str) -> tuple[Any, Offering]:
    """The booking as it is once its operator is ours."""
    _lock(tx, terms, _row(tx, booking_id).operator_id, now=now, cause=cause)
    row = _row(tx, booking_id)
    return row, offering_of(tx, row)


def _lock(tx: Tx, terms: Terms, operator_id: int, *, now: datetime, cause: str) -> None:
    """Take the operator's lock, and give what expired holds kept to the line before anybody else can have it."""
    claims.lock_operator(tx, operator_id)
    waitlist.seats_freed(tx, terms, claims.expired(tx, operator_id, now=now), now=now, cause=cause)


def _free_start(
    tx: Tx, wanted: Offering, start: datetime, seats: int, now: datetime, *, moving: Any = None
) -> tuple[Offering, Start]:
    """Who of the offering has that start, and the start. Raises `SlotTaken`."""
    leaving = 0
    if moving is not None:
        # One's own place doesn't stand in one's own way, unless others are in that slot too.
        own = tx.execute(sa.select(Slot.taken).where(Slot.id == moving.slot_id)).scalar_one()
        leaving = moving.slot_id if own == moving.seats else 0
    found = times.choose(tx, wanted, start, seats, now, leaving=leaving)
    if found is None:
        raise taken(tx, wanted, start, now, seats=seats)
    return found


def taken(tx: Tx, wanted: Offering, start: datetime, now: datetime, *, seats: int = 1) -> SlotTaken:
    """The refusal of a start, with the five nearest open ones and whether one may wait."""
    near = Period(max(now, start - timedelta(days=7)), max(now, start) + timedelta(days=14))
    listed = times.starts(tx, wanted, near, now)
    open_ones = [s.period.start for s in listed if s.state is SlotState.OPEN and s.seats_left >= seats]
    nearest = sorted(sorted(open_ones, key=lambda s: (abs(s - start), s))[:5])
    return SlotTaken(nearest, waitlist=(wanted.operator_slug, wanted.slug) if wanted.spec.waitlist.accept else None)


def _held(
    tx: Tx, wanted: Offering, token: str, start: datetime, seats: int, now: datetime, request: Mapping[str, Any]
) -> Offering:
    """What is held, as that operator does it and as long as it was held for. Raises `HoldExpired`, `Invalid`."""
    held = tx.execute(
        sa.select(Seat.seats, Seat.slot_id, Slot.operator_id, Slot.starts_at, Slot.ends_at, Slot.service_id)
        .join(Slot, Slot.id == Seat.slot_id)
        .where(Seat.holder == f"hold:{token}", Seat.expires_at > now)
    ).one_or_none()
    if held is None:
        raise HoldExpired
    length = (held.ends_at - held.starts_at) // timedelta(minutes=1)
    others = length in wanted.spec.durations and request.get("duration_minutes") not in (None, length)
    people = {held.operator_id, *claims.mates_of(tx, held.slot_id)}
    named = wanted.choices == () and people.isdisjoint(wanted.people)
    if (held.service_id, held.starts_at, held.seats) != (wanted.service_id, start, seats) or others or named:
        raise Invalid([FieldError("hold", "other_time", "this hold is for another time or number of seats")])
    return offering_by_id(tx, held.service_id, held.operator_id).lasting(length)


__all__ = [
    "HOLD_MINUTES", "Held", "book", "cancel", "cancel_all", "confirm_attendance", "decide", "drop_hold", "forget_answers",
    "hold", "id_of", "mark", "reschedule", "scope_of", "taken", "turn_down",
]  # fmt: skip
