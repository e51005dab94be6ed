"""What every message is: a pure value with a key, a line and the pause that holds it; the kinds stand in `ledger.messages`."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Message:
    """Base of all. The fields are the body; they are JSON values or instants."""

    merges: ClassVar[bool] = False
    automation: ClassVar[str] = ""

    @property
    def key(self) -> str:
        """Deterministic: the kind and every field."""
        return ":".join([type(self).__name__, *(text(getattr(self, f.name)) for f in fields(self))])

    @property
    def line(self) -> str:
        """By default nobody waits for anybody."""
        return self.key


def text(value: object) -> str:
    """A field's value as it stands in a key."""
    return value.isoformat() if isinstance(value, datetime) else str(value)
