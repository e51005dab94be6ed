"""What time alone brings about: calendars that are due, and rows that are old. One process leads; a second one waits."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from ledger import observe, outbox
from ledger.db import Database, Tx
from ledger.observe import Event
from ledger.sealed import Background
from ledger.settings import Settings
from ledger.vault import Vault
from workers.leader import Leadership, ticker_lock

KEEP_DONE = timedelta(days=14)
SMALL_BATCH = 1000


@dataclass(frozen=True, slots=True)
class Chore:
    """Something to do every so often. do: one transaction's worth; returns how much it did.

    again_from: where it did that much there is more, and it is called again at once. every: seconds.
    """

    name: str
    every: float
    do: Callable[[Tx, datetime], int]
    again_from: int | None = None


def chores(settings: Settings) -> list[Chore]:
    """Everything that the ticker does. A new chore is a line here."""
    from booking import retention
    from booking.commands import forget_answers
    from booking.line import expire_wishes
    from booking.terms import Terms
    from booking.turns import roll
    from ledger import audit
    from ledger.identity import sessions
    from sync.accounts import ask_for_due_pulls
    from sync.hints import ask_for_due_channels
    from sync.replies import forget_mail
    from sync.tickets import forget_old
    from sync.window import forget_past
    from workers.opening import hooks_of

    hooks = hooks_of(settings)
    terms = Terms(settings.base_url, settings.mail_from)
    return [
        Chore("due_pulls", 1, lambda tx, now: ask_for_due_pulls(tx, now=now, poll_seconds=settings.poll_seconds)),
        Chore("due_channels", 2, lambda tx, now: ask_for_due_channels(tx, now=now, hooks=hooks)),
        Chore("forget_links", 3600, forget_old),
        Chore("forget_sessions", 3600, sessions.forget_old),
        Chore("forget_mail", 3600, forget_mail),
        Chore("forget_changes", 3600, audit.forget),
        Chore("forget_clients", 3600, lambda tx, now: retention.forget_old(tx, terms, now), again_from=retention.BATCH),
        Chore("forget_past", 3600, forget_past, again_from=SMALL_BATCH),
        Chore("roll_horizons", 30, roll),
        Chore("expire_wishes", 3600, expire_wishes, again_from=SMALL_BATCH),
        Chore("count_rows", 60, count_rows),
        *_resealing(settings),
        Chore("forget_done", 3600, forget_done, again_from=SMALL_BATCH),
        Chore(
            "forget_answers", 3600, lambda tx, now: forget_answers(tx, now, limit=SMALL_BATCH), again_from=SMALL_BATCH
        ),
    ]


def _resealing(settings: Settings) -> list[Chore]:
    """With an old key there is work for some batches after the start; later walks find nothing to do."""
    if not settings.secret_key_old:
        return []
    walk = Background(Vault(settings.secret_key, settings.secret_key_old))
    return [Chore("reseal", 3600, lambda tx, now: walk.step(tx), again_from=1)]  # noqa: ARG005


def forget_done(tx: Tx, now: datetime) -> int:
    """Messages that were done two weeks ago, a small batch at a time."""
    return outbox.forget_done(tx, before=now - KEEP_DONE, limit=SMALL_BATCH)


def count_rows(tx: Tx, now: datetime) -> int:  # noqa: ARG001
    """The outbox by state, for whoever watches the metrics of the process that leads."""
    for state, count in outbox.counts(tx).items():
        observe.outbox_rows.labels(state).set(count)
    return 0


class Ticker:
    """A thread that does the chores while this process leads."""

    def __init__(
        self,
        database: Database,
        clock: Callable[[], datetime],
        chores: Sequence[Chore],
        *,
        leadership: Leadership | None = None,
        every: float = 1,
    ) -> None:
        self._database = database
        self._clock = clock
        self._chores = chores
        self._leadership = leadership or ticker_lock(database)
        self._every = every
        self._next: dict[str, float] = {}
        self._led = False
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Tick from now on."""
        self._thread = threading.Thread(target=self.run, name="ticker", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End, and let others lead. Repeatable."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout=5)
            self._thread = None
        self._leadership.resign()

    def run(self) -> None:
        """Tick in this thread until `stop`."""
        while not self._stopping.is_set():
            try:
                self.tick()
            except Exception as error:  # no leadership without a lock; asked for again at the next tick
                observe.log.error(Event.TICK_FAILED, chore="", error=type(error).__name__)
            self._stopping.wait(self._every)

    def tick(self) -> None:
        """Do what is due, if this process leads. One chore's failure leaves the others alone."""
        leads = self._leadership.leads()
        if leads != self._led:
            self._led = leads
            observe.leading.set(leads)
            observe.log.info(Event.LEADING if leads else Event.LEADING_LOST)
        if not leads:
            return
        for chore in self._chores:
            moment = time.monotonic()
            if self._next.get(chore.name, moment) > moment:
                continue
            self._next[chore.name] = moment + chore.every
            try:
                self._do(chore)
            except Exception as error:
                observe.log.error(Event.TICK_FAILED, chore=chore.name, error=type(error).__name__)

    def _do(self, chore: Chore) -> None:
        while not self._stopping.is_set():
            with self._database.transaction() as tx:
                done = chore.do(tx, self._clock())
            if chore.again_from is None or done < chore.again_from:
                return
