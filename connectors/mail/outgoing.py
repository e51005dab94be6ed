"""What every way of sending mail has in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from connectors.errors import Refused, Unreachable


class OutcomeUnknown(Unreachable):
    """The line broke after the message went out; it may have been accepted. Repeat the same bytes."""

    code = "outcome_unknown"


class RecipientRefused(Refused):
    """The recipient's address is refused for good."""

    code = "recipient_refused"


@dataclass(frozen=True, slots=True)
class Receipt:
    """The next server, or the folder, has taken the message over. reply: its words. repeated: it had it already."""

    reply: str
    repeated: bool = False


class Outgoing(Protocol):
    """A way out for mail; safe to share between threads."""

    def send(self, raw: bytes, *, sender: str, recipient: str) -> Receipt:
        """Hand one message over. sender, recipient: envelope addresses. Sending the same bytes again is harmless.

        Raises `Temporary` (4xx), `Unreachable` (surely not taken over), `OutcomeUnknown` (perhaps taken over),
        `RecipientRefused` (that address, for good), `Refused` (sender or message, for good), `NeedsReconnect` (it wants a
        login, or refuses ours).
        """
        ...

    def close(self) -> None:
        """End all connections; idempotent, and the next send opens a new one."""
        ...
