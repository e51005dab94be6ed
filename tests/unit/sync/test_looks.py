"""Second looks: only proofs cancel, and what is found is adopted (P5)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

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
from connectors.model import Calendar as RemoteCalendar
from connectors.model import Period
from connectors.protocol import Credentials
from ledger import clock, entries
from ledger.db import Database
from ledger.entries import Words
from ledger.messages import LookForEvent, RemoteCancellation, RemoteMove
from ledger.tables import Calendar, OutboxMessage
from sync.accounts import Accounts, ask_for_due_pulls
from tests.support.microsoft import CLIENT_ID
from tests.support.practices import Practice, at
from tests.support.provider_accounts import Account, account_at

HOUR = timedelta(hours=1)


class Desk:
    """A practice whose bookings go into ``work``; ``private`` counts as busy, ``old`` has no role."""

    def __init__(self, database: Database) -> None:
        self.practice = Practice(database)
        self.server = self.practice.server
        self.work, self.private, self.old = (self.server.add_calendar(name) for name in ("work", "private", "old"))
        self.ids = self.practice.connect()
        self.practice.assign(self.ids["work"], bookings=True, busy=True)
        self.practice.assign(self.ids["private"], busy=True)
        self.practice.work()

    def booked(self, *hours: float, day: int = 1, grace: int = 60) -> list[int]:
        """Slots whose events are in the calendar since a minute."""
        slots = [self.practice.book(at(hour, day), grace=grace) for hour in hours]
        self.practice.later(minutes=1)
        self.pull()
        self.practice.later(minutes=1)
        return slots

    def pull(self) -> None:
        for name in ("work", "private"):
            self.practice.pull(self.ids[name])

    def href(self, slot: int) -> str:
        return str(self.practice.event(slot).href)

    def delete(self, *slots: int) -> None:
        for slot in slots:
            self.server.remove(self.work, self.href(slot))

    def cancelled(self) -> list[int]:
        return [f.slot_id for f in self.practice.facts() if isinstance(f, RemoteCancellation)]


def test_deleted_is_told_after_the_grace_and_the_second_proof(database: Database) -> None:
    desk = Desk(database)
    [slot, kept] = desk.booked(9, 14)
    desk.delete(slot)
    desk.pull()
    assert desk.cancelled() == []
    assert desk.practice.event(slot).missing_since == desk.practice.now
    desk.practice.later(seconds=59)
    assert desk.cancelled() == []
    desk.practice.later(seconds=1)
    assert desk.cancelled() == [slot]
    assert desk.practice.event(slot).state == "gone"
    assert desk.practice.event(kept).state == "confirmed"
    assert [r.slot_event_id for r in desk.practice.remote(desk.ids["work"])] == [desk.practice.event(kept).id]
    row = desk.practice.rows(OutboxMessage, OutboxMessage.kind == "RemoteCancellation")[0]
    assert (row.slot_id, row.service_id, row.operator_id) == (slot, 1, desk.practice.operator)
    assert row.automation == "cancel"


def test_without_grace_one_look_is_enough(database: Database) -> None:
    desk = Desk(database)
    [slot] = desk.booked(9, grace=0)
    desk.delete(slot)
    desk.pull()
    assert desk.cancelled() == [slot]


def test_a_slip_that_is_undone_is_no_cancellation(database: Database) -> None:
    desk = Desk(database)
    [slot] = desk.booked(9)
    href, raw = desk.href(slot), desk.server.raw(desk.work, desk.href(slot))
    desk.delete(slot)
    desk.pull()
    desk.server.put(desk.work, raw, href)
    desk.practice.later(minutes=2)
    assert desk.cancelled() == []
    event = desk.practice.event(slot)
    assert (event.missing_since, event.state) == (None, "confirmed")
    desk.pull()
    assert desk.practice.facts() == []
    assert desk.practice.busy() == []


@pytest.mark.parametrize(
    "error",
    [
        NeedsReconnect(status=401),
        Refused(status=403),
        CalendarGone(status=404),
        Throttled(status=429, retry_after=5),
        ServerFault(status=500),
        Unreachable(),
        BadAnswer(),
    ],
    ids=lambda e: e.code,
)
@pytest.mark.parametrize("call", ["fetch", "calendars", "find"])
def test_an_error_proves_nothing_and_the_deletion_is_honoured_later(
    sqlite: Database, error: ConnectorError, call: str
) -> None:
    desk = Desk(sqlite)
    [slot] = desk.booked(9)
    desk.delete(slot)
    desk.pull()
    desk.server.fail_next(error, call)
    desk.practice.later(minutes=1)
    assert desk.cancelled() == []
    assert desk.practice.failures
    desk.practice.later(hours=1)
    desk.practice.later(hours=1)
    assert desk.cancelled() == [slot]


def test_a_calendar_that_is_gone_cancels_nothing(sqlite: Database) -> None:
    desk = Desk(sqlite)
    [slot] = desk.booked(9, day=3)
    desk.delete(slot)
    desk.pull()
    desk.server.remove_calendar(desk.work)
    desk.practice.later(hours=3)
    assert desk.cancelled() == []
    assert desk.practice.event(slot).missing_since is not None


def test_a_listed_calendar_that_shows_nothing_holds_no_deletion_back(sqlite: Database) -> None:
    """As when a colleague's calendar is no longer shared, and the account's list still names it."""
    desk = Desk(sqlite)
    [slot] = desk.booked(9)
    desk.server.shut(desk.server.add_calendar("colleague", writable=False))
    desk.delete(slot)
    desk.pull()
    desk.practice.later(minutes=2)
    assert desk.cancelled() == [slot]


def test_a_calendar_that_takes_events_must_answer(sqlite: Database) -> None:
    desk = Desk(sqlite)
    [slot] = desk.booked(9, day=3)
    desk.server.shut(desk.server.add_calendar("own"))
    desk.delete(slot)
    desk.pull()
    desk.practice.later(hours=3)
    assert desk.cancelled() == []


@pytest.mark.parametrize("error", [ServerFault(status=503), Throttled(status=429, retry_after=60), BadAnswer()])
def test_a_calendar_that_can_only_be_read_is_asked_too(sqlite: Database, error: ConnectorError) -> None:
    desk = Desk(sqlite)
    team = desk.server.add_calendar("team")
    [slot] = desk.booked(9)
    href = desk.href(slot)
    there = desk.server.move_to(desk.work, href, team)
    desk.server.collections[team.href].calendar = replace(team, writable=False)  # a colleague may write there
    desk.pull()
    desk.server.fail_next(error, "find")
    desk.practice.later(minutes=1)
    desk.practice.later(hours=1)
    assert desk.cancelled() == []
    assert desk.practice.event(slot).href == there


def test_marked_cancelled_counts_as_deleted(sqlite: Database) -> None:
    desk = Desk(sqlite)
    [slot] = desk.booked(9)
    raw = desk.server.raw(desk.work, desk.href(slot))
    lines = [line for line in raw.split(b"\r\n") if not line.startswith(b"STATUS")]
    lines.insert(lines.index(b"BEGIN:VEVENT") + 1, b"STATUS:CANCELLED")
    desk.server.put(desk.work, b"\r\n".join(lines), desk.href(slot))
    desk.pull()
    desk.practice.later(minutes=2)
    assert desk.cancelled() == [slot]


@pytest.mark.parametrize("private_first", [True, False])
@pytest.mark.parametrize("hour", [9, 15])
def test_dragged_to_another_calendar_it_is_adopted_there(database: Database, private_first: bool, hour: int) -> None:
    desk = Desk(database)
    [slot] = desk.booked(9)
    practice = desk.practice
    moved = desk.server.move_to(desk.work, desk.href(slot), desk.private)
    if hour != 9:
        desk.server.move(desk.private, moved, at(hour), at(hour + 1))
    for name in ("private", "work") if private_first else ("work", "private"):
        practice.pull(desk.ids[name])
    practice.later(minutes=2)
    event = practice.event(slot)
    assert (event.calendar_id, event.href, event.missing_since) == (desk.ids["private"], moved, None)
    told = [f for f in practice.facts() if isinstance(f, RemoteMove)]
    assert told == ([] if hour == 9 else [RemoteMove(event.id, slot, 1, at(hour), at(hour + 1))])
    assert desk.cancelled() == []
    assert practice.busy() == []
    assert [r.slot_event_id for r in practice.remote(desk.ids["private"])] == [event.id]
    practice.turn_over()
    desk.server.expire_tokens()
    desk.pull()
    assert practice.facts("RemoteMove", "RemoteCancellation") == []
    assert practice.busy() == []
    desk.server.remove(desk.private, moved)
    desk.pull()
    practice.later(minutes=2)
    assert desk.cancelled() == [slot]


def test_in_a_calendar_without_a_role_it_is_watched_all_the_same(sqlite: Database) -> None:
    """And in one that is new; nothing foreign is read into the ledger from there."""
    desk = Desk(sqlite)
    [slot] = desk.booked(9)
    new = desk.server.add_calendar("new")
    desk.server.add_event(new, at(12), at(13))
    moved = desk.server.move_to(desk.work, desk.href(slot), new)
    desk.pull()
    practice = desk.practice
    event = practice.event(slot)
    row = practice.rows(Calendar, Calendar.href == new.href)[0]
    assert (event.calendar_id, event.href) == (row.id, moved)
    practice.now += timedelta(hours=1)
    with sqlite.transaction() as tx:
        ask_for_due_pulls(tx, now=practice.now, poll_seconds=300)
    practice.work()
    assert [r.href for r in practice.remote(row.id)] == [moved]
    assert practice.busy() == []
    desk.server.remove(new, moved)
    practice.pull(row.id)
    practice.later(minutes=2)
    assert desk.cancelled() == [slot]


def test_an_event_that_has_begun_is_not_cancelled(sqlite: Database) -> None:
    desk = Desk(sqlite)
    [slot] = desk.booked(9)
    desk.practice.now = at(8.9)
    desk.delete(slot)
    desk.pull()
    desk.practice.now = at(9.1)
    desk.practice.work()
    assert desk.cancelled() == []
    assert desk.practice.event(slot).state == "gone"


def test_what_was_cancelled_by_booking_meanwhile_is_nobodys_business(sqlite: Database) -> None:
    desk = Desk(sqlite)
    [slot] = desk.booked(9)
    desk.delete(slot)
    desk.pull()
    desk.practice.unwish(slot)
    desk.practice.later(minutes=2)
    assert desk.cancelled() == []
    assert desk.practice.event(slot).state == "gone"
    assert desk.practice.failures == []


def test_many_at_once_wait_for_a_human(database: Database) -> None:
    desk = Desk(database)
    slots = desk.booked(*range(8, 18))
    desk.delete(*slots[:4])
    desk.pull()
    desk.practice.later(minutes=2)
    assert desk.cancelled() == []
    [review] = desk.practice.reviews("bulk_deletion")
    assert review["detail"]["slots"] == slots[:4]
    assert review["connection_id"] == desk.practice.connection
    assert all(desk.practice.event(slot).missing_since for slot in slots[:4])


def test_three_at_once_are_no_accident(sqlite: Database) -> None:
    desk = Desk(sqlite)
    slots = desk.booked(*range(8, 18))
    desk.delete(*slots[:3])
    desk.pull()
    desk.practice.later(minutes=2)
    assert desk.cancelled() == slots[:3]


def test_one_after_the_other_within_minutes_counts_together(sqlite: Database) -> None:
    desk = Desk(sqlite)
    slots = desk.booked(*range(8, 18), grace=0)
    for slot in slots[:4]:
        desk.delete(slot)
        desk.pull()
        desk.practice.later(minutes=1)
    assert desk.cancelled() == slots[:3]
    assert [r["detail"]["slots"] for r in desk.practice.reviews("bulk_deletion")] == [[slots[3]]]
    desk.practice.later(minutes=20)
    desk.delete(slots[4])
    desk.pull()
    assert desk.cancelled() == [*slots[:3], slots[4]]


def test_a_listing_that_lied_doesnt_hold_the_one_real_deletion_back(database: Database) -> None:
    desk = Desk(database)
    desk.server.expire_tokens()
    slots = desk.booked(*range(8, 18), grace=0)
    desk.delete(slots[4])
    desk.server.expire_tokens()
    desk.server.empty_listing()
    desk.practice.pull(desk.ids["work"])
    assert desk.cancelled() == [slots[4]]
    assert desk.practice.reviews() == []
    assert [s for s in slots if desk.practice.event(s).missing_since] == [slots[4]]


def test_a_write_meanwhile_makes_the_look_begin_anew(sqlite: Database) -> None:
    desk = Desk(sqlite)
    [slot] = desk.booked(9)
    practice = desk.practice
    practice.ask(LookForEvent(practice.event(slot).id, practice.now, 1))
    real = desk.server.take_failure

    def wished(call: str, after: bool) -> None:
        if call == "fetch" and after:
            desk.server.take_failure = real  # type: ignore[method-assign]
            practice.wish(slot, at(11))

    desk.server.take_failure = wished  # type: ignore[method-assign]
    practice.work()
    assert practice.failures == ["LookForEvent: NotYet"]
    practice.later(seconds=5)
    assert practice.facts() == []
    assert practice.event(slot).pushed_start == at(11)


def test_an_outdated_look_does_nothing(sqlite: Database) -> None:
    desk = Desk(sqlite)
    [slot] = desk.booked(9)
    desk.delete(slot)
    desk.pull()
    practice = desk.practice
    desk.server.calls.clear()
    practice.ask(LookForEvent(practice.event(slot).id, at(0), 2))
    practice.ask(LookForEvent(4711, at(0), 2))
    practice.work()
    assert desk.server.calls == []
    assert desk.cancelled() == []


@pytest.mark.parametrize("changed", [False, True])
def test_what_was_just_made_may_not_show_yet(sqlite: Database, changed: bool) -> None:
    """Graph's reads lag (PROVIDERS B4.8, M-10); without a grace nothing else would save the booking."""
    with account_at("microsoft") as account:
        practice, work = at_microsoft(sqlite, account)
        account.control.set_switch("lag_seconds", 20.0)
        account.control.set_switch("lag_on_get", True)
        start = practice.now.replace(minute=0, second=0, microsecond=0) + timedelta(days=3)
        slot = practice.book(start, grace=0)
        practice.work()
        if changed:
            with sqlite.transaction() as tx:
                entries.wish(
                    tx, slot_id=slot, operator_id=practice.operator, service_id=1, period=Period(start, start + HOUR),
                    words=Words("Another title"), grace_seconds=0, domain="slotledger.test", now=practice.now,
                )  # fmt: skip
        for seconds in (1, 2, 5, 9, 20, 60, 120):
            practice.pull(work)
            account.control.advance(seconds)
            practice.later(seconds=seconds)
            assert practice.facts() == []
        event = practice.event(slot)
        assert (event.state, event.missing_since, event.pushed_start) == ("confirmed", None, start)
        assert event.pushed_version == event.version


def test_what_was_just_made_and_is_named_as_removed_is_gone(sqlite: Database) -> None:
    with account_at("microsoft") as account:
        practice, work = at_microsoft(sqlite, account)
        slot = practice.book(practice.now + timedelta(days=3), grace=0)
        practice.work()
        account.control.delete_event(practice.event(slot).href)
        practice.pull(work)
        assert [type(fact) for fact in practice.facts()] == [RemoteCancellation]


def at_microsoft(database: Database, account: Account) -> tuple[Practice, int]:
    """A practice at the emulator, whose clock is the machine's; and its calendar for bookings."""
    secret = str(account.control.grant(CLIENT_ID))
    practice = Practice(database, Credentials("microsoft", username="u", secret=secret))
    practice.accounts = Accounts(database, practice.accounts.vault, account.endpoints)
    practice.now = clock.now()
    practice.connect()
    (primary,) = (row.id for row in practice.rows(Calendar) if row.primary)
    practice.assign(primary, busy=True, bookings=True)
    practice.work()
    return practice, int(primary)


def test_looks_name_the_calendars_that_are_there_now(sqlite: Database) -> None:
    """A calendar listed after the connect is searched as well."""
    desk = Desk(sqlite)
    [slot] = desk.booked(9)
    new: RemoteCalendar = desk.server.add_calendar("brand-new")
    desk.server.move_to(desk.work, desk.href(slot), new)
    desk.pull()
    with sqlite.reading() as tx:
        href = tx.execute(sa.select(Calendar.href).where(Calendar.id == desk.practice.event(slot).calendar_id)).scalar()
    assert href == new.href
