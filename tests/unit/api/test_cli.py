"""The command line as its users call it: exit codes, one line for a failure, JSON where it is asked for.

Covers: api.cli.common, api.cli.calendars, api.cli.books, api.cli.processes, api.cli.judgement.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.databases import postgres_url

SLOTLEDGER = str(Path(sys.executable).parent / "slotledger")


def run(folder: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("SLOTLEDGER_")}
    environment = {**kept, "SLOTLEDGER_DATABASE_URL": f"sqlite:///{folder}/ledger.db", **settings}
    return subprocess.run(
        [SLOTLEDGER, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated deployment with Anna in it."""
    made = tmp_path_factory.mktemp("deployment")
    assert run(made, "migrate").returncode == 0
    about = ("--name", "Anna", "--email", "anna@practice.example", "--timezone", "UTC")
    assert run(made, "operator", "add", "anna", *about).returncode == 0
    return made


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_database_without_tables_says_what_brings_them(tmp_path: Path, kind: str) -> None:
    with ExitStack() as stack:
        url = f"sqlite:///{tmp_path}/new.db" if kind == "sqlite" else stack.enter_context(postgres_url())
        done = run(tmp_path, "calendar", "list", SLOTLEDGER_DATABASE_URL=url, SLOTLEDGER_SECRET_KEY="k" * 20)
    assert (done.returncode, "slotledger migrate" in done.stderr) == (1, True), done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("fly",), 2, "No such command"),
        (("calendar", "set", "1", "--role", "nonsense"), 2, "no role"),
        (("pull",), 2, "--all"),
        (("outbox", "list", "--state", "lost"), 2, "'parked'"),
        (("service", "add", "anna", "--file", "pyproject.toml"), 2, ""),
        (("operator", "add", "anna", "--name", "A", "--email", "a@b.example", "--timezone", "UTC"), 1, "already"),
        (("operator", "add", "ben", "--name", "B", "--email", "x", "--timezone", "Mars"), 1, "email"),
        (("pull", "--calendar", "9"), 1, "no such calendar"),
        (("connect", "ics", "nobody", "--url", "https://example.org/x.ics"), 1, "no operator"),
        (("connect", "ics", "anna", "--url", "http://127.0.0.1:9/x.ics"), 1, "ALLOW_PRIVATE_NETWORKS=true"),
        (("outbox", "retry", "99"), 1, "tried again"),
        (("resume", "99"), 1, "no such pause"),
        (("reviews", "approve", "99"), 1, "no such thing"),
    ],
)
def test_failures_say_why(folder: Path, arguments: tuple[str, ...], code: int, words: str) -> None:
    done = run(folder, *arguments)
    assert (done.returncode, words in done.stderr) == (code, True), done.stderr
    if code == 1:
        assert len(done.stderr.strip().splitlines()) == 1
    assert "Traceback" not in done.stderr


def test_bad_settings_stop_it_with_one_line(folder: Path) -> None:
    for name, value in (
        ("SLOTLEDGER_POLL_SECONDS", "often"),
        ("SLOTLEDGER_PORTT", "1"),
        ("SLOTLEDGER_MAIL_URL", "pigeon:"),
    ):
        done = run(folder, "serve", **{name: value})
        assert (done.returncode, len(done.stderr.strip().splitlines())) == (2, 1), done.stderr
        assert name in done.stderr


def test_listings_in_json(folder: Path) -> None:
    for arguments in (("settings",), ("calendar", "list"), ("outbox", "list"), ("reviews", "list"), ("pauses",)):
        done = run(folder, *arguments, "--json")
        assert done.returncode == 0
        assert isinstance(json.loads(done.stdout), list)


def test_a_pause_from_beginning_to_end(folder: Path) -> None:
    assert run(folder, "pause", "operator:anna", "--automation", "cancel", "--reason", "look").returncode == 0
    (pause,) = json.loads(run(folder, "pauses", "--json").stdout)
    assert (pause["scope"], pause["automations"]) == ("operator:anna", ["cancel"])
    assert json.loads(run(folder, "resume", str(pause["id"]), "--preview", "--json").stdout) == []
    assert run(folder, "resume", str(pause["id"])).returncode == 0
    assert json.loads(run(folder, "pauses", "--json").stdout) == []


def test_a_key_from_beginning_to_end(folder: Path) -> None:
    made = run(folder, "token", "create", "--scope", "operator:anna", "--name", "x", "--expires", "2199-01-01")
    assert made.stdout.startswith("sl_")
    assert run(folder, "token", "create", "--scope", "read", "--name", "y", "--expires", "2020-01-01").returncode != 0
    key = json.loads(run(folder, "token", "list", "--json").stdout)[-1]
    assert (key["name"], key["scope"], key["expires_at"]) == ("x", "operator:anna", "2199-01-01T00:00:00Z")
    assert made.stdout.strip() not in str(key)
    assert run(folder, "token", "revoke", str(key["id"])).returncode == 0
    assert json.loads(run(folder, "token", "list", "--json").stdout)[-1]["revoked_at"]
    assert run(folder, "token", "revoke", "999").returncode == 1
