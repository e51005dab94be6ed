"""Which operators and services there are, read from the books. A team's service is offered by several operators."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import sqlalchemy as sa

from booking.errors import FieldError, Invalid, NotFound
from booking.services import ServiceSpec, lasting, rules
from booking.tables import Service, TeamMember
from ledger.availability import Rules
from ledger.db import Tx
from ledger.tables import Operator


@dataclass(frozen=True, slots=True)
class Offering:
    """One service as an operator does it, for one of its durations, ready to decide with.

    operator_*: whose calendar the slot is in. choices: where any member of a team may do it, the same as each of them
    does it; one is chosen before time is claimed. members: slug and name of everybody in the team. mates: where all do it together, the others whose time it takes too.
    owner_id: whose service it is; its wall time counts for the whole team.
    """

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
    owner_id: int = 0
    members: tuple[tuple[str, str], ...] = ()
    mates: tuple[int, ...] = ()
    choices: tuple[Offering, ...] = ()

    @property
    def people(self) -> tuple[int, ...]:
        """Ids of the operators whose time a slot takes."""
        return (self.operator_id, *self.mates)

    @property
    def names(self) -> str:
        """Who does it, in words: the operator, or everybody of the team who may."""
        return ", ".join(name for _, name in self.members) if self.choices else self.operator_name

    @property
    def minutes(self) -> int:
        """How long an appointment is."""
        return int(self.rules.duration.total_seconds() // 60)

    def lasting(self, minutes: int) -> Offering:
        """The same for another of its durations; 0 or one that it hasn't got (any more) means the default."""
        if len(self.spec.durations) == 1:
            return self
        return replace(
            self,
            rules=lasting(self.rules, self.spec, minutes),
            choices=tuple(choice.lasting(minutes) for choice in self.choices),
        )


def member_of(offered: Offering, slug: str | None) -> Offering:
    """As that member of its team does it; None leaves the choice open. Raises `Invalid` for who doesn't do it."""
    if not slug:
        return offered
    for choice in offered.choices:
        if choice.operator_slug == slug:
            return choice
    if not offered.choices and slug in (offered.operator_slug, *offered.spec.team):
        return offered
    raise Invalid([FieldError("operator", "unknown_operator", f"{slug} doesn't do {offered.slug}")])


def offering(tx: Tx, operator: str, service: str) -> Offering:
    """By slugs: of the service's owner, or of a member of the team that does it, who is chosen by that.

    Raises `NotFound`, also for what is switched off.
    """
    found = [o for o in _of(tx, Operator.slug == operator) if o.slug == service and o.active]
    if found:
        return found[0]
    member = tx.execute(sa.select(Operator.id).where(Operator.slug == operator, Operator.active)).scalar()
    for each in [] if member is None else done_by(tx, member):
        if each.slug == service:
            return each
    raise NotFound(f"there is no service {operator}/{service}")


def offering_by_id(tx: Tx, service_id: int, operator_id: int | None = None) -> Offering:
    """By id, switched off or not. operator_id: as this one does it, where it is a team's. Raises `NotFound`."""
    mine = sa.select(Service.operator_id).where(Service.id == service_id).scalar_subquery()
    for each in _of(tx, Operator.id == mine):
        if each.service_id == service_id:
            return each if operator_id is None else _as_done_by(tx, each, operator_id)
    raise NotFound(f"there is no service {service_id}")


def offering_of(tx: Tx, row: Any) -> Offering:
    """What a stored booking is of: as its operator does it, for its duration."""
    return offering_by_id(tx, row.service_id, row.operator_id).lasting(row.duration_minutes)


def offering_waited_for(tx: Tx, entry: Any) -> Offering:
    """What a stored place in line is for: of a team's member where one was named, for its duration."""
    return offering_by_id(tx, entry.service_id, entry.member_id).lasting(entry.duration_minutes)


def offerings_of(tx: Tx, operator_id: int) -> list[Offering]:
    """All active services of an operator, in the order they were made, and of teams as this member does them."""
    own = [o for o in _of(tx, Operator.id == operator_id) if o.active]
    known = {o.service_id for o in own}
    return [*own, *(o for o in _with_teams(tx, operator_id) if o.service_id not in known)]


def done_by(tx: Tx, operator_id: int) -> list[Offering]:
    """The active services that take this operator's time, each as done by them."""
    own = [o for o in _of(tx, Operator.id == operator_id) if o.active and not o.spec.team]
    return sorted([*own, *_with_teams(tx, operator_id)], key=lambda o: o.service_id)


def _with_teams(tx: Tx, operator_id: int) -> list[Offering]:
    owners = sa.select(Service.operator_id).join(TeamMember, TeamMember.service_id == Service.id)
    mine = set(tx.execute(sa.select(TeamMember.service_id).where(TeamMember.operator_id == operator_id)).scalars())
    if not mine:
        return []
    offered = _of(tx, Operator.id.in_(owners.where(TeamMember.operator_id == operator_id)))
    mine_alone = (_as_done_by(tx, o, operator_id) if o.choices else o for o in offered if o.service_id in mine)
    return [o for o in mine_alone if o.active]


def _as_done_by(tx: Tx, offered: Offering, operator_id: int) -> Offering:
    if not offered.spec.team or (operator_id == offered.operator_id and not offered.choices):
        return offered
    for choice in offered.choices:
        if choice.operator_id == operator_id:
            return choice
    # All together, begun by another of them; or somebody who has left the team and still has what was booked with them.
    row = tx.execute(sa.select(Operator.__table__).where(Operator.id == operator_id)).one_or_none()
    if row is None:
        return offered
    if not offered.mates:
        return _named(offered, row)
    others = tuple(each for each in offered.people if each != operator_id)
    return replace(_named(offered, row), mates=others, operator_name=offered.operator_name)


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
    specs = {row.service_id: (row.id, row.service_slug, spec_of(row.spec)) for row in rows}
    offered = [
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
            specs[row.service_id][2],
            rules(
                row.service_id,
                *specs[row.service_id][1:],
                row.timezone,
                [
                    (slug, spec)
                    for other, (owner, slug, spec) in specs.items()
                    if other != row.service_id and owner == row.id
                ],
            ),
            row.id,
        )
        for row in rows
    ]
    if not any(o.spec.team for o in offered):
        return offered
    members = _members(tx, [o.service_id for o in offered if o.spec.team])
    return [_as_team(o, members.get(o.service_id, [])) if o.spec.team else o for o in offered]


def _members(tx: Tx, services: Iterable[int]) -> dict[int, list[Any]]:
    """Service → the active members of its team, and what else each does."""
    rows = tx.execute(
        sa.select(TeamMember.service_id, Operator.__table__)
        .join(Operator, Operator.id == TeamMember.operator_id)
        .where(TeamMember.service_id.in_(list(services)), Operator.active)
        .order_by(Operator.slug)
    ).all()
    found: dict[int, list[Any]] = {}
    for row in rows:
        found.setdefault(row.service_id, []).append(row)
    return found


def _as_team(alone: Offering, members: list[Any]) -> Offering:
    offered = replace(alone, members=tuple((m.slug, m.name) for m in members))
    if offered.spec.team_mode == "any":
        choices = tuple(_named(offered, member) for member in members)
        return replace(offered, active=offered.active and bool(choices), choices=choices)
    if len(members) < len(offered.spec.team):
        return replace(offered, active=False)  # together means all of them
    leader = next((m for m in members if m.id == offered.owner_id), members[0])
    together = replace(_named(offered, leader), mates=tuple(m.id for m in members if m.id != leader.id))
    return replace(together, operator_name=", ".join(m.name for m in members))


def _named(offered: Offering, row: Any) -> Offering:
    return replace(
        offered,
        operator_id=row.id,
        operator_slug=row.slug,
        operator_name=row.name,
        operator_email=row.email,
        operator_language=row.language,
        choices=(),
    )


def spec_of(stored: dict[str, Any]) -> ServiceSpec:
    """The checked spec of a stored one; parsing is remembered."""
    return _parsed(json.dumps(stored, sort_keys=True))


@lru_cache(maxsize=4096)
def _parsed(text: str) -> ServiceSpec:
    return ServiceSpec.model_validate_json(text)
