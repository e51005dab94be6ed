"""Children that end themselves by SIGKILL at a named boundary: before or after a commit, a call to a provider, a mail.

The product knows nothing of it: a child opens its world as the product does and wraps members of it. What a boundary is
called follows from who called: ``commit after | mail._prepared SendMail``. The n-th passing of one boundary is a `Point`.
"""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from connectors.protocol import Connector
from ledger import clock, observe, outbox
from ledger.db import Database, Tx
from ledger.settings import Settings
from sync.accounts import Accounts
from workers.opening import open_world
from workers.world import World

CALLS = ("create", "update", "delete", "changes", "fetch", "find")
_TRANSPARENT = ("sqlalchemy", "contextlib", "ledger.db", "tests.support.kill", "threading")
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    ["tests.support.chaos_loop", "workers.embedded", "workers.processes", "connectors.caldav.connector"]
)


@dataclasses.dataclass(frozen=True, slots=True)
class Point:
    """The n-th passing of a boundary, from 1."""

    boundary: str
    n: int = 1

    def __str__(self) -> str:
        return f"{self.boundary} #{self.n}"


@dataclasses.dataclass(frozen=True, slots=True)
class Orders:
    """What a child is told. kill: it ends at the first of these that it comes to. trace: file of the boundaries it passed."""

    settings: Settings
    trace: Path
    log: Path
    kill: frozenset[Point] = frozenset()


class Boundaries:
    """Notes each boundary that is passed, and kills the process at the one that was ordered."""

    def __init__(self, orders: Orders) -> None:
        self._kill = orders.kill
        self._passed: dict[str, int] = {}
        self._lock = threading.Lock()
        self._trace = os.open(orders.trace, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def at(self, boundary: str) -> None:
        """This thread passes it now."""
        with self._lock:  # nobody else passes anything while the process dies
            n = self._passed[boundary] = self._passed.get(boundary, 0) + 1
            os.write(self._trace, f"{boundary}\n".encode())
            if Point(boundary, n) in self._kill:
                os.kill(os.getpid(), signal.SIGKILL)
                time.sleep(60)

    def commits(self, database: Database) -> None:
        """Before and after each commit of this database."""
        real = database.transaction

        @contextmanager
        def transaction() -> Iterator[Tx]:
            with real() as tx:
                yield tx
            self.at(f"commit after | {_caller()}")

        @sa.event.listens_for(database.engine, "commit")
        def _before(_tx: Tx) -> None:
            self.at(f"commit before | {_caller()}")

        database.transaction = transaction  # type: ignore[method-assign]

    def around(self, what: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """The same call between two boundaries."""

        def between(*args: Any, **kwargs: Any) -> Any:
            self.at(f"{what} before")
            answer = call(*args, **kwargs)
            self.at(f"{what} after")
            return answer

        return between


class _Wrapped:
    """Something whose named calls are boundaries."""

    def __init__(self, real: Any, names: Sequence[str], what: str, boundaries: Boundaries) -> None:
        self._real = real
        for name in names:
            setattr(self, name, boundaries.around(f"{what}.{name}", getattr(real, name)))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def __enter__(self) -> _Wrapped:
        self._real.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        self._real.__exit__(*exc)


class _WatchedAccounts(Accounts):
    boundaries: Boundaries

    def open(self, connection_id: int) -> Connector:
        return _Wrapped(super().open(connection_id), CALLS, "calendar", self.boundaries)  # type: ignore[return-value]


def watched_world(orders: Orders) -> tuple[World, Boundaries]:
    """The product's own world, with boundaries around commits, calendars and mail."""
    boundaries = Boundaries(orders)
    world = open_world(orders.settings)
    boundaries.commits(world.database)
    accounts = _WatchedAccounts(world.database, world.vault, world.accounts.endpoints)
    accounts.boundaries = boundaries
    outgoing: Any = _Wrapped(world.outgoing, ["send"], "mail", boundaries)
    return dataclasses.replace(world, accounts=accounts, outgoing=outgoing), boundaries


def _caller() -> str:
    """``module.function Kind`` of who opened the transaction."""
    frame = sys._getframe(1)
    while frame.f_back is not None:
        name = str(frame.f_globals.get("__name__", ""))
        if not name.startswith(_TRANSPARENT):
            break
        frame = frame.f_back
    leased = frame.f_locals.get("leased")
    kind = type(leased.message).__name__ if isinstance(leased, outbox.Leased) else ""
    return f"{frame.f_globals.get('__name__', '').rpartition('.')[2]}.{frame.f_code.co_name} {kind}".strip()


# --- the parent -------------------------------------------------------------------------------------------------


class Child:
    """A child process that was started. main: ``main(orders, *arguments)``, importable."""

    def __init__(self, main: Callable[..., None], orders: Orders, *arguments: Any) -> None:
        self.orders = orders
        self._process = _CONTEXT.Process(target=_run, args=(main, orders, arguments), daemon=True)
        self._process.start()

    def wait(self, seconds: float = 90) -> int:
        """Its exit code; ``-9`` if it was killed. Raises AssertionError, with its log, if it takes longer."""
        self._process.join(seconds)
        code = self._process.exitcode
        if code is None:
            self.kill()
            raise AssertionError(f"the child did not end in {seconds} s\n{self.log()}")
        return code

    @property
    def running(self) -> bool:
        """Is it alive?"""
        return self._process.is_alive()

    def kill(self) -> None:
        """SIGKILL from outside; idempotent."""
        self._process.kill()
        self._process.join()

    def end(self) -> None:
        """SIGTERM, and wait."""
        self._process.terminate()
        self._process.join(10)
        self.kill()

    def log(self) -> str:
        """What it logged."""
        return self.orders.log.read_text()[-6000:] if self.orders.log.exists() else ""


def _run(main: Callable[..., None], orders: Orders, arguments: Sequence[Any]) -> None:
    # A line of the log that isn't written yet when the process dies is of no use: unbuffered by lines.
    with orders.log.open("a", buffering=1) as log:
        observe.configure("json", log)
        main(orders, *arguments)
        log.flush()
    os._exit(0)  # threads that hang on are not waited for


def passed(trace: Path) -> dict[str, int]:
    """How often each boundary was passed."""
    counts: dict[str, int] = {}
    for line in trace.read_text().splitlines():
        counts[line] = counts.get(line, 0) + 1
    return counts


def last_passed(trace: Path) -> Point:
    """Where a killed child ended."""
    lines = trace.read_text().splitlines()
    return Point(lines[-1], lines.count(lines[-1]))


def points(counts: Mapping[str, int], *, at_most: int = 2) -> list[Point]:
    """The first passings of each boundary, in order of their names."""
    return [Point(name, n) for name in sorted(counts) for n in range(1, min(counts[name], at_most) + 1)]


def is_quiet(database: Database, horizon: float = 120) -> bool:
    """Is nothing queued, running or due within so many seconds?"""
    now = clock.now()
    with database.reading() as tx:
        rows = outbox.listing(tx, limit=1000)
    return not any(
        row["state"] in ("queued", "running")
        or (row["state"] == "waiting" and (row["not_before"] - now).total_seconds() < horizon)
        for row in rows
    )


def wait_quiet(database: Database, seconds: float = 60) -> None:
    """Wait until everything that was asked for is done. Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while not is_quiet(database):
        if time.monotonic() > deadline:
            with database.reading() as tx:
                raise TimeoutError(str(outbox.listing(tx)))
        time.sleep(0.03)
