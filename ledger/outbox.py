"""Everything that happens later is a row here, written in the transaction that decided it (P2, P3).

Life of a row: waiting → queued (handed to the broker) → running → done | waiting (again later) | parked.
A broker that forgets loses nothing: what is queued or running past its lease is leased again.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql.dml import ReturningUpdate

from ledger import given_up, pauses
from ledger.backoff import NotYet, next_attempt
from ledger.db import Tx, UtcDateTime, insert_ignoring, skip_locked
from ledger.messages import Message, from_body, to_body
from ledger.tables import OutboxMessage

LIVE = ("waiting", "queued", "running")
_LIVE: list[sa.ColumnElement[str]] = [sa.literal_column(f"'{state}'") for state in LIVE]
_WAITING_TWIN = sa.text("merges AND state = 'waiting'")
# Both spelled out and not bound: SQLite can't know that bound values fit the condition of a partial index, and would
# read the whole table.
QUEUE_LEASE = timedelta(seconds=60)
RUN_LEASE = timedelta(seconds=45)
"""How long a worker may be silent; `extend` renews it while work goes on."""


class LeaseLost(Exception):
    """Somebody else took this message over; what this attempt would store is not stored."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What a message is about, for pauses and for reading the outbox."""

    operator_id: int | None = None
    service_id: int | None = None
    slot_id: int | None = None
    booking_id: str | None = None


@dataclass(frozen=True, slots=True)
class Leased:
    """A message in the hands of one worker. lease: proof of it."""

    id: int
    message: Message
    lease: str
    attempt: int
    cause: str
    scope: Scope
    created_at: datetime


def append(
    tx: Tx,
    message: Message,
    *,
    now: datetime,
    not_before: datetime | None = None,
    scope: Scope | None = None,
    cause: str = "",
) -> bool:
    """Ask for something later. Idempotent by ``message.key``; while it waits, the earlier of two due times counts.

    Returns whether a row was added.
    """
    scope = scope or Scope()
    due = not_before or now
    added = insert_ignoring(
        tx,
        OutboxMessage,
        {
            "kind": type(message).__name__,
            "body": to_body(message),
            "key": message.key,
            "merges": message.merges,
            "line": message.line,
            "automation": message.automation,
            "operator_id": scope.operator_id,
            "service_id": scope.service_id,
            "slot_id": scope.slot_id,
            "booking_id": scope.booking_id,
            "cause": cause,
            "state": "waiting",
            "attempts": 0,
            "lease": "",
            "last_error": "",
            "not_before": due,
            "created_at": now,
        },
        unique=["key"],
        where=_WAITING_TWIN if message.merges else sa.text("NOT merges"),
    )
    if not added:
        twin = _WAITING_TWIN if message.merges else sa.text("NOT merges AND state = 'waiting'")
        tx.execute(
            sa.update(OutboxMessage)
            .where(OutboxMessage.key == message.key, twin, OutboxMessage.not_before > due)
            .values(not_before=due)
        )
    tx.info["wake"] = True
    return added


def lease(
    tx: Tx, *, now: datetime, limit: int = 100, lease_for: timedelta = QUEUE_LEASE, but: Collection[str] = ()
) -> list[tuple[int, str]]:
    """Take due messages for the broker: ``(id, kind)`` in order. Leaves out what is paused or has an earlier one in its line.

    but: kinds that are left where they are, because their queue is full.
    """
    taken = tx.execute(_lease(), {"b_now": now, "b_until": now + lease_for, "b_limit": limit, "b_but": list(but)}).all()
    return sorted((r.id, r.kind) for r in taken)


def next_due(tx: Tx, *, now: datetime) -> datetime | None:
    """When the relay should look again at the latest: the earliest due time or lease end after now."""
    row = OutboxMessage
    moment = sa.case((row.state == "waiting", row.not_before), else_=row.leased_until)
    return tx.execute(sa.select(sa.func.min(moment)).where(row.state.in_(_LIVE), moment > now)).scalar()


@cache
def _lease() -> ReturningUpdate[int, str]:
    row, now = OutboxMessage, _instant("b_now")
    earlier = sa.orm.aliased(OutboxMessage)
    due = (
        sa.select(row.id)
        .where(
            row.state.in_(_LIVE),
            row.not_before <= now,
            sa.or_(row.state == "waiting", row.leased_until <= now),
            ~sa.exists().where(earlier.line == row.line, earlier.id < row.id, earlier.state.in_(_LIVE)),
            ~pauses.holding(row, now),
            row.kind.not_in(sa.bindparam("b_but", expanding=True)),
        )
        .order_by(row.not_before, row.id)
        .limit(sa.bindparam("b_limit", type_=sa.Integer()))
    )
    return (
        sa.update(row)
        .where(row.id.in_(skip_locked(due)))
        .values(state="queued", leased_until=_instant("b_until"))
        .returning(row.id, row.kind)
    )


def next_start(tx: Tx, *, now: datetime) -> datetime | None:
    """The earliest due time after now of what waits: `next_due` without the ends of leases, and quick in a big outbox."""
    row = OutboxMessage
    return tx.execute(
        sa.select(row.not_before)
        .where(row.state.in_(_LIVE), row.state == "waiting", row.not_before > now)
        .order_by(row.not_before)
        .limit(1)
    ).scalar()


def begin(tx: Tx, message_id: int, *, now: datetime, lease_for: timedelta = RUN_LEASE) -> Leased | None:
    """Start working on a message. None if it is done, held by a pause, or in somebody else's hands: nothing to do then."""
    token = secrets.token_hex(8)
    found = tx.execute(
        _begin(), {"b_id": message_id, "b_now": now, "b_until": now + lease_for, "b_lease": token}
    ).one_or_none()
    return _leased(found, token) if found else None


@cache
def _begin() -> ReturningUpdate[Any]:
    row, now = OutboxMessage, _instant("b_now")
    return (
        sa.update(row)
        .where(
            row.id == sa.bindparam("b_id"),
            sa.or_(row.state == "queued", sa.and_(row.state == "running", row.leased_until <= now)),
            ~pauses.holding(row, now),
        )
        .values(
            state="running", lease=sa.bindparam("b_lease"), leased_until=_instant("b_until"), attempts=row.attempts + 1
        )
        .returning(*_COLUMNS)
    )


def extend(tx: Tx, leases: Sequence[str], *, now: datetime, lease_for: timedelta = RUN_LEASE) -> None:
    """Go on holding these leases; long work says so every few seconds."""
    tx.execute(
        sa.update(OutboxMessage)
        .where(OutboxMessage.lease.in_(leases), OutboxMessage.state == "running")
        .values(leased_until=now + lease_for)
    )


def settle(tx: Tx, leased: Leased, *, now: datetime) -> None:
    """Done, in the same transaction as what was learned. Raises `LeaseLost`."""
    done = tx.execute(_settle(), {"b_id": leased.id, "b_lease": leased.lease, "b_now": now})
    if done.rowcount != 1:
        raise LeaseLost(f"{type(leased.message).__name__} {leased.id}")


@cache
def _settle() -> sa.Update:
    row = OutboxMessage
    return (
        sa.update(row)
        .where(row.id == sa.bindparam("b_id"), row.state == "running", row.lease == sa.bindparam("b_lease"))
        .values(state="done", lease="", leased_until=None, settled_at=_instant("b_now"), last_error="")
    )


def fail(tx: Tx, leased: Leased, error: BaseException, *, now: datetime, spread: float = 0.5) -> datetime | None:
    """Note a failed attempt. Returns when it will be tried again, or None if it was parked, and somebody is asked where
    people would miss it (`given_up`). Raises `LeaseLost`."""
    again = next_attempt(error, leased.attempt, now, spread=spread)
    text = f"{type(error).__name__}: {error}"[:1000]
    if again is None:
        whose = leased.scope
        given_up.tell(
            tx, leased.message, error, now=now, operator_id=whose.operator_id, slot_id=whose.slot_id,
            booking_id=whose.booking_id,
        )  # fmt: skip
        _finish(tx, leased, state="parked", settled_at=now, last_error=text)
        return None
    if leased.message.merges and _waits_already(tx, leased.message.key):
        _finish(tx, leased, state="done", settled_at=now, last_error=text)
        return again
    attempts = leased.attempt - 1 if isinstance(error, NotYet) else leased.attempt
    _finish(tx, leased, state="waiting", not_before=again, last_error=text, attempts=attempts)
    tx.info["wake"] = True
    return again


def release_all(tx: Tx) -> int:
    """Give back every lease. Only for a process that knows it is alone (embedded mode, at its start)."""
    row = OutboxMessage
    # A running merging row may have a waiting twin by now; the twin does the work.
    twin = sa.orm.aliased(OutboxMessage)
    tx.execute(
        sa.update(row)
        .where(row.merges, row.state.in_(("queued", "running")))
        .where(sa.exists().where(twin.key == row.key, twin.id != row.id, twin.state.in_(_LIVE), twin.id > row.id))
        .values(state="done", lease="", leased_until=None, settled_at=row.not_before)
    )
    result = tx.execute(
        sa.update(row).where(row.state.in_(("queued", "running"))).values(state="waiting", lease="", leased_until=None)
    )
    return result.rowcount


def park(tx: Tx, message_id: int, *, why: str, now: datetime) -> bool:
    """Take a message out of the flow by hand."""
    changed = tx.execute(
        sa.update(OutboxMessage)
        .where(OutboxMessage.id == message_id, OutboxMessage.state.in_(_LIVE))
        .values(state="parked", settled_at=now, last_error=why, lease="", leased_until=None)
    )
    return changed.rowcount == 1


def retry(tx: Tx, message_id: int, *, now: datetime) -> bool:
    """Try a waiting or parked message at once, with all its attempts anew. Where a twin of a parked one waits already,
    the twin does it. A review that asks about what was given up ends with the last one."""
    given_up.tried_again(tx, message_id, now=now)
    return _put_back(tx, message_id, now=now)


def retry_all(tx: Tx, review: str, operator_id: int, *, now: datetime) -> int:
    """Try everything again that such a review of an operator asks about (`given_up.parked`), as `retry` does; the review is
    left to the caller. Returns how many."""
    return sum(_put_back(tx, message_id, now=now) for message_id in given_up.parked(tx, review, operator_id))


def _put_back(tx: Tx, message_id: int, *, now: datetime) -> bool:
    row = OutboxMessage
    known = tx.execute(
        sa.select(row.key, row.merges, row.state).where(row.id == message_id, row.state.in_(("waiting", "parked")))
    ).one_or_none()
    if known is None:
        return False
    tx.info["wake"] = True
    if known.merges and known.state == "parked":
        twin = tx.execute(sa.update(row).where(row.key == known.key, _WAITING_TWIN).values(not_before=now, attempts=0))
        if twin.rowcount:
            tx.execute(sa.update(row).where(row.id == message_id).values(state="done", settled_at=now))
            return True
    changed = tx.execute(
        sa.update(row)
        .where(row.id == message_id, row.state == known.state)
        .values(state="waiting", not_before=now, attempts=0, settled_at=None)
    )
    return changed.rowcount == 1


def exists(tx: Tx, message_id: int) -> bool:
    """Is there such a message, in whatever state?"""
    return tx.execute(sa.select(OutboxMessage.id).where(OutboxMessage.id == message_id)).first() is not None


def forget_done(tx: Tx, *, before: datetime, limit: int = 1000) -> int:
    """Delete what was done or discarded before an instant, the oldest first. Returns how many rows that were."""
    row = OutboxMessage
    old = (
        sa.select(row.id)
        .where(row.state.in_(("done", "discarded")), row.settled_at < before)
        .order_by(row.id)
        .limit(limit)
    )
    return tx.execute(sa.delete(row).where(row.id.in_(old))).rowcount


def counts(tx: Tx, *, operator_id: int | None = None) -> dict[str, int]:
    """How many messages there are in each state but the last ones; of one operator, or of all."""
    row = OutboxMessage
    states = sa.select(row.state, sa.func.count()).where(row.state.in_((*LIVE, "parked"))).group_by(row.state)
    if operator_id is not None:
        states = states.where(row.operator_id == operator_id)
    return dict.fromkeys((*LIVE, "parked"), 0) | {r[0]: r[1] for r in tx.execute(states)}


def discard_key(tx: Tx, key: str, *, now: datetime) -> None:
    """What this message asks for was decided otherwise. Idempotent; one that runs already is left alone."""
    tx.execute(
        sa.update(OutboxMessage)
        .where(OutboxMessage.key == key, OutboxMessage.state.in_(("waiting", "queued")))
        .values(state="discarded", settled_at=now, lease="", leased_until=None)
    )


def listing(
    tx: Tx,
    *,
    state: str = "",
    kind: str = "",
    operator_id: int | None = None,
    booking_id: str = "",
    before: int | None = None,
    limit: int = 200,
) -> list[dict[str, Any]]:
    """Messages for people to read, newest first, from before an id on; state ``""`` means all that is not done."""
    row = OutboxMessage
    query = sa.select(
        row.id, row.kind, row.body, row.state, row.automation, row.attempts, row.not_before, row.last_error, row.cause,
        row.created_at, row.operator_id, row.slot_id, row.booking_id,
    ).order_by(row.id.desc()).limit(limit)  # fmt: skip
    query = query.where(row.state == state) if state else query.where(row.state.in_((*LIVE, "parked")))
    if kind:
        query = query.where(row.kind == kind)
    if operator_id is not None:
        query = query.where(row.operator_id == operator_id)
    if booking_id:
        query = query.where(row.booking_id == booking_id)
    if before is not None:
        query = query.where(row.id < before)
    return [dict(r._mapping) for r in tx.execute(query)]


_COLUMNS = (
    OutboxMessage.id, OutboxMessage.kind, OutboxMessage.body, OutboxMessage.attempts, OutboxMessage.cause,
    OutboxMessage.operator_id, OutboxMessage.service_id, OutboxMessage.slot_id, OutboxMessage.booking_id,
    OutboxMessage.created_at,
)  # fmt: skip


def _instant(name: str) -> sa.BindParameter[datetime]:
    """A parameter of the statements that are built once: building one takes longer than running it."""
    return sa.bindparam(name, type_=UtcDateTime())


def _leased(row: Any, token: str) -> Leased:
    scope = Scope(row.operator_id, row.service_id, row.slot_id, row.booking_id)
    message = from_body(row.kind, row.body)
    return Leased(row.id, message, token, row.attempts, row.cause, scope, row.created_at)


def _finish(tx: Tx, leased: Leased, **values: Any) -> None:
    changed = tx.execute(
        sa.update(OutboxMessage)
        .where(OutboxMessage.id == leased.id, OutboxMessage.state == "running", OutboxMessage.lease == leased.lease)
        .values(lease="", leased_until=None, **values)
    )
    if changed.rowcount != 1:
        raise LeaseLost(f"{type(leased.message).__name__} {leased.id}")


def _waits_already(tx: Tx, key: str) -> bool:
    return tx.execute(sa.select(OutboxMessage.id).where(OutboxMessage.key == key, _WAITING_TWIN)).first() is not None
