"""What asks for a human: one open review for one matter."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa

from ledger import claims
from ledger.db import Tx, insert_ignoring
from ledger.tables import Review

Kind = Literal[
    "promotion", "move", "overlap", "closed_hours", "bulk_deletion", "calendar_emptied", "calendar_unreadable", "counter",
    "reply", "late_decline", "failed_address", "unsent_mail", "unwritten_event", "mailbox", "reconnect", "channel_silent",
    "webhook", "no_show",
]  # fmt: skip
"""What a review may be about; a list of them may be asked for by each."""


def ask(
    tx: Tx,
    kind: str,
    key: str,
    *,
    now: datetime,
    operator_id: int,
    connection_id: int | None = None,
    slot_id: int | None = None,
    booking_id: str | None = None,
    detail: dict[str, Any] | None = None,
) -> bool:
    """Open a review unless the same matter (`key`) is open already. Returns whether it is new."""
    return insert_ignoring(
        tx,
        Review,
        {
            "kind": kind,
            "key": key,
            "state": "open",
            "operator_id": operator_id,
            "connection_id": connection_id,
            "slot_id": slot_id,
            "booking_id": booking_id,
            "detail": detail or {},
            "created_at": now,
            "resolved_by": "",
            "choice": "",
        },
        unique=["key"],
        where=sa.text("state = 'open'"),
    )


def resolve(tx: Tx, review_id: int, *, state: str, by: str, now: datetime, choice: str = "") -> bool:
    """Close it as ``approved`` or ``dismissed``; the caller does what that means. False if it was closed already."""
    changed = tx.execute(
        sa.update(Review)
        .where(Review.id == review_id, Review.state == "open")
        .values(state=state, resolved_at=now, resolved_by=by, choice=choice)
    )
    return changed.rowcount == 1


def settle(tx: Tx, key: str, *, by: str, now: datetime) -> None:
    """The matter has been dealt with elsewhere: its open review, if there is one, counts as approved."""
    tx.execute(
        sa.update(Review)
        .where(Review.key == key, Review.state == "open")
        .values(state="approved", resolved_at=now, resolved_by=by)
    )


def listing(
    tx: Tx,
    *,
    state: str = "open",
    operator_id: int | None = None,
    kind: str = "",
    booking_id: str = "",
    after: int = 0,
    limit: int | None = None,
) -> list[dict[str, Any]]:
    """Reviews for people to read, oldest first, from after an id on."""
    query = sa.select(Review.__table__).where(Review.state == state, Review.id > after).order_by(Review.id).limit(limit)
    if operator_id is not None:
        query = query.where(Review.operator_id == operator_id)
    if kind:
        query = query.where(Review.kind == kind)
    if booking_id:
        query = query.where(Review.booking_id == booking_id)
    return [dict(r._mapping) for r in tx.execute(query)]


def one(tx: Tx, review_id: int) -> dict[str, Any] | None:
    """A review, open or decided. Where it may be decided its operator is held still and its row locked, in this order:
    who answers a proposal does it as well."""
    query = sa.select(Review.__table__).where(Review.id == review_id)
    if not tx.get_execution_options().get("readonly"):
        owner = tx.execute(sa.select(Review.operator_id).where(Review.id == review_id)).scalar()
        if owner is not None:
            claims.hold_still(tx, owner)
        claims.after_operators(tx, "review")
        query = query.with_for_update()
    row = tx.execute(query).one_or_none()
    return dict(row._mapping) if row is not None else None
