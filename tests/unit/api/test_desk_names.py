"""Behind the doors things are called what people call them: services by title, days as the reader writes them."""

from __future__ import annotations

import pytest

from booking import commands
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


def test_an_operator_sees_who_did_what(doors: Doors, anna: Browser) -> None:
    start = {"start": "2027-01-12T09:00:00+00:00", "name": "Kata", "email": "kata@example.org", "tz": "UTC"}
    page = doors.client.post("/en/anna/talk", data=start).headers["location"]
    doors.client.post(f"{page}/cancel")
    with doors.desk.database.reading() as tx:
        booking = commands.id_of(tx, page.rpartition("/")[2])
    shown = anna.get(f"/operator/bookings/{booking}").text
    assert "<bdi>on the booking page</bdi>" in shown
    assert "<bdi>by the client&#39;s link</bdi>" in shown
    assert "<bdi>by the client" not in doors.client.get(page).text


def test_a_link_of_an_operators_mail_leads_to_signing_in_before_it_asks_for_a_key(doors: Doors) -> None:
    booking = doors.desk.book(doors.desk.at(9, 1))
    shown = doors.client.get(f"/operator/bookings/{booking}").text
    assert f'<a class="button main" href="/login?next=/operator/bookings/{booking}">' in shown
    assert shown.index("/login?next=") < shown.index('name="key"')
    wrong = doors.client.post(f"/operator/bookings/{booking}", data={"key": "sl_nothing"}).text
    assert "<details open>" in wrong
