"""Which page is where (INTERFACE §6). Fixed words come first; operators and services take what is left."""

from __future__ import annotations

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import RedirectResponse, Response
from starlette.staticfiles import StaticFiles

from api.deps import Here, Site
from api.pages import booking, consent, embed, line, reference, reminders, service
from api.pages.render import STATIC, language_of, page
from booking import errors, queries
from booking.i18n import LANGUAGES
from booking.setup import RESERVED

router = APIRouter(include_in_schema=False)


@router.get("/")
def home(request: Request, here: Here) -> Response:
    """Who can be booked here."""
    return _home(request, here, language_of(request))


def _home(request: Request, here: Site, language: str) -> Response:
    with here.database.reading() as tx:
        operators = queries.operators(tx)
    return page(request, "home.html", language, operators=operators)


@router.get("/{operator}")
def to_operator(request: Request, operator: str, here: Here) -> Response:
    """To the page in the reader's language; a language alone is the start in it."""
    if operator in LANGUAGES:
        return _home(request, here, operator)
    _may_be_somebody(operator)
    return _redirect(request, f"/{operator}")


@router.get("/{operator}/{service}")
def to_service(request: Request, operator: str, service: str, here: Here) -> Response:
    """To the page in the reader's language; with a language in front it is an operator's page."""
    if operator in LANGUAGES:
        with here.database.reading() as tx:
            facts = queries.operator_facts(tx, service)
        return page(request, "operator.html", operator, operator=facts)
    _may_be_somebody(operator)
    return _redirect(request, f"/{operator}/{service}")


def install(app: FastAPI) -> None:
    """All pages, and what they need."""
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    app.include_router(consent.router)
    app.include_router(reference.router)
    app.include_router(embed.router)
    app.include_router(booking.router)
    app.include_router(reminders.router)
    app.include_router(line.router)
    app.include_router(service.router)
    app.include_router(router)


def not_found(request: Request, error: errors.NotFound) -> Response:
    """A page for people whose link leads nowhere."""
    return page(request, "problem.html", _language(request), status=404, error=error)


def trouble(request: Request, answer: Response) -> Response:
    """The same refusal for people: with its status, and what they can do."""
    kept = {name: value for name in ("retry-after", "allow") if (value := answer.headers.get(name))}
    headers = {**kept, "Cache-Control": "no-store"}
    status = answer.status_code
    return page(request, "trouble.html", _language(request), status=status, headers=headers, code=status)


def _language(request: Request) -> str:
    language = request.url.path.split("/")[1]
    return language if language in LANGUAGES else language_of(request)


def _may_be_somebody(operator: str) -> None:
    """Raises `NotFound` for a word that no operator can be called by."""
    if operator in RESERVED:
        raise errors.NotFound("there is no such page")


def _redirect(request: Request, path: str) -> Response:
    query = f"?{request.url.query}" if request.url.query else ""
    return RedirectResponse(f"/{language_of(request)}{path}{query}", 307, {"Vary": "Accept-Language"})
