"""A client's booking: what it is, what happened, and what they may do. A GET changes nothing; buttons POST."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from api.deps import Here, Site
from api.pages.render import page
from api.pages.service import Posted, instant_of, known
from booking import commands, queries
from booking.calendar_links import Appointment, add_links
from booking.catalogue import Offering
from booking.client_letter import bare_details, entry_title
from booking.errors import BookingError, NotFound
from connectors.model import Period
from ledger.availability import SlotState

router = APIRouter(include_in_schema=False)
CAUSE = "client_link"
JUST_NOW = timedelta(minutes=2)
PATIENCE = timedelta(minutes=10)
"""How long the page looks whether calendar and mail are done; later the reader asks by opening it again."""


@router.get("/{language}/b/{token}")
def booking_page(request: Request, language: str, token: str, here: Here, did: str = "") -> Response:
    """The booking. did: what the reader has just done, to say so."""
    return _show(request, language, token, here, did=did)


@router.post("/{language}/b/{token}/cancel")
def cancel(request: Request, language: str, token: str, here: Here, form: Posted) -> Response:
    """Cancel it."""
    known(language)
    reason = form.get("reason", "")[:1000]
    try:
        with here.database.transaction() as tx:
            booking_id = commands.id_of(tx, token, now=here.now())
            commands.cancel(tx, here.terms, booking_id, by="client", now=here.now(), cause=CAUSE, reason=reason)
    except BookingError as error:
        return _show(request, language, token, here, error=error)
    return RedirectResponse(f"/{language}/b/{token}?did=cancelled", 303)


@router.post("/{language}/b/{token}/reschedule")
def reschedule(request: Request, language: str, token: str, here: Here, form: Posted) -> Response:
    """Move it to the chosen start."""
    known(language)
    start = instant_of(form.get("start", ""))
    if start is None:
        return RedirectResponse(f"/{language}/b/{token}#reschedule", 303)
    try:
        with here.database.transaction() as tx:
            booking_id = commands.id_of(tx, token, now=here.now())
            commands.reschedule(tx, here.terms, booking_id, start, by="client", now=here.now(), cause=CAUSE)
    except BookingError as error:
        return _show(request, language, token, here, error=error)
    return RedirectResponse(f"/{language}/b/{token}?did=moved", 303)


@router.post("/{language}/b/{token}/confirm-attendance")
def confirm_attendance(request: Request, language: str, token: str, here: Here) -> Response:
    """Say that one comes."""
    known(language)
    try:
        with here.database.transaction() as tx:
            commands.confirm_attendance(tx, commands.id_of(tx, token, now=here.now()), now=here.now(), cause=CAUSE)
    except BookingError as error:
        return _show(request, language, token, here, error=error)
    return RedirectResponse(f"/{language}/b/{token}?did=attending", 303)


@router.post("/{language}/b/{token}/proposal")
def answer_proposal(request: Request, language: str, token: str, here: Here, form: Posted) -> Response:
    """Accept or decline the time that the operator proposes."""
    known(language)
    try:
        with here.database.transaction() as tx:
            booking_id = commands.id_of(tx, token, now=here.now())
            accept = form.get("answer") == "accept"
            commands.answer_proposal(tx, here.terms, booking_id, accept=accept, now=here.now(), cause=CAUSE)
    except BookingError as error:
        return _show(request, language, token, here, error=error)
    return RedirectResponse(f"/{language}/b/{token}?did={'moved' if accept else 'kept'}", 303)


def _show(
    request: Request, language: str, token: str, here: Here, *, did: str = "", error: BookingError | None = None
) -> Response:
    known(language)
    if isinstance(error, NotFound):
        raise error
    now = here.now()
    with here.database.reading() as tx:
        view = queries.booking_view(tx, commands.id_of(tx, token, now=here.now()), here.terms)
        offering = queries.offering_of_booking(tx, view["id"])
        may_change = view["status"] in ("pending", "confirmed") and now < view["cancel_until"]
        choices = []
        if may_change:
            today = now.astimezone(ZoneInfo(view["timezone"])).date()
            listed = queries.slots(tx, offering, today, today + timedelta(days=28), view["timezone"], now=now)
            free = [s for s in listed.starts if s.state is SlotState.OPEN and s.seats_left >= view["seats"]]
            choices = [s for s in free if s.period.start != view["start"]]
    if not did and now - view["created_at"] < JUST_NOW:
        did = "booked"
    return page(
        request, "booking.html", language, status=409 if error else 200, headers={"Cache-Control": "no-store"},
        booking=view, offering=offering, text=offering.spec.text(language), choices=choices, may_change=may_change,
        now=now, did=did, error=error, by_hand=_by_hand(view, offering, here, language), settling=_settling(view, now),
        alone=offering.spec.capacity == 1,
    )  # fmt: skip


def _settling(view: dict[str, Any], now: datetime) -> bool:
    """Will the page soon have more to tell: is the calendar or a mail on its way?"""
    since: timedelta = now - max((entry["at"] for entry in view["timeline"]), default=view["created_at"])
    on_its_way = view["calendar"] == "on_its_way" or any(d["state"] == "prepared" for d in view["deliveries"])
    return since < (PATIENCE if on_its_way else JUST_NOW)


def _by_hand(view: dict[str, Any], offering: Offering, here: Site, language: str) -> tuple[tuple[str, str], ...]:
    """Links to take a confirmed booking into a calendar, where we are the ones who invite."""
    if view["status"] != "confirmed" or view["voice"] != "service":
        return ()
    words = offering.spec.text(language)
    about = Appointment(
        title=entry_title(words, offering.operator_name),
        period=Period(view["start"], view["end"]),
        place=words.place or view["link"],
        details=bare_details(view["link"], here.terms.manage_url(language, view["token"])),
    )
    return add_links(about, view["ics_url"])[:-1]
