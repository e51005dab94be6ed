"""Slow calendars have threads of their own: mail never waits for a dead server."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator

import dramatiq
import pytest
from dramatiq import Worker

from workers.broker import Post, declare_actors, open_broker
from workers.middleware import SlowLane

ROWS = {"PullCalendar": range(100, 110), "SendMail": range(200, 203), "TimeFreed": range(300, 303)}


class Office:
    """A worker whose pulls hang until they are let go."""

    def __init__(self, queues: set[str] | None = None) -> None:
        self.broker: dramatiq.Broker = open_broker("embedded:")
        self.broker.add_middleware(SlowLane(2, timeout=1))
        self.go = threading.Event()
        self.began: list[int] = []
        declare_actors(self.broker, self.run)
        self.post = Post(self.broker)
        self.worker = Worker(self.broker, worker_threads=2, worker_timeout=20, queues=queues)

    def run(self, row_id: int) -> None:
        self.began.append(row_id)
        if row_id < 200:
            self.go.wait(10)

    def give(self, kind: str) -> None:
        self.post.hand_over([(row_id, kind) for row_id in ROWS[kind]])


@pytest.fixture
def offices() -> Iterator[list[Office]]:
    opened: list[Office] = []
    yield opened
    for office in opened:
        office.go.set()
        office.worker.stop(timeout=2000)


def eventually(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_mail_goes_on_while_every_pull_hangs(offices: list[Office]) -> None:
    office = Office()
    offices.append(office)
    office.worker.start()
    office.give("PullCalendar")
    eventually(lambda: len(office.began) == 2)
    office.give("SendMail")
    office.give("TimeFreed")
    eventually(lambda: len(office.began) == 8)
    assert {row_id for row_id in office.began if row_id >= 200} == {*ROWS["SendMail"], *ROWS["TimeFreed"]}
    office.go.set()
    eventually(lambda: len(office.began) == 16)
    assert sorted(office.began) == sorted(row_id for rows in ROWS.values() for row_id in rows)


def test_a_worker_that_was_told_its_queues_keeps_them(offices: list[Office]) -> None:
    office = Office(queues={"pull"})
    offices.append(office)
    office.go.set()
    office.worker.start()
    office.give("SendMail")
    office.give("PullCalendar")
    eventually(lambda: len(office.began) == 10)
    assert set(office.began) == set(ROWS["PullCalendar"])


def test_both_end_together_and_quickly_and_nobody_is_warned(caplog: pytest.LogCaptureFixture) -> None:
    before = threading.active_count()
    with caplog.at_level(logging.WARNING):
        office = Office()
        office.worker.start()
        started = time.monotonic()
        office.worker.stop(timeout=2000)
    assert time.monotonic() - started < 1
    assert caplog.records == []
    assert threading.active_count() == before
