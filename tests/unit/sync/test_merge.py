"""The pure part of a pull."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from connectors.model import Busy, ChangeSet, Event, Occurrence, Period
from ledger.availability import OpenPeriod
from sync.merge import (
    CalendarRules,
    KnownEvent,
    OwnEvent,
    Seen,
    Verdict,
    busy_periods,
    judge,
    merge,
    missing_hrefs,
    open_periods,
)
from tests.support.practices import NOON, at

WINDOW = Period(NOON - timedelta(days=1), NOON + timedelta(days=400))
BUSY = CalendarRules(busy=True)


def span(hour: float, hours: float = 1) -> Period:
    return Period(at(hour), at(hour + hours))


def event(href: str, *hours: float, busy: Busy = Busy.BUSY, etag: str = "2", **values: object) -> Event:
    occurrences = tuple(Occurrence(span(hour), busy) for hour in hours)
    return Event(href, etag, f"uid-{href}", occurrences, **values)  # type: ignore[arg-type]


def known(href: str, *hours: float, row: int = 1, etag: str = "1", own: int | None = None) -> KnownEvent:
    return KnownEvent(row, href, etag, own, "", {span(hour): 100 + index for index, hour in enumerate(hours)})


def ours(href: str = "own", **values: object) -> OwnEvent:
    base = OwnEvent(
        id=7, slot_id=70, key="k", uid="uid-own", here=True, href=href, etag="1", wanted=True, state="confirmed",
        version=1, wish=span(9), pushed=span(9), confirmed_at=NOON - timedelta(hours=1), missing_since=None,
    )  # fmt: skip
    return replace(base, **values)  # type: ignore[arg-type]


def test_an_unchanged_period_is_left_alone() -> None:
    delta = merge({"a": known("a", 10, 12)}, ChangeSet((event("a", 10, 14),)), BUSY, (), WINDOW)
    assert len(delta.events) == 1
    assert delta.events[0].busy_added == (span(14),)
    assert delta.events[0].busy_removed == (101,)


def test_the_same_again_is_no_change() -> None:
    row = replace(known("a", 10), etag="2")
    delta = merge({"a": row}, ChangeSet((event("a", 10),), listed=frozenset({"a"})), BUSY, (), WINDOW)
    assert delta.events == ()
    assert not delta.changes_time


def test_removed_and_absent_are_gone_and_what_changed_is_not() -> None:
    rows = {href: known(href, 10, row=i) for i, href in enumerate("abc")}
    changes = ChangeSet((event("c", 10),), removed=("a", "c"), listed=frozenset({"c"}))
    assert missing_hrefs(rows, changes) == {"a", "b"}
    assert [row.href for row in merge(rows, changes, BUSY, (), WINDOW).gone] == ["a", "b"]


def test_without_a_listing_nothing_is_absent() -> None:
    assert missing_hrefs({"a": known("a")}, ChangeSet()) == frozenset()


@pytest.mark.parametrize(
    ("busy", "rules", "blocks"),
    [
        (Busy.BUSY, BUSY, True),
        (Busy.FREE, BUSY, False),
        (Busy.NONE, BUSY, False),
        (Busy.TENTATIVE, BUSY, True),
        (Busy.TENTATIVE, replace(BUSY, tentative_blocks=False), False),
        (Busy.UNANSWERED, BUSY, True),
        (Busy.UNANSWERED, replace(BUSY, unanswered_blocks=False), False),
        (Busy.BUSY, replace(BUSY, transparent=True), False),
        (Busy.BUSY, CalendarRules(bookings=True), False),
    ],
)
def test_what_blocks(busy: Busy, rules: CalendarRules, blocks: bool) -> None:
    assert bool(busy_periods(event("a", 10, busy=busy), rules, WINDOW)) is blocks


def test_all_day_zero_length_cancelled_and_outside_the_window() -> None:
    day = Event("a", "1", "u", (Occurrence(Period(at(0), at(24)), all_day=True),))
    assert busy_periods(day, BUSY, WINDOW)
    assert not busy_periods(day, replace(BUSY, all_day_blocks=False), WINDOW)
    assert not busy_periods(Event("a", "1", "u", (Occurrence(Period(at(9), at(9))),)), BUSY, WINDOW)
    assert not busy_periods(event("a", 10, cancelled=True), BUSY, WINDOW)
    assert not busy_periods(event("a", 24 * 500), BUSY, WINDOW)


@pytest.mark.parametrize(
    ("busy", "also_busy", "opens"),
    [
        (Busy.BUSY, False, True),
        (Busy.FREE, False, True),
        (Busy.TENTATIVE, False, False),
        (Busy.UNANSWERED, False, False),
        (Busy.NONE, False, False),
        (Busy.FREE, True, True),
        (Busy.BUSY, True, False),
    ],
)
def test_what_opens(busy: Busy, also_busy: bool, opens: bool) -> None:
    rules = CalendarRules(availability=True, busy=also_busy)
    assert bool(open_periods(event("a", 10, busy=busy), rules, WINDOW)) is opens


def test_an_opening_says_what_and_for_how_many() -> None:
    one = Occurrence(span(10), title="Morning Yoga (8 seats)", categories=("Group", "Spring"))
    found = open_periods(Event("a", "1", "u", (one,)), CalendarRules(availability=True), WINDOW)
    assert found == {OpenPeriod(span(10), "morning yoga (8 seats) group spring", 8)}


def test_an_unreadable_object_takes_no_time_back_and_opens_none() -> None:
    broken = event("a", 15, problem="bad zone")
    [delta] = merge({"a": known("a", 10)}, ChangeSet((broken,)), BUSY, (), WINDOW).events
    assert delta.busy_added == (span(15),)
    assert delta.busy_removed == ()
    assert delta.problem == "bad zone"
    hours = CalendarRules(availability=True)
    row = KnownEvent(1, "a", "1", openings={OpenPeriod(span(8), "yoga"): 5})
    [delta] = merge({"a": row}, ChangeSet((broken,)), hours, (), WINDOW).events
    assert (delta.openings_added, delta.openings_removed) == ((), ())
    [delta] = merge({}, ChangeSet((broken,)), hours, (), WINDOW).events
    assert not delta.changes_time


def test_without_a_role_nothing_foreign_is_kept() -> None:
    changes = ChangeSet((event("a", 10), event("own", 9)))
    delta = merge({}, changes, CalendarRules(), (ours(),), WINDOW)
    assert delta.events == ()
    assert [seen.slot_event_id for seen in delta.seen] == [7]


# --- which object is ours ---------------------------------------------------------------------------------------------


def test_the_stored_href_is_the_event_and_another_with_our_key_is_a_copy() -> None:
    changes = ChangeSet((event("own", 9, own_key="k"), event("copy", 9, own_key="k")))
    delta = merge({}, changes, BUSY, (ours(),), WINDOW)
    assert [seen.href for seen in delta.seen] == ["own"]
    [copy] = delta.events
    assert (copy.href, copy.busy_added, copy.copy_of) == ("copy", (span(9),), 70)


def test_a_copy_alone_in_the_changes_is_a_copy_too() -> None:
    delta = merge({}, ChangeSet((event("copy", 9, own_key="k"),)), BUSY, (ours(),), WINDOW)
    assert delta.seen == ()
    assert delta.events[0].busy_added == (span(9),)


def test_before_the_answer_is_stored_the_key_tells() -> None:
    """Of an original and its copy, the one with our UID."""
    original = replace(event("x", 9, own_key="k"), uid="uid-own")
    changes = ChangeSet((event("copy", 9, own_key="k"), original))
    delta = merge({}, changes, BUSY, (ours("", state="sent"),), WINDOW)
    assert [seen.href for seen in delta.seen] == ["x"]


def test_a_new_name_in_the_same_breath() -> None:
    renamed = replace(event("new", 9, own_key="k"), uid="uid-own")
    row = known("own", own=7)
    delta = merge({"own": row}, ChangeSet((renamed,), removed=("own",)), BUSY, (ours(),), WINDOW)
    assert [seen.href for seen in delta.seen] == ["new"]
    assert delta.vanished == ()
    assert [r.href for r in delta.gone] == ["own"]
    stranger = replace(renamed, uid="other")
    delta = merge({"own": row}, ChangeSet((stranger,), removed=("own",)), BUSY, (ours(),), WINDOW)
    assert delta.vanished == (7,)


def test_in_another_calendar_it_is_busy_until_somebody_looked() -> None:
    delta = merge({}, ChangeSet((event("there", 9, own_key="k"),)), BUSY, (ours(here=False),), WINDOW)
    assert delta.seen == ()
    assert delta.events[0].busy_added == (span(9),)


def test_vanished_by_name_and_by_absence() -> None:
    row = known("own", own=7)
    for changes in (ChangeSet(removed=("own",)), ChangeSet(listed=frozenset())):
        delta = merge({"own": row}, changes, BUSY, (ours(),), WINDOW)
        assert delta.vanished == (7,)
        assert delta.gone == ()
    assert merge({}, ChangeSet(removed=("own",)), BUSY, (ours(),), WINDOW).vanished == (7,)
    assert merge({"own": row}, ChangeSet(removed=("own",)), BUSY, (), WINDOW).gone == (row,)


def test_busy_time_of_what_turns_out_to_be_ours_is_given_up() -> None:
    delta = merge({"own": known("own", 9)}, ChangeSet((event("own", 9),)), BUSY, (ours(),), WINDOW)
    assert delta.events[0].busy_removed == (100,)
    assert len(delta.seen) == 1


# --- did it move? -----------------------------------------------------------------------------------------------------


def seen(period: Period | None = None, **values: object) -> Seen:
    return replace(Seen(7, "own", "9", "uid-own", period), **values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("own", "what", "verdict"),
    [
        (ours(), seen(span(15)), Verdict.MOVED),
        (ours(), seen(span(9)), Verdict.SAME),
        (ours(wish=span(11)), seen(span(11)), Verdict.SAME),
        (ours(wish=span(11)), seen(span(9)), Verdict.SAME),
        (ours(etag="9"), seen(span(15)), Verdict.SAME),
        (ours(), seen(span(15), known=True), Verdict.SAME),
        (ours(), seen(span(15), problem="odd zone"), Verdict.SAME),
        (ours(state="sent"), seen(span(15)), Verdict.SAME),
        (ours(wanted=False), seen(span(15)), Verdict.SAME),
        (ours(), seen(span(9), cancelled=True), Verdict.CANCELLED),
        (ours(), seen(None), Verdict.UNSURE),
        (ours(confirmed_at=NOON + timedelta(seconds=1)), seen(span(15)), Verdict.UNSURE),
        (ours(confirmed_at=NOON - timedelta(seconds=5)), seen(span(15)), Verdict.UNSURE),
    ],
)
def test_judge(own: OwnEvent, what: Seen, verdict: Verdict) -> None:
    assert judge(own, what, NOON) is verdict


def test_a_look_that_nothing_raced_is_sure() -> None:
    assert judge(ours(confirmed_at=datetime.max.replace(tzinfo=NOON.tzinfo)), seen(span(15))) is Verdict.MOVED


def test_of_a_series_the_occurrence_that_we_know_counts() -> None:
    delta = merge({}, ChangeSet((event("own", 5, 9, 33),)), BUSY, (ours(),), WINDOW)
    assert delta.seen[0].period == span(9)
    delta = merge({}, ChangeSet((event("own", 12, 33),)), BUSY, (ours(),), WINDOW)
    assert delta.seen[0].period == span(12)
