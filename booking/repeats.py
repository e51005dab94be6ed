"""Idempotency-Key: the same request made again is answered as it was the first time (INTERFACE §4)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from booking.errors import KeyReused
from booking.tables import IdempotencyKey
from ledger.db import Tx, insert_ignoring

KEPT = timedelta(hours=24)


def made_before(tx: Tx, key: str, request: Mapping[str, Any]) -> str:
    """The booking that this request made with this key; ``""`` for a new key. Raises `KeyReused` for another request."""
    row = tx.execute(
        sa.select(IdempotencyKey.body_hash, IdempotencyKey.booking_id).where(IdempotencyKey.key == key)
    ).one_or_none()
    if row is None:
        return ""
    if row.body_hash != _hash(request):
        raise KeyReused(str(row.booking_id))
    return str(row.booking_id)


def remember(tx: Tx, key: str, request: Mapping[str, Any], booking_id: str, *, now: datetime) -> None:
    """This request made this booking."""
    values = {"key": key, "body_hash": _hash(request), "booking_id": booking_id, "created_at": now}
    insert_ignoring(tx, IdempotencyKey, values, unique=["key"])


def same_answer(tx: Tx, booking_id: str, write: Callable[[], str]) -> str:
    """What was answered to the request that made this booking with a key; written now, and kept, if nothing was yet. The
    booking may have gone on since: who asks again for lack of an answer gets that answer, and reads on from there."""
    mine = IdempotencyKey.booking_id == booking_id
    kept = tx.execute(sa.select(IdempotencyKey.answer).where(mine)).scalar()
    if kept:
        return str(kept)
    answer = write()
    tx.execute(sa.update(IdempotencyKey).where(mine).values(answer=answer))
    return answer


def forget_answers(tx: Tx, now: datetime, *, limit: int = 1000) -> int:
    """Keys and answers of yesterday, a small batch at a time: they are kept for 24 hours. Returns how many."""
    old = sa.select(IdempotencyKey.key).where(IdempotencyKey.created_at < now - KEPT)
    batch = old.order_by(IdempotencyKey.created_at).limit(limit)
    return tx.execute(sa.delete(IdempotencyKey).where(IdempotencyKey.key.in_(batch))).rowcount


def _hash(request: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(request, sort_keys=True, default=str).encode()).hexdigest()
