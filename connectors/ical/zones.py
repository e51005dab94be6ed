"""Zones: IANA names that may be trusted, and the zone that an object's own VTIMEZONE describes (RFC 5545 §3.6.5).

Pure. Zones read from an object belong to that object alone: two senders may mean different rules by one TZID.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

from connectors.ical.rrule import BadRule, parse_rule, starts

_ALIASES = {"Z": "UTC", "utc": "UTC", "GMT+0000": "UTC", "Coordinated Universal Time": "UTC"}
_LOCAL = frozenset({"localtime", "Factory", "posixrules"})  # mean something else on each machine
_NO_TIME = timedelta(0)
_FIRST, _LAST = datetime(1970, 1, 1), datetime(2100, 1, 1)  # noqa: DTZ001 - local times


@lru_cache(maxsize=1)
def _names() -> frozenset[str]:
    return frozenset(available_timezones()) - _LOCAL


@lru_cache(maxsize=1024)
def named_zone(name: str) -> tzinfo | None:
    """The zone of an IANA name, or of a global TZID that ends in one (``/vendor/Europe/Berlin``); None if unknown."""
    name = _ALIASES.get(name, name)
    if name in _names():
        return UTC if name == "UTC" else ZoneInfo(name)
    if name.startswith("/"):
        parts = name.strip("/").split("/")
        for first in range(len(parts)):
            if (rest := "/".join(parts[first:])) in _names():
                return ZoneInfo(rest)
    return None


@dataclass(frozen=True, slots=True)
class Observance:
    """One STANDARD or DAYLIGHT part. start: local time before the change; offsets to UTC; rule: an RRULE or ``""``."""

    start: datetime
    offset_from: timedelta
    offset_to: timedelta
    rule: str = ""
    rdates: tuple[datetime, ...] = ()

    def onsets(self) -> list[datetime]:
        """Local times, by the clock before the change, at which it takes effect. Raises `BadRule`, `RuleTooLong`."""
        found = {self.start, *self.rdates}
        if self.rule:
            rule = parse_rule(self.rule)
            if rule.freq not in ("YEARLY", "MONTHLY"):
                raise BadRule(f"FREQ={rule.freq} in a VTIMEZONE")
            until = rule.until
            if isinstance(until, datetime) and until.tzinfo:
                until = (until + self.offset_from).replace(tzinfo=None)
            elif until is not None and not isinstance(until, datetime):
                until = datetime.combine(until, time(23, 59, 59))
            found.update(starts(rule, self.start, _FIRST, _LAST, until))
        return sorted(found)


class ObjectZone(tzinfo):
    """The zone of one VTIMEZONE, with gaps and folds as PEP 495 and RFC 5545 §3.3.5 want them."""

    def __init__(self, name: str, observances: Sequence[Observance]) -> None:
        """observances: at least one. Raises `BadRule` or `RuleTooLong`."""
        onsets = sorted(((onset, seen) for seen in observances for onset in seen.onsets()), key=lambda pair: pair[0])
        self._name = name
        self._offsets = [onsets[0][1].offset_from, *(seen.offset_to for _, seen in onsets)]
        self._utc = [onset - seen.offset_from for onset, seen in onsets]
        ends = [(onset, onset + seen.offset_to - seen.offset_from) for onset, seen in onsets]
        self._first_reading = [max(pair) for pair in ends]  # fold=0: the offset before the change as long as it may be
        self._second_reading = [min(pair) for pair in ends]

    def utcoffset(self, moment: datetime | None) -> timedelta:
        """Offset at a local time; in a gap the one before it unless fold is 1."""
        if moment is None:
            return _NO_TIME
        changes = self._second_reading if moment.fold else self._first_reading
        return self._offsets[bisect_right(changes, moment.replace(tzinfo=None, fold=0))]

    def fromutc(self, moment: datetime) -> datetime:
        """Local time of an instant, fold set in the second pass of an hour that comes twice."""
        naive = moment.replace(tzinfo=None)
        local = naive + self._offsets[bisect_right(self._utc, naive)]
        if local + _NO_TIME - self.utcoffset(local.replace(fold=0)) != naive:
            local = local.replace(fold=1)
        return local.replace(tzinfo=self)

    def dst(self, moment: datetime | None) -> timedelta:  # noqa: ARG002
        """Not known; zero."""
        return _NO_TIME

    def tzname(self, moment: datetime | None) -> str:  # noqa: ARG002
        """The TZID."""
        return self._name
