"""Behind the doors things are called what people call them: services by title, days as the reader writes them."""

from __future__ import annotations

import pytest

from ledger.db import Database
from tests.support.browser import Browser, signed_in
from tests.support.doors import Doors, open_doors


@pytest.fixture
def doors(sqlite: Database) -> Doors:
    return open_doors(sqlite, talk={"title": "A long talk", "texts": {"de": {"title": "Ein Gespräch"}}})


@pytest.fixture
def anna(doors: Doors) -> Browser:
    return signed_in(doors, "anna", "operator:anna")


def test_a_service_is_called_by_its_title(doors: Doors, anna: Browser) -> None:
    doors.desk.book(doors.desk.at(9, 1))
    doors.desk.join("vera", {"start": doors.desk.at(9, 1)})
    assert anna.get("/operator/").text.count("<bdi>A long talk</bdi>") == 2
    line = anna.get("/operator/line").text
    assert "<bdi>A long talk</bdi>" in line
    assert "<bdi>talk</bdi>" not in line


def test_who_waits_for_days_is_listed_with_days_as_people_write_them(doors: Doors, anna: Browser) -> None:
    doors.desk.join("vera", {"from": "2027-01-12", "to": "2027-01-20"})
    for page in ("", "line"):
        shown = anna.get(f"/operator/{page}").text
        assert "<bdi>12 Jan 2027</bdi> – <bdi>20 Jan 2027</bdi>" in shown
        assert "<bdi>2027-01-12" not in shown


def test_a_cancelled_appointment_looks_like_one(doors: Doors, anna: Browser) -> None:
    booking = doors.desk.book(doors.desk.at(9, 1))
    assert '<span class="badge ">Confirmed' in anna.get(f"/operator/bookings/{booking}").text
    doors.desk.cancel(booking)
    assert '<span class="badge bad">Cancelled' in anna.get(f"/operator/bookings/{booking}").text


def test_new_times_are_grouped_by_day(doors: Doors, anna: Browser) -> None:
    shown = anna.get(f"/operator/bookings/{doors.desk.book(doors.desk.at(9, 1))}").text
    assert '<optgroup label="Tuesday, 12 January 2027">' in shown.replace("Tuesday 12", "Tuesday, 12")
