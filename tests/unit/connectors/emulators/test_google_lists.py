"""calendarList, calendars and freeBusy of the emulator (A9, G-13).

Covers: connectors.emulators.google.lists.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.support.google import OPERATOR, TEAM, GoogleWorld, RawGoogle, google_world

NINE = datetime(2027, 3, 22, 9, tzinfo=ZoneInfo("UTC"))
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
ALL = ["https://www.googleapis.com/auth/calendar"]


@pytest.fixture
def world() -> Iterator[GoogleWorld]:
    with google_world() as world:
        yield world


@pytest.fixture
def raw(world: GoogleWorld) -> Iterator[RawGoogle]:
    raw = RawGoogle(world, scopes=ALL)
    yield raw
    raw.close()


def test_calendar_list_pages_and_flags(world: GoogleWorld, raw: RawGoogle) -> None:
    for n in range(3):
        world.control.add_calendar(f"c{n}@group.calendar.google.com", OPERATOR, f"C{n}")
    listing = raw.service.calendarList()
    request, items = listing.list(maxResults=2), []
    while request is not None:
        answer = request.execute()
        items += answer["items"]
        request = listing.list_next(request, answer)
    assert len(items) == 5
    assert items[0]["id"] == OPERATOR
    assert items[0]["primary"] is True
    assert not any("primary" in item for item in items[1:])
    assert {item["accessRole"] for item in items} == {"owner"}


def test_primary_is_an_alias(world: GoogleWorld, raw: RawGoogle) -> None:
    assert raw.service.calendarList().get(calendarId="primary").execute()["id"] == OPERATOR
    assert raw.service.calendars().get(calendarId="primary").execute()["summary"] == "Ben"


def test_shared_lost_and_deleted_calendars(world: GoogleWorld, raw: RawGoogle) -> None:
    def roles(**asked: Any) -> dict[str, str]:
        items = raw.service.calendarList().list(**asked).execute()["items"]
        return {item["id"]: item["accessRole"] for item in items}

    world.control.add_person("boss@practice.example")
    assert "boss@practice.example" not in roles()
    world.control.set_access("boss@practice.example", OPERATOR, "freeBusyReader")
    assert roles()["boss@practice.example"] == "freeBusyReader"
    assert "boss@practice.example" not in roles(minAccessRole="writer")
    world.control.set_access(TEAM, OPERATOR, "none")
    assert TEAM not in roles()
    assert raw.events(calendar=TEAM).status_code == 404
    world.control.set_access(TEAM, OPERATOR, "owner")
    assert roles()[TEAM] == "owner"
    world.control.delete_calendar(TEAM)
    assert raw.events(calendar=TEAM).status_code == 404
    world.control.undelete_calendar(TEAM)
    assert raw.events(calendar=TEAM).status_code == 200


def test_g13_free_busy(world: GoogleWorld, raw: RawGoogle) -> None:
    def add(start: datetime, end: datetime, **fields: Any) -> str:
        made: str = world.control.create(OPERATOR, "E", start, end, **fields)
        return made

    add(NINE, NINE + HOUR)
    add(NINE + HOUR / 2, NINE + 2 * HOUR)  # merged with the first
    add(NINE + 3 * HOUR, NINE + 4 * HOUR, transparency="transparent")
    world.control.delete(OPERATOR, add(NINE + 5 * HOUR, NINE + 6 * HOUR))
    add(NINE + 6 * HOUR, NINE + 7 * HOUR, attendees=[{"email": OPERATOR, "responseStatus": "declined"}])
    series = add(NINE + 8 * HOUR, NINE + 9 * HOUR, recurrence=["RRULE:FREQ=DAILY;COUNT=3"])
    world.control.delete_occurrence(OPERATOR, series, NINE + DAY + 8 * HOUR)
    world.control.move_occurrence(OPERATOR, series, NINE + 2 * DAY + 8 * HOUR, NINE + 2 * DAY, NINE + 2 * DAY + HOUR)
    world.control.create(OPERATOR, "Day", date(2027, 3, 25), date(2027, 3, 26))
    asked = {
        "timeMin": (NINE - HOUR).isoformat(),
        "timeMax": (NINE + 5 * DAY).isoformat(),
        "items": [{"id": OPERATOR}, {"id": "nobody@nowhere.example"}],
    }
    answer = raw.service.freebusy().query(body=asked).execute()
    assert answer["calendars"]["nobody@nowhere.example"]["errors"] == [{"domain": "global", "reason": "notFound"}]
    busy = [(p["start"], p["end"]) for p in answer["calendars"][OPERATOR]["busy"]]
    assert busy == [
        ("2027-03-22T09:00:00Z", "2027-03-22T11:00:00Z"),
        ("2027-03-22T17:00:00Z", "2027-03-22T18:00:00Z"),
        ("2027-03-24T09:00:00Z", "2027-03-24T10:00:00Z"),
        ("2027-03-24T23:00:00Z", "2027-03-25T23:00:00Z"),
    ]


def test_free_busy_refuses_too_long_ranges(raw: RawGoogle) -> None:
    asked = {"timeMin": NINE.isoformat(), "timeMax": (NINE + 100 * DAY).isoformat(), "items": []}
    assert raw.http.post("/calendar/v3/freeBusy", json=asked).status_code == 400
    assert raw.http.post("/calendar/v3/freeBusy", json=asked | {"timeMax": NINE.isoformat()}).status_code == 400
