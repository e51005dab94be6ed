"""What was given up is a review: one of an operator for all their mail, one for all that is written into their calendars."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from connectors.errors import ConnectorError
from ledger import claims, reviews
from ledger.db import Tx
from ledger.messages import Message
from ledger.tables import OutboxMessage, Review

KINDS = {
    "unsent_mail": ("SendMail",),
    "unwritten_event": ("PushEvent", "LookForEvent", "SweepEvent"),
}
"""Kind of review → kinds of messages that it asks about. What stands nowhere here only the doctor names."""
_REVIEWS = {message: review for review, messages in KINDS.items() for message in messages}


def tell(
    tx: Tx,
    message: Message,
    error: BaseException,
    *,
    now: datetime,
    operator_id: int | None,
    slot_id: int | None,
    booking_id: str | None,
) -> None:
    """A message is being parked: ask for somebody, once while that is open, however many follow."""
    kind = _REVIEWS.get(type(message).__name__)
    if kind is None or _asked(tx, kind, operator_id) is not None:
        return
    # What a bug of ours says is no server's answer.
    said = "reply" if isinstance(error, ConnectorError) else "why"
    detail = {"about": getattr(message, "about", type(message).__name__), said: str(error)[:500]}
    reviews.ask(
        tx, kind, _key(kind, operator_id), now=now, operator_id=operator_id or 0, slot_id=slot_id, booking_id=booking_id,
        detail=detail,
    )  # fmt: skip


def tried_again(tx: Tx, message_id: int, *, now: datetime) -> None:
    """A message is about to be tried again: with the last one that is parked its review ends. Call it before the message's
    row is changed: the review's lock comes first."""
    row = OutboxMessage
    known = tx.execute(
        sa.select(row.kind, row.operator_id).where(row.id == message_id, row.state == "parked")
    ).one_or_none()
    kind = _REVIEWS.get(known.kind) if known is not None else None
    if known is None or kind is None or _asked(tx, kind, known.operator_id) is None:
        return
    if set(parked(tx, kind, known.operator_id)) <= {message_id}:
        reviews.settle(tx, _key(kind, known.operator_id), by="tried again", now=now)


def parked(tx: Tx, kind: str, operator_id: int | None) -> list[int]:
    """Ids of the messages that such a review of an operator asks about; those of none where the id is 0. What was parked by
    hand before it was tried is not among them."""
    row = OutboxMessage
    theirs = row.operator_id == operator_id if operator_id else row.operator_id.is_(None)
    query = sa.select(row.id).where(row.kind.in_(KINDS[kind]), row.state == "parked", row.attempts > 0, theirs)
    return list(tx.execute(query.order_by(row.id)).scalars())


def _asked(tx: Tx, kind: str, operator_id: int | None) -> int | None:
    """The open review, locked: who parks and who tries again come one after the other, so none is parked unasked."""
    claims.after_operators(tx, "review")
    query = sa.select(Review.id).where(Review.key == _key(kind, operator_id), Review.state == "open")
    return tx.execute(query.with_for_update()).scalar()


def _key(kind: str, operator_id: int | None) -> str:
    return f"{kind}:{operator_id or 0}"
