"""One leads; when it ends, however it ends, another one does."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from ledger.db import Database
from tests.support.databases import migrated
from workers.leader import AdvisoryLock, FileLock, lock_file, ticker_lock


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[Database]:
    with migrated("postgresql", tmp_path) as opened:
        yield opened


def test_one_leads_until_it_resigns(database: Database) -> None:
    first, second = ticker_lock(database), ticker_lock(database)
    assert [first.leads(), second.leads(), first.leads()] == [True, False, True]
    first.resign()
    first.resign()
    assert [second.leads(), first.leads()] == [True, False]
    second.resign()


def test_who_lost_the_connection_lost_the_lead(postgres: Database) -> None:
    first, second = AdvisoryLock(postgres), AdvisoryLock(postgres)
    assert first.leads()
    with postgres.reading() as tx:
        tx.execute(
            sa.text(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
                " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            )
        )
    assert not first.leads()
    assert second.leads()
    assert not first.leads()
    second.resign()


def test_a_file_lock_is_shared_by_those_who_share_and_refuses_who_wants_it_alone(tmp_path: Path) -> None:
    one, two, alone = (FileLock(tmp_path / "x.lock") for _ in range(3))
    assert one.take(shared=True)
    assert two.take(shared=True)
    assert not alone.take()
    one.resign()
    two.resign()
    assert alone.take()
    assert not one.take(shared=True)
    alone.resign()


def test_a_killed_process_holds_no_lock(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    script = (
        "import time; from pathlib import Path; from workers.leader import FileLock\n"
        f"lock = FileLock(Path({str(path)!r})); print(lock.take(), flush=True); time.sleep(60)"
    )
    child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "True\n"
    lock = FileLock(path)
    assert not lock.take()
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    assert lock.take()
    lock.resign()


def test_locks_lie_beside_the_database(sqlite: Database) -> None:
    path = lock_file(sqlite, "ticker")
    assert path.name.endswith(".db.ticker.lock")
    assert path.with_name(path.name.removesuffix(".ticker.lock")).is_file()
