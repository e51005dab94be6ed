"""One booking, and what an operator may do about it. Links in operators' mails lead here; a key opens it as well."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Request
from fastapi.responses import Response

from api.deps import Here, Site
from api.desk.common import NOTHING, attempt, back
from api.pages import operator as by_key
from api.pages.service import Posted, instant_of
from api.signin.pages import private_page
from api.signin.visits import Visit, deed_of, press_of, visit_of, visitor
from booking import address, commands, overview, queries
from booking.errors import NotFound
from booking.states import Happening
from ledger.availability import SlotState
from ledger.db import Tx

router = APIRouter(include_in_schema=False)
MARKS = {"no_show": Happening.NO_SHOW, "undo_no_show": Happening.UNDO_NO_SHOW, "complete": Happening.COMPLETE}
ACTS = {
    "confirm": "confirmed", "decline": "declined", "cancel": "cancelled", "reschedule": "rescheduled",
    "address": "address_changed",
    "no_show": "no_show", "undo_no_show": "no_show_undone", "complete": "completed",
}  # fmt: skip
"""Button → what is written down, in the words of the admin API."""


@router.get("/bookings/{booking_id}")
def booking(request: Request, booking_id: str, here: Here, did: str = "", problem: str = "") -> Response:
    """The booking; without a session the operator's door asks for a key, or to sign in."""
    if visitor(request, here) is None and request.url.path.startswith("/operator/"):
        return by_key.ask(request, booking_id)
    visit = visit_of(request, here)
    now = here.now()
    with here.database.reading() as tx:
        _mine(tx, visit, booking_id)
        view = queries.booking_view(tx, booking_id, here.terms, reader=visit.door)
        ended = view["end"] <= now
        choices = _choices(tx, here, view) if view["status"] in ("pending", "confirmed") and not ended else []
        return private_page(
            request, "desk_booking.html", visit=visit, booking=view, choices=choices, did=did, problem=problem,
            begun=view["start"] <= now, ended=ended,
        )  # fmt: skip


@router.post("/bookings/{booking_id}")
def act(request: Request, booking_id: str, here: Here, form: Posted) -> Response:
    """What the button says, by session or by key."""
    if "key" in form:
        return by_key.look(request, booking_id, here, form)
    press = deed_of(press_of(request, here, visit_of(request, here), form))
    visit = press.visit
    wanted = form.get("act", "")
    if wanted not in ACTS:
        raise NotFound(NOTHING)

    def do(tx: Tx) -> int:
        owner = _mine(tx, visit, booking_id)
        _do(tx, here, visit, booking_id, wanted, form)
        return owner

    problem = attempt(here, press, f"booking.{ACTS[wanted]}", f"booking:{booking_id}", do)
    return back(visit, f"bookings/{booking_id}", problem, did=wanted)


def _do(tx: Tx, here: Site, visit: Visit, booking_id: str, wanted: str, form: dict[str, Any]) -> None:
    at: dict[str, Any] = {"now": here.now(), "cause": visit.cause}
    if wanted in ("confirm", "decline"):
        commands.decide(tx, here.terms, booking_id, wanted, **at)
    elif wanted == "cancel":
        by = "admin" if visit.who.admin else "operator"
        commands.cancel(tx, here.terms, booking_id, by=by, reason=form.get("reason", "")[:1000], **at)
    elif wanted == "reschedule":
        start = instant_of(form.get("start", ""))
        if start is None:
            raise NotFound(NOTHING)
        commands.reschedule(tx, here.terms, booking_id, start, by="operator", **at)
    elif wanted == "address":
        address.change_address(tx, here.terms, booking_id, form.get("email", ""), by=visit.who.name, **at)
    else:
        commands.mark(tx, here.terms, booking_id, MARKS[wanted], **at)


def _mine(tx: Tx, visit: Visit, booking_id: str) -> int:
    owner = overview.owner_of_booking(tx, booking_id)
    if owner is None:
        raise NotFound(NOTHING)
    visit.who.sees(owner)
    return owner


def _choices(tx: Tx, here: Site, view: dict[str, Any]) -> list[Any]:
    """Free starts of the next four weeks."""
    now = here.now()
    offering = queries.offering_of_booking(tx, view["id"])
    today = now.astimezone(ZoneInfo(offering.timezone)).date()
    listed = queries.slots(tx, offering, today, today + timedelta(days=28), offering.timezone, now=now)
    free = [s for s in listed.starts if s.state is SlotState.OPEN and s.seats_left >= view["seats"]]
    return [s.period.start for s in free if s.period.start != view["start"]][:200]
