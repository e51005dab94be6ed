"""Rows of the ledger as the neutral values that connectors speak, and back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import TZPATH

from connectors.model import Calendar, Quirks, SyncToken

T = TypeVar("T")


def calendar_of(row: Any) -> Calendar:
    """The neutral calendar of a row of `ledger.tables.Calendar`."""
    return Calendar(row.href, row.name, row.timezone, row.writable, row.transparent, row.primary)


def token_of(row: Any) -> SyncToken | None:
    """Where the calendar was last read; None asks for a full listing."""
    return SyncToken(row.token_kind, row.token_value) if row.token_kind else None


def quirks_json(quirks: Quirks) -> dict[str, Any]:
    """As it is stored in ``Calendar.quirks``."""
    return {**asdict(quirks), "notes": list(quirks.notes), "extra": dict(quirks.extra)}


def quirks_of(stored: Mapping[str, Any]) -> Quirks:
    """The self-test's findings again; what an older version didn't store has its default."""
    return Quirks(
        sync_token=str(stored.get("sync_token", "absent")),
        if_none_match=stored.get("if_none_match"),
        etag_on_put=stored.get("etag_on_put"),
        notes=tuple(stored.get("notes", ())),
        extra=dict(stored.get("extra", {})),
    )


def chunks(values: Sequence[T], size: int = 500) -> Iterator[Sequence[T]]:
    """Slices that fit into one statement's parameters."""
    for first in range(0, len(values), size):
        yield values[first : first + size]


def tz_version() -> str:
    """Which time-zone data this process computes with: that of the system where there is one, else the package's."""
    for folder in TZPATH:
        path = Path(folder) / "tzdata.zi"
        if path.is_file():
            with path.open(encoding="utf-8", errors="replace") as lines:
                return lines.readline().removeprefix("# version").strip()
    try:
        return version("tzdata")
    except PackageNotFoundError:
        return "unknown"
