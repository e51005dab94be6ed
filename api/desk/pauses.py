"""Pauses: make one, see what waits behind it, go on, and leave out what shall not happen (P10)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Request
from fastapi.responses import Response

from api import scopes
from api.admin.common import RowId
from api.deps import Here, Site
from api.desk.common import NOTHING, attempt, back, number, operators
from api.keys import NotAllowed
from api.signin.pages import private_page
from api.signin.visits import Deed, Signed, Visit
from booking import names, setup
from booking.errors import FieldError, Invalid, NotFound
from ledger.db import Tx
from ledger.pauses import AUTOMATIONS, held

router = APIRouter(include_in_schema=False)


@router.get("/pauses")
def pauses(request: Request, here: Here, visit: Signed, did: str = "", problem: str = "") -> Response:
    """Those in force, and the form for another."""
    with here.database.reading() as tx:
        return private_page(
            request, "desk_pauses.html", visit=visit, rows=_listed(tx, here, visit), choices=_scopes(tx, visit),
            automations=AUTOMATIONS, did=did, problem=problem, zone=visit.person.timezone,
        )  # fmt: skip


@router.post("/pauses")
def pause(here: Here, press: Deed) -> Response:
    """From the commit on nothing in scope acts by itself."""
    visit, form = press.visit, press.form
    chosen = [a for a in AUTOMATIONS if f"automation:{a}" in form]
    scope = form.get("scope", "") if form.get("scope") != "other" else form.get("other", "").strip()

    def do(tx: Tx) -> int | None:
        pause_id = scopes.pause(
            tx, visit.who, scope=scope, automations=chosen or ["all"], reason=form.get("reason", "")[:1000],
            until=_until(form.get("until", ""), visit.person.timezone), now=here.now(),
        )  # fmt: skip
        return scopes.owner(tx, pause_id)

    return back(visit, "pauses", attempt(here, press, "pause.begun", f"pause:{scope}", do), did="paused")


@router.get("/pauses/{pause_id}")
def preview(request: Request, pause_id: RowId, here: Here, visit: Signed) -> Response:
    """What resuming would do, in its order; what is ticked is left out."""
    with here.database.reading() as tx:
        try:
            waiting = scopes.preview(tx, visit.who, pause_id, now=here.now())
        except NotAllowed:  # everybody's pause is the admins' business
            raise NotFound(NOTHING) from None
        row = _named(tx, scopes.shown(tx, pause_id))
    return private_page(
        request, "desk_pause.html", visit=visit, row=row, waiting=waiting, nobody_fits=scopes.NOBODY_FITS,
        zone=visit.person.timezone,
    )  # fmt: skip


@router.post("/pauses/{pause_id}")
def resume(pause_id: RowId, here: Here, press: Deed) -> Response:
    """Go on; what waited runs in its order, but for what is ticked."""
    visit = press.visit
    ticked = [number(name.removeprefix("discard:")) for name in press.form if name.startswith("discard:")]

    def do(tx: Tx) -> int | None:
        owner = scopes.owner(tx, pause_id)
        scopes.resume(tx, visit.who, pause_id, discard=ticked, now=here.now())
        return owner

    return back(visit, "pauses", attempt(here, press, "pause.ended", f"pause:{pause_id}", do), did="resumed")


def _listed(tx: Tx, here: Site, visit: Visit) -> list[dict[str, Any]]:
    rows = scopes.listing(tx, visit.who, now=here.now())
    now = here.now()
    return [{**_named(tx, row), "waits": len(held(tx, row["id"], now=now))} for row in rows]


def _named(tx: Tx, row: dict[str, Any]) -> dict[str, Any]:
    """With the name of what it holds, as `scopes.resolve` takes it."""
    name = row["target"]
    if row["scope"] == "operator":
        name = names.operator_named(tx, int(row["target"]))
    elif row["scope"] == "service":
        name = "/".join(names.service_named(tx, int(row["target"])))
    return {**row, "name": name}


def _scopes(tx: Tx, visit: Visit) -> list[tuple[str, str]]:
    """``(scope, name)`` of what can be chosen from a list: the operators and services that the visitor may see."""
    found = [("global", "")] if visit.who.admin else []
    for slug, about in operators(tx, visit).items():
        found.append((f"operator:{slug}", str(about["name"])))
        found += [(f"service:{slug}/{s['slug']}", f"{slug}/{s['slug']}") for s in setup.services(tx, slug)]
    return found


def _until(text: str, zone: str) -> datetime | None:
    """A ``datetime-local`` field, on the reader's wall clock. Raises `Invalid`."""
    if not text:
        return None
    try:
        return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise Invalid([FieldError("until", "not_a_date", "a day and an hour are needed")]) from None
