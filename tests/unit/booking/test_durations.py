"""A service with several durations: each has its own grid, overlap and buffers, and everything after keeps the chosen one."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from booking import commands, queries, services, waitlist
from booking.catalogue import offering
from booking.errors import HoldExpired, Invalid, SlotTaken
from ledger.db import Database
from tests.support.desk import TERMS, Desk, person
from tests.support.doors import Doors, open_doors

MINUTE = timedelta(minutes=1)
SEVERAL = {"duration_minutes": 30, "durations_minutes": [30, 50], "start_every_minutes": 0}


@pytest.fixture
def desk(database: Database) -> Desk:
    return Desk(database).open(talk=SEVERAL, solo={"duration_minutes": 60})


def listed(desk: Desk, minutes: int, state: str = "open", service: str = "talk") -> list[float]:
    """Hours of the first Monday."""
    with desk.database.reading() as tx:
        wanted = offering(tx, "anna", service).lasting(minutes)
        found = queries.slots(tx, wanted, desk.now.date(), desk.now.date(), "UTC", now=desk.now)
    assert all(s.period.duration == minutes * MINUTE for s in found.starts if s.state == "open")
    return [round((s.period.start - desk.at(0)) / timedelta(hours=1), 3) for s in found.starts if s.state == state]


def length(desk: Desk, booking_id: str) -> float:
    row = desk.seen(booking_id)
    return (row.ends_at - row.starts_at) / MINUTE


def test_the_first_is_the_default_and_the_spec_says_both() -> None:
    spec = services.parse({"title": "Talk", "durations_minutes": [50, 30]})
    assert (spec.duration_minutes, spec.durations, spec.duration) == (50, (50, 30), 50 * MINUTE)
    assert services.parse(spec.to_json()) == spec
    one = services.parse({"title": "Talk", "durations_minutes": [45]})
    assert (one.duration_minutes, one.durations, one.durations_minutes) == (45, (45,), ())


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"durations_minutes": [30, 30]}, "durations_minutes"),
        ({"durations_minutes": [30, 4]}, "durations_minutes.1"),
        ({"durations_minutes": [30, 50], "duration_minutes": 50}, "durations_minutes"),
        ({"durations_minutes": list(range(5, 70, 5))}, "durations_minutes"),
        ({"durations_minutes": 30}, "durations_minutes"),
    ],
)
def test_bad_durations_are_named(wrong: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as error:
        services.parse({"title": "Talk", **wrong})
    assert field in [e.field for e in error.value.errors]


def test_each_duration_has_its_own_grid_and_none_reaches_over_the_end(desk: Desk) -> None:
    assert listed(desk, 30) == [8, 8.5, 9, 9.5, 10, 10.5, 11, 11.5]
    assert listed(desk, 50) == [8, 8.833, 9.667, 10.5]


def test_a_booking_of_one_length_takes_what_it_takes_from_the_other(desk: Desk) -> None:
    booked = desk.book(desk.at(9), duration_minutes=30)
    assert length(desk, booked) == 30
    assert listed(desk, 50) == [8, 9.667, 10.5]  # 8:50 to 9:40 would reach into it
    assert listed(desk, 30, "full") == [9]
    longer = desk.book(desk.at(8), "jon", duration_minutes=50)
    assert length(desk, longer) == 50
    assert listed(desk, 30) == [9.5, 10, 10.5, 11, 11.5]
    assert listed(desk, 30, "full") == [8, 9]  # one may wait for 8:00, whatever length is there


def test_the_default_is_taken_where_nothing_is_asked_for(desk: Desk) -> None:
    assert length(desk, desk.book(desk.at(8))) == 30


@pytest.mark.parametrize("minutes", [45, 0, -30, True, "50"])
def test_a_length_that_isnt_offered_names_the_field(desk: Desk, minutes: Any) -> None:
    with pytest.raises(Invalid) as error:
        desk.book(desk.at(9), duration_minutes=minutes)
    assert [(e.field, e.code) for e in error.value.errors] == [("duration_minutes", "unknown_duration")]
    with pytest.raises(Invalid), desk.database.transaction() as tx:
        commands.hold(tx, TERMS, "anna", "talk", start=desk.at(9), seats=1, now=desk.now, cause="test", duration_minutes=minutes)  # fmt: skip
    assert desk.starts("talk")[0] == desk.at(8)


def test_a_hold_keeps_its_length(desk: Desk) -> None:
    with desk.database.transaction() as tx:
        held = commands.hold(tx, TERMS, "anna", "talk", start=desk.at(8), seats=1, now=desk.now, cause="test", duration_minutes=50)  # fmt: skip
    with pytest.raises(Invalid) as error:
        desk.book(desk.at(8), hold=held.token, duration_minutes=30)
    assert [e.field for e in error.value.errors] == ["hold"]
    assert length(desk, desk.book(desk.at(8), hold=held.token)) == 50
    with pytest.raises(HoldExpired):
        desk.book(desk.at(8), hold=held.token)


def test_a_reschedule_keeps_the_length(desk: Desk) -> None:
    booked = desk.book(desk.at(8), duration_minutes=50)
    desk.reschedule(booked, desk.at(10.5))
    assert (desk.seen(booked).starts_at, length(desk, booked)) == (desk.at(10.5), 50)
    with pytest.raises(SlotTaken) as refused:
        desk.reschedule(booked, desk.at(9))  # on the grid of thirty minutes only
    assert desk.at(8) in refused.value.alternatives
    assert desk.view(booked)["duration_minutes"] == 50


def test_a_length_the_service_gave_up_becomes_its_default(desk: Desk) -> None:
    from booking import setup

    booked = desk.book(desk.at(8), duration_minutes=50)
    with desk.database.transaction() as tx:
        spec = {"title": "Talk", "duration_minutes": 40, "notice_minutes": 0, "hours": {"mon": ["08:00-12:00"]}}
        setup.put_service(tx, "anna", "talk", spec, now=desk.now, replace=True)
    desk.reschedule(booked, desk.at(10))
    assert length(desk, booked) == 40


def test_who_waits_is_given_the_length_they_wish_for(desk: Desk) -> None:
    booked = desk.book(desk.at(8), duration_minutes=50)
    tokens = []
    for who, minutes in (("imre", 50), ("eva", 30)):
        given = {"client": person(who), "wish": {"start": desk.at(8)}, "accept": "auto", "duration_minutes": minutes}
        with desk.database.transaction() as tx:
            tokens.append(waitlist.join(tx, offering(tx, "anna", "talk"), given, now=desk.now, cause="test"))
    assert [desk.place(token)["duration_minutes"] for token in tokens] == [50, 30]
    desk.now -= timedelta(days=1)  # in good time, so that it is taken for them
    desk.cancel(booked)
    first, second = (desk.place(token) for token in tokens)
    assert (first["status"], second["status"]) == ("promoted", "waiting")
    with desk.database.reading() as tx:
        promoted = commands.id_of(tx, first["booking"])
    assert length(desk, promoted) == 50
    desk.cancel(promoted)
    with desk.database.reading() as tx:
        promoted = commands.id_of(tx, desk.place(tokens[1])["booking"])
    assert length(desk, promoted) == 30


def test_a_wish_for_another_length_names_the_field(desk: Desk) -> None:
    given = {"client": person("eva"), "wish": {"start": desk.at(8)}, "duration_minutes": 45}
    with pytest.raises(Invalid) as error, desk.database.transaction() as tx:
        waitlist.join(tx, offering(tx, "anna", "talk"), given, now=desk.now, cause="test")
    assert [e.field for e in error.value.errors] == ["duration_minutes"]


# --- the doors ----------------------------------------------------------------------------------------------------


@pytest.fixture
def doors(sqlite: Database) -> Doors:
    return open_doors(sqlite, talk={**SEVERAL, "texts": {"hu": {"title": "Beszélgetés"}}})


def test_the_api_shows_both_and_lists_each(doors: Doors) -> None:
    facts = doors.client.get("/api/v1/operators/anna/services/talk").json()
    assert (facts["duration_minutes"], facts["durations_minutes"]) == (30, [30, 50])
    call = "/api/v1/operators/anna/services/talk/slots?from=2027-01-11&to=2027-01-11"
    short, long = doors.client.get(call).json()["slots"], doors.client.get(call + "&duration=50").json()["slots"]
    assert (short[1]["start"], long[1]["start"]) == ("2027-01-11T08:30:00Z", "2027-01-11T08:50:00Z")
    assert long[0]["end"] == "2027-01-11T08:50:00Z"
    wrong = doors.client.get(call + "&duration=45")
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (422, "duration")


def test_the_api_books_and_holds_a_length(doors: Doors) -> None:
    path, start = "/api/v1/operators/anna/services/talk", "2027-01-11T08:50:00Z"
    held = doors.client.post(path + "/holds", json={"start": start, "duration_minutes": 50})
    assert held.status_code == 201
    body = {"start": start, "client": person("kata"), "duration_minutes": 50, "hold": held.json()["token"]}
    booked = doors.client.post(path + "/bookings", json=body).json()
    assert (booked["end"], booked["duration_minutes"]) == ("2027-01-11T09:40:00Z", 50)
    wrong = doors.client.post(path + "/bookings", json={**body, "duration_minutes": 45})
    assert wrong.json()["errors"][0]["field"] == "duration_minutes"
    waiting = doors.client.post(
        path + "/waitlist", json={"client": person("eva"), "wish": {"start": start}, "duration_minutes": 50}
    )
    assert (waiting.status_code, waiting.json()["duration_minutes"]) == (201, 50)


def test_the_page_offers_the_lengths_as_links_and_keeps_the_chosen_one(doors: Doors) -> None:
    page = doors.client.get("/en/anna/talk?day=2027-01-11").text
    assert "30 minutes</a>" in page
    assert "50 minutes</a>" in page
    assert "duration=50" in page
    chosen = doors.client.get("/en/anna/talk?day=2027-01-11&duration=50").text
    assert "2027-01-11T08%3A50%3A00%2B00%3A00&amp;tz=UTC&amp;duration=50" in chosen
    form = doors.client.get("/en/anna/talk?start=2027-01-11T08:50:00Z&duration=50").text
    assert '<input type="hidden" name="duration" value="50">' in form
    sent = {"start": "2027-01-11T08:50:00+00:00", "name": "Kata", "email": "kata@example.org", "duration": "50"}
    done = doors.client.post("/en/anna/talk", data=sent)
    assert done.status_code == 303
    view = doors.client.get("/api/v1/bookings/" + done.headers["location"].rsplit("/", 1)[1]).json()
    assert view["duration_minutes"] == 50
    unknown = doors.client.get("/en/anna/talk?day=2027-01-11&duration=45&who=nobody")
    assert unknown.status_code == 200
    waiting = doors.client.get("/en/anna/talk?wait=any&duration=50").text
    assert '<input type="hidden" name="duration" value="50">' in waiting
