"""Start, end and duration of a component to instants (RFC 5545 §3.6.1, §3.8.2): local days, floating times, clamps. Pure."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, tzinfo

from connectors.ical.values import When
from connectors.model import Period

DAY = timedelta(days=1)
ZERO = timedelta(0)
FLOOR, CEILING = datetime(1, 1, 3), datetime(9999, 12, 29)  # noqa: DTZ001 - local times
"""Local times that any zone can still shift."""
_LAST_ORDINAL = CEILING.toordinal() + 1


def instant(value: When, zone: tzinfo) -> datetime:
    """UTC instant of a value; floating times and dates (their midnight) are read in ``zone``."""
    if not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day, tzinfo=zone)
    elif value.tzinfo is None:
        value = value.replace(tzinfo=zone)
    elif value.tzinfo is UTC:
        return value
    try:
        return value.astimezone(UTC)
    except OverflowError:  # the first or last day of all
        return value.replace(tzinfo=UTC)


def is_date(value: When) -> bool:
    """A date and not a datetime?"""
    return not isinstance(value, datetime)


def span(
    start: When, end: When | None, duration: timedelta | None, zone: tzinfo
) -> tuple[datetime, datetime, bool, bool]:
    """``(start, end, all_day, sane)`` of one component in UTC (RFC 5545 §3.6.1 for a missing end).

    An end before the start makes zero length, of an all-day event one day, and ``sane`` False.
    """
    begin, all_day = instant(start, zone), is_date(start)
    if all_day:
        days = 1
        sane = True
        if end is not None:
            days = (last_day(end, zone) - start).days
        elif duration is not None:
            days = -(-duration // DAY)
        if days <= 0:
            days, sane = 1, days == 0
        return begin, instant(date.fromordinal(min(start.toordinal() + days, _LAST_ORDINAL)), zone), True, sane
    if end is not None:
        own = start.tzinfo if isinstance(start, datetime) and start.tzinfo else zone
        finish = instant(end, own if is_date(end) else zone)
    elif duration is not None:
        finish = _later(start, duration, zone)
    else:
        finish = begin
    return begin, max(begin, finish), False, finish >= begin


def touches(begin: datetime, end: datetime, window: Period) -> bool:
    """Does it share time with the window, or start in it where it has no length?"""
    return begin < window.end and (end > window.start or begin == end >= window.start)


def last_day(end: When, zone: tzinfo) -> date:
    """The exclusive end day of an all-day event whose DTEND may be a time."""
    if not isinstance(end, datetime):
        return end
    local = end if end.tzinfo is None else end.astimezone(zone)
    return local.date() if local.time() == time(0) else local.date() + DAY


def _later(start: When, duration: timedelta, zone: tzinfo) -> datetime:
    """A duration's days are nominal, the rest is exact."""
    try:
        return instant(start + timedelta(days=duration.days), zone) + timedelta(seconds=duration.seconds)
    except OverflowError:
        return CEILING.replace(tzinfo=UTC) if duration > ZERO else FLOOR.replace(tzinfo=UTC)


def stamp(value: datetime) -> str:
    """``YYYYMMDDTHHMMSSZ`` of a UTC datetime."""
    text = value.isoformat()  # three times as fast as formatting the parts
    return f"{text[:4]}{text[5:7]}{text[8:13]}{text[14:16]}{text[17:19]}Z"


def plus(moment: datetime, length: timedelta) -> datetime:
    """A UTC instant later, no later than datetimes go."""
    try:
        return moment + length
    except OverflowError:
        return CEILING.replace(tzinfo=UTC)


def shifted(moment: datetime, by: timedelta) -> datetime:
    """A sum that stays inside the years that datetimes have."""
    try:
        return min(max(moment + by, FLOOR), CEILING)
    except OverflowError:
        return FLOOR if by < ZERO else CEILING
