"""One account's conversation with a WebDAV server: credentials, statuses, multistatus."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import urlsplit

from connectors.errors import BadAnswer
from connectors.model import Calendar, Href
from connectors.transport import Auth, Http, Response, basic, digest
from connectors.webdav import (
    XML_HEADERS,
    MultiStatus,
    encoded_href,
    failure,
    normal_href,
    parse_multistatus,
    propfind,
)

# Single objects are asked for unpacked: Apache's mod_deflate puts "-gzip" into the ETag of what it packs.
_WHOLE = {"Accept-Encoding": "identity"}
_ICALENDAR = {"Content-Type": "text/calendar; charset=utf-8", **_WHOLE}
LISTING_TIMEOUT = 110.0
"""Seconds that a server may think about a listing; those of 10,000 objects take their time."""


class Dav:
    """Requests of one account, from one thread. Raises only the tree of `connectors/errors.py`."""

    def __init__(self, http: Http, username: str, secret: str) -> None:
        self._http, self._username, self._secret = http, username, secret
        self._auth: Auth | None = basic(username, secret) if username or secret else None
        self.scheduling = False
        """Has the server announced that it sends iTIP by itself (RFC 6638 §2)?"""

    def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        content: bytes | None = None,
        *,
        timeout: float | None = None,
    ) -> Response:
        """One request with credentials; Digest where the server wants it. Any status is returned."""
        answer = self._http.request(method, url, headers=headers, content=content, auth=self._auth, timeout=timeout)
        if answer.status == 401 and self._auth is not None and _wants_digest(answer):
            self._auth = digest(self._username, self._secret)
            answer = self._http.request(method, url, headers=headers, content=content, auth=self._auth, timeout=timeout)
        if "calendar-auto-schedule" in answer.headers.get("dav", ""):
            self.scheduling = True
        return answer

    def place(self, url: str) -> str:
        """Where an address leads, asked without credentials (RFC 6764 §5); ``""`` if there is nothing."""
        answer = self._http.request("PROPFIND", url, headers={"Depth": "0"})
        return answer.url if answer.url != url or answer.status in (207, 401) else ""

    def propfind(self, url: str, depth: int, *names: str, collection: bool = True) -> MultiStatus:
        """Properties of a resource, and of its members with depth 1. Raises `CalendarGone` for 403, 404, 410."""
        headers = {"Depth": str(depth), **XML_HEADERS}
        answer = self.send("PROPFIND", url, headers, propfind(*names), timeout=LISTING_TIMEOUT if depth else None)
        if answer.status >= 300:
            raise failure(answer, collection=collection)
        found = parse_multistatus(answer)
        own = found.of(normal_href(answer.url))
        if own is not None and own.status >= 300:  # Xandikos 0.4.10 says 404 inside a 207
            raise failure(replace(answer, status=own.status), collection=collection)
        return found

    def report(self, url: str, depth: int, body: bytes, *, timeout: float = LISTING_TIMEOUT) -> Response:
        """The raw answer of a REPORT, for callers to whom statuses mean different things."""
        return self.send("REPORT", url, {"Depth": str(depth), **XML_HEADERS}, body, timeout=timeout)

    def get(self, url: str) -> Response | None:
        """One object, None for 404 and 410. Raises for all other failures, and `BadAnswer` if it is no iCalendar."""
        answer = self.send("GET", url, _WHOLE)
        if answer.status in (404, 410):
            return None
        if answer.status != 200:
            raise failure(answer)
        if b"BEGIN:VCALENDAR" not in answer.content[:1000].upper():
            raise BadAnswer("something else than an iCalendar object was answered")
        return answer

    def put(self, url: str, body: bytes, condition: Mapping[str, str]) -> Response:
        """The raw answer of a PUT. condition: If-Match or If-None-Match."""
        return self.send("PUT", url, {**_ICALENDAR, **condition}, body)

    def delete(self, url: str, condition: Mapping[str, str]) -> Response:
        """The raw answer of a DELETE."""
        return self.send("DELETE", url, {**_WHOLE, **condition})

    def close(self) -> None:
        """Close what is not shared. Idempotent."""
        self._http.close()


def _wants_digest(answer: Response) -> bool:
    offered = " ".join(answer.headers.get_list("www-authenticate")).lower()
    return "digest" in offered and "basic" not in offered


def collection_url(calendar: Calendar) -> str:
    """URL of a calendar, with its trailing slash."""
    return calendar.href if calendar.href.endswith("/") else calendar.href + "/"


def collection_path(calendar: Calendar) -> Href:
    """Path of a calendar as an href, with its trailing slash."""
    return normal_href(collection_url(calendar))


def object_url(calendar: Calendar, href: Href) -> str:
    """URL of an object of a calendar. Raises `BadAnswer` for an href that is none of its members."""
    if not href.startswith(collection_path(calendar)):
        raise BadAnswer("that object is not in this calendar")
    parts = urlsplit(calendar.href)
    return f"{parts.scheme}://{parts.netloc}{encoded_href(href)}"


def member_url(calendar: Calendar, key: str) -> tuple[Href, str]:
    """Where the object of a key lives: its href and its URL."""
    href = f"{collection_path(calendar)}{key}.ics"
    return href, object_url(calendar, href)
