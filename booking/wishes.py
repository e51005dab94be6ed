"""Where a wish is found by an index, so that finding who fits costs the same however many wait. Pure.

A wish of days is cut into spans of 1, 2, 4, … days that start at a multiple of their length: at most two of each length.
A day lies in one span of each length, so ten keys find every wish that a day may fulfil, and each key's entries lie in
the order of the line. A wish of one start has that start as its only key.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

_LENGTHS = 10  # up to 512 days: no wish is longer
_ROOM = 32
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def shape_of(start: datetime | None, weekdays: int, between: tuple[int, int]) -> tuple[int, int, int]:
    """``(weekdays, first_hour, last_hour)``: the hours that the wish's minutes touch, half-open; zeros for one start."""
    if start is not None:
        return (0, 0, 0)
    return (weekdays, between[0] // 60, -(-between[1] // 60))


def keys_of(start: datetime | None, first: date, last: date) -> list[int]:
    """The keys under which a wish is filed. Days are the operator's; both are included."""
    if start is not None:
        return [key_of_start(start)]
    keys = []
    low, high = first.toordinal(), last.toordinal() + 1
    length = 0
    while low < high:
        if low & 1:
            keys.append(_key(length, low))
            low += 1
        if high & 1:
            high -= 1
            keys.append(_key(length, high))
        low, high, length = low >> 1, high >> 1, length + 1
    return keys


def keys_of_day(day: date) -> list[int]:
    """The keys of every wish of days that this day may fulfil."""
    number = day.toordinal()
    return [_key(length, number >> length) for length in range(_LENGTHS)]


def key_of_start(start: datetime) -> int:
    """The key of wishes of exactly this start; negative, so that it is no span of days."""
    return -1 - (start - _EPOCH) // timedelta(microseconds=1)


def _key(length: int, number: int) -> int:
    return length << _ROOM | number
