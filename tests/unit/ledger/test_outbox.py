"""The life of a row: asked once, done in order, by one worker at a time, never forgotten."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from connectors.errors import Refused, Unreachable
from ledger import outbox, pauses
from ledger.backoff import NotYet
from ledger.db import Database
from ledger.messages import Message, PullCalendar, PushEvent, RemoteCancellation, SendMail, TimeFreed
from ledger.outbox import Leased, LeaseLost, Scope
from ledger.tables import OutboxMessage
from tests.support.worlds import Errand, Refresh, Step, known

SECOND = timedelta(seconds=1)


@pytest.fixture(autouse=True)
def kinds() -> Iterator[None]:
    with known(Errand, Step, Refresh):
        yield


class Box:
    """An outbox at a time of one's own; every call is a transaction."""

    def __init__(self, database: Database, now: datetime) -> None:
        self.database, self.now = database, now

    def ask(self, message: Message, after: timedelta | None = None, **scope: Any) -> bool:
        with self.database.transaction() as tx:
            due = None if after is None else self.now + after
            return outbox.append(tx, message, now=self.now, not_before=due, scope=Scope(**scope), cause="test")

    def lease(self, **options: Any) -> list[int]:
        with self.database.transaction() as tx:
            return [i for i, _ in outbox.lease(tx, now=self.now, **options)]

    def begin(self, message_id: int) -> Leased | None:
        with self.database.transaction() as tx:
            return outbox.begin(tx, message_id, now=self.now)

    def take(self) -> Leased:
        """Lease and begin the one that is due."""
        (message_id,) = self.lease()
        leased = self.begin(message_id)
        assert leased is not None
        return leased

    def settle(self, leased: Leased) -> None:
        with self.database.transaction() as tx:
            outbox.settle(tx, leased, now=self.now)

    def fail(self, leased: Leased, error: BaseException) -> datetime | None:
        with self.database.transaction() as tx:
            return outbox.fail(tx, leased, error, now=self.now)

    def row(self, message_id: int) -> Any:
        with self.database.reading() as tx:
            return tx.execute(sa.select(OutboxMessage.__table__).where(OutboxMessage.id == message_id)).one()

    def waiting(self) -> list[Message]:
        with self.database.reading() as tx:
            rows = outbox.listing(tx, state="waiting")
        return [outbox.from_body(r["kind"], r["body"]) for r in reversed(rows)]


@pytest.fixture
def box(database: Database, now: datetime) -> Box:
    return Box(database, now)


# --- asking -------------------------------------------------------------------------------------------------------


def test_the_same_thing_is_asked_once_for_ever(box: Box) -> None:
    assert box.ask(Errand(1))
    assert not box.ask(Errand(1))
    box.settle(box.take())
    assert not box.ask(Errand(1))
    assert box.lease() == []


def test_what_merges_is_asked_once_while_it_waits(box: Box) -> None:
    assert box.ask(Refresh(1))
    assert not box.ask(Refresh(1))
    assert box.ask(Refresh(2))
    first = box.lease()[0]
    assert box.ask(Refresh(1))  # the first may have looked already
    leased = box.begin(first)
    assert leased is not None
    box.settle(leased)
    assert box.waiting() == [Refresh(1)]


def test_of_two_due_times_the_earlier_counts(box: Box) -> None:
    box.ask(Refresh(1), after=60 * SECOND)
    assert not box.ask(Refresh(1), after=90 * SECOND)
    assert not box.ask(Refresh(1), after=30 * SECOND)
    box.now += 29 * SECOND
    assert box.lease() == []
    box.now += SECOND
    assert len(box.lease()) == 1


def test_what_is_taken_back_was_never_asked(box: Box) -> None:
    def failing() -> None:
        with box.database.transaction() as tx:
            outbox.append(tx, Errand(1), now=box.now)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        failing()
    assert box.waiting() == []
    assert box.ask(Errand(1))


def test_a_worker_is_told_everything_that_was_said(box: Box) -> None:
    box.ask(SendMail("b1", 2, "moved", "client"), operator_id=1, service_id=2, slot_id=3, booking_id="b1")
    asked_at = box.now
    box.now += SECOND
    leased = box.take()
    assert leased.message == SendMail("b1", 2, "moved", "client")
    assert leased.scope == Scope(1, 2, 3, "b1")
    assert (leased.cause, leased.attempt, leased.created_at) == ("test", 1, asked_at)


# --- leasing ------------------------------------------------------------------------------------------------------


def test_what_is_due_is_given_out_in_the_order_of_its_time_and_only_once(box: Box) -> None:
    for number, after in ((1, 3), (2, 1), (3, 2), (4, 60)):
        box.ask(Errand(number), after=after * SECOND)
    box.now += 5 * SECOND
    first, second = box.lease(limit=1), box.lease(limit=1)
    assert [box.row(i).body["number"] for i in first + second] == [2, 3]
    assert [box.row(i).body["number"] for i in box.lease()] == [1]
    assert box.lease() == []


def test_in_a_line_one_after_the_other(box: Box) -> None:
    for number in (1, 2):
        for walk in "ab":
            box.ask(Step(walk, number))
    first = box.lease()
    assert [box.row(i).body for i in first] == [{"walk": "a", "number": 1}, {"walk": "b", "number": 1}]
    leased = box.begin(first[0])
    assert leased is not None
    assert box.lease() == []  # queued and running ones are before the next
    box.fail(leased, Unreachable("x"))
    assert box.lease() == []  # so is one that will be tried again
    box.now += 3 * SECOND
    again = box.take()
    assert again.id == first[0]
    box.settle(again)
    assert [box.row(i).body for i in box.lease()] == [{"walk": "a", "number": 2}]


def test_a_parked_message_lets_its_line_go_on(box: Box) -> None:
    box.ask(Step("a", 1))
    box.ask(Step("a", 2))
    assert box.fail(box.take(), Refused("no")) is None
    assert box.take().message == Step("a", 2)


def test_two_relays_never_lease_the_same(box: Box) -> None:
    for number in range(60):
        box.ask(Errand(number))
    taken: list[int] = []
    together = threading.Barrier(4)

    def relay() -> None:
        together.wait()
        while ids := box.lease(limit=7):
            taken.extend(ids)

    threads = [threading.Thread(target=relay) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == len(set(taken)) == 60


def test_what_a_broker_forgets_is_leased_again(box: Box) -> None:
    box.ask(Errand(1))
    (message_id,) = box.lease()
    box.now += outbox.QUEUE_LEASE - SECOND
    assert box.lease() == []
    box.now += SECOND
    assert box.lease() == [message_id]
    assert box.begin(message_id) is not None


# --- working ------------------------------------------------------------------------------------------------------


def test_only_one_worker_begins(box: Box) -> None:
    box.ask(Errand(1))
    (message_id,) = box.lease()
    assert box.begin(message_id) is not None
    assert box.begin(message_id) is None
    assert box.begin(message_id + 1) is None


def test_what_was_not_given_out_can_not_be_begun(box: Box) -> None:
    box.ask(Errand(1))
    with box.database.reading() as tx:
        (row,) = outbox.listing(tx)
    assert box.begin(row["id"]) is None


def test_a_silent_worker_is_replaced_and_can_store_nothing_any_more(box: Box) -> None:
    box.ask(Errand(1))
    silent = box.take()
    box.now += outbox.RUN_LEASE
    other = box.begin(silent.id)
    assert other is not None
    assert (other.attempt, other.lease != silent.lease) == (2, True)
    for late in (
        lambda: box.settle(silent),
        lambda: box.fail(silent, Unreachable("x")),
        lambda: box.fail(silent, Refused("x")),
    ):
        with pytest.raises(LeaseLost):
            late()
    box.settle(other)
    with pytest.raises(LeaseLost):
        box.settle(other)
    assert box.row(other.id).state == "done"


def test_a_worker_that_says_so_keeps_its_lease(box: Box) -> None:
    box.ask(Errand(1))
    leased = box.take()
    for _ in range(5):
        box.now += outbox.RUN_LEASE - SECOND
        with box.database.transaction() as tx:
            outbox.extend(tx, [leased.lease], now=box.now)
        assert box.begin(leased.id) is None
        assert box.lease() == []
    box.settle(leased)


def test_a_worker_that_was_replaced_does_not_prolong_the_others_lease(box: Box) -> None:
    box.ask(Errand(1))
    silent = box.take()
    box.now += outbox.RUN_LEASE
    assert box.begin(silent.id) is not None
    box.now += outbox.RUN_LEASE
    with box.database.transaction() as tx:
        outbox.extend(tx, [silent.lease], now=box.now)
    assert box.lease() == [silent.id]


# --- failing ------------------------------------------------------------------------------------------------------


def test_what_failed_for_a_while_is_tried_again(box: Box) -> None:
    box.ask(Errand(1))
    for attempt, wait in ((1, 2), (2, 4), (3, 8)):
        leased = box.take()
        assert leased.attempt == attempt
        assert box.fail(leased, Unreachable("no answer")) == box.now + wait * SECOND
        row = box.row(leased.id)
        assert (row.state, row.last_error, row.attempts) == ("waiting", "Unreachable: no answer", attempt)
        box.now += wait * SECOND
    box.settle(box.take())


def test_what_failed_for_good_is_parked_with_its_reason(box: Box) -> None:
    box.ask(Errand(1))
    leased = box.take()
    assert box.fail(leased, Refused("x" * 5000)) is None
    row = box.row(leased.id)
    assert (row.state, row.settled_at, row.lease) == ("parked", box.now, "")
    assert row.last_error.startswith("Refused: xxx")
    assert len(row.last_error) == 1000
    box.now += timedelta(days=30)
    assert box.lease() == []


def test_waiting_for_something_is_no_attempt(box: Box) -> None:
    box.ask(Errand(1))
    for _ in range(50):
        leased = box.take()
        assert leased.attempt == 1
        box.fail(leased, NotYet("not read", SECOND))
        box.now += SECOND


def test_a_failed_one_steps_back_for_its_waiting_twin(box: Box) -> None:
    box.ask(Refresh(1))
    leased = box.take()
    box.ask(Refresh(1))
    box.fail(leased, Unreachable("x"))
    assert box.row(leased.id).state == "done"
    assert box.waiting() == [Refresh(1)]
    twin = box.take()
    assert twin.id != leased.id
    box.settle(twin)


# --- by hand ------------------------------------------------------------------------------------------------------


def test_parked_by_hand_and_tried_again_by_hand(box: Box) -> None:
    box.ask(Errand(1), after=3600 * SECOND)
    with box.database.transaction() as tx:
        (row,) = outbox.listing(tx)
        assert outbox.park(tx, row["id"], why="wait for Anna", now=box.now)
        assert not outbox.park(tx, row["id"], why="twice", now=box.now)
        assert [r["last_error"] for r in outbox.listing(tx, state="parked")] == ["wait for Anna"]
        assert outbox.retry(tx, row["id"], now=box.now)
    leased = box.take()
    assert leased.attempt == 1
    with box.database.transaction() as tx:
        assert not outbox.retry(tx, leased.id, now=box.now)  # somebody is at it
        assert outbox.park(tx, leased.id, why="stop", now=box.now)
    with pytest.raises(LeaseLost):
        box.settle(leased)
    with box.database.transaction() as tx:
        assert not outbox.retry(tx, 99, now=box.now)


def test_a_retry_begins_to_count_anew(box: Box) -> None:
    box.ask(Errand(1))
    for _ in range(4):
        box.fail(leased := box.take(), Unreachable("x"))
        box.now += timedelta(minutes=1)
    with box.database.transaction() as tx:
        assert outbox.retry(tx, leased.id, now=box.now)
    assert box.take().attempt == 1


def test_a_parked_one_whose_twin_waits_is_done_by_the_twin_at_once(box: Box) -> None:
    box.ask(Refresh(1))
    parked = box.take()
    assert box.fail(parked, Refused("x")) is None
    box.ask(Refresh(1), after=3600 * SECOND)
    with box.database.transaction() as tx:
        assert outbox.retry(tx, parked.id, now=box.now)
    assert box.row(parked.id).state == "done"
    twin = box.take()
    assert (twin.message, twin.id != parked.id) == (Refresh(1), True)


def test_a_process_that_is_alone_takes_back_every_lease(box: Box) -> None:
    box.ask(Errand(1))
    box.ask(Errand(2))
    box.ask(Refresh(1))
    ids = box.lease()
    for begun in (ids[0], ids[2]):
        assert box.begin(begun) is not None
    box.ask(Refresh(1))
    with box.database.transaction() as tx:
        assert outbox.release_all(tx) == 2
    assert box.row(ids[2]).state == "done"  # its twin waits
    assert box.row(ids[2]).settled_at is not None
    again = box.lease()
    assert [box.row(i).kind for i in again] == ["Errand", "Errand", "Refresh"]
    assert all(box.begin(i) is not None for i in again)


def test_the_listing_is_newest_first_and_without_what_is_done(box: Box) -> None:
    for number in range(5):
        box.ask(Errand(number))
    ids = box.lease()
    leased = box.begin(ids[0])
    assert leased is not None
    box.settle(leased)
    box.begin(ids[1])
    with box.database.transaction() as tx:
        outbox.park(tx, ids[2], why="x", now=box.now)
        assert [(r["id"], r["state"]) for r in outbox.listing(tx)] == [
            (ids[4], "queued"), (ids[3], "queued"), (ids[2], "parked"), (ids[1], "running"),
        ]  # fmt: skip
        assert [r["id"] for r in outbox.listing(tx, limit=1)] == [ids[4]]
        assert [r["id"] for r in outbox.listing(tx, state="done")] == [ids[0]]
        assert outbox.counts(tx) == {"waiting": 0, "queued": 2, "running": 1, "parked": 1}


def test_when_to_look_again(box: Box) -> None:
    with box.database.transaction() as tx:
        assert outbox.next_due(tx, now=box.now) is None
    box.ask(Errand(1))
    box.ask(Errand(2), after=600 * SECOND)
    box.lease()
    with box.database.transaction() as tx:
        assert outbox.next_due(tx, now=box.now) == box.now + outbox.QUEUE_LEASE
        assert outbox.next_start(tx, now=box.now) == box.now + 600 * SECOND


# --- pauses -------------------------------------------------------------------------------------------------------


def test_a_paused_message_is_not_leased_and_runs_in_its_order_afterwards(box: Box) -> None:
    facts = [RemoteCancellation(1, 7), RemoteCancellation(2, 7), RemoteCancellation(3, 8)]
    for fact in facts:
        box.ask(fact, operator_id=1, slot_id=fact.slot_id)
    box.ask(PullCalendar(1), operator_id=1)  # no automation: facts are recorded all the same
    with box.database.transaction() as tx:
        pause = pauses.pause(tx, scope="slot", target="7", automations=["cancel"], now=box.now)
    leased = box.lease()
    assert [box.row(i).kind for i in leased] == ["RemoteCancellation", "PullCalendar"]
    assert box.row(leased[0]).slot_id == 8
    with box.database.transaction() as tx:
        assert pauses.resume(tx, pause, now=box.now)
    first = box.take()
    assert first.message == facts[0]
    box.settle(first)
    assert box.take().message == facts[1]


def test_a_pause_that_came_after_the_lease_stops_the_worker(box: Box) -> None:
    box.ask(TimeFreed(1), operator_id=1)
    (message_id,) = box.lease()
    with box.database.transaction() as tx:
        pause = pauses.pause(tx, scope="operator", target="1", automations=["promote"], now=box.now)
    assert box.begin(message_id) is None
    box.now += outbox.QUEUE_LEASE
    assert box.lease() == []
    with box.database.transaction() as tx:
        pauses.resume(tx, pause, now=box.now)
    assert box.take().id == message_id


def test_a_pause_with_an_end_ends_by_itself(box: Box) -> None:
    box.ask(PushEvent(1, 1), operator_id=1, service_id=2, booking_id="b")
    with box.database.transaction() as tx:
        pauses.pause(tx, scope="global", target="", automations=["push"], now=box.now, until=box.now + 60 * SECOND)
    assert box.lease() == []
    box.now += 60 * SECOND
    assert len(box.lease()) == 1
