"""What operators and admins look through: bookings and the line, page by page."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from booking import queries, waitlist
from booking.errors import FieldError, Invalid
from booking.tables import Booking, Service, WaitlistEntry
from ledger.db import Tx
from ledger.tables import Operator

PAGE = 50


def bookings(
    tx: Tx,
    *,
    operator_id: int | None = None,
    operator: str = "",
    service: str = "",
    status: str = "",
    first: datetime | None = None,
    last: datetime | None = None,
    text: str = "",
    cursor: str = "",
    limit: int = PAGE,
) -> tuple[list[dict[str, Any]], str]:
    """Newest appointments first, and the cursor of the next page (``""`` at the end). text: part of a name or address.
    Raises `Invalid`."""
    query = (
        sa.select(
            Booking.id, Booking.status, Booking.waits_for, Booking.starts_at.label("start"), Booking.ends_at.label("end"),
            Booking.seats, Booking.revision, Booking.client_name, Booking.client_email, Booking.created_at,
            Operator.slug.label("operator"), Service.slug.label("service"), Booking.slot_id,
        )
        .join(Operator, Operator.id == Booking.operator_id)
        .join(Service, Service.id == Booking.service_id)
        .order_by(Booking.starts_at.desc(), Booking.id.desc())
        .limit(limit + 1)
    )  # fmt: skip
    conditions: list[tuple[object, Callable[[], sa.ColumnElement[bool]]]] = [
        (operator_id, lambda: Booking.operator_id == operator_id),
        (operator, lambda: Operator.slug == operator),
        (service, lambda: Service.slug == service),
        (status, lambda: Booking.status == status),
        (first, lambda: Booking.starts_at >= first),
        (last, lambda: Booking.starts_at < last),
    ]
    query = query.where(*(condition() for given, condition in conditions if given))
    if text:
        named = (sa.func.lower(column) for column in (Booking.client_name, Booking.client_email))
        query = query.where(sa.or_(*(name.contains(text.lower(), autoescape=True) for name in named)))
    if cursor:
        moment, last_id = _place(cursor)
        query = query.where(
            sa.or_(Booking.starts_at < moment, sa.and_(Booking.starts_at == moment, Booking.id < last_id))
        )
    rows = [{**r._mapping, "waits_for": list(filter(None, r.waits_for.split(",")))} for r in tx.execute(query)]
    # Z: the cursor is to stand in an address as it is.
    last_row = rows[limit - 1] if len(rows) > limit else None
    more = f"{last_row['start'].isoformat().replace('+00:00', 'Z')}_{last_row['id']}" if last_row else ""
    return rows[:limit], more


def _place(cursor: str) -> tuple[datetime, str]:
    at, _, last_id = cursor.partition("_")
    try:
        given = datetime.fromisoformat(at)
        moment = None if given.tzinfo is None else given.astimezone(UTC)
    except (ValueError, OverflowError):
        moment = None
    if moment is None or not re.fullmatch("[0-9a-f]+", last_id):
        raise Invalid([FieldError("cursor", "unknown_cursor", "a cursor of an earlier page is needed")])
    return moment, last_id


def line(
    tx: Tx,
    *,
    operator_id: int | None = None,
    operator: str = "",
    service: str = "",
    status: str = "waiting",
    limit: int = PAGE,
    after: int = 0,
) -> list[dict[str, Any]]:
    """Those who wait, in the order in which they came, from an id on."""
    member = sa.orm.aliased(Operator)
    query = (
        sa.select(
            WaitlistEntry.__table__, Operator.slug.label("operator"), Service.slug.label("service"),
            member.slug.label("member"),
        )
        .join(Operator, Operator.id == WaitlistEntry.operator_id)
        .join(Service, Service.id == WaitlistEntry.service_id)
        .outerjoin(member, member.id == WaitlistEntry.member_id)
        .where(WaitlistEntry.status == status, WaitlistEntry.id > after)
        .order_by(WaitlistEntry.id)
        .limit(limit)
    )  # fmt: skip
    if operator_id is not None:
        query = query.where(WaitlistEntry.operator_id == operator_id)
    if operator:
        query = query.where(Operator.slug == operator)
    if service:
        query = query.where(Service.slug == service)
    return [_waiting(tx, row, queries.wish_of(row)) for row in tx.execute(query)]


def _waiting(tx: Tx, row: Any, wish: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": row.id, "operator": row.operator, "member": row.member, "service": row.service, "status": row.status,
        "accept": row.accept, "seats": row.seats, "priority": row.priority, "position": waitlist.position(tx, row),
        "start": row.wish_start, "from": row.first_date, "to": row.last_date, "weekdays": wish.get("weekdays", []),
        "between": wish.get("between"), "client_name": row.client_name, "client_email": row.client_email,
        "booking_id": row.booking_id, "created_at": row.created_at,
    }  # fmt: skip


def numbers_of_entry(tx: Tx, entry_id: int) -> dict[str, Any]:
    """What only those who run the place see of a place in line: ``id, priority, booking_id``."""
    query = sa.select(WaitlistEntry.id, WaitlistEntry.priority, WaitlistEntry.booking_id)
    return dict(tx.execute(query.where(WaitlistEntry.id == entry_id)).one()._mapping)


def owner_of_booking(tx: Tx, booking_id: str) -> int | None:
    """Whose booking it is; None for one that doesn't exist."""
    return tx.execute(sa.select(Booking.operator_id).where(Booking.id == booking_id)).scalar()


def owner_of_entry(tx: Tx, entry_id: int) -> Any:
    """``(operator_id, token)`` of a place in line, or None."""
    return tx.execute(
        sa.select(WaitlistEntry.operator_id, WaitlistEntry.token).where(WaitlistEntry.id == entry_id)
    ).one_or_none()


def counts(tx: Tx, *, operator_id: int | None = None) -> dict[str, int]:
    """Bookings by status, and how many wait."""
    query = sa.select(Booking.status, sa.func.count()).group_by(Booking.status)
    waiting = sa.select(sa.func.count()).where(WaitlistEntry.status == "waiting")
    if operator_id is not None:
        query = query.where(Booking.operator_id == operator_id)
        waiting = waiting.where(WaitlistEntry.operator_id == operator_id)
    found = {str(status): int(number) for status, number in tx.execute(query).all()}
    return {**found, "waiting": int(tx.execute(waiting).scalar_one())}
