"""Each row of the threat table names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROWS = [
    [cell.strip() for cell in line.strip().strip("|").split("|")]
    for line in (ROOT / "docs" / "security.md").read_text(encoding="utf-8").splitlines()
    if line.startswith("| ") and not line.startswith("| Door ")
]
DOORS = {
    "Public JSON API", "Public pages", "Client links", "Sign-in", "Sessions", "Desk", "Admin API", "Provider hooks",
    "OAuth connect", "Inbound mail", "Webhooks out", "Calendar URLs (CalDAV, ICS)", "Logs", "Database", "Command line",
}  # fmt: skip


def test_every_door_is_in_the_table() -> None:
    assert {row[0] for row in ROWS} >= DOORS
    assert all(len(row) == 4 and all(row) for row in ROWS)


@pytest.mark.parametrize("row", ROWS, ids=[f"{row[0]}: {row[1]}"[:60] for row in ROWS])
def test_every_lock_has_a_test_that_exists(row: list[str]) -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", row[3])
    assert len(named) == len(row[3].split()) > 0
    for file, test in named:
        text = (ROOT / file).read_text(encoding="utf-8")
        assert re.search(rf"^def {test}\(", text, re.MULTILINE), f"{file}::{test}"
