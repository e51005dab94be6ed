"""One answer for what is shown and what can be booked, over durations, limits and teams (P12)."""

from __future__ import annotations

from typing import Any

import pytest

from booking import setup, times
from booking.catalogue import offering
from booking.errors import SlotTaken
from connectors.model import Period
from ledger.availability import SlotState
from ledger.db import Database
from tests.support import books
from tests.support.desk import SPEC, Desk

SPECS: dict[str, dict[str, Any]] = {
    "several": {"duration_minutes": 30, "durations_minutes": [30, 60], "start_every_minutes": 15},
    "limited": {"limit_per_day": 2, "limit_per_week": 4},
    "group": {"capacity": 3, "limit_per_day": 1, "duration_minutes": 60, "durations_minutes": [60, 90]},
    "anybody": {"team": ["anna", "ben"], "buffer_after_minutes": 15, "start_every_minutes": 15},
    "together": {"team": ["anna", "ben"], "team_mode": "all", "start_every_minutes": 15, "limit_per_day": 2},
}


@pytest.fixture
def desk(sqlite: Database) -> Desk:
    """Two people with something to do, and everything that the specs say booked here and there."""
    desk = Desk(sqlite).open("ben").open("anna")
    for slug, spec in SPECS.items():
        with sqlite.transaction() as tx:
            setup.put_service(tx, "anna", slug, {**SPEC, **spec}, now=desk.now)
    with sqlite.transaction() as tx:
        for owner, hour in ((1, 8.5), (2, 10)):
            account = books.connection(tx, owner, desk.now)
            calendar = books.calendar(tx, owner, account, f"/{owner}/", busy=True, pulled_at=desk.now)
            books.busy(tx, owner, calendar, desk.at(hour), desk.at(hour + 0.5))
    desk.book(desk.at(9), "a", "several")
    desk.book(desk.at(8, 1), "b", "limited")
    desk.book(desk.at(10, 1), "c", "limited")
    desk.book(desk.at(9, 2), "d", "group", seats=2)
    desk.book(desk.at(11, 1), "e", "anybody", operator="ben")
    desk.book(desk.at(8, 2), "f", "together")
    desk.hold(desk.at(11), "together")
    return desk


@pytest.mark.parametrize("service", SPECS)
def test_what_is_shown_is_what_can_be_booked(desk: Desk, service: str) -> None:
    window = Period(desk.at(0), desk.at(0, 8))
    with desk.database.reading() as tx:
        whole = offering(tx, "anna", service)
        for minutes in whole.spec.durations:
            wanted = whole.lasting(minutes)
            listed = {s.period.start: s for s in times.starts(tx, wanted, window, desk.now)}
            assert listed
            assert list(listed) == sorted(listed)
            for quarter in range(24 * 4 * 3):
                moment = desk.at(quarter / 4)
                shown = listed.get(moment)
                assert times.find(tx, wanted, moment, desk.now) == shown
                chosen = times.choose(tx, wanted, moment, 1, desk.now)
                assert (chosen is not None) == (shown is not None and shown.state is SlotState.OPEN)
                if chosen is not None and shown is not None:
                    assert chosen[1].seats_left <= shown.seats_left
                    assert times.choose(tx, wanted, moment, shown.seats_left + 1, desk.now) is None


@pytest.mark.parametrize("service", SPECS)
def test_every_open_start_is_taken_and_no_other(desk: Desk, service: str) -> None:
    with desk.database.reading() as tx:
        wanted = offering(tx, "anna", service)
        listed = times.starts(tx, wanted, Period(desk.at(0), desk.at(0, 1)), desk.now)
    for n, start in enumerate(listed):
        with desk.database.reading() as tx:  # what came before may have taken it
            now_shown = times.find(tx, wanted, start.period.start, desk.now)
        if now_shown is not None and now_shown.state is SlotState.OPEN:
            desk.book(start.period.start, f"x{n}", service)
        else:
            with pytest.raises(SlotTaken):
                desk.book(start.period.start, f"x{n}", service)


def test_what_speaks_against_all_is_what_speaks_against_anybody(desk: Desk) -> None:
    with desk.database.reading() as tx:
        wanted = offering(tx, "anna", "together")
        known = times.taken(tx, wanted, Period(desk.at(0), desk.at(0, 3)), desk.now)
    assert {p.start for p in known.busy} == {desk.at(8.5), desk.at(10)}
    assert len({slot.slot_id for slot in known.slots}) == len(known.slots)  # a slot of both counts once
