"""Where in a calendar is the object of a UID: asked by query, and proved by looking where queries can't be relied on.

A wrong "it is nowhere" would cancel somebody's appointment, and text filters are the weakest part of many servers.
So an empty answer counts only after the same query has found another object of the calendar, or after all of its
objects were read.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from connectors.caldav.changes import BATCH, Reader
from connectors.caldav.dav import Dav, collection_url
from connectors.caldav.quirks import service_at
from connectors.model import Calendar, ETag, Event, Href
from connectors.webdav import CAL, failure, parse_multistatus, uid_query

# The query is not understood; the calendar itself may be well.
_NO_QUERIES = frozenset({400, 403, 405, 415, 422, 500, 501, 507})
_SAMPLES = 3


def find_uid(dav: Dav, calendar: Calendar, uid: str, reader: Reader) -> Event | None:
    """The object with this UID in one calendar, None if there is none. Raises whatever keeps us from knowing."""
    answered, event = _query(dav, calendar, uid, reader)
    if event is not None:
        return event
    listing = reader.listing().etags
    indexed = service_at(urlsplit(calendar.href).hostname or "").uid_search
    if answered and indexed and len(listing) > BATCH and _finds(dav, calendar, sorted(listing), reader):
        return None
    return _scan(listing, uid, reader)


def _query(dav: Dav, calendar: Calendar, uid: str, reader: Reader) -> tuple[bool, Event | None]:
    """Is such a query answered at all, and with which object? Others in the answer are passed over."""
    answer = dav.report(collection_url(calendar), 1, uid_query(uid))
    if answer.status in _NO_QUERIES:
        return False, None
    if answer.status >= 300:
        raise failure(answer, collection=True)
    for resource in parse_multistatus(answer).resources:
        text = resource.props.get(CAL + "calendar-data")
        if text is not None and text.text:
            event = reader.event(resource.href, text.text.encode(), resource.etag)
            if event.uid == uid:
                return True, event
    return True, None


def _finds(dav: Dav, calendar: Calendar, hrefs: list[Href], reader: Reader) -> bool:
    """Does the query find an object that is certainly there?"""
    for href, content in reader.raw(hrefs[:_SAMPLES]):
        if isinstance(content, tuple) and (uid := reader.event(href, *content).uid):
            return _query(dav, calendar, uid, reader)[1] is not None
    return False


def _scan(listing: dict[Href, ETag], uid: str, reader: Reader) -> Event | None:
    wanted = uid.encode()
    for href, content in reader.raw(listing):
        if not isinstance(content, tuple):
            continue
        raw, etag = content
        if wanted in raw.replace(b"\r\n", b"\n").replace(b"\n ", b"").replace(b"\n\t", b""):
            event = reader.event(href, raw, etag)
            if event.uid == uid:
                return event
    return None
