"""What a calendar is for: its roles and rules, and what a change of them does to the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from connectors.model import Quirks
from ledger import outbox, reviews
from ledger.claims import lock_operator
from ledger.db import Tx
from ledger.messages import HoursClosed, PullCalendar, PushEvent
from ledger.tables import Busy, Calendar, Opening, RemoteEvent, SlotEvent
from sync.errors import BookingsTaken, NotFound, NotWritable
from sync.mirror import ask_for_turn, free_busy
from sync.stored import quirks_json

ROLES = ("busy", "availability", "bookings")
RULES = ("all_day_blocks", "tentative_blocks", "unanswered_blocks")
_TIME = frozenset({"busy", "availability", *RULES})


def unreadable(calendar_id: int) -> str:
    """The matter of a calendar that counts and can't be read, as the key of its review."""
    return f"calendar_unreadable:{calendar_id}"


def check_bookings(tx: Tx, calendar_id: int) -> None:
    """May this calendar take the operator's bookings? Raises `NotFound`, `NotWritable`, `BookingsTaken`."""
    row = _calendar(tx, calendar_id)
    if not row.writable:
        raise NotWritable()
    other = sa.select(Calendar.name).where(
        Calendar.operator_id == row.operator_id, Calendar.bookings, Calendar.id != calendar_id
    )
    if (taken := tx.execute(other).first()) is not None:
        raise BookingsTaken(f"“{taken.name}” takes the bookings of this operator; take that role from it first")


def change(tx: Tx, calendar_id: int, wanted: Mapping[str, bool], *, quirks: Quirks | None, now: datetime) -> None:
    """Set roles and rules. What affects time asks for a full listing at once, by which the ledger is then diffed.

    Time of a dropped busy role is freed (the people waiting first), hours of a dropped availability role close.
    Idempotent. Raises as `check_bookings`.
    """
    lock_operator(tx, _calendar(tx, calendar_id).operator_id)
    row = _calendar(tx, calendar_id)
    changed = {name: value for name, value in wanted.items() if getattr(row, name) != value}
    if changed.get("bookings"):
        check_bookings(tx, calendar_id)
    values: dict[str, Any] = dict(changed)
    if quirks is not None:
        values["quirks"] = quirks_json(quirks)
    if changed.get("busy") is False and free_busy(tx, Busy.calendar_id == calendar_id, now=now):
        ask_for_turn(tx, row.operator_id, now=now)
    if changed.get("availability") is False:
        tx.execute(sa.delete(Opening).where(Opening.calendar_id == calendar_id))
        scope = outbox.Scope(operator_id=row.operator_id)
        outbox.append(tx, HoursClosed(row.operator_id), now=now, scope=scope, cause="calendar changed")
    has_role = any(changed.get(role, getattr(row, role)) for role in ROLES)
    if not has_role:
        values |= {**FORGOTTEN, "due_at": None}
        tx.execute(
            sa.delete(RemoteEvent).where(RemoteEvent.calendar_id == calendar_id, RemoteEvent.slot_event_id.is_(None))
        )
        reviews.settle(tx, unreadable(calendar_id), by="not used any more", now=now)
    elif _TIME & changed.keys():
        values |= {**FORGOTTEN, "due_at": now}
    elif changed:
        values["due_at"] = now
    if values:
        tx.execute(sa.update(Calendar).where(Calendar.id == calendar_id).values(**values))
    if changed.get("bookings") is False:
        _leave_unsent(tx, calendar_id)
    if changed.get("bookings"):
        _take_homeless(tx, calendar_id, row.operator_id, now)
    if has_role and changed:
        ask_for_pull(tx, calendar_id, row.operator_id, now=now)


FORGOTTEN: Mapping[str, Any] = {"token_kind": "", "token_value": "", "pulled_at": None}
"""Values of a calendar whose content must be listed anew and isn't known until then."""


def ask_for_pull(tx: Tx, calendar_id: int, operator_id: int, *, now: datetime) -> None:
    """Have a calendar pulled at once."""
    outbox.append(tx, PullCalendar(calendar_id), now=now, scope=outbox.Scope(operator_id=operator_id))


def _leave_unsent(tx: Tx, calendar_id: int) -> None:
    """Events that never came into this calendar, perhaps because it is gone, wait for the next one that takes bookings."""
    event = SlotEvent
    unsent = sa.and_(event.wanted, event.state == "planned", event.href == "")
    tx.execute(sa.update(event).where(event.calendar_id == calendar_id, unsent).values(calendar_id=None))


def _take_homeless(tx: Tx, calendar_id: int, operator_id: int, now: datetime) -> None:
    """Events that were wished for while there was no calendar for bookings go into this one."""
    event = SlotEvent
    found = tx.execute(
        sa.update(event)
        .where(event.operator_id == operator_id, event.calendar_id.is_(None), event.wanted)
        .where(event.state == "planned", event.ends_at > now)
        .values(calendar_id=calendar_id, version=event.version + 1, updated_at=now)
        .returning(event.id, event.version, event.service_id, event.slot_id)
    ).all()
    for row in found:
        scope = outbox.Scope(operator_id, row.service_id, row.slot_id)
        outbox.append(tx, PushEvent(row.id, row.version), now=now, scope=scope, cause="a calendar takes bookings now")


def _calendar(tx: Tx, calendar_id: int) -> Any:
    row = tx.execute(sa.select(Calendar.__table__).where(Calendar.id == calendar_id)).one_or_none()
    if row is None:
        raise NotFound(f"no calendar {calendar_id}")
    return row
