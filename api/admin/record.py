"""Who changed what."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response

from api.admin.common import READING, Bound, Cursor, Limit, bound, page
from api.admin.shapes import AuditRow, Page
from api.deps import Here
from api.security import Who
from ledger import audit

router = APIRouter()

Text = Annotated[str, Query(max_length=200)]


@router.get("/audit", response_model=Page[AuditRow], responses=READING)
def list_audit(
    here: Here,
    who: Who,
    kind: Literal["", "token", "user", "cli"] = "",
    actor: Text = "",
    action: Text = "",
    target: Text = "",
    operator: Text = "",
    first: Annotated[Bound, Query(alias="from")] = "",
    last: Annotated[Bound, Query(alias="to")] = "",
    cursor: Cursor = "",
    limit: Limit = 50,
) -> Response:
    """Newest first: each change by a token, a signed-in person or the command line. Needs the scope admin."""
    who.must_be_admin()
    with here.database.reading() as tx:
        rows = audit.listing(
            tx, kind=kind, actor=actor, action=action, target=target, operator=operator, first=bound("from", first),
            last=bound("to", last, is_end=True), before=int(cursor) if cursor else None, limit=limit + 1,
        )  # fmt: skip
    return page(rows, limit)
