"""The ledger's picture of remote calendars: read as plain values, changed by a `LedgerDelta`.

Time that went away is kept closed as ``freed`` until the people waiting had their turn, and opened hours are ``fresh``
until then; `TimeFreed` asks for that turn in the same transaction (P7).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from connectors.model import ETag, Href, Period
from ledger import free_time, outbox
from ledger.availability import OpenPeriod
from ledger.db import Tx, insert_ignoring
from ledger.messages import HoursClosed, RemoteOverlap
from ledger.tables import Busy, Opening, RemoteEvent, Slot, SlotEvent
from ledger.vault import fingerprint
from sync.merge import EventDelta, KnownEvent, LedgerDelta, OwnEvent
from sync.stored import chunks


def known_events(tx: Tx, calendar_id: int, hrefs: Iterable[Href] | None = None) -> dict[Href, KnownEvent]:
    """Remote objects of a calendar as the ledger has them: those of ``hrefs``, or all."""
    row = RemoteEvent
    columns = sa.select(row.id, row.href, row.etag, row.slot_event_id, row.problem).where(
        row.calendar_id == calendar_id
    )
    if hrefs is None:
        rows = list(tx.execute(columns))
        busy = _periods(tx, Busy.calendar_id == calendar_id)
        openings = _openings(tx, Opening.calendar_id == calendar_id)
    else:
        rows, busy, openings = [], {}, {}
        for part in chunks(sorted(set(hrefs))):
            rows += tx.execute(columns.where(row.href.in_(part))).all()
        for ids in chunks([r.id for r in rows]):
            busy |= _periods(tx, Busy.remote_event_id.in_(ids))
            openings |= _openings(tx, Opening.remote_event_id.in_(ids))
    return {
        r.href: KnownEvent(r.id, r.href, r.etag, r.slot_event_id, r.problem, busy.get(r.id, {}), openings.get(r.id, {}))
        for r in rows
    }


def known_etags(tx: Tx, calendar_id: int) -> dict[Href, ETag]:
    """Every href of a calendar that the ledger knows, with its etag."""
    row = RemoteEvent
    return {r.href: r.etag for r in tx.execute(sa.select(row.href, row.etag).where(row.calendar_id == calendar_id))}


def events_with_time_ahead(tx: Tx, calendar_id: int, now: datetime) -> int:
    """How many foreign objects of a calendar take or open time after now."""
    ids = sa.union(
        sa.select(Busy.remote_event_id).where(Busy.calendar_id == calendar_id, ~Busy.freed, Busy.ends_at > now),
        sa.select(Opening.remote_event_id).where(Opening.calendar_id == calendar_id, Opening.ends_at > now),
    ).subquery()
    return int(tx.execute(sa.select(sa.func.count()).select_from(ids)).scalar_one())


def own_events(
    tx: Tx, calendar_id: int, *, hrefs: Iterable[Href] | None, keys: Iterable[str], ends_after: datetime
) -> list[OwnEvent]:
    """Events of ours that a ChangeSet may be about, none that are gone.

    hrefs: of this calendar; None for all of it that end after ``ends_after``. keys: events in any calendar.
    """
    event = SlotEvent
    here = sa.and_(event.calendar_id == calendar_id, event.state != "gone")
    conditions: list[sa.ColumnElement[bool]] = []
    if hrefs is None:
        conditions.append(sa.and_(here, event.ends_at > ends_after))
    else:
        conditions += [sa.and_(here, event.href.in_(part)) for part in chunks(sorted(set(hrefs)))]
    conditions += [sa.and_(event.key.in_(part), event.state != "gone") for part in chunks(sorted(set(keys)))]
    found = {r.id: r for condition in conditions for r in tx.execute(sa.select(event.__table__).where(condition))}
    return [own_event(r, calendar_id) for r in found.values()]


def own_event(row: Any, calendar_id: int | None) -> OwnEvent:
    """A row of `SlotEvent` as a value, seen from one calendar."""
    pushed = Period(row.pushed_start, row.pushed_end) if row.pushed_start and row.pushed_end else None
    return OwnEvent(
        id=row.id,
        slot_id=row.slot_id,
        key=row.key,
        uid=row.uid,
        here=calendar_id is not None and row.calendar_id == calendar_id,
        href=row.href,
        etag=row.etag,
        wanted=row.wanted,
        state=row.state,
        version=row.version,
        wish=Period(row.starts_at, row.ends_at),
        pushed=pushed,
        confirmed_at=row.confirmed_at,
        missing_since=row.missing_since,
        title=str(row.words.get("title", "")),
    )


def apply(tx: Tx, *, operator_id: int, calendar_id: int, delta: LedgerDelta, now: datetime) -> int:
    """Write what foreign objects changed, with the facts that follow. Returns how many overlaps were reported.

    The operator must be locked if ``delta.changes_time``. Events of ours (``seen``, ``vanished``) are the caller's.
    """
    ids = _write_rows(tx, calendar_id, delta.events)
    _drop_busy(
        tx, [i for e in delta.events for i in e.busy_removed] + [i for k in delta.gone for i in k.busy.values()], now
    )
    _drop(tx, Opening, [i for e in delta.events for i in e.openings_removed])
    _drop(tx, Opening, [i for k in delta.gone for i in k.openings.values()])
    _drop(tx, RemoteEvent, [k.id for k in delta.gone])
    common = {"operator_id": operator_id, "calendar_id": calendar_id}
    busy = [
        {**common, "remote_event_id": ids[e.href], "starts_at": p.start, "ends_at": p.end, "freed": False}
        for e in delta.events
        for p in e.busy_added
    ]
    openings = [
        {
            **common,
            "remote_event_id": ids[e.href],
            "starts_at": o.period.start,
            "ends_at": o.period.end,
            "label": o.label,
            "seats": o.seats,
            "fresh": o.period.end > now,
        }
        for e in delta.events
        for o in e.openings_added
    ]
    if busy:
        tx.execute(sa.insert(Busy), busy)
    if openings:
        tx.execute(sa.insert(Opening), openings)
    if _frees(delta, now):
        ask_for_turn(tx, operator_id, now=now)
    if any(e.openings_removed for e in delta.events) or any(row.openings for row in delta.gone):
        scope = outbox.Scope(operator_id=operator_id)
        outbox.append(tx, HoursClosed(operator_id), now=now, scope=scope, cause="calendar changed")
    return _report_overlaps(tx, operator_id, delta.events, now)


def ask_for_turn(tx: Tx, operator_id: int, *, now: datetime) -> None:
    """Let the people waiting have their turn at time that was freed or opened."""
    free_time.ask_for_turn(tx, operator_id, now=now, cause="calendar changed")


def free_busy(tx: Tx, condition: sa.ColumnElement[bool], *, now: datetime) -> bool:
    """Busy rows are gone: what lies ahead is kept as ``freed``, the past deleted. Is there any ahead?"""
    tx.execute(sa.delete(Busy).where(condition, Busy.ends_at <= now, ~Busy.freed))
    return tx.execute(sa.update(Busy).where(condition, ~Busy.freed).values(freed=True)).rowcount > 0


def remember_own(
    tx: Tx, calendar_id: int, href: Href, etag: ETag, uid: str, slot_event_id: int, problem: str = ""
) -> None:
    """Note which remote object is a slot's event; the one that was it before is forgotten. Idempotent."""
    row = RemoteEvent
    tx.execute(
        sa.delete(row).where(
            row.slot_event_id == slot_event_id, sa.or_(row.calendar_id != calendar_id, row.href != href)
        )
    )
    values = {"etag": etag, "uid_hash": fingerprint(uid), "slot_event_id": slot_event_id, "problem": problem}
    new = {"calendar_id": calendar_id, "href": href, **values}
    if not insert_ignoring(tx, row, new, unique=["calendar_id", "href"]):
        tx.execute(sa.update(row).where(row.calendar_id == calendar_id, row.href == href).values(**values))


def forget_own(tx: Tx, slot_event_id: int) -> None:
    """The slot's event is nowhere any more."""
    tx.execute(sa.delete(RemoteEvent).where(RemoteEvent.slot_event_id == slot_event_id))


def _periods(tx: Tx, condition: sa.ColumnElement[bool]) -> dict[int, dict[Period, int]]:
    found: dict[int, dict[Period, int]] = {}
    query = sa.select(Busy.id, Busy.remote_event_id, Busy.starts_at, Busy.ends_at).where(condition, ~Busy.freed)
    for r in tx.execute(query):
        found.setdefault(r.remote_event_id, {})[Period(r.starts_at, r.ends_at)] = r.id
    return found


def _openings(tx: Tx, condition: sa.ColumnElement[bool]) -> dict[int, dict[OpenPeriod, int]]:
    found: dict[int, dict[OpenPeriod, int]] = {}
    row = Opening
    query = sa.select(row.id, row.remote_event_id, row.starts_at, row.ends_at, row.label, row.seats).where(condition)
    for r in tx.execute(query):
        found.setdefault(r.remote_event_id, {})[OpenPeriod(Period(r.starts_at, r.ends_at), r.label, r.seats)] = r.id
    return found


def _write_rows(tx: Tx, calendar_id: int, events: Sequence[EventDelta]) -> Mapping[Href, int]:
    """Insert and update rows of foreign objects. Returns the row of each."""
    ids = {e.href: e.row_id for e in events if e.row_id is not None}
    new = [
        {
            "calendar_id": calendar_id,
            "href": e.href,
            "etag": e.etag,
            "uid_hash": fingerprint(e.uid),
            "slot_event_id": None,
            "problem": e.problem,
        }
        for e in events
        if e.row_id is None
    ]
    if new:
        ids |= {
            r.href: r.id for r in tx.execute(sa.insert(RemoteEvent).returning(RemoteEvent.href, RemoteEvent.id), new)
        }
    again = [
        {"row": e.row_id, "new_etag": e.etag, "new_hash": fingerprint(e.uid), "new_problem": e.problem}
        for e in events
        if e.row_id is not None and e.rewritten
    ]
    if again:
        tx.execute(
            sa.update(RemoteEvent)
            .where(RemoteEvent.id == sa.bindparam("row"))
            .values(
                etag=sa.bindparam("new_etag"),
                uid_hash=sa.bindparam("new_hash"),
                problem=sa.bindparam("new_problem"),
                slot_event_id=None,
            ),
            again,
        )
    return ids


def _drop_busy(tx: Tx, ids: Sequence[int], now: datetime) -> None:
    for part in chunks(ids):
        free_busy(tx, Busy.id.in_(part), now=now)


def _drop(tx: Tx, table: type[Opening] | type[RemoteEvent], ids: Sequence[int]) -> None:
    for part in chunks(ids):
        tx.execute(sa.delete(table).where(table.id.in_(part)))


def _frees(delta: LedgerDelta, now: datetime) -> bool:
    for event in delta.events:
        if any(o.period.end > now for o in event.openings_added):
            return True
        removed = set(event.busy_removed)
        if removed and any(i in removed and p.end > now for p, i in event.before):
            return True
    return any(p.end > now for row in delta.gone for p in row.busy)


def _report_overlaps(tx: Tx, operator_id: int, events: Sequence[EventDelta], now: datetime) -> int:
    """Tell booking which taken slots foreign time now lies over, once for a slot and an object."""
    ahead = [(e, p) for e in events for p in e.busy_added if p.end > now]
    if not ahead:
        return 0
    first, last = min(p.start for _, p in ahead), max(p.end for _, p in ahead)
    slots = tx.execute(
        sa.select(Slot.id, Slot.service_id, Slot.starts_at, Slot.ends_at)
        .where(
            Slot.operator_id == operator_id,
            Slot.taken > 0,
            Slot.block_end > now,
            Slot.starts_at < last,
            Slot.ends_at > first,
        )
        .order_by(Slot.starts_at)
    ).all()
    told: set[tuple[int, Href]] = set()
    for event, period in ahead:
        for slot in _touching(slots, period):
            already = any(p.start < slot.ends_at and slot.starts_at < p.end for p, _ in event.before)
            if slot.id == event.copy_of or already or (slot.id, event.href) in told:
                continue
            told.add((slot.id, event.href))
            scope = outbox.Scope(operator_id, slot.service_id, slot.id)
            fact = RemoteOverlap(slot.id, period.start, period.end)
            outbox.append(tx, fact, now=now, scope=scope, cause="an event in the operator's calendar")
    return len(told)


def _touching(slots: Sequence[Any], period: Period) -> Iterator[Any]:
    """Of disjoint slots in order, those that share time with the period."""
    index = bisect_right(slots, period.start, key=lambda slot: slot.ends_at)
    while index < len(slots) and slots[index].starts_at < period.end:
        yield slots[index]
        index += 1
