"""The outbox, the feed of what happened, and figures."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from api.admin.common import REFUSALS, answer, items
from api.deps import Here
from api.security import Who
from booking import overview
from booking.errors import NotPossible
from ledger import outbox, reviews, timeline
from sync import listing

router = APIRouter()


@router.get("/outbox", responses=REFUSALS)
def list_outbox(here: Here, who: Who, state: str = "") -> Response:
    """What is still to be done and what was parked, newest first."""
    who.must_be_admin_to_read()
    with here.database.reading() as tx:
        return items(outbox.listing(tx, state=state))


@router.post("/outbox/{message_id}/retry", responses=REFUSALS)
def retry(message_id: int, here: Here, who: Who) -> Response:
    """Try a waiting or parked message now."""
    who.must_be_admin()
    with here.database.transaction() as tx:
        if not outbox.retry(tx, message_id, now=here.now()):
            raise NotPossible("only what waits or is parked can be tried again")
    return answer({"id": message_id, "state": "waiting"})


@router.post("/outbox/{message_id}/park", responses=REFUSALS)
def park(message_id: int, here: Here, who: Who) -> Response:
    """Take a message out of the flow."""
    who.must_be_admin()
    with here.database.transaction() as tx:
        if not outbox.park(tx, message_id, why=f"parked by {who.name}", now=here.now()):
            raise NotPossible("only what is still to be done can be parked")
    return answer({"id": message_id, "state": "parked"})


@router.get("/events", responses=REFUSALS)
def events(here: Here, who: Who, after: Annotated[str, Query(pattern=r"^\d{0,18}$")] = "") -> Response:
    """What happened to bookings, in order; ask again with the last cursor."""
    with here.database.reading() as tx:
        rows = timeline.feed(tx, after=int(after or 0), operator_id=who.operator_id, now=here.now())
    return items(rows, str(rows[-1]["cursor"]) if rows else "")


@router.get("/status", responses=REFUSALS)
def status(here: Here, who: Who) -> Response:
    """Figures: bookings by status, who waits, the outbox by state, calendars that fail, open reviews."""
    with here.database.reading() as tx:
        calendars = [c for c in listing.calendars(tx, operator_id=who.operator_id) if c["roles"]]
        body = {
            "bookings": overview.counts(tx, operator_id=who.operator_id),
            "outbox": outbox.counts(tx, operator_id=who.operator_id),
            "calendars": {"all": len(calendars), "failing": sum(bool(c["last_error"]) for c in calendars)},
            "oldest_pull": min((c["pulled_at"] for c in calendars if c["pulled_at"]), default=None),
            "reviews": len(reviews.listing(tx, operator_id=who.operator_id)),
        }
    return answer(body)
