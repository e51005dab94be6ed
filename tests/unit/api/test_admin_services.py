"""Services by the admin API and the command line: every new key, and one clear answer to each mistake."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ledger.db import Database
from tests.support.desk import SPEC, Desk
from tests.support.doors import Doors

NEW: dict[str, Any] = {
    **SPEC, "duration_minutes": 30, "durations_minutes": [30, 50], "limit_per_day": 4, "limit_per_week": 9, "holidays": "HU",
    "team": ["anna", "ben"], "names_in_event": True, "languages": ["en", "hu"],
    "fields": [{"name": "age", "type": "number", "min": 1, "max": 9, "help": {"en": "in years"}}],
}  # fmt: skip


@pytest.fixture
def doors(sqlite: Database) -> Doors:
    return Doors(Desk(sqlite).open("anna", talk={}).open("ben"))


def test_every_new_key_is_taken_and_shown(doors: Doors) -> None:
    made = doors.admin("POST", "/operators/anna/services", json={"slug": "consult", "spec": NEW})
    assert made.status_code == 201, made.text
    assert (made.json()["durations_minutes"], made.json()["team_mode"]) == ([30, 50], "any")
    stored = doors.admin("GET", "/operators/anna/services/consult").json()["spec"]
    assert {key: stored[key] for key in NEW if key not in ("fields", "hours")} == {
        key: value for key, value in NEW.items() if key not in ("fields", "hours")
    }
    again = doors.admin("PUT", "/operators/anna/services/consult", json={"spec": stored})
    assert again.json()["spec"] == stored


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"durations_minutes": [50, 30]}, "durations_minutes"),
        ({"limit_per_day": -1}, "limit_per_day"),
        ({"limit_per_week": "many"}, "limit_per_week"),
        ({"holidays": "XX"}, "holidays"),
        ({"team": ["anna", "nobody"]}, "team.1"),
        ({"team": ["anna", "anna"]}, "team"),
        ({"team_mode": "some"}, "team_mode"),
        ({"languages": ["xx"]}, "languages"),
        ({"fields": [{"name": "age", "type": "number", "min": 2, "max": 1}]}, "fields.0"),
    ],
)
def test_a_wrong_key_is_named_and_nothing_is_stored(doors: Doors, wrong: dict[str, Any], field: str) -> None:
    refused = doors.admin("POST", "/operators/anna/services", json={"slug": "consult", "spec": {**NEW, **wrong}})
    assert (refused.status_code, [e["field"] for e in refused.json()["errors"]]) == (422, [field])
    assert doors.admin("GET", "/operators/anna/services/consult").status_code == 404


def test_only_an_admin_disposes_of_somebodys_time(doors: Doors) -> None:
    anna = doors.token("operator:anna")
    own = {**NEW, "team": ["anna"]}
    assert (
        doors.admin("POST", "/operators/anna/services", token=anna, json={"slug": "a", "spec": own}).status_code == 201
    )
    refused = doors.admin("POST", "/operators/anna/services", token=anna, json={"slug": "b", "spec": NEW})
    assert refused.status_code == 403
    assert doors.admin("PUT", "/operators/anna/services/a", token=anna, json={"spec": NEW}).status_code == 403
    assert doors.admin("PUT", "/operators/anna/services/a", json={"spec": NEW}).status_code == 200
    longer = {**NEW, "limit_per_day": 5}  # the team that an admin has put together stays theirs to plan
    assert doors.admin("PUT", "/operators/anna/services/a", token=anna, json={"spec": longer}).status_code == 200


def test_the_example_of_the_docs_is_taken_by_the_command_line(tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs" / "services.md").read_text(encoding="utf-8")
    (tmp_path / "service.toml").write_text(page.split("```toml\n")[1].split("```")[0], encoding="utf-8")
    kept = {key: value for key, value in os.environ.items() if not key.startswith("SLOTLEDGER_")}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        words = [str(Path(sys.executable).parent / "slotledger"), *arguments]
        settings = {**kept, "SLOTLEDGER_DATABASE_URL": f"sqlite:///{tmp_path}/ledger.db"}
        return subprocess.run(words, cwd=tmp_path, env=settings, capture_output=True, text=True, check=False)

    assert run("migrate").returncode == 0
    about = ("--email", "a@practice.example", "--timezone", "Europe/Budapest")
    assert run("operator", "add", "anna", "--name", "Anna", *about).returncode == 0
    missing = run("service", "add", "anna/consultation", "--file", "service.toml")
    assert (missing.returncode, "team.1" in missing.stderr) == (1, True), missing.stderr
    assert run("operator", "add", "ben", "--name", "Ben", *about).returncode == 0
    done = run("service", "add", "anna/consultation", "--file", "service.toml")
    assert done.returncode == 0, done.stderr
