"""A group that a team holds together: its seats, also after the team was changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from booking import catalogue, queries, setup
from ledger.db import Database
from tests.support.desk import SPEC, Desk

PEOPLE = ("anna", "ben", "chloe")


def change_team(desk: Desk, team: Sequence[str], **spec: Any) -> None:
    told = {**SPEC, "title": "Consult", "team": list(team), "team_mode": "all", "capacity": 4, **spec}
    with desk.database.transaction() as tx:
        setup.put_service(tx, "anna", "consult", told, now=desk.now, replace=True)


def practice(database: Database, *team: str) -> Desk:
    """Anna, Ben and Chloe, and Anna's group of four that a team of them holds together."""
    desk = Desk(database)
    for slug in PEOPLE:
        desk.open(slug, own={})
    change_team(desk, team)
    return desk


def seats_left(desk: Desk, hour: float, day: int = 0) -> tuple[int, str]:
    with desk.database.reading() as tx:
        found = queries.start_of(tx, catalogue.offering(tx, "anna", "consult"), desk.at(hour, day), now=desk.now)
        assert found is not None
        return found.seats_left, str(found.state)


# --- its seats ----------------------------------------------------------------------------------------------------


def test_it_has_as_many_seats_as_its_service_says(database: Database) -> None:
    desk = practice(database, "anna", "ben")
    booked = [desk.book(desk.at(9), "a", "consult")]
    assert seats_left(desk, 9) == (3, "open")
    booked += [desk.book(desk.at(9), f"c{n}", "consult") for n in range(3)]
    assert len({desk.seen(each).slot_id for each in booked}) == 1
    assert seats_left(desk, 9) == (0, "full")
    change_team(desk, ("anna", "ben"), capacity=2)
    desk.cancel(booked[0])
    assert seats_left(desk, 9) == (0, "full")  # three are in it, of two who may be
    change_team(desk, ("anna", "ben"), capacity=5)
    assert seats_left(desk, 9) == (2, "open")


def test_a_seat_that_comes_free_in_it_goes_to_the_line(database: Database) -> None:
    desk = practice(database, "anna", "ben")
    first, *_ = [desk.book(desk.at(9, 1), f"c{n}", "consult") for n in range(4)]
    waiting = desk.join("imre", {"start": desk.at(9, 1)}, "consult")
    desk.cancel(first)
    assert desk.place(waiting)["status"] == "promoted"
    assert seats_left(desk, 9, 1) == (0, "full")
