"""``slotledger user``: who may sign in.

Covers: api.cli.people.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ledger.db import open_database
from ledger.identity import passwords, users

PASSWORD = "a good long password"
SLOTLEDGER = Path(sys.executable).parent / "slotledger"


def run(folder: Path, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """A verb as somebody runs it, with what they type."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("SLOTLEDGER_")}
    return subprocess.run(
        [SLOTLEDGER, *arguments], env={**kept, "SLOTLEDGER_DATABASE_URL": f"sqlite:///{folder}/ledger.db", "COLUMNS": "200"},
        cwd=folder, input=stdin, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A deployment where Anna can be booked."""
    made = tmp_path_factory.mktemp("people")
    assert run(made, "migrate").returncode == 0
    anna = ("operator", "add", "anna", "--name", "Anna", "--email", "anna@example.org", "--timezone", "UTC")
    assert run(made, *anna).returncode == 0
    return made


def stored(folder: Path, email: str) -> str:
    database = open_database(f"sqlite:///{folder}/ledger.db")
    with database.reading() as tx:
        found = users.password_of(tx, email)[1]
    database.dispose()
    return found


def everybody(folder: Path) -> list[str]:
    database = open_database(f"sqlite:///{folder}/ledger.db")
    with database.reading() as tx:
        found = [person.email for person in users.listing(tx)]
    database.dispose()
    return found


def test_a_user_from_the_first_day_to_the_last(folder: Path) -> None:
    added = run(
        folder, "user", "add", "Anna@example.org", "--role", "operator:anna", "--name", "Anna", stdin=PASSWORD + "\n"
    )
    assert added.returncode == 0, added.stderr
    assert "/login" in added.stdout
    assert PASSWORD not in added.stdout + added.stderr
    assert passwords.fits(PASSWORD, stored(folder, "anna@example.org"))
    assert run(folder, "user", "add", "root@example.org", "--role", "admin", "--without-password").returncode == 0
    rows = json.loads(run(folder, "user", "list", "--json").stdout)
    assert [(r["email"], r["role"], r["operator"], r["has_password"]) for r in rows] == [
        ("anna@example.org", "operator", "anna", True),
        ("root@example.org", "admin", "", False),
    ]
    assert "$argon2" not in json.dumps(rows)
    made_up = run(folder, "user", "reset", "root@example.org", "--made-up").stdout.strip()
    assert passwords.fits(made_up, stored(folder, "root@example.org"))
    changed = run(folder, "user", "add", "anna@example.org", "--role", "read", "--replace")
    assert changed.returncode == 0, changed.stderr
    assert json.loads(run(folder, "user", "list", "--json").stdout)[0]["role"] == "read"
    assert run(folder, "user", "remove", "anna@example.org").returncode == 0
    assert len(json.loads(run(folder, "user", "list", "--json").stdout)) == 1


@pytest.mark.parametrize(
    ("arguments", "stdin", "code", "words"),
    [
        (("add", "nonsense", "--role", "admin"), PASSWORD, 1, "email"),
        (("add", "a@b.example", "--role", "king"), PASSWORD, 1, "role"),
        (("add", "a@b.example", "--role", "operator:nobody"), PASSWORD, 1, "role"),
        (("add", "a@b.example", "--role", "admin"), "short", 1, "password"),
        (("add", "a@b.example", "--role", "admin"), "", 2, "password"),
        (("add", "a@b.example"), PASSWORD, 2, "--role"),
        (("remove", "nobody@b.example"), "", 1, "no such user"),
        (("reset", "nobody@b.example"), PASSWORD, 1, "no such user"),
    ],
)
def test_what_is_wrong_is_one_line_and_stores_nobody(
    folder: Path,
    arguments: tuple[str, ...],
    stdin: str,
    code: int,
    words: str,
) -> None:
    before = everybody(folder)
    done = run(folder, "user", *arguments, stdin=stdin)
    assert (done.returncode, words in done.stderr) == (code, True), done.stderr
    assert "Traceback" not in done.stderr
    assert everybody(folder) == before


def test_each_verb_has_an_example(folder: Path) -> None:
    for verb in ("add", "list", "remove", "reset"):
        assert f"slotledger user {verb}" in " ".join(run(folder, "user", verb, "--help").stdout.split())
