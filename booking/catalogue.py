"""Which operators and services there are, read from the books."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import sqlalchemy as sa

from booking.errors import NotFound
from booking.services import ServiceSpec, rules
from booking.tables import Service
from ledger.availability import Rules
from ledger.db import Tx
from ledger.tables import Operator


@dataclass(frozen=True, slots=True)
class Offering:
    """One service of one operator, ready to decide with."""

    operator_id: int
    operator_slug: str
    operator_name: str
    operator_email: str
    operator_language: str
    timezone: str
    service_id: int
    slug: str
    active: bool
    spec: ServiceSpec
    rules: Rules


def offering(tx: Tx, operator: str, service: str) -> Offering:
    """By slugs. Raises `NotFound`, also for what is switched off."""
    found = [o for o in _of(tx, Operator.slug == operator) if o.slug == service and o.active]
    if not found:
        raise NotFound(f"there is no service {operator}/{service}")
    return found[0]


def offering_by_id(tx: Tx, service_id: int) -> Offering:
    """By id, switched off or not. Raises `NotFound`."""
    mine = sa.select(Service.operator_id).where(Service.id == service_id).scalar_subquery()
    for each in _of(tx, Operator.id == mine):
        if each.service_id == service_id:
            return each
    raise NotFound(f"there is no service {service_id}")


def offerings_of(tx: Tx, operator_id: int) -> list[Offering]:
    """All active services of an operator, in the order they were made."""
    return [o for o in _of(tx, Operator.id == operator_id) if o.active]


def _of(tx: Tx, which: sa.ColumnElement[bool]) -> list[Offering]:
    rows = tx.execute(
        sa.select(
            Operator.id, Operator.slug, Operator.name, Operator.email, Operator.language, Operator.timezone,
            Operator.active, Service.id.label("service_id"), Service.slug.label("service_slug"),
            Service.active.label("service_active"), Service.spec,
        )
        .join(Service, Service.operator_id == Operator.id)
        .where(which)
        .order_by(Service.id)
    ).all()  # fmt: skip
    specs = {row.service_id: (row.service_slug, spec_of(row.spec)) for row in rows}
    return [
        Offering(
            row.id,
            row.slug,
            row.name,
            row.email,
            row.language,
            row.timezone,
            row.service_id,
            row.service_slug,
            bool(row.active and row.service_active),
            specs[row.service_id][1],
            rules(
                row.service_id,
                *specs[row.service_id],
                row.timezone,
                [named for other, named in specs.items() if other != row.service_id],
            ),
        )
        for row in rows
    ]


def spec_of(stored: dict[str, Any]) -> ServiceSpec:
    """The checked spec of a stored one; parsing is remembered."""
    return _parsed(json.dumps(stored, sort_keys=True))


@lru_cache(maxsize=4096)
def _parsed(text: str) -> ServiceSpec:
    return ServiceSpec.model_validate_json(text)
