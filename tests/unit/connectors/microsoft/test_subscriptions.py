"""Push channels, against live handshakes."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from connectors.errors import Refused
from connectors.microsoft.connector import MicrosoftConnector
from connectors.microsoft.hooks import Notification, notifications, validation_answer
from connectors.protocol import Channel, Watching
from tests.support.graph_types import need_metadata, wrong
from tests.support.microsoft import MicrosoftWorld, microsoft_world

SECRET = "s3cret"


class Hook:
    """Our hook, as small as it may be. answer: how it answers handshakes."""

    def __init__(self) -> None:
        self.heard: list[Notification] = []
        self.bodies: list[dict[str, Any]] = []
        self.answer = "right"
        self.seconds = 0.0
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                token = validation_answer(dict(parse_qsl(urlsplit(self.path).query)))
                time.sleep(hook.seconds)
                if token is not None:
                    if hook.answer == "wrong":
                        token = "something else"
                    self._say(500 if hook.answer == "broken" else 200, token.encode())
                else:
                    hook.bodies.append(json.loads(raw))
                    hook.heard += notifications(raw)
                    self._say(202, b"")

            def _say(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", "text/html" if hook.answer == "html" else "text/plain")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                """Silence."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}/hooks/microsoft"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


@pytest.fixture
def hook() -> Iterator[Hook]:
    hook = Hook()
    yield hook
    hook.close()


@pytest.fixture
def world() -> Iterator[MicrosoftWorld]:
    with microsoft_world() as world:
        yield world


@pytest.fixture
def connector(world: MicrosoftWorld) -> MicrosoftConnector:
    return world.connect()


def now(world: MicrosoftWorld) -> datetime:
    return datetime.fromisoformat(world.control.state()["now"])


def watch(world: MicrosoftWorld, connector: MicrosoftConnector, hook: Hook, days: float = 6) -> Channel:
    return connector.watch(
        world.primary,
        channel_id="ours",
        secret=SECRET,
        address=hook.address,
        expires_at=now(world) + timedelta(days=days),
    )


def test_a_change_is_told(world: MicrosoftWorld, connector: MicrosoftConnector, hook: Hook) -> None:
    assert isinstance(connector, Watching)
    channel = watch(world, connector, hook)
    assert channel.expires_at.tzinfo is not None
    href = world.control.create_event("Lunch", "2027-03-01T12:00", "2027-03-01T13:00")
    world.control.delete_event(href)
    assert world.control.settle()
    assert [(one.change, one.event_id) for one in hook.heard] == [("created", href), ("deleted", href)]
    assert {one.subscription_id for one in hook.heard} == {channel.id}
    assert all(one.comes_with(SECRET) for one in hook.heard)
    assert all(delivery["good"] for delivery in world.control.deliveries())


def test_notifications_fit_the_metadata(world: MicrosoftWorld, connector: MicrosoftConnector, hook: Hook) -> None:
    need_metadata()
    watch(world, connector, hook)
    world.control.create_event("Lunch", "2027-03-01T12:00", "2027-03-01T13:00")
    world.control.lifecycle("missed")
    assert world.control.settle()
    assert len(hook.bodies) == 2
    for body in hook.bodies:
        assert list(wrong(body, "changeNotificationCollection")) == []


def test_only_the_default_calendar_is_watched(world: MicrosoftWorld, connector: MicrosoftConnector, hook: Hook) -> None:
    with pytest.raises(Refused):
        connector.watch(
            world.calendar,
            channel_id="x",
            secret=SECRET,
            address=hook.address,
            expires_at=now(world) + timedelta(days=1),
        )
    assert world.control.requests() == []
    watch(world, connector, hook)
    world.control.create_event("Lunch", "2027-03-01T12:00", "2027-03-01T13:00", calendar="Work")
    assert world.control.settle()
    assert hook.heard == []


@pytest.mark.parametrize("answer", ["wrong", "broken", "html"])
def test_a_failed_handshake_is_refused(
    world: MicrosoftWorld, connector: MicrosoftConnector, hook: Hook, answer: str
) -> None:
    hook.answer = answer
    with pytest.raises(Refused):
        watch(world, connector, hook)


def test_an_older_limit_gets_a_shorter_life(world: MicrosoftWorld, connector: MicrosoftConnector, hook: Hook) -> None:
    world.control.set_switch("subscription_minutes", 4230)
    channel = watch(world, connector, hook)
    assert timedelta(minutes=4190) < channel.expires_at - now(world) <= timedelta(minutes=4201)
    renewed = connector.renew(channel, now(world) + timedelta(days=6))
    assert renewed is not None
    assert renewed.id == channel.id
    assert renewed.expires_at - now(world) <= timedelta(minutes=4201)


def test_renewal(world: MicrosoftWorld, connector: MicrosoftConnector, hook: Hook) -> None:
    channel = watch(world, connector, hook, days=1)
    world.control.advance(43_200)
    renewed = connector.renew(channel, now(world) + timedelta(days=6))
    assert renewed is not None
    assert renewed.expires_at - channel.expires_at > timedelta(days=5)
    world.control.expire_subscriptions()
    assert connector.renew(renewed, now(world) + timedelta(days=6)) is None


def test_an_expired_one_cannot_be_renewed(world: MicrosoftWorld, connector: MicrosoftConnector, hook: Hook) -> None:
    channel = watch(world, connector, hook, days=1)
    world.control.advance(90_000)
    fresh = world.connect()
    assert fresh.renew(channel, now(world) + timedelta(days=6)) is None


@pytest.mark.parametrize("status", [409, 201])
def test_a_second_one_for_the_same_address_replaces_the_first(
    world: MicrosoftWorld, connector: MicrosoftConnector, hook: Hook, status: int
) -> None:
    world.control.set_switch("duplicate_subscription", status)
    first, second = watch(world, connector, hook), watch(world, connector, hook)
    assert first.id != second.id
    left = connector.renew(first, now(world) + timedelta(days=6))
    assert (left is None) is (status == 409)


def test_unwatch_twice(world: MicrosoftWorld, connector: MicrosoftConnector, hook: Hook) -> None:
    channel = watch(world, connector, hook)
    connector.unwatch(channel)
    connector.unwatch(channel)
    connector.unwatch(Channel("unknown", "", datetime(2027, 1, 1, tzinfo=UTC)))
    world.control.create_event("Lunch", "2027-03-01T12:00", "2027-03-01T13:00")
    assert world.control.settle()
    assert hook.heard == []


def test_lifecycle_and_delivery_tricks(world: MicrosoftWorld, connector: MicrosoftConnector, hook: Hook) -> None:
    channel = watch(world, connector, hook)
    for kind in ("missed", "reauthorizationRequired", "subscriptionRemoved"):
        assert world.control.lifecycle(kind) == 1
    assert world.control.settle()
    assert [one.lifecycle for one in hook.heard] == ["missed", "reauthorizationRequired", "subscriptionRemoved"]
    assert connector.renew(channel, now(world) + timedelta(days=6)) is None

    hook.heard.clear()
    watch(world, connector, hook)
    world.control.hold_notifications()
    world.control.next_notifications([0, 2], wrong_state=2)
    hrefs = [world.control.create_event(f"{n}", "2027-03-01T12:00", "2027-03-01T13:00") for n in range(3)]
    assert hook.heard == []
    assert world.control.deliver(reverse=True) == 3
    assert world.control.settle()
    assert [one.event_id for one in hook.heard] == [hrefs[2], hrefs[1], hrefs[1]]
    assert [one.comes_with(SECRET) for one in hook.heard] == [True, False, False]


def test_a_slow_hook_is_noted(world: MicrosoftWorld, connector: MicrosoftConnector, hook: Hook) -> None:
    watch(world, connector, hook)
    hook.seconds = 0.2
    world.control.create_event("Lunch", "2027-03-01T12:00", "2027-03-01T13:00")
    assert world.control.settle()
    (delivery,) = world.control.deliveries()
    assert delivery["status"] == 202
    assert delivery["seconds"] >= 0.2
