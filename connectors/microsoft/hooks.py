"""What Microsoft posts to our hook: the handshake and the notifications (PROVIDERS B7). Pure.

A notification is a hint without proof: find the channel by ``subscription_id``, compare the secret, then pull.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass

from connectors.errors import BadAnswer

_TOKEN_LIMIT = 4096


@dataclass(frozen=True, slots=True)
class Notification:
    """One item. change: ``created``, ``updated``, ``deleted``. lifecycle: ``""``, ``missed``, ``subscriptionRemoved``
    or ``reauthorizationRequired``; the first asks for a pull, the second for a new channel, the third for renewal."""

    subscription_id: str
    client_state: str
    change: str = ""
    lifecycle: str = ""
    event_id: str = ""

    def comes_with(self, secret: str) -> bool:
        """Does it carry the secret given to `Watching.watch`? Compared in constant time; an empty secret never fits."""
        return bool(secret) and hmac.compare_digest(self.client_state.encode(), secret.encode())


def validation_answer(query: Mapping[str, str]) -> str | None:
    """The body of the handshake's answer: 200, ``text/plain``, nothing else, within 10 s. None: no handshake.

    Our own POST /subscriptions is still waiting meanwhile, so answer from another thread.
    """
    token = query.get("validationToken")
    return token if token and len(token) <= _TOKEN_LIMIT else None


def notifications(body: bytes | str) -> tuple[Notification, ...]:
    """Items of a POST, to be answered with 202 within 3 s. Items without a subscription are dropped. Raises `BadAnswer`."""
    try:
        items = json.loads(body)["value"]
    except (ValueError, KeyError, TypeError) as error:
        raise BadAnswer("not a notification of Graph") from error
    if not isinstance(items, list):
        raise BadAnswer("not a notification of Graph")
    found = []
    for item in items:
        if not isinstance(item, dict) or not isinstance(item.get("subscriptionId"), str):
            continue
        about = item.get("resourceData")
        found.append(
            Notification(
                item["subscriptionId"],
                str(item.get("clientState") or ""),
                str(item.get("changeType") or ""),
                str(item.get("lifecycleEvent") or ""),
                str(about.get("id") or "") if isinstance(about, dict) else "",
            )
        )
    return tuple(found)
