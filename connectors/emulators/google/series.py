"""How the emulated Google expands a series: by dateutil, so that the product's own expansion meets a second opinion."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from dateutil.rrule import rruleset, rrulestr  # type: ignore[import-untyped]

from connectors.emulators.google.answers import Json, invalid

FAR = datetime(2100, 1, 1, tzinfo=UTC)
"""The end of a rule that never ends."""


class Instance(NamedTuple):
    """One instance by its original start. all-day: ``start`` is the midnight in the calendar's zone."""

    start: datetime
    end: datetime
    original: Json


def moment(value: Json, zone: str) -> datetime:
    """An EventDateTime in UTC; of a date, midnight in ``zone``."""
    if "date" in value:
        return datetime.combine(date.fromisoformat(value["date"]), time(0), ZoneInfo(zone)).astimezone(UTC)
    parsed = datetime.fromisoformat(value["dateTime"])
    if parsed.tzinfo is None:
        parsed = parsed.replace(tzinfo=ZoneInfo(value.get("timeZone") or zone))
    return parsed.astimezone(UTC)


def span(resource: Json, zone: str) -> tuple[datetime, datetime]:
    """Start and end of one resource in UTC."""
    return moment(resource["start"], zone), moment(resource["end"], zone)


def instance_id(master_id: str, original: Json, zone: str) -> str:
    """``<master>_<original start>``, as reported (A3)."""
    if "date" in original:
        return f"{master_id}_{original['date'].replace('-', '')}"
    return f"{master_id}_{moment(original, zone):%Y%m%dT%H%M%SZ}"


def expand(master: Json, zone: str, begin: datetime, end: datetime) -> Iterator[Instance]:
    """Instances of the plain rule that overlap ``begin <= t < end``, exceptions not looked at."""
    all_day = "date" in master["start"]
    first, last = span(master, zone)
    own = ZoneInfo(zone if all_day else master["start"].get("timeZone") or zone)
    rules = _rules(tuple(master["recurrence"]), first.astimezone(own).replace(tzinfo=None), own.key, all_day)
    length = last - first
    days = (
        (date.fromisoformat(master["end"]["date"]) - date.fromisoformat(master["start"]["date"])) if all_day else None
    )
    low = _bounded(begin - length - timedelta(days=2)).astimezone(own).replace(tzinfo=None)
    high = _bounded(end + timedelta(days=2)).astimezone(own).replace(tzinfo=None)
    for local in rules.between(low, high, inc=True):
        start = local.replace(tzinfo=own).astimezone(UTC)
        if days is not None:
            finish = (local + days).replace(tzinfo=own).astimezone(UTC)
            original: Json = {"date": local.date().isoformat()}
        else:
            finish = start + length
            original = {"dateTime": start.astimezone(own).isoformat(), "timeZone": own.key}
        if finish > begin and start < end:
            yield Instance(start, finish, original)


def last_end(master: Json, zone: str) -> datetime:
    """When the last instance of the rule ends, `FAR` if it never does."""
    for line in master["recurrence"]:
        if line.startswith("RRULE") and "COUNT=" not in line and "UNTIL=" not in line:
            return FAR
    ends = [i.end for i in expand(master, zone, datetime(1970, 1, 2, tzinfo=UTC), FAR)]
    return max(ends, default=moment(master["end"], zone))


def check_lines(lines: Sequence[str], master: Json, zone: str) -> None:
    """Refuse what Google would. Raises `ApiError` 400."""
    for line in lines:
        if not re.match(r"(RRULE|RDATE|EXDATE|EXRULE)[;:]", line):
            raise invalid("Invalid recurrence rule.")
        if re.search(r"FREQ=(SECONDLY|MINUTELY|HOURLY)", line):
            raise invalid("Invalid recurrence rule.")
    try:
        first = moment(master["start"], zone)
        next(expand(master, zone, first, first + timedelta(days=1)), None)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise invalid("Invalid recurrence rule.") from error


def cut(lines: Sequence[str], before: datetime, all_day: bool) -> list[str]:
    """The recurrence lines with their rules ending before an instant: the first half of "this and following"."""
    until = f"{before - timedelta(days=1):%Y%m%d}" if all_day else f"{before - timedelta(seconds=1):%Y%m%dT%H%M%SZ}"
    done = []
    for line in lines:
        if line.startswith("RRULE"):
            line = re.sub(r";?(COUNT|UNTIL)=[^;]*", "", line) + f";UNTIL={until}"
        done.append(line)
    return done


def _bounded(value: datetime) -> datetime:
    return min(max(value, datetime(1970, 1, 3, tzinfo=UTC)), FAR + timedelta(days=3))


@lru_cache(maxsize=4096)
def _rules(lines: tuple[str, ...], first: datetime, zone: str, all_day: bool) -> Any:
    """A dateutil rule set over local times without zone."""
    found = rruleset()
    own = ZoneInfo(zone)
    has_rule = False
    for line in lines:
        head, _, value = line.partition(":")
        name = head.split(";")[0]
        if name == "RRULE":
            has_rule = True
            found.rrule(rrulestr(_local_until(value, own, all_day), dtstart=first))
        else:
            zone_of_line = re.search(r"TZID=([^;:]+)", head)
            for text in value.split(","):
                local = _local(text, ZoneInfo(zone_of_line[1]) if zone_of_line else own, own, first)
                (found.rdate if name == "RDATE" else found.exdate)(local)
    if not has_rule:
        found.rdate(first)
    return found


def _local_until(rule: str, own: ZoneInfo, all_day: bool) -> str:
    def local(match: re.Match[str]) -> str:
        text = match[1]
        if len(text) == 8:
            return f"UNTIL={text}T{'000000' if all_day else '235959'}"
        parsed = datetime.fromisoformat(text)
        if parsed.tzinfo is not None:
            parsed = parsed.astimezone(own)
        return f"UNTIL={parsed:%Y%m%dT%H%M%S}"

    return re.sub(r"UNTIL=([0-9TZ]+)", local, rule)


def _local(text: str, zone: ZoneInfo, own: ZoneInfo, first: datetime) -> datetime:
    if len(text) == 8:
        return datetime.combine(date.fromisoformat(text), first.time())
    parsed = datetime.fromisoformat(text)
    parsed = parsed if parsed.tzinfo else parsed.replace(tzinfo=zone)
    return parsed.astimezone(own).replace(tzinfo=None)
