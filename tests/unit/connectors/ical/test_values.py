"""Values of RFC 5545 against the icalendar library, which forgives more."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icalendar.parser.property import split_on_unescaped_comma, unescape_backslash
from icalendar.prop import vDatetime, vDuration, vText

from connectors.ical.contentline import escape
from connectors.ical.values import parse_duration, parse_period, parse_when, texts, unescape


def test_dates_and_times() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    assert parse_when("20270110") == date(2027, 1, 10)
    assert parse_when("20270110T090000") == datetime(2027, 1, 10, 9)
    assert parse_when("20270110T090000", berlin) == datetime(2027, 1, 10, 9, tzinfo=berlin)
    assert parse_when("20270110T090000Z", berlin) == datetime(2027, 1, 10, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2027",
        "20270230",
        "20270110T0900",
        "20270110T240000",
        "20270110t090000",
        "20270110T090000z",
        "20270110T09000 ",
        "+0270110",
        "2027011０",
        "20270110T090000+0100",
    ],
)
def test_anything_else_is_no_time(text: str) -> None:
    with pytest.raises(ValueError):
        parse_when(text)


@given(st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31)).map(lambda moment: moment.replace(microsecond=0)))
def test_times_as_the_library_writes_them(moment: datetime) -> None:
    assert parse_when(vDatetime(moment).to_ical().decode()) == moment


@given(
    st.timedeltas(timedelta(days=-5000), timedelta(days=5000)).map(lambda t: t - timedelta(microseconds=t.microseconds))
)
def test_durations_as_the_library_writes_them(length: timedelta) -> None:
    text = vDuration(length).to_ical().decode()
    assert parse_duration(text) == length


@pytest.mark.parametrize("text", ["", "P", "PT", "P1", "1H", "P1H", "PT1D", "-P", "P1.5D", "P１D", "PT5M "])
def test_no_durations(text: str) -> None:
    with pytest.raises(ValueError):
        parse_duration(text)


def test_weeks_and_periods() -> None:
    assert parse_duration("P2W") == timedelta(weeks=2)
    start = datetime(2027, 1, 10, 9, tzinfo=UTC)
    assert parse_period("20270110T090000Z/PT2H") == (start, timedelta(hours=2))
    assert parse_period("20270110T090000Z/20270110T100000Z") == (start, start + timedelta(hours=1))
    with pytest.raises(ValueError):
        parse_period("20270110T090000Z")


TEXT = st.text(st.sampled_from('ab\\,;:nN\n "é'), max_size=20)


@given(TEXT)
def test_text_comes_back(text: str) -> None:
    assert unescape(escape(text)) == text


@given(TEXT)
def test_text_as_the_library_reads_it(text: str) -> None:
    assert unescape(text) == unescape_backslash(text)


@given(st.lists(st.text(st.sampled_from("ab,;\\"), min_size=1, max_size=5), max_size=4))
def test_lists_of_texts_as_the_library_reads_them(words: list[str]) -> None:
    value = ",".join(vText(word).to_ical().decode() for word in words)
    assert texts(value) == tuple(word for word in split_on_unescaped_comma(value) if word) == tuple(words)
