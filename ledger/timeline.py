"""Cause → decision → commit → message → delivery: nobody needs to ask what happened (P13)."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import cache
from typing import Any

import sqlalchemy as sa

from ledger import webhook_feed
from ledger.db import Tx
from ledger.tables import Operator, TimelineEntry
from ledger.webhook_feed import event_type

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
    """Add one line, in the transaction that makes it true, and queue it for the webhooks that want it. detail: JSON
    values, no addresses of other people."""
    endpoints = webhook_feed.listening(tx, operator_id, what)
    entry = {
        "booking_id": booking_id,
        "operator_id": operator_id,
        "at": now,
        "what": what,
        "cause": cause,
        "audience": audience,
        "detail": detail,
    }
    entry_id = tx.execute(_insert(), entry).scalar_one()
    webhook_feed.announce(tx, endpoints, entry_id, booking_id, operator_id, now=now)


@cache
def _insert() -> Any:
    # Built once: that takes longer than running it.
    return sa.insert(TimelineEntry).returning(TimelineEntry.id)


def count(tx: Tx, booking_id: str, what: str, *, since: datetime) -> int:
    """How often that has happened after an instant."""
    row = TimelineEntry
    query = sa.select(sa.func.count()).where(row.booking_id == booking_id, row.what == what, row.at > since)
    return int(tx.execute(query).scalar_one())


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
"""Ids are given before commits; a reader who is that much behind seldom meets a place that isn't filled yet."""
PATIENCE = timedelta(minutes=1)
"""How long such a place is waited for: longer than anybody waits for a lock. Then it is empty for good."""
_RECENT = 2000


def feed(
    tx: Tx,
    *,
    after: int,
    operator_id: int | None,
    now: datetime,
    limit: int = 200,
    kind: str = "",
    booking_id: str = "",
) -> list[dict[str, Any]]:
    """What happened to bookings, in order, from a cursor on: ``cursor, at, operator, booking_id, type, what, cause,
    detail``. kind: of one ``type`` only; booking_id: of one booking only. Nothing comes later before what was shown."""
    row = TimelineEntry
    query = _told().where(row.id > after, row.at <= now - SETTLED).order_by(row.id).limit(limit)
    if operator_id is not None:
        query = query.where(row.operator_id == operator_id)
    if kind:
        query = query.where(row.what == kind.removeprefix(event_type("")))
    if booking_id:
        query = query.where(row.booking_id == booking_id)
    found = tx.execute(query).all()
    if found and found[-1].at > now - PATIENCE:
        gap = _first_gap(tx, after, now)
        found = [each for each in found if gap is None or each.cursor < gap]
    return [_event(each) for each in found]


def _first_gap(tx: Tx, after: int, now: datetime) -> int | None:
    """The first place of the last minute that nobody has filled yet, who may still be about to."""
    row = TimelineEntry
    latest = sa.select(row.id, row.at).where(row.id > after).order_by(row.id.desc()).limit(_RECENT)
    listed = list(reversed(tx.execute(latest).all()))
    before = after if len(listed) < _RECENT else listed[0].id - 1
    for each in listed:
        if each.id > before + 1 and each.at > now - PATIENCE:
            return int(before) + 1
        before = each.id
    return None


def event(tx: Tx, entry_id: int) -> dict[str, Any] | None:
    """One entry as `feed` shows it; None if it was erased."""
    found = tx.execute(_told().where(TimelineEntry.id == entry_id)).one_or_none()
    return None if found is None else _event(found)


def _told() -> sa.Select[Any]:
    row = TimelineEntry
    shown = (
        row.id.label("cursor"),
        row.at,
        Operator.slug.label("operator"),
        row.booking_id,
        row.what,
        row.cause,
        row.detail,
    )
    return sa.select(*shown).outerjoin(Operator, Operator.id == row.operator_id)


def _event(row: Any) -> dict[str, Any]:
    return {**row._mapping, "type": event_type(row.what)}
