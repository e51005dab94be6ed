"""RFC 5545 §3.3: DATE, DATE-TIME, DURATION and PERIOD values as text, read strictly and without a library. Pure."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, tzinfo

_ESCAPED = re.compile(r"\\([\\,;:nN])")
_UNESCAPED_COMMA = re.compile(r"(?<!\\)(?:\\\\)*,")
_DURATION = re.compile(
    r"([+-]?)P(?:(\d{1,5})W)?(?:(\d{1,6})D)?(?:T(?:(\d{1,6})H)?(?:(\d{1,7})M)?(?:(\d{1,8})S)?)?\Z", re.ASCII
)

When = date | datetime
"""A date (all-day), a naive datetime (floating) or an aware one, as a property's value says it."""


def parse_when(text: str, zone: tzinfo | None = None) -> When:
    """``20270110``, ``20270110T090000`` (in ``zone``, else floating) or ``20270110T090000Z``. Raises ValueError."""
    if not text.isascii():
        raise ValueError("not a date")
    if len(text) == 8 and text.isdigit():
        return date(int(text[:4]), int(text[4:6]), int(text[6:]))
    digits = text[:8] + text[9:15]
    if len(text) not in (15, 16) or text[8] != "T" or not digits.isdigit() or (len(text) == 16 and text[15] != "Z"):
        raise ValueError("not a date-time")
    return datetime(
        int(text[:4]),
        int(text[4:6]),
        int(text[6:8]),
        int(text[9:11]),
        int(text[11:13]),
        int(text[13:15]),
        tzinfo=UTC if len(text) == 16 else zone,
    )


def parse_duration(text: str) -> timedelta:
    """``P1DT2H``, ``-PT15M``, ``P2W``. Raises ValueError."""
    match = _DURATION.match(text)
    if match is None or text.rstrip("T")[-1:] == "P":
        raise ValueError("not a duration")
    sign, weeks, days, hours, minutes, seconds = match.groups()
    length = timedelta(
        weeks=int(weeks or 0),
        days=int(days or 0),
        hours=int(hours or 0),
        minutes=int(minutes or 0),
        seconds=int(seconds or 0),
    )
    return -length if sign == "-" else length


def parse_period(text: str, zone: tzinfo | None = None) -> tuple[When, When | timedelta]:
    """``start/end`` or ``start/duration``. Raises ValueError."""
    start, slash, end = text.partition("/")
    if not slash:
        raise ValueError("not a period")
    return parse_when(start, zone), parse_duration(end) if "P" in end else parse_when(end, zone)


def unescape(text: str) -> str:
    """A TEXT value (§3.3.11) as it is meant; a backslash before anything else stays."""
    if "\\" not in text:
        return text
    return _ESCAPED.sub(lambda found: "\n" if found.group(1) in "nN" else found.group(1), text)


def texts(value: str) -> tuple[str, ...]:
    """A list of TEXT values at its unescaped commas, trimmed, without empty ones."""
    parts, start = [], 0
    for found in _UNESCAPED_COMMA.finditer(value):
        parts.append(value[start : found.end() - 1])
        start = found.end()
    words = (unescape(part).strip() for part in (*parts, value[start:]))
    return tuple(word for word in words if word)
