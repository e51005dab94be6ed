"""Signing in at Google: consent with PKCE, exchange, revocation (PROVIDERS A10). Refreshing is google-auth's work.

The clock is the ``Date`` of the server that issued the tokens, so that nothing here needs one of its own.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlencode

import httpx

from connectors.errors import BadAnswer, ConnectorError, NeedsReconnect, Refused, ServerFault, Throttled, Unreachable
from connectors.google.client import Tokens, token_uri
from connectors.oauth import Consent, Granted
from connectors.protocol import Endpoints

_API = "https://www.googleapis.com/auth/"
CALENDAR_SCOPES = (_API + "calendar.events", _API + "calendar.calendarlist.readonly")
"""Without either nothing works; people can untick each on the consent page."""
SCOPES = ("openid", "email", *CALENDAR_SCOPES)
"""Asked for: the least that names the account, lists its calendars and reads and writes events."""
_ISSUERS = frozenset({"https://accounts.google.com", "accounts.google.com"})
_TIMEOUT = 20.0
_SKEW = timedelta(minutes=5)


IDENTITY_SCOPES = ("openid", "email")
"""Asked for to sign in."""


def begin(endpoints: Endpoints, redirect_uri: str, login_hint: str = "", *, identity_only: bool = False) -> Consent:
    """Begin a consent (authorization code, PKCE S256). redirect_uri: exactly as registered at Google.

    ``prompt=consent`` because a refresh token is given with the first consent only, unless asked anew.
    """
    if not endpoints.google_client_id:
        raise Refused("no Google client id is configured")
    state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
    challenge = _base64url(hashlib.sha256(verifier.encode()).digest())
    parameters = {
        "response_type": "code",
        "client_id": endpoints.google_client_id,
        "redirect_uri": redirect_uri,
        "scope": " ".join(IDENTITY_SCOPES if identity_only else SCOPES),
        "state": state,
        "nonce": nonce,
        **(
            {"prompt": "select_account"}
            if identity_only
            else {"access_type": "offline", "prompt": "consent", "include_granted_scopes": "true"}
        ),
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    if login_hint:
        parameters["login_hint"] = login_hint
    pending = {"state": state, "nonce": nonce, "verifier": verifier, "redirect_uri": redirect_uri}
    if identity_only:
        pending["only"] = "identity"
    return Consent(f"{_authorize_uri(endpoints)}?{urlencode(parameters)}", json.dumps(pending))


def finish(endpoints: Endpoints, pending: str, query: Mapping[str, str]) -> Granted:
    """End a consent. account: the id token's ``sub``. Raises as `connectors.oauth.finish` says."""
    begun = _begun(pending)
    if not secrets.compare_digest(str(query.get("state", "")), str(begun["state"])):
        raise Refused("the consent's state does not fit")
    if query.get("error"):
        raise Refused(f"the consent was not given: {query['error']}")
    if not query.get("code"):
        raise Refused("the consent brought no code")
    answer = _posted(
        token_uri(endpoints),
        {
            "grant_type": "authorization_code",
            "code": query["code"],
            "redirect_uri": begun["redirect_uri"],
            "client_id": endpoints.google_client_id,
            "client_secret": endpoints.google_client_secret,
            "code_verifier": begun["verifier"],
        },
    )
    scopes = tuple(str(answer.body.get("scope", "")).split())
    claims = _claims(answer, endpoints.google_client_id, begun["nonce"])
    account, email = str(claims["sub"]), str(claims.get("email", "")).lower()
    if begun["only"] == "identity":
        return Granted(account, email, "", scopes, verified=claims.get("email_verified") is True)
    missing = [scope.removeprefix(_API) for scope in CALENDAR_SCOPES if scope not in scopes]
    if missing:
        raise Refused(f"these permissions were not given: {', '.join(missing)}")
    return Granted(account, email, _secret(answer, scopes), scopes, verified=claims.get("email_verified") is True)


def revoke(endpoints: Endpoints, secret: str) -> None:
    """Give the grant back; one that is no longer good is success. Raises `Unreachable`, `ServerFault`, `Throttled`."""
    root = endpoints.google_oauth_root.rstrip("/")
    address = f"{root}/revoke" if root else "https://oauth2.googleapis.com/revoke"
    try:
        _posted(address, {"token": Tokens.from_secret(secret).refresh_token})
    except (NeedsReconnect, Refused):
        return


@dataclass(frozen=True, slots=True)
class _Answer:
    body: Mapping[str, Any]
    at: datetime | None


def _authorize_uri(endpoints: Endpoints) -> str:
    return f"{endpoints.google_oauth_root.rstrip('/') or 'https://accounts.google.com'}/o/oauth2/v2/auth"


def _begun(pending: str) -> dict[str, str]:
    try:
        begun = json.loads(pending)
        needed = {name: str(begun[name]) for name in ("state", "nonce", "verifier", "redirect_uri")}
        return {**needed, "only": str(begun.get("only", ""))}
    except (ValueError, KeyError, TypeError) as error:
        raise Refused("the consent was not begun here") from error


def _posted(address: str, form: Mapping[str, str]) -> _Answer:
    try:
        with httpx.Client(timeout=_TIMEOUT, trust_env=False, follow_redirects=False) as client:
            response = client.post(address, data=dict(form), headers={"Accept": "application/json"})
    except httpx.HTTPError as error:
        raise Unreachable(f"the token endpoint can't be reached: {type(error).__name__}") from error
    try:
        body = response.json()
    except ValueError:
        body = None
    if response.status_code != 200:
        raise _refusal(response, body if isinstance(body, dict) else {})
    if not isinstance(body, dict):
        raise Unreachable("the token endpoint's answer was cut off or isn't JSON")
    return _Answer(body, _date(response))


def _refusal(response: httpx.Response, body: Mapping[str, Any]) -> ConnectorError:
    status, code = response.status_code, str(body.get("error", ""))
    if status == 429:
        wait = response.headers.get("retry-after", "")
        return Throttled(code, status=status, retry_after=float(wait) if wait.isdigit() else None)
    if status >= 500:
        return ServerFault(code, status=status)
    if code == "invalid_grant":
        return NeedsReconnect("the code or grant is no longer good", status=status)
    return Refused(f"the token endpoint refused: {code or status}", status=status)


def _date(response: httpx.Response) -> datetime | None:
    try:
        return parsedate_to_datetime(response.headers.get("date", "")).astimezone(UTC)
    except (ValueError, TypeError):
        return None


def _claims(answer: _Answer, client_id: str, nonce: str) -> Mapping[str, Any]:
    """The id token's claims. It came straight from the token endpoint, so its signature need not be looked at
    (OpenID Connect Core §3.1.3.7); audience, issuer, nonce and expiry are."""
    try:
        payload = str(answer.body["id_token"]).split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        expires = datetime.fromtimestamp(int(claims["exp"]), UTC)
        fits = (
            claims["iss"] in _ISSUERS
            and claims["aud"] == client_id
            and claims["nonce"] == nonce
            and bool(claims["sub"])
            and (answer.at is None or answer.at < expires + _SKEW)
        )
    except (KeyError, IndexError, ValueError, TypeError) as error:
        raise BadAnswer("the id token can't be read") from error
    if not fits:
        raise BadAnswer("the id token is not for this consent")
    result: Mapping[str, Any] = claims
    return result


def _secret(answer: _Answer, scopes: tuple[str, ...]) -> str:
    refresh_token = str(answer.body.get("refresh_token", ""))
    if not refresh_token:
        raise BadAnswer("Google gave no refresh token")
    tokens = Tokens(refresh_token, scopes=scopes)
    if answer.at is not None and str(answer.body.get("expires_in", "")).isdigit():
        expiry = answer.at + timedelta(seconds=int(answer.body["expires_in"]))
        tokens = Tokens(refresh_token, str(answer.body.get("access_token", "")), expiry, scopes)
    return tokens.to_secret()


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
