"""What is known about an operator's time, read in one go for `ledger/availability.py`."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from connectors.model import Period
from ledger.availability import OpenPeriod, Taken, TakenSlot
from ledger.claims import NotLocked
from ledger.db import Tx
from ledger.tables import Busy, Calendar, Opening, Seat, Slot


def taken(tx: Tx, operator_id: int, window: Period, now: datetime, *, for_the_line: bool = False) -> Taken:
    """Busy time, slots and openings that touch the window.

    for_the_line: as the people waiting see it, with time that was freed a moment ago; everybody else sees that only
    when they had their turn.
    """
    busy = sa.select(Busy.starts_at, Busy.ends_at).where(
        Busy.operator_id == operator_id, Busy.ends_at > window.start, Busy.starts_at < window.end
    )
    opening = sa.select(Opening.starts_at, Opening.ends_at, Opening.label, Opening.seats).where(
        Opening.operator_id == operator_id, Opening.ends_at > window.start, Opening.starts_at < window.end
    )
    if for_the_line:
        busy = busy.where(~Busy.freed)
    else:
        opening = opening.where(~Opening.fresh)
    return Taken(
        busy=[Period(b.starts_at, b.ends_at) for b in tx.execute(busy)],
        slots=_slots(tx, operator_id, window, now),
        openings=[
            OpenPeriod(Period(o.starts_at, o.ends_at), o.label, o.seats)
            for o in tx.execute(opening.order_by(Opening.starts_at, Opening.id))
        ],
    )


def _slots(tx: Tx, operator_id: int, window: Period, now: datetime) -> list[TakenSlot]:
    live = sa.case((Seat.expires_at <= now, 0), else_=Seat.seats)
    held = sa.case((sa.and_(Seat.holder.not_like("booking:%"), live > 0), Seat.seats), else_=0)
    query = (
        sa.select(
            Slot.id,
            Slot.service_id,
            Slot.starts_at,
            Slot.ends_at,
            Slot.block_start,
            Slot.block_end,
            Slot.capacity,
            sa.func.sum(live).label("taken"),
            sa.func.sum(held).label("held"),
        )
        .join(Seat, Seat.slot_id == Slot.id)
        .where(
            Slot.operator_id == operator_id,
            Slot.taken > 0,
            Slot.block_end > window.start,
            Slot.block_start < window.end,
        )
        .group_by(Slot.id)
    )
    return [
        TakenSlot(
            s.id,
            s.service_id,
            Period(s.starts_at, s.ends_at),
            Period(s.block_start, s.block_end),
            s.capacity,
            int(s.taken),
            int(s.held),
        )
        for s in tx.execute(query)
    ]


def next_hold_end(tx: Tx, operator_id: int, now: datetime) -> datetime | None:
    """When the picture changes by itself because a hold runs out."""
    return tx.execute(
        sa.select(sa.func.min(Seat.expires_at)).where(Seat.operator_id == operator_id, Seat.expires_at > now)
    ).scalar()


def fresh_at(tx: Tx, operator_id: int) -> datetime | None:
    """How old the ledger's oldest busy or availability calendar is; None where nothing is connected or never was read.

    Use `is_fresh` to decide: an operator without such calendars has nothing that could be stale.
    """
    return tx.execute(sa.select(sa.func.min(Calendar.pulled_at)).where(*_watched(operator_id))).scalar()


def is_fresh(tx: Tx, operator_id: int, since: datetime) -> bool:
    """Was every busy and availability calendar of the operator read successfully at or after `since`?"""
    stale = sa.select(Calendar.id).where(
        *_watched(operator_id), sa.or_(Calendar.pulled_at.is_(None), Calendar.pulled_at < since)
    )
    return tx.execute(stale.limit(1)).first() is None


def watched_calendars(tx: Tx, operator_id: int) -> list[int]:
    """Ids of the calendars whose content decides what is free."""
    query = sa.select(Calendar.id).where(*_watched(operator_id)).order_by(Calendar.id)
    return list(tx.execute(query).scalars())


def end_turn(tx: Tx, operator_id: int) -> None:
    """The line had its turn: freed time is free and fresh openings are open for everybody."""
    if operator_id not in tx.info.get("locked_operators", ()):
        raise NotLocked(f"operator {operator_id}")
    tx.execute(sa.delete(Busy).where(Busy.operator_id == operator_id, Busy.freed))
    tx.execute(sa.update(Opening).where(Opening.operator_id == operator_id, Opening.fresh).values(fresh=False))


def _watched(operator_id: int) -> tuple[sa.ColumnElement[bool], ...]:
    return Calendar.operator_id == operator_id, sa.or_(Calendar.busy, Calendar.availability)
