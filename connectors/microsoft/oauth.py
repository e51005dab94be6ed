"""Signing in at Microsoft: consent, exchange, refresh, all by MSAL (PROVIDERS B10, B11).

MSAL gets our own HTTP client, the production authority and no instance discovery; it never opens a socket of its own.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import httpx
import msal
from msal.exceptions import MsalServiceError

from connectors.errors import (
    BadAnswer,
    ConnectorError,
    NeedsReconnect,
    Refused,
    ServerFault,
    Throttled,
    Unreachable,
)
from connectors.microsoft.graph import GRAPH, LOGIN, open_http, retry_after
from connectors.oauth import Consent, Granted
from connectors.protocol import Endpoints, SaveSecret

SCOPES = ("Calendars.ReadWrite", "User.Read")
"""Asked for; MSAL adds ``openid profile offline_access`` by itself."""

_GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_SHARED_TENANTS = frozenset({"common", "organizations", "consumers", ""})
_RECONNECT = frozenset({"invalid_grant", "interaction_required", "consent_required", "login_required"})
_FOR_NOW = frozenset({"temporarily_unavailable", "server_error", "service_unavailable"})
_SKEW = 300


def begin(endpoints: Endpoints, redirect_uri: str, login_hint: str = "", *, identity_only: bool = False) -> Consent:
    """Begin a consent (authorization code, PKCE). redirect_uri: exactly as registered at Microsoft."""
    if not endpoints.microsoft_client_id:
        raise Refused("no Microsoft client id is configured")
    with open_http(endpoints) as http, warnings.catch_warnings():
        # MSAL recommends form_post; a cross-site POST comes without the cookie that binds the consent to the session.
        warnings.filterwarnings("ignore", message="response_mode")
        flow = _guarded(
            lambda: _application(endpoints, http, None).initiate_auth_code_flow(
                [] if identity_only else list(SCOPES),
                redirect_uri=redirect_uri,
                prompt="select_account",
                login_hint=login_hint or None,
            )
        )
    url = str(flow["auth_uri"])
    if url.startswith(LOGIN + "/"):
        url = endpoints.microsoft_authority.rstrip("/") + url.removeprefix(LOGIN)
    return Consent(url, json.dumps(flow))


def finish(endpoints: Endpoints, pending: str, query: Mapping[str, str]) -> Granted:
    """End a consent. account: ``tid.oid``.

    MSAL checks state and nonce; audience, issuer, expiry and tenant of the id token are checked here, the expiry
    by the clock of the server that issued it. Raises as `connectors.oauth.finish` says.
    """
    try:
        flow = json.loads(pending)
    except ValueError as error:
        raise Refused("the consent was not begun here") from error
    cache = msal.SerializableTokenCache()
    with open_http(endpoints) as http:
        heard = _Heard(http)
        try:
            result = _guarded(
                lambda: _application(endpoints, http, cache).acquire_token_by_auth_code_flow(flow, dict(query))
            )
        except ValueError as error:
            raise Refused("the consent's state does not fit") from error
        except RuntimeError as error:
            raise Refused("the id token answers another request") from error
    if "error" in result:
        raise _error_of(result, heard, consent=True)
    claims = result.get("id_token_claims") or {}
    tid, oid = _checked(endpoints, claims, heard.date)
    scopes = tuple(_short(scope) for scope in str(result.get("scope", "")).split())
    email = str(claims.get("email") or claims.get("preferred_username") or "").lower()
    # Anybody can put anybody's address into their own tenant: only xms_edov says that its domain's owner did.
    verified = claims.get("xms_edov") in (True, 1, "1", "true", "True")
    if SCOPES[0] not in flow.get("scope", ()):
        return Granted(f"{tid}.{oid}", email, "", scopes, verified)
    if SCOPES[0].lower() not in {scope.lower() for scope in scopes}:
        raise Refused("access to the calendar was not granted")
    return Granted(f"{tid}.{oid}", email, cache.serialize(), scopes, verified)


class TokenCache:
    """Access tokens of one account out of its serialized MSAL cache; a changed cache goes to ``save_secret``.

    As long as the stored access token is good no call is made. Raises `NeedsReconnect` when Microsoft wants the
    person again, or when the cache can't be read.
    """

    def __init__(self, secret: str, endpoints: Endpoints, http: httpx.Client, save_secret: SaveSecret) -> None:
        self._endpoints = endpoints
        self._http = http
        self._save = save_secret
        self._heard = _Heard(http)
        self._cache = msal.SerializableTokenCache()
        try:
            self._cache.deserialize(secret)
            accounts = list(self._cache.search(msal.TokenCache.CredentialType.ACCOUNT))
        except (ValueError, TypeError, AttributeError) as error:
            raise NeedsReconnect("the stored credentials can't be read") from error
        if not accounts:
            raise NeedsReconnect("the stored credentials name no account")
        self._account: dict[str, Any] = accounts[0]

    @property
    def account(self) -> str:
        """``oid.tid``, as MSAL writes it."""
        return str(self._account.get("home_account_id", ""))

    def access_token(self) -> str:
        """The stored token if it hasn't expired, else a new one."""
        query = {"home_account_id": self.account, "client_id": self._endpoints.microsoft_client_id}
        for entry in self._cache.search(msal.TokenCache.CredentialType.ACCESS_TOKEN, query=query):
            if SCOPES[0].lower() in {_short(scope).lower() for scope in str(entry.get("target", "")).split()}:
                return str(entry["secret"])
        return self.refresh()

    def refresh(self) -> str:
        """A new token by the refresh token, which Microsoft rotates at each use."""

        def ask() -> dict[str, Any] | None:
            result: dict[str, Any] | None = _application(
                self._endpoints, self._http, self._cache
            ).acquire_token_silent_with_error(
                list(SCOPES), account=self._account, force_refresh=True, http_exceptions=(httpx.HTTPError,)
            )
            return result

        try:
            result = _guarded(ask)
        except ValueError as error:
            raise ServerFault(f"the login service answered oddly: {error}") from error
        finally:
            if self._cache.has_state_changed:
                self._save(self._cache.serialize())
        if result is None:
            raise NeedsReconnect("no refresh token is stored")
        if "access_token" not in result:
            raise _error_of(result, self._heard, consent=False)
        return str(result["access_token"])


class _Heard:
    """What the login service's last answer said beside its body; MSAL doesn't hand it on."""

    def __init__(self, http: httpx.Client) -> None:
        self.status = 0
        self.retry_after: float | None = None
        self.date = 0.0
        http.event_hooks = {**http.event_hooks, "response": [*http.event_hooks["response"], self._listen]}

    def _listen(self, response: httpx.Response) -> None:
        if response.request.url.path.endswith("/token"):
            self.status = response.status_code
            self.retry_after = retry_after(response.headers)
            try:
                self.date = parsedate_to_datetime(response.headers.get("date", "")).timestamp()
            except (TypeError, ValueError):
                self.date = 0.0


def _application(
    endpoints: Endpoints, http: httpx.Client, cache: msal.SerializableTokenCache | None
) -> msal.ConfidentialClientApplication:
    """A fresh one each time: MSAL keeps failed answers for a minute inside it. The constructor asks for discovery."""
    return msal.ConfidentialClientApplication(
        endpoints.microsoft_client_id,
        client_credential=endpoints.microsoft_client_secret,
        authority=f"{LOGIN}/{endpoints.microsoft_tenant}",
        token_cache=cache,
        instance_discovery=False,
        http_client=http,
    )


def _guarded(call: Any) -> Any:
    """Run MSAL and translate what it lets through."""
    try:
        return call()
    except MsalServiceError as error:
        raise ServerFault(f"the login service failed: {error}") from error
    except httpx.HTTPError as error:
        raise Unreachable(f"the login service can't be reached: {type(error).__name__}") from error
    except (KeyError, AttributeError, TypeError) as error:
        raise BadAnswer("the login service answered oddly") from error
    except ValueError as error:
        if "authority configuration" in str(error):
            raise ServerFault("the login service can't be discovered") from error
        raise


def _error_of(result: Mapping[str, Any], heard: _Heard, *, consent: bool) -> ConnectorError:
    code = str(result.get("error", "")).lower()
    suberror = str(result.get("suberror", "")).lower()
    detail = f"{code}: {str(result.get('error_description', ''))[:200]}".rstrip(": ")
    if heard.status == 429:
        return Throttled(detail, status=429, retry_after=heard.retry_after)
    if consent and code == "access_denied":
        return Refused(detail)
    if code in _RECONNECT or suberror in _RECONNECT:
        return NeedsReconnect(detail)
    if code in _FOR_NOW:
        return ServerFault(detail)
    return Refused(detail)


def _checked(endpoints: Endpoints, claims: Mapping[str, Any], now: float) -> tuple[str, str]:
    """Tenant and object id. Raises `Refused` for a token that wasn't made for us."""
    tid, oid = str(claims.get("tid", "")), str(claims.get("oid", ""))
    if not _GUID.fullmatch(tid) or not oid:
        raise Refused("the id token names no account")
    tenant = endpoints.microsoft_tenant.lower()
    if tenant not in _SHARED_TENANTS and _GUID.fullmatch(tenant) and tid.lower() != tenant:
        raise Refused("the account belongs to another tenant")
    if claims.get("aud") != endpoints.microsoft_client_id:
        raise Refused("the id token is for another application")
    hosts = {urlsplit(LOGIN).netloc, urlsplit(endpoints.microsoft_authority).netloc}
    if claims.get("iss") not in {f"https://{host}/{tid}/v2.0" for host in hosts}:
        raise Refused("the id token was issued elsewhere")
    try:
        expired = float(claims["exp"]) + _SKEW < now
    except (KeyError, TypeError, ValueError):
        expired = True
    if expired or not now:
        raise Refused("the id token has expired")
    return tid, oid


def _short(scope: str) -> str:
    return scope.removeprefix(GRAPH + "/")
