"""Series against recurring-ical-events, and the traps one by one."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import icalendar
import pytest
import recurring_ical_events
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.ical import recurrence
from connectors.ical.recurrence import MAX_INSTANCES, Expansion, Override, Series, expand, series_from_lines
from connectors.model import Period

BERLIN = ZoneInfo("Europe/Berlin")
YORK = ZoneInfo("America/New_York")
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
YEAR = Period(datetime(2027, 1, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC))


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc,arg-type]


def berlin(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=BERLIN)  # type: ignore[misc,arg-type]


def spans(expansion: Expansion) -> list[tuple[datetime, datetime]]:
    return [(instance.start, instance.end) for instance in expansion.instances]


def days(expansion: Expansion) -> list[tuple[int, int]]:
    return [(i.start.astimezone(BERLIN).month, i.start.astimezone(BERLIN).day) for i in expansion.instances]


# single events


def test_a_single_event_has_no_recurrence_id() -> None:
    found = expand(Series(berlin(2027, 3, 1, 9), berlin(2027, 3, 1, 10)), YEAR, BERLIN)
    assert found.instances == [(utc(2027, 3, 1, 8), utc(2027, 3, 1, 9), False, "", -1)]
    assert found.problems == []


@pytest.mark.parametrize(
    ("series", "expected"),
    [
        (Series(date(2027, 3, 28)), (berlin(2027, 3, 28), berlin(2027, 3, 29))),  # 23 hours
        (Series(date(2027, 3, 27), date(2027, 3, 30)), (berlin(2027, 3, 27), berlin(2027, 3, 30))),
        (Series(date(2027, 3, 27), duration=timedelta(days=2)), (berlin(2027, 3, 27), berlin(2027, 3, 29))),
        (Series(date(2027, 3, 27), date(2027, 3, 27)), (berlin(2027, 3, 27), berlin(2027, 3, 28))),
        (Series(date(2027, 3, 27), datetime(2027, 3, 28, 12)), (berlin(2027, 3, 27), berlin(2027, 3, 29))),
        (Series(datetime(2027, 3, 1, 9)), (berlin(2027, 3, 1, 9), berlin(2027, 3, 1, 9))),
        (Series(datetime(2027, 3, 1, 9), duration=HOUR), (berlin(2027, 3, 1, 9), berlin(2027, 3, 1, 10))),
        (Series(utc(2027, 3, 27, 11), duration=DAY), (utc(2027, 3, 27, 11), utc(2027, 3, 28, 11))),
        (Series(berlin(2027, 3, 27, 12), duration=DAY), (berlin(2027, 3, 27, 12), berlin(2027, 3, 28, 12))),
        (
            Series(datetime(2027, 3, 1, 9, tzinfo=YORK), berlin(2027, 3, 1, 16)),
            (utc(2027, 3, 1, 14), utc(2027, 3, 1, 15)),
        ),
        (Series(berlin(2027, 3, 1, 9), date(2027, 3, 2)), (berlin(2027, 3, 1, 9), berlin(2027, 3, 2))),
    ],
)
def test_lengths(series: Series, expected: tuple[datetime, datetime]) -> None:
    found = expand(series, YEAR, BERLIN)
    assert spans(found) == [expected]
    assert found.problems == []


@pytest.mark.parametrize(
    "series",
    [
        Series(berlin(2027, 3, 1, 9), berlin(2027, 3, 1, 8)),
        Series(berlin(2027, 3, 1, 9), duration=-HOUR),
        Series(date(2027, 3, 2), date(2027, 3, 1)),
    ],
)
def test_an_end_before_the_start_is_told(series: Series) -> None:
    found = expand(series, YEAR, BERLIN)
    assert found.problems == [recurrence.END_BEFORE_START]
    assert len(found.instances) == 1


@pytest.mark.parametrize(
    ("start", "end", "inside"),
    [
        (utc(2026, 12, 31, 23), utc(2027, 1, 1, 0), False),
        (utc(2026, 12, 31, 23), utc(2027, 1, 1, 0, 1), True),
        (utc(2020, 1, 1), utc(2040, 1, 1), True),
        (utc(2027, 12, 31, 23), utc(2028, 1, 1), True),
        (utc(2028, 1, 1), utc(2028, 1, 2), False),
        (utc(2027, 1, 1), utc(2027, 1, 1), True),  # no length
        (utc(2028, 1, 1), utc(2028, 1, 1), False),
    ],
)
def test_the_window_is_half_open(start: datetime, end: datetime, inside: bool) -> None:
    assert bool(expand(Series(start, end), YEAR, UTC).instances) is inside


# clocks


def test_local_time_stays_over_a_change_of_the_clocks() -> None:
    series = Series(berlin(2027, 3, 21, 9), berlin(2027, 3, 21, 10), rules=("FREQ=WEEKLY;COUNT=3",))
    assert [i.start.hour for i in expand(series, YEAR, UTC).instances] == [8, 7, 7]
    assert [i.recurrence_id for i in expand(series, YEAR, UTC).instances] == [
        "20270321T080000Z",
        "20270328T070000Z",
        "20270404T070000Z",
    ]


def test_a_time_that_is_skipped_is_read_with_the_offset_before() -> None:
    series = Series(berlin(2027, 3, 27, 2, 30), berlin(2027, 3, 27, 3, 15), rules=("FREQ=DAILY;COUNT=3",))
    assert spans(expand(series, YEAR, UTC)) == [
        (utc(2027, 3, 27, 1, 30), utc(2027, 3, 27, 2, 15)),
        (utc(2027, 3, 28, 1, 30), utc(2027, 3, 28, 2, 15)),  # 03:30 in summer time, and as long as ever
        (utc(2027, 3, 29, 0, 30), utc(2027, 3, 29, 1, 15)),
    ]


def test_a_time_that_comes_twice_is_the_first() -> None:
    series = Series(berlin(2027, 10, 30, 2, 30), berlin(2027, 10, 30, 3), rules=("FREQ=DAILY;COUNT=3",))
    assert [i.start for i in expand(series, YEAR, UTC).instances] == [
        utc(2027, 10, 30, 0, 30),
        utc(2027, 10, 31, 0, 30),
        utc(2027, 11, 1, 1, 30),
    ]


def test_a_length_by_dtend_is_exact_and_days_of_a_duration_are_nominal() -> None:
    night = Series(berlin(2027, 3, 26, 22), berlin(2027, 3, 27, 6), rules=("FREQ=DAILY;COUNT=2",))
    assert [end - start for start, end in spans(expand(night, YEAR, UTC))] == [8 * HOUR, 8 * HOUR]
    whole = Series(berlin(2027, 3, 26, 22), duration=DAY, rules=("FREQ=DAILY;COUNT=2",))
    assert [end - start for start, end in spans(expand(whole, YEAR, UTC))] == [24 * HOUR, 23 * HOUR]


def test_a_day_that_has_no_midnight() -> None:
    cairo = ZoneInfo("Africa/Cairo")  # clocks go from 24:00 to 01:00 on a Friday in April
    (found,) = expand(Series(date(2027, 4, 30)), YEAR, cairo).instances
    assert found.start == utc(2027, 4, 29, 22)
    assert found.end - found.start == 23 * HOUR


# exceptions


@pytest.mark.parametrize(
    "exdate",
    [
        berlin(2027, 3, 29, 9),
        utc(2027, 3, 29, 7),
        datetime(2027, 3, 29, 9),
        date(2027, 3, 29),
        datetime(2027, 3, 29, 3, tzinfo=YORK),
    ],
)
def test_exdate_in_any_form(exdate: recurrence.When) -> None:
    series = Series(berlin(2027, 3, 22, 9), duration=HOUR, rules=("FREQ=WEEKLY;COUNT=3",), exdates=(exdate,))
    assert days(expand(series, YEAR, BERLIN)) == [(3, 22), (4, 5)]


@pytest.mark.parametrize(
    "exdate", [date(2027, 3, 29), datetime(2027, 3, 29), utc(2027, 3, 28, 22), utc(2027, 3, 29), berlin(2027, 3, 29)]
)
def test_exdate_of_an_all_day_series_in_any_form(exdate: recurrence.When) -> None:
    series = Series(date(2027, 3, 22), rules=("FREQ=WEEKLY;COUNT=3",), exdates=(exdate,))
    found = expand(series, YEAR, BERLIN)
    assert days(found) == [(3, 22), (4, 5)]
    assert [i.recurrence_id for i in found.instances] == ["20270322", "20270405"]
    assert all(i.all_day for i in found.instances)


def test_moved_into_the_window_and_out_of_it() -> None:
    series = Series(
        berlin(2026, 12, 1, 9),
        duration=HOUR,
        rules=("FREQ=MONTHLY",),
        overrides=(
            Override(berlin(2026, 12, 1, 9), berlin(2027, 6, 15, 9), berlin(2027, 6, 15, 11)),
            Override(berlin(2027, 5, 1, 9), berlin(2029, 5, 1, 9), berlin(2029, 5, 1, 10)),
            Override(berlin(2029, 1, 1, 9), berlin(2027, 7, 4, 9), berlin(2027, 7, 4, 10)),
        ),
    )
    found = expand(series, YEAR, BERLIN)
    months = [start.month for start, _ in spans(found)]
    assert months == [1, 2, 3, 4, 6, 6, 7, 7, 8, 9, 10, 11, 12]
    moved = {i.recurrence_id: i for i in found.instances if i.source >= 0}
    assert moved["20261201T080000Z"].end - moved["20261201T080000Z"].start == 2 * HOUR
    assert moved["20290101T080000Z"].source == 2


def test_an_exception_without_times_keeps_the_original_ones() -> None:
    series = Series(
        berlin(2027, 3, 22, 9),
        berlin(2027, 3, 22, 10),
        rules=("FREQ=WEEKLY;COUNT=2",),
        overrides=(Override(berlin(2027, 3, 29, 9)),),
    )
    found = expand(series, YEAR, BERLIN)
    assert spans(found)[1] == (utc(2027, 3, 29, 7), utc(2027, 3, 29, 8))
    assert [i.source for i in found.instances] == [-1, 0]


def test_exdate_wins_over_an_exception_and_the_later_exception_wins() -> None:
    original = berlin(2027, 3, 29, 9)
    overrides = (
        Override(original, berlin(2027, 3, 30, 9), berlin(2027, 3, 30, 10)),
        Override(utc(2027, 3, 29, 7), berlin(2027, 3, 31, 9), berlin(2027, 3, 31, 10)),
    )
    series = Series(berlin(2027, 3, 22, 9), duration=HOUR, rules=("FREQ=WEEKLY;COUNT=3",), overrides=overrides)
    assert days(expand(series, YEAR, BERLIN)) == [(3, 22), (3, 31), (4, 5)]
    gone = Series(series.start, None, HOUR, series.rules, exdates=(original,), overrides=overrides)
    assert days(expand(gone, YEAR, BERLIN)) == [(3, 22), (4, 5)]


def test_an_occurrence_may_become_all_day_and_back() -> None:
    timed = Series(
        berlin(2027, 3, 22, 9),
        duration=HOUR,
        rules=("FREQ=WEEKLY;COUNT=2",),
        overrides=(Override(berlin(2027, 3, 29, 9), date(2027, 3, 29), date(2027, 3, 30)),),
    )
    assert [i.all_day for i in expand(timed, YEAR, BERLIN).instances] == [False, True]
    allday = Series(
        date(2027, 3, 22),
        rules=("FREQ=WEEKLY;COUNT=2",),
        overrides=(Override(date(2027, 3, 29), berlin(2027, 3, 29, 9), berlin(2027, 3, 29, 10)),),
    )
    found = expand(allday, YEAR, BERLIN)
    assert [i.all_day for i in found.instances] == [True, False]
    assert [i.recurrence_id for i in found.instances] == ["20270322", "20270329"]


def test_this_and_future_moves_all_that_follow() -> None:
    series = Series(
        berlin(2027, 3, 1, 9),
        berlin(2027, 3, 1, 10),
        rules=("FREQ=WEEKLY;COUNT=6",),
        overrides=(
            Override(berlin(2027, 3, 15, 9), berlin(2027, 3, 16, 11), berlin(2027, 3, 16, 13), this_and_future=True),
            Override(berlin(2027, 3, 29, 9), berlin(2027, 4, 1, 8), berlin(2027, 4, 1, 9)),
        ),
    )
    found = expand(series, YEAR, BERLIN)
    assert [(i.start.astimezone(BERLIN).day, i.start.astimezone(BERLIN).hour, i.source) for i in found.instances] == [
        (1, 9, -1),
        (8, 9, -1),
        (16, 11, 0),
        (23, 11, 0),
        (1, 8, 1),
        (6, 11, 0),
    ]
    assert [(end - start) // HOUR for start, end in spans(found)] == [1, 1, 2, 2, 1, 2]
    assert found.instances[3].recurrence_id == "20270322T080000Z"


def test_this_and_future_reaches_the_window_from_before_it() -> None:
    series = Series(
        berlin(2026, 1, 1, 9),
        duration=HOUR,
        rules=("FREQ=MONTHLY;COUNT=12",),
        overrides=(
            Override(berlin(2026, 2, 1, 9), berlin(2026, 4, 5, 9), berlin(2026, 4, 5, 10), this_and_future=True),
        ),
    )
    found = expand(series, YEAR, BERLIN)
    assert [i.recurrence_id[:6] for i in found.instances] == ["202611", "202612"]


def test_a_second_this_and_future_replaces_the_first() -> None:
    series = Series(
        date(2027, 3, 1),
        rules=("FREQ=WEEKLY;COUNT=4",),
        overrides=(
            Override(date(2027, 3, 8), date(2027, 3, 9), date(2027, 3, 10), this_and_future=True),
            Override(date(2027, 3, 15), date(2027, 3, 17), date(2027, 3, 19), this_and_future=True),
        ),
    )
    found = expand(series, YEAR, BERLIN)
    assert days(found) == [(3, 1), (3, 9), (3, 17), (3, 24)]
    assert spans(found)[3][1] == berlin(2027, 3, 26)


# rules and dates


def test_until_as_a_day_keeps_that_day() -> None:
    series = Series(berlin(2027, 3, 22, 23), duration=HOUR, rules=("FREQ=DAILY;UNTIL=20270324",))
    assert days(expand(series, YEAR, UTC)) == [(3, 22), (3, 23), (3, 24)]


@pytest.mark.parametrize(
    ("until", "last"),
    [
        ("20270324T220000Z", 24),  # exactly the occurrence
        ("20270324T215959Z", 23),
        ("20270324T230000", 24),
        ("20270324T225959", 23),
    ],
)
def test_until_as_a_time(until: str, last: int) -> None:
    series = Series(berlin(2027, 3, 22, 23), duration=HOUR, rules=(f"FREQ=DAILY;UNTIL={until}",))
    assert days(expand(series, YEAR, UTC))[-1] == (3, last)


def test_until_in_utc_is_exact_where_an_hour_comes_twice() -> None:
    first = Series(berlin(2027, 10, 30, 2, 30), duration=HOUR, rules=("FREQ=DAILY;UNTIL=20271031T003000Z",))
    assert len(expand(first, YEAR, UTC).instances) == 2
    before = Series(berlin(2027, 10, 30, 2, 30), duration=HOUR, rules=("FREQ=DAILY;UNTIL=20271031T002959Z",))
    assert len(expand(before, YEAR, UTC).instances) == 1


@pytest.mark.parametrize("until", ["20270324", "20270324T000000Z", "20270323T230000Z", "20270324T225959Z"])
def test_until_of_an_all_day_series(until: str) -> None:
    series = Series(date(2027, 3, 22), rules=(f"FREQ=DAILY;UNTIL={until}",))
    assert days(expand(series, YEAR, BERLIN)) == [(3, 22), (3, 23), (3, 24)]


def test_a_rule_that_ended_before_it_began_leaves_nothing() -> None:
    assert expand(Series(berlin(2027, 3, 22, 9), rules=("FREQ=DAILY;UNTIL=20270301",)), YEAR, UTC).instances == []


def test_dtstart_counts_even_if_the_rule_does_not_match_it() -> None:
    series = Series(berlin(2027, 3, 1, 9), duration=HOUR, rules=("FREQ=WEEKLY;BYDAY=TU;COUNT=2",))
    assert days(expand(series, YEAR, UTC)) == [(3, 1), (3, 2), (3, 9)]


def test_rdates_of_all_kinds_and_several_rules() -> None:
    series = Series(
        berlin(2027, 3, 1, 9),
        berlin(2027, 3, 1, 10),
        rules=("FREQ=DAILY;COUNT=2", "FREQ=WEEKLY;COUNT=2"),
        rdates=(
            berlin(2027, 3, 1, 9),
            utc(2027, 4, 1, 7),
            (berlin(2027, 4, 2, 9), berlin(2027, 4, 2, 12)),
            (berlin(2027, 4, 3, 9), 4 * HOUR),
        ),
    )
    found = expand(series, YEAR, UTC)
    assert days(found) == [(3, 1), (3, 2), (3, 8), (4, 1), (4, 2), (4, 3)]
    assert [(end - start) // HOUR for start, end in spans(found)] == [1, 1, 1, 1, 3, 4]


def test_a_far_start_and_a_long_event() -> None:
    series = Series(utc(1981, 1, 5, 9), utc(1981, 1, 15, 9), rules=("FREQ=WEEKLY;INTERVAL=2",))
    window = Period(utc(2027, 6, 1), utc(2027, 6, 2))
    found = expand(series, window, UTC)
    assert len(found.instances) == 1
    assert all(start < window.end and end > window.start for start, end in spans(found))
    assert (found.instances[0].start - utc(1981, 1, 5, 9)) % timedelta(days=14) == timedelta(0)


# what can't be counted out is busy


def test_a_bad_rule_leaves_the_first_occurrence() -> None:
    found = expand(Series(berlin(2027, 3, 1, 9), duration=HOUR, rules=("FREQ=SOMETIMES",)), YEAR, UTC)
    assert spans(found) == [(utc(2027, 3, 1, 8), utc(2027, 3, 1, 9))]
    assert found.problems == [recurrence.BAD_RULE]


@pytest.mark.parametrize(
    ("rule", "end"),
    [
        ("FREQ=SECONDLY", YEAR.end),
        ("FREQ=MINUTELY;INTERVAL=15", YEAR.end),
        ("FREQ=HOURLY;UNTIL=20270302T080000Z", utc(2027, 3, 2, 8, 30)),
        ("FREQ=HOURLY;COUNT=5", utc(2027, 3, 1, 12, 30)),
        ("FREQ=HOURLY;COUNT=5;BYHOUR=8", YEAR.end),
        ("FREQ=SECONDLY;COUNT=999999999", YEAR.end),
    ],
)
def test_a_rule_of_hours_or_less_is_one_block(rule: str, end: datetime) -> None:
    found = expand(Series(utc(2027, 3, 1, 8), utc(2027, 3, 1, 8, 30), rules=(rule,)), YEAR, UTC)
    assert spans(found) == [(utc(2027, 3, 1, 8), end)]
    assert found.problems == [recurrence.RULE_TOO_FREQUENT]


def test_too_many_occurrences_end_in_one_block() -> None:
    every = "FREQ=DAILY;BYHOUR=" + ",".join(map(str, range(24))) + ";BYMINUTE=0,10,20,30,40,50"
    found = expand(Series(utc(2027, 1, 1), duration=timedelta(minutes=5), rules=(every,)), YEAR, UTC)
    assert recurrence.TOO_MANY_INSTANCES in found.problems
    assert len(found.instances) <= MAX_INSTANCES + 1
    assert max(end for _, end in spans(found)) == YEAR.end
    assert len({i.recurrence_id for i in found.instances}) == len(found.instances)


def test_a_rule_that_takes_too_long_is_one_block() -> None:
    found = expand(Series(utc(1, 1, 3), duration=HOUR, rules=("FREQ=DAILY;BYDAY=MO;COUNT=99999999",)), YEAR, UTC)
    assert found.problems == [recurrence.RULE_TOO_LONG]
    assert spans(found) == [(YEAR.start, YEAR.end)]


@pytest.mark.parametrize(
    "series",
    [
        Series(utc(1970, 1, 1), duration=HOUR, rules=("FREQ=SECONDLY",) * 50),
        Series(utc(1970, 1, 1), utc(9999, 1, 1), rules=("FREQ=DAILY",)),
        Series(utc(1970, 1, 1), duration=timedelta(days=999999), rules=("FREQ=DAILY;BYMONTHDAY=31;BYMONTH=2",)),
        Series(date(1, 1, 1), date(9999, 12, 31), rules=("FREQ=YEARLY;BYYEARDAY=366",)),
        Series(
            utc(1900, 1, 1),
            duration=HOUR,
            rules=tuple(f"FREQ=DAILY;BYDAY=MO,TU,WE;COUNT={n}" for n in range(90000, 90050)),
        ),
        Series(date(9999, 12, 31), rules=("FREQ=DAILY",)),
        Series(
            berlin(2027, 3, 1, 9),
            duration=HOUR,
            rules=("FREQ=DAILY",),
            overrides=(
                Override(berlin(2027, 3, 2, 9), berlin(9000, 1, 1, 9), berlin(9999, 1, 1, 9), this_and_future=True),
            ),
        ),
    ],
)
def test_hostile_series_end_soon(series: Series) -> None:
    began = time.perf_counter()
    found = expand(series, YEAR, BERLIN)
    assert time.perf_counter() - began < 1.0  # a fifth of it alone; machines are shared
    assert len(found.instances) <= MAX_INSTANCES + 51


# lines


def test_lines_of_google() -> None:
    series, broken = series_from_lines(
        berlin(2027, 3, 1, 9),
        berlin(2027, 3, 1, 10),
        [
            "RRULE:FREQ=WEEKLY;COUNT=4",
            "EXDATE;TZID=Europe/Berlin:20270308T090000",
            "EXDATE:20270315T080000Z",
            "RDATE;VALUE=PERIOD:20270401T070000Z/PT3H",
            "RDATE;TZID=Mars/Base:20270402T090000",
            "EXRULE:FREQ=DAILY",
            "EXDATE:never",
        ],
    )
    assert broken == ("EXRULE:FREQ=DAILY", "EXDATE:never")
    found = expand(series, YEAR, BERLIN)
    assert days(found) == [(3, 1), (3, 22), (4, 1), (4, 2)]
    assert spans(found)[2] == (utc(2027, 4, 1, 7), utc(2027, 4, 1, 10))
    assert spans(found)[3] == (utc(2027, 4, 2, 7), utc(2027, 4, 2, 8))


# against the library

ZONES = [UTC, BERLIN, YORK, ZoneInfo("Asia/Kolkata"), ZoneInfo("Pacific/Auckland")]


@st.composite
def series_(draw) -> Series:  # type: ignore[no-untyped-def]
    zone = draw(st.sampled_from(ZONES))
    day = draw(st.dates(date(2025, 1, 1), date(2027, 12, 1)))
    all_day = draw(st.integers(0, 3)) == 0
    freq = draw(
        st.sampled_from(["DAILY", "WEEKLY;BYDAY=MO,WE,SA", "WEEKLY", "MONTHLY", "MONTHLY;BYDAY=-1FR", "YEARLY"])
    )
    rule = f"FREQ={freq};INTERVAL={draw(st.integers(1, 4))}"
    if draw(st.booleans()):
        rule += f";COUNT={draw(st.integers(1, 80))}"
    if all_day:
        start: recurrence.When = day
        end: recurrence.When = day + draw(st.integers(1, 4)) * DAY
        step = DAY
    else:
        start = datetime(day.year, day.month, day.day, draw(st.integers(4, 20)), tzinfo=zone)
        end = start + draw(st.integers(1, 3)) * HOUR
        step = DAY if "WEEKLY" not in freq else 7 * DAY
    picked = [start + number * step for number in draw(st.lists(st.integers(0, 60), max_size=6, unique=True))]
    cut = draw(st.integers(0, len(picked)))
    overrides = []
    for original in picked[cut:]:
        shift = draw(st.integers(-5, 5)) * DAY
        overrides.append(Override(original, original + shift, original + shift + (DAY if all_day else HOUR)))
    rdates = tuple(start + number * 11 * DAY for number in draw(st.lists(st.integers(1, 30), max_size=3, unique=True)))
    return Series(start, end, None, (rule,), rdates, tuple(picked[:cut]), tuple(overrides))


def by_the_library(series: Series, window: Period) -> set[tuple[datetime, datetime]]:
    master = icalendar.Event.from_ical("BEGIN:VEVENT\r\nRRULE:" + series.rules[0] + "\r\nEND:VEVENT\r\n")
    master.add("uid", "x")
    master.add("dtstart", series.start)
    master.add("dtend", series.end)
    for value in series.exdates:
        master.add("exdate", value)
    for value in series.rdates:
        master.add("rdate", value)
    calendar = icalendar.Calendar()
    calendar.add_component(master)
    for override in series.overrides:
        part = icalendar.Event()
        part.add("uid", "x")
        part.add("recurrence-id", override.recurrence_id)
        part.add("dtstart", override.start)
        part.add("dtend", override.end)
        calendar.add_component(part)
    found = set()
    for part in recurring_ical_events.of(calendar).between(window.start, window.end):
        begin, end = part.start, part.end
        found.add((recurrence.instant(begin, UTC), recurrence.instant(end, UTC)))
    return found


@settings(max_examples=150, deadline=None)
@given(series_(), st.dates(date(2025, 6, 1), date(2027, 12, 1)), st.integers(5, 300))
def test_as_recurring_ical_events_expands(series: Series, day: date, length: int) -> None:
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    window = Period(start, start + length * DAY)
    found = expand(series, window, UTC)
    assert found.problems == []
    assert {(i.start, i.end) for i in found.instances} == by_the_library(series, window)
    names = [i.recurrence_id for i in found.instances]
    assert len(set(names)) == len(names)


@settings(max_examples=100, deadline=None)
@given(series_(), st.dates(date(2025, 6, 1), date(2027, 12, 1)), st.integers(2, 200), st.integers(1, 99))
def test_two_windows_hold_what_one_holds(series: Series, day: date, length: int, share: int) -> None:
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    middle, end = start + length * DAY * share / 100, start + length * DAY
    whole = set(expand(series, Period(start, end), BERLIN).instances)
    parts = {
        *expand(series, Period(start, middle), BERLIN).instances,
        *expand(series, Period(middle, end), BERLIN).instances,
    }
    assert whole == parts
