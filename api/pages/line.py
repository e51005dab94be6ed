"""A place in the line: where one stands, the offer if there is one, and the way out."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from api.deps import Here
from api.pages.render import page
from api.pages.service import known
from booking import queries, waitlist
from booking.errors import BookingError, NotFound

router = APIRouter(include_in_schema=False)
CAUSE = "client_link"


@router.get("/{language}/w/{token}")
def line_page(request: Request, language: str, token: str, here: Here) -> Response:
    """The place."""
    return _show(request, language, token, here)


@router.post("/{language}/w/{token}/{act}")
def act(request: Request, language: str, token: str, act: str, here: Here) -> Response:
    """``accept``, ``decline`` or ``leave``."""
    known(language)
    acts = {"accept": waitlist.accept_offer, "decline": waitlist.decline_offer, "leave": waitlist.leave}
    if act not in acts:
        raise NotFound("there is no such page")
    try:
        with here.database.transaction() as tx:
            acts[act](tx, here.terms, token, now=here.now(), cause=CAUSE)
            view = queries.line_view(tx, token, now=here.now())
    except BookingError as error:
        return _show(request, language, token, here, error=error)
    if act == "accept" and view["booking"]:
        return RedirectResponse(f"/{language}/b/{view['booking']}", 303)
    return RedirectResponse(f"/{language}/w/{token}", 303)


def _show(request: Request, language: str, token: str, here: Here, *, error: BookingError | None = None) -> Response:
    known(language)
    if isinstance(error, NotFound):
        raise error
    with here.database.reading() as tx:
        view = queries.line_view(tx, token, now=here.now())
    return page(
        request, "line.html", language, status=410 if error else 200, headers={"Cache-Control": "no-store"},
        place=view, now=here.now(), error=error,
    )  # fmt: skip
