"""Sync against real CalDAV servers, through a proxy that lets things go wrong (P4, P5).

The operator's own app is another client that shares no code with the connector.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from urllib.parse import quote

import pytest

from connectors.emulators import faults
from connectors.emulators.proxy import FaultProxy
from connectors.emulators.radicale import RunningServer
from ledger.db import Database
from ledger.messages import RemoteCancellation, RemoteMove, RemoteOverlap
from ledger.tables import OutboxMessage
from tests.support.practices import Practice, at
from tests.support.servers import OtherClient, credentials, ics, radicale, xandikos


@pytest.fixture(scope="module", params=["radicale", "xandikos"])
def server(request: pytest.FixtureRequest) -> Iterator[RunningServer]:
    with radicale() if request.param == "radicale" else xandikos() as running:
        yield running


class Desk:
    """An operator on a real server: ``work`` takes bookings and is busy, ``private`` is busy."""

    def __init__(self, database: Database, server: RunningServer, proxy: FaultProxy) -> None:
        self.proxy, self.server = proxy, server
        [(self.user, password)] = server.users.items()
        run = secrets.token_hex(4)
        self.urls = {name: server.make_calendar(self.user, f"{name}-{run}") for name in ("work", "private")}
        self.apps = {name: OtherClient(url, self.user, password) for name, url in self.urls.items()}
        self.practice = Practice(database, credentials(proxy.url, self.user, password))
        found = self.practice.connect()
        rows = {row.href.rstrip("/").rpartition("/")[2]: row.id for row in map(self.practice.calendar, found.values())}
        self.ids = {name: rows[f"{name}-{run}"] for name in self.urls}
        self.practice.assign(self.ids["work"], bookings=True, busy=True)
        self.practice.assign(self.ids["private"], busy=True)
        self.practice.work()
        proxy.forget_log()

    def pull(self) -> None:
        for calendar in self.ids.values():
            self.practice.pull(calendar)

    def book(self, hour: float, *, grace: int = 60) -> int:
        slot = self.practice.book(at(hour), grace=grace)
        self.practice.work()
        return slot

    def settle(self) -> None:
        """A minute later everything has been seen."""
        self.practice.later(minutes=1)
        self.pull()
        self.practice.later(minutes=1)
        assert self.practice.failures == []

    def name(self, slot: int) -> str:
        return quote(self.practice.event(slot).href.rpartition("/")[2])

    def close(self) -> None:
        for app in self.apps.values():
            app.delete_calendar()
            app.close()


@contextmanager
def desk_at(database: Database, server: RunningServer) -> Iterator[Desk]:
    with FaultProxy(server.url) as proxy:
        desk = Desk(database, server, proxy)
        try:
            yield desk
        finally:
            proxy.clear()
            desk.close()


@pytest.fixture
def desk(sqlite: Database, server: RunningServer) -> Iterator[Desk]:
    with desk_at(sqlite, server) as made:
        yield made


def shifted(raw: bytes, start: datetime, minutes: int = 60) -> bytes:
    """An object at another time, as an app writes it that leaves the rest alone."""
    lines = [line for line in raw.replace(b"\r\n", b"\n").split(b"\n") if not line.startswith((b"DTSTART", b"DTEND"))]
    where = lines.index(b"BEGIN:VEVENT") + 1
    end = start + timedelta(minutes=minutes)
    lines[where:where] = [f"DTSTART:{start:%Y%m%dT%H%M%SZ}".encode(), f"DTEND:{end:%Y%m%dT%H%M%SZ}".encode()]
    return b"\r\n".join(lines)


def test_busy_time_arrives_and_an_unchanged_calendar_costs_one_request(desk: Desk) -> None:
    app, practice = desk.apps["private"], desk.practice
    app.put("one.ics", ics("one", at(10)))
    app.put("weekly.ics", ics("weekly", at(14), "RRULE:FREQ=WEEKLY;COUNT=3"))
    app.put("free.ics", ics("free", at(16), "TRANSP:TRANSPARENT"))
    app.put("maybe.ics", ics("maybe", at(17), "STATUS:TENTATIVE"))
    desk.pull()
    expected = [(at(h, d), at(h + 1, d)) for d, h in [(1, 10), (1, 14), (1, 17), (8, 14), (15, 14)]]
    assert practice.busy() == expected
    desk.proxy.forget_log()
    practice.pull(desk.ids["private"])
    assert len(desk.proxy.log) == 1
    app.put("one.ics", ics("one", at(11)))
    desk.proxy.forget_log()
    practice.pull(desk.ids["private"])
    assert len(desk.proxy.log) == 2
    app.delete("weekly.ics")
    practice.pull(desk.ids["private"])
    assert practice.busy() == [(at(11), at(12)), (at(17), at(18))]
    assert len(practice.busy(freed=True)) == 4


def test_a_booking_lives_in_the_operators_calendar(server: RunningServer, database: Database) -> None:
    with desk_at(database, server) as desk:
        practice, app = desk.practice, desk.apps["work"]
        slot = desk.book(9)
        desk.settle()
        assert len(app.names()) == 1
        raw = app.get(desk.name(slot)) or b""
        assert b"Consultation" in raw
        assert practice.busy() == []

        app.put(desk.name(slot), shifted(raw, at(15)))
        desk.pull()
        event = practice.event(slot)
        assert practice.facts() == [RemoteMove(event.id, slot, 1, at(15), at(16))]
        practice.turn_over()
        practice.wish(slot, at(15), there=True)
        practice.wish(slot, at(16))
        practice.work()
        desk.settle()
        assert f"DTSTART:{at(16):%Y%m%dT%H%M%SZ}".encode() in (app.get(desk.name(slot)) or b"")
        assert practice.facts() == []

        app.put("meeting.ics", ics("meeting", at(9.5)))
        desk.pull()
        assert practice.facts() == [RemoteOverlap(slot, at(9.5), at(10.5))]
        practice.turn_over()

        app.delete(desk.name(slot))
        desk.pull()
        assert practice.facts() == []
        practice.later(minutes=1)
        assert practice.facts() == [RemoteCancellation(event.id, slot)]
        assert app.names() == {"meeting.ics"}


def test_dragged_to_another_calendar(desk: Desk) -> None:
    """As most apps do it: stored there under another name, then deleted here."""
    slot = desk.book(9)
    desk.settle()
    raw = desk.apps["work"].get(desk.name(slot)) or b""
    desk.apps["private"].put("dropped-here.ics", shifted(raw, at(13)))
    desk.apps["work"].delete(desk.name(slot))
    desk.pull()
    desk.practice.later(minutes=2)
    event = desk.practice.event(slot)
    assert event.calendar_id == desk.ids["private"]
    assert event.href.endswith("/dropped-here.ics")
    told = [f for f in desk.practice.facts() if not isinstance(f, RemoteMove)]
    assert [type(f).__name__ for f in told] in ([], ["TimeFreed"])
    assert desk.practice.facts("RemoteMove") == [RemoteMove(event.id, slot, 1, at(13), at(14))]
    assert desk.practice.busy() == []
    desk.practice.unwish(slot)
    desk.practice.work()
    assert desk.apps["private"].names() == set()


FAULTS: dict[str, Callable[[], faults.Action]] = {
    "401": lambda: faults.status(401),
    "403": lambda: faults.status(403),
    "404": lambda: faults.status(404),
    "429": lambda: faults.status(429, retry_after=1),
    "500": lambda: faults.status(500),
    "503": lambda: faults.status(503),
    "garbage": faults.garbage,
    "login page": faults.html,
    "empty listing": faults.empty_listing,
    "empty but polite": lambda: faults.empty_listing(with_collection=True),
    "cut off": faults.truncate_body,
    "reset": faults.close_before_commit,
}


@pytest.mark.parametrize("fault", [*FAULTS, "away"])
def test_a_sick_server_cancels_nothing_and_opens_nothing(desk: Desk, fault: str) -> None:
    """And the one real deletion in the middle of it is honoured when the server is well again."""
    practice = desk.practice
    for number in range(5):
        desk.apps["private"].put(f"{number}.ics", ics(f"busy-{number}", at(8 + number, 2)))
    deleted, kept, moved = (desk.book(hour) for hour in (9, 11, 13))
    desk.settle()
    closed = practice.busy()
    assert len(closed) == 5

    desk.apps["work"].delete(desk.name(deleted))
    raw = desk.apps["work"].get(desk.name(moved)) or b""
    desk.apps["work"].put(desk.name(moved), shifted(raw, at(15)))
    if fault == "away":
        desk.proxy.away()
    else:
        desk.proxy.add(FAULTS[fault]())
    for _ in range(3):
        desk.pull()
        practice.later(minutes=2)
        assert practice.facts() == []
        assert practice.busy() == closed
        assert {practice.event(slot).state for slot in (deleted, kept, moved)} == {"confirmed"}
    assert practice.failures

    desk.proxy.clear()
    desk.proxy.back()
    practice.later(hours=1)
    desk.pull()
    practice.later(minutes=2)
    practice.later(hours=1)
    assert practice.busy() == closed
    event = practice.event(moved)
    assert practice.facts("RemoteMove", "RemoteCancellation") in (
        [RemoteMove(event.id, moved, 1, at(15), at(16)), RemoteCancellation(practice.event(deleted).id, deleted)],
        [RemoteCancellation(practice.event(deleted).id, deleted), RemoteMove(event.id, moved, 1, at(15), at(16))],
    )
    assert practice.event(kept).state == "confirmed"
    assert practice.event(kept).missing_since is None
    assert practice.state() == "ok"


@pytest.mark.parametrize("fault", [f for f in FAULTS if not f.startswith("empty")])
def test_a_server_that_falls_sick_between_the_pull_and_the_look_proves_nothing(desk: Desk, fault: str) -> None:
    practice = desk.practice
    slot = desk.book(9)
    desk.settle()
    desk.apps["work"].delete(desk.name(slot))
    desk.proxy.add(FAULTS[fault](), method="GET")
    desk.pull()
    for _ in range(4):
        practice.later(minutes=2)
        if fault != "404":  # a 404 from the object while its calendar answers is what absence looks like
            assert practice.facts() == []
    desk.proxy.clear()
    practice.later(hours=1)
    practice.later(hours=1)
    assert [type(f).__name__ for f in practice.facts()] == ["RemoteCancellation"]


def test_an_expired_token_is_no_loss(desk: Desk) -> None:
    practice = desk.practice
    for number in range(6):
        desk.apps["private"].put(f"{number}.ics", ics(f"busy-{number}", at(8 + number, 2)))
    slot = desk.book(9)
    desk.settle()
    gone = b'<?xml version="1.0"?><d:error xmlns:d="DAV:"><d:valid-sync-token/></d:error>'
    expired = faults.status(403, gone, content_type="application/xml")
    desk.proxy.add(expired, method="REPORT", body=rb"<d:sync-token>[^<]+</d:sync-token>", count=2)
    desk.apps["private"].delete("3.ics")
    desk.pull()
    assert practice.failures == []
    assert len(practice.busy()) == 5
    assert practice.busy(freed=True) == [(at(11, 2), at(12, 2))]
    assert [type(f).__name__ for f in practice.facts()] == ["TimeFreed"]
    assert practice.event(slot).missing_since is None


@pytest.mark.parametrize("action", [faults.commit_then_close, faults.commit_then_status, faults.strip_etag])
@pytest.mark.parametrize("step", ["create", "update", "delete"])
def test_a_lost_answer_leaves_one_event(desk: Desk, action: Callable[[], faults.Action], step: str) -> None:
    practice, app = desk.practice, desk.apps["work"]
    if step == "create":
        desk.proxy.add(action(), method="PUT", count=1)
        slot = desk.book(9)
    else:
        slot = desk.book(9)
        desk.settle()
        desk.proxy.add(action(), method="PUT|DELETE", count=1)
        practice.wish(slot, at(11)) if step == "update" else practice.unwish(slot)
        practice.work()
    practice.later(minutes=1)
    practice.later(minutes=1)
    assert practice.event(slot).state == ("gone" if step == "delete" else "confirmed")
    names = app.names()
    assert len(names) == (0 if step == "delete" else 1)
    for name in names:
        start = at(11 if step == "update" else 9)
        assert f"DTSTART:{start:%Y%m%dT%H%M%SZ}".encode() in (app.get(quote(name)) or b"")
    desk.pull()
    assert practice.facts() == []
    assert not practice.rows(OutboxMessage, OutboxMessage.state == "parked")


def test_the_operators_notes_and_times_are_respected(desk: Desk) -> None:
    practice, app = desk.practice, desk.apps["work"]
    slot = desk.book(9)
    desk.settle()
    raw = app.get(desk.name(slot)) or b""
    app.put(desk.name(slot), raw.replace(b"END:VEVENT", b"COMMENT:bring cake\r\nEND:VEVENT"))
    practice.wish(slot, at(11))
    practice.work()
    raw = app.get(desk.name(slot)) or b""
    assert b"bring cake" in raw
    assert f"DTSTART:{at(11):%Y%m%dT%H%M%SZ}".encode() in raw
    app.put(desk.name(slot), shifted(raw, at(15)))
    practice.wish(slot, at(12))
    practice.work()
    assert f"DTSTART:{at(15):%Y%m%dT%H%M%SZ}".encode() in (app.get(desk.name(slot)) or b"")
    event = practice.event(slot)
    assert practice.facts() == [RemoteMove(event.id, slot, 3, at(15), at(16))]


def test_a_deleted_calendar_cancels_nothing(desk: Desk) -> None:
    practice = desk.practice
    desk.apps["private"].put("1.ics", ics("busy-1", at(8)))
    slot = desk.book(9)
    desk.settle()
    for app in desk.apps.values():
        app.delete_calendar()
    for _ in range(3):
        desk.pull()
        practice.later(hours=1)
    assert practice.facts() == []
    assert practice.busy() == [(at(8), at(9))]
    assert practice.event(slot).state == "confirmed"
    assert all(practice.calendar(calendar).last_error.startswith("calendar_gone") for calendar in desk.ids.values())
    for url in desk.urls.values():
        name = url.rstrip("/").rpartition("/")[2]
        desk.server.make_calendar(desk.user, name)
