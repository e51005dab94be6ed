"""The whole workers' room in one process: at work within milliseconds, gone within two seconds, back after a crash."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from ledger import clock, outbox
from ledger.backoff import NotYet
from ledger.db import Database, Tx
from ledger.messages import Message
from ledger.outbox import Leased
from tests.support.worlds import Errand, Refresh, Step, append, known, states, world_of
from workers.embedded import Embedded
from workers.leader import FileLock, lock_file
from workers.world import Handler, World


@pytest.fixture(autouse=True)
def kinds() -> Iterator[None]:
    with known(Errand, Step, Refresh):
        yield


def eventually(true: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)


def threads() -> int:
    """All but the watch of Dramatiq's time limit, which has no end."""
    return sum(type(thread).__name__ != "_CtypesTimeoutManager" for thread in threading.enumerate())


class Room:
    """An embedded room that notes what it was asked."""

    def __init__(self, database: Database, folder: Path, handler: Handler | None = None) -> None:
        self.done: list[Message] = []
        self.times: list[float] = []
        handle = handler or self.handle
        self.world = world_of(
            database, folder, handlers={Errand: handle, Step: handle}, reactions={Refresh: self.react}
        )
        self.embedded = Embedded(self.world, quick=4, slow=2)

    def handle(self, world: World, leased: Leased) -> None:
        self.times.append(time.monotonic())
        with world.database.transaction() as tx:
            outbox.settle(tx, leased, now=world.clock())
        self.done.append(leased.message)

    def react(self, world: World, tx: Tx, leased: Leased) -> None:
        if leased.attempt == 1 and not self.done:
            self.done.append(leased.message)
            raise NotYet("the first time", timedelta(milliseconds=50))
        self.done.append(leased.message)

    def __enter__(self) -> Room:
        self.embedded.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.embedded.stop()


def test_what_was_asked_is_done_soon_and_in_the_order_of_its_line(database: Database, tmp_path: Path) -> None:
    with Room(database, tmp_path) as room:
        append(database, *(Step(walk, number) for number in range(5) for walk in "ab"), Errand(1))
        started = time.monotonic()
        eventually(lambda: len(room.done) == 11)
        assert time.monotonic() - started < 5
    for walk in "ab":
        assert [step.number for step in room.done if isinstance(step, Step) and step.walk == walk] == list(range(5))
    assert states(database) == {}


def test_a_reaction_that_must_wait_is_called_again(database: Database, tmp_path: Path) -> None:
    with Room(database, tmp_path) as room:
        append(database, Refresh(1))
        eventually(lambda: not states(database))
    assert room.done == [Refresh(1), Refresh(1)]


def test_after_a_crash_nothing_waits_for_the_end_of_a_lease(sqlite: Database, tmp_path: Path) -> None:
    append(sqlite, Errand(1), Errand(2))
    with sqlite.transaction() as tx:
        rows = outbox.lease(tx, now=clock.now())
        assert outbox.begin(tx, rows[0][0], now=clock.now()) is not None
    assert sorted(states(sqlite).values()) == ["queued", "running"]
    started = time.monotonic()
    with Room(sqlite, tmp_path) as room:
        eventually(lambda: len(room.done) == 2)
    assert time.monotonic() - started < 5


def test_where_others_work_on_the_same_file_their_leases_stay(sqlite: Database, tmp_path: Path) -> None:
    append(sqlite, Errand(1))
    with sqlite.transaction() as tx:
        outbox.lease(tx, now=clock.now())
    other = FileLock(lock_file(sqlite, "service"))
    assert other.take(shared=True)
    with Room(sqlite, tmp_path) as room:
        time.sleep(0.2)
        assert list(states(sqlite).values()) == ["queued"]
        assert room.done == []
    other.resign()


def test_it_ends_within_two_seconds_though_a_handler_hangs_and_leaves_no_thread(
    sqlite: Database, tmp_path: Path
) -> None:
    hanging, go = threading.Event(), threading.Event()

    def hang(world: World, leased: Leased) -> None:
        hanging.set()
        go.wait(20)

    before = threads()
    room = Room(sqlite, tmp_path, hang)
    room.embedded.start()
    append(sqlite, Errand(1))
    assert hanging.wait(5)
    started = time.monotonic()
    room.embedded.stop()
    assert time.monotonic() - started < 2
    go.set()
    eventually(lambda: threads() <= before)
    with Room(sqlite, tmp_path) as again:
        eventually(lambda: len(again.done) == 1)


def test_it_can_be_stopped_twice(sqlite: Database, tmp_path: Path) -> None:
    room = Room(sqlite, tmp_path)
    room.embedded.start()
    room.embedded.stop()
    room.embedded.stop()
