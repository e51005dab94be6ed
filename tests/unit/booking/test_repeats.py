"""The same request with the same Idempotency-Key: the same answer, to the byte, whatever became of the booking.

Covers: booking.repeats.
"""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa

from booking import repeats
from booking.errors import KeyReused
from booking.tables import IdempotencyKey
from ledger.db import Database
from tests.support.desk import Desk, person
from tests.support.doors import Doors, open_doors

WHERE = "/api/v1/operators/anna/services/talk"
BODY = {"start": "2027-01-12T09:00:00Z", "client": person("kata")}
ONCE = {"Idempotency-Key": "once"}


@pytest.fixture
def doors(database: Database) -> Doors:
    return open_doors(database, talk={})


def test_a_repeat_is_answered_as_the_first_was_whatever_became_of_the_booking(doors: Doors) -> None:
    first = doors.client.post(f"{WHERE}/bookings", json=BODY, headers=ONCE)
    token = first.json()["token"]
    doors.client.post(f"/api/v1/bookings/{token}/cancel")
    again = doors.client.post(f"{WHERE}/bookings", json=BODY, headers=ONCE)
    assert (again.status_code, again.content) == (201, first.content)
    assert again.headers["content-type"] == first.headers["content-type"] == "application/json"
    assert doors.client.get(f"/api/v1/bookings/{token}").json()["status"] == "cancelled"


def test_without_a_key_nothing_is_kept(doors: Doors) -> None:
    assert doors.client.post(f"{WHERE}/bookings", json=BODY).status_code == 201
    with doors.desk.database.reading() as tx:
        assert tx.execute(sa.select(IdempotencyKey.key)).all() == []


def test_an_answer_is_written_once_and_goes_with_its_key(database: Database) -> None:
    desk = Desk(database).open(talk={})
    booking_id, other = desk.book(desk.at(9), idempotency_key="k1"), desk.book(desk.at(10), "jon")
    with database.transaction() as tx:
        assert repeats.same_answer(tx, booking_id, lambda: "first") == "first"
        assert repeats.same_answer(tx, booking_id, lambda: "second") == "first"
        assert repeats.same_answer(tx, other, lambda: "one") == "one"
        assert repeats.same_answer(tx, other, lambda: "two") == "two"
        repeats.forget_answers(tx, desk.now + repeats.KEPT)
        assert repeats.same_answer(tx, booking_id, lambda: "third") == "first"
        repeats.forget_answers(tx, desk.now + repeats.KEPT + timedelta(seconds=1))
        assert tx.execute(sa.select(IdempotencyKey.answer)).all() == []


def test_a_key_that_made_another_booking_is_told_apart(database: Database) -> None:
    desk = Desk(database).open(talk={})
    with database.transaction() as tx:
        assert repeats.made_before(tx, "1:k", {"start": desk.at(9)}) == ""
        repeats.remember(tx, "1:k", {"start": desk.at(9)}, "b1", now=desk.now)
        assert repeats.made_before(tx, "1:k", {"start": desk.at(9)}) == "b1"
        with pytest.raises(KeyReused):
            repeats.made_before(tx, "1:k", {"start": desk.at(10)})
