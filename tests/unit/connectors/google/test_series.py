"""Listings sorted out, and whole series expanded, against the second opinion that the emulator has."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from connectors.emulators.google import series as emulated
from connectors.google.series import SeriesPile, expanded
from connectors.model import Busy, Period

BERLIN = ZoneInfo("Europe/Berlin")
WINDOW = Period(datetime(2027, 1, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC))
NINE = datetime(2027, 3, 22, 9, tzinfo=BERLIN)
HOUR, DAY, WEEK = timedelta(hours=1), timedelta(days=1), timedelta(days=7)


def at(moment: datetime, zone: str = "Europe/Berlin") -> dict[str, Any]:
    return {"dateTime": moment.astimezone(ZoneInfo(zone)).isoformat(), "timeZone": zone}


def master(*lines: str, **fields: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"id": "m", "etag": '"1"', "iCalUID": "m@google.com", "summary": "Team"}
    made |= {"start": at(NINE), "end": at(NINE + HOUR), "recurrence": list(lines) or ["RRULE:FREQ=WEEKLY;COUNT=4"]}
    return made | fields


def exception(original: datetime, **fields: Any) -> dict[str, Any]:
    name = f"m_{original.astimezone(UTC):%Y%m%dT%H%M%SZ}"
    made = {"id": name, "etag": '"2"', "recurringEventId": "m", "originalStartTime": at(original)}
    return made | fields


def starts(*items: dict[str, Any], **fields: Any) -> list[datetime]:
    first, *rest = items
    return [o.period.start for o in expanded(first, rest, WINDOW, BERLIN).occurrences]


def test_sorting_out() -> None:
    stub = exception(NINE + WEEK, status="cancelled")
    moved = exception(NINE, iCalUID="m@google.com", start=at(NINE), end=at(NINE))
    orphan = {"id": "o_1", "recurringEventId": "o", "status": "cancelled"}
    plain, dead = {"id": "s", "start": at(NINE)}, {"id": "d", "status": "cancelled"}
    pile = SeriesPile.sorted_out([stub, orphan, dead, master(), plain, moved])
    assert set(pile.singles) == {"s"}
    assert pile.removed == {"d"}
    assert pile.living() == {"m"}
    assert pile.touched() == {"m", "o"}
    assert set(pile.instances("m")) == {stub["id"], moved["id"]}
    assert (pile.uid("m"), pile.uid("o"), pile.uid("x")) == ("m@google.com", "", "")
    gone = SeriesPile.sorted_out([{"id": "m", "status": "cancelled"}, stub])
    assert gone.touched() == set()


def test_moved_and_cancelled_instances() -> None:
    moved = exception(NINE + WEEK, start=at(NINE + 8 * DAY), end=at(NINE + 8 * DAY + HOUR), summary="Moved")
    stub = exception(NINE + 2 * WEEK, status="cancelled")
    event = expanded(master(), [moved, stub], WINDOW, BERLIN)
    assert [o.period.start for o in event.occurrences] == [NINE, NINE + 8 * DAY, datetime(2027, 4, 12, 7, tzinfo=UTC)]
    assert [o.title for o in event.occurrences] == ["Team", "Moved", "Team"]
    assert event.occurrences[1].recurrence_id == "20270329T070000Z", "the original start, not the new one"
    assert event.recurring
    assert not event.problem


def test_an_exceptions_own_busy_state_counts() -> None:
    free = exception(NINE, start=at(NINE), end=at(NINE + HOUR), transparency="transparent")
    opaque = exception(NINE + WEEK, start=at(NINE + WEEK), end=at(NINE + WEEK + HOUR))
    event = expanded(master(transparency="transparent"), [opaque], WINDOW, BERLIN)
    assert [o.busy for o in event.occurrences] == [Busy.FREE, Busy.BUSY, Busy.FREE, Busy.FREE]
    assert expanded(master(), [free], WINDOW, BERLIN).occurrences[0].busy is Busy.FREE


def test_an_all_day_series_with_a_timed_exception() -> None:
    days = master(start={"date": "2027-03-27"}, end={"date": "2027-03-28"}, recurrence=["RRULE:FREQ=DAILY;COUNT=3"])
    timed = exception(
        NINE, originalStartTime={"date": "2027-03-28"}, start=at(NINE + 6 * DAY), end=at(NINE + 6 * DAY + HOUR)
    )
    event = expanded(days, [timed], WINDOW, BERLIN)
    assert [(o.all_day, o.recurrence_id) for o in event.occurrences] == [
        (True, "20270327"),
        (False, "20270328"),
        (True, "20270329"),
    ]
    assert event.occurrences[2].period.start == datetime(2027, 3, 28, 22, tzinfo=UTC), "after the clocks changed"


def test_until_as_a_date_keeps_the_last_day() -> None:
    assert len(starts(master("RRULE:FREQ=DAILY;UNTIL=20270324"))) == 3


@pytest.mark.parametrize("rule", ["RRULE:FREQ=SECONDLY", "RRULE:FREQ=NEVER", "RRULE:"])
def test_a_bad_rule_is_a_problem_that_keeps_the_time_busy(rule: str) -> None:
    event = expanded(master(rule), [], WINDOW, BERLIN)
    assert event.problem
    assert any(o.period.contains(Period(NINE, NINE + HOUR)) for o in event.occurrences)
    assert all(o.busy is Busy.BUSY for o in event.occurrences)


def test_unreadable_parts_are_named() -> None:
    odd = expanded(master("RRULE:FREQ=DAILY;COUNT=2", "X-ODD:1"), [], WINDOW, BERLIN)
    assert "X-ODD" in odd.problem
    assert len(odd.occurrences) == 2
    kept = expanded(master(), [exception(NINE + WEEK, start={}, end={})], WINDOW, BERLIN)
    assert kept.problem
    assert len(kept.occurrences) == 4, "an instance with unreadable times stays where it was"
    nameless = expanded(master(), [exception(NINE, originalStartTime={}, start=at(NINE), end=at(NINE))], WINDOW, BERLIN)
    assert nameless.problem
    headless = expanded(master(start={}), [exception(NINE, start=at(NINE), end=at(NINE + HOUR))], WINDOW, BERLIN)
    assert headless.problem
    assert [o.period.start for o in headless.occurrences] == [NINE]


def random_series(dice: random.Random) -> dict[str, Any]:
    zone = dice.choice(["Europe/Berlin", "America/New_York", "UTC", "Pacific/Apia"])
    parts = [f"FREQ={dice.choice(['DAILY', 'WEEKLY', 'MONTHLY', 'YEARLY'])}"]
    if dice.random() < 0.5:
        parts.append(f"INTERVAL={dice.randint(2, 4)}")
    if "WEEKLY" in parts[0] and dice.random() < 0.6:
        parts.append("BYDAY=" + ",".join(dice.sample(["MO", "TU", "WE", "TH", "FR", "SA"], 2)))
    if "MONTHLY" in parts[0] and dice.random() < 0.6:
        parts.append(dice.choice(["BYDAY=-1FR", "BYDAY=2TU", "BYMONTHDAY=-1", "BYMONTHDAY=31"]))
    ending = dice.random()
    if ending < 0.3:
        parts.append(f"COUNT={dice.randint(1, 40)}")
    elif ending < 0.6:
        parts.append(f"UNTIL=2027{dice.randint(1, 12):02}15T120000Z")
    first = datetime(
        2026, dice.randint(1, 12), dice.randint(1, 28), dice.choice([0, 2, 9, 23]), 30, tzinfo=ZoneInfo(zone)
    )
    if dice.random() < 0.3:
        day = date(first.year, first.month, first.day)
        times = {"start": {"date": day.isoformat()}, "end": {"date": (day + dice.randint(1, 3) * DAY).isoformat()}}
        parts = [p[:14] if p.startswith("UNTIL") else p for p in parts]
    else:
        times = {"start": at(first, zone), "end": at(first + dice.randint(1, 30) * HOUR, zone)}
    return master("RRULE:" + ";".join(parts), **times)


@pytest.mark.parametrize("seed", range(200))
def test_ours_and_a_second_expansion_agree(seed: int) -> None:
    """Ours counts in closed form, the emulator with dateutil."""
    made = random_series(random.Random(seed))
    second = [(i.start, i.end) for i in emulated.expand(made, "Europe/Berlin", WINDOW.start, WINDOW.end)]
    event = expanded(made, [], WINDOW, BERLIN)
    assert not event.problem
    assert [(o.period.start, o.period.end) for o in event.occurrences] == second, made
