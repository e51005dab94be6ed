"""Operators and services."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Response
from pydantic import Field

from api import keys
from api.admin.common import (
    EDITS,
    FINDING,
    READING,
    REFUSALS,
    TAGGED,
    Act,
    Cursor,
    IfMatch,
    In,
    Limit,
    answer,
    expect,
    page,
)
from api.admin.shapes import OperatorRow, Page, ServiceRow
from api.deps import Here
from api.keys import Caller
from api.schemas import ServiceOut
from api.security import Who
from booking import catalogue, queries, setup

router = APIRouter()


class OperatorIn(In):
    """A new operator."""

    slug: str
    name: str
    email: str
    timezone: str
    language: str = "en"


class OperatorChange(In):
    """What may be changed; what is left out stays."""

    name: str | None = None
    email: str | None = None
    timezone: str | None = None
    language: str | None = None
    active: bool | None = None


class ServiceIn(In):
    """A service: its slug, and the keys of ``service.toml``."""

    slug: str
    spec: dict[str, Any] = Field(description="the keys of service.toml")


class ServiceChange(In):
    """The whole new spec, or only whether it can be booked."""

    spec: dict[str, Any] | None = None
    active: bool | None = None


@router.get("/operators", response_model=Page[OperatorRow], responses=READING)
def list_operators(
    here: Here, who: Who, active: bool | None = None, cursor: Cursor = "", limit: Limit = 50
) -> Response:
    """Every operator that the caller may see, active or not."""
    with here.database.reading() as tx:
        rows = setup.operators(tx, only=who.operator_id, active=active, after=int(cursor or 0), limit=limit + 1)
    return page(rows, limit)


@router.post("/operators", status_code=201, response_model=OperatorRow, responses=REFUSALS)
def add_operator(body: OperatorIn, who: Who, act: Act) -> Response:
    """Add one."""
    who.must_be_admin()
    with act.changing("operator.added", f"operator:{body.slug}") as change:
        change.owner = setup.add_operator(change.tx, **body.model_dump(), now=change.now)
        change.after = setup.operator(change.tx, body.slug)
    return answer(change.after, 201, etag=True)


@router.get("/operators/{slug}", response_model=OperatorRow, responses={200: {"headers": TAGGED}, **FINDING})
def get_operator(slug: str, here: Here, who: Who) -> Response:
    """One operator."""
    with here.database.reading() as tx:
        who.sees(setup.operator_id(tx, slug))
        return answer(setup.operator(tx, slug), etag=True)


@router.patch("/operators/{slug}", response_model=OperatorRow, responses={200: {"headers": TAGGED}, **EDITS})
def change_operator(slug: str, body: OperatorChange, who: Who, act: Act, if_match: IfMatch = "") -> Response:
    """Change what is given."""
    with act.changing("operator.changed", f"operator:{slug}") as change:
        change.owner = setup.operator_id(change.tx, slug)
        who.sees(change.owner)
        change.before = setup.operator(change.tx, slug)
        expect(if_match, change.before)
        setup.change_operator(change.tx, slug, body.model_dump(exclude_none=True), now=change.now)
        change.after = setup.operator(change.tx, slug)
    return answer(change.after, etag=True)


@router.delete("/operators/{slug}", status_code=204, responses=EDITS)
def remove_operator(slug: str, who: Who, act: Act, if_match: IfMatch = "") -> Response:
    """Remove an operator whom nobody ever booked or waited for; 409 for others, which can be set inactive."""
    with act.changing("operator.removed", f"operator:{slug}") as change:
        change.owner = setup.operator_id(change.tx, slug)
        who.sees(change.owner)
        who.must_be_admin()
        change.before = setup.operator(change.tx, slug)
        expect(if_match, change.before)
        setup.remove_operator(change.tx, slug, now=change.now)
        keys.revoke_tokens_of(change.tx, slug, now=change.now)
    return Response(status_code=204)


@router.get("/operators/{slug}/services", response_model=Page[ServiceRow], responses=FINDING)
def list_services(
    slug: str, here: Here, who: Who, active: bool | None = None, cursor: Cursor = "", limit: Limit = 50
) -> Response:
    """An operator's services with their whole specs."""
    with here.database.reading() as tx:
        who.sees(setup.operator_id(tx, slug))
        rows = setup.services(tx, slug, active=active, after=int(cursor or 0), limit=limit + 1)
    return page(rows, limit)


@router.post("/operators/{slug}/services", status_code=201, response_model=ServiceOut, responses=REFUSALS)
def add_service(slug: str, body: ServiceIn, who: Who, act: Act) -> Response:
    """Add a service."""
    with act.changing("service.added", f"service:{slug}/{body.slug}") as change:
        change.owner = setup.operator_id(change.tx, slug)
        who.sees(change.owner)
        _may_name(who, slug, body.spec, {})
        setup.put_service(change.tx, slug, body.slug, body.spec, now=change.now)
        change.after = setup.service(change.tx, slug, body.slug)
        return answer(queries.service_facts(catalogue.offering(change.tx, slug, body.slug)), 201)


@router.get(
    "/operators/{slug}/services/{service}",
    response_model=ServiceRow,
    responses={200: {"headers": TAGGED}, **FINDING},
)
def get_service(slug: str, service: str, here: Here, who: Who) -> Response:
    """One service with its whole spec."""
    with here.database.reading() as tx:
        who.sees(setup.operator_id(tx, slug))
        return answer(setup.service(tx, slug, service), etag=True)


@router.put(
    "/operators/{slug}/services/{service}", response_model=ServiceRow, responses={200: {"headers": TAGGED}, **EDITS}
)
def change_service(
    slug: str, service: str, body: ServiceChange, who: Who, act: Act, if_match: IfMatch = ""
) -> Response:
    """Change a service: its whole spec, or whether it can be booked."""
    with act.changing("service.changed", f"service:{slug}/{service}") as change:
        tx = change.tx
        change.owner = setup.operator_id(tx, slug)
        who.sees(change.owner)
        change.before = setup.service(tx, slug, service)
        expect(if_match, change.before)
        _may_name(who, slug, body.spec or {}, change.before["spec"])
        setup.change_service(tx, slug, service, spec=body.spec, active=body.active, now=change.now)
        change.after = setup.service(tx, slug, service)
    return answer(change.after, etag=True)


@router.delete("/operators/{slug}/services/{service}", status_code=204, responses=EDITS)
def remove_service(slug: str, service: str, who: Who, act: Act, if_match: IfMatch = "") -> Response:
    """Remove a service that nobody ever booked or waited for; 409 for others, which can be set inactive."""
    with act.changing("service.removed", f"service:{slug}/{service}") as change:
        change.owner = setup.operator_id(change.tx, slug)
        who.sees(change.owner)
        change.before = setup.service(change.tx, slug, service)
        expect(if_match, change.before)
        setup.remove_service(change.tx, slug, service, now=change.now)
    return Response(status_code=204)


def _may_name(who: Caller, slug: str, spec: Mapping[str, Any], before: Mapping[str, Any]) -> None:
    """An operator doesn't dispose of another one's time: only admins put people into a team."""
    team = spec.get("team")
    named = {str(each) for each in team} if isinstance(team, list | tuple) else set()
    if named - {slug, *before.get("team", ())}:
        who.must_be_admin()
