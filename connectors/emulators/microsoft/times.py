"""Zones, instants and recurrence as Exchange counts them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Any

from dateutil import rrule  # type: ignore[import-untyped]

from connectors.emulators.microsoft.store import StoredEvent
from connectors.emulators.microsoft.wire import Fault, Json
from connectors.ical.windows import windows_zone
from connectors.ical.zones import named_zone

_DAYS = {"monday": 0, "tuesday": 1, "wednesday": 2, "thursday": 3, "friday": 4, "saturday": 5, "sunday": 6}
_INDEX = {"first": 1, "second": 2, "third": 3, "fourth": 4, "last": -1}
_MOST = 20_000


def zone_of(name: str) -> tzinfo:
    """A Windows or IANA name. Raises `Fault` 400."""
    zone = UTC if name.upper() == "UTC" else named_zone(windows_zone(name)) or named_zone(name)
    if zone is None:
        raise Fault(400, "TimeZoneNotSupportedException", f"A valid TimeZone value must be specified: {name}")
    return zone


def local_of(value: Json) -> datetime:
    """The local time of a dateTimeTimeZone. Raises `Fault` 400."""
    try:
        local = datetime.fromisoformat(str(value["dateTime"]))
    except (KeyError, ValueError, TypeError):
        raise Fault(400, "ErrorPropertyValidationFailure", "At least one property failed validation.") from None
    if local.tzinfo is not None:
        return local.astimezone(zone_of(str(value.get("timeZone") or "UTC"))).replace(tzinfo=None)
    return local


def instant_of(value: Json) -> datetime:
    """The instant of a dateTimeTimeZone."""
    return local_of(value).replace(tzinfo=zone_of(str(value.get("timeZone") or "UTC"))).astimezone(UTC)


def shown(instant: datetime, zone: tzinfo) -> str:
    """Local time with seven digits and no offset."""
    return instant.astimezone(zone).replace(tzinfo=None).strftime("%Y-%m-%dT%H:%M:%S.%f") + "0"


def stamp(seconds: float) -> str:
    """DateTimeOffset with seven digits."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + "0Z"


@dataclass(frozen=True)
class Instance:
    """One occurrence. original: local original start. content: the series' fields with those of the exception."""

    original: str
    original_start: datetime
    start: datetime
    end: datetime
    content: Json
    changed: bool


def span(content: Json) -> tuple[datetime, datetime]:
    """Start and end as instants; all-day days in the zone they were written in."""
    return instant_of(content["start"]), instant_of(content["end"])


def overlaps(start: datetime, end: datetime, first: datetime, last: datetime) -> bool:
    """As calendarView counts: a zero-length event belongs to the instant it is at."""
    return start < last and (end > first or start == end >= first)


def instances(event: StoredEvent, first: datetime, last: datetime) -> list[Instance]:
    """Occurrences that overlap ``[first, last)``."""
    zone = zone_of(str(event.content["start"].get("timeZone") or "UTC"))
    length = local_of(event.content["end"]) - local_of(event.content["start"])
    found = []
    for local in starts(event.content, last.astimezone(zone).replace(tzinfo=None) + timedelta(days=1)):
        original = local.strftime("%Y%m%dT%H%M%S")
        if original in event.cancelled:
            continue
        begin = local.replace(tzinfo=zone).astimezone(UTC)
        over = event.exceptions.get(original)
        if over is None:
            instance = Instance(
                original, begin, begin, (local + length).replace(tzinfo=zone).astimezone(UTC), {}, False
            )
        else:
            content = {**event.content, **over}
            instance = Instance(original, begin, *span(content), content, True)
        if overlaps(instance.start, instance.end, first, last):
            found.append(instance)
    seen = {instance.original for instance in found}
    for original in event.exceptions.keys() - seen - set(event.cancelled):
        begin = datetime.strptime(original, "%Y%m%dT%H%M%S").replace(tzinfo=zone).astimezone(UTC)
        content = {**event.content, **event.exceptions[original]}
        start, end = span(content)
        if overlaps(start, end, first, last):
            found.append(Instance(original, begin, start, end, content, True))
    return sorted(found, key=lambda instance: instance.start)


def starts(content: Json, until: datetime) -> Iterator[datetime]:
    """Local starts of a series, in order, up to ``until``."""
    begin = local_of(content["start"])
    rule = rrule.rrule(dtstart=begin, **_rule(content["recurrence"], begin))
    for number, local in enumerate(rule):
        if local > until or number >= _MOST:
            return
        yield local


def _rule(recurrence: Json, begin: datetime) -> dict[str, Any]:
    pattern, limits = recurrence["pattern"], recurrence["range"]
    days = [_DAYS[day.lower()] for day in pattern.get("daysOfWeek") or ()]
    nth = [rrule.weekdays[day](_INDEX[pattern.get("index") or "first"]) for day in days]
    kind = pattern["type"]
    rule: dict[str, Any] = {"interval": pattern.get("interval") or 1}
    if kind == "daily":
        rule["freq"] = rrule.DAILY
    elif kind == "weekly":
        week = _DAYS[(pattern.get("firstDayOfWeek") or "sunday").lower()]
        rule |= {"freq": rrule.WEEKLY, "byweekday": days or [begin.weekday()], "wkst": week}
    elif kind == "absoluteMonthly":
        rule |= {"freq": rrule.MONTHLY, **_month_day(pattern.get("dayOfMonth") or begin.day)}
    elif kind == "relativeMonthly":
        rule |= {"freq": rrule.MONTHLY, "byweekday": nth}
    elif kind == "absoluteYearly":
        month, day = pattern.get("month") or begin.month, pattern.get("dayOfMonth") or begin.day
        rule |= {"freq": rrule.YEARLY, "bymonth": month, **_month_day(day)}
    elif kind == "relativeYearly":
        rule |= {"freq": rrule.YEARLY, "bymonth": pattern.get("month") or begin.month, "byweekday": nth}
    else:
        raise Fault(400, "ErrorPropertyValidationFailure", f"recurrence type {kind}")
    if limits["type"] == "numbered":
        rule["count"] = limits["numberOfOccurrences"]
    elif limits["type"] == "endDate":
        rule["until"] = datetime.combine(date.fromisoformat(limits["endDate"]), datetime.max.time())
    return rule


def _month_day(day: int) -> dict[str, Any]:
    """Exchange takes the last day of a month that is too short."""
    return {"bymonthday": day} if day <= 28 else {"bymonthday": list(range(28, day + 1)), "bysetpos": -1}


def instance_at(event: StoredEvent, original: str) -> Instance:
    """One occurrence by its original start. Raises `Fault` 404."""
    zone = zone_of(str(event.content["start"].get("timeZone") or "UTC"))
    try:
        begin = datetime.strptime(original, "%Y%m%dT%H%M%S").replace(tzinfo=zone).astimezone(UTC)
    except ValueError:
        begin = datetime.min.replace(tzinfo=UTC)
    around = (begin, begin + timedelta(seconds=1)) if begin.year > 1 else (begin, begin)
    if over := event.exceptions.get(original):
        start, _ = span({**event.content, **over})
        around = (start, start + timedelta(seconds=1))
    for instance in instances(event, *around):
        if instance.original == original:
            return instance
    raise Fault(404, "ErrorItemNotFound", "The specified object was not found in the store.")
