"""The public JSON API (INTERFACE §4). No login, no remote call, and a GET never changes anything."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import JSONResponse

from api.deps import Here, Site
from api.invite import invitation_file
from api.problems import documented
from api.schemas import (
    BookingIn,
    BookingOut,
    CancelIn,
    Day,
    HoldIn,
    HoldOut,
    LineOut,
    OperatorOut,
    RescheduleIn,
    ServiceOut,
    SlotsOut,
    WaitlistIn,
)
from api.wire import wire
from booking import catalogue, commands, queries, repeats, waitlist
from booking.errors import FieldError, Invalid
from booking.rules import duration_of, is_zone
from ledger.db import Tx

router = APIRouter(prefix="/api/v1", tags=["public"])
CAUSE = "api"
TAGGED: dict[str, Any] = {"ETag": {"description": "for `If-None-Match`", "schema": {"type": "string"}}}
Service = "/operators/{operator}/services/{service}"


@router.get("/operators/{operator}", response_model=OperatorOut, responses=documented(404))
def operator_facts(operator: str, here: Here) -> Response:
    """Public facts of an operator and its services."""
    with here.database.reading() as tx:
        return _json(queries.operator_facts(tx, operator))


@router.get(Service, response_model=ServiceOut, responses=documented(404))
def service_facts(operator: str, service: str, here: Here) -> Response:
    """Public facts of a service: texts per language, form fields, policies."""
    with here.database.reading() as tx:
        return _json(queries.service_facts(catalogue.offering(tx, operator, service)))


@router.get(
    Service + "/slots",
    response_model=SlotsOut,
    responses={
        200: {"headers": TAGGED},
        304: {"description": "Not modified", "headers": TAGGED},
        **documented(404, 422),
    },
)
def slots(
    request: Request,
    operator: str,
    service: str,
    here: Here,
    first: Annotated[Day, Query(alias="from", description="first day")],
    last: Annotated[Day, Query(alias="to", description="last day, at most 62 days on")],
    timezone: Annotated[str, Query(description="whose days; the operator's if left out")] = "",
    duration: Annotated[int | None, Query(description="minutes, of a service with several durations")] = None,
    if_none_match: Annotated[str, Header()] = "",
) -> Response:
    """Starts of a range of days: open, held and full ones."""
    now = here.now()
    with here.database.reading() as tx:
        pulse = queries.pulse(tx, operator, service)
        zone = _zone(timezone)

        def compute() -> queries.Listed:
            offering = catalogue.offering(tx, operator, service)
            asked = offering.lasting(duration_of(duration, offering.spec, path="duration"))
            return queries.slots(tx, asked, first, last, zone or offering.timezone, now=now)

        key = (operator, service, first.isoformat(), last.isoformat(), zone, str(duration or ""))
        ready = request.app.state.slot_cache.get(key, pulse, now, compute)
        shown = zone or catalogue.offering(tx, operator, service).timezone
    headers = {"ETag": ready.etag, "Cache-Control": "no-cache"}
    if {"*", ready.etag.removeprefix("W/")} & {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}:
        return Response(status_code=304, headers=headers)
    return Response(ready.body(shown, pulse), media_type="application/json", headers=headers)


@router.post(Service + "/holds", status_code=201, response_model=HoldOut, responses=documented(400, 404, 409, 422))
def hold(operator: str, service: str, body: HoldIn, here: Here) -> Response:
    """Keep seats for five minutes."""
    with here.database.transaction() as tx:
        held = commands.hold(
            tx, here.terms, operator, service, start=body.start, seats=body.seats, now=here.now(), cause=CAUSE,
            duration_minutes=body.duration_minutes, member=body.operator,
        )  # fmt: skip
    return _json({"token": held.token, "expires_at": held.expires_at}, 201)


@router.delete("/holds/{token}", status_code=204, responses=documented())
def drop_hold(token: str, here: Here) -> Response:
    """Give a hold back. Repeating does nothing."""
    with here.database.transaction() as tx:
        commands.drop_hold(tx, here.terms, token, now=here.now(), cause=CAUSE)
    return Response(status_code=204)


@router.post(
    Service + "/bookings", status_code=201, response_model=BookingOut, responses=documented(400, 404, 409, 422)
)
def book(
    operator: str,
    service: str,
    body: BookingIn,
    here: Here,
    idempotency_key: Annotated[
        str, Header(max_length=100, description="the same key and body give the same answer")
    ] = "",
) -> Response:
    """Book. It is stored when this answers."""
    with here.database.transaction() as tx:
        booking_id = commands.book(
            tx,
            here.terms,
            operator,
            service,
            body.model_dump(),
            now=here.now(),
            cause=CAUSE,
            idempotency_key=idempotency_key,
        )

        def written() -> str:
            return bytes(_json(queries.booking_view(tx, booking_id, here.terms)).body).decode()

        told = repeats.same_answer(tx, booking_id, written) if idempotency_key else written()
    return Response(told, 201, media_type="application/json")


@router.get("/bookings/{token}", response_model=BookingOut, responses=documented(404))
def booking(token: str, here: Here) -> Response:
    """A booking as its client sees it, with its timeline and deliveries."""
    with here.database.reading() as tx:
        return _json(queries.booking_view(tx, commands.id_of(tx, token, now=here.now()), here.terms))


@router.post("/bookings/{token}/cancel", response_model=BookingOut, responses=documented(400, 404, 409, 422))
def cancel(token: str, here: Here, body: CancelIn | None = None) -> Response:
    """Cancel; a cancelled one stays so and answers 200."""
    with here.database.transaction() as tx:
        booking_id = commands.id_of(tx, token, now=here.now())
        reason = body.reason if body else ""
        commands.cancel(tx, here.terms, booking_id, by="client", now=here.now(), cause=CAUSE, reason=reason)
        view = queries.booking_view(tx, booking_id, here.terms)
    return _json(view)


@router.post("/bookings/{token}/reschedule", response_model=BookingOut, responses=documented(400, 404, 409, 422))
def reschedule(token: str, body: RescheduleIn, here: Here) -> Response:
    """Another time: same id and UID, revision + 1. The old time is kept until the new one is claimed."""
    with here.database.transaction() as tx:
        booking_id = commands.id_of(tx, token, now=here.now())
        commands.reschedule(tx, here.terms, booking_id, body.start, by="client", now=here.now(), cause=CAUSE)
        view = queries.booking_view(tx, booking_id, here.terms)
    return _json(view)


@router.post("/bookings/{token}/confirm-attendance", response_model=BookingOut, responses=documented(404, 409))
def confirm_attendance(token: str, here: Here) -> Response:
    """The client says they come."""
    with here.database.transaction() as tx:
        booking_id = commands.id_of(tx, token, now=here.now())
        commands.confirm_attendance(tx, booking_id, now=here.now(), cause=CAUSE)
        view = queries.booking_view(tx, booking_id, here.terms)
    return _json(view)


@router.get(
    "/bookings/{token}/invite.ics",
    response_class=Response,
    responses={200: {"content": {"text/calendar": {}}}, **documented(404)},
)
def invite(token: str, here: Here) -> Response:
    """The appointment as an iCalendar file."""
    with here.database.reading() as tx:
        content = invitation_file(tx, commands.id_of(tx, token, now=here.now()), here.terms)
    headers = {"Content-Disposition": 'attachment; filename="invite.ics"'}
    return Response(content, media_type="text/calendar; charset=utf-8", headers=headers)


@router.post(Service + "/waitlist", status_code=201, response_model=LineOut, responses=documented(400, 404, 422))
def join_waitlist(operator: str, service: str, body: WaitlistIn, here: Here) -> Response:
    """Take a place in the line."""
    with here.database.transaction() as tx:
        offering = catalogue.offering(tx, operator, service)
        given = body.model_dump(by_alias=True)
        token = waitlist.join(tx, offering, given, now=here.now(), cause=CAUSE)
        view = _line(tx, token, here)
    return _json(view, 201)


@router.get("/waitlist/{token}", response_model=LineOut, responses=documented(404))
def waiting(token: str, here: Here) -> Response:
    """A place in the line: position, and the offer if there is one."""
    with here.database.reading() as tx:
        return _json(_line(tx, token, here))


@router.delete("/waitlist/{token}", status_code=204, responses=documented(404))
def leave_waitlist(token: str, here: Here) -> Response:
    """Give the place up."""
    with here.database.transaction() as tx:
        waitlist.leave(tx, here.terms, token, now=here.now(), cause=CAUSE)
    return Response(status_code=204)


@router.post("/waitlist/{token}/accept", response_model=LineOut, responses=documented(404, 409, 410))
def accept_offer(token: str, here: Here) -> Response:
    """Take the offered seat; ``booking`` is the new booking's token."""
    with here.database.transaction() as tx:
        waitlist.accept_offer(tx, here.terms, token, now=here.now(), cause=CAUSE)
        view = _line(tx, token, here)
    return _json(view)


@router.post("/waitlist/{token}/decline", response_model=LineOut, responses=documented(404, 410))
def decline_offer(token: str, here: Here) -> Response:
    """Say no; the next in line gets the seat."""
    with here.database.transaction() as tx:
        waitlist.decline_offer(tx, here.terms, token, now=here.now(), cause=CAUSE)
        view = _line(tx, token, here)
    return _json(view)


def _line(tx: Tx, token: str, here: Site) -> dict[str, Any]:
    view = queries.line_view(tx, token, now=here.now())
    return {**view, "manage_url": here.terms.waitlist_url(view["language"], token)}


def _zone(name: str) -> str:
    if name and not is_zone(name):
        raise Invalid([FieldError("timezone", "unknown_timezone", "an IANA zone like Europe/Budapest is needed")])
    return name


def _json(value: Any, status: int = 200) -> JSONResponse:
    return JSONResponse(wire(value), status)
