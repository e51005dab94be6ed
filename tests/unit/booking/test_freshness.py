"""When calendar data is new enough, whose calendars count, and what they leave free."""

from __future__ import annotations

from datetime import timedelta

import sqlalchemy as sa

from booking import freshness, setup
from booking.catalogue import offering, offering_of
from booking.complete import row_of
from ledger.db import Database
from ledger.messages import DecidePending, PullCalendar
from ledger.outbox import Scope
from ledger.tables import Calendar
from tests.support import books
from tests.support.desk import SPEC, Desk

MINUTE = timedelta(minutes=1)


def test_everybodys_calendars_count_for_as_long_as_the_service_says(database: Database) -> None:
    desk = Desk(database).open("ben").open("anna", alone={"max_staleness_minutes": 20})
    with database.transaction() as tx:
        setup.put_service(tx, "anna", "both", {**SPEC, "team": ["anna", "ben"], "team_mode": "all"}, now=desk.now)
        calendars = [
            books.calendar(tx, owner, books.connection(tx, owner, desk.now), busy=True, pulled_at=desk.now)
            for owner in (1, 2)
        ]
        tx.execute(sa.update(Calendar).where(Calendar.id == calendars[0]).values(pulled_at=desk.now - 16 * MINUTE))
    with database.reading() as tx:
        alone, both = offering(tx, "anna", "alone"), offering(tx, "anna", "both")
        assert freshness.is_fresh(tx, alone, desk.now + 20 * MINUTE)
        assert not freshness.is_fresh(tx, alone, desk.now + 21 * MINUTE)
        assert not freshness.is_fresh(tx, both, desk.now)
        assert freshness.is_known(tx, both, desk.now - 16 * MINUTE)
    booked = desk.book(desk.at(9), service="both")
    assert desk.seen(booked).needs_data_from == desk.now
    assert len(desk.messages(PullCalendar)) == 2


def test_what_is_asked_for_twice_is_asked_for_once(database: Database) -> None:
    desk = Desk(database).open(talk={})
    booked = desk.book(desk.at(9))
    with database.transaction() as tx:
        row = row_of(tx, booked)
        for _ in range(2):
            freshness.ask(tx, offering_of(tx, row), row, "fresh", now=desk.now, scope=Scope(), cause="test")
        assert freshness.leaves_free(tx, offering_of(tx, row), row.slot_id, 1, desk.now)
    assert desk.messages(DecidePending) == [DecidePending(booked, "fresh")]
