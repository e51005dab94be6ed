"""Leases of the messages this process works on, renewed while the work goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from ledger import observe, outbox
from ledger.db import Database


class LeaseKeeper:
    """Extends what is held, from a thread of its own; without it nothing is renewed.

    lease_for: of each extension. every: seconds between two, well below `lease_for`.
    """

    def __init__(
        self,
        database: Database,
        clock: Callable[[], datetime],
        *,
        every: float = 10,
        lease_for: timedelta = outbox.RUN_LEASE,
    ) -> None:
        self.lease_for = lease_for
        self._database = database
        self._clock = clock
        self._every = every
        self._held: set[str] = set()
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    @contextmanager
    def holding(self, lease: str) -> Iterator[None]:
        """Renew this lease for as long as the block runs."""
        with self._lock:
            self._held.add(lease)
        try:
            yield
        finally:
            with self._lock:
                self._held.discard(lease)

    def extend(self) -> int:
        """Renew now what is held; returns how many leases that are."""
        with self._lock:
            held = list(self._held)
        if held:
            with self._database.transaction() as tx:
                outbox.extend(tx, held, now=self._clock(), lease_for=self.lease_for)
        return len(held)

    def start(self) -> None:
        """Renew from now on. Repeatable."""
        if self._thread is None:
            self._stopping.clear()
            self._thread = threading.Thread(target=self._run, name="leases", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Renew no longer. Repeatable."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout=2)
            self._thread = None

    def _run(self) -> None:
        while not self._stopping.wait(self._every):
            try:
                self.extend()
            except Exception as error:  # the database is away; whoever takes over finds the work repeatable
                observe.log.warning(observe.Event.LEASES_NOT_EXTENDED, error=type(error).__name__)
