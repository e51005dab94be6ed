"""What may be written into an event: names, enumerations, days (CSDL, PROVIDERS B3)."""

from __future__ import annotations

from typing import Any

from connectors.emulators.microsoft.times import instant_of, local_of, zone_of
from connectors.emulators.microsoft.wire import Fault, Json

TEAMS_BLOB = "<div class='me-email-text'>________________ Microsoft Teams meeting: {url} ________________</div>"
"""What Exchange adds to the text of an online meeting; without it the meeting is broken (MSD:event-update)."""

_ENUMS = {
    "showAs": ("free", "tentative", "busy", "oof", "workingElsewhere", "unknown"),
    "sensitivity": ("normal", "personal", "private", "confidential"),
    "importance": ("low", "normal", "high"),
    "onlineMeetingProvider": ("unknown", "skypeForBusiness", "skypeForConsumer", "teamsForBusiness"),
}
_TYPES: dict[str, type | tuple[type, ...]] = {
    "subject": (str, type(None)),
    "body": dict,
    "start": dict,
    "end": dict,
    "isAllDay": bool,
    "isReminderOn": bool,
    "reminderMinutesBeforeStart": int,
    "responseRequested": bool,
    "allowNewTimeProposals": bool,
    "hideAttendees": bool,
    "isOnlineMeeting": bool,
    "location": dict,
    "attendees": list,
    "categories": list,
    "recurrence": (dict, type(None)),
    "transactionId": str,
    "singleValueExtendedProperties": list,
    **dict.fromkeys(_ENUMS, str),
}
_KINDS = ("daily", "weekly", "absoluteMonthly", "relativeMonthly", "absoluteYearly", "relativeYearly")

EVENT_FIELDS = frozenset(_TYPES) | {
    "id",
    "createdDateTime",
    "lastModifiedDateTime",
    "changeKey",
    "originalStartTimeZone",
    "originalEndTimeZone",
    "originalStart",
    "iCalUId",
    "hasAttachments",
    "bodyPreview",
    "isCancelled",
    "isOrganizer",
    "isDraft",
    "seriesMasterId",
    "type",
    "webLink",
    "onlineMeeting",
    "onlineMeetingUrl",
    "locations",
    "organizer",
    "responseStatus",
}
"""What ``$select`` may name."""


def accepted(body: Json) -> Json:
    """The body with every name and value checked. Raises `Fault` 400."""
    for name, value in body.items():
        if "@" in name:
            continue
        if name not in _TYPES:
            raise _bad(f"The property '{name}' does not exist on type 'microsoft.graph.event', or is read-only.")
        wanted = _TYPES[name]
        if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
            raise _bad(f"Cannot read the value of '{name}'.")
        if name in _ENUMS and value not in _ENUMS[name]:
            raise _bad(f"Requested value '{value}' was not found for '{name}'.")
    if (content := body.get("body")) and content.get("contentType", "text") not in ("text", "html"):
        raise _bad("Requested value was not found for 'contentType'.")
    for guest in body.get("attendees") or ():
        if guest.get("type", "required") not in ("required", "optional", "resource"):
            raise _bad("Requested value was not found for 'attendeeType'.")
        if "@" not in str((guest.get("emailAddress") or {}).get("address") or ""):
            raise Fault(400, "ErrorInvalidRecipients", "At least one recipient isn't valid.")
    for item in body.get("singleValueExtendedProperties") or ():
        if set(item) != {"id", "value"} or not str(item["id"]).startswith("String {"):
            raise Fault(400, "ErrorInvalidProperty", "Property id is not valid.")
    if (recurrence := body.get("recurrence")) and recurrence.get("pattern", {}).get("type") not in _KINDS:
        raise _bad("Requested value was not found for 'recurrencePatternType'.")
    return {name: value for name, value in body.items() if "@" not in name}


def check_times(content: Json) -> None:
    """Start and end of a whole event. Raises `Fault` 400."""
    if "start" not in content or "end" not in content:
        raise Fault(400, "ErrorInvalidRequest", "Start and end are required.")
    start, end = content["start"], content["end"]
    zone_of(str(start.get("timeZone") or "UTC"))
    zone_of(str(end.get("timeZone") or "UTC"))
    if content.get("isAllDay"):
        midnight = all((t := local_of(value)) == t.replace(hour=0, minute=0, second=0) for value in (start, end))
        if not midnight or start.get("timeZone") != end.get("timeZone") or local_of(end) <= local_of(start):
            message = "The Event.Start and Event.End properties for an all-day event need to be set to midnight."
            raise Fault(400, "ErrorInvalidRequest", message)
    elif instant_of(end) < instant_of(start):
        raise Fault(400, "ErrorPropertyValidationFailure", "At least one property failed validation.")


def with_meeting(content: Json, before: Json, join_url: str) -> Json:
    """Keep the online meeting and its blob in step: a text without the blob breaks the meeting."""
    if content.get("isOnlineMeeting") and not before.get("isOnlineMeeting"):
        text = dict(content.get("body") or {"contentType": "html", "content": ""})
        blob = TEAMS_BLOB.format(url=join_url)
        return {
            **content,
            "joinUrl": join_url,
            "body": {"contentType": "html", "content": f"{text.get('content', '')}{blob}"},
        }
    url = before.get("joinUrl")
    if url and TEAMS_BLOB.format(url=url) not in str((content.get("body") or {}).get("content")):
        kept = {name: value for name, value in content.items() if name != "joinUrl"}
        return {**kept, "isOnlineMeeting": False, "meetingBroken": True}
    return content


def same(one: Json, other: Json) -> bool:
    """Do both bodies describe the same event, as far as a repeated POST is judged?"""

    def told(content: Json) -> tuple[Any, ...]:
        return content.get("subject"), instant_of(content["start"]), instant_of(content["end"])

    return told(one) == told(other)


def _bad(message: str) -> Fault:
    return Fault(400, "RequestBodyRead", message)
