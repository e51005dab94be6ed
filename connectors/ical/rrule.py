"""RFC 5545 §3.3.10 RECUR: one recurrence rule, read and counted out in local time, pure and bounded.

Libraries generate until year 9999 where a rule never matches (``FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30`` takes seconds)
and can't start near a window. Here the work is bounded by the window, by a budget of examined days, and jumps to the
window where no COUNT forbids it. The tests hold the results against dateutil.
"""

from __future__ import annotations

from calendar import isleap, monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property, lru_cache

MAX_DAYS_EXAMINED = 40_000
"""Days or periods that one rule may look at: 110 years of a daily rule with COUNT, about 0.1 s."""
MAX_RULE_LENGTH = 2_000
"""Characters of the longest rule that is read; real ones have less than 200."""

WEEKDAYS = {"MO": 0, "TU": 1, "WE": 2, "TH": 3, "FR": 4, "SA": 5, "SU": 6}
FREQUENCIES = ("SECONDLY", "MINUTELY", "HOURLY", "DAILY", "WEEKLY", "MONTHLY", "YEARLY")
_DAY = timedelta(days=1)


class BadRule(ValueError):
    """The rule can't be understood."""


class RuleTooLong(ValueError):
    """Counting the rule out would take too many steps."""


@dataclass(frozen=True)
class Rule:
    """One parsed rule. byday: ``(ordinal or 0, weekday with Monday 0)``. until: date, floating or UTC. odd: a part
    that we don't know was left out, so the rule may match more than its author meant."""

    freq: str
    interval: int = 1
    count: int | None = None
    until: date | datetime | None = None
    wkst: int = 0
    bymonth: frozenset[int] = frozenset()
    byweekno: frozenset[int] = frozenset()
    byyearday: frozenset[int] = frozenset()
    bymonthday: frozenset[int] = frozenset()
    byday: frozenset[tuple[int, int]] = frozenset()
    byhour: tuple[int, ...] = ()
    byminute: tuple[int, ...] = ()
    bysecond: tuple[int, ...] = ()
    bysetpos: frozenset[int] = frozenset()
    odd: bool = False

    @property
    def too_frequent(self) -> bool:
        """Is it HOURLY, MINUTELY or SECONDLY, which no appointment is?"""
        return self.freq in FREQUENCIES[:3]

    @cached_property
    def selects_days(self) -> bool:
        """Does any part beside the frequency choose days?"""
        return bool(self.bymonth or self.byweekno or self.byyearday or self.bymonthday or self.byday)

    def starting(self, start: datetime) -> Rule:
        """The same rule with the parts that RFC 5545 takes from DTSTART filled in."""
        if self.byweekno or self.byyearday or self.bymonthday or self.byday or self.freq == "DAILY":
            return self
        parts = dict(self.__dict__)
        parts.pop("selects_days", None)
        if self.freq == "WEEKLY":
            parts["byday"] = frozenset({(0, start.weekday())})
        else:
            parts["bymonthday"] = frozenset({start.day})
            if self.freq == "YEARLY" and not self.bymonth:
                parts["bymonth"] = frozenset({start.month})
        return Rule(**parts)

    def times(self, start: datetime) -> list[time]:
        """The times of day that each chosen day has, ascending; DTSTART's own where the rule names none."""
        return [
            time(hour, minute, second)
            for hour in self.byhour or (start.hour,)
            for minute in self.byminute or (start.minute,)
            for second in self.bysecond or (start.second,)
        ]

    def accepts(self, day: date) -> bool:
        """Do all parts that choose days allow this one?"""
        if self.bymonth and day.month not in self.bymonth:
            return False
        if self.bymonthday:
            length = monthrange(day.year, day.month)[1]
            if day.day not in self.bymonthday and day.day - length - 1 not in self.bymonthday:
                return False
        if self.byyearday:
            number, length = day.timetuple().tm_yday, 366 if isleap(day.year) else 365
            if number not in self.byyearday and number - length - 1 not in self.byyearday:
                return False
        if self.byweekno and not self._accepts_week(day):
            return False
        return not self.byday or self._accepts_weekday(day)

    def _accepts_weekday(self, day: date) -> bool:
        weekday = day.weekday()
        if self.freq in ("DAILY", "WEEKLY"):  # an ordinal has no meaning there
            return any(weekday == wanted for _, wanted in self.byday)
        if self.freq == "MONTHLY" or self.bymonth:
            number, length = day.day, monthrange(day.year, day.month)[1]
        else:
            number, length = day.timetuple().tm_yday, 366 if isleap(day.year) else 365
        ordinals = (0, (number - 1) // 7 + 1, -((length - number) // 7 + 1))
        return any(weekday == wanted and ordinal in ordinals for ordinal, wanted in self.byday)

    def _accepts_week(self, day: date) -> bool:
        """Weeks begin on WKST; week 1 is the first with four days in its year (RFC 5545, as ISO 8601)."""
        thursday = day + timedelta(days=3 - (day.weekday() - self.wkst) % 7)  # the fourth day decides the year
        number = (thursday.timetuple().tm_yday - 1) // 7 + 1
        days = 366 if isleap(thursday.year) else 365
        weeks = number + (days - thursday.timetuple().tm_yday) // 7
        return number in self.byweekno or number - weeks - 1 in self.byweekno


@lru_cache(maxsize=2048)
def parse_rule(text: str) -> Rule:
    """Read the value of an RRULE. Raises `BadRule`."""
    if len(text) > MAX_RULE_LENGTH:
        raise BadRule("rule is too long")
    parts: dict[str, str] = {}
    for part in text.strip().rstrip(";").split(";"):
        name, equals, value = part.partition("=")
        name = name.strip().upper()
        if not equals or name in parts:
            raise BadRule(f"part {name!r} is broken")
        parts[name] = value.strip().upper()
    freq = parts.pop("FREQ", "")
    if freq not in FREQUENCIES:
        raise BadRule(f"FREQ={freq!r}")
    if parts.pop("RSCALE", "GREGORIAN") != "GREGORIAN" or parts.pop("SKIP", "OMIT") != "OMIT":
        raise BadRule("other calendar scale")  # RFC 7529
    try:
        rule = Rule(
            freq=freq,
            interval=_number(parts.pop("INTERVAL", "1"), 1, 10**6),
            count=_number(parts.pop("COUNT"), 1, 10**9) if "COUNT" in parts else None,
            until=_until(parts.pop("UNTIL")) if "UNTIL" in parts else None,
            wkst=WEEKDAYS[parts.pop("WKST", "MO")],
            bymonth=frozenset(_numbers(parts.pop("BYMONTH", ""), 1, 12)),
            byweekno=frozenset(_signed(parts.pop("BYWEEKNO", ""), 53)),
            byyearday=frozenset(_signed(parts.pop("BYYEARDAY", ""), 366)),
            bymonthday=frozenset(_signed(parts.pop("BYMONTHDAY", ""), 31)),
            byday=frozenset(_weekday(value) for value in _values(parts.pop("BYDAY", ""))),
            byhour=_numbers(parts.pop("BYHOUR", ""), 0, 23),
            byminute=_numbers(parts.pop("BYMINUTE", ""), 0, 59),
            bysecond=_numbers(parts.pop("BYSECOND", ""), 0, 59),
            bysetpos=frozenset(_signed(parts.pop("BYSETPOS", ""), 366)),
            odd=bool(parts),
        )
    except (KeyError, ValueError) as error:
        raise BadRule(str(error)) from error
    return rule


def _values(text: str) -> list[str]:
    return [value.strip() for value in text.split(",")] if text else []


def _number(text: str, low: int, high: int) -> int:
    if not text.lstrip("+-").isascii() or not text.lstrip("+-").isdigit():
        raise BadRule(f"not a number: {text[:20]!r}")
    value = int(text)
    if not low <= value <= high:
        raise BadRule(f"{value} is out of range")
    return value


def _numbers(text: str, low: int, high: int) -> tuple[int, ...]:
    return tuple(sorted({_number(value, low, high) for value in _values(text)}))


def _signed(text: str, limit: int) -> tuple[int, ...]:
    numbers = _numbers(text, -limit, limit)
    if 0 in numbers:
        raise BadRule("0 is out of range")
    return numbers


def _weekday(text: str) -> tuple[int, int]:
    ordinal = _number(text[:-2], -53, 53) if len(text) > 2 else 0
    if len(text) > 2 and ordinal == 0:
        raise BadRule("ordinal 0")
    return ordinal, WEEKDAYS[text[-2:]]


def _until(text: str) -> date | datetime:
    if len(text) == 8:
        return datetime.strptime(text, "%Y%m%d").date()  # noqa: DTZ007 - a date has no zone
    if text.endswith("Z"):
        return datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    return datetime.strptime(text, "%Y%m%dT%H%M%S")  # noqa: DTZ007 - floating


def starts(
    rule: Rule,
    start: datetime,
    low: datetime,
    high: datetime,
    until: datetime | None,
    budget: int = MAX_DAYS_EXAMINED,
) -> Iterator[datetime]:
    """Local starts that the rule makes in ``low <= t <= high``, ascending.

    start: DTSTART; all four in the same local time, without zone. until: inclusive. DTSTART itself comes only if the
    rule matches it. Not for rules that are `Rule.too_frequent`. budget: days to look at;
    then it raises `RuleTooLong`.
    """
    if until is not None:
        high = min(high, until)
    if high < start:
        return
    rule = rule.starting(start)
    times = rule.times(start)
    left = rule.count
    first = 0
    if left is None:
        first = _periods_before(rule, start, low)
    elif not rule.selects_days and not rule.bysetpos and not (rule.byhour or rule.byminute or rule.bysecond):
        first = min(_periods_before(rule, start, low), left)  # plain DAILY: one start a period
        left -= first
    for days, cost in _periods(rule, start.date(), first, high.date()):
        budget -= cost
        if budget < 0:
            raise RuleTooLong(rule.freq)
        found = [datetime.combine(day, at) for day in days for at in times]
        if rule.bysetpos:
            found = _positions(found, rule.bysetpos)
        for moment in found:
            if moment < start:
                continue
            if left is not None:
                if left == 0:
                    return
                left -= 1
            if moment > high:
                return
            if moment >= low:
                yield moment
        budget -= len(found) // 8


def _positions(found: list[datetime], positions: frozenset[int]) -> list[datetime]:
    size = len(found)
    chosen = {position - 1 if position > 0 else size + position for position in positions}
    return [found[index] for index in sorted(chosen) if 0 <= index < size]


def _periods_before(rule: Rule, start: datetime, low: datetime) -> int:
    """How many whole periods of the rule surely end before ``low``."""
    if low <= start:
        return 0
    if rule.freq in ("DAILY", "WEEKLY"):
        passed = (low - start).days // (7 if rule.freq == "WEEKLY" else 1) - 1
    elif rule.freq == "MONTHLY":
        passed = (low.year - start.year) * 12 + low.month - start.month - 1
    else:
        passed = low.year - start.year - 1
    return max(passed // rule.interval, 0)


def _periods(rule: Rule, start: date, first: int, last: date) -> Iterator[tuple[list[date], int]]:
    """The chosen days of each period, and how many days were looked at."""
    step = {"DAILY": _daily, "WEEKLY": _weekly, "MONTHLY": _monthly, "YEARLY": _yearly}[rule.freq]
    return step(rule, start, first, last)


def _daily(rule: Rule, start: date, first: int, last: date) -> Iterator[tuple[list[date], int]]:
    ordinal, end = start.toordinal() + first * rule.interval, last.toordinal()
    plain = not rule.selects_days
    for number in range(ordinal, end + 1, rule.interval):
        day = date.fromordinal(number)
        yield ([day] if plain or rule.accepts(day) else []), 1


def _weekly(rule: Rule, start: date, first: int, last: date) -> Iterator[tuple[list[date], int]]:
    monday = start.toordinal() - (start.weekday() - rule.wkst) % 7 + first * 7 * rule.interval
    wanted = sorted({(weekday - rule.wkst) % 7 for _, weekday in rule.byday}) or list(range(7))
    plain = not (rule.bymonth or rule.byweekno or rule.byyearday or rule.bymonthday)
    for number in range(monday, last.toordinal() + 1, 7 * rule.interval):
        days = [date.fromordinal(number + offset) for offset in wanted if 0 < number + offset <= _LAST_DAY]
        yield (days if plain else [day for day in days if rule.accepts(day)]), 1 if plain else 7


def _monthly(rule: Rule, start: date, first: int, last: date) -> Iterator[tuple[list[date], int]]:
    index, end = start.year * 12 + start.month - 1 + first * rule.interval, last.year * 12 + last.month - 1
    for number in range(index, end + 1, rule.interval):
        days = _month(rule, number // 12, number % 12 + 1)
        yield days, 1 + len(days)


def _yearly(rule: Rule, start: date, first: int, last: date) -> Iterator[tuple[list[date], int]]:
    whole = bool(rule.byyearday or rule.byweekno or (rule.byday and not rule.bymonth and not rule.bymonthday))
    for year in range(start.year + first * rule.interval, last.year + 1, rule.interval):
        if whole:
            day, days = date(year, 1, 1), []
            for _ in range(366 if isleap(year) else 365):
                if rule.accepts(day):
                    days.append(day)
                if day != date.max:
                    day += _DAY
            yield days, 366
        else:
            months = sorted(rule.bymonth) or range(1, 13)
            yield [day for month in months for day in _month(rule, year, month)], 12


def _month(rule: Rule, year: int, month: int) -> list[date]:
    """The chosen days of one month, ascending."""
    if rule.bymonth and month not in rule.bymonth:
        return []
    weekday, length = monthrange(year, month)
    if rule.bymonthday:
        numbers = {number if number > 0 else length + 1 + number for number in rule.bymonthday}
    elif rule.byday:
        numbers = set()
        for ordinal, wanted in rule.byday:
            matching = range((wanted - weekday) % 7 + 1, length + 1, 7)
            if not ordinal:
                numbers.update(matching)
            elif abs(ordinal) <= len(matching):
                numbers.add(matching[ordinal - 1 if ordinal > 0 else ordinal])
    else:
        numbers = set(range(1, length + 1))
    days = [date(year, month, number) for number in sorted(numbers) if 0 < number <= length]
    plain = not (rule.byweekno or rule.byyearday or (rule.bymonthday and rule.byday))
    return days if plain else [day for day in days if rule.accepts(day)]


_LAST_DAY = date.max.toordinal()
