"""Microsoft's connector keeps the contract, whatever position the switches of the emulator are in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from connectors.microsoft.events import BOOKING_KEY
from connectors.model import Calendar
from tests.contract.suite import ConnectorContract, Opener, entry
from tests.support.microsoft import MicrosoftOperator, MicrosoftWorld, microsoft_world


class TestMicrosoft(ConnectorContract):
    switches: dict[str, Any] = {}  # noqa: RUF012
    knows_deleted_keys = False
    stores_broken = False

    @pytest.fixture
    def world(self) -> Iterator[MicrosoftWorld]:
        with microsoft_world(**self.switches) as world:
            self.running = world
            yield world

    @pytest.fixture
    def calendar(self, world: MicrosoftWorld) -> Calendar:
        return world.calendar

    @pytest.fixture
    def other_calendar(self, world: MicrosoftWorld) -> Calendar:
        return world.other

    @pytest.fixture
    def operator(self, world: MicrosoftWorld) -> MicrosoftOperator:
        return MicrosoftOperator(world)

    @pytest.fixture
    def open_connector(self, world: MicrosoftWorld) -> Opener:
        return world.connect

    def missing_href(self, calendar: Calendar) -> str:
        return calendar.href[::-1]


class TestMicrosoftOtherwise(TestMicrosoft):
    """All that nobody is sure of, the other way round (PROVIDERS H)."""

    switches = {  # noqa: RUF012
        "transaction": "same",
        "duplicate_status": 400,
        "transaction_outlives": True,
        "if_match": False,
        "deleted_answers": 200,
        "second_delete": 403,
        "exceptions": "minimal",
        "move_back": "changed",
        "outside_window": "silent",
        "replay": 0.0,
        "empty_page": True,
        "expired": "location",
        "mailbox_wide": False,
        "deleted_in_events": True,
        "spread": True,
        "text_bodies": True,
    }

    def settle(self, calendar: Calendar) -> None:
        """A deleted event answers like one that isn't listed yet, until a minute has passed."""
        self.running.control.advance(61)


class TestMicrosoftThatRemembers(TestMicrosoft):
    """A server that knows the transactions of deleted events."""

    knows_deleted_keys = True
    switches = {"transaction_outlives": True}  # noqa: RUF012


class TestMicrosoftWithoutDedupe(TestMicrosoft):
    """A server that ignores transaction ids and whose listings lag: two creates may make two, the sweep leaves one."""

    atomic_create = False
    switches = {"transaction": "ignore", "lag_seconds": 5.0, "exceptions": "minimal"}  # noqa: RUF012

    def settle(self, calendar: Calendar) -> None:
        self.running.control.advance(6)
        with self.running.connect() as connector:
            for number in (1, 2, 3):
                if held := sorted(self.running.control.holding(BOOKING_KEY, entry(number).key)):
                    connector.sweep(calendar, entry(number).key, held[0])
        self.running.control.advance(6)
