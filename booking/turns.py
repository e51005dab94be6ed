"""The line's turn: what becomes free, by whatever cause, is somebody's in the line before a stranger can see it (P7).

Who frees seats calls `seats_freed` in the same transaction. Who opens time otherwise (hours, rules, zones, calendars, the
horizon that moves on) closes it to strangers in the same transaction and asks for the turn, which `take_turn` gives.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from booking import line, times
from booking.catalogue import Offering, offering_by_id, offering_waited_for
from booking.complete import Completion, Origin, complete
from booking.errors import NotPossible
from booking.invitation import About
from booking.rules import Client
from booking.tables import Offer, Service, WaitlistEntry
from booking.terms import Terms
from connectors.model import Period
from ledger import availability, claims, free_time, outbox, pauses, reviews
from ledger.availability import SlotState, Start
from ledger.backoff import NotYet
from ledger.claims import Freed
from ledger.db import Tx
from ledger.messages import ExpireOffer, PromoteWaitlist
from ledger.tables import Operator, Slot, Turn

PAUSED_CHECK = timedelta(seconds=30)
_AT_ONCE = timedelta(days=7)
_LIMITED_WEEK = timedelta(days=11)  # all that a limit may have kept closed, and what lies around it
_INSTANT = timedelta(microseconds=1)
_E = WaitlistEntry


def seats_freed(tx: Tx, terms: Terms, freed: Sequence[Freed], *, now: datetime, cause: str) -> None:
    """Seats came free: to the line at once, or kept from strangers while promotion is paused (P10)."""
    for each in freed:
        begun = each.period.start <= now
        if each.block.end <= now or (begun and each.left):
            continue
        scope = _scope_of(each)
        if pauses.is_paused(
            tx, "promote", now=now, operator_id=scope.operator_id, service_id=scope.service_id, slot_id=scope.slot_id,
            booking_id=scope.booking_id,
        ):  # fmt: skip
            if begun:
                _close_rest(tx, each, now=now, cause=cause)
            else:
                _keep(tx, each, scope, now=now, cause=cause)
        else:
            serve(tx, terms, each.people, [each.block], first=each.service_id, now=now, cause=cause)


def serve(
    tx: Tx,
    terms: Terms,
    people: Sequence[int],
    periods: Iterable[Period],
    *,
    now: datetime,
    cause: str,
    first: int | None = None,
    by_hand: bool = False,
) -> int:
    """Give what is free in these periods of somebody's time to those who wait for it, service by service (`first` first).
    people: whose time it is. Returns how many were served.

    Holds that have run out are freed before: they look free, but could not be claimed. At a service whose promotion is
    paused, and of whose line somebody fits, it ends: the time stays closed to strangers and waits for that pause, unless
    a human asks for it (`by_hand`).
    """
    lines = line.waiting_lines(tx, people, first=first)
    if not lines:
        return 0
    _free_expired(tx, terms, people, now=now, cause=cause)
    served = 0
    spans = [p for p in availability.merged(periods) if p.end > now]
    for offering in lines:
        windows = list(_windows(offering, spans))
        if by_hand or not _is_paused(tx, offering, now):
            served += _serve_line(tx, terms, offering, windows, now=now, cause=cause)
        elif _somebody_fits(tx, offering, windows, now):
            for operator_id in people:
                for span in spans:
                    free_time.close(tx, operator_id, span)
                free_time.ask_for_turn(tx, operator_id, now=now, not_before=now + PAUSED_CHECK, cause=cause)
            break
    return served


def _free_expired(tx: Tx, terms: Terms, people: Iterable[int], *, now: datetime, cause: str) -> None:
    for operator_id in people:
        seats_freed(tx, terms, claims.expired(tx, operator_id, now=now), now=now, cause=cause)


def _is_paused(tx: Tx, offering: Offering, now: datetime) -> bool:
    return pauses.is_paused(tx, "promote", now=now, operator_id=offering.operator_id, service_id=offering.service_id)


def _windows(offering: Offering, spans: Iterable[Period]) -> Iterator[Period]:
    """The starts that may have become free by what happened in these spans: what would end as one begins wasn't closed by it."""
    rules = offering.rules
    longest = max(rules.lengths, default=rules.duration)
    for span in spans:
        yield rules.touched(span).widened(longest + rules.buffer_after - _INSTANT, rules.buffer_before)


def _serve_line(
    tx: Tx, terms: Terms, offering: Offering, windows: Iterable[Period], *, now: datetime, cause: str
) -> int:
    served = 0
    at_once = _LIMITED_WEEK if offering.rules.is_limited else _AT_ONCE
    for window in windows:
        rest: Period | None = window
        while rest is not None:
            found = _next_pair(tx, offering, Period(rest.start, min(rest.end, rest.start + at_once)), now)
            if found is not None:
                _give(tx, terms, *found, now=now, cause=cause)
                served += 1
                # Who wanted nothing of what lay before wants nothing of it now: go on where the last one was served.
                rest = rest if offering.rules.is_limited else Period(found[1].period.start, rest.end)
            else:
                after = rest.start + at_once
                rest = Period(after, rest.end) if after < rest.end else None
    return served


def _somebody_fits(tx: Tx, offering: Offering, windows: Iterable[Period], now: datetime) -> bool:
    return any(_next_pair(tx, offering, window, now) is not None for window in windows)


def first_served(
    tx: Tx, people: Iterable[int], periods: Iterable[Period], *, now: datetime, first: int | None = None, leaving: int = 0
) -> Any:  # fmt: skip
    """Whom `serve` would give something first, if the slot `leaving` were free: their place in line, or None. Only looks."""
    spans = [p for p in availability.merged(periods) if p.end > now]
    for offering in line.waiting_lines(tx, people, first=first):
        for window in _windows(offering, spans):
            if (found := _next_pair(tx, offering, window, now, leaving=leaving)) is not None:
                return found[2]
    return None


def _next_pair(
    tx: Tx, offering: Offering, window: Period, now: datetime, *, leaving: int = 0
) -> tuple[Offering, Start, Any] | None:
    """The earliest free start in the window that somebody waits for, with whom and how long, and the first in line whom
    it fits. Of several lengths or members of a team at that start: what the first in line wants. With a limit it is the
    day or week that is scarce: there what the first in line wants of all starts."""
    ahead = window.intersection(Period(now, now + offering.rules.horizon))
    if ahead is None:
        return None
    listed: dict[datetime, list[tuple[Offering, Start]]] = {}
    for each in _variants(offering):
        for start in times.starts(tx, each, ahead, now, for_the_line=True, leaving=leaving):
            if start.state is SlotState.OPEN and start.period.start > now:
                listed.setdefault(start.period.start, []).append((each, start))
    lists = [[pair for at in sorted(listed) for pair in listed[at]]] if offering.rules.is_limited else []
    for pairs in lists or (listed[at] for at in sorted(listed)):
        fitting = [(*pair, entry) for pair in pairs if (entry := line.first_fitting(tx, *pair)) is not None]
        if fitting:
            each, start, entry = min(fitting, key=lambda f: (-f[2].priority, f[2].id))
            if offering.choices and entry.member_id is None:
                whole = offering.lasting(each.minutes)
                each, start = times.choose(tx, whole, start.period.start, entry.seats, now, for_the_line=True) or (
                    each,
                    start,
                )
            return each, start, entry
    return None


def _variants(offering: Offering) -> Iterator[Offering]:
    """The service for each of its durations, as each member of a team does it."""
    for minutes in offering.spec.durations:
        lasting = offering.lasting(minutes)
        yield from lasting.choices or (lasting,)


# --- what is given ------------------------------------------------------------------------------------------------


def _give(tx: Tx, terms: Terms, offering: Offering, start: Start, entry: Any, *, now: datetime, cause: str) -> None:
    lead = timedelta(minutes=offering.spec.waitlist.auto_lead_minutes)
    if entry.accept == "auto" and start.period.start - now >= lead:
        promote(tx, terms, offering, start, entry, now=now, cause=cause)
        return
    offer_id = new_offer(tx, offering, start.period, entry, now=now, cause=cause)
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
        mates=offering.mates,
        join=start.slot_id,
    )
    if slot_id is None:  # it was free a statement ago, under the operator's lock
        raise RuntimeError("a free start could not be claimed")
    tx.execute(sa.update(Offer).where(Offer.id == offer_id).values(slot_id=slot_id))


def promote(tx: Tx, terms: Terms, offering: Offering, start: Start, entry: Any, *, now: datetime, cause: str) -> str:
    """Book a free start for somebody in line; the booking's id. The operator is locked."""
    done = complete(tx, terms, replace(completion(offering, entry, Origin.PROMOTED, cause), start=start), now=now)
    line.set_entry(tx, entry.id, "promoted", now, booking_id=done.booking_id)
    return done.booking_id


def new_offer(
    tx: Tx, offering: Offering, period: Period, entry: Any, *, now: datetime, cause: str, slot_id: int = 0,
    booking_id: str | None = None,
) -> int:  # fmt: skip
    """Ask somebody in line whether they want that time, and for how long; its id. Whose the seats are is the caller's."""
    expires = min(now + timedelta(minutes=offering.spec.waitlist.offer_minutes), period.start)
    offer_id = int(
        tx.execute(
            sa.insert(Offer)
            .values(
                entry_id=entry.id,
                slot_id=slot_id,
                booking_id=booking_id,
                starts_at=period.start,
                ends_at=period.end,
                expires_at=expires,
                created_at=now,
            )
            .returning(Offer.id)
        ).scalar_one()
    )
    line.set_entry(tx, entry.id, "offered", now)
    scope = outbox.Scope(offering.operator_id, offering.service_id, slot_id or None)
    outbox.append(tx, ExpireOffer(offer_id), now=now, not_before=expires, scope=scope, cause=cause)
    line.tell(tx, entry, About.OFFER, offer_id=offer_id, now=now, cause=cause)
    return offer_id


def completion(offering: Offering, entry: Any, origin: Origin, cause: str) -> Completion:
    """How somebody in line comes to a booking; where, the caller says."""
    client = Client(entry.client_name, entry.client_email, entry.client_timezone, entry.language)
    return Completion(
        offering, origin, cause, client=client, seats=entry.seats, answers=entry.answers, consents=entry.consents,
        entry_id=entry.id,
    )  # fmt: skip


def promote_named(tx: Tx, terms: Terms, entry_id: int, period: Period, *, now: datetime, cause: str) -> str:
    """Give this person this time, whoever else waits; the booking's id. The operator is locked. Raises `NotPossible`."""
    entry = tx.execute(sa.select(_E.__table__).where(_E.id == entry_id, _E.status == "waiting")).one_or_none()
    if entry is None:
        raise NotPossible("this place in line is no longer waiting")
    offering = offering_waited_for(tx, entry)
    _free_expired(tx, terms, line.people_of(offering), now=now, cause=cause)
    found = times.choose(tx, offering, period.start, entry.seats, now, for_the_line=True)
    if found is None:
        raise NotPossible("that time is not free for them")
    return promote(tx, terms, *found, entry, now=now, cause=cause)


def _scope_of(freed: Freed) -> outbox.Scope:
    """Where seats belong that came free: to the slot and the booking they were of, whatever keeps them now."""
    kind, _, booking_id = freed.holder.partition(":")
    return outbox.Scope(freed.operator_id, freed.service_id, freed.slot_id, booking_id if kind == "booking" else None)


def _keep(tx: Tx, freed: Freed, scope: outbox.Scope, *, now: datetime, cause: str) -> None:
    holder = f"kept:{secrets.token_hex(8)}"
    seats = min(freed.seats, _room(tx, freed))
    if seats < 1:
        return
    slot_id = claims.claim(
        tx,
        operator_id=freed.operator_id,
        service_id=freed.service_id,
        period=freed.period,
        block=freed.block,
        capacity=freed.capacity,
        holder=holder,
        seats=seats,
        now=now,
        mates=freed.mates,
    )
    if slot_id is not None:
        outbox.append(tx, PromoteWaitlist(freed.operator_id, holder), now=now, scope=scope, cause=cause)
        reviews.ask(
            tx, "promotion", f"promotion:{holder}", now=now, operator_id=freed.operator_id, slot_id=slot_id,
            detail={"holder": holder, "service_id": freed.service_id, "start": freed.period.start.isoformat(), "seats": seats},
        )  # fmt: skip


def _room(tx: Tx, freed: Freed) -> int:
    """Seats at the start that these were of, which may have been given another number since people came."""
    there = sa.select(claims.ROOM - Slot.taken).where(
        Slot.operator_id == freed.operator_id,
        Slot.service_id == freed.service_id,
        Slot.starts_at == freed.period.start,
        Slot.ends_at == freed.period.end,
        Slot.taken > 0,
        Slot.leader_id.is_(None),
    )
    room = tx.execute(there).scalar()
    return freed.capacity if room is None else int(room)


def _close_rest(tx: Tx, freed: Freed, *, now: datetime, cause: str) -> None:
    """What has begun can be given to nobody, but there may be room for something else in what is left of its time."""
    for operator_id in freed.people:
        free_time.close(tx, operator_id, Period(now, freed.block.end))
    free_time.ask_for_turn(tx, freed.operator_id, now=now, cause=cause)


# --- when time opens ----------------------------------------------------------------------------------------------

Shown = Mapping[int, Mapping[datetime, int]]
"""What strangers may book: service → start → seats left, of the services that somebody waits for."""


def shown(tx: Tx, operator_id: int, *, now: datetime) -> Shown:
    """What strangers see now, to be compared after a change of whatever decides it. The operator is locked."""
    result: dict[int, dict[datetime, int]] = {}
    for offering in line.waiting_lines(tx, [operator_id]):
        seats = result.setdefault(offering.service_id, {})
        for each in _variants(offering):
            for start in times.starts(tx, each, Period(now, now + each.rules.horizon), now):
                if start.state is SlotState.OPEN:
                    at = start.period.start
                    seats[at] = max(seats.get(at, 0), start.seats_left)
    return result


def close_opened(tx: Tx, operator_id: int, before: Shown, *, now: datetime, cause: str) -> None:
    """What strangers see now and didn't before is closed until the line had its turn, which is asked for."""
    after = shown(tx, operator_id, now=now)
    for offering in line.waiting_lines(tx, [operator_id]):
        starts, known = after[offering.service_id], before.get(offering.service_id, {})
        opened: list[datetime] = []
        for start in (*sorted(starts), None):
            if start is not None and starts[start] > known.get(start, 0):
                opened.append(start)
            elif opened:  # up to one that was there already
                for each in line.people_of(offering):
                    span = Period(opened[0], opened[-1] + _INSTANT)
                    free_time.close(tx, each, span, service_id=offering.service_id)
                opened = []
    if after:
        free_time.ask_for_turn(tx, operator_id, now=now, cause=cause)


def first_in_turn(tx: Tx, operator_id: int, *, now: datetime) -> Any:
    """Whom `take_turn` would give something first: their place in line, or None. Only looks."""
    due = free_time.turns(tx, operator_id)
    spans = [p for p in availability.merged(due.time) if p.end > now]
    for offering in line.waiting_lines(tx, [operator_id]):
        for window in (*_windows(offering, spans), *_own(offering, due, now)):
            if (found := _next_pair(tx, offering, window, now)) is not None:
                return found[2]
    return None


def _own(offering: Offering, due: free_time.Turns, now: datetime) -> list[Period]:
    """What only this line waits for: starts that opened, and what its horizon has moved on to."""
    seen, until = dict(due.seen), now + offering.rules.horizon
    own = [period for service_id, period in due.starts if service_id == offering.service_id]
    if offering.service_id in seen and seen[offering.service_id] < until:
        own.append(Period(seen[offering.service_id], until))
    return own


def take_turn(tx: Tx, terms: Terms, operator_id: int, *, now: datetime, cause: str) -> None:
    """Serve the line with all that was freed, opened or came into sight, then open it for everybody.

    What somebody in a paused line would take stays closed, also for the lines after it, as it would have been theirs.
    Raises `NotYet` where there is nothing else.
    """
    claims.lock_operator(tx, operator_id)
    _free_expired(tx, terms, [operator_id], now=now, cause=cause)
    due = free_time.turns(tx, operator_id)
    seen = dict(due.seen)
    spans = [p for p in availability.merged(due.time) if p.end > now]
    served, time_held, held = 0, False, set()
    for offering in line.waiting_lines(tx, [operator_id]):
        own = _own(offering, due, now)
        common = [] if time_held else list(_windows(offering, spans))
        if not _is_paused(tx, offering, now):
            served += _serve_line(tx, terms, offering, [*common, *own], now=now, cause=cause)
            continue
        time_held = time_held or _somebody_fits(tx, offering, common, now)
        if _somebody_fits(tx, offering, own, now):
            held.add(offering.service_id)
    progress = served > 0 or bool(due.time and not time_held) or any(s not in held for s, _ in due.starts)
    if (time_held or held) and not progress:
        raise NotYet("promotion of a service is paused, and what was freed waits for it", PAUSED_CHECK)
    if not time_held:
        free_time.end_turn(tx, operator_id)
    _see(tx, operator_id, {*seen, *(service_id for service_id, _ in due.starts)}, held, now=now)
    if time_held or held:
        free_time.ask_for_turn(tx, operator_id, now=now, not_before=now + PAUSED_CHECK, cause=cause)


def forgo(tx: Tx, operator_id: int, *, now: datetime) -> None:
    """Open for everybody what waits for the line's turn, without giving it one. The operator is locked."""
    due = free_time.turns(tx, operator_id)
    free_time.end_turn(tx, operator_id)
    _see(tx, operator_id, {service_id for service_id, _ in (*due.starts, *due.seen)}, set(), now=now)


def _see(tx: Tx, operator_id: int, known: set[int], held: set[int], *, now: datetime) -> None:
    """Open the starts of services whose line had its turn, up to the horizon of now; all of them where nobody waits."""
    waiting = {o.service_id: o for o in line.waiting_lines(tx, [operator_id])}
    for service_id in (known | waiting.keys()) - held:
        free_time.end_turn_of(tx, service_id)
        offering = waiting.get(service_id)
        if offering is None:
            free_time.see_until(tx, [], service_id, None)
        else:
            free_time.see_until(tx, line.people_of(offering), service_id, now + offering.rules.horizon)


def roll(tx: Tx, now: datetime) -> int:
    """Ask for the turn of lines whose horizon has moved on to something, or that have come or gone. Returns how many."""
    somebody = sa.exists().where(_E.service_id == Service.id, _E.status == sa.literal_column("'waiting'"))
    offered = sa.select(Service.id, Service.operator_id).join(Operator, Operator.id == Service.operator_id)
    offered = offered.where(Service.active, Operator.active, somebody)
    waited_for = {service_id: owner for service_id, owner in tx.execute(offered)}  # noqa: C416 -- a row is no pair
    rows = tx.execute(
        sa.select(Turn.service_id, sa.func.min(Turn.operator_id), sa.func.min(Turn.starts_at))
        .where(Turn.ends_at.is_(None))
        .group_by(Turn.service_id)
    )
    seen = {service_id: (operator_id, until) for service_id, operator_id, until in rows}
    due = {operator_id for service_id, (operator_id, _) in seen.items() if service_id not in waited_for}
    for service_id, owner in waited_for.items():
        if owner not in due and (service_id not in seen or _in_sight(tx, service_id, seen[service_id][1], now)):
            due.add(owner)
    for operator_id in sorted(due):
        free_time.ask_for_turn(tx, operator_id, now=now, cause="another day")
    return len(due)


def _in_sight(tx: Tx, service_id: int, since: datetime, now: datetime) -> bool:
    """Does the horizon show a start that the line hasn't seen?"""
    offering = offering_by_id(tx, service_id)
    until = now + offering.rules.horizon
    if not offering.active or since >= until:
        return False
    return any(times.starts(tx, each, Period(since, until), now, for_the_line=True) for each in _variants(offering))
