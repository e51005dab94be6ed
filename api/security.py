"""Who is asking? The bearer token of a request, as a dependency of the admin routes. And what every answer carries."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.types import ASGIApp, Message, Receive, Scope, Send

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


class SafeAnswers:
    """Adds to every answer what keeps browsers from guessing, telling and downgrading. Plain ASGI.

    What a page says about itself stands. secure: the public address is https, so browsers shall ask for nothing else.
    """

    def __init__(self, app: ASGIApp, *, secure: bool) -> None:
        self.app = app
        self.headers = [(b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"same-origin")]
        if secure:
            self.headers.append((b"strict-transport-security", b"max-age=31536000"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def kept_safe(message: Message) -> None:
            if message["type"] == "http.response.start":
                said = {name for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *(h for h in self.headers if h[0] not in said)]
            await send(message)

        await self.app(scope, receive, kept_safe)
