"""SIGKILL at every boundary there is: before and after each commit, each call to a calendar, each mail handed over.

Whatever dies, and wherever, the world ends as it does undisturbed: one event, one Message-ID for one mail, nobody told
twice, nothing lost (P2, P3, P4, P7). ``CHAOS=full`` kills at each passing of each boundary by itself.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support import chaos_loop
from tests.support.brokers import broker_url
from tests.support.chaos_loop import Loop, doors_of, loop
from tests.support.kill import Child, Orders, Point, last_passed, passed, points
from tests.support.servers import radicale

FULL = os.environ.get("CHAOS") == "full"
pytestmark = [pytest.mark.slow, pytest.mark.chaos, pytest.mark.timeout(5400 if FULL else 900)]
AT_MOST = 3
ACCOUNTS = 400
ALWAYS = (
    "commit before | chaos_loop._book",
    "commit after | chaos_loop._book",
    "commit after | chaos_loop._join",
    "commit before | chaos_loop._move",
    "commit after | chaos_loop._move",
    "commit before | chaos_loop._cancel",
    "commit after | chaos_loop._cancel",
    "commit before | actors._attempt RemoteCancellation",
    "commit after | actors._attempt RemoteCancellation",
    "commit before | actors._attempt RemoteMove",
    "commit after | actors._attempt RemoteMove",
    "commit after | mail._prepared SendMail",
    "commit before | mail.send_mail SendMail",
    "commit before | pull._write PullCalendar",
    "calendar.create before",
    "calendar.create after",
    "calendar.update before",
    "calendar.update after",
    "calendar.delete before",
    "calendar.delete after",
    "mail.send before",
    "mail.send after",
)
"""Boundaries whose names must not be lost: without them this test would kill nothing that matters."""


@pytest.fixture(scope="module")
def practices(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Any]]:
    """Opens a practice with a calendar account of its own."""
    used = iter(range(ACCOUNTS))

    with radicale({f"anna{number}": "secret" for number in range(ACCOUNTS)}) as server:

        def opened(kind: str = "sqlite", **settings: str) -> Any:
            number = next(used)
            return loop(kind, tmp_path_factory.mktemp(f"run{number}"), server, f"anna{number}", **settings)

        yield opened


@pytest.fixture(scope="module")
def undisturbed(practices: Callable[..., Any]) -> tuple[dict[str, Any], dict[str, int]]:
    """The end of the loop when nothing dies, and the boundaries that are passed on the way."""
    with practices() as made:
        orders = Orders(made.settings, made.folder / "trace", made.folder / "log")
        child = start(made, orders)
        assert child.wait() == 0, child.log()
        return made.end_state(), passed(orders.trace)


def start(made: Loop, orders: Orders) -> Child:
    calendar = (made.bookings.calendar, *made.account)
    return Child(chaos_loop.embedded, orders, made.start, made.progress, calendar)


def killed_and_restarted(made: Loop, where: set[Point]) -> list[Point]:
    """Start again and again until the loop comes to its end; each time it is killed at the first of the points left."""
    ends: list[Point] = []
    while True:
        orders = Orders(
            made.settings, made.folder / f"trace{len(ends)}", made.folder / "log", frozenset(where - set(ends))
        )
        child = start(made, orders)
        code = child.wait()
        if code == 0:
            return ends
        assert code == -9, child.log()
        ends.append(last_passed(orders.trace))


def same_end(made: Loop, undisturbed: dict[str, Any]) -> None:
    state = made.end_state()
    assert state == undisturbed
    assert all(len(texts) == 1 for texts in made.repeats().values())


def test_undisturbed_it_ends_as_it_should(undisturbed: tuple[dict[str, Any], dict[str, int]]) -> None:
    state, counts = undisturbed
    assert state["bookings"] == [
        ("kata@example.org", "cancelled", 1), ("nina@example.org", "cancelled", 1), ("vera@example.org", "confirmed", 2),
    ]  # fmt: skip
    assert state["line"] == [("vera@example.org", "promoted")]
    assert len(state["calendar"]) == 1
    assert "Vera" in state["calendar"][0][0]
    assert [m[1] for m in state["mails"] if m[0] == "kata@example.org"] == ["CANCEL", "REQUEST"]
    assert [m[1:] for m in state["mails"] if m[0] == "vera@example.org"] == [
        ("", ""), ("REQUEST", "0"), ("REQUEST", "1"), ("REQUEST", "2"),
    ]  # fmt: skip
    assert [m[1] for m in state["mails"] if m[0] == "nina@example.org"] == ["CANCEL", "REQUEST"]
    assert (state["sent"], state["bytes kept"], state["reviews"]) == (True, [], [])
    assert not set(ALWAYS) - set(counts)


def test_killed_at_every_boundary_one_after_the_other(
    practices: Callable[..., Any], undisturbed: tuple[dict[str, Any], dict[str, int]]
) -> None:
    state, counts = undisturbed
    where = {Point(boundary) for boundary in counts}
    with practices() as made:
        ends = killed_and_restarted(made, where)
        same_end(made, state)
    assert len(set(ends)) == len(ends)
    assert {point.boundary for point in ends} >= set(ALWAYS)


@pytest.mark.skipif(not FULL, reason="CHAOS=full (make chaos) kills at each passing by itself")
def test_killed_once_anywhere(
    practices: Callable[..., Any], undisturbed: tuple[dict[str, Any], dict[str, int]]
) -> None:
    state, counts = undisturbed
    for point in points(counts, at_most=AT_MOST):
        with practices() as made:
            ends = killed_and_restarted(made, {point})
            assert ends in ([point], []), point  # a race may leave out what was passed more than once
            try:
                same_end(made, state)
            except AssertionError as error:
                raise AssertionError(f"killed at {point}") from error


def test_killed_at_any_moment(
    practices: Callable[..., Any], undisturbed: tuple[dict[str, Any], dict[str, int]]
) -> None:
    """From outside, at no boundary in particular."""
    with practices() as made:
        for tenth in range(1, 30 if FULL else 9):
            orders = Orders(made.settings, made.folder / f"trace{tenth}", made.folder / "log")
            child = start(made, orders)
            time.sleep(tenth / 10 if FULL else 0.2 + tenth / 4)
            child.kill()
        killed_and_restarted(made, set())
        same_end(made, undisturbed[0])


class Staff:
    """A worker and a relay that are replaced when they die, each killed once at each of its boundaries."""

    def __init__(self, made: Loop) -> None:
        self.made = made
        self.ends: list[Point] = []
        self._seen: dict[Any, set[Point]] = {chaos_loop.worker: set(), chaos_loop.relay: set()}
        self._number = 0
        self._children = {main: self._start(main, set()) for main in self._seen}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.wanted: set[str] = set()

    def _start(self, main: Callable[..., None], where: set[Point]) -> Child:
        self._number += 1
        orders = Orders(
            self.made.settings, self.made.folder / f"trace-{main.__name__}-{self._number}", self.made.folder / "log",
            frozenset(where),
        )  # fmt: skip
        return Child(main, orders)

    def kill_at(self, boundaries: set[str]) -> None:
        """Replace both by ones that die there."""
        self.wanted = boundaries
        for main, child in self._children.items():
            child.kill()
            self._children[main] = self._start(main, {Point(boundary) for boundary in boundaries})
        self._thread.start()

    def _watch(self) -> None:
        while not self._stopping.wait(0.02):
            for main, child in list(self._children.items()):
                if not child.running:
                    end = last_passed(child.orders.trace)
                    self.ends.append(end)
                    self._seen[main].add(end)
                    left = {Point(boundary) for boundary in self.wanted} - self._seen[main]
                    self._children[main] = self._start(main, left)

    def stop(self) -> None:
        """End them all."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        for child in self._children.values():
            child.kill()


def test_worker_and_relay_killed_at_every_boundary(
    practices: Callable[..., Any], undisturbed: tuple[dict[str, Any], dict[str, int]]
) -> None:
    state, counts = undisturbed
    doors = {name for name in counts if "chaos_loop" in name or "embedded" in name or "ticker" in name}
    where = set(counts) - doors | {"broker.hand_over before", "broker.hand_over after"}
    with broker_url("redis") as broker, practices("postgresql", broker_url=broker) as made:
        staff = Staff(made)
        staff.kill_at(where)
        try:
            doors_of(made)
        finally:
            staff.stop()
        same_end(made, state)
    assert {end.boundary for end in staff.ends} >= {name for name in ALWAYS if name in where}
    assert {"broker.hand_over before", "broker.hand_over after"} <= {end.boundary for end in staff.ends}
