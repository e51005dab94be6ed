"""Who changed what."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response

from api.admin.common import READING, Cursor, Limit, page
from api.admin.shapes import AuditRow, Page
from api.deps import Here
from api.schemas import Instant
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
    first: Annotated[Instant | None, Query(alias="from")] = None,
    last: Annotated[Instant | None, Query(alias="to")] = None,
    cursor: Cursor = "",
    limit: Limit = 50,
) -> Response:
    """Newest first: each change by a token, a signed-in person or the command line. Needs the scope admin."""
    who.must_be_admin()
    with here.database.reading() as tx:
        rows = audit.listing(
            tx, kind=kind, actor=actor, action=action, target=target, operator=operator, first=first, last=last,
            before=int(cursor) if cursor else None, limit=limit + 1,
        )  # fmt: skip
    return page(rows, limit)
