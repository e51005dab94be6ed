"""What every test may use. No test talks to anything but loopback: the guard refuses the rest."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ledger.db import Database
from tests.support.databases import migrated
from tests.support.guard.sitecustomize import guard_children, install

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)  # a Monday


install()
guard_children(os.environ)
os.environ.pop("PORT", None)  # `PORT=8123 make test` moves no service of a test, each has a port of its own


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty ledger on each database."""
    with migrated(request.param, tmp_path) as opened:
        yield opened


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Database]:
    """An empty ledger on SQLite, for tests of what no database decides."""
    with migrated("sqlite", tmp_path) as opened:
        yield opened


@pytest.fixture
def now() -> datetime:
    """Monday noon, UTC."""
    return NOON
