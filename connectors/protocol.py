"""What every provider can do. Seven calls; everything else is built on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, runtime_checkable

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


@dataclass(frozen=True, slots=True)
class Credentials:
    """How to get in. url: user-given for CalDAV and feeds. secret: password, or the OAuth token cache as JSON."""

    provider: str
    url: str = ""
    username: str = ""
    secret: str = ""


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Addresses and application identities; production values unless an emulator stands in."""

    allow_private_networks: bool = False
    google_client_id: str = ""
    google_client_secret: str = ""
    google_api_root: str = "https://www.googleapis.com"
    google_oauth_root: str = ""
    microsoft_client_id: str = ""
    microsoft_client_secret: str = ""
    microsoft_tenant: str = "common"
    microsoft_graph_root: str = "https://graph.microsoft.com"
    microsoft_authority: str = "https://login.microsoftonline.com"


SaveSecret = Callable[[str], None]
"""Called with the new secret whenever a provider rotates it (OAuth refresh)."""


class Turns(Protocol):
    """A connector's turns among all that call its account, in whatever process: where a provider bounds them."""

    def __call__(self) -> AbstractContextManager[object]:
        """Opened around each call. May raise `Throttled`; nothing was sent then."""
        ...

    def close(self) -> None:
        """The last call was made; idempotent."""
        ...


TakeTurns = Callable[[str, int], Turns]
"""``(account, at_once)``: the account in the provider's words, and how many calls it may have under way."""


class Connector(Protocol):
    """One account at one provider, opened for a short while in one thread; a context manager.

    Raises only the tree of `connectors/errors.py`. Holds no state that outlives it.
    """

    provider: str

    def calendars(self) -> Sequence[Calendar]:
        """Every event calendar of the account. Also the proof that the credentials work."""
        ...

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
        """Changes in one calendar since a token, or everything (``since=None``).

        window: occurrences are expanded inside it; objects outside may be left out. Objects that can't be read
        come as an `Event` with ``problem`` set, never as an exception. Raises `SyncTokenExpired`.
        """
        ...

    def fetch(self, calendar: Calendar, href: Href, window: Period) -> Event:
        """One object as it is now, asked for directly, never from a cache or search. Raises `Gone` only if the
        server says that this object isn't there while its calendar answers; else `CalendarGone` or another error."""
        ...

    def find(self, calendars: Sequence[Calendar], entry_key: str, uid: str, window: Period) -> Found | None:
        """Where our event lives now, searched in the given calendars (an operator may drag it to another). None
        only if every calendar answered and none holds it."""
        ...

    def create(self, calendar: Calendar, entry: Entry, *, quirks: Quirks) -> Written:
        """Put a new event there once. Repeating with the same ``entry.key`` adopts what is there (``adopted=True``)
        instead of making a second one. Raises `Gone` if that key was there before and has been deleted since."""
        ...

    def update(self, calendar: Calendar, entry: Entry, href: Href, etag: ETag, *, quirks: Quirks) -> Written:
        """Change our event and keep what the operator wrote beside it. Raises `Gone`, or `Conflict` if it isn't at
        ``etag`` any more; an empty etag overwrites what was just read."""
        ...

    def delete(self, calendar: Calendar, href: Href, etag: ETag = "") -> None:
        """Delete our event; one that isn't there is success. Raises `Conflict` if ``etag`` is given and differs."""
        ...

    def selftest(self, calendar: Calendar, *, write: bool) -> Quirks:
        """What does this server honour? write: also put and delete a probe event (only in a ``bookings`` calendar)."""
        ...

    def close(self) -> None:
        """Close connections; idempotent."""
        ...

    def __enter__(self) -> Connector: ...

    def __exit__(self, *exc: object) -> None: ...


@dataclass(frozen=True, slots=True)
class Channel:
    """A push channel at the provider. expires_at: as the provider granted it, UTC."""

    id: str
    resource_id: str
    expires_at: datetime


@runtime_checkable
class Sweeping(Protocol):
    """Providers where a repeated create may leave a second event: it can't be refused, and shows late."""

    def sweep(self, calendar: Calendar, entry_key: str, keep_href: Href) -> tuple[Href, ...]:
        """Delete events of ours that carry this key, but for `keep_href`; returns what was deleted. Nothing happens while
        that one can't be seen."""
        ...


@runtime_checkable
class Watching(Protocol):
    """Providers that can call us when something changed. A call is a hint; the pull is the truth."""

    def watch(self, calendar: Calendar, *, channel_id: str, secret: str, address: str, expires_at: datetime) -> Channel:
        """Open a channel. Raises `Refused` where this calendar can't be watched (it is polled then)."""
        ...

    def renew(self, channel: Channel, expires_at: datetime) -> Channel | None:
        """Extend in place; None where the provider has no renewal and a new channel must be opened."""
        ...

    def unwatch(self, channel: Channel) -> None:
        """Close it; an unknown or expired one is success."""
        ...
