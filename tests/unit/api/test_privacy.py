"""A client's data by API and command line: shown to who may see it, erased by who may do it.

Covers: api.forgetting, api.cli.privacy, api.admin.privacy.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ledger.db import Database, open_database
from tests.support.desk import Desk
from tests.support.doors import open_doors
from tests.support.dump import holding
from tests.unit.api.test_cli import run

KATA = "kata@example.org"


def test_the_api_exports_and_erases(sqlite: Database) -> None:
    doors = open_doors(sqlite)
    doors.desk.book(doors.desk.at(9))
    shown = doors.admin("POST", "/clients/export", json={"email": "KATA@example.org"}).json()
    assert [b["start"] for b in shown["bookings"]] == ["2027-01-11T09:00:00Z"]
    refused = doors.admin("POST", "/clients/erase", json={"email": KATA})
    assert (refused.status_code, refused.json()["code"]) == (409, "still_expected")
    done = doors.admin("POST", "/clients/erase", json={"email": KATA, "cancel": True}).json()
    assert (done["bookings"], done["places"]) == (1, 0)
    assert done["waits_for"] > 0
    assert doors.desk.view(shown["bookings"][0]["id"])["status"] == "cancelled"


@pytest.mark.parametrize("scope", ["read", "operator:anna"])
def test_only_admins_may(sqlite: Database, scope: str) -> None:
    doors = open_doors(sqlite)
    for path in ("/clients/export", "/clients/erase"):
        assert doors.admin("POST", path, scope=scope, json={"email": KATA}).status_code == 403


def test_a_body_without_an_address_is_refused(sqlite: Database) -> None:
    assert open_doors(sqlite).admin("POST", "/clients/erase", json={"cancel": True}).status_code == 422


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A deployment where Kata was yesterday, and Imre comes tomorrow."""
    made = tmp_path_factory.mktemp("deployment")
    assert run(made, "migrate").returncode == 0
    database = open_database(f"sqlite:///{made}/ledger.db")
    desk = Desk(database).open(talk={})
    for who in ("kata", "imre"):
        desk.book(desk.at(9 if who == "kata" else 10, day=0 if who == "kata" else 1), who=who)
    desk.now = desk.at(12)
    desk.work()
    with database.transaction() as tx:
        tx.exec_driver_sql("UPDATE outbox_message SET state = 'done' WHERE kind = 'SendMail'")
    database.dispose()
    return made


def test_the_export_is_a_document(folder: Path) -> None:
    printed = run(folder, "export-client", KATA.upper())
    assert json.loads(printed.stdout)["bookings"][0]["email"] == KATA
    assert run(folder, "export-client", KATA, "--output", "kata.json").returncode == 0
    file = folder / "kata.json"
    assert file.stat().st_mode & 0o777 == 0o600
    assert json.loads(file.read_text())["format"] == "slotledger-client/1"
    again = run(folder, "export-client", KATA, "--output", "kata.json")
    assert (again.returncode, "exists" in again.stderr) == (1, True)


def test_a_stranger_has_no_export(folder: Path) -> None:
    done = run(folder, "export-client", "nobody@example.org")
    assert (done.returncode, done.stdout, "nothing is kept" in done.stderr) == (1, "", True)


def test_erasing_asks_first(folder: Path) -> None:
    done = run(folder, "erase-client", KATA)
    assert (done.returncode, "--yes" in done.stderr) == (2, True)


def test_who_is_expected_is_refused(folder: Path) -> None:
    done = run(folder, "erase-client", "imre@example.org", "--yes")
    assert (done.returncode, "to come" in done.stderr) == (1, True)


def test_erasing_takes_the_mail_folder_along(folder: Path) -> None:
    mails = folder / "var" / "mail"
    mails.mkdir(parents=True)
    (mails / f"{'a' * 64}.eml").write_text(f"To: {KATA}\n\nHello")
    (mails / f"{'b' * 64}.eml").write_text("To: imre@example.org\n\nHello")
    done = run(folder, "erase-client", KATA, "--yes", "--json")
    assert (done.returncode, json.loads(done.stdout)) == (0, {"bookings": 1, "places": 0, "waits_for": 0})
    assert [path.name[0] for path in mails.iterdir()] == ["b"]
    database = open_database(f"sqlite:///{folder}/ledger.db")
    try:
        assert holding(database, "kata") == []
        assert holding(database, "imre")
    finally:
        database.dispose()
    again = run(folder, "erase-client", KATA, "--yes", "--json")
    assert json.loads(again.stdout) == {"bookings": 0, "places": 0, "waits_for": 0}
