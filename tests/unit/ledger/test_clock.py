"""The only clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from ledger import clock


def test_now_is_an_instant_in_utc_and_goes_on() -> None:
    first = clock.now()
    assert first.tzinfo is UTC
    assert abs(first - datetime.now(UTC)) < timedelta(seconds=5)
    assert clock.now() >= first
