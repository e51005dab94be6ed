"""Connections and calendars for people to read."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from ledger.db import Tx
from ledger.tables import Calendar, Channel, Connection, Operator, RemoteEvent
from sync.hints import SILENT


def calendars(
    tx: Tx,
    *,
    connection_id: int | None = None,
    operator_id: int | None = None,
    only: int | None = None,
    operator: str = "",
    role: str = "",
    after: int = 0,
    limit: int | None = None,
) -> list[dict[str, Any]]:
    """Each calendar with its roles (words with spaces between), how its sync works, and how the last pull went. push:
    ``open``, ``silent``, ``opening``, ``refused`` (can't be watched), or ``""`` without a channel."""
    unreadable = (
        sa.select(sa.func.count())
        .where(RemoteEvent.calendar_id == Calendar.id, RemoteEvent.problem != "")
        .scalar_subquery()
    )
    query = (
        sa.select(
            Calendar.__table__,
            unreadable.label("problems"),
            Operator.slug,
            Connection.state,
            Connection.provider,
            _push().label("push"),
        )
        .join(Operator, Operator.id == Calendar.operator_id)
        .join(Connection, Connection.id == Calendar.connection_id)
        .where(Calendar.id > after)
        .order_by(Calendar.id)
        .limit(limit)
    )
    if connection_id is not None:
        query = query.where(Calendar.connection_id == connection_id)
    if operator_id is not None:
        query = query.where(Calendar.operator_id == operator_id)
    if only is not None:
        query = query.where(Calendar.id == only)
    if operator:
        query = query.where(Operator.slug == operator)
    if role:
        query = query.where({"busy": Calendar.busy, "availability": Calendar.availability}.get(role, Calendar.bookings))
    return [
        {
            "id": row.id,
            "operator": row.slug,
            "operator_id": row.operator_id,
            "connection_id": row.connection_id,
            "provider": row.provider,
            "state": row.state,
            "name": row.name,
            "primary": row.primary,
            "roles": " ".join(r for r in ("busy", "availability", "bookings") if getattr(row, r)),
            "all_day_blocks": row.all_day_blocks,
            "tentative_blocks": row.tentative_blocks,
            "unanswered_blocks": row.unanswered_blocks,
            "writable": row.writable,
            "sync": str(row.quirks.get("sync_token", "")),
            "push": row.push or "",
            "pulled_at": row.pulled_at,
            "last_error": row.last_error,
            "problems": row.problems,
            "url": row.href,
        }
        for row in tx.execute(query)
    ]


def _push() -> sa.ScalarSelect[str]:
    row = Channel
    state = sa.case((sa.and_(row.state == "open", row.silent >= SILENT), "silent"), else_=row.state)
    newest = sa.select(state).where(row.calendar_id == Calendar.id, row.state.in_(("open", "opening", "refused")))
    return newest.order_by(row.created_at.desc()).limit(1).scalar_subquery()


def connections(
    tx: Tx,
    *,
    operator_id: int | None = None,
    only: int | None = None,
    operator: str = "",
    provider: str = "",
    state: str = "",
    after: int = 0,
    limit: int | None = None,
) -> list[dict[str, Any]]:
    """Accounts without their secrets: state, since when and why, last success."""
    query = (
        sa.select(
            Connection.id, Operator.slug.label("operator"), Connection.operator_id, Connection.provider, Connection.url, Connection.username,
            Connection.account, Connection.voice, Connection.state, Connection.state_detail, Connection.state_since,
            Connection.last_success_at,
        )
        .join(Operator, Operator.id == Connection.operator_id)
        .where(Connection.id > after)
        .order_by(Connection.id)
        .limit(limit)
    )  # fmt: skip
    if operator_id is not None:
        query = query.where(Connection.operator_id == operator_id)
    if only is not None:
        query = query.where(Connection.id == only)
    wanted = {Operator.slug: operator, Connection.provider: provider, Connection.state: state}
    query = query.where(*(column == value for column, value in wanted.items() if value))
    return [dict(r._mapping) for r in tx.execute(query)]


def quirks(tx: Tx, calendar_id: int) -> dict[str, Any]:
    """What was found out about the server of a calendar (`connectors.model.Quirks`)."""
    return dict(tx.execute(sa.select(Calendar.quirks).where(Calendar.id == calendar_id)).scalar_one())


def problems(tx: Tx, calendar_id: int) -> list[dict[str, Any]]:
    """Objects that can't be read in full: where they are and what is wrong; what can be read of their time is closed."""
    query = (
        sa.select(RemoteEvent.href, RemoteEvent.problem)
        .where(RemoteEvent.calendar_id == calendar_id, RemoteEvent.problem != "")
        .order_by(RemoteEvent.id)
    )
    return [dict(r._mapping) for r in tx.execute(query)]
