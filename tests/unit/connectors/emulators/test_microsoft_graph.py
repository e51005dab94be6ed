"""The emulated Graph keeps its own rules (PROVIDERS G3, M-1 … M-13).

Covers: connectors.emulators.microsoft.bodies, connectors.emulators.microsoft.delta,
connectors.emulators.microsoft.events, connectors.emulators.microsoft.rendering,
connectors.emulators.microsoft.service, connectors.emulators.microsoft.store,
connectors.emulators.microsoft.subscriptions, connectors.emulators.microsoft.switches,
connectors.emulators.microsoft.times
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.support.graph_types import need_metadata, wrong
from tests.support.microsoft import MicrosoftWorld, microsoft_world

WINDOW = "startDateTime=2027-01-01T00:00:00Z&endDateTime=2028-01-01T00:00:00Z"
PLAIN = 'outlook.timezone="UTC"'
DAILY = {
    "pattern": {"type": "daily", "interval": 1},
    "range": {"type": "numbered", "startDate": "2027-03-01", "numberOfOccurrences": 4},
}


@pytest.fixture
def world() -> Iterator[MicrosoftWorld]:
    with microsoft_world(strict=False) as world:
        yield world


@pytest.fixture
def graph(world: MicrosoftWorld) -> Iterator[httpx.Client]:
    with world.raw() as client:
        yield client


def q(some_id: str) -> str:
    return quote(some_id, safe="")


def body(**changes: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "subject": "Yoga",
        "start": {"dateTime": "2027-03-01T10:00:00", "timeZone": "UTC"},
        "end": {"dateTime": "2027-03-01T11:00:00", "timeZone": "UTC"},
    }
    return {**made, **changes}


def _tomorrow(world: MicrosoftWorld) -> str:
    return (datetime.fromisoformat(world.control.state()["now"]) + timedelta(days=1)).isoformat()


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def team(world: MicrosoftWorld) -> str:
    return world.control.create_event("T", "2027-03-01T09:00", "2027-03-01T10:00", calendar="Work", recurrence=DAILY)


def delta(world: MicrosoftWorld, graph: httpx.Client, link: str = "") -> tuple[list[dict[str, Any]], str]:
    """All rows of a round, and its delta link."""
    answer = (
        world.follow(graph, link)
        if link
        else graph.get(f"/me/calendars/{q(world.calendar.href)}/calendarView/delta?{WINDOW}")
    )
    rows: list[dict[str, Any]] = []
    while True:
        assert answer.status_code == 200, answer.text
        rows += answer.json()["value"]
        if "@odata.deltaLink" in answer.json():
            return rows, answer.json()["@odata.deltaLink"]
        answer = world.follow(graph, answer.json()["@odata.nextLink"])


# M-1, M-11: zones and days


def test_times_are_shown_in_the_zone_asked_for(world: MicrosoftWorld) -> None:
    href = world.control.create_event("x", "2027-07-01T12:00", "2027-07-01T13:00")
    for zone, hour in (("UTC", 10), ("W. Europe Standard Time", 12), ("America/New_York", 6)):
        with world.raw(prefer=f'IdType="ImmutableId", outlook.timezone="{zone}"') as graph:
            answer = graph.get(f"/me/events/{q(href)}")
        assert answer.json()["start"] == {"dateTime": f"2027-07-01T{hour:02}:00:00.0000000", "timeZone": zone}
        assert answer.headers["preference-applied"] == f'outlook.timezone="{zone}"'
        assert answer.json()["originalStartTimeZone"] == "Europe/Berlin"
    with world.raw(prefer='IdType="ImmutableId"') as graph:
        answer = graph.get(f"/me/events/{q(href)}")
    assert answer.json()["start"]["timeZone"] == "UTC"
    assert "preference-applied" not in answer.headers
    with world.raw(prefer='IdType="ImmutableId", outlook.timezone="Mars"') as graph:
        assert graph.get(f"/me/events/{q(href)}").status_code == 400


def test_all_day_is_midnight_under_any_label(world: MicrosoftWorld) -> None:
    href = world.control.create_event("x", "2027-07-01", "2027-07-03", all_day=True)
    for zone in ("UTC", "America/New_York"):
        with world.raw(prefer=f'IdType="ImmutableId", outlook.timezone="{zone}"') as graph:
            row = graph.get(f"/me/events/{q(href)}").json()
        assert row["start"] == {"dateTime": "2027-07-01T00:00:00.0000000", "timeZone": zone}
        assert row["end"]["dateTime"].startswith("2027-07-03T00:00")


@pytest.mark.parametrize(
    "times",
    [
        {"start": {"dateTime": "2027-03-01T10:00:00", "timeZone": "UTC"}},
        {"end": {"dateTime": "2027-03-01T00:00:00", "timeZone": "UTC"}},
        {"end": {"dateTime": "2027-03-02T00:00:00", "timeZone": "Europe/Berlin"}},
    ],
)
def test_all_day_wants_midnights_of_one_zone(graph: httpx.Client, times: dict[str, Any]) -> None:
    whole = body(
        isAllDay=True,
        start={"dateTime": "2027-03-01T00:00:00", "timeZone": "UTC"},
        end={"dateTime": "2027-03-02T00:00:00", "timeZone": "UTC"},
    )
    assert graph.post("/me/events", json=whole).status_code == 201
    assert graph.post("/me/events", json={**whole, **times}).status_code == 400


# M-2: two spaces of ids


def test_the_plain_id_changes_with_the_calendar(world: MicrosoftWorld, graph: httpx.Client) -> None:
    key = world.control.create_event("x", "2027-03-01T10:00", "2027-03-01T11:00", calendar="Work")
    with world.raw(prefer=PLAIN) as plain:
        before = plain.get(f"/me/events/{q(key)}").json()["id"]
        assert before != key
        assert plain.get(f"/me/events/{q(before)}").json()["id"] == before
        translated = graph.post(
            "/me/translateExchangeIds",
            json={"inputIds": [before], "sourceIdType": "restId", "targetIdType": "restImmutableEntryId"},
        )
        assert translated.json()["value"] == [{"sourceId": before, "targetId": key}]
        world.control.move_to_calendar(key, "Private")
        assert plain.get(f"/me/events/{q(before)}").status_code == 404
        assert plain.get(f"/me/events/{q(key)}").json()["id"] not in (before, key)
    assert graph.get(f"/me/events/{q(key)}").json()["id"] == key


# M-3: delta


def test_a_delta_pages_and_freezes(world: MicrosoftWorld, graph: httpx.Client) -> None:
    for number in range(25):
        world.control.create_event(f"{number}", "2027-03-01T10:00", "2027-03-01T11:00", calendar="Work")
    first = graph.get(f"/me/calendars/{q(world.calendar.href)}/calendarView/delta?{WINDOW}").json()
    assert len(first["value"]) == 10
    assert first["@odata.nextLink"].startswith("https://graph.microsoft.com/v1.0/me/calendars/")
    world.control.create_event("late", "2027-03-01T10:00", "2027-03-01T11:00", calendar="Work")
    second = world.follow(graph, first["@odata.nextLink"]).json()
    third = world.follow(graph, second["@odata.nextLink"]).json()
    assert len(third["value"]) == 5
    assert "@odata.nextLink" not in third
    rows, _ = delta(world, graph, third["@odata.deltaLink"])
    assert [row["subject"] for row in rows] == ["late"]
    rows, _ = delta(world, graph, third["@odata.deltaLink"])
    assert [row["subject"] for row in rows] == ["late"], "a link may be followed again"


def test_an_empty_page_may_come_first(world: MicrosoftWorld, graph: httpx.Client) -> None:
    world.control.set_switch("empty_page", True)
    world.control.create_event("x", "2027-03-01T10:00", "2027-03-01T11:00", calendar="Work")
    first = graph.get(f"/me/calendars/{q(world.calendar.href)}/calendarView/delta?{WINDOW}").json()
    assert first["value"] == []
    assert len(world.follow(graph, first["@odata.nextLink"]).json()["value"]) == 1


@pytest.mark.parametrize("more", ["$select=id", "$top=5", "$filter=x", "$expand=calendar", "$orderby=start"])
def test_a_delta_takes_no_options(world: MicrosoftWorld, graph: httpx.Client, more: str) -> None:
    assert graph.get(f"/me/calendarView/delta?{WINDOW}&{more}").status_code == 400


def test_a_series_in_a_delta(world: MicrosoftWorld, graph: httpx.Client) -> None:
    href = team(world)
    rows, link = delta(world, graph)
    assert [row["type"] for row in rows] == ["seriesMaster"] + ["occurrence"] * 4
    assert {row.get("seriesMasterId") for row in rows[1:]} == {href}
    assert set(rows[1]) == {"@odata.type", "@odata.etag", "id", "seriesMasterId", "type", "start", "end"}
    occurrences = world.control.occurrences(href)
    world.control.delete_event(occurrences[1])
    rows, link = delta(world, graph, link)
    assert [row["type"] for row in rows] == ["seriesMaster"] + ["occurrence"] * 3, "the rest again, nothing removed"
    assert not any("@removed" in row for row in rows)
    for position, full in (("full", True), ("minimal", False)):
        world.control.set_switch("exceptions", position)
        world.control.move_event(occurrences[2], "2027-03-20T10:00", "2027-03-20T11:00")
        rows, link = delta(world, graph, link)
        (moved,) = (row for row in rows if row["type"] == "exception")
        assert ("showAs" in moved) is full
    world.control.delete_event(href)
    rows, link = delta(world, graph, link)
    assert [(row["id"], row["@removed"]) for row in rows] == [(href, {"reason": "deleted"})]


def test_removed_says_less_than_deleted(world: MicrosoftWorld, graph: httpx.Client) -> None:
    _, link = delta(world, graph)
    far = world.control.create_event("far", "2030-03-01T10:00", "2030-03-01T11:00", calendar="Work")
    rows, link = delta(world, graph, link)
    assert [(row["id"], "@removed" in row) for row in rows] == [(far, True)]
    world.control.move_event(far, "2027-03-01T10:00", "2027-03-01T11:00")
    rows, link = delta(world, graph, link)
    assert [row["subject"] for row in rows] == ["far"]
    world.control.move_to_calendar(far, "Private")
    rows, link = delta(world, graph, link)
    assert "@removed" in rows[0]
    world.control.set_switch("outside_window", "silent")
    world.control.create_event("further", "2030-03-01T10:00", "2030-03-01T11:00", calendar="Work")
    assert delta(world, graph, link)[0] == []


@pytest.mark.parametrize("position", ["removed", "changed"])
def test_away_and_back(world: MicrosoftWorld, graph: httpx.Client, position: str) -> None:
    """M-13."""
    world.control.set_switch("move_back", position)
    href = world.control.create_event("x", "2027-03-01T10:00", "2027-03-01T11:00", calendar="Work")
    _, link = delta(world, graph)
    world.control.move_to_calendar(href, "Private")
    world.control.move_to_calendar(href, "Work")
    rows, link = delta(world, graph, link)
    assert ("@removed" in rows[0]) is (position == "removed")
    assert delta(world, graph, link)[0] == []


def test_rows_may_be_replayed(world: MicrosoftWorld, graph: httpx.Client) -> None:
    world.control.create_event("x", "2027-03-01T10:00", "2027-03-01T11:00", calendar="Work")
    _, link = delta(world, graph)
    world.control.set_switch("replay", 1.0)
    assert [row["subject"] for row in delta(world, graph, link)[0]] == ["x"]


def test_an_expired_delta(world: MicrosoftWorld, graph: httpx.Client) -> None:
    _, link = delta(world, graph)
    world.control.expire_deltas()
    assert code(world.follow(graph, link)) == (410, "SyncStateNotFound")
    world.control.set_switch("expired", "location")
    answer = world.follow(graph, link)
    assert code(answer) == (410, "resyncRequired")
    assert delta(world, graph, answer.headers["location"])[0] == []
    for bad in ("$deltatoken=x", "$skiptoken=x.1", "$skiptoken=x", "startDateTime=2027-01-01T00:00:00Z"):
        assert graph.get(f"/me/calendarView/delta?{bad}").status_code == 400


def test_a_delta_lags(world: MicrosoftWorld, graph: httpx.Client) -> None:
    """M-10."""
    world.control.set_switch("lag_seconds", 30)
    href = world.control.create_event("x", "2027-03-01T10:00", "2027-03-01T11:00", calendar="Work")
    rows, link = delta(world, graph)
    assert rows == []
    assert graph.get(f"/me/calendars/{q(world.calendar.href)}/calendarView?{WINDOW}").json()["value"] == []
    assert graph.get(f"/me/events/{q(href)}").status_code == 200
    world.control.set_switch("lag_on_get", True)
    assert graph.get(f"/me/events/{q(href)}").status_code == 404
    world.control.advance(31)
    assert [row["subject"] for row in delta(world, graph, link)[0]] == ["x"]


# M-4: transaction ids


def test_transaction_ids(world: MicrosoftWorld, graph: httpx.Client) -> None:
    told = body(transactionId="7E163156-7762-4BEB-A1C6-729EA81755A7")
    first = graph.post("/me/events", json=told).json()
    assert first["transactionId"] == told["transactionId"]
    again = graph.post("/me/events", json=told)
    assert code(again) == (409, "ErrorDuplicateTransactionId")
    assert again.json()["error"]["@event.existingEventId"] == first["id"]
    world.control.set_switch("duplicate_names_event", False)
    world.control.set_switch("duplicate_status", 400)
    again = graph.post("/me/events", json=told)
    assert code(again) == (400, "ErrorDuplicateTransactionId")
    assert "@event.existingEventId" not in again.json()["error"]
    world.control.set_switch("transaction", "same")
    assert graph.post("/me/events", json=told).json()["id"] == first["id"]
    assert code(graph.post("/me/events", json={**told, "subject": "Other"})) == (400, "ErrorDuplicateTransactionId")
    world.control.set_switch("transaction", "ignore")
    assert graph.post("/me/events", json=told).json()["id"] != first["id"]
    assert graph.patch(f"/me/events/{q(first['id'])}", json={"transactionId": "x"}).status_code == 400


def test_a_transaction_may_outlive_its_event(world: MicrosoftWorld, graph: httpx.Client) -> None:
    told = body(transactionId="7E163156-7762-4BEB-A1C6-729EA81755A7")
    href = graph.post("/me/events", json=told).json()["id"]
    graph.delete(f"/me/events/{q(href)}")
    world.control.set_switch("transaction_outlives", True)
    assert graph.post("/me/events", json=told).status_code == 409
    world.control.set_switch("transaction_outlives", False)
    assert graph.post("/me/events", json=told).status_code == 201


# M-5: mails


def test_guests_are_always_mailed(world: MicrosoftWorld, graph: httpx.Client) -> None:
    guests = [
        {"emailAddress": {"address": "ada@x.org"}},
        {"type": "resource", "emailAddress": {"address": "room@x.org"}},
    ]
    href = graph.post("/me/events", json=body(attendees=guests)).json()["id"]
    graph.patch(f"/me/events/{q(href)}", json={"subject": "New"})
    assert graph.post(f"/me/events/{q(href)}/cancel", json={"comment": ""}).status_code == 202
    assert [(mail["kind"], mail["to"]) for mail in world.control.mails()] == [
        ("invitation", "ada@x.org"),
        ("update", "ada@x.org"),
        ("cancellation", "ada@x.org"),
    ]
    assert graph.get(f"/me/events/{q(href)}").status_code == 404
    quiet = graph.post("/me/events", json=body()).json()["id"]
    graph.delete(f"/me/events/{q(quiet)}")
    assert len(world.control.mails()) == 3


def test_invitations_of_others(world: MicrosoftWorld, graph: httpx.Client) -> None:
    href = world.control.create_event("x", "2027-03-01T10:00", "2027-03-01T11:00", organizer="host@x.org")
    path = f"/me/events/{q(href)}"
    row = graph.get(path).json()
    assert (row["isOrganizer"], row["responseStatus"]["response"]) == (False, "notResponded")
    assert graph.post(f"{path}/cancel", json={}).status_code == 400
    for answer, said in (("accept", "accepted"), ("tentativelyAccept", "tentativelyAccepted"), ("decline", "declined")):
        assert graph.post(f"{path}/{answer}", json={"comment": "", "sendResponse": False}).status_code == 202
        assert graph.get(path).json()["responseStatus"]["response"] == said
    mine = graph.post("/me/events", json=body()).json()
    assert (mine["isOrganizer"], mine["responseStatus"]["response"]) == (True, "organizer")
    assert graph.post(f"/me/events/{q(mine['id'])}/decline", json={}).status_code == 400


# M-6 lives in test_graph_subscriptions.py; here is what a bad request gets


@pytest.mark.parametrize(
    "changes",
    [
        {"resource": "/me/messages"},
        {"changeType": "moved"},
        {"clientState": "x" * 129},
        {"expirationDateTime": "2020-01-01T00:00:00Z"},
        {"expirationDateTime": "2099-01-01T00:00:00Z"},
        {"expirationDateTime": "soon"},
        {"notificationUrl": "https://example.com/hook"},
        {"notificationUrl": None},
    ],
)
def test_bad_subscriptions(world: MicrosoftWorld, graph: httpx.Client, changes: dict[str, Any]) -> None:
    asked = {
        "changeType": "updated",
        "notificationUrl": "http://127.0.0.1:9/hook",
        "resource": "/me/events",
        "expirationDateTime": _tomorrow(world),
        "clientState": "s",
    }
    assert graph.post("/subscriptions", json={**asked, **changes}).status_code == 400
    assert graph.get("/subscriptions").json()["value"] == []


def test_hooks_without_tls_only_by_switch(world: MicrosoftWorld, graph: httpx.Client) -> None:
    world.control.set_switch("http_hooks", False)
    asked = {"changeType": "updated", "notificationUrl": "http://127.0.0.1:9/hook", "resource": "/me/events"}
    answer = graph.post("/subscriptions", json={**asked, "expirationDateTime": _tomorrow(world)})
    assert "https" in answer.json()["error"]["message"]


# M-7: batches


def test_batches(world: MicrosoftWorld, graph: httpx.Client) -> None:
    href = world.control.create_event("x", "2027-03-01T10:00", "2027-03-01T11:00")
    asked = [
        {"id": "a", "method": "GET", "url": f"/me/events/{q(href)}", "headers": {"Prefer": 'IdType="ImmutableId"'}},
        {"id": "b", "method": "GET", "url": "/me/events/nowhere"},
        {"id": "c", "method": "GET", "url": "/me", "dependsOn": ["b"]},
    ]
    answers = {part["id"]: part for part in graph.post("/$batch", json={"requests": asked}).json()["responses"]}
    assert {name: part["status"] for name, part in answers.items()} == {"a": 200, "b": 404, "c": 424}
    assert answers["a"]["body"]["id"] == href
    world.control.add_fault("status", path="/me$", status=429, code="TooManyRequests", retry_after="3")
    answer = graph.post("/$batch", json={"requests": [{"id": "1", "method": "GET", "url": "/me"}]})
    assert answer.status_code == 200
    part = answer.json()["responses"][0]
    assert (part["status"], part["headers"]["Retry-After"]) == (429, "3")
    many = [{"id": str(n), "method": "GET", "url": "/me"} for n in range(21)]
    assert graph.post("/$batch", json={"requests": many}).status_code == 400
    assert graph.post("/$batch", json={"requests": many[:20]}).status_code == 200
    post = {"id": "1", "method": "POST", "url": "/me/events", "body": body()}
    assert graph.post("/$batch", json={"requests": [post]}).status_code == 400
    post["headers"] = {"Content-Type": "application/json"}
    answer = graph.post("/$batch", json={"requests": [post]})
    assert answer.json()["responses"][0]["status"] == 201


# M-8: throttling


def test_the_fifth_call_at_a_time_is_throttled(world: MicrosoftWorld) -> None:
    world.control.set_switch("latency_seconds", 1.0)
    token, answers, together = world.token(), [], threading.Barrier(6)

    def ask() -> None:
        together.wait(30)
        answers.append(
            httpx.get(
                world.emulator.graph_root + "/v1.0/me", headers={"Authorization": f"Bearer {token}"}, trust_env=False
            )
        )

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answer.status_code for answer in answers) == [200] * 4 + [429] * 2
    throttled = next(answer for answer in answers if answer.status_code == 429)
    assert code(throttled) == (429, "ApplicationThrottled")
    assert throttled.headers["retry-after"] == "1"


# M-9, M-12: guards and deletion


def test_if_match(graph: httpx.Client) -> None:
    made = graph.post("/me/events", json=body()).json()
    path = f"/me/events/{q(made['id'])}"
    stale = {"If-Match": made["@odata.etag"]}
    changed = graph.patch(path, json={"subject": "New"}, headers=stale)
    assert changed.status_code == 200
    assert changed.json()["@odata.etag"] != made["@odata.etag"]
    assert code(graph.patch(path, json={"subject": "Newer"}, headers=stale)) == (412, "ErrorIrresolvableConflict")
    assert graph.delete(path, headers=stale).status_code == 412
    assert graph.delete(path, headers={"If-Match": changed.json()["@odata.etag"]}).status_code == 204


def test_if_match_may_count_for_nothing(world: MicrosoftWorld, graph: httpx.Client) -> None:
    world.control.set_switch("if_match", False)
    path = f"/me/events/{q(graph.post('/me/events', json=body()).json()['id'])}"
    wrong = {"If-Match": 'W/"bm90aGluZw=="'}
    assert graph.patch(path, json={"subject": "New"}, headers=wrong).status_code == 200
    assert graph.delete(path, headers=wrong).status_code == 204


@pytest.mark.parametrize("answers", [404, 200])
@pytest.mark.parametrize("second", [404, 403])
def test_deletion(world: MicrosoftWorld, graph: httpx.Client, answers: int, second: int) -> None:
    world.control.set_switch("deleted_answers", answers)
    world.control.set_switch("second_delete", second)
    href = graph.post(f"/me/calendars/{q(world.calendar.href)}/events", json=body()).json()["id"]
    path = f"/me/events/{q(href)}"
    assert graph.delete(path).status_code == 204
    assert graph.get(path).status_code == answers
    assert graph.delete(path).status_code == second
    assert graph.get(f"/me/calendars/{q(world.calendar.href)}/calendarView?{WINDOW}").json()["value"] == []
    assert graph.get("/me/events").json()["value"] == []
    world.control.set_switch("deleted_in_events", True)
    assert len(graph.get("/me/events").json()["value"]) == 1
    world.control.purge_event(href)
    assert graph.get(path).status_code == 404


# bodies


@pytest.mark.parametrize(
    "changes",
    [
        {"showAs": "away"},
        {"uid": "x"},
        {"sensitivity": "secret"},
        {"subject": 3},
        {"isAllDay": "yes"},
        {"reminderMinutesBeforeStart": True},
        {"body": {"contentType": "markdown", "content": ""}},
        {"attendees": [{"emailAddress": {"address": "nobody"}}]},
        {"attendees": [{"type": "host", "emailAddress": {"address": "a@b"}}]},
        {"singleValueExtendedProperties": [{"id": "BookingKey", "value": "x"}]},
        {"recurrence": {"pattern": {"type": "hourly"}, "range": {"type": "noEnd"}}},
        {"start": {"dateTime": "soon", "timeZone": "UTC"}},
        {"start": {"dateTime": "2027-03-01T10:00:00", "timeZone": "Mars"}},
        {"end": {"dateTime": "2027-03-01T09:00:00", "timeZone": "UTC"}},
        {"iCalUId": "chosen"},
        {"isCancelled": True},
    ],
)
def test_bodies_are_checked(graph: httpx.Client, changes: dict[str, Any]) -> None:
    assert graph.post("/me/events", json=body(**changes)).status_code == 400
    assert graph.get("/me/events").json()["value"] == []


def test_a_body_that_is_no_object(graph: httpx.Client) -> None:
    for raw in (b"", b"[]", b"{"):
        assert graph.post("/me/events", content=raw).status_code == 400
    assert graph.post("/me/events", json={"subject": "x"}).status_code == 400


def test_text_without_the_blob_breaks_an_online_meeting(graph: httpx.Client) -> None:
    made = graph.post("/me/events", json=body(isOnlineMeeting=True, onlineMeetingProvider="teamsForBusiness")).json()
    path = f"/me/events/{q(made['id'])}"
    assert made["onlineMeeting"]["joinUrl"] in made["body"]["content"]
    kept = graph.patch(path, json={"body": {"contentType": "html", "content": "New" + made["body"]["content"]}}).json()
    assert kept["isOnlineMeeting"]
    broken = graph.patch(path, json={"body": {"contentType": "text", "content": "New"}}).json()
    assert (broken["isOnlineMeeting"], broken["onlineMeeting"]) == (False, None)


# listings


def test_listings_and_the_two_filters(world: MicrosoftWorld, graph: httpx.Client) -> None:
    name = "String {66f5a359-4659-4830-9070-00047ec6ac6e} Name Color"
    property_ = [{"id": name, "value": "Green"}]
    href = graph.post(
        f"/me/calendars/{q(world.calendar.href)}/events", json=body(singleValueExtendedProperties=property_)
    ).json()["id"]
    other = graph.post("/me/events", json=body()).json()

    def found(prefix: str, wanted: str) -> list[str]:
        answer = graph.get(f"{prefix}/events?$filter={quote(wanted)}")
        assert answer.status_code == 200, answer.text
        return [row["id"] for row in answer.json()["value"]]

    test = f"singleValueExtendedProperties/any(ep: ep/id eq '{name}' and ep/value eq 'green')"
    assert found("/me", test) == [href]
    assert found(f"/me/calendars/{q(world.calendar.href)}", test) == [href]
    assert found(f"/me/calendars/{q(world.other.href)}", test) == []
    assert found("/me", test.replace("Name Color", "Name color")) == []
    assert found("/me", f"iCalUId eq '{other['iCalUId']}'") == [other["id"]]
    assert graph.get(f"/me/events?$filter={quote(test).replace('%20', '+')}").status_code == 400
    assert graph.get("/me/events?$filter=subject%20eq%20'x'").status_code == 501
    assert graph.get("/me/events?$search=x").status_code == 400
    assert "singleValueExtendedProperties" not in graph.get(f"/me/events/{q(href)}").json()
    expand = quote(f"singleValueExtendedProperties($filter=id eq '{name}')")
    assert graph.get(f"/me/events/{q(href)}?$expand={expand}").json()["singleValueExtendedProperties"] == property_
    assert graph.get(f"/me/events/{q(href)}?$expand=calendar").json()["calendar"]["id"] == world.calendar.href
    assert set(graph.get("/me/events?$select=id,subject").json()["value"][0]) == {"@odata.etag", "id", "subject"}
    assert graph.get("/me/events?$select=id,nonsense").status_code == 400
    assert len(world.control.unexpected()) == 3
    world.control.set_switch("mailbox_wide", False)
    assert found("/me", test) == []


def test_pages_of_a_listing(world: MicrosoftWorld, graph: httpx.Client) -> None:
    for number in range(12):
        world.control.create_event(f"{number}", f"2027-03-01T{number:02}:00", f"2027-03-01T{number:02}:30")
    first = graph.get(f"/me/calendarView?{WINDOW}").json()
    assert len(first["value"]) == 10
    second = world.follow(graph, first["@odata.nextLink"]).json()
    assert [row["subject"] for row in second["value"]] == ["10", "11"]
    assert "@odata.nextLink" not in second
    assert len(graph.get("/me/events?$top=3").json()["value"]) == 3


PATTERNS = [
    ({"type": "weekly", "interval": 2, "daysOfWeek": ["monday", "friday"]}, ["03-01", "03-05", "03-15", "03-19"]),
    ({"type": "absoluteMonthly", "interval": 1, "dayOfMonth": 31}, ["03-31", "04-30", "05-31", "06-30"]),
    (
        {"type": "relativeMonthly", "interval": 1, "daysOfWeek": ["tuesday"], "index": "last"},
        ["03-30", "04-27", "05-25", "06-29"],
    ),
    ({"type": "absoluteYearly", "interval": 1, "month": 3, "dayOfMonth": 1}, ["03-01"]),
    ({"type": "relativeYearly", "interval": 1, "month": 5, "daysOfWeek": ["sunday"], "index": "second"}, ["05-09"]),
    ({"type": "daily", "interval": 3}, ["03-01", "03-04", "03-07", "03-10"]),
]


@pytest.mark.parametrize(("pattern", "days"), PATTERNS)
def test_patterns(world: MicrosoftWorld, graph: httpx.Client, pattern: dict[str, Any], days: list[str]) -> None:
    limits = {"type": "numbered", "startDate": "2027-03-01", "numberOfOccurrences": 4}
    made = graph.post("/me/events", json=body(recurrence={"pattern": pattern, "range": limits})).json()
    assert made["type"] == "seriesMaster"
    rows = graph.get(f"/me/events/{q(made['id'])}/instances?{WINDOW}").json()["value"]
    assert [row["start"]["dateTime"][5:10] for row in rows] == days
    assert {row["type"] for row in rows} == {"occurrence"}
    ended = {"type": "endDate", "startDate": "2027-03-01", "endDate": f"2027-{days[0]}"}
    made = graph.post("/me/events", json=body(recurrence={"pattern": pattern, "range": ended})).json()
    rows = graph.get(f"/me/events/{q(made['id'])}/instances?{WINDOW}").json()["value"]
    assert [row["start"]["dateTime"][5:10] for row in rows] == days[:1]


def test_occurrences_one_by_one(world: MicrosoftWorld, graph: httpx.Client) -> None:
    href = team(world)
    rows = graph.get(f"/me/events/{q(href)}/instances?{WINDOW}").json()["value"]
    assert [row["originalStart"] for row in rows][:2] == ["2027-03-01T08:00:00Z", "2027-03-02T08:00:00Z"]
    path = f"/me/events/{q(rows[1]['id'])}"
    assert graph.get(path).json()["seriesMasterId"] == href
    changed = graph.patch(path, json={"subject": "Only this"}).json()
    assert (changed["type"], changed["subject"], changed["start"]) == ("exception", "Only this", rows[1]["start"])
    moved = graph.patch(
        path,
        json={
            "start": {"dateTime": "2027-03-09T10:00:00", "timeZone": "UTC"},
            "end": {"dateTime": "2027-03-09T11:00:00", "timeZone": "UTC"},
        },
    ).json()
    assert moved["originalStart"] == "2027-03-02T08:00:00Z"
    assert graph.delete(f"/me/events/{q(rows[2]['id'])}").status_code == 204
    assert graph.get(f"/me/events/{q(rows[2]['id'])}").status_code == 404
    left = graph.get(f"/me/events/{q(href)}/instances?{WINDOW}").json()["value"]
    assert [row["start"]["dateTime"][8:10] for row in left] == ["01", "04", "09"]
    assert graph.get(f"{path}/instances?{WINDOW}").status_code == 400
    assert graph.patch(path, json={"recurrence": None}).status_code == 400


def test_free_and_busy(world: MicrosoftWorld, graph: httpx.Client) -> None:
    need_metadata()
    world.control.create_event("a", "2027-03-01T10:00", "2027-03-01T11:00", zone="UTC")
    world.control.create_event("b", "2027-03-01T10:30", "2027-03-01T11:30", zone="UTC", show_as="tentative")
    world.control.create_event("c", "2027-03-01T12:00", "2027-03-01T13:00", zone="UTC", show_as="free")
    world.control.create_event("d", "2027-03-01T12:00", "2027-03-01T13:00", zone="UTC", calendar="Work")
    asked = {
        "schedules": ["chloe@practice.example", "else@x.org"],
        "startTime": {"dateTime": "2027-03-01T09:30:00", "timeZone": "UTC"},
        "endTime": {"dateTime": "2027-03-01T13:00:00", "timeZone": "UTC"},
        "availabilityViewInterval": 30,
    }
    mine, other = graph.post("/me/calendar/getSchedule", json=asked).json()["value"]
    assert mine["availabilityView"] == "0221000"
    assert [item["status"] for item in mine["scheduleItems"]] == ["busy", "tentative"]
    assert other["error"]["responseCode"] == "5009"
    assert graph.post("/me/calendar/getSchedule", json={**asked, "availabilityViewInterval": 2}).status_code == 400
    assert graph.post("/me/calendar/getSchedule", json={}).status_code == 400


def test_scopes(world: MicrosoftWorld) -> None:
    with world.raw("Calendars.Read") as reader:
        assert reader.get("/me/calendars").status_code == 200
        assert code(reader.post("/me/events", json=body())) == (403, "ErrorAccessDenied")
        assert reader.get("/me").status_code == 403
        assert reader.get("/me/mailboxSettings/timeZone").status_code == 403
    with world.raw("MailboxSettings.Read User.Read") as other:
        assert other.get("/me/calendars").status_code == 403
        assert other.get("/me/mailboxSettings/timeZone").json() == {"value": "Europe/Berlin"}
    with httpx.Client(trust_env=False) as nobody:
        answer = nobody.get(world.emulator.graph_root + "/v1.0/me")
        assert code(answer) == (401, "InvalidAuthenticationToken")


def test_calendars(world: MicrosoftWorld, graph: httpx.Client) -> None:
    rows = graph.get("/me/calendars").json()["value"]
    assert [row["isDefaultCalendar"] for row in rows] == [True, False, False]
    assert graph.get("/me/calendar").json()["id"] == rows[0]["id"]
    (group,) = graph.get("/me/calendarGroups").json()["value"]
    assert len(graph.get(f"/me/calendarGroups/{group['id']}/calendars").json()["value"]) == 3
    world.control.set_access("Work", False)
    path = f"/me/calendars/{q(world.calendar.href)}"
    assert graph.get(path).json()["canEdit"] is False
    assert graph.post(f"{path}/events", json=body()).status_code == 403
    world.control.remove_calendar("Work")
    assert graph.get(path).status_code == 404
    assert graph.post(f"{path}/events", json=body()).status_code == 404
    assert graph.get("/me/contacts").status_code == 501
    assert graph.get("/users").status_code == 501


# the check of honesty itself (PROVIDERS G6)


def test_the_metadata_refuse_what_is_wrong(world: MicrosoftWorld, graph: httpx.Client) -> None:
    need_metadata()
    made = graph.post("/me/events", json=body()).json()
    assert list(wrong(made, "event")) == []
    for changes in (
        {"showAs": "away"},
        {"uid": "x"},
        {"isAllDay": "no"},
        {"createdDateTime": "soon"},
        {"start": {}, "x": 1},
    ):
        assert list(wrong({**made, **changes}, "event")), changes
    assert list(wrong({**made, "attendees": [{"type": "host"}]}, "event"))
    assert list(wrong([made], "event"))
    assert list(wrong(made, "Collection(event)"))
    assert list(wrong({"subscriptionId": None}, "changeNotification"))
    assert world.honesty.checked > 0
    assert world.honesty.violations == []


def test_every_answer_is_watched(world: MicrosoftWorld, graph: httpx.Client) -> None:
    need_metadata()
    graph.get("/me/calendars")
    graph.post("/$batch", json={"requests": [{"id": "1", "method": "GET", "url": "/me/calendar"}]})
    assert world.honesty.checked == 3
    assert json.loads(json.dumps(world.control.switches()))["transaction"] == "refuse"
