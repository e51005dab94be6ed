"""The only writers of Slot and Seat. A claim is one conditional statement; no row means no seat.

Law (docs/locking.md): lock the operator first. Every function here raises `NotLocked` where that was forgotten.
The conditions decide; behind them the database refuses overlap and overbooking by constraint (P1).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from connectors.model import Period
from ledger.db import Tx
from ledger.tables import Operator, Seat, Slot


class NotLocked(RuntimeError):
    """An operator's time is being changed without its lock."""


@dataclass(frozen=True, slots=True)
class Freed:
    """Seats that came free. left: seats still taken in that slot; 0 closes it and frees its time."""

    slot_id: int
    operator_id: int
    service_id: int
    period: Period
    block: Period
    seats: int
    left: int
    capacity: int
    holder: str


def lock_operator(tx: Tx, operator_id: int) -> int:
    """Take the operator's lock by bumping ``ledger_version``, which also outdates every cached page. Returns the version."""
    version = tx.execute(
        sa.update(Operator)
        .where(Operator.id == operator_id)
        .values(ledger_version=Operator.ledger_version + 1)
        .returning(Operator.ledger_version)
    ).scalar_one()
    tx.info.setdefault("locked_operators", set()).add(operator_id)
    return int(version)


def hold_still(tx: Tx, operator_id: int) -> None:
    """Let nobody else lock this operator until the end of the transaction, and change nothing of what is shown."""
    tx.execute(sa.select(Operator.id).where(Operator.id == operator_id).with_for_update())


def claim(
    tx: Tx,
    *,
    operator_id: int,
    service_id: int,
    period: Period,
    block: Period,
    capacity: int,
    holder: str,
    seats: int,
    now: datetime,
    expires_at: datetime | None = None,
) -> int | None:
    """Take seats at a start, joining the slot that is there or opening it. Returns the slot's id, None if they aren't free.

    block: the period with buffers. expires_at: only of holds.
    """
    _require(tx, operator_id)
    there = tx.execute(
        sa.select(Slot.id).where(
            Slot.operator_id == operator_id,
            Slot.service_id == service_id,
            Slot.starts_at == period.start,
            Slot.ends_at == period.end,
            Slot.taken > 0,
        )
    ).scalar()
    if there is None:
        slot_id = _open_slot(tx, operator_id, service_id, period, block, capacity, seats, now)
    else:
        joined = tx.execute(
            sa.update(Slot)
            .where(Slot.id == there, Slot.taken > 0, Slot.taken + seats <= Slot.capacity)
            .values(taken=Slot.taken + seats)
        )
        slot_id = there if joined.rowcount == 1 else None
    if slot_id is not None:
        tx.execute(
            sa.insert(Seat).values(
                slot_id=slot_id, operator_id=operator_id, holder=holder, seats=seats, expires_at=expires_at
            )
        )
    return slot_id


def _open_slot(
    tx: Tx,
    operator_id: int,
    service_id: int,
    period: Period,
    block: Period,
    capacity: int,
    seats: int,
    now: datetime,
) -> int | None:
    if seats > capacity:
        return None
    kinds = {c.name: c.type for c in Slot.__table__.columns}
    values = {
        "operator_id": operator_id,
        "service_id": service_id,
        "starts_at": period.start,
        "ends_at": period.end,
        "block_start": block.start,
        "block_end": block.end,
        "capacity": capacity,
        "taken": seats,
        "created_at": now,
    }
    free = sa.select(*(sa.literal(v, kinds[k]) for k, v in values.items())).where(~_overlapping(operator_id, block))
    return tx.execute(sa.insert(Slot).from_select(list(values), free).returning(Slot.id)).scalar()


def _overlapping(operator_id: int, block: Period, but: int | None = None) -> sa.Exists:
    other = sa.orm.aliased(Slot)
    clash = sa.exists().where(
        other.operator_id == operator_id,
        other.taken > 0,
        other.block_end > block.start,
        other.block_start < block.end,
    )
    return clash if but is None else clash.where(other.id != but)


def release(tx: Tx, holder: str, *, operator_id: int) -> Freed | None:
    """Give a holder's seats back; None if it has none (any more)."""
    _require(tx, operator_id)
    seat = tx.execute(
        sa.delete(Seat)
        .where(Seat.holder == holder, Seat.operator_id == operator_id)
        .returning(Seat.slot_id, Seat.seats)
    ).one_or_none()
    if seat is None:
        return None
    return _freed(tx, seat.slot_id, seat.seats, holder)


def expired(tx: Tx, operator_id: int, *, now: datetime) -> list[Freed]:
    """Give back what expired holds of this operator still have, the oldest first."""
    _require(tx, operator_id)
    gone = tx.execute(
        sa.delete(Seat)
        .where(Seat.operator_id == operator_id, Seat.expires_at <= now)
        .returning(Seat.slot_id, Seat.seats, Seat.holder, Seat.expires_at)
    ).all()
    return [_freed(tx, s.slot_id, s.seats, s.holder) for s in sorted(gone, key=lambda s: (s.expires_at, s.holder))]


def hand_over(tx: Tx, holder: str, to: str, *, operator_id: int, now: datetime) -> int | None:
    """Make one holder's live seats another's (hold → booking, offer → booking). Returns the slot, None if they are gone."""
    _require(tx, operator_id)
    return tx.execute(
        sa.update(Seat)
        .where(
            Seat.holder == holder,
            Seat.operator_id == operator_id,
            sa.or_(Seat.expires_at.is_(None), Seat.expires_at > now),
        )
        .values(holder=to, expires_at=None)
        .returning(Seat.slot_id)
    ).scalar()


def move(tx: Tx, slot_id: int, *, operator_id: int, period: Period, block: Period, capacity: int | None = None) -> bool:
    """Give a whole slot another time, if that is free of other slots; seats and people stay. One statement: the old time
    is kept until the new one is claimed. capacity: of the slot at its new time, where that has one of its own."""
    _require(tx, operator_id)
    times = {
        "starts_at": period.start, "ends_at": period.end, "block_start": block.start, "block_end": block.end,
    }  # fmt: skip
    moved = tx.execute(
        sa.update(Slot)
        .where(Slot.id == slot_id, Slot.operator_id == operator_id, ~_overlapping(operator_id, block, but=slot_id))
        .values(times if capacity is None else {**times, "capacity": capacity})
    )
    return moved.rowcount == 1


def _freed(tx: Tx, slot_id: int, seats: int, holder: str) -> Freed:
    slot = tx.execute(
        sa.update(Slot)
        .where(Slot.id == slot_id)
        .values(taken=Slot.taken - seats)
        .returning(
            Slot.operator_id,
            Slot.service_id,
            Slot.starts_at,
            Slot.ends_at,
            Slot.block_start,
            Slot.block_end,
            Slot.taken,
            Slot.capacity,
        )
    ).one()
    return Freed(
        slot_id,
        slot.operator_id,
        slot.service_id,
        Period(slot.starts_at, slot.ends_at),
        Period(slot.block_start, slot.block_end),
        seats,
        slot.taken,
        slot.capacity,
        holder,
    )


def _require(tx: Tx, operator_id: int) -> None:
    if operator_id not in tx.info.get("locked_operators", ()):
        raise NotLocked(f"operator {operator_id}")
