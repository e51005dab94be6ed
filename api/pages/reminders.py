"""Where a client turns reminders off and on. A GET changes nothing; mail programs POST here with one click (RFC 8058)."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from api.deps import Here
from api.pages.render import page
from api.pages.service import Posted, known
from booking import commands, queries, reminders

router = APIRouter(include_in_schema=False)
CAUSE = "client_link"
ONE_CLICK = "one_click"


@router.get("/{language}/b/{token}/reminders")
def reminders_page(request: Request, language: str, token: str, here: Here, did: str = "") -> Response:
    """What is wanted now, and the buttons to change it. did: what the reader has just done."""
    known(language)
    with here.database.reading() as tx:
        booking_id = commands.id_of(tx, token, now=here.now())
        wanted = reminders.wanted(tx, booking_id)
        offering = queries.offering_of_booking(tx, booking_id)
    return page(
        request, "reminders.html", language, headers={"Cache-Control": "no-store"},
        offering=offering, text=offering.spec.text(language), token=token, wanted=wanted, did=did,
    )  # fmt: skip


@router.post("/{language}/b/{token}/reminders")
def change(language: str, token: str, here: Here, form: Posted) -> Response:
    """``off`` is ``booking`` or ``operator``, ``on`` anything. Without them it is a mail program's single click, which
    means all reminders that come from this operator; it is answered without a redirect."""
    known(language)
    with here.database.transaction() as tx:
        booking_id = commands.id_of(tx, token, now=here.now())
        off = form.get("off", "")
        if form.get("on"):
            reminders.turn_on(tx, booking_id, now=here.now(), cause=CAUSE)
        else:
            reach = off if off in reminders.REACHES else "operator"
            cause = CAUSE if off else ONE_CLICK
            reminders.turn_off(tx, booking_id, reach, now=here.now(), cause=cause)
    if not (form.get("on") or off):
        return Response("", 200, media_type="text/plain", headers={"Cache-Control": "no-store"})
    return RedirectResponse(f"/{language}/b/{token}/reminders?did=changed", 303)
