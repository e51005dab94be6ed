"""What is being worked on is renewed; what is finished is not."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from ledger import outbox
from ledger.db import Database
from ledger.outbox import Leased
from tests.support.worlds import Errand, append, known
from workers.leases import LeaseKeeper


@pytest.fixture(autouse=True)
def kinds() -> Iterator[None]:
    with known(Errand):
        yield


def begun(database: Database, now: datetime) -> Leased:
    append(database, Errand(1), now=now)
    with database.transaction() as tx:
        ((row_id, _),) = outbox.lease(tx, now=now)
        leased = outbox.begin(tx, row_id, now=now, lease_for=timedelta(seconds=5))
    assert leased is not None
    return leased


def taken_over(database: Database, now: datetime) -> bool:
    with database.transaction() as tx:
        return bool(outbox.lease(tx, now=now))


def test_a_held_lease_is_extended_and_a_dropped_one_ends(database: Database, now: datetime) -> None:
    moment = [now]
    leased = begun(database, now)
    keeper = LeaseKeeper(database, lambda: moment[0], lease_for=timedelta(seconds=5))
    with keeper.holding(leased.lease):
        moment[0] = now + timedelta(seconds=4)
        assert keeper.extend() == 1
        assert not taken_over(database, now + timedelta(seconds=8))
    moment[0] = now + timedelta(seconds=8)
    assert keeper.extend() == 0
    assert taken_over(database, now + timedelta(seconds=9))


def test_the_thread_renews_by_itself_and_survives_a_database_that_is_away(
    sqlite: Database, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    leased = begun(sqlite, now)
    keeper = LeaseKeeper(sqlite, lambda: now + timedelta(seconds=60), every=0.01, lease_for=timedelta(seconds=5))
    away = [True]
    calls = []
    extend = LeaseKeeper.extend

    def sometimes(self: LeaseKeeper) -> int:
        calls.append(1)
        if away[0]:
            raise OSError("away")
        return extend(self)

    monkeypatch.setattr(LeaseKeeper, "extend", sometimes)
    keeper.start()
    keeper.start()
    with keeper.holding(leased.lease):
        while len(calls) < 3:
            time.sleep(0.005)
        away[0] = False
        after = len(calls)
        while len(calls) < after + 3:
            time.sleep(0.005)
        keeper.stop()
    assert not taken_over(sqlite, now + timedelta(seconds=64))
    assert taken_over(sqlite, now + timedelta(seconds=65))
