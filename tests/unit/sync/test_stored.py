"""Rows as neutral values."""

from __future__ import annotations

import json
from types import SimpleNamespace

from connectors.model import Calendar, Quirks, SyncToken
from sync.stored import calendar_of, chunks, quirks_json, quirks_of, token_of, tz_version


def test_quirks_survive_json() -> None:
    quirks = Quirks("trusted", True, False, ("one", "two"), {"addresses": "a@x"})
    assert quirks_of(json.loads(json.dumps(quirks_json(quirks)))) == quirks
    assert quirks_of({}) == Quirks()


def test_calendar_and_token() -> None:
    row = SimpleNamespace(href="/a/", name="A", timezone="UTC", writable=False, transparent=True, primary=True, token_kind="", token_value="")  # fmt: skip
    assert calendar_of(row) == Calendar("/a/", "A", "UTC", False, True, True)
    assert token_of(row) is None
    row.token_kind, row.token_value = "sync", "t1"
    assert token_of(row) == SyncToken("sync", "t1")


def test_chunks() -> None:
    assert [list(part) for part in chunks(range(5), 2)] == [[0, 1], [2, 3], [4]]
    assert list(chunks([])) == []


def test_the_time_zone_data_has_a_version() -> None:
    assert tz_version()[:2] == "20"
