"""Rows of the books for tests of the ledger: an operator, a connection, calendars."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from connectors.model import Period
from ledger.db import Tx
from ledger.tables import Busy, Calendar, Connection, Opening, Operator


def operator(tx: Tx, now: datetime, slug: str = "anna") -> int:
    """Somebody who can be booked."""
    made = sa.insert(Operator).values(
        slug=slug, name=slug.title(), email=f"{slug}@practice.example", timezone="UTC", created_at=now
    )
    return int(tx.execute(made.returning(Operator.id)).scalar_one())


def connection(tx: Tx, operator_id: int, now: datetime, **values: Any) -> int:
    """An account of theirs."""
    made = sa.insert(Connection).values(
        operator_id=operator_id, provider="caldav", state_since=now, created_at=now, **values
    )
    return int(tx.execute(made.returning(Connection.id)).scalar_one())


def calendar(tx: Tx, operator_id: int, connection_id: int, href: str = "/c/", **values: Any) -> int:
    """A calendar in it."""
    made = sa.insert(Calendar).values(operator_id=operator_id, connection_id=connection_id, href=href, **values)
    return int(tx.execute(made.returning(Calendar.id)).scalar_one())


def hours(day: datetime, start: float, end: float) -> Period:
    """A period of that day, in hours."""
    midnight = day.replace(hour=0, minute=0, second=0, microsecond=0)
    return Period(midnight + timedelta(hours=start), midnight + timedelta(hours=end))


def busy(tx: Tx, operator_id: int, calendar_id: int, start: datetime, end: datetime, **values: Any) -> None:
    """A busy period of theirs."""
    tx.execute(
        sa.insert(Busy).values(
            operator_id=operator_id, calendar_id=calendar_id, remote_event_id=1, starts_at=start, ends_at=end, **values
        )
    )


def opening(tx: Tx, operator_id: int, calendar_id: int, start: datetime, end: datetime, **values: Any) -> None:
    """Hours that they opened in their calendar."""
    tx.execute(
        sa.insert(Opening).values(
            operator_id=operator_id, calendar_id=calendar_id, remote_event_id=1, starts_at=start, ends_at=end, **values
        )
    )
