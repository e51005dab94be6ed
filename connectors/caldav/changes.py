"""What changed in a CalDAV calendar: by sync-collection (RFC 6578), by ctag and etags, or by etags alone.

The way is chosen by what the self-test found. Whatever the way, a token is read before what it stands for, a
listing is used only when it is complete, and what a request didn't answer is asked for again, never left out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Set
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from connectors.caldav.dav import Dav, collection_path, collection_url, object_url
from connectors.errors import (
    BadAnswer,
    CalendarGone,
    ConnectorError,
    Gone,
    Refused,
    ServerFault,
    SyncTokenExpired,
    Unreachable,
)
from connectors.ical import objects as ical
from connectors.model import Calendar, ChangeSet, ETag, Event, Href, KnownETags, Period, Progress, Quirks, SyncToken
from connectors.transport import Response
from connectors.webdav import (
    CAL,
    CS,
    DAV,
    MultiStatus,
    calendar_multiget,
    failure,
    parse_multistatus,
    preconditions,
    sync_collection,
)

BATCH = 100
MULTIGET_TIMEOUT = 40.0
MAX_PAGES = 1000
# With these a server may mean "I don't know this token" (RFC 6578 §3.2 says 403; others are seen in the wild).
_MAYBE_EXPIRED = frozenset({400, 403, 404, 409, 410, 412, 500, 507})
TRIES = 2
"""Failures of one kind that may be one object's fault or a passing one's; more are the server's."""


Content = tuple[bytes, ETag] | Event | None
"""An object as it was answered; an `Event` that says why it can't be read; None if it is gone."""


class Listing(NamedTuple):
    """Members named by a server. etags: of what is there, ``""`` where none was told."""

    etags: dict[Href, ETag]
    removed: frozenset[Href]
    token: SyncToken | None


class Reader:
    """Reads one calendar. addresses: of its owner, for the answers to invitations."""

    def __init__(self, dav: Dav, calendar: Calendar, window: Period, addresses: Set[str]) -> None:
        self._dav, self._calendar, self._window, self._addresses = dav, calendar, window, addresses
        self._url, self._path = collection_url(calendar), collection_path(calendar)
        self._limit = BATCH
        self._failures = self._unreachable = self._alone = 0

    def changes(
        self, since: SyncToken | None, known: KnownETags, quirks: Quirks, progress: Progress | None = None
    ) -> ChangeSet:
        """See `Connector.changes`."""
        trusted = quirks.sync_token == "trusted"  # noqa: S105
        if trusted and since is not None and since.kind == "sync":
            return self._continued(since, progress)
        if trusted and since is None:
            listing = self.sync("")
            events, vanished = self.load(listing.etags, progress)
            listed = frozenset(listing.etags) - vanished
            return ChangeSet(tuple(events), listed=listed, token=listing.token)
        return self._compared(since, known, progress, trusted)

    def _continued(self, since: SyncToken, progress: Progress | None) -> ChangeSet:
        listing = self.sync(since.value)
        events, vanished = self.load(listing.etags, progress)
        return ChangeSet(tuple(events), tuple(sorted(listing.removed | vanished)), token=listing.token)

    def _compared(
        self, since: SyncToken | None, known: KnownETags, progress: Progress | None, trusted: bool
    ) -> ChangeSet:
        """By listing all etags, unless a ctag says that nothing has changed."""
        token = self.state(trusted)
        if token is not None and token == since:
            return ChangeSet(token=token)
        listing = self.listing()
        if token is None:
            token = SyncToken("etags", _digest(listing.etags))
            if token == since:
                return ChangeSet(listed=frozenset(listing.etags), token=token)
        before: Mapping[Href, ETag] = {} if since is None else known()
        wanted = [href for href, etag in listing.etags.items() if not etag or before.get(href) != etag]
        events, vanished = self.load(wanted, progress)
        return ChangeSet(tuple(events), listed=frozenset(listing.etags) - vanished, token=token)

    def state(self, trusted: bool) -> SyncToken | None:
        """The calendar's state as its server words it: sync-token where trusted, else ctag, else None."""
        found = self._dav.propfind(self._url, 0, CS + "getctag", *([DAV + "sync-token"] if trusted else []))
        here = found.of(self._path)
        if here is None:
            raise BadAnswer("the calendar says nothing about itself")
        if trusted and (token := here.text(DAV + "sync-token")):
            return SyncToken("sync", token)
        ctag = here.text(CS + "getctag")
        return SyncToken("ctag", ctag) if ctag else None

    def listing(self) -> Listing:
        """Every member with its etag, by PROPFIND. Raises `BadAnswer` if it does not name the calendar itself."""
        found = self._dav.propfind(self._url, 1, DAV + "getetag")
        if found.of(self._path) is None:
            raise BadAnswer("a listing that does not name its own calendar is not complete")
        etags, _, _ = self._members(found)
        return Listing(etags, frozenset(), None)

    def sync(self, token: str) -> Listing:
        """All changes since a token, the empty one meaning ever, over as many pages as it takes.

        Raises `SyncTokenExpired` only if the server is well and it is the token that it does not want.
        """
        etags: dict[Href, ETag] = {}
        gone: set[Href] = set()
        asked = token
        for _ in range(MAX_PAGES):
            answer = self._dav.report(self._url, 0, sync_collection(asked))
            if answer.status >= 300:
                raise self._refused_token(answer, token)
            page = parse_multistatus(answer)
            if not page.sync_token:
                raise BadAnswer("a sync-collection answer without a sync-token")
            there, removed, truncated = self._members(page)
            etags = {href: etag for href, etag in etags.items() if href not in removed} | there
            gone = (gone - there.keys()) | removed
            if not truncated:
                return Listing(etags, frozenset(gone), SyncToken("sync", page.sync_token))
            if page.sync_token == asked:
                break
            asked = page.sync_token
        raise BadAnswer("the server's list of changes does not come to an end")

    def _members(self, found: MultiStatus) -> tuple[dict[Href, ETag], set[Href], bool]:
        """Members, removed ones, and was it cut short (RFC 6578 §3.6)? Any 4xx means removed (Infomaniak: 418)."""
        there: dict[Href, ETag] = {}
        removed: set[Href] = set()
        strangers, truncated = 0, False
        own = self._path.rstrip("/")
        for resource in found.resources:
            href = resource.href
            if href.rstrip("/") == own:
                if 400 <= resource.status < 500:
                    raise CalendarGone("the calendar is not shown any more", status=resource.status)
                truncated = truncated or resource.status == 507
            elif not href.startswith(self._path):
                strangers += 1
            elif 400 <= resource.status < 500:
                removed.add(href)
            elif not href.endswith("/"):
                there[href] = resource.etag
        if strangers and not there and not removed:
            raise BadAnswer("the server answers about another collection")
        return there, removed, truncated

    def _refused_token(self, answer: Response, token: str) -> ConnectorError:
        """Why a sync-collection failed: is it the token, or the server, the calendar, the credentials?"""
        if not token or answer.status not in _MAYBE_EXPIRED:
            return failure(answer, collection=True)
        if DAV + "valid-sync-token" in preconditions(answer):
            return SyncTokenExpired(status=answer.status)
        fresh = self.state(trusted=True)
        if fresh is None or fresh.kind != "sync" or fresh.value == token:
            return failure(answer, collection=True)
        again = self._dav.report(self._url, 0, sync_collection(fresh.value))
        return SyncTokenExpired(status=answer.status) if again.status == 207 else failure(again, collection=True)

    # --- objects -----------------------------------------------------------------------------------------------------

    def load(self, hrefs: Iterable[Href], progress: Progress | None = None) -> tuple[list[Event], frozenset[Href]]:
        """These objects, read; and which of them are gone meanwhile."""
        events: list[Event] = []
        vanished: set[Href] = set()
        for href, answer in self.raw(hrefs, progress):
            if answer is None:
                vanished.add(href)
            else:
                events.append(answer if isinstance(answer, Event) else self.event(href, *answer))
        return events, frozenset(vanished)

    def raw(self, hrefs: Iterable[Href], progress: Progress | None = None) -> Iterator[tuple[Href, Content]]:
        """These objects as they were answered, each once. While the caller reads one batch the next is on its way."""
        wanted = sorted(hrefs)
        batches = [wanted[first : first + BATCH] for first in range(0, len(wanted), BATCH)]
        if len(batches) < 2:
            found = self._fetched(wanted) if wanted else []
            yield from found
            if found and progress is not None:
                progress(len(found), len(found))
            return
        done = 0
        with ThreadPoolExecutor(1) as ahead:
            coming = ahead.submit(self._fetched, batches[0])
            for following in [*batches[1:], None]:
                found = coming.result()
                if following is not None:
                    coming = ahead.submit(self._fetched, following)
                yield from found
                done += len(found)
                if progress is not None:
                    progress(done, len(wanted))

    def event(self, href: Href, raw: bytes, etag: ETag) -> Event:
        """One object, read and expanded in the window."""
        return ical.parse_object(
            raw,
            href=href,
            etag=etag,
            window=self._window,
            timezone=self._calendar.timezone,
            own_addresses=frozenset(self._addresses),
        )

    def _fetched(self, hrefs: list[Href]) -> list[tuple[Href, Content]]:
        """One batch, in as many pieces as the server needs.

        A refused batch is halved. If both halves are taken, it was too big, and later ones are no bigger than they
        are; if one is not, some object in it spoils it, which in the end is asked for alone.
        """
        if len(hrefs) > self._limit:
            pieces = range(0, len(hrefs), self._limit)
            return [found for first in pieces for found in self._fetched(hrefs[first : first + self._limit])]
        answers = self._multiget(hrefs)
        if answers is not None:
            return [(href, answers[href] if href in answers else self._single(href)) for href in hrefs]
        if len(hrefs) == 1:
            return [(hrefs[0], self._single(hrefs[0]))]
        middle, failures = len(hrefs) // 2, self._failures
        found = self._fetched(hrefs[:middle]) + self._fetched(hrefs[middle:])
        if self._failures == failures:
            self._limit = min(self._limit, len(hrefs) - middle)
        return found

    def _multiget(self, hrefs: list[Href]) -> dict[Href, Content] | None:
        """What a multiget tells about a batch; None after a failure that a smaller batch may not have."""
        if self._alone >= TRIES:
            return {}  # nothing was ever answered, not even about a single object: no multiget here
        try:
            answer = self._dav.report(self._url, 1, calendar_multiget(hrefs), timeout=MULTIGET_TIMEOUT)
            if answer.status >= 300:
                raise failure(answer)
            found = parse_multistatus(answer)
        except (Refused, Gone, BadAnswer, ServerFault, Unreachable) as exc:
            self._failures += 1
            self._unreachable += isinstance(exc, Unreachable)
            self._alone += len(hrefs) == 1
            if self._unreachable > TRIES:
                raise
            return None
        self._alone = -len(hrefs)
        answers: dict[Href, Content] = {}
        for resource in found.resources:
            text = resource.props.get(CAL + "calendar-data")
            if resource.status in (404, 410):
                answers[resource.href] = None
            elif text is not None and text.text and resource.etag:
                answers[resource.href] = (text.text.encode(), resource.etag)
        return answers

    def _single(self, href: Href) -> Content:
        try:
            answer = self._dav.get(object_url(self._calendar, href))
        except (Refused, BadAnswer) as exc:
            return Event(href, "", "", problem=f"not readable: {exc.detail}")
        return None if answer is None else (answer.content, answer.etag)


def _digest(etags: Mapping[Href, ETag]) -> str:
    return hashlib.sha256("\n".join(f"{href} {etag}" for href, etag in sorted(etags.items())).encode()).hexdigest()


def still_there(dav: Dav, calendar: Calendar) -> None:
    """Returns if the calendar answers as one. Raises `CalendarGone` or whatever else is the matter."""
    found = dav.propfind(collection_url(calendar), 0, DAV + "resourcetype").of(collection_path(calendar))
    if found is None or CAL + "calendar" not in found.children(DAV + "resourcetype"):
        raise CalendarGone("there is no calendar at that address any more")
