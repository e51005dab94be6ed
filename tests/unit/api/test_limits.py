"""A body that is too large is refused, announced or not, and nothing behind the door has seen the rest of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from api.limits import LARGEST_BODY, LARGEST_OF
from booking.tables import Booking
from ledger.db import Database
from tests.support.desk import person
from tests.support.doors import Doors, open_doors

WHERE = "/api/v1/operators/anna/services/talk/bookings"


@pytest.fixture
def doors(sqlite: Database) -> Doors:
    return open_doors(sqlite)


def in_pieces(size: int, piece: int = 4096) -> Iterator[bytes]:
    """A body whose length nobody is told beforehand."""
    yield b'{"start": "'
    for _ in range(size // piece):
        yield b"x" * piece
    yield b'"}'


@pytest.mark.parametrize("path", [WHERE, "/en/anna/talk", "/api/v1/bookings/x/cancel", "/livez", "/nowhere"])
def test_too_large_is_413_wherever_it_goes(doors: Doors, path: str) -> None:
    answer = doors.client.post(path, content=b"x" * (LARGEST_BODY + 1))
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert str(LARGEST_BODY) in answer.json()["detail"]


FORMS = ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]


@pytest.mark.parametrize(
    ("path", "kind"), [(WHERE, "application/json"), (WHERE, "text/plain"), *(("/en/anna/talk", form) for form in FORMS)]
)
def test_too_large_without_saying_so(doors: Doors, path: str, kind: str) -> None:
    answer = doors.client.post(path, content=in_pieces(2 * LARGEST_BODY), headers={"Content-Type": kind})
    assert (answer.status_code, answer.headers["content-type"]) == (413, "application/problem+json")


@pytest.mark.parametrize("length", ["-1", "x", "1e3", " "])
def test_a_length_that_is_none(doors: Doors, length: str) -> None:
    assert doors.client.post(WHERE, content=b"{}", headers={"Content-Length": length}).status_code == 413


def test_what_just_fits_is_looked_at(doors: Doors) -> None:
    assert doors.client.post(WHERE, content=b" " * LARGEST_BODY).status_code in (400, 422)
    good = {"start": "2027-01-12T09:00:00Z", "client": person("kata")}
    assert doors.client.post(WHERE, json=good).status_code == 201
    with doors.desk.database.reading() as tx:
        assert tx.execute(sa.select(sa.func.count()).select_from(Booking)).scalar_one() == 1


def test_a_door_for_machines_takes_more(doors: Doors) -> None:
    ((path, largest),) = LARGEST_OF.items()
    assert doors.client.post(path, content=b"x" * (LARGEST_BODY + 1)).status_code != 413
    refused = doors.client.post(path, content=b"x" * (largest + 1))
    assert refused.status_code == 413
    assert str(largest) in refused.json()["detail"]
