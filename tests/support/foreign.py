"""What another calendar app does beside us: a neutral event, and its iCalendar form for servers that store that."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from typing import Protocol

from connectors.model import Calendar, Href

When = date | datetime


@dataclass(frozen=True)
class Foreign:
    """An event as somebody else's app makes it. start, end: aware datetimes with a ZoneInfo or UTC, or dates for
    all-day (end exclusive). rrule: the value of an RRULE. moved: original start → new start and end. deleted: original
    starts. declined, unanswered: the calendar's owner is invited and said no, or nothing yet."""

    title: str
    start: When
    end: When
    rrule: str = ""
    moved: dict[When, tuple[When, When]] = field(default_factory=dict)
    deleted: tuple[When, ...] = ()
    tentative: bool = False
    transparent: bool = False
    declined: bool = False
    unanswered: bool = False


class Operator(Protocol):
    """The other client. Each call returns when the server has done it."""

    def add(self, calendar: Calendar, event: Foreign) -> Href:
        """Make an event; the href under which our connector will see it."""
        ...

    def replace(self, calendar: Calendar, href: Href, event: Foreign) -> None:
        """Change a foreign event of his to this, keeping its identity (also: move or delete occurrences)."""
        ...

    def move(self, calendar: Calendar, href: Href, start: datetime, end: datetime) -> None:
        """Drag any single event, also one of ours, to another time; all else stays."""
        ...

    def delete(self, calendar: Calendar, href: Href) -> None:
        """Delete any event."""
        ...

    def move_to(self, calendar: Calendar, href: Href, other: Calendar) -> None:
        """Drag an event to another calendar of the account."""
        ...

    def annotate(self, calendar: Calendar, href: Href) -> None:
        """Add something of his own to an event of ours: an alarm, a colour, a note in a field that we don't write."""
        ...

    def annotations(self, calendar: Calendar, href: Href) -> object:
        """What is there of that now; compared with == before and after our update."""
        ...

    def copies(self, calendar: Calendar, entry_key: str) -> int:
        """How many living events in this calendar carry our key."""
        ...

    def expire_tokens(self) -> None:
        """All sync tokens given until now are no longer valid."""
        ...

    def add_broken(self, calendar: Calendar) -> None:
        """Store an object that can't be read in full; only if the suite's ``stores_broken`` is set."""
        ...


def as_ical(event: Foreign, uid: str, owner: str = "owner@example.org", sequence: int = 0) -> bytes:
    """The event as an iCalendar object. owner: the mail address of the calendar's owner, invited where it matters."""
    bodies = [_vevent(event, uid, owner, sequence, event.start, event.end)]
    if event.rrule:
        extra = [f"RRULE:{event.rrule}", *(f"EXDATE{_value(start)}" for start in event.deleted)]
        bodies[0][-1:-1] = extra
    for original, (start, end) in sorted(event.moved.items()):
        body = _vevent(event, uid, owner, sequence, start, end)
        body.insert(1, f"RECURRENCE-ID{_value(original)}")
        bodies.append(body)
    lines = [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        "PRODID:-//Other app//EN",
        *(line for body in bodies for line in body),
        "END:VCALENDAR",
    ]
    return ("\r\n".join(lines) + "\r\n").encode()


def _vevent(event: Foreign, uid: str, owner: str, sequence: int, start: When, end: When) -> list[str]:
    lines = [
        "BEGIN:VEVENT",
        f"UID:{uid}",
        "DTSTAMP:20260101T000000Z",
        f"SEQUENCE:{sequence}",
        f"DTSTART{_value(start)}",
        f"DTEND{_value(end)}",
        f"SUMMARY:{event.title}",
    ]
    if event.tentative:
        lines.append("STATUS:TENTATIVE")
    if event.transparent:
        lines.append("TRANSP:TRANSPARENT")
    if event.declined or event.unanswered:
        partstat = "DECLINED" if event.declined else "NEEDS-ACTION"
        lines.append("ORGANIZER:mailto:host@elsewhere.example")
        lines.append(f"ATTENDEE;PARTSTAT={partstat};RSVP=TRUE:mailto:{owner}")
    return [*lines, "END:VEVENT"]


def _value(when: When) -> str:
    if not isinstance(when, datetime):
        return f";VALUE=DATE:{when:%Y%m%d}"
    if when.tzinfo is UTC:
        return f":{when:%Y%m%dT%H%M%SZ}"
    return f";TZID={when.tzinfo}:{when:%Y%m%dT%H%M%S}"


def with_times(raw: bytes, start: datetime, end: datetime) -> bytes:
    """An iCalendar object with other times in its VEVENT, as an app that changes nothing else would write it."""
    lines = raw.replace(b"\r\n ", b"").decode().split("\r\n")
    first, last = lines.index("BEGIN:VEVENT"), lines.index("END:VEVENT")
    kept = [line for line in lines[first:last] if not line.startswith(("DTSTART", "DTEND", "DURATION"))]
    lines[first:last] = [
        *kept,
        f"DTSTART:{start.astimezone(UTC):%Y%m%dT%H%M%SZ}",
        f"DTEND:{end.astimezone(UTC):%Y%m%dT%H%M%SZ}",
    ]
    return "\r\n".join(lines).encode()


ALARM = "BEGIN:VALARM\r\nACTION:DISPLAY\r\nTRIGGER:-PT15M\r\nDESCRIPTION:Get the room ready\r\nEND:VALARM\r\n"


def with_annotations(raw: bytes) -> bytes:
    """An iCalendar object with an alarm, a colour and a comment of the operator's added to its VEVENT."""
    mine = f"COLOR:teal\r\nCOMMENT:bring the keys\r\n{ALARM}END:VEVENT"
    return raw.replace(b"END:VEVENT", mine.encode(), 1)


def annotations_in(raw: bytes) -> tuple[bool, ...]:
    """Which of `with_annotations` are in the object."""
    text = raw.replace(b"\r\n ", b"")
    return tuple(
        word in text for word in (b"COLOR:teal", b"COMMENT:bring the keys", b"BEGIN:VALARM", b"TRIGGER:-PT15M")
    )


def without(event: Foreign, *starts: When) -> Foreign:
    """The series with these occurrences deleted."""
    return replace(event, deleted=(*event.deleted, *starts))
