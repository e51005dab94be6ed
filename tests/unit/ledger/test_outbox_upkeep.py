"""What relay and ticker ask of the outbox beside leasing."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from connectors.errors import Unreachable
from ledger import outbox
from ledger.db import Database
from ledger.messages import PullCalendar, PushEvent


def test_kinds_whose_queue_is_full_stay_and_the_rest_goes_on(database: Database, now: datetime) -> None:
    with database.transaction() as tx:
        outbox.append(tx, PullCalendar(1), now=now)
        outbox.append(tx, PushEvent(1, 1), now=now)
        assert [kind for _, kind in outbox.lease(tx, now=now, but=["PullCalendar"])] == ["PushEvent"]
        assert [kind for _, kind in outbox.lease(tx, now=now)] == ["PullCalendar"]


def test_next_start_is_the_next_of_what_waits(database: Database, now: datetime) -> None:
    with database.transaction() as tx:
        assert outbox.next_start(tx, now=now) is None
        outbox.append(tx, PushEvent(1, 1), now=now)
        assert outbox.next_start(tx, now=now) is None
        for minutes in (9, 5, 7):
            outbox.append(tx, PushEvent(minutes, 1), now=now, not_before=now + timedelta(minutes=minutes))
        assert outbox.next_start(tx, now=now) == now + timedelta(minutes=5)


def test_old_done_rows_go_in_small_steps_and_nothing_else(database: Database, now: datetime) -> None:
    with database.transaction() as tx:
        for number in range(5):
            outbox.append(tx, PushEvent(number, 1), now=now)
        ids = [i for i, _ in outbox.lease(tx, now=now)]
        for done in ids[:3]:
            leased = outbox.begin(tx, done, now=now)
            assert leased is not None
            outbox.settle(tx, leased, now=now)
        outbox.park(tx, ids[3], why="by hand", now=now)
    later = now + timedelta(seconds=1)
    with database.transaction() as tx:
        assert outbox.counts(tx) == {"waiting": 0, "queued": 1, "running": 0, "parked": 1}
        assert outbox.forget_done(tx, before=now) == 0
        assert [outbox.forget_done(tx, before=later, limit=2) for _ in range(3)] == [2, 1, 0]
        assert [row["id"] for row in outbox.listing(tx)] == [ids[4], ids[3]]


@pytest.mark.parametrize("ask", ["lease", "next_start", "append", "fail"])
def test_what_the_relay_asks_all_the_time_reads_no_finished_rows(sqlite: Database, now: datetime, ask: str) -> None:
    statements: list[tuple[str, Any]] = []

    @sa.event.listens_for(sqlite.engine, "before_cursor_execute")
    def _note(_tx: Any, _cursor: Any, statement: str, parameters: Any, *_rest: Any) -> None:
        statements.append((statement, parameters))

    with sqlite.transaction() as tx:
        outbox.append(tx, PullCalendar(1), now=now)
        ((row_id, _),) = outbox.lease(tx, now=now)
        leased = outbox.begin(tx, row_id, now=now)
        assert leased is not None
        outbox.append(tx, PullCalendar(1), now=now)
        statements.clear()
        match ask:
            case "lease":
                outbox.lease(tx, now=now)
            case "next_start":
                outbox.next_start(tx, now=now)
            case "append":
                outbox.append(tx, PullCalendar(1), now=now)
            case "fail":
                outbox.fail(tx, leased, Unreachable(), now=now)
        plans = [
            tx.exec_driver_sql("EXPLAIN QUERY PLAN " + statement, parameters).all()
            for statement, parameters in list(statements)
        ]
    scans = [step.detail for plan in plans for step in plan if step.detail.startswith("SCAN outbox_message")]
    assert [scan for scan in scans if "ix_outbox_message_due" not in scan] == []
