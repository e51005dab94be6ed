"""Single events of the emulator: stubs, ids, etags, properties, defaults, mails (G-4 to G-8, G-10, G-14).

Covers: connectors.emulators.google.writes, connectors.emulators.google.resources, connectors.emulators.google.answers,
connectors.emulators.google.discovery.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from connectors.emulators.google.discovery import faults_of
from tests.support.google import OPERATOR, TEAM, GoogleWorld, RawGoogle, google_world, reason

BERLIN = ZoneInfo("Europe/Berlin")
NINE = datetime(2027, 3, 22, 9, tzinfo=BERLIN)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
CLIENT = "ada@client.example"


@pytest.fixture
def world() -> Iterator[GoogleWorld]:
    with google_world() as world:
        yield world


@pytest.fixture
def raw(world: GoogleWorld) -> Iterator[RawGoogle]:
    raw = RawGoogle(world)
    yield raw
    raw.close()


def body(**fields: Any) -> dict[str, Any]:
    return {
        "summary": "Visit",
        "start": {"dateTime": NINE.isoformat(), "timeZone": "Europe/Berlin"},
        "end": {"dateTime": (NINE + HOUR).isoformat(), "timeZone": "Europe/Berlin"},
        **fields,
    }


def insert(raw: RawGoogle, **fields: Any) -> dict[str, Any]:
    answer = raw.events("POST", json=body(**fields))
    assert answer.status_code == 200, answer.text  # G-14: not 201
    made: dict[str, Any] = answer.json()
    return made


def test_g14_insert_is_200_and_delete_204(raw: RawGoogle) -> None:
    made = insert(raw)
    assert faults_of(made, "Event") == []
    answer = raw.events("DELETE", f"/{made['id']}")
    assert (answer.status_code, answer.content) == (204, b"")


# G-4: stubs


def test_g4_a_deleted_event_is_a_stub_then_nothing(world: GoogleWorld, raw: RawGoogle) -> None:
    made = insert(raw)
    raw.events("DELETE", f"/{made['id']}")
    stub = raw.events("GET", f"/{made['id']}")
    assert stub.status_code == 200
    assert set(stub.json()) == {"kind", "etag", "id", "status"}
    assert stub.json()["status"] == "cancelled"
    assert raw.events(params={"showDeleted": "true"}).json()["items"] == [stub.json()]
    assert raw.events().json()["items"] == []
    assert reason(raw.events("DELETE", f"/{made['id']}")) == (410, "deleted")
    world.control.purge(OPERATOR, made["id"])
    assert reason(raw.events("GET", f"/{made['id']}")) == (404, "notFound")
    assert reason(raw.events("DELETE", f"/{made['id']}")) == (404, "notFound")


def test_g4_full_stubs_have_untrue_times(world: GoogleWorld, raw: RawGoogle) -> None:
    world.control.rules(stubs="full")
    made = insert(raw)
    raw.events("DELETE", f"/{made['id']}")
    stub = raw.events("GET", f"/{made['id']}").json()
    assert stub["summary"] == "Visit"
    assert stub["start"] != made["start"]


def test_g4_an_undeleted_event_has_its_old_id(world: GoogleWorld, raw: RawGoogle) -> None:
    made = insert(raw)
    raw.events("DELETE", f"/{made['id']}")
    world.control.restore(OPERATOR, made["id"])
    again = raw.events("GET", f"/{made['id']}").json()
    assert (again["status"], again["start"]) == ("confirmed", made["start"])


# G-5: ids


@pytest.mark.parametrize("bad", ["abcd", "ABCDE", "wxyz1", "abc-de", "a" * 1025])
def test_g5_ids_are_base32hex(raw: RawGoogle, bad: str) -> None:
    assert reason(raw.events("POST", json=body(id=bad))) == (400, "invalid")


def test_g5_an_id_is_taken_for_ever(world: GoogleWorld, raw: RawGoogle) -> None:
    insert(raw, id="abc0123")
    assert reason(raw.events("POST", json=body(id="abc0123"))) == (409, "duplicate")
    raw.events("DELETE", "/abc0123")
    assert reason(raw.events("POST", json=body(id="abc0123"))) == (409, "duplicate")
    assert raw.events("POST", calendar=TEAM, json=body(id="abc0123")).status_code == 200, "unique per calendar only"
    world.control.rules(deleted_id_refused=False)
    assert raw.events("POST", json=body(id="abc0123")).status_code == 200


def test_g5_id_and_uid_exclude_each_other(raw: RawGoogle) -> None:
    assert raw.events("POST", json=body(id="abc0123", iCalUID="x@y")).status_code == 400
    assert insert(raw, id="abc0123")["iCalUID"] == "abc0123@google.com"
    assert insert(raw, iCalUID="x@y")["iCalUID"] == "x@y"


# G-6: entity tags


def test_g6_every_write_makes_another_etag(raw: RawGoogle) -> None:
    made = insert(raw)
    changed = raw.events("PATCH", f"/{made['id']}", json={"colorId": "3"}).json()
    put = raw.events("PUT", f"/{made['id']}", json=body(summary="New")).json()
    assert len({made["etag"], changed["etag"], put["etag"]}) == 3
    assert "colorId" in changed
    assert "colorId" not in put, "PUT replaces everything"
    assert (put["iCalUID"], put["created"]) == (made["iCalUID"], made["created"])


@pytest.mark.parametrize("method", ["PATCH", "PUT", "DELETE"])
def test_g6_if_match(raw: RawGoogle, method: str) -> None:
    made = insert(raw)
    content = None if method == "DELETE" else body(summary="Other")
    refused = raw.events(method, f"/{made['id']}", json=content, headers={"If-Match": '"1"'})
    assert reason(refused) == (412, "conditionNotMet")
    assert raw.events("GET", f"/{made['id']}").json() == made
    assert raw.events(method, f"/{made['id']}", json=content, headers={"If-Match": made["etag"]}).status_code < 300


def test_g6_if_none_match(raw: RawGoogle) -> None:
    made = insert(raw)
    assert raw.events("GET", f"/{made['id']}", headers={"If-None-Match": made["etag"]}).status_code == 304
    assert raw.events("GET", f"/{made['id']}", headers={"If-None-Match": '"1"'}).status_code == 200


@pytest.mark.parametrize(("switch", "status"), [("refuse", 403), ("restore", 200)])
def test_a_write_to_a_deleted_event(world: GoogleWorld, raw: RawGoogle, switch: str, status: int) -> None:
    """H2: both were reported."""
    world.control.rules(write_to_deleted=switch)
    made = insert(raw)
    raw.events("DELETE", f"/{made['id']}")
    assert raw.events("PATCH", f"/{made['id']}", json={"summary": "Back"}).status_code == status
    assert raw.events("GET", f"/{made['id']}").json()["status"] == ("confirmed" if status == 200 else "cancelled")


# G-7: properties


@pytest.mark.parametrize(
    "private",
    [{"k" * 45: "v"}, {"k": "v" * 1025}, {f"k{n}": "v" for n in range(301)}, {f"k{n}": "v" * 1000 for n in range(40)}],
    ids=["long key", "long value", "too many", "too large"],
)
def test_g7_limits(raw: RawGoogle, private: dict[str, str]) -> None:
    assert raw.events("POST", json=body(extendedProperties={"private": private})).status_code == 400


def test_g7_a_patch_merges_and_null_takes_away(raw: RawGoogle) -> None:
    made = insert(raw, extendedProperties={"private": {"a": "1", "b": "2"}}, location="Here")
    patch = {"extendedProperties": {"private": {"b": None, "c": "3"}}, "location": None}
    changed = raw.events("PATCH", f"/{made['id']}", json=patch).json()
    assert changed["extendedProperties"] == {"private": {"a": "1", "c": "3"}}
    assert "location" not in changed
    assert changed["summary"] == "Visit"


# G-8: defaults and self


def test_g8_defaults_are_left_out(raw: RawGoogle) -> None:
    made = insert(raw, transparency="opaque", visibility="default", description="")
    assert not {"transparency", "visibility", "description", "attendeesOmitted"} & set(made)
    assert insert(raw, transparency="transparent")["transparency"] == "transparent"
    assert made["organizer"] == {"email": OPERATOR, "displayName": "Ben", "self": True}


def test_g8_self_is_who_owns_the_calendar(world: GoogleWorld, raw: RawGoogle) -> None:
    guests = [{"email": OPERATOR.upper()}, {"email": CLIENT}]
    made = insert(raw, attendees=guests)
    assert [(a.get("self", False), a["responseStatus"]) for a in made["attendees"]] == [
        (True, "needsAction"),
        (False, "needsAction"),
    ]
    shown = raw.events("GET", f"/{made['id']}", params={"maxAttendees": "1"}).json()
    assert shown["attendeesOmitted"]
    assert [a["email"] for a in shown["attendees"]] == [OPERATOR.upper()]
    elsewhere = raw.events("POST", calendar=TEAM, json=body(attendees=guests)).json()
    assert not any(a.get("self") for a in elsewhere["attendees"])


def test_g8_who_may_only_see_times_sees_no_more(world: GoogleWorld, raw: RawGoogle) -> None:
    made = insert(raw, attendees=[{"email": CLIENT}], location="Home")
    world.control.add_person("colleague@practice.example")
    world.control.set_access(OPERATOR, "colleague@practice.example", "freeBusyReader")
    other = RawGoogle(world, email="colleague@practice.example")
    seen = other.events("GET", f"/{made['id']}").json()
    assert not {"summary", "attendees", "location", "creator"} & set(seen)
    assert (seen["start"], seen["visibility"]) == (made["start"], "private")
    assert reason(other.events("POST", json=body())) == (403, "requiredAccessLevel")
    other.close()


# times


@pytest.mark.parametrize(
    ("times", "why"),
    [
        ({"end": {"dateTime": "2027-03-22T08:00:00+01:00"}}, "timeRangeEmpty"),
        ({"start": {"date": "2027-03-22"}}, "invalid"),
        ({"start": {"date": "2027-03-22"}, "end": {"date": "2027-03-22"}}, "timeRangeEmpty"),
        ({"start": {"dateTime": "2027-03-22T09:00:00"}}, "required"),
        ({"start": {"dateTime": "at nine", "timeZone": "Europe/Berlin"}}, "invalid"),
        ({"start": None}, "required"),
        ({"start": {"dateTime": "2027-03-22T09:00:00+01:00", "timeZone": "Mars/Base"}}, "invalid"),
        ({"recurrence": ["RRULE:FREQ=WEEKLY"], "start": {"dateTime": "2027-03-22T09:00:00+01:00"}}, "required"),
        ({"recurrence": ["RRULE:FREQ=SOMETIMES"]}, "invalid"),
        ({"recurrence": ["RRULE:FREQ=SECONDLY"]}, "invalid"),
        ({"recurrence": ["FREQ=DAILY"]}, "invalid"),
        ({"visibility": "secret"}, "invalid"),
        ({"invented": 1}, "invalid"),
        ({"attendees": [{"displayName": "Nobody"}]}, "required"),
    ],
)
def test_bad_bodies_are_400(raw: RawGoogle, times: dict[str, Any], why: str) -> None:
    assert reason(raw.events("POST", json=body(**times))) == (400, why)


def test_all_day_to_timed_needs_the_other_kind_nulled(raw: RawGoogle) -> None:
    made = insert(raw)
    day = {"start": {"date": "2027-03-22"}, "end": {"date": "2027-03-23"}}
    assert raw.events("PATCH", f"/{made['id']}", json=day).status_code == 400
    nulled = {name: value | {"dateTime": None, "timeZone": None} for name, value in day.items()}
    assert raw.events("PATCH", f"/{made['id']}", json=nulled).json()["start"] == {"date": "2027-03-22"}


def test_times_are_answered_with_offset_and_zone(raw: RawGoogle) -> None:
    made = insert(
        raw,
        start={"dateTime": "2027-07-01T07:00:00Z", "timeZone": "Europe/Berlin"},
        end={"dateTime": "2027-07-01T10:00:00+02:00"},
    )
    assert made["start"] == {"dateTime": "2027-07-01T09:00:00+02:00", "timeZone": "Europe/Berlin"}
    assert made["end"] == {"dateTime": "2027-07-01T10:00:00+02:00", "timeZone": "Europe/Berlin"}
    local = {"dateTime": "2027-07-01T09:00:00", "timeZone": "Europe/London"}
    assert insert(raw, start=local, end=local)["start"]["dateTime"] == "2027-07-01T09:00:00+01:00"


# G-10: mails


@pytest.mark.parametrize(
    ("voice", "mailed"), [("none", []), ("all", [CLIENT, "x@gmail.com"]), ("externalOnly", [CLIENT]), (None, [])]
)
def test_g10_what_google_would_send(world: GoogleWorld, raw: RawGoogle, voice: str | None, mailed: list[str]) -> None:
    params = {"sendUpdates": voice} if voice else {}
    guests = [{"email": CLIENT}, {"email": "x@gmail.com"}, {"email": OPERATOR}]
    made = raw.events("POST", json=body(attendees=guests), params=params).json()
    raw.events("PATCH", f"/{made['id']}", json={"location": "There"}, params=params)
    raw.events("DELETE", f"/{made['id']}", params=params)
    sent = [(mail["kind"], mail["to"]) for mail in world.control.mails()]
    assert sent == [(kind, to) for kind in ("request", "update", "cancel") for to in mailed]


def test_g10_guests_who_come_and_go(world: GoogleWorld, raw: RawGoogle) -> None:
    made = insert(raw, attendees=[{"email": CLIENT}])
    raw.events("PATCH", f"/{made['id']}", json={"attendees": [{"email": "b@c.example"}]}, params={"sendUpdates": "all"})
    assert [(m["kind"], m["to"]) for m in world.control.mails()] == [("cancel", CLIENT), ("request", "b@c.example")]


# instances, moves, conferences


def test_a_changed_instance_becomes_an_exception(world: GoogleWorld, raw: RawGoogle) -> None:
    master = insert(raw, recurrence=["RRULE:FREQ=WEEKLY;COUNT=4"])
    name = f"{master['id']}_20270329T070000Z"
    plain = raw.events("GET", f"/{name}").json()
    assert plain["recurringEventId"] == master["id"]
    assert "recurrence" not in plain
    changed = raw.events("PATCH", f"/{name}", json={"summary": "Other"}).json()
    assert changed["summary"] == "Other"
    assert raw.events("DELETE", f"/{name}").status_code == 204
    assert raw.events("GET", f"/{master['id']}_20270330T070000Z").status_code == 404
    raw.events("DELETE", f"/{master['id']}")
    assert raw.events("GET", f"/{master['id']}_20270405T070000Z").status_code == 404


@pytest.mark.parametrize("touches", [True, False])
def test_does_an_exception_touch_its_master(world: GoogleWorld, raw: RawGoogle, touches: bool) -> None:
    world.control.rules(exception_touches_master=touches)
    master = insert(raw, recurrence=["RRULE:FREQ=WEEKLY;COUNT=4"])
    raw.events("DELETE", f"/{master['id']}_20270329T070000Z")
    now = raw.events("GET", f"/{master['id']}").json()
    assert (now["etag"] != master["etag"]) == touches


@pytest.mark.parametrize("keeps", [True, False])
def test_a_move_to_another_calendar(world: GoogleWorld, raw: RawGoogle, keeps: bool) -> None:
    """H4: does the id stay."""
    world.control.rules(move_keeps_id=keeps)
    made = insert(raw, extendedProperties={"private": {"slotledger": "k"}})
    moved = raw.events("POST", f"/{made['id']}/move", params={"destination": TEAM}).json()
    assert (moved["id"] == made["id"]) == keeps
    assert moved["iCalUID"] == made["iCalUID"]
    assert moved["extendedProperties"] == made["extendedProperties"]
    assert moved["organizer"]["email"] == TEAM
    assert raw.events("GET", f"/{made['id']}").json()["status"] == "cancelled"
    assert raw.events("GET", f"/{moved['id']}", calendar=TEAM).json()["status"] == "confirmed"


def test_only_default_events_move(raw: RawGoogle) -> None:
    made = insert(raw, eventType="focusTime")
    assert raw.events("POST", f"/{made['id']}/move", params={"destination": TEAM}).status_code == 400
    assert raw.events("PATCH", f"/{made['id']}", json={"eventType": "default"}).status_code == 400


@pytest.mark.parametrize("later", [True, False])
def test_conferences_need_their_version(world: GoogleWorld, raw: RawGoogle, later: bool) -> None:
    world.control.rules(conference_async=later)
    wanted = {"createRequest": {"requestId": "r1", "conferenceSolutionKey": {"type": "hangoutsMeet"}}}
    assert "conferenceData" not in insert(raw, conferenceData=wanted)
    made = raw.events("POST", json=body(conferenceData=wanted), params={"conferenceDataVersion": "1"}).json()
    first = made["conferenceData"]["createRequest"]["status"]["statusCode"]
    assert first == ("pending" if later else "success")
    again = raw.events("GET", f"/{made['id']}").json()
    assert again["conferenceData"]["createRequest"]["status"]["statusCode"] == "success"
    assert again["hangoutLink"].startswith("https://meet.google.com/")


def test_import_needs_a_uid_and_refuses_a_second_one(raw: RawGoogle) -> None:
    assert reason(raw.events("POST", "/import", json=body())) == (400, "required")
    assert raw.events("POST", "/import", json=body(iCalUID="foreign@x")).json()["iCalUID"] == "foreign@x"
    assert reason(raw.events("POST", "/import", json=body(iCalUID="foreign@x"))) == (409, "duplicate")


def test_google_client_drives_it_all(world: GoogleWorld, raw: RawGoogle) -> None:
    """G6: the unmodified client, every answer held against its own document (the world's end asserts that)."""
    events = raw.service.events()
    made = events.insert(calendarId=OPERATOR, body=body(), sendUpdates="none").execute()
    request = events.patch(calendarId=OPERATOR, eventId=made["id"], body={"summary": "New"})
    request.headers["If-Match"] = made["etag"]
    assert request.execute()["summary"] == "New"
    moved = events.move(calendarId=OPERATOR, eventId=made["id"], destination=TEAM).execute()
    assert events.get(calendarId=TEAM, eventId=moved["id"]).execute()["summary"] == "New"
    assert events.delete(calendarId=TEAM, eventId=moved["id"]).execute() == ""
    day = date(2027, 5, 1)
    world.control.create(OPERATOR, "Day", day, day + DAY)
    assert events.list(calendarId=OPERATOR).execute()["items"][0]["start"] == {"date": "2027-05-01"}
