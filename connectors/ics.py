"""A published iCalendar feed, read-only: one address, all events in one answer, conditional GET (RFC 9110 §13).

One `Event` for each UID; its href is the UID and its etag a digest of its text, so only what changed is handed on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import NoReturn
from urllib.parse import urlsplit

from connectors.errors import BadAnswer, Gone, Refused
from connectors.ical.contentline import one_line
from connectors.ical.objects import feed_name, feed_zone, parse_feed
from connectors.model import (
    Calendar,
    ChangeSet,
    Entry,
    ETag,
    Event,
    Found,
    Href,
    KnownETags,
    Period,
    Progress,
    Quirks,
    SyncToken,
    Written,
)
from connectors.protocol import Credentials, Endpoints, SaveSecret
from connectors.transport import Http, Response, basic
from connectors.webdav import failure

MAX_BYTES = 20 * 1024 * 1024
"""The biggest feed that is read."""
TOTAL_TIMEOUT = 60.0
"""Seconds that one download may take, redirects included."""


class IcsConnector:
    """One feed. ``credentials.url``: http, https or webcal; username and secret for HTTP Basic, if given.

    max_bytes, timeout, total: see `Http`.
    """

    provider = "ics"

    def __init__(
        self,
        credentials: Credentials,
        endpoints: Endpoints,
        save_secret: SaveSecret | None = None,
        *,
        max_bytes: int = MAX_BYTES,
        timeout: float = 20.0,
        total: float = TOTAL_TIMEOUT,
    ) -> None:
        del save_secret
        scheme, colon, rest = credentials.url.strip().partition(":")
        self._url = f"https:{rest}" if colon and scheme.lower() in ("webcal", "webcals") else credentials.url.strip()
        self._auth = basic(credentials.username, credentials.secret) if credentials.username else None
        self._http = Http(
            allow_private=endpoints.allow_private_networks, timeout=timeout, total=total, max_bytes=max_bytes
        )

    def __enter__(self) -> IcsConnector:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close connections; idempotent."""
        self._http.close()

    def calendars(self) -> Sequence[Calendar]:
        """The feed as one calendar that can't be written, named by X-WR-CALNAME or its host."""
        raw = _calendar(self._get({}))
        name = one_line(feed_name(raw)) or urlsplit(self._url).hostname or "iCalendar"
        return [Calendar(self._url, name, feed_zone(raw), writable=False)]

    def changes(
        self,
        calendar: Calendar,
        since: SyncToken | None,
        window: Period,
        known: KnownETags,
        *,
        quirks: Quirks,
        progress: Progress | None = None,
    ) -> ChangeSet:
        """See `Connector.changes`. An unchanged feed costs one request without a body, or with it where the server
        knows no conditions. Otherwise every UID is listed, and of a feed read before only those come as changed whose
        text is another one than the ledger knows."""
        del quirks
        before = _validators(since)
        conditions = {name: before[key] for name, key in _CONDITIONS.items() if before.get(key)}
        answer = self._get(conditions)
        if answer.status == 304 and since is not None:
            return ChangeSet(token=since)
        raw = _calendar(answer)
        token = _token(answer)
        if since is not None and before.get("digest") == _validators(token)["digest"]:
            return ChangeSet(token=token)
        events = parse_feed(raw, window=window, timezone=calendar.timezone)
        etags = known() if since is not None else {}
        changed = tuple(event for event in events if etags.get(event.href) != event.etag)
        if progress is not None:
            progress(len(events), len(events))
        return ChangeSet(changed, (), frozenset(event.href for event in events), token)

    def fetch(self, calendar: Calendar, href: Href, window: Period) -> Event:
        """See `Connector.fetch`; reads the whole feed."""
        for event in parse_feed(_calendar(self._get({})), window=window, timezone=calendar.timezone):
            if event.href == href:
                return event
        raise Gone("this event is not in the feed")

    def find(self, calendars: Sequence[Calendar], entry_key: str, uid: str, window: Period) -> Found | None:
        """See `Connector.find`; a feed may publish a calendar that our events are in."""
        del entry_key
        for calendar in calendars:
            for event in parse_feed(_calendar(self._get({})), window=window, timezone=calendar.timezone):
                if event.uid == uid:
                    return Found(calendar.href, event)
        return None

    def create(self, calendar: Calendar, entry: Entry, *, quirks: Quirks) -> Written:
        """Raises `Refused`: a feed can't be written."""
        del calendar, entry, quirks
        _read_only()

    def update(self, calendar: Calendar, entry: Entry, href: Href, etag: ETag, *, quirks: Quirks) -> Written:
        """Raises `Refused`: a feed can't be written."""
        del calendar, entry, href, etag, quirks
        _read_only()

    def delete(self, calendar: Calendar, href: Href, etag: ETag = "") -> None:
        """Raises `Refused`: a feed can't be written."""
        del calendar, href, etag
        _read_only()

    def selftest(self, calendar: Calendar, *, write: bool) -> Quirks:
        """Does the server answer conditions? ``sync_token`` is ``trusted`` then, else ``absent``."""
        del calendar
        if write:
            _read_only()
        first = _validators(_token(self._get({})))
        conditions = {name: first[key] for name, key in _CONDITIONS.items() if first.get(key)}
        honours = bool(conditions) and self._get(conditions).status == 304
        return Quirks("trusted" if honours else "absent")

    def _get(self, conditions: dict[str, str]) -> Response:
        headers = {"Accept": "text/calendar", **conditions}
        answer = self._http.request("GET", self._url, headers=headers, auth=self._auth)
        if answer.status == 200 or (answer.status == 304 and conditions):
            return answer
        if answer.status == 204:
            raise BadAnswer("the feed answers without content", status=204)
        raise failure(answer, collection=True)


_CONDITIONS = {"If-None-Match": "etag", "If-Modified-Since": "modified"}


def _calendar(answer: Response) -> bytes:
    """The body, if it is one or more whole calendars: a feed that stops in the middle says nothing about the rest."""
    content = answer.content
    if content[:500].upper().find(b"BEGIN:VCALENDAR") < 0:
        raise BadAnswer("something else than an iCalendar feed was answered")
    if not content.rstrip().upper().endswith(b"END:VCALENDAR"):
        raise BadAnswer("the feed stops in the middle")
    return content


def _token(answer: Response) -> SyncToken:
    value = {
        "etag": answer.etag,
        "modified": answer.headers.get("last-modified", ""),
        "digest": hashlib.sha256(answer.content).hexdigest(),
    }
    return SyncToken("feed", json.dumps(value, sort_keys=True))


def _validators(token: SyncToken | None) -> dict[str, str]:
    """What a token of ours holds; another one's is as good as none."""
    if token is None or token.kind != "feed":
        return {}
    try:
        value = json.loads(token.value)
    except ValueError:
        return {}
    return {str(name): str(text) for name, text in value.items()} if isinstance(value, dict) else {}


def _read_only() -> NoReturn:
    raise Refused("a feed can only be read")
