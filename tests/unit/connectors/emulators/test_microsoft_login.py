"""The emulated login service. Covers: connectors.emulators.microsoft.login"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import jwt
import pytest

from tests.support.microsoft import CLIENT_ID, OPERATOR, MicrosoftWorld, microsoft_world

BACK = "https://slots.example/back"
VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")


@pytest.fixture
def world() -> Iterator[MicrosoftWorld]:
    with microsoft_world(strict=False) as world:
        yield world


@pytest.fixture
def login(world: MicrosoftWorld) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=world.emulator.authority, trust_env=False) as client:
        yield client


def code(login: httpx.Client, **changes: str) -> dict[str, str]:
    asked = {
        "client_id": CLIENT_ID,
        "response_type": "code",
        "redirect_uri": BACK,
        "scope": "Calendars.ReadWrite User.Read offline_access openid profile",
        "state": "s1",
        "nonce": "n1",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
        **changes,
    }
    answer = login.get("/common/oauth2/v2.0/authorize", params=asked)
    assert answer.status_code == 302, answer.text
    return dict(parse_qsl(urlsplit(answer.headers["location"]).query))


def exchange(login: httpx.Client, given: str, **changes: str) -> httpx.Response:
    form = {
        "grant_type": "authorization_code",
        "client_id": CLIENT_ID,
        "client_secret": "secret",
        "code": given,
        "redirect_uri": BACK,
        "code_verifier": VERIFIER,
        **changes,
    }
    return login.post("/common/oauth2/v2.0/token", data=form)


def refresh(login: httpx.Client, token: str, **changes: str) -> httpx.Response:
    form = {"grant_type": "refresh_token", "client_id": CLIENT_ID, "refresh_token": token, **changes}
    return login.post("/common/oauth2/v2.0/token", data=form)


def test_discovery_names_production(login: httpx.Client) -> None:
    found = login.get("/common/v2.0/.well-known/openid-configuration").json()
    assert found["issuer"] == "https://login.microsoftonline.com/{tenantid}/v2.0"
    assert found["token_endpoint"] == "https://login.microsoftonline.com/common/oauth2/v2.0/token"
    tid = "0aad0000-0000-0000-0000-000000000000"
    found = login.get(f"/{tid}/v2.0/.well-known/openid-configuration").json()
    assert found["issuer"] == f"https://login.microsoftonline.com/{tid}/v2.0"


def test_instance_discovery_must_not_be_asked(login: httpx.Client) -> None:
    answer = login.get("/common/discovery/instance")
    assert answer.status_code == 500
    assert "must not be called" in answer.text


def test_the_code_flow(world: MicrosoftWorld, login: httpx.Client) -> None:
    back = code(login)
    assert back["state"] == "s1"
    given = exchange(login, back["code"]).json()
    assert {"Calendars.ReadWrite", "User.Read"} <= set(given["scope"].split())
    (key,) = login.get("/common/discovery/v2.0/keys").json()["keys"]
    claims: dict[str, Any] = jwt.decode(given["id_token"], jwt.PyJWK(key).key, algorithms=["RS256"], audience=CLIENT_ID)
    assert (claims["nonce"], claims["preferred_username"]) == ("n1", OPERATOR)
    assert claims["iss"] == f"https://login.microsoftonline.com/{claims['tid']}/v2.0"
    assert f"{claims['tid']}.{claims['oid']}" == world.control.state()["accounts"][0]["account"]
    answer = login.get("/v1.0/me", headers={"Authorization": f"Bearer {given['access_token']}"})
    assert answer.json()["mail"] == OPERATOR


@pytest.mark.parametrize(
    "changes",
    [{"code_verifier": "w" * 43}, {"redirect_uri": "https://evil.example/"}, {"client_id": "another"}, {"code": "x"}],
)
def test_a_code_is_bound(login: httpx.Client, changes: dict[str, str]) -> None:
    answer = exchange(login, code(login)["code"], **changes)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")


def test_a_code_works_once(login: httpx.Client) -> None:
    given = code(login)["code"]
    assert exchange(login, given).status_code == 200
    assert exchange(login, given).json()["error"] == "invalid_grant"


def test_refresh_tokens_rotate_and_may_be_revoked(world: MicrosoftWorld, login: httpx.Client) -> None:
    first = exchange(login, code(login)["code"]).json()
    second = refresh(login, first["refresh_token"]).json()
    assert second["refresh_token"] != first["refresh_token"]
    assert refresh(login, first["refresh_token"]).status_code == 200, "the old one isn't revoked at once"
    assert refresh(login, first["refresh_token"], client_id="another").json()["error"] == "invalid_grant"
    more = refresh(login, first["refresh_token"], scope="Calendars.ReadWrite Mail.Read")
    assert more.json()["suberror"] == "consent_required"
    less = refresh(login, first["refresh_token"], scope="Calendars.ReadWrite").json()
    assert "User.Read" not in less["scope"].split()
    world.control.revoke()
    for given in (first, second):
        assert refresh(login, given["refresh_token"]).json()["error"] == "invalid_grant"
        answer = login.get("/v1.0/me", headers={"Authorization": f"Bearer {given['access_token']}"})
        assert answer.status_code == 401


def test_access_tokens_end(world: MicrosoftWorld, login: httpx.Client) -> None:
    given = exchange(login, code(login)["code"]).json()
    bearer = {"Authorization": f"Bearer {given['access_token']}"}
    world.control.advance(given["expires_in"] - 60)
    assert login.get("/v1.0/me", headers=bearer).status_code == 200
    world.control.advance(61)
    assert login.get("/v1.0/me", headers=bearer).status_code == 401


def test_a_chooser_for_people(world: MicrosoftWorld, login: httpx.Client) -> None:
    world.control.add_account("second@practice.example")
    world.control.login(chooser=True)
    asked = {"client_id": CLIENT_ID, "response_type": "code", "redirect_uri": BACK, "scope": "User.Read", "state": "s"}
    page = login.get("/common/oauth2/v2.0/authorize", params=asked)
    assert page.status_code == 200
    assert "second@practice.example" in page.text
    link = page.text.split('<a href="')[2].split('"')[0].replace("&amp;", "&")
    given = dict(parse_qsl(urlsplit(login.get(link).headers["location"]).query))["code"]
    token = exchange(login, given, code_verifier="").json()["access_token"]
    assert login.get("/v1.0/me", headers={"Authorization": f"Bearer {token}"}).json()["mail"].startswith("second@")
    world.control.login(chooser=False)
    assert "code" in code(login, login_hint="second@practice.example")


def test_what_may_go_wrong(world: MicrosoftWorld, login: httpx.Client) -> None:
    assert login.get("/common/oauth2/v2.0/authorize").status_code == 400
    assert login.post("/common/oauth2/v2.0/token", data={}).json()["error"] == "invalid_client"
    odd = {"client_id": CLIENT_ID, "grant_type": "password"}
    assert login.post("/common/oauth2/v2.0/token", data=odd).json()["error"] == "unsupported_grant_type"
    assert login.get("/common/nothing").status_code == 404
    world.control.login(denied=True)
    assert code(login)["error"] == "access_denied"
    world.control.add_fault("oauth", path="/token", error="interaction_required", suberror="consent_required")
    answer = refresh(login, "x").json()
    assert (answer["error"], answer["suberror"]) == ("interaction_required", "consent_required")
