"""Resources to values and back: the busy table row by row, times, texts, guests, and what we write."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from connectors.emulators.google.discovery import faults_of
from connectors.google.events import (
    Desired,
    busy,
    guests,
    instant,
    local,
    own_key,
    probe_body,
    recurrence_id,
    sent_etag,
    series_etag,
    single,
    title,
)
from connectors.model import Attendee, Busy, Entry, PartStat, Period

BERLIN = ZoneInfo("Europe/Berlin")
WINDOW = Period(datetime(2027, 1, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC))
START = datetime(2027, 3, 1, 10, tzinfo=UTC)
HOUR = timedelta(hours=1)
ENTRY = Entry(
    key="slkey0001",
    uid="u@slots.example",
    marker="d:1:0",
    period=Period(START, START + HOUR),
    title="Visit",
    description="Phone",
    timezone="Europe/Berlin",
    url="https://slots.example/m/1",
)
ADA, BOB = Attendee("ada@client.example", "Ada"), Attendee("bob@client.example")


def item(**fields: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "id": "abc0123",
        "etag": '"1"',
        "status": "confirmed",
        "iCalUID": "abc0123@google.com",
        "start": {"dateTime": "2027-03-01T11:00:00+01:00", "timeZone": "Europe/Berlin"},
        "end": {"dateTime": "2027-03-01T12:00:00+01:00", "timeZone": "Europe/Berlin"},
    }
    return made | fields


def me(answer: str) -> dict[str, Any]:
    return {"attendees": [{"email": "x@y", "responseStatus": "declined"}, {"self": True, "responseStatus": answer}]}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, Busy.BUSY),
        ({"status": "cancelled"}, Busy.NONE),
        ({"status": "cancelled", "eventType": "outOfOffice"}, Busy.NONE),
        (me("declined"), Busy.FREE),
        (me("declined") | {"eventType": "outOfOffice"}, Busy.FREE),
        (me("declined") | {"status": "tentative"}, Busy.FREE),
        ({"eventType": "birthday"}, Busy.FREE),
        ({"eventType": "workingLocation"}, Busy.FREE),
        ({"eventType": "outOfOffice", "transparency": "transparent"}, Busy.BUSY),
        ({"eventType": "focusTime"}, Busy.BUSY),
        ({"eventType": "focusTime", "transparency": "transparent"}, Busy.FREE),
        ({"eventType": "fromGmail"}, Busy.BUSY),
        ({"eventType": "somethingNew"}, Busy.BUSY),
        ({"transparency": "transparent"}, Busy.FREE),
        ({"transparency": "transparent", "status": "tentative"}, Busy.FREE),
        ({"transparency": "opaque"}, Busy.BUSY),
        ({"status": "tentative"}, Busy.TENTATIVE),
        (me("tentative"), Busy.TENTATIVE),
        (me("needsAction"), Busy.UNANSWERED),
        (me("needsAction") | {"status": "tentative"}, Busy.TENTATIVE),
        (me("needsAction") | {"transparency": "transparent"}, Busy.FREE),
        (me("accepted"), Busy.BUSY),
        ({"attendees": [{"email": "x@y", "responseStatus": "declined"}]}, Busy.BUSY),
        ({"visibility": "private"}, Busy.BUSY),
    ],
)
def test_busy_table(fields: dict[str, Any], expected: Busy) -> None:
    assert busy(item(**fields)) is expected


def test_times() -> None:
    assert instant({"date": "2027-07-01"}, BERLIN) == datetime(2027, 6, 30, 22, tzinfo=UTC)
    assert instant({"dateTime": "2027-07-01T09:00:00Z"}, BERLIN) == datetime(2027, 7, 1, 9, tzinfo=UTC)
    assert instant({"dateTime": "2027-07-01T09:00:00", "timeZone": "America/New_York"}, BERLIN).hour == 13
    assert local({"date": "2027-07-01"}, BERLIN) == date(2027, 7, 1)
    kept = local({"dateTime": "2027-07-01T09:00:00Z", "timeZone": "America/New_York"}, BERLIN)
    assert isinstance(kept, datetime)
    assert (kept.hour, str(kept.tzinfo)) == (5, "America/New_York")
    unknown = local({"dateTime": "2027-07-01T09:00:00Z", "timeZone": "Mars/Base"}, BERLIN)
    assert isinstance(unknown, datetime)
    assert unknown.tzinfo is BERLIN
    assert recurrence_id({"date": "2027-07-01"}, BERLIN) == "20270701"
    assert recurrence_id({"dateTime": "2027-07-01T09:00:00+02:00"}, BERLIN) == "20270701T070000Z"


def test_a_single_event() -> None:
    event = single(item(sequence=3, summary="Lunch"), BERLIN, WINDOW)
    assert (event.href, event.etag, event.uid, event.sequence) == ("abc0123", '"1"', "abc0123@google.com", 3)
    assert not event.recurring
    (only,) = event.occurrences
    assert (only.period, only.title, only.all_day, only.recurrence_id) == (ENTRY.period, "Lunch", False, "")


@pytest.mark.parametrize(
    "times", [{"start": {}}, {"start": None}, {"end": {"dateTime": "soon"}}, {"start": {"date": 7}}]
)
def test_unreadable_times_are_a_problem_and_no_exception(times: dict[str, Any]) -> None:
    event = single(item(**times), BERLIN, WINDOW)
    assert event.problem
    assert event.occurrences == ()


def test_an_end_before_its_start_has_no_length() -> None:
    (only,) = single(item(end={"dateTime": "2027-03-01T09:00:00Z"}), BERLIN, WINDOW).occurrences
    assert only.period == Period(START, START)


def test_outside_the_window_nothing_occurs() -> None:
    early = Period(WINDOW.start - HOUR, WINDOW.start)
    event = single(item(), BERLIN, early)
    assert (event.href, event.occurrences) == ("abc0123", ())


def test_private_titles_of_others_stay_private() -> None:
    assert title(item(summary="Doctor", visibility="private")) == ""
    assert title(item(summary="Doctor")) == "Doctor"
    ours = {"extendedProperties": {"private": {"slotledger": "k"}}}
    assert title(item(summary="Ada no-show", visibility="private", **ours)) == "Ada no-show"


def test_guests_are_only_those_whom_we_invited() -> None:
    written = Desired(replace(ENTRY, attendees=(ADA, BOB))).insert()
    stored = item(**written)
    stored["attendees"] = [
        {"email": "ADA@client.example", "displayName": "Ada", "responseStatus": "declined"},
        {"email": "bob@client.example"},
        {"email": "friend@elsewhere.example", "responseStatus": "accepted"},
    ]
    assert guests(stored) == (
        Attendee("ada@client.example", "Ada", PartStat.DECLINED),
        Attendee("bob@client.example", "", PartStat.NEEDS_ACTION),
    )
    assert single(stored, BERLIN, WINDOW).attendees == guests(stored)
    assert single(item(**me("accepted")), BERLIN, WINDOW).attendees == ()
    assert not single(item(attendeesOmitted=True), BERLIN, WINDOW).attendees_complete


def test_what_we_insert_is_what_google_takes() -> None:
    for entry in (ENTRY, replace(ENTRY, attendees=(ADA,), conference=True, url="", location="Here")):
        assert faults_of(Desired(entry).insert(), "Event") == []
    assert faults_of(probe_body("0" * 32), "Event") == []
    body = Desired(ENTRY).insert()
    assert body["id"] == ENTRY.key
    assert "attendees" not in body
    assert "location" not in body
    assert body["start"] == {"dateTime": "2027-03-01T11:00:00+01:00", "timeZone": "Europe/Berlin"}
    assert own_key(body) == ENTRY.key
    assert Desired(replace(ENTRY, timezone="Mars/Base")).insert()["start"]["timeZone"] == "UTC"
    conference = Desired(replace(ENTRY, conference=True)).insert()["conferenceData"]["createRequest"]
    assert conference["requestId"] == ENTRY.key, "the same each time, so that Google ignores repeats"


def test_a_patch_writes_our_fields_only() -> None:
    patch = Desired(ENTRY).patch()
    assert set(patch) == {"summary", "description", "location", "start", "end", "extendedProperties"}
    assert patch["location"] is None, "an empty text takes the field away"
    assert patch["start"]["date"] is None, "it may have been made all-day"


def test_guests_are_changed_one_by_one() -> None:
    current = item(**Desired(replace(ENTRY, attendees=(ADA,))).insert())
    current["attendees"] = [
        {"email": "ada@client.example", "responseStatus": "accepted"},
        {"email": "friend@elsewhere.example", "responseStatus": "tentative"},
    ]
    both = Desired(replace(ENTRY, attendees=(ADA, BOB))).with_guests(current)["attendees"]
    assert both == [*current["attendees"], {"email": "bob@client.example"}]
    swapped = Desired(replace(ENTRY, attendees=(BOB,))).with_guests(current)["attendees"]
    assert [a["email"] for a in swapped] == ["friend@elsewhere.example", "bob@client.example"]


@pytest.mark.parametrize(
    "change",
    [
        {"summary": "Other"},
        {"description": ""},
        {"location": "There"},
        {"status": "cancelled"},
        {"start": {"date": "2027-03-01"}},
        {"end": {"dateTime": "2027-03-01T13:00:00+01:00"}},
        {"extendedProperties": {"private": {"slotledger": ENTRY.key, "marker": "d:1:1"}}},
        {"start": {}},
    ],
    ids=str,
)
def test_is_it_there_already(change: dict[str, Any]) -> None:
    stored = item(**Desired(ENTRY).insert())
    assert Desired(ENTRY).is_there(stored)
    assert Desired(ENTRY).is_there(stored | {"colorId": "7"})
    assert not Desired(ENTRY).is_there(stored | change)


def test_one_etag_for_a_series() -> None:
    master = item()
    moved = {"id": "e1", "etag": '"2"', "status": "confirmed"}
    assert series_etag(master, []) == '"1"'
    whole = series_etag(master, [moved])
    assert whole != '"1"'
    assert whole == series_etag(master, [dict(moved)])
    assert whole != series_etag(master, [moved | {"etag": '"3"'}])
    assert sent_etag(whole) == '"1"'
    assert sent_etag('"1"') == '"1"'
