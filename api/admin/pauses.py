"""Pauses: stop automation, see what waits, go on."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import Field

from api import scopes
from api.admin.common import REFUSALS, In, answer, items
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


@router.post("/pauses", status_code=201, responses=REFUSALS)
def pause(body: PauseIn, here: Here, who: Who) -> Response:
    """From the commit on nothing in scope acts by itself."""
    with here.database.transaction() as tx:
        pause_id = scopes.pause(
            tx,
            who,
            scope=body.scope,
            automations=body.automations,
            reason=body.reason,
            until=body.until,
            now=here.now(),
        )
        return answer(scopes.shown(tx, pause_id), 201)


@router.get("/pauses", responses=REFUSALS)
def list_pauses(here: Here, who: Who) -> Response:
    """Those in force."""
    with here.database.reading() as tx:
        return items(scopes.listing(tx, who, now=here.now()))


@router.get("/pauses/{pause_id}/preview", responses=REFUSALS)
def preview(pause_id: int, here: Here, who: Who) -> Response:
    """What resuming would do, in its order."""
    with here.database.reading() as tx:
        return items(scopes.preview(tx, who, pause_id))


@router.delete("/pauses/{pause_id}", responses=REFUSALS)
def resume(
    pause_id: int, here: Here, who: Who, discard: Annotated[str, Query(description="ids to drop, with commas")] = ""
) -> Response:
    """Go on; what waited runs in its order, but for what is dropped."""
    ids: list[Any] = [part.strip() for part in discard.split(",") if part.strip()]
    if not all(i.isascii() and i.isdigit() and len(i) < 19 for i in ids):
        raise Invalid([FieldError("discard", "not_ids", "ids with commas between are needed")])
    with here.database.transaction() as tx:
        dropped = scopes.resume(tx, who, pause_id, discard=[int(i) for i in ids], now=here.now())
    return answer({"resumed": pause_id, "discarded": [row["id"] for row in dropped]})
