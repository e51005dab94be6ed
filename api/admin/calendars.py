"""Connections and calendars."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Response
from pydantic import Field

from api.admin.common import REFUSALS, In, answer, items
from api.deps import Here
from api.keys import Caller
from api.security import Who
from booking import setup
from booking.errors import NotFound
from connectors.protocol import Credentials
from ledger.db import Tx
from sync import listing
from sync.roles import ask_for_pull

router = APIRouter()


class ConnectionIn(In):
    """Credentials of an account. Google and Microsoft are connected by their consent pages."""

    operator: str
    provider: Literal["caldav", "ics"]
    url: str = Field(max_length=2000)
    username: str = Field(default="", max_length=300)
    password: str = Field(default="", max_length=1000)


class CalendarChange(In):
    """Roles and rules; what is left out stays."""

    busy: bool | None = None
    availability: bool | None = None
    bookings: bool | None = None
    all_day_blocks: bool | None = None
    tentative_blocks: bool | None = None
    unanswered_blocks: bool | None = None


@router.get("/connections", responses=REFUSALS)
def list_connections(here: Here, who: Who) -> Response:
    """Accounts, without their secrets."""
    with here.database.reading() as tx:
        return items(listing.connections(tx, operator_id=who.operator_id))


@router.post("/connections", status_code=201, responses=REFUSALS)
def connect(body: ConnectionIn, here: Here, who: Who) -> Response:
    """Prove the credentials and store them; answers with the account's calendars. This call waits for the provider."""
    with here.database.reading() as tx:
        owner = setup.operator_id(tx, body.operator)
        who.sees(owner)
    credentials = Credentials(body.provider, body.url, body.username, body.password)
    connection_id = here.accounts.connect(owner, credentials, now=here.now())
    with here.database.reading() as tx:
        return answer({"id": connection_id, "calendars": listing.calendars(tx, connection_id=connection_id)}, 201)


@router.get("/connections/{connection_id}/health", responses=REFUSALS)
def health(connection_id: int, here: Here, who: Who) -> Response:
    """State, last success, and each calendar's lag and quirks."""
    with here.database.reading() as tx:
        found = [c for c in listing.connections(tx, operator_id=who.operator_id) if c["id"] == connection_id]
        if not found:
            raise NotFound("there is no such thing")
        calendars = listing.calendars(tx, connection_id=connection_id)
        for calendar in calendars:
            calendar["unreadable"] = listing.problems(tx, calendar["id"])
        return answer({**found[0], "calendars": calendars})


@router.delete("/connections/{connection_id}", status_code=204, responses=REFUSALS)
def disable(connection_id: int, here: Here, who: Who) -> Response:
    """Switch it off: nothing is pulled or pushed, nothing is forgotten."""
    with here.database.reading() as tx:
        if connection_id not in [c["id"] for c in listing.connections(tx, operator_id=who.operator_id)]:
            raise NotFound("there is no such thing")
    here.accounts.disable(connection_id, now=here.now(), why=f"by {who.name}")
    return Response(status_code=204)


@router.get("/calendars", responses=REFUSALS)
def list_calendars(here: Here, who: Who) -> Response:
    """Every calendar with its roles and how its last pull went."""
    with here.database.reading() as tx:
        return items(listing.calendars(tx, operator_id=who.operator_id))


@router.patch("/calendars/{calendar_id}", responses=REFUSALS)
def change_calendar(calendar_id: int, body: CalendarChange, here: Here, who: Who) -> Response:
    """Give it roles and rules. Making it the bookings calendar tests the server with a probe event."""
    with here.database.reading() as tx:
        _mine(tx, who, calendar_id)
    here.accounts.assign(calendar_id, **body.model_dump(), now=here.now())
    with here.database.reading() as tx:
        return answer(next(c for c in listing.calendars(tx) if c["id"] == calendar_id))


@router.post("/calendars/{calendar_id}/pull", status_code=202, responses=REFUSALS)
def pull(calendar_id: int, here: Here, who: Who) -> Response:
    """Ask for it to be read now."""
    with here.database.transaction() as tx:
        owner = _mine(tx, who, calendar_id)
        ask_for_pull(tx, calendar_id, owner, now=here.now())
    return answer({"asked": calendar_id}, 202)


def _mine(tx: Tx, who: Caller, calendar_id: int) -> int:
    mine = {c["id"]: c["operator_id"] for c in listing.calendars(tx, operator_id=who.operator_id)}
    if calendar_id not in mine:
        raise NotFound("there is no such thing")
    return int(mine[calendar_id])
