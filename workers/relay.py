"""From the outbox to the broker: woken by the commit, and looking by itself every second as a safety net.

May run in several processes at once: each row is leased to one of them by a conditional statement.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from ledger import observe, outbox
from ledger.db import Database
from ledger.observe import Event
from workers.broker import Post

BATCH = 100
LOOK_EVERY = 1.0
"""Seconds after which the relay looks although nobody woke it: ended leases, other processes' commits, ended pauses."""
CROWDED = 0.02
"""Seconds to wait while a queue is full."""


class Relay:
    """A thread that hands due rows to the broker.

    lease_for: how long a row may lie in the broker before it is handed out again.
    """

    def __init__(
        self,
        database: Database,
        post: Post,
        clock: Callable[[], datetime],
        *,
        lease_for: timedelta = outbox.QUEUE_LEASE,
        batch: int = BATCH,
        look_every: float = LOOK_EVERY,
    ) -> None:
        self._database = database
        self._post = post
        self._clock = clock
        self._lease_for = lease_for
        self._batch = batch
        self._look_every = look_every
        self._woken = threading.Event()
        self._stopping = False
        self._undelivered: tuple[Sequence[tuple[int, str]], bool] = ((), False)
        self._thread: threading.Thread | None = None
        self._deaf: Callable[[], None] = lambda: None

    def start(self) -> None:
        """Relay from now on, and be woken by this process's commits."""
        self._deaf = self._database.on_commit(self.wake)
        self._thread = threading.Thread(target=self.run, name="relay", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Finish the batch in hand and end. Repeatable."""
        self._stopping = True
        self._deaf()
        self._deaf = lambda: None
        self.wake()
        if self._thread is not None:
            self._thread.join(timeout=5)
            self._thread = None

    def wake(self) -> None:
        """There may be something due now."""
        self._woken.set()

    def run(self) -> None:
        """Relay in this thread until `stop`."""
        while not self._stopping:
            self._woken.clear()
            try:
                pause = self.sweep()
            except Exception as error:  # broker or database away: rows stay leased or waiting, nothing is lost
                observe.log.warning(Event.RELAY_STUMBLED, error=type(error).__name__)
                self._woken.clear()
                pause = self._look_every
            if pause > 0 and not self._stopping:
                self._woken.wait(pause)

    def sweep(self) -> float:
        """Hand one batch over. Returns the seconds until it is worth looking again; 0: at once."""
        if self._undelivered[0]:
            self._hand_over(*self._undelivered)
        full = self._post.full()
        now = self._clock()
        with self._database.transaction() as tx:
            rows = outbox.lease(tx, now=now, limit=self._batch, lease_for=self._lease_for, but=full)
            due = outbox.next_start(tx, now=now) if len(rows) < self._batch else now
        self._hand_over(rows, len(rows) == self._batch)
        if len(rows) == self._batch:
            return 0
        pause = CROWDED if full else self._look_every
        return pause if due is None else min(pause, max((due - self._clock()).total_seconds(), 0.001))

    def _hand_over(self, rows: Sequence[tuple[int, str]], many: bool) -> None:
        # Kept until the broker has them: rows leased to a broker that is away would wait for the end of their lease.
        self._undelivered = rows, many
        if rows:
            self._post.hand_over(rows, many=many)
        self._undelivered = (), False
