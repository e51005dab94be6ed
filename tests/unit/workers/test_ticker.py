"""Chores are done in their rhythm, by one process, and one chore's failure leaves the others alone."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
import structlog.testing

from booking.commands import forget_answers
from booking.tables import IdempotencyKey
from ledger import observe, outbox
from ledger.db import Database, Tx
from ledger.settings import Settings
from tests.support.worlds import Errand, append, known
from workers import ticker
from workers.leader import FileLock
from workers.ticker import Chore, Ticker, chores, count_rows, forget_done


@pytest.fixture(autouse=True)
def kinds() -> Iterator[None]:
    with known(Errand):
        yield


def test_each_chore_has_its_rhythm(sqlite: Database, now: datetime) -> None:
    done: list[str] = []
    often = Chore("often", 0, lambda tx, at: done.append("often") or 0)
    seldom = Chore("seldom", 60, lambda tx, at: done.append("seldom") or 0)
    one = Ticker(sqlite, lambda: now, [often, seldom])
    for _ in range(3):
        one.tick()
    assert done == ["often", "seldom", "often", "often"]
    one.stop()


def test_what_has_more_to_do_is_called_again_each_time_in_a_new_transaction(sqlite: Database, now: datetime) -> None:
    results = [10, 10, 3, 99]
    one = Ticker(sqlite, lambda: now, [Chore("much", 60, lambda tx, at: results.pop(0), again_from=10)])
    one.tick()
    assert results == [99]
    one.stop()


def test_a_failing_chore_is_told_and_rolled_back_and_the_next_one_runs(sqlite: Database, now: datetime) -> None:
    done = []

    def fails(tx: Tx, at: datetime) -> int:
        outbox.append(tx, Errand(1), now=at)
        raise ValueError("Jana")

    one = Ticker(
        sqlite, lambda: now, [Chore("fails", 60, fails), Chore("works", 60, lambda tx, at: done.append(1) or 0)]
    )
    with structlog.testing.capture_logs() as log:
        one.tick()
        one.stop()
    assert done == [1]
    assert [(line["event"], line.get("chore"), line.get("error")) for line in log][1:] == [
        ("tick_failed", "fails", "ValueError")
    ]
    with sqlite.reading() as tx:
        assert outbox.listing(tx) == []


def test_only_one_ticks_and_the_other_takes_over(sqlite: Database, now: datetime, tmp_path: Path) -> None:
    done: list[str] = []
    tickers = {
        name: Ticker(
            sqlite,
            lambda: now,
            [Chore("it", 0, lambda tx, at, name=name: done.append(name) or 0)],  # type: ignore[misc]
            leadership=FileLock(tmp_path / "lock"),
            every=0.01,
        )
        for name in ("first", "second")
    }
    tickers["first"].start()
    while not done:
        time.sleep(0.005)
    tickers["second"].start()
    time.sleep(0.1)
    tickers["first"].stop()
    told = len(done)
    assert set(done) == {"first"}
    while len(done) < told + 2:
        time.sleep(0.005)
    tickers["second"].stop()
    assert set(done[told:]) == {"second"}


def test_a_lock_that_cannot_be_asked_for_ends_nothing(sqlite: Database, now: datetime) -> None:
    class Broken:
        asked = 0

        def leads(self) -> bool:
            self.asked += 1
            raise OSError

        def resign(self) -> None:
            pass

    lock = Broken()
    with structlog.testing.capture_logs():
        one = Ticker(sqlite, lambda: now, [], leadership=lock, every=0.01)
        one.start()
        while lock.asked < 3:
            time.sleep(0.005)
        one.stop()


def test_rows_done_two_weeks_ago_are_forgotten(
    database: Database, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ticker, "SMALL_BATCH", 2)
    append(database, *(Errand(number) for number in range(6)), now=now)
    with database.transaction() as tx:
        for row_id, _ in outbox.lease(tx, now=now):
            leased = outbox.begin(tx, row_id, now=now)
            assert leased is not None
            if leased.id % 6:
                outbox.settle(tx, leased, now=now)
    moment = [now + timedelta(days=14)]
    one = Ticker(database, lambda: moment[0], [Chore("forget_done", 0, forget_done, again_from=2)])
    one.tick()
    with database.reading() as tx:
        assert len(outbox.listing(tx, state="done")) == 5
    moment[0] += timedelta(seconds=1)
    one.tick()
    one.stop()
    with database.reading() as tx:
        assert outbox.listing(tx, state="done") == []
        assert len(outbox.listing(tx)) == 1


def test_answers_to_idempotency_keys_are_kept_for_a_day(database: Database, now: datetime) -> None:
    with database.transaction() as tx:
        for hours in (23, 24, 25, 26):
            tx.execute(
                sa.insert(IdempotencyKey).values(
                    key=f"{hours}", body_hash="", booking_id="b", created_at=now - timedelta(hours=hours)
                )
            )
    with database.transaction() as tx:
        assert [forget_answers(tx, now, limit=1) for _ in range(3)] == [1, 1, 0]
        assert set(tx.execute(sa.select(IdempotencyKey.key)).scalars()) == {"23", "24"}


def test_the_metrics_tell_how_many_rows_wait(sqlite: Database, now: datetime) -> None:
    append(sqlite, Errand(1), Errand(2), now=now)
    with sqlite.transaction() as tx:
        outbox.lease(tx, now=now, limit=1)
        count_rows(tx, now)
    text = observe.exposition().decode()
    assert 'slotledger_outbox_rows{state="waiting"} 1.0' in text
    assert 'slotledger_outbox_rows{state="queued"} 1.0' in text
    assert 'slotledger_outbox_rows{state="parked"} 0.0' in text


def test_every_chore_of_the_product_runs_on_an_empty_ledger(database: Database, now: datetime) -> None:
    with database.transaction() as tx:
        assert [chore.do(tx, now) for chore in chores(Settings())] == [0] * len(chores(Settings()))


def test_the_chores_of_the_product(sqlite: Database) -> None:
    names = [chore.name for chore in chores(Settings())]
    assert {"due_pulls", "forget_done", "forget_answers"} <= set(names)
    assert len(set(names)) == len(names)
