"""A commit in one process is heard in another at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from ledger.db import Database, open_database
from tests.support.databases import migrated
from tests.support.worlds import Errand, append, known
from workers.notices import Listener, Notifier


@pytest.fixture(autouse=True)
def kinds() -> Iterator[None]:
    with known(Errand):
        yield


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[Database]:
    with migrated("postgresql", tmp_path) as opened:
        yield opened


def test_a_commit_is_heard_in_another_process_and_a_lost_connection_comes_back(postgres: Database) -> None:
    elsewhere = open_database(postgres.engine.url.render_as_string(hide_password=False))
    heard = threading.Event()
    listener, notifier = Listener(elsewhere, heard.set), Notifier(postgres)
    listener.start()
    notifier.start()
    try:
        assert heard.wait(5)  # once at the start, for what was committed before
        time.sleep(0.2)
        for number in range(5):
            heard.clear()
            started = time.monotonic()
            append(postgres, Errand(number))
            assert heard.wait(5)
            assert time.monotonic() - started < 1
        heard.clear()
        with postgres.transaction() as tx:
            tx.execute(sa.text("SELECT 1"))  # leaves no work behind
        assert not heard.wait(0.1)
        with postgres.reading() as tx:
            tx.execute(
                sa.text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            )
        append(postgres, Errand(9))
        assert heard.wait(10)  # both are back and tell what was missed
    finally:
        listener.stop()
        notifier.stop()
        elsewhere.dispose()


def test_on_sqlite_nobody_speaks_and_nobody_listens(sqlite: Database) -> None:
    threads = threading.active_count()
    listener, notifier = Listener(sqlite, lambda: None), Notifier(sqlite)
    listener.start()
    notifier.start()
    assert threading.active_count() == threads
    listener.stop()
    notifier.stop()
