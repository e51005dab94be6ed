"""From what happened to what is told: queued in the same transaction, in its order, and never lost by a pause.

Law of order: who adds to the feed first takes a shared lock of each endpoint that may want it (`listening`), and only
then gets a place in the feed; who changes an endpoint's state takes the row for itself. So an event is either seen by
whoever goes through the feed, or by who queues it, and never by none of them. On SQLite there is one writer anyway.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any

import sqlalchemy as sa

from connectors.errors import ConnectorError
from ledger import outbox, reviews
from ledger.backoff import next_attempt
from ledger.db import Tx
from ledger.messages import CatchUpWebhook, SendWebhook
from ledger.outbox import Scope
from ledger.tables import OutboxMessage, TimelineEntry
from ledger.webhooks import Webhook, row_of

BATCH = 500
"""Entries of the feed that one step of a replay goes through."""
PAUSE_AFTER = timedelta(hours=12)
"""An endpoint that has failed for so long, without one success, is paused."""
PROBE = timedelta(minutes=1)
"""While an endpoint fails, one attempt at a time; the next one may begin after this even if the first never ended."""
NOTED_EVERY = timedelta(minutes=1)
"""How exactly the last success is kept: the row is shared by every event."""


def listening(tx: Tx, operator_id: int, what: str) -> Sequence[Any]:
    """Active endpoints that want this: ``id, run``. To be asked before the entry is written; nobody pauses or resumes
    them until this transaction is over."""
    event = event_type(what)
    return [
        row for row in tx.execute(_listening(), {"b_operator": operator_id}) if not row.events or event in row.events
    ]


@cache
def _listening() -> sa.Select[Any]:
    row = Webhook
    wants = sa.or_(row.operator_id.is_(None), row.operator_id == sa.bindparam("b_operator"))
    # All states are locked, not the active ones only: one that is paused must not go on between our look and our commit.
    chosen = sa.select(row.id, row.run, row.events, row.state).where(wants).order_by(row.id)
    # FOR KEY SHARE: in the way of who takes the row for itself, not of who notes a success.
    return chosen.with_for_update(read=True, key_share=True)


def announce(
    tx: Tx, endpoints: Sequence[Any], entry_id: int, booking_id: str, operator_id: int, *, now: datetime
) -> None:
    """Queue an entry of the feed for the endpoints that `listening` found."""
    for row in endpoints:
        if row.state == "active":
            _queue(tx, row.id, row.run, entry_id, booking_id, operator_id, now=now)


def event_type(what: str) -> str:
    """How the feed and webhooks name a line of a booking's timeline."""
    return f"booking.{what}"


def may_try(tx: Tx, row: Any, *, now: datetime) -> timedelta:
    """While an endpoint fails, one message at a time goes to it. Zero: go; else how long to wait. row: as it was read."""
    if row.retry_at is None:
        return timedelta(0)
    if row.retry_at > now:
        return row.retry_at - now  # type: ignore[no-any-return]
    mine = tx.execute(
        sa.update(Webhook).where(Webhook.id == row.id, Webhook.retry_at == row.retry_at).values(retry_at=now + PROBE)
    )
    return timedelta(0) if mine.rowcount == 1 else PROBE


def note_success(tx: Tx, webhook_id: int, *, now: datetime) -> None:
    """It took an event. Where it had failed, what waits for it goes at once."""
    row = Webhook
    mended = tx.execute(
        sa.update(row)
        .where(row.id == webhook_id, row.failing_since.is_not(None))
        .values(failures=0, failing_since=None, retry_at=None, last_success_at=now)
    )
    if mended.rowcount:
        tx.execute(sa.update(OutboxMessage).where(*_waiting(webhook_id)).values(not_before=now))
        tx.info["wake"] = True
        return
    long_ago = sa.or_(row.last_success_at.is_(None), row.last_success_at <= now - NOTED_EVERY)
    tx.execute(sa.update(row).where(row.id == webhook_id, long_ago).values(last_success_at=now))


def note_failure(tx: Tx, seen: Any, error: ConnectorError, *, now: datetime) -> bool:
    """It didn't take an event. Returns whether it is paused by that. seen: the row as it was before the attempt.

    Several that fail at once count as one.
    """
    row = row_of(tx, seen.id, lock=True)
    if row is None or row.state not in ("active", "replaying"):
        return True
    if row.failures != seen.failures:
        return False
    since = row.failing_since or now
    if now - since >= PAUSE_AFTER:
        pause(tx, seen.id, why=f"failing since {since:%Y-%m-%d %H:%M} UTC: {error.code}", now=now, notice=True)
        return True
    failures = min(row.failures + 1, 30)
    again = next_attempt(error, failures, now) or now + timedelta(minutes=30)
    values = {"failures": failures, "failing_since": since, "retry_at": again}
    tx.execute(sa.update(Webhook).where(Webhook.id == seen.id).values(**values))
    return False


def pause(tx: Tx, webhook_id: int, *, why: str, now: datetime, state: str = "paused", notice: bool = False) -> None:
    """Send nothing more, and remember where to go on. state: ``disabled`` where the endpoint says that it is gone.
    notice: open a review, so that somebody knows. Idempotent."""
    row = row_of(tx, webhook_id, lock=True)
    if row is None or row.state in ("paused", "disabled"):
        return
    values = {"state": state, "state_detail": why[:500], "state_since": now, "position": _position(tx, row)}
    tx.execute(sa.update(Webhook).where(Webhook.id == webhook_id).values(**values))
    _discard(tx, webhook_id, now=now)
    if notice:
        detail = {"webhook": webhook_id, "why": why[:500], "state": state}
        reviews.ask(tx, "webhook", _review(webhook_id), now=now, operator_id=row.operator_id or 0, detail=detail)


def resume(tx: Tx, webhook_id: int, *, now: datetime, after: int | None = None) -> None:
    """Send again everything that lies after a place in the feed, in order, and then what happens. after: where it stood
    when it was paused if left out; of an active one, only what is new: nothing is repeated."""
    row = row_of(tx, webhook_id, lock=True)
    if row is None or (after is None and row.state in ("active", "replaying")):
        return
    start = row.position if after is None else after
    if row.state in ("active", "replaying"):
        # What is queued already and lies before that place goes on; the rest comes again.
        _discard(tx, webhook_id, now=now, after=start)
    run = row.run + 1
    values = {"state": "replaying", "state_detail": "", "state_since": now, "position": start, "run": run}
    anew = {"failures": 0, "failing_since": None, "retry_at": None}
    tx.execute(sa.update(Webhook).where(Webhook.id == webhook_id).values(**values, **anew))
    outbox.append(tx, CatchUpWebhook(webhook_id, run, start), now=now, scope=Scope(operator_id=row.operator_id))
    reviews.settle(tx, _review(webhook_id), by="resumed", now=now)


def catch_up(tx: Tx, message: CatchUpWebhook, *, now: datetime) -> None:
    """One step of a replay: queue the next entries; at the end of the feed the endpoint is active again."""
    row = row_of(tx, message.webhook_id, lock=True)
    if row is None or row.state != "replaying" or row.run != message.run:
        return
    entry = TimelineEntry
    query = sa.select(entry.id, entry.what, entry.booking_id, entry.operator_id).where(entry.id > row.position)
    if row.operator_id is not None:
        query = query.where(entry.operator_id == row.operator_id)
    found = tx.execute(query.order_by(entry.id).limit(BATCH)).all()
    for each in found:
        if not row.events or event_type(each.what) in row.events:
            _queue(tx, row.id, row.run, each.id, each.booking_id, each.operator_id, now=now)
    values: dict[str, Any] = {"position": found[-1].id} if found else {}
    if len(found) < BATCH:
        values |= {"state": "active", "state_since": now}
    else:
        step = CatchUpWebhook(row.id, row.run, found[-1].id)
        outbox.append(tx, step, now=now, scope=Scope(operator_id=row.operator_id))
    tx.execute(sa.update(Webhook).where(Webhook.id == row.id).values(**values))


def _queue(
    tx: Tx, webhook_id: int, run: int, entry_id: int, booking_id: str, operator_id: int, *, now: datetime
) -> None:
    scope = Scope(operator_id=operator_id, booking_id=booking_id)
    outbox.append(tx, SendWebhook(webhook_id, run, entry_id, booking_id), now=now, scope=scope)


def _position(tx: Tx, row: Any) -> int:
    """The last entry before the first that it hasn't got."""
    message = OutboxMessage
    first = sa.select(sa.func.min(_entry_id())).where(
        message.line.startswith(_lines(row.id)), message.state.in_(outbox.LIVE)
    )
    undelivered = tx.execute(first).scalar()
    if row.state == "replaying":
        return int(min(row.position, undelivered - 1) if undelivered is not None else row.position)
    if undelivered is not None:
        return int(undelivered) - 1
    return int(tx.execute(sa.select(sa.func.max(TimelineEntry.id))).scalar() or 0)


def _discard(tx: Tx, webhook_id: int, *, now: datetime, after: int = -1) -> None:
    """What waits for it is dropped; an attempt that runs ends as it ends."""
    message = OutboxMessage
    tx.execute(
        sa.update(message)
        .where(message.line.startswith(_lines(webhook_id)), message.state.in_(("waiting", "queued")))
        .where(_entry_id() > after)
        .values(state="discarded", settled_at=now, lease="", leased_until=None)
    )


def _entry_id() -> sa.ColumnElement[int]:
    return sa.cast(OutboxMessage.body["entry_id"].as_string(), sa.BigInteger)


def _waiting(webhook_id: int) -> tuple[sa.ColumnElement[bool], ...]:
    return OutboxMessage.line.startswith(_lines(webhook_id)), OutboxMessage.state == "waiting"


def _lines(webhook_id: int) -> str:
    return f"webhook:{webhook_id}:"


def _review(webhook_id: int) -> str:
    return f"webhook:{webhook_id}"
