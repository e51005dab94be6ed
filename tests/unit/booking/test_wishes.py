"""Keys of wishes: each day of a wish is found by exactly one of them, and no other day by any."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from booking.wishes import key_of_start, keys_of, keys_of_day, shape_of

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


def test_hours_are_those_that_the_minutes_touch() -> None:
    assert shape_of(None, 127, (0, 1440)) == (127, 0, 24)
    assert shape_of(None, 3, (9 * 60 + 30, 10 * 60 + 1)) == (3, 9, 11)
    assert shape_of(datetime(2026, 12, 1, 9, tzinfo=UTC), 127, (0, 1440)) == (0, 0, 0)
