"""What pages tell is so: where an appointment is by now, how many seats are left, when the next free time is, what failed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from booking import commands, queries
from booking.errors import DoesNotFit
from booking.i18n import LANGUAGES
from ledger.db import Database
from tests.support.doors import Doors, open_doors

START = "2027-01-12T09:00:00+00:00"
BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.fixture
def doors(sqlite: Database) -> Doors:
    return open_doors(sqlite, talk={}, group={"capacity": 3})


def filled(**changes: str) -> dict[str, str]:
    return {"start": START, "tz": "UTC", "once": "form-1", "name": "Kata", "email": "kata@example.org", **changes}


def booked(doors: Doors) -> str:
    return str(doors.client.post("/en/anna/talk", data=filled()).headers["location"])


def calendar_says(monkeypatch: pytest.MonkeyPatch, state: str) -> None:
    monkeypatch.setattr(queries, "_calendar_state", lambda *_: state)


def test_a_new_appointment_says_where_its_invitation_goes_and_looks_until_that_is_done(doors: Doors) -> None:
    page = booked(doors)
    shown = doors.client.get(page).text
    assert "The invitation goes to kata@example.org." in shown
    assert "watch.js" in shown
    assert "http-equiv" not in shown  # nobody's open form is taken away by a reload
    doors.desk.now += timedelta(minutes=3)
    later = doors.client.get(page).text
    assert "The invitation goes to" not in later
    assert "watch.js" not in later


def test_it_looks_longer_while_the_calendar_waits_and_not_for_ever(
    doors: Doors, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = booked(doors)
    calendar_says(monkeypatch, "on_its_way")
    doors.desk.now += timedelta(minutes=5)
    assert "watch.js" in doors.client.get(page).text
    doors.desk.now += timedelta(minutes=10)
    assert "watch.js" not in doors.client.get(page).text


@pytest.mark.parametrize(
    ("state", "told"),
    [("on_its_way", "It is being taken out of the calendar of Anna."), ("removed", "It is no longer in the calendar")],
)
def test_a_cancelled_appointment_is_never_on_its_way_into_the_calendar(
    doors: Doors, monkeypatch: pytest.MonkeyPatch, state: str, told: str
) -> None:
    page = booked(doors)
    doors.client.post(f"{page}/cancel")
    calendar_says(monkeypatch, state)
    shown = doors.client.get(page).text
    assert told in shown
    assert "on its way into" not in shown
    assert 'href="/en/anna/talk?tz=UTC"' in shown  # and where another can be had


def test_whoever_may_not_change_it_any_more_is_told_and_may_still_say_that_they_come(sqlite: Database) -> None:
    doors = open_doors(sqlite, talk={"cancel_until_minutes": 3 * 24 * 60})
    page = booked(doors)
    shown = doors.client.get(page).text
    assert "It is too late to change this appointment here. Please get in touch with Anna." in shown
    assert "Cancel my appointment" not in shown
    assert "I am coming" in shown
    assert "Thank you." in doors.client.get(doors.client.post(f"{page}/confirm-attendance").headers["location"]).text
    doors.desk.now = doors.desk.at(9.5, 1)
    begun = doors.client.get(page).text
    assert "I am coming" not in begun
    assert "too late" not in begun


def test_a_proposed_time_that_was_taken_meanwhile_is_told_as_that(
    doors: Doors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "answer_proposal", failing(DoesNotFit("overlap")))
    answer = doors.client.post(f"{booked(doors)}/proposal", data={"answer": "accept"})
    assert answer.status_code == 409
    assert "That time is no longer free; your appointment stays where it is." in answer.text


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_start_can_be_read_in_every_language(doors: Doors, language: str) -> None:
    plain, own = doors.client.get("/", headers={"Accept-Language": language}), doors.client.get(f"/{language}")
    for shown in (plain, own):
        assert shown.status_code == 200
        assert f'<html lang="{language}"' in shown.text
        assert f'href="/{language}/anna/talk"' in shown.text
        assert all(f'href="/{each}" lang="{each}"' in shown.text for each in LANGUAGES)
    assert f'class="brand" href="/{language}"' in doors.client.get(f"/{language}/anna/talk").text


def test_where_fewer_seats_are_left_than_asked_for_the_page_says_so(doors: Doors) -> None:
    doors.client.post("/en/anna/group", data=filled(seats="2"))
    answer = doors.client.post(
        "/en/anna/group", data=filled(seats="2", once="form-2", email="jon@example.org", name="Jon")
    )
    assert answer.status_code == 409
    assert "Only 1 seat is left at this time." in answer.text
    assert "no longer free" not in answer.text
    assert "&amp;seats=1" in answer.text  # what is left
    assert "&amp;seats=2" in answer.text or "&seats=2" in answer.text  # and as many as were asked for at other times
    full = doors.client.post("/en/anna/group", data=filled(seats="3", once="form-3", name="Eva")).text
    assert "Only 1 seat" in full
    doors.client.post("/en/anna/group", data=filled(once="form-4", email="eva@example.org"))
    assert (
        "no longer free" in doors.client.post("/en/anna/group", data=filled(once="form-5", email="x@example.org")).text
    )


def test_whoever_asks_for_no_month_sees_that_of_the_next_free_time(doors: Doors) -> None:
    doors.desk.now = doors.desk.now.replace(day=31)  # a Sunday; the hours are on Monday to Wednesday
    shown = doors.client.get("/en/anna/talk?tz=UTC").text
    assert '<h2 id="month-name">February 2027</h2>' in shown
    assert "Monday, 1 February 2027" in shown.replace("Monday 1", "Monday, 1")
    asked = doors.client.get("/en/anna/talk?tz=UTC&month=2027-01").text
    assert '<h2 id="month-name">January 2027</h2>' in asked


def test_where_nothing_is_free_at_all_the_present_month_stays(sqlite: Database) -> None:
    doors = open_doors(sqlite, talk={"hours": {}})
    shown = doors.client.get("/en/anna/talk?tz=UTC").text
    assert '<h2 id="month-name">January 2027</h2>' in shown
    assert "Nothing is free in this month" in shown


def test_times_of_another_zone_than_the_services_say_so(doors: Doors) -> None:
    note = 'Time zone: <a href="#tz"><bdi>New York</bdi></a>'
    assert note in doors.client.get("/en/anna/talk?tz=America/New_York").text
    assert 'Time zone: <a href="#tz">' not in doors.client.get("/en/anna/talk?tz=Africa/Abidjan").text
    place = "Days and hours are those of "
    assert place in doors.client.get("/en/anna/talk?wait=any&tz=America/New_York").text
    assert place not in doors.client.get("/en/anna/talk?wait=any&tz=UTC").text


def failing(error: BaseException) -> Callable[..., Any]:
    def fail(*_: Any, **__: Any) -> Any:
        raise error

    return fail


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    ("error", "status"),
    [(sa.exc.OperationalError("SELECT secret", {}, Exception("away")), 503), (RuntimeError("secret"), 500)],
)
def test_what_fails_is_told_to_people_as_a_page(
    doors: Doors, monkeypatch: pytest.MonkeyPatch, language: str, error: Exception, status: int
) -> None:
    monkeypatch.setattr(commands, "book", failing(error))
    answer = doors.client.post(f"/{language}/anna/talk", data=filled(), headers=BROWSER)
    assert answer.status_code == status
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["cache-control"] == "no-store"
    assert (answer.headers.get("retry-after") == "2") is (status == 503)
    assert f'lang="{language}"' in answer.text
    assert "secret" not in answer.text
    asked_by_a_program = doors.client.post(f"/{language}/anna/talk", data=filled())
    assert asked_by_a_program.headers["content-type"] == "application/problem+json"


def test_a_browser_at_the_api_still_gets_a_problem(doors: Doors) -> None:
    answer = doors.client.get("/api/v1/operators/anna/services/talk/slots", headers=BROWSER)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_button_that_leads_nowhere_is_told_as_a_page(doors: Doors) -> None:
    answer = doors.client.get(f"{booked(doors)}/cancel", headers=BROWSER)
    assert answer.status_code == 405
    assert "That did not work." in answer.text
