"""Places at a provider's account: how many calls may be under way there at once, counted over all processes.

A place is a row with an end. It is taken and given back in short transactions of its own, never held open over a call;
what a process that died has left runs out.
"""

from __future__ import annotations

import hashlib
import random
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from connectors.errors import Throttled
from ledger import clock
from ledger.db import Base, Database, Tx, insert_ignoring

TURN = timedelta(seconds=5)
"""A place that was held for so long goes back after the call, so that a long listing lets others in between."""
LEASE = TURN + timedelta(seconds=120)
"""How long a taken place stays taken if nobody gives it back: a turn, and the longest call."""
PATIENCE = 30.0
"""Seconds that a call waits for a place."""
_WAITS = (0.02, 0.5)


class Place(Base):
    """A place that is taken. account: a hash, so that it names nobody. number: from 1. holder: drawn for each turn."""

    __tablename__ = "place"
    __table_args__ = {"info": {"derived": True}}  # noqa: RUF012 -- as SQLAlchemy wants it

    account: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    holder: Mapped[str]
    until: Mapped[datetime]


class Places:
    """All places of this deployment. patience: seconds."""

    def __init__(
        self, database: Database, now: Callable[[], datetime] = clock.now, *, patience: float = PATIENCE
    ) -> None:
        self.database = database
        self.now = now
        self.patience = patience

    def turns(self, account: str, at_once: int) -> Turns:
        """The turns of one session at an account where `at_once` calls may be under way."""
        return Turns(self, hashlib.sha256(account.encode()).hexdigest()[:32], at_once)


class Turns:
    """One session's place: taken at its first call, kept for the next ones, given back after `TURN` or at the end.

    Of one thread, which makes its calls one after another (`connectors.protocol.Turns`).
    """

    def __init__(self, places: Places, account: str, at_once: int) -> None:
        self._places = places
        self._account = account
        self._at_once = at_once
        self._held: tuple[int, str] | None = None
        self._since = 0.0

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Around each call. Raises `Throttled` if no place gets free."""
        if self._is_long():
            self.close()
        if self._held is None:
            self._held = self._wait()
            self._since = time.monotonic()
        try:
            yield
        finally:
            if self._is_long():
                self.close()

    def close(self) -> None:
        """Give the place back. Repeatable."""
        if self._held is None:
            return
        (number, holder), self._held = self._held, None
        # What was called has been answered: a database that is away must not make that unknown. The place runs out.
        with suppress(sa.exc.SQLAlchemyError), self._places.database.transaction() as tx:
            tx.execute(sa.delete(Place).where(*self._of(number), Place.holder == holder))

    def _is_long(self) -> bool:
        return self._held is not None and time.monotonic() - self._since > TURN.total_seconds()

    def _of(self, number: int) -> tuple[sa.ColumnElement[bool], ...]:
        return Place.account == self._account, Place.number == number

    def _wait(self) -> tuple[int, str]:
        end = time.monotonic() + self._places.patience
        wait, longest = _WAITS
        while True:
            with self._places.database.reading() as tx:  # whoever only waits takes no lock
                free = self._free(tx)
            if free and (taken := self._take(free[0])):
                return taken
            if time.monotonic() >= end:
                raise Throttled("too many calls to this account at once", retry_after=5.0)
            time.sleep(random.uniform(0.5, 1.0) * wait)  # noqa: S311 -- so that they don't march in step
            wait = min(2 * wait, longest)

    def _free(self, tx: Tx) -> list[int]:
        query = sa.select(Place.number).where(Place.account == self._account, Place.until > self._places.now())
        taken = set(tx.execute(query).scalars())
        return [number for number in range(1, self._at_once + 1) if number not in taken]

    def _take(self, number: int) -> tuple[int, str] | None:
        """None if somebody was faster."""
        now, holder = self._places.now(), secrets.token_hex(8)
        with self._places.database.transaction() as tx:
            tx.execute(sa.delete(Place).where(*self._of(number), Place.until <= now))
            values = {"account": self._account, "number": number, "holder": holder, "until": now + LEASE}
            got = insert_ignoring(tx, Place, values, unique=("account", "number"))
        return (number, holder) if got else None
