"""Keys to this API."""

from __future__ import annotations

from fastapi import APIRouter, Response
from pydantic import Field

from api import keys
from api.admin.common import REFUSALS, In, answer, items
from api.deps import Here
from api.schemas import Instant
from api.security import Who

router = APIRouter()


class TokenIn(In):
    """A new key."""

    name: str = Field(min_length=1, max_length=100)
    scope: str = Field(description="admin, read or operator:SLUG")
    expires_at: Instant | None = None


@router.get("/tokens", responses=REFUSALS)
def list_tokens(here: Here, who: Who) -> Response:
    """Names and scopes; the keys themselves are not stored."""
    who.must_be_admin()
    with here.database.reading() as tx:
        return items(keys.tokens(tx))


@router.post("/tokens", status_code=201, responses=REFUSALS)
def create(body: TokenIn, here: Here, who: Who) -> Response:
    """The answer is the only time that the key can be read."""
    who.must_be_admin()
    with here.database.transaction() as tx:
        token = keys.create_token(tx, name=body.name, scope=body.scope, now=here.now(), expires_at=body.expires_at)
    return answer({"token": token, "name": body.name, "scope": body.scope, "expires_at": body.expires_at}, 201)


@router.delete("/tokens/{token_id}", status_code=204, responses=REFUSALS)
def revoke(token_id: int, here: Here, who: Who) -> Response:
    """From now on it opens nothing. Repeating does nothing."""
    who.must_be_admin()
    with here.database.transaction() as tx:
        keys.revoke_token(tx, token_id, now=here.now())
    return Response(status_code=204)
