"""What is known about an operator's time, read in one go for `ledger/availability.py`; and what of it strangers may see.

Whatever opens time closes it to strangers in the same transaction (`Busy.freed`, `Opening.fresh`, `close`) and asks for
the line's turn (`ask_for_turn`); only when the people waiting had it, it is open for everybody (docs/locking.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa

from connectors.model import Period
from ledger import outbox
from ledger.availability import OpenPeriod, Taken, TakenSlot
from ledger.claims import NotLocked, is_ours
from ledger.db import Tx
from ledger.messages import TimeFreed
from ledger.tables import Busy, Calendar, Opening, Seat, Slot, Turn

FOREVER = datetime(9999, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Turns:
    """What waits for the line of an operator: time of all services, and starts of single ones. seen: how far the line of
    a service has seen; who comes after that is shown to nobody before."""

    time: Sequence[Period] = ()
    starts: Sequence[tuple[int, Period]] = ()
    seen: Sequence[tuple[int, datetime]] = ()


def taken(tx: Tx, operator_id: int, window: Period, now: datetime, *, for_the_line: bool = False) -> Taken:
    """Busy time, slots and openings that touch the window.

    for_the_line: as the people waiting see it, with time that was freed a moment ago; everybody else sees that only
    when they had their turn. While anybody waits, a hold that ran out counts for strangers until its seats were given on.
    """
    turns = Turns() if for_the_line else _closed(tx, operator_id)
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
        busy=[*(Period(b.starts_at, b.ends_at) for b in tx.execute(busy)), *turns.time],
        slots=_slots(tx, operator_id, window, now, keep_expired=bool(turns.seen)),
        openings=[
            OpenPeriod(Period(o.starts_at, o.ends_at), o.label, o.seats)
            for o in tx.execute(opening.order_by(Opening.starts_at, Opening.id))
        ],
        closed=[*turns.starts, *((service_id, Period(until, FOREVER)) for service_id, until in turns.seen)],
    )


def _closed(tx: Tx, operator_id: int) -> Turns:
    """What `close` and `see_until` wrote."""
    rows = tx.execute(
        sa.select(Turn.service_id, Turn.starts_at, Turn.ends_at).where(Turn.operator_id == operator_id)
    ).all()
    return Turns(
        [Period(r.starts_at, r.ends_at) for r in rows if r.service_id is None],
        [(r.service_id, Period(r.starts_at, r.ends_at)) for r in rows if r.service_id is not None and r.ends_at],
        [(r.service_id, r.starts_at) for r in rows if r.ends_at is None],
    )


def _slots(tx: Tx, operator_id: int, window: Period, now: datetime, *, keep_expired: bool) -> list[TakenSlot]:
    live = Seat.seats if keep_expired else sa.case((Seat.expires_at <= now, 0), else_=Seat.seats)
    held = sa.case((sa.and_(Seat.holder.not_like("booking:%"), live > 0), Seat.seats), else_=0)
    led = sa.orm.aliased(Slot)  # whose seats count, where it takes several people's time; else the same slot
    query = (
        sa.select(
            led.id,
            Slot.service_id,
            Slot.starts_at,
            Slot.ends_at,
            Slot.block_start,
            Slot.block_end,
            sa.func.coalesce(led.ceiling, led.capacity).label("capacity"),
            sa.func.sum(live).label("taken"),
            sa.func.sum(held).label("held"),
        )
        .join(led, led.id == sa.func.coalesce(Slot.leader_id, Slot.id))
        .join(Seat, Seat.slot_id == led.id)
        .where(
            Slot.operator_id == operator_id,
            Slot.taken > 0,
            Slot.block_end > window.start,
            Slot.block_start < window.end,
        )
        .group_by(Slot.id, led.id)
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


# --- the line's turn ----------------------------------------------------------------------------------------------


def close(tx: Tx, operator_id: int, period: Period, *, service_id: int | None = None) -> None:
    """Keep strangers away from time that was opened, until the line had its turn; the caller asks for that.

    service_id: for starts of that service in the period; None for whatever would touch it.
    """
    _require(tx, operator_id)
    tx.execute(
        sa.insert(Turn).values(
            operator_id=operator_id, service_id=service_id, starts_at=period.start, ends_at=period.end
        )
    )


def ask_for_turn(tx: Tx, operator_id: int, *, now: datetime, cause: str, not_before: datetime | None = None) -> None:
    """Let the people waiting have their turn at time that was freed or opened."""
    scope = outbox.Scope(operator_id=operator_id)
    outbox.append(tx, TimeFreed(operator_id), now=now, not_before=not_before, scope=scope, cause=cause)


def turns(tx: Tx, operator_id: int) -> Turns:
    """Everything that waits for the line, also what the operator's calendars freed and opened."""
    written = _closed(tx, operator_id)
    periods = list(written.time)
    for table, flag in ((Busy, Busy.freed), (Opening, Opening.fresh)):
        rows = tx.execute(sa.select(table.starts_at, table.ends_at).where(table.operator_id == operator_id, flag))
        periods += [Period(r.starts_at, r.ends_at) for r in rows]
    return Turns(periods, written.starts, written.seen)


def end_turn(tx: Tx, operator_id: int) -> None:
    """The line had its turn: freed time is free and fresh openings are open for everybody."""
    _require(tx, operator_id)
    tx.execute(sa.delete(Busy).where(Busy.operator_id == operator_id, Busy.freed))
    tx.execute(sa.update(Opening).where(Opening.operator_id == operator_id, Opening.fresh).values(fresh=False))
    tx.execute(sa.delete(Turn).where(Turn.operator_id == operator_id, Turn.service_id.is_(None)))


def end_turn_of(tx: Tx, service_id: int) -> None:
    """The line of one service had its turn at the starts that were closed for it. Whose time it takes are locked."""
    tx.execute(sa.delete(Turn).where(Turn.service_id == service_id, Turn.ends_at.is_not(None)))


def see_until(tx: Tx, people: Sequence[int], service_id: int, moment: datetime | None) -> None:
    """The line of a service has seen everything before `moment`, and strangers see no further; None: nobody waits.

    people: all whose time it may take; they are locked, or held still.
    """
    for operator_id in people:
        if not is_ours(tx, operator_id):
            raise NotLocked(f"operator {operator_id}")
    tx.execute(sa.delete(Turn).where(Turn.service_id == service_id, Turn.ends_at.is_(None)))
    if moment is not None:
        rows = [{"operator_id": each, "service_id": service_id, "starts_at": moment} for each in people]
        tx.execute(sa.insert(Turn), rows)


def seen_until(tx: Tx, service_id: int) -> datetime | None:
    """How far the line of a service has seen; None where nobody waits."""
    query = sa.select(sa.func.min(Turn.starts_at)).where(Turn.service_id == service_id, Turn.ends_at.is_(None))
    return tx.execute(query).scalar()


def _require(tx: Tx, operator_id: int) -> None:
    if operator_id not in tx.info.get("locked_operators", ()):
        raise NotLocked(f"operator {operator_id}")


def _watched(operator_id: int) -> tuple[sa.ColumnElement[bool], ...]:
    return Calendar.operator_id == operator_id, sa.or_(Calendar.busy, Calendar.availability)
