"""Who leads, where several processes could: a lock that ends with the process which holds it."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Protocol

import sqlalchemy as sa

from ledger.db import Database
from workers.notices import alone

_KEY = 0x510_7_1EAD  # advisory lock of the ticker
_MAIL_KEY = 0x510_7_3A11  # of whoever reads the mailbox


class Leadership(Protocol):
    """A claim to lead."""

    def leads(self) -> bool:
        """Do we lead? Asks for it where nobody does. Cheap enough for every second."""
        ...

    def resign(self) -> None:
        """Let others lead. Repeatable."""
        ...


class FileLock:
    """A lock on a file beside an SQLite database, held until it is released or the process ends, however it ends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._handle: int | None = None

    def take(self, *, shared: bool = False) -> bool:
        """Take it without waiting; False where others hold it. shared: together with others who share it."""
        if self._handle is not None:
            return True
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return False
        self._handle = handle
        return True

    def leads(self) -> bool:
        """Whoever has the lock leads."""
        return self.take()

    def resign(self) -> None:
        """Release it. Repeatable."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


class AdvisoryLock:
    """A session lock of PostgreSQL on a connection of its own; it is lost with the connection."""

    def __init__(self, database: Database, key: int = _KEY) -> None:
        self._database = database
        self._key = key
        self._connection: sa.Connection | None = None

    def leads(self) -> bool:
        """Still connected and still the holder, or the new holder."""
        try:
            if self._connection is not None:
                self._connection.exec_driver_sql("SELECT 1")
                return True
            connection = alone(self._database)
            if connection.exec_driver_sql(f"SELECT pg_try_advisory_lock({self._key})").scalar():
                self._connection = connection
                return True
            connection.close()
        except sa.exc.SQLAlchemyError:
            self.resign()
        return False

    def resign(self) -> None:
        """Close the connection, and the lock with it. Repeatable."""
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.close()
            except sa.exc.SQLAlchemyError:
                connection.invalidate()


def ticker_lock(database: Database) -> Leadership:
    """The leadership of the ticker in this deployment."""
    if database.dialect == "postgresql":
        return AdvisoryLock(database)
    return FileLock(lock_file(database, "ticker"))


def mailbox_lock(database: Database) -> Leadership:
    """The leadership of whoever reads this deployment's mailbox."""
    if database.dialect == "postgresql":
        return AdvisoryLock(database, _MAIL_KEY)
    return FileLock(lock_file(database, "mailbox"))


def lock_file(database: Database, what: str) -> Path:
    """``ledger.db.WHAT.lock`` beside an SQLite database."""
    path = Path(str(database.engine.url.database)).resolve()
    return path.with_name(f"{path.name}.{what}.lock")
