"""Bringing a database to the newest tables: twice, at once, and back."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from ledger.db import Database, open_database
from ledger.migrate import downgrade, is_current, migrate
from ledger.tables import Deployment
from tests.support.databases import postgres_url


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Of a database with nothing in it."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/ledger.db"
    else:
        with postgres_url() as made:
            yield made


@pytest.fixture
def empty(url: str) -> Iterator[Database]:
    database = open_database(url)
    yield database
    database.dispose()


def identity(database: Database) -> list[tuple[str, datetime]]:
    with database.reading() as tx:
        return [(row[0], row[1]) for row in tx.execute(sa.select(Deployment.id, Deployment.created_at))]


def test_there_and_back_and_twice(empty: Database, now: datetime) -> None:
    assert not is_current(empty)
    migrate(empty, now=now)
    assert is_current(empty)
    ((name, made_at),) = identity(empty)
    assert (len(name), made_at) == (16, now)
    migrate(empty, now=now + timedelta(days=1))  # who we are enters keys in foreign calendars: it never changes
    assert identity(empty) == [(name, now)]
    downgrade(empty)
    assert not is_current(empty)
    with empty.reading() as tx:
        left = set(sa.inspect(tx).get_table_names())
    assert left <= {"alembic_version"}
    migrate(empty, now=now)
    assert is_current(empty)
    assert identity(empty) != [(name, now)]


def test_processes_that_start_together_migrate_once(url: str, now: datetime) -> None:
    databases = [open_database(url) for _ in range(4)]
    together = threading.Barrier(len(databases))
    failed: list[BaseException] = []

    def start(database: Database) -> None:
        together.wait()
        try:
            migrate(database, now=now)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=start, args=(database,)) for database in databases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert is_current(databases[0])
    assert len(identity(databases[0])) == 1
    for database in databases:
        database.dispose()
