"""How much a visitor may send. Plain ASGI, so that a body that is too large is refused before it is read."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import problem

LARGEST_BODY = 64 * 1024
LARGEST_OF = {"/hooks/microsoft": 1024 * 1024}
"""Doors where machines may send more: Graph puts many notifications into one call."""


class BodyLimit:
    """Answers 413 to a body over `LARGEST_BODY` bytes (`LARGEST_OF` of some doors), announced or not."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        largest = LARGEST_OF.get(scope["path"], LARGEST_BODY)
        announced = next((v for k, v in scope["headers"] if k == b"content-length"), b"0")
        if not announced.isdigit() or int(announced) > largest:
            await _refuse(largest, scope, receive, send)
            return
        seen = 0
        too_large = False

        async def counted() -> Message:
            nonlocal seen, too_large
            message = await receive()
            if message["type"] == "http.request":
                seen += len(message.get("body", b""))
                if seen > largest:
                    too_large = True
                    return {"type": "http.disconnect"}
            return message

        async def watched(message: Message) -> None:
            if not too_large:
                await send(message)

        try:
            await self.app(scope, counted, watched)
        except Exception:
            if not too_large:
                raise
        if too_large:
            await _refuse(largest, scope, receive, send)


async def _refuse(largest: int, scope: Scope, receive: Receive, send: Send) -> None:
    answer = problem(413, "too_large", f"at most {largest} bytes")
    await answer(scope, receive, send)
