"""Foreign time that is over is not kept."""

from __future__ import annotations

from datetime import datetime, timedelta

import sqlalchemy as sa

from ledger.db import Database
from ledger.tables import Busy, Opening
from sync.window import forget_past
from tests.support import books

DAY, HOUR = timedelta(days=1), timedelta(hours=1)


def test_what_ended_before_the_window_goes(database: Database, now: datetime) -> None:
    with database.transaction() as tx:
        operator = books.operator(tx, now)
        calendar = books.calendar(tx, operator, books.connection(tx, operator, now))
        for ago in (5 * DAY, 2 * DAY, HOUR, -DAY):
            books.busy(tx, operator, calendar, now - ago - HOUR, now - ago)
            books.opening(tx, operator, calendar, now - ago - HOUR, now - ago)
    with database.transaction() as tx:
        assert [forget_past(tx, now, limit=3) for _ in range(3)] == [3, 1, 0]
        for row in (Busy, Opening):
            ends = tx.execute(sa.select(row.ends_at).order_by(row.ends_at)).scalars().all()
            assert ends == [now - HOUR, now + DAY]
