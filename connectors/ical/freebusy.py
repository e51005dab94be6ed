"""VFREEBUSY (RFC 5545 §3.6.4) in a feed: a calendar that publishes when somebody is busy, and nothing else. Pure.

Each period becomes an event of its own, so that all that follows knows events only. An unknown FBTYPE is busy, as the
RFC wants it; ``FREE`` says nothing that the absence of an event doesn't say.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

MOST = 20_000
"""Periods that are read of one feed."""

_FREEBUSY = re.compile(r"FREEBUSY((?:;[^:\"]*(?:\"[^\"]*\")?)*):(.*)", re.IGNORECASE | re.DOTALL)
_KIND = re.compile(r";FBTYPE=\"?([A-Z0-9-]+)", re.IGNORECASE)


def as_events(lines: Iterable[str]) -> Iterator[str]:
    """Unfolded content lines of a feed, its VFREEBUSYs replaced by VEVENTs. Never raises on content."""
    inside = False
    told: set[tuple[str, str]] = set()
    for line in lines:
        mark = line.strip().upper()
        if mark in ("BEGIN:VFREEBUSY", "END:VFREEBUSY"):
            inside = mark.startswith("BEGIN")
        elif not inside:
            yield line
        elif found := _FREEBUSY.fullmatch(line.strip()):
            kind = _KIND.search(found.group(1))
            name = kind.group(1).upper() if kind else "BUSY"
            periods = [] if name == "FREE" else [text.strip() for text in found.group(2).split(",")]
            for period in periods:
                if period and (name, period) not in told and len(told) < MOST:
                    told.add((name, period))
                    yield from _event(name, period)


def _event(kind: str, period: str) -> Iterator[str]:
    start, _, end = period.partition("/")
    yield from ("BEGIN:VEVENT", f"UID:freebusy-{kind}-{period}".lower(), f"DTSTART:{start}")
    yield f"DURATION:{end}" if "P" in end.upper() else f"DTEND:{end}"
    if kind == "BUSY-TENTATIVE":
        yield "STATUS:TENTATIVE"
    yield "END:VEVENT"
