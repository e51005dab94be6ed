"""Operators and services: made and changed by whoever runs the place."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from booking import waitlist
from booking.errors import FieldError, Invalid, NotFound
from booking.rules import client_of
from booking.services import ServiceSpec, parse
from booking.tables import Service
from booking.terms import Terms
from connectors.model import Period
from ledger import claims
from ledger.db import Tx
from ledger.tables import Operator, Slot

LONGEST_HORIZON = timedelta(days=367)
_SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
RESERVED = frozenset(
    {"en", "hu", "de", "fr", "es", "it", "ar", "b", "w", "api", "admin", "operator", "connect", "hooks", "demo", "static",
     "livez", "readyz", "metrics", "login", "logout", "embed"}
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
    terms: Terms | None = None,
) -> int:
    """Add a service, or with `replace` change it. Returns the id. Raises `Invalid`, `NotFound`.

    With `terms` what a change opens goes to the people waiting first (P7).
    """
    _check_slug(slug, "slug")
    checked = spec if isinstance(spec, ServiceSpec) else parse(spec)
    owner = operator_id(tx, operator)
    claims.lock_operator(tx, owner)
    known = tx.execute(sa.select(Service.id).where(Service.operator_id == owner, Service.slug == slug)).scalar()
    if known is not None:
        if not replace:
            raise Invalid([FieldError("slug", "in_use", f"{operator} has a service {slug} already")])
        tx.execute(sa.update(Service).where(Service.id == known).values(spec=checked.to_json()))
        _serve(tx, terms, owner, now)
        return int(known)
    return int(
        tx.execute(
            sa.insert(Service)
            .values(operator_id=owner, slug=slug, spec=checked.to_json(), created_at=now)
            .returning(Service.id)
        ).scalar_one()
    )


def _serve(tx: Tx, terms: Terms | None, owner: int, now: datetime) -> None:
    """Hours, seats or time between may have been opened: the line first. The operator is locked."""
    if terms is not None:
        ahead = Period(now, now + LONGEST_HORIZON)
        waitlist.serve(tx, terms, owner, [ahead], now=now, cause="service changed")


def _check_slug(slug: str, field: str) -> None:
    if len(slug) > 60 or not _SLUG.fullmatch(slug) or slug in RESERVED:
        raise Invalid([FieldError(field, "not_a_slug", "small letters, digits and single dashes; not a reserved word")])


def ensure_operator(tx: Tx, slug: str, *, now: datetime, **about: str) -> int:
    """The operator's id; made if there is none of that slug. about: as `add_operator`."""
    try:
        return operator_id(tx, slug)
    except NotFound:
        return add_operator(tx, slug, now=now, **about)


def operators(tx: Tx, *, only: int | None = None) -> list[dict[str, Any]]:
    """Operators as those who run the place see them."""
    query = sa.select(
        Operator.slug, Operator.name, Operator.email, Operator.timezone, Operator.language, Operator.active,
        Operator.created_at,
    ).order_by(Operator.id)  # fmt: skip
    if only is not None:
        query = query.where(Operator.id == only)
    return [dict(r._mapping) for r in tx.execute(query)]


def operator(tx: Tx, slug: str) -> dict[str, Any]:
    """One of them. Raises `NotFound`."""
    return operators(tx, only=operator_id(tx, slug))[0]


def change_operator(tx: Tx, slug: str, changes: Mapping[str, Any]) -> None:
    """Change some of name, email, timezone, language, active. Raises `Invalid`, `NotFound`."""
    owner = operator_id(tx, slug)
    claims.lock_operator(tx, owner)
    after = {**operator(tx, slug), **changes}
    person = client_of(after, zone="", path="")
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


def services(tx: Tx, slug: str) -> list[dict[str, Any]]:
    """An operator's services: ``id, slug, active, spec``. Raises `NotFound`."""
    owner = operator_id(tx, slug)
    query = sa.select(Service.id, Service.slug, Service.active, Service.spec, Service.created_at)
    return [dict(r._mapping) for r in tx.execute(query.where(Service.operator_id == owner).order_by(Service.id))]


def change_service(
    tx: Tx,
    operator: str,
    slug: str,
    *,
    spec: Mapping[str, Any] | None,
    active: bool | None,
    now: datetime,
    terms: Terms | None = None,
) -> None:
    """Another spec, on or off. Raises `Invalid`, `NotFound`. With `terms` what that opens goes to the people waiting
    first (P7)."""
    known = next((s for s in services(tx, operator) if s["slug"] == slug), None)
    if known is None:
        raise NotFound(f"there is no service {operator}/{slug}")
    if spec is not None:
        put_service(tx, operator, slug, spec, now=now, replace=True, terms=terms if active is None else None)
    if active is not None:
        claims.lock_operator(tx, operator_id(tx, operator))
        tx.execute(sa.update(Service).where(Service.id == known["id"]).values(active=active))
        _serve(tx, terms, operator_id(tx, operator), now)


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
