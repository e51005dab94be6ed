"""Event resources: what may be written (rules G-5, G-7) and how they look to whom (G-4, G-8)."""

from __future__ import annotations

import copy
import re
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from connectors.emulators.google import series
from connectors.emulators.google.answers import ApiError, Json, invalid
from connectors.emulators.google.discovery import faults_of
from connectors.emulators.google.store import Rules, StoredCalendar, StoredEvent

DEFAULTS: Json = {"transparency": "opaque", "visibility": "default", "attendeesOmitted": False, "locked": False}
"""Values that answers leave out."""
READ_ONLY = frozenset(
    [
        "kind",
        "etag",
        "htmlLink",
        "created",
        "updated",
        "creator",
        "organizer",
        "hangoutLink",
        "recurringEventId",
        "originalStartTime",
        "privateCopy",
        "locked",
        "endTimeUnspecified",
    ]
)
TIMES_ONLY = ("id", "status", "start", "end", "recurrence", "recurringEventId", "originalStartTime", "transparency")


def cleaned(body: Json, *, partial: bool) -> Json:
    """A body checked against the schema, read-only fields dropped. partial: null takes a field away (PATCH)."""
    body = {name: value for name, value in body.items() if name not in READ_ONLY}
    # A time without offset is allowed beside a timeZone; check_times looks at it.
    problems = [p for p in faults_of(_without_nulls(body), "Event") if not p.endswith("dateTime: not RFC 3339")]
    if problems:
        raise invalid(f"Invalid value: {problems[0]}")
    if not partial:
        body = _without_nulls(body)
    _check_properties(body)
    for attendee in body.get("attendees") or ():
        if not attendee.get("email"):
            raise ApiError(400, "required", "Missing attendee email.")
    return body


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_nulls(v) for k, v in value.items() if v is not None}
    return value


def check_id(event_id: str) -> None:
    """Rule G-5. Raises `ApiError` 400."""
    if not re.fullmatch(r"[a-v0-9]{5,1024}", event_id):
        raise invalid("Invalid resource id value.")


def _check_properties(body: Json) -> None:
    """Rule G-7: keys up to 44, values up to 1024 characters, 300 properties, 32 kB."""
    total = size = 0
    for side in (body.get("extendedProperties") or {}).values():
        for name, value in (side or {}).items():
            if len(name) > 44 or len(value or "") > 1024:
                raise invalid("Extended property is too long.")
            total, size = total + 1, size + len(name) + len(value or "")
    if total > 300 or size > 32 * 1024:
        raise invalid("Too many extended properties.")


def check_times(resource: Json, zone: str) -> None:
    """A resource about to be stored must have times that make sense. Raises `ApiError` 400."""
    for name in ("start", "end"):
        value = resource.get(name)
        if not value or ("date" in value) == ("dateTime" in value):
            raise ApiError(400, "required", f"Missing {name} time.")
        if value.get("timeZone") and value["timeZone"] not in available_timezones():
            raise invalid("Invalid time zone definition.")
        if "dateTime" in value:
            try:
                parsed = datetime.fromisoformat(value["dateTime"])
            except ValueError:
                raise invalid(f"Invalid {name} time.") from None
            if parsed.tzinfo is None and not value.get("timeZone"):
                raise ApiError(400, "required", "Missing time zone definition.")
            if resource.get("recurrence") and not value.get("timeZone"):
                raise ApiError(400, "required", f"Missing time zone definition for {name} time.")
    if ("date" in resource["start"]) != ("date" in resource["end"]):
        raise invalid("Start and end times must either both be date or both be dateTime.")
    start, end = series.span(resource, zone)
    if end < start or ("date" in resource["start"] and end <= start):
        raise ApiError(400, "timeRangeEmpty", "The specified time range is empty.", domain="calendar")
    for name in ("start", "end"):
        resource[name] = _normal_time(resource[name], zone)
    if resource.get("recurrence"):
        series.check_lines(resource["recurrence"], resource, zone)


def _normal_time(value: Json, zone: str) -> Json:
    """As Google answers: with an offset, and with the zone."""
    if "date" in value:
        return {"date": value["date"]}
    own = value.get("timeZone") or zone
    local = series.moment(value, zone).astimezone(ZoneInfo(own))
    return {"dateTime": local.isoformat(timespec="seconds").replace("+00:00", "Z"), "timeZone": own}


def merged(current: Json, patch: Json) -> Json:
    """PATCH semantics: objects merge, arrays are replaced, null takes away."""
    result = copy.deepcopy(current)
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        elif isinstance(value, dict) and isinstance(result.get(name), dict):
            result[name] = merged(result[name], value)
        elif isinstance(value, dict):
            result[name] = merged({}, value)
        else:
            result[name] = copy.deepcopy(value)
    return result


def tidy(resource: Json) -> Json:
    """Leave out what has its default value, and empty maps."""
    for name, value in DEFAULTS.items():
        if resource.get(name) == value:
            del resource[name]
    for name in ("description", "location", "attendees", "recurrence"):
        if name in resource and not resource[name]:
            del resource[name]
    properties = resource.get("extendedProperties")
    if properties is not None:
        resource["extendedProperties"] = {side: values for side, values in properties.items() if values}
        if not resource["extendedProperties"]:
            del resource["extendedProperties"]
    return resource


def rendered(calendar: StoredCalendar, event: StoredEvent, viewer: str, rules: Rules, query: Json) -> Json:
    """One event as this person gets it. query: ``maxAttendees`` is honoured."""
    head = {"kind": "calendar#event", "etag": event.etag}
    if event.cancelled and rules.stubs == "minimal":
        kept = ("id", "status", "recurringEventId", "originalStartTime")
        return head | {name: event.resource[name] for name in kept if name in event.resource}
    if calendar.role(viewer) == "freeBusyReader":
        shown = {name: event.resource[name] for name in TIMES_ONLY if name in event.resource}
        return head | copy.deepcopy(shown) | {"visibility": "private", "eventType": "default"}
    item: Json = head | copy.deepcopy(event.resource)
    for name in ("creator", "organizer"):
        if item.get(name, {}).get("email") == calendar.id:
            item[name]["self"] = True
    for attendee in item.get("attendees", ()):
        if attendee["email"].lower() == calendar.id.lower():
            attendee["self"] = True
        if attendee["email"] == item.get("organizer", {}).get("email"):
            attendee["organizer"] = True
    if len(item.get("attendees", ())) > query.get("maxAttendees", 10_000):
        item["attendees"] = [a for a in item["attendees"] if a.get("self")]
        item["attendeesOmitted"] = True
    if event.cancelled:
        item["start"] = item["end"] = {"dateTime": "1970-01-01T00:00:00Z"}  # wrong times were reported (A4)
    return item
