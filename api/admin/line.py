"""Those who wait."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from fastapi import APIRouter, Response
from pydantic import Field

from api.admin.common import READING, REFUSALS, Act, Acting, Change, Cursor, In, Limit, RowId, answer, page
from api.admin.shapes import LineRow, LineSeen, Page
from api.deps import Here
from api.schemas import Instant
from api.security import Who
from booking import judgement, overview, queries, waitlist
from booking.errors import NotFound

router = APIRouter()


class PromoteIn(In):
    """The free start that this person gets."""

    start: Instant


class PriorityIn(In):
    """Higher goes first."""

    priority: int = Field(ge=-1000, le=1000)


@router.get("/waitlist", response_model=Page[LineRow], responses=READING)
def list_waiting(
    here: Here,
    who: Who,
    operator: str = "",
    service: str = "",
    status: Literal["waiting", "offered", "promoted", "declined", "expired", "removed"] = "waiting",
    cursor: Cursor = "",
    limit: Limit = overview.PAGE,
) -> Response:
    """In the order in which they came."""
    with here.database.reading() as tx:
        rows = overview.line(
            tx, operator_id=who.operator_id, operator=operator, service=service, status=status,
            after=int(cursor or 0), limit=limit + 1,
        )  # fmt: skip
    return page(rows, limit)


@router.post("/waitlist/{entry_id}/promote", response_model=LineSeen, responses=REFUSALS)
def promote(entry_id: RowId, body: PromoteIn, act: Act) -> Response:
    """Give this person a free start, whoever else waits."""
    return _do(
        act,
        entry_id,
        "promoted",
        lambda change, _: judgement.promote(
            change.tx, act.site.terms, entry_id, body.start, now=change.now, cause=change.cause
        ),
    )


@router.post("/waitlist/{entry_id}/remove", response_model=LineSeen, responses=REFUSALS)
def remove(entry_id: RowId, act: Act) -> Response:
    """Take this person out of the line."""
    return _do(
        act,
        entry_id,
        "removed",
        lambda change, token: waitlist.leave(change.tx, act.site.terms, token, now=change.now, cause=change.cause),
    )


@router.post("/waitlist/{entry_id}/prioritise", response_model=LineSeen, responses=REFUSALS)
def prioritise(entry_id: RowId, body: PriorityIn, act: Act) -> Response:
    """Move this person up or down."""
    return _do(
        act,
        entry_id,
        "prioritised",
        lambda change, _: judgement.prioritise(change.tx, entry_id, body.priority, now=change.now),
    )


def _do(act: Acting, entry_id: int, what: str, command: Callable[[Change, str], object]) -> Response:
    with act.changing(f"waitlist.{what}", f"waitlist:{entry_id}") as change:
        entry = overview.owner_of_entry(change.tx, entry_id)
        if entry is None:
            raise NotFound("there is no such thing")
        change.owner = entry.operator_id
        act.caller.sees(entry.operator_id)
        change.before = _recorded(queries.line_view(change.tx, entry.token))
        command(change, entry.token)
        view = queries.line_view(change.tx, entry.token)
        change.after = _recorded(view)
        numbers = overview.numbers_of_entry(change.tx, entry_id)
    # The client's key stays the client's.
    return answer(numbers | {k: v for k, v in view.items() if k not in ("token", "booking")})


def _recorded(view: dict[str, Any]) -> dict[str, Any]:
    return {k: view[k] for k in ("status", "position")}
