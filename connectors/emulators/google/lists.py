"""calendarList, calendars and freeBusy (PROVIDERS A9, rule G-13)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from connectors.emulators.google import series
from connectors.emulators.google.answers import ApiError, Json
from connectors.emulators.google.store import ROLES, StoredCalendar, World


def entry(calendar: StoredCalendar, viewer: str) -> Json:
    """One calendarListEntry; flags are only there when true."""
    item: Json = {
        "kind": "calendar#calendarListEntry",
        "etag": f'"c{calendar.version}"',
        "id": calendar.id,
        "summary": calendar.summary,
        "timeZone": calendar.timezone,
        "accessRole": calendar.role(viewer),
        "backgroundColor": calendar.color,
        "defaultReminders": [],
        "selected": True,
    }
    if calendar.id == viewer:
        item["primary"] = True
    return item


def calendar_list(world: World, viewer: str, query: Json) -> Json:
    """One page of the calendars that a person has."""
    if "syncToken" in query:
        raise ApiError(501, "notImplemented", "calendarList with syncToken is not emulated")
    least = ROLES.index(query.get("minAccessRole", "freeBusyReader"))
    items = [
        entry(calendar, viewer)
        for calendar in world.calendars.values()
        if not calendar.deleted and ROLES.index(calendar.role(viewer)) >= least
    ]
    items.sort(key=lambda item: (not item.get("primary"), item["id"]))
    size, offset = int(query.get("maxResults", 100)), int(query.get("pageToken") or 0)
    answer: Json = {
        "kind": "calendar#calendarList",
        "etag": f'"l{world.counter}"',
        "items": items[offset : offset + size],
    }
    if len(items) > offset + size:
        return answer | {"nextPageToken": str(offset + size)}
    return answer | {"nextSyncToken": f"l{world.counter}="}


def calendar(found: StoredCalendar) -> Json:
    """calendars.get."""
    return {
        "kind": "calendar#calendar",
        "etag": f'"c{found.version}"',
        "id": found.id,
        "summary": found.summary,
        "timeZone": found.timezone,
    }


def free_busy(world: World, viewer: str, body: Json) -> Json:
    """freebusy.query: what is opaque, not cancelled and not declined, merged."""
    try:
        low, high = datetime.fromisoformat(body["timeMin"]), datetime.fromisoformat(body["timeMax"])
    except (KeyError, ValueError):
        raise ApiError(400, "badRequest", "Bad Request") from None
    if high <= low or high - low > timedelta(days=92):
        raise ApiError(400, "timeRangeTooLong" if high > low else "timeRangeEmpty", "Bad time range.")
    calendars: Json = {}
    for item in body.get("items", ()):
        found = world.calendars.get(viewer if item["id"] == "primary" else item["id"])
        if found is None or found.deleted or found.role(viewer) == "none":
            calendars[item["id"]] = {"errors": [{"domain": "global", "reason": "notFound"}], "busy": []}
        else:
            calendars[item["id"]] = {"busy": [_period(*p) for p in _merged(busy(world, found, low, high))]}
    return {
        "kind": "calendar#freeBusy",
        "timeMin": _stamp(low),
        "timeMax": _stamp(high),
        "calendars": calendars,
        "groups": {},
    }


def busy(world: World, found: StoredCalendar, low: datetime, high: datetime) -> list[tuple[datetime, datetime]]:
    """Busy spans of one calendar, clipped to the range."""
    spans: list[tuple[datetime, datetime]] = []
    for event in found.events.values():
        if event.cancelled:
            continue
        if event.resource.get("recurrence"):
            exceptions = {e.id for e in world.exceptions(found, event.id)}
            instances = series.expand(event.resource, found.timezone, low, high)
            if _takes_time(event.resource, found):
                spans += [
                    (i.start, i.end)
                    for i in instances
                    if series.instance_id(event.id, i.original, found.timezone) not in exceptions
                ]
        elif _takes_time(event.resource, found):
            spans.append(series.span(event.resource, found.timezone))
    return [(max(start, low), min(end, high)) for start, end in spans if start < high and end > low]


def _takes_time(resource: Json, found: StoredCalendar) -> bool:
    declined = any(
        a["email"].lower() == found.id.lower() and a.get("responseStatus") == "declined"
        for a in resource.get("attendees", ())
    )
    kind = resource.get("eventType", "default")
    return (
        not declined and resource.get("transparency") != "transparent" and kind not in ("birthday", "workingLocation")
    )


def _merged(spans: list[tuple[datetime, datetime]]) -> list[tuple[datetime, datetime]]:
    done: list[tuple[datetime, datetime]] = []
    for start, end in sorted(spans):
        if done and start <= done[-1][1]:
            done[-1] = (done[-1][0], max(done[-1][1], end))
        else:
            done.append((start, end))
    return done


def _period(start: datetime, end: datetime) -> Json:
    return {"start": _stamp(start), "end": _stamp(end)}


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
