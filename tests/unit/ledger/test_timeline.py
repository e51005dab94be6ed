"""Each reader sees their part, in order."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa

from ledger import timeline
from ledger.db import Database
from ledger.tables import TimelineEntry


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


def test_how_often_something_happened_lately(database: Database, now: datetime) -> None:
    with database.transaction() as tx:
        for minutes in (0, 1, 2):
            timeline.note(tx, "b1", 1, "asked", now=now + timedelta(minutes=minutes))
        timeline.note(tx, "b2", 1, "asked", now=now + timedelta(minutes=2))
        timeline.note(tx, "b1", 1, "answered", now=now + timedelta(minutes=2))
    with database.reading() as tx:
        assert timeline.count(tx, "b1", "asked", since=now) == 2


def test_an_unknown_reader_sees_nothing_by_mistake(database: Database) -> None:
    with database.reading() as tx, pytest.raises(KeyError):
        timeline.of_booking(tx, "b1", reader="stranger")


def test_the_feed_never_passes_by_somebody_who_commits_late(database: Database, now: datetime) -> None:
    noted, go = threading.Event(), threading.Event()

    def slow() -> None:
        with database.transaction() as tx:
            timeline.note(tx, "slow", 1, "booked", now=now)
            noted.set()
            go.wait(10)

    def seen(after: int, seconds: float) -> list[tuple[int, str]]:
        later = now + timedelta(seconds=seconds)
        with database.reading() as tx:
            return [(e["cursor"], e["booking_id"]) for e in timeline.feed(tx, after=after, operator_id=None, now=later)]

    with database.transaction() as tx:
        timeline.note(tx, "first", 1, "booked", now=now)
    if database.dialect == "sqlite":  # one writer at a time
        go.set()
    thread = threading.Thread(target=slow)
    thread.start()
    assert noted.wait(10)
    if database.dialect == "sqlite":
        thread.join(10)
    with database.transaction() as tx:
        timeline.note(tx, "quick", 2, "booked", now=now)
    shown = seen(0, 3)
    go.set()
    thread.join(10)
    shown += seen(shown[-1][0], 4)
    assert [who for _, who in shown] == ["first", "slow", "quick"]


def test_a_place_that_stays_empty_holds_the_feed_for_a_minute(database: Database, now: datetime) -> None:
    with database.transaction() as tx:
        for who in ("a", "b", "c"):
            timeline.note(tx, who, 1, "booked", now=now)
        tx.execute(sa.delete(TimelineEntry).where(TimelineEntry.booking_id == "b"))
    for seconds, sees in ((3, ["a"]), (59, ["a"]), (60, ["a", "c"])):
        later = now + timedelta(seconds=seconds)
        with database.reading() as tx:
            assert [e["booking_id"] for e in timeline.feed(tx, after=0, operator_id=None, now=later)] == sees
