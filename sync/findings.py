"""What the doctor found, and what can be done about each: always the ordinary rows of the outbox (INTERFACE §7)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from connectors.model import Period
from ledger import entries, outbox
from ledger.db import Tx
from ledger.messages import OpenChannel, RemoteOverlap, SweepEvent
from ledger.tables import Calendar, Channel, Slot, SlotEvent
from sync import hints, verdicts
from sync.facts import scope_of
from sync.roles import ask_for_pull

CAUSE = "doctor"


class Kind(StrEnum):
    """What may be wrong."""

    MISSING = "missing"
    DUPLICATE = "duplicate"
    ORPHANED = "orphaned"
    WRONG_TIME = "wrong_time"
    WRONG_SEQUENCE = "wrong_sequence"
    UNSENT = "unsent"
    OVERLAP = "overlap"
    STALE_CALENDAR = "stale_calendar"
    DEAD_CHANNEL = "dead_channel"


Remedy = Callable[[Tx, datetime], None]
"""Asks for what helps, in the caller's transaction."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong. about: ``slot 7``, ``calendar 3``, ``message 12``. plan: what the remedy does, in words, or
    why there is none: then a human must."""

    kind: Kind
    operator: str
    about: str
    detail: str
    plan: str
    remedy: Remedy | None = field(default=None, compare=False)


def put_again(event_id: int) -> Remedy:
    """Another event for the slot, under a new key. Nothing happens where it is no longer wanted, or is looked for."""

    def remedy(tx: Tx, now: datetime) -> None:
        row = _wanted(tx, event_id)
        if row is not None and row.missing_since is None:
            verdicts.put_again(tx, row, now, cause=CAUSE)

    return remedy


def push_again(event_id: int, seen: Period | None = None) -> Remedy:
    """Write the event as it is wished. seen: where it lies instead."""

    def remedy(tx: Tx, now: datetime) -> None:
        row = _wanted(tx, event_id)
        if row is not None:
            there = seen or Period(row.pushed_start or row.starts_at, row.pushed_end or row.ends_at)
            entries.insist(tx, row.slot_id, seen=there, now=now, cause=CAUSE)

    return remedy


def sweep(event_id: int) -> Remedy:
    """Remove what carries the key of the slot's event beside it; all of it where none is wanted."""

    def remedy(tx: Tx, now: datetime) -> None:
        row = tx.execute(sa.select(SlotEvent.__table__).where(SlotEvent.id == event_id)).one()
        outbox.append(tx, SweepEvent(event_id), now=now, scope=scope_of(row), cause=CAUSE)

    return remedy


def try_again(message_id: int) -> Remedy:
    """Try a parked message with all its attempts anew."""
    return lambda tx, now: void(outbox.retry(tx, message_id, now=now))


def ask_about(slot_id: int, period: Period) -> Remedy:
    """Have a human asked about foreign time over a slot."""

    def remedy(tx: Tx, now: datetime) -> None:
        slot = tx.execute(sa.select(Slot.operator_id, Slot.service_id).where(Slot.id == slot_id)).one()
        scope = outbox.Scope(slot.operator_id, slot.service_id, slot_id)
        outbox.append(tx, RemoteOverlap(slot_id, period.start, period.end), now=now, scope=scope, cause=CAUSE)

    return remedy


def pull(calendar_id: int) -> Remedy:
    """Read the calendar now."""

    def remedy(tx: Tx, now: datetime) -> None:
        ask_for_pull(tx, calendar_id, _owner(tx, calendar_id), now=now)

    return remedy


def open_channel(calendar_id: int) -> Remedy:
    """Open another channel, or renew the one that is there."""

    def remedy(tx: Tx, now: datetime) -> None:
        hints.doubt_channels(tx, Channel.calendar_id == calendar_id, now=now)
        scope = outbox.Scope(operator_id=_owner(tx, calendar_id))
        outbox.append(tx, OpenChannel(calendar_id), now=now, scope=scope, cause=CAUSE)

    return remedy


def void(_result: object) -> None:
    """What came of it doesn't matter: another run of the doctor will tell."""


def _wanted(tx: Tx, event_id: int) -> Any:
    query = sa.select(SlotEvent.__table__).where(SlotEvent.id == event_id, SlotEvent.wanted).with_for_update()
    return tx.execute(query).one_or_none()


def _owner(tx: Tx, calendar_id: int) -> int:
    return int(tx.execute(sa.select(Calendar.operator_id).where(Calendar.id == calendar_id)).scalar_one())
