"""Instants, and where datetimes end. Lengths of components: test_recurrence.py."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from connectors.ical import spans
from connectors.ical.spans import instant, plus, shifted, span, stamp

BERLIN = ZoneInfo("Europe/Berlin")


def test_instants() -> None:
    assert instant(date(2027, 7, 1), BERLIN) == datetime(2027, 6, 30, 22, tzinfo=UTC)
    assert instant(datetime(2027, 7, 1), BERLIN) == datetime(2027, 6, 30, 22, tzinfo=UTC)
    aware = datetime(2027, 7, 1, tzinfo=UTC)
    assert instant(aware, BERLIN) is aware
    assert spans.is_date(date(2027, 7, 1))
    assert not spans.is_date(aware)


@pytest.mark.parametrize("year", [1, 9999])
def test_the_first_and_the_last_day_of_all(year: int) -> None:
    for zone in (BERLIN, ZoneInfo("America/New_York"), ZoneInfo("Pacific/Auckland")):
        for when in (date(year, 1, 1), date(year, 12, 31), datetime(year, 12, 31, 23, 59, 59)):
            begin, end, _, _ = span(when, None, None, zone)
            assert begin.tzinfo is UTC
            assert begin <= end or year == 9999


def test_sums_stay_inside() -> None:
    huge = timedelta(days=999_999_999)
    assert plus(datetime(2027, 1, 1, tzinfo=UTC), huge).year == 9999
    assert shifted(datetime(2027, 1, 1), huge).year == 9999
    assert shifted(datetime(2027, 1, 1), -huge).year == 1
    assert span(datetime(2027, 1, 1, tzinfo=UTC), None, huge, UTC)[1].year == 9999
    assert shifted(datetime(2027, 1, 1), timedelta(days=1)) == datetime(2027, 1, 2)


def test_stamps() -> None:
    assert stamp(datetime(2027, 1, 2, 3, 4, 5, tzinfo=UTC)) == "20270102T030405Z"
    assert stamp(datetime(1, 1, 2, 3, 4, 5, tzinfo=UTC)) == "00010102T030405Z"


def test_the_end_day_of_an_all_day_event_with_a_time() -> None:
    assert spans.last_day(date(2027, 3, 2), BERLIN) == date(2027, 3, 2)
    assert spans.last_day(datetime(2027, 3, 2), BERLIN) == date(2027, 3, 2)
    assert spans.last_day(datetime(2027, 3, 2, 0, 0, 1), BERLIN) == date(2027, 3, 3)
    assert spans.last_day(datetime(2027, 3, 1, 23, tzinfo=UTC), BERLIN) == date(2027, 3, 2)
