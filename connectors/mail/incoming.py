"""Incoming mail: what a mailbox is to the rest of the product, whatever brings it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol

from connectors.errors import ConnectorError


@dataclass(frozen=True, slots=True)
class IncomingMail:
    """One message as it arrived.

    id: the same whenever the same message of the same mailbox is read again. raw: with CRLF; of a message too large only
    its beginning. recipients: envelope addresses, empty from IMAP, which doesn't know them. cursor: where to go on
    after this message; store it in the transaction that stores what the message says. ``""`` from LMTP, where the
    sending server keeps the message until we have taken it.
    """

    id: str
    raw: bytes
    recipients: tuple[str, ...] = ()
    cursor: str = ""

    @property
    def digest(self) -> str:
        """sha256 of the bytes, hex: tells a known message when a mailbox was rebuilt and numbers its mail anew."""
        return sha256(self.raw).hexdigest()


Handle = Callable[[IncomingMail], None]
"""Returns when the message is stored, or known already. If it raises, the same message comes again, and no later one from
the same mailbox before it: what can't be understood must be stored as such, not raised."""
OnState = Callable[[ConnectorError | None], None]
"""Called with None when the mailbox is open, and with the error when it isn't; from the running thread."""


class Inbound(Protocol):
    """A mailbox that is being listened to."""

    authserv_id: str

    def run(self, handle: Handle, stop: threading.Event, cursor: str = "", on_state: OnState | None = None) -> None:
        """Hand every message over once, in order, until ``stop`` is set; then return within about a second, from a server
        that hangs when its time-out ends.

        cursor: the last one stored, ``""`` for none. Blocks the calling thread, reconnects by itself, marks, moves and
        deletes nothing. A message is repeated after a crash between handing it over and storing the cursor.
        """
        ...
