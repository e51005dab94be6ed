"""Which starts of a service are free. Pure; the page and the booking ask the same function (P12).

Rules are wall time with a zone; everything that comes out is instants. Terms: RFC 7953 (availability), RFC 5545.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from itertools import pairwise
from operator import attrgetter
from zoneinfo import ZoneInfo

from connectors.model import Period

_DAY = timedelta(days=1)
_MINUTE = timedelta(minutes=1)
_LONG_DAY = timedelta(hours=50)  # a day of any zone, with a day left out or come twice
_WEEK = timedelta(days=9)
MinuteRange = tuple[int, int]
"""Wall-clock minutes of a day, half-open; an end over 1440 reaches into the next day."""


class SlotState(StrEnum):
    """What a visitor may do with a start."""

    OPEN = "open"
    FULL = "full"
    HELD = "held"  # full, but some of it is only held and may come back


@dataclass(frozen=True, slots=True)
class Rules:
    """When a service may be booked. hours: weekday (Monday 0) → wall-clock ranges; overrides replace a whole day, and
    closed days without one have no hours.

    lengths: all that the service has, of which `duration` is one. limit_per_day, limit_per_week: how many of its slots a
    day or week (from Monday) of wall time may have, 0 for no limit. labels: names that an opening may use for this
    service; rivals: those of the operator's other services.
    """

    service_id: int
    timezone: str
    duration: timedelta
    every: timedelta
    capacity: int = 1
    buffer_before: timedelta = timedelta()
    buffer_after: timedelta = timedelta()
    notice: timedelta = timedelta(hours=4)
    horizon: timedelta = timedelta(days=60)
    hours: Mapping[int, tuple[MinuteRange, ...]] = field(default_factory=dict)
    overrides: Mapping[date, tuple[MinuteRange, ...]] = field(default_factory=dict)
    closed: Container[date] = frozenset()
    calendar_openings: bool = False
    limit_per_day: int = 0
    limit_per_week: int = 0
    lengths: frozenset[timedelta] = frozenset()
    labels: frozenset[str] = frozenset()
    rivals: frozenset[str] = frozenset()

    @property
    def reach(self) -> timedelta:
        """How far from a start anything can be that speaks against it."""
        near = self.duration + self.buffer_before + self.buffer_after
        return max(near, _WEEK if self.limit_per_week else _LONG_DAY if self.limit_per_day else near)

    @property
    def is_limited(self) -> bool:
        """Is the number of slots in a day or week limited?"""
        return bool(self.limit_per_day or self.limit_per_week)

    def touched(self, period: Period) -> Period:
        """Where something may become free when what lay in `period` goes: with a limit all of its days or weeks, and a
        little around them."""
        if not self.is_limited:
            return period
        zone = ZoneInfo(self.timezone)
        first, last = (moment.astimezone(zone).date() for moment in (period.start, period.end))
        if self.limit_per_week:
            first, last = first - first.weekday() * _DAY, last + (6 - last.weekday()) * _DAY
        begin, end = (datetime(d.year, d.month, d.day, tzinfo=UTC) for d in (first, last + _DAY))
        return Period(begin - _FARTHEST, end + _FARTHEST)

    def block(self, start: datetime) -> Period:
        """The period with its buffers that a booking at `start` takes."""
        return Period(start - self.buffer_before, start + self.duration + self.buffer_after)


@dataclass(frozen=True, slots=True)
class OpenPeriod:
    """Hours opened by a calendar event; label as its title and categories say, lower-case."""

    period: Period
    label: str = ""
    seats: int | None = None


@dataclass(frozen=True, slots=True)
class TakenSlot:
    """A slot with seats taken. taken counts live seats only; held: how many of those are holds or offers."""

    slot_id: int
    service_id: int
    period: Period
    block: Period
    capacity: int
    taken: int
    held: int = 0


@dataclass(frozen=True, slots=True)
class Taken:
    """What speaks against a start: busy periods (any order, may overlap), slots, and what calendars opened.

    closed: starts of these services are not for strangers before the people waiting had their turn, ``(service_id,
    period)``; who reads for those who wait has none.
    """

    busy: Sequence[Period] = ()
    slots: Sequence[TakenSlot] = ()
    openings: Sequence[OpenPeriod] = ()
    closed: Sequence[tuple[int, Period]] = ()


@dataclass(frozen=True, slots=True)
class Start:
    """One start that exists: free, partly free or full."""

    period: Period
    capacity: int
    seats_left: int
    state: SlotState
    slot_id: int | None = None


def starts(rules: Rules, window: Period, now: datetime, taken: Taken) -> list[Start]:
    """Every start of the service inside ``window`` (``window.start <= start < window.end``), in order of time.

    Between now + notice and now + horizon only. Full ones are listed too, so that people can wait for them: a slot of
    this service that people are in is listed as it is, whatever the hours have become; what only the limit of a day or week
    speaks against is full. Where somebody has the same start for another of the service's lengths, it is full for this one.
    """
    earliest = max(window.start, now + rules.notice)
    latest = min(window.end, now + rules.horizon)
    if earliest >= latest:
        return []
    busy = _Times(taken.busy)
    slots = _Times(slot.block for slot in taken.slots if slot.taken > 0)
    own = {slot.period.start: slot for slot in taken.slots if slot.service_id == rules.service_id and slot.taken > 0}
    full, limited, several = _limits(rules, own.values()), rules.is_limited, len(rules.lengths) > 1
    found: dict[datetime, Start] = {}
    before, after = rules.buffer_before, rules.duration + rules.buffer_after
    for start in _candidates(rules, earliest, latest, taken.openings):
        at = start.period.start
        if not earliest <= at < latest or busy.hit(at - before, at + after):
            continue
        shorter = own.get(at) if several else None
        if shorter is not None and _is_another_length(rules, shorter):
            state = SlotState.HELD if shorter.held else SlotState.FULL
            found[at] = Start(start.period, shorter.capacity, 0, state, shorter.slot_id)
        elif not slots.hit(at - before, at + after):
            if limited and full(at):
                start = Start(start.period, start.capacity, 0, SlotState.FULL)
            found.setdefault(at, start)
    for at, slot in own.items():
        if earliest <= at < latest and not (several and _is_another_length(rules, slot)):
            left = max(0, slot.capacity - slot.taken)
            if left and busy.hit(slot.block.start, slot.block.end):
                left = 0
            state = SlotState.OPEN if left else SlotState.HELD if slot.held else SlotState.FULL
            found[at] = Start(slot.period, slot.capacity, left, state, slot.slot_id)
    _close(rules, taken, found)
    return [found[at] for at in sorted(found)]


def best_of(lists: Iterable[Sequence[Start]]) -> list[Start]:
    """Of several people's lists one: of each start the most that anybody has, as it would be booked."""
    best: dict[datetime, Start] = {}
    for start in (start for listed in lists for start in listed):
        known = best.get(start.period.start)
        if known is None or _worth(start) > _worth(known):
            best[start.period.start] = start
    return [best[at] for at in sorted(best)]


def _worth(start: Start) -> tuple[int, int]:
    return start.seats_left, start.state is SlotState.HELD


def _close(rules: Rules, taken: Taken, found: dict[datetime, Start]) -> None:
    """Take out what waits for the line's turn; a slot that people are in stays, as one that may come back."""
    closed = [period for service_id, period in taken.closed if service_id == rules.service_id]
    for at, start in list(found.items()) if closed else ():
        if start.seats_left and any(period.start <= at < period.end for period in closed):
            if start.slot_id is None:
                del found[at]
            else:
                found[at] = replace(start, seats_left=0, state=SlotState.HELD)


def find(rules: Rules, start: datetime, now: datetime, taken: Taken) -> Start | None:
    """That one start as `starts` would list it, or None where it doesn't exist."""
    listed = starts(rules, Period(start, start + timedelta(microseconds=1)), now, taken)
    return listed[0] if listed else None


def _is_another_length(rules: Rules, slot: TakenSlot) -> bool:
    length = slot.period.end - slot.period.start
    return length != rules.duration and length in rules.lengths


def _limits(rules: Rules, own: Iterable[TakenSlot]) -> Callable[[datetime], bool]:
    """Has the day or week of a start all the slots already that it may have?"""
    if not rules.is_limited:
        return lambda _: False
    zone = ZoneInfo(rules.timezone)
    slots = [slot.period.start.astimezone(zone).date() for slot in own]
    days, weeks = Counter(slots), Counter(_monday(day) for day in slots)

    def is_full(start: datetime) -> bool:
        day = start.astimezone(zone).date()
        return bool(
            (rules.limit_per_day and days[day] >= rules.limit_per_day)
            or (rules.limit_per_week and weeks[_monday(day)] >= rules.limit_per_week)
        )

    return is_full


def _monday(day: date) -> date:
    return day - day.weekday() * _DAY


def merged(periods: Iterable[Period]) -> list[Period]:
    """The same time as ordered periods that neither overlap nor touch."""
    times = _Times(periods)
    return [Period(start, end) for start, end in zip(times.starts, times.ends, strict=True)]


def seats_in(label: str) -> int | None:
    """The number of seats that a text like ``Yoga, 8 seats`` names."""
    words = label.replace(",", " ").replace("(", " ").replace(")", " ").split()
    for number, word in pairwise(words):
        if number.isdecimal() and len(number) < 9 and word.lower().rstrip(".") in _SEAT_WORDS:
            return max(1, min(int(number), 10_000))
    return None


_SEAT_WORDS = frozenset(
    {
        "seat",
        "seats",
        "hely",
        "férőhely",
        "plätze",
        "platz",
        "places",
        "place",
        "plazas",
        "plaza",
        "posti",
        "posto",
        "مقاعد",
        "مقعد",
    }
)


class _Times:
    """Periods as ordered, disjoint spans. Questions in order of time move on; others are answered all the same."""

    def __init__(self, periods: Iterable[Period]) -> None:
        self.starts: list[datetime] = []
        self.ends: list[datetime] = []
        end = None
        for period in sorted(periods, key=_start_of):
            if end is None or period.start > end:
                if period.start < period.end:
                    self.starts.append(period.start)
                    self.ends.append(end := period.end)
            elif period.end > end:
                self.ends[-1] = end = period.end
        self._at = 0

    def hit(self, start: datetime, end: datetime) -> bool:
        """Does any of them share an instant with that span?"""
        ends, at = self.ends, self._at
        if at and ends[at - 1] > start:
            at = bisect_right(ends, start)
        while at < len(ends) and ends[at] <= start:
            at += 1
        self._at = at
        return at < len(ends) and self.starts[at] < end

    def cover(self, start: datetime, end: datetime) -> bool:
        """Does that span lie wholly in one of them?"""
        at = bisect_right(self.starts, start) - 1
        return at >= 0 and end <= self.ends[at]


_start_of = attrgetter("start")


def _candidates(rules: Rules, earliest: datetime, latest: datetime, openings: Sequence[OpenPeriod]) -> Iterator[Start]:
    """Starts that the hours or openings give, free or not, some of them outside the span. Of one that comes twice the
    first counts."""
    if rules.calendar_openings:
        for opening in openings:
            if _meant(rules, opening.label):
                yield from _steps(rules, opening, earliest, latest)
        return
    zone = ZoneInfo(rules.timezone)
    day = earliest.astimezone(zone).date() - _DAY  # yesterday's hours may reach into today
    last = latest.astimezone(zone).date()
    ahead = _days_ahead(rules)
    plan = [_ranges_of(rules, day + n * _DAY) for n in range(-1, ahead + 1)]
    while day <= last:
        if plan[1]:
            yield from _starts_of_day(rules.timezone, day, tuple(plan), rules.every, rules.duration, rules.capacity)
        day += _DAY
        plan = [*plan[1:], _ranges_of(rules, day + ahead * _DAY)]


def _steps(rules: Rules, opening: OpenPeriod, earliest: datetime, latest: datetime) -> Iterator[Start]:
    at, end = opening.period.start, min(opening.period.end, latest + rules.duration)
    if at < earliest:
        at += (earliest - at) // rules.every * rules.every
    capacity = opening.seats or rules.capacity
    while at + rules.duration <= end:
        yield Start(Period(at, at + rules.duration), capacity, capacity, SlotState.OPEN)
        at += rules.every


def capacity_of(rules: Rules, period: Period, openings: Sequence[OpenPeriod]) -> int | None:
    """The seats of a slot in that period, as the first opening that is meant for it says; None without any."""
    for opening in openings:
        if opening.period.start <= period.start and period.end <= opening.period.end and _meant(rules, opening.label):
            return opening.seats or rules.capacity
    return None


def _ranges_of(rules: Rules, day: date) -> tuple[MinuteRange, ...]:
    known = rules.overrides.get(day)
    if known is not None:
        return known
    return () if day in rules.closed else rules.hours.get(day.weekday(), ())


def _days_ahead(rules: Rules) -> int:
    """How many days on an appointment may end, counted from the day whose hours it begins in."""
    latest = max((end for ranges in (*rules.hours.values(), *rules.overrides.values()) for _, end in ranges), default=0)
    # One more for what clocks do: a day may be short, or left out.
    return 1 + (latest + -(-rules.duration // _MINUTE)) // 1440


@lru_cache(maxsize=2048)
def _starts_of_day(
    timezone: str, day: date, plan: tuple[tuple[MinuteRange, ...], ...], every: timedelta, duration: timedelta, capacity: int
) -> tuple[Start, ...]:  # fmt: skip
    """Starts on the grid of that day's ranges whose whole duration is open, in order. plan: the ranges of the day
    before, of the day, and of days after. Remembered, because a month is asked for again and again."""
    zone = ZoneInfo(timezone)
    days = ((day + n * _DAY, ranges) for n, ranges in enumerate(plan, -1))
    open_time = _Times(period for each, ranges in days for wall in ranges for period in wall_periods(zone, each, wall))
    grid = {
        start for wall in plan[1] for start in _grid(zone, day, wall, every) if open_time.cover(start, start + duration)
    }
    return tuple(Start(Period(at, at + duration), capacity, capacity, SlotState.OPEN) for at in sorted(grid))


def _meant(rules: Rules, label: str) -> bool:
    """Is an opening with that label for this service? One that names no service at all is for each."""
    text = rest = label.lower()
    # "Morning yoga" doesn't name the service "Yoga", where both exist.
    for rival in sorted(rules.rivals - rules.labels, key=len, reverse=True):
        if any(name in rival for name in rules.labels):
            rest = rest.replace(rival, "\n")
    if any(name in rest for name in rules.labels):
        return True
    return not any(name in text for name in rules.rivals)


def _grid(zone: ZoneInfo, day: date, wall: MinuteRange, every: timedelta) -> Iterator[datetime]:
    """Instants whose wall time lies on the grid: none in a gap, two in a fold."""
    step = max(1, int(every / _MINUTE))
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    for begin, end, offset in _around(zone, day, wall):
        for minute in range(wall[0], wall[1], step):
            instant = midnight + minute * _MINUTE - offset
            if begin <= instant < end:
                yield instant


def wall_periods(zone: ZoneInfo, day: date, wall: MinuteRange) -> list[Period]:
    """The instants whose local time lies in ``[wall)`` of that day, as periods; exact over every change of offset."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    result = []
    for begin, end, offset in _around(zone, day, wall):
        start = max(begin, midnight + wall[0] * _MINUTE - offset)
        stop = min(end, midnight + wall[1] * _MINUTE - offset)
        if start < stop:
            result.append(Period(start, stop))
    return result


_Span = tuple[datetime, datetime, timedelta]
_FARTHEST = timedelta(hours=27)  # no zone is or was that far from UTC


def _around(zone: ZoneInfo, day: date, wall: MinuteRange) -> list[_Span]:
    """Spans of constant offset in which that wall time may lie."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    begin, end = midnight + wall[0] * _MINUTE - _FARTHEST, midnight + wall[1] * _MINUTE + _FARTHEST
    return [span for span in _spans(zone, day.year) if span[1] > begin and span[0] < end]


@lru_cache(maxsize=512)
def _spans(zone: ZoneInfo, year: int) -> tuple[_Span, ...]:
    """Spans of constant offset, ``(from, to, offset)``, over that year and some days around it."""
    begin, last = datetime(year, 1, 1, tzinfo=UTC) - 4 * _DAY, datetime(year, 12, 31, tzinfo=UTC) + 5 * _DAY
    result = []
    while begin < last:
        offset = _offset(zone, begin)
        change = _next_change(zone, begin, last, offset)
        result.append((begin, change, offset))
        begin = change
    return tuple(result)


def _next_change(zone: ZoneInfo, begin: datetime, end: datetime, offset: timedelta) -> datetime:
    step = 5 * _DAY  # two changes were never that near, in any zone since 1970
    low = begin
    while low < end:
        high = min(low + step, end)
        if _offset(zone, high) != offset:
            while high - low > timedelta(seconds=1):
                middle = low + (high - low) / 2
                if _offset(zone, middle) == offset:
                    low = middle
                else:
                    high = middle
            return high.replace(microsecond=0)
        low = high
    return end


def _offset(zone: ZoneInfo, instant: datetime) -> timedelta:
    return instant.astimezone(zone).utcoffset() or timedelta()
