"""Who is in a service's team. Operators who share a service share a lock (docs/locking.md): they are one circle."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

import sqlalchemy as sa

from booking.errors import FieldError, Invalid
from booking.tables import Service, TeamMember
from ledger import claims
from ledger.db import Tx
from ledger.tables import Operator, Slot


def ids_of(tx: Tx, slugs: Sequence[str], *, path: str = "team.") -> list[int]:
    """The operators of these slugs. Raises `Invalid` which names every unknown one by its place."""
    rows = tx.execute(sa.select(Operator.slug, Operator.id).where(Operator.slug.in_(slugs))).all()
    known = {row.slug: int(row.id) for row in rows}
    missing = [
        FieldError(f"{path}{place}", "unknown_operator", f"there is no operator {slug}")
        for place, slug in enumerate(slugs)
        if slug not in known
    ]
    if missing:
        raise Invalid(missing)
    return [known[slug] for slug in slugs]


def members_of(tx: Tx, service_id: int) -> list[int]:
    """Who is in the team that does a service; nobody where it is its owner's alone."""
    query = sa.select(TeamMember.operator_id).where(TeamMember.service_id == service_id)
    return list(tx.execute(query.order_by(TeamMember.operator_id)).scalars())


def lock(tx: Tx, operator_ids: Iterable[int]) -> None:
    """Lock several operators and whoever is locked with them, in the one order that nobody waits in a circle by."""
    head = sa.func.coalesce(Operator.circle, Operator.id)
    heads = tx.execute(sa.select(head).where(Operator.id.in_(sorted(set(operator_ids)))).distinct()).scalars()
    for each in sorted(heads):
        claims.lock_operator(tx, each)


def put(tx: Tx, service_id: int, owner_id: int, member_ids: Sequence[int], *, now: datetime) -> None:
    """From now on these do the service. Its owner, they, and those who did it before are locked."""
    before = members_of(tx, service_id)
    if not before and not member_ids:
        return
    touched = {owner_id, *member_ids, *before}
    tx.execute(sa.delete(TeamMember).where(TeamMember.service_id == service_id))
    if member_ids:
        rows = [{"service_id": service_id, "operator_id": each} for each in member_ids]
        tx.execute(sa.insert(TeamMember), rows)
    draw_circles(tx, touched, now=now)


def circle_of(tx: Tx, operator_id: int) -> set[int]:
    """Everybody who is locked together with this operator, who is one of them."""
    circle = sa.select(Operator.circle).where(Operator.id == operator_id).scalar_subquery()
    return {operator_id, *tx.execute(sa.select(Operator.id).where(Operator.circle == circle)).scalars()}


def draw_circles(tx: Tx, operator_ids: Iterable[int], *, now: datetime) -> None:
    """Put everybody who shares a service with any of these, or did, into one circle with them; the others stand alone.
    Who still has time taken together in a slot stays together. All of them are locked."""
    asked = sorted(set(operator_ids))
    circles = {each: {each} for one in asked for each in circle_of(tx, one)}
    pairs = tx.execute(
        sa.select(Service.operator_id, TeamMember.operator_id.label("member_id"))
        .join(TeamMember, TeamMember.service_id == Service.id)
        .where(sa.or_(Service.operator_id.in_(list(circles)), TeamMember.operator_id.in_(list(circles))))
    ).all()
    led, mate = sa.orm.aliased(Slot), sa.orm.aliased(Slot)
    still = tx.execute(
        sa.select(led.operator_id, mate.operator_id.label("mate_id"))
        .join(mate, mate.leader_id == led.id)
        .where(
            led.operator_id.in_(list(circles)),
            mate.operator_id.in_(list(circles)),
            mate.taken > 0,
            mate.block_end > now,
        )
        .distinct()
    ).all()
    for owner_id, member_id in (*pairs, *still):
        together = circles[owner_id] | circles[member_id]
        for each in together:
            circles[each] = together
    for circle in {frozenset(each) for each in circles.values()}:
        claims.draw_circle(tx, circle, min(circle) if len(circle) > 1 else None)
