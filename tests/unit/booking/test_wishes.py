"""Keys of wishes: each moment of a wish is found by exactly one of them, and no other moment by any."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from booking.wishes import key_of_start, keys_of, keys_of_day, keys_of_minute

DAY = timedelta(days=1)
days = st.dates(date(2026, 1, 1), date(2030, 1, 1))


@settings(max_examples=200)
@given(first=days, length=st.integers(0, 367), offset=st.integers(-40, 420))
def test_a_day_is_found_where_the_wish_has_it(first: date, length: int, offset: int) -> None:
    last, day = first + length * DAY, first + offset * DAY
    keys = keys_of(None, first, last)
    assert len(keys) == len(set(keys)) <= 18
    assert len(set(keys) & set(keys_of_day(day))) == (1 if first <= day <= last else 0)


def test_one_start_is_its_own_key_and_no_day() -> None:
    start = datetime(2026, 12, 1, 9, tzinfo=UTC)
    assert keys_of(start, start.date(), start.date()) == [key_of_start(start)]
    assert key_of_start(start) != key_of_start(start + timedelta(microseconds=1))
    assert key_of_start(start) not in keys_of_day(start.date())
    assert key_of_start(start) < 0 < min(keys_of_day(start.date()))


def keys_of_moment(day: date, minute: int) -> set[int]:
    found = [key + hours for key in keys_of_day(day) for hours in keys_of_minute(minute)]
    assert len(found) == len(set(found))
    return set(found)


@settings(max_examples=300)
@given(
    first=days,
    length=st.integers(0, 367),
    offset=st.integers(-40, 420),
    weekdays=st.integers(1, 127),
    quarters=st.lists(st.integers(0, 96), min_size=2, max_size=2, unique=True).map(sorted),
    minute=st.integers(0, 1439),
)
def test_a_moment_is_found_where_the_wish_has_it(
    first: date, length: int, offset: int, weekdays: int, quarters: list[int], minute: int
) -> None:
    last, day = first + length * DAY, first + offset * DAY
    begin, end = (quarter * 15 for quarter in quarters)
    keys = keys_of(None, first, last, weekdays, (begin, end))
    assert len(keys) == len(set(keys))
    wanted = first <= day <= last and weekdays & 1 << day.weekday() and begin <= minute < end
    assert len(set(keys) & keys_of_moment(day, minute)) == bool(wanted)


def test_what_people_usually_wish_for_has_few_keys() -> None:
    first, last = date(2026, 12, 1), date(2027, 2, 28)
    assert len(keys_of(None, first, last)) <= 12
    mornings = keys_of(None, first, last, 127, (0, 720))
    assert len(mornings) <= 24
    assert len(keys_of(None, first, last, 0b0011111, (9 * 60, 17 * 60))) <= 100


def test_hours_are_those_whose_quarters_the_minutes_touch() -> None:
    day = date(2026, 12, 1)
    keys = set(keys_of(None, day, day, 127, (9 * 60 + 20, 10 * 60 + 1)))
    found = [minute for minute in range(0, 1440, 5) if keys & keys_of_moment(day, minute)]
    assert found == list(range(9 * 60 + 15, 10 * 60 + 15, 5))


def test_a_wish_of_days_that_never_come_has_no_keys() -> None:
    assert keys_of(None, date(2026, 12, 1), date(2026, 12, 2), 0b1) == []  # a Tuesday and a Wednesday; Mondays wanted
