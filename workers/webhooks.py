"""One webhook: read, sign, call, note. The same event has the same id and the same body in every attempt (P3)."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from connectors.errors import AddressRefused, BadAnswer, ConnectorError, Gone, ServerFault, Throttled
from connectors.transport import Http, Response
from ledger import observe, outbox, signatures, timeline, webhook_feed, webhooks
from ledger.backoff import NotYet
from ledger.db import Tx
from ledger.entries import deployment_id
from ledger.messages import CatchUpWebhook, SendWebhook
from ledger.observe import Event
from ledger.outbox import Leased
from ledger.wire import wire
from workers.world import World

STEP_SECONDS = 10.0
TOTAL_SECONDS = 20.0
LONGEST_ANSWER = 64 * 1024
"""What an endpoint answers is not of interest, only its status; one that goes on and on is cut."""


def send_webhook(world: World, leased: Leased) -> None:
    """Tell an endpoint of one event, or settle it where nobody wants to hear it any more.

    An endpoint that is gone (410), has failed for long or may not be called is paused with a review. Raises
    ConnectorError for the outbox to try again, `NotYet` while the endpoint rests, and `LeaseLost`.
    """
    asked = leased.message
    if not isinstance(asked, SendWebhook):
        raise TypeError(f"{type(asked).__name__} is no webhook")
    now = world.clock()
    with world.database.transaction() as tx:
        row = webhooks.row_of(tx, asked.webhook_id)
        event = timeline.event(tx, asked.entry_id)
        if row is None or row.state not in ("active", "replaying") or event is None or not _is_its(row, leased):
            outbox.settle(tx, leased, now=now)
            return
        wait = webhook_feed.may_try(tx, row, now=now)
        identity = f"evt_{deployment_id(tx)}_{asked.entry_id}"
    if wait > timedelta(0):
        raise NotYet("the endpoint has failed and is tried again later", wait)
    body = body_of(event)
    headers = signatures.headers(webhooks.keys(world.vault, row, now=now), message_id=identity, at=now, body=body)
    try:
        _call(world, row.url, headers, body)
    except ConnectorError as error:
        _failed(world, leased, row, error)
        return
    now = world.clock()
    with world.database.transaction() as tx:
        webhook_feed.note_success(tx, asked.webhook_id, now=now)
        outbox.settle(tx, leased, now=now)
    observe.log.debug(Event.WEBHOOK_SENT, webhook=asked.webhook_id, entry=asked.entry_id)


def _is_its(row: Any, leased: Leased) -> bool:
    """Was this queued for this very endpoint, and not for an earlier one of the same id?"""
    theirs = row.operator_id is None or leased.scope.operator_id == row.operator_id
    return bool(theirs and leased.created_at >= row.created_at)


def catch_up_webhook(world: World, tx: Tx, leased: Leased) -> None:
    """One step of a replay."""
    if isinstance(leased.message, CatchUpWebhook):
        webhook_feed.catch_up(tx, leased.message, now=world.clock())


def body_of(event: dict[str, Any]) -> bytes:
    """``{"type", "timestamp", "data"}``; data is the event as ``GET /events`` shows it. Always the same bytes."""
    told = {"type": event["type"], "timestamp": event["at"], "data": event}
    return json.dumps(wire(told), ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()


def _call(world: World, url: str, headers: dict[str, str], body: bytes) -> None:
    http = Http(
        allow_private=world.settings.allow_private_networks,
        timeout=STEP_SECONDS,
        total=TOTAL_SECONDS,
        max_bytes=LONGEST_ANSWER,
    )
    # Redirects are not followed: who moved says so by a new address here.
    try:
        answer = http.request(
            "POST", url, headers={"Content-Type": "application/json", **headers}, content=body, follow=False
        )
    except BadAnswer as error:
        raise ServerFault(f"its answer can't be read: {error.detail}") from error
    if not 200 <= answer.status < 300:
        raise _refusal(answer)


def _refusal(answer: Response) -> ConnectorError:
    if answer.status == 410:
        return Gone("the endpoint is gone", status=410)
    after = answer.headers.get("retry-after", "")
    if answer.status in (429, 503) and after.isascii() and after.isdigit():
        return Throttled("the endpoint asks for fewer calls", status=answer.status, retry_after=float(after[:6]))
    return ServerFault(f"the endpoint answered {answer.status}", status=answer.status)


def _failed(world: World, leased: Leased, row: Any, error: ConnectorError) -> None:
    """What can't mend by itself pauses the endpoint and settles the message: its place in the feed is kept."""
    now = world.clock()
    final = isinstance(error, Gone | AddressRefused)
    with world.database.transaction() as tx:
        if final:
            state = "disabled" if isinstance(error, Gone) else "paused"
            webhook_feed.pause(tx, row.id, why=f"{error.code}: {error.detail}", now=now, state=state, notice=True)
        over = final or webhook_feed.note_failure(tx, row, error, now=now)
        if over:
            outbox.settle(tx, leased, now=now)
    if not over:
        raise error
    observe.log.warning(Event.WEBHOOK_PAUSED, webhook=row.id, code=error.code)
