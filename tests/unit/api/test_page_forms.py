"""Forms as people send them: twice, changed, in odd zones, in a language that isn't there; and the way without scripts."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest
import sqlalchemy as sa

from booking.i18n import LANGUAGES
from booking.tables import Booking, WaitlistEntry
from ledger.db import Database
from tests.support.doors import Doors, open_doors

START = "2027-01-12T09:00:00+00:00"
FIELDS: list[dict[str, Any]] = [
    {"name": "phone", "type": "phone", "required": True, "label": {"en": "Phone", "hu": "Telefon"}},
    {"name": "size", "type": "choice", "choices": ["S", "L"]},
    {"name": "age", "type": "number"},
    {"name": "agree", "type": "consent", "required": True},
]


@pytest.fixture
def doors(sqlite: Database) -> Doors:
    return open_doors(sqlite, talk={}, asked={"fields": FIELDS, "confirmation": "approval"}, group={"capacity": 3})


def filled(**changes: str) -> dict[str, str]:
    return {"start": START, "tz": "UTC", "once": "form-1", "name": "Kata", "email": "kata@example.org", **changes}


def count(doors: Doors, table: Any = Booking) -> int:
    with doors.desk.database.reading() as tx:
        return int(tx.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())


def form_in(page: str, name: str = "") -> tuple[str, dict[str, str]]:
    """Address and fields of the page's form that posts (to an address with that word in it), as a browser would send it."""
    for found in re.finditer(r"<form[^>]*method=\"post\"[^>]*action=\"([^\"]*)\"[^>]*>(.*?)</form>", page, re.S):
        if name in found[1]:
            inputs = re.findall(r"<input([^>]*)>", found[2])
            named = [(re.search(r'name="([^"]*)"', i), re.search(r'value="([^"]*)"', i)) for i in inputs]
            fields = {n[1]: html.unescape(v[1]) if v else "" for n, v in named if n}
            for select, options in re.findall(r'<select[^>]*name="([^"]*)"[^>]*>(.*?)</select>', found[2], re.S):
                chosen = re.search(r'<option(?: value="([^"]*)")?[^>]*>([^<]*)', options)
                fields[select] = html.unescape((chosen[1] or chosen[2]) if chosen else "")
            return html.unescape(found[1]), fields
    raise AssertionError(f"no form for {name!r}")


def test_from_a_month_to_a_cancelled_booking_with_links_and_buttons_alone(doors: Doors) -> None:
    client = doors.client
    client.follow_redirects = True
    month = client.get("/hu/anna/asked", params={"tz": "Europe/Budapest"})
    days = re.findall(r'href="(\?[^"]*day=[^"]+)"', month.text)
    assert days
    day = client.get(f"/hu/anna/asked{html.unescape(days[-1])}")
    starts = re.findall(r'href="(\?start=[^"]+)"', day.text)
    assert starts
    page = client.get(f"/hu/anna/asked{html.unescape(starts[0])}")
    assert "Telefon" in page.text
    address, fields = form_in(page.text)
    assert fields["tz"] == "Europe/Budapest"
    typed = {
        "name": "Kata Nagy",
        "email": "kata@example.org",
        "answer_phone": "+36 1 2345",
        "answer_agree": "yes",
        "answer_size": "L",
    }
    booked = client.post(address, data=fields | typed)
    assert booked.status_code == 200
    assert 'http-equiv="refresh"' in booked.text  # waits for approval, and says so by itself
    assert "Kata Nagy" in booked.text
    address, fields = form_in(booked.text, "reschedule")
    moved = client.post(address, data=fields)
    assert moved.status_code == 200
    address, fields = form_in(moved.text, "cancel")
    gone = client.post(address, data=fields | {"reason": "ill"})
    assert gone.status_code == 200
    assert "<form" not in gone.text
    with doors.desk.database.reading() as tx:
        row = tx.execute(sa.select(Booking.__table__)).one()
    assert (row.status, row.reason, row.language, row.client_timezone, row.revision) == (
        "cancelled",
        "ill",
        "hu",
        "Europe/Budapest",
        2,
    )
    assert row.answers == {"phone": "+36 1 2345", "size": "L", "agree": True}


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_wrong_form_says_so_in_every_language_and_keeps_what_was_typed(doors: Doors, language: str) -> None:
    wrong = filled(name="Kata <b>", email="nonsense", answer_phone="x", answer_age="old", answer_size="XL")
    answer = doors.client.post(f"/{language}/anna/asked", data=wrong)
    assert answer.status_code == 422
    assert 'value="Kata &lt;b&gt;"' in answer.text
    marked = set(re.findall(r'aria-describedby="([^"]+)"', answer.text))
    assert marked == {
        "wrong-client-email",
        "wrong-answers-phone",
        "wrong-answers-age",
        "wrong-answers-size",
        "wrong-answers-agree",
    }
    for identity in marked:
        words = re.search(rf'id="{identity}">\s*([^<]+)', answer.text)
        assert words
        assert words[1].strip()
    assert count(doors) == 0


def test_a_form_sent_twice_books_once(doors: Doors) -> None:
    first, second = (doors.client.post("/en/anna/talk", data=filled()) for _ in range(2))
    assert first.status_code == second.status_code == 303
    assert first.headers["location"] == second.headers["location"]
    assert count(doors) == 1


def test_a_form_sent_again_with_other_words_leads_to_what_it_booked(doors: Doors) -> None:
    first = doors.client.post("/en/anna/talk", data=filled())
    again = doors.client.post("/en/anna/talk", data=filled(name="Katalin"))
    assert again.headers["location"] == first.headers["location"]
    assert count(doors) == 1


def test_a_key_of_the_api_opens_nothing_on_the_page(doors: Doors) -> None:
    body = {"start": START, "client": {"name": "Jon", "email": "jon@example.org"}}
    headers = {"Idempotency-Key": "form-1"}
    booked = doors.client.post("/api/v1/operators/anna/services/talk/bookings", json=body, headers=headers).json()
    answer = doors.client.post("/en/anna/talk", data=filled())
    assert answer.status_code == 409
    assert booked["token"] not in answer.text


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "a\x00b", "../../etc/passwd"])
def test_a_zone_that_is_none_is_the_operators(doors: Doors, zone: str) -> None:
    taken = doors.client.post("/en/anna/talk", data=filled())
    assert taken.status_code == 303
    late = doors.client.post("/en/anna/talk", data=filled(tz=zone, once="form-2"))
    assert late.status_code in (409, 422)
    other = doors.client.post(
        "/en/anna/talk", data=filled(tz=zone, once="form-3", start="2027-01-12T10:00:00+00:00", name="")
    )
    assert other.status_code == 422
    line = doors.client.post("/en/anna/talk/waitlist", data=filled(tz=zone, name=""))
    assert line.status_code == 422
    assert count(doors) == 1
    assert count(doors, WaitlistEntry) == 0


@pytest.mark.parametrize("act", ["cancel", "reschedule", "confirm-attendance", "proposal"])
def test_in_a_language_that_is_not_there_nothing_is_done(doors: Doors, act: str) -> None:
    page = doors.client.post("/en/anna/talk", data=filled()).headers["location"]
    answer = doors.client.post(f"{page.replace('/en/', '/xx/')}/{act}", data={"start": "2027-01-12T10:00:00Z"})
    assert answer.status_code == 404
    with doors.desk.database.reading() as tx:
        row = tx.execute(sa.select(Booking.status, Booking.starts_at, Booking.attendance_confirmed_at)).one()
    assert tuple(row) == ("confirmed", doors.desk.at(9, day=1), None)
    place = doors.desk.join("vera", {"start": doors.desk.at(9, day=1)})
    assert doors.client.post(f"/xx/w/{place}/leave").status_code == 404
    assert doors.desk.place(place)["status"] == "waiting"


def test_a_group_asks_for_seats_and_says_how_many_are_left(doors: Doors) -> None:
    answer = doors.client.post("/en/anna/group", data=filled(seats="4"))
    assert answer.status_code == 422
    assert "wrong-seats" in answer.text
    assert doors.client.post("/en/anna/group", data=filled(seats="2")).status_code == 303
    page = doors.client.get("/en/anna/group", params={"start": START})
    assert 'max="1"' in page.text
    too_many = doors.client.post("/en/anna/group", data=filled(seats="2", once="form-2", email="jon@example.org"))
    assert too_many.status_code == 409


def test_a_page_of_somebodys_own_is_kept_by_no_cache_and_shown_to_no_other(doors: Doors) -> None:
    page = doors.client.post("/en/anna/talk", data=filled()).headers["location"]
    place = f"/en/w/{doors.desk.join('vera', {'start': doors.desk.at(9, day=1)})}"
    for path in (page, place):
        answer = doors.client.get(path)
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] in ("same-origin", "no-referrer")
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert "kata@example.org" not in doors.client.get(place).text
    assert "vera@example.org" not in doors.client.get(page).text


def test_the_months_have_an_end_and_a_beginning(doors: Doors) -> None:
    now, later = doors.client.get("/en/anna/talk"), doors.client.get("/en/anna/talk?month=2027-02")
    assert "month=2026-12" not in now.text
    assert "month=2027-02" in now.text
    assert "month=2027-01" in later.text
    assert "month=2027-03" not in later.text  # beyond the horizon of thirty days
    assert doors.client.get("/en/anna/talk?month=2030-01").status_code == 200


def test_full_days_lead_to_the_line(doors: Doors) -> None:
    for hour in (8, 9, 10, 11):
        doors.desk.book(doors.desk.at(hour, day=1), f"c{hour}")
    page = doors.client.get("/en/anna/talk?day=2027-01-12&tz=UTC")
    waits = re.findall(r'href="(\?wait=[^"]+)"', page.text)
    assert len(waits) == 5  # one for each start, and one for any time
    address, fields = form_in(doors.client.get(f"/en/anna/talk{html.unescape(waits[0])}").text, "waitlist")
    joined = doors.client.post(address, data=fields | {"name": "Vera", "email": "vera@example.org", "accept": "auto"})
    assert joined.status_code == 303
    again = doors.client.post(address, data=fields | {"name": "Vera", "email": "vera@example.org", "accept": "auto"})
    assert again.headers["location"] == joined.headers["location"]
    assert count(doors, WaitlistEntry) == 1


def test_a_service_that_speaks_other_languages_leads_there(sqlite: Database) -> None:
    doors = open_doors(sqlite, talk={"languages": ["hu", "de"]})
    led = doors.client.get("/en/anna/talk?day=2027-01-11")
    assert (led.status_code, led.headers["location"]) == (307, "/hu/anna/talk?day=2027-01-11")
    assert doors.client.get("/de/anna/talk").status_code == 200
    assert doors.client.get("/api/v1/operators/anna/services/talk").json()["languages"] == ["hu", "de"]
