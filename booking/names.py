"""Names for what the desk's pages speak of by number: who is in a slot, which service, whose operator."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from booking.tables import Booking, Service, WaitlistEntry
from ledger.db import Tx
from ledger.tables import Operator


def people(tx: Tx, *, slot_id: int | None = None, booking_id: str = "") -> list[dict[str, Any]]:
    """``id, client_name, start, end, status`` of a booking, or of everybody in a slot whose booking stands."""
    query = sa.select(
        Booking.id, Booking.client_name, Booking.starts_at.label("start"), Booking.ends_at.label("end"), Booking.status
    ).order_by(Booking.starts_at, Booking.id)
    if booking_id:
        query = query.where(Booking.id == booking_id)
    elif slot_id is not None:
        query = query.where(Booking.slot_id == slot_id, Booking.status.in_(("pending", "confirmed")))
    else:
        return []
    return [dict(r._mapping) for r in tx.execute(query.limit(50))]


def who_waits(tx: Tx, entry_id: int) -> str:
    """Whose place in line it is; ``""`` where it is gone."""
    return str(tx.execute(sa.select(WaitlistEntry.client_name).where(WaitlistEntry.id == entry_id)).scalar() or "")


def priority_of(tx: Tx, entry_id: int) -> int:
    """Of a place in line; 0 where there is none."""
    return int(tx.execute(sa.select(WaitlistEntry.priority).where(WaitlistEntry.id == entry_id)).scalar() or 0)


def service_named(tx: Tx, service_id: int) -> tuple[str, str]:
    """``(operator, service)``, as addresses have them; empty for what is gone."""
    row = tx.execute(
        sa.select(Operator.slug.label("operator"), Service.slug)
        .join(Operator, Operator.id == Service.operator_id)
        .where(Service.id == service_id)
    ).one_or_none()
    return (str(row.operator), str(row.slug)) if row is not None else ("", "")


def operator_slug(tx: Tx, operator_id: int) -> str:
    """An operator as addresses have them, ``""`` for one that is gone."""
    return str(tx.execute(sa.select(Operator.slug).where(Operator.id == operator_id)).scalar() or "")


def operator_named(tx: Tx, operator_id: int) -> str:
    """An operator's name, ``""`` for one that is gone."""
    return str(tx.execute(sa.select(Operator.name).where(Operator.id == operator_id)).scalar() or "")
