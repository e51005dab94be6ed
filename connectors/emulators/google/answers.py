"""What the emulator answers: responses, and errors in Google's own form (PROVIDERS A7)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]


@dataclass(slots=True)
class Request:
    """One request, read whole. query: repeated names kept in order. at: emulated time, epoch seconds."""

    method: str
    path: str
    query: list[tuple[str, str]]
    headers: Mapping[str, str]
    body: bytes
    at: float = 0.0

    def json(self) -> Json:
        """The body as an object. Raises `ApiError` 400."""
        try:
            value = json.loads(self.body or b"{}")
        except ValueError:
            raise ApiError(400, "parseError", "Parse Error") from None
        if not isinstance(value, dict):
            raise ApiError(400, "parseError", "Parse Error")
        return value

    def first(self, name: str, default: str = "") -> str:
        """The first value of a query parameter."""
        return next((value for key, value in self.query if key == name), default)


@dataclass(slots=True)
class Response:
    """One answer, ready to be sent."""

    status: int = 200
    body: bytes = b""
    headers: list[tuple[str, str]] = field(default_factory=list)

    @classmethod
    def of(cls, value: Json, status: int = 200) -> Response:
        """JSON, with the value's ``etag`` as header."""
        headers = [("Content-Type", "application/json; charset=UTF-8")]
        if isinstance(value.get("etag"), str):
            headers.append(("ETag", value["etag"]))
        return cls(status, json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(), headers)

    @classmethod
    def html(cls, text: str, status: int = 200) -> Response:
        """A page."""
        return cls(status, text.encode(), [("Content-Type", "text/html; charset=utf-8")])

    @classmethod
    def redirect(cls, url: str, status: int = 302) -> Response:
        """Go elsewhere."""
        return cls(status, b"", [("Location", url)])


class ApiError(Exception):
    """An error that the API answers with."""

    def __init__(
        self,
        status: int,
        reason: str,
        message: str,
        *,
        domain: str = "global",
        location: str = "",
        retry_after: str = "",
    ) -> None:
        super().__init__(message)
        self.status, self.reason, self.message, self.domain = status, reason, message, domain
        self.location, self.retry_after = location, retry_after

    def response(self) -> Response:
        """The answer, as the guide prints it."""
        item: Json = {"domain": self.domain, "reason": self.reason, "message": self.message}
        if self.location:
            kind = "header" if self.location in ("If-Match", "Authorization") else "parameter"
            item |= {"locationType": kind, "location": self.location}
        answer = Response.of({"error": {"errors": [item], "code": self.status, "message": self.message}}, self.status)
        if self.retry_after:
            answer.headers.append(("Retry-After", self.retry_after))
        return answer


class NotModified(Exception):
    """``If-None-Match`` names what is there: 304."""


def not_found() -> ApiError:
    """404, the same for what is purged, what never was and what may not be seen."""
    return ApiError(404, "notFound", "Not Found")


def invalid(message: str, location: str = "") -> ApiError:
    """400 for a bad value."""
    return ApiError(400, "invalid", message, location=location)


def sync_token_expired() -> ApiError:
    """410, the body of PROVIDERS A2."""
    return ApiError(
        410,
        "fullSyncRequired",
        "Sync token is no longer valid, a full sync is required.",
        domain="calendar",
        location="syncToken",
    )


RATE_ERRORS: dict[str, tuple[int, str, str, str]] = {
    "rateLimitExceeded": (403, "usageLimits", "rateLimitExceeded", "Rate Limit Exceeded"),
    "userRateLimitExceeded": (403, "usageLimits", "userRateLimitExceeded", "User Rate Limit Exceeded"),
    "quotaExceeded": (403, "usageLimits", "quotaExceeded", "Calendar usage limits exceeded."),
    "tooManyRequests": (429, "usageLimits", "rateLimitExceeded", "Rate Limit Exceeded"),
    "backendError": (503, "global", "backendError", "Backend Error"),
    "internalError": (500, "global", "backendError", "Backend Error"),
    "authError": (401, "global", "authError", "Invalid Credentials"),
    "forbidden": (403, "global", "forbidden", "Forbidden"),
    "requiredAccessLevel": (
        403,
        "calendar",
        "requiredAccessLevel",
        "You need to have writer access to this calendar.",
    ),
    "conditionNotMet": (412, "global", "conditionNotMet", "Precondition Failed"),
    "duplicate": (409, "global", "duplicate", "The requested identifier already exists."),
    "notFound": (404, "global", "notFound", "Not Found"),
    "deleted": (410, "global", "deleted", "Resource has been deleted"),
    "fullSyncRequired": (
        410,
        "calendar",
        "fullSyncRequired",
        "Sync token is no longer valid, a full sync is required.",
    ),
    "badRequest": (400, "global", "badRequest", "Bad Request"),
}
"""Errors that a fault can give by name: status, domain, reason, message."""


def named_error(name: str, retry_after: str = "") -> ApiError:
    """One of `RATE_ERRORS`. Raises KeyError."""
    status, domain, reason, message = RATE_ERRORS[name]
    return ApiError(status, reason, message, domain=domain, retry_after=retry_after)
