"""What asks for a human."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from pydantic import Field

from api import reviewing
from api.admin.common import FINDING, READING, REFUSALS, Act, Cursor, In, Limit, RowId, answer, page
from api.admin.shapes import Page, ReviewRow
from api.deps import Here
from api.security import Who
from ledger import reviews

router = APIRouter()


class ChoiceIn(In):
    """Which of the choices that the review lists; of a promotion, the id of a waiting client."""

    choice: str = Field(default="", max_length=100)


@router.get("/reviews", response_model=Page[ReviewRow], responses=READING)
def list_reviews(
    here: Here,
    who: Who,
    state: Literal["open", "approved", "dismissed"] = "open",
    kind: Literal["", reviews.Kind] = "",
    booking: Annotated[str, Query(max_length=64)] = "",
    cursor: Cursor = "",
    limit: Limit = 50,
) -> Response:
    """Oldest first, each with the choices that make sense."""
    with here.database.reading() as tx:
        rows = reviewing.listing(
            tx, who, state=state, kind=kind, booking_id=booking, after=int(cursor or 0), limit=limit + 1
        )
    return page(rows, limit)


@router.get("/reviews/{review_id}", response_model=ReviewRow, responses=FINDING)
def get_review(review_id: RowId, here: Here, who: Who) -> Response:
    """One review, open or decided."""
    with here.database.reading() as tx:
        return answer(reviewing.one(tx, who, review_id))


@router.post("/reviews/{review_id}/approve", response_model=ReviewRow, responses=REFUSALS)
def approve(review_id: RowId, here: Here, who: Who, act: Act, body: ChoiceIn | None = None) -> Response:
    """Do what the review is about, or the named choice."""
    with act.changing("review.approved", f"review:{review_id}") as change:
        done = reviewing.approve(change.tx, here.terms, who, review_id, body.choice if body else "", now=change.now)
        change.owner, change.after = done["operator_id"] or None, {"kind": done["kind"], "choice": done["choice"]}
    return answer(done)


@router.post("/reviews/{review_id}/dismiss", response_model=ReviewRow, responses=REFUSALS)
def dismiss(review_id: RowId, here: Here, who: Who, act: Act) -> Response:
    """Leave things as they are."""
    with act.changing("review.dismissed", f"review:{review_id}") as change:
        done = reviewing.dismiss(change.tx, here.terms, who, review_id, now=change.now)
        change.owner, change.after = done["operator_id"] or None, {"kind": done["kind"]}
    return answer(done)
