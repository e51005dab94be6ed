"""No overlap and no overbooking, however many come at once, on both databases (P1, P7)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from booking.errors import SlotTaken
from ledger.db import Database
from ledger.tables import Seat, Slot
from tests.support.desk import Desk, person

CROWD = 200


def at_once(actions: list[Callable[[], object]]) -> list[object]:
    """Results or exceptions, in the order of the actions; sixteen threads."""

    def run(action: Callable[[], object]) -> object:
        try:
            return action()
        except SlotTaken as error:
            return error

    with ThreadPoolExecutor(16) as pool:
        return list(pool.map(run, actions))


def overlaps(database: Database) -> int:
    one, other = sa.orm.aliased(Slot), sa.orm.aliased(Slot)
    with database.reading() as tx:
        return tx.execute(
            sa.select(sa.func.count())
            .select_from(one)
            .join(other, sa.and_(one.operator_id == other.operator_id, one.id < other.id))
            .where(one.taken > 0, other.taken > 0, one.block_start < other.block_end, other.block_start < one.block_end)
        ).scalar_one()


def test_two_hundred_for_one_seat(database: Database) -> None:
    desk = Desk(database).open(talk={})
    start = desk.at(9)
    results = at_once([lambda n=n: desk.book(start, f"client{n}") for n in range(CROWD)])  # type: ignore[misc]
    won = [r for r in results if isinstance(r, str)]
    lost = [r for r in results if isinstance(r, SlotTaken)]
    assert (len(won), len(lost)) == (1, CROWD - 1)
    assert all(r.alternatives and start not in r.alternatives and r.waitlist for r in lost)
    assert overlaps(database) == 0


def test_two_hundred_for_eight_seats(database: Database) -> None:
    desk = Desk(database).open(talk={"capacity": 8})
    start = desk.at(9)
    results = at_once([lambda n=n: desk.book(start, f"client{n}") for n in range(CROWD)])  # type: ignore[misc]
    assert Counter(type(r) for r in results) == {str: 8, SlotTaken: CROWD - 8}
    with database.reading() as tx:
        assert tx.execute(sa.select(Slot.taken, Slot.capacity)).all() == [(8, 8)]
        assert tx.execute(sa.select(sa.func.sum(Seat.seats))).scalar_one() == 8


def test_services_of_one_operator_whose_times_overlap(database: Database) -> None:
    desk = Desk(database).open(
        talk={"start_every_minutes": 30},
        long={"duration_minutes": 90, "start_every_minutes": 30, "buffer_after_minutes": 15},
    )
    starts = [desk.at(8 + n / 2) for n in range(6)]
    actions = [
        lambda n=n: desk.book(starts[n % 6], f"client{n}", service=("talk", "long")[n % 2])  # type: ignore[misc]
        for n in range(CROWD)
    ]
    results = at_once(actions)
    assert any(isinstance(r, str) for r in results)
    assert overlaps(database) == 0
    free = set(desk.starts("talk")) & set(starts)
    assert not [s for s in free if s in {desk.seen(r).starts_at for r in results if isinstance(r, str)}]


def test_racing_strangers_never_jump_the_line(database: Database) -> None:
    desk = Desk(database).open(talk={})
    start = desk.at(9)
    first = desk.book(start, "first")
    places = [desk.join(f"waiter{n}", {"start": start}) for n in range(3)]
    results = at_once([lambda: desk.cancel(first), *(lambda n=n: desk.book(start, f"stranger{n}") for n in range(50))])  # type: ignore[misc]
    assert not [r for r in results[1:] if isinstance(r, str)]
    assert [desk.place(p)["status"] for p in places] == ["promoted", "waiting", "waiting"]


def test_racing_reschedules_and_bookings_keep_one_place_each(database: Database) -> None:
    desk = Desk(database).open(talk={})
    bookings = [desk.book(desk.at(8 + n), f"client{n}") for n in range(3)]
    target = desk.at(11)
    results = at_once(
        [
            *(lambda b=b: desk.reschedule(b, target) for b in bookings),
            *(lambda n=n: desk.book(target, f"other{n}") for n in range(20)),
        ]  # type: ignore[misc]
    )
    assert sum(not isinstance(r, SlotTaken) for r in results) >= 1
    at_target = [b for b in bookings if desk.seen(b).starts_at == target]
    booked = [r for r in results[3:] if isinstance(r, str)]
    assert len(at_target) + len(booked) == 1
    assert overlaps(database) == 0
    with database.reading() as tx:
        assert tx.execute(sa.select(sa.func.count()).select_from(Seat)).scalar_one() == len(bookings) + len(booked)


def test_one_idempotency_key_one_booking(database: Database) -> None:
    desk = Desk(database).open(talk={"capacity": 8})
    start = desk.at(9)
    results = at_once([lambda: desk.book(start, "kata", idempotency_key="once") for _ in range(30)])
    assert len(set(map(str, results))) == 1
    assert person("kata")
    with database.reading() as tx:
        assert tx.execute(sa.select(Slot.taken)).scalar_one() == 1


@pytest.mark.parametrize("seats", [1, 2])
def test_the_database_itself_refuses(database: Database, seats: int) -> None:
    """Past all of our code: overlap and overbooking are errors of the database."""
    desk = Desk(database).open(talk={"capacity": 2})
    desk.book(desk.at(9), "kata", seats=seats)
    with database.reading() as tx:
        slot = dict(tx.execute(sa.select(Slot.__table__)).one()._mapping)
    with pytest.raises(sa.exc.IntegrityError), database.transaction() as tx:
        tx.execute(sa.update(Slot).values(taken=3))
    with pytest.raises(sa.exc.IntegrityError, match="slot_overlap"), database.transaction() as tx:
        tx.execute(sa.insert(Slot).values({**slot, "id": slot["id"] + 1, "service_id": 99}))
