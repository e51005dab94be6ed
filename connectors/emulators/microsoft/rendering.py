"""Events and calendars as Graph shows them (PROVIDERS B3)."""

from __future__ import annotations

import html
import re
from datetime import UTC, tzinfo
from functools import cached_property

from connectors.emulators.microsoft.events import etag_of, occurrence_id
from connectors.emulators.microsoft.store import Store, StoredCalendar, StoredEvent
from connectors.emulators.microsoft.times import Instance, local_of, shown, span, stamp, zone_of
from connectors.emulators.microsoft.wire import Json, Request

_NEVER = "0001-01-01T00:00:00Z"
_PATTERN = {"interval": 1, "month": 0, "dayOfMonth": 0, "firstDayOfWeek": "sunday", "index": "first"}


class Renderer:
    """Shows things to one reader: in the zone and with the ids its ``Prefer`` asked for."""

    def __init__(self, store: Store, request: Request) -> None:
        wanted = request.preferences()
        self._store = store
        self.immutable = wanted.get("idtype") == "ImmutableId"
        self.zone_name = wanted.get("outlook.timezone", "UTC")
        self.applied = 'outlook.timezone="' + self.zone_name + '"' if "outlook.timezone" in wanted else ""

    @cached_property
    def _zone(self) -> tzinfo:
        return zone_of(self.zone_name)

    def id_of(self, event: StoredEvent) -> str:
        """In the id space asked for (rule M-2)."""
        return event.key if self.immutable else event.plain

    def event(self, event: StoredEvent) -> Json:
        """A single event or the master of a series."""
        kind = "seriesMaster" if event.recurring else "singleInstance"
        return self._full(event, event.content, self.id_of(event), kind, self._times(event.content))

    def instance(self, event: StoredEvent, instance: Instance) -> Json:
        """One occurrence in full."""
        row = self._full(
            event,
            {**event.content, **instance.content},
            occurrence_id(self.id_of(event), instance.original),
            "exception" if instance.changed else "occurrence",
            self._instance_times(event, instance),
        )
        row |= {"seriesMasterId": self.id_of(event), "recurrence": None}
        row["originalStart"] = instance.original_start.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        row.pop("transactionId", None)
        return row

    def minimal(self, event: StoredEvent, instance: Instance) -> Json:
        """One occurrence as a delta shows it (rule M-3)."""
        return {
            "@odata.type": "#microsoft.graph.event",
            "@odata.etag": etag_of(event),
            "id": occurrence_id(self.id_of(event), instance.original),
            "seriesMasterId": self.id_of(event),
            "type": "exception" if instance.changed else "occurrence",
            **self._instance_times(event, instance),
        }

    def removed(self, event: StoredEvent) -> Json:
        """What a delta says of an event that it doesn't show any more."""
        return {
            "@odata.type": "#microsoft.graph.event",
            "id": self.id_of(event),
            "@removed": {"reason": "deleted"},
        }

    def calendar(self, calendar: StoredCalendar) -> Json:
        """One calendar."""
        owner = self._store.accounts[calendar.owner]
        return {
            "id": calendar.id,
            "name": calendar.name,
            "color": "auto",
            "hexColor": "",
            "isDefaultCalendar": calendar.default,
            "changeKey": f"DwAAABYAAAB{calendar.change:06d}==",
            "canShare": calendar.writable,
            "canViewPrivateItems": True,
            "canEdit": calendar.writable,
            "isTallyingResponses": calendar.default,
            "isRemovable": not calendar.default,
            "allowedOnlineMeetingProviders": ["teamsForBusiness"],
            "defaultOnlineMeetingProvider": "teamsForBusiness",
            "owner": {"name": owner.name, "address": owner.email},
        }

    def _times(self, content: Json) -> Json:
        """Rule M-11: an all-day event shows its own midnights under whatever label was asked for."""
        if content.get("isAllDay"):
            first, last = (local_of(content[name]).strftime("%Y-%m-%dT00:00:00.0000000") for name in ("start", "end"))
        else:
            first, last = (shown(instant, self._zone) for instant in span(content))
        return {
            "start": {"dateTime": first, "timeZone": self.zone_name},
            "end": {"dateTime": last, "timeZone": self.zone_name},
        }

    def _instance_times(self, event: StoredEvent, instance: Instance) -> Json:
        if instance.content:
            return self._times(instance.content)
        zone = self._zone
        if event.content.get("isAllDay"):
            zone = zone_of(str(event.content["start"].get("timeZone") or "UTC"))
        return {
            "start": {"dateTime": shown(instance.start, zone), "timeZone": self.zone_name},
            "end": {"dateTime": shown(instance.end, zone), "timeZone": self.zone_name},
        }

    def _full(self, event: StoredEvent, content: Json, shown_id: str, kind: str, times: Json) -> Json:
        owner = self._store.accounts[event.owner]
        organizer = content.get("organizer") or {"name": owner.name, "address": owner.email}
        mine = not content.get("organizer")
        row: Json = {
            "@odata.etag": etag_of(event),
            "id": shown_id,
            "createdDateTime": stamp(event.created),
            "lastModifiedDateTime": stamp(event.modified),
            "changeKey": etag_of(event)[3:-1],
            "categories": list(content.get("categories") or ()),
            "originalStartTimeZone": content["start"].get("timeZone") or "UTC",
            "originalEndTimeZone": content["end"].get("timeZone") or "UTC",
            "iCalUId": content["iCalUId"],
            "reminderMinutesBeforeStart": content.get("reminderMinutesBeforeStart", 15),
            "isReminderOn": content.get("isReminderOn", True),
            "hasAttachments": False,
            "subject": content.get("subject") or "",
            **self._text(content.get("body") or {"contentType": "html", "content": ""}),
            "importance": content.get("importance", "normal"),
            "sensitivity": content.get("sensitivity", "normal"),
            "isAllDay": bool(content.get("isAllDay")),
            "isCancelled": bool(content.get("isCancelled")),
            "isOrganizer": mine,
            "isDraft": False,
            "responseRequested": content.get("responseRequested", True),
            "hideAttendees": content.get("hideAttendees", False),
            "allowNewTimeProposals": content.get("allowNewTimeProposals", True),
            "seriesMasterId": None,
            "type": kind,
            "showAs": content.get("showAs", "free" if content.get("isAllDay") else "busy"),
            "webLink": f"https://outlook.office365.com/owa/?itemid={event.seq}",
            **_meeting(content),
            **times,
            **_places(content.get("location") or {}),
            "recurrence": _recurrence(content),
            "attendees": [_guest(guest) for guest in content.get("attendees") or ()],
            "organizer": {"emailAddress": organizer},
            "responseStatus": {"response": "organizer" if mine else content.get("response", "none"), "time": _NEVER},
        }
        if transaction := content.get("transactionId"):
            row["transactionId"] = transaction
        return row

    def _text(self, body: Json) -> Json:
        kind, text = str(body.get("contentType") or "text"), str(body.get("content") or "")
        plain = html.unescape(re.sub(r"<[^>]*>", " ", text)) if kind == "html" else text
        if kind == "text" and not self._store.switches.text_bodies:
            lines = "<br>\r\n".join(html.escape(text).splitlines())
            kind, text = "html", f"<html><head></head><body><div class='PlainText'>{lines}</div></body></html>"
        return {"bodyPreview": plain.strip()[:255], "body": {"contentType": kind, "content": text}}


def _meeting(content: Json) -> Json:
    url = content.get("joinUrl")
    return {
        "isOnlineMeeting": bool(url),
        "onlineMeetingProvider": "teamsForBusiness" if url else "unknown",
        "onlineMeeting": {"joinUrl": url} if url else None,
        "onlineMeetingUrl": None,
    }


def _places(location: Json) -> Json:
    shown_place = {
        "displayName": location.get("displayName", ""),
        "locationType": location.get("locationType", "default"),
    }
    return {"location": shown_place, "locations": [shown_place] if shown_place["displayName"] else []}


def _recurrence(content: Json) -> Json | None:
    recurrence = content.get("recurrence")
    if not recurrence:
        return None
    zone = content["start"].get("timeZone") or "UTC"
    first = local_of(content["start"]).date().isoformat()
    limits = {"startDate": first, "endDate": "0001-01-01", "recurrenceTimeZone": zone, "numberOfOccurrences": 0}
    return {
        "pattern": {**_PATTERN, "daysOfWeek": [], **recurrence["pattern"]},
        "range": {**limits, **recurrence["range"]},
    }


def _guest(guest: Json) -> Json:
    address = guest["emailAddress"]
    return {
        "type": guest.get("type", "required"),
        "status": guest.get("status") or {"response": "none", "time": _NEVER},
        "emailAddress": {"name": address.get("name") or address["address"], "address": address["address"]},
    }
