"""What the emulated Google knows: people, calendars, events, and the switches for what nobody is sure of."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import threading
import time
from collections import deque
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from connectors.emulators.google.answers import Json, not_found

ROLES = ("none", "freeBusyReader", "reader", "writerWithoutPrivateAccess", "writer", "owner")


@dataclass(slots=True)
class Rules:
    """Behaviour that rests on reports or guesses (marks (R) and UNVERIFIED); clients must live with either."""

    stubs: str = "minimal"  # "minimal": only what is guaranteed (A4) | "full": fields remain, times untrue
    delta_outside_window: bool = True  # H1: a token of a timeMin-limited listing brings changes of any time
    deleted_id_refused: bool = True  # A6: the id of a deleted event stays taken
    write_to_deleted: str = "refuse"  # H2: "refuse" with 403 | "restore"
    move_keeps_id: bool = False  # H4
    not_exists_message: bool = True  # H5: channels of a deleted calendar hear not_exists
    stop_unknown: int = 404  # A8: answer to channels.stop of an unknown channel; 204 in the other position
    duplicate_channel_refused: bool = True  # A8: channelIdNotUnique
    uid_search_lists_stubs: bool = True  # does events.list?iCalUID= bring cancelled instances
    exception_touches_master: bool = False  # does a changed instance change its master's etag, and list it
    expansion_days: int = 730  # H3: horizon of singleEvents=true
    split_ids: bool = True  # A3: "this and following" makes <master>_R<start>
    conference_async: bool = False  # A6: pending in the answer, success when read again
    empty_pages: bool = False  # A2: a page without items may come in between
    move_keeps_private: bool = True  # F2: private properties go along with a move


@dataclass(slots=True)
class StoredEvent:
    """One event as stored. resource: without kind, etag and what depends on the viewer. version: of its calendar."""

    resource: Json
    version: int
    etag: str

    @property
    def id(self) -> str:
        """The event's id."""
        return str(self.resource["id"])

    @property
    def cancelled(self) -> bool:
        """Deleted, or a cancelled instance."""
        return self.resource.get("status") == "cancelled"

    @property
    def master_id(self) -> str:
        """The series that this is an exception of, or ``""``."""
        return str(self.resource.get("recurringEventId", ""))


@dataclass(slots=True)
class StoredCalendar:
    """One calendar. version counts changes; floor: tokens older than it, or of another generation, have expired."""

    id: str
    summary: str
    timezone: str
    owner: str
    acl: dict[str, str] = field(default_factory=dict)
    color: str = "#9fe1e7"
    events: dict[str, StoredEvent] = field(default_factory=dict)
    version: int = 0
    floor: int = 0
    generation: int = 0
    deleted: bool = False

    def role(self, email: str) -> str:
        """The access role of a person, ``none`` if there is none."""
        return "owner" if email == self.owner else self.acl.get(email, "none")


@dataclass(slots=True)
class Person:
    """A Google account. sub: its unchanging name."""

    email: str
    name: str
    sub: str


class World:
    """All of it, under one lock. path: a JSON file that survives a restart, or None."""

    def __init__(self, path: Path | None = None) -> None:
        self.lock = threading.RLock()
        self.path = path
        self.rules = Rules()
        self.clock_offset = 0.0
        self.log: deque[Json] = deque(maxlen=20_000)
        self.unexpected: list[str] = []
        self.changed = threading.Event()
        self.reset()
        if path and path.exists():
            self._load(json.loads(path.read_text()))

    def reset(self) -> None:
        """Forget everything but the switches."""
        with self.lock:
            self.people: dict[str, Person] = {}
            self.calendars: dict[str, StoredCalendar] = {}
            self.mails: list[Json] = []
            self.grants: dict[str, Json] = {}
            self.counter = 3_181_161_784_712_000
            self.pages: dict[str, Json] = {}
            self.log.clear()
            self.unexpected.clear()
            self.changed.set()

    def now(self) -> datetime:
        """The emulated time."""
        return datetime.fromtimestamp(time.time() + self.clock_offset, UTC)

    def person(self, email: str, name: str = "") -> Person:
        """A person, made with a primary calendar if unknown."""
        with self.lock:
            if email not in self.people:
                sub = str(int(hashlib.sha256(email.encode()).hexdigest()[:16], 16))
                self.people[email] = Person(email, name or email.split("@")[0], sub)
                self.changed.set()
            return self.people[email]

    def add_calendar(self, calendar: StoredCalendar) -> StoredCalendar:
        """A new calendar; one of the same id is replaced."""
        with self.lock:
            self.person(calendar.owner)
            self.calendars[calendar.id] = calendar
            self.changed.set()
            return calendar

    def calendar(self, calendar_id: str, email: str) -> StoredCalendar:
        """A calendar that the person can see, ``primary`` included. Raises `ApiError` 404."""
        found = self.calendars.get(email if calendar_id == "primary" else calendar_id)
        if found is None or found.deleted or found.role(email) == "none":
            raise not_found()
        return found

    def put(self, calendar: StoredCalendar, resource: Json) -> StoredEvent:
        """Store a new state of an event: new etag, new version of the calendar, new ``updated``."""
        self.counter += 2
        calendar.version += 1
        resource["updated"] = millis(self.now())
        stored = StoredEvent(resource, calendar.version, f'"{self.counter}"')
        calendar.events[str(resource["id"])] = stored
        self.changed.set()
        return stored

    def exceptions(self, calendar: StoredCalendar, master_id: str) -> list[StoredEvent]:
        """All changed and cancelled instances of a series."""
        return [event for event in calendar.events.values() if event.master_id == master_id]

    def dump(self) -> Json:
        """The state as JSON, for a look or for a restart."""
        with self.lock:
            return copy.deepcopy(
                {
                    "counter": self.counter,
                    "people": [asdict(p) for p in self.people.values()],
                    "calendars": [asdict(c) for c in self.calendars.values()],
                    "mails": self.mails,
                    "grants": self.grants,
                }
            )

    def save(self) -> None:
        """Write the file if anything changed; whole or not at all."""
        if self.path is None or not self.changed.is_set():
            return
        self.changed.clear()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        draft = self.path.with_suffix(".new")
        draft.write_text(json.dumps(self.dump()))
        draft.chmod(0o600)
        os.replace(draft, self.path)

    def _load(self, state: Json) -> None:
        self.counter = state["counter"]
        self.people = {p["email"]: Person(**p) for p in state["people"]}
        self.mails, self.grants = state["mails"], state["grants"]
        for raw in state["calendars"]:
            events = {name: StoredEvent(**event) for name, event in raw.pop("events").items()}
            self.calendars[raw["id"]] = StoredCalendar(**raw, events=events)

    def set_rules(self, **switches: Any) -> None:
        """Turn switches. Raises TypeError for one that isn't there."""
        known = {f.name for f in fields(Rules)}
        if unknown := set(switches) - known:
            raise TypeError(f"no such rule: {', '.join(sorted(unknown))}")
        for name, value in switches.items():
            setattr(self.rules, name, value)


def millis(moment: datetime) -> str:
    """RFC 3339 with milliseconds and Z, as Google writes ``created`` and ``updated``."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03}Z"
