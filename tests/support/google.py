"""The emulated Google for tests: a small world, connectors into it, and the operator's other app."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any
from urllib.parse import quote

import google_auth_httplib2
import httplib2
import httpx
from google.oauth2.credentials import Credentials as GoogleCredentials
from googleapiclient.discovery import build_from_document
from googleapiclient.discovery_cache import get_static_doc

from connectors.emulators.google import RunningEmulator, start_google
from connectors.google.connector import GoogleConnector
from connectors.model import Calendar, Href
from connectors.protocol import Credentials, Endpoints
from tests.support.foreign import Foreign, When

OPERATOR = "ben@practice.example"
TEAM = "team@group.calendar.google.com"
ZONE = "Europe/Berlin"


@dataclass
class GoogleWorld:
    """A running emulator with one account and two calendars."""

    emulator: RunningEmulator
    secrets: list[str] = field(default_factory=list)
    opened: list[GoogleConnector] = field(default_factory=list)

    @property
    def control(self) -> Any:
        """The emulator's control, untyped so that tests may read resources freely."""
        return self.emulator.control

    @property
    def endpoints(self) -> Endpoints:
        """Our application, pointed at the emulator."""
        root = self.emulator.base_url
        return Endpoints(
            google_client_id=self.emulator.client_id,
            google_client_secret=self.emulator.client_secret,
            google_api_root=root,
            google_oauth_root=root,
        )

    @property
    def calendar(self) -> Calendar:
        """The operator's primary calendar."""
        return Calendar(OPERATOR, "Ben", ZONE, primary=True)

    @property
    def team(self) -> Calendar:
        """His second one."""
        return Calendar(TEAM, "Team", ZONE)

    def connect(self, *, timeout: float = 5.0, retries: int = 0, scopes: list[str] | None = None) -> GoogleConnector:
        """A connector with a fresh grant; rotated secrets are kept in ``secrets``."""
        secret = json.dumps(self.emulator.control.grant(OPERATOR, scopes))
        return self.connect_with(secret, timeout=timeout, retries=retries)

    def connect_with(self, secret: str, *, timeout: float = 5.0, retries: int = 0) -> GoogleConnector:
        """A connector with a given secret."""
        credentials = Credentials("google", secret=secret)
        made = GoogleConnector(credentials, self.endpoints, self.secrets.append, timeout=timeout, retries=retries)
        self.opened.append(made)
        return made

    def refill(self) -> None:
        """Two empty calendars, and nobody else's leftovers."""
        self.emulator.control.reset()
        self.emulator.control.add_person(OPERATOR, "Ben", ZONE)
        self.emulator.control.add_calendar(TEAM, OPERATOR, "Team", ZONE)


@contextmanager
def google_world() -> Iterator[GoogleWorld]:
    """A fresh world; all connectors that it opened are closed at its end, and nothing unexpected may have happened."""
    with start_google() as emulator:
        world = GoogleWorld(emulator)
        world.refill()
        try:
            yield world
            emulator.control.assert_no_unexpected()
        finally:
            for connector in world.opened:
                connector.close()


class GoogleOperator:
    """`tests.support.foreign.Operator` by the emulator's control, which knows nothing of our connector."""

    def __init__(self, world: GoogleWorld) -> None:
        self.control = world.control

    def add(self, calendar: Calendar, event: Foreign) -> Href:
        """Make an event and its exceptions."""
        href: Href = self.control.insert(calendar.href, _body(calendar, event))
        self._exceptions(calendar, href, event)
        return href

    def replace(self, calendar: Calendar, href: Href, event: Foreign) -> None:
        """Change an event, and make its exceptions."""
        body = _body(calendar, event)
        for name in ("start", "end"):  # a patch keeps what it doesn't name
            body[name] = {"date": None, "dateTime": None, "timeZone": None} | body[name]
        self.control.edit(calendar.href, href, **body)
        self._exceptions(calendar, href, event)

    def _exceptions(self, calendar: Calendar, href: Href, event: Foreign) -> None:
        for original, (start, end) in event.moved.items():
            self.control.move_occurrence(calendar.href, href, original, start, end)
        for original in event.deleted:
            self.control.delete_occurrence(calendar.href, href, original)

    def move(self, calendar: Calendar, href: Href, start: datetime, end: datetime) -> None:
        """Drag to another time."""
        self.control.move_time(calendar.href, href, start, end)

    def delete(self, calendar: Calendar, href: Href) -> None:
        """Delete."""
        self.control.delete(calendar.href, href)

    def move_to(self, calendar: Calendar, href: Href, other: Calendar) -> None:
        """Drag to another calendar."""
        self.control.move_calendar(calendar.href, href, other.href)

    def annotate(self, calendar: Calendar, href: Href) -> None:
        """A colour, a reminder and a property of his own."""
        self.control.edit(
            calendar.href,
            href,
            colorId="7",
            reminders={"useDefault": False, "overrides": [{"method": "popup", "minutes": 15}]},
            extendedProperties={"private": {"room": "3"}},
        )

    def annotations(self, calendar: Calendar, href: Href) -> object:
        """What of that is there."""
        event = self.control.event(calendar.href, href)
        room = event["extendedProperties"]["private"].get("room")
        return (event.get("colorId"), event["reminders"].get("overrides"), room)

    def copies(self, calendar: Calendar, entry_key: str) -> int:
        """Living events with our key."""
        return sum(
            event.get("extendedProperties", {}).get("private", {}).get("slotledger") == entry_key
            for event in self.control.events(calendar.href)
        )

    def expire_tokens(self) -> None:
        """410 for all tokens."""
        self.control.expire_sync_tokens()

    def add_broken(self, calendar: Calendar) -> None:
        """An event whose times nobody can read."""
        resource = {"id": "brokenbroken", "iCalUID": "broken@google.com", "status": "confirmed", "summary": "Odd"}
        resource |= {"start": {"timeZone": ZONE}, "end": {"timeZone": ZONE}}  # type: ignore[dict-item]
        self.control.plant(calendar.href, resource)


def _body(calendar: Calendar, event: Foreign) -> dict[str, Any]:
    body: dict[str, Any] = {"summary": event.title, "start": _time(event.start), "end": _time(event.end)}
    if event.rrule:
        body["recurrence"] = [f"RRULE:{event.rrule}"]
    if event.tentative:
        body["status"] = "tentative"
    if event.transparent:
        body["transparency"] = "transparent"
    if event.declined or event.unanswered:
        answer = "declined" if event.declined else "needsAction"
        body["attendees"] = [
            {"email": "host@elsewhere.example", "responseStatus": "accepted"},
            {"email": calendar.href, "responseStatus": answer},
        ]
    return body


def _time(when: When) -> dict[str, str]:
    if not isinstance(when, datetime):
        assert isinstance(when, date)
        return {"date": when.isoformat()}
    zone = "UTC" if when.tzinfo is UTC else str(when.tzinfo)
    return {"dateTime": when.isoformat(), "timeZone": zone}


class RawGoogle:
    """The API without any library, for what a library would refuse to send; and with Google's own, unmodified."""

    def __init__(self, world: GoogleWorld, scopes: list[str] | None = None, email: str = OPERATOR) -> None:
        token = world.control.grant(email, scopes)["access_token"]
        self.http = httpx.Client(
            base_url=world.emulator.base_url,
            headers={"Authorization": f"Bearer {token}"},
            trust_env=False,
            timeout=10,
        )
        document = json.loads(get_static_doc("calendar", "v3"))
        document["rootUrl"] = world.emulator.base_url + "/"
        self.transport = httplib2.Http(timeout=10, proxy_info=None)
        authorized = google_auth_httplib2.AuthorizedHttp(google_credentials(token), http=self.transport)
        self.service = build_from_document(document, http=authorized)

    def events(self, method: str = "GET", path: str = "", calendar: str = OPERATOR, **given: Any) -> httpx.Response:
        """One call at calendars/{calendar}/events{path}."""
        return self.http.request(method, f"/calendar/v3/calendars/{quote(calendar)}/events{path}", **given)

    def close(self) -> None:
        """Close both."""
        self.http.close()
        self.transport.close()


def google_credentials(token: str) -> Any:
    """An access token that nobody refreshes."""
    return GoogleCredentials(token=token)


def reason(answer: httpx.Response) -> tuple[int, str]:
    """Status and reason of an error."""
    return answer.status_code, answer.json()["error"]["errors"][0]["reason"]
