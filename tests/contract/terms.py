"""What every part of the contract needs: the days, an entry of ours, a calendar as a ledger knows it, the fixtures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from connectors.errors import SyncTokenExpired
from connectors.model import Busy, Calendar, ChangeSet, Entry, Event, Occurrence, Period, Quirks, SyncToken
from connectors.protocol import Connector

BERLIN = ZoneInfo("Europe/Berlin")
WINDOW = Period(datetime(2027, 1, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC))
MONDAY = datetime(2027, 3, 1, 10, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
WEEK = timedelta(days=7)

Opener = Callable[[], Connector]


def entry(number: int = 1, **changes: object) -> Entry:
    """An entry of ours, next to any other number's."""
    key = f"slcontract{number:020d}"
    made = Entry(
        key=key,
        uid=f"{key}@slots.example",
        marker=f"contract:{number}:0",
        period=Period(MONDAY, MONDAY + HOUR),
        title="Check-up, first visit; Ada L.",
        description="Phone: 0123\nhttps://slots.example/m/abc",
        location="Room 3",
        url="https://slots.example/m/abc",
        created_at=datetime(2026, 11, 1, 8, tzinfo=UTC),
        updated_at=datetime(2026, 11, 1, 8, tzinfo=UTC),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


class Mirror:
    """One calendar as a ledger would know it: pulls with a token, and by the same path without one."""

    def __init__(self, connector: Connector, calendar: Calendar, quirks: Quirks) -> None:
        self.connector, self.calendar, self.quirks = connector, calendar, quirks
        self.events: dict[str, Event] = {}
        self.token: SyncToken | None = None
        self.last = ChangeSet()

    def pull(self) -> ChangeSet:
        """Bring the mirror up to date; a refused token means everything once more."""
        try:
            self.last = self._ask(self.token)
        except SyncTokenExpired:
            assert self.token is not None, "a full listing can't have an expired token"
            self.last = self._ask(None)
        self.token = self.last.token
        if self.last.listed is not None:
            changed = {event.href for event in self.last.changed}
            assert changed <= self.last.listed, "what changed must be among what is listed"
            self.events = {href: event for href, event in self.events.items() if href in self.last.listed}
        for href in self.last.removed:
            self.events.pop(href, None)
        self.events.update({event.href: event for event in self.last.changed})
        return self.last

    def _ask(self, since: SyncToken | None) -> ChangeSet:
        def known() -> dict[str, str]:
            return {href: event.etag for href, event in self.events.items()}

        return self.connector.changes(self.calendar, since, WINDOW, known, quirks=self.quirks)

    def times(self, href: str) -> list[tuple[datetime, datetime]]:
        """Start and end of each occurrence that is still an appointment."""
        return [(o.period.start, o.period.end) for o in self.occurrences(href)]

    def occurrences(self, href: str) -> list[Occurrence]:
        """Those that weren't cancelled, by start."""
        if href not in self.events:
            return []
        return sorted(
            (o for o in self.events[href].occurrences if o.busy is not Busy.NONE), key=lambda o: o.period.start
        )

    def all_times(self) -> list[tuple[datetime, datetime]]:
        """Of all events together, however many objects the server makes of them."""
        return sorted(span for href in self.events for span in self.times(href))

    def ours(self, key: str) -> list[Event]:
        """Events that carry this key of ours and are still appointments."""
        return [event for event in self.events.values() if event.own_key == key and self.times(event.href)]


class Terms:
    """What the server can do, and the fixtures that follow from those of the subclass."""

    zone = "Europe/Berlin"
    knows_deleted_keys = True
    """Does the server remember keys of deleted events, so that create can raise Gone?"""
    stores_broken = True
    """Can another app store an object there that can't be read?"""
    atomic_create = True
    """Does the server itself refuse the second of two creates at the same time? Else `settle` sweeps."""

    # fixtures that need no change

    @pytest.fixture
    def connector(self, open_connector: Opener) -> Connector:
        return open_connector()

    @pytest.fixture
    def quirks(self, connector: Connector, calendar: Calendar) -> Quirks:
        return connector.selftest(calendar, write=True)

    @pytest.fixture
    def mirror(self, connector: Connector, calendar: Calendar, quirks: Quirks) -> Mirror:
        mirror = Mirror(connector, calendar, quirks)
        mirror.pull()
        return mirror

    def settle(self, calendar: Calendar) -> None:
        """Called after each change, before it is looked for: for servers that need a moment or a sweep."""

    def missing_href(self, calendar: Calendar) -> str:
        """The href of a calendar that doesn't exist."""
        head, _, tail = calendar.href.rstrip("/").rpartition("/")
        return calendar.href.replace(f"{head}/{tail}", f"{head}/no-such-calendar") if head else "no-such-calendar"
