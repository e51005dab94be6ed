"""Sign-in at the emulator, and what a token may do (G-12). The product's side of it is tested in test_google_oauth.

Covers: connectors.emulators.google.oauth.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from connectors.emulators.google.discovery import methods
from tests.support.google import OPERATOR, TEAM, GoogleWorld, RawGoogle, google_world, reason

API = "https://www.googleapis.com/auth/"
BACK = "https://slots.example/connect/google/callback"


@pytest.fixture
def world() -> Iterator[GoogleWorld]:
    with google_world() as world:
        yield world


@pytest.fixture
def web(world: GoogleWorld) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=world.emulator.base_url, trust_env=False) as web:
        yield web


def authorize(world: GoogleWorld, web: httpx.Client, **changes: str) -> dict[str, str]:
    query = {
        "response_type": "code",
        "client_id": world.emulator.client_id,
        "redirect_uri": BACK,
        "scope": f"openid email {API}calendar.events",
        "state": "s1",
        "access_type": "offline",
        "prompt": "consent",
    }
    answer = web.get("/o/oauth2/v2/auth", params=query | changes)
    assert answer.status_code == 302, answer.text
    assert answer.headers["location"].startswith(BACK + "?")
    return {k: v[0] for k, v in parse_qs(urlsplit(answer.headers["location"]).query).items()}


def exchange(world: GoogleWorld, web: httpx.Client, code: str, **changes: str) -> httpx.Response:
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": BACK,
        "client_id": world.emulator.client_id,
        "client_secret": world.emulator.client_secret,
    }
    return web.post("/token", data=form | changes)


def refresh(world: GoogleWorld, web: httpx.Client, token: str, **changes: str) -> httpx.Response:
    return exchange(world, web, "", grant_type="refresh_token", refresh_token=token, **changes)


def error(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]


def test_code_for_tokens_once(world: GoogleWorld, web: httpx.Client) -> None:
    back = authorize(world, web)
    assert back["state"] == "s1"
    tokens = exchange(world, web, back["code"]).json()
    assert set(tokens) == {"access_token", "expires_in", "refresh_token", "scope", "token_type", "id_token"}
    assert error(exchange(world, web, back["code"])) == (400, "invalid_grant")
    me = web.get("/v3/userinfo", headers={"Authorization": f"Bearer {tokens['access_token']}"}).json()
    assert me["email"] == OPERATOR
    again = refresh(world, web, tokens["refresh_token"]).json()
    assert "refresh_token" not in again, "normally there is no new one"
    assert again["access_token"] != tokens["access_token"]


def test_pkce_is_enforced(world: GoogleWorld, web: httpx.Client) -> None:
    verifier = "v" * 43
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    asked = {"code_challenge": challenge, "code_challenge_method": "S256"}
    code = authorize(world, web, **asked)["code"]
    assert error(exchange(world, web, code)) == (400, "invalid_grant")
    code = authorize(world, web, **asked)["code"]
    assert exchange(world, web, code, code_verifier=verifier).status_code == 200
    assert authorize(world, web, code_challenge=verifier, code_challenge_method="plain")["error"] == "invalid_request"


def test_a_refresh_token_comes_with_the_first_consent_or_when_asked(world: GoogleWorld, web: httpx.Client) -> None:
    def brings_one(**changes: str) -> bool:
        code = authorize(world, web, **changes)["code"]
        return "refresh_token" in exchange(world, web, code).json()

    assert brings_one(prompt="")
    assert not brings_one(prompt="")
    assert brings_one(prompt="consent")
    assert not brings_one(prompt="consent", access_type="online")


def test_wrong_clients_and_addresses(world: GoogleWorld, web: httpx.Client) -> None:
    assert web.get("/o/oauth2/v2/auth", params={"client_id": "somebody"}).status_code == 401
    code = authorize(world, web)["code"]
    assert error(exchange(world, web, code, client_secret="wrong")) == (401, "invalid_client")
    assert error(exchange(world, web, code, redirect_uri="https://evil.example")) == (400, "invalid_grant")


def test_denied_and_unticked(world: GoogleWorld, web: httpx.Client) -> None:
    world.control.consent(denied=True)
    assert authorize(world, web)["error"] == "access_denied"
    world.control.consent(scopes=["openid", "email"])
    tokens = exchange(world, web, authorize(world, web)["code"]).json()
    assert tokens["scope"] == "openid email"
    narrow = refresh(world, web, tokens["refresh_token"], scope=API + "calendar.events")
    assert error(narrow) == (400, "invalid_scope")


def test_revoked_by_us_or_by_them(world: GoogleWorld, web: httpx.Client) -> None:
    first, second = (world.control.grant(OPERATOR) for _ in range(2))
    assert web.post("/revoke", data={"token": first["access_token"]}).status_code == 200
    assert error(web.post("/revoke", data={"token": first["refresh_token"]})) == (400, "invalid_token")
    assert error(refresh(world, web, first["refresh_token"])) == (400, "invalid_grant")
    assert refresh(world, web, second["refresh_token"]).status_code == 200
    assert world.control.revoke(OPERATOR) == 1
    assert error(refresh(world, web, second["refresh_token"])) == (400, "invalid_grant")


def test_rotation_by_a_switch(world: GoogleWorld, web: httpx.Client) -> None:
    world.control.rotate_refresh_tokens()
    token = world.control.grant(OPERATOR)["refresh_token"]
    following = refresh(world, web, token).json()["refresh_token"]
    assert following != token
    assert error(refresh(world, web, token)) == (400, "invalid_grant")


def test_id_tokens_are_signed(world: GoogleWorld, web: httpx.Client) -> None:
    token = exchange(world, web, authorize(world, web, nonce="n1")["code"]).json()["id_token"]
    head, payload, signature = token.split(".")

    def decoded(text: str) -> bytes:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))

    (key,) = web.get("/oauth2/v3/certs").json()["keys"]
    numbers = [int.from_bytes(decoded(key[part]), "big") for part in ("e", "n")]
    public = rsa.RSAPublicNumbers(*numbers).public_key()
    public.verify(decoded(signature), f"{head}.{payload}".encode(), padding.PKCS1v15(), hashes.SHA256())
    claims: dict[str, Any] = json.loads(decoded(payload))
    assert claims["nonce"] == "n1"
    assert claims["aud"] == world.emulator.client_id
    assert claims["iss"] == "https://accounts.google.com"


# G-12


def test_g12_tokens_are_good_for_a_time(world: GoogleWorld) -> None:
    raw = RawGoogle(world)
    assert raw.events().status_code == 200
    world.control.advance(3600)
    assert reason(raw.events()) == (401, "authError")
    raw.close()


@pytest.mark.parametrize(
    ("scope", "allowed", "refused"),
    [
        ("calendar.events", "/calendars/{c}/events", "/users/me/calendarList"),
        ("calendar.calendarlist.readonly", "/users/me/calendarList", "/calendars/{c}/events"),
        ("calendar.events.readonly", "/calendars/{c}/events", "/users/me/calendarList/{c}"),
        ("calendar.freebusy", "", "/calendars/{c}/events"),
    ],
)
def test_g12_scopes_of_the_discovery_document(world: GoogleWorld, scope: str, allowed: str, refused: str) -> None:
    raw = RawGoogle(world, scopes=[API + scope])
    if allowed:
        assert raw.http.get("/calendar/v3" + allowed.format(c=TEAM)).status_code == 200
    assert reason(raw.http.get("/calendar/v3" + refused.format(c=TEAM))) == (403, "insufficientPermissions")
    if scope == "calendar.events.readonly":
        assert reason(raw.events("POST", json={})) == (403, "insufficientPermissions")
    raw.close()


def test_every_method_of_the_document_is_routed_with_its_scopes() -> None:
    by_id = {method.id: method for method in methods()}
    assert len(by_id) > 35
    assert API + "calendar.events" not in by_id["calendar.freebusy.query"].scopes
    assert all(method.scopes for method in by_id.values())
