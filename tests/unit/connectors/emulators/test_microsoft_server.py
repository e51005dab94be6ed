"""The emulated Microsoft's server: faults, control over HTTP, memory over restarts, the page for people.

Covers: connectors.emulators.microsoft.server, connectors.emulators.microsoft.faults,
connectors.emulators.microsoft.control, connectors.emulators.microsoft.page, connectors.emulators.microsoft.wire
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from connectors.emulators.microsoft import start_microsoft
from tests.support.microsoft import CLIENT_ID, OPERATOR, MicrosoftWorld, microsoft_world

BODY = {
    "subject": "Yoga",
    "start": {"dateTime": "2027-03-01T10:00:00", "timeZone": "UTC"},
    "end": {"dateTime": "2027-03-01T11:00:00", "timeZone": "UTC"},
}


@pytest.fixture
def world() -> Iterator[MicrosoftWorld]:
    with microsoft_world(strict=False) as world:
        yield world


@pytest.fixture
def graph(world: MicrosoftWorld) -> Iterator[httpx.Client]:
    with world.raw() as client:
        yield client


def ctl(world: MicrosoftWorld, control: str, /, **arguments: Any) -> httpx.Response:
    return httpx.post(f"{world.emulator.control_root}/{control}", json=arguments, trust_env=False)


def subjects(world: MicrosoftWorld) -> list[str]:
    return [row["subject"] for row in world.control.state()["accounts"][0]["events"]]


# faults


@pytest.mark.parametrize(
    ("action", "done"),
    [
        ("status", False),
        ("close", False),
        ("hang", False),
        ("commit_then_close", True),
        ("commit_then_hang", True),
        ("commit_then_status", True),
        ("truncate", True),
        ("html", True),
        ("invalid_json", True),
        ("slow", True),
    ],
)
def test_faults_before_and_after_the_commit(
    world: MicrosoftWorld, graph: httpx.Client, action: str, done: bool
) -> None:
    world.control.add_fault(action, method="POST", path="/events$", seconds=0.1)
    heard: object
    try:
        answer = graph.post("/me/events", json=BODY)
        heard = answer.status_code
        answer.json()
    except (httpx.TransportError, ValueError) as error:
        heard = type(error).__name__
    assert bool(subjects(world)) is done
    if action in ("status", "commit_then_status"):
        assert heard == 503
    elif action == "slow":
        assert heard == 201
    elif action in ("html", "invalid_json"):
        assert heard == "JSONDecodeError"
    else:
        assert heard in ("ReadError", "RemoteProtocolError"), heard
    assert graph.post("/me/events", json=BODY).status_code == 201, "one request only"


def test_when_a_fault_hits(world: MicrosoftWorld, graph: httpx.Client) -> None:
    world.control.add_fault("status", path="^/v1.0/me$", nth=2, count=2, status=418, code="teapot")
    assert [graph.get("/me").status_code for _ in range(5)] == [200, 418, 418, 200, 200]
    world.control.add_fault("status", path="^/v1.0/me$", method="POST", status=418)
    assert graph.get("/me").status_code == 200
    world.control.clear_faults()
    world.control.add_fault("status", count=99, probability=0.5, seed=3, status=418)
    hits = [graph.get("/me").status_code for _ in range(20)]
    assert 0 < hits.count(418) < 20
    world.control.clear_faults()
    late = "Mon, 23 Nov 2026 12:00:00 GMT"
    world.control.add_fault("status", status=429, retry_after=late, location="https://x.org/")
    answer = graph.get("/me")
    assert (answer.headers["retry-after"], answer.headers["location"]) == (late, "https://x.org/")


def test_faults_in_content(world: MicrosoftWorld, graph: httpx.Client) -> None:
    for number in range(12):
        world.control.create_event(f"{number}", "2027-03-01T10:00", "2027-03-01T11:00")
    world.control.add_fault("repeat_row")
    assert len(graph.get("/me/events").json()["value"]) == 11
    world.control.add_fault("empty_page")
    answer = graph.get("/me/events").json()
    assert answer["value"] == []
    assert "@odata.nextLink" in answer
    world.control.add_fault("strip_etag")
    assert "@odata.etag" not in graph.post("/me/events", json=BODY).json()


# control over HTTP


def test_control_over_http(world: MicrosoftWorld) -> None:
    href = ctl(world, "create_event", subject="Lunch", start="2027-03-01T12:00", end="2027-03-01T13:00").json()[
        "result"
    ]
    ctl(world, "move_event", event=href, start="2027-03-02T12:00", end="2027-03-02T13:00")
    ctl(world, "move_to_calendar", event=href, calendar="Work")
    ctl(world, "set_fields", event=href, fields={"categories": ["no-show"]})
    (row,) = ctl(world, "state").json()["result"]["accounts"][0]["events"]
    assert (row["id"], row["calendar"], row["categories"]) == (href, world.calendar.href, ["no-show"])
    assert row["start"]["dateTime"] == "2027-03-02T11:00:00.0000000"
    ctl(world, "set_switch", name="lag_seconds", value=3)
    assert ctl(world, "switches").json()["result"]["lag_seconds"] == 3
    ctl(world, "delete_event", event=href)
    state = httpx.get(f"{world.emulator.control_root}/state", trust_env=False).json()["result"]
    assert state["accounts"][0]["events"] == []


@pytest.mark.parametrize(
    ("name", "arguments", "status"),
    [
        ("nothing", {}, 404),
        ("_account", {"email": ""}, 404),
        ("handle", {}, 404),
        ("create_event", {"subject": "x"}, 400),
        ("delete_event", {"event": "nowhere"}, 404),
        ("add_fault", {"action": "explode"}, 400),
        ("add_fault", {"action": "status", "when": 3}, 400),
        ("set_switch", {"name": "nothing", "value": 1}, 400),
        ("login", {"nothing": 1}, 400),
        ("add_calendar", {"name": "x", "account": "nobody@x.org"}, 404),
        ("move_to_calendar", {"event": "nowhere", "calendar": "x"}, 404),
    ],
)
def test_bad_control(world: MicrosoftWorld, name: str, arguments: dict[str, Any], status: int) -> None:
    assert ctl(world, name, **arguments).status_code == status


def test_the_log_and_what_was_unexpected(world: MicrosoftWorld, graph: httpx.Client) -> None:
    graph.post("/me/events", json=BODY)
    graph.get("/me/drive")
    graph.get("/me/events?$count=true")
    first, *_ = world.control.requests()
    assert (first["method"], first["path"], first["status"]) == ("POST", "/v1.0/me/events", 201)
    assert "Yoga" in first["body"]
    assert "Bearer" not in str(first["headers"])
    assert len(world.control.unexpected()) == 2
    world.control.clear_requests()
    assert world.control.requests() == world.control.unexpected() == []


def test_an_operators_hands(world: MicrosoftWorld, graph: httpx.Client) -> None:
    href = world.control.create_event(
        "x", "2027-03-01T10:00", "2027-03-01T11:00", attendees=["ada@x.org", "bob@x.org"], sensitivity="private"
    )
    path = f"/me/events/{quote(href, safe='')}"
    world.control.decline(href, "ADA@x.org")
    answers = [guest["status"]["response"] for guest in graph.get(path).json()["attendees"]]
    assert answers == ["declined", "none"]
    world.control.cancel_event(href)
    assert graph.get(path).json()["isCancelled"] is True
    world.control.set_all_day(href, "2027-03-05", 2)
    assert graph.get(path).json()["isAllDay"] is True
    invited = world.control.create_event("y", "2027-03-01T10:00", "2027-03-01T11:00", organizer="host@x.org")
    world.control.respond(invited, "accepted")
    row = graph.get(f"/me/events/{quote(invited, safe='')}").json()
    assert row["responseStatus"]["response"] == "accepted"
    assert [r["subject"] for r in world.control.busy("2027-03-01", "2027-03-02")] == ["y"]
    world.control.delete_event(href)
    world.control.restore_event(href)
    assert len(subjects(world)) == 2


def test_reset(world: MicrosoftWorld, graph: httpx.Client) -> None:
    world.control.create_event("x", "2027-03-01T10:00", "2027-03-01T11:00")
    world.control.add_fault("status", count=99)
    world.control.reset()
    assert world.control.state()["accounts"] == []
    assert graph.get("/me").status_code == 401
    account = world.control.add_account("new@x.org", "New", "America/New_York")
    assert world.control.state("new@x.org")["accounts"][0]["account"] == account


# memory


def test_data_survives_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "microsoft.json"
    weekly = {
        "pattern": {"type": "daily", "interval": 1},
        "range": {"type": "numbered", "startDate": "2027-03-01", "numberOfOccurrences": 4},
    }
    with microsoft_world(path=path) as world:
        series = world.control.create_event("T", "2027-03-01T09:00", "2027-03-01T10:00", recurrence=weekly)
        world.control.delete_event(world.control.occurrences(series)[1])
        world.control.advance(3600)
        secret = world.control.grant(CLIENT_ID)
        before = world.control.state()
        with world.connect_with(secret) as connector:
            first = connector.calendars()
    emulator = start_microsoft(path=path, accounts=[("other@x.org", "Other", "UTC")])
    try:
        after = emulator.control.state()
        assert after["accounts"] == before["accounts"]
        assert after["now"] >= before["now"], "time doesn't run back"
        world.emulator = emulator
        with world.connect_with(secret) as connector:
            assert connector.calendars() == first
        assert len(emulator.control.occurrences(series)) == 3
    finally:
        emulator.stop()
        emulator.stop()


def test_a_chosen_port() -> None:
    first = start_microsoft()
    port = int(first.graph_root.rpartition(":")[2])
    first.stop()
    again = start_microsoft(port)
    try:
        assert again.graph_root == f"http://127.0.0.1:{port}"
        assert again.control_root == f"http://127.0.0.1:{port}/_ctl"
    finally:
        again.stop()


def test_stopping_does_not_wait_for_hanging_clients(world: MicrosoftWorld) -> None:
    world.control.add_fault("hang", seconds=30)
    with world.raw() as client:
        client.timeout = httpx.Timeout(0.2)
        with pytest.raises(httpx.ReadTimeout):
            client.get("/me")
    began = time.monotonic()
    world.emulator.stop()
    assert time.monotonic() - began < 5


# the page


def _in_days(world: MicrosoftWorld, days: int) -> str:
    now = datetime.fromisoformat(world.control.state()["now"])
    return (now + timedelta(days=days)).strftime("%Y-%m-%dT%H:%M")


def test_the_page_plays_the_operator(world: MicrosoftWorld) -> None:
    with httpx.Client(base_url=world.emulator.graph_root, trust_env=False, follow_redirects=True) as browser:
        start = _in_days(world, 1)
        page = browser.post("/_ui/create", data={"subject": "<b>Lunch", "start": start, "minutes": "90"})
        assert page.status_code == 200
        assert "&lt;b&gt;Lunch" in page.text
        assert "<b>Lunch" not in page.text
        (row,) = world.control.state()["accounts"][0]["events"]
        later = _in_days(world, 2)
        browser.post("/_ui/move", data={"event": row["id"], "start": later})
        browser.post("/_ui/calendar", data={"event": row["id"], "calendar": world.calendar.href})
        browser.post("/_ui/category", data={"event": row["id"], "categories": "no-show"})
        (row,) = world.control.state()["accounts"][0]["events"]
        assert (row["calendar"], row["categories"]) == (world.calendar.href, ["no-show"])
        guest = world.control.create_event("m", later, later, attendees=["ada@x.org"], calendar="Work", zone="UTC")
        assert "ada@x.org declines" in browser.get("/").text
        browser.post("/_ui/decline", data={"event": guest, "attendee": "ada@x.org"})
        (told,) = (one for one in world.control.state()["accounts"][0]["events"] if one["id"] == guest)
        assert told["attendees"][0]["status"]["response"] == "declined"
        page = browser.post("/_ui/delete", data={"event": row["id"]})
        assert "Lunch" not in page.text
        assert browser.post("/_ui/delete", data={"event": row["id"]}).text.count("role=alert") == 1
        assert browser.post("/_ui/explode", data={}).text.count("role=alert") == 1
        assert browser.get("/_ui/create").status_code == 404
        assert OPERATOR in browser.get("/").text
        assert browser.get("/favicon.ico").status_code == 204
    assert world.control.unexpected() == []
    assert world.control.requests() == [], "nothing of this is Microsoft's"
