"""Those who wait."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import Field

from api.admin.common import CAUSE, REFUSALS, In, answer, items
from api.deps import Here
from api.keys import Caller
from api.schemas import Instant
from api.security import Who
from booking import judgement, overview, queries, waitlist
from booking.errors import NotFound
from ledger.db import Tx

router = APIRouter()


class PromoteIn(In):
    """The free start that this person gets."""

    start: Instant


class PriorityIn(In):
    """Higher goes first."""

    priority: int = Field(ge=-1000, le=1000)


@router.get("/waitlist", responses=REFUSALS)
def list_waiting(
    here: Here,
    who: Who,
    service: str = "",
    status: str = "waiting",
    cursor: Annotated[str, Query(pattern=r"^\d{0,18}$")] = "",
) -> Response:
    """In the order in which they came."""
    with here.database.reading() as tx:
        rows = overview.line(tx, operator_id=who.operator_id, service=service, status=status, after=int(cursor or 0))
    return items(rows, str(rows[-1]["id"]) if len(rows) == overview.PAGE else "")


@router.post("/waitlist/{entry_id}/promote", responses=REFUSALS)
def promote(entry_id: int, body: PromoteIn, here: Here, who: Who) -> Response:
    """Give this person a free start, whoever else waits."""
    with here.database.transaction() as tx:
        token = _mine(tx, who, entry_id)
        judgement.promote(tx, here.terms, entry_id, body.start, now=here.now(), cause=f"{CAUSE}:{who.name}")
        return answer(queries.line_view(tx, token))


@router.post("/waitlist/{entry_id}/remove", responses=REFUSALS)
def remove(entry_id: int, here: Here, who: Who) -> Response:
    """Take this person out of the line."""
    with here.database.transaction() as tx:
        token = _mine(tx, who, entry_id)
        waitlist.leave(tx, here.terms, token, now=here.now(), cause=f"{CAUSE}:{who.name}")
        return answer(queries.line_view(tx, token))


@router.post("/waitlist/{entry_id}/prioritise", responses=REFUSALS)
def prioritise(entry_id: int, body: PriorityIn, here: Here, who: Who) -> Response:
    """Move this person up or down."""
    with here.database.transaction() as tx:
        token = _mine(tx, who, entry_id)
        judgement.prioritise(tx, entry_id, body.priority, now=here.now())
        return answer(queries.line_view(tx, token))


def _mine(tx: Tx, who: Caller, entry_id: int) -> str:
    entry = overview.owner_of_entry(tx, entry_id)
    if entry is None:
        raise NotFound("there is no such thing")
    who.sees(entry.operator_id)
    return str(entry.token)
