"""Rows of Graph to neutral events, and entries to bodies for Graph (PROVIDERS B3, B5, E2). Pure."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Any
from uuid import UUID, uuid5

from connectors.ical.windows import windows_zone
from connectors.ical.zones import named_zone
from connectors.model import Attendee, Busy, Entry, Event, Occurrence, PartStat, Period

Row = Mapping[str, Any]
"""One event as Graph sends it."""

BOOKING_KEY = "String {5c0ffb21-8e1c-4f0a-9d57-6b1b0c7a3e94} Name BookingKey"
"""Extended property that holds ``Entry.key``; the GUID is this product's own and must never change."""
EXPAND_KEY = f"singleValueExtendedProperties($filter=id eq '{BOOKING_KEY}')"
"""For ``$expand``: without it Graph hides the property."""

_TRANSACTIONS = UUID("f0b3f6c4-51c5-4e0f-8a44-f1d3b1f9f2aa")
_PARTSTATS = {
    "accepted": PartStat.ACCEPTED,
    "organizer": PartStat.ACCEPTED,
    "declined": PartStat.DECLINED,
    "tentativelyaccepted": PartStat.TENTATIVE,
}
_BY_ANSWER = {
    "tentativelyaccepted": Busy.TENTATIVE,
    "notresponded": Busy.UNANSWERED,
}
_INHERITED = (
    "subject",
    "showAs",
    "isCancelled",
    "isAllDay",
    "sensitivity",
    "responseStatus",
    "isOrganizer",
    "categories",
)


def transaction_id(key: str) -> str:
    """The same for the same key for ever: lets Graph drop a repeated POST."""
    return str(uuid5(_TRANSACTIONS, key))


def may_be_ours(row: Row) -> bool:
    """Is it worth asking for the key? Delta rows never carry it, and few applications use version 5 here."""
    transaction = row.get("transactionId")
    try:
        return bool(transaction) and UUID(str(transaction)).version == 5
    except ValueError:
        return False


def own_key(row: Row) -> str:
    """Our key of an expanded row, or ``""``. A copy that an operator made has no transaction id of ours."""
    for item in row.get("singleValueExtendedProperties") or ():
        if str(item.get("id", "")).lower() == BOOKING_KEY.lower():
            key = str(item.get("value", ""))
            return key if row.get("transactionId") == transaction_id(key) else ""
    return ""


def zone_named(name: str) -> tzinfo | None:
    """The zone of an IANA or Windows name; None for a custom one."""
    name = name.removeprefix("tzone://Microsoft/")
    if name.lower() == "utc":
        return UTC
    return named_zone(name) or named_zone(windows_zone(name))


def moment(value: Row) -> datetime:
    """An instant out of dateTimeTimeZone, which has seven digits and no offset. Raises `ValueError`."""
    text = str(value["dateTime"])
    if len(text) == 27 and value.get("timeZone") == "UTC":  # the form that is asked for on each call
        return datetime.fromisoformat(text + "+00:00")
    local = datetime.fromisoformat(text)
    if local.tzinfo is None:
        zone = zone_named(str(value.get("timeZone") or "UTC"))
        if zone is None:
            raise ValueError(f"unknown zone {value.get('timeZone')!r}")
        local = local.replace(tzinfo=zone)
    return local.astimezone(UTC)


def written(instant: datetime) -> dict[str, str]:
    """The same for writing; single events are written in UTC."""
    return {"dateTime": instant.astimezone(UTC).replace(tzinfo=None).isoformat(), "timeZone": "UTC"}


def _day(value: Row) -> date:
    return date.fromisoformat(str(value["dateTime"])[:10])


def _day_zone(row: Row, zone: tzinfo | None) -> tzinfo:
    """All-day days float; the label beside them says nothing, the zone they were written in may."""
    return zone or zone_named(str(row.get("originalStartTimeZone") or "UTC")) or UTC


def period_of(row: Row, zone: tzinfo | None) -> tuple[Period, str]:
    """When it is, and what is wrong with that. zone: the calendar's, or None if unknown. Raises `ValueError`, `KeyError`."""
    if row.get("isAllDay"):
        local = _day_zone(row, zone)
        first, last = _day(row["start"]), _day(row["end"])
        start = datetime(first.year, first.month, first.day, tzinfo=local).astimezone(UTC)
        end = datetime(last.year, last.month, last.day, tzinfo=local).astimezone(UTC)
    else:
        start, end = moment(row["start"]), moment(row["end"])
    if end < start:
        return Period(start, start), "ends before it starts"
    return Period(start, end), ""


def recurrence_id(row: Row, master: Row, zone: tzinfo | None) -> str:
    """Original start of one occurrence. Raises `ValueError`, `KeyError`."""
    original = row.get("originalStart") if row.get("type") == "exception" else None
    if master.get("isAllDay"):
        if original is None:
            return _day(row["start"]).strftime("%Y%m%d")
        local = datetime.fromisoformat(str(original)).astimezone(_day_zone(master, zone))
        return local.strftime("%Y%m%d")
    instant = moment(row["start"]) if original is None else datetime.fromisoformat(str(original)).astimezone(UTC)
    return instant.strftime("%Y%m%dT%H%M%SZ")


def busy(row: Row) -> Busy:
    """PROVIDERS E2: the first rule that fits. Values are compared without regard to case."""
    if row.get("isCancelled"):
        return Busy.NONE
    answer = str((row.get("responseStatus") or {}).get("response") or "none").lower()
    if row.get("isOrganizer"):
        answer = "organizer"
    show = str(row.get("showAs") or "busy").lower()
    if answer == "declined" or show in ("free", "workingelsewhere"):
        return Busy.FREE
    if show == "oof":
        return Busy.BUSY
    if show == "tentative":
        return Busy.TENTATIVE
    return _BY_ANSWER.get(answer, Busy.BUSY)


def attendees(row: Row) -> tuple[Attendee, ...]:
    """Guests, rooms left out."""
    found = []
    for item in row.get("attendees") or ():
        address = str((item.get("emailAddress") or {}).get("address") or "").lower()
        if not address or item.get("type") == "resource":
            continue
        answer = str((item.get("status") or {}).get("response") or "none").lower()
        name = str((item.get("emailAddress") or {}).get("name") or "")
        found.append(Attendee(address, name, _PARTSTATS.get(answer, PartStat.NEEDS_ACTION)))
    return tuple(found)


def _occurrence(row: Row, zone: tzinfo | None, recurrence: str, key: str) -> tuple[Occurrence, str]:
    period, problem = period_of(row, zone)
    hidden = not key and str(row.get("sensitivity") or "normal").lower() in ("private", "confidential")
    return (
        Occurrence(
            period,
            busy(row),
            bool(row.get("isAllDay")),
            recurrence,
            "" if hidden else str(row.get("subject") or ""),
            tuple(str(name) for name in row.get("categories") or ()),
        ),
        problem,
    )


def single(row: Row, zone: tzinfo | None, key: str = "") -> Event:
    """One event that doesn't recur. Unreadable times become a ``problem``."""
    occurrences: tuple[Occurrence, ...] = ()
    try:
        occurrence, problem = _occurrence(row, zone, "", key)
        occurrences = (occurrence,)
    except (ValueError, KeyError, TypeError) as error:
        problem = f"can't be read: {error}"
    return Event(
        href=str(row["id"]),
        etag=str(row.get("@odata.etag") or ""),
        uid=str(row.get("iCalUId") or ""),
        occurrences=occurrences,
        own_key=key,
        cancelled=bool(row.get("isCancelled")),
        problem=problem,
        attendees=attendees(row) if key else (),
    )


def series(master: Row, instances: Iterable[Row], zone: tzinfo | None) -> Event:
    """A whole series. instances: occurrences and exceptions; what a minimal row lacks comes from the master."""
    found: dict[str, Occurrence] = {}
    problem = ""
    for row in instances:
        full = {**{name: master[name] for name in _INHERITED if name in master}, **row}
        full.setdefault("originalStartTimeZone", master.get("originalStartTimeZone"))
        try:
            recurrence = recurrence_id(full, master, zone)
            occurrence, fault = _occurrence(full, zone, recurrence, "")
        except (ValueError, KeyError, TypeError) as error:
            problem = f"an occurrence can't be read: {error}"
            continue
        found[recurrence] = occurrence
        problem = problem or fault
    return Event(
        href=str(master["id"]),
        etag=str(master.get("@odata.etag") or ""),
        uid=str(master.get("iCalUId") or ""),
        occurrences=tuple(found[name] for name in sorted(found)),
        recurring=True,
        cancelled=bool(master.get("isCancelled")),
        problem=problem,
    )


def _text(entry: Entry) -> str:
    if entry.url and entry.url not in entry.description:
        return f"{entry.description}\n\n{entry.url}".strip()
    return entry.description


def new_event(entry: Entry) -> dict[str, Any]:
    """Body of the POST. Without guests nobody is mailed; with guests Graph mails them, always."""
    body: dict[str, Any] = {
        "subject": entry.title,
        "body": {"contentType": "text", "content": _text(entry)},
        "start": written(entry.period.start),
        "end": written(entry.period.end),
        "showAs": "busy",
        "sensitivity": "normal" if entry.attendees else "private",
        "isReminderOn": False,
        "responseRequested": bool(entry.attendees),
        "transactionId": transaction_id(entry.key),
        "singleValueExtendedProperties": [{"id": BOOKING_KEY, "value": entry.key}],
    }
    if entry.location:
        body["location"] = {"displayName": entry.location}
    if entry.categories:
        body["categories"] = list(entry.categories)
    if entry.attendees:
        body["attendees"] = [_guest(guest) for guest in entry.attendees]
    if entry.conference:
        body |= {"isOnlineMeeting": True, "onlineMeetingProvider": "teamsForBusiness"}
    return body


def changes_of(entry: Entry, current: Row) -> dict[str, Any]:
    """Body of the PATCH: only what differs from ``current``, so that the operator's own additions stay.

    The text of an online meeting is left alone: it holds the blob that joins people to the meeting (MSD:event-update).
    """
    body: dict[str, Any] = {}
    if str(current.get("subject") or "") != entry.title:
        body["subject"] = entry.title
    if current.get("isAllDay") or _differs(current, entry.period):
        body |= {"start": written(entry.period.start), "end": written(entry.period.end)}
        if current.get("isAllDay"):
            body["isAllDay"] = False
    if entry.location and str((current.get("location") or {}).get("displayName") or "") != entry.location:
        body["location"] = {"displayName": entry.location}
    if not current.get("isOnlineMeeting") and _plain(current.get("body") or {}) != _squeezed(_text(entry)):
        body["body"] = {"contentType": "text", "content": _text(entry)}
    kept = [str(name) for name in current.get("categories") or ()]
    if added := [name for name in entry.categories if name not in kept]:
        body["categories"] = kept + added
    if entry.attendees and {guest.email for guest in entry.attendees} != {guest.email for guest in attendees(current)}:
        body["attendees"] = [_guest(guest) for guest in entry.attendees]
    if entry.conference and not current.get("isOnlineMeeting"):
        body |= {"isOnlineMeeting": True, "onlineMeetingProvider": "teamsForBusiness"}
    return body


def _guest(guest: Attendee) -> dict[str, Any]:
    return {"type": "required", "emailAddress": {"address": guest.email, "name": guest.name or guest.email}}


def _differs(current: Row, period: Period) -> bool:
    try:
        return (moment(current["start"]), moment(current["end"])) != (period.start, period.end)
    except (ValueError, KeyError, TypeError):
        return True


def _squeezed(text: str) -> str:
    return " ".join(text.split())


def _plain(body: Row) -> str:
    """The words of a body; Outlook turns text into HTML when somebody opens the event."""
    content = str(body.get("content") or "")
    if str(body.get("contentType") or "").lower() == "html":
        content = html.unescape(re.sub(r"<[^>]*>", " ", re.sub(r"(?is)<(style|script|head)\b.*?</\1>", " ", content)))
    return _squeezed(content)


def span(instances: Sequence[Row], zone: tzinfo | None, margin: timedelta) -> Period | None:
    """The first row that can be placed in time, with room around it."""
    for row in instances:
        try:
            return period_of(row, zone)[0].widened(margin, margin)
        except (ValueError, KeyError, TypeError):
            continue
    return None
