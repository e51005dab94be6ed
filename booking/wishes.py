"""Where a wish is found by an index, so that finding who fits costs the same however many wait, and for what. Pure.

A wish of days is cut into spans of 1, 2, 4, … days that start at a multiple of their length: at most two of each length;
one of some weekdays, for each of them, into such spans of weeks. Its hours are cut alike, into spans of 1, 2, 4, …
quarters. A moment lies in one span of each length, so few keys find every wish that it may fulfil, and each key's
entries lie in the order of the line. A wish of one start has that start as its only key.

A key is a sum: of a span of days or weeks and of one of hours, which is 0 for the whole day.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

_ANY = 127  # weekdays, as a bit mask
_DAYS = 10  # lengths up to 512 days: no wish is longer
_WEEKS = 7  # up to 64 weeks, likewise
_QUARTERS = 8  # up to 128 quarters, which is more than a day has
_ROOM, _WEEKDAYS, _HOURS = 32, 36, 40  # bits: below is the number of a span, then its length, the weekday, the hours
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def keys_of(
    start: datetime | None, first: date, last: date, weekdays: int = _ANY, between: tuple[int, int] = (0, 1440)
) -> list[int]:
    """The keys under which a wish is filed, none for days that never come. Days are the operator's, both included;
    weekdays: bit mask, Monday 1; between: half-open minutes of the day."""
    if start is not None:
        return [key_of_start(start)]
    end = 1 << _QUARTERS - 1 if between[1] == 1440 else -(-between[1] // 15)
    hours = [_hours(*span) for span in _spans(between[0] // 15, end)]
    return [days + quarters for days in _keys_of_days(first, last, weekdays) for quarters in hours]


def _keys_of_days(first: date, last: date, weekdays: int) -> Iterator[int]:
    low, high = first.toordinal(), last.toordinal() + 1
    if weekdays == _ANY:
        yield from (_key(*span) for span in _spans(low, high))
        return
    for weekday in range(1, 8):
        if weekdays & 1 << weekday - 1:
            # Day 1 was a Monday: the number of a day's week is that of the weeks that lie before it whole.
            weeks = _spans((low - weekday + 6) // 7, (high - weekday + 6) // 7)
            yield from (_key(*span, weekday) for span in weeks)


def keys_of_day(day: date) -> list[int]:
    """What the keys of every wish of days that this day may fulfil begin with; with each of `keys_of_minute` it is one."""
    number, weekday = day.toordinal(), day.isoweekday()
    return [
        *(_key(length, number >> length) for length in range(_DAYS)),
        *(_key(length, (number - weekday) // 7 >> length, weekday) for length in range(_WEEKS)),
    ]


def keys_of_minute(minute: int) -> list[int]:
    """What the hours that this minute of the day lies in add to a key."""
    return [_hours(length, minute // 15 >> length) for length in range(_QUARTERS)]


def key_of_start(start: datetime) -> int:
    """The key of wishes of exactly this start; negative, so that it is no span of days."""
    return -1 - (start - _EPOCH) // timedelta(microseconds=1)


def _spans(low: int, high: int) -> Iterator[tuple[int, int]]:
    """``(length, number)`` of the spans that make up ``[low, high)``: from ``number << length`` on, ``1 << length`` long."""
    length = 0
    while low < high:
        if low & 1:
            yield length, low
            low += 1
        if high & 1:
            high -= 1
            yield length, high
        low, high, length = low >> 1, high >> 1, length + 1


def _key(length: int, number: int, weekday: int = 0) -> int:
    return weekday << _WEEKDAYS | length << _ROOM | number


def _hours(length: int, number: int) -> int:
    """The spans of quarters counted from the longest on, which is the whole day."""
    return ((1 << _QUARTERS - 1 - length) + number - 1) << _HOURS
