"""The release gate: every way to a booking, with every calendar, to every end, automation running or paused and resumed.

A test run takes the slice in which every two values meet; ``SCENARIOS=full`` (``make scenarios``) runs all cells.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from connectors.emulators.radicale import RunningServer
from tests.scenario.matrix.axes import EVERY, LIVED, Cell, Provider, all_pairs, pairs, senseless
from tests.scenario.matrix.expectation import expected
from tests.scenario.matrix.house import house_of
from tests.scenario.matrix.observation import observed
from tests.scenario.matrix.story import Story
from tests.support.servers import radicale

RUN = LIVED if os.environ.get("SCENARIOS") == "full" else all_pairs()


@pytest.fixture(scope="module")
def shared_radicale() -> Iterator[Callable[[], RunningServer]]:
    """One server for all stories that need one."""
    running: list[RunningServer] = []
    with ExitStack() as stack:

        def start() -> RunningServer:
            if not running:
                running.append(stack.enter_context(radicale()))
            return running[0]

        yield start


def _of(provider: Provider) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("cell", [c for c in RUN if c.provider is provider], ids=lambda cell: cell.name)


def _ends_as_expected(cell: Cell, folder: Path, server: Callable[[], RunningServer]) -> None:
    with house_of(cell, folder, server) as house:
        Story(cell, house).live()
        differences = expected(cell).differences(observed(house))
    assert not differences, "\n".join([cell.name, *differences])


class TestCalDav:
    """Radicale."""

    @_of(Provider.CALDAV)
    def test_cell(self, cell: Cell, tmp_path: Path, shared_radicale: Callable[[], RunningServer]) -> None:
        _ends_as_expected(cell, tmp_path, shared_radicale)


class TestGoogle:
    """The emulator."""

    @_of(Provider.GOOGLE)
    def test_cell(self, cell: Cell, tmp_path: Path, shared_radicale: Callable[[], RunningServer]) -> None:
        _ends_as_expected(cell, tmp_path, shared_radicale)


class TestMicrosoft:
    """The emulator."""

    @_of(Provider.MICROSOFT)
    def test_cell(self, cell: Cell, tmp_path: Path, shared_radicale: Callable[[], RunningServer]) -> None:
        _ends_as_expected(cell, tmp_path, shared_radicale)


class TestNoCalendar:
    """Hours alone."""

    @_of(Provider.NONE)
    def test_cell(self, cell: Cell, tmp_path: Path, shared_radicale: Callable[[], RunningServer]) -> None:
        _ends_as_expected(cell, tmp_path, shared_radicale)


def test_every_cell_is_lived_or_says_why_not() -> None:
    assert len(EVERY) == 768 == len(LIVED) + len([cell for cell in EVERY if senseless(cell)])
    assert len({cell.name for cell in EVERY}) == 768


def test_in_the_slice_every_two_values_meet_that_meet_anywhere() -> None:
    everywhere = set().union(*(pairs(cell) for cell in LIVED))
    assert set().union(*(pairs(cell) for cell in all_pairs())) == everywhere
    assert len(all_pairs()) < 80
