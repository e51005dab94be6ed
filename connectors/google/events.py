"""Google's Event resource and our values (PROVIDERS A3–A5, E2). No I/O."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Any

from connectors.ical.zones import named_zone
from connectors.model import Attendee, Busy, Entry, ETag, Event, Occurrence, PartStat, Period

Resource = Mapping[str, Any]
"""One item of an answer, as JSON."""

OWN = "slotledger"
"""Name of the private extended property that holds ``Entry.key``."""
GUESTS = "guests"
"""Private property: which attendees are ours (hashes), set only where Google is the voice (PROVIDERS D6)."""
UNREADABLE = (KeyError, ValueError, TypeError, AttributeError, OverflowError)
"""What a resource with nonsense in its fields raises."""
_ETAG_SPLIT = ";exceptions="
_PARTSTAT = {
    "needsAction": PartStat.NEEDS_ACTION,
    "declined": PartStat.DECLINED,
    "tentative": PartStat.TENTATIVE,
    "accepted": PartStat.ACCEPTED,
}


def is_cancelled(item: Resource) -> bool:
    """A stub of something deleted; of its other fields only the id is sure (PROVIDERS A4)."""
    return item.get("status") == "cancelled"


def private(item: Resource) -> Mapping[str, str]:
    """Our side of the extended properties."""
    properties: Mapping[str, str] = (item.get("extendedProperties") or {}).get("private") or {}
    return properties


def own_key(item: Resource) -> str:
    """The key of ours that this resource carries, whatever its id (a copy carries it as well)."""
    return str(private(item).get(OWN, ""))


def busy(item: Resource) -> Busy:
    """Table E2 of PROVIDERS, first matching row."""
    status, kind, attendees = item.get("status"), item.get("eventType", "default"), item.get("attendees")
    transparent = item.get("transparency") == "transparent"
    answer = next((a.get("responseStatus") for a in attendees if a.get("self")), None) if attendees else None
    if status == "cancelled":
        return Busy.NONE
    if answer == "declined" or kind in ("birthday", "workingLocation"):
        return Busy.FREE
    if kind == "outOfOffice":
        return Busy.BUSY
    if transparent:
        return Busy.FREE
    if kind == "focusTime":
        return Busy.BUSY
    if status == "tentative" or answer == "tentative":
        return Busy.TENTATIVE
    if answer == "needsAction":
        return Busy.UNANSWERED
    return Busy.BUSY


def instant(value: Mapping[str, str], zone: tzinfo) -> datetime:
    """An EventDateTime in UTC; of a date, midnight in ``zone``. Raises one of `UNREADABLE` on anything else."""
    if value.get("date"):
        day = date.fromisoformat(value["date"])
        return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)
    return _aware(value, zone).astimezone(UTC)


def local(value: Mapping[str, str], zone: tzinfo) -> date | datetime:
    """An EventDateTime as its author meant it: a floating date, or a datetime in the event's own zone."""
    if value.get("date"):
        return date.fromisoformat(value["date"])
    return _aware(value, zone).astimezone(zone_of(value.get("timeZone", ""), zone))


def zone_of(name: str, otherwise: tzinfo) -> tzinfo:
    """The named IANA zone, or the other one where the name is unknown here."""
    return (named_zone(name) if name else None) or otherwise


def recurrence_id(value: Mapping[str, str], zone: tzinfo) -> str:
    """An originalStartTime as the stable name of an occurrence: ``YYYYMMDDTHHMMSSZ`` or ``YYYYMMDD``."""
    if value.get("date"):
        return value["date"].replace("-", "")
    return f"{instant(value, zone):%Y%m%dT%H%M%SZ}"


def occurrence(item: Resource, zone: tzinfo, *, name: str = "") -> Occurrence:
    """One resource with times as one occurrence. Raises one of `UNREADABLE` where its times can't be read."""
    start, end = instant(item["start"], zone), instant(item["end"], zone)
    return Occurrence(
        period=Period(start, max(start, end)),
        busy=busy(item),
        all_day=bool(item["start"].get("date")),
        recurrence_id=name,
        title=title(item),
    )


def title(item: Resource) -> str:
    """The summary, unless somebody marked a foreign event as private."""
    if item.get("visibility") in ("private", "confidential") and not own_key(item):
        return ""
    return str(item.get("summary", ""))


def guests(item: Resource) -> tuple[Attendee, ...]:
    """The attendees whom we invited through Google, with their answers; empty where we are the voice ourselves."""
    ours = frozenset(private(item).get(GUESTS, "").split(",")) - {""}
    return tuple(
        Attendee(
            email=str(a["email"]).lower(),
            name=str(a.get("displayName", "")),
            partstat=_PARTSTAT.get(str(a.get("responseStatus")), PartStat.NEEDS_ACTION),
            is_self=bool(a.get("self")),
        )
        for a in item.get("attendees") or ()
        if a.get("email") and guest_mark(str(a["email"])) in ours
    )


def guest_mark(email: str) -> str:
    """Eight hexadecimal digits that stand for an address, so that 100 of them fit one property."""
    return hashlib.sha256(email.lower().encode()).hexdigest()[:8]


def single(item: Resource, zone: tzinfo, window: Period) -> Event:
    """An event that doesn't recur, or an instance whose series can't be seen."""
    occurrences: tuple[Occurrence, ...] = ()
    problem = ""
    try:
        name = recurrence_id(item["originalStartTime"], zone) if item.get("originalStartTime") else ""
        occurrences = clipped([occurrence(item, zone, name=name)], window)
    except UNREADABLE as error:
        problem = f"its times can't be read: {error!r}"
    return _event(item, str(item.get("etag", "")), occurrences, problem=problem)


def clipped(occurrences: Sequence[Occurrence], window: Period) -> tuple[Occurrence, ...]:
    """Those that lie at least partly in the window, whole, ordered by start."""
    inside = (o for o in occurrences if o.period.overlaps(window) or window.start <= o.period.start < window.end)
    return tuple(sorted(inside, key=lambda o: (o.period, o.recurrence_id)))


def series(
    master: Resource, exceptions: Sequence[Resource], occurrences: tuple[Occurrence, ...], *, problem: str
) -> Event:
    """A master and all its exceptions as one event, its occurrences expanded elsewhere."""
    return _event(master, series_etag(master, exceptions), occurrences, recurring=True, problem=problem)


def series_etag(master: Resource, exceptions: Sequence[Resource]) -> ETag:
    """One entity tag for the whole: whether an exception changes its master's is not documented."""
    if not exceptions:
        return str(master.get("etag", ""))
    parts = sorted(f"{e['id']} {e.get('etag', '')} {e.get('status', '')}" for e in exceptions)
    return str(master.get("etag", "")) + _ETAG_SPLIT + hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def sent_etag(etag: ETag) -> str:
    """The part of an entity tag of ours that Google knows."""
    return etag.split(_ETAG_SPLIT, 1)[0]


def _event(
    item: Resource, etag: str, occurrences: tuple[Occurrence, ...], *, recurring: bool = False, problem: str = ""
) -> Event:
    key = own_key(item)
    return Event(
        href=str(item["id"]),
        etag=etag,
        uid=str(item.get("iCalUID", "")),
        occurrences=occurrences,
        sequence=int(item.get("sequence", 0)),
        own_key=key,
        recurring=recurring,
        cancelled=is_cancelled(item),
        problem=problem,
        attendees=guests(item) if key else (),
        attendees_complete=not item.get("attendeesOmitted", False),
    )


def _aware(value: Mapping[str, str], zone: tzinfo) -> datetime:
    moment = datetime.fromisoformat(value["dateTime"])
    return moment if moment.tzinfo else moment.replace(tzinfo=zone_of(value.get("timeZone", ""), zone))


@dataclass(frozen=True, slots=True)
class Desired:
    """What we write for one entry: the same body for insert and for patch, where None takes a field away."""

    entry: Entry

    def insert(self) -> dict[str, Any]:
        """Body of events.insert; the id is the key, so a second one is refused (PROVIDERS A6)."""
        body = {name: value for name, value in self.patch().items() if value is not None}
        body |= {
            "id": self.entry.key,
            "start": _event_time(self.entry.period.start, self.entry.timezone),
            "end": _event_time(self.entry.period.end, self.entry.timezone),
            "transparency": "opaque",
            "visibility": "private",
        }
        if self.entry.url.startswith(("http://", "https://")):
            body["source"] = {"title": self.entry.title, "url": self.entry.url}
        if self.entry.attendees:
            body["attendees"] = [_attendee(a) for a in self.entry.attendees]
        if self.entry.conference:
            body["conferenceData"] = {
                "createRequest": {
                    "requestId": self.entry.key,
                    "conferenceSolutionKey": {"type": "hangoutsMeet"},
                }
            }
        return body

    def patch(self) -> dict[str, Any]:
        """Our fields and no others: colour, reminders, guests and notes that the operator added elsewhere stay."""
        entry = self.entry
        marks = {OWN: entry.key, "marker": entry.marker}
        if entry.attendees:
            marks[GUESTS] = ",".join(guest_mark(a.email) for a in entry.attendees)
        return {
            "summary": entry.title,
            "description": entry.description or None,
            "location": entry.location or None,
            # The kind that it is not must be nulled, or an event made all-day stays both (PROVIDERS A3).
            "start": _event_time(entry.period.start, entry.timezone) | {"date": None},
            "end": _event_time(entry.period.end, entry.timezone) | {"date": None},
            "extendedProperties": {"private": marks},
        }

    def with_guests(self, current: Resource) -> dict[str, Any]:
        """The patch, with guests added or taken out and all others and all answers kept (arrays are replaced)."""
        ours = frozenset(private(current).get(GUESTS, "").split(","))
        wanted = {a.email.lower(): a for a in self.entry.attendees}
        kept = []
        for attendee in current.get("attendees") or ():
            email = str(attendee.get("email", "")).lower()
            if wanted.pop(email, None) is not None or guest_mark(email) not in ours:
                kept.append(dict(attendee))
        return self.patch() | {"attendees": kept + [_attendee(a) for a in wanted.values()]}

    def is_there(self, item: Resource) -> bool:
        """Does the resource already say all that we would write?"""
        start, end, zone = item.get("start") or {}, item.get("end") or {}, UTC
        entry = self.entry
        return (
            not is_cancelled(item)
            and bool(start.get("dateTime") and end.get("dateTime"))
            and Period(instant(start, zone), instant(end, zone)) == entry.period
            and str(item.get("summary", "")) == entry.title
            and str(item.get("description", "")) == entry.description
            and str(item.get("location", "")) == entry.location
            and {g.email for g in guests(item)} == {a.email.lower() for a in entry.attendees}
            and {OWN: entry.key, "marker": entry.marker}.items() <= private(item).items()
        )


def _event_time(moment: datetime, timezone: str) -> dict[str, Any]:
    zone = named_zone(timezone)
    return {"dateTime": moment.astimezone(zone or UTC).isoformat(), "timeZone": timezone if zone else "UTC"}


def _attendee(attendee: Attendee) -> dict[str, Any]:
    named = {"displayName": attendee.name} if attendee.name else {}
    return {"email": attendee.email} | named


def probe_body(key: str) -> dict[str, Any]:
    """A harmless event for the self-test, long ago, free, and without a booking."""
    start = datetime(2001, 1, 1, tzinfo=UTC)
    return {
        "id": key,
        "summary": "Self-test",
        "start": _event_time(start, "UTC"),
        "end": _event_time(start + timedelta(minutes=5), "UTC"),
        "transparency": "transparent",
        "visibility": "private",
        "reminders": {"useDefault": False},
    }
