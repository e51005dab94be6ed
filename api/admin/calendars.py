"""Connections and calendars."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from fastapi import APIRouter, Response
from pydantic import Field

from api.admin.common import (
    EDITS,
    FINDING,
    READING,
    REFUSALS,
    TAGGED,
    Act,
    Change,
    Cursor,
    IfMatch,
    In,
    Limit,
    RowId,
    answer,
    expect,
    page,
)
from api.admin.shapes import (
    Asked,
    CalendarOut,
    CalendarRow,
    Connected,
    ConnectionOut,
    ConnectionRow,
    Health,
    LinkMade,
    Page,
)
from api.deps import Here
from api.keys import Caller
from api.security import Who
from booking import setup
from booking.errors import NotFound, NotPossible
from connectors.protocol import Credentials
from ledger.db import Tx
from sync import accounts, listing, roles, tickets

router = APIRouter()


class ConnectionIn(In):
    """Credentials of an account. Google and Microsoft are connected by their consent pages."""

    operator: str
    provider: Literal["caldav", "ics"]
    url: str = Field(max_length=2000)
    username: str = Field(default="", max_length=300)
    password: str = Field(default="", max_length=1000)


class LinkIn(In):
    """For whom, where, and who is to invite their clients: this service, or the account itself (Google, Microsoft)."""

    operator: str
    provider: Literal["caldav", "google", "microsoft"]
    voice: Literal["", "service", "provider"] = ""


class ConnectionChange(In):
    """Who invites the clients of bookings made from now on: this service, or the account itself (Google, Microsoft)."""

    voice: Literal["service", "provider"]


class CalendarChange(In):
    """Roles and rules; what is left out stays."""

    busy: bool | None = None
    availability: bool | None = None
    bookings: bool | None = None
    all_day_blocks: bool | None = None
    tentative_blocks: bool | None = None
    unanswered_blocks: bool | None = None


@router.get("/connections", response_model=Page[ConnectionRow], responses=READING)
def list_connections(
    here: Here,
    who: Who,
    operator: str = "",
    provider: Literal["", "caldav", "google", "microsoft", "ics", "memory"] = "",
    state: Literal["", "ok", "stale", "reconnect", "disabled"] = "",
    cursor: Cursor = "",
    limit: Limit = 50,
) -> Response:
    """Accounts, without their secrets."""
    with here.database.reading() as tx:
        rows = listing.connections(
            tx, operator_id=who.operator_id, operator=operator, provider=provider, state=state,
            after=int(cursor or 0), limit=limit + 1,
        )  # fmt: skip
    return page([_without(r, "operator_id") for r in rows], limit)


@router.post("/connections", status_code=201, response_model=Connected, responses=REFUSALS)
def connect(body: ConnectionIn, here: Here, who: Who, act: Act) -> Response:
    """Prove the credentials, then store them. Answers with what the account lists."""
    with here.database.reading() as tx:
        owner = setup.operator_id(tx, body.operator)
        who.sees(owner)
    now = here.now()
    credentials = Credentials(body.provider, body.url, body.username, body.password)

    def noted(tx: Tx, connection_id: int) -> None:
        change = Change(tx, now, act.caller.name, f"connection:{connection_id}", owner)
        change.after = {"operator": body.operator, "provider": body.provider, "username": body.username}
        act.record(tx, "connection.made", change)

    connection_id = here.accounts.connect(owner, credentials, now=now, noted=noted)
    with here.database.reading() as tx:
        return answer({"id": connection_id, "calendars": listing.calendars(tx, connection_id=connection_id)}, 201)


@router.post("/connections/links", status_code=201, response_model=LinkMade, responses=REFUSALS)
def make_link(body: LinkIn, here: Here, who: Who, act: Act) -> Response:
    """A link to give to the operator, good once within a day: they consent there, or type their password, and nobody
    else learns it."""
    ours = {"google": here.settings.google_client_id, "microsoft": here.settings.microsoft_client_id}
    if not ours.get(body.provider, "-"):
        raise NotPossible(f"this deployment is not registered with {body.provider.title()}")
    accounts.check_voice(body.provider, body.voice)
    with act.changing("link.made", "link") as change:
        change.owner = setup.operator_id(change.tx, body.operator)
        who.sees(change.owner)
        flow = tickets.issue(
            change.tx, operator_id=change.owner, provider=body.provider, voice=body.voice, now=change.now
        )
        change.target, change.after = f"link:{flow}", body.model_dump()
        url = tickets.link(change.tx, here.vault, flow, here.settings.base_url)
    return answer({"url": url, "expires_at": change.now + tickets.BY_HAND}, 201)


@router.get(
    "/connections/{connection_id}", response_model=ConnectionOut, responses={200: {"headers": TAGGED}, **FINDING}
)
def get_connection(connection_id: RowId, here: Here, who: Who) -> Response:
    """One account; how it fares is told by its health."""
    with here.database.reading() as tx:
        return answer(_still(_connection(tx, who, connection_id)), etag=True)


@router.patch(
    "/connections/{connection_id}", response_model=ConnectionOut, responses={200: {"headers": TAGGED}, **EDITS}
)
def change_connection(
    connection_id: RowId, body: ConnectionChange, who: Who, act: Act, if_match: IfMatch = ""
) -> Response:
    """Give it another voice. New credentials are given by connecting it again."""
    with act.changing("connection.changed", f"connection:{connection_id}") as change:
        row = _connection(change.tx, who, connection_id)
        change.owner, change.before = row["operator_id"], _still(row)
        expect(if_match, change.before)
        accounts.give_voice(change.tx, connection_id, row["provider"], body.voice)
        change.after = _still(_connection(change.tx, who, connection_id))
    return answer(change.after, etag=True)


@router.get("/connections/{connection_id}/health", response_model=Health, responses=FINDING)
def health(connection_id: RowId, here: Here, who: Who) -> Response:
    """State, last success, and each calendar's lag, push channel, quirks and what of it can't be read."""
    now = here.now()
    with here.database.reading() as tx:
        found = _connection(tx, who, connection_id)
        calendars = [_fares(tx, c, now) for c in listing.calendars(tx, connection_id=connection_id)]
    return answer({**_without(found, "operator_id"), "calendars": calendars})


@router.delete("/connections/{connection_id}", status_code=204, responses=EDITS)
def disable(connection_id: RowId, who: Who, act: Act, if_match: IfMatch = "") -> Response:
    """Switch it off: nothing is pulled or pushed, nothing is forgotten."""
    with act.changing("connection.disabled", f"connection:{connection_id}") as change:
        row = _connection(change.tx, who, connection_id)
        change.owner, change.before = row["operator_id"], _still(row)
        expect(if_match, change.before)
        accounts.switch_off(change.tx, connection_id, now=change.now, why=f"by {who.name}")
        change.after = _still(_connection(change.tx, who, connection_id))
    return Response(status_code=204)


@router.get("/calendars", response_model=Page[CalendarRow], responses=READING)
def list_calendars(
    here: Here,
    who: Who,
    operator: str = "",
    connection: RowId | None = None,
    role: Literal["", "busy", "availability", "bookings"] = "",
    cursor: Cursor = "",
    limit: Limit = 50,
) -> Response:
    """Every calendar with its roles and how its last pull went."""
    with here.database.reading() as tx:
        rows = listing.calendars(
            tx, operator_id=who.operator_id, connection_id=connection, operator=operator, role=role,
            after=int(cursor or 0), limit=limit + 1,
        )  # fmt: skip
    return page(rows, limit)


@router.get("/calendars/{calendar_id}", response_model=CalendarOut, responses={200: {"headers": TAGGED}, **FINDING})
def get_calendar(calendar_id: RowId, here: Here, who: Who) -> Response:
    """One calendar with its roles and rules; how it fares is told by its connection's health."""
    with here.database.reading() as tx:
        return answer(_settings(_calendar(tx, who, calendar_id)), etag=True)


@router.patch("/calendars/{calendar_id}", response_model=CalendarOut, responses={200: {"headers": TAGGED}, **EDITS})
def change_calendar(
    calendar_id: RowId, body: CalendarChange, here: Here, who: Who, act: Act, if_match: IfMatch = ""
) -> Response:
    """Give it roles and rules. Making it the bookings calendar tests the server with a probe event."""
    with here.database.reading() as tx:
        expect(if_match, _settings(_calendar(tx, who, calendar_id)))
    quirks = here.accounts.probed(calendar_id) if body.bookings else None
    with act.changing("calendar.changed", f"calendar:{calendar_id}") as change:
        row = _calendar(change.tx, who, calendar_id)
        change.owner, change.before = row["operator_id"], _settings(row)
        expect(if_match, change.before)
        roles.change(change.tx, calendar_id, body.model_dump(exclude_none=True), quirks=quirks, now=change.now)
        change.after = _settings(_calendar(change.tx, who, calendar_id))
    return answer(change.after, etag=True)


@router.delete("/calendars/{calendar_id}", status_code=204, responses=EDITS)
def drop_calendar(calendar_id: RowId, who: Who, act: Act, if_match: IfMatch = "") -> Response:
    """Take all its roles away: it is read no more, and its time counts no more. The provider's calendar stays."""
    with act.changing("calendar.dropped", f"calendar:{calendar_id}") as change:
        row = _calendar(change.tx, who, calendar_id)
        change.owner, change.before = row["operator_id"], _settings(row)
        expect(if_match, change.before)
        roles.change(change.tx, calendar_id, dict.fromkeys(roles.ROLES, False), quirks=None, now=change.now)
        change.after = _settings(_calendar(change.tx, who, calendar_id))
    return Response(status_code=204)


@router.post("/calendars/{calendar_id}/pull", status_code=202, response_model=Asked, responses=REFUSALS)
def pull(calendar_id: RowId, who: Who, act: Act) -> Response:
    """Ask for it to be read now."""
    with act.changing("calendar.pulled", f"calendar:{calendar_id}") as change:
        change.owner = _calendar(change.tx, who, calendar_id)["operator_id"]
        roles.ask_for_pull(change.tx, calendar_id, change.owner or 0, now=change.now)
    return answer({"asked": calendar_id}, 202)


def _connection(tx: Tx, who: Caller, connection_id: int) -> dict[str, Any]:
    found = listing.connections(tx, operator_id=who.operator_id, only=connection_id)
    if not found:
        raise NotFound("there is no such thing")
    return found[0]


def _calendar(tx: Tx, who: Caller, calendar_id: int) -> dict[str, Any]:
    found = listing.calendars(tx, operator_id=who.operator_id, only=calendar_id)
    if not found:
        raise NotFound("there is no such thing")
    return found[0]


def _still(row: dict[str, Any]) -> dict[str, Any]:
    """What of a connection changes only by somebody's doing, so that its entity tag can be held on to."""
    return _without(row, "operator_id", "last_success_at")


def _settings(row: dict[str, Any]) -> dict[str, Any]:
    """Likewise of a calendar."""
    given = {role: role in row["roles"].split() for role in roles.ROLES} | {rule: row[rule] for rule in roles.RULES}
    return {name: row[name] for name in _CALENDAR} | given


_CALENDAR = ("id", "connection_id", "operator", "provider", "name", "url", "primary", "writable")


def _fares(tx: Tx, row: dict[str, Any], now: datetime) -> dict[str, Any]:
    lag = None if row["pulled_at"] is None else max(0, int((now - row["pulled_at"]).total_seconds()))
    return {
        **row,
        "unreadable": listing.problems(tx, row["id"]),
        "quirks": listing.quirks(tx, row["id"]),
        "lag_seconds": lag,
    }


def _without(row: dict[str, Any], *hidden: str) -> dict[str, Any]:
    return {k: v for k, v in row.items() if k not in hidden}
