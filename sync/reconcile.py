"""The doctor: do ledger, calendars and mail agree? It reads; what is to be done is asked for by its findings' remedies.

What is on its way isn't wrong: slots whose events are being written, looked for or decided about are left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from connectors.errors import ConnectorError
from connectors.model import Event, Period
from connectors.protocol import Connector
from ledger import outbox
from ledger.db import Tx
from ledger.entries import key_of, next_key
from ledger.tables import Calendar, Connection, Deployment, Operator, OutboxMessage, Review, SlotEvent
from ledger.vault import VaultError
from sync import mirror, symptoms
from sync.accounts import Accounts
from sync.findings import Finding, Kind, push_again, put_again, sweep
from sync.merge import seen_as
from sync.pull import AHEAD, BEFORE
from sync.stored import calendar_of, quirks_of

BEYOND = 10_000
"""Ids of slots beyond the highest that we know: of the time between a backup and its restoration."""
AGAIN = 3
"""How often an event of one slot may have been put again."""
_OUR_SEQUENCE = ("caldav", "memory")
"""Providers that keep our SEQUENCE; others count by themselves."""
Progress = Callable[[int, int], None]
"""``(done, total)`` calendars."""


def examine(accounts: Accounts, *, now: datetime, poll_seconds: int, progress: Progress | None = None) -> list[Finding]:
    """Everything that is wrong, calendar by calendar, then what the ledger knows. Changes nothing."""
    found: list[Finding] = []
    with accounts.database.reading() as tx:
        cases = _cases(tx, now)
    total, done = sum(len(case.calendars) for case in cases), 0
    for case in cases:
        try:
            with accounts.open(case.connection_id) as connector:
                listed = []
                for row in case.calendars:
                    listed += _listed(connector, row, now)
                    done += 1
                    if progress is not None:
                        progress(done, total)
                found += _compared(accounts, connector, case, listed, now)
        except (ConnectorError, VaultError) as error:
            about = f"connection {case.connection_id}"
            plan = "none: see why its calendars can't be read"
            found.append(Finding(Kind.STALE_CALENDAR, case.operator, about, f"not readable: {error}"[:300], plan))
    with accounts.database.reading() as tx:
        found += symptoms.unsent(tx, now)
        found += symptoms.overlaps(tx, now)
        found += symptoms.stale_calendars(tx, now, poll_seconds=poll_seconds)
        found += symptoms.dead_channels(tx, now, hooks=accounts.hooks)
    return found


@dataclass(frozen=True, slots=True)
class _Case:
    """One account. rows: of `SlotEvent` that lie ahead, by key. moving: slots whose events are on their way."""

    connection_id: int
    provider: str
    operator: str
    calendars: Sequence[Any]
    rows: Mapping[str, Any]
    moving: frozenset[int] = field(default_factory=frozenset)


@dataclass(frozen=True, slots=True)
class _Seen:
    """An event of ours in a calendar."""

    calendar: Any
    event: Event

    @property
    def place(self) -> tuple[int, str]:
        """Where it is."""
        return self.calendar.id, self.event.href


def _cases(tx: Tx, now: datetime) -> list[_Case]:
    event = SlotEvent
    ahead = tx.execute(sa.select(event.__table__).where(event.ends_at > now).order_by(event.id)).all()
    holding = {row.calendar_id for row in ahead}
    moving = _moving(tx)
    cases = []
    query = (
        sa.select(Connection.id, Connection.provider, Operator.slug)
        .join(Operator, Operator.id == Connection.operator_id)
        .where(Connection.state != "disabled")
        .order_by(Connection.id)
    )
    for connection in tx.execute(query).all():
        known = tx.execute(sa.select(Calendar.__table__).where(Calendar.connection_id == connection.id)).all()
        ids = {row.id for row in known}
        rows = {row.key: row for row in ahead if row.calendar_id in ids}
        used = [row for row in known if row.bookings or row.busy or row.id in holding]
        if used:
            cases.append(_Case(connection.id, connection.provider, connection.slug, used, rows, moving))
    return cases


def _moving(tx: Tx) -> frozenset[int]:
    """Slots whose events are being written, looked for or decided about, or wait behind a pause or for a human."""
    row = OutboxMessage
    kinds = ("PushEvent", "LookForEvent", "SweepEvent", "RemoteCancellation", "RemoteMove")
    live = (*outbox.LIVE, "parked")  # a parked one is a finding of its own
    ids = set(tx.execute(sa.select(row.slot_id).where(row.kind.in_(kinds), row.state.in_(live))).scalars())
    ids |= set(tx.execute(sa.select(SlotEvent.slot_id).where(SlotEvent.missing_since.is_not(None))).scalars())
    asked = sa.select(Review.slot_id, Review.detail).where(
        Review.state == "open", Review.kind.in_(("move", "bulk_deletion"))
    )
    for review in tx.execute(asked):
        ids |= {review.slot_id, *review.detail.get("slots", ())}
    return frozenset(slot_id for slot_id in ids if slot_id is not None)


def _listed(connector: Connector, row: Any, now: datetime) -> list[_Seen]:
    window = Period(now - BEFORE, now + AHEAD)
    listing = connector.changes(calendar_of(row), None, window, dict, quirks=quirks_of(row.quirks))
    return [_Seen(row, event) for event in listing.changed if event.own_key and not event.cancelled]


def _compared(
    accounts: Accounts, connector: Connector, case: _Case, listed: Sequence[_Seen], now: datetime
) -> Iterator[Finding]:
    by_key: dict[str, list[_Seen]] = {}
    for seen in listed:
        by_key.setdefault(seen.event.own_key, []).append(seen)
    for key, row in case.rows.items():
        there = by_key.pop(key, [])
        if row.slot_id in case.moving:
            continue
        if row.wanted:
            yield from _of_wanted(connector, case, row, there, now)
        elif there:
            detail = "its event is still there, and nobody wants it"
            yield Finding(Kind.ORPHANED, case.operator, f"slot {row.slot_id}", detail, "remove it", sweep(row.id))
    yield from _strays(accounts, case, by_key, now)


def _we_wrote_last(case: _Case, row: Any) -> bool:
    """A move in the operator's app that was followed leaves the event with the SEQUENCE of that app."""
    return case.provider in _OUR_SEQUENCE and row.confirmed_at is not None and row.confirmed_at >= row.updated_at


def _of_wanted(connector: Connector, case: _Case, row: Any, there: Sequence[_Seen], now: datetime) -> Iterator[Finding]:
    about = f"slot {row.slot_id}"
    home = (row.calendar_id, row.href)
    the_one = next((seen for seen in there if seen.place == home), there[0] if there else None)
    if the_one is None:
        yield from _if_missing(connector, case, row, now)
        return
    own = mirror.own_event(row, row.calendar_id)
    period = seen_as(the_one.event, own).period
    if period is not None and period != own.wish:
        detail = f"its event is at {period.start:%Y-%m-%d %H:%M}Z, the booking at {row.starts_at:%Y-%m-%d %H:%M}Z"
        plan = "put the event back to the booking's time"
        yield Finding(Kind.WRONG_TIME, case.operator, about, detail, plan, push_again(row.id, period))
    elif _we_wrote_last(case, row) and the_one.event.sequence != row.sequence:
        detail = f"its event has SEQUENCE {the_one.event.sequence}, the ledger {row.sequence}"
        yield Finding(Kind.WRONG_SEQUENCE, case.operator, about, detail, "write the event again", push_again(row.id))
    for seen in there:
        same_time = seen_as(seen.event, own).period == own.wish  # at another time it is the operator's own copy
        if seen is the_one or not same_time:
            continue
        detail = f"its event is there twice, also in “{seen.calendar.name}”"
        if seen.calendar.id == row.calendar_id:
            yield Finding(Kind.DUPLICATE, case.operator, about, detail, "remove the second one", sweep(row.id))
        else:
            plan = "none: delete the one in that calendar by hand, if it isn't wanted there"
            yield Finding(Kind.DUPLICATE, case.operator, about, detail, plan)


def _if_missing(connector: Connector, case: _Case, row: Any, now: datetime) -> Iterator[Finding]:
    """Not in the calendars that are used: perhaps in another one of the account, where the next pull will find it."""
    window = Period(now - BEFORE, now + AHEAD)
    if row.starts_at > window.end or connector.find(connector.calendars(), row.key, row.uid, window) is not None:
        return
    plan = "put it into the calendar again"
    yield Finding(Kind.MISSING, case.operator, f"slot {row.slot_id}", "it has no event", plan, put_again(row.id))


def _strays(accounts: Accounts, case: _Case, by_key: Mapping[str, Sequence[_Seen]], now: datetime) -> Iterator[Finding]:
    """Events that carry a key which no slot ahead has: given up ones that came back, or ours from before a restoration.
    Events of other deployments are none of our business."""
    coming = {
        key: [seen for seen in there if any(one.period.end > now for one in seen.event.occurrences)]
        for key, there in by_key.items()
    }
    coming = {key: there for key, there in coming.items() if there}
    if not coming:
        return
    with accounts.database.reading() as tx:
        elsewhere = set(tx.execute(sa.select(SlotEvent.key).where(SlotEvent.key.in_(list(coming)))).scalars())
        unknown = set(coming) - elsewhere
        ours = unknown & _keys_of_ours(tx) if unknown else set()
    for key in sorted(ours):
        for seen in coming[key]:
            detail = f"an event of ours in “{seen.calendar.name}” that the ledger knows nothing of"
            plan = "none: somebody may come; book it again or delete it by hand"
            yield Finding(Kind.ORPHANED, case.operator, f"calendar {seen.calendar.id}", detail, plan)


def _keys_of_ours(tx: Tx) -> set[str]:
    who, generation = tx.execute(sa.select(Deployment.id, Deployment.generation)).one()
    highest = int(tx.execute(sa.select(sa.func.max(SlotEvent.slot_id))).scalar() or 0)
    keys = set()
    for slot_id in range(1, highest + BEYOND):
        for each in range(generation + 1):
            key = key_of(who, each, slot_id)
            for _ in range(AGAIN):
                keys.add(key)
                key = next_key(key)
    return keys
