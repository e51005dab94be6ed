"""The busy table (PROVIDERS E2) row by row, and what parts of an object make of each other."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import product

import pytest

from connectors.ical.vevent import VEvent, busy, event, own_key
from connectors.model import Busy, Event, PartStat, Period

YEAR = Period(datetime(2027, 1, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC))
T0 = datetime(2027, 3, 1, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("status", "transp", "busystatus", "partstat", "expected"),
    [
        (None, None, None, None, Busy.BUSY),
        ("CONFIRMED", "OPAQUE", "BUSY", PartStat.ACCEPTED, Busy.BUSY),
        ("CONFIRMED", "TRANSPARENT", None, None, Busy.FREE),
        ("CONFIRMED", "TRANSPARENT", "BUSY", None, Busy.BUSY),
        ("CONFIRMED", "OPAQUE", "FREE", None, Busy.FREE),
        ("TENTATIVE", "OPAQUE", "FREE", None, Busy.FREE),
        ("CONFIRMED", "OPAQUE", "WORKINGELSEWHERE", None, Busy.FREE),
        ("TENTATIVE", "TRANSPARENT", "OOF", None, Busy.BUSY),
        ("CONFIRMED", "OPAQUE", "TENTATIVE", None, Busy.TENTATIVE),
        ("TENTATIVE", None, None, None, Busy.TENTATIVE),
        ("TENTATIVE", None, "BUSY", None, Busy.TENTATIVE),
        (None, None, None, PartStat.TENTATIVE, Busy.TENTATIVE),
        (None, None, None, PartStat.NEEDS_ACTION, Busy.UNANSWERED),
        (None, None, None, PartStat.DELEGATED, Busy.BUSY),
        (None, None, "SOMETHING-NEW", None, Busy.BUSY),
    ],
)
def test_the_table(
    status: str | None, transp: str | None, busystatus: str | None, partstat: PartStat | None, expected: Busy
) -> None:
    assert busy(status, transp, busystatus, partstat) is expected


STATES = [None, "FREE", "WORKINGELSEWHERE", "OOF", "TENTATIVE", "BUSY"]


def test_cancelled_and_declined_beat_all_others() -> None:
    for transp, busystatus, partstat in product((None, "OPAQUE", "TRANSPARENT"), STATES, [None, *PartStat]):
        assert busy("CANCELLED", transp, busystatus, partstat) is Busy.NONE
    for status, transp, busystatus in product((None, "TENTATIVE", "CONFIRMED"), (None, "OPAQUE"), STATES):
        assert busy(status, transp, busystatus, PartStat.DECLINED) is Busy.FREE


def test_who_hosts_need_not_answer() -> None:
    assert busy(None, None, None, PartStat.NEEDS_ACTION, hosted=True) is Busy.BUSY


def made(*parts: VEvent, **changes: object) -> Event:
    given = {"href": "/x", "etag": '"1"', "window": YEAR, "zone": UTC, **changes}
    return event(parts, **given)  # type: ignore[arg-type]


def test_an_exception_takes_from_its_master_what_it_does_not_say() -> None:
    master = VEvent(
        "x", T0, T0 + HOUR, rules=["FREQ=DAILY;COUNT=3"], transp="TRANSPARENT", summary="Gym", categories=("a",)
    )
    silent = VEvent("x", T0 + 2 * HOUR, T0 + 3 * HOUR, recurrence_id=T0)
    loud = VEvent("x", None, recurrence_id=T0 + 24 * HOUR, transp="OPAQUE", summary="Race", categories=())
    found = made(master, silent, loud)
    assert [(o.busy, o.title, o.categories) for o in found.occurrences] == [
        (Busy.FREE, "Gym", ("a",)),
        (Busy.BUSY, "Race", ()),
        (Busy.FREE, "Gym", ("a",)),
    ]
    assert found.occurrences[1].period == Period(T0 + 24 * HOUR, T0 + 25 * HOUR)


def test_an_exception_that_only_says_transp_is_not_bound_by_the_masters_busystatus() -> None:
    master = VEvent("x", T0, T0 + HOUR, rules=["FREQ=DAILY;COUNT=2"], busystatus="FREE")
    busy_again = VEvent("x", T0, T0 + HOUR, recurrence_id=T0, transp="OPAQUE")
    assert [o.busy for o in made(master, busy_again).occurrences] == [Busy.BUSY, Busy.FREE]


def test_cancelled_is_said_of_the_whole_only() -> None:
    assert made(VEvent("x", T0, T0 + HOUR, status="CANCELLED")).cancelled
    exception = VEvent("x", T0, T0 + HOUR, recurrence_id=T0, status="CANCELLED")
    assert not made(VEvent("x", T0, T0 + HOUR, rules=["FREQ=DAILY;COUNT=2"]), exception).cancelled
    assert not made(exception).cancelled


def test_the_newest_exception_counts_wherever_it_stands() -> None:
    master = VEvent("x", T0, T0 + HOUR, rules=["FREQ=DAILY;COUNT=1"])
    new = VEvent("x", T0 + 5 * HOUR, T0 + 6 * HOUR, recurrence_id=T0, sequence=2)
    old = VEvent("x", T0 + 3 * HOUR, T0 + 4 * HOUR, recurrence_id=T0, sequence=1)
    assert [o.period.start for o in made(master, new, old).occurrences] == [T0 + 5 * HOUR]


def test_an_object_of_nothing() -> None:
    assert made() == Event("/x", '"1"', "")


def test_own_keys() -> None:
    assert own_key("", "sl" + "a0" * 15 + "@any.example") == "sl" + "a0" * 15
    assert own_key("", "sl" + "w" * 30 + "@any.example") == ""
    assert own_key("", "slshort@any.example") == ""
    assert own_key("given", "anything") == "given"
