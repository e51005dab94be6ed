"""The only clock. Everything that decides takes ``now`` as an argument; the edges ask here."""

from __future__ import annotations

from datetime import UTC, datetime


def now() -> datetime:
    """The present instant: aware, UTC, microseconds."""
    return datetime.now(UTC)
