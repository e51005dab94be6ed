"""Where providers call when a calendar changed (PROVIDERS A8, B7). A call is a hint: it asks for a pull, and is answered at once.

Nobody can log in here: what counts is the secret that each channel was given. Calls without it leave nothing behind.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import PlainTextResponse, Response

from api.deps import Here, Site
from api.problems import problem
from connectors.errors import BadAnswer
from connectors.microsoft.hooks import Notification, notifications, validation_answer
from ledger import observe
from ledger.observe import Event
from sync import hints
from sync.hints import Call

router = APIRouter(prefix="/hooks", include_in_schema=False)

_LIFECYCLE = {"": "changed", "missed": "changed", "reauthorizationRequired": "renew", "subscriptionRemoved": "removed"}


async def body_of(request: Request) -> bytes:
    """The body as it came; its size is limited for all doors."""
    return await request.body()


@router.post("/google")
def google(request: Request, here: Here) -> Response:
    """A notification without a body: all of it is in the headers. 204, or 404 for a channel that isn't ours."""
    headers = request.headers
    channel_id = headers.get("x-goog-channel-id", "")
    call = Call(
        channel_id=channel_id,
        secret=headers.get("x-goog-channel-token", ""),
        remote_id=channel_id,
        resource_id=headers.get("x-goog-resource-id", ""),
        expires_at=_http_date(headers.get("x-goog-channel-expiration", "")),
    )
    if _received(here, [call]) == 0:
        return problem(404, "unknown_channel", "there is no such channel")
    return Response(status_code=204)


@router.post("/microsoft")
def microsoft(request: Request, here: Here, body: Annotated[bytes, Depends(body_of)]) -> Response:
    """The handshake, or notifications, each with the secret of its own channel. 202, whatever they were worth."""
    token = validation_answer(request.query_params)
    if token is not None:
        return PlainTextResponse(token, headers={"X-Content-Type-Options": "nosniff"})
    try:
        items = notifications(body)
    except BadAnswer as error:
        return problem(400, "not_a_notification", str(error))
    _received(here, [_call(item) for item in items])
    return Response(status_code=202)


def _call(item: Notification) -> Call:
    """The channel's id stands before the secret, so that it is known even where Graph's own name of it never came."""
    return Call(
        channel_id=item.client_state.partition(".")[0],
        secret=item.client_state,
        remote_id=item.subscription_id,
        what=_LIFECYCLE.get(item.lifecycle, "changed"),
    )


def _received(here: Site, calls: Sequence[Call]) -> int:
    """Act on the calls that bring their channel's secret. Returns how many."""
    with here.database.reading() as tx:
        known = [(call, found) for call in calls if (found := hints.find(tx, here.vault, call))]
    if len(known) < len(calls):
        observe.log.warning(Event.HOOK_REJECTED, calls=len(calls) - len(known))
    if known:
        with here.database.transaction() as tx:
            for call, channel_id in known:
                hints.heard(tx, channel_id, call, now=here.now())
    return len(known)


def _http_date(text: str) -> datetime | None:
    try:
        return parsedate_to_datetime(text).astimezone(UTC)
    except (ValueError, TypeError):
        return None
