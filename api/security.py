"""Who is asking? The bearer token of a request, as a dependency of the admin routes."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from api.deps import Here
from api.keys import Caller, NotAllowed, identify

_bearer = HTTPBearer(auto_error=False, description="a token from `slotledger token create`")


def caller_of(
    request: Request, here: Here, given: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> Caller:
    """The caller of an admin route. Raises `NotAllowed`: 401 without a good token, 403 where it is too narrow."""
    if given is None:
        raise NotAllowed(401, "a valid token is needed")
    with here.database.reading() as tx:
        caller = identify(tx, given.credentials, here.now())
    if request.method not in ("GET", "HEAD") and not caller.writes:
        raise NotAllowed(403, "this token may only read")
    return caller


Who = Annotated[Caller, Depends(caller_of)]
