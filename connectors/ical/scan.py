"""The fast way through a plain calendar object: one VEVENT of well-known properties, read in one pass. Pure.

Most objects of a first sync are plain, and reading them line by line with the library takes ten times as long. `scan`
gives exactly what the library's way in `connectors/ical/objects.py` gives, or None wherever there is any doubt; the tests hold
both against each other.
"""

from __future__ import annotations

import re
from datetime import tzinfo

from connectors.ical.values import parse_duration, parse_when, texts, unescape
from connectors.ical.vevent import VEvent
from connectors.ical.zones import named_zone

MAX_BYTES = 64 * 1024
"""Bigger objects are not plain."""
_MAX_LINES = 200

_LINES = re.compile(r"(?:[A-Z][A-Z0-9-]*[:;][^\n]*\n)+")
_FRAME = re.compile(r"^(?:BEGIN|END):[^\n]*\n", re.MULTILINE)
# One VEVENT, alarms at its end, zones before or after it.
_ZONE = r"(?:BEGIN:VTIMEZONE\n(?:BEGIN:(?:STANDARD|DAYLIGHT)\nEND:(?:STANDARD|DAYLIGHT)\n)*END:VTIMEZONE\n)*"
_SHAPE = re.compile(
    rf"BEGIN:VCALENDAR\n{_ZONE}BEGIN:VEVENT\n(?:BEGIN:VALARM\nEND:VALARM\n)*END:VEVENT\n{_ZONE}END:VCALENDAR\n"
)
_WANTED = re.compile(
    r"^(UID|DTSTART|DTEND|DURATION|RRULE|EXDATE|RDATE|RECURRENCE-ID|SEQUENCE|STATUS|TRANSP|SUMMARY|CATEGORIES"
    r"|X-MICROSOFT-CDO-BUSYSTATUS|X-SLOTLEDGER-KEY)([:;][^\n]*)$",
    re.MULTILINE,
)
_NAMED_ZONE = re.compile(r";TZID=([A-Za-z][A-Za-z0-9_/+-]*)\Z")
_HARMLESS = re.compile(r"(?:;[A-Z][A-Z0-9-]*=[A-Za-z0-9_./+-]+)*\Z")


class _Doubt(Exception):
    """Better left to the library."""


def scan(raw: bytes, own_addresses: frozenset[str]) -> VEvent | None:
    """The VEVENT of a plain object, or None if the library must read it."""
    body = _plain_body(raw)
    if body is None or (own_addresses and _mentions(body, own_addresses)):
        return None
    part = VEvent()
    seen: set[str] = set()
    try:
        for match in _WANTED.finditer(body):
            name, rest = match.groups()
            head, colon, value = rest.partition(":")
            if not colon or (name in seen and name not in ("EXDATE", "RRULE", "CATEGORIES")):
                return None
            seen.add(name)
            _property(part, name, head, value.strip())
    except (_Doubt, ValueError, OverflowError):
        return None
    return part if part.uid and part.start is not None else None


def _plain_body(raw: bytes) -> str | None:
    """Unfolded own lines of the only VEVENT, None if the object is anything else."""
    if len(raw) > MAX_BYTES or b"\n\n" in raw or b"\r\n\r\n" in raw:
        return None
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return None
    text = text.replace("\r\n", "\n")
    if "\n " in text:
        text = text.replace("\n ", "")
    if "\n\t" in text:
        text = text.replace("\n\t", "")
    if not text.endswith("\n"):
        text += "\n"
    if "\r" in text or not _SHAPE.fullmatch("".join(_FRAME.findall(text))) or not _LINES.fullmatch(text):
        return None
    start = text.index("BEGIN:VEVENT\n") + 13
    end = text.index("END:VEVENT\n", start)
    alarms = text.find("BEGIN:VALARM\n", start, end)
    if alarms >= 0:
        if not text.endswith("END:VALARM\n", start, end):
            return None  # properties after an alarm
        end = alarms
    if text.count("\n", start, end) > _MAX_LINES:
        return None
    return text[start:end]


def _mentions(body: str, own_addresses: frozenset[str]) -> bool:
    """Could the owner be among the people of this event?"""
    if "ATTENDEE" not in body and "ORGANIZER" not in body:
        return False
    lower = body.lower()
    return "%" in lower or any(address in lower for address in own_addresses)


def _property(part: VEvent, name: str, head: str, value: str) -> None:
    if name in ("DTSTART", "DTEND"):
        moment = parse_when(value, _zone(head))
        if name == "DTSTART":
            part.start = moment
        else:
            part.end = moment
    elif name == "EXDATE":
        zone = _zone(head)
        part.exdates.extend(parse_when(text.strip(), zone) for text in value.split(",") if text.strip())
    elif not _HARMLESS.match(head) or name in ("RDATE", "RECURRENCE-ID"):
        raise _Doubt
    elif name == "UID":
        part.uid = unescape(value)
    elif name == "SUMMARY":
        part.summary = unescape(value)
    elif name == "RRULE":
        part.rules.append(value)
    elif name == "SEQUENCE":
        if not (value.isascii() and value.isdigit()):
            raise _Doubt
        part.sequence = int(value)
    elif name == "STATUS":
        part.status = value.upper()
    elif name == "TRANSP":
        part.transp = value.upper()
    elif name == "CATEGORIES":
        part.categories = (part.categories or ()) + texts(value)
    elif name == "DURATION":
        part.duration = parse_duration(value)
    elif name == "X-SLOTLEDGER-KEY":
        part.key = value
    else:
        part.busystatus = value.upper()


def _zone(head: str) -> tzinfo | None:
    """Of the parameters before a time; None for none, and for VALUE=DATE."""
    if not head or head == ";VALUE=DATE":
        return None
    match = _NAMED_ZONE.match(head)
    zone = named_zone(match.group(1)) if match else None
    if zone is None:
        raise _Doubt
    return zone
