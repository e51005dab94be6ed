"""Google's library under our rules: which error becomes which of ours, tokens, retries, and nothing sent twice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from connectors.errors import (
    BadAnswer,
    Conflict,
    ConnectorError,
    Gone,
    NeedsReconnect,
    Refused,
    ServerFault,
    SyncTokenExpired,
    Throttled,
    Unreachable,
)
from connectors.google.client import QUOTA_PAUSE_SECONDS, GoogleClient, Tokens, token_uri
from connectors.protocol import Endpoints
from tests.support.google import OPERATOR, GoogleWorld, google_world


@pytest.fixture
def world() -> Iterator[GoogleWorld]:
    with google_world() as world:
        yield world


@pytest.fixture
def client(world: GoogleWorld) -> Iterator[GoogleClient]:
    client = opened(world)
    yield client
    client.close()


def opened(world: GoogleWorld, *, retries: int = 0, timeout: float = 5.0, **secret: Any) -> GoogleClient:
    given = json.dumps(world.control.grant(OPERATOR) | secret)
    return GoogleClient(given, world.endpoints, world.secrets.append, timeout=timeout, retries=retries)


def asked(client: GoogleClient) -> dict[str, Any]:
    return client.read(client.events().list(calendarId=OPERATOR))


# errors


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ({"action": "error", "name": "badRequest"}, Refused),
        ({"action": "error", "name": "authError", "count": 0}, NeedsReconnect),
        ({"action": "error", "name": "rateLimitExceeded"}, Throttled),
        ({"action": "error", "name": "userRateLimitExceeded"}, Throttled),
        ({"action": "error", "name": "quotaExceeded"}, Throttled),
        ({"action": "error", "name": "tooManyRequests"}, Throttled),
        ({"action": "error", "name": "forbidden"}, Refused),
        ({"action": "error", "name": "requiredAccessLevel"}, Refused),
        ({"action": "error", "name": "notFound"}, Gone),
        ({"action": "error", "name": "deleted"}, Gone),
        ({"action": "error", "name": "duplicate"}, Conflict),
        ({"action": "error", "name": "conditionNotMet"}, Conflict),
        ({"action": "error", "name": "fullSyncRequired"}, SyncTokenExpired),
        ({"action": "error", "name": "backendError"}, ServerFault),
        ({"action": "error", "name": "internalError"}, ServerFault),
        ({"action": "status", "code": 502, "body": "<html>bad gateway</html>"}, ServerFault),
        ({"action": "status", "code": 403, "body": "<html>go away</html>"}, Refused),
        ({"action": "status", "code": 302}, BadAnswer),
        ({"action": "status", "code": 200, "body": "[1]"}, BadAnswer),
        ({"action": "close", "count": 0}, Unreachable),
        ({"action": "reset"}, Unreachable),
        ({"action": "hang", "seconds": 30}, Unreachable),
        ({"action": "truncate"}, Unreachable),
        ({"action": "garbage"}, Unreachable),
        ({"action": "html"}, Unreachable),
        ({"action": "status", "code": 200, "body": ""}, Unreachable),
        ({"action": "status", "code": 204}, Unreachable),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else "",
)
def test_errors(world: GoogleWorld, fault: dict[str, Any], expected: type[ConnectorError]) -> None:
    client = opened(world, timeout=1.0)
    world.control.fault(path="/events$", **fault)
    with pytest.raises(ConnectorError) as caught:
        asked(client)
    assert type(caught.value) is expected, caught.value
    client.close()


def test_how_long_to_wait(world: GoogleWorld, client: GoogleClient) -> None:
    def waits(**fault: Any) -> float | None:
        world.control.fault("error", **fault)
        with pytest.raises(Throttled) as caught:
            asked(client)
        return caught.value.retry_after

    assert waits(name="rateLimitExceeded") is None
    assert waits(name="rateLimitExceeded", retry_after=17) == 17
    assert waits(name="rateLimitExceeded", retry_after="Tue, 24 Nov 2026 08:00:00 GMT") is None
    assert waits(name="quotaExceeded") == QUOTA_PAUSE_SECONDS >= 3600


def test_nobody_there(world: GoogleWorld) -> None:
    client = opened(world)
    world.emulator.stop()
    with pytest.raises(Unreachable):
        asked(client)
    client.close()


# retries


def test_reads_are_repeated_and_writes_are_not(world: GoogleWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    client = opened(world, retries=2)
    world.control.fault("error", name="backendError", method="GET", count=2)
    assert asked(client)["items"] == []
    world.control.fault("error", name="backendError", method="POST", count=1)
    body = {"start": {"date": "2027-01-01"}, "end": {"date": "2027-01-02"}}
    with pytest.raises(ServerFault):
        client.write(client.events().insert(calendarId=OPERATOR, body=body))
    methods = [entry["method"] for entry in world.control.requests("/events")]
    assert methods == ["GET", "GET", "GET", "POST"]
    client.close()


def test_a_silent_second_post_is_googles_library_not_ours(world: GoogleWorld, client: GoogleClient) -> None:
    """Why every write must bear being sent twice (PROVIDERS A6)."""
    world.control.fault("commit_then_close", method="POST")
    body = {"id": "abc0123", "start": {"date": "2027-01-01"}, "end": {"date": "2027-01-02"}}
    with pytest.raises(Conflict):
        client.write(client.events().insert(calendarId=OPERATOR, body=body))
    assert [entry["status"] for entry in world.control.requests("/events")] == [200, 409]


# tokens


def test_secrets_are_read_and_written() -> None:
    tokens = Tokens("r", "a", datetime(2027, 1, 1, 12, tzinfo=UTC), ("s1", "s2"))
    assert Tokens.from_secret(tokens.to_secret()) == tokens
    assert json.loads(tokens.to_secret()) == {
        "refresh_token": "r",
        "access_token": "a",
        "expiry": "2027-01-01T12:00:00Z",
        "scopes": ["s1", "s2"],
    }
    assert Tokens.from_secret('{"refresh_token": "r"}') == Tokens("r")


@pytest.mark.parametrize("secret", ["", "{}", "[]", "hunter2", '{"refresh_token": "r", "expiry": "soon"}'])
def test_unreadable_secrets_need_a_reconnect(secret: str) -> None:
    with pytest.raises(NeedsReconnect):
        Tokens.from_secret(secret)


def test_where_tokens_come_from() -> None:
    assert token_uri(Endpoints()) == "https://oauth2.googleapis.com/token"
    assert token_uri(Endpoints(google_oauth_root="http://127.0.0.1:1/")) == "http://127.0.0.1:1/token"


def test_an_old_access_token_is_refreshed_and_handed_back(world: GoogleWorld) -> None:
    client = opened(world, expiry="2026-01-01T00:00:00Z")
    asked(client)
    asked(client)
    assert len(world.control.requests("/token")) == 1
    (saved,) = world.secrets
    assert Tokens.from_secret(saved).expiry > datetime.now(UTC)  # type: ignore[operator]
    assert Tokens.from_secret(saved).scopes
    client.close()


def test_a_token_that_google_no_longer_takes_is_refreshed(world: GoogleWorld, client: GoogleClient) -> None:
    world.control.expire_access()
    asked(client)
    assert len(world.control.requests("/token")) == 1
    assert len(world.secrets) == 1


def test_a_rotated_refresh_token_is_handed_back_even_if_the_call_fails(world: GoogleWorld) -> None:
    world.control.rotate_refresh_tokens()
    client = opened(world, access_token="", expiry="")
    world.control.fault("error", name="forbidden", path="/events$")
    with pytest.raises(Refused):
        asked(client)
    (saved,) = world.secrets
    again = GoogleClient(saved, world.endpoints, world.secrets.append, timeout=5, retries=0)
    assert asked(again)["items"] == []
    for one in (client, again):
        one.close()


def test_a_revoked_grant_needs_a_reconnect(world: GoogleWorld, client: GoogleClient) -> None:
    world.control.revoke(OPERATOR)
    with pytest.raises(NeedsReconnect):
        asked(client)
    assert world.secrets == []


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ({"action": "oauth", "error": "invalid_grant"}, NeedsReconnect),
        ({"action": "oauth", "error": "invalid_scope"}, NeedsReconnect),
        ({"action": "oauth", "error": "invalid_client", "code": 401}, Refused),
        ({"action": "status", "code": 503, "count": 0}, ServerFault),
        ({"action": "status", "code": 400, "body": "<html>a proxy</html>"}, ServerFault),
        ({"action": "close", "count": 0}, Unreachable),
    ],
    ids=str,
)
def test_refreshing_fails(
    world: GoogleWorld, fault: dict[str, Any], expected: type[ConnectorError], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    client = opened(world, access_token="", expiry="")
    world.control.fault(path="^/token$", **fault)
    with pytest.raises(ConnectorError) as caught:
        asked(client)
    assert type(caught.value) is expected, caught.value
    client.close()


def test_a_workspace_session_that_ended_needs_a_reconnect(world: GoogleWorld) -> None:
    client = opened(world, access_token="", expiry="")
    body = json.dumps({"error": "invalid_grant", "error_subtype": "invalid_rapt", "error_description": "reauth"})
    world.control.fault("status", path="^/token$", code=400, body=body)
    with pytest.raises(NeedsReconnect):
        asked(client)
    client.close()


def test_production_is_the_default() -> None:
    client = GoogleClient('{"refresh_token": "r"}', Endpoints(), lambda secret: None, timeout=1, retries=0)
    request = client.events().list(calendarId="x@y.z")
    assert request.uri.startswith("https://www.googleapis.com/calendar/v3/calendars/x%40y.z/events?")
    client.close()
