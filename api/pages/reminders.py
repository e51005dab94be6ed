"""Where a client turns reminders off and on. A GET changes nothing; mail programs POST here with one click (RFC 8058)."""

from __future__ import annotations

from urllib.parse import quote

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from api.deps import Here, Site
from api.pages.render import page
from api.pages.service import Posted, known
from booking import commands, queries, reminders
from ledger.db import Tx

router = APIRouter(include_in_schema=False)
CAUSE = "client_link"
ONE_CLICK = "one_click"


@router.get("/{language}/b/{token}/reminders")
def reminders_page(request: Request, language: str, token: str, here: Here, did: str = "", proof: str = "") -> Response:
    """What is wanted now, and the buttons to change it. did: what the reader has just done. proof: from a mail."""
    known(language)
    with here.database.reading() as tx:
        booking_id = commands.id_of(tx, token, now=here.now())
        wanted = reminders.wanted(tx, booking_id)
        offering = queries.offering_of_booking(tx, booking_id)
        proved = _proved(here, tx, booking_id, proof)
    return page(
        request, "reminders.html", language, headers={"Cache-Control": "no-store"},
        offering=offering, text=offering.spec.text(language), token=token, wanted=wanted, did=did, proof=proof if proved else "",
    )  # fmt: skip


@router.post("/{language}/b/{token}/reminders")
def change(language: str, token: str, here: Here, form: Posted, proof: str = "") -> Response:
    """``off`` is ``booking`` or ``operator``, ``on`` anything. Without them it is a mail program's single click, which
    means all reminders that come from this operator; it is answered without a redirect. Without the proof of a mail
    nobody speaks for more than this booking."""
    known(language)
    with here.database.transaction() as tx:
        booking_id = commands.id_of(tx, token, now=here.now())
        off = form.get("off", "")
        if form.get("on"):
            reminders.turn_on(tx, booking_id, now=here.now(), cause=CAUSE)
        else:
            reach = "booking" if off == "booking" or not _proved(here, tx, booking_id, proof) else "operator"
            cause = CAUSE if off else ONE_CLICK
            reminders.turn_off(tx, booking_id, reach, now=here.now(), cause=cause)
    if not (form.get("on") or off):
        return Response("", 200, media_type="text/plain", headers={"Cache-Control": "no-store"})
    kept = f"&proof={quote(proof)}" if proof else ""
    return RedirectResponse(f"/{language}/b/{token}/reminders?did=changed{kept}", 303)


def _proved(here: Site, tx: Tx, booking_id: str, proof: str) -> bool:
    return here.vault.signed(reminders.claim_of(tx, booking_id), reminders.PURPOSE, proof)
