"""Requests and replies as the emulator's parts hand them around."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

Json = dict[str, Any]
"""One JSON object."""


@dataclass
class Request:
    """One request. segments: decoded after splitting, so that ids may hold slashes."""

    method: str
    target: str
    headers: dict[str, str]
    raw: bytes = b""
    segments: tuple[str, ...] = ()
    query: dict[str, str] = field(default_factory=dict)
    account: str = ""
    scopes: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        parts = urlsplit(self.target)
        self.segments = tuple(unquote(part) for part in parts.path.split("/") if part)
        self.query = dict(parse_qsl(parts.query, keep_blank_values=True))

    @property
    def path(self) -> str:
        """The path as sent."""
        return urlsplit(self.target).path

    def json(self) -> Json:
        """The body. Raises `Fault` 400."""
        try:
            body = json.loads(self.raw or b"{}")
        except ValueError:
            raise Fault(400, "BadRequest", "Unable to read JSON request payload.") from None
        if not isinstance(body, dict):
            raise Fault(400, "BadRequest", "Unable to read JSON request payload.")
        return body

    def preferences(self) -> dict[str, str]:
        """``Prefer``, names in lower case, quotes off."""
        found = {}
        for part in self.headers.get("prefer", "").split(","):
            name, _, value = part.strip().partition("=")
            if name:
                found[name.strip().lower()] = value.strip().strip('"')
        return found


@dataclass
class Reply:
    """One reply. body: an object for JSON, or bytes with their own Content-Type."""

    status: int
    body: Json | bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)

    def payload(self) -> bytes:
        """What goes over the wire."""
        if self.body is None:
            return b""
        if isinstance(self.body, bytes):
            return self.body
        return json.dumps(self.body, ensure_ascii=False, separators=(",", ":")).encode()


class Fault(Exception):
    """An error of Graph's."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str = "",
        *,
        headers: dict[str, str] | None = None,
        extra: Json | None = None,
    ) -> None:
        super().__init__(message or code)
        self.status, self.code, self.message = status, code, message or code
        self.headers, self.extra = headers or {}, extra or {}

    def reply(self, request_id: str = "", date: str = "") -> Reply:
        """In Graph's shape."""
        inner = {"date": date, "request-id": request_id, "client-request-id": request_id}
        error = {"code": self.code, "message": self.message, "innerError": inner, **self.extra}
        return Reply(self.status, {"error": error}, dict(self.headers))
