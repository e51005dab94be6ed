"""Pages by which an operator connects an account: the link, the provider's consent page, the choice of calendars.

Everything hangs on a link that was issued for one operator (`sync/tickets.py`), by mail, by hand or at the desk: a login
is not needed (ADR 7). Opening it
changes nothing (mail scanners follow links); its button begins the consent, and a cookie binds that to the browser.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

import sqlalchemy as sa
from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from api.deps import Here, Site
from api.pages.render import HEADERS, language_of, page
from api.pages.service import Posted
from api.signin.visits import visitor
from connectors.errors import ConnectorError, NeedsReconnect, Refused
from ledger.db import Tx
from ledger.tables import Connection, Operator
from sync import consents, listing, tickets
from sync.errors import BadLink, SyncError, WrongAccount

router = APIRouter(prefix="/connect", include_in_schema=False)

COOKIE = "slotledger_connect"
NAMES = {"google": "Google", "microsoft": "Microsoft", "caldav": "CalDAV"}
ROLES = ("busy", "availability", "bookings")


@dataclass(frozen=True, slots=True)
class Guest:
    """Who opened the link: for pages. account: what is to be reconnected, ``""`` for a new one."""

    language: str
    operator: str
    account: str
    url: str
    username: str


@router.get("/{provider}")
def link_page(request: Request, provider: str, here: Here, ticket: str = "") -> Response:
    """What will happen, and a button."""
    try:
        with here.database.reading() as tx:
            flow = tickets.read(tx, here.vault, ticket, provider, now=here.now())
            guest = _guest(tx, flow)
    except BadLink as error:
        return _problem(request, here, provider, error)
    return _page(request, here, "connect.html", guest.language, provider, guest=guest, ticket=ticket, error="")


@router.post("/{provider}")
def begin(request: Request, provider: str, here: Here, form: Posted) -> Response:
    """To the provider's consent page; for CalDAV the account is connected at once."""
    ticket = form.get("ticket", "")
    try:
        with here.database.reading() as tx:
            flow = tickets.read(tx, here.vault, ticket, provider, now=here.now())
            guest = _guest(tx, flow)
        if provider == "caldav":
            return _by_password(request, here, flow, guest, ticket, form)
        redirect_uri = f"{here.settings.base_url}/connect/{provider}/callback"
        begun = consents.begin(here.accounts, flow, redirect_uri=redirect_uri)
    except (SyncError, ConnectorError) as error:
        return _problem(request, here, provider, error, ticket=ticket)
    return _with_session(here, RedirectResponse(begun.url, 303), begun.session)


@router.get("/{provider}/callback")
def callback(request: Request, provider: str, here: Here) -> Response:
    """The person comes back from the provider, with a code or a refusal. Works once; their link is good for another try."""
    query, session = dict(request.query_params), request.cookies.get(COOKIE, "")
    ticket = ""
    try:
        with here.database.reading() as tx:
            ticket = tickets.ticket_of(here.vault, consents.begun(tx, provider, query, session))
        flow, _ = consents.finish(here.accounts, provider, query, session, now=here.now())
    except (SyncError, ConnectorError) as error:
        denied = query.get("error") == "access_denied"
        return _problem(request, here, provider, error, ticket=ticket, denied=denied)
    return _to_calendars(here, provider, flow)


@router.get("/{provider}/calendars")
def choose(request: Request, provider: str, here: Here, ticket: str = "") -> Response:
    """What is each calendar for? Only in the browser that connected the account."""
    try:
        with here.database.reading() as tx:
            flow, guest, rows = _connected(request, here, tx, provider, ticket)
    except BadLink as error:
        return _problem(request, here, provider, error)
    return _choice(request, here, provider, flow, guest, rows, ticket)


@router.post("/{provider}/calendars")
def assign(request: Request, provider: str, here: Here, form: Posted) -> Response:
    """Give the roles. A calendar for bookings is tested by an event that comes and goes."""
    ticket = form.get("ticket", "")
    try:
        with here.database.reading() as tx:
            flow, guest, rows = _connected(request, here, tx, provider, ticket)
    except BadLink as error:
        return _problem(request, here, provider, error)
    # Roles are taken before they are given: bookings may move from one calendar to another.
    changes = [(row, _changed(row, form)) for row in rows]
    changes.sort(key=lambda change: any(change[1].values()))
    try:
        for row, roles in changes:
            if roles:
                here.accounts.assign(row["id"], **roles, now=here.now())
    except (SyncError, ConnectorError) as error:
        return _choice(request, here, provider, flow, guest, rows, ticket, form=form, error=str(error))
    visit = visitor(request, here)  # who was sent a link needs no account, and has no page to go back to
    door = visit.door if visit else ""
    return _page(request, here, "connect_done.html", guest.language, provider, guest=guest, door=door)


def _changed(row: dict[str, Any], form: dict[str, Any]) -> dict[str, bool]:
    wanted = {
        "busy": f"busy:{row['id']}" in form,
        "availability": f"availability:{row['id']}" in form,
        "bookings": form.get("bookings") == str(row["id"]),
    }
    has = row["roles"].split()
    return {role: on for role, on in wanted.items() if on != (role in has)}


# --- parts --------------------------------------------------------------------------------------------------------


def _guest(tx: Tx, flow: Any) -> Guest:
    operator = tx.execute(sa.select(Operator.name, Operator.language).where(Operator.id == flow.operator_id)).one()
    known = tx.execute(
        sa.select(Connection.account, Connection.url, Connection.username).where(Connection.id == flow.connection_id)
    ).one_or_none()
    if known is None:
        return Guest(operator.language, operator.name, "", "", "")
    return Guest(operator.language, operator.name, known.account or known.username, known.url, known.username)


def _connected(
    request: Request, here: Site, tx: Tx, provider: str, ticket: str
) -> tuple[Any, Guest, list[dict[str, Any]]]:
    flow = tickets.read(tx, here.vault, ticket, provider, now=here.now(), used=True)
    consents.check_session(flow, request.cookies.get(COOKIE, ""))
    return flow, _guest(tx, flow), listing.calendars(tx, connection_id=flow.connection_id)


def _by_password(request: Request, here: Site, flow: Any, guest: Guest, ticket: str, form: dict[str, Any]) -> Response:
    try:
        made, _ = consents.connect_by_password(
            here.accounts,
            flow,
            url=form.get("url", "").strip(),
            username=form.get("username", "").strip(),
            password=form.get("password", ""),
            now=here.now(),
        )
    except ConnectorError as error:
        refused = isinstance(error, NeedsReconnect)
        return _page(
            request, here, "connect.html", guest.language, "caldav", status=422, guest=guest, ticket=ticket, form=form,
            error="password" if refused else error.detail,
        )  # fmt: skip
    session = consents.begin_session(here.accounts, made)
    return _with_session(here, _to_calendars(here, "caldav", made), session)


def _to_calendars(here: Site, provider: str, flow: Any) -> Response:
    ticket = quote(tickets.ticket_of(here.vault, flow), safe="")
    return RedirectResponse(f"/connect/{provider}/calendars?ticket={ticket}", 303)


def _with_session(here: Site, answer: Response, session: str) -> Response:
    answer.set_cookie(
        COOKIE, session, max_age=3600, path="/connect", httponly=True, samesite="lax",
        secure=here.settings.base_url.startswith("https://"),
    )  # fmt: skip
    return answer


def _choice(
    request: Request,
    here: Site,
    provider: str,
    flow: Any,
    guest: Guest,
    rows: list[dict[str, Any]],
    ticket: str,
    *,
    form: dict[str, Any] | None = None,
    error: str = "",
) -> Response:
    """The form; before anything was chosen it proposes the default calendar, as long as nothing takes bookings yet."""
    chosen = {role: {row["id"] for row in rows if role in row["roles"].split()} for role in ROLES}
    if form is not None:
        chosen = {
            "busy": {row["id"] for row in rows if f"busy:{row['id']}" in form},
            "availability": {row["id"] for row in rows if f"availability:{row['id']}" in form},
            "bookings": {row["id"] for row in rows if form.get("bookings") == str(row["id"])},
        }
    elif not any(chosen.values()):
        first = {row["id"] for row in rows if row["primary"]}
        with here.database.reading() as tx:
            others = listing.calendars(tx, operator_id=flow.operator_id)
        taken = any("bookings" in row["roles"].split() for row in others)
        chosen = {"busy": first, "availability": set(), "bookings": set() if taken else first}
    return _page(
        request, here, "connect_calendars.html", guest.language, provider, status=422 if error else 200, guest=guest,
        rows=rows, chosen=chosen, ticket=ticket, error=error,
    )  # fmt: skip


def _page(request: Request, here: Site, template: str, language: str, provider: str, **values: Any) -> Response:
    """These pages are nobody else's: not framed, not kept, and their address is told to nobody. Forms may lead to the
    provider's consent page."""
    endpoints = here.accounts.endpoints
    consent_pages = {
        "google": endpoints.google_oauth_root or "https://accounts.google.com",
        "microsoft": endpoints.microsoft_authority,
    }
    parts = urlsplit(consent_pages.get(provider, ""))
    target = f" {parts.scheme}://{parts.netloc}" if parts.netloc else ""
    rules = HEADERS["Content-Security-Policy"]
    rules = rules.replace("form-action 'self'", f"form-action 'self'{target}").replace(
        "frame-ancestors *", "frame-ancestors 'none'"
    )
    headers = {"Content-Security-Policy": rules, "Referrer-Policy": "no-referrer", "Cache-Control": "no-store"}
    name = NAMES.get(provider, provider)
    return page(request, template, language, headers=headers, provider=provider, name=name, **values)


def _problem(
    request: Request,
    here: Site,
    provider: str,
    error: SyncError | ConnectorError,
    *,
    ticket: str = "",
    denied: bool = False,
) -> Response:
    """Why it didn't work, and whether to try again with the same link or to ask for another."""
    status = 400
    if isinstance(error, BadLink):
        why = "account" if isinstance(error, WrongAccount) else "link"
    elif denied:
        why = "denied"
    elif isinstance(error, Refused):
        why = "permissions" if "given" in error.detail or "granted" in error.detail else "refused"
    elif isinstance(error, NeedsReconnect):
        why = "late"
    else:
        why, status = "unreachable", 502
    return _page(
        request, here, "connect_problem.html", language_of(request), provider, status=status, why=why, ticket=ticket,
        detail="" if isinstance(error, SyncError) else error.detail,
    )  # fmt: skip
