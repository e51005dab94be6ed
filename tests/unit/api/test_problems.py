"""What goes wrong inside is told as a problem as well, with the right status, and without its insides."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from api.app import description
from api.problems import STATUS, TITLES, codes_by_status, problem
from booking import commands, errors, queries
from booking.errors import BookingError, FieldError
from ledger.db import Database
from tests.support.desk import person
from tests.support.doors import Doors, open_doors

WHERE = "/api/v1/operators/anna/services/talk"


@pytest.fixture
def doors(sqlite: Database) -> Doors:
    return open_doors(sqlite)


def failing(error: BaseException) -> Callable[..., Any]:
    def fail(*_: Any, **__: Any) -> Any:
        raise error

    return fail


def test_every_refusal_of_the_booking_room_has_its_status() -> None:
    kinds = [
        k
        for k in vars(errors).values()
        if isinstance(k, type) and issubclass(k, BookingError) and k is not BookingError
    ]
    assert all(any(base in STATUS for base in kind.__mro__) for kind in kinds)
    assert set(STATUS.values()) <= set(TITLES)


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (sa.exc.OperationalError("SELECT secret", {}, Exception("away")), 503, "try_again"),
        (sa.exc.TimeoutError("the pool is empty"), 503, "try_again"),
        (sa.exc.IntegrityError("INSERT secret", {}, Exception("slot_overlap")), 409, "slot_taken"),
        (sa.exc.IntegrityError("INSERT secret", {}, Exception("UNIQUE")), 500, "our_mistake"),
        (sa.exc.DataError("INSERT secret", {}, Exception("value")), 422, "invalid"),
        (RuntimeError("secret"), 500, "our_mistake"),
        (errors.DoesNotFit("past"), 409, "does_not_fit"),
    ],
)
def test_what_fails_behind_the_door(
    doors: Doors, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int, code: str
) -> None:
    monkeypatch.setattr(commands, "book", failing(error))
    answer = doors.client.post(f"{WHERE}/bookings", json={"start": "2027-01-12T09:00:00Z", "client": person("kata")})
    assert (answer.status_code, answer.json()["code"], answer.json()["status"]) == (status, code, status)
    assert answer.headers["content-type"] == "application/problem+json"
    assert "secret" not in answer.text
    assert ("retry-after" in answer.headers) == (status == 503)


def test_a_start_that_is_taken_says_where_to_wait(doors: Doors) -> None:
    start = {"start": "2027-01-12T09:00:00Z"}
    first = doors.client.post(f"{WHERE}/bookings", json={**start, "client": person("kata")}).json()
    second = doors.client.post(
        f"{WHERE}/bookings", json={"start": "2027-01-12T10:00:00Z", "client": person("jon")}
    ).json()
    for answer in (
        doors.client.post(f"{WHERE}/bookings", json={**start, "client": person("eva")}),
        doors.client.post(f"{WHERE}/holds", json=start),
        doors.client.post(f"/api/v1/bookings/{second['token']}/reschedule", json=start),
    ):
        assert answer.status_code == 409
        told = answer.json()
        assert told["waitlist"] == f"{WHERE}/waitlist"
        assert told["alternatives"]
        assert all(moment.endswith("Z") and moment != first["start"] for moment in told["alternatives"])


def test_no_name_of_a_person_is_in_a_refusal(doors: Doors) -> None:
    given = {
        "start": "2027-01-12T09:00:00Z",
        "seats": 9,
        "client": {"name": "Kata Nagy", "email": "not an address", "timezone": "x"},
    }
    answer = doors.client.post(f"{WHERE}/bookings", json=given)
    assert answer.status_code == 422
    assert "Kata" not in answer.text
    assert "not an address" not in answer.text


def test_the_shape_of_a_problem() -> None:
    answer = problem(
        422, "invalid", "x", fields=[FieldError("seats", "out_of_range", "1 to 3 \ud800")], headers={"X": "1"}, more=[1]
    )
    assert answer.media_type == "application/problem+json"
    assert answer.headers["x"] == "1"
    assert b'"more":[1]' in answer.body
    assert b'"type":"urn:slotledger:problem:invalid"' in answer.body
    assert b"1 to 3 ?" in answer.body


def test_a_page_behind_which_the_database_is_away(doors: Doors, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "operators", failing(sa.exc.OperationalError("x", {}, Exception("y"))))
    assert doors.client.get("/").status_code == 503


def test_a_body_that_is_no_text_is_no_json(doors: Doors) -> None:
    answer = doors.client.post(f"{WHERE}/holds", content=b"2\xff", headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (400, "not_json")


def test_every_problem_is_documented_with_its_codes() -> None:
    codes = codes_by_status()
    assert codes[404] == ["not_found"]
    assert {"slot_taken", "not_possible", "bookings_calendar_taken"} <= set(codes[409])
    assert {"invalid", "address_refused", "idempotency_key_reused"} <= set(codes[422])
    document = description()
    for status, shared in document["components"]["responses"].items():
        assert all(f"`{code}`" in shared["description"] for code in codes[int(status.removeprefix("Problem"))])
        assert list(shared["content"]) == ["application/problem+json"]
    for path, item in document["paths"].items():
        for operation in item.values():
            refused = {
                s: told for s, told in operation["responses"].items() if s >= "400" and path.startswith("/api/v1/")
            }
            assert all(told == {"$ref": f"#/components/responses/Problem{s}"} for s, told in refused.items()), path
