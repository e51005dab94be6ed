"""The signature of outgoing webhooks (Standard Webhooks 1.0): symmetric, ``v1``, over ``id.timestamp.body``."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from datetime import datetime

PREFIX = "whsec_"
BYTES = 32


def new_secret() -> str:
    """``whsec_`` and 32 random bytes in base64, as receivers' libraries take it."""
    return PREFIX + base64.b64encode(secrets.token_bytes(BYTES)).decode()


def headers(keys: Sequence[str], *, message_id: str, at: datetime, body: bytes) -> dict[str, str]:
    """``webhook-id``, ``webhook-timestamp`` (seconds) and ``webhook-signature``: one for each secret that is valid.

    The time is that of the attempt: receivers refuse what is minutes old. The id is the same in every attempt.
    """
    moment = str(int(at.timestamp()))
    signed = b".".join((message_id.encode(), moment.encode(), body))
    return {
        "webhook-id": message_id,
        "webhook-timestamp": moment,
        "webhook-signature": " ".join(f"v1,{_signature(key, signed)}" for key in keys),
    }


def _signature(secret: str, signed: bytes) -> str:
    key = base64.b64decode(secret.removeprefix(PREFIX))
    return base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
