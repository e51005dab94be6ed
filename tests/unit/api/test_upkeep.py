"""The verbs that keep a deployment well, as whoever runs it calls them.

Covers: api.cli.upkeep.
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from ledger import clock
from ledger.db import open_database
from ledger.tables import Connection
from ledger.vault import Vault
from tests.support import books
from tests.unit.api.test_cli import run

OLD, NEW = "the old key, only for tests", "the new key, only for tests"


def test_a_new_key_takes_over(tmp_path: Path) -> None:
    assert run(tmp_path, "migrate").returncode == 0
    database = open_database(f"sqlite:///{tmp_path}/ledger.db")
    try:
        with database.transaction() as tx:
            made = books.connection(tx, books.operator(tx, clock.now()), clock.now())
            sealed = Vault(OLD).seal("secret", f"connection:{made}")
            tx.execute(sa.update(Connection).values(secret=sealed))
        too_early = run(tmp_path, "rotate-secrets", SLOTLEDGER_SECRET_KEY=NEW)
        assert (too_early.returncode, "connection.secret" in too_early.stderr) == (1, True)
        keys = {"SLOTLEDGER_SECRET_KEY": NEW, "SLOTLEDGER_SECRET_KEY_OLD": OLD}
        assert [run(tmp_path, "rotate-secrets", **keys).stdout.strip() for _ in range(2)] == [
            "1 secrets, 1 of them sealed anew.",
            "1 secrets, 0 of them sealed anew.",
        ]
        assert run(tmp_path, "rotate-secrets", SLOTLEDGER_SECRET_KEY=NEW).returncode == 0
        with database.reading() as tx:
            stored = tx.execute(sa.select(Connection.secret)).scalar_one()
        assert Vault(NEW).open(stored, f"connection:{made}") == "secret"
    finally:
        database.dispose()
