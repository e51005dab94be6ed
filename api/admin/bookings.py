"""Bookings: look through them, and do what an operator may do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import Field

from api.admin.common import CAUSE, REFUSALS, In, answer, items
from api.deps import Here, Site
from api.keys import Caller
from api.schemas import Instant
from api.security import Who
from booking import commands, overview, queries
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


@router.get("/bookings", responses=REFUSALS)
def list_bookings(
    here: Here, who: Who, operator: str = "", service: str = "", status: str = "",
    first: Annotated[Instant | None, Query(alias="from")] = None,
    last: Annotated[Instant | None, Query(alias="to")] = None,
    q: Annotated[str, Query(description="part of a name or address", max_length=200)] = "",
    cursor: Annotated[str, Query(max_length=100)] = "",
) -> Response:  # fmt: skip
    """Newest appointments first."""
    with here.database.reading() as tx:
        rows, more = overview.bookings(
            tx, operator_id=who.operator_id, operator=operator, service=service, status=status, first=first,
            last=last, text=q, cursor=cursor,
        )  # fmt: skip
    return items(rows, more)


@router.get("/bookings/{booking_id}", responses=REFUSALS)
def get_booking(booking_id: str, here: Here, who: Who) -> Response:
    """One booking with everything that happened to it."""
    with here.database.reading() as tx:
        _mine(tx, who, booking_id)
        return answer(_view(tx, here, booking_id))


@router.post("/bookings/{booking_id}/confirm", responses=REFUSALS)
def confirm(booking_id: str, here: Here, who: Who) -> Response:
    """Approve what waits for approval."""
    return _do(here, who, booking_id, lambda tx, **at: commands.decide(tx, here.terms, booking_id, "confirm", **at))


@router.post("/bookings/{booking_id}/decline", responses=REFUSALS)
def decline(booking_id: str, here: Here, who: Who) -> Response:
    """Decline what waits for approval."""
    return _do(here, who, booking_id, lambda tx, **at: commands.decide(tx, here.terms, booking_id, "decline", **at))


@router.post("/bookings/{booking_id}/cancel", responses=REFUSALS)
def cancel(booking_id: str, here: Here, who: Who, body: Reason | None = None) -> Response:
    """Cancel, whatever the client's window."""
    reason = body.reason if body else ""
    by = "admin" if who.admin else "operator"
    return _do(
        here, who, booking_id, lambda tx, **at: commands.cancel(tx, here.terms, booking_id, by=by, reason=reason, **at)
    )


@router.post("/bookings/{booking_id}/reschedule", responses=REFUSALS)
def reschedule(booking_id: str, body: NewStart, here: Here, who: Who) -> Response:
    """Another free start."""
    return _do(
        here,
        who,
        booking_id,
        lambda tx, **at: commands.reschedule(tx, here.terms, booking_id, body.start, by="operator", **at),
    )


@router.post("/bookings/{booking_id}/no-show", responses=REFUSALS)
def no_show(booking_id: str, here: Here, who: Who) -> Response:
    """They did not come."""
    return _do(
        here, who, booking_id, lambda tx, **at: commands.mark(tx, here.terms, booking_id, Happening.NO_SHOW, **at)
    )


@router.post("/bookings/{booking_id}/undo-no-show", responses=REFUSALS)
def undo_no_show(booking_id: str, here: Here, who: Who) -> Response:
    """They did come."""
    return _do(
        here, who, booking_id, lambda tx, **at: commands.mark(tx, here.terms, booking_id, Happening.UNDO_NO_SHOW, **at)
    )


@router.post("/bookings/{booking_id}/complete", responses=REFUSALS)
def complete(booking_id: str, here: Here, who: Who) -> Response:
    """It took place."""
    return _do(
        here, who, booking_id, lambda tx, **at: commands.mark(tx, here.terms, booking_id, Happening.COMPLETE, **at)
    )


def _do(here: Site, who: Caller, booking_id: str, act: Callable[..., None]) -> Response:
    with here.database.transaction() as tx:
        _mine(tx, who, booking_id)
        act(tx, now=here.now(), cause=f"{CAUSE}:{who.name}")
        view = _view(tx, here, booking_id)
    return answer(view)


def _mine(tx: Tx, who: Caller, booking_id: str) -> None:
    owner = overview.owner_of_booking(tx, booking_id)
    if owner is None:
        raise NotFound("there is no such thing")
    who.sees(owner)


def _view(tx: Tx, here: Site, booking_id: str) -> dict[str, Any]:
    view = queries.booking_view(tx, booking_id, here.terms, reader="admin")
    # The client's key stays the client's.
    return {k: v for k, v in view.items() if k not in ("token", "manage_url", "ics_url")}
