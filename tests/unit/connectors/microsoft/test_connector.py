"""Microsoft's connector: writing once, keeping what is there, both voices."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connectors.errors import Conflict, Gone, NeedsReconnect, Refused, ServerFault, Throttled, Unreachable
from connectors.microsoft.connector import MicrosoftConnector
from connectors.microsoft.events import BOOKING_KEY
from connectors.model import Attendee, Entry, PartStat, Period, Quirks
from tests.support.microsoft import CLIENT_ID, MicrosoftWorld, microsoft_world

WINDOW = Period(datetime(2027, 1, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC))
START = datetime(2027, 3, 1, 10, tzinfo=UTC)
HOUR = timedelta(hours=1)
ENTRY = Entry("booking01", "u", "m", Period(START, START + HOUR), "Yoga", "Bring a mat")
LATER = replace(ENTRY, period=Period(START + HOUR, START + 2 * HOUR))
GUEST = replace(ENTRY, attendees=(Attendee("ada@client.example", "Ada"),))
NONE = Quirks()


@pytest.fixture
def world() -> Iterator[MicrosoftWorld]:
    with microsoft_world() as world:
        yield world


@pytest.fixture
def connector(world: MicrosoftWorld) -> MicrosoftConnector:
    return world.connect()


def held(world: MicrosoftWorld) -> list[str]:
    return world.control.holding(BOOKING_KEY, ENTRY.key)


def event(world: MicrosoftWorld, href: str) -> dict[str, Any]:
    (found,) = (row for row in world.control.state()["accounts"][0]["events"] if row["id"] == href)
    return dict(found)


TRANSACTIONS = [
    {"transaction": "same"},
    {"transaction": "refuse", "duplicate_status": 400},
    {"transaction": "refuse", "duplicate_status": 409, "duplicate_names_event": False},
    {"transaction": "ignore"},
]


@pytest.mark.parametrize("position", TRANSACTIONS)
@pytest.mark.parametrize("fault", ["commit_then_close", "commit_then_hang", "commit_then_status", "truncate", "html"])
def test_a_create_whose_answer_got_lost(
    world: MicrosoftWorld, connector: MicrosoftConnector, fault: str, position: dict[str, Any]
) -> None:
    for name, value in position.items():
        world.control.set_switch(name, value)
    world.control.add_fault(fault, method="POST", path="/events$", seconds=1.5)
    with pytest.raises((Unreachable, ServerFault)):
        world.connect(timeout=0.7).create(world.calendar, ENTRY, quirks=NONE)
    (href,) = held(world)
    written = connector.create(world.calendar, LATER, quirks=NONE)
    assert (written.href, written.adopted) == (href, True)
    assert held(world) == [href]
    assert event(world, href)["start"]["dateTime"].startswith("2027-03-01T11:00"), "it has the desired time now"
    assert written.etag == connector.fetch(world.calendar, href, WINDOW).etag
    assert world.control.mails() == []


@pytest.mark.parametrize("position", TRANSACTIONS[:3])
def test_a_create_that_the_look_up_misses(
    world: MicrosoftWorld, connector: MicrosoftConnector, position: dict[str, Any]
) -> None:
    """Listings lag: only the transaction id tells."""
    first = connector.create(world.calendar, ENTRY, quirks=NONE)
    for name, value in {**position, "lag_seconds": 600}.items():
        world.control.set_switch(name, value)
    if position.get("duplicate_names_event", True) and position["transaction"] == "refuse":
        with pytest.raises(Conflict, match="too new"):
            connector.create(world.calendar, ENTRY, quirks=NONE)
    elif position["transaction"] == "refuse":
        with pytest.raises(Conflict, match="can't be seen"):
            connector.create(world.calendar, ENTRY, quirks=NONE)
    else:
        assert connector.create(world.calendar, ENTRY, quirks=NONE).href == first.href
    assert held(world) == [first.href]
    world.control.set_switch("lag_seconds", 0)
    assert connector.create(world.calendar, ENTRY, quirks=NONE).adopted


def test_what_the_operator_moved_meanwhile_is_adopted_as_it_is(
    world: MicrosoftWorld, connector: MicrosoftConnector
) -> None:
    href = connector.create(world.calendar, ENTRY, quirks=NONE).href
    world.control.advance(60)
    world.control.move_event(href, START + 5 * HOUR, START + 6 * HOUR)
    written = connector.create(world.calendar, ENTRY, quirks=NONE)
    assert (written.href, written.adopted) == (href, True)
    assert event(world, href)["start"]["dateTime"].startswith("2027-03-01T15:00")


def test_the_sweep_leaves_the_one_we_know(world: MicrosoftWorld, connector: MicrosoftConnector) -> None:
    world.control.set_switch("transaction", "ignore")
    world.control.set_switch("lag_seconds", 600)
    hrefs = [connector.create(world.calendar, ENTRY, quirks=NONE).href for _ in range(3)]
    assert sorted(held(world)) == sorted(hrefs)
    assert connector.sweep(world.calendar, ENTRY.key, hrefs[1]) == (), "what can't be seen isn't swept"
    world.control.set_switch("lag_seconds", 0)
    world.control.move_to_calendar(hrefs[2], "Private")
    assert connector.sweep(world.calendar, ENTRY.key, "unknown") == ()
    assert set(connector.sweep(world.calendar, ENTRY.key, hrefs[1])) == {hrefs[0], hrefs[2]}
    assert held(world) == [hrefs[1]]
    assert connector.sweep(world.calendar, ENTRY.key, hrefs[1]) == ()


@pytest.mark.parametrize("named", [True, False])
def test_a_transaction_that_outlives_its_event(
    world: MicrosoftWorld, connector: MicrosoftConnector, named: bool
) -> None:
    world.control.set_switch("transaction_outlives", True)
    world.control.set_switch("duplicate_names_event", named)
    href = connector.create(world.calendar, ENTRY, quirks=NONE).href
    world.control.delete_event(href)
    world.control.advance(61)
    with pytest.raises(Gone if named else Conflict):
        connector.create(world.calendar, ENTRY, quirks=NONE)
    assert held(world) == []


def test_a_spontaneous_412_is_tried_again(world: MicrosoftWorld, connector: MicrosoftConnector) -> None:
    first = connector.create(world.calendar, ENTRY, quirks=NONE)
    world.control.add_fault("status", method="PATCH", status=412, code="ErrorIrresolvableConflict", count=2)
    written = connector.update(world.calendar, LATER, first.href, first.etag, quirks=NONE)
    assert written.etag != first.etag
    world.control.add_fault("status", method="PATCH", status=412, code="ErrorIrresolvableConflict", count=9)
    with pytest.raises(Conflict):
        connector.update(world.calendar, ENTRY, first.href, written.etag, quirks=NONE)
    world.control.clear_faults()
    world.control.add_fault("status", method="DELETE", status=412, code="ErrorIrresolvableConflict")
    connector.delete(world.calendar, first.href, written.etag)
    assert held(world) == []


def test_an_unchanged_update_writes_nothing(world: MicrosoftWorld, connector: MicrosoftConnector) -> None:
    first = connector.create(world.calendar, ENTRY, quirks=NONE)
    world.control.clear_requests()
    assert connector.update(world.calendar, ENTRY, first.href, first.etag, quirks=NONE).etag == first.etag
    assert not any(path.startswith("PATCH") for path in world.paths())


def test_an_update_in_a_race_is_a_conflict(world: MicrosoftWorld, connector: MicrosoftConnector) -> None:
    first = connector.create(world.calendar, ENTRY, quirks=NONE)
    calls = itertools.count(1)

    class Meanwhile:
        @contextmanager
        def __call__(self) -> Iterator[None]:
            if next(calls) == 3:  # read, listed, and now written: somebody is faster
                world.control.set_fields(first.href, {"importance": "high"})
            yield

        def close(self) -> None:
            pass

    racing = world.connect_with(world.control.grant(CLIENT_ID), take_turns=lambda _account, _at_once: Meanwhile())
    with pytest.raises(Conflict):
        racing.update(world.calendar, LATER, first.href, first.etag, quirks=NONE)
    assert event(world, first.href)["start"]["dateTime"].startswith("2027-03-01T10:00")
    assert [path.split()[0] for path in world.paths()][-1] == "GET", "read again after the 412"
    assert connector.update(world.calendar, LATER, first.href, "", quirks=NONE).href == first.href


def test_an_event_made_all_day_becomes_a_time_again(world: MicrosoftWorld, connector: MicrosoftConnector) -> None:
    href = connector.create(world.calendar, ENTRY, quirks=NONE).href
    world.control.set_all_day(href, "2027-03-01")
    seen = connector.fetch(world.calendar, href, WINDOW)
    assert seen.occurrences[0].all_day
    connector.update(world.calendar, ENTRY, href, seen.etag, quirks=NONE)
    assert connector.fetch(world.calendar, href, WINDOW).occurrences[0].period == ENTRY.period


@pytest.mark.parametrize("second", [404, 403])
@pytest.mark.parametrize("answers", [404, 200])
def test_deleting_what_is_deleted(
    world: MicrosoftWorld, connector: MicrosoftConnector, second: int, answers: int
) -> None:
    world.control.set_switch("second_delete", second)
    world.control.set_switch("deleted_answers", answers)
    written = connector.create(world.calendar, ENTRY, quirks=NONE)
    world.control.delete_event(written.href)
    world.control.advance(61)
    connector.delete(world.calendar, written.href)
    connector.delete(world.calendar, written.href, written.etag)
    connector.delete(world.calendar, "unknown")


def test_a_delete_whose_answer_got_lost(world: MicrosoftWorld, connector: MicrosoftConnector) -> None:
    written = connector.create(world.calendar, ENTRY, quirks=NONE)
    world.control.add_fault("commit_then_close", method="DELETE")
    with pytest.raises(Unreachable):
        connector.delete(world.calendar, written.href, written.etag)
    connector.delete(world.calendar, written.href, written.etag)
    assert held(world) == []


def test_a_delete_that_is_refused(world: MicrosoftWorld, connector: MicrosoftConnector) -> None:
    written = connector.create(world.calendar, ENTRY, quirks=NONE)
    world.control.add_fault("status", method="DELETE", status=403, code="ErrorCannotDeleteObject", count=2)
    with pytest.raises(Conflict):
        connector.delete(world.calendar, written.href)
    world.control.clear_faults()
    world.control.add_fault("status", method="DELETE", status=403, code="ErrorAccessDenied")
    with pytest.raises(Refused):
        connector.delete(world.calendar, written.href)
    assert held(world) == [written.href]


def test_lost_access(world: MicrosoftWorld, connector: MicrosoftConnector) -> None:
    written = connector.create(world.calendar, ENTRY, quirks=NONE)
    world.control.set_access("Work", False)
    with pytest.raises(Refused):
        connector.create(world.calendar, replace(ENTRY, key="booking02"), quirks=NONE)
    assert connector.fetch(world.calendar, written.href, WINDOW)
    with pytest.raises(Refused):
        connector.delete(world.calendar, written.href)
    with pytest.raises(NeedsReconnect):
        world.connect(scope="Calendars.Read User.Read").calendars()
    world.control.revoke()
    with pytest.raises(NeedsReconnect):
        connector.fetch(world.calendar, written.href, WINDOW)


def test_throttling_is_passed_on(world: MicrosoftWorld, connector: MicrosoftConnector) -> None:
    world.control.add_fault("status", method="POST", path="/events$", status=429, code="x", retry_after="31")
    with pytest.raises(Throttled) as caught:
        connector.create(world.calendar, ENTRY, quirks=NONE)
    assert caught.value.retry_after == 31.0
    assert held(world) == []


def test_our_own_voice_mails_nobody(world: MicrosoftWorld, connector: MicrosoftConnector) -> None:
    written = connector.create(world.calendar, ENTRY, quirks=NONE)
    after = connector.update(world.calendar, LATER, written.href, written.etag, quirks=NONE)
    connector.delete(world.calendar, written.href, after.etag)
    assert world.control.mails() == []


def test_the_native_voice(world: MicrosoftWorld, connector: MicrosoftConnector) -> None:
    meeting = replace(GUEST, conference=True)
    written = connector.create(world.calendar, meeting, quirks=NONE)
    made = event(world, written.href)
    assert made["isOnlineMeeting"]
    assert made["onlineMeeting"]["joinUrl"]
    seen = connector.fetch(world.calendar, written.href, WINDOW)
    assert [(guest.email, guest.partstat) for guest in seen.attendees] == [
        ("ada@client.example", PartStat.NEEDS_ACTION)
    ]
    world.control.decline(written.href, "ada@client.example")
    changes = connector.changes(world.calendar, None, WINDOW, dict, quirks=NONE)
    assert changes.changed[0].attendees[0].partstat is PartStat.DECLINED

    moved = replace(meeting, period=LATER.period, description="Bring two mats")
    connector.update(world.calendar, moved, written.href, "", quirks=NONE)
    assert event(world, written.href)["isOnlineMeeting"], "its text still joins people to the meeting"
    connector.delete(world.calendar, written.href)
    assert [(mail["kind"], mail["to"]) for mail in world.control.mails()] == [
        ("invitation", "ada@client.example"),
        ("update", "ada@client.example"),
        ("cancellation", "ada@client.example"),
    ]
    assert f"POST /v1.0/me/events/{written.href}/cancel".replace("/", "") in {
        path.replace("%2F", "").replace("%2B", "+").replace("%3D", "=").replace("/", "") for path in world.paths()
    }
    connector.delete(world.calendar, written.href)
    assert len(world.control.mails()) == 3


@pytest.mark.parametrize("guarded", [True, False])
@pytest.mark.parametrize(("position", "repeated"), [("same", "adopted"), ("refuse", "refused"), ("ignore", "ignored")])
def test_the_selftest_tells_what_it_found(
    world: MicrosoftWorld, connector: MicrosoftConnector, position: str, repeated: str, guarded: bool
) -> None:
    world.control.set_switch("transaction", position)
    world.control.set_switch("if_match", guarded)
    found = connector.selftest(world.calendar, write=True)
    assert found.extra == {"transaction_id": repeated, "if_match": "honoured" if guarded else "ignored"}
    assert (found.sync_token, found.etag_on_put) == ("trusted", True)
    assert world.control.state()["accounts"][0]["events"] == []
    world.control.clear_requests()
    assert connector.selftest(world.calendar, write=False).sync_token == "trusted"
    assert len(world.paths()) == 1


def test_production_needs_no_rewriting() -> None:
    """Settings that name nothing else leave the hosts as they are."""
    from connectors.microsoft.graph import GRAPH, LOGIN
    from connectors.protocol import Endpoints

    assert Endpoints().microsoft_graph_root == GRAPH
    assert Endpoints().microsoft_authority == LOGIN
