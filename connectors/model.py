"""Neutral values that every provider speaks.

Instants are aware datetimes in UTC, periods are half-open, all-day days are floating dates resolved
with the calendar's zone when they are read. Names follow RFC 5545 and RFC 4791.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum

ETag = str
"""An entity tag exactly as the server sent it, quotes and ``W/`` included."""
Href = str
"""What names one object in its calendar: decoded path (CalDAV), event id (Google, Graph)."""


@dataclass(frozen=True, slots=True, order=True)
class Period:
    """A half-open span of time, ``start <= t < end``, both aware and in UTC."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        for name in ("start", "end"):
            value: datetime = getattr(self, name)
            if value.tzinfo is None:
                raise ValueError(f"Period.{name} must be aware")
            if value.tzinfo is not UTC:
                object.__setattr__(self, name, value.astimezone(UTC))
        if self.end < self.start:
            raise ValueError("Period.end is before its start")

    @property
    def duration(self) -> timedelta:
        """Elapsed time between start and end."""
        return self.end - self.start

    def overlaps(self, other: Period) -> bool:
        """Do both share an instant? A period of zero length overlaps nothing."""
        return max(self.start, other.start) < min(self.end, other.end)

    def contains(self, other: Period) -> bool:
        """Does ``other`` lie wholly inside?"""
        return self.start <= other.start and other.end <= self.end

    def intersection(self, other: Period) -> Period | None:
        """The shared part, or None where there is none."""
        start, end = max(self.start, other.start), min(self.end, other.end)
        return Period(start, end) if start < end else None

    def widened(self, before: timedelta, after: timedelta) -> Period:
        """The same period with room added on both sides."""
        return Period(self.start - before, self.end + after)


class Busy(StrEnum):
    """How an occurrence takes its owner's time (PROVIDERS E2; RFC 5545 §3.2.9 FBTYPE)."""

    NONE = "none"  # cancelled: no appointment any more
    FREE = "free"  # transparent, declined, somebody else's
    TENTATIVE = "tentative"  # marked tentative by its owner
    UNANSWERED = "unanswered"  # an invitation nobody has answered yet
    BUSY = "busy"


class PartStat(StrEnum):
    """RFC 5545 §3.2.12."""

    NEEDS_ACTION = "NEEDS-ACTION"
    ACCEPTED = "ACCEPTED"
    TENTATIVE = "TENTATIVE"
    DECLINED = "DECLINED"
    DELEGATED = "DELEGATED"


@dataclass(frozen=True, slots=True)
class Attendee:
    """A person in an event. ``email`` is lower-case and without ``mailto:``."""

    email: str
    name: str = ""
    partstat: PartStat = PartStat.NEEDS_ACTION
    is_self: bool = False


@dataclass(frozen=True, slots=True)
class Calendar:
    """One remote collection as its provider lists it.

    href: CalDAV collection URL, Google or Graph calendar id. timezone: IANA name or ``""`` if unknown.
    transparent: the whole calendar does not count as busy (RFC 6638 §9.1).
    """

    href: str
    name: str
    timezone: str = ""
    writable: bool = True
    transparent: bool = False
    primary: bool = False
    color: str = ""


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One instance of an event inside the asked window.

    period: UTC; of an all-day one the midnights of the calendar's zone. recurrence_id: original start as
    ``YYYYMMDDTHHMMSSZ`` or ``YYYYMMDD`` and stable over moves, ``""`` for an event that doesn't recur.
    """

    period: Period
    busy: Busy = Busy.BUSY
    all_day: bool = False
    recurrence_id: str = ""
    title: str = ""
    categories: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Event:
    """One remote object: a single event, or a series with all its exceptions, expanded in the window.

    own_key: the key we put there (``Entry.key``), or ``""`` for a foreign event. cancelled: kept, but marked
    cancelled by its owner. problem: why the object couldn't be read in full; its occurrences then cover what
    could be read, as busy. attendees: only filled where we are the voice's guest list (provider mode).
    Title and categories serve ``availability`` calendars and our own events; callers store nothing else.
    """

    href: Href
    etag: ETag
    uid: str
    occurrences: tuple[Occurrence, ...] = ()
    sequence: int = 0
    own_key: str = ""
    recurring: bool = False
    cancelled: bool = False
    problem: str = ""
    attendees: tuple[Attendee, ...] = ()
    attendees_complete: bool = True


@dataclass(frozen=True, slots=True)
class SyncToken:
    """Where a calendar was last read. kind: ``sync`` (RFC 6578), ``ctag``, ``google``, ``graph``, ``feed``, …; opaque to all but the provider."""

    kind: str
    value: str


@dataclass(frozen=True, slots=True)
class ChangeSet:
    """What one pull learned.

    changed: new or different objects. removed: hrefs that the server named as gone. listed: every href that
    exists, if the server listed the whole calendar, else None; a known href missing there is *absent*, which
    is a weaker sign than removed. token: where to go on; None where the provider has none.
    """

    changed: tuple[Event, ...] = ()
    removed: tuple[Href, ...] = ()
    listed: frozenset[Href] | None = None
    token: SyncToken | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """The event that we want in an operator's calendar: desired state, the same words for every provider.

    key: deterministic, ``[a-v0-9]{5,64}``, unique for one event for ever; the provider id, href and UID follow
    from it. marker: ``deployment:slot:generation``. sequence: rises with each change of time. attendee and
    conference: only in provider mode (PROVIDERS D6), then the provider mails the invitation.
    """

    key: str
    uid: str
    marker: str
    period: Period
    title: str
    description: str = ""
    location: str = ""
    url: str = ""
    sequence: int = 0
    timezone: str = "UTC"
    created_at: datetime = datetime(1970, 1, 1, tzinfo=UTC)
    updated_at: datetime = datetime(1970, 1, 1, tzinfo=UTC)
    categories: tuple[str, ...] = ()
    attendees: tuple[Attendee, ...] = ()
    conference: bool = False


@dataclass(frozen=True, slots=True)
class Written:
    """What the provider says it now holds. adopted: it was there already from an earlier, unanswered attempt."""

    href: Href
    etag: ETag
    adopted: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """Where an event of ours lives now, found in any calendar of the account."""

    calendar: str
    event: Event


@dataclass(frozen=True, slots=True)
class Quirks:
    """What the self-test found out about one calendar; stored beside it and handed back at each opening.

    sync_token: ``trusted``, ``untrusted`` (accepts a wrong token) or ``absent``. if_none_match, etag_on_put:
    None until a probe event was written.
    """

    sync_token: str = "absent"  # noqa: S105 - a state, no secret
    if_none_match: bool | None = None
    etag_on_put: bool | None = None
    notes: tuple[str, ...] = ()
    extra: Mapping[str, str] = field(default_factory=dict)


KnownETags = Callable[[], Mapping[Href, ETag]]
"""Asked only by providers without a token: every href the ledger knows, with its etag."""
Progress = Callable[[int, int], None]
"""``(done, total)`` objects; called from the pulling thread."""
