"""Connected accounts: how they are, and a button to connect one again or another one."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from api.deps import Here, Site
from api.desk.common import NOTHING, attempt, back, operators
from api.signin.pages import PRIVATE, private_page, providers_of
from api.signin.visits import Deed, Press, Signed
from booking import setup
from booking.errors import NotFound
from ledger import audit
from ledger.db import Tx
from sync import listing, tickets
from sync.roles import ask_for_pull

router = APIRouter(include_in_schema=False)


@router.get("/connections")
def connections(request: Request, here: Here, visit: Signed, did: str = "", problem: str = "") -> Response:
    """Each account with its calendars."""
    with here.database.reading() as tx:
        rows = listing.connections(tx, operator_id=visit.who.operator_id)
        calendars = {row["id"]: listing.calendars(tx, connection_id=row["id"]) for row in rows}
        known = operators(tx, visit)
    offered = [*providers_of(here), ("caldav", "CalDAV")]
    return private_page(
        request, "desk_connections.html", visit=visit, rows=rows, calendars=calendars, operators=known, did=did,
        problem=problem, providers=offered, may_connect=tickets.PROVIDERS, many=visit.who.operator_id is None,
    )  # fmt: skip


@router.post("/connections/{connection_id}/reconnect")
def reconnect(connection_id: int, here: Here, press: Deed) -> Response:
    """To the page where the account is connected once more; the link is good for a day and for this account alone."""
    with here.database.transaction() as tx:
        rows = listing.connections(tx, operator_id=press.visit.who.operator_id)
        row = next((r for r in rows if r["id"] == connection_id), None)
        if row is None or row["provider"] not in tickets.PROVIDERS:
            raise NotFound(NOTHING)
        owner = setup.operator_id(tx, row["operator"])
        return _to_the_provider(tx, here, press, owner, row["provider"], connection_id)


@router.post("/connections")
def connect(here: Here, press: Deed) -> Response:
    """To the page where another account is connected."""
    form = press.form
    if form.get("provider", "") not in tickets.PROVIDERS:
        raise NotFound(NOTHING)
    with here.database.transaction() as tx:
        owner = setup.operator_id(tx, form.get("operator", ""))
        press.visit.who.sees(owner)
        return _to_the_provider(tx, here, press, owner, form["provider"])


@router.post("/calendars/{calendar_id}/pull")
def pull(calendar_id: int, here: Here, press: Deed) -> Response:
    """Read it now."""
    visit = press.visit

    def do(tx: Tx) -> int:
        rows = listing.calendars(tx, operator_id=visit.who.operator_id)
        row = next((r for r in rows if r["id"] == calendar_id), None)
        if row is None:
            raise NotFound(NOTHING)
        ask_for_pull(tx, calendar_id, int(row["operator_id"]), now=here.now())
        return int(row["operator_id"])

    problem = attempt(here, press, "calendar.pulled", f"calendar:{calendar_id}", do)
    return back(visit, "connections", problem, did="asked")


def _to_the_provider(
    tx: Tx, here: Site, press: Press, owner: int, provider: str, connection_id: int | None = None
) -> Response:
    """To a page of ours where the account is connected; on the record as any other link."""
    now = here.now()
    flow = tickets.issue(tx, operator_id=owner, provider=provider, connection_id=connection_id, now=now)
    audit.record(tx, press.actor, "link.made", f"link:{flow}", now=now, operator_id=owner, after={"provider": provider})
    return RedirectResponse(tickets.link(tx, here.vault, flow, ""), 303, PRIVATE)
