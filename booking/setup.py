"""Operators and services: made and changed by whoever runs the place."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from booking import capacity, teams, turns
from booking.errors import FieldError, Invalid, NotFound, NotPossible
from booking.rules import client_of
from booking.services import ServiceSpec, parse
from booking.tables import Booking, Service, WaitlistEntry
from ledger import claims, pauses, webhooks
from ledger.db import Tx
from ledger.tables import Operator, Slot

_SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
RESERVED = frozenset(
    {"en", "hu", "de", "fr", "es", "it", "ar", "b", "w", "api", "admin", "operator", "connect", "hooks", "demo", "static",
     "livez", "readyz", "metrics", "login", "logout", "embed", "consent"}
)  # fmt: skip


def add_operator(
    tx: Tx, slug: str, *, name: str, email: str, timezone: str, now: datetime, language: str = "en"
) -> int:
    """Somebody who can be booked. Returns the id. Raises `Invalid`, also where the slug is in use."""
    _check_slug(slug, "slug")
    person = client_of({"name": name, "email": email, "timezone": timezone, "language": language}, zone="", path="")
    if tx.execute(sa.select(Operator.id).where(Operator.slug == slug)).first():
        raise Invalid([FieldError("slug", "in_use", f"there is an operator {slug} already")])
    return int(
        tx.execute(
            sa.insert(Operator)
            .values(
                slug=slug,
                name=person.name,
                email=person.email,
                timezone=person.timezone,
                language=person.language,
                created_at=now,
            )
            .returning(Operator.id)
        ).scalar_one()
    )


def operator_id(tx: Tx, slug: str) -> int:
    """By slug. Raises `NotFound`."""
    found = tx.execute(sa.select(Operator.id).where(Operator.slug == slug)).scalar()
    if found is None:
        raise NotFound(f"there is no operator {slug}")
    return int(found)


def put_service(
    tx: Tx,
    operator: str,
    slug: str,
    spec: ServiceSpec | Mapping[str, Any],
    *,
    now: datetime,
    replace: bool = False,
) -> int:
    """Add a service, or with `replace` change it. Returns the id. Raises `Invalid`, `NotFound`.

    What a change opens is closed to strangers until the people waiting had their turn (P7).
    """
    _check_slug(slug, "slug")
    checked = spec if isinstance(spec, ServiceSpec) else parse(spec)
    owner = operator_id(tx, operator)
    members = teams.ids_of(tx, checked.team)
    known = tx.execute(sa.select(Service.id).where(Service.operator_id == owner, Service.slug == slug)).scalar()
    teams.lock(tx, [owner, *members, *(teams.members_of(tx, known) if known is not None else [])])
    if known is not None:
        if not replace:
            raise Invalid([FieldError("slug", "in_use", f"{operator} has a service {slug} already")])
        with _line_first(tx, owner, now):
            tx.execute(sa.update(Service).where(Service.id == known).values(spec=checked.to_json()))
            teams.put(tx, known, owner, members, now=now)
            capacity.adjust_all(tx, [owner, *members], now=now, cause="hours or rules changed")
        return int(known)
    with _line_first(tx, owner, now):
        made = int(
            tx.execute(
                sa.insert(Service)
                .values(operator_id=owner, slug=slug, spec=checked.to_json(), created_at=now)
                .returning(Service.id)
            ).scalar_one()
        )
        teams.put(tx, made, owner, members, now=now)
    return made


@contextmanager
def _line_first(tx: Tx, owner: int, now: datetime) -> Iterator[None]:
    """Whatever the change inside opens (hours, seats, limits, another zone) is for the line first. The operator is locked."""
    before = turns.shown(tx, owner, now=now)
    yield
    turns.close_opened(tx, owner, before, now=now, cause="hours or rules changed")


def _check_slug(slug: str, field: str) -> None:
    if len(slug) > 60 or not _SLUG.fullmatch(slug) or slug in RESERVED:
        raise Invalid([FieldError(field, "not_a_slug", "small letters, digits and single dashes; not a reserved word")])


def ensure_operator(tx: Tx, slug: str, *, now: datetime, **about: str) -> int:
    """The operator's id; made if there is none of that slug. about: as `add_operator`."""
    try:
        return operator_id(tx, slug)
    except NotFound:
        return add_operator(tx, slug, now=now, **about)


def operators(
    tx: Tx, *, only: int | None = None, active: bool | None = None, after: int = 0, limit: int | None = None
) -> list[dict[str, Any]]:
    """Operators as those who run the place see them, in the order in which they were made."""
    query = sa.select(
        Operator.id, Operator.slug, Operator.name, Operator.email, Operator.timezone, Operator.language, Operator.active,
        Operator.created_at,
    ).where(Operator.id > after).order_by(Operator.id).limit(limit)  # fmt: skip
    if only is not None:
        query = query.where(Operator.id == only)
    if active is not None:
        query = query.where(Operator.active == active)
    return [dict(r._mapping) for r in tx.execute(query)]


def zone_of(tx: Tx, whose: int | str | None) -> str:
    """The zone of an operator, by id or slug; UTC for nobody."""
    known = Operator.id == whose if isinstance(whose, int) else Operator.slug == (whose or "")
    return tx.execute(sa.select(Operator.timezone).where(known)).scalar() or "UTC"


def operator(tx: Tx, slug: str) -> dict[str, Any]:
    """One of them. Raises `NotFound`."""
    return operators(tx, only=operator_id(tx, slug))[0]


def change_operator(tx: Tx, slug: str, changes: Mapping[str, Any], *, now: datetime) -> None:
    """Change some of name, email, timezone, language, active. Raises `Invalid`, `NotFound`. What another zone opens is
    for the people waiting first."""
    owner = operator_id(tx, slug)
    claims.lock_operator(tx, owner)
    after = {**operator(tx, slug), **changes}
    person = client_of(after, zone="", path="")
    with _line_first(tx, owner, now):
        tx.execute(
            sa.update(Operator)
            .where(Operator.id == owner)
            .values(
                name=person.name,
                email=person.email,
                timezone=person.timezone,
                language=person.language,
                active=after["active"],
            )
        )


def services(
    tx: Tx, slug: str, *, active: bool | None = None, after: int = 0, limit: int | None = None
) -> list[dict[str, Any]]:
    """An operator's services: ``id, slug, active, spec, created_at``. Raises `NotFound`."""
    owner = operator_id(tx, slug)
    query = sa.select(Service.id, Service.slug, Service.active, Service.spec, Service.created_at)
    query = query.where(Service.operator_id == owner, Service.id > after).order_by(Service.id).limit(limit)
    if active is not None:
        query = query.where(Service.active == active)
    return [dict(r._mapping) for r in tx.execute(query)]


def service(tx: Tx, operator: str, slug: str) -> dict[str, Any]:
    """One of them. Raises `NotFound`."""
    found = next((s for s in services(tx, operator) if s["slug"] == slug), None)
    if found is None:
        raise NotFound(f"there is no service {operator}/{slug}")
    return found


def remove_service(tx: Tx, operator: str, slug: str, *, now: datetime) -> None:
    """Forget a service that nobody ever booked or waited for. Raises `NotFound`; `NotPossible` for others, which can be
    switched off."""
    service_id = service(tx, operator, slug)["id"]
    owner = operator_id(tx, operator)
    claims.lock_operator(tx, owner)
    _check_unused(
        tx, Booking.service_id == service_id, WaitlistEntry.service_id == service_id, Slot.service_id == service_id
    )
    with _line_first(tx, owner, now):  # an opening may have named it
        teams.put(tx, service_id, owner, [], now=now)
        tx.execute(sa.delete(Service).where(Service.id == service_id))
    pauses.end_of(tx, "service", [service_id], now=now)


def remove_operator(tx: Tx, slug: str, *, now: datetime) -> None:
    """Forget an operator whom nobody ever booked or waited for, with services, connections and pauses. Raises as
    `remove_service`."""
    owner = operator_id(tx, slug)
    claims.lock_operator(tx, owner)
    _check_unused(tx, Booking.operator_id == owner, WaitlistEntry.operator_id == owner, Slot.operator_id == owner)
    mates = teams.circle_of(tx, owner) - {owner}
    pauses.end_of(tx, "service", [each["id"] for each in services(tx, slug)], now=now)
    pauses.end_of(tx, "operator", [owner], now=now)
    for each in webhooks.listing(tx, operator_id=owner):
        webhooks.remove(tx, each["id"])
    tx.execute(sa.delete(Operator).where(Operator.id == owner))
    teams.draw_circles(tx, mates, now=now)


def _check_unused(tx: Tx, *uses: sa.ColumnElement[bool]) -> None:
    if any(tx.execute(sa.select(sa.literal(1)).where(use).limit(1)).first() for use in uses):
        raise NotPossible("this has been booked or waited for; it can be switched off (active: false), not removed")


def change_service(
    tx: Tx,
    operator: str,
    slug: str,
    *,
    spec: Mapping[str, Any] | None,
    active: bool | None,
    now: datetime,
) -> None:
    """Another spec, on or off. Raises `Invalid`, `NotFound`. What that opens is for the people waiting first (P7)."""
    known = next((s for s in services(tx, operator) if s["slug"] == slug), None)
    if known is None:
        raise NotFound(f"there is no service {operator}/{slug}")
    if spec is not None:
        put_service(tx, operator, slug, spec, now=now, replace=True)
    if active is not None:
        owner = operator_id(tx, operator)
        claims.lock_operator(tx, owner)
        with _line_first(tx, owner, now):
            tx.execute(sa.update(Service).where(Service.id == known["id"]).values(active=active))


def owner_of_slot(tx: Tx, slot_id: int) -> int:
    """Whose slot it is. Raises `NotFound`."""
    owner = tx.execute(sa.select(Slot.operator_id).where(Slot.id == slot_id)).scalar()
    if owner is None:
        raise NotFound("there is no such slot")
    return int(owner)


def owner_of_service(tx: Tx, service_id: int) -> int:
    """Whose service it is. Raises `NotFound`."""
    owner = tx.execute(sa.select(Service.operator_id).where(Service.id == service_id)).scalar()
    if owner is None:
        raise NotFound("there is no such service")
    return int(owner)
