"""Push channels of the emulator (G-11), heard by a real HTTP server.

Covers: connectors.emulators.google.watch.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from connectors.emulators.google import start_google
from connectors.emulators.google.discovery import faults_of
from tests.support.google import OPERATOR, TEAM, GoogleWorld, RawGoogle, google_world, reason

NINE = datetime(2027, 3, 22, 9, tzinfo=ZoneInfo("Europe/Berlin"))
HOUR = timedelta(hours=1)


class Ear:
    """A listener that keeps what it heard. answers: statuses to give first, then 204."""

    def __init__(self) -> None:
        self.heard: list[dict[str, str]] = []
        self.answers: list[int] = []
        ear = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                heard = {k.lower(): v for k, v in self.headers.items() if k.lower().startswith("x-goog")}
                ear.heard.append({**heard, "body": body.decode(), "path": self.path})
                self.send_response(ear.answers.pop(0) if ear.answers else 204)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()
        self.address = f"http://127.0.0.1:{self.server.server_port}/hooks/google"

    @property
    def states(self) -> list[str]:
        return [h["x-goog-resource-state"] for h in self.heard]

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def ear() -> Iterator[Ear]:
    ear = Ear()
    yield ear
    ear.close()


@pytest.fixture
def world() -> Iterator[GoogleWorld]:
    with google_world() as world:
        yield world


@pytest.fixture
def raw(world: GoogleWorld) -> Iterator[RawGoogle]:
    raw = RawGoogle(world)
    yield raw
    raw.close()


def opened(raw: RawGoogle, ear: Ear, **fields: Any) -> dict[str, Any]:
    body = {"id": "c1", "type": "web_hook", "address": ear.address, "token": "secret"} | fields
    answer = raw.events("POST", "/watch", json=body)
    assert answer.status_code == 200, answer.text
    made: dict[str, Any] = answer.json()
    return made


def test_g11_sync_first_then_bodyless_messages(world: GoogleWorld, raw: RawGoogle, ear: Ear) -> None:
    made = opened(raw, ear)
    assert faults_of(made, "Channel") == []
    assert made["kind"] == "api#channel"
    assert int(made["expiration"]) / 1000 == pytest.approx(datetime.now().timestamp() + 604_800, abs=60)
    world.control.create(OPERATOR, "E", NINE, NINE + HOUR)
    world.control.create(TEAM, "Elsewhere", NINE, NINE + HOUR)
    notes = world.control.notifications()
    assert [note["status"] for note in notes] == [204, 204]
    assert ear.states == ["sync", "exists"]
    first, second = ear.heard
    assert first["body"] == second["body"] == ""
    assert (first["x-goog-message-number"], second["x-goog-message-number"]) == ("1", "2")
    assert first["x-goog-channel-token"] == "secret"
    assert first["x-goog-resource-id"] == second["x-goog-resource-id"] == made["resourceId"]
    assert first["x-goog-channel-expiration"].endswith(" GMT")


def test_g11_https_unless_the_test_flag_is_set(world: GoogleWorld, raw: RawGoogle, ear: Ear) -> None:
    world.control.push(allow_http=False)
    body = {"id": "c1", "type": "web_hook", "address": ear.address}
    assert reason(raw.events("POST", "/watch", json=body)) == (400, "push.webhookUrlNotHttps")


@pytest.mark.parametrize("refused", [True, False])
def test_g11_channel_ids_are_unique(world: GoogleWorld, raw: RawGoogle, ear: Ear, refused: bool) -> None:
    world.control.rules(duplicate_channel_refused=refused)
    opened(raw, ear)
    again = raw.events("POST", "/watch", json={"id": "c1", "type": "web_hook", "address": ear.address})
    assert again.status_code == (400 if refused else 200)


@pytest.mark.parametrize("unknown", [404, 204])
def test_g11_stop(world: GoogleWorld, raw: RawGoogle, ear: Ear, unknown: int) -> None:
    world.control.rules(stop_unknown=unknown)
    made = opened(raw, ear)
    stop = {"id": made["id"], "resourceId": made["resourceId"]}
    assert raw.http.post("/calendar/v3/channels/stop", json=stop | {"resourceId": "x"}).status_code == unknown
    assert raw.http.post("/calendar/v3/channels/stop", json=stop).status_code == 204
    assert raw.http.post("/calendar/v3/channels/stop", json=stop).status_code == unknown
    world.control.create(OPERATOR, "E", NINE, NINE + HOUR)
    world.control.notifications()
    assert ear.states == ["sync"]


def test_g11_expiry_as_granted(world: GoogleWorld, raw: RawGoogle, ear: Ear) -> None:
    made = opened(raw, ear, params={"ttl": "60"})
    assert int(made["expiration"]) / 1000 == pytest.approx(datetime.now().timestamp() + 60, abs=30)
    far = opened(raw, ear, id="c2", expiration="9999999999999")
    assert int(far["expiration"]) < 9999999999999, "what Google grants is less"
    world.control.advance(61)
    world.control.create(OPERATOR, "E", NINE, NINE + HOUR)
    world.control.notifications()
    assert sorted(ear.states) == ["exists", "sync", "sync"]
    assert [c["id"] for c in world.control.channels()] == ["c2"]


def test_g11_5xx_is_tried_again_and_others_are_lost(world: GoogleWorld, raw: RawGoogle, ear: Ear) -> None:
    ear.answers = [503, 204, 400]
    opened(raw, ear)
    world.control.notifications()
    world.control.create(OPERATOR, "E", NINE, NINE + HOUR)
    assert [n["status"] for n in world.control.notifications()] == [204, 400]
    assert ear.states == ["sync", "sync", "exists"]


def test_lost_doubled_held_and_reordered(world: GoogleWorld, raw: RawGoogle, ear: Ear) -> None:
    opened(raw, ear)

    def change() -> list[str]:
        world.control.notifications()
        ear.heard.clear()
        made = world.control.create(OPERATOR, "E", NINE, NINE + HOUR)
        world.control.delete(OPERATOR, made)
        world.control.notifications()
        return [h["x-goog-message-number"] for h in ear.heard]

    world.control.push("suppress")
    assert change() == []
    world.control.push("duplicate")
    assert change() == ["4", "4", "5", "5"]
    world.control.push("hold")
    assert change() == []
    assert world.control.release(reverse=True) == 2
    world.control.notifications()
    assert [h["x-goog-message-number"] for h in ear.heard] == ["7", "6"]
    world.control.push("deliver", wrong_token=True)
    change()
    assert ear.heard[0]["x-goog-channel-token"] == "wrong"


@pytest.mark.parametrize("told", [True, False])
def test_a_deleted_calendar(world: GoogleWorld, raw: RawGoogle, ear: Ear, told: bool) -> None:
    """H5: whether anything is heard."""
    world.control.rules(not_exists_message=told)
    opened(raw, ear)
    world.control.delete_calendar(OPERATOR)
    world.control.notifications()
    assert ear.states == ["sync", "not_exists"][: 2 if told else 1]


def test_revoking_and_expiring_end_channels(world: GoogleWorld, raw: RawGoogle, ear: Ear) -> None:
    opened(raw, ear)
    world.control.revoke(OPERATOR)
    assert world.control.channels() == []
    other = RawGoogle(world)
    opened(other, ear)
    world.control.expire_channels()
    assert world.control.channels() == []
    other.close()


def test_holiday_calendars_cannot_be_watched(world: GoogleWorld, raw: RawGoogle, ear: Ear) -> None:
    holidays = "en.german#holiday@group.v.calendar.google.com"
    world.control.add_calendar(holidays, OPERATOR, "Holidays")
    body = {"id": "c1", "type": "web_hook", "address": ear.address}
    answer = raw.http.post(f"/calendar/v3/calendars/{holidays.replace('#', '%23')}/events/watch", json=body)
    assert reason(answer) == (400, "pushNotSupportedForRequestedResource")


def test_only_loopback_is_ever_called() -> None:
    with start_google() as emulator:
        emulator.control.add_person(OPERATOR)
        world = GoogleWorld(emulator)
        raw = RawGoogle(world)
        raw.events("POST", "/watch", json={"id": "c1", "type": "web_hook", "address": "https://192.0.2.1/x"})
        assert [n["status"] for n in emulator.control.notifications()] == ["not loopback"]
        raw.close()
