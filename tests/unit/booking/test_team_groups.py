"""A group that a team holds together: its seats, also after the team was changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import sqlalchemy as sa

from booking import catalogue, queries, setup
from ledger.db import Database
from ledger.messages import RemoteCancellation
from ledger.tables import Operator, Seat, Slot, SlotEvent
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


def who_has(desk: Desk, booking_id: str) -> tuple[str, int]:
    """The operator of a booking, and its slot."""
    return str(desk.view(booking_id)["operator"]), int(desk.seen(booking_id).slot_id)


def seats_of(desk: Desk, slot_id: int) -> dict[str, int]:
    """How many of each kind of holder are in a slot, and with whom: all of them with its own operator."""
    with desk.database.reading() as tx:
        query = sa.select(Seat.holder, Seat.operator_id, Seat.seats, Slot.operator_id.label("owner")).join(Slot)
        rows = tx.execute(query.where(Slot.id == slot_id)).all()
    assert all(row.operator_id == row.owner for row in rows)
    return {
        kind: sum(r.seats for r in rows if r.holder.startswith(kind)) for kind in ("booking", "hold", "offer", "change")
    }


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


# --- a slot of the team that it was -------------------------------------------------------------------------------


@pytest.fixture
def changed(database: Database) -> Desk:
    """Ben and Chloe have two people in their group tomorrow at nine; now Anna and Ben do the service."""
    desk = practice(database, "ben", "chloe")
    desk.book(desk.at(9, 1), "a", "consult", seats=2)
    change_team(desk, ("anna", "ben"))
    return desk


def test_a_stranger_comes_into_a_group_of_the_team_that_was(changed: Desk) -> None:
    assert seats_left(changed, 9, 1) == (2, "open")
    booked = changed.book(changed.at(9, 1), "jon", "consult")
    held = changed.hold(changed.at(9, 1), "consult")
    other = changed.book(changed.at(9, 1), "eva", "consult", hold=held)
    operator, slot_id = who_has(changed, booked)
    assert (operator, who_has(changed, other)) == ("ben", ("ben", slot_id))
    assert seats_left(changed, 9, 1) == (0, "full")
    assert seats_of(changed, slot_id) == {"booking": 4, "hold": 0, "offer": 0, "change": 0}
    changed.cancel(other)
    changed.reschedule(booked, changed.at(11, 1))
    assert who_has(changed, booked)[0] == "ben"
    assert seats_left(changed, 9, 1) == (2, "open")


def test_who_had_it_with_anna_comes_into_bens_group(changed: Desk) -> None:
    booked = changed.book(changed.at(11, 1), "jon", "consult")
    assert who_has(changed, booked)[0] == "anna"
    changed.reschedule(booked, changed.at(9, 1))
    operator, slot_id = who_has(changed, booked)
    assert (operator, seats_of(changed, slot_id)["booking"]) == ("ben", 3)
    changed.cancel(booked)
    assert seats_of(changed, slot_id)["booking"] == 2


@pytest.mark.parametrize("accept", ["auto", "ask"])
def test_the_line_gets_a_seat_in_a_group_of_the_team_that_was(changed: Desk, accept: str) -> None:
    booked = [changed.book(changed.at(9, 1), who, "consult") for who in ("jon", "eva")]
    waiting = changed.join("imre", {"start": changed.at(9, 1)}, "consult", accept=accept)
    changed.cancel(booked[0])
    if accept == "ask":
        assert changed.place(waiting)["status"] == "offered"
        changed.accept(waiting)
    assert changed.place(waiting)["status"] == "promoted"
    assert seats_of(changed, who_has(changed, booked[1])[1])["booking"] == 4


# --- the lock of a team that was ----------------------------------------------------------------------------------


def circles(desk: Desk) -> dict[str, int | None]:
    with desk.database.reading() as tx:
        return {str(r.slug): r.circle for r in tx.execute(sa.select(Operator.slug, Operator.circle))}


def test_who_has_time_taken_together_is_locked_together_until_it_is_over(database: Database) -> None:
    desk = practice(database, "anna", "ben")
    booked = [desk.book(desk.at(hour, 1), f"c{hour}", "consult", seats=4) for hour in (9, 10)]
    change_team(desk, (), team_mode="any", capacity=1)
    assert circles(desk) == {"anna": 1, "ben": 1, "chloe": None}
    waiting = desk.join("imre", {"start": desk.at(9, 1)}, "consult")
    desk.cancel(booked[0])
    assert desk.place(waiting)["status"] == "promoted"
    with desk.database.reading() as tx:
        ben = setup.operator_id(tx, "ben")
        query = sa.select(SlotEvent.__table__).where(SlotEvent.operator_id == ben, SlotEvent.wanted)
        theirs = tx.execute(query).one()
    desk.say(RemoteCancellation(theirs.id, theirs.slot_id))
    assert desk.seen(booked[1]).status == "cancelled"
    change_team(desk, (), team_mode="any", capacity=2)
    assert set(circles(desk).values()) == {1, None}  # nobody looks again where no team is
    change_team(desk, ("anna", "chloe"))
    change_team(desk, ())
    assert set(circles(desk).values()) == {None}


def test_a_slot_that_is_over_locks_nobody_together(database: Database) -> None:
    desk = practice(database, "anna", "ben")
    desk.book(desk.at(9), "a", "consult")
    desk.now = desk.at(10)
    change_team(desk, ())
    assert set(circles(desk).values()) == {None}
