"""Columns that hold what the vault sealed, and how they come under a new SECRET_KEY: a walk over all of them, in batches.

A text that the newest key opens is passed over, so the walk may begin again anywhere, any time, in several processes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.types import TypeDecorator

from ledger import catalog
from ledger.db import Tx
from ledger.vault import Vault, VaultError

BATCH = 200


class Sealed(TypeDecorator[str]):
    """Text that was sealed by the vault, or ``""``. Whoever seals into a column gives it this type: rotation finds it so."""

    impl = sa.Text
    cache_ok = True


def columns() -> list[sa.Column[Any]]:
    """Every sealed column of every table."""
    return [c for table in catalog.tables() for c in table.c if isinstance(c.type, Sealed)]


def count(tx: Tx) -> int:
    """How many sealed texts there are."""
    return sum(tx.execute(sa.select(sa.func.count()).where(c != "")).scalar_one() for c in columns())


@dataclass(slots=True)
class Rotation:
    """One walk. looked: texts so far; resealed: of these under the new key now; broken: ``table.column`` of each text that
    neither key opens, and which is left as it is. Begin another one to walk again."""

    vault: Vault
    looked: int = 0
    resealed: int = 0
    broken: tuple[str, ...] = ()
    _column: int = 0
    _after: Any = None

    def step(self, tx: Tx, *, limit: int = BATCH) -> int:
        """Look at the next texts; returns how many, 0 at the end. Safe beside others who store new secrets."""
        known = columns()
        while self._column < len(known):
            column = known[self._column]
            rows = self._next(tx, column, limit)
            for key, sealed in rows:
                self._reseal(tx, column, key, sealed)
            if rows:
                self._after = rows[-1][0]
                self.looked += len(rows)
                return len(rows)
            self._column, self._after = self._column + 1, None
        return 0

    def all_broken(self, tx: Tx) -> int:
        """Look at everything that is left; how many texts no key opens."""
        while self.step(tx):
            pass
        return len(self.broken)

    def _next(self, tx: Tx, column: sa.Column[Any], limit: int) -> list[tuple[Any, str]]:
        key = _key(column)
        query = sa.select(key, column).where(column != "").order_by(key).limit(limit)
        if self._after is not None:
            query = query.where(key > self._after)
        return [(row[0], row[1]) for row in tx.execute(query)]

    def _reseal(self, tx: Tx, column: sa.Column[Any], key: Any, sealed: str) -> None:
        if self.vault.is_newest(sealed):
            return
        try:
            again = self.vault.rotate(sealed)
        except VaultError:
            self.broken += (f"{column.table.name}.{column.name}",)
            return
        # Somebody may have stored another secret meanwhile; theirs counts.
        same = sa.and_(_key(column) == key, column == sealed)
        self.resealed += tx.execute(sa.update(column.table).where(same).values({column.name: again})).rowcount


class Background:
    """The ticker's share: walk after walk, a batch at a time, as long as there is an old key."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._walk = Rotation(vault)

    def step(self, tx: Tx) -> int:
        """The next batch; returns how many texts, 0 when a walk is over."""
        looked = self._walk.step(tx)
        if not looked:
            self._walk = Rotation(self._vault)
        return looked


def _key(column: sa.Column[Any]) -> sa.Column[Any]:
    [key] = column.table.primary_key
    return key
