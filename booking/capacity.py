"""How many seats the slots that people are in have, where their service or the opening in the calendar now says another
number. Raising gives the line its turn (who calls closes what opened); lowering drops nobody."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from booking import line
from booking.catalogue import Offering, done_by, offering_by_id
from booking.complete import refresh_event
from booking.terms import Terms
from connectors.model import Period
from ledger import availability, claims, free_time, outbox
from ledger.db import Tx
from ledger.messages import CapacityChanged
from ledger.tables import Slot

_INSTANT = timedelta(microseconds=1)


def adjust(
    tx: Tx, operator_id: int, *, now: datetime, cause: str, only_lower: bool = False, closed: bool = False
) -> int:
    """Give the coming slots of a locked operator, and of their circle, the seats that they should have, and ask for new
    words in the calendar. Returns how many changed. Idempotent.

    only_lower: leave those that should have more. closed: what is raised is closed to strangers until the line had its
    turn, which the caller gives.
    """
    changed = 0
    for offering in done_by(tx, operator_id):
        for slot in coming(tx, offering, now):
            wanted = _capacity(tx, offering, Period(slot.starts_at, slot.ends_at), now)
            if wanted is None or wanted == slot.room or (only_lower and wanted > slot.room):
                continue
            claims.resize(tx, slot.id, wanted, operator_id=offering.operator_id)
            if closed and wanted > slot.room:
                _close(tx, offering.service_id, slot.starts_at)
            scope = outbox.Scope(offering.operator_id, offering.service_id, slot.id)
            outbox.append(tx, CapacityChanged(slot.id), now=now, scope=scope, cause=cause)
            changed += 1
    return changed


def _close(tx: Tx, service_id: int, start: datetime) -> None:
    """For everybody whose time the service may take: the turn of any of them decides about the starts of all."""
    for each in line.people_of(offering_by_id(tx, service_id)):
        free_time.close(tx, each, Period(start, start + _INSTANT), service_id=service_id)


def adjust_all(tx: Tx, operator_ids: Iterable[int], *, now: datetime, cause: str) -> None:
    """The same for several."""
    for operator_id in sorted(set(operator_ids)):
        adjust(tx, operator_id, now=now, cause=cause)


def reword(tx: Tx, terms: Terms, slot_id: int, *, now: datetime, cause: str) -> None:
    """Say in the slot's event how many seats it has. Idempotent."""
    slot = tx.execute(
        sa.select(Slot.service_id, Slot.operator_id).where(Slot.id == slot_id, Slot.taken > 0)
    ).one_or_none()
    if slot is None:
        return
    claims.lock_operator(tx, slot.operator_id)
    refresh_event(tx, terms, offering_by_id(tx, slot.service_id, slot.operator_id), slot_id, now=now, cause=cause)


def coming(tx: Tx, offering: Offering, now: datetime) -> list[Any]:
    """The slots of an offering's operator that people are in and that haven't begun: ``id, starts_at, ends_at, room``."""
    query = sa.select(Slot.id, Slot.starts_at, Slot.ends_at, claims.ROOM.label("room")).where(
        Slot.operator_id == offering.operator_id,
        Slot.service_id == offering.service_id,
        Slot.leader_id.is_(None),
        Slot.taken > 0,
        Slot.block_end > now,
        Slot.starts_at > now,
    )
    return list(tx.execute(query.order_by(Slot.starts_at)).all())


def _capacity(tx: Tx, offering: Offering, period: Period, now: datetime) -> int | None:
    """What that start would have if it were opened now; None where nothing opens it, and nobody says a number."""
    if not offering.rules.calendar_openings:
        return offering.spec.capacity
    openings = free_time.taken(tx, offering.operator_id, period, now, for_the_line=True).openings
    return availability.capacity_of(offering.rules, period, openings)
