"""Seats are taken by one conditional statement, under the operator's lock; no row means no seat."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from connectors.model import Period
from ledger import claims
from ledger.claims import Freed, NotLocked
from ledger.db import Database, Tx
from ledger.tables import Operator, Seat, Slot
from tests.support.books import hours, operator

QUARTER = timedelta(minutes=15)


class Desk:
    """Claims of one operator in one transaction, at one time."""

    def __init__(self, tx: Tx, now: datetime, slug: str = "anna") -> None:
        self.tx, self.now = tx, now
        self.operator_id = operator(tx, now, slug)
        claims.lock_operator(tx, self.operator_id)

    def claim(self, start: float, end: float, holder: str = "", **options: Any) -> int | None:
        period = hours(self.now, start, end)
        buffers = options.pop("buffers", timedelta())
        values = {"service_id": 1, "capacity": 1, "seats": 1, **options}
        holder = holder or f"booking:{start}-{end}"
        return claims.claim(
            self.tx, operator_id=self.operator_id, period=period, block=period.widened(buffers, buffers), holder=holder,
            now=self.now, **values,
        )  # fmt: skip

    def move(self, slot_id: int, start: float, end: float) -> bool:
        period = hours(self.now, start, end)
        return claims.move(self.tx, slot_id, operator_id=self.operator_id, period=period, block=period)

    def release(self, holder: str) -> Freed | None:
        return claims.release(self.tx, holder, operator_id=self.operator_id)

    def taken(self) -> list[tuple[int, int, int]]:
        """(slot, taken, sum of its seats)."""
        sums = sa.select(sa.func.coalesce(sa.func.sum(Seat.seats), 0)).where(Seat.slot_id == Slot.id).scalar_subquery()
        rows = self.tx.execute(sa.select(Slot.id, Slot.taken, sums).order_by(Slot.id))
        return [(r[0], r[1], int(r[2])) for r in rows]


# --- the lock -----------------------------------------------------------------------------------------------------


def test_the_lock_counts_the_changes(database: Database, now: datetime) -> None:
    with database.transaction() as tx:
        one, other = operator(tx, now), operator(tx, now, "ben")
        assert claims.lock_operator(tx, one) == 2
        assert claims.lock_operator(tx, one) == 3
    with database.transaction() as tx:
        assert claims.lock_operator(tx, one) == 4
        versions = tx.execute(sa.select(Operator.id, Operator.ledger_version).order_by(Operator.id))
        assert [tuple(row) for row in versions] == [(one, 4), (other, 1)]


def test_nobody_changes_time_that_is_not_locked(database: Database, now: datetime) -> None:
    with database.transaction() as tx:
        Desk(tx, now).claim(9, 10, "booking:a")
    with database.transaction() as tx:
        ben = Desk(tx, now, "ben")  # somebody else's lock is none
        period = hours(now, 9, 10)
        attempts = (
            lambda: claims.claim(tx, operator_id=1, service_id=1, period=period, block=period, capacity=1, holder="x", seats=1, now=now),
            lambda: claims.release(tx, "booking:a", operator_id=1),
            lambda: claims.expired(tx, 1, now=now),
            lambda: claims.hand_over(tx, "booking:a", "b", operator_id=1, now=now),
            lambda: claims.move(tx, 1, operator_id=1, period=period, block=period),
        )  # fmt: skip
        for attempt in attempts:
            with pytest.raises(NotLocked):
                attempt()
        assert ben.taken() == [(1, 1, 1)]


def test_a_lock_ends_with_its_transaction(database: Database, now: datetime) -> None:
    with database.transaction() as tx:
        desk = Desk(tx, now)
    with database.transaction() as tx, pytest.raises(NotLocked):
        claims.expired(tx, desk.operator_id, now=now)


# --- claim --------------------------------------------------------------------------------------------------------


def test_a_start_is_taken_once(database: Database, now: datetime) -> None:
    with database.transaction() as tx:
        desk = Desk(tx, now)
        slot = desk.claim(9, 10, "booking:a")
        assert slot is not None
        assert desk.claim(9, 10, "booking:b") is None
        assert desk.taken() == [(slot, 1, 1)]


@pytest.mark.parametrize(("start", "end"), [(8.5, 9.5), (9.5, 10.5), (8, 11), (9.25, 9.75), (9, 9.5), (9.5, 10)])
def test_what_overlaps_is_refused(database: Database, now: datetime, start: float, end: float) -> None:
    with database.transaction() as tx:
        desk = Desk(tx, now)
        desk.claim(9, 10)
        assert desk.claim(start, end) is None
        assert desk.claim(start, end, service_id=2) is None


def test_what_only_touches_fits_and_so_does_another_operator(database: Database, now: datetime) -> None:
    with database.transaction() as tx:
        desk = Desk(tx, now)
        assert desk.claim(9, 10)
        assert desk.claim(8, 9)
        assert desk.claim(10, 11)
        assert Desk(tx, now, "ben").claim(9, 10, "booking:of-ben")


def test_buffers_take_time_as_well(database: Database, now: datetime) -> None:
    with database.transaction() as tx:
        desk = Desk(tx, now)
        assert desk.claim(9, 10, buffers=QUARTER)
        assert desk.claim(10.25, 11, buffers=QUARTER) is None  # both buffers need room
        assert desk.claim(10.25, 11)
        assert desk.claim(8, 8.5, buffers=QUARTER)


def test_a_group_fills_up_to_its_last_seat(database: Database, now: datetime) -> None:
    with database.transaction() as tx:
        desk = Desk(tx, now)
        slot = desk.claim(9, 10, "booking:a", capacity=5, seats=2)
        assert slot is not None
        assert desk.claim(9, 10, "booking:b", capacity=5, seats=4) is None
        assert desk.claim(9, 10, "booking:b", capacity=5, seats=3) == slot
        assert desk.claim(9, 10, "booking:c", capacity=5, seats=1) is None
        assert desk.taken() == [(slot, 5, 5)]


def test_the_capacity_is_that_of_the_slot_which_is_there(database: Database, now: datetime) -> None:
    with database.transaction() as tx:
        desk = Desk(tx, now)
        slot = desk.claim(9, 10, "booking:a", capacity=2)
        assert desk.claim(9, 10, "booking:b", capacity=9, seats=2) is None
        assert desk.claim(9, 10, "booking:b", capacity=9) == slot


def test_more_seats_than_there_are_open_no_slot(database: Database, now: datetime) -> None:
    with database.transaction() as tx:
        desk = Desk(tx, now)
        assert desk.claim(9, 10, capacity=3, seats=4) is None
        assert desk.taken() == []


def test_another_service_or_length_at_the_same_start_is_no_joining(database: Database, now: datetime) -> None:
    with database.transaction() as tx:
        desk = Desk(tx, now)
        desk.claim(9, 10, "booking:a", capacity=5)
        assert desk.claim(9, 10, "booking:b", capacity=5, service_id=2) is None
        assert desk.claim(9, 9.5, "booking:b", capacity=5) is None


def test_one_holder_has_seats_once(database: Database, now: datetime) -> None:
    with database.transaction() as tx:
        desk = Desk(tx, now)
        assert desk.claim(9, 10, "booking:a")

    def again() -> None:
        with database.transaction() as desk.tx:
            claims.lock_operator(desk.tx, desk.operator_id)
            desk.claim(10, 11, "booking:a")

    with pytest.raises(sa.exc.IntegrityError):
        again()


# --- release, expire, hand over -----------------------------------------------------------------------------------


def test_what_is_released_tells_what_became_free(database: Database, now: datetime) -> None:
    with database.transaction() as tx:
        desk = Desk(tx, now)
        slot = desk.claim(9, 10, "booking:a", capacity=4, seats=3, buffers=QUARTER)
        desk.claim(9, 10, "booking:b", capacity=4, buffers=QUARTER)
        assert slot is not None
        period = hours(now, 9, 10)
        freed = desk.release("booking:a")
        assert freed == Freed(slot, desk.operator_id, 1, period, period.widened(QUARTER, QUARTER), 3, 1, 4, "booking:a")
        assert desk.release("booking:a") is None
        last = desk.release("booking:b")
        assert last is not None
        assert last.left == 0
        assert desk.taken() == [(slot, 0, 0)]


def test_the_next_taker_of_the_same_start_gets_a_new_slot(database: Database, now: datetime) -> None:
    with database.transaction() as tx:
        desk = Desk(tx, now)
        first = desk.claim(9, 10, "booking:a")
        desk.release("booking:a")
        second = desk.claim(9, 10, "booking:b")
        assert second is not None
        assert second != first


def test_a_holder_of_somebody_else_is_out_of_reach(database: Database, now: datetime) -> None:
    with database.transaction() as tx:
        anna, ben = Desk(tx, now), Desk(tx, now, "ben")
        anna.claim(9, 10, "booking:a")
        assert ben.release("booking:a") is None
        assert claims.hand_over(tx, "booking:a", "booking:b", operator_id=ben.operator_id, now=now) is None
        assert not claims.move(tx, 1, operator_id=ben.operator_id, period=hours(now, 11, 12), block=hours(now, 11, 12))
        assert anna.taken() == [(1, 1, 1)]


def test_holds_end_and_nothing_else_does(database: Database, now: datetime) -> None:
    with database.transaction() as tx:
        desk, ben = Desk(tx, now), Desk(tx, now, "ben")
        for minutes, start in ((5, 9), (3, 10), (6, 11)):
            desk.claim(start, start + 1, f"hold:{minutes}", expires_at=now + timedelta(minutes=minutes))
        desk.claim(12, 13, "booking:a")
        ben.claim(9, 10, "hold:ben", expires_at=now)
        assert claims.expired(tx, desk.operator_id, now=now + timedelta(minutes=3) - timedelta(microseconds=1)) == []
        gone = claims.expired(tx, desk.operator_id, now=now + timedelta(minutes=5))
        assert [f.holder for f in gone] == ["hold:3", "hold:5"]  # the oldest first
        assert claims.expired(tx, desk.operator_id, now=now + timedelta(minutes=5)) == []
        assert [taken for _, taken, _ in desk.taken()] == [0, 0, 1, 1, 1]


def test_a_live_hold_becomes_a_booking_for_good_and_a_dead_one_does_not(database: Database, now: datetime) -> None:
    end = now + timedelta(minutes=5)
    with database.transaction() as tx:
        desk = Desk(tx, now)
        slot = desk.claim(9, 10, "hold:a", expires_at=end)
        assert claims.hand_over(tx, "hold:a", "booking:a", operator_id=desk.operator_id, now=end) is None
        before = end - timedelta(microseconds=1)
        assert claims.hand_over(tx, "hold:a", "booking:a", operator_id=desk.operator_id, now=before) == slot
        assert claims.hand_over(tx, "hold:a", "booking:b", operator_id=desk.operator_id, now=before) is None
        assert claims.expired(tx, desk.operator_id, now=end + timedelta(days=1)) == []
        assert desk.release("booking:a") is not None


# --- move ---------------------------------------------------------------------------------------------------------


def test_a_slot_moves_with_everybody_in_it(database: Database, now: datetime) -> None:
    with database.transaction() as tx:
        desk = Desk(tx, now)
        slot = desk.claim(9, 10, "booking:a", capacity=3, seats=2)
        assert slot is not None
        assert desk.move(slot, 9.5, 11)  # over its own old time
        assert desk.taken() == [(slot, 2, 2)]
        assert desk.claim(9, 9.5)
        assert desk.claim(10, 10.5) is None


def test_it_moves_only_where_nobody_is(database: Database, now: datetime) -> None:
    with database.transaction() as tx:
        desk = Desk(tx, now)
        slot, other = desk.claim(9, 10), desk.claim(11, 12)
        assert slot is not None
        assert not desk.move(slot, 10.5, 11.5)
        assert tx.execute(sa.select(Slot.starts_at).where(Slot.id == slot)).scalar_one() == hours(now, 9, 10).start
        desk.release("booking:11-12")
        assert desk.move(slot, 11, 12)
        assert other is not None


# --- the back-stop ------------------------------------------------------------------------------------------------


def test_behind_the_conditions_the_database_refuses(database: Database, now: datetime) -> None:
    with database.transaction() as tx:
        desk = Desk(tx, now)
        desk.claim(9, 10, capacity=2)
        slot = dict(tx.execute(sa.select(Slot.__table__)).one()._mapping)
    other = Period(slot["starts_at"] + QUARTER, slot["ends_at"] + QUARTER)
    wrong = [
        sa.insert(Slot).values({**slot, "id": 9, "service_id": 2}),
        sa.insert(Slot).values(
            {**slot, "id": 9, "starts_at": other.start, "ends_at": other.end, "block_end": other.end}
        ),
        sa.update(Slot).values(taken=3),
        sa.update(Slot).values(taken=-1),
        sa.update(Slot).values(ends_at=slot["starts_at"]),
        sa.update(Slot).values(block_start=slot["starts_at"] + QUARTER),
    ]
    for statement in wrong:
        with pytest.raises(sa.exc.IntegrityError), database.transaction() as tx:
            tx.execute(statement)
    with database.transaction() as tx:  # an empty slot takes no time
        tx.execute(sa.insert(Slot).values({**slot, "id": 9, "taken": 0}))
    with pytest.raises(sa.exc.IntegrityError, match="slot_overlap"), database.transaction() as tx:
        tx.execute(sa.update(Slot).where(Slot.id == 9).values(taken=1))
