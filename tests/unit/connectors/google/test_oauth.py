"""Signing in at Google: the whole dance against the emulated sign-in, and all the ways it can fail."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from connectors.errors import BadAnswer, ConnectorError, NeedsReconnect, Refused, ServerFault, Throttled, Unreachable
from connectors.google import oauth as google_oauth
from connectors.oauth import Consent, Granted
from connectors.protocol import Endpoints
from tests.support.google import OPERATOR, GoogleWorld, google_world

BACK = "https://slots.example/connect/google/callback"
API = "https://www.googleapis.com/auth/"


@pytest.fixture
def world() -> Iterator[GoogleWorld]:
    with google_world() as world:
        yield world


def consented(consent: Consent) -> dict[str, str]:
    """What the browser brings back."""
    answer = httpx.get(consent.url, trust_env=False)
    assert answer.status_code == 302, answer.text
    return {k: v[0] for k, v in parse_qs(urlsplit(answer.headers["location"]).query).items()}


def danced(world: GoogleWorld) -> Granted:
    consent = google_oauth.begin(world.endpoints, BACK)
    return google_oauth.finish(world.endpoints, consent.pending, consented(consent))


def test_production_addresses_and_pkce() -> None:
    consent = google_oauth.begin(Endpoints(google_client_id="us"), BACK, "ben@practice.example")
    url = urlsplit(consent.url)
    query = {k: v[0] for k, v in parse_qs(url.query).items()}
    pending = json.loads(consent.pending)
    assert (url.scheme, url.netloc, url.path) == ("https", "accounts.google.com", "/o/oauth2/v2/auth")
    challenge = base64.urlsafe_b64encode(hashlib.sha256(pending["verifier"].encode()).digest()).rstrip(b"=").decode()
    assert query == {
        "response_type": "code",
        "client_id": "us",
        "redirect_uri": BACK,
        "scope": f"openid email {API}calendar.events {API}calendar.calendarlist.readonly",
        "state": pending["state"],
        "nonce": pending["nonce"],
        "access_type": "offline",
        "prompt": "consent",
        "include_granted_scopes": "true",
        "code_challenge": challenge,
        "code_challenge_method": "S256",
        "login_hint": "ben@practice.example",
    }
    assert pending["verifier"] not in consent.url
    assert json.loads(google_oauth.begin(Endpoints(google_client_id="us"), BACK).pending)["state"] != pending["state"]


def test_without_a_client_id_nothing_begins() -> None:
    with pytest.raises(Refused):
        google_oauth.begin(Endpoints(), BACK)


def test_the_whole_dance_gives_a_working_secret(world: GoogleWorld) -> None:
    granted = danced(world)
    assert granted.email == OPERATOR
    assert granted.account.isdigit()
    assert API + "calendar.events" in granted.scopes
    secret = json.loads(granted.secret)
    expiry = datetime.fromisoformat(secret["expiry"])
    assert 3500 < (expiry - datetime.now(UTC)).total_seconds() < 3700
    connector = world.connect_with(granted.secret)
    assert connector.calendars()[0].href == OPERATOR
    assert world.secrets == [], "the fresh access token was used"
    assert not world.control.requests("/token")[1:], "one exchange, no refresh"


def test_state_and_refusals(world: GoogleWorld) -> None:
    consent = google_oauth.begin(world.endpoints, BACK)
    back = consented(consent)
    for query in ({**back, "state": "other"}, {"code": back["code"]}, {"state": back["state"]}):
        with pytest.raises(Refused):
            google_oauth.finish(world.endpoints, consent.pending, query)
    for pending in ("", "[]", "{}", "no json"):
        with pytest.raises(Refused):
            google_oauth.finish(world.endpoints, pending, back)
    world.control.consent(denied=True)
    denied = google_oauth.begin(world.endpoints, BACK)
    with pytest.raises(Refused, match="access_denied"):
        google_oauth.finish(world.endpoints, denied.pending, consented(denied))


@pytest.mark.parametrize("missing", ["calendar.events", "calendar.calendarlist.readonly"])
def test_unticked_permissions_are_named(world: GoogleWorld, missing: str) -> None:
    world.control.consent(scopes=[s for s in google_oauth.SCOPES if not s.endswith(missing)])
    with pytest.raises(Refused, match=missing):
        danced(world)


def test_a_code_is_good_once(world: GoogleWorld) -> None:
    consent = google_oauth.begin(world.endpoints, BACK)
    back = consented(consent)
    google_oauth.finish(world.endpoints, consent.pending, back)
    with pytest.raises(NeedsReconnect):
        google_oauth.finish(world.endpoints, consent.pending, back)


def test_somebody_elses_verifier_is_refused(world: GoogleWorld) -> None:
    consent = google_oauth.begin(world.endpoints, BACK)
    pending = json.dumps(json.loads(consent.pending) | {"verifier": "stolen"})
    with pytest.raises(NeedsReconnect):
        google_oauth.finish(world.endpoints, pending, consented(consent))


def test_a_wrong_client_secret_is_our_fault(world: GoogleWorld) -> None:
    consent = google_oauth.begin(world.endpoints, BACK)
    wrong = replace(world.endpoints, google_client_secret="wrong")
    with pytest.raises(Refused, match="invalid_client"):
        google_oauth.finish(wrong, consent.pending, consented(consent))


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ({"action": "close"}, Unreachable),
        ({"action": "truncate"}, Unreachable),
        ({"action": "garbage"}, Unreachable),
        ({"action": "html"}, Unreachable),
        ({"action": "status", "code": 503}, ServerFault),
        ({"action": "status", "code": 429, "retry_after": 9}, Throttled),
        ({"action": "status", "code": 302}, Refused),
        ({"action": "oauth", "error": "invalid_grant"}, NeedsReconnect),
        ({"action": "oauth", "error": "unauthorized_client"}, Refused),
    ],
    ids=str,
)
def test_failing_exchanges(world: GoogleWorld, fault: dict[str, Any], expected: type[ConnectorError]) -> None:
    consent = google_oauth.begin(world.endpoints, BACK)
    back = consented(consent)
    world.control.fault(path="^/token$", **fault)
    with pytest.raises(expected) as caught:
        google_oauth.finish(world.endpoints, consent.pending, back)
    assert type(caught.value) is expected
    if isinstance(caught.value, Throttled):
        assert caught.value.retry_after == 9


def finish_with(monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any], date: str | None = None) -> Granted:
    """End a consent whose token endpoint says this."""

    def reply(request: httpx.Request) -> httpx.Response:
        assert request.url == "https://oauth2.googleapis.com/token"
        headers = {"date": date} if date else {}
        return httpx.Response(200, json=answer, headers=headers)

    real = httpx.Client
    monkeypatch.setattr(httpx, "Client", lambda **_: real(transport=httpx.MockTransport(reply)))
    endpoints = Endpoints(google_client_id="us", google_client_secret="x")
    pending = json.dumps({"state": "s", "nonce": "n", "verifier": "v", "redirect_uri": BACK})
    return google_oauth.finish(endpoints, pending, {"state": "s", "code": "c"})


def answer_with(**claims: Any) -> dict[str, Any]:
    good = {"iss": "https://accounts.google.com", "aud": "us", "sub": "7", "nonce": "n", "exp": 2_000_000_000}
    payload = base64.urlsafe_b64encode(json.dumps(good | {"email": "Ben@X.example"} | claims).encode()).rstrip(b"=")
    return {
        "access_token": "a",
        "refresh_token": "r",
        "expires_in": 3600,
        "scope": " ".join(google_oauth.SCOPES),
        "id_token": f"e30.{payload.decode()}.c2ln",
    }


TODAY = "Mon, 23 Nov 2026 12:00:00 GMT"


def test_the_servers_own_clock_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    granted = finish_with(monkeypatch, answer_with(), TODAY)
    assert (granted.account, granted.email) == ("7", "ben@x.example")
    assert json.loads(granted.secret)["expiry"] == "2026-11-23T13:00:00Z"


def test_without_a_date_only_the_refresh_token_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = json.loads(finish_with(monkeypatch, answer_with()).secret)
    assert (secret["refresh_token"], secret["access_token"], secret["expiry"]) == ("r", "", "")


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://evil.example"},
        {"aud": "somebody else"},
        {"nonce": "another"},
        {"sub": ""},
        {"exp": 1_700_000_000},
        {"exp": "soon"},
    ],
    ids=str,
)
def test_id_tokens_for_others_are_refused(monkeypatch: pytest.MonkeyPatch, claims: dict[str, Any]) -> None:
    with pytest.raises(BadAnswer):
        finish_with(monkeypatch, answer_with(**claims), TODAY)


@pytest.mark.parametrize("without", ["id_token", "refresh_token"])
def test_incomplete_answers(monkeypatch: pytest.MonkeyPatch, without: str) -> None:
    answer = answer_with()
    del answer[without]
    with pytest.raises(BadAnswer):
        finish_with(monkeypatch, answer, TODAY)


def test_revoke_is_idempotent(world: GoogleWorld) -> None:
    granted = danced(world)
    google_oauth.revoke(world.endpoints, granted.secret)
    google_oauth.revoke(world.endpoints, granted.secret)
    world.control.expire_access()
    with pytest.raises(NeedsReconnect):
        world.connect_with(granted.secret).calendars()
    world.control.fault("status", path="^/revoke$", code=503)
    with pytest.raises(ServerFault):
        google_oauth.revoke(world.endpoints, granted.secret)
