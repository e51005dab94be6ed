"""The only writers of Slot and Seat. A claim is one conditional statement; no row means no seat.

Law (docs/locking.md): lock the operator first. Every function here raises `NotLocked` where that was forgotten.
The conditions decide; behind them the database refuses overlap and overbooking by constraint (P1).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from connectors.model import Period
from ledger.db import Tx
from ledger.tables import Operator, Seat, Slot

ROOM = sa.func.coalesce(Slot.ceiling, Slot.capacity)
"""How many seats a slot has: as its service or opening says now, whoever is in it."""


class NotLocked(RuntimeError):
    """An operator's time is being changed without its lock."""


class LockedTooLate(RuntimeError):
    """An operator is locked after one with a higher id, or after rows that come after operators: two who do that may wait
    for each other for ever."""


@dataclass(frozen=True, slots=True)
class Freed:
    """Seats that came free. left: seats still taken in that slot; 0 closes it and frees its time, also that of its mates:
    the other operators whose time it took."""

    slot_id: int
    operator_id: int
    service_id: int
    period: Period
    block: Period
    seats: int
    left: int
    capacity: int
    holder: str
    mates: tuple[int, ...] = ()

    @property
    def people(self) -> tuple[int, ...]:
        """Whose time it was."""
        return (self.operator_id, *self.mates)


def lock_operator(tx: Tx, operator_id: int) -> int:
    """Take the operator's lock by bumping ``ledger_version``, which also outdates every cached page. Returns the version.

    Operators who share services as a team are locked together, by the row of the first of their circle. Raises
    `LockedTooLate` where one with a higher id is ours already.
    """
    _in_order(tx, operator_id)
    while True:
        first = _bump(tx, Operator.id == _head(operator_id))[0]
        _in_order(tx, first.id)
        locked = {first.id: first.ledger_version}
        if first.circle == first.id:
            mates = _bump(tx, Operator.circle == first.id, Operator.id != first.id)
            locked |= {mate.id: mate.ledger_version for mate in mates}
        tx.info.setdefault("locked_operators", set()).update(locked)
        if operator_id in locked and first.circle in (None, first.id):
            return int(locked[operator_id])
        # The circle was drawn anew while we waited.


def _bump(tx: Tx, *which: sa.ColumnElement[bool]) -> Sequence[Any]:
    return tx.execute(
        sa.update(Operator)
        .where(*which)
        .values(ledger_version=Operator.ledger_version + 1)
        .returning(Operator.id, Operator.ledger_version, Operator.circle)
    ).all()


def _head(operator_id: int) -> sa.ScalarSelect[int]:
    each = sa.orm.aliased(Operator)
    return sa.select(sa.func.coalesce(each.circle, each.id)).where(each.id == operator_id).scalar_subquery()


def draw_circle(tx: Tx, operator_ids: Iterable[int], circle: int | None) -> None:
    """From now on these operators are locked together by the row of `circle`, the lowest of their ids; None: each alone.
    All of them are locked, in what they were and in what they become."""
    for operator_id in (ids := sorted(operator_ids)):
        _require(tx, operator_id)
    tx.execute(sa.update(Operator).where(Operator.id.in_(ids)).values(circle=circle))


def hold_still(tx: Tx, operator_id: int) -> None:
    """Let nobody else lock this operator until the end of the transaction, and change nothing of what is shown."""
    _in_order(tx, operator_id)
    first = tx.execute(sa.select(Operator.id).where(Operator.id == _head(operator_id)).with_for_update()).scalar()
    mates = tx.execute(sa.select(Operator.id).where(Operator.circle == first)).scalars()
    tx.info.setdefault("still_operators", set()).update({operator_id, *mates} | ({first} - {None}))


def is_ours(tx: Tx, operator_id: int) -> bool:
    """Can nobody else lock this operator until the end of the transaction?"""
    return any(operator_id in tx.info.get(kind, ()) for kind in ("locked_operators", "still_operators"))


def after_operators(tx: Tx, what: str) -> None:
    """Say that rows are being locked whose place is after the operators'; nobody may lock an operator from now on who isn't
    ours already. what: their table."""
    tx.info["locked_rows"] = what


def _in_order(tx: Tx, operator_id: int) -> None:
    ours = tx.info.get("locked_operators", set()) | tx.info.get("still_operators", set())
    if operator_id in ours:
        return
    later = [f"operator {other}" for other in ours if other > operator_id]
    if later or "locked_rows" in tx.info:
        raise LockedTooLate(f"operator {operator_id} after {', '.join(later) or tx.info['locked_rows']}")


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
    mates: Sequence[int] = (),
    join: int | None = None,
) -> int | None:
    """Take seats at a start, joining the slot that is there or opening it. Returns the slot's id, None if they aren't free.

    block: the period with buffers. expires_at: only of holds. mates: further operators whose time it takes, all or none.
    join: the slot that the start was listed with, whoever of a team it is with; the seats are with them then.
    """
    for each in (operator_id, *mates):
        _require(tx, each)
    there = sa.select(Slot.id, Slot.operator_id).where(
        Slot.service_id == service_id,
        Slot.starts_at == period.start,
        Slot.ends_at == period.end,
        Slot.taken > 0,
        Slot.leader_id.is_(None),
        Slot.operator_id == operator_id if join is None else Slot.id == join,
    )
    slot_id: int | None
    if (known := tx.execute(there).one_or_none()) is not None:
        slot_id, operator_id = known
        _require(tx, operator_id)
        joined = tx.execute(
            sa.update(Slot)
            .where(Slot.id == slot_id, Slot.taken > 0, Slot.taken + seats <= ROOM)
            .values(taken=Slot.taken + seats)
        )
        if joined.rowcount != 1:
            return None
    else:
        slot_id = _open_slot(tx, operator_id, service_id, period, block, capacity, seats, now, mates)
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
    mates: Sequence[int],
) -> int | None:
    if seats > capacity or (mates and tx.execute(sa.select(_overlapping(mates, block))).scalar()):
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
    free = sa.select(*(sa.literal(v, kinds[k]) for k, v in values.items())).where(~_overlapping([operator_id], block))
    slot_id = tx.execute(sa.insert(Slot).from_select(list(values), free).returning(Slot.id)).scalar()
    if slot_id is not None:
        for mate in mates:  # under the same lock: what was free a statement ago still is
            own = {"operator_id": mate, "leader_id": slot_id, "capacity": 1, "taken": 1}
            tx.execute(sa.insert(Slot).values({**values, **own}))
    return slot_id


def _overlapping(operator_ids: Sequence[int], block: Period, but: int | None = None) -> sa.Exists:
    other = sa.orm.aliased(Slot)
    clash = sa.exists().where(
        other.operator_id.in_(operator_ids),
        other.taken > 0,
        other.block_end > block.start,
        other.block_start < block.end,
    )
    return clash if but is None else clash.where(sa.func.coalesce(other.leader_id, other.id) != but)


def release(tx: Tx, holder: str, *, operator_id: int) -> Freed | None:
    """Give a holder's seats back, of this operator or of who is locked with them; None if it has none (any more)."""
    _require(tx, operator_id)
    seat = tx.execute(
        sa.delete(Seat)
        .where(Seat.holder == holder, Seat.operator_id.in_(_together(operator_id)))
        .returning(Seat.slot_id, Seat.seats)
    ).one_or_none()
    if seat is None:
        return None
    return _freed(tx, seat.slot_id, seat.seats, holder)


def expired(tx: Tx, operator_id: int, *, now: datetime) -> list[Freed]:
    """Give back what expired holds of this operator, and of all who are locked with them, still have, the oldest first."""
    _require(tx, operator_id)
    gone = tx.execute(
        sa.delete(Seat)
        .where(Seat.operator_id.in_(_together(operator_id)), Seat.expires_at <= now)
        .returning(Seat.slot_id, Seat.seats, Seat.holder, Seat.expires_at)
    ).all()
    return [_freed(tx, s.slot_id, s.seats, s.holder) for s in sorted(gone, key=lambda s: (s.expires_at, s.holder))]


def _together(operator_id: int) -> sa.Select[int]:
    own = sa.select(Operator.circle).where(Operator.id == operator_id).scalar_subquery()
    return sa.select(Operator.id).where(sa.or_(Operator.id == operator_id, Operator.circle == own))


def hand_over(tx: Tx, holder: str, to: str, *, operator_id: int, now: datetime) -> int | None:
    """Make one holder's live seats another's (hold → booking, offer → booking). Returns the slot, None if they are gone."""
    _require(tx, operator_id)
    return tx.execute(
        sa.update(Seat)
        .where(
            Seat.holder == holder,
            Seat.operator_id.in_(_together(operator_id)),
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
    mates = tx.execute(sa.select(Slot.operator_id).where(Slot.leader_id == slot_id, Slot.taken > 0)).scalars().all()
    people = [operator_id, *mates]
    moved = tx.execute(
        sa.update(Slot)
        .where(Slot.id == slot_id, Slot.operator_id == operator_id, ~_overlapping(people, block, but=slot_id))
        .values(times if capacity is None else {**times, "capacity": capacity, "ceiling": None})
    )
    if moved.rowcount == 1 and mates:
        tx.execute(sa.update(Slot).where(Slot.leader_id == slot_id, Slot.taken > 0).values(times))
    return moved.rowcount == 1


def resize(tx: Tx, slot_id: int, capacity: int, *, operator_id: int) -> None:
    """Give a slot another number of seats. Nobody is put out: where more are in it, it is full until they are fewer."""
    _require(tx, operator_id)
    fits = sa.and_(Slot.id == slot_id, Slot.operator_id == operator_id)
    tx.execute(sa.update(Slot).where(fits, Slot.taken <= capacity).values(capacity=capacity, ceiling=None))
    tx.execute(sa.update(Slot).where(fits, Slot.taken > capacity).values(ceiling=capacity))


def mates_of(tx: Tx, slot_id: int) -> dict[int, int]:
    """Operator → slot, of those whose time this slot takes besides its own operator's."""
    rows = tx.execute(sa.select(Slot.operator_id, Slot.id).where(Slot.leader_id == slot_id))
    return {int(row.operator_id): int(row.id) for row in rows}


def leader_of(tx: Tx, slot_id: int) -> int:
    """The slot that the people are in, where this one only takes one more operator's time for it; else itself."""
    leader = tx.execute(sa.select(Slot.leader_id).where(Slot.id == slot_id)).scalar()
    return slot_id if leader is None else int(leader)


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
            ROOM.label("capacity"),
        )
    ).one()
    mates = sorted(mates_of(tx, slot_id)) if slot.taken == 0 else []
    if mates:
        tx.execute(sa.update(Slot).where(Slot.leader_id == slot_id).values(taken=0))
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
        tuple(mates),
    )


def _require(tx: Tx, operator_id: int) -> None:
    if operator_id not in tx.info.get("locked_operators", ()):
        raise NotLocked(f"operator {operator_id}")
