"""Signing in at Microsoft: MSAL unmodified, against the emulated login service."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from connectors import oauth
from connectors.errors import ConnectorError, NeedsReconnect, Refused, ServerFault, Throttled, Unreachable
from connectors.microsoft.oauth import begin, finish
from connectors.oauth import Granted
from tests.support.microsoft import CLIENT_ID, OPERATOR, MicrosoftWorld, microsoft_world

BACK = "https://slots.example/connect/microsoft/back"


@pytest.fixture
def world() -> Iterator[MicrosoftWorld]:
    with microsoft_world() as world:
        yield world


def consent(url: str) -> dict[str, str]:
    """What the browser brings back."""
    answer = httpx.get(url, trust_env=False, follow_redirects=False)
    assert answer.status_code == 302, answer.text
    assert answer.headers["location"].startswith(BACK)
    return dict(parse_qsl(urlsplit(answer.headers["location"]).query))


def granted(world: MicrosoftWorld) -> Granted:
    begun = begin(world.endpoints, BACK)
    return finish(world.endpoints, begun.pending, consent(begun.url))


def asked(world: MicrosoftWorld) -> list[dict[str, str]]:
    return [dict(parse_qsl(r["body"])) for r in world.control.requests() if r["path"].endswith("/token")]


def test_consent_and_exchange(world: MicrosoftWorld) -> None:
    begun = oauth.begin("microsoft", world.endpoints, BACK, login_hint=OPERATOR)
    query = dict(parse_qsl(urlsplit(begun.url).query))
    assert begun.url.startswith(world.emulator.authority + "/common/oauth2/v2.0/authorize?")
    assert (query["code_challenge_method"], query["redirect_uri"]) == ("S256", BACK)
    assert (query["prompt"], query["login_hint"]) == ("select_account", OPERATOR)
    assert {"Calendars.ReadWrite", "User.Read", "offline_access"} <= set(query["scope"].split())
    result = oauth.finish("microsoft", world.endpoints, begun.pending, consent(begun.url))
    assert result.account == world.control.state()["accounts"][0]["account"]
    assert result.email == OPERATOR
    assert {"Calendars.ReadWrite", "User.Read"} <= set(result.scopes)
    assert len(world.connect_with(result.secret).calendars()) == 3


def test_a_good_token_needs_no_call(world: MicrosoftWorld) -> None:
    secret = granted(world).secret
    world.control.clear_requests()
    world.connect_with(secret).calendars()
    assert world.paths() == ["GET /v1.0/me/calendars"]
    assert world.secrets == []


def test_a_state_of_somebody_else_is_refused(world: MicrosoftWorld) -> None:
    begun = begin(world.endpoints, BACK)
    back = {**consent(begun.url), "state": "forged"}
    with pytest.raises(Refused):
        finish(world.endpoints, begun.pending, back)
    for pending in ("", "[]", "{}", "nonsense"):
        with pytest.raises(ConnectorError):
            finish(world.endpoints, pending, back)
    assert asked(world) == []


def test_a_code_works_once(world: MicrosoftWorld) -> None:
    begun = begin(world.endpoints, BACK)
    back = consent(begun.url)
    finish(world.endpoints, begun.pending, back)
    with pytest.raises(NeedsReconnect):
        finish(world.endpoints, begun.pending, back)


def test_the_verifier_is_bound_to_the_browser(world: MicrosoftWorld) -> None:
    first, second = begin(world.endpoints, BACK), begin(world.endpoints, BACK)
    stolen = {**consent(first.url), "state": json.loads(second.pending)["state"]}
    with pytest.raises(NeedsReconnect):
        finish(world.endpoints, second.pending, stolen)


def test_declined_consent(world: MicrosoftWorld) -> None:
    world.control.login(denied=True)
    begun = begin(world.endpoints, BACK)
    with pytest.raises(Refused):
        finish(world.endpoints, begun.pending, consent(begun.url))


def test_consent_to_too_little(world: MicrosoftWorld) -> None:
    world.control.login(scopes="User.Read Calendars.Read")
    with pytest.raises(Refused, match="calendar"):
        granted(world)


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "99999999-2222-3333-4444-555555555555"},
        {"iss": "https://login.microsoftonline.com/00000000-0000-0000-0000-000000000000/v2.0"},
        {"iss": "https://evil.example/v2.0"},
        {"exp": int(time.time()) - 4000},
        {"exp": "soon"},
        {"tid": "not-a-guid"},
        {"tid": ""},
        {"oid": ""},
        {"nonce": "another"},
    ],
)
def test_an_id_token_that_was_not_made_for_us(world: MicrosoftWorld, claims: dict[str, Any]) -> None:
    world.control.login(claims=claims)
    with pytest.raises(Refused):
        granted(world)


def test_a_single_tenant_takes_its_own_people_only(world: MicrosoftWorld) -> None:
    tid = world.control.state()["accounts"][0]["account"].split(".")[0]
    for tenant, fits in ((tid, True), ("00000000-1111-2222-3333-444444444444", False)):
        endpoints = replace(world.endpoints, microsoft_tenant=tenant)
        begun = begin(endpoints, BACK)
        assert f"/{tenant}/oauth2" in begun.url
        if fits:
            assert finish(endpoints, begun.pending, consent(begun.url)).account.startswith(tid)
        else:
            with pytest.raises(Refused):
                finish(endpoints, begun.pending, consent(begun.url))


def test_an_expired_token_is_refreshed_and_the_cache_handed_on(world: MicrosoftWorld) -> None:
    secret = granted(world).secret
    world.control.expire_access_tokens()
    connector = world.connect_with(secret)
    connector.calendars()
    connector.calendars()
    assert [form["grant_type"] for form in asked(world)] == ["authorization_code", "refresh_token"]
    (rotated,) = world.secrets
    old, new = (json.loads(text)["RefreshToken"] for text in (secret, rotated))
    assert [entry["secret"] for entry in old.values()] != [entry["secret"] for entry in new.values()]
    world.control.clear_requests()
    world.connect_with(rotated).calendars()
    assert world.paths() == ["GET /v1.0/me/calendars"]


def test_a_token_known_to_be_expired_is_not_tried(world: MicrosoftWorld) -> None:
    cache = json.loads(granted(world).secret)
    for entry in cache["AccessToken"].values():
        entry["expires_on"] = str(int(time.time()) - 5)
    world.control.clear_requests()
    world.connect_with(json.dumps(cache)).calendars()
    assert [path for path in world.paths() if "v1.0" in path] == ["GET /v1.0/me/calendars"]
    assert len(asked(world)) == 1


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ({"action": "oauth", "error": "invalid_grant"}, NeedsReconnect),
        ({"action": "oauth", "error": "interaction_required"}, NeedsReconnect),
        ({"action": "oauth", "error": "invalid_request", "suberror": "consent_required"}, NeedsReconnect),
        ({"action": "oauth", "error": "invalid_client"}, Refused),
        ({"action": "oauth", "error": "temporarily_unavailable"}, ServerFault),
        ({"action": "status", "status": 503}, ServerFault),
        ({"action": "status", "status": 429, "retry_after": "12"}, Throttled),
        ({"action": "html"}, ServerFault),
        ({"action": "close"}, Unreachable),
        ({"action": "truncate"}, Unreachable),
    ],
)
def test_faults_of_a_refresh(world: MicrosoftWorld, fault: dict[str, Any], kind: type[ConnectorError]) -> None:
    secret = granted(world).secret
    world.control.expire_access_tokens()
    world.control.add_fault(path="/token", **fault)
    connector = world.connect_with(secret)
    with pytest.raises(kind) as caught:
        connector.calendars()
    if isinstance(caught.value, Throttled):
        assert caught.value.retry_after == 12.0
    assert len(connector.calendars()) == 3, "MSAL must not remember the failure"


def test_faults_of_discovery(world: MicrosoftWorld) -> None:
    world.control.add_fault("status", path="openid-configuration", status=503)
    with pytest.raises(ServerFault):
        begin(world.endpoints, BACK)
    world.control.add_fault("close", path="openid-configuration")
    with pytest.raises(Unreachable):
        begin(world.endpoints, BACK)


def test_a_revoked_account_needs_a_person(world: MicrosoftWorld) -> None:
    secret = granted(world).secret
    world.control.revoke()
    with pytest.raises(NeedsReconnect):
        world.connect_with(secret).calendars()


@pytest.mark.parametrize("secret", ["", "{}", "[]", "nonsense", '{"Account": {}}'])
def test_a_cache_that_cannot_be_read(world: MicrosoftWorld, secret: str) -> None:
    with pytest.raises(NeedsReconnect):
        world.connect_with(secret)


def test_msal_asks_nobody_else(world: MicrosoftWorld) -> None:
    """No instance discovery: it would leave this machine."""
    secret = granted(world).secret
    world.control.revoke()
    with pytest.raises(NeedsReconnect):
        world.connect_with(secret).calendars()
    assert not any("discovery/instance" in path for path in world.paths())
    assert {form["client_id"] for form in asked(world)} == {CLIENT_ID}
