"""Writing a delta: bulk, in one order, never twice."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa

from connectors.model import ChangeSet, Event, Occurrence, Period
from ledger.claims import lock_operator
from ledger.db import Database
from ledger.messages import RemoteOverlap
from ledger.tables import Busy, RemoteEvent
from sync import mirror
from sync.merge import CalendarRules, merge
from tests.support.practices import NOON, Practice, at

WINDOW = Period(NOON - timedelta(days=1), NOON + timedelta(days=400))


@pytest.fixture
def practice(database: Database) -> Practice:
    made = Practice(database)
    made.server.add_calendar("work")
    made.calendars = made.connect()  # type: ignore[attr-defined]
    return made


def write(practice: Practice, changes: ChangeSet) -> int:
    calendar = next(iter(practice.calendars.values()))  # type: ignore[attr-defined]
    with practice.database.transaction() as tx:
        known = mirror.known_events(tx, calendar)
        delta = merge(known, changes, CalendarRules(busy=True), (), WINDOW)
        if delta.changes_time:
            lock_operator(tx, practice.operator)
        return mirror.apply(tx, operator_id=practice.operator, calendar_id=calendar, delta=delta, now=practice.now)


def series(href: str, first: int, days: int, hour: float = 10) -> Event:
    periods = [Period(at(hour, first + day), at(hour + 1, first + day)) for day in range(days)]
    return Event(href, "1", f"uid-{href}", tuple(Occurrence(p) for p in periods))


def test_many_at_once_and_read_back(practice: Practice) -> None:
    events = tuple(series(f"/{number}", 1, 3, number / 100) for number in range(1200))
    write(practice, ChangeSet(events))
    with practice.database.reading() as tx:
        calendar = next(iter(practice.calendars.values()))  # type: ignore[attr-defined]
        known = mirror.known_events(tx, calendar)
        assert len(known) == 1200
        assert all(len(event.busy) == 3 for event in known.values())
        some = mirror.known_events(tx, calendar, [f"/{n}" for n in range(0, 1200, 2)])
        assert some == {href: known[href] for href in some}
        assert len(some) == 600
        assert mirror.events_with_time_ahead(tx, calendar, NOON) == 1200
        assert mirror.known_etags(tx, calendar)["/7"] == "1"
        # each period hangs at the row of its own event, whatever order the database returned them in
        wrong = sa.select(sa.func.count()).select_from(Busy).join(RemoteEvent, RemoteEvent.id == Busy.remote_event_id)
        hours = {href: min(event.busy).start for href, event in known.items()}
        assert hours == {f"/{n}": at(n / 100) for n in range(1200)}
        assert tx.execute(wrong).scalar() == 3600
    before = len(practice.rows(Busy))
    write(practice, ChangeSet(events, listed=frozenset(e.href for e in events)))
    assert len(practice.rows(Busy)) == before


def test_overlaps_are_found_among_many_slots(practice: Practice) -> None:
    slots = {hour: practice.book(at(hour, 5)) for hour in range(6, 18)}
    over = Event(
        "/x", "1", "u", (Occurrence(Period(at(8.5, 5), at(10.5, 5))), Occurrence(Period(at(9, 5), at(9.5, 5))))
    )
    assert write(practice, ChangeSet((over, series("/none", 5, 1, 18)))) == 3
    facts = practice.facts("RemoteOverlap")
    assert [getattr(f, "slot_id", 0) for f in facts] == [slots[8], slots[9], slots[10]]
    assert facts[0] == RemoteOverlap(slots[8], at(8.5, 5), at(10.5, 5))


def test_the_lock_is_asked_for_only_by_what_changes_time() -> None:
    free = Event("/f", "1", "u", ())
    assert not merge({}, ChangeSet((free,)), CalendarRules(busy=True), (), WINDOW).changes_time
    assert merge({}, ChangeSet((series("/b", 1, 1),)), CalendarRules(busy=True), (), WINDOW).changes_time


def test_our_object_is_remembered_under_one_name(practice: Practice) -> None:
    calendar = next(iter(practice.calendars.values()))  # type: ignore[attr-defined]
    with practice.database.transaction() as tx:
        for href, etag in (("/a", "1"), ("/a", "2"), ("/b", "3")):
            mirror.remember_own(tx, calendar, href, etag, "uid", 7)
    assert [(r.href, r.etag, r.slot_event_id) for r in practice.remote(calendar)] == [("/b", "3", 7)]
    with practice.database.transaction() as tx:
        mirror.forget_own(tx, 7)
    assert practice.remote(calendar) == []
