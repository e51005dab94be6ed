"""Operators and services."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response
from pydantic import Field

from api.admin.common import REFUSALS, In, answer, items
from api.deps import Here
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


@router.get("/operators", responses=REFUSALS)
def list_operators(here: Here, who: Who) -> Response:
    """Every operator that the caller may see, active or not."""
    with here.database.reading() as tx:
        return items(setup.operators(tx, only=who.operator_id))


@router.post("/operators", status_code=201, responses=REFUSALS)
def add_operator(body: OperatorIn, here: Here, who: Who) -> Response:
    """Add one."""
    who.must_be_admin()
    with here.database.transaction() as tx:
        setup.add_operator(tx, **body.model_dump(), now=here.now())
        return answer(setup.operator(tx, body.slug), 201)


@router.get("/operators/{slug}", responses=REFUSALS)
def get_operator(slug: str, here: Here, who: Who) -> Response:
    """One operator."""
    with here.database.reading() as tx:
        who.sees(setup.operator_id(tx, slug))
        return answer(setup.operator(tx, slug))


@router.patch("/operators/{slug}", responses=REFUSALS)
def change_operator(slug: str, body: OperatorChange, here: Here, who: Who) -> Response:
    """Change what is given."""
    with here.database.transaction() as tx:
        who.sees(setup.operator_id(tx, slug))
        setup.change_operator(tx, slug, body.model_dump(exclude_none=True))
        return answer(setup.operator(tx, slug))


@router.get("/operators/{slug}/services", responses=REFUSALS)
def list_services(slug: str, here: Here, who: Who) -> Response:
    """An operator's services with their whole specs."""
    with here.database.reading() as tx:
        who.sees(setup.operator_id(tx, slug))
        return items(setup.services(tx, slug))


@router.post("/operators/{slug}/services", status_code=201, responses=REFUSALS)
def add_service(slug: str, body: ServiceIn, here: Here, who: Who) -> Response:
    """Add a service."""
    with here.database.transaction() as tx:
        who.sees(setup.operator_id(tx, slug))
        setup.put_service(tx, slug, body.slug, body.spec, now=here.now())
        return answer(queries.service_facts(catalogue.offering(tx, slug, body.slug)), 201)


@router.put("/operators/{slug}/services/{service}", responses=REFUSALS)
def change_service(slug: str, service: str, body: ServiceChange, here: Here, who: Who) -> Response:
    """Change a service: its whole spec, or whether it can be booked."""
    with here.database.transaction() as tx:
        who.sees(setup.operator_id(tx, slug))
        setup.change_service(tx, slug, service, spec=body.spec, active=body.active, now=here.now(), terms=here.terms)
        return answer(next(s for s in setup.services(tx, slug) if s["slug"] == service))
