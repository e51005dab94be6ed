"""The server in memory: what operators and tests can do to it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from connectors.errors import CalendarGone, Unreachable
from connectors.memory import MemoryConnector
from connectors.memory_server import MemoryServer, simple_object
from connectors.model import Busy, Period
from connectors.protocol import Credentials

T0 = datetime(2027, 3, 1, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)
YEAR = Period(datetime(2027, 1, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC))


@pytest.fixture
def server() -> MemoryServer:
    return MemoryServer()


def test_events_are_added_moved_and_removed(server: MemoryServer) -> None:
    work, home = server.add_calendar("work", "Europe/Berlin", primary=True), server.add_calendar("home")
    href = server.add_event(work, T0, T0 + HOUR, "Lunch; out", lines=["X-KEEP:me", "TRANSP:TRANSPARENT"])
    (event,) = server.events(work, YEAR)
    assert (event.href, event.problem) == (href, "")
    assert event.occurrences[0].title == "Lunch; out"
    assert event.occurrences[0].busy is Busy.FREE
    server.move(work, href, T0 + HOUR, T0 + 3 * HOUR)
    (moved,) = server.events(work, YEAR)
    assert moved.occurrences[0].period == Period(T0 + HOUR, T0 + 3 * HOUR)
    assert moved.etag != event.etag
    assert b"X-KEEP:me\r\n" in server.raw(work, href)
    there = server.move_to(work, href, home)
    assert server.hrefs(work) == []
    assert server.hrefs(home) == [there]
    server.remove(home, there)
    assert server.events(home, YEAR) == []


def test_hrefs_and_uids_are_new_each_time(server: MemoryServer) -> None:
    work = server.add_calendar("work")
    assert len({server.add_event(work, T0, T0 + HOUR) for _ in range(5)}) == 5
    assert len({event.uid for event in server.events(work, YEAR)}) == 5


def test_all_day_events_are_days_of_their_calendar(server: MemoryServer) -> None:
    work = server.add_calendar("work", "Europe/Berlin")
    server.add_event(work, date(2027, 3, 1), date(2027, 3, 3))
    (event,) = server.events(work, YEAR)
    assert event.occurrences[0].all_day
    assert event.occurrences[0].period == Period(T0 - 10 * HOUR, T0 + 38 * HOUR)


def test_a_calendar_that_is_gone(server: MemoryServer) -> None:
    work = server.add_calendar("work")
    server.remove_calendar(work)
    with pytest.raises(CalendarGone):
        server.events(work, YEAR)


def test_failures_come_as_ordered(server: MemoryServer) -> None:
    work = server.add_calendar("work")
    connector = MemoryConnector(Credentials("memory"), server=server)
    server.fail_next(Unreachable(), "fetch")
    server.fail_next(Unreachable("any"), times=2)
    for _ in range(2):
        with pytest.raises(Unreachable, match="any"):
            connector.calendars()
    assert connector.calendars() == [work]
    with pytest.raises(Unreachable):
        connector.fetch(work, "x", YEAR)
    assert server.calls == [("calendars", "")] * 3 + [("fetch", "/work/")]


def test_servers_are_found_by_name() -> None:
    first, second = MemoryServer("one-name"), MemoryServer("one-name")
    assert MemoryServer.servers["one-name"] is second is not first


def test_simple_objects_can_not_be_broken_by_a_title() -> None:
    raw = simple_object("u", T0, T0 + HOUR, "a\r\nEND:VEVENT\r\nb")
    assert raw.count(b"END:VEVENT\r\n") == 1
