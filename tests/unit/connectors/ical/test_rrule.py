"""Rules against dateutil, and against time."""

from __future__ import annotations

import time
import warnings
from datetime import UTC, date, datetime, timedelta

import pytest
from dateutil.rrule import rrulestr
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from connectors.ical.rrule import MAX_DAYS_EXAMINED, BadRule, Rule, RuleTooLong, parse_rule, starts

DAYS = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"]


def some(values, most=4):  # type: ignore[no-untyped-def]
    return st.lists(st.sampled_from(list(values)), min_size=1, max_size=most, unique=True).map(
        lambda chosen: ",".join(map(str, chosen))
    )


def signed(limit: int) -> list[int]:
    return [number for number in range(-limit, limit + 1) if number]


@st.composite
def rules(draw) -> str:  # type: ignore[no-untyped-def]
    freq = draw(st.sampled_from(["DAILY", "WEEKLY", "MONTHLY", "YEARLY"]))
    parts = [f"FREQ={freq}"]

    def perhaps(name: str, values, odds: int = 3) -> bool:  # type: ignore[no-untyped-def]
        if draw(st.integers(0, odds)) == 0:
            parts.append(f"{name}={draw(values)}")
            return True
        return False

    perhaps("INTERVAL", st.sampled_from([1, 2, 3, 5, 7, 13]), 2)
    perhaps("COUNT", st.integers(1, 60))
    months = perhaps("BYMONTH", some(range(1, 13)))
    if freq == "YEARLY" and not months:
        perhaps("BYWEEKNO", some([number for number in signed(51) if abs(number) < 51]), 5)
    if freq in ("DAILY", "YEARLY"):
        perhaps("BYYEARDAY", some(signed(366), 30), 5)
    if freq != "WEEKLY":
        perhaps("BYMONTHDAY", some(signed(31)))
    numbers: tuple[object, ...] = ("",)
    if freq == "MONTHLY" or (freq == "YEARLY" and months):
        numbers = draw(st.sampled_from([("",), (1, 2, 4, 5, -1, -2)]))  # dateutil can't mix them
    elif freq == "YEARLY":
        numbers = draw(st.sampled_from([("",), (1, 20, 51, -1, -30)]))
    perhaps("BYDAY", some(f"{number}{day}" for number in numbers for day in DAYS), 1)
    perhaps("BYHOUR", some(range(24)), 4)
    perhaps("BYMINUTE", some(range(60)), 4)
    if freq != "WEEKLY":  # dateutil takes only what is left of the first week
        perhaps("BYSETPOS", some([1, 2, 3, -1, -2], 2), 4)
    perhaps("WKST", st.sampled_from(DAYS), 2)
    return ";".join(parts)


@settings(max_examples=300, deadline=None)
@given(
    rules(),
    # so late that dateutil, which looks on until the year 9999, comes to an end
    st.datetimes(datetime(9978, 1, 1), datetime(9984, 1, 1)).map(
        lambda moment: moment.replace(second=0, microsecond=0)
    ),
    st.integers(-200, 1500),
    st.integers(1, 800),
)
def test_as_dateutil_counts(text: str, start: datetime, after: int, length: int) -> None:
    low = start + timedelta(days=after)
    high = low + timedelta(days=length)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # COUNT together with UNTIL
        theirs = rrulestr(text, dtstart=start).replace(until=high)
        expected = [moment for moment in theirs if moment >= low]
    found = list(starts(parse_rule(text), start, low, high, None))
    if "BYWEEKNO" in text:  # dateutil misses days of January that belong to the last week of the year before
        assert set(expected) <= set(found) or "COUNT" in text or "BYSETPOS" in text
    else:
        assert found == expected


@settings(max_examples=200, deadline=None)
@given(rules(), st.datetimes(datetime(2000, 1, 1), datetime(2030, 1, 1)), st.integers(0, 3000), st.integers(1, 400))
def test_jumping_to_the_window_gives_what_counting_gives(text: str, start: datetime, after: int, length: int) -> None:
    start = start.replace(microsecond=0)
    low = start + timedelta(days=after)
    high = low + timedelta(days=length)
    try:
        everything = list(starts(parse_rule(text), start, start, high, None))
    except RuleTooLong:
        assume(False)
    assert list(starts(parse_rule(text), start, low, high, None)) == [m for m in everything if m >= low]
    assert everything == sorted(set(everything))


def test_ordinals_and_plain_weekdays_may_be_mixed() -> None:
    rule = parse_rule("FREQ=MONTHLY;BYDAY=MO,1TU")
    found = starts(rule, datetime(2027, 3, 1), datetime(2027, 3, 1), datetime(2027, 3, 31), None)
    assert [moment.day for moment in found] == [1, 2, 8, 15, 22, 29]


def test_week_numbers_are_those_of_iso_8601() -> None:
    rule = parse_rule("FREQ=YEARLY;BYWEEKNO=53,1,-1;BYDAY=MO,SU")
    found = [m.date() for m in starts(rule, datetime(2018, 1, 1), datetime(2018, 1, 1), datetime(2032, 1, 1), None)]
    assert found
    for day in found:
        year, week, _ = day.isocalendar()
        assert week in (53, 1) or week == date(year, 12, 28).isocalendar().week


@pytest.mark.parametrize(
    "text",
    [
        "",
        "FREQ",
        "FREQ=",
        "FREQ=FORTNIGHTLY",
        "FREQ=DAILY;COUNT=0",
        "FREQ=DAILY;COUNT=x",
        "FREQ=DAILY;INTERVAL=0",
        "FREQ=DAILY;INTERVAL=-1",
        "FREQ=DAILY;INTERVAL=²",
        "FREQ=DAILY;UNTIL=soon",
        "FREQ=DAILY;UNTIL=20270230",
        "FREQ=DAILY;FREQ=DAILY",
        "FREQ=MONTHLY;BYMONTHDAY=0",
        "FREQ=MONTHLY;BYMONTHDAY=32",
        "FREQ=MONTHLY;BYDAY=0MO",
        "FREQ=MONTHLY;BYDAY=XX",
        "FREQ=MONTHLY;BYDAY=,",
        "FREQ=YEARLY;BYMONTH=13",
        "FREQ=YEARLY;RSCALE=CHINESE;BYMONTH=1",
        "FREQ=DAILY;BYHOUR=24",
        "FREQ=DAILY;BYSETPOS=0",
        "FREQ=DAILY;BYHOUR=" + ",".join(["1"] * 2000),
    ],
)
def test_bad_rules_are_refused(text: str) -> None:
    with pytest.raises(BadRule):
        parse_rule(text)


def test_a_part_that_nobody_knows_is_left_out_and_told() -> None:
    assert parse_rule("FREQ=DAILY;X-MOON=FULL").odd
    assert not parse_rule("freq=daily;interval=2;").odd


def test_until_may_be_a_day_a_local_time_or_utc() -> None:
    assert parse_rule("FREQ=DAILY;UNTIL=20270110").until == date(2027, 1, 10)
    assert parse_rule("FREQ=DAILY;UNTIL=20270110T080000").until == datetime(2027, 1, 10, 8)
    assert parse_rule("FREQ=DAILY;UNTIL=20270110T080000Z").until == datetime(2027, 1, 10, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=DAILY;INTERVAL=7;BYDAY=TU;COUNT=999999999",
        "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=YEARLY;BYYEARDAY=366;BYWEEKNO=1;COUNT=1000000",
        "FREQ=MONTHLY;BYMONTHDAY=31;BYMONTH=6;COUNT=5",
        "FREQ=WEEKLY;BYMONTHDAY=31;BYMONTH=6;BYDAY=MO;COUNT=5",
        "FREQ=DAILY;COUNT=1000000000",
        "FREQ=YEARLY;BYDAY=53MO;BYSETPOS=366",
        "FREQ=DAILY;BYHOUR=" + ",".join(map(str, range(24))) + ";BYMINUTE=" + ",".join(map(str, range(60))),
    ],
)
@pytest.mark.parametrize("since", [1, 1970, 2026])
def test_hostile_rules_end_soon(text: str, since: int) -> None:
    low, high = datetime(2027, 1, 1), datetime(2028, 2, 1)
    began = time.perf_counter()
    number = 0
    try:
        for _ in starts(parse_rule(text), datetime(since, 1, 1), low, high, None):
            number += 1
            if number > 5_000:  # as `expand` does
                break
    except RuleTooLong:
        assert since == 1 or "YEARDAY" in text or "HOUR" in text
    assert time.perf_counter() - began < 0.5  # a tenth of it alone; machines are shared


def test_the_budget_allows_any_honest_rule() -> None:
    assert MAX_DAYS_EXAMINED > 100 * 366
    found = list(
        starts(
            parse_rule("FREQ=DAILY;COUNT=40000"), datetime(1950, 1, 1), datetime(2027, 1, 1), datetime(2027, 1, 9), None
        )
    )
    assert len(found) == 9


def test_the_edges_of_the_calendar_are_no_traps() -> None:
    last = datetime(9999, 12, 31, 23)
    for freq in ("DAILY", "WEEKLY", "MONTHLY", "YEARLY"):
        found = list(starts(Rule(freq), datetime(9999, 12, 1, 5), datetime(9999, 12, 1), last, None))
        assert found[0] == datetime(9999, 12, 1, 5)
    whole = parse_rule("FREQ=YEARLY;BYYEARDAY=-1,1;BYWEEKNO=1,52,53")
    assert list(starts(whole, datetime(1, 1, 1), datetime(1, 1, 1), datetime(1, 12, 31), None))
    assert list(starts(whole, datetime(9998, 1, 1), datetime(9999, 1, 1), last, None))
