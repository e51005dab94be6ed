"""What a human decided about a doubt of ours: the other half of `sync/suspicion.py`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa

from connectors.model import Period
from ledger import entries, outbox, reviews
from ledger.db import Tx
from ledger.messages import PushEvent, RemoteCancellation, RemoteMove
from ledger.tables import Calendar, Review, SlotEvent
from sync.errors import NotFound
from sync.facts import report_deleted, scope_of
from sync.mirror import forget_own
from sync.roles import ask_for_pull
from sync.suspicion import may_cancel


def accept_shrink(tx: Tx, calendar_id: int, *, now: datetime, by: str = "") -> None:
    """Yes, that calendar really was emptied: the next pull, asked for at once, applies what it finds. Idempotent.

    Closes the review ``calendar_emptied`` if it is still open. Raises `NotFound`.
    """
    row = tx.execute(
        sa.update(Calendar)
        .where(Calendar.id == calendar_id)
        .values(shrink_accepted=True, due_at=now)
        .returning(Calendar.operator_id)
    ).one_or_none()
    if row is None:
        raise NotFound(f"no calendar {calendar_id}")
    reviews.settle(tx, f"calendar_emptied:{calendar_id}", by=by, now=now)
    ask_for_pull(tx, calendar_id, row.operator_id, now=now)


def resolve_bulk(tx: Tx, review_id: int, *, approve: bool, now: datetime) -> int:
    """Decide a review ``bulk_deletion``; the caller closes it. Returns how many events it was about.

    approve: the deletions were meant; each is told to booking. Otherwise the bookings are kept and their events put
    into the calendar again, under new keys: a provider may refuse a key whose event was deleted (Google answers 409
    for ever). Events that came back, were cancelled or have begun since are left alone. Raises `NotFound`.
    """
    review = tx.execute(sa.select(Review.detail).where(Review.id == review_id)).one_or_none()
    if review is None:
        raise NotFound(f"no review {review_id}")
    event = SlotEvent
    missing = tx.execute(
        sa.select(event.__table__)
        .where(event.slot_id.in_(review.detail.get("slots", ())), event.missing_since.is_not(None))
        .where(event.wanted, event.state != "gone")
        .order_by(event.starts_at, event.id)
    ).all()
    ahead = [row for row in missing if may_cancel(row.starts_at, now)]
    for row in ahead:
        if approve:
            report_deleted(tx, row, now=now)
        else:
            put_again(tx, row, now, cause="the booking is kept; its event was deleted")
    return len(ahead)


def undo_deletion(tx: Tx, fact: RemoteCancellation, *, now: datetime, cause: str) -> None:
    """The booking is kept though its event was deleted: put it there again. Idempotent; nothing to do where another event
    follows already, or the time has come. The operator is locked."""
    row = _still_wanted(tx, fact.slot_event_id, now)
    if row is not None and row.state == "gone":
        put_again(tx, row, now, cause=cause)


def undo_move(tx: Tx, fact: RemoteMove, *, now: datetime, cause: str) -> None:
    """The booking keeps its time though its event was moved: move it back. Nothing to do where there is a newer wish, which
    is written anyway. The operator is locked."""
    row = _still_wanted(tx, fact.slot_event_id, now)
    if row is not None and row.version == fact.version:
        entries.insist(tx, row.slot_id, seen=Period(fact.start, fact.end), now=now, cause=cause)


def _still_wanted(tx: Tx, slot_event_id: int, now: datetime) -> Any:
    row = tx.execute(sa.select(SlotEvent.__table__).where(SlotEvent.id == slot_event_id)).one_or_none()
    return row if row is not None and row.wanted and may_cancel(row.starts_at, now) else None


def put_again(tx: Tx, row: Any, now: datetime, *, cause: str) -> None:
    """A new event for the same slot, under a new key. row: of `SlotEvent`."""
    forget_own(tx, row.id)
    tx.execute(
        sa.update(SlotEvent)
        .where(SlotEvent.id == row.id)
        .values(**entries.anew(row), version=row.version + 1, updated_at=now)
    )
    message = PushEvent(row.id, row.version + 1)
    outbox.append(tx, message, now=now, scope=scope_of(row), cause=cause)
