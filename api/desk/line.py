"""Those who wait: who is where, up and down, out, or into a free start by hand."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from api.admin.common import RowId
from api.deps import Here, Site
from api.desk.common import NOTHING, attempt, back, operators, titled
from api.pages.service import instant_of
from api.signin.pages import private_page
from api.signin.visits import Deed, Signed, Visit
from booking import catalogue, judgement, names, overview, queries, waitlist
from booking.errors import NotFound
from ledger.availability import SlotState
from ledger.db import Tx

router = APIRouter(include_in_schema=False)
HIGHEST = 1000
ACTS = {"promote": "promoted", "up": "prioritised", "down": "prioritised", "remove": "removed"}


@router.get("/line")
def line(
    request: Request, here: Here, visit: Signed, after: Annotated[str, Query(pattern=r"^\d{0,18}$")] = "",
    did: str = "", problem: str = "",
) -> Response:  # fmt: skip
    """In the order in which they came."""
    with here.database.reading() as tx:
        rows = overview.line(tx, operator_id=visit.who.operator_id, after=int(after or 0))
        known = operators(tx, visit)
        rows = [{**r, "zone": known[r["operator"]]["timezone"]} for r in titled(tx, visit, rows)]
        return private_page(
            request, "desk_line.html", visit=visit, rows=rows, starts=_starts(tx, here, rows) if visit.who.writes else {},
            more=rows[-1]["id"] if len(rows) == overview.PAGE else 0, many=visit.who.operator_id is None, did=did,
            problem=problem,
        )  # fmt: skip


@router.post("/line/{entry_id}")
def act(entry_id: RowId, here: Here, press: Deed) -> Response:
    """``promote`` to a start, ``up``, ``down``, ``remove``."""
    visit, form = press.visit, press.form
    wanted = form.get("act", "")

    def do(tx: Tx) -> int:
        owner, token = _mine(tx, visit, entry_id)
        if wanted == "remove":
            waitlist.leave(tx, here.terms, token, now=here.now(), cause=visit.cause)
        elif wanted in ("up", "down"):
            priority = names.priority_of(tx, entry_id) + (1 if wanted == "up" else -1)
            judgement.prioritise(tx, entry_id, max(-HIGHEST, min(HIGHEST, priority)), now=here.now())
        elif wanted == "promote" and (start := instant_of(form.get("start", ""))) is not None:
            judgement.promote(tx, here.terms, entry_id, start, now=here.now(), cause=visit.cause)
        else:
            raise NotFound(NOTHING)
        return owner

    problem = attempt(here, press, f"waitlist.{ACTS.get(wanted, '')}", f"waitlist:{entry_id}", do)
    return back(visit, "line", problem, did=wanted)


def _mine(tx: Tx, visit: Visit, entry_id: int) -> tuple[int, str]:
    entry = overview.owner_of_entry(tx, entry_id)
    if entry is None:
        raise NotFound(NOTHING)
    visit.who.sees(entry.operator_id)
    return int(entry.operator_id), str(entry.token)


def _starts(tx: Tx, here: Site, rows: list[dict[str, Any]]) -> dict[tuple[str, str], list[Any]]:
    """(operator, service) → free starts of the next two weeks, for each service that somebody waits for."""
    now = here.now()
    found: dict[tuple[str, str], list[Any]] = {}
    for row in rows:
        key = (row["operator"], row["service"])
        if key not in found:
            offering = catalogue.offering(tx, *key)
            today = now.astimezone(ZoneInfo(offering.timezone)).date()
            listed = queries.slots(tx, offering, today, today + timedelta(days=14), offering.timezone, now=now)
            found[key] = [s.period.start for s in listed.starts if s.state is SlotState.OPEN][:60]
    return found
