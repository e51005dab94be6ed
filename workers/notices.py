"""Commits that are heard in other processes: PostgreSQL's LISTEN and NOTIFY. Only a hint; nothing is lost without it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from ledger import observe
from ledger.db import Database
from ledger.observe import Event

CHANNEL = "slotledger_outbox"
GATHER = 0.003
"""Seconds after a notice in which further commits share the next one."""
AGAIN_AFTER = 1.0


class Notifier:
    """Tells other processes of this one's commits, from a thread and a connection of its own.

    Does nothing on SQLite, whose other processes look every second.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._committed = threading.Event()
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._deaf: Callable[[], None] = lambda: None

    def start(self) -> None:
        """Tell from now on."""
        if self._database.dialect != "postgresql" or self._thread is not None:
            return
        self._deaf = self._database.on_commit(self._committed.set)
        self._thread = threading.Thread(target=self._run, name="notifier", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Tell no longer; what was committed before is told. Repeatable."""
        if self._thread is None:
            return
        self._deaf()
        self._stopping = True
        self._committed.set()
        self._thread.join(timeout=2)
        self._thread = None

    def _run(self) -> None:
        while not self._stopping:
            # What was committed while we had no connection; one notice too many is harmless.
            self._committed.set()
            try:
                with alone(self._database) as connection:
                    while not self._stopping:
                        self._committed.wait()
                        self._committed.clear()
                        connection.exec_driver_sql(f"NOTIFY {CHANNEL}")
                        if not self._stopping:
                            time.sleep(GATHER)
            except sa.exc.SQLAlchemyError as error:
                observe.log.warning(Event.NOTICES_LOST, error=type(error).__name__)
                time.sleep(0 if self._stopping else AGAIN_AFTER)


class Listener:
    """Calls `heard` whenever another process has committed work; does nothing on SQLite."""

    def __init__(self, database: Database, heard: Callable[[], None]) -> None:
        self._database = database
        self._heard = heard
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Listen from now on."""
        if self._database.dialect != "postgresql" or self._thread is not None:
            return
        self._thread = threading.Thread(target=self._run, name="listener", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Listen no longer. Repeatable."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout=2)
            self._thread = None

    def _run(self) -> None:
        import psycopg

        while not self._stopping.is_set():
            try:
                with alone(self._database) as connection:
                    driver: Any = connection.connection.driver_connection
                    driver.execute(f"LISTEN {CHANNEL}")
                    self._heard()  # what was committed before we listened
                    while not self._stopping.is_set():
                        for _notice in driver.notifies(timeout=0.5, stop_after=1):
                            self._heard()
            except (sa.exc.SQLAlchemyError, psycopg.Error) as error:
                observe.log.warning(Event.NOTICES_LOST, error=type(error).__name__)
                self._stopping.wait(AGAIN_AFTER)


def alone(database: Database) -> sa.Connection:
    """A connection outside the pool, each statement its own transaction; closed by the caller."""
    engine = sa.create_engine(database.engine.url, poolclass=sa.pool.NullPool, isolation_level="AUTOCOMMIT")
    return engine.connect()
