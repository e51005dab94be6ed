"""Another number of seats: open slots take it, nobody is put out, and the line has its turn before strangers."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from booking import capacity, queries, setup
from booking.catalogue import offering
from booking.errors import SlotTaken
from ledger import claims, pauses, reviews
from ledger.db import Database
from ledger.messages import SendMail
from ledger.tables import Slot, SlotEvent
from tests.support.desk import SPEC, TERMS, Desk


@pytest.fixture
def desk(database: Database) -> Desk:
    return Desk(database).open(talk={"capacity": 3})


def change(desk: Desk, **spec: Any) -> None:
    with desk.database.transaction() as tx:
        setup.put_service(tx, "anna", "talk", {**SPEC, **spec}, now=desk.now, replace=True)


def seats_left(desk: Desk, hour: float) -> tuple[int, str]:
    with desk.database.reading() as tx:
        found = queries.start_of(tx, offering(tx, "anna", "talk"), desk.at(hour), now=desk.now)
    assert found is not None
    return found.seats_left, found.state.value


def title(desk: Desk) -> str:
    with desk.database.reading() as tx:
        return str(tx.execute(sa.select(SlotEvent.words)).scalar_one()["title"])


def test_a_raised_number_holds_for_slots_that_people_are_in(desk: Desk) -> None:
    for who in ("a", "b", "c"):
        desk.book(desk.at(9), who)
    assert seats_left(desk, 9) == (0, "full")
    change(desk, capacity=5)
    assert seats_left(desk, 9) == (2, "open")
    assert seats_left(desk, 10) == (5, "open")
    desk.work()
    assert title(desk) == "Consultation (3/5)"
    desk.book(desk.at(9), "d", seats=2)
    with pytest.raises(SlotTaken):
        desk.book(desk.at(9), "e")


def test_the_line_is_first_when_it_is_raised(desk: Desk) -> None:
    for who in ("a", "b", "c"):
        desk.book(desk.at(9, 1), who)
    waiting = desk.join("imre", {"start": desk.at(9, 1)})
    change(desk, capacity=4)
    with pytest.raises(SlotTaken):
        desk.book(desk.at(9, 1), "stranger")
    desk.work()
    assert desk.place(waiting)["status"] == "promoted"


def test_a_lowered_number_drops_nobody_and_lets_nobody_in(desk: Desk) -> None:
    booked = [desk.book(desk.at(9, 1), who) for who in ("a", "b", "c")]
    waiting = desk.join("imre", {"start": desk.at(9, 1)})
    change(desk, capacity=2)
    desk.work()
    assert [desk.seen(each).status for each in booked] == ["confirmed"] * 3
    assert seats_left(desk, 9 + 24) == (0, "full")
    desk.cancel(booked[0])
    assert seats_left(desk, 9 + 24) == (0, "full")  # two of two
    assert desk.place(waiting)["status"] == "waiting"
    desk.cancel(booked[1])
    assert desk.place(waiting)["status"] == "promoted"
    with pytest.raises(SlotTaken):
        desk.book(desk.at(9, 1), "late")


def test_of_a_lowered_number_a_pause_keeps_what_there_is(desk: Desk) -> None:
    change(desk, capacity=8)
    booked = [desk.book(desk.at(9, 1), who, seats=seats) for who, seats in (("a", 5), ("b", 3))]
    change(desk, capacity=6)
    waiting = desk.join("imre", {"start": desk.at(9, 1)})
    with desk.database.transaction() as tx:
        pause = pauses.pause(tx, scope="global", target="", automations=["promote"], now=desk.now)
    desk.cancel(booked[1])
    with pytest.raises(SlotTaken):
        desk.book(desk.at(9, 1), "stranger")
    with desk.database.reading() as tx:
        assert [r["detail"]["seats"] for r in reviews.listing(tx, state="open")] == [1]
        assert tx.execute(sa.select(Slot.taken)).scalars().all() == [6]
    with desk.database.transaction() as tx:
        pauses.resume(tx, pause, now=desk.now)
    desk.work()
    assert desk.place(waiting)["status"] == "promoted"


def test_of_a_lowered_number_a_pause_keeps_no_more_than_that(desk: Desk) -> None:
    full = desk.book(desk.at(9, 1), "a", seats=3)
    change(desk, capacity=2)
    with desk.database.transaction() as tx:
        pauses.pause(tx, scope="global", target="", automations=["promote"], now=desk.now)
    desk.cancel(full)
    assert seats_left(desk, 9 + 24) == (0, "held")
    with desk.database.reading() as tx:
        assert tx.execute(sa.select(Slot.taken).where(Slot.taken > 0)).scalars().all() == [2]


def test_lowered_and_raised_again_is_as_before(desk: Desk) -> None:
    for who in ("a", "b"):
        desk.book(desk.at(9), who)
    change(desk, capacity=1)
    change(desk, capacity=3)
    assert seats_left(desk, 9) == (1, "open")
    with desk.database.reading() as tx:
        assert tx.execute(sa.select(Slot.capacity, Slot.ceiling)).one() == (3, None)


def test_nothing_is_asked_for_where_nothing_changed(desk: Desk) -> None:
    desk.book(desk.at(9), "a")
    with desk.database.transaction() as tx:
        claims.lock_operator(tx, desk.operator_id)
        assert capacity.adjust(tx, desk.operator_id, now=desk.now, cause="test") == 0
        capacity.reword(tx, TERMS, 999, now=desk.now, cause="test")
    desk.now = desk.at(9.5)
    change(desk, capacity=5)  # it has begun
    with desk.database.reading() as tx:
        assert tx.execute(sa.select(Slot.capacity)).scalar_one() == 3


def test_one_who_leaves_a_group_touches_nobody_else(desk: Desk) -> None:
    first, second = desk.book(desk.at(9), "a"), desk.book(desk.at(9), "b")
    before = desk.seen(first)
    desk.cancel(second)
    assert desk.seen(first) == before
    assert len(desk.messages(SendMail, booking_id=first, audience="client")) == 1
    assert title(desk) == "Consultation (1/3)"
    desk.reschedule(first, desk.at(10))
    assert title(desk) == "Consultation (1/3)"


def test_names_stand_in_the_event_only_where_the_service_says_so(database: Database) -> None:
    desk = Desk(database).open(talk={"capacity": 3, "names_in_event": True}, quiet={"capacity": 3})
    desk.book(desk.at(9), "kata", "talk")
    desk.book(desk.at(10), "imre", "quiet")
    with desk.database.reading() as tx:
        told, quiet = (
            r["description"] for r in tx.execute(sa.select(SlotEvent.words).order_by(SlotEvent.id)).scalars()
        )
    assert "Kata" in told
    assert "Imre" not in quiet
