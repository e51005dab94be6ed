"""The outbox, the feed of what happened, and figures."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response

from api import scopes
from api.admin.common import READING, REFUSALS, Act, Cursor, Limit, RowId, answer, items, page
from api.admin.shapes import EventRow, OutboxRow, OutboxState, Page, Status
from api.deps import Here
from api.security import Who
from booking import overview, setup
from booking.errors import NotFound, NotPossible
from ledger import outbox, reviews, timeline, webhooks
from ledger.db import Tx
from sync import listing

router = APIRouter()

Text = Annotated[str, Query(max_length=100)]


@router.get("/outbox", response_model=Page[OutboxRow], responses=READING)
def list_outbox(
    here: Here,
    who: Who,
    state: Literal["", "waiting", "queued", "running", "done", "parked", "discarded"] = "",
    kind: Text = "",
    operator: Text = "",
    booking: Text = "",
    cursor: Cursor = "",
    limit: Limit = 50,
) -> Response:
    """What is still to be done and what was parked, newest first."""
    who.must_be_admin_to_read()
    with here.database.reading() as tx:
        rows = outbox.listing(
            tx, state=state, kind=kind, operator_id=_operator(tx, operator), booking_id=booking,
            before=int(cursor) if cursor else None, limit=limit + 1,
        )  # fmt: skip
    return page(rows, limit)


@router.post("/outbox/{message_id}/retry", response_model=OutboxState, responses=REFUSALS)
def retry(message_id: RowId, who: Who, act: Act) -> Response:
    """Try a waiting or parked message now."""
    who.must_be_admin()
    with act.changing("outbox.retried", f"outbox:{message_id}") as change:
        _must_exist(change.tx, message_id)
        if not outbox.retry(change.tx, message_id, now=change.now):
            raise NotPossible("only what waits or is parked can be tried again")
    return answer({"id": message_id, "state": "waiting"})


@router.post("/outbox/{message_id}/park", response_model=OutboxState, responses=REFUSALS)
def park(message_id: RowId, who: Who, act: Act) -> Response:
    """Take a message out of the flow."""
    who.must_be_admin()
    with act.changing("outbox.parked", f"outbox:{message_id}") as change:
        _must_exist(change.tx, message_id)
        if not outbox.park(change.tx, message_id, why=f"parked by {who.name}", now=change.now):
            raise NotPossible("only what is still to be done can be parked")
    return answer({"id": message_id, "state": "parked"})


@router.get("/events", response_model=Page[EventRow], responses=READING)
def events(
    here: Here,
    who: Who,
    after: Cursor = "",
    kind: Annotated[str, Query(alias="type", max_length=100, description="as in the items")] = "",
    operator: Text = "",
    booking: Text = "",
    limit: Limit = 200,
) -> Response:
    """What happened to bookings, in order; ask again with the last cursor. A page without items has none: keep yours."""
    with here.database.reading() as tx:
        one = _operator(tx, operator) if who.operator_id is None else who.operator_id
        rows = timeline.feed(
            tx, after=int(after or 0), operator_id=one, now=here.now(), limit=limit, kind=kind, booking_id=booking
        )
    return items(rows, str(rows[-1]["cursor"]) if rows else "")


@router.get("/status", response_model=Status, responses=READING)
def status(here: Here, who: Who) -> Response:
    """Figures: bookings by status, who waits, the outbox by state, calendars that fail, open reviews, pauses, webhooks."""
    with here.database.reading() as tx:
        calendars = [c for c in listing.calendars(tx, operator_id=who.operator_id) if c["roles"]]
        endpoints = [w["state"] for w in webhooks.listing(tx, operator_id=who.operator_id)]
        body = {
            "bookings": overview.counts(tx, operator_id=who.operator_id),
            "outbox": outbox.counts(tx, operator_id=who.operator_id),
            "calendars": {"all": len(calendars), "failing": sum(bool(c["last_error"]) for c in calendars)},
            "oldest_pull": min((c["pulled_at"] for c in calendars if c["pulled_at"]), default=None),
            "reviews": len(reviews.listing(tx, operator_id=who.operator_id)),
            "pauses": len(scopes.listing(tx, who, now=here.now())),
            "webhooks": {state: endpoints.count(state) for state in sorted(set(endpoints))},
        }
    return answer(body)


def _must_exist(tx: Tx, message_id: int) -> None:
    if not outbox.exists(tx, message_id):
        raise NotFound("there is no such message")


def _operator(tx: Tx, slug: str) -> int | None:
    """0, which nobody has, for a name that nobody has: nothing is found then."""
    if not slug:
        return None
    try:
        return setup.operator_id(tx, slug)
    except NotFound:
        return 0
