"""What is paused, and for whom. A pause is a matter of leasing: held rows stay in the outbox, in their order (P10)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from ledger.db import Tx
from ledger.tables import OutboxMessage, Pause, PauseItem, Seat, Slot

AUTOMATIONS = ("cancel", "move", "promote", "no_show", "remind", "push")
LOOKING_AGAIN = ("TimeFreed",)
"""Messages about several services at once, of which some may be paused."""
SCOPES = ("global", "operator", "service", "slot", "booking")


def pause(
    tx: Tx,
    *,
    scope: str,
    target: str,
    automations: Sequence[str],
    now: datetime,
    reason: str = "",
    until: datetime | None = None,
    made_by: str = "",
) -> int:
    """Hold these automations from the commit on. target: id of the operator, service, slot or booking; ``""`` for global."""
    wanted = list(AUTOMATIONS) if list(automations) == ["all"] else list(dict.fromkeys(automations))
    if scope not in SCOPES or not wanted or any(a not in AUTOMATIONS for a in wanted):
        raise ValueError("unknown scope or automation")
    pause_id: int = tx.execute(
        sa.insert(Pause)
        .values(
            scope=scope, target=target, automations=wanted, reason=reason, made_by=made_by, created_at=now, until=until
        )
        .returning(Pause.id)
    ).scalar_one()
    key = scope if scope == "global" else f"{scope}:{target}"
    tx.execute(
        sa.insert(PauseItem),
        [{"pause_id": pause_id, "scope_key": key, "automation": a, "until": until} for a in wanted],
    )
    return pause_id


def resume(tx: Tx, pause_id: int, *, now: datetime) -> bool:
    """End a pause; what waited runs in its order."""
    tx.execute(sa.delete(PauseItem).where(PauseItem.pause_id == pause_id))
    ended = tx.execute(sa.update(Pause).where(Pause.id == pause_id, Pause.ended_at.is_(None)).values(ended_at=now))
    # What found a pause in its way by itself, and would look again a while later, looks now.
    row = OutboxMessage
    looks_again = sa.and_(row.kind.in_(LOOKING_AGAIN), row.state == "waiting", row.not_before > now)
    tx.execute(sa.update(row).where(looks_again).values(not_before=now))
    tx.info["wake"] = True
    return ended.rowcount == 1


def end_of(tx: Tx, scope: str, targets: Sequence[int], *, now: datetime) -> None:
    """End the pauses of what is being removed: nothing else may fall under them, should it ever get the same id."""
    wanted = (Pause.scope == scope, Pause.target.in_([str(each) for each in targets]), Pause.ended_at.is_(None))
    for pause_id in tx.execute(sa.select(Pause.id).where(*wanted)).scalars().all():
        resume(tx, pause_id, now=now)


def is_paused(
    tx: Tx,
    automation: str,
    *,
    now: datetime,
    operator_id: int | None = None,
    service_id: int | None = None,
    slot_id: int | None = None,
    booking_id: str | None = None,
) -> bool:
    """Is this automation held for that booking, slot, service or operator, or everywhere?"""
    keys = ["global"]
    for name, value in (
        ("operator", operator_id),
        ("service", service_id),
        ("slot", slot_id),
        ("booking", booking_id),
    ):
        if value is not None:
            keys.append(f"{name}:{value}")
    item = PauseItem
    query = sa.select(item.id).where(
        item.scope_key.in_(keys), item.automation == automation, sa.or_(item.until.is_(None), item.until > now)
    )
    return tx.execute(query.limit(1)).first() is not None


def holding(row: type[OutboxMessage], now: datetime | sa.BindParameter[datetime]) -> sa.ColumnElement[bool]:
    """SQL condition: a pause in force covers this outbox row. now: an instant, or a parameter to be given later."""
    item = PauseItem
    return sa.exists().where(item.automation == row.automation, _in_force(item, now), _covers(item, row))


def held(tx: Tx, pause_id: int, *, now: datetime) -> list[dict[str, Any]]:
    """What waits behind a pause, in the order in which it would run: outbox rows as `outbox.listing` shows them; nothing
    where it has ended by itself. What was begun before the pause runs to its end and isn't here. not_before: it doesn't run earlier, pause or not.
    also_held: another pause covers it too, and it waits for both."""
    row, item = OutboxMessage, PauseItem
    other = sa.orm.aliased(PauseItem)
    covers = sa.exists().where(
        item.pause_id == pause_id, item.automation == row.automation, _in_force(item, now), _covers(item, row)
    )
    also = sa.exists().where(
        other.pause_id != pause_id, other.automation == row.automation, _in_force(other, now), _covers(other, row)
    )
    query = (
        sa.select(row.id, row.kind, row.body, row.automation, row.operator_id, row.service_id, row.slot_id, row.booking_id,
                  row.cause, row.created_at, row.not_before, also.label("also_held"))
        .where(row.state.in_(("waiting", "queued")), covers)
        .order_by(row.id)
    )  # fmt: skip
    return [dict(r._mapping) for r in tx.execute(query)]


def discard(tx: Tx, pause_id: int, message_ids: Sequence[int], *, now: datetime) -> list[dict[str, Any]]:
    """Drop held messages; what isn't held by this pause is left alone. Returns what was dropped."""
    asked = [row for row in held(tx, pause_id, now=now) if row["id"] in set(message_ids)]
    dropped = (
        sa.update(OutboxMessage)
        .where(OutboxMessage.id.in_([row["id"] for row in asked]), OutboxMessage.state.in_(("waiting", "queued")))
        .values(state="discarded", settled_at=now, lease="", leased_until=None)
        .returning(OutboxMessage.id)
    )
    ids = set(tx.execute(dropped).scalars())  # a worker may have begun with one of them meanwhile
    return [row for row in asked if row["id"] in ids]


def listing(tx: Tx, *, now: datetime) -> list[dict[str, Any]]:
    """Pauses in force, oldest first."""
    query = (
        sa.select(Pause.__table__)
        .where(Pause.ended_at.is_(None), sa.or_(Pause.until.is_(None), Pause.until > now))
        .order_by(Pause.id)
    )
    return [dict(r._mapping) for r in tx.execute(query)]


def is_in_force(row: Mapping[str, Any], *, now: datetime) -> bool:
    """row: of `one`. Neither ended by hand nor by itself."""
    return row["ended_at"] is None and (row["until"] is None or row["until"] > now)


def named(item: type[PauseItem], prefix: str, column: Any) -> sa.ColumnElement[bool]:
    """SQL condition: the pause's scope is that row's operator, service, slot or booking."""
    return item.scope_key == sa.literal(prefix + ":") + sa.cast(column, sa.String)


def _in_force(item: type[PauseItem], now: datetime | sa.BindParameter[datetime]) -> sa.ColumnElement[bool]:
    return sa.or_(item.until.is_(None), item.until > now)


def _covers(item: type[PauseItem], row: type[OutboxMessage]) -> sa.ColumnElement[bool]:
    """What is about a whole slot is about each booking in it: an event can't be deleted or dragged for some of them."""
    # Where a slot takes several people's time, the seats are the leader's, whoever's event it is about.
    leader = sa.select(sa.func.coalesce(Slot.leader_id, Slot.id)).where(Slot.id == row.slot_id)
    whose = leader.correlate(row).scalar_subquery()
    in_the_slot = sa.exists().where(Seat.slot_id == whose, Seat.holder == item.scope_key)
    return sa.or_(
        item.scope_key == "global",
        *(named(item, prefix, column) for prefix, column in _scopes(row)),
        sa.and_(row.booking_id.is_(None), in_the_slot),
    )


def _scopes(row: type[OutboxMessage]) -> list[tuple[str, Any]]:
    return [
        ("operator", row.operator_id),
        ("service", row.service_id),
        ("slot", row.slot_id),
        ("booking", row.booking_id),
    ]


def one(tx: Tx, pause_id: int) -> dict[str, Any] | None:
    """A pause, in force or not."""
    row = tx.execute(sa.select(Pause.__table__).where(Pause.id == pause_id)).one_or_none()
    return dict(row._mapping) if row is not None else None
