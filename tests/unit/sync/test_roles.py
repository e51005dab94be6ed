"""What a change of roles does to time that is in the ledger."""

from __future__ import annotations

from datetime import timedelta

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


def test_what_never_came_into_a_calendar_goes_into_the_next_one(database: Database) -> None:
    desk = Desk(database, bookings=True)
    practice = desk.practice
    written = practice.book(at(14) + timedelta(days=9))
    practice.work()
    other = practice.server.add_calendar("other")
    ids = practice.connect()
    practice.server.remove_calendar(desk.work)
    waiting = practice.book(at(15) + timedelta(days=9))
    practice.work()
    assert practice.event(waiting).state == "planned"
    practice.assign(desk.id, bookings=False)
    practice.later(minutes=10)
    practice.assign(ids["other"], bookings=True)
    practice.work()
    assert len(practice.server.hrefs(other)) == 1
    event = practice.event(waiting)
    assert (event.state, event.calendar_id, event.pushed_version) == ("confirmed", ids["other"], event.version)
    assert practice.event(written).calendar_id == desk.id, "nobody knows what became of this one"
    practice.later(hours=2)
    assert len(practice.server.hrefs(other)) == 1
    assert not practice.rows(OutboxMessage, OutboxMessage.kind == "PushEvent", OutboxMessage.state != "done")
