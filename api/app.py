"""The doors put together."""

from __future__ import annotations

from typing import Any

from fastapi import Depends, FastAPI

from api import admin, connect, health, hooks, problems, public, rates
from api.deps import Site
from api.desk import doors as desk
from api.head import HeadAsGet
from api.limits import BodyLimit
from api.openapi import describe
from api.pages import routes as pages
from api.security import SafeAnswers
from api.signin import doors as signin
from api.slot_cache import SlotCache

DESCRIPTION = "Appointments from the calendar that people already use. Instants are RFC 3339 in UTC, zones IANA names."


def create_app(site: Site) -> FastAPI:
    """The ASGI application of one deployment."""
    app = _doors()
    app.state.site = site
    app.state.slot_cache = SlotCache()
    app.state.rates = rates.rates_of(site.settings)
    app.add_middleware(SafeAnswers, secure=site.settings.base_url.startswith("https://"))
    app.include_router(hooks.router)
    app.include_router(connect.router)
    signin.install(app)
    desk.install(app)
    if site.demo:
        from api.pages import mailbox  # the demo's mailbox exists in the demo only

        app.include_router(mailbox.router)
    pages.install(app)  # last: its paths are the widest
    return app


def description() -> dict[str, Any]:
    """The OpenAPI document of the JSON doors."""
    return describe(_doors())


def _doors() -> FastAPI:
    app = FastAPI(
        title="Slotledger",
        version="1",
        description=DESCRIPTION,
        openapi_url="/api/openapi.json",
        docs_url=None,  # `api/pages/reference.py` shows it without scripts from elsewhere
        redoc_url=None,
        dependencies=[Depends(rates.limited)],
    )
    app.add_middleware(BodyLimit)
    app.add_middleware(rates.WrongKeys)
    app.add_middleware(HeadAsGet)
    problems.install(app, pages.not_found, pages.trouble)
    rates.install(app)
    app.include_router(health.router)
    app.include_router(public.router)
    app.include_router(admin.router)
    app.openapi = lambda: describe(app)  # type: ignore[method-assign]  # FastAPI's own way to say so
    return app
