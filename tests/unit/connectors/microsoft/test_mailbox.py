"""What is really in a mailbox (PROVIDERS F2)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from connectors.errors import CalendarGone, Conflict, Gone, NeedsReconnect, ServerFault, Throttled, Unreachable
from connectors.microsoft.connector import MicrosoftConnector
from connectors.model import Entry, Period, Quirks
from tests.support.microsoft import MicrosoftWorld, microsoft_world

WINDOW = Period(datetime(2027, 1, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC))
START = datetime(2027, 3, 1, 10, tzinfo=UTC)
ENTRY = Entry("booking01", "u", "m", Period(START, START + timedelta(hours=1)), "Yoga")
DAILY = {
    "pattern": {"type": "daily", "interval": 1},
    "range": {"type": "numbered", "startDate": "2027-03-01", "numberOfOccurrences": 3},
}


@pytest.fixture(params=[404, 200])
def world(request: pytest.FixtureRequest) -> Iterator[MicrosoftWorld]:
    with microsoft_world(deleted_answers=request.param, second_delete=403 if request.param == 200 else 404) as world:
        yield world


@pytest.fixture
def connector(world: MicrosoftWorld) -> MicrosoftConnector:
    return world.connect()


def made(world: MicrosoftWorld, connector: MicrosoftConnector) -> str:
    return connector.create(world.calendar, ENTRY, quirks=Quirks()).href


def settle(world: MicrosoftWorld) -> None:
    """Until then nobody can tell a deletion from a view that lags."""
    world.control.advance(61)


def test_a_view_that_lags_is_no_absence(world: MicrosoftWorld, connector: MicrosoftConnector) -> None:
    world.control.set_switch("lag_seconds", 30)
    href = made(world, connector)
    with pytest.raises(Conflict):
        connector.fetch(world.calendar, href, WINDOW)
    later = replace(ENTRY, period=Period(START + timedelta(days=1), START + timedelta(days=1, hours=1)))
    with pytest.raises(Conflict):
        connector.update(world.calendar, later, href, "", quirks=Quirks())
    world.control.advance(61)
    connector.update(world.calendar, later, href, "", quirks=Quirks())
    seen = connector.fetch(world.calendar, href, WINDOW)
    assert seen.occurrences[0].period == later.period, "listed at its old time, but listed"
    foreign = world.control.create_event("x", START, START + timedelta(hours=1), calendar="Work")
    world.control.advance(61)
    world.control.move_event(foreign, START + timedelta(days=9), START + timedelta(days=9, hours=1))
    with pytest.raises(Conflict):
        connector.fetch(world.calendar, foreign, WINDOW)


def test_calendars(world: MicrosoftWorld, connector: MicrosoftConnector) -> None:
    world.control.set_access("Private", False)
    listed = {found.name: found for found in connector.calendars()}
    assert listed.keys() == {"Calendar", "Work", "Private"}
    assert [found.primary for found in listed.values()] == [True, False, False]
    assert (listed["Work"].writable, listed["Private"].writable) == (True, False)
    assert {found.timezone for found in listed.values()} == {""}


def test_many_calendars_are_all_listed(world: MicrosoftWorld, connector: MicrosoftConnector) -> None:
    for number in range(120):
        world.control.add_calendar(f"{number}")
    assert len(connector.calendars()) == 123


def test_a_deleted_event_is_gone(world: MicrosoftWorld, connector: MicrosoftConnector) -> None:
    href = made(world, connector)
    world.control.delete_event(href)
    settle(world)
    with pytest.raises(Gone):
        connector.fetch(world.calendar, href, WINDOW)
    world.control.purge_event(href)
    with pytest.raises(Gone):
        connector.fetch(world.calendar, href, WINDOW)


def test_a_restored_event_is_there(world: MicrosoftWorld, connector: MicrosoftConnector) -> None:
    href = made(world, connector)
    world.control.delete_event(href)
    world.control.restore_event(href)
    assert connector.fetch(world.calendar, href, WINDOW).own_key == ENTRY.key


def test_a_deleted_series_is_gone(world: MicrosoftWorld, connector: MicrosoftConnector) -> None:
    href = world.control.create_event("T", "2027-03-01T09:00", "2027-03-01T10:00", calendar="Work", recurrence=DAILY)
    for occurrence in world.control.occurrences(href)[:2]:
        world.control.delete_event(occurrence)
    assert len(connector.fetch(world.calendar, href, WINDOW).occurrences) == 1
    world.control.delete_event(href)
    settle(world)
    with pytest.raises(Gone):
        connector.fetch(world.calendar, href, WINDOW)


def test_a_series_without_occurrences_is_still_there(world: MicrosoftWorld, connector: MicrosoftConnector) -> None:
    href = world.control.create_event("T", "2027-03-01T09:00", "2027-03-01T10:00", calendar="Work", recurrence=DAILY)
    for occurrence in world.control.occurrences(href):
        world.control.delete_event(occurrence)
    assert connector.fetch(world.calendar, href, WINDOW).occurrences == ()


def test_a_cancelled_event_that_is_kept(world: MicrosoftWorld, connector: MicrosoftConnector) -> None:
    href = made(world, connector)
    world.control.cancel_event(href)
    found = connector.fetch(world.calendar, href, WINDOW)
    assert found.cancelled
    assert found.occurrences[0].busy.value == "none"


def test_a_calendar_that_is_gone_proves_nothing(world: MicrosoftWorld, connector: MicrosoftConnector) -> None:
    href = made(world, connector)
    world.control.remove_calendar("Work")
    with pytest.raises(CalendarGone):
        connector.fetch(world.calendar, href, WINDOW)
    with pytest.raises(CalendarGone):
        connector.find([world.calendar], ENTRY.key, ENTRY.uid, WINDOW)
    with pytest.raises(CalendarGone):
        connector.create(world.calendar, replace(ENTRY, key="booking02"), quirks=Quirks())


def test_a_listed_calendar_that_answers_404_is_trouble(world: MicrosoftWorld, connector: MicrosoftConnector) -> None:
    href = made(world, connector)
    world.control.add_fault("status", path="/calendarView", status=404, code="ErrorItemNotFound")
    with pytest.raises(ServerFault):
        connector.fetch(world.calendar, href, WINDOW)


def test_the_default_calendar_under_another_id(world: MicrosoftWorld, connector: MicrosoftConnector) -> None:
    href = connector.create(world.primary, ENTRY, quirks=Quirks()).href
    world.control.rename_calendar_id("")
    assert connector.fetch(world.primary, href, WINDOW).href == href
    assert [e.href for e in connector.changes(world.primary, None, WINDOW, dict, quirks=Quirks()).changed] == [href]
    assert connector.create(world.primary, ENTRY, quirks=Quirks()).adopted
    work = connector.create(world.calendar, replace(ENTRY, key="booking02"), quirks=Quirks()).href
    world.control.rename_calendar_id("Work")
    with pytest.raises(CalendarGone):
        connector.fetch(world.calendar, work, WINDOW)


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ({"action": "status", "status": 429}, Throttled),
        ({"action": "status", "status": 500}, ServerFault),
        ({"action": "close"}, Unreachable),
        ({"action": "html"}, Unreachable),
        ({"action": "status", "status": 401, "count": 2}, NeedsReconnect),
    ],
)
@pytest.mark.parametrize("path", ["/me/events/", "/calendarView"])
def test_an_error_is_never_an_absence(
    world: MicrosoftWorld, connector: MicrosoftConnector, path: str, fault: dict[str, object], kind: type[Exception]
) -> None:
    href = made(world, connector)
    world.control.add_fault(path=path, **fault)  # type: ignore[arg-type]
    with pytest.raises(kind):
        connector.fetch(world.calendar, href, WINDOW)


def test_find_looks_into_each_calendar(world: MicrosoftWorld, connector: MicrosoftConnector) -> None:
    href = made(world, connector)
    world.control.move_to_calendar(href, "Private")
    settle(world)
    found = connector.find([world.calendar, world.other], ENTRY.key, ENTRY.uid, WINDOW)
    assert found is not None
    assert (found.calendar, found.event.href) == (world.other.href, href)
    assert connector.find([world.calendar], ENTRY.key, ENTRY.uid, WINDOW) is None
    world.control.delete_event(href)
    settle(world)
    assert connector.find([world.calendar, world.other], ENTRY.key, ENTRY.uid, WINDOW) is None


def test_a_copy_that_the_operator_made_is_not_ours(world: MicrosoftWorld, connector: MicrosoftConnector) -> None:
    from connectors.microsoft.events import BOOKING_KEY

    copy = world.control.create_event(
        "Yoga (copy)",
        START,
        START + timedelta(hours=1),
        calendar="Work",
        fields={"singleValueExtendedProperties": [{"id": BOOKING_KEY, "value": ENTRY.key}]},
    )
    assert connector.find([world.calendar], ENTRY.key, ENTRY.uid, WINDOW) is None
    assert connector.fetch(world.calendar, copy, WINDOW).own_key == ""
    written = connector.create(world.calendar, ENTRY, quirks=Quirks())
    assert not written.adopted
    assert connector.sweep(world.calendar, ENTRY.key, written.href) == ()
    assert connector.fetch(world.calendar, copy, WINDOW)


@pytest.mark.parametrize("wide", [True, False])
def test_deleted_items_in_the_mailbox_listing(world: MicrosoftWorld, connector: MicrosoftConnector, wide: bool) -> None:
    """Nobody says that /me/events leaves them out, nor that it covers every calendar."""
    world.control.set_switch("deleted_in_events", True)
    world.control.set_switch("mailbox_wide", wide)
    href = made(world, connector)
    assert connector.create(world.calendar, ENTRY, quirks=Quirks()).adopted
    world.control.delete_event(href)
    settle(world)
    if wide:
        with pytest.raises(Gone):
            connector.create(world.calendar, ENTRY, quirks=Quirks())
    else:
        assert not connector.create(world.calendar, ENTRY, quirks=Quirks()).adopted
    assert connector.find([world.calendar], "other", "u", WINDOW) is None


def test_an_event_dragged_away_before_the_retry_is_adopted(
    world: MicrosoftWorld, connector: MicrosoftConnector
) -> None:
    world.control.set_switch("transaction", "ignore")
    href = made(world, connector)
    world.control.move_to_calendar(href, "Private")
    written = connector.create(world.calendar, ENTRY, quirks=Quirks())
    assert (written.href, written.adopted) == (href, True)
