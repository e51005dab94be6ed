"""Whatever happens to a write's answer, Microsoft ends with exactly one event of ours (PROVIDERS G5)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.errors import ConnectorError, Gone, Permanent
from connectors.microsoft.connector import MicrosoftConnector
from connectors.microsoft.events import BOOKING_KEY
from connectors.model import Entry, Period, Quirks, Written
from tests.support.microsoft import MicrosoftWorld, microsoft_world

START = datetime(2027, 3, 1, 10, tzinfo=UTC)
HOUR = timedelta(hours=1)
WINDOW = Period(datetime(2027, 1, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC))
FAULTS: dict[str, dict[str, Any]] = {
    "reset": {"action": "commit_then_close"},
    "silence": {"action": "commit_then_hang", "seconds": 0.5},
    "500": {"action": "commit_then_status", "status": 500},
    "504": {"action": "commit_then_status", "status": 504},
    "truncated": {"action": "truncate"},
    "html": {"action": "html"},
    "json": {"action": "invalid_json"},
    "refused": {"action": "close"},
    "unheard": {"action": "hang", "seconds": 0.5},
    "503": {"action": "status", "status": 503},
    "429": {"action": "status", "status": 429, "code": "ApplicationThrottled", "retry_after": "1"},
    "409": {"action": "status", "status": 409, "code": "ErrorConcurrentItemSave"},
    "412": {"action": "status", "status": 412, "code": "ErrorIrresolvableConflict"},
    "401": {"action": "status", "status": 401, "code": "InvalidAuthenticationToken"},
}
POSITIONS: list[dict[str, Any]] = [
    {"transaction": "same"},
    {"transaction": "refuse", "duplicate_status": 400, "duplicate_names_event": True},
    {"transaction": "refuse", "duplicate_status": 409, "duplicate_names_event": False},
    {"transaction": "ignore"},
    {"transaction": "ignore", "lag_seconds": 20.0},
    {"transaction": "refuse", "duplicate_names_event": True, "lag_seconds": 20.0},
    {"transaction": "same", "lag_seconds": 20.0, "deleted_answers": 200, "second_delete": 403},
]
WORKERS = 2


@pytest.fixture(scope="module")
def world() -> Iterator[MicrosoftWorld]:
    with microsoft_world() as world:
        yield world


def entry(number: int, shift: int = 0) -> Entry:
    key = f"slproperty{number:08d}"
    period = Period(START + shift * HOUR, START + (shift + 1) * HOUR)
    return Entry(key, key, f"d:{number}:0", period, f"Yoga {shift}", "Bring a mat")


class Case:
    """One booking, workers that try, and the clock between their attempts."""

    numbers = iter(range(10**6))

    def __init__(self, world: MicrosoftWorld, position: dict[str, Any]) -> None:
        self.world = world
        self.number = next(self.numbers)
        self.turn({})
        self.position = position

    def turn(self, position: dict[str, Any]) -> None:
        control = self.world.control
        control.clear_faults()
        neutral = {"transaction": "refuse", "duplicate_status": 409, "duplicate_names_event": True}
        neutral |= {"lag_seconds": 0.0, "deleted_answers": 404, "second_delete": 404}
        for name, value in {**neutral, **position}.items():
            control.set_switch(name, value)

    def work(self, retries: int, act: Callable[[MicrosoftConnector], Written | None]) -> list[Written]:
        """Two workers try at the same time, each ``retries`` times more; then one goes on until it is done."""
        together = threading.Barrier(WORKERS)
        done: list[Written] = []
        odd: list[BaseException] = []

        def attempts() -> None:
            together.wait(20)
            for _ in range(retries + 1):
                try:
                    with self.world.connect(timeout=0.3) as connector:
                        if written := act(connector):
                            done.append(written)
                    return
                except Permanent as error:
                    odd.append(error)
                    return
                except ConnectorError:
                    continue
                except BaseException as error:
                    odd.append(error)
                    return

        self.turn(self.position)
        self._faults()
        threads = [threading.Thread(target=attempts) for _ in range(WORKERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert odd == []
        self.turn({**self.position, "lag_seconds": 0.0})  # the outbox tries again when the views have caught up
        with self.world.connect() as connector:
            if written := act(connector):
                done.append(written)
        return done

    def _faults(self) -> None:
        """Set by the test."""

    def held(self) -> list[str]:
        return self.world.control.holding(BOOKING_KEY, entry(self.number).key)

    def check_one(self, desired: Entry, done: list[Written]) -> None:
        """After the sweep: one event, at the right time, and nobody was mailed."""
        self.world.control.advance(61)
        with self.world.connect() as connector:
            connector.sweep(self.world.calendar, desired.key, done[-1].href)
            assert self.held() == [done[-1].href]
            found = connector.find([self.world.calendar], desired.key, desired.uid, WINDOW)
            assert found is not None
            assert [part.period for part in found.event.occurrences] == [desired.period]
            assert found.event.occurrences[0].title == desired.title
            changes = connector.changes(self.world.calendar, None, WINDOW, dict, quirks=Quirks())
            assert [event.href for event in changes.changed if event.own_key == desired.key] == [done[-1].href]
        assert self.world.control.mails() == []


def armed(case: Case, fault: str, method: str, path: str, count: int, nth: int = 1) -> None:
    def arm() -> None:
        case.world.control.add_fault(method=method, path=path, count=count, nth=nth, **FAULTS[fault])

    case._faults = arm  # type: ignore[method-assign]


def one(fault: str, retries: int) -> dict[str, Any]:
    """A position of the switches, another for each fault and number of retries; all of them in turn."""
    return POSITIONS[(2 * list(FAULTS).index(fault) + retries) % len(POSITIONS)]


def share(fault: str, retries: int) -> list[dict[str, Any]]:
    """A third of the positions: each fault meets all of them, and over the faults each position every number of retries."""
    first = list(FAULTS).index(fault)
    return [position for n, position in enumerate(POSITIONS) if (n + first) % 3 == retries - 1]


@pytest.mark.parametrize("retries", [1, 2, 3])
@pytest.mark.parametrize("fault", FAULTS)
def test_create(world: MicrosoftWorld, fault: str, retries: int) -> None:
    for position in share(fault, retries):
        case = Case(world, position)
        desired = entry(case.number)
        armed(case, fault, "POST", "/events$", count=retries)
        done = case.work(retries, lambda c, wanted=desired: c.create(world.calendar, wanted, quirks=Quirks()))  # type: ignore[misc]
        case.check_one(desired, done)


@pytest.mark.parametrize("retries", [1, 2, 3])
@pytest.mark.parametrize("fault", FAULTS)
def test_update(world: MicrosoftWorld, fault: str, retries: int) -> None:
    case = Case(world, one(fault, retries))
    desired = entry(case.number, 3)
    with world.connect() as connector:
        first = connector.create(world.calendar, entry(case.number), quirks=Quirks())
    world.control.advance(61)
    armed(case, fault, "PATCH", "/events/", count=retries)
    done = case.work(
        retries,
        lambda c, wanted=desired, href=first.href: c.update(world.calendar, wanted, href, "", quirks=Quirks()),  # type: ignore[misc]
    )
    case.check_one(desired, done)


@pytest.mark.parametrize("retries", [1, 2, 3])
@pytest.mark.parametrize("fault", FAULTS)
def test_delete(world: MicrosoftWorld, fault: str, retries: int) -> None:
    for position in (one(fault, retries), POSITIONS[-1]):
        case = Case(world, position)
        with world.connect() as connector:
            first = connector.create(world.calendar, entry(case.number), quirks=Quirks())
        world.control.advance(61)
        armed(case, fault, "DELETE", "/events/", count=retries)
        case.work(retries, lambda c, href=first.href: c.delete(world.calendar, href))  # type: ignore[misc]
        assert case.held() == []
        assert world.control.mails() == []
        with world.connect() as connector, pytest.raises(Gone):
            connector.fetch(world.calendar, first.href, WINDOW)


WISHES = st.lists(st.sampled_from(["create", "update", "move"]), min_size=1, max_size=4)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    wishes=WISHES,
    fault=st.sampled_from(sorted(FAULTS)),
    position=st.sampled_from(POSITIONS),
    nth=st.integers(1, 3),
    count=st.integers(1, 4),
)
def test_any_order_of_wishes_and_faults(
    world: MicrosoftWorld, wishes: list[str], fault: str, position: dict[str, Any], nth: int, count: int
) -> None:
    """A reconciler's life: what is desired changes, the operator drags, writes fail; in the end one event is right."""
    case = Case(world, position)
    done: list[Written] = []
    desired = entry(case.number)
    for shift, wish in enumerate(["create", *wishes], start=1):
        if wish == "move" and done:
            world.control.move_event(done[-1].href, START + 20 * HOUR, START + 21 * HOUR)
        desired = replace(entry(case.number, shift), key=desired.key)

        def act(connector: MicrosoftConnector, wanted: Entry = desired) -> Written:
            written = connector.create(world.calendar, wanted, quirks=Quirks())
            return connector.update(world.calendar, wanted, written.href, "", quirks=Quirks())

        armed(case, fault, "", "/events(/|$)", count=count, nth=nth)
        done += case.work(1, act)
        world.control.advance(61)
    case.check_one(desired, done)
