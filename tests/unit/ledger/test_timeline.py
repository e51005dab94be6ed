"""Each reader sees their part, in order."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from ledger import timeline
from ledger.db import Database


@pytest.mark.parametrize(
    ("reader", "sees"),
    [("client", ["booked"]), ("operator", ["booked", "moved"]), ("admin", ["booked", "moved", "retried"])],
)
def test_audiences(database: Database, now: datetime, reader: str, sees: list[str]) -> None:
    with database.transaction() as tx:
        timeline.note(tx, "b1", 1, "booked", now=now, cause="api", start="2027-01-01T00:00:00Z")
        timeline.note(tx, "b2", 1, "of another booking", now=now)
        timeline.note(tx, "b1", 1, "moved", now=now, audience="operator")
        timeline.note(tx, "b1", 1, "retried", now=now, audience="admin")
    with database.reading() as tx:
        read = timeline.of_booking(tx, "b1", reader=reader)
    assert [line["what"] for line in read] == sees
    assert read[0] == {"at": now, "what": "booked", "cause": "api", "detail": {"start": "2027-01-01T00:00:00Z"}}


def test_the_order_is_that_of_writing_not_of_clocks(database: Database, now: datetime) -> None:
    with database.transaction() as tx:
        timeline.note(tx, "b1", 1, "first", now=now)
        timeline.note(tx, "b1", 1, "second", now=now - timedelta(seconds=1))
    with database.reading() as tx:
        assert [line["what"] for line in timeline.of_booking(tx, "b1")] == ["first", "second"]


def test_an_unknown_reader_sees_nothing_by_mistake(database: Database) -> None:
    with database.reading() as tx, pytest.raises(KeyError):
        timeline.of_booking(tx, "b1", reader="stranger")
