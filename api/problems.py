"""Every refusal as RFC 9457 ``application/problem+json``, with a stable ``code``."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import sqlalchemy as sa
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from api.keys import NotAllowed
from api.wire import wire
from booking import errors
from booking.errors import FieldError
from connectors.errors import ConnectorError
from ledger import observe
from ledger.observe import Event
from sync.errors import NotFound as SyncNotFound
from sync.errors import SyncError

STATUS: dict[type[errors.BookingError], int] = {
    errors.NotFound: 404,
    errors.Invalid: 422,
    errors.SlotTaken: 409,
    errors.HoldExpired: 409,
    errors.TooLate: 409,
    errors.NotPossible: 409,
    errors.OfferExpired: 410,
    errors.KeyReused: 422,
}


class PreconditionFailed(Exception):
    """The thing has changed since it was read (RFC 9110 §13.1.1)."""


class FieldProblem(BaseModel):
    """One wrong field."""

    field: str
    code: str
    detail: str


class Problem(BaseModel):
    """What an error answer looks like."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    errors: list[FieldProblem] | None = None
    alternatives: list[str] | None = None
    waitlist: str | None = None


TITLES = {
    400: "Bad request", 401: "Sign in first", 403: "Not allowed", 404: "Not found", 405: "Method not allowed",
    409: "Conflict", 410: "Gone", 412: "It has changed since", 413: "Too large", 415: "Unsupported media type", 422: "Something in the request is wrong",
    429: "Too many requests", 500: "Our mistake", 503: "Try again in a moment",
}  # fmt: skip


FIXED = {
    400: "not_json", 401: "unauthorized", 403: "forbidden", 404: "not_found", 412: "precondition_failed",
    413: "too_large", 429: "too_many_requests", 503: "try_again",
}  # fmt: skip
"""Statuses that mean one thing."""
Kind = TypeVar("Kind")


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For ``responses=`` of a route: these answers are problems."""
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {s: {"description": TITLES[s], "content": content} for s in (*statuses, 413, 429)}


def codes_by_status() -> dict[int, list[str]]:
    """Every ``code`` that an answer with this status may have, in order."""
    found = {s: {c} for s, c in FIXED.items()} | {422: {"invalid"}, 409: set[str]()}
    for kind in _kinds(errors.BookingError):
        found.setdefault(_status(kind), set()).add(kind.code)
    for refusal in _kinds(SyncError):
        found[404 if issubclass(refusal, SyncNotFound) else 409].add(refusal.code)
    found[422] |= {kind.code for kind in _kinds(ConnectorError)}
    return {status: sorted(codes) for status, codes in found.items()}


def _kinds(base: type[Kind]) -> Iterator[type[Kind]]:
    for kind in base.__subclasses__():
        yield kind
        yield from _kinds(kind)


def _status(kind: type[errors.BookingError]) -> int:
    return next(STATUS[base] for base in kind.__mro__ if base in STATUS)


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    fields: Sequence[FieldError] = (),
    headers: dict[str, str] | None = None,
    **more: Any,
) -> JSONResponse:
    """The answer itself. more: extension members."""
    body: dict[str, Any] = {
        "type": f"urn:slotledger:problem:{code}",
        "title": TITLES.get(status, "Error"),
        "status": status,
        "detail": detail,
        "code": code,
        **more,
    }
    if fields:
        body["errors"] = [{"field": f.field, "code": f.code, "detail": f.detail} for f in fields]
    return _Told(wire(body), status, headers, media_type="application/problem+json")


class _Told(JSONResponse):
    """What is wrong may quote what was sent, and that need not be text that can be written down."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def of_booking(error: errors.BookingError) -> JSONResponse:
    """A refusal of the booking room."""
    more: dict[str, Any] = {}
    if isinstance(error, errors.SlotTaken):
        more["alternatives"] = list(error.alternatives)
        if error.waitlist:
            operator, service = error.waitlist
            more["waitlist"] = f"/api/v1/operators/{operator}/services/{service}/waitlist"
    fields = error.errors if isinstance(error, errors.Invalid) else ()
    return problem(_status(type(error)), error.code, error.detail, fields=fields, **more)


def install(
    app: FastAPI,
    not_found_page: Callable[[Request, errors.NotFound], Response],
    trouble_page: Callable[[Request, Response], Response],
) -> None:
    """Answer every known error as a problem; people whose link leads nowhere get a page, and so do those whose browser
    shows what a page's own address answers."""

    def told(request: Request, answer: Response) -> Response:
        reads = "text/html" in request.headers.get("accept", "")
        return trouble_page(request, answer) if reads and not _of_the_api(request) else answer

    @app.exception_handler(errors.BookingError)
    def _booking(request: Request, error: errors.BookingError) -> Response:
        if isinstance(error, errors.NotFound) and not _of_the_api(request):
            return not_found_page(request, error)
        return of_booking(error)

    @app.exception_handler(NotAllowed)
    def _not_allowed(_: Request, error: NotAllowed) -> Response:
        code = "unauthorized" if error.status == 401 else "forbidden"
        headers = {"WWW-Authenticate": "Bearer"} if error.status == 401 else None
        return problem(error.status, code, error.detail, headers=headers)

    @app.exception_handler(PreconditionFailed)
    def _changed_since(_: Request, __: PreconditionFailed) -> Response:
        return problem(412, "precondition_failed", "this has changed since it was read; read it again")

    @app.exception_handler(SyncError)
    def _sync(_: Request, error: SyncError) -> Response:
        return problem(404 if isinstance(error, SyncNotFound) else 409, error.code, str(error))

    @app.exception_handler(ConnectorError)
    def _connector(_: Request, error: ConnectorError) -> Response:
        return problem(422, error.code, error.detail, fields=[FieldError("connection", error.code, error.detail)])

    @app.exception_handler(RequestValidationError)
    def _validation(request: Request, error: RequestValidationError) -> Response:
        fields = [_field(e) for e in error.errors()]
        if any(f.code == "json_invalid" for f in fields):
            return problem(400, "not_json", "the body is not JSON")
        detail = "; ".join(f"{f.field}: {f.detail}" for f in fields)
        return told(request, problem(422, "invalid", detail, fields=fields))

    @app.exception_handler(HTTPException)
    def _http(request: Request, error: HTTPException) -> Response:
        if error.status_code == 404 and not _of_the_api(request):
            return not_found_page(request, errors.NotFound("there is no such page"))
        if error.status_code == 400:  # FastAPI's word for a body that is no text at all
            return problem(400, "not_json", "the body is not JSON")
        code = {404: "not_found", 405: "method_not_allowed", 401: "unauthorized", 403: "forbidden", 413: "too_large"}
        headers = dict(error.headers) if error.headers else None
        known = code.get(error.status_code, "http_error")
        return told(request, problem(error.status_code, known, str(error.detail), headers=headers))

    @app.exception_handler(sa.exc.IntegrityError)
    def _refused_by_database(_: Request, error: sa.exc.IntegrityError) -> Response:
        # The constraint is the back-stop behind the operator's lock; what it refuses is a taken slot.
        if "slot_overlap" in str(error.orig):
            return of_booking(errors.SlotTaken())
        raise error

    @app.exception_handler(sa.exc.DataError)
    def _no_value(request: Request, _: sa.exc.DataError) -> Response:
        # PostgreSQL's texts hold no NUL: nothing can have such a name.
        if "\0" in request.scope["path"]:
            return _booking(request, errors.NotFound("nothing has that name"))
        return problem(422, "invalid", "a value can't be stored")

    @app.exception_handler(sa.exc.TimeoutError)
    @app.exception_handler(sa.exc.OperationalError)
    def _database_away(request: Request, _: sa.exc.SQLAlchemyError) -> Response:
        return told(request, problem(503, "try_again", "the database is busy or away", headers={"Retry-After": "2"}))

    @app.exception_handler(Exception)
    def _our_mistake(request: Request, error: Exception) -> Response:
        observe.log.error(Event.REQUEST_FAILED, error=type(error).__name__)
        return told(request, problem(500, "our_mistake", "something went wrong on our side; nothing was stored"))


def _of_the_api(request: Request) -> bool:
    path = request.scope["path"]
    return bool(path == "/api" or path.startswith("/api/"))


def _field(error: dict[str, Any]) -> FieldError:
    path = [str(p) for p in error["loc"] if p not in ("body", "query", "path", "header")]
    return FieldError(".".join(path) or "body", str(error["type"]), str(error["msg"]).removeprefix("Value error, "))
