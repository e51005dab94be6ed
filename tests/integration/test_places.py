"""Of one mailbox at most three calls are under way, however many processes work (PROVIDERS B9).

Covers: ledger.places.
"""

from __future__ import annotations

import multiprocessing
import threading
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from connectors.errors import Throttled
from connectors.protocol import Credentials, Endpoints
from ledger import places
from ledger.db import Database, open_database
from ledger.places import LEASE, TURN, Place, Places
from ledger.vault import Vault
from sync.accounts import Accounts
from tests.support.books import operator
from tests.support.microsoft import CLIENT_ID, microsoft_world

KEY = "places-are-tested-with-this-key"
PROCESSES, THREADS, SESSIONS = 2, 4, 3
_CONTEXT = multiprocessing.get_context("forkserver")


def hammer(url: str, endpoints: Endpoints, connection: int) -> None:
    """One worker process: threads that open the account again and again. Its exit code tells of a failure."""
    database = open_database(url)
    accounts = Accounts(database, Vault(KEY), endpoints)
    failed: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(SESSIONS):
                with accounts.open(connection) as connector:
                    connector.calendars()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    database.dispose()
    if failed:
        raise failed[0]


def held(database: Database) -> list[int]:
    with database.reading() as tx:
        return list(tx.execute(sa.select(Place.number).order_by(Place.number)).scalars())


def test_never_more_than_three_at_once_from_all_processes(database: Database, now: datetime) -> None:
    with microsoft_world() as world:
        with database.transaction() as tx:
            chloe = operator(tx, now, "chloe")
        accounts = Accounts(database, Vault(KEY), world.endpoints)
        secret = world.control.grant(CLIENT_ID)
        connection = accounts.connect(chloe, Credentials("microsoft", username="chloe", secret=secret), now=now)
        assert held(database) == [], "given back"
        world.control.clear_requests()
        world.control.set_switch("latency_seconds", 0.05)
        url = database.engine.url.render_as_string(hide_password=False)
        workers = [_CONTEXT.Process(target=hammer, args=(url, world.endpoints, connection)) for _ in range(PROCESSES)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(120)
        assert [worker.exitcode for worker in workers] == [0] * PROCESSES
        assert len(world.control.requests()) >= PROCESSES * THREADS * SESSIONS
        assert 1 < world.control.most_at_once() <= 3
    assert held(database) == []


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 23, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


def test_the_place_of_one_who_died_comes_back(database: Database) -> None:
    clock = Clock()
    dead = Places(database, clock)
    for _ in range(2):
        dead.turns("microsoft:x", 2)().__enter__()  # and never a word again
    living = Places(database, clock, patience=0)
    with pytest.raises(Throttled), living.turns("microsoft:x", 2)():
        pass
    other = living.turns("microsoft:y", 2)
    with other():
        assert held(database) == [1, 1, 2], "another account has places of its own"
    other.close()
    clock.now += LEASE - timedelta(seconds=1)
    with pytest.raises(Throttled), living.turns("microsoft:x", 2)():
        pass
    clock.now += timedelta(seconds=2)
    turns = living.turns("microsoft:x", 2)
    with turns():
        pass
    turns.close()
    assert held(database) == [2]


def test_whose_place_ran_out_takes_none_from_the_next(database: Database) -> None:
    clock = Clock()
    slow = Places(database, clock, patience=0).turns("microsoft:x", 1)
    with slow():
        clock.now += LEASE
        with Places(database, clock, patience=0).turns("microsoft:x", 1)():
            slow.close()
            assert held(database) == [1]


def test_a_place_is_kept_for_a_turn_and_no_longer(sqlite: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    turns = Places(sqlite).turns("microsoft:x", 1)
    with turns():
        pass
    assert held(sqlite) == [1], "kept for the session's next call"
    turns.close()
    turns.close()
    assert held(sqlite) == []
    monkeypatch.setattr(places, "TURN", -TURN)  # every call is longer than a turn
    with turns():
        assert held(sqlite) == [1]
    assert held(sqlite) == []


def test_who_waits_comes_in_when_a_place_gets_free(database: Database) -> None:
    first, second = (Places(database).turns("microsoft:x", 1) for _ in range(2))
    came = threading.Event()

    def wait() -> None:
        with second():
            came.set()
        second.close()

    with first():
        waiting = threading.Thread(target=wait)
        waiting.start()
        assert not came.wait(0.2)
    first.close()
    waiting.join(30)
    assert came.is_set()
    assert held(database) == []


def test_a_database_that_is_away_hides_no_answer(sqlite: Database) -> None:
    turns = Places(sqlite).turns("microsoft:x", 1)
    with turns():
        with sqlite.transaction() as tx:
            tx.execute(sa.text("ALTER TABLE place RENAME TO elsewhere"))
        answer = "written"
    turns.close()
    assert answer == "written"
