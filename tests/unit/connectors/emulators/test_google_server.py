"""The emulator as a program: faults on the wire, control over HTTP, the page for humans, the file that stays.

Covers: connectors.emulators.google.server, connectors.emulators.google.api, connectors.emulators.google.control,
connectors.emulators.google.faults, connectors.emulators.google.page, connectors.emulators.google.store.
"""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from connectors.emulators.google import start_google
from connectors.emulators.google.faults import Fault
from tests.support.google import OPERATOR, TEAM, GoogleWorld, RawGoogle, google_world, reason

HOUR = timedelta(hours=1)
BODY = {
    "id": "abc0123",
    "start": {"dateTime": "2027-03-22T09:00:00Z"},
    "end": {"dateTime": "2027-03-22T10:00:00Z"},
}


@pytest.fixture
def world() -> Iterator[GoogleWorld]:
    with google_world() as world:
        yield world


@pytest.fixture
def raw(world: GoogleWorld) -> Iterator[RawGoogle]:
    raw = RawGoogle(world)
    yield raw
    raw.close()


def there(world: GoogleWorld) -> bool:
    return world.control.event(OPERATOR, "abc0123") is not None


# faults


@pytest.mark.parametrize(
    ("action", "done"),
    [("close", False), ("reset", False), ("commit_then_close", True), ("commit_then_reset", True)],
)
def test_the_line_breaks_before_or_after_the_deed(world: GoogleWorld, raw: RawGoogle, action: str, done: bool) -> None:
    world.control.fault(action, method="POST")
    with pytest.raises(httpx.TransportError):
        raw.events("POST", json=BODY)
    assert there(world) == done
    assert raw.events("POST", json=BODY).status_code == (409 if done else 200)


@pytest.mark.parametrize(("action", "done"), [("hang", False), ("commit_then_hang", True)])
def test_silence(world: GoogleWorld, raw: RawGoogle, action: str, done: bool) -> None:
    world.control.fault(action, method="POST", seconds=30)
    with pytest.raises(httpx.ReadTimeout):
        raw.events("POST", json=BODY, timeout=0.3)
    assert there(world) == done
    begun = time.monotonic()
    world.emulator.stop()
    assert time.monotonic() - begun < 5, "a hanging answer doesn't keep the emulator"


@pytest.mark.parametrize(
    ("name", "status"),
    [("userRateLimitExceeded", 403), ("quotaExceeded", 403), ("tooManyRequests", 429), ("backendError", 503)],
)
def test_errors_by_name(world: GoogleWorld, raw: RawGoogle, name: str, status: int) -> None:
    world.control.fault("error", name=name, retry_after=7, count=1)
    answer = raw.events()
    assert answer.status_code == status
    assert answer.headers["retry-after"] == "7"
    assert raw.events().status_code == 200


def test_done_but_said_to_have_failed(world: GoogleWorld, raw: RawGoogle) -> None:
    world.control.fault("commit_then_error", method="POST")
    assert raw.events("POST", json=BODY).status_code == 500
    assert there(world)


def test_spoiled_bodies(world: GoogleWorld, raw: RawGoogle) -> None:
    world.control.create(OPERATOR, "E", "2027-03-22T09:00:00Z", "2027-03-22T10:00:00Z")
    world.control.fault("truncate")
    with pytest.raises(httpx.RemoteProtocolError):
        raw.events()
    world.control.fault("garbage")
    with pytest.raises(ValueError):
        raw.events().json()
    world.control.fault("html")
    assert raw.events().headers["content-type"].startswith("text/html")
    world.control.fault("duplicate_item")
    assert len(raw.events().json()["items"]) == 2
    world.control.fault("status", code=502, body="bad gateway")
    assert raw.events().text == "bad gateway"
    world.control.fault("slow", seconds=0.2)
    begun = time.monotonic()
    assert raw.events().status_code == 200
    assert time.monotonic() - begun >= 0.2


def test_which_calls_a_fault_hits(world: GoogleWorld, raw: RawGoogle) -> None:
    world.control.fault(
        "error", name="backendError", method="GET", path="/events$", query="maxResults=7", nth=2, count=2
    )
    seen = [raw.events(params={"maxResults": "7"}).status_code for _ in range(4)]
    assert seen == [200, 503, 503, 200]
    assert raw.events().status_code == 200
    assert world.control.faults()[0]["hits"] == 2
    world.control.clear_faults()
    dice = [Fault.of("close", probability=0.5, seed=3, count=0) for _ in range(2)]
    rolls = [[d.dice.random() for _ in range(5)] for d in dice]
    assert rolls[0] == rolls[1], "seeded"
    with pytest.raises(ValueError):
        world.control.fault("explode")


def test_the_token_endpoint_can_fail_too(world: GoogleWorld) -> None:
    world.control.fault("oauth", path="^/token$", error="invalid_grant")
    answer = httpx.post(world.emulator.base_url + "/token", data={}, trust_env=False)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")


def test_requests_run_side_by_side(world: GoogleWorld) -> None:
    world.control.fault("slow", seconds=1, count=1)
    raws = [RawGoogle(world) for _ in range(2)]
    slow = threading.Thread(target=raws[0].events)
    slow.start()
    time.sleep(0.2)
    begun = time.monotonic()
    assert raws[1].events().status_code == 200
    assert time.monotonic() - begun < 0.7
    slow.join()
    for raw in raws:
        raw.close()


def test_a_kept_connection_serves_many(world: GoogleWorld) -> None:
    token = world.control.grant(OPERATOR)["access_token"]
    connection = http.client.HTTPConnection(urlsplit(world.emulator.base_url).netloc)
    connection.connect()
    assert isinstance(connection.sock, socket.socket)
    port = connection.sock.getsockname()[1]
    for path in ("events", "events/nothing1", "events"):
        connection.request(
            "GET", f"/calendar/v3/calendars/{OPERATOR}/{path}", headers={"Authorization": f"Bearer {token}"}
        )
        connection.getresponse().read()
        assert connection.sock.getsockname()[1] == port
    connection.close()


# control over HTTP


def test_control_over_http(world: GoogleWorld, raw: RawGoogle) -> None:
    def call(name: str, **given: object) -> object:
        answer = raw.http.post(f"/_ctl/{name}", json=given)
        assert answer.status_code == 200, answer.text
        return answer.json()["result"]

    made = call("create", calendar=OPERATOR, title="E", start="2027-03-22T09:00:00Z", end="2027-03-22T10:00:00Z")
    call("make_all_day", calendar=OPERATOR, event=made, day="2027-03-22")
    assert raw.events("GET", f"/{made}").json()["start"] == {"date": "2027-03-22"}
    call("move_time", calendar=OPERATOR, event=made, start="2027-03-22T09:00:00Z", end="2027-03-22T10:00:00Z")
    copy = call("copy_calendar", calendar=OPERATOR, event=made, to=TEAM)
    assert copy != made
    call("rules", stubs="full")
    assert [c["id"] for c in raw.http.get("/_ctl/calendars").json()["result"]] == [OPERATOR, TEAM]
    assert raw.http.post("/_ctl/rules", json={"invented": 1}).status_code == 400
    assert raw.http.post("/_ctl/delete", json={"calendar": OPERATOR, "event": "nothing1"}).status_code == 400
    for hidden in ("_done", "matching_fault", "nothing", "__init__"):
        assert raw.http.post(f"/_ctl/{hidden}", json={}).status_code == 404


def test_the_log_keeps_what_came_and_no_tokens(world: GoogleWorld, raw: RawGoogle) -> None:
    raw.events("POST", json=BODY, params={"sendUpdates": "none"})
    (entry,) = world.control.requests("/events")
    assert (entry["method"], entry["status"], entry["query"]) == ("POST", 200, "sendUpdates=none")
    assert json.loads(entry["body"]) == BODY
    assert "authorization" not in entry["headers"]
    world.control.clear_requests()
    assert world.control.requests() == []


# the page


def test_the_page_plays_the_operator(world: GoogleWorld, raw: RawGoogle) -> None:
    page = world.emulator.base_url
    assert httpx.get(page + "/favicon.ico", trust_env=False).status_code == 204
    with httpx.Client(base_url=page, trust_env=False, follow_redirects=True) as web:
        start = web.get("/").text.partition('name="start" required value="')[2][:16]
        form = {"calendar": OPERATOR, "title": "Team <b>", "start": start, "minutes": "45", "kind": "weekly"}
        shown = web.post("/_page/create", data=form).text
        assert "Team &lt;b&gt;" in shown
        assert "<b>" not in shown
        (master,) = world.control.events(OPERATOR)
        assert master["recurrence"] == ["RRULE:FREQ=WEEKLY;COUNT=8"]
        first = shown.partition(f'value="{master["id"]}_')[2].partition('"')[0]
        instance = {"calendar": OPERATOR, "event": f"{master['id']}_{first}"}
        web.post("/_page/move", data=instance | {"start": start[:11] + "15:00"})
        assert world.control.event(OPERATOR, instance["event"])["start"]["dateTime"][11:16] == "15:00"
        web.post("/_page/delete", data=instance)
        assert world.control.event(OPERATOR, instance["event"])["status"] == "cancelled"
        shown = web.post("/_page/create", data=form | {"kind": "once", "title": "One"}).text
        one = next(e["id"] for e in world.control.events(OPERATOR) if e["summary"] == "One")
        only = {"calendar": OPERATOR, "event": one}
        web.post("/_page/title", data=only | {"title": "no-show One"})
        world.control.edit(OPERATOR, one, attendees=[{"email": "ada@client.example"}])
        answered = web.post("/_page/answer", data=only | {"email": "ada@client.example", "response": "declined"}).text
        assert "ada@client.example: declined" in answered
        web.post("/_page/carry", data=only | {"to": TEAM})
        assert [e["summary"] for e in world.control.events(TEAM)] == ["no-show One"]
        web.post("/_page/create", data=form | {"kind": "day", "title": "Off"})
        assert "all day" in web.get("/").text
        assert "That did not work" in web.post("/_page/delete", data={"calendar": OPERATOR, "event": "gone12"}).text
        assert web.post("/_page/nothing", data={}).status_code == 404


# the file


def test_a_restart_keeps_the_world(tmp_path: Path) -> None:
    path = tmp_path / "google.json"
    with start_google(path=path) as first:
        first.control.seed(
            people=[{"email": OPERATOR, "name": "Ben", "timezone": "Europe/Berlin"}],
            calendars=[{"id": TEAM, "owner": OPERATOR, "summary": "Team", "events": [BODY]}],
        )
        secret = first.control.grant(OPERATOR)
        deleted = first.control.create(OPERATOR, "E", "2027-03-22T09:00:00Z", "2027-03-22T10:00:00Z")
        raw = RawGoogle(GoogleWorld(first))
        token = raw.events().json()["nextSyncToken"]
        first.control.delete(OPERATOR, deleted)
        raw.close()
    assert path.stat().st_mode & 0o077 == 0, "tokens are in it"
    with start_google(path=path) as second:
        assert [e["id"] for e in second.control.events(TEAM)] == ["abc0123"]
        second.control.seed(calendars=[{"id": TEAM, "owner": OPERATOR, "summary": "Team", "events": [BODY]}])
        assert len(second.control.events(TEAM)) == 1, "seeding twice is like once"
        raw = RawGoogle(GoogleWorld(second))
        delta = raw.events(params={"syncToken": token}).json()["items"]
        assert [(i["id"], i["status"]) for i in delta] == [(deleted, "cancelled")]
        form = {"grant_type": "refresh_token", "refresh_token": secret["refresh_token"]}
        form |= {"client_id": second.client_id, "client_secret": second.client_secret}
        assert raw.http.post("/token", data=form).status_code == 200
        raw.close()


def test_strict_answers_are_held_against_the_document(world: GoogleWorld, raw: RawGoogle) -> None:
    resource = {"id": "odd0000", "status": "confirmed", "invented": 1}
    world.control.plant(OPERATOR, resource)
    raw.events()
    assert any("invented: unknown field" in line for line in world.control.unexpected())
    world.control.reset()


def test_unknown_addresses_are_noted(world: GoogleWorld, raw: RawGoogle) -> None:
    assert raw.http.post("/batch/calendar/v3").status_code == 501
    assert reason(raw.http.get("/calendar/v3/nothing")) == (404, "notFound")
    assert len(world.control.unexpected()) == 2
    world.control.reset()
