"""Cause → decision → commit → message → delivery: nobody needs to ask what happened (P13)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from ledger.db import Tx
from ledger.tables import TimelineEntry

AUDIENCES = {"client": ("client",), "operator": ("client", "operator"), "admin": ("client", "operator", "admin")}


def note(
    tx: Tx,
    booking_id: str,
    operator_id: int,
    what: str,
    *,
    now: datetime,
    cause: str = "",
    audience: str = "client",
    **detail: Any,
) -> None:
    """Add one line, in the transaction that makes it true. detail: JSON values, no addresses of other people."""
    tx.execute(
        sa.insert(TimelineEntry).values(
            booking_id=booking_id,
            operator_id=operator_id,
            at=now,
            what=what,
            cause=cause,
            audience=audience,
            detail=detail,
        )
    )


def of_booking(tx: Tx, booking_id: str, *, reader: str = "client") -> list[dict[str, Any]]:
    """What that reader may see, in order: ``at, what, cause, detail``."""
    row = TimelineEntry
    query = (
        sa.select(row.at, row.what, row.cause, row.detail)
        .where(row.booking_id == booking_id, row.audience.in_(AUDIENCES[reader]))
        .order_by(row.id)
    )
    return [dict(r._mapping) for r in tx.execute(query)]


SETTLED = timedelta(seconds=2)
"""Ids are given before commits; a reader who is that much behind meets none that comes late."""


def feed(tx: Tx, *, after: int, operator_id: int | None, now: datetime, limit: int = 200) -> list[dict[str, Any]]:
    """What happened to bookings, in order, from a cursor on: ``cursor, at, booking_id, type, cause, detail``."""
    row = TimelineEntry
    query = (
        sa.select(row.id.label("cursor"), row.at, row.booking_id, row.what, row.cause, row.detail)
        .where(row.id > after, row.at <= now - SETTLED)
        .order_by(row.id)
        .limit(limit)
    )
    if operator_id is not None:
        query = query.where(row.operator_id == operator_id)
    return [{**r._mapping, "type": f"booking.{r.what}"} for r in tx.execute(query)]
