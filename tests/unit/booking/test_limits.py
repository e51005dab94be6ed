"""At most so many a day or week: what is shown full can't be booked, and one who goes makes room for the line."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from booking import setup
from booking.errors import SlotTaken
from ledger.db import Database
from tests.support.desk import Desk

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def opened(database: Database, **spec: Any) -> Desk:
    return Desk(database).open(talk=spec, other={})


def days(desk: Desk, state: str = "open", service: str = "talk") -> set[int]:
    """Days from the first Monday on that have such a start."""
    return {(start - desk.at(0)) // DAY for start in desk.starts(service, state)}


def test_a_full_day_is_shown_and_refused_and_can_be_waited_for(database: Database) -> None:
    desk = opened(database, limit_per_day=2)
    first = desk.book(desk.at(8))
    assert 0 in days(desk)
    desk.book(desk.at(10), "jon")
    assert 0 not in days(desk)
    assert {1, 2, 7} <= days(desk)
    assert [s for s in desk.starts("talk", "full") if s < desk.at(0, 1)] == [desk.at(h) for h in (8, 9, 10, 11)]
    with pytest.raises(SlotTaken) as refused:
        desk.book(desk.at(9), "eva")
    assert all(start >= desk.at(0, 1) for start in refused.value.alternatives)
    with pytest.raises(SlotTaken):
        desk.hold(desk.at(9))
    assert desk.at(9) in desk.starts("other")  # it is the limit of this service
    desk.cancel(first)
    assert 0 in days(desk)


def test_a_week_goes_from_monday_to_sunday(database: Database) -> None:
    desk = opened(database, limit_per_week=2)
    desk.book(desk.at(8))
    desk.book(desk.at(8, 2), "jon")
    assert days(desk) == {7, 8, 9, 14}
    with pytest.raises(SlotTaken):
        desk.book(desk.at(8, 1), "eva")
    desk.book(desk.at(8, 7), "eva")


def test_the_week_is_of_the_operators_wall_time(database: Database) -> None:
    desk = Desk(database)
    with database.transaction() as tx:
        setup.add_operator(tx, "anna", name="Anna", email="a@x.example", timezone="Pacific/Auckland", now=desk.now)
        spec = {"title": "Talk", "duration_minutes": 60, "notice_minutes": 0, "limit_per_week": 1,
                "hours": {"sun": ["20:00-22:00"], "mon": ["08:00-10:00"]}}  # fmt: skip
        setup.put_service(tx, "anna", "talk", spec, now=desk.now)
    sunday, monday = [s for s in desk.starts() if s > desk.at(0, 6)][::2][:2]  # 07:00 and 19:00 of one day in UTC
    assert sunday.date() == monday.date()
    desk.book(sunday)
    assert monday in desk.starts()  # another week there
    desk.book(monday, "jon")
    assert [s for s in desk.starts() if sunday < s < monday + 7 * DAY - 13 * HOUR] == []


def test_joining_a_group_is_no_further_slot(database: Database) -> None:
    desk = opened(database, limit_per_day=1, capacity=3)
    desk.book(desk.at(8))
    desk.book(desk.at(8), "jon")
    with pytest.raises(SlotTaken):
        desk.book(desk.at(9), "eva")
    assert [s for s in desk.starts() if s < desk.at(0, 1)] == [desk.at(8)]


def test_ones_own_place_doesnt_count_against_a_move(database: Database) -> None:
    desk = opened(database, limit_per_day=1, limit_per_week=1)
    booked = desk.book(desk.at(8))
    desk.reschedule(booked, desk.at(11))
    desk.reschedule(booked, desk.at(9, 1))
    assert desk.seen(booked).starts_at == desk.at(9, 1)


def test_a_hold_counts_until_it_runs_out(database: Database) -> None:
    desk = opened(database, limit_per_day=1)
    desk.hold(desk.at(8))
    assert 0 not in days(desk)
    desk.now += timedelta(minutes=6)
    desk.book(desk.at(9))


@pytest.mark.parametrize("limit", ["limit_per_day", "limit_per_week"])
def test_who_goes_makes_room_for_the_line_at_another_hour(database: Database, limit: str) -> None:
    desk = opened(database, **{limit: 1})
    booked = desk.book(desk.at(8, 2))
    first = desk.join("imre", {"start": desk.at(11, 2)})
    earlier = desk.join("eva", {"start": desk.at(9, 2)})
    desk.cancel(booked)
    assert [desk.place(token)["status"] for token in (first, earlier)] == ["promoted", "waiting"]
    assert 2 not in days(desk)


def test_the_line_doesnt_go_over_the_limit(database: Database) -> None:
    desk = opened(database, limit_per_day=1)
    booked = desk.book(desk.at(8, 1))
    tokens = [desk.join(who, {"start": desk.at(hour, 1)}) for who, hour in (("imre", 10), ("eva", 9))]
    desk.cancel(booked)
    assert sorted(desk.place(token)["status"] for token in tokens) == ["promoted", "waiting"]


def test_a_raised_limit_is_the_lines_first(database: Database) -> None:
    desk = opened(database, limit_per_day=1)
    desk.book(desk.at(8, 1))
    waiting = desk.join("imre", {"start": desk.at(10, 1)})
    with database.transaction() as tx:
        spec = {"title": "Talk", "duration_minutes": 60, "notice_minutes": 0, "limit_per_day": 2, "hours": {"tue": ["08:00-12:00"]}}  # fmt: skip
        setup.put_service(tx, "anna", "talk", spec, now=desk.now, replace=True)
    desk.work()
    assert desk.place(waiting)["status"] == "promoted"
    assert 1 not in days(desk)


def test_two_at_once_are_one_where_only_one_more_fits(database: Database) -> None:
    desk = opened(database, limit_per_day=1)

    def try_one(hour: int) -> str:
        try:
            return desk.book(desk.at(hour), f"c{hour}")
        except SlotTaken:
            return ""

    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(try_one, (8, 9, 10, 11)))
    assert len([booked for booked in done if booked]) == 1
