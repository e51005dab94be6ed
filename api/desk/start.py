"""The first page behind a door: what asks for somebody, today, the days to come, who waits."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from api import reviewing, scopes
from api.deps import Here
from api.desk.common import operators, titled
from api.signin.pages import PRIVATE, private_page
from api.signin.visits import Signed, Visit
from booking import overview
from ledger.db import Tx
from sync import listing

router = APIRouter(include_in_schema=False)
DAYS = 14
MOST = 300
SHOWN = ("pending", "confirmed", "completed", "no_show")


@router.get("")
def without_slash(visit: Signed) -> Response:
    """To the page itself."""
    return RedirectResponse(f"/{visit.door}/", 303, PRIVATE)


@router.get("/")
def start(request: Request, here: Here, visit: Signed) -> Response:
    """Everything that one wants to know in the morning."""
    now, who = here.now(), visit.who
    with here.database.reading() as tx:
        days, more = _days(tx, visit, now)
        waiting = titled(tx, visit, overview.line(tx, operator_id=who.operator_id, limit=10))
        counts = overview.counts(tx, operator_id=who.operator_id)
        return private_page(
            request, "desk_start.html", visit=visit, days=days, more=more, waiting=waiting, counts=counts,
            reviews=reviewing.listing(tx, who, state="open"), pauses=scopes.listing(tx, who, now=now),
            broken=[c for c in listing.connections(tx, operator_id=who.operator_id) if c["state"] in ("reconnect", "stale")],
            many=who.operator_id is None,
        )  # fmt: skip


def _days(tx: Tx, visit: Visit, now: datetime) -> tuple[list[tuple[Any, bool, list[dict[str, Any]]]], bool]:
    """``(day, is it today, its bookings)`` on the operator's wall calendar, today first; and whether there are more."""
    known = operators(tx, visit)
    midnight = now.astimezone(ZoneInfo(visit.person.timezone)).replace(hour=0, minute=0, second=0, microsecond=0)
    rows, more = overview.bookings(
        tx, operator_id=visit.who.operator_id, first=midnight, last=midnight + timedelta(days=DAYS), limit=MOST
    )
    by_day: dict[Any, list[dict[str, Any]]] = {midnight.date(): []}
    for row in titled(tx, visit, rows[::-1]):
        if row["status"] in SHOWN:
            about = known[row["operator"]]
            row = {**row, "zone": about["timezone"], "operator_name": about["name"]}
            by_day.setdefault(row["start"].astimezone(ZoneInfo(about["timezone"])).date(), []).append(row)
    return [(day, day == midnight.date(), by_day[day]) for day in sorted(by_day)], bool(more)
