"""What people read of connections and calendars: `sync.listing`."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from ledger.db import Database
from ledger.tables import Calendar, Connection, Operator, RemoteEvent
from sync import listing


def test_calendars_connections_and_problems(database: Database, now: datetime) -> None:
    with database.transaction() as tx:
        owners = [
            tx.execute(
                sa.insert(Operator)
                .values(slug=s, name=s, email="a@b.example", timezone="UTC", created_at=now)
                .returning(Operator.id)
            ).scalar_one()
            for s in ("anna", "ben")
        ]
        connection = tx.execute(
            sa.insert(Connection)
            .values(operator_id=owners[0], provider="caldav", secret="v1.sealed", state_since=now, created_at=now)
            .returning(Connection.id)
        ).scalar_one()
        calendar = tx.execute(
            sa.insert(Calendar).values(connection_id=connection, operator_id=owners[0], href="c", busy=True, bookings=True).returning(Calendar.id)
        ).scalar_one()  # fmt: skip
        for href, problem in (("a", ""), ("b", "unknown_zone")):
            tx.execute(sa.insert(RemoteEvent).values(calendar_id=calendar, href=href, problem=problem))
    with database.reading() as tx:
        (row,) = listing.calendars(tx)
        assert (row["operator"], row["roles"], row["problems"]) == ("anna", "busy bookings", 1)
        assert listing.calendars(tx, operator_id=owners[1]) == []
        assert listing.problems(tx, calendar) == [{"href": "b", "problem": "unknown_zone"}]
        (account,) = listing.connections(tx)
        assert "sealed" not in str(account)
        assert listing.connections(tx, operator_id=owners[1]) == []
