"""Clients are forgotten by themselves, a time after their last booking with a service (``retention_months``)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa

from booking.catalogue import offering_by_id
from booking.privacy import forget_rows
from booking.states import LIVE
from booking.tables import Booking, Service, WaitlistEntry
from booking.terms import Terms
from ledger.db import Tx

BATCH = 20
"""Clients a transaction."""
_AHEAD = ("waiting", "offered")
_B, _E = Booking, WaitlistEntry


def forget_old(tx: Tx, terms: Terms, now: datetime, *, limit: int = BATCH) -> int:
    """Erase, service by service, clients whose last booking or place there is older than the service keeps. At most
    `limit` clients; returns how many. Who has a booking to come or waits stays, whatever was before."""
    done = 0
    for service_id in tx.execute(sa.select(Service.id).order_by(Service.id)).scalars().all():
        months = offering_by_id(tx, service_id).spec.retention_months
        addresses = _over(tx, service_id, months_before(now, months), limit - done)
        if addresses:  # together: one way through what has no index for it
            bookings = tx.execute(sa.select(_B.__table__).where(_of(_B, service_id, addresses)).order_by(_B.id)).all()
            places = tx.execute(sa.select(_E.__table__).where(_of(_E, service_id, addresses)).order_by(_E.id)).all()
            forget_rows(tx, terms, bookings, places, now=now, cause="retention")
            done += len(addresses)
        if done >= limit:
            break
    return done


def months_before(now: datetime, months: int) -> datetime:
    """The same day and time that many months ago; the month's last day where it has no such day."""
    year, month = divmod(now.year * 12 + now.month - 1 - months, 12)
    for day in range(now.day, 27, -1):
        try:
            return now.replace(year=year, month=month + 1, day=day)
        except ValueError:
            continue
    return now.replace(year=year, month=month + 1)


def _over(tx: Tx, service_id: int, before: datetime, limit: int) -> list[str]:
    """Addresses (lower-case) that this service has not seen since."""
    known = sa.union_all(
        _seen(_B, service_id, _B.ends_at, _B.status.in_(LIVE)), _seen(_E, service_id, _E.updated_at, _E.status.in_(_AHEAD))
    ).subquery()  # fmt: skip
    query = (
        sa.select(known.c.address)
        .group_by(known.c.address)
        .having(sa.func.max(known.c.last) < before, sa.func.max(known.c.live) == 0)
        .order_by(known.c.address)
        .limit(limit)
    )
    return list(tx.execute(query).scalars())


def _seen(row: Any, service_id: int, last: Any, live: sa.ColumnElement[bool]) -> sa.Select[Any]:
    return sa.select(
        sa.func.lower(row.client_email).label("address"),
        last.label("last"),
        sa.case((live, 1), else_=0).label("live"),
    ).where(row.service_id == service_id, row.client_email != "")


def _of(row: Any, service_id: int, addresses: list[str]) -> sa.ColumnElement[bool]:
    return sa.and_(row.service_id == service_id, sa.func.lower(row.client_email).in_(addresses))
