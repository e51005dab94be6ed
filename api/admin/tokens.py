"""Keys to this API."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import Field

from api import keys
from api.admin.common import FINDING, READING, REFUSALS, Act, Cursor, In, Limit, RowId, answer, page
from api.admin.shapes import Page, TokenMade, TokenRow
from api.deps import Here
from api.schemas import Instant
from api.security import Who

router = APIRouter()


class TokenIn(In):
    """A new key."""

    name: str = Field(min_length=1, max_length=100)
    scope: str = Field(description="admin, read or operator:SLUG")
    expires_at: Instant | None = None


@router.get("/tokens", response_model=Page[TokenRow], responses=READING)
def list_tokens(
    here: Here, who: Who, scope: Annotated[str, Query(max_length=100)] = "", cursor: Cursor = "", limit: Limit = 50
) -> Response:
    """Names and scopes; the keys themselves are not stored."""
    who.must_be_admin()
    with here.database.reading() as tx:
        return page(keys.tokens(tx, scope=scope, after=int(cursor or 0), limit=limit + 1), limit)


@router.get("/tokens/{token_id}", response_model=TokenRow, responses=FINDING)
def get_token(token_id: RowId, here: Here, who: Who) -> Response:
    """One of them."""
    who.must_be_admin()
    with here.database.reading() as tx:
        return answer(keys.shown(tx, token_id))


@router.post("/tokens", status_code=201, response_model=TokenMade, responses=REFUSALS)
def create(body: TokenIn, who: Who, act: Act) -> Response:
    """The answer is the only time that the key can be read."""
    who.must_be_admin()
    with act.changing("token.made", "token") as change:
        token = keys.create_token(
            change.tx, name=body.name, scope=body.scope, now=change.now, expires_at=body.expires_at
        )
        made = {"id": keys.id_of(change.tx, token), **body.model_dump()}
        change.target, change.after = f"token:{made['id']}", made
    return answer({"token": token, **made}, 201)


@router.delete("/tokens/{token_id}", status_code=204, responses=REFUSALS)
def revoke(token_id: RowId, who: Who, act: Act) -> Response:
    """From now on it opens nothing. Repeating does nothing."""
    who.must_be_admin()
    with act.changing("token.revoked", f"token:{token_id}") as change:
        change.before = keys.shown(change.tx, token_id)
        keys.revoke_token(change.tx, token_id, now=change.now)
        change.after = keys.shown(change.tx, token_id)
    return Response(status_code=204)
