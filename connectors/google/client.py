"""The real Google client library under our rules: one transport, one account, our error tree.

Everything that imports ``googleapiclient``, ``google.auth`` or ``httplib2`` for the calendar is here.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import google.auth.exceptions
import google_auth_httplib2
import httplib2
from google.oauth2.credentials import Credentials as GoogleCredentials
from googleapiclient.discovery import build_from_document
from googleapiclient.discovery_cache import get_static_doc
from googleapiclient.errors import Error as GoogleApiError
from googleapiclient.errors import HttpError

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
from connectors.protocol import Endpoints, SaveSecret

QUOTA_PAUSE_SECONDS = 4 * 3600.0
"""After 403 ``quotaExceeded``, which lifts after hours and tells no Retry-After (PROVIDERS A7)."""

_CREDENTIALS: Any = GoogleCredentials  # untyped in google-auth
_RATE_REASONS = frozenset({"rateLimitExceeded", "userRateLimitExceeded", "RATE_LIMIT_EXCEEDED"})
_RESYNC_REASONS = frozenset({"fullSyncRequired", "updatedMinTooLongAgo"})
# What a lost line, a truncated body or a closed socket looks like through httplib2: outcome of a write unknown.
_LINE_ERRORS = (httplib2.error.HttpLib2Error, http.client.HTTPException, OSError)


@dataclass(frozen=True, slots=True)
class Tokens:
    """The content of ``Credentials.secret``. expiry: UTC, None if unknown."""

    refresh_token: str
    access_token: str = ""
    expiry: datetime | None = None
    scopes: tuple[str, ...] = ()

    @classmethod
    def from_secret(cls, secret: str) -> Tokens:
        """Read the JSON of a secret. Raises `NeedsReconnect` if nothing usable is in it."""
        try:
            raw = json.loads(secret)
            refresh_token = str(raw["refresh_token"])
            expiry = raw.get("expiry") or ""
            return cls(
                refresh_token=refresh_token,
                access_token=str(raw.get("access_token") or ""),
                expiry=datetime.fromisoformat(expiry).astimezone(UTC) if expiry else None,
                scopes=tuple(raw.get("scopes") or ()),
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            raise NeedsReconnect("the stored Google tokens can't be read") from None

    def to_secret(self) -> str:
        """The JSON to store, with sorted keys."""
        return json.dumps(
            {
                "refresh_token": self.refresh_token,
                "access_token": self.access_token,
                "expiry": self.expiry.isoformat().replace("+00:00", "Z") if self.expiry else "",
                "scopes": list(self.scopes),
            },
            sort_keys=True,
        )


def token_uri(endpoints: Endpoints) -> str:
    """Where codes and refresh tokens are exchanged (RFC 6749 §3.2)."""
    root = endpoints.google_oauth_root.rstrip("/")
    return f"{root}/token" if root else "https://oauth2.googleapis.com/token"


@lru_cache(maxsize=8)
def _document(root: str) -> dict[str, Any]:
    # rootUrl, not api_endpoint: the latter is ignored by batch requests, which then go to the real Google (A11).
    document: dict[str, Any] = json.loads(get_static_doc("calendar", "v3"))
    document["rootUrl"] = root.rstrip("/") + "/"
    return document


class GoogleClient:
    """Calls of one account in one thread, with tokens refreshed and handed back.

    retries: how often a read is repeated by the library on 429, 5xx and lost lines; writes never are, the queue
    owns them. httplib2 repeats any request once, silently, when the server closes without a reply: writes must
    bear that (deterministic ids, ``If-Match``).
    """

    def __init__(
        self, secret: str, endpoints: Endpoints, save_secret: SaveSecret, *, timeout: float, retries: int
    ) -> None:
        self._tokens = Tokens.from_secret(secret)
        self._save_secret = save_secret
        self._retries = retries
        expiry = self._tokens.expiry
        self._credentials: Any = _CREDENTIALS(
            token=self._tokens.access_token or None,
            refresh_token=self._tokens.refresh_token,
            token_uri=token_uri(endpoints),
            client_id=endpoints.google_client_id,
            client_secret=endpoints.google_client_secret,
            scopes=None,  # a narrower grant would fail with invalid_scope when scopes are sent (A10)
            expiry=expiry.replace(tzinfo=None) if expiry else None,
        )
        transport = httplib2.Http(timeout=timeout, proxy_info=None)
        transport.follow_redirects = False
        self._http = google_auth_httplib2.AuthorizedHttp(self._credentials, http=transport)
        self._service = build_from_document(_document(endpoints.google_api_root), http=self._http)

    def events(self) -> Any:
        """The ``events`` resource; its methods build requests for `read` and `write`."""
        return self._service.events()

    def calendar_list(self) -> Any:
        """The ``calendarList`` resource."""
        return self._service.calendarList()

    def channels(self) -> Any:
        """The ``channels`` resource."""
        return self._service.channels()

    def read(self, request: Any) -> dict[str, Any]:
        """Execute a request that changes nothing."""
        return self._execute(request, self._retries, may_be_empty=False)

    def write(self, request: Any, *, etag: str = "") -> dict[str, Any]:
        """Execute a request once. etag: sent as ``If-Match``. An `Unreachable` or `ServerFault` may have been done."""
        if etag:
            request.headers["If-Match"] = etag
        return self._execute(request, 0, may_be_empty=True)

    def close(self) -> None:
        """Close the connection; idempotent."""
        self._http.close()

    def _execute(self, request: Any, retries: int, *, may_be_empty: bool) -> dict[str, Any]:
        try:
            answer = request.execute(num_retries=retries)
        except (HttpError, GoogleApiError, google.auth.exceptions.GoogleAuthError, ValueError, *_LINE_ERRORS) as error:
            raise translated(error) from error
        finally:
            self._hand_back()
        # The library hands through what isn't JSON, as a cut body or a proxy's page, and {} for 204.
        if (isinstance(answer, str | bytes) and answer) or (not answer and not may_be_empty):
            raise Unreachable("no usable answer: not JSON")
        if answer and not isinstance(answer, dict):
            raise BadAnswer("a JSON object was expected")
        return answer or {}

    def _hand_back(self) -> None:
        token, expiry = self._credentials.token or "", self._credentials.expiry
        now = Tokens(
            refresh_token=self._credentials.refresh_token or self._tokens.refresh_token,
            access_token=token,
            expiry=expiry.replace(tzinfo=UTC) if expiry else None,
            scopes=self._tokens.scopes,
        )
        if now != self._tokens:
            self._tokens = now
            self._save_secret(now.to_secret())


def translated(error: Exception) -> ConnectorError:
    """One of our errors for whatever the library raised (PROVIDERS A7). 404 and 410 become `Gone`."""
    if isinstance(error, HttpError):
        return _answered(error)
    if isinstance(error, google.auth.exceptions.RefreshError):
        return _not_refreshed(error)
    if isinstance(error, google.auth.exceptions.TransportError):
        return Unreachable("the token endpoint can't be reached")
    if isinstance(error, google.auth.exceptions.GoogleAuthError):
        return NeedsReconnect(type(error).__name__)
    # What is left: lost lines, and a 2xx whose body isn't JSON, as a proxy or a cut connection leaves it.
    return Unreachable(f"no usable answer: {type(error).__name__}")


def _answered(error: HttpError) -> ConnectorError:
    status = int(error.resp.status)
    reasons = _reasons(error.content)
    detail = f"{status} {', '.join(sorted(reasons))}".strip()
    retry_after = _retry_after(error.resp)
    if status == 401:
        return NeedsReconnect(detail, status=status)
    if status == 429 or (status == 403 and reasons & _RATE_REASONS):
        return Throttled(detail, status=status, retry_after=retry_after)
    if status == 403 and "quotaExceeded" in reasons:
        return Throttled(detail, status=status, retry_after=retry_after or QUOTA_PAUSE_SECONDS)
    if status == 410 and (reasons & _RESYNC_REASONS):
        return SyncTokenExpired(detail, status=status)
    if status in (404, 410):
        return Gone(detail, status=status)
    if status in (409, 412):
        return Conflict(detail, status=status)
    if status in (408, 425) or status >= 500:
        return ServerFault(detail, status=status)
    if 300 <= status < 400:
        return BadAnswer(f"unexpected redirect, {detail}", status=status)
    return Refused(detail, status=status)


def _reasons(content: bytes) -> frozenset[str]:
    try:
        return frozenset(str(item["reason"]) for item in json.loads(content)["error"]["errors"])
    except (ValueError, KeyError, TypeError):
        return frozenset()


def _retry_after(headers: Mapping[str, str]) -> float | None:
    # Google documents none (A7); only the plain number of seconds is honoured if one comes.
    value = str(headers.get("retry-after", ""))
    return float(value) if value.isdigit() else None


def _not_refreshed(error: google.auth.exceptions.RefreshError) -> ConnectorError:
    body: object = error.args[1] if len(error.args) > 1 else None
    code = body.get("error") if isinstance(body, dict) else None
    if str(error.args[:1]).find("Reauthentication is needed") >= 0:
        return NeedsReconnect("the organisation asks for a new login")  # invalid_rapt: session policy of Workspace
    if error.retryable or code is None:
        # A page of a proxy, 5xx or 429 of the token endpoint says nothing about the grant.
        return ServerFault(f"the token endpoint failed: {code or 'no reason given'}")
    if code in ("invalid_client", "deleted_client", "disabled_client"):
        return Refused(f"this application's Google client is not accepted: {code}")
    return NeedsReconnect(f"the grant is no longer good: {code}")
