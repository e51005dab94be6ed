"""The relay: everything due gets to the broker, promptly, in order, and however the broker behaves."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta

import pytest
import structlog.testing

from ledger import clock, outbox
from ledger.db import Database
from tests.support.worlds import Errand, Step, append, known, states
from workers.broker import Post, open_broker
from workers.relay import Relay

pytestmark = pytest.mark.usefixtures("kinds")


@pytest.fixture
def kinds() -> Iterator[None]:
    with known(Errand, Step):
        yield


class Noting(Post):
    """A post that remembers what it was given, and can be away or full."""

    def __init__(self) -> None:
        super().__init__(open_broker("embedded:"))
        self.given: list[tuple[int, str]] = []
        self.times: list[float] = []
        self.away = False
        self.no_room: frozenset[str] = frozenset()

    def hand_over(self, rows: Sequence[tuple[int, str]], *, many: bool = False) -> None:
        if self.away:
            raise ConnectionError
        self.given += rows
        self.times += [time.monotonic()] * len(rows)

    def full(self) -> frozenset[str]:
        return self.no_room


@pytest.fixture
def post() -> Noting:
    return Noting()


def eventually(true: Callable[[], bool], seconds: float = 5) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)


def test_a_sweep_hands_over_what_is_due_and_tells_when_to_look_again(
    database: Database, now: datetime, post: Noting
) -> None:
    append(database, Errand(1), Errand(2), Step("a", 1), Step("a", 2), now=now)
    append(database, Errand(3), now=now, not_before=now + timedelta(milliseconds=300))
    relay = Relay(database, post, lambda: now)
    assert relay.sweep() == pytest.approx(0.3)
    assert [kind for _, kind in post.given] == ["Errand", "Errand", "Step"]  # its second step waits for the first
    assert relay.sweep() == pytest.approx(0.3)
    assert len(post.given) == 3


def test_a_full_batch_asks_for_the_next_one_at_once(sqlite: Database, now: datetime, post: Noting) -> None:
    append(sqlite, *(Errand(number) for number in range(5)), now=now)
    relay = Relay(sqlite, post, lambda: now, batch=2)
    assert [relay.sweep(), relay.sweep(), relay.sweep()] == [0, 0, 1.0]
    assert [row_id for row_id, _ in post.given] == sorted(states(sqlite))


def test_what_has_no_room_waits_in_the_outbox(sqlite: Database, now: datetime, post: Noting) -> None:
    append(sqlite, Errand(1), Step("a", 1), now=now)
    post.no_room = frozenset({"Errand"})
    relay = Relay(sqlite, post, lambda: now)
    assert relay.sweep() < 0.1
    assert [kind for _, kind in post.given] == ["Step"]
    post.no_room = frozenset()
    relay.sweep()
    assert [kind for _, kind in post.given] == ["Step", "Errand"]


def test_a_broker_that_was_away_gets_the_same_rows_as_soon_as_it_is_back(
    sqlite: Database, now: datetime, post: Noting
) -> None:
    append(sqlite, Errand(1), now=now)
    relay = Relay(sqlite, post, lambda: now)
    post.away = True
    for _ in range(2):
        with pytest.raises(ConnectionError):
            relay.sweep()
    append(sqlite, Errand(2), now=now)
    post.away = False
    relay.sweep()
    assert len(post.given) == len(set(post.given)) == 2


def test_what_the_broker_forgot_is_handed_out_again_after_its_lease(
    database: Database, now: datetime, post: Noting
) -> None:
    moment = [now]
    append(database, Errand(1), now=now)
    relay = Relay(database, post, lambda: moment[0], lease_for=timedelta(seconds=30))
    relay.sweep()
    moment[0] = now + timedelta(seconds=29)
    relay.sweep()
    assert len(post.given) == 1
    moment[0] = now + timedelta(seconds=30)
    relay.sweep()
    assert len(post.given) == 2


def test_a_commit_wakes_the_thread_and_a_due_time_needs_nobody(database: Database, post: Noting) -> None:
    relay = Relay(database, post, clock.now, look_every=30)
    relay.start()
    try:
        time.sleep(0.1)
        append(database, Errand(1))
        eventually(lambda: len(post.given) == 1, 2)
        started = time.monotonic()
        append(database, Errand(2), not_before=clock.now() + timedelta(seconds=0.3))
        eventually(lambda: len(post.given) == 2, 2)
        assert 0.25 < post.times[1] - started < 1
    finally:
        relay.stop()
    append(database, Errand(3))
    time.sleep(0.05)
    assert len(post.given) == 2


def test_without_being_woken_it_looks_by_itself(sqlite: Database, post: Noting) -> None:
    relay = Relay(sqlite, post, clock.now, look_every=0.05)
    thread = threading.Thread(target=relay.run)
    thread.start()  # `start` would have it woken
    try:
        append(sqlite, Errand(1))
        eventually(lambda: len(post.given) == 1)
    finally:
        relay.stop()
        thread.join()


def test_the_thread_survives_a_broker_that_is_away(sqlite: Database, post: Noting) -> None:
    post.away = True
    relay = Relay(sqlite, post, clock.now, look_every=0.02)
    with structlog.testing.capture_logs() as log:
        relay.start()
        append(sqlite, Errand(1))
        eventually(lambda: len(log) > 2)
        post.away = False
        eventually(lambda: len(post.given) == 1)
        relay.stop()
    assert {(line["event"], line["error"]) for line in log} == {("relay_stumbled", "ConnectionError")}


def test_two_relays_share_and_hand_nothing_over_twice(database: Database) -> None:
    append(database, *(Errand(number) for number in range(200)))
    posts = [Noting(), Noting()]
    relays = [Relay(database, post, clock.now, batch=10) for post in posts]
    for relay in relays:
        relay.start()
    eventually(lambda: sum(len(post.given) for post in posts) >= 200)
    for relay in relays:
        relay.stop()
    assert sorted(row_id for post in posts for row_id, _ in post.given) == sorted(states(database))


def test_a_pause_that_ended_by_its_time_is_noticed(sqlite: Database, now: datetime, post: Noting) -> None:
    from ledger import pauses
    from tests.support.worlds import Refresh

    with known(Refresh):
        with sqlite.transaction() as tx:
            pauses.pause(
                tx, scope="global", target="", automations=["push"], now=now, until=now + timedelta(seconds=10)
            )
            outbox.append(tx, Refresh(1), now=now)
        moment = [now]
        relay = Relay(sqlite, post, lambda: moment[0])
        assert 0 < relay.sweep() <= 1
        assert post.given == []
        moment[0] = now + timedelta(seconds=10)
        relay.sweep()
        assert len(post.given) == 1
