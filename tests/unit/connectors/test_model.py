"""Neutral values."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors import model
from connectors.model import Busy, ChangeSet, Event, PartStat, Period

T0 = datetime(2027, 1, 10, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)
moments = st.integers(0, 50).map(lambda number: T0 + number * HOUR)
periods = st.tuples(moments, moments).map(lambda pair: Period(min(pair), max(pair)))


def test_periods_are_kept_in_utc() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    period = Period(datetime(2027, 1, 10, 10, tzinfo=berlin), datetime(2027, 1, 10, 11, tzinfo=timezone(HOUR)))
    assert period == Period(T0, T0 + HOUR)
    assert period.start.tzinfo is UTC
    assert period.end.tzinfo is UTC
    assert hash(period) == hash(Period(T0, T0 + HOUR))


def test_a_period_needs_aware_times_in_order() -> None:
    with pytest.raises(ValueError, match="aware"):
        Period(datetime(2027, 1, 10, 9), T0)
    with pytest.raises(ValueError, match="aware"):
        Period(T0, datetime(2027, 1, 10, 9))
    with pytest.raises(ValueError, match="before its start"):
        Period(T0, T0 - HOUR)


def test_neighbours_do_not_overlap_and_a_moment_overlaps_nothing() -> None:
    first, second = Period(T0, T0 + HOUR), Period(T0 + HOUR, T0 + 2 * HOUR)
    assert not first.overlaps(second)
    moment = Period(T0 + HOUR / 2, T0 + HOUR / 2)
    assert not first.overlaps(moment)
    assert not moment.overlaps(moment)
    assert first.contains(moment)


@given(periods, periods)
def test_overlap_is_having_an_intersection(a: Period, b: Period) -> None:
    shared = a.intersection(b)
    assert a.overlaps(b) == b.overlaps(a) == (shared is not None)
    if shared is not None:
        assert a.contains(shared)
        assert b.contains(shared)
        assert shared.duration > timedelta(0)


def test_widened() -> None:
    assert Period(T0, T0 + HOUR).widened(HOUR, 2 * HOUR) == Period(T0 - HOUR, T0 + 3 * HOUR)


def test_values_are_frozen_and_words_are_stable() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Event("h", "e", "u").uid = "other"  # type: ignore[misc]
    assert [busy.value for busy in Busy] == ["none", "free", "tentative", "unanswered", "busy"]
    assert PartStat("NEEDS-ACTION") is PartStat.NEEDS_ACTION
    assert ChangeSet().listed is None


def test_every_value_is_frozen_and_slotted() -> None:
    values = [v for v in vars(model).values() if dataclasses.is_dataclass(v)]
    assert len(values) >= 11
    for value in values:
        assert value.__dataclass_params__.frozen, value  # type: ignore[attr-defined]
        assert "__slots__" in vars(value), value
