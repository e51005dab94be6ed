"""The demo's people, services and calendars: realistic weeks with everything that makes calendars hard."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

OPERATORS: dict[str, dict[str, str]] = {
    "anna": {"name": "Anna Kovács", "email": "anna@practice.example", "timezone": "Europe/Budapest", "language": "hu"},
    "ben": {"name": "Ben Carter", "email": "ben@practice.example", "timezone": "Europe/London", "language": "en"},
    "chloe": {"name": "Chloé Martin", "email": "chloe@practice.example", "timezone": "Europe/Paris", "language": "en"},
}

CALENDARS: dict[str, dict[str, str]] = {
    "anna": {"busy": "Private", "bookings": "Practice"},
    "ben": {"busy": "Private", "bookings": "Practice"},
    "chloe": {"busy": "Private", "availability": "Open hours", "bookings": "Classes"},
}

PROVIDERS = {"anna": "caldav", "ben": "google", "chloe": "microsoft"}

_WEEK = {day: ["09:00-12:00", "13:00-17:00"] for day in ("mon", "tue", "wed", "thu", "fri")}

SERVICES: dict[str, dict[str, dict[str, Any]]] = {
    "anna": {
        "consultation": {
            "title": "Consultation",
            "description": "Fifty minutes to talk about what is on your mind.",
            "duration_minutes": 50,
            "start_every_minutes": 60,
            "buffer_after_minutes": 10,
            "cancellation_grace_seconds": 0,
            "place": "Main street 1, Budapest",
            "hours": _WEEK,
            "texts": {
                "hu": {"title": "Konzultáció", "description": "Ötven perc arról, ami foglalkoztatja.", "place": "Fő utca 1., Budapest"},
                "de": {"title": "Beratung", "description": "Fünfzig Minuten für das, was Sie beschäftigt."},
            },
            "fields": [{"name": "phone", "type": "phone", "label": {"en": "Phone", "hu": "Telefon", "de": "Telefon", "fr": "Téléphone", "es": "Teléfono", "it": "Telefono", "ar": "الهاتف"}}],
        }
    },
    "ben": {
        "first-session": {
            "title": "First session",
            "description": "Half an hour to get to know each other.",
            "duration_minutes": 30,
            "start_every_minutes": 30,
            "confirmation": "approval",
            "cancellation_grace_seconds": 0,
            "place": "12 Canal Walk, London",
            "hours": {day: ["10:00-16:00"] for day in ("mon", "tue", "wed", "thu")},
        }
    },
    "chloe": {
        "morning-yoga": {
            "title": "Morning yoga",
            "description": "An hour of yoga in a small group. Bring a mat.",
            "duration_minutes": 60,
            "capacity": 8,
            "cancellation_grace_seconds": 0,
            "place": "Studio Rivière, Paris",
            "calendar_openings": True,
            "texts": {"fr": {"title": "Yoga du matin", "description": "Une heure de yoga en petit groupe. Apportez votre tapis."}},
        }
    },
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class DemoEvent:
    """An event of an operator's own life. key: names it for ever. start, end: wall time in ``zone``, or dates (end
    exclusive). rule: the value of an RRULE."""

    key: str
    title: str
    start: datetime | date
    end: datetime | date
    zone: str
    rule: str = ""
    tentative: bool = False
    free: bool = False

    @property
    def all_day(self) -> bool:
        """Whole days?"""
        return not isinstance(self.start, datetime)


def events_of(slug: str, now: datetime) -> dict[str, list[DemoEvent]]:
    """Role → the operator's own events, from this week's Monday on."""
    zone = OPERATORS[slug]["timezone"]
    monday = now.astimezone(ZoneInfo(zone)).date()
    monday -= timedelta(days=monday.weekday())

    def timed(
        day: int, start: str, hours: float, title: str, rule: str = "", tz: str = zone, **more: bool
    ) -> DemoEvent:
        begin = datetime.combine(monday + timedelta(days=day), datetime.strptime(start, "%H:%M").time())  # noqa: DTZ007 - wall time
        return DemoEvent(key(), title, begin, begin + timedelta(hours=hours), tz, rule, **more)

    def whole_days(day: int, days: int, title: str) -> DemoEvent:
        first = monday + timedelta(days=day)
        return DemoEvent(key(), title, first, first + timedelta(days=days), zone)

    numbers = iter(range(100))

    def key() -> str:
        return f"demo{slug}{next(numbers)}"

    if slug == "chloe":
        return {
            "busy": [
                timed(1, "10:00", 2, "Physiotherapy", "FREQ=WEEKLY;COUNT=20"),
                timed(3, "18:00", 1.5, "Maybe choir", "FREQ=WEEKLY;COUNT=20", tentative=True),
                whole_days(26, 2, "Workshop in Lyon"),
            ],
            "availability": [
                timed(0, "07:00", 1, "Morning yoga - 8 seats", "FREQ=WEEKLY;BYDAY=MO,WE,FR"),
                timed(5, "09:00", 2, "Morning yoga - 8 seats", "FREQ=WEEKLY;COUNT=30"),
            ],
        }
    shift = 0 if slug == "anna" else 1
    return {
        "busy": [
            timed(shift, "09:00", 1, "Team meeting", "FREQ=WEEKLY;COUNT=26"),
            timed(2, "13:00", 1.5, "Supervision", "FREQ=WEEKLY;INTERVAL=2;COUNT=13"),
            timed(3 + shift, "15:00", 1, "Dentist"),
            timed(8, "10:00", 1, "Maybe lunch with Zoe", tentative=True),
            timed(9, "09:00", 8, "Birthday of a friend", free=True),
            timed(10, "09:00", 1, "Call with New York", tz="America/New_York"),
            whole_days(11 + shift, 1, "Day off"),
            timed(15, "14:00", 2, "Bank"),
            timed(16, "11:00", 1, "School", "FREQ=MONTHLY;COUNT=6"),
            whole_days(30, 3, "Holiday"),
        ]
    }


def as_ical(event: DemoEvent) -> bytes:
    """An object as a calendar app would write it; zones by their IANA names."""

    def moment(name: str, value: datetime | date) -> str:
        if isinstance(value, datetime):
            return f"{name};TZID={event.zone}:{value:%Y%m%dT%H%M%S}"
        return f"{name};VALUE=DATE:{value:%Y%m%d}"

    content = [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        "PRODID:-//Slotledger//Demo//EN",
        "BEGIN:VEVENT",
        f"UID:{event.key}",
        "DTSTAMP:20260101T000000Z",
        moment("DTSTART", event.start),
        moment("DTEND", event.end),
        f"SUMMARY:{event.title}",
        *([f"RRULE:{event.rule}"] if event.rule else []),
        *(["STATUS:TENTATIVE"] if event.tentative else []),
        f"TRANSP:{'TRANSPARENT' if event.free else 'OPAQUE'}",
        "END:VEVENT",
        "END:VCALENDAR",
        "",
    ]
    return "\r\n".join(content).encode()


def as_google(event: DemoEvent) -> dict[str, Any]:
    """The same as a resource of the Calendar API."""

    def moment(value: datetime | date) -> dict[str, str]:
        if isinstance(value, datetime):
            return {"dateTime": value.isoformat(), "timeZone": event.zone}
        return {"date": value.isoformat()}

    return {
        "id": event.key,
        "summary": event.title,
        "start": moment(event.start),
        "end": moment(event.end),
        **({"recurrence": [f"RRULE:{event.rule}"]} if event.rule else {}),
        **({"status": "tentative"} if event.tentative else {}),
        **({"transparency": "transparent"} if event.free else {}),
    }


_DAYS = {"MO": "monday", "TU": "tuesday", "WE": "wednesday", "TH": "thursday", "FR": "friday", "SA": "saturday", "SU": "sunday"}  # fmt: skip


def as_graph(event: DemoEvent) -> dict[str, Any]:
    """The same as `connectors.emulators.microsoft.Control.create_event` takes it; of rules the weekly ones."""
    return {
        "subject": event.title,
        "start": event.start.isoformat(),
        "end": event.end.isoformat(),
        "zone": event.zone,
        "all_day": event.all_day,
        "show_as": "tentative" if event.tentative else "free" if event.free else "busy",
        "recurrence": _graph_rule(event) if event.rule else None,
    }


def _graph_rule(event: DemoEvent) -> dict[str, Any]:
    rule = dict(part.split("=") for part in event.rule.split(";"))
    if rule["FREQ"] != "WEEKLY":
        raise ValueError("only weekly rules are written for Graph")
    days = [_DAYS[day] for day in rule["BYDAY"].split(",")] if "BYDAY" in rule else [f"{event.start:%A}".lower()]
    limits: dict[str, Any] = {"type": "noEnd", "startDate": f"{event.start:%Y-%m-%d}"}
    if "COUNT" in rule:
        limits |= {"type": "numbered", "numberOfOccurrences": int(rule["COUNT"])}
    pattern = {
        "type": "weekly",
        "interval": int(rule.get("INTERVAL", 1)),
        "daysOfWeek": days,
        "firstDayOfWeek": "monday",
    }
    return {"pattern": pattern, "range": limits}
