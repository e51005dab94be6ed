"""Windows zone names, as Microsoft writes them, to IANA names."""

from __future__ import annotations

from functools import lru_cache


@lru_cache(maxsize=256)
def windows_zone(name: str) -> str:
    """The IANA name of a Windows zone (``W. Europe Standard Time``), or ``""``. Source: CLDR, as icalendar carries it."""
    from icalendar.timezone.windows_to_olson import WINDOWS_TO_OLSON  # late: costs a tenth of a second

    return str(WINDOWS_TO_OLSON.get(name, ""))
