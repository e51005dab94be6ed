"""What the reference Connector does beyond the contract (tests/contract/test_memory.py)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from connectors.errors import CalendarGone, NeedsReconnect, ServerFault, SyncTokenExpired, Unreachable
from connectors.memory import MemoryConnector
from connectors.memory_server import MemoryServer
from connectors.model import Calendar, Entry, Period, Quirks, SyncToken
from connectors.protocol import Channel, Credentials, Endpoints
from connectors.registry import open_connector

T0 = datetime(2027, 3, 1, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)
YEAR = Period(datetime(2027, 1, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC))
KEY = "sl" + "a" * 30
ENTRY = Entry(KEY, f"{KEY}@x", "d:1:0", Period(T0, T0 + HOUR), "Ada")


@pytest.fixture
def server() -> MemoryServer:
    return MemoryServer("tests")


@pytest.fixture
def work(server: MemoryServer) -> Calendar:
    return server.add_calendar("work")


@pytest.fixture
def connector(server: MemoryServer) -> MemoryConnector:
    return MemoryConnector(Credentials("memory", "memory:tests"))


def test_it_is_opened_by_its_address(server: MemoryServer, work: Calendar) -> None:
    with open_connector(Credentials("memory", "memory:tests"), Endpoints()) as connector:
        assert connector.calendars() == [work]
    with pytest.raises(CalendarGone):
        open_connector(Credentials("memory", "memory:nobody"), Endpoints())


def test_a_wrong_password(work: Calendar, server: MemoryServer, connector: MemoryConnector) -> None:
    server.password = "right"
    with pytest.raises(NeedsReconnect):
        connector.calendars()
    assert MemoryConnector(Credentials("memory", "memory:tests", secret="right")).calendars() == [work]


def test_a_lost_answer_leaves_the_work_done(work: Calendar, server: MemoryServer, connector: MemoryConnector) -> None:
    server.fail_next(Unreachable(), "create", after=True)
    with pytest.raises(Unreachable):
        connector.create(work, ENTRY, quirks=Quirks())
    assert len(server.hrefs(work)) == 1
    assert connector.create(work, ENTRY, quirks=Quirks()).adopted
    server.fail_next(ServerFault(), "create")
    with pytest.raises(ServerFault):
        connector.create(work, replace(ENTRY, key="slb", uid="slb@x"), quirks=Quirks())
    assert len(server.hrefs(work)) == 1


def test_the_lock_is_free_after_a_failure(work: Calendar, server: MemoryServer, connector: MemoryConnector) -> None:
    server.fail_next(Unreachable(), after=True)
    with pytest.raises(Unreachable):
        connector.calendars()
    with pytest.raises(CalendarGone):
        connector.fetch(replace(work, href="/other/"), "x", YEAR)
    assert server.lock.acquire(blocking=False)
    server.lock.release()


def test_a_sick_servers_empty_listing(work: Calendar, server: MemoryServer, connector: MemoryConnector) -> None:
    href = server.add_event(work, T0, T0 + HOUR)
    server.empty_listing()
    sick = connector.changes(work, None, YEAR, dict, quirks=Quirks())
    assert (sick.changed, sick.listed) == ((), frozenset())
    well = connector.changes(work, None, YEAR, dict, quirks=Quirks())
    assert well.listed == {href}


def test_tokens_of_others_and_of_before_are_refused(
    work: Calendar, server: MemoryServer, connector: MemoryConnector
) -> None:
    token = connector.changes(work, None, YEAR, dict, quirks=Quirks()).token
    assert connector.changes(work, token, YEAR, dict, quirks=Quirks()).changed == ()
    server.expire_tokens()
    for refused in (token, SyncToken("ctag", "0:0")):
        with pytest.raises(SyncTokenExpired):
            connector.changes(work, refused, YEAR, dict, quirks=Quirks())


def test_progress_is_told(work: Calendar, server: MemoryServer, connector: MemoryConnector) -> None:
    server.add_event(work, T0, T0 + HOUR)
    told: list[tuple[int, int]] = []
    connector.changes(work, None, YEAR, dict, quirks=Quirks(), progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 1)]


def test_channels(work: Calendar, server: MemoryServer, connector: MemoryConnector) -> None:
    calls: list[tuple[str, str]] = []
    server.on_change = lambda channel, secret: calls.append((channel.id, secret))
    channel = connector.watch(work, channel_id="c1", secret="s", address="https://x", expires_at=T0)
    href = server.add_event(work, T0, T0 + HOUR)
    connector.delete(work, href)
    server.add_event(server.add_calendar("other"), T0, T0 + HOUR)
    assert calls == [("c1", "s"), ("c1", "s")]
    assert connector.renew(channel, T0 + HOUR) == Channel("c1", "memory:/work/", T0 + HOUR)
    connector.unwatch(channel)
    connector.unwatch(channel)
    assert connector.renew(channel, T0 + HOUR) is None
    server.add_event(work, T0, T0 + HOUR)
    assert len(calls) == 2


def test_a_copy_with_our_key_is_not_what_find_finds(
    work: Calendar, server: MemoryServer, connector: MemoryConnector
) -> None:
    written = connector.create(work, ENTRY, quirks=Quirks())
    copy = server.put(work, server.raw(work, written.href).replace(b"UID:sl", b"UID:copy"))
    found = connector.find([work], KEY, ENTRY.uid, YEAR)
    assert found is not None
    assert found.event.href == written.href
    server.remove(work, written.href)
    assert connector.find([work], KEY, ENTRY.uid, YEAR) is None
    assert server.hrefs(work) == [copy]


def test_what_the_selftest_says(work: Calendar, server: MemoryServer, connector: MemoryConnector) -> None:
    assert connector.selftest(work, write=False) == Quirks("trusted")
    server.sync_tokens = False
    assert connector.selftest(work, write=True) == Quirks("absent", if_none_match=True, etag_on_put=True)
