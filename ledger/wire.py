"""How values are written on the wire, in answers as in webhooks: instants as RFC 3339 in UTC with ``Z``. Pure."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import Any

_KEPT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?\+00:00")
"""An instant as it stands within stored JSON."""


def instant(moment: datetime) -> str:
    """``2026-12-01T09:00:00Z``; fractions only where there are any."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def wire(value: Any) -> Any:
    """The same value as JSON values."""
    if isinstance(value, str):
        return value[:-6] + "Z" if value.endswith("+00:00") and _KEPT.fullmatch(value) else value
    if isinstance(value, datetime):
        return instant(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, dict):
        return {str(k): wire(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [wire(v) for v in value]
    return value
