"""Google's connector keeps the contract, whatever position the switches of the emulator are in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from connectors.model import Calendar
from tests.contract.suite import ConnectorContract, Opener
from tests.support.google import GoogleOperator, GoogleWorld, google_world


class TestGoogle(ConnectorContract):
    switches: dict[str, Any] = {}  # noqa: RUF012

    @pytest.fixture
    def world(self) -> Iterator[GoogleWorld]:
        with google_world() as world:
            world.control.rules(**self.switches)
            yield world

    @pytest.fixture
    def calendar(self, world: GoogleWorld) -> Calendar:
        return world.calendar

    @pytest.fixture
    def other_calendar(self, world: GoogleWorld) -> Calendar:
        return world.team

    @pytest.fixture
    def operator(self, world: GoogleWorld) -> GoogleOperator:
        return GoogleOperator(world)

    @pytest.fixture
    def open_connector(self, world: GoogleWorld) -> Opener:
        return world.connect


class TestGoogleOtherwise(TestGoogle):
    """All that nobody is sure of, the other way round (PROVIDERS H)."""

    switches = {  # noqa: RUF012
        "stubs": "full",
        "delta_outside_window": False,
        "write_to_deleted": "restore",
        "move_keeps_id": True,
        "conference_async": True,
        "uid_search_lists_stubs": False,
        "exception_touches_master": True,
        "split_ids": False,
        "empty_pages": True,
    }
