"""Places and matches by index say what counting and reading everybody would say."""

from __future__ import annotations

import random
from datetime import date, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from booking import commands, line, waitlist
from booking.catalogue import offering
from booking.ending import LONGEST_REASON
from booking.rules import Wish, fits
from booking.tables import LineCount, WaitlistEntry, WishKey, WishShape
from booking.wishes import keys_of
from connectors.model import Period
from ledger.availability import SlotState, Start
from ledger.claims import LockedTooLate, lock_operator
from ledger.db import Database, Tx
from tests.support.desk import TERMS, Desk, person

E = WaitlistEntry


@pytest.fixture
def desk(database: Database) -> Desk:
    return Desk(database).open(talk={"capacity": 4})


def some_wish(chance: random.Random, desk: Desk) -> dict[str, Any]:
    if chance.random() < 0.4:
        return {"start": desk.at(chance.choice([8, 9, 10]), chance.randrange(4))}
    first = date(2027, 1, 11) + timedelta(days=chance.randrange(10))
    wish: dict[str, Any] = {"from": first.isoformat(), "to": (first + timedelta(chance.randrange(30))).isoformat()}
    if chance.random() < 0.5:
        wish["weekdays"] = chance.sample(range(1, 8), chance.randrange(1, 6))
    if chance.random() < 0.5:
        wish["between"] = chance.choice(
            [["08:30", "10:00"], ["09:00", "09:30"], ["00:00", "24:00"], ["10:01", "12:00"]]
        )
    return wish


def everybody(tx: Tx) -> list[Any]:
    return list(tx.execute(sa.select(E.__table__).where(E.status == "waiting").order_by(E.priority.desc(), E.id)))


def wish_of(row: Any) -> Wish:
    days = (date.fromisoformat(row.first_date), date.fromisoformat(row.last_date))
    return Wish(row.wish_start, *days, row.weekdays, (row.between_start, row.between_end))


def start_at(at: datetime, seats: int = 4) -> Start:
    return Start(Period(at, at + timedelta(hours=1)), 4, seats, SlotState.OPEN)


@pytest.mark.parametrize("seed", range(3))
def test_by_index_as_by_reading_everybody(desk: Desk, seed: int) -> None:
    chance = random.Random(seed)
    tokens = [desk.join(f"c{n}", some_wish(chance, desk), seats=chance.choice([1, 1, 2, 3])) for n in range(60)]
    for _ in range(30):
        with desk.database.transaction() as tx:
            entry = waitlist.entry_by_token(tx, chance.choice(tokens))
            act = chance.randrange(4)
            if entry.status == "waiting" and act == 0:
                tx.execute(sa.update(E).where(E.id == entry.id).values(priority=chance.randrange(-2, 3)))
            elif entry.status == "waiting" and act == 1:
                line.set_entry(tx, entry.id, "offered", desk.now)
            elif entry.status == "offered":
                line.set_entry(tx, entry.id, "waiting", desk.now)
                line.take_place(tx, entry.id, now=desk.now)
            elif act == 2:
                tx.execute(sa.delete(E).where(E.id == entry.id))
                tokens.remove(entry.token)
    with desk.database.reading() as tx:
        wanted, waiting = offering(tx, "anna", "talk"), everybody(tx)
        for place, row in enumerate(waiting, 1):
            assert line.position(tx, row) == place
        assert line.length(tx, wanted.service_id) == len(waiting)
        for day in range(25):
            for hour in (8, 8.5, 9, 10, 11):
                at, left = desk.at(hour, day), chance.randrange(1, 5)
                found = line.first_fitting(tx, wanted, start_at(at, left))
                expected = next((r for r in waiting if r.seats <= left and fits(wish_of(r), at, "UTC")), None)
                assert (found and found.id) == (expected and expected.id)


def test_however_different_the_wishes_are_their_shapes_are_few(desk: Desk) -> None:
    """What is looked up for one start grows with the shapes, so they must not grow with the wishes."""
    chance = random.Random(5)
    for n in range(60):
        days, hour = chance.sample(range(1, 8), chance.randrange(1, 6)), chance.randrange(20)
        between = [f"{hour:02}:{chance.choice(['00', '15', '30'])}", f"{hour + chance.randrange(1, 4):02}:00"]
        wish = {"from": "2027-01-11", "to": "2027-03-01", "weekdays": days, "between": between}
        desk.join(f"c{n}", wish if n % 3 else {"start": desk.at(9, n)}, seats=1 + n % 2)
    with desk.database.reading() as tx:
        assert tx.execute(sa.select(sa.func.count()).select_from(WishShape)).scalar_one() == 4


def test_who_was_filed_by_weekdays_and_hours_of_a_shape_is_still_found(desk: Desk) -> None:
    """As it was before the keys told them."""
    desk.join("imre", {"from": "2027-01-11", "to": "2027-03-01", "weekdays": [2, 3], "between": ["08:30", "10:00"]})
    with desk.database.transaction() as tx:
        wanted = offering(tx, "anna", "talk")
        tx.execute(sa.delete(WishKey))
        tx.execute(sa.update(WishShape).values(weekdays=0b110, first_hour=8, last_hour=10))
        shape = tx.execute(sa.select(WishShape.id)).scalar_one()
        keys = keys_of(None, date(2027, 1, 11), date(2027, 3, 1))
        tx.execute(sa.insert(WishKey), [{"entry_id": 1, "key": key, "shape_id": shape, "rank": 0} for key in keys])
        found = [
            (day, hour)
            for day in range(8)
            for hour in (8, 8.5, 9.5, 10)
            if line.first_fitting(tx, wanted, start_at(desk.at(hour, day)))
        ]
    assert found == [(1, 8.5), (1, 9.5), (2, 8.5), (2, 9.5)]


def test_a_wish_of_weekdays_that_never_come_waits_in_vain(desk: Desk) -> None:
    place = desk.place(desk.join("imre", {"from": "2027-01-11", "to": "2027-01-12", "weekdays": [7]}))
    assert (place["status"], place["position"]) == ("waiting", 1)


def test_who_waits_no_more_leaves_nothing_behind(desk: Desk) -> None:
    token = desk.join("imre", {"from": "2027-01-11", "to": "2027-03-01"})
    desk.join("eva", {"start": desk.at(9)})
    desk.leave(token)
    with desk.database.transaction() as tx:
        assert tx.execute(sa.select(WishKey.entry_id).distinct()).scalars().all() == [2]
        tx.execute(sa.delete(E))
        assert tx.execute(sa.select(WishKey.entry_id)).all() == []
        assert set(tx.execute(sa.select(LineCount.waiting)).scalars()) == {0}


def test_only_members_and_lengths_that_are_wanted(database: Database) -> None:
    desk = Desk(database).open(talk={"durations_minutes": [60, 30], "start_every_minutes": 30})
    with database.transaction() as tx:
        wanted = offering(tx, "anna", "talk")
        given = {"client": person("imre"), "wish": {"start": desk.at(9)}, "accept": "auto", "duration_minutes": 30}
        waitlist.join(tx, wanted, given, now=desk.now, cause="test")
        found = {m: line.first_fitting(tx, wanted.lasting(m), start_at(desk.at(9))) for m in (30, 60)}
        assert (found[60], found[30].client_email) == (None, "imre@example.org")
        tx.execute(sa.update(WishShape).values(duration_minutes=45))  # a length of the past: now the default
        found = {m: line.first_fitting(tx, wanted.lasting(m), start_at(desk.at(9))) for m in (30, 60)}
        assert (found[30], found[60].client_email) == (None, "imre@example.org")
        tx.execute(sa.update(WishShape).values(member_id=99))
        assert line.first_fitting(tx, wanted, start_at(desk.at(9))) is None


def test_wishes_of_the_past_wait_no_more(desk: Desk) -> None:
    old = desk.join("imre", {"start": desk.at(9)})
    new = desk.join("eva", {"from": "2027-01-11", "to": "2027-01-14"})
    desk.now = desk.at(12, day=3)
    with desk.database.transaction() as tx:
        assert line.expire_wishes(tx, desk.now) == 1
        assert line.expire_wishes(tx, desk.now) == 0
    assert [desk.place(t)["status"] for t in (old, new)] == ["expired", "waiting"]
    assert desk.place(new)["position"] == 1


def test_a_wish_is_over_with_its_start_or_when_its_day_is_over_everywhere(desk: Desk) -> None:
    start = desk.join("imre", {"start": desk.at(9)})
    days = desk.join("eva", {"from": "2027-01-11", "to": "2027-01-11"})
    later = desk.join("otto", {"start": desk.at(10)})

    def over(now: datetime) -> list[str]:
        desk.now = now
        with desk.database.transaction() as tx:
            line.expire_wishes(tx, now)
        return [desk.place(token)["status"] for token in (start, days, later)]

    assert over(desk.at(8.9)) == ["waiting", "waiting", "waiting"]
    assert over(desk.at(9)) == ["expired", "waiting", "waiting"]
    assert desk.place(later)["position"] == 2
    assert over(desk.at(11.9, day=1)) == ["expired", "waiting", "expired"]
    assert over(desk.at(12, day=1)) == ["expired", "expired", "expired"]


def test_operators_are_locked_in_one_order(desk: Desk) -> None:
    other = Desk(desk.database).open("ben").operator_id
    with desk.database.transaction() as tx:
        lock_operator(tx, other)
        lock_operator(tx, other)
        with pytest.raises(LockedTooLate):
            lock_operator(tx, desk.operator_id)


def test_a_reason_is_cut(desk: Desk) -> None:
    booking = desk.book(desk.at(9))
    with desk.database.transaction() as tx:
        commands.cancel(tx, TERMS, booking, by="client", now=desk.now, cause="test", reason="x" * 2000)
    assert len(desk.seen(booking).reason) == LONGEST_REASON
