"""The emulated Microsoft for tests: one mailbox with three calendars, connectors into it, and the owner's other app."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from connectors.emulators.microsoft import Control, RunningEmulator, Switches, start_microsoft
from connectors.microsoft.connector import MicrosoftConnector
from connectors.microsoft.events import BOOKING_KEY
from connectors.model import Calendar, Href
from connectors.protocol import Credentials, Endpoints
from tests.support.foreign import Foreign, When
from tests.support.graph_types import Honesty

OPERATOR = "chloe@practice.example"
CLIENT_ID = "11111111-2222-3333-4444-555555555555"
ZONE = "Europe/Berlin"
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


@dataclass
class MicrosoftWorld:
    """A running emulator with one account. calendar, other: two calendars beside the default one (``primary``)."""

    emulator: RunningEmulator
    honesty: Honesty
    calendar: Calendar
    other: Calendar
    primary: Calendar
    secrets: list[str] = field(default_factory=list)
    opened: list[MicrosoftConnector] = field(default_factory=list)

    @property
    def control(self) -> Control:
        """What happens behind Microsoft's back."""
        return self.emulator.control

    @property
    def endpoints(self) -> Endpoints:
        """Our application, pointed at the emulator."""
        return endpoints(self.emulator)

    def connect(self, *, timeout: float = 10.0, scope: str = "Calendars.ReadWrite User.Read") -> MicrosoftConnector:
        """A connector with a fresh grant; rotated caches are kept in ``secrets``."""
        return self.connect_with(self.control.grant(CLIENT_ID, scope=scope), timeout=timeout)

    def connect_with(self, secret: str, *, timeout: float = 10.0, **options: Any) -> MicrosoftConnector:
        """A connector with a given cache."""
        credentials = Credentials("microsoft", secret=secret)
        made = MicrosoftConnector(credentials, self.endpoints, self.secrets.append, timeout=timeout, **options)
        self.opened.append(made)
        return made

    def token(self, scope: str = "Calendars.ReadWrite User.Read") -> str:
        """An access token."""
        cache = json.loads(self.control.grant(CLIENT_ID, scope=scope))
        (entry,) = cache["AccessToken"].values()
        return str(entry["secret"])

    def raw(self, scope: str = "Calendars.ReadWrite User.Read", prefer: str = 'IdType="ImmutableId"') -> httpx.Client:
        """A client that is not ours, for the emulator's own tests. Close it."""
        headers = {"Authorization": f"Bearer {self.token(scope)}", "Prefer": prefer}
        return httpx.Client(base_url=self.emulator.graph_root + "/v1.0", headers=headers, trust_env=False, timeout=10)

    def follow(self, client: httpx.Client, link: str) -> httpx.Response:
        """A link of Graph's, which carries the production host."""
        return client.get(self.emulator.graph_root + link.removeprefix("https://graph.microsoft.com"))

    def paths(self) -> list[str]:
        """``METHOD path`` of each request so far, without queries."""
        return [f"{asked['method']} {asked['path'].partition('?')[0]}" for asked in self.control.requests()]


def endpoints(emulator: RunningEmulator) -> Endpoints:
    """Our application at an emulator."""
    return Endpoints(
        microsoft_client_id=CLIENT_ID,
        microsoft_client_secret="secret",
        microsoft_graph_root=emulator.graph_root,
        microsoft_authority=emulator.authority,
    )


@contextmanager
def microsoft_world(*, path: Path | None = None, strict: bool = True, **switches: Any) -> Iterator[MicrosoftWorld]:
    """A fresh world. At its end nothing unexpected may have been asked (strict), nothing unknown to Graph have been
    said or sent, and the emulator not have failed."""
    honesty = Honesty()
    emulator = start_microsoft(
        path=path, accounts=[(OPERATOR, "Chloe", ZONE)], switches=Switches(**switches), observe=honesty
    )
    control = emulator.control
    primary = control.state()["accounts"][0]["calendars"][0]["id"]
    world = MicrosoftWorld(
        emulator,
        honesty,
        Calendar(control.add_calendar("Work"), "Work", ZONE),
        Calendar(control.add_calendar("Private"), "Private", ZONE),
        Calendar(primary, "Calendar", ZONE, primary=True),
    )
    try:
        yield world
        assert emulator.crashes == []
        assert honesty.violations == []
        if strict:
            assert control.unexpected() == []
    finally:
        for connector in world.opened:
            connector.close()
        emulator.stop()


class MicrosoftOperator:
    """`tests.support.foreign.Operator` by the emulator's control, which knows nothing of our connector."""

    def __init__(self, world: MicrosoftWorld) -> None:
        self.control = world.control

    def add(self, calendar: Calendar, event: Foreign) -> Href:
        """Make an event and its exceptions."""
        start, end, zone = _times(event)
        href = self.control.create_event(
            event.title,
            start,
            end,
            calendar=calendar.href,
            zone=zone,
            all_day=not isinstance(event.start, datetime),
            recurrence=_recurrence(event, start),
            **_manner(event),
        )
        self._exceptions(href, event)
        return href

    def replace(self, calendar: Calendar, href: Href, event: Foreign) -> None:
        """Change an event, and make its exceptions."""
        start, end, zone = _times(event)
        fields = {
            "subject": event.title,
            "isAllDay": not isinstance(event.start, datetime),
            "start": {"dateTime": start.isoformat(), "timeZone": zone},
            "end": {"dateTime": end.isoformat(), "timeZone": zone},
        }
        if recurrence := _recurrence(event, start):
            fields["recurrence"] = recurrence
        self.control.set_fields(href, fields)
        self._exceptions(href, event)

    def _exceptions(self, href: Href, event: Foreign) -> None:
        for original, (start, end) in event.moved.items():
            self.control.move_event(self.control.occurrence(href, _local(original)), _aware(start), _aware(end))
        for original in event.deleted:
            self.control.delete_event(self.control.occurrence(href, _local(original)))

    def move(self, calendar: Calendar, href: Href, start: datetime, end: datetime) -> None:
        """Drag to another time."""
        self.control.move_event(href, start, end)

    def delete(self, calendar: Calendar, href: Href) -> None:
        """Delete."""
        self.control.delete_event(href)

    def move_to(self, calendar: Calendar, href: Href, other: Calendar) -> None:
        """Drag to another calendar."""
        self.control.move_to_calendar(href, other.href)

    def annotate(self, calendar: Calendar, href: Href) -> None:
        """A category, a reminder and an importance of his own."""
        self.control.set_fields(
            href,
            {"categories": ["no-show"], "isReminderOn": True, "reminderMinutesBeforeStart": 25, "importance": "high"},
        )

    def annotations(self, calendar: Calendar, href: Href) -> object:
        """What of that is there."""
        (row,) = (row for row in self.control.state()["accounts"][0]["events"] if row["id"] == href)
        return [row[name] for name in ("categories", "isReminderOn", "reminderMinutesBeforeStart", "importance")]

    def copies(self, calendar: Calendar, entry_key: str) -> int:
        """Living events with our key."""
        held = set(self.control.holding(BOOKING_KEY, entry_key))
        rows = self.control.state()["accounts"][0]["events"]
        return sum(row["id"] in held and row["calendar"] == calendar.href for row in rows)

    def expire_tokens(self) -> None:
        """410 for all delta tokens."""
        self.control.expire_deltas()

    def add_broken(self, calendar: Calendar) -> None:
        """Exchange stores nothing broken."""
        raise NotImplementedError


def _manner(event: Foreign) -> dict[str, Any]:
    if event.declined or event.unanswered:
        response = "declined" if event.declined else "notResponded"
        return {"organizer": "host@elsewhere.example", "response": response, "show_as": "busy"}
    return {"show_as": "tentative" if event.tentative else "free" if event.transparent else "busy"}


def _times(event: Foreign) -> tuple[datetime, datetime, str]:
    """Local times and a zone; a monthly series at the month's end starts there."""
    zone = str(getattr(event.start, "tzinfo", None) or ZONE)
    start, end = _local(event.start), _local(event.end)
    if event.rrule.endswith("BYMONTHDAY=-1"):
        last = (start.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)
        start, end = last, last + (end - start)
    return start, end, zone


def _local(when: When) -> datetime:
    if isinstance(when, datetime):
        return when.replace(tzinfo=None)
    return datetime(when.year, when.month, when.day)


def _aware(when: When) -> datetime:
    return when.astimezone(UTC) if isinstance(when, datetime) else _local(when)


def _recurrence(event: Foreign, start: datetime) -> dict[str, Any] | None:
    if not event.rrule:
        return None
    rule = dict(part.split("=") for part in event.rrule.split(";"))
    pattern: dict[str, Any] = {"type": "daily", "interval": int(rule.get("INTERVAL", 1))}
    if rule["FREQ"] == "WEEKLY":
        pattern |= {"type": "weekly", "daysOfWeek": [_DAYS[start.weekday()]], "firstDayOfWeek": "monday"}
    elif rule["FREQ"] == "MONTHLY":
        day = 31 if rule.get("BYMONTHDAY") == "-1" else start.day
        pattern |= {"type": "absoluteMonthly", "dayOfMonth": day}
    limits: dict[str, Any] = {"type": "noEnd", "startDate": start.date().isoformat()}
    if "COUNT" in rule:
        limits |= {"type": "numbered", "numberOfOccurrences": int(rule["COUNT"])}
    return {"pattern": pattern, "range": limits}
