"""events.list of the emulator, asked by Google's own client and, for what that refuses, without one: G-1, G-2, G-3, G-9.

Covers: connectors.emulators.google.listing, connectors.emulators.google.series.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.support.google import OPERATOR, TEAM, GoogleWorld, RawGoogle, google_world, reason

BERLIN = ZoneInfo("Europe/Berlin")
NINE = datetime(2027, 3, 22, 9, tzinfo=BERLIN)
HOUR, DAY, WEEK = timedelta(hours=1), timedelta(days=1), timedelta(days=7)


@pytest.fixture
def world() -> Iterator[GoogleWorld]:
    with google_world() as world:
        yield world


@pytest.fixture
def raw(world: GoogleWorld) -> Iterator[RawGoogle]:
    raw = RawGoogle(world)
    yield raw
    raw.close()


def fill(world: GoogleWorld, count: int) -> list[str]:
    return [world.control.create(OPERATOR, f"E{n}", NINE + n * DAY, NINE + n * DAY + HOUR) for n in range(count)]


def listed(raw: RawGoogle, **asked: Any) -> tuple[list[dict[str, Any]], str]:
    """All pages by the client's own paging, and the token of the last one."""
    events = raw.service.events()
    request = events.list(calendarId=OPERATOR, **asked)
    items: list[dict[str, Any]] = []
    answer: dict[str, Any] = {}
    while request is not None:
        assert "nextSyncToken" not in answer, "a token only comes with the last page"
        answer = request.execute()
        items += answer["items"]
        request = events.list_next(request, answer)
    return items, answer.get("nextSyncToken", "")


# G-1: the query


@pytest.mark.parametrize("query", ["maxresults=3", "expand=true", "singleEvents=yes", "maxResults=0", "timeMin=2027"])
def test_g1_unknown_and_bad_parameters_are_refused(raw: RawGoogle, query: str) -> None:
    assert raw.events(path=f"?{query}").status_code == 400


@pytest.mark.parametrize(
    "forbidden",
    [
        {"iCalUID": "x"},
        {"orderBy": "updated"},
        {"privateExtendedProperty": "a=b"},
        {"q": "x"},
        {"sharedExtendedProperty": "a=b"},
        {"timeMin": "2027-01-01T00:00:00Z"},
        {"timeMax": "2027-01-01T00:00:00Z"},
        {"updatedMin": "2027-01-01T00:00:00Z"},
        {"showDeleted": False},
    ],
    ids=lambda value: next(iter(value)),
)
def test_g1_what_a_sync_token_forbids(raw: RawGoogle, forbidden: dict[str, Any]) -> None:
    _, token = listed(raw)
    query = {k: str(v).lower() if isinstance(v, bool) else v for k, v in forbidden.items()}
    answer = raw.events(params={"syncToken": token, **query})
    assert answer.status_code == 400


def test_g1_a_token_belongs_to_its_parameters(raw: RawGoogle) -> None:
    _, token = listed(raw, maxAttendees=5)
    assert reason(raw.events(params={"syncToken": token})) == (400, "badRequest")
    assert listed(raw, maxAttendees=5, syncToken=token)[0] == []


# G-2: pages


def test_g2_default_and_largest_page(world: GoogleWorld, raw: RawGoogle) -> None:
    fill(world, 251)
    first = raw.events().json()
    assert len(first["items"]) == 250
    assert "nextPageToken" in first
    assert len(raw.events(params={"maxResults": "2500"}).json()["items"]) == 251
    assert len(raw.events(params={"maxResults": "9999"}).json()["items"]) == 251


def test_g2_pages_are_frozen_when_the_first_is_asked(world: GoogleWorld, raw: RawGoogle) -> None:
    ids = fill(world, 5)
    events = raw.service.events()
    request = events.list(calendarId=OPERATOR, maxResults=2)
    answer = request.execute()
    seen = [item["id"] for item in answer["items"]]
    world.control.create(OPERATOR, "Late", NINE, NINE + HOUR)
    world.control.delete(OPERATOR, ids[4])
    while (request := events.list_next(request, answer)) is not None:
        answer = request.execute()
        seen += [item["id"] for item in answer["items"]]
    assert seen == ids
    later, _ = listed(raw, maxResults=2, syncToken=answer["nextSyncToken"])
    assert [(i["status"], i.get("summary")) for i in later] == [("confirmed", "Late"), ("cancelled", None)]


def test_g2_an_empty_page_may_come_in_between(world: GoogleWorld, raw: RawGoogle) -> None:
    world.control.rules(empty_pages=True)
    fill(world, 3)
    first = raw.events().json()
    assert first["items"] == []
    assert "nextPageToken" in first
    assert len(listed(raw)[0]) == 3


def test_g2_a_page_token_is_no_free_ticket(world: GoogleWorld, raw: RawGoogle) -> None:
    fill(world, 3)
    token = raw.events(params={"maxResults": "2"}).json()["nextPageToken"]
    assert raw.events(params={"maxResults": "1", "pageToken": token}).status_code == 400
    assert raw.events(params={"maxResults": "2", "pageToken": "invented"}).status_code == 400
    world.control.expire_pages()
    assert raw.events(params={"maxResults": "2", "pageToken": token}).status_code == 400


# G-3: sync tokens


def test_g3_a_token_brings_what_changed_and_may_be_replayed(world: GoogleWorld, raw: RawGoogle) -> None:
    ids = fill(world, 3)
    _, token = listed(raw)
    world.control.move_time(OPERATOR, ids[1], NINE + 10 * DAY, NINE + 10 * DAY + HOUR)
    world.control.delete(OPERATOR, ids[2])
    for _ in range(2):
        items, following = listed(raw, syncToken=token)
        assert [(i["id"], i["status"]) for i in items] == [(ids[1], "confirmed"), (ids[2], "cancelled")]
    assert listed(raw, syncToken=following)[0] == []


def test_g3_tokens_are_bound_to_their_calendar_and_person(world: GoogleWorld, raw: RawGoogle) -> None:
    _, token = listed(raw)
    assert reason(raw.events(calendar=TEAM, params={"syncToken": token})) == (410, "fullSyncRequired")
    assert reason(raw.events(params={"syncToken": "bm90IGEgdG9rZW4="})) == (410, "fullSyncRequired")
    world.control.add_person("other@practice.example")
    world.control.set_access(OPERATOR, "other@practice.example", "reader")
    _, token = listed(raw)
    other = RawGoogle(world, email="other@practice.example")
    assert other.events(params={"syncToken": token}).status_code == 410
    other.close()


def test_g3_expired_tokens_are_410_with_googles_body(world: GoogleWorld, raw: RawGoogle) -> None:
    ids = fill(world, 1)
    for expire in (
        lambda: world.control.expire_sync_tokens(OPERATOR),
        lambda: world.control.set_access(OPERATOR, "x@y.example", "reader"),
        lambda: (world.control.delete(OPERATOR, ids[0]), world.control.purge(OPERATOR, ids[0])),
    ):
        _, token = listed(raw)
        expire()
        answer = raw.events(params={"syncToken": token})
        assert answer.status_code == 410
        assert answer.json()["error"]["errors"] == [
            {
                "domain": "calendar",
                "reason": "fullSyncRequired",
                "message": "Sync token is no longer valid, a full sync is required.",
                "locationType": "parameter",
                "location": "syncToken",
            }
        ]


@pytest.mark.parametrize("outside", [True, False])
def test_a_token_of_a_bounded_listing(world: GoogleWorld, raw: RawGoogle, outside: bool) -> None:
    """H1: nobody knows whether timeMin bounds what the token brings."""
    world.control.rules(delta_outside_window=outside)
    _, token = listed(raw, timeMin=NINE.isoformat())
    world.control.create(OPERATOR, "Past", NINE - WEEK, NINE - WEEK + HOUR)
    world.control.create(OPERATOR, "Future", NINE + WEEK, NINE + WEEK + HOUR)
    titles = [item["summary"] for item in listed(raw, syncToken=token)[0]]
    assert titles == (["Past", "Future"] if outside else ["Future"])


# filters


def test_time_bounds_are_exclusive_on_end_and_start(world: GoogleWorld, raw: RawGoogle) -> None:
    world.control.create(OPERATOR, "E", NINE, NINE + HOUR)

    def found(**bounds: datetime) -> bool:
        return bool(listed(raw, **{k: v.isoformat() for k, v in bounds.items()})[0])

    assert found(timeMin=NINE + HOUR / 2)
    assert not found(timeMin=NINE + HOUR)
    assert found(timeMax=NINE + HOUR / 2)
    assert not found(timeMax=NINE)


def test_search_by_uid_and_properties(world: GoogleWorld, raw: RawGoogle) -> None:
    ours = {"private": {"slotledger": "abc", "n": "1"}, "shared": {"s": "2"}}
    made = world.control.create(OPERATOR, "Ours", NINE, NINE + HOUR, extendedProperties=ours)
    fill(world, 2)

    def found(**asked: Any) -> list[str]:
        return [item["id"] for item in listed(raw, **asked)[0]]

    assert found(iCalUID=f"{made}@google.com") == [made]
    assert found(privateExtendedProperty="slotledger=abc") == [made]
    assert found(privateExtendedProperty=["slotledger=abc", "n=1"]) == [made]
    assert found(privateExtendedProperty=["slotledger=abc", "n=2"]) == []
    assert found(sharedExtendedProperty="s=2") == [made]
    assert found(sharedExtendedProperty="slotledger=abc") == []
    assert found(q="ours") == [made]
    assert listed(raw, iCalUID="x")[1] == "", "a search gives no token"


def test_an_address_of_more_than_2048_characters_comes_as_a_post(world: GoogleWorld, raw: RawGoogle) -> None:
    fill(world, 1)
    assert listed(raw, q="x" * 3000)[0] == []
    (entry,) = world.control.requests("/events")
    assert (entry["method"], entry["headers"]["x-http-method-override"]) == ("POST", "GET")


# G-9: series


def weekly(world: GoogleWorld, **fields: Any) -> str:
    rule = {"recurrence": ["RRULE:FREQ=WEEKLY;COUNT=4"]} | fields
    made: str = world.control.create(OPERATOR, "Weekly", NINE, NINE + HOUR, **rule)
    return made


def test_g9_unexpanded_masters_exceptions_and_cancelled_instances(world: GoogleWorld, raw: RawGoogle) -> None:
    master = weekly(world)
    moved = world.control.move_occurrence(OPERATOR, master, NINE + WEEK, NINE + 8 * DAY, NINE + 8 * DAY + HOUR)
    world.control.delete_occurrence(OPERATOR, master, NINE + 2 * WEEK)
    by_id = {item["id"]: item for item in listed(raw)[0]}
    assert set(by_id) == {master, moved, f"{master}_20270405T070000Z"}
    assert by_id[master]["recurrence"] == ["RRULE:FREQ=WEEKLY;COUNT=4"]
    assert by_id[moved]["recurringEventId"] == master
    assert datetime.fromisoformat(by_id[moved]["originalStartTime"]["dateTime"]) == NINE + WEEK
    assert by_id[moved]["iCalUID"] == by_id[master]["iCalUID"]
    stub = by_id[f"{master}_20270405T070000Z"]
    assert stub["status"] == "cancelled"
    assert stub["recurringEventId"] == master
    assert datetime.fromisoformat(stub["originalStartTime"]["dateTime"]) == datetime(2027, 4, 5, 7, tzinfo=UTC)
    assert "start" not in stub


def test_g9_expanded_by_a_second_library(world: GoogleWorld, raw: RawGoogle) -> None:
    master = weekly(world, recurrence=["RRULE:FREQ=WEEKLY;COUNT=4", "EXDATE;TZID=Europe/Berlin:20270405T090000"])
    world.control.move_occurrence(OPERATOR, master, NINE + WEEK, NINE + 8 * DAY, NINE + 8 * DAY + HOUR)
    world.control.create(OPERATOR, "Single", NINE + DAY, NINE + DAY + HOUR)
    bounds = {"timeMin": NINE.isoformat(), "timeMax": (NINE + 10 * WEEK).isoformat()}
    items, _ = listed(raw, singleEvents=True, orderBy="startTime", **bounds)
    assert [datetime.fromisoformat(i["start"]["dateTime"]) for i in items] == [
        NINE,
        NINE + DAY,
        NINE + 8 * DAY,
        datetime(2027, 4, 12, 9, tzinfo=BERLIN),
    ]
    assert raw.events(params={"orderBy": "startTime"}).status_code == 400


def test_g9_instances_and_their_horizon(world: GoogleWorld, raw: RawGoogle) -> None:
    master = weekly(world, recurrence=["RRULE:FREQ=DAILY"])
    world.control.rules(expansion_days=700)
    world.control.delete_occurrence(OPERATOR, master, NINE + DAY)
    asked = {"calendarId": OPERATOR, "eventId": master, "timeMax": (NINE + 3 * DAY).isoformat()}
    events = raw.service.events()
    assert len(events.instances(**asked).execute()["items"]) == 2
    states = [i["status"] for i in events.instances(**asked, showDeleted=True).execute()["items"]]
    assert sorted(states) == ["cancelled", "confirmed", "confirmed"]
    request, count = events.instances(calendarId=OPERATOR, eventId=master, maxResults=2500), 0
    while request is not None:
        answer = request.execute()
        count += len(answer["items"])
        request = events.instances_next(request, answer)
    assert 100 < count < 701, "an endless series ends at the horizon"


def test_g9_this_and_following(world: GoogleWorld, raw: RawGoogle) -> None:
    master = weekly(world)
    following = world.control.split_series(
        OPERATOR, master, NINE + 2 * WEEK, NINE + 2 * WEEK + DAY, NINE + 15 * DAY + HOUR
    )
    assert following == f"{master}_R20270406T070000"
    by_id = {item["id"]: item for item in listed(raw)[0]}
    assert by_id[master]["recurrence"] == ["RRULE:FREQ=WEEKLY;UNTIL=20270405T065959Z"]
    assert by_id[following]["iCalUID"] != by_id[master]["iCalUID"]
    world.control.rules(split_ids=False)
    other = world.control.split_series(OPERATOR, master, NINE + WEEK, NINE + WEEK + DAY, NINE + WEEK + DAY + HOUR)
    assert "_R" not in other


def test_not_emulated_is_said_and_noted(world: GoogleWorld, raw: RawGoogle) -> None:
    _, token = listed(raw, singleEvents=True)
    assert raw.events(params={"syncToken": token, "singleEvents": "true"}).status_code == 501
    assert raw.http.get("/calendar/v3/colors").status_code == 501
    assert len(world.control.unexpected()) == 2
    with pytest.raises(AssertionError):
        world.control.assert_no_unexpected()
    world.control.reset()
