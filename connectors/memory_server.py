"""A calendar server in memory: iCalendar objects in collections, shared by any number of connectors and threads.

Its methods are what an operator does in a calendar app, what tests do to a server, and what the reference Connector
(`connectors/memory.py`) is made of.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import ClassVar

from connectors.errors import CalendarGone, ConnectorError
from connectors.ical.contentline import component, content_line, escape, utc
from connectors.ical.objects import parse_object
from connectors.model import Calendar, ETag, Event, Href, Period
from connectors.protocol import Channel


@dataclass(slots=True)
class StoredObject:
    """The bytes of one object and their entity tag."""

    raw: bytes
    etag: ETag


@dataclass(slots=True)
class Collection:
    """One calendar. log: version at which each href last changed or vanished. graves: our keys deleted from here. shut:
    it is listed, and nothing else."""

    calendar: Calendar
    objects: dict[Href, StoredObject] = field(default_factory=dict)
    log: dict[Href, int] = field(default_factory=dict)
    graves: set[str] = field(default_factory=set)
    shut: bool = False


@dataclass(slots=True)
class _Failure:
    error: ConnectorError
    call: str
    after: bool


class MemoryServer:
    """A calendar account in memory; thread-safe.

    name: connectors find it by the address ``memory:NAME``; the last one of a name counts. password: if given, other
    secrets raise `NeedsReconnect`. sync_tokens: False models a server that only lists etags. own_addresses: of the
    calendars' owner. calls: ``(call, calendar href)`` of all connectors, in order.
    """

    servers: ClassVar[dict[str, MemoryServer]] = {}

    def __init__(
        self,
        name: str = "",
        *,
        password: str = "",
        sync_tokens: bool = True,
        own_addresses: frozenset[str] = frozenset(),
    ) -> None:
        self.lock = threading.RLock()
        self.password, self.sync_tokens, self.own_addresses = password, sync_tokens, own_addresses
        self.calls: list[tuple[str, str]] = []
        self.channels: dict[str, tuple[Channel, Href, str]] = {}
        self.on_change: Callable[[Channel, str], None] | None = None
        self.collections: dict[Href, Collection] = {}
        self._failures: list[_Failure] = []
        self.version = self.epoch = self.empty = self._names = 0
        if name:
            self.servers[name] = self

    # what an operator does

    def add_calendar(
        self,
        name: str,
        timezone: str = "UTC",
        *,
        writable: bool = True,
        transparent: bool = False,
        primary: bool = False,
    ) -> Calendar:
        """A new, empty calendar; its href is made of the name."""
        calendar = Calendar(f"/{name}/", name, timezone, writable, transparent, primary)
        with self.lock:
            self.collections[calendar.href] = Collection(calendar)
        return calendar

    def shut(self, calendar: Calendar) -> None:
        """The calendar is still in the list of this account, but its owner shows nothing of it any more."""
        with self.lock:
            self.collections[calendar.href].shut = True

    def remove_calendar(self, calendar: Calendar) -> None:
        """The calendar is gone, or no longer shared with this account."""
        with self.lock:
            del self.collections[calendar.href]

    def put(self, calendar: Calendar, raw: bytes, href: Href = "") -> Href:
        """Store an iCalendar object as any calendar app would, new or over what is there. Returns its href."""
        with self.lock:
            self._names += 1
            return self.store(self.collection(calendar), href or f"{calendar.href}{self._names}.ics", raw)

    def add_event(
        self,
        calendar: Calendar,
        start: datetime | date,
        end: datetime | date,
        title: str = "Busy",
        *,
        lines: Sequence[str] = (),
    ) -> Href:
        """A simple event: aware datetimes, or dates for all-day. lines: more content lines (``RRULE:…``)."""
        with self.lock:
            uid = f"event-{self._names + 1}@memory"
        return self.put(calendar, simple_object(uid, start, end, title, lines))

    def move(self, calendar: Calendar, href: Href, start: datetime, end: datetime) -> None:
        """Give an event other times."""
        with self.lock:
            raw = self.raw(calendar, href)
            self.put(calendar, _with_times(raw, start, end), href)

    def move_to(self, calendar: Calendar, href: Href, other: Calendar) -> Href:
        """Drag an event to another calendar. Returns its href there."""
        with self.lock:
            raw = self.raw(calendar, href)
            moved = self.put(other, raw, other.href + href.rpartition("/")[2])
            self.remove(calendar, href)
            return moved

    def remove(self, calendar: Calendar, href: Href) -> None:
        """Delete an event."""
        with self.lock:
            collection = self.collection(calendar)
            event = self.parsed(collection, href, _NEVER)
            if event.own_key:
                collection.graves.add(event.own_key)
            del collection.objects[href]
            self._changed(collection, href)

    def raw(self, calendar: Calendar, href: Href) -> bytes:
        """The stored bytes."""
        with self.lock:
            return self.collection(calendar).objects[href].raw

    def hrefs(self, calendar: Calendar) -> list[Href]:
        """What the calendar holds."""
        with self.lock:
            return list(self.collection(calendar).objects)

    def events(self, calendar: Calendar, window: Period) -> list[Event]:
        """All of the calendar as neutral events."""
        with self.lock:
            collection = self.collection(calendar)
            return [self.parsed(collection, href, window) for href in collection.objects]

    # what a test does to the server

    def fail_next(self, error: ConnectorError, call: str = "", *, times: int = 1, after: bool = False) -> None:
        """The next calls (of that name, or any) raise. after: the work was done, only the answer is lost."""
        with self.lock:
            self._failures.extend(_Failure(error, call, after) for _ in range(times))

    def expire_tokens(self) -> None:
        """All sync tokens given until now are refused."""
        with self.lock:
            self.epoch += 1

    def empty_listing(self, times: int = 1) -> None:
        """The next full listings are empty though nothing was deleted, as a sick server's."""
        with self.lock:
            self.empty += times

    # what connectors call, under the lock

    def collection(self, calendar: Calendar) -> Collection:
        """The collection of a calendar. Raises `CalendarGone`."""
        found = self.collections.get(calendar.href)
        if found is None or found.shut:
            raise CalendarGone(f"no calendar {calendar.href}", status=404)
        return found

    def store(self, collection: Collection, href: Href, raw: bytes) -> Href:
        """Put an object there; returns its href."""
        self._changed(collection, href)
        collection.objects[href] = StoredObject(raw, f'"{self.version}"')
        return href

    def _changed(self, collection: Collection, href: Href) -> None:
        self.version += 1
        collection.log[href] = self.version
        for channel, watched, secret in list(self.channels.values()):
            if watched == collection.calendar.href and self.on_change is not None:
                self.on_change(channel, secret)

    def parsed(self, collection: Collection, href: Href, window: Period) -> Event:
        """One stored object as a neutral event."""
        stored = collection.objects[href]
        return parse_object(
            stored.raw,
            href=href,
            etag=stored.etag,
            window=window,
            timezone=collection.calendar.timezone,
            own_addresses=self.own_addresses,
        )

    def take_failure(self, call: str, after: bool) -> None:
        """Raise the failure that a test has ordered for this call, once."""
        with self.lock:
            for failure in self._failures:
                if failure.after is after and failure.call in ("", call):
                    self._failures.remove(failure)
                    raise failure.error


_NEVER = Period(datetime.fromisoformat("1970-01-01T00:00:00Z"), datetime.fromisoformat("1970-01-01T00:00:00Z"))


def simple_object(
    uid: str, start: datetime | date, end: datetime | date, title: str, lines: Sequence[str] = ()
) -> bytes:
    """A VCALENDAR with one VEVENT: aware datetimes in UTC, or dates. lines: more content lines, as they are."""
    body = [content_line("UID", uid), content_line("DTSTAMP", "20260101T000000Z"), *_times(start, end)]
    body.append(content_line("SUMMARY", escape(title)))
    body.extend(line.encode() + b"\r\n" for line in lines)
    return component("VCALENDAR", [content_line("VERSION", "2.0"), component("VEVENT", body)])


def _times(start: datetime | date, end: datetime | date) -> list[bytes]:
    shown = []
    for name, value in (("DTSTART", start), ("DTEND", end)):
        if isinstance(value, datetime):
            shown.append(content_line(name, utc(value)))
        else:
            shown.append(content_line(name, value.strftime("%Y%m%d"), {"VALUE": "DATE"}))
    return shown


def _with_times(raw: bytes, start: datetime, end: datetime) -> bytes:
    """The object with other times in its first VEVENT, and nothing else changed."""
    head, begin, rest = raw.partition(b"BEGIN:VEVENT\r\n")
    inner, close, tail = rest.partition(b"END:VEVENT")
    kept = [
        line for line in inner.splitlines(keepends=True) if not line.startswith((b"DTSTART", b"DTEND", b"DURATION"))
    ]
    return b"".join([head, begin, *_times(start, end), *kept, close, tail])
