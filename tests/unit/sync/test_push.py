"""Writing our event: whatever is repeated, lost or raced, one event at the wished time, and the operator's hand on top."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest

from connectors.errors import (
    BadAnswer,
    CalendarGone,
    ConnectorError,
    NeedsReconnect,
    Refused,
    ServerFault,
    Throttled,
    Unreachable,
)
from connectors.model import Event, Period
from ledger.db import Database
from ledger.entries import deployment_id
from ledger.messages import PushEvent, RemoteMove
from ledger.tables import OutboxMessage, SlotEvent
from sync.accounts import Accounts
from sync.push import push_event
from tests.support.practices import NOON, Crashes, Practice, at

WINDOW = Period(NOON - timedelta(days=1), NOON + timedelta(days=30))
UNKNOWN = [Unreachable(), ServerFault(status=500), BadAnswer()]


class Desk:
    """A practice whose bookings go into ``work``."""

    def __init__(self, database: Database) -> None:
        self.practice = Practice(database)
        self.server = self.practice.server
        self.work = self.server.add_calendar("work")
        self.id = self.practice.connect()["work"]
        self.practice.assign(self.id, bookings=True, busy=True)
        self.practice.work()
        self.server.calls.clear()

    def events(self) -> list[Event]:
        return self.server.events(self.work, WINDOW)

    def times(self) -> list[float]:
        """Hours of tomorrow at which events of ours begin."""
        return sorted((e.occurrences[0].period.start - at(0)) / timedelta(hours=1) for e in self.events() if e.own_key)

    def calls(self) -> list[str]:
        return [name for name, _ in self.server.calls]

    def booked(self, hour: float = 9) -> int:
        slot = self.practice.book(at(hour))
        self.practice.work()
        self.practice.now += timedelta(minutes=1)
        self.server.calls.clear()
        return slot


def test_a_new_event_is_created_once_and_noted(database: Database) -> None:
    desk = Desk(database)
    practice = desk.practice
    slot = practice.book(at(9), title="Anna with Bob")
    practice.work()
    event = practice.event(slot)
    assert (event.state, event.pushed_version, event.confirmed_at) == ("confirmed", 1, practice.now)
    assert (event.pushed_start, event.pushed_end) == (at(9), at(10))
    [there] = desk.events()
    assert (there.href, there.etag, there.uid, there.own_key) == (event.href, event.etag, event.uid, event.key)
    assert there.occurrences[0].title == "Anna with Bob"
    raw = desk.server.raw(desk.work, event.href).replace(b"\r\n ", b"").decode()
    with database.reading() as tx:
        assert f"{deployment_id(tx)}:{slot}:0" in raw
    assert "ATTENDEE" not in raw
    assert desk.calls() == ["create"]
    [row] = practice.remote(desk.id)
    assert (row.href, row.etag, row.slot_event_id) == (event.href, event.etag, event.id)


def test_an_update_names_the_etag_that_it_rests_on(database: Database) -> None:
    desk = Desk(database)
    slot = desk.booked()
    desk.practice.wish(slot, at(11))
    desk.practice.work()
    assert desk.calls() == ["update"]
    assert desk.times() == [11]
    event = desk.practice.event(slot)
    assert (event.state, event.pushed_version, event.pushed_start) == ("confirmed", 2, at(11))


def test_older_wishes_are_passed_over(sqlite: Database) -> None:
    desk = Desk(sqlite)
    slot = desk.practice.book(at(9))
    desk.practice.wish(slot, at(10))
    desk.practice.wish(slot, at(11))
    desk.practice.work()
    assert desk.calls() == ["create"]
    assert desk.times() == [11]
    assert {r.state for r in desk.practice.rows(OutboxMessage, OutboxMessage.kind == "PushEvent")} == {"done"}


def test_deleted_when_unwished(database: Database) -> None:
    desk = Desk(database)
    slot = desk.booked()
    desk.practice.unwish(slot)
    desk.practice.work()
    assert desk.calls() == ["delete"]
    assert desk.events() == []
    assert desk.practice.event(slot).state == "gone"
    assert desk.practice.remote(desk.id) == []
    desk.practice.pull(desk.id)
    assert desk.practice.facts() == []
    assert not desk.practice.rows(OutboxMessage, OutboxMessage.kind == "LookForEvent")


def test_deleted_though_the_operator_wrote_notes(sqlite: Database) -> None:
    desk = Desk(sqlite)
    slot = desk.booked()
    _annotate(desk, slot)
    desk.practice.unwish(slot)
    desk.practice.work()
    assert desk.events() == []


def test_what_was_never_sent_needs_no_call(sqlite: Database) -> None:
    desk = Desk(sqlite)
    slot = desk.practice.book(at(9))
    desk.practice.unwish(slot)
    desk.practice.work()
    assert desk.calls() == []
    assert desk.practice.event(slot).state == "gone"


def test_without_a_calendar_it_waits_for_one(sqlite: Database) -> None:
    practice = Practice(sqlite)
    work = practice.server.add_calendar("work")
    calendar = practice.connect()["work"]
    slot = practice.book(at(9))
    practice.work()
    assert practice.event(slot).state == "planned"
    practice.assign(calendar, bookings=True)
    practice.work()
    assert practice.event(slot).state == "confirmed"
    assert len(practice.server.hrefs(work)) == 1


# --- lost answers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [False, True], ids=["not-done", "done"])
@pytest.mark.parametrize("error", UNKNOWN, ids=lambda e: e.code)
def test_a_lost_answer_to_a_create_makes_no_second_event(
    database: Database, error: ConnectorError, after: bool
) -> None:
    desk = Desk(database)
    slot = desk.practice.book(at(9))
    desk.server.fail_next(error, "create", after=after)
    desk.practice.work()
    assert desk.practice.event(slot).state == "sent"
    desk.practice.pull(desk.id)
    assert desk.practice.busy() == []
    desk.practice.later(minutes=1)
    assert desk.times() == [9]
    assert desk.practice.event(slot).state == "confirmed"
    assert desk.practice.facts() == []


@pytest.mark.parametrize("after", [False, True], ids=["not-done", "done"])
@pytest.mark.parametrize("error", UNKNOWN, ids=lambda e: e.code)
def test_a_lost_answer_to_an_update_is_found_out(sqlite: Database, error: ConnectorError, after: bool) -> None:
    desk = Desk(sqlite)
    slot = desk.booked()
    desk.practice.wish(slot, at(11))
    desk.server.fail_next(error, "update", after=after)
    desk.practice.work()
    desk.practice.pull(desk.id)
    desk.practice.later(minutes=1)
    assert desk.times() == [11]
    assert desk.practice.event(slot).pushed_version == 2
    assert desk.practice.facts() == []


@pytest.mark.parametrize("after", [False, True], ids=["not-done", "done"])
@pytest.mark.parametrize("seen", [False, True], ids=["unseen", "pulled"])
def test_a_create_whose_answer_was_lost_is_cleaned_up(sqlite: Database, after: bool, seen: bool) -> None:
    desk = Desk(sqlite)
    slot = desk.practice.book(at(9))
    desk.server.fail_next(Unreachable(), "create", after=after)
    desk.practice.work()
    if seen:
        desk.practice.pull(desk.id)
    desk.practice.unwish(slot)
    desk.practice.later(minutes=1)
    assert desk.events() == []
    assert desk.practice.event(slot).state == "gone"


def test_a_lost_create_and_a_newer_wish(sqlite: Database) -> None:
    """The event of the first attempt is brought up to the newest wish; that is no move of the operator's."""
    desk = Desk(sqlite)
    slot = desk.practice.book(at(9))
    desk.server.fail_next(Unreachable(), "create", after=True)
    desk.practice.work()
    desk.practice.wish(slot, at(11))
    desk.practice.later(minutes=1)
    assert desk.times() == [11]
    assert desk.practice.facts() == []
    assert desk.practice.event(slot).pushed_start == at(11)


@pytest.mark.parametrize("transaction", [2, 1])
@pytest.mark.parametrize("step", ["create", "update", "delete"])
def test_a_crash_at_any_commit_is_repaired_by_repeating(database: Database, step: str, transaction: int) -> None:
    desk = Desk(database)
    practice = desk.practice
    slot = practice.book(at(9))
    if step != "create":
        practice.work()
        practice.now += timedelta(minutes=1)
        practice.wish(slot, at(11)) if step == "update" else practice.unwish(slot)
    dying = Accounts(Crashes(database, transaction), practice.accounts.vault, practice.accounts.endpoints)
    leased = practice.begin(PushEvent)
    with pytest.raises(SystemExit):
        push_event(dying, leased, clock=practice.clock)
    practice.later(minutes=2)
    assert desk.times() == {"create": [9], "update": [11], "delete": []}[step]
    assert practice.event(slot).state == ("gone" if step == "delete" else "confirmed")
    practice.pull(desk.id)
    assert practice.facts() == []


@pytest.mark.parametrize("step", ["create", "update", "delete"])
def test_two_workers_at_one_event_do_no_harm(database: Database, step: str) -> None:
    """One lost its lease, as it believes to be alone still."""
    desk = Desk(database)
    practice = desk.practice
    slot = practice.book(at(9))
    if step != "create":
        practice.work()
        practice.now += timedelta(minutes=1)
        practice.wish(slot, at(11)) if step == "update" else practice.unwish(slot)
    slow = practice.begin(PushEvent)
    practice.now += timedelta(minutes=2)
    quick = practice.begin(PushEvent)
    errors: list[BaseException] = []

    def run(leased: Any) -> None:
        try:
            push_event(practice.accounts, leased, clock=practice.clock)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(leased,)) for leased in (slow, quick)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {type(error).__name__ for error in errors} <= {"LeaseLost", "Conflict"}
    practice.later(minutes=5)
    assert desk.times() == {"create": [9], "update": [11], "delete": []}[step]
    assert practice.event(slot).state == ("gone" if step == "delete" else "confirmed")
    practice.pull(desk.id)
    assert practice.facts() == []


# --- the operator's hand ----------------------------------------------------------------------------------------------


def test_notes_of_the_operator_survive_an_update(sqlite: Database) -> None:
    desk = Desk(sqlite)
    slot = desk.booked()
    _annotate(desk, slot)
    desk.practice.wish(slot, at(11), title="Follow-up")
    desk.practice.work()
    assert desk.calls() == ["update", "fetch", "update"]
    raw = desk.server.raw(desk.work, desk.practice.event(slot).href)
    assert b"X-NOTE:bring cake" in raw
    assert b"Follow-up" in raw
    assert desk.times() == [11]
    assert desk.practice.facts() == []


def test_a_time_the_operator_chose_is_not_overwritten(database: Database) -> None:
    desk = Desk(database)
    slot = desk.booked()
    practice = desk.practice
    desk.server.move(desk.work, practice.event(slot).href, at(15), at(16))
    practice.wish(slot, at(11))
    practice.work()
    assert desk.times() == [15]
    event = practice.event(slot)
    assert practice.facts() == [RemoteMove(event.id, slot, 2, at(15), at(16))]
    assert (event.state, event.pushed_version) == ("confirmed", 1)
    practice.pull(desk.id)
    assert len(practice.facts()) == 1


def test_a_deletion_found_by_an_update_is_looked_into(database: Database) -> None:
    desk = Desk(database)
    slot = desk.booked()
    practice = desk.practice
    desk.server.remove(desk.work, practice.event(slot).href)
    practice.wish(slot, at(11))
    practice.work()
    assert practice.event(slot).missing_since == practice.now
    assert practice.facts() == []
    practice.later(minutes=1)
    assert [type(f).__name__ for f in practice.facts()] == ["RemoteCancellation"]
    practice.later(hours=1)
    assert desk.times() == []
    assert {r.state for r in practice.rows(OutboxMessage, OutboxMessage.kind == "PushEvent")} == {"done"}


def test_a_deletion_found_by_a_repeated_create_is_looked_into(sqlite: Database) -> None:
    """The answer was lost, the operator saw the event and deleted it; no second one is put there."""
    desk = Desk(sqlite)
    practice = desk.practice
    practice.book(at(9), grace=0)
    desk.server.fail_next(Unreachable(), "create", after=True)
    practice.work()
    desk.server.remove(desk.work, desk.events()[0].href)
    practice.later(minutes=1)
    assert desk.events() == []
    assert [type(f).__name__ for f in practice.facts()] == ["RemoteCancellation"]


def test_an_event_that_came_back_gets_the_wish_that_waited(sqlite: Database) -> None:
    desk = Desk(sqlite)
    slot = desk.booked()
    practice = desk.practice
    href, raw = practice.event(slot).href, desk.server.raw(desk.work, practice.event(slot).href)
    desk.server.remove(desk.work, href)
    practice.wish(slot, at(11))
    practice.work()
    desk.server.put(desk.work, raw, href)
    practice.later(minutes=1)
    practice.later(minutes=1)
    assert desk.times() == [11]
    assert practice.facts() == []


def test_after_a_move_that_was_taken_over_words_can_change(sqlite: Database) -> None:
    desk = Desk(sqlite)
    slot = desk.booked()
    practice = desk.practice
    desk.server.move(desk.work, practice.event(slot).href, at(15), at(16))
    practice.pull(desk.id)
    practice.turn_over()
    practice.wish(slot, at(15), there=True)
    practice.wish(slot, at(15), title="Changed")
    practice.work()
    assert desk.times() == [15]
    assert desk.events()[0].occurrences[0].title == "Changed"
    assert practice.facts() == []


def test_an_event_without_an_etag_is_read_before_it_is_written(sqlite: Database) -> None:
    """A server that tells no etag on PUT must not make us write blindly."""
    desk = Desk(sqlite)
    slot = desk.booked()
    practice = desk.practice
    with sqlite.transaction() as tx:
        tx.execute(SlotEvent.__table__.update().values(etag=""))  # type: ignore[attr-defined]
    desk.server.move(desk.work, practice.event(slot).href, at(15), at(16))
    practice.wish(slot, at(11))
    practice.work()
    assert desk.calls() == ["fetch"]
    assert desk.times() == [15]
    assert len(practice.facts("RemoteMove")) == 1


# --- failures ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [Throttled(status=429), NeedsReconnect(status=401), CalendarGone(status=404)], ids=lambda e: e.code)  # fmt: skip
def test_a_call_that_was_surely_not_done_leaves_the_state_as_it_was(sqlite: Database, error: ConnectorError) -> None:
    desk = Desk(sqlite)
    slot = desk.booked()
    desk.practice.wish(slot, at(11))
    desk.server.fail_next(error, "update")
    desk.practice.work()
    assert desk.practice.event(slot).state == "confirmed"
    assert desk.practice.state() == ("reconnect" if isinstance(error, NeedsReconnect) else "ok")
    desk.practice.later(hours=1)
    assert desk.times() == [11]


@pytest.mark.parametrize("call", ["create", "update", "delete"])
def test_a_passing_refusal_loses_no_write(sqlite: Database, call: str) -> None:
    """A gateway, a quota or a share that is back in an hour: nobody has to try it again by hand."""
    desk = Desk(sqlite)
    desk.server.fail_next(Refused(status=403), call, times=3)
    slot = desk.booked()
    if call != "create":
        desk.practice.wish(slot, at(11))
    if call == "delete":
        desk.practice.unwish(slot)
    for _ in range(4):
        desk.practice.later(hours=1)
    assert desk.times() == {"create": [9], "update": [11], "delete": []}[call]
    assert not desk.practice.rows(OutboxMessage, OutboxMessage.state == "parked")


def test_a_refusal_that_stays_is_parked_for_a_human(sqlite: Database) -> None:
    desk = Desk(sqlite)
    slot = desk.booked()
    desk.practice.wish(slot, at(11) + timedelta(days=9))
    desk.server.fail_next(Refused(status=403), "update", times=1000)
    for _ in range(36):
        desk.practice.later(minutes=31)
    [row] = desk.practice.rows(OutboxMessage, OutboxMessage.state == "parked")
    assert row.kind == "PushEvent"
    [review] = desk.practice.reviews()
    assert (review["kind"], review["slot_id"]) == ("unwritten_event", slot)
    desk.server.move(desk.work, desk.practice.event(slot).href, at(15) + timedelta(days=9), at(16) + timedelta(days=9))
    desk.practice.pull(desk.id)
    assert len(desk.practice.facts("RemoteMove")) == 1, "facts are recorded all the same"


def test_a_disabled_connection_is_left_in_peace(sqlite: Database) -> None:
    desk = Desk(sqlite)
    desk.practice.accounts.disable(desk.practice.connection, now=NOON)
    slot = desk.practice.book(at(9))
    desk.practice.work()
    assert desk.calls() == []
    assert desk.practice.event(slot).state == "planned"
    desk.practice.connect()
    desk.practice.later(hours=1)
    assert desk.practice.event(slot).state == "confirmed"


def _annotate(desk: Desk, slot: int) -> None:
    href = desk.practice.event(slot).href
    raw = desk.server.raw(desk.work, href).replace(b"END:VEVENT", b"X-NOTE:bring cake\r\nEND:VEVENT")
    desk.server.put(desk.work, raw, href)
