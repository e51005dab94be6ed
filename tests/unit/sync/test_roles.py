"""What a change of roles does to time that is in the ledger."""

from __future__ import annotations

from ledger.db import Database
from ledger.tables import OutboxMessage, RemoteEvent
from sync.roles import change
from tests.support.practices import Practice, at


class Desk:
    """A practice with one calendar of two events, one of them past."""

    def __init__(self, database: Database, **roles: bool) -> None:
        self.practice = Practice(database)
        work = self.practice.server.add_calendar("work")
        self.practice.server.add_event(work, at(9, 0), at(10, 0))
        self.practice.server.add_event(work, at(10), at(11))
        self.id = self.practice.connect()["work"]
        self.practice.assign(self.id, **roles)
        self.practice.work()
        self.work = work


def test_dropping_busy_frees_what_lies_ahead_for_the_line(database: Database) -> None:
    desk = Desk(database, busy=True)
    practice = desk.practice
    assert practice.busy() == [(at(9, 0), at(10, 0)), (at(10), at(11))]
    practice.assign(desk.id, busy=False)
    assert practice.busy() == []
    assert practice.busy(freed=True) == [(at(10), at(11))]
    assert [type(f).__name__ for f in practice.facts()] == ["TimeFreed"]
    assert practice.rows(RemoteEvent) == []
    calendar = practice.calendar(desk.id)
    assert (calendar.token_kind, calendar.pulled_at, calendar.due_at) == ("", None, None)
    practice.assign(desk.id, busy=True)
    practice.work()
    assert practice.busy() == [(at(9, 0), at(10, 0)), (at(10), at(11))]


def test_dropping_availability_closes_at_once(sqlite: Database) -> None:
    desk = Desk(sqlite, availability=True)
    assert len(desk.practice.openings()) == 2
    desk.practice.turn_over()
    desk.practice.assign(desk.id, availability=False)
    assert desk.practice.openings() == []
    assert [type(fact).__name__ for fact in desk.practice.facts()] == ["HoursClosed"]  # and nothing is freed


def test_a_role_more_keeps_what_is_known(sqlite: Database) -> None:
    """Taking bookings as well says nothing about time: no full listing."""
    desk = Desk(sqlite, busy=True)
    token = desk.practice.calendar(desk.id).token_value
    desk.practice.assign(desk.id, bookings=True)
    assert desk.practice.calendar(desk.id).token_value == token
    assert desk.practice.calendar(desk.id).pulled_at is not None


def test_the_same_again_changes_nothing(sqlite: Database) -> None:
    desk = Desk(sqlite, busy=True)
    before = tuple(desk.practice.calendar(desk.id)), len(desk.practice.rows(OutboxMessage))
    with sqlite.transaction() as tx:
        change(tx, desk.id, {"busy": True, "all_day_blocks": True}, quirks=None, now=desk.practice.now)
    assert (tuple(desk.practice.calendar(desk.id)), len(desk.practice.rows(OutboxMessage))) == before


def test_our_events_stay_known_without_a_role(sqlite: Database) -> None:
    desk = Desk(sqlite, bookings=True)
    slot = desk.practice.book(at(14))
    desk.practice.work()
    desk.practice.assign(desk.id, bookings=False)
    [row] = desk.practice.rows(RemoteEvent)
    assert row.slot_event_id == desk.practice.event(slot).id
