"""What tests and the demo do to the emulated Google: play the operator, turn switches, break things, look inside.

Each public method of `Control` is also ``POST /_ctl/<name>`` with its keywords as a JSON object and its result as JSON
(``GET`` for those without keywords). Times are RFC 3339 strings or aware datetimes, days ``YYYY-MM-DD``.
"""

from __future__ import annotations

import copy
from datetime import UTC, date, datetime, timedelta
from typing import Any

from connectors.emulators.google import series
from connectors.emulators.google.answers import Json
from connectors.emulators.google.faults import Fault
from connectors.emulators.google.oauth import Accounts
from connectors.emulators.google.resources import rendered
from connectors.emulators.google.store import StoredCalendar, World
from connectors.emulators.google.watch import Push
from connectors.emulators.google.writes import Writes

When = str | datetime | date


class Control:
    """The operator and the machinery. An event is named by its calendar's id and its own."""

    def __init__(self, world: World, accounts: Accounts, push: Push) -> None:
        self._world, self._accounts, self._push = world, accounts, push
        self._faults: list[Fault] = []

    # -- the world -----------------------------------------------------------------------------------------------

    def reset(self) -> None:
        """Forget all people, calendars, mails, faults and channels; the switches stay."""
        with self._world.lock:
            self._world.reset()
            self._push.channels.clear()
            self._push.sent.clear()
            self._faults.clear()
            self._accounts.access.clear()

    def add_person(self, email: str, name: str = "", timezone: str = "Europe/Berlin") -> str:
        """An account with its primary calendar, whose id is the address. Returns the id."""
        self._world.person(email, name)
        return self.add_calendar(email, email, name or email, timezone)

    def add_calendar(
        self, calendar_id: str, owner: str, summary: str, timezone: str = "Europe/Berlin", color: str = "#9fe1e7"
    ) -> str:
        """One more calendar of a person. Returns its id."""
        self._world.add_calendar(StoredCalendar(calendar_id, summary, timezone, owner, color=color))
        return calendar_id

    def seed(self, people: list[Json] | None = None, calendars: list[Json] | None = None) -> None:
        """People ``{email, name, timezone}``; calendars ``{id, owner, summary, timezone, events: [bodies]}``. What is
        there already stays as it is."""
        for person in people or ():
            if person["email"] not in self._world.calendars:
                self.add_person(**person)
        for item in calendars or ():
            item = dict(item)
            events, calendar_id = item.pop("events", []), item.pop("id")
            if calendar_id not in self._world.calendars:
                self.add_calendar(calendar_id, **item)
            for body in events:
                if body.get("id") not in self._world.calendars[calendar_id].events:
                    self.insert(calendar_id, body)

    def grant(self, email: str, scopes: list[str] | None = None) -> Json:
        """The content of a stored secret, as if this person had consented."""
        return self._accounts.grant(email, scopes)

    # -- the operator --------------------------------------------------------------------------------------------

    def insert(self, calendar: str, body: Json) -> str:
        """Any event by its resource. Returns its id."""
        return str(self._done(calendar, lambda writes: writes.insert(body))["id"])

    def plant(self, calendar: str, resource: Json) -> None:
        """Store a resource as it is, unchecked: what Google would never make. Its id must be given."""
        with self._world.lock:
            self._world.put(self._calendar(calendar), dict(resource))
        self._push.changed(calendar)

    def create(self, calendar: str, title: str, start: When, end: When, **fields: Any) -> str:
        """A timed or all-day event, also with ``recurrence``, ``attendees``, ``transparency`` … Returns its id."""
        zone = self._calendar(calendar).timezone
        body = {"summary": title, "start": _time(start, zone), "end": _time(end, zone)} | fields
        return self.insert(calendar, body)

    def edit(self, calendar: str, event: str, **fields: Any) -> None:
        """Change any fields; of an instance by its id this makes an exception."""
        self._done(calendar, lambda writes: writes.patch(event, fields))

    def move_time(self, calendar: str, event: str, start: When, end: When) -> None:
        """Drag it to another time, or make it all-day or timed by the kind of the values."""
        zone = self._calendar(calendar).timezone
        times = {"start": _nulled(_time(start, zone)), "end": _nulled(_time(end, zone))}
        self._done(calendar, lambda writes: writes.patch(event, times))

    def move_calendar(self, calendar: str, event: str, to: str) -> str:
        """Put it into another calendar. Returns its id there."""
        target = self._calendar(to)
        moved: Json = self._done(calendar, lambda writes: writes.move(event, target))
        self._push.changed(to)
        return str(moved["id"])

    def copy_calendar(self, calendar: str, event: str, to: str) -> str:
        """Copy it, private properties included, as an import does. Returns the copy's id."""
        body = copy.deepcopy(self._calendar(calendar).events[event].resource)
        for name in ("id", "iCalUID"):
            body.pop(name)
        return self.insert(to, body)

    def delete(self, calendar: str, event: str) -> None:
        """Delete an event or a whole series."""
        self._done(calendar, lambda writes: writes.delete(event))

    def restore(self, calendar: str, event: str) -> None:
        """Take it out of the bin: the same id, confirmed again."""
        with self._world.lock:
            found = self._calendar(calendar)
            self._world.put(found, copy.deepcopy(found.events[event].resource) | {"status": "confirmed"})
        self._push.changed(calendar)

    def purge(self, calendar: str, event: str) -> None:
        """Empty the bin: 404 from now on; tokens older than this have expired."""
        with self._world.lock:
            found = self._calendar(calendar)
            del found.events[event]
            found.floor = found.version

    def occurrences(self, calendar: str, event: str, begin: When, end: When) -> list[Json]:
        """Instances of a series in a range: ``{id, start, end}``, exceptions not looked at."""
        found = self._calendar(calendar)
        master = found.events[event].resource
        low, high = _moment(begin, found.timezone), _moment(end, found.timezone)
        return [
            {
                "id": series.instance_id(event, i.original, found.timezone),
                "start": i.start.isoformat(),
                "end": i.end.isoformat(),
            }
            for i in series.expand(master, found.timezone, low, high)
        ]

    def delete_occurrence(self, calendar: str, event: str, start: When) -> None:
        """Delete "only this one", named by its original start."""
        self.delete(calendar, self._instance(calendar, event, start))

    def move_occurrence(self, calendar: str, event: str, original: When, start: When, end: When) -> str:
        """Drag "only this one". Returns the id of the exception."""
        name = self._instance(calendar, event, original)
        self.move_time(calendar, name, start, end)
        return name

    def end_series(self, calendar: str, event: str, before: When) -> None:
        """Delete "this and following", from the named instance on."""
        found = self._calendar(calendar)
        master = found.events[event].resource
        at = _moment(before, found.timezone)
        lines = series.cut(master["recurrence"], at, "date" in master["start"])
        self._done(calendar, lambda writes: writes.patch(event, {"recurrence": lines}))
        with self._world.lock:
            for exception in self._world.exceptions(found, event):
                if series.moment(exception.resource["originalStartTime"], found.timezone) >= at:
                    self._world.put(found, copy.deepcopy(exception.resource) | {"status": "cancelled"})

    def split_series(self, calendar: str, event: str, since: When, start: When, end: When) -> str:
        """Change "this and following": the old series ends before ``since``, a new one begins at ``start``. Returns the
        new id, which looks like ``<master>_R<start>`` (A3, by a switch)."""
        found = self._calendar(calendar)
        master = copy.deepcopy(found.events[event].resource)
        self.end_series(calendar, event, since)
        lines = [line.split(";COUNT=")[0] for line in master["recurrence"]]
        made = self.create(calendar, master.get("summary", ""), start, end, recurrence=lines)
        if self._world.rules.split_ids:
            with self._world.lock:
                stored = found.events.pop(made)
                stamp = _moment(start, found.timezone).strftime("%Y%m%dT%H%M%S")
                made = stored.resource["id"] = f"{event}_R{stamp}"
                stored.resource["iCalUID"] = f"{made}@google.com"
                found.events[made] = stored
        return made

    def answer(self, calendar: str, event: str, email: str, response: str) -> None:
        """An attendee (the client, or the operator) answers: accepted, declined, tentative, needsAction."""
        with self._world.lock:
            found = self._calendar(calendar)
            resource = copy.deepcopy(found.events[event].resource)
            for attendee in resource.get("attendees", ()):
                if attendee["email"].lower() == email.lower():
                    attendee["responseStatus"] = response
            self._world.put(found, resource)
        self._push.changed(calendar)

    def make_all_day(self, calendar: str, event: str, day: When) -> None:
        """Tick "all day"."""
        first = _day(day)
        self.move_time(calendar, event, first, first + timedelta(days=1))

    def set_access(self, calendar: str, email: str, role: str) -> None:
        """Share with a role of A9, or take access away with ``none``; tokens of that calendar expire."""
        with self._world.lock:
            found = self._world.calendars[calendar]
            if email == found.owner:
                found.owner = "somebody@else.example" if role != "owner" else email
            found.acl[email] = role
            found.generation += 1
            if role == "owner":
                found.owner = email
            self._world.person(found.owner)

    def delete_calendar(self, calendar: str) -> None:
        """Delete a whole calendar."""
        with self._world.lock:
            self._world.calendars[calendar].deleted = True
        if self._world.rules.not_exists_message:
            self._push.changed(calendar, "not_exists")

    def undelete_calendar(self, calendar: str) -> None:
        """Bring a deleted calendar back, as an administrator can."""
        self._world.calendars[calendar].deleted = False

    # -- the machinery -------------------------------------------------------------------------------------------

    def rules(self, **switches: Any) -> None:
        """Turn switches of `store.Rules`."""
        self._world.set_rules(**switches)

    def advance(self, seconds: float) -> str:
        """Move the emulated clock. Returns its time."""
        self._world.clock_offset += seconds
        return self._world.now().isoformat()

    def fault(self, action: str, **rule: Any) -> None:
        """Add a fault (see `faults`): ``fault("commit_then_close", method="POST", path="/events$", count=1)``."""
        with self._world.lock:
            self._faults.append(Fault.of(action, **rule))

    def clear_faults(self) -> None:
        """All faults off."""
        with self._world.lock:
            self._faults.clear()

    def faults(self) -> list[Json]:
        """The faults and how often each acted."""
        return [{"action": f.action, "method": f.method, "path": f.path, "hits": f.hits} for f in self._faults]

    def matching_fault(self, request: Any, raw_query: str) -> Fault | None:
        """The first fault that acts on a request."""
        with self._world.lock:
            return next((f for f in self._faults if f.matches(request, raw_query)), None)

    def push(self, mode: str = "deliver", *, allow_http: bool = True, wrong_token: bool = False) -> None:
        """How notifications go: deliver, suppress, duplicate, hold."""
        if mode not in ("deliver", "suppress", "duplicate", "hold"):
            raise ValueError(f"no such mode: {mode}")
        self._push.mode, self._push.allow_http, self._push.wrong_token = mode, allow_http, wrong_token

    def release(self, *, reverse: bool = False) -> int:
        """Send held notifications."""
        return self._push.release(reverse=reverse)

    def notifications(self) -> list[Json]:
        """What was sent, once all of it has been: ``{channel, state, status}``."""
        self._push.settle()
        return list(self._push.sent)

    def channels(self) -> list[Json]:
        """Open channels."""
        return [
            {"id": c.id, "calendar": c.calendar, "address": c.address, "expires": c.expires}
            for c in self._push.channels.values()
        ]

    def expire_channels(self) -> None:
        """Every channel dies now."""
        self._push.channels.clear()

    def expire_sync_tokens(self, calendar: str = "") -> None:
        """Every sync token of one calendar, or of all, is answered with 410 from now on."""
        with self._world.lock:
            for found in self._world.calendars.values():
                if calendar in ("", found.id):
                    found.generation += 1

    def expire_pages(self) -> None:
        """Every page token is refused from now on."""
        self._world.pages.clear()

    def expire_access(self) -> None:
        """Every access token has run out; refresh tokens stay good."""
        self._accounts.expire_access()

    def revoke(self, email: str) -> int:
        """The person removes our access to the account."""
        for channel in [c for c in self._push.channels.values() if c.owner == email]:
            del self._push.channels[channel.id]
        return self._accounts.revoke(email)

    def consent(self, account: str = "", scopes: list[str] | None = None, *, denied: bool = False) -> None:
        """What happens at the next consent pages."""
        self._accounts.consent.account = account
        self._accounts.consent.scopes = scopes
        self._accounts.consent.denied = denied

    def rotate_refresh_tokens(self) -> None:
        """Give a new refresh token with every refresh from now on; Google normally doesn't."""
        self._accounts.rotate = True

    # -- looking in ----------------------------------------------------------------------------------------------

    def event(self, calendar: str, event: str) -> Json | None:
        """One event as its owner gets it, None if there is none of that id."""
        with self._world.lock:
            found = self._calendar(calendar)
            stored = found.events.get(event)
            return rendered(found, stored, found.owner, self._world.rules, {}) if stored else None

    def events(self, calendar: str, *, cancelled: bool = False) -> list[Json]:
        """Everything stored in a calendar; with cancelled ones as stored, on demand."""
        with self._world.lock:
            found = self._calendar(calendar)
            return [copy.deepcopy(e.resource) for e in found.events.values() if cancelled or not e.cancelled]

    def calendars(self) -> list[Json]:
        """All calendars: ``{id, summary, owner, timezone, deleted}``."""
        with self._world.lock:
            return [
                {"id": c.id, "summary": c.summary, "owner": c.owner, "timezone": c.timezone, "deleted": c.deleted}
                for c in self._world.calendars.values()
            ]

    def mails(self) -> list[Json]:
        """The mails that Google would have sent (G-10)."""
        return list(self._world.mails)

    def requests(self, path: str = "") -> list[Json]:
        """The log of requests whose path contains something: ``{method, path, query, headers, body, status, at}``."""
        return [entry for entry in list(self._world.log) if path in entry["path"]]

    def clear_requests(self) -> None:
        """Forget the log."""
        self._world.log.clear()

    def unexpected(self) -> list[str]:
        """Calls that aren't emulated, and answers that Google's document would not allow."""
        return list(self._world.unexpected)

    def assert_no_unexpected(self) -> None:
        """Raises AssertionError if there is anything in `unexpected`."""
        if self._world.unexpected:
            raise AssertionError("; ".join(self._world.unexpected))

    def dump(self) -> Json:
        """The whole state."""
        return self._world.dump()

    # -- inside --------------------------------------------------------------------------------------------------

    def _calendar(self, calendar: str) -> StoredCalendar:
        found = self._world.calendars[calendar]
        self._world.person(found.owner)
        return found

    def _done(self, calendar: str, act: Any) -> Any:
        with self._world.lock:
            found = self._calendar(calendar)
            writes = Writes(self._world, found, found.owner, {}, {})
            result = act(writes)
        self._push.changed(calendar)
        return result

    def _instance(self, calendar: str, event: str, start: When) -> str:
        found = self._calendar(calendar)
        all_day = "date" in found.events[event].resource["start"]
        original: Json = {"date": _day(start).isoformat()} if all_day else _time(start, found.timezone)
        return series.instance_id(event, original, found.timezone)


def _time(value: When, zone: str) -> Json:
    if isinstance(value, datetime):
        return {"dateTime": value.astimezone(UTC).isoformat(), "timeZone": zone}
    if isinstance(value, date) or len(value) == 10:
        return {"date": _day(value).isoformat()}
    return {"dateTime": value, "timeZone": zone}


def _nulled(value: Json) -> Json:
    return {"date": None, "dateTime": None, "timeZone": None} | value


def _day(value: When) -> date:
    return value if isinstance(value, date) and not isinstance(value, datetime) else date.fromisoformat(str(value)[:10])


def _moment(value: When, zone: str) -> datetime:
    return series.moment(_time(value, zone), zone)
