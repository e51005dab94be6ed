"""The verbs that keep a deployment well, as whoever runs it calls them.

Covers: api.cli.upkeep.
"""

from __future__ import annotations

import json
from pathlib import Path

import sqlalchemy as sa

from ledger import clock, outbox
from ledger.db import open_database
from ledger.messages import SendMail
from ledger.tables import Connection, OutboxMessage
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


def test_a_copy_is_made_and_put_back(tmp_path: Path) -> None:
    home, there = tmp_path / "home", tmp_path / "there"
    home.mkdir()
    there.mkdir()
    assert run(home, "migrate").returncode == 0
    about = ("--name", "Anna", "--email", "anna@practice.example", "--timezone", "UTC")
    assert run(home, "operator", "add", "anna", *about).returncode == 0
    saved = run(home, "backup", str(tmp_path / "all.zip"))
    assert (saved.returncode, "rows saved" in saved.stdout) == (0, True)
    again = run(home, "backup", str(tmp_path / "all.zip"))
    assert (again.returncode, "there already" in again.stderr) == (1, True)
    restored = run(there, "restore", str(tmp_path / "all.zip"))
    assert (restored.returncode, "rows restored" in restored.stdout) == (0, True), restored.stderr
    twice = run(there, "restore", str(tmp_path / "all.zip"))
    assert (twice.returncode, "not empty" in twice.stderr) == (1, True)
    assert "already" in run(there, "operator", "add", "anna", *about).stderr
    assert run(there, "restore", "nowhere.zip").returncode == 2


def test_restoring_without_the_key_says_so(tmp_path: Path) -> None:
    assert run(tmp_path, "migrate").returncode == 0
    database = open_database(f"sqlite:///{tmp_path}/ledger.db")
    with database.transaction() as tx:
        made = books.connection(tx, books.operator(tx, clock.now()), clock.now())
        tx.execute(sa.update(Connection).values(secret=Vault(OLD).seal("secret", f"connection:{made}")))
    database.dispose()
    assert run(tmp_path, "backup", "all.zip").returncode == 0
    (tmp_path / "ledger.db").unlink()
    for left in tmp_path.glob("ledger.db-*"):
        left.unlink()
    done = run(tmp_path, "restore", "all.zip", SLOTLEDGER_SECRET_KEY=NEW)
    assert (done.returncode, "1 secrets" in done.stderr) == (1, True)


def test_the_doctor_finds_plans_and_has_it_done(tmp_path: Path) -> None:
    assert run(tmp_path, "migrate").returncode == 0
    well = run(tmp_path, "doctor")
    assert (well.returncode, "All is well" in well.stdout) == (0, True), well.stderr
    assert json.loads(run(tmp_path, "doctor", "--json").stdout) == []
    database = open_database(f"sqlite:///{tmp_path}/ledger.db")
    try:
        with database.transaction() as tx:
            outbox.append(tx, SendMail("b1", 0, "booked", "client"), now=clock.now())
            tx.execute(sa.update(OutboxMessage).values(state="parked", last_error="refused"))
        sick = run(tmp_path, "doctor", "--json")
        [row] = json.loads(sick.stdout)
        assert (sick.returncode, row["kind"], row["about"], row["repairable"]) == (1, "unsent", "message 1", True)
        mended = run(tmp_path, "doctor", "--repair")
        assert (mended.returncode, "try it again" in mended.stdout) == (0, True), mended.stderr
        assert run(tmp_path, "doctor").returncode == 0
        with database.reading() as tx:
            assert tx.execute(sa.select(OutboxMessage.state)).scalar() == "waiting"
    finally:
        database.dispose()


def test_what_only_a_human_can_mend_keeps_the_doctor_worried(tmp_path: Path) -> None:
    assert run(tmp_path, "migrate").returncode == 0
    database = open_database(f"sqlite:///{tmp_path}/ledger.db")
    with database.transaction() as tx:
        operator = books.operator(tx, clock.now())
        books.calendar(tx, operator, books.connection(tx, operator, clock.now(), state="reconnect"), busy=True)
    database.dispose()
    done = run(tmp_path, "doctor", "--repair", "--json")
    assert done.returncode == 1
    assert {row["repairable"] for row in json.loads(done.stdout)} == {False}
