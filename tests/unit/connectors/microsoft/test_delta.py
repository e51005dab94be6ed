"""One calendar's changes by delta, against an emulator with every oddity that was reported."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connectors.errors import CalendarGone, Gone, ServerFault, SyncTokenExpired, Throttled
from connectors.microsoft.connector import MicrosoftConnector
from connectors.microsoft.delta import SLACK
from connectors.model import ChangeSet, Entry, Event, Period, Quirks, SyncToken
from tests.support.microsoft import MicrosoftWorld, microsoft_world

WINDOW = Period(datetime(2027, 1, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC))
DAY = timedelta(days=1)
WEEKLY = {
    "pattern": {"type": "weekly", "interval": 1, "daysOfWeek": ["monday"], "firstDayOfWeek": "monday"},
    "range": {"type": "numbered", "startDate": "2027-03-01", "numberOfOccurrences": 4},
}


@pytest.fixture
def world() -> Iterator[MicrosoftWorld]:
    with microsoft_world() as world:
        yield world


@pytest.fixture
def connector(world: MicrosoftWorld) -> MicrosoftConnector:
    return world.connect()


def pull(
    world: MicrosoftWorld, connector: MicrosoftConnector, since: SyncToken | None = None, window: Period = WINDOW
) -> ChangeSet:
    return connector.changes(world.calendar, since, window, dict, quirks=Quirks())


def lunch(world: MicrosoftWorld, day: str = "2027-03-01", subject: str = "Lunch") -> str:
    return world.control.create_event(subject, f"{day}T12:00", f"{day}T13:00", calendar="Work")


def team(world: MicrosoftWorld) -> str:
    return world.control.create_event(
        "Team", "2027-03-01T09:00", "2027-03-01T10:00", calendar="Work", recurrence=WEEKLY, categories=["work"]
    )


def days(event: Event) -> list[int]:
    return [part.period.start.day for part in event.occurrences]


def test_an_unchanged_calendar_is_one_request(world: MicrosoftWorld, connector: MicrosoftConnector) -> None:
    lunch(world)
    token = pull(world, connector).token
    world.control.clear_requests()
    again = pull(world, connector, token)
    assert (again.changed, again.removed, again.listed) == ((), (), None)
    assert len(world.control.requests()) == 1
    lunch(world)
    assert len(pull(world, connector, again.token).changed) == 1
    assert len(world.control.requests()) == 2


def test_a_listing_reports_progress_over_its_pages(world: MicrosoftWorld, connector: MicrosoftConnector) -> None:
    for number in range(120):
        lunch(world, subject=f"{number}")
    seen: list[tuple[int, int]] = []
    found = connector.changes(
        world.calendar, None, WINDOW, dict, quirks=Quirks(), progress=lambda done, total: seen.append((done, total))
    )
    assert len(found.changed) == 120
    assert found.listed == {event.href for event in found.changed}
    assert seen == [(100, 100), (120, 120)]


def test_the_window_moves_on_within_its_slack(world: MicrosoftWorld, connector: MicrosoftConnector) -> None:
    token = pull(world, connector).token
    later = Period(WINDOW.start + SLACK, WINDOW.end + SLACK)
    assert pull(world, connector, token, later).listed is None
    for window in (
        Period(later.start + DAY, later.end),
        Period(WINDOW.start, later.end + DAY),
        Period(WINDOW.start - DAY, WINDOW.end),
        Period(WINDOW.start, WINDOW.end - DAY),
    ):
        with pytest.raises(SyncTokenExpired):
            pull(world, connector, token, window)


@pytest.mark.parametrize("value", ["", "[]", "{}", '{"deltaLink": 3, "start": "x", "end": "y"}'])
def test_a_token_that_is_none(world: MicrosoftWorld, connector: MicrosoftConnector, value: str) -> None:
    with pytest.raises(SyncTokenExpired):
        pull(world, connector, SyncToken("graph", value))


def test_a_token_of_another_kind(world: MicrosoftWorld, connector: MicrosoftConnector) -> None:
    token = pull(world, connector).token
    assert token is not None
    with pytest.raises(SyncTokenExpired):
        pull(world, connector, replace(token, kind="google"))


@pytest.mark.parametrize("variant", ["code", "location"])
def test_expired(world: MicrosoftWorld, connector: MicrosoftConnector, variant: str) -> None:
    world.control.set_switch("expired", variant)
    token = pull(world, connector).token
    world.control.expire_deltas()
    with pytest.raises(SyncTokenExpired):
        pull(world, connector, token)
    fresh = pull(world, connector)
    assert fresh.listed == frozenset()
    assert pull(world, connector, fresh.token).listed is None


@pytest.mark.parametrize("status", [400, 404, 409, 410, 412])
def test_a_link_that_graph_does_not_take_any_more(
    world: MicrosoftWorld, connector: MicrosoftConnector, status: int
) -> None:
    token = pull(world, connector).token
    world.control.add_fault("status", path="deltatoken", status=status, code="Whatever")
    with pytest.raises(SyncTokenExpired):
        pull(world, connector, token)


def test_trouble_is_not_an_expired_token(world: MicrosoftWorld, connector: MicrosoftConnector) -> None:
    token = pull(world, connector).token
    world.control.add_fault("status", path="deltatoken", status=429, code="TooManyRequests", retry_after="9")
    with pytest.raises(Throttled):
        pull(world, connector, token)
    world.control.add_fault("status", path="deltatoken", status=503)
    with pytest.raises(ServerFault):
        pull(world, connector, token)


@pytest.mark.parametrize("status", [400, 410])
def test_a_listing_that_breaks_off_is_temporary(
    world: MicrosoftWorld, connector: MicrosoftConnector, status: int
) -> None:
    for number in range(120):
        lunch(world, subject=f"{number}")
    world.control.add_fault("status", path="skiptoken", status=status, code="SyncStateNotFound")
    with pytest.raises(ServerFault):
        pull(world, connector)


def test_a_calendar_that_was_deleted(world: MicrosoftWorld, connector: MicrosoftConnector) -> None:
    token = pull(world, connector).token
    world.control.remove_calendar("Work")
    with pytest.raises(SyncTokenExpired):
        pull(world, connector, token)
    with pytest.raises(CalendarGone):
        pull(world, connector)


@pytest.mark.parametrize("exceptions", ["full", "minimal"])
@pytest.mark.parametrize("spread", [False, True])
def test_a_series_is_handed_on_whole(
    world: MicrosoftWorld, connector: MicrosoftConnector, exceptions: str, spread: bool
) -> None:
    world.control.set_switch("exceptions", exceptions)
    world.control.set_switch("spread", spread)
    href = team(world)
    first = pull(world, connector)
    (event,) = first.changed
    assert (event.href, event.recurring, days(event)) == (href, True, [1, 8, 15, 22])
    assert first.listed == {href}
    names = [part.recurrence_id for part in event.occurrences]

    occurrences = world.control.occurrences(href)
    world.control.delete_event(occurrences[1])
    world.control.move_event(occurrences[2], "2027-03-17T15:00", "2027-03-17T16:00")
    world.control.set_fields(occurrences[3], {"showAs": "free"})
    second = pull(world, connector, first.token)
    (event,) = second.changed
    assert days(event) == [1, 17, 22]
    assert [part.recurrence_id for part in event.occurrences] == [names[0], names[2], names[3]]
    assert [part.busy.value for part in event.occurrences] == ["busy", "busy", "free"]
    assert {part.title for part in event.occurrences} == {"Team"}
    assert {part.categories for part in event.occurrences} == {("work",)}
    (listed,) = pull(world, connector).changed
    assert listed == event, "a full listing says the same"
    assert connector.fetch(world.calendar, href, WINDOW) == event


def test_a_replayed_occurrence_does_not_shrink_its_series(world: MicrosoftWorld, connector: MicrosoftConnector) -> None:
    href = team(world)
    lunch(world)
    token = pull(world, connector).token
    world.control.set_switch("replay", 0.5)
    for number in range(8):
        lunch(world, "2027-04-01", f"{number}")
        found = pull(world, connector, token)
        token = found.token
        for event in found.changed:
            if event.href == href:
                assert days(event) == [1, 8, 15, 22]


def test_a_series_that_vanishes_meanwhile_is_removed(world: MicrosoftWorld, connector: MicrosoftConnector) -> None:
    token = pull(world, connector).token
    href = team(world)
    world.control.add_fault("status", path="/instances", status=404, code="ErrorItemNotFound")
    found = pull(world, connector, token)
    assert found.changed == ()
    assert found.removed == (href,)


@pytest.mark.parametrize("outside", ["removed", "silent"])
def test_an_event_that_leaves_the_window(world: MicrosoftWorld, connector: MicrosoftConnector, outside: str) -> None:
    world.control.set_switch("outside_window", outside)
    href = lunch(world)
    token = pull(world, connector).token
    world.control.move_event(href, "2029-03-01T12:00", "2029-03-01T13:00")
    far = world.control.create_event("Far away", "2029-03-01T12:00", "2029-03-01T13:00", calendar="Work")
    found = pull(world, connector, token)
    assert found.changed == ()
    assert href in found.removed
    assert (far in found.removed) is (outside == "removed")
    moved = connector.fetch(world.calendar, href, WINDOW)
    assert moved.occurrences[0].period.start == datetime(2029, 3, 1, 11, tzinfo=UTC), "removed isn't deleted"


@pytest.mark.parametrize("back", ["removed", "changed"])
def test_away_and_back_between_two_pulls(world: MicrosoftWorld, connector: MicrosoftConnector, back: str) -> None:
    world.control.set_switch("move_back", back)
    href = lunch(world)
    token = pull(world, connector).token
    world.control.move_to_calendar(href, "Private")
    world.control.move_to_calendar(href, "Work")
    found = pull(world, connector, token)
    assert (found.removed == (href,)) is (back == "removed")
    assert connector.fetch(world.calendar, href, WINDOW).href == href


def test_a_move_to_another_calendar(world: MicrosoftWorld, connector: MicrosoftConnector) -> None:
    href = lunch(world)
    here, there = (
        pull(world, connector).token,
        connector.changes(world.other, None, WINDOW, dict, quirks=Quirks()).token,
    )
    world.control.move_to_calendar(href, "Private")
    assert pull(world, connector, here).removed == (href,)
    found = connector.changes(world.other, there, WINDOW, dict, quirks=Quirks())
    assert [event.href for event in found.changed] == [href]
    world.control.advance(61)
    with pytest.raises(Gone):
        connector.fetch(world.calendar, href, WINDOW)


def test_lagging_deltas_catch_up(world: MicrosoftWorld, connector: MicrosoftConnector) -> None:
    token = pull(world, connector).token
    world.control.set_switch("lag_seconds", 60)
    href = lunch(world)
    world.control.advance(30)
    other = lunch(world, "2027-03-02")
    first = pull(world, connector, token)
    assert first.changed == ()
    world.control.advance(40)
    second = pull(world, connector, first.token)
    assert [event.href for event in second.changed] == [href]
    world.control.advance(40)
    third = pull(world, connector, second.token)
    assert [event.href for event in third.changed] == [other]


def test_own_events_are_known_in_one_more_request(world: MicrosoftWorld, connector: MicrosoftConnector) -> None:
    start = datetime(2027, 3, 1, 10, tzinfo=UTC)
    for number in range(5):
        entry = Entry(f"own{number:05}", "u", "m", Period(start, start + timedelta(hours=1)), f"{number}")
        connector.create(world.calendar, entry, quirks=Quirks())
    lunch(world)
    world.control.clear_requests()
    found = pull(world, connector)
    assert sorted(event.own_key for event in found.changed) == ["", *(f"own{n:05}" for n in range(5))]
    assert world.paths()[1:] == ["POST /v1.0/$batch"]


def test_links_of_production_are_kept_in_the_token(world: MicrosoftWorld, connector: MicrosoftConnector) -> None:
    token = pull(world, connector).token
    assert token is not None
    assert json.loads(token.value)["deltaLink"].startswith("https://graph.microsoft.com/v1.0/me/calendars/")


def _act(world: MicrosoftWorld, chance: random.Random, made: list[str], chosen: str) -> None:
    control = world.control
    day = datetime(2027, 3, 1) + timedelta(days=chance.randrange(60), hours=chance.randrange(20))
    try:
        if chosen == "add":
            made.append(control.create_event("x", day, day + timedelta(hours=1), calendar="Work"))
        elif chosen == "series":
            limits = {**WEEKLY["range"], "startDate": day.date().isoformat()}
            pattern = {"pattern": {"type": "daily", "interval": 2}, "range": limits}
            made.append(control.create_event("s", day, day + timedelta(hours=1), calendar="Work", recurrence=pattern))
        elif chosen == "far":
            control.move_event(chance.choice(made), day.replace(year=2030), day.replace(year=2030) + timedelta(hours=1))
        elif chosen == "move":
            control.move_event(chance.choice(made), day, day + timedelta(minutes=chance.randrange(30, 300)))
        elif chosen == "delete":
            control.delete_event(chance.choice(made))
        elif chosen == "away":
            control.move_to_calendar(chance.choice(made), "Private")
        elif chosen == "back":
            control.move_to_calendar(chance.choice(made), "Work")
        elif chosen == "occurrence":
            control.delete_event(chance.choice(control.occurrences(chance.choice(made))))
        elif chosen == "moved":
            control.move_event(chance.choice(control.occurrences(chance.choice(made))), day, day + timedelta(hours=1))
    except Exception as error:
        if type(error).__name__ not in ("Fault", "IndexError", "KeyError"):
            raise


ACTIONS = ("add", "add", "series", "move", "delete", "far", "away", "back", "occurrence", "moved")
POSITIONS: list[dict[str, Any]] = [
    {},
    {"exceptions": "minimal", "spread": True, "empty_page": True, "replay": 0.3, "move_back": "changed"},
    {"exceptions": "minimal", "replay": 0.6, "expired": "location", "deleted_answers": 200},
]


@pytest.mark.parametrize("position", range(len(POSITIONS)))
@pytest.mark.parametrize("seed", range(4))
def test_the_mirror_equals_the_truth(seed: int, position: int) -> None:
    """Random actions of an operator, expiry now and then: what was pulled is what is there (PROVIDERS G5)."""
    chance = random.Random(seed * 10 + position)
    with microsoft_world(**POSITIONS[position]) as world:
        connector = world.connect()
        known: dict[str, Event] = {}
        token: SyncToken | None = None
        made: list[str] = []
        for _ in range(12):
            for _ in range(chance.randrange(1, 4)):
                _act(world, chance, made, chance.choice(ACTIONS))
            if chance.random() < 0.15:
                world.control.expire_deltas()
            world.control.advance(61)
            token = _pulled(world, connector, known, token)
            mine = sorted((o.period.start, o.period.end) for event in known.values() for o in event.occurrences)
            assert mine == _truth(world)


def _pulled(
    world: MicrosoftWorld, connector: MicrosoftConnector, known: dict[str, Event], token: SyncToken | None
) -> SyncToken | None:
    """As a ledger does it: removed only after a look."""
    try:
        found = pull(world, connector, token)
    except SyncTokenExpired:
        found = pull(world, connector)
    if found.listed is not None:
        for href in known.keys() - found.listed:
            del known[href]
    for href in found.removed:
        if href in known:
            try:
                known[href] = connector.fetch(world.calendar, href, WINDOW)
            except Gone:
                del known[href]
    known.update({event.href: event for event in found.changed})
    for href, event in list(known.items()):
        inside = tuple(part for part in event.occurrences if part.period.overlaps(WINDOW))
        known[href] = replace(event, occurrences=inside)
    return found.token


def _truth(world: MicrosoftWorld) -> list[tuple[datetime, datetime]]:
    rows = world.control.busy(WINDOW.start, WINDOW.end, calendar="Work")
    times = ((row["start"]["dateTime"], row["end"]["dateTime"]) for row in rows)
    return sorted((_utc(start), _utc(end)) for start, end in times)


def _utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
