"""What every test may use. No test talks to anything but loopback: the guard below refuses the rest."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ledger.db import Database
from tests.support.databases import migrated

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)  # a Monday


@pytest.fixture(autouse=True, scope="session")
def no_outside_connections() -> Iterator[None]:
    """A connection to anything but loopback fails, in whatever library it is tried."""
    real = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            host = address[0]
            try:
                inside = ipaddress.ip_address(host).is_loopback
            except ValueError:
                inside = host in {"localhost", "localhost.localdomain"}
            if not inside:
                raise OSError(f"a test tried to reach {host}")
        real(self, address)

    socket.socket.connect = guarded  # type: ignore[method-assign,assignment]
    yield
    socket.socket.connect = real  # type: ignore[method-assign]


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
