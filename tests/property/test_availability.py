"""The same question asked of brute force, minute by minute: what is free must be what an honest clock on the wall says."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from hypothesis import example, given, settings
from hypothesis import strategies as st

from connectors.model import Period
from ledger.availability import OpenPeriod, Rules, SlotState, Start, Taken, TakenSlot, find, merged, starts

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)

# Zone and an instant near which its clocks do something.
EDGES = [
    ("UTC", "2027-03-01T00:00"),
    ("Europe/Berlin", "2027-03-28T01:00"),  # an hour is missing
    ("Europe/Berlin", "2027-10-31T01:00"),  # an hour comes twice
    ("Australia/Lord_Howe", "2027-04-03T15:00"),  # half an hour comes twice
    ("Australia/Lord_Howe", "2026-10-03T15:30"),  # half an hour is missing
    ("Africa/Casablanca", "2027-02-07T02:00"),  # Ramadan begins: an hour comes twice in winter
    ("Africa/Casablanca", "2027-03-14T02:00"),
    ("Pacific/Apia", "2011-12-30T10:00"),  # a whole day is missing
    ("America/Nuuk", "2024-03-31T01:00"),  # Saturday's last hour but one is missing
    ("America/Havana", "2027-11-07T05:00"),  # midnight comes twice
    ("Asia/Beirut", "2027-03-27T22:00"),  # midnight is missing
    ("America/Santiago", "2027-09-05T04:00"),
    ("Antarctica/Troll", "2027-03-28T01:00"),  # two hours are missing
    ("Asia/Kathmandu", "2027-01-01T00:00"),
    ("Pacific/Kiritimati", "2027-01-01T00:00"),
    ("Europe/London", "2027-12-31T23:00"),  # over the end of a year
]


# --- the oracle ---------------------------------------------------------------------------------------------------


class Wall:
    """Opening hours as somebody would look them up who has nothing but a clock and the plan on the door."""

    def __init__(self, rules: Rules) -> None:
        self.rules, self.zone = rules, ZoneInfo(rules.timezone)

    def ranges(self, day: date) -> tuple[tuple[int, int], ...]:
        if day in self.rules.overrides:
            return self.rules.overrides[day]
        if day in self.rules.closed:
            return ()
        return self.rules.hours.get(day.weekday(), ())

    def reading(self, moment: datetime) -> list[tuple[int, tuple[int, int]]]:
        """Minute of the day, and the range it lies in, for each range that is open then; also as a late hour of yesterday."""
        local = moment.astimezone(self.zone)
        minute = local.hour * 60 + local.minute
        found = []
        for days_ago in (0, 1):
            for begin, end in self.ranges(local.date() - days_ago * DAY):
                if begin <= minute + 1440 * days_ago < end:
                    found.append((minute + 1440 * days_ago, (begin, end)))
        return found

    def day_of(self, moment: datetime) -> tuple[int, int, int]:
        """Year, week and weekday of the calendar on the wall."""
        return moment.astimezone(self.zone).date().isocalendar()

    def is_open(self, moment: datetime) -> bool:
        return bool(self.reading(moment))

    def on_grid(self, moment: datetime) -> bool:
        step = self.rules.every // MINUTE
        return any((minute - begin) % step == 0 for minute, (begin, _) in self.reading(moment))


def expected(
    rules: Rules, window: Period, now: datetime, taken: Taken
) -> dict[datetime, tuple[str, int, int, int | None]]:
    """Start → (state, capacity, seats left, slot)."""
    result: dict[datetime, tuple[str, int, int, int | None]] = {}

    def in_time(moment: datetime) -> bool:
        return window.start <= moment < window.end and now + rules.notice <= moment < now + rules.horizon

    def hit(period: Period, others: list[Period]) -> bool:
        return any(max(period.start, o.start) < min(period.end, o.end) for o in others)

    live = [slot for slot in taken.slots if slot.taken]
    own = [slot for slot in live if slot.service_id == rules.service_id]
    wall = Wall(rules)

    def full_up(moment: datetime) -> bool:
        day = wall.day_of(moment)
        others = [wall.day_of(slot.period.start) for slot in own]
        of_day = sum(other == day for other in others)
        of_week = sum(other[:2] == day[:2] for other in others)
        return (0 < rules.limit_per_day <= of_day) or (0 < rules.limit_per_week <= of_week)

    def another_length(slot: TakenSlot) -> bool:
        return slot.period.duration != rules.duration and slot.period.duration in rules.lengths

    obstacles = [*taken.busy, *(slot.block for slot in live)]
    for moment, capacity in candidates(rules, window, taken):
        block = Period(moment - rules.buffer_before, moment + rules.duration + rules.buffer_after)
        if not in_time(moment) or moment in result or hit(block, list(taken.busy)):
            continue
        here = [slot for slot in own if slot.period.start == moment and another_length(slot)]
        if here:
            result[moment] = ("held" if here[0].held else "full", here[0].capacity, 0, here[0].slot_id)
        elif not hit(block, obstacles):
            result[moment] = ("full", capacity, 0, None) if full_up(moment) else ("open", capacity, capacity, None)
    for slot in own:
        if in_time(slot.period.start) and not another_length(slot):
            left = 0 if hit(slot.block, list(taken.busy)) else max(0, slot.capacity - slot.taken)
            state = "open" if left else "held" if slot.held else "full"
            result[slot.period.start] = (state, slot.capacity, left, slot.slot_id)
    return result


def candidates(rules: Rules, window: Period, taken: Taken) -> list[tuple[datetime, int]]:
    found = []
    if rules.calendar_openings:
        for opening in taken.openings:
            named = [name for name in (*rules.labels, *rules.rivals) if name in opening.label]
            if named and not set(named) & rules.labels:
                continue
            moment = opening.period.start
            while moment + rules.duration <= opening.period.end:
                found.append((moment, opening.seats or rules.capacity))
                moment += rules.every
        return found
    wall = Wall(rules)
    moment = window.start.replace(second=0, microsecond=0)
    minutes = [moment + n * MINUTE for n in range((window.end + rules.duration - moment) // MINUTE + 2)]
    open_minutes = [wall.is_open(m) for m in minutes]
    length = rules.duration // MINUTE
    closed_ahead = 0  # from the end: how many open minutes follow, this one included
    run = [0] * (len(minutes) + 1)
    for n in range(len(minutes) - 1, -1, -1):
        closed_ahead = closed_ahead + 1 if open_minutes[n] else 0
        run[n] = closed_ahead
    return [(m, rules.capacity) for n, m in enumerate(minutes) if run[n] >= length and wall.on_grid(m)]


# --- what is tried ------------------------------------------------------------------------------------------------


@st.composite
def ranges(draw: st.DrawFn) -> tuple[tuple[int, int], ...]:
    """Ranges of one day; they may touch, overlap and reach into the next day."""
    if draw(st.integers(0, 2)) == 0:  # days that meet at midnight
        return draw(st.sampled_from([((0, 1440),), ((0, 60), (1320, 1440)), ((1380, 1500),), ((0, 90),)]))
    made = []
    for _ in range(draw(st.integers(0, 2))):
        begin = draw(st.one_of(st.sampled_from([0, 60, 120, 150, 540, 1320, 1380]), st.integers(0, 1439)))
        length = draw(st.one_of(st.sampled_from([30, 60, 120, 1440 - begin or 30]), st.integers(1, 1440)))
        made.append((begin, begin + length))
    return tuple(sorted(made))


@st.composite
def questions(draw: st.DrawFn) -> tuple[Rules, Period, datetime, Taken]:
    zone, at = draw(st.sampled_from(EDGES))
    edge = datetime.fromisoformat(at).replace(tzinfo=UTC)

    def near(reach: int = 40 * 60) -> datetime:
        return edge + draw(st.integers(-reach, reach)) * MINUTE

    def span(longest: int) -> Period:
        begin = near() + draw(st.sampled_from([0, 0, 0, 30, 59])) * timedelta(seconds=1)
        return Period(begin, begin + draw(st.integers(0, longest)) * MINUTE)

    duration = draw(st.one_of(st.sampled_from([30, 60, 1440]), st.integers(5, 200))) * MINUTE
    lengths = frozenset({duration, *draw(st.sampled_from([(), (), (20 * MINUTE,), (20 * MINUTE, 45 * MINUTE)]))})
    rules = Rules(
        service_id=1,
        timezone=zone,
        duration=duration,
        lengths=lengths,
        limit_per_day=draw(st.sampled_from([0, 0, 1, 2])),
        limit_per_week=draw(st.sampled_from([0, 0, 1, 3])),
        closed=frozenset(edge.date() + n * DAY for n in draw(st.sets(st.integers(-2, 2), max_size=2))),
        every=draw(st.one_of(st.sampled_from([15, 30, 60]), st.integers(5, 200))) * MINUTE,
        capacity=draw(st.integers(1, 3)),
        buffer_before=draw(st.sampled_from([0, 10, 90])) * MINUTE,
        buffer_after=draw(st.sampled_from([0, 5, 60])) * MINUTE,
        notice=draw(st.sampled_from([0, 0, 7, 240])) * MINUTE,
        horizon=draw(st.sampled_from([1, 2, 60])) * DAY,
        hours={(edge.weekday() + n) % 7: draw(ranges()) for n in draw(st.sets(st.integers(-2, 2), min_size=2))},
        overrides={edge.date() + n * DAY: draw(ranges()) for n in draw(st.sets(st.integers(-2, 2), max_size=2))},
        calendar_openings=draw(st.integers(0, 3)) == 0,
        labels=frozenset({"talk"}),
        rivals=frozenset({"yoga"}),
    )
    slots = []
    for number in range(draw(st.integers(0, 4))):
        length = draw(st.one_of(st.sampled_from(sorted(lengths)), st.integers(5, 120).map(lambda n: n * MINUTE)))
        period = Period(begin := near(), begin + length)
        if any(other.period.start == begin for other in slots):
            continue
        seats = draw(st.integers(0, 3))
        slots.append(
            TakenSlot(
                number, draw(st.sampled_from([1, 2])), period, period.widened(rules.buffer_before, rules.buffer_after), 3, seats,
                draw(st.integers(0, seats)),
            )
        )  # fmt: skip
    openings = [
        OpenPeriod(
            span(600), draw(st.sampled_from(["", "talk", "yoga", "yoga and talk"])), draw(st.sampled_from([None, 2, 8]))
        )
        for _ in range(draw(st.integers(0, 3)))
    ]
    busy = draw(st.lists(st.builds(lambda _: span(180), st.none()), max_size=6))
    if slots and draw(st.booleans()):  # somebody else's event beside a slot, or over its edge
        end = slots[0].block.end + draw(st.integers(-20, 20)) * MINUTE
        busy.append(Period(end - 15 * MINUTE, end))
    window = Period(begin := near(30 * 60), begin + draw(st.integers(0, 36 * 60)) * MINUTE)
    now = edge - draw(st.one_of(st.sampled_from([0, 60 * 24]), st.integers(-600, 6000))) * MINUTE
    return rules, window, now, Taken(busy, slots, openings)


def seen(listed: list[Start]) -> dict[datetime, tuple[str, int, int, int | None]]:
    return {s.period.start: (s.state.value, s.capacity, s.seats_left, s.slot_id) for s in listed}


BERLIN = Rules(
    1, "Europe/Berlin", HOUR, HOUR / 2, notice=timedelta(), hours={5: ((1380, 1440),), 6: ((0, 360),), 0: ((540, 900),)}
)
WEEKEND = Period(datetime(2027, 3, 27, tzinfo=UTC), datetime(2027, 3, 30, tzinfo=UTC))
NIGHT = Period(datetime(2027, 3, 27, 22, tzinfo=UTC), datetime(2027, 3, 27, 22, 30, tzinfo=UTC))
MONDAY = Period(datetime(2027, 3, 29, 8, tzinfo=UTC), datetime(2027, 3, 29, 9, tzinfo=UTC))


@settings(max_examples=250, deadline=None)
@given(questions())
@example((BERLIN, WEEKEND, datetime(2027, 3, 20, tzinfo=UTC), Taken()))
@example(
    (  # one a day and two a week, over a missing hour: the night's hours are of the day on which they are
        replace(BERLIN, limit_per_day=1, limit_per_week=2, lengths=frozenset({HOUR, HOUR / 2})),
        WEEKEND,
        datetime(2027, 3, 20, tzinfo=UTC),
        Taken(slots=[TakenSlot(1, 1, MONDAY, MONDAY, 1, 1), TakenSlot(2, 1, NIGHT, NIGHT, 2, 1, 1)]),
    )
)
@example(
    (
        replace(BERLIN, buffer_after=HOUR / 4),
        WEEKEND,
        datetime(2027, 3, 20, tzinfo=UTC),
        Taken(
            busy=[Period(MONDAY.end + HOUR / 6, MONDAY.end + HOUR)],
            slots=[TakenSlot(1, 1, MONDAY, MONDAY.widened(timedelta(), HOUR / 4), 3, 1)],
        ),
    )
)
def test_availability_is_what_the_wall_clock_says(question: tuple[Rules, Period, datetime, Taken]) -> None:
    rules, window, now, taken = question
    listed = starts(rules, window, now, taken)
    assert seen(listed) == expected(rules, window, now, taken)
    assert [s.period.start for s in listed] == sorted(s.period.start for s in listed)
    assert all(s.period.duration == rules.duration or s.slot_id is not None for s in listed)


@settings(max_examples=100, deadline=None)
@given(questions(), st.integers(0, 36 * 60))
def test_what_is_shown_is_what_can_be_booked(question: tuple[Rules, Period, datetime, Taken], minutes: int) -> None:
    rules, window, now, taken = question
    listed = starts(rules, window, now, taken)
    for start in listed[:20]:
        assert find(rules, start.period.start, now, taken) == start
    other = window.start + minutes * MINUTE
    found = find(rules, other, now, taken)
    if window.start <= other < window.end:
        assert found == next((s for s in listed if s.period.start == other), None)
    middle = window.start + (window.end - window.start) / 2
    parts = starts(rules, Period(window.start, middle), now, taken) + starts(
        rules, Period(middle, window.end), now, taken
    )
    assert parts == listed


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 40)), max_size=30))
def test_merged_is_the_same_time(spans: list[tuple[int, int]]) -> None:
    midnight = datetime(2027, 1, 1, tzinfo=UTC)
    periods = [Period(midnight + a * MINUTE, midnight + (a + length) * MINUTE) for a, length in spans]
    result = merged(periods)
    covered = {n for a, length in spans for n in range(a, a + length)}
    assert covered == {n for n in range(260) if any(p.start <= midnight + n * MINUTE < p.end for p in result)}
    assert all(one.end < other.start for one, other in pairwise(result))


def test_the_oracle_itself_knows_a_simple_day() -> None:
    monday = datetime(2027, 1, 11, tzinfo=UTC)
    rules = Rules(1, "UTC", HOUR, HOUR, notice=timedelta(), hours={0: ((540, 720),)})
    slot = TakenSlot(
        5, 1, Period(monday + 10 * HOUR, monday + 11 * HOUR), Period(monday + 10 * HOUR, monday + 11 * HOUR), 1, 1
    )
    known = expected(rules, Period(monday, monday + DAY), monday, Taken(slots=[slot]))
    assert known == {
        monday + 9 * HOUR: ("open", 1, 1, None),
        monday + 10 * HOUR: ("full", 1, 0, 5),
        monday + 11 * HOUR: ("open", 1, 1, None),
    }
    assert SlotState.FULL.value == "full"
