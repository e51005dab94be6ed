"""What asks for a human."""

from __future__ import annotations

from fastapi import APIRouter, Response
from pydantic import Field

from api import reviewing
from api.admin.common import REFUSALS, In, answer, items
from api.deps import Here
from api.security import Who

router = APIRouter()


class ChoiceIn(In):
    """Which of the choices that the review lists; of a promotion, the id of a waiting client."""

    choice: str = Field(default="", max_length=100)


@router.get("/reviews", responses=REFUSALS)
def list_reviews(here: Here, who: Who, state: str = "open") -> Response:
    """Oldest first, each with the choices that make sense."""
    with here.database.reading() as tx:
        return items(reviewing.listing(tx, who, state=state))


@router.post("/reviews/{review_id}/approve", responses=REFUSALS)
def approve(review_id: int, here: Here, who: Who, body: ChoiceIn | None = None) -> Response:
    """Do what the review is about, or the named choice."""
    with here.database.transaction() as tx:
        choice = body.choice if body else ""
        return answer(reviewing.approve(tx, here.terms, who, review_id, choice, now=here.now()))


@router.post("/reviews/{review_id}/dismiss", responses=REFUSALS)
def dismiss(review_id: int, here: Here, who: Who) -> Response:
    """Leave things as they are."""
    with here.database.transaction() as tx:
        return answer(reviewing.dismiss(tx, here.terms, who, review_id, now=here.now()))
