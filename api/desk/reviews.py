"""What asks for a human, with the choices that make sense (P10)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from api import reviewing
from api.admin.common import RowId
from api.deps import Here
from api.desk.common import NOTHING, attempt, back, operators
from api.signin.pages import private_page
from api.signin.visits import Deed, Signed, Visit
from booking import names, overview, setup
from booking.errors import NotFound
from ledger.db import Tx

router = APIRouter(include_in_schema=False)
INSTANTS = ("from", "to", "until", "start", "end")


@router.get("/reviews")
def reviews(request: Request, here: Here, visit: Signed, did: str = "", problem: str = "") -> Response:
    """Oldest first."""
    with here.database.reading() as tx:
        rows = [_shown(tx, visit, row) for row in reviewing.listing(tx, visit.who, state="open")]
        return private_page(
            request,
            "desk_reviews.html",
            visit=visit,
            rows=rows,
            many=visit.who.operator_id is None,
            did=did,
            problem=problem,
        )


@router.post("/reviews/{review_id}")
def decide(review_id: RowId, here: Here, press: Deed) -> Response:
    """``approve`` with a choice, or ``dismiss``."""
    visit, form = press.visit, press.form
    # A button of its own for each choice, or a list to choose from.
    button = next((name for name in form if name.startswith("approve:")), "")
    wanted, choice = form.get("act", ""), button.partition(":")[2] or form.get("choice", "")[:100]

    def do(tx: Tx) -> int:
        if wanted == "dismiss":
            return int(reviewing.dismiss(tx, here.terms, visit.who, review_id, now=here.now())["operator_id"])
        if not button and wanted != "approve":
            raise NotFound(NOTHING)
        return int(reviewing.approve(tx, here.terms, visit.who, review_id, choice, now=here.now())["operator_id"])

    action = "review.dismissed" if wanted == "dismiss" else "review.approved"
    return back(visit, "reviews", attempt(here, press, action, f"review:{review_id}", do), did="decided")


def _shown(tx: Tx, visit: Visit, row: dict[str, Any]) -> dict[str, Any]:
    """With what a person needs to decide: who it is about, when, and for a kept seat who waits."""
    detail = {k: _instant(v) if k in INSTANTS else v for k, v in row["detail"].items()}
    by_id = {setup.operator_id(tx, slug): about for slug, about in operators(tx, visit).items()}
    about = by_id.get(row["operator_id"], {"name": "", "timezone": "UTC", "slug": ""})
    shown = {
        **row,
        "detail": detail,
        "zone": about["timezone"],
        "operator_name": about["name"],
        "waiting": [],
        "absent": [],
    }
    if row["kind"] == "no_show":  # it is over by now, and so may the bookings be
        theirs = (names.people(tx, booking_id=str(each)) for each in row["detail"].get("bookings", []))
        shown["people"] = [one for found in theirs for one in found]
        shown["absent"] = [one for one in shown["people"] if one["status"] in ("confirmed", "completed")]
    elif row["booking_id"]:
        shown["people"] = names.people(tx, booking_id=row["booking_id"])
    elif row["slot_id"]:
        shown["people"] = names.people(tx, slot_id=row["slot_id"])
    else:
        shown["people"] = []
    shown["waits"] = names.who_waits(tx, int(row["detail"].get("entry", 0)))
    if row["kind"] == "promotion":
        _, shown["service"] = names.service_named(tx, row["detail"]["service_id"])
        shown["waiting"] = overview.line(tx, operator_id=row["operator_id"], service=shown["service"])
    return shown


def _instant(text: Any) -> Any:
    try:
        return datetime.fromisoformat(str(text))
    except ValueError:
        return text
