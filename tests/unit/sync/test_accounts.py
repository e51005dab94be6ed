"""Connections: proof first, secrets sealed, states, and what is due."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise

import pytest
import sqlalchemy as sa

from connectors.errors import (
    BadAnswer,
    CalendarGone,
    ConnectorError,
    NeedsReconnect,
    Refused,
    ServerFault,
    Unreachable,
)
from connectors.memory import MemoryConnector
from connectors.model import Calendar as RemoteCalendar
from connectors.protocol import Credentials
from ledger.db import Database
from ledger.messages import PullCalendar
from ledger.tables import Calendar, Connection, OutboxMessage
from sync.accounts import RARELY, STALE_AFTER, ask_for_due_pulls, jitter
from sync.errors import BookingsTaken, Disabled, NotFound, NotWritable
from tests.support.practices import NOON, Practice, at


def test_connecting_stores_a_sealed_secret_and_the_calendars(database: Database) -> None:
    practice = Practice(database)
    practice.server.add_calendar("work", "Europe/Berlin")
    practice.server.add_calendar("holidays", writable=False, transparent=True)
    ids = practice.connect()
    [row] = practice.rows(Connection)
    assert (row.provider, row.username, row.state, row.last_success_at) == ("memory", "anna", "ok", NOON)
    assert "secret" not in row.secret
    assert practice.accounts.vault.open(row.secret, f"connection:{row.id}") == "secret"
    work, holidays = practice.calendar(ids["work"]), practice.calendar(ids["holidays"])
    assert (work.timezone, work.writable, work.transparent) == ("Europe/Berlin", True, False)
    assert (holidays.writable, holidays.transparent) == (False, True)
    assert work.quirks["sync_token"] == "trusted"
    assert (work.busy, work.availability, work.bookings) == (False, False, False)
    assert practice.server.calls[0] == ("calendars", "")


@pytest.mark.parametrize("error", [NeedsReconnect(status=401), Unreachable(), Refused(status=403)])
def test_without_a_list_of_calendars_nothing_is_stored(sqlite: Database, error: ConnectorError) -> None:
    practice = Practice(sqlite)
    practice.server.fail_next(error, "calendars")
    with pytest.raises(type(error)):
        practice.connect()
    assert practice.rows(Connection) == []


def test_a_self_test_that_fails_costs_no_connection(sqlite: Database) -> None:
    practice = Practice(sqlite)
    practice.server.add_calendar("work")
    practice.server.fail_next(ServerFault(status=500), "selftest")
    calendar = practice.calendar(practice.connect()["work"])
    assert calendar.quirks["sync_token"] == "absent"
    assert calendar.quirks["notes"] == ["self-test failed: server_fault"]


def test_connecting_again_keeps_calendars_and_roles(database: Database) -> None:
    practice = Practice(database)
    work = practice.server.add_calendar("work")
    old, kept = practice.server.add_calendar("old"), practice.server.add_calendar("kept")
    practice.server.add_event(work, at(10), at(11))
    ids = practice.connect()
    practice.assign(ids["work"], busy=True, bookings=True)
    practice.assign(ids["kept"], busy=True)
    practice.work()
    first = practice.connection
    practice.server.password = "new secret"
    practice.server.remove_calendar(old)
    practice.server.remove_calendar(kept)
    practice.server.add_calendar("new")
    practice.pull(ids["work"])
    assert practice.state() == "reconnect"
    assert [r["key"] for r in practice.reviews("reconnect")] == [f"reconnect:{first}"]
    assert len(practice.busy()) == 1

    practice.credentials = Credentials("memory", practice.credentials.url, "anna", "new secret")
    practice.now += timedelta(minutes=1)
    again = practice.connect()
    assert practice.connection == first
    assert again.keys() == {"work", "kept", "new"}
    assert again["work"] == ids["work"]
    assert (practice.calendar(ids["work"]).busy, practice.calendar(ids["work"]).bookings) == (True, True)
    assert practice.calendar(ids["work"]).quirks["if_none_match"] is True, "what the probe found stays known"
    assert practice.state() == "ok"
    assert practice.reviews() == []
    practice.work()
    assert practice.calendar(ids["work"]).last_error == ""
    assert practice.calendar(ids["work"]).pulled_at == practice.now


def test_what_waited_for_credentials_goes_on_at_once(sqlite: Database) -> None:
    practice = Practice(sqlite)
    work = practice.server.add_calendar("work")
    practice.assign(practice.connect()["work"], bookings=True)
    practice.work()
    practice.server.password = "other"
    practice.book(at(9))
    practice.work()
    assert practice.server.hrefs(work) == []
    practice.credentials = Credentials("memory", practice.credentials.url, "anna", "other")
    practice.connect()
    practice.work()
    assert len(practice.server.hrefs(work)) == 1


@pytest.mark.parametrize("how", ["connected again", "the old password works again"])
def test_what_was_given_up_for_want_of_credentials_goes_on_as_well(sqlite: Database, how: str) -> None:
    practice = Practice(sqlite)
    work = practice.server.add_calendar("work")
    calendar = practice.connect()["work"]
    practice.assign(calendar, bookings=True)
    practice.work()
    practice.server.password = "other"
    start = at(9) + timedelta(days=9)
    practice.book(start)
    for _ in range(42):  # nobody is there for a weekend
        practice.later(minutes=31)
    (push,) = practice.rows(OutboxMessage, OutboxMessage.kind == "PushEvent")
    assert (push.state, practice.server.hrefs(work)) == ("parked", [])
    assert len(practice.reviews("unwritten_event")) == 1
    if how == "connected again":
        practice.credentials = Credentials("memory", practice.credentials.url, "anna", "other")
        practice.connect()
    else:
        practice.server.password = "secret"
        practice.pull(calendar)
    assert practice.reviews() == []
    practice.work()
    assert practice.state() == "ok"
    assert len(practice.server.hrefs(work)) == 1


def test_a_calendar_whose_zone_changed_is_listed_anew(sqlite: Database) -> None:
    practice = Practice(sqlite)
    work = practice.server.add_calendar("work", "UTC")
    practice.assign(practice.connect()["work"], busy=True)
    practice.work()
    moved = RemoteCalendar(work.href, work.name, "Asia/Tokyo")
    practice.server.collections[work.href].calendar = moved
    ids = practice.connect()
    assert practice.calendar(ids["work"]).token_kind == ""
    assert practice.calendar(ids["work"]).timezone == "Asia/Tokyo"


def test_a_rotated_secret_is_stored_at_once(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    practice = Practice(database)
    practice.server.add_calendar("work")
    practice.connect()

    class Rotating(MemoryConnector):
        def __init__(self, credentials: Credentials, endpoints: object, save: object) -> None:
            super().__init__(credentials)
            save(credentials.secret + "+")  # type: ignore[operator]

    monkeypatch.setattr("connectors.memory.MemoryConnector", Rotating)
    for expected in ("secret+", "secret++"):
        practice.accounts.open(practice.connection).close()
        row = practice.rows(Connection)[0]
        assert practice.accounts.vault.open(row.secret, f"connection:{row.id}") == expected


def test_a_worker_of_before_does_not_bring_the_old_grant_back(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    practice = Practice(database)
    practice.server.add_calendar("work")
    practice.connect()
    savers: list[Callable[[str], None]] = []

    class Keeping(MemoryConnector):
        def __init__(self, credentials: Credentials, endpoints: object, save: Callable[[str], None]) -> None:
            super().__init__(credentials)
            savers.append(save)

    monkeypatch.setattr("connectors.memory.MemoryConnector", Keeping)
    practice.accounts.open(practice.connection).close()
    old = savers.pop()
    old("rotated")
    practice.server.password = "new"
    practice.credentials = Credentials("memory", practice.credentials.url, "anna", "new")
    practice.connect()
    old("rotated again")
    row = practice.rows(Connection)[0]
    assert practice.accounts.vault.open(row.secret, f"connection:{row.id}") == "new"


def test_what_cant_be_opened(sqlite: Database) -> None:
    practice = Practice(sqlite)
    practice.server.add_calendar("work")
    practice.connect()
    with pytest.raises(NotFound):
        practice.accounts.open(4711)
    practice.accounts.disable(practice.connection, now=NOON, why="holiday")
    with pytest.raises(Disabled):
        practice.accounts.open(practice.connection)


# --- states -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [Unreachable(), Refused("invalid_client")])
def test_a_long_silence_is_stale_and_an_answer_heals_it(database: Database, error: ConnectorError) -> None:
    practice = Practice(database)
    practice.server.add_calendar("work")
    calendar = practice.connect()["work"]
    practice.assign(calendar, busy=True)
    practice.work()
    practice.now += STALE_AFTER
    practice.server.fail_next(error, times=1)
    practice.pull(calendar)
    assert practice.state() == "ok"
    practice.now += timedelta(seconds=30)
    practice.server.fail_next(error, times=1)
    practice.pull(calendar)
    row = practice.rows(Connection)[0]
    assert (row.state, row.state_since) == ("stale", practice.now)
    practice.now += timedelta(minutes=1)
    practice.pull(calendar)
    row = practice.rows(Connection)[0]
    assert (row.state, row.state_since, row.last_success_at) == ("ok", practice.now, practice.now)
    assert practice.reviews() == []


def test_a_switched_off_connection_stays_off(sqlite: Database) -> None:
    practice = Practice(sqlite)
    practice.connect()
    practice.accounts.disable(practice.connection, now=NOON)
    with sqlite.transaction() as tx:
        practice.accounts.note_failure(tx, practice.connection, NeedsReconnect(), now=NOON)
        practice.accounts.note_success(tx, practice.connection, now=NOON)
    assert practice.state() == "disabled"
    assert practice.reviews() == []


# --- what is due ------------------------------------------------------------------------------------------------------


def asked(practice: Practice) -> list[int]:
    rows = practice.rows(OutboxMessage, OutboxMessage.kind == "PullCalendar", OutboxMessage.state == "waiting")
    return sorted(row.body["calendar_id"] for row in rows)


def ask(practice: Practice, poll_seconds: int = 300) -> int:
    with practice.database.transaction() as tx:
        return ask_for_due_pulls(tx, now=practice.now, poll_seconds=poll_seconds)


def test_calendars_with_a_role_are_asked_for_when_due(database: Database) -> None:
    practice = Practice(database)
    for name in ("busy", "hours", "bookings", "none"):
        practice.server.add_calendar(name)
    ids = practice.connect()
    practice.assign(ids["busy"], busy=True)
    practice.assign(ids["hours"], availability=True)
    practice.assign(ids["bookings"], bookings=True)
    practice.work()
    roles = sorted([ids["busy"], ids["hours"], ids["bookings"]])
    assert ask(practice) == 3
    assert asked(practice) == roles
    assert ask(practice) == 0
    for calendar in roles:
        wait = practice.calendar(calendar).due_at - practice.now
        assert timedelta(seconds=270) <= wait <= timedelta(seconds=330)
    practice.work()
    practice.now += timedelta(seconds=331)
    assert ask(practice) == 3
    practice.accounts.disable(practice.connection, now=practice.now)
    practice.now += timedelta(seconds=331)
    assert ask(practice) == 0


def test_the_jitter_is_spread_and_always_the_same() -> None:
    values = [jitter(number) for number in range(1, 500)]
    assert values == [jitter(number) for number in range(1, 500)]
    assert 0.9 <= min(values) < 0.91
    assert 1.09 < max(values) <= 1.1


@pytest.mark.parametrize("error", [NeedsReconnect, CalendarGone, BadAnswer, Refused, ServerFault], ids=lambda e: e.code)
@pytest.mark.parametrize("poll_seconds", [3, 300])
def test_a_calendar_that_fails_is_tried_more_and_more_rarely(
    sqlite: Database, error: type[ConnectorError], poll_seconds: int
) -> None:
    """Soon at first, for it may be a passing fault; at last rarely, but always."""
    practice = Practice(sqlite)
    practice.server.add_calendar("work")
    calendar = practice.connect()["work"]
    practice.assign(calendar, busy=True)
    practice.work()
    waits = []
    for _ in range(14):
        ask(practice, poll_seconds)
        practice.server.fail_next(error(), "changes")
        practice.work()
        waits.append((practice.calendar(calendar).due_at - practice.now).total_seconds())
        practice.now = practice.calendar(calendar).due_at
    assert waits[0] <= poll_seconds * 1.1
    assert all(before * 1.4 <= after for before, after in pairwise(waits) if after < RARELY.total_seconds() * 0.75)
    assert RARELY * 0.75 <= timedelta(seconds=waits[-1]) <= RARELY * 1.25
    assert len(practice.rows(OutboxMessage, OutboxMessage.state == "parked")) <= 1, "one says enough"


@pytest.mark.parametrize("who", ["a pull", "a write"])
def test_once_credentials_are_good_again_every_calendar_is_read(sqlite: Database, who: str) -> None:
    practice = Practice(sqlite)
    for name in ("work", "private"):
        practice.server.add_calendar(name)
    ids = practice.connect()
    practice.assign(ids["work"], bookings=True)
    practice.assign(ids["private"], busy=True)
    practice.work()
    practice.server.password = "other"
    for _ in range(6):
        practice.now += timedelta(minutes=30)
        ask(practice)
        practice.work()
    assert practice.state() == "reconnect"
    practice.server.password = "secret"
    assert ask(practice) == 0, "nobody is due yet"
    if who == "a pull":
        practice.pull(ids["work"])
    else:
        practice.book(practice.now + timedelta(days=1))
        practice.work()
    assert practice.state() == "ok"
    ask(practice)
    practice.work()
    assert {practice.calendar(one).pulled_at for one in ids.values()} == {practice.now}


def test_a_throttled_calendar_is_not_asked_for_earlier_than_it_wants(sqlite: Database) -> None:
    from connectors.errors import Throttled

    practice = Practice(sqlite)
    practice.server.add_calendar("work")
    calendar = practice.connect()["work"]
    practice.assign(calendar, busy=True)
    practice.work()
    practice.server.fail_next(Throttled(status=429, retry_after=3000), "changes")
    practice.pull(calendar)
    practice.server.calls.clear()
    for _ in range(9):
        practice.now += timedelta(minutes=5)
        ask(practice)
        practice.work()
    assert practice.server.calls == []
    practice.now += timedelta(minutes=6)
    ask(practice)
    practice.work()
    assert practice.server.calls


# --- roles ------------------------------------------------------------------------------------------------------------


def test_bookings_need_one_calendar_that_can_be_written(database: Database) -> None:
    practice = Practice(database)
    for name, writable in (("work", True), ("second", True), ("feed", False)):
        practice.server.add_calendar(name, writable=writable)
    ids = practice.connect()
    practice.server.calls.clear()
    with pytest.raises(NotWritable):
        practice.assign(ids["feed"], bookings=True)
    assert practice.server.calls == []
    practice.assign(ids["work"], bookings=True)
    assert ("selftest", "/work/") in practice.server.calls
    assert practice.calendar(ids["work"]).quirks["if_none_match"] is True
    with pytest.raises(BookingsTaken, match="work"):
        practice.assign(ids["second"], bookings=True)
    practice.assign(ids["work"], bookings=False)
    practice.assign(ids["second"], bookings=True)
    with pytest.raises(NotFound):
        practice.assign(4711, busy=True)


def test_a_probe_that_fails_gives_no_role(sqlite: Database) -> None:
    practice = Practice(sqlite)
    practice.server.add_calendar("work")
    calendar = practice.connect()["work"]
    practice.server.fail_next(Refused(status=403), "selftest")
    with pytest.raises(Refused):
        practice.assign(calendar, bookings=True, busy=True)
    assert not practice.calendar(calendar).bookings
    assert not practice.calendar(calendar).busy


def test_pulls_are_asked_for_by_a_new_role(sqlite: Database) -> None:
    practice = Practice(sqlite)
    practice.server.add_calendar("work")
    calendar = practice.connect()["work"]
    practice.assign(calendar, busy=True)
    assert practice.rows(OutboxMessage)[0].key == PullCalendar(calendar).key
    with sqlite.reading() as tx:
        assert tx.execute(sa.select(Calendar.due_at).where(Calendar.id == calendar)).scalar() == practice.now
