"""Pauses: stop automation, see what waits, go on."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from pydantic import Field

from api import scopes
from api.admin.common import FINDING, READING, REFUSALS, Act, Cursor, In, Limit, RowId, answer, items, page
from api.admin.shapes import HeldRow, Page, PauseRow, Resumed
from api.deps import Here
from api.schemas import Instant
from api.security import Who
from booking.errors import FieldError, Invalid

router = APIRouter()


class PauseIn(In):
    """What shall wait, where, and until when."""

    scope: str = Field(description="global, operator:o, service:o/s, slot:ID or booking:ID")
    automations: list[str] = Field(min_length=1, description="cancel, move, promote, no_show, remind, push; or all")
    reason: str = Field(default="", max_length=1000)
    until: Instant | None = None


@router.post("/pauses", status_code=201, response_model=PauseRow, responses=REFUSALS)
def pause(body: PauseIn, who: Who, act: Act) -> Response:
    """From the commit on nothing in scope acts by itself."""
    with act.changing("pause.begun", "pause") as change:
        pause_id = scopes.pause(
            change.tx,
            who,
            scope=body.scope,
            automations=body.automations,
            reason=body.reason,
            until=body.until,
            now=change.now,
        )
        change.target = f"pause:{pause_id}"
        change.owner = scopes.owner(change.tx, pause_id)
        change.after = body.model_dump()
        shown = scopes.named(change.tx, scopes.shown(change.tx, pause_id))
    return answer(shown, 201)


@router.get("/pauses", response_model=Page[PauseRow], responses=READING)
def list_pauses(
    here: Here,
    who: Who,
    scope: Annotated[
        Literal["", "global", "operator", "service", "slot", "booking"], Query(description="of this kind only")
    ] = "",
    cursor: Cursor = "",
    limit: Limit = 50,
) -> Response:
    """Those in force."""
    with here.database.reading() as tx:
        rows = scopes.listing(tx, who, now=here.now(), scope=scope, after=int(cursor or 0), limit=limit + 1)
        return page([scopes.named(tx, row) for row in rows], limit)


@router.get("/pauses/{pause_id}", response_model=PauseRow, responses=FINDING)
def get_pause(pause_id: RowId, here: Here, who: Who) -> Response:
    """One pause, in force or over."""
    with here.database.reading() as tx:
        return answer(scopes.named(tx, scopes.of(tx, who, pause_id)))


@router.get("/pauses/{pause_id}/preview", response_model=Page[HeldRow], responses=FINDING)
def preview(pause_id: RowId, here: Here, who: Who) -> Response:
    """What resuming would do, in its order; all of it on one page."""
    with here.database.reading() as tx:
        return items(scopes.preview(tx, who, pause_id, now=here.now()))


@router.delete("/pauses/{pause_id}", response_model=Resumed, responses=REFUSALS)
def resume(
    pause_id: RowId,
    who: Who,
    act: Act,
    discard: Annotated[str, Query(description="ids to drop, with commas", max_length=10_000)] = "",
) -> Response:
    """Go on; what waited runs in its order, but for what is dropped: there the books stand. A seat or time that was kept
    for the line is open to everybody, an event that was deleted is put there again, one that was moved goes back."""
    ids: list[Any] = [part.strip() for part in discard.split(",") if part.strip()]
    if not all(i.isascii() and i.isdigit() and len(i) < 19 for i in ids):
        raise Invalid([FieldError("discard", "not_ids", "ids with commas between are needed")])
    with act.changing("pause.ended", f"pause:{pause_id}") as change:
        change.owner = scopes.owner(change.tx, pause_id)
        dropped = scopes.resume(change.tx, who, pause_id, discard=[int(i) for i in ids], now=change.now)
        told = {"resumed": pause_id, "discarded": [row["id"] for row in dropped]}
        change.after = told
    return answer(told)
