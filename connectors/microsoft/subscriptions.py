"""Push channels of Graph: subscriptions on the default calendar's events (PROVIDERS B7)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from connectors.errors import BadAnswer, Refused
from connectors.microsoft.graph import Answer, GraphClient, segment
from connectors.protocol import Channel

RESOURCE = "/me/events"
"""The only resource documented for events; it speaks of the default calendar alone."""
MOST = timedelta(minutes=10_080)
"""Longest life by the newest documentation."""
FALLBACK = timedelta(minutes=4_200)
"""A life that fits the older limit of 4,230 minutes as well."""

_BAD_REQUEST = frozenset({400})


def open_subscription(client: GraphClient, *, secret: str, address: str, expires_at: datetime) -> Channel:
    """Subscribe. Graph calls ``address`` before it answers. Raises `Refused` if that fails."""
    body = {
        "changeType": "created,updated,deleted",
        "notificationUrl": address,
        "lifecycleNotificationUrl": address,
        "resource": RESOURCE,
        "clientState": secret,
    }

    def ask(until: datetime) -> Answer:
        sent = {**body, "expirationDateTime": _stamp(until)}
        return client.call("POST", "/subscriptions", sent, accept=frozenset({400, 409}))

    answer = ask(expires_at)
    if answer.status == 409:  # one for this address is there already, from an attempt whose answer got lost
        for row in list(client.pages("/subscriptions")):
            if row.get("notificationUrl") == address and str(row.get("resource", "")).strip("/") == RESOURCE.strip("/"):
                close_subscription(client, str(row.get("id")))
        answer = ask(expires_at)
    if answer.status == 400 and (shorter := _shorter(answer, expires_at)):
        answer = ask(shorter)
    if answer.status >= 400:
        raise answer.error()
    return _channel(answer)


def renew_subscription(client: GraphClient, channel: Channel, expires_at: datetime) -> Channel | None:
    """Extend in place; None if it is gone (nothing revives an expired one)."""
    path = f"/subscriptions/{segment(channel.id)}"
    accept = frozenset({400, 404, 410})
    answer = client.call("PATCH", path, {"expirationDateTime": _stamp(expires_at)}, accept=accept)
    if answer.status == 400 and (shorter := _shorter(answer, expires_at)):
        answer = client.call("PATCH", path, {"expirationDateTime": _stamp(shorter)}, accept=accept)
    if answer.status in (404, 410):
        return None
    if answer.status >= 400:
        raise answer.error()
    return _channel(answer)


def close_subscription(client: GraphClient, subscription_id: str) -> None:
    """Unsubscribe; an unknown one is success."""
    client.call("DELETE", f"/subscriptions/{segment(subscription_id)}", accept=frozenset({404, 410}))


def _stamp(instant: datetime) -> str:
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _shorter(answer: Answer, asked: datetime) -> datetime | None:
    """A time that every documented limit allows, by the server's clock; None if that is no shorter than asked."""
    try:
        limit = parsedate_to_datetime(answer.headers.get("date", "")).astimezone(UTC) + FALLBACK
    except (TypeError, ValueError):
        return None
    return limit if limit < asked else None


def _channel(answer: Answer) -> Channel:
    try:
        expires_at = datetime.fromisoformat(str(answer.body["expirationDateTime"]))
        found = Channel(str(answer.body["id"]), str(answer.body.get("resource") or RESOURCE), expires_at)
    except (KeyError, ValueError) as error:
        raise BadAnswer("a subscription without id or end") from error
    if expires_at.tzinfo is None:
        raise Refused("a subscription ends at no instant")
    return found
