"""The public forms and those who are no people.

Covers: api.guard.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from booking.i18n import LANGUAGES
from booking.tables import Booking, WaitlistEntry
from ledger.db import Database
from ledger.settings import Settings
from tests.support.desk import Desk
from tests.support.doors import Doors
from tests.unit.api.test_page_forms import form_in

BOOK = "/en/anna/talk?start=2027-01-12T09:00:00%2B00:00"
WAIT = "/en/anna/talk?wait=any"
PERSON = {"name": "Kata", "email": "kata@example.org"}


@pytest.fixture
def doors(sqlite: Database) -> Doors:
    return Doors(Desk(sqlite).open(talk={}, other={}), Settings(form_seconds=2, rate_per_minute=0))


def filled(doors: Doors, path: str, **changes: str) -> tuple[str, dict[str, str]]:
    address, fields = form_in(doors.client.get(path).text)
    days = {"from": "2027-01-12", "to": "2027-01-20"} if "wait" in path else {}
    return address, {**fields, **PERSON, **days, **changes}


def rows(doors: Doors) -> int:
    with doors.desk.database.reading() as tx:
        return sum(
            tx.execute(sa.select(sa.func.count()).select_from(table)).scalar_one() for table in (Booking, WaitlistEntry)
        )


@pytest.mark.parametrize("path", [BOOK, WAIT])
def test_a_person_notices_nothing(doors: Doors, path: str) -> None:
    address, fields = filled(doors, path)
    doors.desk.now += timedelta(seconds=2)
    assert doors.client.post(address, data=fields).status_code == 303
    assert rows(doors) == 1


@pytest.mark.parametrize("path", [BOOK, WAIT])
@pytest.mark.parametrize(
    ("changes", "seconds", "told"),
    [
        ({"website": "https://cheap.example"}, 10, "A field that must stay empty was filled in"),
        ({}, 1, "faster than we can tell people from programs"),
        ({"stamp": ""}, 10, "was open for a long time"),
        ({"stamp": "0.forged"}, 10, "was open for a long time"),
        ({"stamp": "x" * 5000}, 10, "was open for a long time"),
        ({}, 12 * 3600 + 1, "was open for a long time"),
    ],
)
def test_what_looks_automatic_is_shown_the_form_again(
    doors: Doors, path: str, changes: dict[str, str], seconds: int, told: str
) -> None:
    address, fields = filled(doors, path, **changes)
    doors.desk.now += timedelta(seconds=seconds)
    answer = doors.client.post(address, data=fields)
    assert (answer.status_code, rows(doors)) == (422, 0)
    assert told in answer.text
    assert 'role="alert"' in answer.text
    # Nobody is dropped: what was typed is there, and sending it again works.
    address, again = form_in(answer.text)
    assert {name: again[name] for name in ("from", "to") if name in fields} == {
        k: fields[k] for k in ("from", "to") if k in fields
    }
    assert (again["name"], again["email"], again["website"]) == ("Kata", "kata@example.org", "")
    doors.desk.now += timedelta(seconds=2)
    assert doors.client.post(address, data=again).status_code == 303
    assert rows(doors) == 1


def test_a_stamp_opens_no_other_form_and_no_other_time(doors: Doors) -> None:
    _, fields = filled(doors, "/en/anna/other?start=2027-01-12T09:00:00%2B00:00")
    doors.desk.now += timedelta(seconds=10)
    assert doors.client.post("/en/anna/talk", data=fields).status_code == 422
    at, _, signature = fields["stamp"].partition(".")
    older = f"{int(at) - 60_000}.{signature}"
    assert doors.client.post("/en/anna/other", data={**fields, "stamp": older}).status_code == 422
    assert rows(doors) == 0


def test_machines_have_the_api(doors: Doors) -> None:
    body: dict[str, Any] = {"start": "2027-01-12T09:00:00Z", "client": {**PERSON, "timezone": "UTC", "language": "en"}}
    assert doors.client.post("/api/v1/operators/anna/services/talk/bookings", json=body).status_code == 201


def test_without_a_shortest_time_only_the_trap_is_left(sqlite: Database) -> None:
    doors = Doors(Desk(sqlite).open(talk={}), Settings(form_seconds=0, rate_per_minute=0))
    address, fields = filled(doors, BOOK, stamp="")
    assert doors.client.post(address, data={**fields, "website": "x"}).status_code == 422
    assert doors.client.post(address, data=fields).status_code == 303


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_trap_is_out_of_everybodys_way(doors: Doors, language: str) -> None:
    page = doors.client.get(BOOK.replace("/en/", f"/{language}/")).text
    trap = page[page.index('<div class="visually-hidden" aria-hidden="true">') :].partition("</div>")[0]
    assert 'tabindex="-1"' in trap
    assert 'autocomplete="off"' in trap
    assert '<label for="website">' in trap
