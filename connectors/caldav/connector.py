"""CalDAV (RFC 4791) as a `Connector`: own names for own objects, preconditions on every write, raw bytes.

An object of ours lives at ``{collection}{key}.ics``, so that a repeated create meets what the first one left. A
CalDAV server does not remember deleted names: creating a key again after its deletion makes a new object, and
`Gone` is never raised by `create` here.
"""

from __future__ import annotations

from collections.abc import Sequence

from connectors.caldav.changes import Reader, still_there
from connectors.caldav.dav import Dav, collection_path, member_url, object_url
from connectors.caldav.discovery import Account, discover
from connectors.caldav.probe import probe
from connectors.caldav.quirks import SIBLINGS
from connectors.caldav.search import find_uid
from connectors.errors import Conflict, ConnectorError, Gone, Refused, ServerFault
from connectors.ical import objects as ical
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
from connectors.transport import Http, Response
from connectors.webdav import (
    DAV,
    failure,
    if_match,
    is_page,
    normal_href,
    parse_multistatus,
    preconditions,
    quoted,
    same_etag,
)

_DONE = frozenset({200, 201, 204})
_NOT_THERE = frozenset({404, 410})


class CalDavConnector:
    """One CalDAV account; see `Connector` for what each call promises."""

    provider = "caldav"

    def __init__(
        self,
        credentials: Credentials,
        endpoints: Endpoints,
        save_secret: SaveSecret | None = None,
        *,
        timeout: float = 30.0,
    ) -> None:
        del save_secret  # passwords don't rotate
        self._credentials = credentials
        http = Http(allow_private=endpoints.allow_private_networks, siblings=SIBLINGS, timeout=timeout)
        self._dav = Dav(http, credentials.username, credentials.secret)
        self._account: Account | None = None

    # --- reading -----------------------------------------------------------------------------------------------------

    def calendars(self) -> Sequence[Calendar]:
        """Every event calendar of the account, found anew. Raises `NeedsReconnect`, `BadAnswer`, `AddressRefused`."""
        self._account = discover(self._dav, self._credentials.url, self._credentials.username)
        return self._account.calendars

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
        """As promised by `Connector`. The way is sync-collection where trusted, else ctag and etags, else etags."""
        addresses = frozenset(filter(None, quirks.extra.get("addresses", "").split(",")))
        return self._reader(calendar, window, addresses).changes(since, known, quirks, progress)

    def fetch(self, calendar: Calendar, href: Href, window: Period) -> Event:
        """One object by a direct GET. Raises `Gone` after the calendar itself has answered."""
        found = self._dav.get(object_url(calendar, href))
        if found is None:
            raise self._gone(calendar)
        return self._reader(calendar, window).event(href, found.content, found.etag)

    def find(self, calendars: Sequence[Calendar], entry_key: str, uid: str, window: Period) -> Found | None:
        """By name in each calendar, then by UID in each."""
        readers = [(calendar, self._reader(calendar, window)) for calendar in calendars]
        for calendar, reader in readers:
            href, url = member_url(calendar, entry_key)
            answer = self._dav.get(url)
            if answer is not None:
                event = reader.event(href, answer.content, answer.etag)
                if event.uid == uid or event.own_key == entry_key:
                    return Found(calendar.href, event)
        for calendar, reader in readers:
            if (found := find_uid(self._dav, calendar, uid, reader)) is not None:
                return Found(calendar.href, found)
        return None

    def selftest(self, calendar: Calendar, *, write: bool) -> Quirks:
        """As promised by `Connector`; ``extra["addresses"]`` are the mail addresses of the calendar's user."""
        if self._account is None:
            self.calendars()
        addresses = self._account.addresses if self._account else frozenset()
        return probe(self._dav, calendar, write=write, addresses=addresses)

    # --- writing -----------------------------------------------------------------------------------------------------

    def create(self, calendar: Calendar, entry: Entry, *, quirks: Quirks) -> Written:
        """PUT under our own name, only if nothing is there (RFC 9110 §13.1.2); else adopt what is ours."""
        href, url = member_url(calendar, entry.key)
        overwrites = quirks.if_none_match is False
        if overwrites and (there := self._dav.get(url)) is not None:
            return self._adopted(calendar, href, there, entry)
        answer = self._dav.put(url, ical.render_entry(entry), {"If-None-Match": "*"})
        if answer.status in _DONE:
            return self._stored(calendar, href, url, answer, entry, look=overwrites)
        if answer.status in (403, 409, 412):
            return self._occupied(calendar, href, url, answer, entry)
        if answer.status in _NOT_THERE:
            still_there(self._dav, calendar)
            raise Refused("the server does not take this event", status=answer.status)
        raise failure(answer)

    def update(self, calendar: Calendar, entry: Entry, href: Href, etag: ETag, *, quirks: Quirks) -> Written:
        """Read, change what is ours in it, PUT with If-Match."""
        del quirks
        url = object_url(calendar, href)
        current = self._dav.get(url)
        if current is None:
            raise self._gone(calendar)
        if etag and not same_etag(etag, self._etag(url, current)):
            raise Conflict("the event has been changed meanwhile")
        body = ical.update_entry(current.content, entry)
        answer = self._dav.put(url, body, if_match(self._etag(url, current)))
        if answer.status in _DONE:
            return self._stored(calendar, href, url, answer, entry)
        if answer.status in _NOT_THERE:
            raise self._gone(calendar)
        if answer.status == 409:
            raise Conflict("the server reports a conflict", status=409)
        raise failure(answer)

    def delete(self, calendar: Calendar, href: Href, etag: ETag = "") -> None:
        """DELETE, with If-Match where the etag can be used for it."""
        url = object_url(calendar, href)
        condition = if_match(etag)
        if etag and not condition:
            current = self._dav.get(url)
            if current is None:
                return
            if not same_etag(etag, self._etag(url, current)):
                raise Conflict("the event has been changed meanwhile")
        answer = self._dav.delete(url, condition)
        if answer.status == 207:
            for resource in parse_multistatus(answer).resources:
                if resource.status >= 400 and resource.status not in _NOT_THERE:
                    raise Refused("the server does not delete this event", status=resource.status)
        elif answer.status == 412 and self._dav.get(url) is None:
            return
        elif answer.status >= 300 and answer.status not in _NOT_THERE:
            raise failure(answer)
        elif is_page(answer) and self._dav.get(url) is not None:
            raise ServerFault("a web page answered in the server's place; nothing was deleted")

    # --- what became of a write ----------------------------------------------------------------------------------------

    def _stored(
        self, calendar: Calendar, href: Href, url: str, answer: Response, entry: Entry, *, look: bool = False
    ) -> Written:
        """The etag of what was just put. It is asked for unless the server vouches for our bytes (RFC 4791 §5.3.4)."""
        if if_match(answer.etag) and not look and not is_page(answer):
            return Written(href, quoted(answer.etag))
        there = self._dav.get(url)
        if there is None:
            raise ServerFault("an event that was just stored can't be read back")
        if is_page(answer) and not self._says(calendar, there, entry):
            raise ServerFault("a web page answered in the server's place; nothing was stored")
        if not self._is_ours(calendar, there, entry):
            raise Conflict("another event is stored under our name")
        return Written(href, self._etag(url, there))

    def _occupied(self, calendar: Calendar, href: Href, url: str, answer: Response, entry: Entry) -> Written:
        """A create was refused: by our own earlier one, by its UID elsewhere in the calendar, or for good."""
        there = self._dav.get(url)
        if there is not None:
            return self._adopted(calendar, href, there, entry)
        still_there(self._dav, calendar)
        reasons = preconditions(answer)
        conflicts = [e for name, e in reasons.items() if name.endswith(("no-uid-conflict", "object-resource"))]
        for named in (e for reason in conflicts for e in reason.iter(DAV + "href")):
            other = normal_href(named.text or "")
            if not other.startswith(collection_path(calendar)):
                raise Conflict("an event with this UID is in another calendar", status=answer.status)
            there = self._dav.get(object_url(calendar, other))
            if there is not None:
                return self._adopted(calendar, other, there, entry)
        if conflicts or answer.status != 403:
            found = find_uid(self._dav, calendar, entry.uid, self._reader(calendar, entry.period))
            if found is not None:
                return Written(found.href, found.etag, adopted=True)
        if conflicts:
            raise Conflict("the server knows this UID, but not where", status=answer.status)
        raise failure(answer)

    def _adopted(self, calendar: Calendar, href: Href, there: Response, entry: Entry) -> Written:
        if not self._is_ours(calendar, there, entry):
            raise Conflict("another event has our name")
        return Written(href, self._etag(there.url, there), adopted=True)

    def _is_ours(self, calendar: Calendar, there: Response, entry: Entry) -> bool:
        event = self._reader(calendar, entry.period).event("", there.content, there.etag)
        return event.uid == entry.uid or event.own_key == entry.key

    def _says(self, calendar: Calendar, there: Response, entry: Entry) -> bool:
        """Is what is there what was to be written?"""
        event = self._reader(calendar, entry.period).event("", there.content, there.etag)
        return [(o.period, o.title) for o in event.occurrences] == [(entry.period, entry.title)]

    def _etag(self, url: str, answer: Response) -> ETag:
        """The etag of an object; by PROPFIND where GET doesn't tell it."""
        if answer.etag:
            return quoted(answer.etag)
        found = self._dav.propfind(url, 0, DAV + "getetag", collection=False)
        return next((resource.etag for resource in found.resources if resource.etag), "")

    def _gone(self, calendar: Calendar) -> ConnectorError:
        """`Gone`, once the calendar has answered; raises `CalendarGone` or another error if it does not."""
        still_there(self._dav, calendar)
        return Gone("the event is not there any more")

    def _reader(self, calendar: Calendar, window: Period, addresses: frozenset[str] = frozenset()) -> Reader:
        name = self._credentials.username.lower()
        own = addresses | (self._account.addresses if self._account else frozenset())
        return Reader(self._dav, calendar, window, own | {name} if "@" in name else own)

    def close(self) -> None:
        """Close what is not shared; idempotent."""
        self._dav.close()

    def __enter__(self) -> CalDavConnector:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
