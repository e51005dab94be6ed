"""The line: who waits for what, and who is next when something becomes free (P7).

Whoever frees time calls `serve` in the same transaction, so that a freed seat is somebody's before anyone else can see it.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from booking.catalogue import Offering, offering_by_id, offerings_of
from booking.complete import Completion, Origin, complete
from booking.errors import FieldError, Invalid, NotFound, NotPossible, OfferExpired
from booking.invitation import About, waitlist_mail
from booking.rules import Client, all_of, answers_of, client_of, seats_of, wish_of
from booking.states import LIVE
from booking.tables import Booking, Offer, WaitlistEntry
from booking.terms import Terms
from connectors.model import Period
from ledger import availability, claims, free_time, outbox, pauses, reviews
from ledger.availability import SlotState, Start
from ledger.backoff import NotYet
from ledger.claims import Freed
from ledger.db import Tx
from ledger.messages import ExpireOffer, PromoteWaitlist

_E = WaitlistEntry
_AHEAD = ("waiting", "offered")


def join(tx: Tx, offering: Offering, given: Mapping[str, Any], *, now: datetime, cause: str) -> str:
    """Take a place in the line; returns its token. given: as INTERFACE §4. Raises `Invalid`.

    Idempotent by person and wish: who waits for the same already keeps that place.
    """
    optional = [f.model_copy(update={"required": False}) for f in offering.spec.fields]
    client, seats, accept, wish, answers = all_of(
        lambda: client_of(given.get("client") or {}, zone=offering.timezone),
        lambda: seats_of(given.get("seats", 1), offering.spec),
        lambda: _accept_of(given.get("accept"), offering.spec.waitlist.accept),
        lambda: wish_of(given.get("wish") or {}, zone=offering.timezone, now=now),
        lambda: answers_of(given.get("answers") or {}, optional),
    )
    claims.hold_still(tx, offering.operator_id)  # somebody who asks twice at once stands in line once
    values = {
        "service_id": offering.service_id,
        "client_email": client.email,
        "accept": accept,
        "seats": seats,
        "wish_start": wish.start,
        "first_date": wish.first.isoformat(),
        "last_date": wish.last.isoformat(),
        "weekdays": wish.weekdays,
        "between_start": wish.between[0],
        "between_end": wish.between[1],
    }
    same = sa.and_(*(getattr(_E, k).is_(None) if v is None else getattr(_E, k) == v for k, v in values.items()))
    known = tx.execute(sa.select(_E.token).where(same, _E.status.in_(_AHEAD)).order_by(_E.id)).scalar()
    if known:
        return str(known)
    token = secrets.token_urlsafe(24)
    entry_id = tx.execute(
        sa.insert(_E)
        .values(
            **values,
            token=token,
            operator_id=offering.operator_id,
            client_name=client.name,
            client_timezone=client.timezone,
            language=client.language,
            answers=answers,
            created_at=now,
            updated_at=now,
        )
        .returning(_E.id)
    ).scalar_one()
    _tell(tx, entry_id, 0, About.WAITLISTED, offering.operator_id, now=now, cause=cause)
    return token


def _accept_of(given: Any, allowed: Sequence[str]) -> str:
    accept = given or next(iter(allowed), "")
    if accept not in allowed:
        takes = ", ".join(allowed) or "nothing: there is no waitlist"
        raise Invalid([FieldError("accept", "unknown_choice", f"this service's line takes {takes}")])
    return str(accept)


def entry_by_token(tx: Tx, token: str) -> Any:
    """The stored place in line. Raises `NotFound`."""
    row = tx.execute(sa.select(_E.__table__).where(_E.token == token)).one_or_none()
    if row is None:
        raise NotFound("there is no such place in line")
    return row


def position(tx: Tx, entry: Any) -> int | None:
    """1 for the next to be served; None for who doesn't wait (any more)."""
    if entry.status not in _AHEAD:
        return None
    ahead = sa.select(sa.func.count()).where(
        _E.service_id == entry.service_id,
        _E.status == "waiting",
        sa.or_(_E.priority > entry.priority, sa.and_(_E.priority == entry.priority, _E.id < entry.id)),
    )
    return int(tx.execute(ahead).scalar_one()) + 1


def open_offer(tx: Tx, entry_id: int) -> Any:
    """The offer that this person may take now, or None."""
    query = sa.select(Offer.__table__).where(Offer.entry_id == entry_id, Offer.status == "open")
    return tx.execute(query.order_by(Offer.id.desc())).first()


def leave(tx: Tx, terms: Terms, token: str, *, now: datetime, cause: str) -> None:
    """Give the place up; an open offer goes to the next. Idempotent. Raises `NotFound`."""
    entry = _locked_entry(tx, token)
    if entry.status not in _AHEAD:
        return
    _set_entry(tx, entry.id, "removed", now)
    _drop_offer(tx, terms, entry, "declined", now=now, cause=cause)


def accept_offer(tx: Tx, terms: Terms, token: str, *, now: datetime, cause: str) -> str:
    """Take the offered seat; returns the booking's id. Repeating answers the same. Raises `OfferExpired`, `NotFound`."""
    entry = _locked_entry(tx, token)
    if entry.status == "promoted" and entry.booking_id:
        return str(entry.booking_id)
    offer = open_offer(tx, entry.id)
    if entry.status != "offered" or offer is None or offer.expires_at <= now:
        raise OfferExpired
    offering = offering_by_id(tx, entry.service_id)
    done = complete(
        tx,
        terms,
        replace(_completion(offering, entry, Origin.OFFER, cause), holder=f"offer:{offer.id}"),
        now=now,
    )
    tx.execute(sa.update(Offer).where(Offer.id == offer.id).values(status="accepted"))
    _set_entry(tx, entry.id, "promoted", now, booking_id=done.booking_id)
    return done.booking_id


def decline_offer(tx: Tx, terms: Terms, token: str, *, now: datetime, cause: str) -> None:
    """Say no to the offered seat; the next in line gets it. Raises `OfferExpired`, `NotFound`."""
    entry = _locked_entry(tx, token)
    if entry.status == "declined":
        return
    if entry.status != "offered":
        raise OfferExpired
    _set_entry(tx, entry.id, "declined", now)
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
    _set_entry(tx, entry.id, "expired", now)
    _tell(tx, entry.id, offer_id, About.OFFER_EXPIRED, entry.operator_id, now=now, cause=cause)
    _drop_offer(tx, terms, entry, "expired", now=now, cause=cause)


# --- when something becomes free ----------------------------------------------------------------------------------


def seats_freed(tx: Tx, terms: Terms, freed: Sequence[Freed], *, now: datetime, cause: str) -> None:
    """Seats came free: to the line at once, or kept from strangers while promotion is paused (P10)."""
    for each in freed:
        if each.period.start <= now:
            continue
        if pauses.is_paused(
            tx, "promote", now=now, operator_id=each.operator_id, service_id=each.service_id, slot_id=each.slot_id
        ):
            _keep(tx, each, now=now, cause=cause)
        else:
            serve(tx, terms, each.operator_id, [each.block], first=each.service_id, now=now, cause=cause)


def serve(
    tx: Tx,
    terms: Terms,
    operator_id: int,
    periods: Iterable[Period],
    *,
    now: datetime,
    cause: str,
    first: int | None = None,
    by_hand: bool = False,
) -> int:
    """Give what is free in these periods to those who wait for it, service by service (`first` first). Returns how many.

    Holds that have run out are freed before: they look free, but could not be claimed. Services whose promotion is paused
    are passed over, unless a human asks for it (`by_hand`).
    """
    waiting = set(
        tx.execute(
            sa.select(_E.service_id).where(_E.operator_id == operator_id, _E.status == "waiting").distinct()
        ).scalars()
    )
    if not waiting:
        return 0
    seats_freed(tx, terms, claims.expired(tx, operator_id, now=now), now=now, cause=cause)
    if not by_hand:
        waiting -= paused_lines(tx, operator_id, now=now)
    served = 0
    spans = [p for p in availability.merged(periods) if p.end > now]
    lines = sorted(
        (o for o in offerings_of(tx, operator_id) if o.service_id in waiting),
        key=lambda o: (o.service_id != first, o.service_id),
    )
    for offering in lines:
        for span in spans:
            # Who wanted nothing of what lay before wants nothing of it now: go on where the last one was served.
            rest = span.widened(offering.rules.duration + offering.rules.buffer_after, offering.rules.buffer_before)
            while (pair := _next_pair(tx, offering, rest, now)) is not None:
                _give(tx, terms, offering, *pair, now=now, cause=cause)
                rest = Period(pair[0].period.start, rest.end)
                served += 1
    return served


def withdraw_offers(tx: Tx, slot_id: int, operator_id: int, *, now: datetime) -> list[Freed]:
    """The slot has left its time, so what was offered in it isn't there any more: whoever was asked waits again. Their
    seats come free, and the caller gives them on. The operator is locked."""
    offers = tx.execute(
        sa.select(Offer.id, Offer.entry_id).where(Offer.slot_id == slot_id, Offer.status == "open")
    ).all()
    for offer in offers:
        tx.execute(sa.update(Offer).where(Offer.id == offer.id).values(status="withdrawn"))
        _set_entry(tx, offer.entry_id, "waiting", now)
    freed = (claims.release(tx, f"offer:{offer.id}", operator_id=operator_id) for offer in offers)
    return [seats for seats in freed if seats is not None]


def paused_lines(tx: Tx, operator_id: int, *, now: datetime) -> set[int]:
    """Services of an operator that somebody waits for, and whose promotion is paused."""
    waiting = sa.select(_E.service_id).where(_E.operator_id == operator_id, _E.status == "waiting").distinct()
    return {
        service_id
        for service_id in tx.execute(waiting).scalars()
        if pauses.is_paused(tx, "promote", now=now, service_id=service_id)
    }


def promote_named(tx: Tx, terms: Terms, entry_id: int, period: Period, *, now: datetime, cause: str) -> str:
    """Give this person this time, whoever else waits; the booking's id. The operator is locked. Raises `NotPossible`."""
    entry = tx.execute(sa.select(_E.__table__).where(_E.id == entry_id, _E.status == "waiting")).one_or_none()
    if entry is None:
        raise NotPossible("this place in line is no longer waiting")
    offering = offering_by_id(tx, entry.service_id)
    seats_freed(tx, terms, claims.expired(tx, offering.operator_id, now=now), now=now, cause=cause)
    start = _start_for_the_line(tx, offering, period.start, now)
    if start is None or start.seats_left < entry.seats:
        raise NotPossible("that time is not free for them")
    wish = replace(_completion(offering, entry, Origin.PROMOTED, cause), start=start)
    done = complete(tx, terms, wish, now=now)
    _set_entry(tx, entry.id, "promoted", now, booking_id=done.booking_id)
    return done.booking_id


def _start_for_the_line(tx: Tx, offering: Offering, start: datetime, now: datetime) -> Start | None:
    rules = replace(offering.rules, notice=timedelta())
    around = Period(start, start).widened(rules.reach, rules.reach)
    taken = free_time.taken(tx, offering.operator_id, around, now, for_the_line=True)
    found = availability.find(rules, start, now, taken)
    return found if found is not None and found.state is SlotState.OPEN else None


def _next_pair(tx: Tx, offering: Offering, window: Period, now: datetime) -> tuple[Start, Any] | None:
    """The earliest free start in the window that somebody waits for, and the first in line whom it fits."""
    # Who waits has asked already: the service's notice is for strangers.
    rules = replace(offering.rules, notice=timedelta())
    around = window.widened(rules.reach, rules.reach)
    taken = free_time.taken(tx, offering.operator_id, around, now, for_the_line=True)
    for start in availability.starts(rules, window, now, taken):
        if start.state is SlotState.OPEN and start.period.start > now:
            entry = _first_fitting(tx, offering, start)
            if entry is not None:
                return start, entry
    return None


def _first_fitting(tx: Tx, offering: Offering, start: Start) -> Any:
    """By priority, then age; party size must fit; who is booked at that time already is passed over."""
    local = start.period.start.astimezone(ZoneInfo(offering.timezone))
    minute = local.hour * 60 + local.minute
    day = local.date().isoformat()
    busy_already = (
        sa.exists()
        .where(
            Booking.client_email == _E.client_email,
            Booking.status.in_(LIVE),
            Booking.starts_at < start.period.end,
            Booking.ends_at > start.period.start,
        )
        .correlate(_E)
    )
    query = (
        sa.select(_E.__table__)
        .where(
            _E.service_id == offering.service_id,
            _E.status == "waiting",
            _E.seats <= start.seats_left,
            sa.or_(
                _E.wish_start == start.period.start,
                sa.and_(
                    _E.wish_start.is_(None),
                    _E.first_date <= day,
                    _E.last_date >= day,
                    _E.weekdays.op("&")(1 << local.weekday()) != 0,
                    _E.between_start <= minute,
                    _E.between_end > minute,
                ),
            ),
            ~busy_already,
        )
        .order_by(_E.priority.desc(), _E.id)
        .limit(1)
    )
    return tx.execute(query).one_or_none()


def _give(tx: Tx, terms: Terms, offering: Offering, start: Start, entry: Any, *, now: datetime, cause: str) -> None:
    lead = timedelta(minutes=offering.spec.waitlist.auto_lead_minutes)
    if entry.accept == "auto" and start.period.start - now >= lead:
        wish = replace(_completion(offering, entry, Origin.PROMOTED, cause), start=start)
        done = complete(tx, terms, wish, now=now)
        _set_entry(tx, entry.id, "promoted", now, booking_id=done.booking_id)
        return
    expires = min(now + timedelta(minutes=offering.spec.waitlist.offer_minutes), start.period.start)
    offer_id = tx.execute(
        sa.insert(Offer)
        .values(
            entry_id=entry.id,
            slot_id=0,
            starts_at=start.period.start,
            ends_at=start.period.end,
            expires_at=expires,
            created_at=now,
        )
        .returning(Offer.id)
    ).scalar_one()
    slot_id = claims.claim(
        tx,
        operator_id=offering.operator_id,
        service_id=offering.service_id,
        period=start.period,
        block=offering.rules.block(start.period.start),
        capacity=start.capacity,
        holder=f"offer:{offer_id}",
        seats=entry.seats,
        now=now,
    )
    if slot_id is None:  # it was free a statement ago, under the operator's lock
        raise RuntimeError("a free start could not be claimed")
    tx.execute(sa.update(Offer).where(Offer.id == offer_id).values(slot_id=slot_id))
    _set_entry(tx, entry.id, "offered", now)
    scope = outbox.Scope(offering.operator_id, offering.service_id, slot_id)
    outbox.append(tx, ExpireOffer(offer_id), now=now, not_before=expires, scope=scope, cause=cause)
    _tell(tx, entry.id, offer_id, About.OFFER, offering.operator_id, now=now, cause=cause)


def _keep(tx: Tx, freed: Freed, *, now: datetime, cause: str) -> None:
    holder = f"kept:{secrets.token_hex(8)}"
    slot_id = claims.claim(
        tx,
        operator_id=freed.operator_id,
        service_id=freed.service_id,
        period=freed.period,
        block=freed.block,
        capacity=freed.capacity,
        holder=holder,
        seats=freed.seats,
        now=now,
    )
    if slot_id is not None:
        scope = outbox.Scope(freed.operator_id, freed.service_id, slot_id)
        outbox.append(tx, PromoteWaitlist(freed.operator_id, holder), now=now, scope=scope, cause=cause)
        reviews.ask(
            tx, "promotion", f"promotion:{holder}", now=now, operator_id=freed.operator_id, slot_id=slot_id,
            detail={"holder": holder, "service_id": freed.service_id, "start": freed.period.start.isoformat(), "seats": freed.seats},
        )  # fmt: skip


def _drop_offer(tx: Tx, terms: Terms, entry: Any, status: str, *, now: datetime, cause: str) -> None:
    offer = open_offer(tx, entry.id)
    if offer is None:
        return
    tx.execute(sa.update(Offer).where(Offer.id == offer.id).values(status=status))
    freed = claims.release(tx, f"offer:{offer.id}", operator_id=entry.operator_id)
    if freed is not None:
        seats_freed(tx, terms, [freed], now=now, cause=cause)


def _completion(offering: Offering, entry: Any, origin: Origin, cause: str) -> Completion:
    client = Client(entry.client_name, entry.client_email, entry.client_timezone, entry.language)
    return Completion(
        offering, origin, cause, client=client, seats=entry.seats, answers=entry.answers, entry_id=entry.id
    )


def _locked_entry(tx: Tx, token: str) -> Any:
    entry = entry_by_token(tx, token)
    claims.lock_operator(tx, entry.operator_id)
    return entry_by_token(tx, token)


def _set_entry(tx: Tx, entry_id: int, status: str, now: datetime, **values: Any) -> None:
    changed = tx.execute(
        sa.update(_E).where(_E.id == entry_id, _E.status.in_(_AHEAD)).values(status=status, updated_at=now, **values)
    )
    if changed.rowcount != 1:
        raise NotPossible("this place in line is no longer waiting")


def _tell(tx: Tx, entry_id: int, offer_id: int, about: About, operator_id: int, *, now: datetime, cause: str) -> None:
    message = waitlist_mail(entry_id, about, offer_id=offer_id)
    outbox.append(tx, message, now=now, scope=outbox.Scope(operator_id), cause=cause)
