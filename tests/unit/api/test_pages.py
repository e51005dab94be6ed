"""The pages, without JavaScript: from the month to a booking and back, in every language.

Covers: api.pages.service, api.pages.booking, api.pages.line, api.pages.routes, api.pages.render, api.pages.words.
"""

from __future__ import annotations

import ast
import re
from datetime import date
from pathlib import Path

import pytest
import sqlalchemy as sa

from api.pages.words import day_name, happening, month_name, plain_date, weekday_name, weekdays, wish_limits
from booking import attendance, replies
from booking.i18n import LANGUAGES
from booking.tables import Booking
from ledger.db import Database
from tests.support.doors import Doors, open_doors

ROOT = Path(__file__).parents[3]
START = "2027-01-12T09:00:00+00:00"


@pytest.fixture
def doors(sqlite: Database) -> Doors:
    return open_doors(sqlite, talk={"fields": [{"name": "phone", "type": "phone"}]}, group={"capacity": 3})


def filled(**changes: str) -> dict[str, str]:
    return {"start": START, "tz": "UTC", "once": "o", "name": "Kata", "email": "kata@example.org", **changes}


def booked(doors: Doors, **changes: str) -> str:
    """The address of the booking's page."""
    answer = doors.client.post("/en/anna/talk", data=filled(**changes))
    assert answer.status_code == 303, answer.text
    return str(answer.headers["location"])


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_page_speaks_every_language(doors: Doors, language: str) -> None:
    page = booked(doors).replace("/en/", f"/{language}/")
    place = doors.desk.join("vera", {"start": doors.desk.at(9, 1)})
    paths = {
        f"/{language}/anna": 200, f"/{language}/anna/talk": 200, f"/{language}/anna/group?month=2027-02": 200,
        f"/{language}/anna/talk?start=2027-01-12T10:00:00%2B00:00": 200, f"/{language}/anna/talk?start={START.replace('+', '%2B')}": 409,
        f"/{language}/anna/talk?wait=any": 200, page: 200, f"/{language}/w/{place}": 200, f"/{language}/b/none": 404,
    }  # fmt: skip
    for path, status in paths.items():
        answer = doors.client.get(path)
        assert answer.status_code == status, path
        assert f'lang="{language}" dir="{"rtl" if language == "ar" else "ltr"}"' in answer.text
        assert not re.search(r"\{\{|\}\}|\{%|None<", answer.text), path
        assert "script-src 'self'" in answer.headers["content-security-policy"]


def test_short_addresses_lead_to_the_readers_language(doors: Doors) -> None:
    for path in ("/anna", "/anna/talk"):
        answer = doors.client.get(f"{path}?tz=UTC", headers={"Accept-Language": "de-AT,fr;q=0.5"})
        assert (answer.status_code, answer.headers["location"]) == (307, f"/de{path}?tz=UTC")


def test_from_the_month_to_a_booking_and_back(doors: Doors) -> None:
    month = doors.client.get("/en/anna/talk?month=2027-01&day=2027-01-12&tz=UTC").text
    links = re.findall(r'href="(\?start=[^"]+)"', month)
    assert len(links) == 4
    form = doors.client.get("/en/anna/talk" + links[1].replace("&amp;", "&")).text
    assert 'name="once"' in form
    path = booked(doors)
    assert doors.client.post("/en/anna/talk", data=filled()).headers["location"] == path  # the same form twice
    assert "Kata" in doors.client.get(path).text
    moved = doors.client.post(f"{path}/reschedule", data={"start": "2027-01-12T10:00:00+00:00"})
    assert moved.headers["location"].endswith("?did=moved")
    assert "new time" in doors.client.get(moved.headers["location"]).text
    assert doors.client.post(f"{path}/confirm-attendance").status_code == 303
    cancelled = doors.client.post(f"{path}/cancel", data={"reason": "ill"})
    assert "is cancelled" in doors.client.get(cancelled.headers["location"]).text
    with doors.desk.database.reading() as tx:
        assert tx.execute(sa.select(Booking.status, Booking.reason)).all() == [("cancelled", "ill")]


def test_a_wrong_form_comes_back_with_what_was_typed(doors: Doors) -> None:
    answer = doors.client.post("/en/anna/talk", data=filled(email="nonsense", answer_phone="x"))
    assert answer.status_code == 422
    assert 'value="Kata"' in answer.text
    assert answer.text.count('aria-invalid="true"') == 2
    with doors.desk.database.reading() as tx:
        assert tx.execute(sa.select(Booking.id)).all() == []


def test_a_taken_time_shows_the_nearest_and_the_line(doors: Doors) -> None:
    booked(doors)
    answer = doors.client.post("/en/anna/talk", data=filled(once="p", email="ben@example.org"))
    assert answer.status_code == 409
    assert re.search(r'href="\?start=', answer.text)
    assert re.search(r'href="\?wait=', answer.text)


def test_the_line_by_page(doors: Doors) -> None:
    path = booked(doors)
    bad = doors.client.post("/en/anna/talk/waitlist", data={"name": "", "email": "x", "from": "", "to": ""})
    assert bad.status_code == 422
    form = {"start": START, "tz": "UTC", "name": "Vera", "email": "vera@example.org", "accept": "ask"}
    place = doors.client.post("/en/anna/talk/waitlist", data=form).headers["location"]
    assert ">1<" in doors.client.get(place).text
    doors.client.post(f"{path}/cancel")
    assert "kept for you" in doors.client.get(place).text
    taken = doors.client.post(f"{place}/accept")
    assert taken.headers["location"].startswith("/en/b/")
    assert doors.client.post(f"{place}/decline").status_code == 410
    assert doors.client.post(f"{place}/dance").status_code == 404
    days = {"from": "2027-01-12", "to": "2027-01-20", "weekday_2": "yes", "earliest": "09:00", "latest": "12:00"}
    other = doors.client.post("/en/anna/talk/waitlist", data={**form, **days, "start": "", "email": "mark@example.org"})
    left = doors.client.post(f"{other.headers['location']}/leave")
    assert left.status_code == 303


@pytest.mark.parametrize("language", LANGUAGES)
def test_who_waits_for_a_range_of_days_sees_place_days_and_hours(doors: Doors, language: str) -> None:
    wish = {"from": "2027-01-12", "to": "2027-01-20", "weekdays": [2, 4], "between": ["09:00", "12:00"]}
    shown = doors.client.get(f"/{language}/w/{doors.desk.join('vera', wish)}")
    assert shown.status_code == 200
    assert ">1<" in shown.text
    assert "2027-01-12" not in shown.text
    assert plain_date("2027-01-12", language) in shown.text
    assert wish_limits(wish, language) in shown.text


def test_limits_of_a_wish_are_told_only_where_there_are_some() -> None:
    assert wish_limits({"weekdays": [1, 2, 3, 4, 5, 6, 7], "between": ["00:00", "24:00"]}, "en") == ""
    assert wish_limits({"weekdays": [2, 4], "between": ["09:00", "12:30"]}, "en") == "Tue and Thu · 09:00–12:30"


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_weekday_is_short_enough_for_seven_beside_each_other(language: str) -> None:
    assert max(len(weekday_name(date(2027, 1, day), language, "short")) for day in range(4, 11)) <= 4


def test_unknown_addresses_are_pages_too(doors: Doors) -> None:
    for path in ("/nobody", "/en/nobody", "/en/anna/none", "/xx/anna/talk", "/en/w/none"):
        answer = doors.client.get(path, follow_redirects=True)
        assert answer.status_code == 404
        assert answer.headers["content-type"].startswith("text/html")


def test_words_of_days_and_states(doors: Doors) -> None:
    day = doors.desk.at(0, 1).date()
    assert (month_name(day, "en"), day_name(day, "de")) == ("January 2027", "Dienstag, 12. Januar 2027")
    assert next(n for n, _ in weekdays("en")) in (1, 7)
    assert happening("booked", "hu") != "booked"
    assert happening("something_new", "hu") == "something new"


def test_whatever_is_noted_has_a_name() -> None:
    noted = {replies._ASKED_AGAIN, attendance.ASKED}
    for file in (f for room in ("booking", "workers") for f in (ROOT / room).glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("timeline.note", "_note"):
                noted |= {a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)}
    assert {"mail_refused", "reply_doubted", "erased"} <= noted
    assert [what for what in sorted(noted) if happening(what, "hu") == what.replace("_", " ")] == []


def test_words_in_another_language_say_so(sqlite: Database) -> None:
    client = open_doors(sqlite, talk={"texts": {"de": {"title": "Gespräch"}}}).client
    note = "in another language"
    own, theirs = client.get("/de/anna/talk").text, client.get("/fr/anna/talk").text
    assert '<h1 lang="de"><bdi>Gespräch' in own
    assert '<h1 lang="en">' in theirs
    assert "dans une autre langue\u00a0: English" in theirs
    assert note not in client.get("/en/anna/talk").text
    assert "Sprache: English" not in own


@pytest.mark.parametrize("path", ["/", "/en/anna", "/en/anna/talk", "/en/anna/talk?wait=any"])
def test_no_page_has_a_script_in_it(doors: Doors, path: str) -> None:
    answer = doors.client.get(path)
    rules = answer.headers["content-security-policy"]
    assert "script-src 'self'" in rules
    assert "unsafe" not in rules
    assert not re.search(r"<script(?![^>]*\bsrc=)|\son\w+=|javascript:", answer.text)
