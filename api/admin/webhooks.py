"""Endpoints of others that are told of what happens here (Standard Webhooks)."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Response
from pydantic import Field, StringConstraints

from api.admin.common import (
    EDITS,
    FINDING,
    READING,
    REFUSALS,
    TAGGED,
    Act,
    Acting,
    Change,
    Cursor,
    IfMatch,
    In,
    Limit,
    RowId,
    answer,
    expect,
    page,
)
from api.admin.shapes import Page, WebhookMade, WebhookOut, WebhookRow
from api.deps import Here
from api.keys import Caller
from api.security import Who
from booking import setup
from booking.errors import FieldError, Invalid, NotFound, NotPossible
from connectors.errors import AddressRefused
from connectors.transport import callable_url
from ledger import webhook_feed, webhooks
from ledger.db import Tx

router = APIRouter()

EventType = Annotated[str, StringConstraints(pattern=r"^booking\.[a-z_]{1,60}$")]
Url = Annotated[str, Field(max_length=2000, description="https; called by POST, redirects are not followed")]
Events = Annotated[list[EventType], Field(max_length=100, description="types as in `GET /events`; empty for all")]


class WebhookIn(In):
    """A new endpoint. operator: only of this one's bookings; left out, of all (scope admin)."""

    url: Url
    events: Events = Field(default=[])
    operator: str | None = None
    description: str = Field(default="", max_length=500)


class WebhookChange(In):
    """What may be changed; what is left out stays."""

    url: Url | None = None
    events: Events | None = None
    description: str | None = Field(default=None, max_length=500)


class RotateIn(In):
    """For how long the old secret signs as well."""

    overlap_hours: int = Field(default=24, ge=0, le=24 * 30)


class ResumeIn(In):
    """Where in the feed to go on: everything after this cursor is told. Left out: where it stood."""

    after: int | None = Field(default=None, ge=0, le=2**62)


class ReplayIn(In):
    """Everything after this cursor of the feed is told again, with the identities that it had."""

    after: int = Field(ge=0, le=2**62)


@router.get("/webhooks", response_model=Page[WebhookRow], responses=READING)
def list_webhooks(here: Here, who: Who, cursor: Cursor = "", limit: Limit = 50) -> Response:
    """Endpoints and how they fare, without their secrets."""
    with here.database.reading() as tx:
        rows = webhooks.listing(tx, operator_id=who.operator_id, after=int(cursor or 0), limit=limit + 1)
    return page(rows, limit)


@router.post("/webhooks", status_code=201, response_model=WebhookMade, responses=REFUSALS)
def add_webhook(body: WebhookIn, here: Here, who: Who, act: Act) -> Response:
    """Tell this endpoint of what happens from now on. The answer is the only time that its secret can be read."""
    url = _checked(body.url, here.settings.allow_private_networks)
    with act.changing("webhook.added", "webhook") as change:
        if body.operator is None:
            who.must_be_admin()
        else:
            change.owner = setup.operator_id(change.tx, body.operator)
            who.sees(change.owner)
        webhook_id, secret = webhooks.add(
            change.tx, here.vault, url=url, operator_id=change.owner, events=body.events,
            description=body.description, now=change.now,
        )  # fmt: skip
        change.target = f"webhook:{webhook_id}"
        shown = _still(_found(change.tx, who, webhook_id))
        change.after = _recorded(shown)
    return answer({**shown, "secret": secret}, 201)


@router.get("/webhooks/{webhook_id}", response_model=WebhookOut, responses={200: {"headers": TAGGED}, **FINDING})
def get_webhook(webhook_id: RowId, here: Here, who: Who) -> Response:
    """One endpoint as it was set up; how it fares is in the list."""
    with here.database.reading() as tx:
        return answer(_still(_found(tx, who, webhook_id)), etag=True)


@router.patch("/webhooks/{webhook_id}", response_model=WebhookOut, responses={200: {"headers": TAGGED}, **EDITS})
def change_webhook(
    webhook_id: RowId, body: WebhookChange, here: Here, who: Who, act: Act, if_match: IfMatch = ""
) -> Response:
    """Change what is given; what is queued goes to the new address."""
    changes = body.model_dump(exclude_none=True)
    if body.url is not None:
        changes["url"] = _checked(body.url, here.settings.allow_private_networks)
    with act.changing("webhook.changed", f"webhook:{webhook_id}") as change:
        _begin(change, who, webhook_id, if_match)
        webhooks.change(change.tx, webhook_id, changes)
        return _done(change, who, webhook_id)


@router.delete("/webhooks/{webhook_id}", status_code=204, responses=EDITS)
def remove_webhook(webhook_id: RowId, who: Who, act: Act, if_match: IfMatch = "") -> Response:
    """Forget it; nothing more is sent."""
    with act.changing("webhook.removed", f"webhook:{webhook_id}") as change:
        _begin(change, who, webhook_id, if_match)
        webhooks.remove(change.tx, webhook_id)
    return Response(status_code=204)


@router.post("/webhooks/{webhook_id}/rotate", response_model=WebhookMade, responses=REFUSALS)
def rotate_secret(webhook_id: RowId, here: Here, who: Who, act: Act, body: RotateIn | None = None) -> Response:
    """A new secret, shown this once. The old one signs as well for a while."""
    overlap = timedelta(hours=(body or RotateIn()).overlap_hours)
    with act.changing("webhook.secret_changed", f"webhook:{webhook_id}") as change:
        _begin(change, who, webhook_id)
        secret = webhooks.rotate(change.tx, here.vault, webhook_id, now=change.now, overlap=overlap)
        shown = _still(_found(change.tx, who, webhook_id))
        change.after = _recorded(shown)
    return answer({**shown, "secret": secret})


@router.post("/webhooks/{webhook_id}/pause", response_model=WebhookOut, responses=REFUSALS)
def pause_webhook(webhook_id: RowId, who: Who, act: Act) -> Response:
    """Send nothing until it is resumed. Nothing is lost meanwhile; repeating does nothing."""
    with act.changing("webhook.paused", f"webhook:{webhook_id}") as change:
        _begin(change, who, webhook_id)
        webhook_feed.pause(change.tx, webhook_id, why=f"by {who.name}", now=change.now)
        return _done(change, who, webhook_id)


@router.post("/webhooks/{webhook_id}/resume", response_model=WebhookOut, responses=REFUSALS)
def resume_webhook(webhook_id: RowId, who: Who, act: Act, body: ResumeIn | None = None) -> Response:
    """Send what it missed, in order, and then what happens. 409 for one that is neither paused nor disabled."""
    return _resume(act, who, webhook_id, body.after if body else None, "webhook.resumed", ("paused", "disabled"))


@router.post("/webhooks/{webhook_id}/replay", response_model=WebhookOut, responses=REFUSALS)
def replay_webhook(webhook_id: RowId, body: ReplayIn, who: Who, act: Act) -> Response:
    """Send everything after a cursor again; each event has the `webhook-id` that it had."""
    states = ("active", "replaying", "paused", "disabled")
    return _resume(act, who, webhook_id, body.after, "webhook.replayed", states)


def _resume(
    act: Acting, who: Caller, webhook_id: int, after: int | None, action: str, states: tuple[str, ...]
) -> Response:
    with act.changing(action, f"webhook:{webhook_id}") as change:
        row = _begin(change, who, webhook_id)
        if row["state"] not in states:
            raise NotPossible("this endpoint is not paused; replay says it again")
        webhook_feed.resume(change.tx, webhook_id, now=change.now, after=after)
        return _done(change, who, webhook_id)


def _begin(change: Change, who: Caller, webhook_id: int, if_match: str = "") -> dict[str, Any]:
    row = _still(_found(change.tx, who, webhook_id))
    expect(if_match, row)
    change.owner = webhooks.row_of(change.tx, webhook_id).operator_id
    change.before = _recorded(row)
    return row


def _done(change: Change, who: Caller, webhook_id: int) -> Response:
    row = _still(_found(change.tx, who, webhook_id))
    change.after = _recorded(row)
    return answer(row, etag=True)


def _found(tx: Tx, who: Caller, webhook_id: int) -> dict[str, Any]:
    found = webhooks.listing(tx, operator_id=who.operator_id, only=webhook_id)
    if not found:
        raise NotFound("there is no such thing")
    return found[0]


def _still(row: dict[str, Any]) -> dict[str, Any]:
    """What changes only by somebody's doing, or when it is paused, so that the entity tag can be held on to."""
    return {k: v for k, v in row.items() if k not in ("failures", "failing_since", "last_success_at")}


def _recorded(row: dict[str, Any]) -> dict[str, Any]:
    """Without what an address may carry beside the host: keys of theirs."""
    return {**row, "url": re.sub(r"[?].*", "?…", row["url"])}


def _checked(url: str, allow_private: bool) -> str:
    try:
        return str(callable_url(url, allow_private=allow_private))
    except AddressRefused as error:
        raise Invalid([FieldError("url", error.code, error.detail)]) from None
