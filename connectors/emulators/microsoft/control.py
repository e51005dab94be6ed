"""What a test or the demo does behind Microsoft's back: operators' hands, switches, faults, looks.

The same methods as a Python object and over HTTP: ``POST /_ctl/NAME`` with their arguments as a JSON object,
answered with ``{"result": …}``. Times are ISO texts (or datetimes), local to ``zone``, by default the account's.
Events are named by either id; an event's immutable id is what the methods return.
"""

from __future__ import annotations

import inspect
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from connectors.emulators.microsoft.events import occurrence_id
from connectors.emulators.microsoft.faults import FaultRule
from connectors.emulators.microsoft.rendering import Renderer
from connectors.emulators.microsoft.server import App
from connectors.emulators.microsoft.store import Account, StoredEvent
from connectors.emulators.microsoft.times import instances, zone_of
from connectors.emulators.microsoft.wire import Fault, Json, Reply, Request

When = str | datetime


class Control:
    """account: an e-mail address, ``""`` for the first one. calendar: a name or an id, ``""`` for the default one."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._store = app.store

    # -- the world -------------------------------------------------------------------------------------------------

    def reset(self) -> None:
        """Forget all data, faults, logs and mails; one account stays to be added."""
        self._store.clear()
        self._app.faults.clear()
        self.clear_requests()

    def add_account(self, email: str, name: str = "", zone: str = "Europe/Berlin") -> str:
        """A mailbox; returns its account key ``tid.oid``."""
        account = self._store.add_account(email, name or email.partition("@")[0].title(), zone)
        self._store.save()
        return f"{account.tid}.{account.oid}"

    def grant(self, client_id: str, account: str = "", scope: str = "Calendars.ReadWrite User.Read") -> str:
        """A serialized MSAL cache, as if consent had been given."""
        import msal

        owner = self._account(account)
        cache = msal.SerializableTokenCache()
        scopes = scope.split()
        granted = self._app.login.grant(owner, client_id, scope)
        endpoint = "https://login.microsoftonline.com/common/oauth2/v2.0/token"
        claims = {"oid": owner.oid, "tid": owner.tid, "preferred_username": owner.email, "sub": owner.oid}
        cache.add(
            {
                "client_id": client_id,
                "scope": scopes,
                "token_endpoint": endpoint,
                "response": {**granted, "id_token_claims": claims},
                "environment": "login.microsoftonline.com",
                "grant_type": "authorization_code",
            }
        )
        self._store.save()
        return str(cache.serialize())

    def add_calendar(self, name: str, account: str = "", writable: bool = True) -> str:
        """One more calendar; returns its id."""
        return self._store.add_calendar(self._account(account).oid, name, writable=writable).id

    def remove_calendar(self, calendar: str, account: str = "") -> None:
        """Delete a calendar with its events."""
        owner = self._account(account).oid
        found = self._calendar(owner, calendar)
        with self._store.lock:
            for event in self._store.all_seen(owner, lagging=False):
                if event.calendar == found and not event.deleted:
                    left = {**event.left, found: self._store.seq + 1}
                    self._store.put(event, deleted=True, left=left)
            self._store.calendars[found].alive = False
            self._store.tick()

    def set_access(self, calendar: str, writable: bool, account: str = "") -> None:
        """May the account write into it?"""
        with self._store.lock:
            found = self._store.calendars[self._calendar(self._account(account).oid, calendar)]
            found.writable, found.change = writable, self._store.tick()

    def rename_calendar_id(self, calendar: str, account: str = "") -> str:
        """Container ids were seen changing: the calendar gets another one, which is returned."""
        owner = self._account(account).oid
        found = self._calendar(owner, calendar)
        with self._store.lock:
            old = self._store.calendars.pop(found)
            new = self._store.add_calendar(owner, old.name, default=old.default, writable=old.writable)
            for event in self._store.all_seen(owner, lagging=False):
                if event.calendar == found:
                    self._store.put(event, calendar=new.id)
            return new.id

    # -- an operator's hands ---------------------------------------------------------------------------------------

    def create_event(
        self,
        subject: str,
        start: When,
        end: When,
        *,
        account: str = "",
        calendar: str = "",
        zone: str = "",
        all_day: bool = False,
        show_as: str = "",
        sensitivity: str = "normal",
        categories: list[str] | None = None,
        recurrence: Json | None = None,
        organizer: str = "",
        response: str = "notResponded",
        attendees: list[str] | None = None,
        fields: Json | None = None,
    ) -> str:
        """An event as a calendar app makes it. organizer: of somebody else's invitation, answered with ``response``."""
        owner = self._account(account)
        zone = zone or owner.zone
        body: Json = {
            "subject": subject,
            "start": _time(start, zone),
            "end": _time(end, zone),
            "isAllDay": all_day,
            "sensitivity": sensitivity,
            "categories": categories or [],
            **({"showAs": show_as} if show_as else {}),
            **({"recurrence": recurrence} if recurrence else {}),
            **({"attendees": [{"emailAddress": {"address": a}} for a in attendees]} if attendees else {}),
            **(fields or {}),
        }
        inner: Json = {}
        if organizer:
            inner = {"organizer": {"name": organizer, "address": organizer}, "response": response}
        calendar_id = self._calendar(owner.oid, calendar)
        return self._app.service.events.create(owner.oid, calendar_id, body, **inner).key

    def move_event(self, event: str, start: When, end: When, zone: str = "") -> None:
        """Drag to another time; of a series or, by an occurrence's id, of that alone."""
        owner = self._owner(event)
        zone = zone or owner.zone
        self._change(event, {"start": _time(start, zone), "end": _time(end, zone)})

    def set_fields(self, event: str, fields: Json) -> None:
        """Any writable fields (``subject``, ``categories``, ``showAs``, …)."""
        self._change(event, fields)

    def set_all_day(self, event: str, day: str, days: int = 1, zone: str = "") -> None:
        """Make it last whole days. day: ``YYYY-MM-DD``."""
        zone = zone or self._owner(event).zone
        first = datetime.fromisoformat(day)
        times = {"start": _time(first, zone), "end": _time(first + timedelta(days=days), zone)}
        self._change(event, {**times, "isAllDay": True})

    def move_to_calendar(self, event: str, calendar: str) -> None:
        """Drag to another calendar of the account."""
        owner = self._owner(event).oid
        self._app.service.events.move(owner, event, self._calendar(owner, calendar))

    def delete_event(self, event: str) -> None:
        """Delete it, or by an occurrence's id that alone."""
        self._app.service.events.delete(self._owner(event).oid, event)

    def cancel_event(self, event: str) -> None:
        """Mark as cancelled and keep it, as a meeting shows that its organizer cancelled."""
        self._change(event, {}, isCancelled=True)

    def restore_event(self, event: str) -> None:
        """Take it out of Deleted Items again."""
        self._app.service.events.restore(self._owner(event).oid, event)

    def purge_event(self, event: str) -> None:
        """Empty it from Deleted Items."""
        self._app.service.events.purge(self._owner(event).oid, event)

    def occurrences(self, event: str) -> list[str]:
        """Ids of a series' occurrences, in order."""
        found, _ = self._app.service.events.resolve(self._owner(event).oid, event, deleted=True)
        return [occurrence_id(found.key, original) for original in self._app.service.events.occurrences(found)]

    def occurrence(self, event: str, start: When) -> str:
        """The id of the occurrence that a series has, or had, at this local start."""
        found, _ = self._app.service.events.resolve(self._owner(event).oid, event, deleted=True)
        moment = datetime.fromisoformat(start) if isinstance(start, str) else start
        if moment.tzinfo is not None:
            moment = moment.astimezone(zone_of(str(found.content["start"]["timeZone"]))).replace(tzinfo=None)
        return occurrence_id(found.key, moment.strftime("%Y%m%dT%H%M%S"))

    def decline(self, event: str, attendee: str, response: str = "declined") -> None:
        """A guest answers."""
        owner = self._owner(event).oid
        found, _ = self._app.service.events.resolve(owner, event)
        guests = []
        for guest in found.content.get("attendees") or ():
            if guest["emailAddress"]["address"].lower() == attendee.lower():
                guest = {**guest, "status": {"response": response, "time": self._store.instant().isoformat()}}
            guests.append(guest)
        with self._store.lock:
            put = self._store.put(found, content={**found.content, "attendees": guests})
            self._app.subscriptions.changed(put, "updated")

    def respond(self, event: str, response: str) -> None:
        """The owner answers somebody else's invitation."""
        self._app.service.events.respond(self._owner(event).oid, event, response)

    # -- looks -----------------------------------------------------------------------------------------------------

    def state(self, account: str = "") -> Json:
        """Accounts, calendars, and every living event as a reader in UTC with immutable ids sees it."""
        wanted = [self._account(account)] if account else list(self._store.accounts.values())
        reader = Renderer(self._store, Request("GET", "/", {"prefer": 'IdType="ImmutableId"'}))
        shown = []
        for owner in wanted:
            events = [e for e in self._store.all_seen(owner.oid, lagging=False) if not e.deleted]
            shown.append(
                {
                    "account": f"{owner.tid}.{owner.oid}",
                    "email": owner.email,
                    "calendars": [reader.calendar(c) for c in self._store.calendars_of(owner.oid)],
                    "events": [{**reader.event(e), "calendar": e.calendar, "properties": e.properties} for e in events],
                }
            )
        return {"now": self._store.instant().isoformat(), "accounts": shown}

    def busy(self, start: When, end: When, account: str = "", calendar: str = "") -> list[Json]:
        """Everything in a calendar between two instants, occurrences one by one: the truth to compare with."""
        owner = self._account(account).oid
        calendar_id = self._calendar(owner, calendar)
        reader = Renderer(self._store, Request("GET", "/", {"prefer": 'IdType="ImmutableId"'}))
        first, last = (_instant(value) for value in (start, end))
        rows: list[Json] = []
        for event in self._store.all_seen(owner, lagging=False):
            if event.deleted or event.calendar != calendar_id:
                continue
            if event.recurring:
                rows += [reader.instance(event, instance) for instance in instances(event, first, last)]
            else:
                row = reader.event(event)
                if row["start"]["dateTime"] < last.isoformat()[:19] and row["end"]["dateTime"] > first.isoformat()[:19]:
                    rows.append(row)
        return sorted(rows, key=lambda row: str(row["start"]["dateTime"]))

    def holding(self, name: str, value: str) -> list[str]:
        """Living events that hold an extended property."""
        return [
            event.key
            for versions in self._store.versions.values()
            if not (event := versions[-1]).deleted and event.properties.get(name) == value
        ]

    def mails(self) -> list[Json]:
        """What Exchange would have sent."""
        return list(self._store.mails)

    def requests(self) -> list[Json]:
        """The request log."""
        return list(self._app.log)

    def clear_requests(self) -> None:
        """Forget the log and what was unexpected."""
        self._app.log.clear()
        self._app.service.unexpected.clear()
        self._app.most_at_once.clear()

    def unexpected(self) -> list[str]:
        """Requests that Graph, or this emulator, doesn't know."""
        return list(self._app.service.unexpected)

    def most_at_once(self, account: str = "") -> int:
        """The largest number of calls that one mailbox had at a time."""
        return self._app.most_at_once[self._account(account).oid]

    def deliveries(self) -> list[Json]:
        """Notifications sent, with status and seconds until the answer."""
        return list(self._app.subscriptions.deliveries)

    # -- circumstances ---------------------------------------------------------------------------------------------

    def set_switch(self, name: str, value: Any) -> None:
        """Turn a switch (`Switches`)."""
        if not hasattr(self._store.switches, name):
            raise Fault(400, "NoSuchSwitch", name)
        setattr(self._store.switches, name, value)

    def switches(self) -> Json:
        """All switches."""
        return asdict(self._store.switches)

    def add_fault(self, action: str, **rule: Any) -> None:
        """A fault rule (`FaultRule`)."""
        try:
            self._app.faults.add(FaultRule(action, **rule))
        except (TypeError, ValueError) as error:
            raise Fault(400, "NoSuchFault", str(error)) from None

    def clear_faults(self) -> None:
        """No more faults."""
        self._app.faults.clear()

    def advance(self, seconds: float) -> str:
        """Let time pass."""
        self._store.offset += seconds
        self._store.dirty = True
        return self._store.instant().isoformat()

    def expire_deltas(self) -> None:
        """Delta tokens of before are answered with 410."""
        self._store.delta_generation += 1
        self._store.dirty = True

    def expire_access_tokens(self) -> None:
        """Access tokens are answered with 401; refresh tokens still work."""
        self._store.access_tokens.clear()
        self._store.dirty = True

    def revoke(self, account: str = "") -> None:
        """Refresh tokens are answered with invalid_grant, access tokens with 401."""
        owner = self._account(account).oid
        for token in self._store.refresh_tokens.values():
            token["revoked"] = token["revoked"] or token["account"] == owner
        self.expire_access_tokens()

    def login(self, **changes: Any) -> None:
        """How the login service behaves: ``claims``, ``scopes``, ``lifetime``, ``chooser``, ``denied`` (`Login`)."""
        for name, value in changes.items():
            if name not in ("claims", "scopes", "lifetime", "chooser", "denied"):
                raise Fault(400, "NoSuchSetting", name)
            setattr(self._app.login, name, value)

    def expire_subscriptions(self) -> None:
        """All subscriptions end, unannounced."""
        self._store.subscriptions.clear()
        self._store.dirty = True

    def lifecycle(self, kind: str, subscription_id: str = "") -> int:
        """``missed``, ``subscriptionRemoved`` or ``reauthorizationRequired``."""
        return self._app.subscriptions.lifecycle(kind, subscription_id)

    def hold_notifications(self, hold: bool = True) -> None:
        """Keep notifications back."""
        self._app.subscriptions.mode = "hold" if hold else "auto"

    def deliver(self, reverse: bool = False) -> int:
        """Send what was kept back, in reverse order if wanted."""
        return self._app.subscriptions.deliver(reverse=reverse)

    def settle(self, seconds: float = 5.0) -> bool:
        """Wait until notifications are sent."""
        return self._app.subscriptions.settle(seconds)

    def next_notifications(self, copies: list[int] | None = None, wrong_state: int = 0) -> None:
        """copies: of the next notifications, one by one (0 loses it, 2 doubles it). wrong_state: how many lie."""
        self._app.subscriptions.next_copies = list(copies or [])
        self._app.subscriptions.wrong_state = wrong_state

    # -- over HTTP -------------------------------------------------------------------------------------------------

    def handle(self, request: Request) -> Reply:
        """``/_ctl/NAME``. Raises `Fault`."""
        name = request.segments[1] if len(request.segments) == 2 else ""
        method = getattr(self, name, None)
        if not name or name.startswith("_") or name == "handle" or not callable(method):
            raise Fault(404, "NoSuchControl", name)
        arguments = request.json() if request.method == "POST" else dict(request.query)
        try:
            inspect.signature(method).bind(**arguments)
        except TypeError as error:
            raise Fault(400, "BadArguments", str(error)) from None
        return Reply(200, {"result": method(**arguments)})

    # -- inside ----------------------------------------------------------------------------------------------------

    def _account(self, email: str) -> Account:
        return self._store.account_by_email(email)

    def _calendar(self, owner: str, name: str) -> str:
        found = self._store.calendars_of(owner)
        for calendar in found:
            if calendar.id == name or calendar.name == name or (not name and calendar.default):
                return calendar.id
        raise Fault(404, "NoSuchCalendar", name)

    def _stored(self, event: str) -> StoredEvent:
        for account in self._store.accounts.values():
            try:
                return self._app.service.events.resolve(account.oid, event, deleted=True)[0]
            except Fault:
                continue
        raise Fault(404, "NoSuchEvent", event)

    def _owner(self, event: str) -> Account:
        return self._store.accounts[self._stored(event).owner]

    def _change(self, event: str, fields: Json, **inner: Any) -> None:
        found = self._stored(event)
        if found.deleted:
            raise Fault(404, "NoSuchEvent", "it was deleted")
        self._app.service.events.change(found.owner, event, fields, **inner)


def _time(when: When, zone: str) -> Json:
    moment = datetime.fromisoformat(when) if isinstance(when, str) else when
    if moment.tzinfo is not None:
        moment, zone = moment.astimezone(UTC).replace(tzinfo=None), "UTC"
    return {"dateTime": moment.isoformat(), "timeZone": zone}


def _instant(when: When) -> datetime:
    moment = datetime.fromisoformat(when) if isinstance(when, str) else when
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
