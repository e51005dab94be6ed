"""A place in line and what its owner may do with it: join, leave, take or decline what is offered.

What becomes free is given on by `booking.turns`; its commands are named here too, because whoever frees a seat speaks to
the line.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from booking import line
from booking.catalogue import Offering, member_of, offering_by_id
from booking.complete import Origin, complete
from booking.ending import end
from booking.errors import FieldError, Invalid, OfferExpired
from booking.invitation import About
from booking.line import AHEAD, entry_by_token, length, open_offer, position
from booking.rules import Wish, all_of, answers_of, client_of, consents_of, duration_of, seats_of, wish_of
from booking.states import Happening, Status
from booking.tables import Booking, Offer, WaitlistEntry
from booking.terms import Terms
from booking.turns import completion, promote_named, seats_freed, serve
from connectors.model import Period
from ledger import claims, entries, outbox
from ledger.availability import SlotState, Start
from ledger.backoff import NotYet
from ledger.claims import Freed
from ledger.db import Tx
from ledger.messages import ReleaseUnconfirmed
from ledger.tables import Seat, Slot

__all__ = [
    "accept_offer", "decline_offer", "entry_by_token", "expire_offer", "join", "leave", "length", "open_offer", "position",
    "promote_named", "seats_freed", "serve", "withdraw_offers",
]  # fmt: skip

_E = WaitlistEntry


REPEAT = timedelta(minutes=10)
"""How long the same request is taken for the same one, sent twice."""


def join(tx: Tx, offering: Offering, given: Mapping[str, Any], *, now: datetime, cause: str) -> str:
    """Take a place in the line; returns its token. given: as INTERFACE §4, with ``calendar_entry`` for who wants to see
    the one start they wish for in their calendar. Raises `Invalid`.

    Idempotent by person and wish for `REPEAT`, for a form that is sent twice. Not for longer: whoever knows an address and
    guesses a wish would be given the key to another's place.
    """
    optional = [f.model_copy(update={"required": False}) for f in offering.spec.fields]
    client, seats, accept, wish, answers, minutes, wanted = all_of(
        lambda: client_of(given.get("client") or {}, zone=offering.timezone),
        lambda: seats_of(given.get("seats", 1), offering.spec),
        lambda: _accept_of(given.get("accept"), offering.spec.waitlist.accept),
        lambda: wish_of(given.get("wish") or {}, zone=offering.timezone, now=now),
        lambda: answers_of(given.get("answers") or {}, optional),
        lambda: duration_of(given.get("duration_minutes"), offering.spec),
        lambda: member_of(offering, given.get("operator")),
    )
    by_name = offering.spec.team and not wanted.choices and not wanted.mates
    claims.hold_still(tx, offering.owner_id)  # somebody who asks twice at once stands in line once
    seen = _calendar_entry(tx, offering, wish, given.get("calendar_entry"))
    values = {
        "service_id": offering.service_id,
        "client_email": client.email,
        "accept": accept,
        "seats": seats,
        "duration_minutes": minutes,
        "member_id": wanted.operator_id if by_name else None,
        "wish_start": wish.start,
        "first_date": wish.first.isoformat(),
        "last_date": wish.last.isoformat(),
        "weekdays": wish.weekdays,
        "between_start": wish.between[0],
        "between_end": wish.between[1],
    }
    same = sa.and_(*(getattr(_E, k).is_(None) if v is None else getattr(_E, k) == v for k, v in values.items()))
    just_now = sa.and_(_E.client_name == client.name, _E.created_at > now - REPEAT)
    known = tx.execute(sa.select(_E.token).where(same, just_now, _E.status.in_(AHEAD)).order_by(_E.id)).scalar()
    if known:
        return str(known)
    token = secrets.token_urlsafe(24)
    entry = tx.execute(
        sa.insert(_E)
        .values(
            **values,
            **seen,
            token=token,
            operator_id=offering.owner_id,
            client_name=client.name,
            client_timezone=client.timezone,
            language=client.language,
            answers=answers,
            consents=consents_of(answers, offering.spec.fields, client.language, now),
            created_at=now,
            updated_at=now,
        )
        .returning(_E.id, _E.operator_id, _E.service_id)
    ).one()
    line.take_place(tx, entry.id, now=now)
    line.tell(tx, entry, About.WAITLISTED, now=now, cause=cause)
    return token


def _accept_of(given: Any, allowed: Sequence[str]) -> str:
    accept = given or next(iter(allowed), "")
    if accept not in allowed:
        takes = ", ".join(allowed) or "nothing: there is no waitlist"
        raise Invalid([FieldError("accept", "unknown_choice", f"this service's line takes {takes}")])
    return str(accept)


def _calendar_entry(tx: Tx, offering: Offering, wish: Wish, wanted: Any) -> dict[str, Any]:
    """What the entry in the client's calendar will be known by; the booking takes it over (PRODUCT, the waitlist)."""
    if not wanted:
        return {}
    if wish.start is None:
        raise Invalid(
            [FieldError("calendar_entry", "needs_one_start", "only a wish of one start has a place in a calendar")]
        )
    if offering.spec.capacity == 1 and entries.voice_of(tx, offering.operator_id) != "service":
        problem = "the operator's own account sends the invitations"
        raise Invalid([FieldError("calendar_entry", "not_possible", problem)])
    return {"calendar_entry": True, "uid": secrets.token_hex(16), "organizer_tag": secrets.token_hex(16)}


def leave(tx: Tx, terms: Terms, token: str, *, now: datetime, cause: str) -> None:
    """Give the place up; an open offer goes to the next. Idempotent. Raises `NotFound`."""
    entry = _locked_entry(tx, token)
    if entry.status not in AHEAD:
        return
    _give_up(tx, entry, "removed", About.LEFT_LINE, now=now, cause=cause)
    _drop_offer(tx, terms, entry, "declined", now=now, cause=cause)


def accept_offer(tx: Tx, terms: Terms, token: str, *, now: datetime, cause: str) -> str:
    """Take the offered seat; returns the booking's id. Repeating answers the same. Raises `OfferExpired`, `NotFound`."""
    entry = _locked_entry(tx, token)
    if entry.status == "promoted" and entry.booking_id:
        return str(entry.booking_id)
    offer = open_offer(tx, entry.id)
    if entry.status != "offered" or offer is None or offer.expires_at <= now:
        raise OfferExpired
    slot = tx.execute(sa.select(Slot.__table__).where(Slot.id == offer.slot_id)).one_or_none()
    if slot is None:
        raise OfferExpired
    minutes = (offer.ends_at - offer.starts_at) // timedelta(minutes=1)
    offering = offering_by_id(tx, entry.service_id, slot.operator_id).lasting(minutes)
    wish = completion(offering, entry, Origin.OFFER, cause)
    left: list[Freed] = []
    if offer.booking_id is None:
        wish = replace(wish, holder=f"offer:{offer.id}")
    else:
        start, left = _instead_of(tx, terms, offering, offer, entry, now=now, cause=cause)
        wish = replace(wish, start=start)
    done = complete(tx, terms, wish, now=now)
    tx.execute(sa.update(Offer).where(Offer.id == offer.id).values(status="accepted"))
    line.set_entry(tx, entry.id, "promoted", now, booking_id=done.booking_id)
    seats_freed(tx, terms, left, now=now, cause=cause)
    return done.booking_id


def _instead_of(
    tx: Tx, terms: Terms, offering: Offering, offer: Any, entry: Any, *, now: datetime, cause: str
) -> tuple[Start, list[Freed]]:
    """The place of a booking that nobody confirmed, and what is left of its seats. Raises `OfferExpired` where it was
    confirmed or changed meanwhile: the first of the two has won."""
    row = tx.execute(sa.select(Booking.__table__).where(Booking.id == offer.booking_id)).one_or_none()
    if (
        row is None
        or row.status != Status.CONFIRMED
        or row.attendance_confirmed_at is not None
        or (row.slot_id, row.starts_at) != (offer.slot_id, offer.starts_at)
    ):
        raise OfferExpired
    # Closed before the seats come free, or the one who accepts would be asked again.
    tx.execute(sa.update(Offer).where(Offer.id == offer.id).values(status="accepted"))
    capacity = tx.execute(sa.select(Slot.capacity).where(Slot.id == row.slot_id)).scalar_one()
    freed = end(
        tx, terms, offering, [row], Happening.CANCEL, about=About.CANCELLED_UNCONFIRMED, now=now, cause=cause,
        tell_operator=True,
    )  # fmt: skip
    taken = [entry.seats if seats.slot_id == row.slot_id else 0 for seats in freed]  # not of another time they had kept
    left = [
        replace(seats, seats=seats.seats - less) for seats, less in zip(freed, taken, strict=True) if seats.seats > less
    ]
    start = Start(Period(row.starts_at, row.ends_at), capacity, row.seats, SlotState.OPEN, row.slot_id)
    return start, left


def decline_offer(tx: Tx, terms: Terms, token: str, *, now: datetime, cause: str) -> None:
    """Say no to the offered seat; the next in line gets it. Raises `OfferExpired`, `NotFound`."""
    entry = _locked_entry(tx, token)
    if entry.status == "declined":
        return
    if entry.status != "offered":
        raise OfferExpired
    _give_up(tx, entry, "declined", About.LEFT_LINE, now=now, cause=cause)
    _drop_offer(tx, terms, entry, "declined", now=now, cause=cause)


def expire_offer(tx: Tx, terms: Terms, offer_id: int, *, now: datetime, cause: str) -> None:
    """The offer's time is over, unless somebody was faster. Raises `NotYet` before that."""
    offer = tx.execute(sa.select(Offer.__table__).where(Offer.id == offer_id)).one_or_none()
    if offer is None:
        return
    token = tx.execute(sa.select(_E.token).where(_E.id == offer.entry_id)).scalar_one()
    entry = _locked_entry(tx, token)
    current = open_offer(tx, entry.id)
    if current is None or current.id != offer_id:
        return
    if current.expires_at > now:  # another host's clock was ahead
        raise NotYet("the offer still stands", current.expires_at - now)
    line.set_entry(tx, entry.id, "expired", now, sequence=_E.sequence + 1)
    line.tell(tx, entry, About.OFFER_EXPIRED, offer_id=offer_id, now=now, cause=cause)
    _drop_offer(tx, terms, entry, "expired", now=now, cause=cause)


def withdraw_offers(tx: Tx, slot_id: int, *, now: datetime) -> list[Freed]:
    """The slot has left its time, so what was offered in it isn't there any more: whoever was asked waits again. Their
    seats come free, and the caller gives them on. The operator is locked."""
    offers = line.withdraw_offers(tx, Offer.slot_id == slot_id, now=now)
    freed = (_release(tx, offer_id) for offer_id in offers)
    return [seats for seats in freed if seats is not None]


def _release(tx: Tx, offer_id: int) -> Freed | None:
    """What an offer keeps comes free, whoever of a team it is kept with."""
    holder = f"offer:{offer_id}"
    operator_id = tx.execute(sa.select(Seat.operator_id).where(Seat.holder == holder)).scalar()
    return None if operator_id is None else claims.release(tx, holder, operator_id=operator_id)


def _drop_offer(tx: Tx, terms: Terms, entry: Any, status: str, *, now: datetime, cause: str) -> None:
    offer = open_offer(tx, entry.id)
    if offer is None:
        return
    tx.execute(sa.update(Offer).where(Offer.id == offer.id).values(status=status))
    if offer.booking_id is not None:
        _offer_on(tx, offer.booking_id, now=now, cause=cause)
        return
    freed = _release(tx, offer.id)
    if freed is not None:
        seats_freed(tx, terms, [freed], now=now, cause=cause)


def _offer_on(tx: Tx, booking_id: str, *, now: datetime, cause: str) -> None:
    """The place of who hasn't answered goes to the next in line, or stays theirs."""
    row = tx.execute(sa.select(Booking.__table__).where(Booking.id == booking_id)).one()
    scope = outbox.Scope(row.operator_id, row.service_id, row.slot_id, row.id)
    outbox.append(tx, ReleaseUnconfirmed(row.id, row.revision), now=now, scope=scope, cause=cause)


def _give_up(tx: Tx, entry: Any, status: str, about: About, *, now: datetime, cause: str) -> None:
    """Who had the wish in their calendar is told that it is gone; others know what they did."""
    line.set_entry(tx, entry.id, status, now, sequence=_E.sequence + 1)
    if entry.calendar_entry:
        line.tell(tx, entry, about, now=now, cause=cause)


def _locked_entry(tx: Tx, token: str) -> Any:
    entry = entry_by_token(tx, token)
    claims.lock_operator(tx, entry.operator_id)
    return entry_by_token(tx, token)
