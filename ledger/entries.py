"""The wish for a slot's event in the operator's calendar. Booking writes it, sync makes it true: here they meet."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from connectors.model import Period
from ledger import claims, outbox
from ledger.db import Tx
from ledger.messages import PushEvent, RemoteCancellation
from ledger.tables import Calendar, Connection, Deployment, SlotEvent


@dataclass(frozen=True, slots=True)
class Guest:
    """The client whom the operator's own account invites (P8). conference: with a video meeting of the provider's."""

    email: str
    name: str = ""
    conference: bool = False


@dataclass(frozen=True, slots=True)
class Words:
    """What the operator reads in their calendar, in their language. guest: only where the account is the voice."""

    title: str
    description: str = ""
    location: str = ""
    url: str = ""
    categories: tuple[str, ...] = ()
    guest: Guest | None = None


def voice_of(tx: Tx, operator_id: int) -> str:
    """Who invites the operator's clients: ``service`` (we) or ``provider``, the account that takes the bookings (P8)."""
    query = (
        sa.select(Connection.voice)
        .join(Calendar, Calendar.connection_id == Connection.id)
        .where(Calendar.operator_id == operator_id, Calendar.bookings)
    )
    return tx.execute(query.order_by(Calendar.id).limit(1)).scalar() or "service"


def deployment_id(tx: Tx) -> str:
    """Who we are, in every key that we put into foreign calendars."""
    return str(tx.execute(sa.select(Deployment.id)).scalar_one())


def wish(
    tx: Tx,
    *,
    slot_id: int,
    operator_id: int,
    service_id: int,
    period: Period,
    words: Words,
    grace_seconds: int,
    domain: str,
    now: datetime,
    cause: str = "",
    there: bool = False,
) -> None:
    """Say how the slot's event should be; a change of time raises its SEQUENCE. Idempotent: the same wish asks for nothing.

    domain: right-hand side of the UID. there: the operator has put it there already (their move is taken over). An event
    that was taken away because nobody wanted it comes again as another one.
    """
    # Locked: sync may be writing down just now that it took the event away.
    claims.after_operators(tx, "slot_event")
    query = sa.select(SlotEvent.__table__).where(SlotEvent.slot_id == slot_id).with_for_update()
    known = tx.execute(query).one_or_none()
    said = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(words).items() if v is not None}
    if known is None:
        event_id = _plan(tx, slot_id, operator_id, service_id, period, said, grace_seconds, domain, now)
        _push(tx, event_id, 1, operator_id, service_id, slot_id, now, cause)
        return
    moved = (known.starts_at, known.ends_at) != (period.start, period.end)
    if not moved and known.words == said and known.wanted:
        return
    values: dict[str, object] = {
        "starts_at": period.start,
        "ends_at": period.end,
        "words": said,
        "wanted": True,
        "version": known.version + 1,
        "sequence": known.sequence + (1 if moved else 0),
        "updated_at": now,
    }
    if known.state == "gone" and not known.wanted:
        values |= anew(known)
        there = False
        # A deletion of the one before, that nobody has acted on yet, says nothing about this one.
        outbox.discard_key(tx, RemoteCancellation(known.id, slot_id).key, now=now)
    if there:
        values |= {"pushed_start": period.start, "pushed_end": period.end}
        # What else was wished for and not written yet still has to be.
        there = known.words == said and known.wanted and known.pushed_version >= known.version
        values |= {"pushed_version": known.version + 1} if there else {}
    tx.execute(sa.update(SlotEvent).where(SlotEvent.id == known.id).values(**values))
    if there:
        return
    _push(tx, known.id, known.version + 1, operator_id, service_id, slot_id, now, cause)


def reword(tx: Tx, slot_id: int, words: Words | None) -> None:
    """Other words in our copy alone; the provider isn't told. None: no words, for an event that nobody needs any more."""
    said = (
        {}
        if words is None
        else {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(words).items() if v is not None}
    )
    tx.execute(sa.update(SlotEvent).where(SlotEvent.slot_id == slot_id).values(words=said))


def key_of(deployment: str, generation: int, slot_id: int) -> str:
    """The key of a slot's first event. generation: of the deployment when the slot was taken."""
    whose = f"{deployment}:{slot_id}" if not generation else f"{deployment}:{slot_id}:{generation}"
    return f"sl{hashlib.sha256(whose.encode()).hexdigest()[:40]}"


def next_key(key: str) -> str:
    """The key of the event that follows a deleted one."""
    return f"sl{hashlib.sha256(f'{key}:again'.encode()).hexdigest()[:40]}"


def anew(row: Any) -> dict[str, object]:
    """Values that make the row of an event that is gone, as `SlotEvent` has it, ask for another one.

    A provider may refuse a key whose event was deleted (Google answers 409 for ever). The next key follows from the last
    one, so that a repeat makes no third.
    """
    key = next_key(row.key)
    return {
        "key": key,
        "uid": f"{key}@{row.uid.partition('@')[2]}",
        "state": "planned",
        "href": "",
        "etag": "",
        "pushed_version": 0,
        "pushed_start": None,
        "pushed_end": None,
        "confirmed_at": None,
        "missing_since": None,
    }


def insist(tx: Tx, slot_id: int, *, seen: Period, now: datetime, cause: str = "") -> None:
    """The operator moved the event to `seen`, and the answer is no: put it back to where the wish says."""
    known = tx.execute(
        sa.update(SlotEvent)
        .where(SlotEvent.slot_id == slot_id, SlotEvent.wanted)
        .values(version=SlotEvent.version + 1, pushed_start=seen.start, pushed_end=seen.end, updated_at=now)
        .returning(SlotEvent.id, SlotEvent.version, SlotEvent.operator_id, SlotEvent.service_id)
    ).one_or_none()
    if known is not None:
        _push(tx, known.id, known.version, known.operator_id, known.service_id, slot_id, now, cause)


def unwish(tx: Tx, slot_id: int, *, now: datetime, cause: str = "") -> None:
    """Say that the slot's event should not be there (any more), and forget what it said. Idempotent; nothing is asked for
    where it is gone."""
    known = tx.execute(
        sa.update(SlotEvent)
        .where(SlotEvent.slot_id == slot_id, SlotEvent.wanted)
        .values(wanted=False, words={}, version=SlotEvent.version + 1, updated_at=now)
        .returning(SlotEvent.id, SlotEvent.version, SlotEvent.operator_id, SlotEvent.service_id, SlotEvent.state)
    ).one_or_none()
    if known is not None and known.state != "gone":
        _push(tx, known.id, known.version, known.operator_id, known.service_id, slot_id, now, cause)


def _plan(
    tx: Tx,
    slot_id: int,
    operator_id: int,
    service_id: int,
    period: Period,
    words: dict[str, object],
    grace_seconds: int,
    domain: str,
    now: datetime,
) -> int:
    target = tx.execute(
        sa.select(Calendar.id).where(Calendar.operator_id == operator_id, Calendar.bookings).order_by(Calendar.id)
    ).scalar()
    # One slot lives once: its key is never used again, so an event that was deleted never comes back by itself.
    key = key_of(*tx.execute(sa.select(Deployment.id, Deployment.generation)).one(), slot_id)
    return int(
        tx.execute(
            sa.insert(SlotEvent)
            .values(
                slot_id=slot_id,
                operator_id=operator_id,
                service_id=service_id,
                calendar_id=target,
                key=key,
                uid=f"{key}@{domain}",
                starts_at=period.start,
                ends_at=period.end,
                words=words,
                grace_seconds=grace_seconds,
                created_at=now,
                updated_at=now,
            )
            .returning(SlotEvent.id)
        ).scalar_one()
    )


def _push(
    tx: Tx, event_id: int, version: int, operator_id: int, service_id: int, slot_id: int, now: datetime, cause: str
) -> None:
    scope = outbox.Scope(operator_id=operator_id, service_id=service_id, slot_id=slot_id)
    outbox.append(tx, PushEvent(event_id, version), now=now, scope=scope, cause=cause)
