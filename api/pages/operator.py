"""An operator's look at one booking with a key instead of a session (`api/desk/bookings.py`); the browser keeps nothing."""

from __future__ import annotations

from fastapi import Request
from fastapi.responses import Response

from api import keys, rates
from api.deps import Site
from api.pages.render import HEADERS, language_of, page
from api.pages.service import Form
from booking import commands, overview, queries
from booking.errors import BookingError, NotFound
from booking.states import Happening
from ledger import audit
from ledger.audit import Actor
from ledger.db import Tx

_UNFRAMED = HEADERS["Content-Security-Policy"].replace("frame-ancestors *", "frame-ancestors 'none'")
ACTS = {"confirm": "confirmed", "decline": "declined", "cancel": "cancelled", "no_show": "no_show"}
"""Button → what is written down, in the words of the admin API."""


def ask(request: Request, booking_id: str) -> Response:
    """Ask for the key; says nothing about whether there is such a booking."""
    return _page(request, booking_id)


def look(request: Request, booking_id: str, here: Site, form: Form) -> Response:
    """Show the booking to whoever has a key to it, and do what the button says."""
    key, act, problem = form.get("key", ""), form.get("act", ""), ""
    try:
        with here.database.transaction() as tx:
            who = keys.identify(tx, key, here.now())
            owner = overview.owner_of_booking(tx, booking_id)
            if owner is None:
                raise NotFound("there is no such booking")
            who.sees(owner)
            if act in ACTS and who.writes:
                _do(tx, here, booking_id, act, f"operator_page:{who.name}")
                actor = Actor(who.kind, who.name, who.id, request.client.host if request.client else "")
                audit.record(
                    tx, actor, f"booking.{ACTS[act]}", f"booking:{booking_id}", now=here.now(), operator_id=owner
                )
    except (keys.NotAllowed, NotFound):
        rates.guessed_wrong(request)
        return _page(request, booking_id, wrong=True)
    except BookingError as error:
        problem = error.code
    with here.database.reading() as tx:
        view = queries.booking_view(tx, booking_id, here.terms, reader="operator")
    return _page(request, booking_id, view=view, key=key, problem=problem)


def _do(tx: Tx, here: Site, booking_id: str, act: str, cause: str) -> None:
    if act in ("confirm", "decline"):
        commands.decide(tx, here.terms, booking_id, act, now=here.now(), cause=cause)
    elif act == "cancel":
        commands.cancel(tx, here.terms, booking_id, by="operator", now=here.now(), cause=cause)
    else:
        commands.mark(tx, here.terms, booking_id, Happening.NO_SHOW, now=here.now(), cause=cause)


def _page(
    request: Request, booking_id: str, *, view: object = None, key: str = "", wrong: bool = False, problem: str = ""
) -> Response:
    return page(
        request, "operator_booking.html", language_of(request), status=403 if wrong else 409 if problem else 200,
        headers={"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "Content-Security-Policy": _UNFRAMED},
        booking_id=booking_id, booking=view, key=key, wrong=wrong, problem=problem,
    )  # fmt: skip
