"""A pull: what it changes in the ledger, what it tells booking, and what it never does."""

from __future__ import annotations

import json
from datetime import date, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

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
from connectors.memory_server import simple_object
from ledger import outbox
from ledger.backoff import NotYet
from ledger.db import Base, Database
from ledger.messages import PullCalendar, RemoteMove, RemoteOverlap
from ledger.tables import Busy, Calendar, Operator, OutboxMessage, RemoteEvent, SlotEvent
from sync.accounts import Accounts
from sync.pull import pull, pull_calendar
from sync.verdicts import accept_shrink
from tests.support.practices import NOON, Crashes, Practice, at

ERRORS = [
    NeedsReconnect(status=401),
    Refused(status=403),
    CalendarGone(status=404),
    Throttled(status=429, retry_after=60),
    ServerFault(status=500),
    Unreachable(),
    BadAnswer(),
]


def kinds(practice: Practice) -> list[str]:
    return [type(fact).__name__ for fact in practice.facts()]


class Week:
    """A practice with one calendar ``work`` that counts as busy and takes the bookings."""

    def __init__(self, database: Database, *, events: int = 0, sync_tokens: bool = True, **roles: bool) -> None:
        self.practice = Practice(database, sync_tokens=sync_tokens)
        self.server = self.practice.server
        self.work = self.server.add_calendar("work")
        self.hrefs = [self.server.add_event(self.work, at(10, day), at(11, day)) for day in range(1, events + 1)]
        self.id = self.practice.connect()["work"]
        self.practice.assign(self.id, **(roles or {"busy": True, "bookings": True}))
        self.practice.work()

    def pull(self) -> None:
        self.practice.pull(self.id)

    def booked(self, hour: float = 9, day: int = 1, **options: Any) -> tuple[int, str]:
        """A slot whose event is confirmed and was seen; its href."""
        slot = self.practice.book(at(hour, day), **options)
        self.practice.now += timedelta(minutes=1)
        self.pull()
        self.practice.now += timedelta(minutes=1)
        assert self.practice.event(slot).state == "confirmed"
        return slot, str(self.practice.event(slot).href)


# --- foreign time -----------------------------------------------------------------------------------------------------


def test_busy_events_close_time_and_removed_ones_keep_it_for_the_line(database: Database) -> None:
    week = Week(database, events=2)
    practice = week.practice
    assert practice.busy() == [(at(10), at(11)), (at(10, 2), at(11, 2))]
    assert practice.facts() == []

    week.server.remove(week.work, week.hrefs[0])
    week.pull()
    assert practice.busy() == [(at(10, 2), at(11, 2))]
    assert practice.busy(freed=True) == [(at(10), at(11))]
    assert kinds(practice) == ["TimeFreed"]


def test_the_rules_of_a_calendar_decide_what_blocks(database: Database) -> None:
    week = Week(database)
    server, practice = week.server, week.practice
    server.add_event(week.work, at(8), at(9), lines=["STATUS:TENTATIVE"])
    server.add_event(week.work, at(9), at(10), lines=["TRANSP:TRANSPARENT"])
    server.add_event(week.work, at(10), at(11), lines=["STATUS:CANCELLED"])
    server.add_event(week.work, at(12), at(12))
    server.add_event(week.work, date(2026, 11, 26), date(2026, 11, 27))
    week.pull()
    assert practice.busy() == [(at(8), at(9)), (at(0, 3), at(0, 4))]

    practice.assign(week.id, tentative_blocks=False, all_day_blocks=False)
    practice.work()
    assert practice.busy() == []
    assert len(practice.busy(freed=True)) == 2
    practice.turn_over()
    practice.assign(week.id, all_day_blocks=True)
    practice.work()
    assert practice.busy() == [(at(0, 3), at(0, 4))]


def test_a_change_leaves_other_periods_alone(database: Database) -> None:
    """A series that loses one day keeps the rows of the others."""
    week = Week(database)
    practice = week.practice
    raw = simple_object("series@x", at(10), at(11), "Busy", ["RRULE:FREQ=DAILY;COUNT=5"])
    href = week.server.put(week.work, raw)
    week.pull()
    before = {r.starts_at: r.id for r in practice.rows(Busy)}
    assert len(before) == 5
    gone = at(10, 3)
    week.server.put(week.work, raw.replace(b"RRULE", f"EXDATE:{gone:%Y%m%dT%H%M%SZ}\r\nRRULE".encode()), href)
    week.pull()
    after = {r.starts_at: r.id for r in practice.rows(Busy, ~Busy.freed)}
    assert after == {start: row for start, row in before.items() if start != gone}


def test_nothing_new_bumps_no_version_and_touches_no_rows(database: Database) -> None:
    week = Week(database, events=3)
    before = [tuple(r) for r in week.practice.rows(Busy)], week.practice.rows(Operator)[0].ledger_version
    week.server.calls.clear()
    week.pull()
    assert ([tuple(r) for r in week.practice.rows(Busy)], week.practice.rows(Operator)[0].ledger_version) == before
    assert week.server.calls == [("changes", week.work.href)]


@pytest.mark.parametrize("sync_tokens", [True, False])
def test_an_expired_token_is_no_loss(sqlite: Database, sync_tokens: bool) -> None:
    week = Week(sqlite, events=3, sync_tokens=sync_tokens)
    ids = {r.id for r in week.practice.rows(Busy)}
    week.server.expire_tokens()
    week.server.add_event(week.work, at(16), at(17))
    week.pull()
    rows = week.practice.rows(Busy)
    assert len(rows) == 4
    assert ids < {r.id for r in rows}
    assert week.practice.failures == []


def test_a_rule_is_applied_without_tokens_too(sqlite: Database) -> None:
    """A provider that compares etags must be asked for everything again, changed or not."""
    week = Week(sqlite, sync_tokens=False)
    week.server.add_event(week.work, at(8), at(9), lines=["STATUS:TENTATIVE"])
    week.pull()
    assert week.practice.busy() == [(at(8), at(9))]
    week.practice.assign(week.id, tentative_blocks=False)
    week.practice.work()
    assert week.practice.busy() == []


def test_the_window_moves_on_when_little_of_it_is_left(sqlite: Database) -> None:
    week = Week(sqlite)
    week.server.add_event(week.work, at(10, 450), at(11, 450))
    week.pull()
    assert week.practice.busy() == []
    week.practice.now += timedelta(days=150)
    week.pull()
    assert week.practice.busy() == []
    week.practice.now += timedelta(days=60)
    week.pull()
    assert week.practice.busy() == [(at(10, 450), at(11, 450))]


def test_the_past_leaves_without_asking_the_line(sqlite: Database) -> None:
    week = Week(sqlite, events=3)
    week.practice.now += timedelta(days=230)
    week.pull()
    assert week.practice.busy() == []
    assert week.practice.busy(freed=True) == []
    assert week.practice.facts() == []


def test_other_time_zone_data_asks_for_everything_again(sqlite: Database) -> None:
    week = Week(sqlite, events=1)
    with sqlite.transaction() as tx:
        tx.execute(sa.update(Calendar).values(tz_version="2001a"))
        tx.execute(sa.update(Busy).values(ends_at=at(15)))  # as older rules had computed it
    week.pull()
    assert week.practice.busy() == [(at(10), at(11))]
    assert week.practice.calendar(week.id).tz_version not in ("", "2001a")


# --- openings ---------------------------------------------------------------------------------------------------------


def test_openings_are_fresh_until_the_line_had_its_turn(database: Database) -> None:
    week = Week(database, availability=True)
    practice = week.practice
    href = week.server.add_event(week.work, at(10), at(12), "Morning Yoga, 8 seats", lines=["CATEGORIES:Group"])
    week.pull()
    assert practice.openings() == [(at(10), "morning yoga, 8 seats group", 8)]
    assert kinds(practice) == ["TimeFreed"]
    practice.turn_over()
    week.server.remove(week.work, href)
    week.pull()
    assert practice.openings() == []
    assert kinds(practice) == ["HoursClosed"]  # people may be booked in them


def test_an_unanswered_invitation_opens_nothing(sqlite: Database) -> None:
    week = Week(sqlite, availability=True)
    week.server.own_addresses = frozenset({"anna@x.test"})
    invited = ["ORGANIZER:mailto:eve@x.test", "ATTENDEE;PARTSTAT=NEEDS-ACTION:mailto:anna@x.test"]
    week.server.add_event(week.work, at(10), at(12), "Free", lines=invited)
    week.pull()
    assert week.practice.openings() == []


# --- errors change nothing --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [CalendarGone(status=404), Refused("invalid_client")], ids=lambda e: e.code)
@pytest.mark.parametrize("end", ["read again", "not used any more"])
def test_a_calendar_that_stays_unreadable_is_told_once(database: Database, error: ConnectorError, end: str) -> None:
    week = Week(database, events=1)
    practice = week.practice
    for minutes in (1, 5, 11, 30, 30):
        practice.now += timedelta(minutes=minutes)
        week.server.fail_next(error, "changes")
        week.pull()
        told = practice.reviews("calendar_unreadable")
        assert len(told) == (0 if minutes < 11 else 1)
        assert practice.busy() == [(at(10), at(11))], "what was known stays"
    assert told[0]["detail"]["calendar"] == "work"
    assert error.detail in told[0]["detail"]["why"]
    assert practice.facts() == []

    if end == "read again":
        week.pull()
    else:
        practice.assign(week.id, busy=False, bookings=False)
    assert practice.reviews() == []


def test_a_server_that_is_away_for_hours_is_no_matter_of_one_calendar(sqlite: Database) -> None:
    week = Week(sqlite)
    for _ in range(5):
        week.practice.now += timedelta(minutes=20)
        week.server.fail_next(Unreachable(), "changes")
        week.pull()
    assert week.practice.state() == "stale"
    assert week.practice.reviews() == []


@pytest.mark.parametrize("error", ERRORS, ids=lambda e: e.code)
def test_an_error_changes_nothing_but_what_is_said_about_the_calendar(sqlite: Database, error: ConnectorError) -> None:
    week = Week(sqlite, events=3)
    practice = week.practice
    slot, _ = week.booked(14)
    before = practice.calendar(week.id)
    events = [tuple(r) for r in practice.rows(SlotEvent)]
    week.server.fail_next(error, "changes")
    week.pull()
    after = practice.calendar(week.id)
    assert practice.failures == [f"PullCalendar: {type(error).__name__}"]
    assert len(practice.busy()) == 3
    assert practice.facts() == []
    assert [tuple(r) for r in practice.rows(SlotEvent)] == events
    assert after.failures == 1
    assert error.code in after.last_error
    assert after.due_at > practice.now
    told = {"failures", "last_error", "due_at"}
    assert {k: v for k, v in after._mapping.items() if k not in told} == {
        k: v for k, v in before._mapping.items() if k not in told
    }
    assert practice.state() == ("reconnect" if isinstance(error, NeedsReconnect) else "ok")

    practice.now = after.due_at + timedelta(minutes=40)
    week.server.remove(week.work, week.hrefs[0])
    week.pull()
    assert len(practice.busy()) == 2
    assert practice.calendar(week.id).failures == 0
    assert practice.state() == "ok"
    assert practice.reviews() == []
    assert practice.event(slot).state == "confirmed"
    assert not practice.rows(OutboxMessage, OutboxMessage.state == "parked")


# --- suspicion --------------------------------------------------------------------------------------------------------


def test_a_listing_that_leaves_out_what_exists_is_refused(database: Database) -> None:
    week = Week(database, events=3, sync_tokens=False)
    week.server.empty_listing()
    week.pull()
    assert week.practice.failures == ["PullCalendar: BadAnswer"]
    assert len(week.practice.busy()) == 3
    week.practice.later(minutes=10)
    week.server.remove(week.work, week.hrefs[1])
    week.pull()
    assert len(week.practice.busy()) == 2


@pytest.mark.parametrize("sync_tokens", [True, False])
def test_a_suddenly_empty_calendar_opens_nothing_until_a_human_agrees(database: Database, sync_tokens: bool) -> None:
    week = Week(database, events=5, sync_tokens=sync_tokens)
    practice = week.practice
    token = practice.calendar(week.id).token_value
    for href in week.hrefs:
        week.server.remove(week.work, href)
    for _ in range(2):
        week.pull()
        assert len(practice.busy()) == 5
        assert practice.facts() == []
        assert practice.calendar(week.id).token_value == token
        assert "suddenly empty" in practice.calendar(week.id).last_error
        assert [r["key"] for r in practice.reviews("calendar_emptied")] == [f"calendar_emptied:{week.id}"]
    with database.transaction() as tx:
        accept_shrink(tx, week.id, now=practice.now, by="anna")
    practice.work()
    assert practice.busy() == []
    assert len(practice.busy(freed=True)) == 5
    assert practice.reviews() == []
    assert practice.calendar(week.id).last_error == ""
    assert not practice.calendar(week.id).shrink_accepted


def test_what_is_new_in_a_suspicious_calendar_closes_time_all_the_same(sqlite: Database) -> None:
    week = Week(sqlite, events=20)
    for href in week.hrefs[:12]:
        week.server.remove(week.work, href)
    week.server.add_event(week.work, at(16), at(17))
    week.pull()
    assert (at(16), at(17)) in week.practice.busy()
    assert len(week.practice.busy()) == 21
    assert len(week.practice.reviews("calendar_emptied")) == 1


def test_half_of_many_may_vanish_one_after_the_other(sqlite: Database) -> None:
    week = Week(sqlite, events=20)
    for href in week.hrefs[:10]:
        week.server.remove(week.work, href)
    week.pull()
    assert len(week.practice.busy()) == 10
    assert week.practice.reviews() == []


def test_an_object_that_became_unreadable_keeps_its_time(database: Database) -> None:
    week = Week(database, events=1)
    practice = week.practice
    week.server.put(week.work, b"BEGIN:VCALENDAR\r\nnonsense", week.hrefs[0])
    week.pull()
    assert practice.busy() == [(at(10), at(11))]
    assert practice.remote(week.id)[0].problem
    week.server.put(week.work, simple_object("event-1@memory", at(12), at(13), "Busy"), week.hrefs[0])
    week.pull()
    assert practice.busy() == [(at(12), at(13))]
    assert practice.remote(week.id)[0].problem == ""


# --- events of ours ---------------------------------------------------------------------------------------------------


def test_our_event_is_no_busy_time_and_its_echo_says_nothing(database: Database) -> None:
    week = Week(database)
    slot, href = week.booked()
    practice = week.practice
    assert practice.busy() == []
    assert practice.facts() == []
    assert [(r.href, r.slot_event_id) for r in practice.remote(week.id)] == [(href, practice.event(slot).id)]


def test_a_moved_event_is_told_once(database: Database) -> None:
    week = Week(database)
    slot, href = week.booked()
    practice = week.practice
    week.server.move(week.work, href, at(15), at(16))
    week.pull()
    event = practice.event(slot)
    told = RemoteMove(event.id, slot, event.version, at(15), at(16))
    assert practice.facts() == [told]
    for _ in range(2):
        week.server.expire_tokens()
        week.pull()
    assert practice.facts() == [told]
    assert practice.busy() == []


def test_only_where_it_lies_now_counts(database: Database) -> None:
    """Moves that nobody has acted on are taken back when it moves again."""
    week = Week(database)
    slot, href = week.booked()
    practice = week.practice
    event = practice.event(slot)

    def moved_to(hour: float) -> list[object]:
        week.server.move(week.work, href, at(hour), at(hour + 1))
        week.pull()
        return list(practice.facts())

    first = RemoteMove(event.id, slot, event.version, at(15), at(16))
    second = RemoteMove(event.id, slot, event.version, at(17), at(18))
    assert moved_to(15) == [first]
    assert moved_to(17) == [second]
    assert moved_to(15) == [first]
    assert moved_to(9) == []
    assert moved_to(17) == [second]


def test_a_move_that_is_being_acted_on_is_followed_by_a_look(sqlite: Database) -> None:
    week = Week(sqlite)
    slot, href = week.booked()
    practice = week.practice
    week.server.move(week.work, href, at(15), at(16))
    week.pull()
    practice.begin(RemoteMove)
    week.server.move(week.work, href, at(9), at(10))
    week.pull()
    practice.turn_over()
    practice.wish(slot, at(15), there=True)  # what the other worker did
    practice.later(seconds=10)
    event = practice.event(slot)
    assert practice.facts() == [RemoteMove(event.id, slot, event.version, at(9), at(10))]


def test_a_move_that_booking_follows_comes_to_rest(database: Database) -> None:
    week = Week(database)
    slot, href = week.booked()
    practice = week.practice
    week.server.move(week.work, href, at(15), at(16))
    week.pull()
    practice.turn_over()
    practice.wish(slot, at(15), there=True)
    practice.work()
    week.pull()
    event = practice.event(slot)
    assert (event.state, event.pushed_version, event.pushed_start) == ("confirmed", event.version, at(15))
    assert practice.facts() == []
    period = week.server.events(week.work, _window())[0].occurrences[0].period
    assert period.start == at(15)


def test_made_all_day_counts_as_a_move(sqlite: Database) -> None:
    week = Week(sqlite)
    slot, href = week.booked()
    raw = week.server.raw(week.work, href)
    lines = [line for line in raw.split(b"\r\n") if not line.startswith((b"DTSTART", b"DTEND"))]
    where = lines.index(b"BEGIN:VEVENT") + 1
    lines[where:where] = [b"DTSTART;VALUE=DATE:20261124", b"DTEND;VALUE=DATE:20261125"]
    week.server.put(week.work, b"\r\n".join(lines), href)
    week.pull()
    event = week.practice.event(slot)
    assert week.practice.facts() == [RemoteMove(event.id, slot, 1, at(0), at(24))]


def test_notes_of_the_operator_are_no_move(sqlite: Database) -> None:
    week = Week(sqlite)
    slot, href = week.booked()
    raw = week.server.raw(week.work, href).replace(b"END:VEVENT", b"X-NOTE:bring cake\r\nEND:VEVENT")
    week.server.put(week.work, raw, href)
    week.pull()
    assert week.practice.facts() == []
    assert week.practice.event(slot).missing_since is None


def test_a_copy_of_our_event_is_ordinary_busy_time(database: Database) -> None:
    """Also where it carries our key and UID: while the known href exists, only that is the event."""
    week = Week(database)
    slot, href = week.booked()
    practice = week.practice
    copied = week.server.put(week.work, week.server.raw(week.work, href))
    week.pull()
    assert practice.busy() == [(at(9), at(10))]
    assert practice.facts() == []  # an overlap with itself is none
    week.server.move(week.work, copied, at(15), at(16))
    week.pull()
    assert practice.busy() == [(at(15), at(16))]
    assert kinds(practice) == ["TimeFreed"]
    assert practice.event(slot).href == href


def test_our_event_under_another_name_in_the_same_calendar_is_still_ours(sqlite: Database) -> None:
    week = Week(sqlite)
    slot, href = week.booked()
    raw = week.server.raw(week.work, href)
    week.server.remove(week.work, href)
    other = week.server.put(week.work, raw)
    week.pull()
    practice = week.practice
    assert practice.event(slot).href == other
    assert practice.event(slot).missing_since is None
    assert practice.busy() == []
    assert practice.facts() == []


def test_a_vanished_event_is_looked_for(sqlite: Database) -> None:
    week = Week(sqlite)
    slot, href = week.booked()
    practice = week.practice
    week.server.remove(week.work, href)
    practice.ask(PullCalendar(week.id))
    pull_calendar(practice.accounts, practice.begin(PullCalendar), clock=practice.clock)
    assert practice.event(slot).missing_since == practice.now
    looks = practice.rows(OutboxMessage, OutboxMessage.kind == "LookForEvent")
    assert [(r.body["look"], r.state) for r in looks] == [(1, "waiting")]
    assert practice.facts() == []


def test_an_event_that_is_over_may_be_cleaned_up(sqlite: Database) -> None:
    week = Week(sqlite)
    slot, href = week.booked()
    practice = week.practice
    practice.now = at(12)
    week.server.remove(week.work, href)
    week.pull()
    assert practice.event(slot).state == "gone"
    assert practice.event(slot).missing_since is None
    assert practice.facts() == []
    assert not practice.rows(OutboxMessage, OutboxMessage.kind == "LookForEvent")


def test_what_was_read_before_our_own_write_is_no_move(sqlite: Database) -> None:
    """The pull asked first, then the push wrote a new time, then the pull's answer is stored."""
    week = Week(sqlite)
    slot, href = week.booked()
    practice = week.practice
    practice.now += timedelta(minutes=5)
    raw = week.server.raw(week.work, href).replace(b"END:VEVENT", b"X-NOTE:1\r\nEND:VEVENT")
    week.server.put(week.work, raw, href)
    real = practice.accounts.open

    class Slow(Accounts):
        def open(self, connection_id: int) -> Any:
            connector = real(connection_id)
            changes = connector.changes

            def then_push(*args: Any, **kwargs: Any) -> Any:
                answer = changes(*args, **kwargs)
                practice.wish(slot, at(13))
                practice.work()
                return answer

            connector.changes = then_push  # type: ignore[method-assign]
            return connector

    slow = Slow(practice.database, practice.accounts.vault, practice.accounts.endpoints)
    pull(slow, week.id, clock=practice.clock)
    assert practice.event(slot).pushed_start == at(13)
    assert practice.facts() == []
    practice.work()  # the look that was asked for
    week.pull()
    assert practice.facts() == []
    assert practice.event(slot).missing_since is None


# --- overlaps ---------------------------------------------------------------------------------------------------------


def test_foreign_time_over_a_taken_slot_is_told_once(database: Database) -> None:
    week = Week(database)
    slot, _ = week.booked()
    practice = week.practice
    href = week.server.add_event(week.work, at(9.5), at(10.5))
    week.pull()
    assert practice.facts() == [RemoteOverlap(slot, at(9.5), at(10.5))]
    week.server.move(week.work, href, at(9.25), at(10.5))
    week.server.expire_tokens()
    week.pull()
    assert [f for f in practice.facts() if isinstance(f, RemoteOverlap)] == [RemoteOverlap(slot, at(9.5), at(10.5))]
    week.server.add_event(week.work, at(10), at(11))
    week.pull()
    assert len(practice.facts("RemoteOverlap")) == 1


# --- one commit -------------------------------------------------------------------------------------------------------


def test_a_crash_before_the_commit_repeats_and_changes_nothing_twice(database: Database) -> None:
    week = Week(database, events=3)
    practice = week.practice
    _, href = week.booked(14)
    week.server.remove(week.work, week.hrefs[0])
    week.server.move(week.work, href, at(16), at(17))
    before = _dump(database)
    practice.ask(PullCalendar(week.id))
    dying = Accounts(Crashes(database, 1), practice.accounts.vault, practice.accounts.endpoints)
    with pytest.raises(SystemExit):
        pull_calendar(dying, practice.begin(PullCalendar), clock=practice.clock)
    assert _dump(database) == before
    practice.now += timedelta(minutes=2)
    practice.work()
    assert practice.busy(freed=True) == [(at(10), at(11))]
    assert kinds(practice) == ["TimeFreed", "RemoteMove"]
    once = _dump(database)
    week.pull()
    assert _dump(database) == once


def test_a_worker_that_lost_its_lease_stores_nothing(sqlite: Database) -> None:
    week = Week(sqlite, events=1)
    practice = week.practice
    week.server.remove(week.work, week.hrefs[0])
    practice.ask(PullCalendar(week.id))
    slow = practice.begin(PullCalendar)
    practice.now += timedelta(minutes=5)
    practice.work()  # another worker
    practice.turn_over()
    with pytest.raises(outbox.LeaseLost):
        pull_calendar(practice.accounts, slow, clock=practice.clock)
    assert practice.facts() == []


def test_a_calendar_that_was_changed_meanwhile_is_pulled_again(sqlite: Database) -> None:
    week = Week(sqlite, events=1)
    practice = week.practice
    real = practice.accounts.open

    class Slow(Accounts):
        def open(self, connection_id: int) -> Any:
            practice.assign(week.id, tentative_blocks=False)
            return real(connection_id)

    slow = Slow(practice.database, practice.accounts.vault, practice.accounts.endpoints)
    with pytest.raises(NotYet):
        pull(slow, week.id, clock=practice.clock)


def test_without_a_calendar_or_its_connection_there_is_nothing_to_do(sqlite: Database) -> None:
    week = Week(sqlite, events=1)
    practice = week.practice
    practice.accounts.disable(practice.connection, now=NOON)
    week.server.calls.clear()
    week.pull()
    practice.pull(4711)
    assert week.server.calls == []
    assert practice.failures == []


# --- privacy ----------------------------------------------------------------------------------------------------------


def test_of_foreign_events_only_time_is_kept(database: Database) -> None:
    """P14: no title, no UID, no person in any column of any table."""
    week = Week(database)
    people = ["ORGANIZER;CN=Zebulon:mailto:zebulon@secret.test", "ATTENDEE;CN=Yolanda:mailto:yolanda@secret.test"]
    raw = simple_object("very-private-uid", at(10), at(11), "Chemotherapy", [*people, "DESCRIPTION:Oncology"])
    week.server.put(week.work, raw)
    week.server.put(week.work, simple_object("other-private-uid", at(12), at(13), "Divorce", ["RRULE:FREQ=SECONDLY"]))
    week.pull()
    assert len(week.practice.busy()) >= 1
    dump = json.dumps(_dump(database), default=str).lower()
    for secret in ("private-uid", "chemotherapy", "zebulon", "yolanda", "oncology", "divorce"):
        assert secret not in dump


def test_only_rows_that_a_change_touches_are_read(sqlite: Database) -> None:
    """The cost of a token pull grows with the change, not with the calendar."""
    week = Week(sqlite, events=30)
    week.server.remove(week.work, week.hrefs[0])
    fetched: list[str] = []

    @sa.event.listens_for(sqlite.engine, "before_cursor_execute")
    def _seen(_c: Any, _cur: Any, statement: str, parameters: Any, _ctx: Any, _many: bool) -> None:
        if "FROM remote_event" in statement or "FROM busy" in statement:
            fetched.append(statement)

    week.pull()
    assert fetched
    assert all(" IN (" in statement or "WHERE busy.id" in statement for statement in fetched)
    assert len(week.practice.rows(RemoteEvent)) == 29


def _dump(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table but what only tells about attempts."""
    volatile = {"outbox_message"}
    with database.reading() as tx:
        found = {
            table.name: sorted((tuple(r) for r in tx.execute(sa.select(table))), key=str)
            for table in Base.metadata.sorted_tables
            if table.name not in volatile
        }
        found["outbox_message"] = sorted(
            (
                tuple(r)
                for r in tx.execute(
                    sa.select(OutboxMessage.kind, OutboxMessage.key).where(OutboxMessage.kind != "PullCalendar")
                )
            ),
            key=str,
        )
    return found


def _window() -> Any:
    from connectors.model import Period

    return Period(NOON - timedelta(days=1), NOON + timedelta(days=30))
