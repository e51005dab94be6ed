"""Which starts are free: days whose clocks change, hours over midnight, buffers, notice, horizon, openings, slots.

`tests/property/test_availability.py` asks the same of every minute; here are the cases that people ask about.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from connectors.model import Period
from ledger.availability import (
    OpenPeriod,
    Rules,
    SlotState,
    Taken,
    TakenSlot,
    find,
    merged,
    seats_in,
    starts,
    wall_periods,
)

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
MONDAY = datetime(2027, 1, 11, tzinfo=UTC)


def rules(zone: str = "UTC", daily: tuple[tuple[int, int], ...] = ((9 * 60, 12 * 60),), **changes: Any) -> Rules:
    """Every day the same hours."""
    values: dict[str, Any] = {
        "service_id": 1, "timezone": zone, "duration": HOUR, "every": HOUR, "notice": timedelta(), "horizon": 36_500 * DAY,
        "hours": dict.fromkeys(range(7), daily),
    }  # fmt: skip
    return Rules(**(values | changes))


def on(day: str, asked: Rules, *, days: int = 1, now: datetime = LONG_AGO, taken: Taken | None = None) -> list[str]:
    """Starts of those local days, as that wall's clock shows them with its offset."""
    zone = ZoneInfo(asked.timezone)
    first = datetime.fromisoformat(day).replace(tzinfo=zone)
    last = datetime.combine(date.fromisoformat(day) + days * DAY, datetime.min.time(), zone)
    found = starts(asked, Period(first, last), now, taken or Taken())
    return [f"{s.period.start.astimezone(zone):%H:%M%z}" for s in found]


def at(hour: float) -> datetime:
    return MONDAY + timedelta(hours=hour)


def span(start: float, end: float) -> Period:
    return Period(at(start), at(end))


def monday(asked: Rules, *busy: Period, now: datetime = LONG_AGO, **more: Any) -> list[float]:
    """Hours of that Monday's starts."""
    found = starts(asked, Period(MONDAY, MONDAY + DAY), now, Taken(busy=busy, **more))
    return [(s.period.start - MONDAY) / HOUR for s in found]


# --- clocks -------------------------------------------------------------------------------------------------------


def test_an_hour_that_is_missing_has_no_starts() -> None:
    night = rules("Europe/Berlin", ((60, 300),))
    assert on("2027-03-28", night) == ["01:00+0100", "03:00+0200", "04:00+0200"]
    assert on("2027-03-29", night) == ["01:00+0200", "02:00+0200", "03:00+0200", "04:00+0200"]


def test_an_hour_that_comes_twice_has_its_starts_twice() -> None:
    night = rules("Europe/Berlin", ((60, 240),))
    assert on("2027-10-31", night) == ["01:00+0200", "02:00+0200", "02:00+0100", "03:00+0100"]


def test_an_appointment_may_lie_over_the_change_and_lasts_as_long_as_it_lasts() -> None:
    long = rules("Europe/Berlin", ((60, 240),), duration=2 * HOUR, every=HOUR / 2)
    # From 01:00 to 04:00 are two hours in spring and four in autumn.
    assert on("2027-03-28", long) == ["01:00+0100"]
    assert on("2027-10-31", long) == ["01:00+0200", "01:30+0200", "02:00+0200", "02:30+0200", "02:00+0100"]


def test_the_same_wall_time_is_another_instant_after_the_change() -> None:
    day = rules("Europe/Berlin", ((540, 600),))
    assert on("2027-03-27", day, days=3) == ["09:00+0100", "09:00+0200", "09:00+0200"]


def test_half_an_hour_that_comes_twice() -> None:
    night = rules("Australia/Lord_Howe", ((60, 180),), duration=HOUR / 2, every=HOUR / 2)
    assert on("2027-04-04", night) == ["01:00+1100", "01:30+1100", "01:30+1030", "02:00+1030", "02:30+1030"]


def test_half_an_hour_that_is_missing() -> None:
    night = rules("Australia/Lord_Howe", ((60, 180),), duration=HOUR / 2, every=HOUR / 2)
    assert on("2026-10-04", night) == ["01:00+1030", "01:30+1030", "02:30+1100"]


def test_a_zone_that_puts_its_clock_back_for_a_month() -> None:
    night = rules("Africa/Casablanca", ((60, 240),))
    assert on("2027-02-07", night) == ["01:00+0100", "02:00+0100", "02:00+0000", "03:00+0000"]
    assert on("2027-03-14", night) == ["01:00+0000", "03:00+0100"]


def test_a_day_that_never_was() -> None:
    day = rules("Pacific/Apia")
    assert on("2011-12-30", day) == []
    assert on("2011-12-29", day, days=3) == [
        "09:00-1000",
        "10:00-1000",
        "11:00-1000",
        "09:00+1400",
        "10:00+1400",
        "11:00+1400",
    ]
    # Late hours of the 29th would go on into the 30th: they end with the day.
    late = rules("Pacific/Apia", hours={3: ((23 * 60, 26 * 60),)})
    assert on("2011-12-29", late, days=3) == ["23:00-1000"]


def test_midnight_that_is_missing_or_comes_twice() -> None:
    early = rules("Asia/Beirut", ((0, 120),))
    assert on("2027-03-28", early) == ["01:00+0300"]
    twice = rules("America/Havana", ((0, 120),))
    assert on("2027-11-06", twice, days=2) == ["00:00-0400", "01:00-0400", "00:00-0400", "00:00-0500", "01:00-0500"]


def test_wall_periods_are_exact_instants() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    (spring,) = merged(wall_periods(berlin, date(2027, 3, 28), (60, 240)))
    (autumn,) = merged(wall_periods(berlin, date(2027, 10, 31), (60, 240)))
    assert (spring.duration, autumn.duration) == (2 * HOUR, 4 * HOUR)
    assert wall_periods(berlin, date(2027, 3, 28), (120, 180)) == []
    assert len(wall_periods(berlin, date(2027, 10, 31), (120, 150))) == 2


# --- hours --------------------------------------------------------------------------------------------------------


def test_a_start_must_leave_room_before_closing() -> None:
    assert monday(rules()) == [9, 10, 11]
    assert monday(rules(every=HOUR / 2)) == [9, 9.5, 10, 10.5, 11]
    assert monday(rules(duration=4 * HOUR)) == []


def test_hours_over_midnight_belong_to_the_day_they_begin_in() -> None:
    bar = rules("Europe/Berlin", (), hours={0: ((22 * 60, 26 * 60),)})
    assert on("2027-01-11", bar) == ["22:00+0100", "23:00+0100"]
    assert on("2027-01-12", bar) == ["00:00+0100", "01:00+0100"]
    assert on("2027-01-13", bar) == []


def test_hours_that_meet_are_one_also_at_midnight() -> None:
    touching = rules(hours={0: ((540, 600), (600, 660), (1380, 1440)), 1: ((0, 60),)}, duration=2 * HOUR, every=HOUR)
    assert monday(touching) == [9, 23]


def test_ranges_that_overlap_give_each_start_once() -> None:
    assert monday(rules(hours={0: ((540, 660), (600, 720))})) == [9, 10, 11]
    assert monday(rules(hours={0: ((540, 660), (570, 690))})) == [9, 9.5, 10, 10.5]


def test_an_override_replaces_the_whole_day() -> None:
    asked = rules(overrides={date(2027, 1, 11): ((840, 960),), date(2027, 1, 12): ()})
    assert monday(asked) == [14, 15]
    assert on("2027-01-12", asked) == []
    assert on("2027-01-13", asked) == ["09:00+0000", "10:00+0000", "11:00+0000"]


def test_a_day_without_hours_is_closed() -> None:
    assert monday(rules(hours={1: ((540, 720),)})) == []


# --- now ----------------------------------------------------------------------------------------------------------


def test_notice_and_horizon_are_elapsed_time_and_half_open() -> None:
    asked = rules(notice=2 * HOUR, horizon=4 * HOUR)
    assert monday(asked, now=at(7)) == [9, 10]
    assert monday(asked, now=at(7) + timedelta(microseconds=1)) == [10, 11]
    assert monday(asked, now=at(8)) == [10, 11]
    assert monday(asked, now=at(20)) == []
    assert monday(asked, now=at(7) - 30 * DAY) == []


def test_the_window_is_half_open() -> None:
    found = starts(rules(), span(10, 11), LONG_AGO, Taken())
    assert [s.period for s in found] == [span(10, 11)]
    assert starts(rules(), Period(at(10), at(10)), LONG_AGO, Taken()) == []


def test_one_start_is_found_as_it_is_listed() -> None:
    taken = Taken(busy=[span(10, 11)])
    found = find(rules(capacity=3), at(9), LONG_AGO, taken)
    assert found is not None
    assert (found.period, found.capacity, found.seats_left, found.state, found.slot_id) == (
        span(9, 10),
        3,
        3,
        SlotState.OPEN,
        None,
    )
    for other in (at(10), at(9.5), at(12), at(9) + timedelta(seconds=1)):
        assert find(rules(), other, LONG_AGO, taken) is None


# --- busy time ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("busy", "left"),
    [
        ((9, 9), [9, 10, 11]),  # takes no time
        ((9, 9.01), [10, 11]),
        ((8, 9), [9, 10, 11]),
        ((9.5, 10.5), [11]),
        ((10, 11), [9, 11]),
        ((0, 24), []),
        ((11.99, 30), [9, 10]),
    ],
)
def test_busy_time_closes_what_it_touches(busy: tuple[float, float], left: list[float]) -> None:
    assert monday(rules(), span(*busy)) == left


def test_busy_periods_come_in_any_order_and_may_overlap() -> None:
    assert monday(rules(), span(11.5, 13), span(8, 20).intersection(span(9, 9.25)) or span(9, 9), span(9.1, 9.2)) == [
        10
    ]
    assert monday(rules(), span(9, 12), span(9.5, 9.75)) == []


def test_buffers_keep_away_on_both_sides() -> None:
    before, after = rules(buffer_before=HOUR / 2), rules(buffer_after=HOUR / 2)
    assert monday(before, span(9, 9.75)) == [11]
    assert monday(after, span(10.25, 10.5)) == [11]
    assert monday(before, span(8, 8.5)) == [9, 10, 11]
    assert monday(after, span(12.25, 13)) == [9, 10]  # after closing time as well


# --- slots --------------------------------------------------------------------------------------------------------


def slot(
    start: float, end: float, taken: int = 1, *, capacity: int = 1, held: int = 0, service_id: int = 1
) -> TakenSlot:
    return TakenSlot(7, service_id, span(start, end), span(start, end), capacity, taken, held)


def test_full_ones_are_shown_so_that_people_can_wait_for_them() -> None:
    found = starts(rules(), Period(MONDAY, MONDAY + DAY), LONG_AGO, Taken(slots=[slot(10, 11)]))
    assert [(s.state.value, s.seats_left, s.slot_id) for s in found] == [
        ("open", 1, None),
        ("full", 0, 7),
        ("open", 1, None),
    ]


@pytest.mark.parametrize(
    ("taken", "held", "state", "left"),
    [(1, 0, "open", 2), (3, 0, "full", 0), (3, 1, "held", 0), (2, 2, "open", 1), (5, 0, "full", 0)],
)
def test_a_group_is_open_while_a_seat_is_left(taken: int, held: int, state: str, left: int) -> None:
    found = find(rules(capacity=3), at(10), LONG_AGO, Taken(slots=[slot(10, 11, taken, capacity=3, held=held)]))
    assert found is not None
    assert (found.state.value, found.seats_left, found.capacity) == (state, left, 3)


def test_a_slot_of_another_service_is_in_the_way_and_is_not_shown() -> None:
    assert monday(rules(), slots=[slot(9.5, 10.25, service_id=2)]) == [11]


def test_a_slot_without_live_seats_is_no_slot() -> None:
    found = find(rules(), at(10), LONG_AGO, Taken(slots=[slot(10, 11, 0)]))
    assert found is not None
    assert (found.state, found.slot_id) == (SlotState.OPEN, None)


def test_a_slot_that_lies_elsewhere_is_shown_where_it_lies() -> None:
    assert monday(rules(), slots=[slot(9.5, 10.5)]) == [9.5, 11]
    assert monday(rules(), slots=[slot(20, 21)]) == [9, 10, 11, 20]


def test_a_group_under_somebody_elses_event_takes_nobody_any_more() -> None:
    group = slot(10, 11, 1, capacity=3)
    found = find(rules(capacity=3), at(10), LONG_AGO, Taken(busy=[span(10.5, 12)], slots=[group]))
    assert found is not None
    assert (found.state, found.seats_left) == (SlotState.FULL, 0)


# --- openings -----------------------------------------------------------------------------------------------------

CALENDAR = rules(
    calendar_openings=True, labels=frozenset({"yoga", "stretching"}), rivals=frozenset({"morning yoga", "talk"})
)


def opened(asked: Rules, *openings: OpenPeriod, **more: Any) -> list[float]:
    return monday(asked, openings=openings, **more)


def test_openings_replace_the_hours_and_have_a_grid_of_their_own() -> None:
    assert opened(CALENDAR, OpenPeriod(span(14.25, 17))) == [14.25, 15.25]
    assert opened(CALENDAR) == []
    assert monday(rules(), openings=[OpenPeriod(span(14, 17))]) == [9, 10, 11]


def test_an_opening_that_began_long_ago_keeps_its_grid() -> None:
    long = OpenPeriod(Period(MONDAY - 400 * DAY + 10 * MINUTE, MONDAY + 400 * DAY))
    assert opened(CALENDAR, long)[:3] == [pytest.approx(n + 1 / 6) for n in range(3)]
    assert len(opened(CALENDAR, long)) == 24


@pytest.mark.parametrize(
    ("label", "meant"),
    [
        ("", True), ("Open", True), ("Yoga", True), ("YOGA for all", True), ("stretching", True), ("talk", False), ("Morning yoga", False),
        ("morning yoga, yoga", True), ("talk and yoga", True), ("Talk, stretching", True),
    ],
)  # fmt: skip
def test_an_opening_is_for_the_services_it_names_or_for_all(label: str, meant: bool) -> None:
    assert bool(opened(CALENDAR, OpenPeriod(span(9, 10), label))) is meant


def test_the_longer_name_is_found_as_well() -> None:
    longer = replace(CALENDAR, labels=frozenset({"morning yoga"}), rivals=frozenset({"yoga", "talk"}))
    assert opened(longer, OpenPeriod(span(9, 10), "Morning yoga")) == [9]
    assert opened(longer, OpenPeriod(span(9, 10), "Yoga")) == []
    twins = replace(CALENDAR, labels=frozenset({"yoga"}), rivals=frozenset({"yoga"}))
    assert opened(twins, OpenPeriod(span(9, 10), "Yoga")) == [9]


def test_an_opening_may_say_how_many_seats() -> None:
    openings = [OpenPeriod(span(9, 10), "", 8), OpenPeriod(span(10, 11)), OpenPeriod(span(9, 11), "", 2)]
    found = starts(replace(CALENDAR, capacity=3), Period(MONDAY, MONDAY + DAY), LONG_AGO, Taken(openings=openings))
    assert [(s.period.start, s.capacity, s.seats_left) for s in found] == [(at(9), 8, 8), (at(10), 3, 3)]


def test_busy_time_closes_openings_too() -> None:
    found = starts(
        CALENDAR, Period(MONDAY, MONDAY + DAY), LONG_AGO, Taken([span(10, 10.5)], [], [OpenPeriod(span(9, 12))])
    )
    assert [s.period.start for s in found] == [at(9), at(11)]


@pytest.mark.parametrize(
    ("label", "seats"),
    [
        ("Yoga, 8 seats", 8), ("Yoga - 8 seats", 8), ("(12 Plätze)", 12), ("6 férőhely", 6), ("1 place", 1), ("10 مقاعد", 10), ("0 seats", 1),
        ("99999999 seats", 10_000), ("Yoga", None), ("seats 8", None), ("Room 8", None), ("", None), ("-3 seats", None),
        ("5 m² seats", None), ("² seats", None), ("8 " + "9" * 5000 + " seats", None), ("٨ مقاعد", 8),
    ],
)  # fmt: skip
def test_seats_are_read_from_a_title(label: str, seats: int | None) -> None:
    assert seats_in(label) == seats
