"""Bookings: look through them, and do what an operator may do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from pydantic import Field

from api.admin.common import FINDING, READING, REFUSALS, Act, Acting, Bound, In, Limit, answer, bound, items
from api.admin.shapes import BookingRow, BookingSeen, Page
from api.deps import Here, Site
from api.keys import Caller
from api.schemas import Instant
from api.security import Who
from booking import address, commands, overview, queries, setup
from booking.errors import NotFound
from booking.states import Happening
from ledger.db import Tx

router = APIRouter()


class Reason(In):
    """Why, for the records."""

    reason: str = Field(default="", max_length=1000)


class NewStart(In):
    """The new start."""

    start: Instant


class NewAddress(In):
    """Where the client's mails shall go."""

    email: str = Field(max_length=1000)


@router.get("/bookings", response_model=Page[BookingRow], responses=READING)
def list_bookings(
    here: Here, who: Who, operator: str = "", service: str = "",
    status: Literal["", "pending", "confirmed", "cancelled", "completed", "no_show", "declined", "expired"] = "",
    first: Annotated[Bound, Query(alias="from")] = "",
    last: Annotated[Bound, Query(alias="to")] = "",
    q: Annotated[str, Query(description="part of a name or address", max_length=200)] = "",
    cursor: Annotated[str, Query(max_length=100)] = "", limit: Limit = overview.PAGE,
) -> Response:  # fmt: skip
    """Newest appointments first."""
    with here.database.reading() as tx:
        zone = setup.zone_of(tx, operator or who.operator_id)
        rows, more = overview.bookings(
            tx, operator_id=who.operator_id, operator=operator, service=service, status=status,
            first=bound("from", first, zone), last=bound("to", last, zone, is_end=True), text=q, cursor=cursor,
            limit=limit,
        )  # fmt: skip
    return items(rows, more)


@router.get("/bookings/{booking_id}", response_model=BookingSeen, responses=FINDING)
def get_booking(booking_id: str, here: Here, who: Who) -> Response:
    """One booking with everything that happened to it."""
    with here.database.reading() as tx:
        _mine(tx, who, booking_id)
        return answer(_view(tx, here, booking_id))


@router.post("/bookings/{booking_id}/confirm", response_model=BookingSeen, responses=REFUSALS)
def confirm(booking_id: str, act: Act) -> Response:
    """Approve what waits for approval."""
    return _do(
        act, booking_id, "confirmed", lambda tx, **at: commands.decide(tx, act.site.terms, booking_id, "confirm", **at)
    )


@router.post("/bookings/{booking_id}/decline", response_model=BookingSeen, responses=REFUSALS)
def decline(booking_id: str, act: Act) -> Response:
    """Decline what waits for approval."""
    return _do(
        act, booking_id, "declined", lambda tx, **at: commands.decide(tx, act.site.terms, booking_id, "decline", **at)
    )


@router.post("/bookings/{booking_id}/cancel", response_model=BookingSeen, responses=REFUSALS)
def cancel(booking_id: str, act: Act, body: Reason | None = None) -> Response:
    """Cancel, whatever the client's window."""
    reason = body.reason if body else ""
    by = "admin" if act.caller.admin else "operator"
    return _do(
        act,
        booking_id,
        "cancelled",
        lambda tx, **at: commands.cancel(tx, act.site.terms, booking_id, by=by, reason=reason, **at),
    )


@router.post("/bookings/{booking_id}/reschedule", response_model=BookingSeen, responses=REFUSALS)
def reschedule(booking_id: str, body: NewStart, act: Act) -> Response:
    """Another free start."""
    return _do(
        act,
        booking_id,
        "rescheduled",
        lambda tx, **at: commands.reschedule(tx, act.site.terms, booking_id, body.start, by="operator", **at),
    )


@router.post("/bookings/{booking_id}/address", response_model=BookingSeen, responses=REFUSALS)
def change_address(booking_id: str, body: NewAddress, act: Act) -> Response:
    """Another mail address of the client: the invitation and a new link go there, the links sent before lead nowhere. The
    address it has changes nothing."""
    return _do(
        act,
        booking_id,
        "address_changed",
        lambda tx, **at: address.change_address(tx, act.site.terms, booking_id, body.email, by=act.caller.name, **at),
    )


@router.post("/bookings/{booking_id}/no-show", response_model=BookingSeen, responses=REFUSALS)
def no_show(booking_id: str, act: Act) -> Response:
    """They did not come."""
    return _mark(act, booking_id, Happening.NO_SHOW, "marked_no_show")


@router.post("/bookings/{booking_id}/undo-no-show", response_model=BookingSeen, responses=REFUSALS)
def undo_no_show(booking_id: str, act: Act) -> Response:
    """They did come."""
    return _mark(act, booking_id, Happening.UNDO_NO_SHOW, "no_show_undone")


@router.post("/bookings/{booking_id}/complete", response_model=BookingSeen, responses=REFUSALS)
def complete(booking_id: str, act: Act) -> Response:
    """It took place."""
    return _mark(act, booking_id, Happening.COMPLETE, "completed")


def _mark(act: Acting, booking_id: str, happening: Happening, what: str) -> Response:
    return _do(act, booking_id, what, lambda tx, **at: commands.mark(tx, act.site.terms, booking_id, happening, **at))


def _do(act: Acting, booking_id: str, what: str, command: Callable[..., None]) -> Response:
    with act.changing(f"booking.{what}", f"booking:{booking_id}") as change:
        change.owner = _mine(change.tx, act.caller, booking_id)
        change.before = _recorded(_view(change.tx, act.site, booking_id))
        command(change.tx, now=change.now, cause=change.cause)
        view = _view(change.tx, act.site, booking_id)
        change.after = _recorded(view)
    return answer(view)


def _recorded(view: dict[str, Any]) -> dict[str, Any]:
    """What of a booking is written down about a change: nothing of its client."""
    return {k: view[k] for k in ("status", "start", "end", "revision")}


def _mine(tx: Tx, who: Caller, booking_id: str) -> int:
    owner = overview.owner_of_booking(tx, booking_id)
    if owner is None:
        raise NotFound("there is no such thing")
    who.sees(owner)
    return owner


def _view(tx: Tx, here: Site, booking_id: str) -> dict[str, Any]:
    view = queries.booking_view(tx, booking_id, here.terms, reader="admin")
    # The client's key stays the client's.
    return {k: v for k, v in view.items() if k not in ("token", "manage_url", "ics_url")}
