"""What the emulated mailboxes hold: accounts, calendars, every version of every event, tokens, mails."""

from __future__ import annotations

import base64
import json
import secrets
import threading
import time
import uuid
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from connectors.emulators.microsoft.switches import Switches
from connectors.emulators.microsoft.wire import Fault, Json

_KEEP_VERSIONS = 120.0


@dataclass
class Account:
    """One mailbox. zone: of the owner, IANA."""

    oid: str
    tid: str
    email: str
    name: str
    zone: str


@dataclass
class StoredCalendar:
    """One calendar. alive: False after it was deleted."""

    id: str
    owner: str
    name: str
    default: bool = False
    writable: bool = True
    alive: bool = True
    change: int = 0


@dataclass(frozen=True)
class StoredEvent:
    """One version of one event; a change makes a new version.

    key: immutable id. plain: the other id, which changes with the calendar. content: Graph's fields as written.
    exceptions: original local start → changed fields. cancelled: original starts of deleted occurrences. left:
    calendar → number of the change by which it left it. seq: number of its last change.
    """

    key: str
    plain: str
    owner: str
    calendar: str
    content: Json
    created: float
    modified: float
    seq: int
    at: float
    properties: dict[str, str] = field(default_factory=dict)
    exceptions: dict[str, Json] = field(default_factory=dict)
    cancelled: tuple[str, ...] = ()
    left: dict[str, int] = field(default_factory=dict)
    deleted: bool = False
    purged: bool = False

    @property
    def recurring(self) -> bool:
        """Is it a series?"""
        return bool(self.content.get("recurrence"))


def new_id(prefix: str) -> str:
    """An id with all the characters that need quoting."""
    text = base64.b64encode(secrets.token_bytes(51)).decode()
    return f"{prefix}{text[:40]}/+{text[40:66]}AAA="


class Store:
    """Everything, under one lock. path: a JSON file that survives restarts, or None."""

    def __init__(self, switches: Switches, path: Path | None = None) -> None:
        self.lock = threading.RLock()
        self.switches = switches
        self.path = path
        self.dirty = False
        self.offset = 0.0
        self.clear()
        if path is not None and path.exists():
            self._load(json.loads(path.read_text("utf-8")))

    def clear(self) -> None:
        """Forget everything; delta tokens of before are no longer known."""
        self.accounts: dict[str, Account] = {}
        self.calendars: dict[str, StoredCalendar] = {}
        self.versions: dict[str, list[StoredEvent]] = {}
        self.history: dict[str, list[StoredEvent]] = {}
        self.plain: dict[str, str] = {}
        self.seq = 0
        self.epoch = secrets.token_hex(6)
        self.delta_generation = 0
        self.mails: list[Json] = []
        self.refresh_tokens: dict[str, Json] = {}
        self.access_tokens: dict[str, Json] = {}
        self.subscriptions: dict[str, Json] = {}
        self.dirty = True

    # -- time ----------------------------------------------------------------------------------------------------

    def now(self) -> float:
        """Seconds since 1970 by the emulator's clock."""
        return time.time() + self.offset

    def instant(self) -> datetime:
        """The same, as a datetime."""
        return datetime.fromtimestamp(self.now(), UTC)

    # -- accounts and calendars ----------------------------------------------------------------------------------

    def add_account(self, email: str, name: str, zone: str) -> Account:
        """A mailbox with its default calendar."""
        with self.lock:
            account = Account(str(uuid.uuid4()), str(uuid.uuid4()), email.lower(), name, zone)
            self.accounts[account.oid] = account
            self.add_calendar(account.oid, "Calendar", default=True)
            return account

    def account_by_email(self, email: str = "") -> Account:
        """By address; the first one if none is named. Raises `Fault` 404."""
        for account in self.accounts.values():
            if not email or account.email == email.lower():
                return account
        raise Fault(404, "ResourceNotFound", f"no account {email}")

    def add_calendar(self, owner: str, name: str, *, default: bool = False, writable: bool = True) -> StoredCalendar:
        """One more calendar."""
        with self.lock:
            calendar = StoredCalendar(new_id("AAMkAC"), owner, name, default, writable, True, self.tick())
            self.calendars[calendar.id] = calendar
            return calendar

    def calendars_of(self, owner: str) -> list[StoredCalendar]:
        """Living calendars, the default one first."""
        return sorted((c for c in self.calendars.values() if c.owner == owner and c.alive), key=lambda c: not c.default)

    def calendar(self, owner: str, calendar_id: str | None) -> StoredCalendar:
        """By id; None is the default one. Raises `Fault` 404."""
        for calendar in self.calendars_of(owner):
            if calendar.id == calendar_id or (calendar_id is None and calendar.default):
                return calendar
        raise Fault(404, "ErrorItemNotFound", "The specified object was not found in the store.")

    # -- events ----------------------------------------------------------------------------------------------------

    def tick(self) -> int:
        """The number of the next change."""
        self.seq += 1
        self.dirty = True
        return self.seq

    def put(self, event: StoredEvent, **changes: Any) -> StoredEvent:
        """A new version."""
        now = self.now()
        event = replace(event, seq=self.tick(), modified=now, at=now, **changes)
        versions = self.versions.setdefault(event.key, [])
        versions.append(event)
        while len(versions) > 1 and versions[1].at < now - _KEEP_VERSIONS:
            versions.pop(0)
        self.history.setdefault(event.key, []).append(event)
        self.plain[event.plain] = event.key
        return event

    def at(self, key: str, seq: int) -> StoredEvent | None:
        """The version of an event after that change; None if it wasn't there yet (or this process doesn't remember)."""
        return next((version for version in reversed(self.history.get(key, [])) if version.seq <= seq), None)

    def seen(self, key: str, *, lagging: bool) -> StoredEvent | None:
        """The version that a reader sees. lagging: through a listing."""
        versions = self.versions.get(key, [])
        if not lagging or not self.switches.lag_seconds:
            return versions[-1] if versions else None
        limit = self.now() - self.switches.lag_seconds
        return next((version for version in reversed(versions) if version.at <= limit), None)

    def all_seen(self, owner: str, *, lagging: bool = True) -> list[StoredEvent]:
        """Every event of an account that a reader sees, deleted ones too."""
        if not self.switches.lag_seconds:
            return [versions[-1] for versions in self.versions.values() if versions[-1].owner == owner]
        found = (self.seen(key, lagging=lagging) for key in self.versions)
        return [event for event in found if event is not None and event.owner == owner]

    def key_of(self, some_id: str) -> str | None:
        """The immutable id for either id."""
        if some_id in self.versions:
            return some_id
        key = self.plain.get(some_id)
        return key if key and self.versions[key][-1].plain == some_id else None

    def mail(self, owner: str, kind: str, recipients: list[str], subject: str) -> None:
        """What Exchange would have sent."""
        for recipient in recipients:
            at = self.instant().isoformat()
            self.mails.append(
                {"at": at, "from": self.accounts[owner].email, "to": recipient, "kind": kind, "subject": subject}
            )

    # -- survival --------------------------------------------------------------------------------------------------

    def save(self) -> None:
        """Write the file if something changed."""
        if self.path is None:
            return
        with self.lock:
            if not self.dirty:
                return
            self.dirty = False
            state = {
                "seq": self.seq,
                "epoch": self.epoch,
                "delta_generation": self.delta_generation,
                "offset": self.offset,
                "accounts": [asdict(account) for account in self.accounts.values()],
                "calendars": [asdict(calendar) for calendar in self.calendars.values()],
                "events": [asdict(versions[-1]) for versions in self.versions.values()],
                "mails": self.mails,
                "refresh_tokens": self.refresh_tokens,
                "access_tokens": self.access_tokens,
                "subscriptions": self.subscriptions,
            }
            text = json.dumps(state, ensure_ascii=False)
            self.path.parent.mkdir(parents=True, exist_ok=True)
            fresh = self.path.with_suffix(".new")
            fresh.write_text(text, "utf-8")
            fresh.replace(self.path)

    def _load(self, state: Json) -> None:
        for row in state["accounts"]:
            self.accounts[row["oid"]] = Account(**row)
        for row in state["calendars"]:
            self.calendars[row["id"]] = StoredCalendar(**row)
        for row in state["events"]:
            event = StoredEvent(**{**row, "cancelled": tuple(row["cancelled"])})
            self.versions[event.key] = [event]
            self.plain[event.plain] = event.key
        for name in ("seq", "epoch", "delta_generation", "offset", "mails"):
            setattr(self, name, state[name])
        for name in ("refresh_tokens", "access_tokens", "subscriptions"):
            setattr(self, name, state[name])
        self.dirty = False
