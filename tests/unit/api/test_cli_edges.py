"""Odd corners of the command line: odd names, odd files, a database that isn't there. Called in this process."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import structlog
import typer

from api.cli import app, main
from ledger import clock, outbox, reviews
from ledger.db import Database, open_database
from ledger.messages import PullCalendar, RemoteCancellation
from ledger.tables import Calendar, Connection, Operator

SERVICE = 'title = "Talk"\n[hours]\nmon = ["09:00-12:00"]\n'


@dataclass
class Done:
    code: int
    out: str
    err: str


Run = Callable[..., Done]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """A verb as `slotledger` would run it, in a folder of its own."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SLOTLEDGER_DATABASE_URL", f"sqlite:///{tmp_path}/ledger.db")

    def call(*arguments: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["slotledger", *arguments])
        code = 0
        try:
            main()
        except SystemExit as ended:
            code = int(ended.code or 0)
        told = capsys.readouterr()
        return Done(code, told.out, told.err)

    yield call
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture
def ledger(run: Run, tmp_path: Path) -> Iterator[Database]:
    """Migrated, with Anna."""
    assert run("migrate").code == 0
    assert (
        run("operator", "add", "anna", "--name", "Anna", "--email", "a@practice.example", "--timezone", "UTC").code == 0
    )
    database = open_database(f"sqlite:///{tmp_path}/ledger.db")
    yield database
    database.dispose()


def one_line(done: Done) -> str:
    assert done.code == 1, done
    (line,) = done.err.strip().splitlines()
    return line


def verbs(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from verbs(command, (*path, name))
        else:
            yield (*path, name), command


def test_every_verb_has_help_with_an_example() -> None:
    found = list(verbs(typer.main.get_command(app)))
    assert len(found) >= 20
    for path, command in found:
        assert f"slotledger {' '.join(path)}" in (command.help or ""), path


def test_a_table_lists_words_and_the_json_beside_it_stays_json(run: Run, ledger: Database) -> None:
    assert run("pause", "operator:anna", "--automation", "promote", "--automation", "cancel").code == 0
    shown = run("pauses")
    assert (shown.code, "promote, cancel" in shown.out, "[" in shown.out) == (0, True, False), shown.out
    assert json.loads(run("pauses", "--json").out)[0]["automations"] == ["promote", "cancel"]
    with ledger.transaction() as tx:
        detail = {"why": "overlap", "slots": [3, 4], "to": None}
        reviews.ask(tx, "move", "move:1", now=clock.now(), operator_id=1, detail=detail)
    shown = run("reviews", "list")
    assert (shown.code, "follow, restore" in shown.out, "{" in shown.out) == (0, True, False), shown.out
    assert json.loads(run("reviews", "list", "--json").out)[0]["detail"] == detail


def test_what_is_dropped_must_be_held_and_is_told(run: Run, ledger: Database) -> None:
    assert run("pause", "global").code == 0
    with ledger.transaction() as tx:
        for slot in (1, 2):
            outbox.append(tx, RemoteCancellation(slot, slot), now=clock.now(), scope=outbox.Scope(1, 1, slot))
    waiting = [str(row["id"]) for row in json.loads(run("resume", "1", "--preview", "--json").out)]
    assert len(waiting) == 2
    refused = one_line(run("resume", "1", "--discard", waiting[0], "--discard", "99"))
    assert "discard" in refused
    assert "99" in refused
    assert [row["id"] for row in json.loads(run("pauses", "--json").out)] == [1]
    done = run("resume", "1", "--discard", waiting[0])
    assert (done.code, done.out.strip()) == (0, f"Pause 1 is over; dropped: {waiting[0]}."), done
    assert run("resume", "1", "--discard", waiting[0]).out.strip() == "Pause 1 is over."


def test_names_may_hold_anything(run: Run, ledger: Database) -> None:
    now = clock.now()
    with ledger.transaction() as tx:
        owner = tx.execute(sa.select(Operator.id)).scalar_one()
        made = sa.insert(Connection).values(operator_id=owner, provider="memory", state_since=now, created_at=now)
        account = tx.execute(made.returning(Connection.id)).scalar_one()
        named = {"name": "Work [/bold] [red]", "last_error": "[/] refused [link=x]"}
        tx.execute(
            sa.insert(Calendar).values(operator_id=owner, connection_id=account, href="/[x]/", busy=True, **named)
        )
        outbox.append(tx, PullCalendar(1), now=now)
        outbox.park(tx, 1, why="[/red] nothing [bold]", now=now)
    shown = run("calendar", "list")
    assert (shown.code, "[/bold]" in shown.out) == (0, True), shown
    shown = run("outbox", "list")
    assert (shown.code, "[/red]" in shown.out) == (0, True), shown
    failed = run("pull", "--all")
    assert failed.code == 1, failed
    assert "Traceback" not in failed.err


def test_a_service_file_that_is_none(run: Run, ledger: Database, tmp_path: Path) -> None:
    file = tmp_path / "service.toml"
    for content, word in (
        (b"\xff\xfe", "UTF-8"),
        (b"title = ", "not_toml"),
        (b"", "title"),
        (b'title = "x"\ncapacity = 0\n', "capacity"),
    ):
        file.write_bytes(content)
        done = run("service", "add", "anna/talk", "--file", str(file))
        assert done.code in (1, 2)
        assert word in done.err or word == "not_toml", done
        assert "Traceback" not in done.err
    file.write_text(SERVICE)
    assert run("service", "add", "anna/talk", "--file", str(file)).out.strip() == "http://127.0.0.1:8000/anna/talk"
    assert "already" in one_line(run("service", "add", "anna/talk", "--file", str(file)))
    assert run("service", "add", "anna/talk", "--file", str(file), "--replace").code == 0
    assert "no operator" in one_line(run("service", "add", "ben/talk", "--file", str(file)))
    assert run("service", "add", "anna/talk", "--file", str(tmp_path / "none.toml")).code == 2


def test_before_the_first_migration(run: Run) -> None:
    assert "database" in one_line(run("calendar", "list"))


def test_a_database_that_is_not_there(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLOTLEDGER_DATABASE_URL", "postgresql://u:hush-hush@127.0.0.1:9/none")
    monkeypatch.setenv("SLOTLEDGER_SECRET_KEY", "a key that is only for tests")
    line = one_line(run("outbox", "list"))
    assert "hush-hush" not in line


def test_a_folder_that_can_not_be_made(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("SLOTLEDGER_DATABASE_URL", f"sqlite:///{tmp_path}/file/ledger.db")
    monkeypatch.setenv("SLOTLEDGER_SECRET_KEY", "a key that is only for tests")
    assert "file" in one_line(run("migrate"))


def test_what_is_parked_can_be_tried_again_once(run: Run, ledger: Database) -> None:
    with ledger.transaction() as tx:
        outbox.append(tx, PullCalendar(7), now=clock.now())
    assert run("outbox", "park", "1").code == 0
    assert "parked" in one_line(run("outbox", "park", "1"))
    assert run("outbox", "retry", "1").code == 0
    assert run("outbox", "list", "--state", "waiting").code == 0
