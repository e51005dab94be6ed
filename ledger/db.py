"""The database: opened in one place, committed in one place, and the only place that knows two dialects.

Law of locking (docs/locking.md): whoever changes an operator's time first bumps that operator's
``ledger_version``; the row is the lock. On SQLite a write transaction is BEGIN IMMEDIATE.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection as Tx
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.types import TypeDecorator

__all__ = [
    "Base",
    "Database",
    "Json",
    "Tx",
    "UtcDateTime",
    "after_given_ids",
    "insert_ignoring",
    "one_at_a_time",
    "open_database",
    "skip_locked",
]


class UtcDateTime(TypeDecorator[datetime]):
    """An aware instant. timestamptz on PostgreSQL; on SQLite fixed-width UTC text, so that text order is time order."""

    impl = sa.DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        """Timestamptz where the database has it."""
        if dialect.name == "postgresql":
            return dialect.type_descriptor(postgresql.TIMESTAMP(timezone=True))
        return dialect.type_descriptor(sqlite.DATETIME())  # type: ignore[no-untyped-call]

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """Refuses naive values: a time without a zone is no instant."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive datetime is no instant")
        value = value.astimezone(UTC)
        return value if dialect.name == "postgresql" else value.replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:  # noqa: ARG002
        """Aware, UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


RESTED = 0.25
"""Seconds after which an idle connection may have died."""
Json = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


class Base(DeclarativeBase):
    """Tables of every package hang here; queries are Core statements on a transaction, not ORM sessions."""

    metadata = sa.MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {datetime: UtcDateTime(), dict[str, Any]: Json, list[Any]: Json}  # noqa: RUF012


class Database:
    """An open database. Threads share it; each transaction is of one thread."""

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine
        self.dialect = engine.dialect.name
        # SQLite has one writer at a time: a fair queue of threads beats its polling busy handler.
        self._writer: AbstractContextManager[object] = threading.Lock() if self.dialect == "sqlite" else nullcontext()
        self._inside = threading.local()
        self._listeners: list[Callable[[], None]] = []

    @contextmanager
    def transaction(self) -> Iterator[Tx]:
        """All or nothing; the only commit in the product. Wakes the relay when it left work behind.

        Open it at an edge (a request, a message), never around a call to the network. Raises RuntimeError inside
        another one of the same thread: the inner one would commit what the outer one may still take back.
        """
        if getattr(self._inside, "open", False):
            raise RuntimeError("a transaction is open already in this thread")
        self._inside.open = True
        try:
            with self._writer, self.engine.connect() as tx:
                # What a transaction remembers lives on the pooled connection: forget what the last one left.
                for remembered in ("locked_operators", "still_operators", "locked_rows", "wake"):
                    tx.info.pop(remembered, None)
                with tx.begin():
                    yield tx
                wake = bool(tx.info.pop("wake", False))
        finally:
            self._inside.open = False
        if wake:
            self.wake()

    @contextmanager
    def reading(self) -> Iterator[Tx]:
        """A consistent view; whatever it writes is rolled back."""
        with self.engine.connect().execution_options(readonly=True) as tx, tx.begin() as work:
            yield tx
            work.rollback()

    def on_commit(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call `listener` after each commit that left outbox rows; returns how to stop that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def wake(self) -> None:
        """Tell this process's listeners that there is work."""
        for listener in list(self._listeners):
            listener()

    def dispose(self) -> None:
        """Close every pooled connection."""
        self.engine.dispose()


def open_database(url: str, *, pool_size: int = 10) -> Database:
    """``sqlite:///path`` or ``postgresql://…``. Creates the folder of an SQLite file, not the tables (migrations do)."""
    if url.startswith("sqlite"):
        return Database(_open_sqlite(url, pool_size))
    plain = url.replace("postgresql+psycopg://", "postgresql://", 1)
    engine = sa.create_engine(
        plain.replace("postgresql://", "postgresql+psycopg://", 1),
        pool_size=pool_size,
        max_overflow=pool_size,
        hide_parameters=True,  # what an error says must not name people
        connect_args={"options": "-c timezone=UTC -c lock_timeout=20000"},
    )
    _ping_the_idle(engine)

    @sa.event.listens_for(engine, "begin")
    def _begin(tx: Tx) -> None:
        if tx.get_execution_options().get("readonly"):
            tx.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")

    return Database(engine)


def _ping_the_idle(engine: sa.Engine) -> None:
    """Ask a connection whether it is alive before it is used again, but only after a rest: a busy one just was.

    SQLAlchemy's own ping at every checkout is a round trip more for each transaction.
    """

    @sa.event.listens_for(engine, "checkin")
    def _rests(_dbapi: Any, record: Any) -> None:
        record.info["rests_since"] = time.monotonic()

    @sa.event.listens_for(engine, "checkout")
    def _wakes(dbapi: Any, record: Any, _fairy: Any) -> None:
        if time.monotonic() - record.info.get("rests_since", math.inf) < RESTED:
            return
        try:
            engine.dialect.do_ping(dbapi)
        except engine.dialect.loaded_dbapi.Error as error:
            raise sa.exc.DisconnectionError from error  # the pool opens another one


_PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=30000", "secure_delete=ON")


def _open_sqlite(url: str, pool_size: int) -> sa.Engine:
    path = url.removeprefix("sqlite:///")
    if path in {"", ":memory:", url}:
        raise ValueError("the ledger needs a file: sqlite:///path")
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with suppress(OSError):  # SQLite says it better
        # People's names are in it. What SQLite puts beside it is open to nobody else then either.
        Path(path).touch(mode=0o600)
    engine = sa.create_engine(
        url,
        pool_size=pool_size,
        max_overflow=-1,
        hide_parameters=True,
        connect_args={"timeout": 30, "check_same_thread": False},
    )

    @sa.event.listens_for(engine, "connect")
    def _connect(dbapi: Any, _record: Any) -> None:
        dbapi.isolation_level = None  # we say BEGIN ourselves
        cursor = dbapi.cursor()
        # FULL: what was answered with success survives a power cut, not only a crash (P2).
        # secure_delete: who was erased isn't in the file's free pages either; not every build of SQLite does so by itself.
        for pragma in _PRAGMAS:
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()
        # Its own knows ASCII only: Ágnes@… would not be found by her address. No index is built on it.
        dbapi.create_function("lower", 1, lambda text: None if text is None else str(text).lower(), deterministic=True)

    @sa.event.listens_for(engine, "begin")
    def _begin(tx: Tx) -> None:
        tx.exec_driver_sql("BEGIN" if tx.get_execution_options().get("readonly") else "BEGIN IMMEDIATE")

    return engine


def insert_ignoring(
    tx: Tx, table: type[Base], values: Mapping[str, Any], *, unique: Sequence[str], where: sa.TextClause | None = None
) -> bool:
    """Insert unless a row with the same unique columns exists (``where`` names a partial index). Did it insert?"""
    predicate = None if where is None else where.text
    statement = _ignoring(tx.dialect.name, table, tuple(values), tuple(unique), predicate)
    return tx.execute(statement, dict(values)).first() is not None


@lru_cache(maxsize=256)
def _ignoring(
    dialect: str, table: type[Base], columns: tuple[str, ...], unique: tuple[str, ...], where: str | None
) -> sa.Executable:
    # Built once: putting such a statement together costs more than running it.
    own: Any = postgresql if dialect == "postgresql" else sqlite
    return (  # type: ignore[no-any-return]
        own.insert(table.__table__)
        .values({column: sa.bindparam(column) for column in columns})
        .on_conflict_do_nothing(index_elements=list(unique), index_where=sa.text(where) if where else None)
        .returning(sa.literal(1))  # a row count can't be trusted here: not every driver tells it for INSERT
    )


def one_at_a_time(tx: Tx, what: str) -> None:
    """Wait until nobody else is at this, by the same word, and keep it until the end of the transaction. Before anything
    else is locked, so that nobody waits in a circle. SQLite has one writer anyway."""
    if tx.dialect.name == "postgresql":
        tx.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtextextended(what, 0))))


def after_given_ids(tx: Tx, table: str) -> None:
    """Rows were stored with ids of their own: the next id comes after the highest. SQLite sees to that by itself."""
    if tx.dialect.name != "postgresql":
        return
    sequence = tx.execute(sa.select(sa.func.pg_get_serial_sequence(f'"{table}"', "id"))).scalar()
    if sequence is not None:
        highest = tx.execute(sa.select(sa.func.max(sa.column("id"))).select_from(sa.table(table))).scalar()
        tx.execute(sa.select(sa.func.setval(sequence, highest or 1, highest is not None)))


def skip_locked(statement: sa.Select[Any]) -> sa.Select[Any]:
    """FOR UPDATE SKIP LOCKED. Without effect on SQLite, where BEGIN IMMEDIATE has already let us in alone."""
    return statement.with_for_update(skip_locked=True)
