"""Graph's calendar half: routes, listings, batches (PROVIDERS B1, B6, B8)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from urllib.parse import quote, urlencode

from connectors.emulators.microsoft.bodies import EVENT_FIELDS
from connectors.emulators.microsoft.delta import GRAPH, Deltas, window
from connectors.emulators.microsoft.events import Events
from connectors.emulators.microsoft.rendering import Renderer
from connectors.emulators.microsoft.store import Store, StoredEvent
from connectors.emulators.microsoft.subscriptions import Subscriptions
from connectors.emulators.microsoft.times import instance_at, instances, instant_of, overlaps, span
from connectors.emulators.microsoft.wire import Fault, Json, Reply, Request

Inner = Callable[[Request], Reply]
"""Answers one request of a batch as if it had come alone."""

_ANY = re.compile(
    r"singleValueExtendedProperties/any\((\w+):\s*\1/id eq '([^']+)' and \1/value eq '((?:[^']|'')*)'\)", re.IGNORECASE
)
_UID = re.compile(r"iCalUId eq '([^']+)'", re.IGNORECASE)
_PROPERTY = re.compile(r"singleValueExtendedProperties\(\$filter=id eq '([^']+)'\)")
_READ = ("Calendars.Read", "Calendars.ReadWrite")
_WRITE = ("Calendars.ReadWrite",)
_LIST = frozenset({"$select", "$top", "$skip", "$filter", "$expand"})
_VIEW = frozenset({"startDateTime", "endDateTime", "$select", "$top", "$skip"})
_ONE = frozenset({"$select", "$expand"})
_DENIED = "Access is denied. Check credentials and try again."
_RESPONSES = {"accept": "accepted", "decline": "declined", "tentativelyAccept": "tentativelyAccepted"}


class Service:
    """Answers what is asked below ``/v1.0``. unexpected: what no honest client of ours should have asked."""

    def __init__(self, store: Store, subscriptions: Subscriptions) -> None:
        self._store = store
        self._subscriptions = subscriptions
        self._deltas = Deltas(store)
        self.events = Events(store, subscriptions.changed)
        self.unexpected: list[str] = []

    def handle(self, request: Request, inner: Inner) -> Reply:
        """One request by an account known. Raises `Fault`."""
        if "+" in request.target.partition("?")[2]:
            raise self._strange(request, "a + in the query, which Graph may read as a space")
        match (request.method, request.segments[1:]):
            case ("GET", ("me",)):
                self._need(request, ("User.Read",))
                return Reply(200, self._me(request))
            case ("GET", ("me", "mailboxSettings", "timeZone")):
                self._need(request, ("MailboxSettings.Read", "MailboxSettings.ReadWrite"))
                return Reply(200, {"value": self._store.accounts[request.account].zone})
            case ("POST", ("me", "translateExchangeIds")):
                return self._translate(request)
            case ("POST", ("$batch",)):
                return self._batch(request, inner)
            case (_, ("subscriptions", *rest)):
                self._need(request, _READ)
                return self._subscriptions.handle(request, tuple(rest))
            case (_, ("me", "events", *rest)):
                return self._events(request, tuple(rest))
            case (_, ("me", *rest)):
                return self._calendars(request, tuple(rest))
        raise self._strange(request, "no such route here", 501)

    # -- calendars -------------------------------------------------------------------------------------------------

    def _calendars(self, request: Request, rest: tuple[str, ...]) -> Reply:
        self._need(request, _READ)
        store, owner = self._store, request.account
        match (request.method, rest):
            case ("GET", ("calendarGroups",)):
                group = {"id": "AAMkGROUP", "name": "My Calendars", "changeKey": "NreqLYgxdE2DpHBBId74XwAAAAAGZw=="}
                return Reply(200, {"value": [group]})
            case ("GET", ("calendars",) | ("calendarGroups", _, "calendars")):
                self._only(request, frozenset({"$top", "$skip"}))
                renderer = Renderer(store, request)
                return self._listing(request, [renderer.calendar(c) for c in store.calendars_of(owner)], renderer)
            case ("GET", ("calendar",)):
                return Reply(200, Renderer(store, request).calendar(store.calendar(owner, None)))
            case ("POST", ("calendar", "getSchedule")):
                return self._schedule(request)
            case ("GET", ("calendarView", "delta")):
                return self._deltas.page(request, owner, None)
            case ("GET", ("calendarView",) | ("calendar", "calendarView")):
                return self._view(request, None)
            case ("GET", ("calendars", calendar_id)):
                self._only(request, frozenset())
                return Reply(200, Renderer(store, request).calendar(store.calendar(owner, calendar_id)))
            case ("GET", ("calendars", calendar_id, "calendarView", "delta")):
                return self._deltas.page(request, owner, calendar_id)
            case ("GET", ("calendars", calendar_id, "calendarView")):
                return self._view(request, calendar_id)
            case ("GET", ("calendars", calendar_id, "events")):
                return self._list(request, store.calendar(owner, calendar_id).id)
            case ("POST", ("calendars", calendar_id, "events")):
                return self._create(request, calendar_id)
        raise self._strange(request, "no such route here", 501)

    def _view(self, request: Request, calendar_id: str | None) -> Reply:
        self._only(request, _VIEW)
        calendar = self._store.calendar(request.account, calendar_id)
        first, last = window(request.query)
        renderer = Renderer(self._store, request)
        rows: list[tuple[datetime, Json]] = []
        with self._store.lock:
            for event in self._store.all_seen(request.account):
                if event.deleted or event.calendar != calendar.id:
                    continue
                if event.recurring:
                    found = instances(event, first, last)
                    rows += [(instance.start, renderer.instance(event, instance)) for instance in found]
                elif overlaps(*(times := span(event.content)), first, last):
                    rows.append((times[0], renderer.event(event)))
        rows.sort(key=lambda row: row[0])
        return self._listing(request, [row for _, row in rows], renderer)

    def _schedule(self, request: Request) -> Reply:
        body = request.json()
        try:
            first, last = instant_of(body["startTime"]), instant_of(body["endTime"])
            step = int(body.get("availabilityViewInterval") or 30)
            wanted = [str(address).lower() for address in body["schedules"]]
        except (KeyError, TypeError, ValueError):
            raise Fault(400, "ErrorInvalidParameter", "schedules, startTime and endTime are required.") from None
        if not 5 <= step <= 1440 or last - first > timedelta(days=62):
            raise Fault(400, "ErrorInvalidParameter", "The requested time duration is not supported.")
        owner = self._store.accounts[request.account]
        mine = self._busy(request, owner.oid, first, last)
        digits = {"free": "0", "tentative": "1", "busy": "2", "oof": "3", "workingElsewhere": "4"}
        view, at = "", first
        while at < last:
            ends = at + timedelta(minutes=step)
            view += max((digits[i["status"]] for s, e, i in mine if s < ends and e > at), default="0")
            at = ends
        found: list[Json] = []
        for address in wanted:
            if address == owner.email:
                found.append(
                    {"scheduleId": address, "availabilityView": view, "scheduleItems": [item for _, _, item in mine]}
                )
            else:
                error = {"message": "Unable to resolve email address to AD object.", "responseCode": "5009"}
                found.append({"scheduleId": address, "availabilityView": "", "scheduleItems": [], "error": error})
        return Reply(200, {"value": found})

    def _busy(
        self, request: Request, oid: str, first: datetime, last: datetime
    ) -> list[tuple[datetime, datetime, Json]]:
        renderer, default = Renderer(self._store, request), self._store.calendar(oid, None).id
        found: list[tuple[datetime, datetime, Json]] = []
        for event in self._store.all_seen(oid):
            if event.deleted or event.calendar != default:
                continue
            rows: Iterable[tuple[datetime, datetime, Json]]
            if event.recurring:
                parts = instances(event, first, last)
                rows = [(part.start, part.end, renderer.instance(event, part)) for part in parts]
            else:
                rows = [(*span(event.content), renderer.event(event))]
            for start, end, row in rows:
                if overlaps(start, end, first, last) and row["showAs"] not in ("free", "unknown"):
                    item = {"status": row["showAs"], "start": row["start"], "end": row["end"], "isPrivate": False}
                    found.append((start, end, item))
        return sorted(found, key=lambda part: part[0])

    # -- events ----------------------------------------------------------------------------------------------------

    def _events(self, request: Request, rest: tuple[str, ...]) -> Reply:
        self._need(request, _READ if request.method == "GET" else _WRITE)
        owner, match_tag = request.account, request.headers.get("if-match", "")
        match (request.method, rest):
            case ("GET", ()):
                default = None if self._store.switches.mailbox_wide else self._store.calendar(owner, None).id
                return self._list(request, default)
            case ("POST", ()):
                return self._create(request, None)
            case ("GET", (some_id,)):
                self._only(request, _ONE)
                lagging = self._store.switches.lag_on_get
                event, original = self.events.resolve(owner, some_id, lagging=lagging)
                return self._shown(request, event, original)
            case ("PATCH", (some_id,)):
                self._writable(request, some_id)
                event, original = self.events.change(owner, some_id, request.json(), match_tag)
                return self._shown(request, event, original)
            case ("DELETE", (some_id,)):
                self._writable(request, some_id)
                self.events.delete(owner, some_id, match_tag)
                return Reply(204)
            case ("GET", (some_id, "instances")):
                return self._instances(request, some_id)
            case ("POST", (some_id, "cancel")):
                self.events.cancel(owner, some_id)
                return Reply(202)
            case ("POST", (some_id, "accept" | "decline" | "tentativelyAccept" as answer)):
                self.events.respond(owner, some_id, _RESPONSES[answer])
                return Reply(202)
        raise self._strange(request, "no such route here", 501)

    def _create(self, request: Request, calendar_id: str | None) -> Reply:
        self._need(request, _WRITE)
        if not self._store.calendar(request.account, calendar_id).writable:
            raise Fault(403, "ErrorAccessDenied", _DENIED)
        event = self.events.create(request.account, calendar_id, request.json())
        reply = self._shown(request, event, "")
        reply.headers["Location"] = f"{GRAPH}/v1.0/me/events/{quote(event.key, safe='')}"
        return Reply(201, reply.body, reply.headers)

    def _shown(self, request: Request, event: StoredEvent, original: str) -> Reply:
        renderer = Renderer(self._store, request)
        row = renderer.instance(event, instance_at(event, original)) if original else renderer.event(event)
        row = {"@odata.context": f"{GRAPH}/v1.0/$metadata#users('{request.account}')/events/$entity", **row}
        return _applied(Reply(200, self._selected(request, self._expanded(request, row, event))), renderer)

    def _instances(self, request: Request, some_id: str) -> Reply:
        self._only(request, _VIEW)
        event, original = self.events.resolve(request.account, some_id)
        if original or not event.recurring:
            raise Fault(400, "ErrorInvalidRequest", "Only a series master has instances.")
        renderer = Renderer(self._store, request)
        found = instances(event, *window(request.query))
        return self._listing(request, [renderer.instance(event, instance) for instance in found], renderer)

    def _list(self, request: Request, calendar_id: str | None) -> Reply:
        """Masters and single events; the two filters that clients of ours need, nothing else."""
        self._only(request, _LIST)
        wanted = request.query.get("$filter", "")
        by_property, by_uid = _ANY.fullmatch(wanted), _UID.fullmatch(wanted)
        if wanted and not (by_property or by_uid):
            raise self._strange(request, f"this filter isn't known here: {wanted}", 501)
        renderer = Renderer(self._store, request)
        rows = []
        with self._store.lock:
            for event in self._store.all_seen(request.account):
                if event.purged or (calendar_id is not None and event.calendar != calendar_id):
                    continue
                if event.deleted and not (self._store.switches.deleted_in_events and calendar_id is None):
                    continue
                if by_property and not _has(event, by_property[2], by_property[3].replace("''", "'")):
                    continue
                if by_uid and event.content["iCalUId"] != by_uid[1]:
                    continue
                rows.append(self._expanded(request, renderer.event(event), event))
        return self._listing(request, rows, renderer)

    # -- shapes ----------------------------------------------------------------------------------------------------

    def _listing(self, request: Request, rows: list[Json], renderer: Renderer) -> Reply:
        size = int(request.query.get("$top") or request.preferences().get("odata.maxpagesize") or 10)
        offset = int(request.query.get("$skip") or 0)
        body: Json = {"value": [self._selected(request, row) for row in rows[offset : offset + size]]}
        if offset + size < len(rows):
            asked = urlencode({**request.query, "$skip": str(offset + size)}, quote_via=quote)
            body["@odata.nextLink"] = f"{GRAPH}{request.path}?{asked}"
        return _applied(Reply(200, body), renderer)

    def _selected(self, request: Request, row: Json) -> Json:
        select = request.query.get("$select")
        if not select:
            return row
        names = select.split(",")
        if unknown := set(names) - EVENT_FIELDS:
            raise Fault(400, "RequestBroker--ParseUri", f"Could not find a property named '{sorted(unknown)[0]}'.")
        expanded = {"singleValueExtendedProperties", "calendar"} if "$expand" in request.query else set()
        return {name: value for name, value in row.items() if name in {*names, "id", *expanded} or "@" in name}

    def _expanded(self, request: Request, row: Json, event: StoredEvent) -> Json:
        wanted = request.query.get("$expand")
        if not wanted:
            return row
        if wanted == "calendar":
            return {**row, "calendar": Renderer(self._store, request).calendar(self._store.calendars[event.calendar])}
        if found := _PROPERTY.fullmatch(wanted):
            held = [{"id": name, "value": value} for name, value in event.properties.items() if _same(name, found[1])]
            return {**row, "singleValueExtendedProperties": held} if held else row
        raise self._strange(request, f"this $expand isn't known here: {wanted}", 501)

    def _me(self, request: Request) -> Json:
        account = self._store.accounts[request.account]
        return {
            "id": account.oid,
            "displayName": account.name,
            "mail": account.email,
            "userPrincipalName": account.email,
        }

    def _translate(self, request: Request) -> Reply:
        body = request.json()
        asked = body.get("inputIds") or []
        if len(asked) > 1000 or body.get("targetIdType") != "restImmutableEntryId":
            raise Fault(400, "ErrorInvalidRequest", "At most 1000 ids, to restImmutableEntryId.")
        pairs = ((one, self._store.key_of(one)) for one in asked)
        return Reply(200, {"value": [{"sourceId": one, "targetId": key} for one, key in pairs if key]})

    def _batch(self, request: Request, inner: Inner) -> Reply:
        """Rule M-7. Answers come in reverse, since clients may not rely on an order."""
        asked = request.json().get("requests")
        if not isinstance(asked, list) or not 1 <= len(asked) <= 20:
            raise Fault(400, "BadRequest", "Number of requests in a batch must be between 1 and 20.")
        done: list[Json] = []
        failed: set[str] = set()
        for part in asked:
            if failed & set(part.get("dependsOn") or ()):
                reply = Fault(424, "FailedDependency").reply()
            else:
                headers = {str(name).lower(): str(value) for name, value in (part.get("headers") or {}).items()}
                raw = json.dumps(part["body"]).encode() if "body" in part else b""
                if raw and headers.get("content-type") != "application/json":
                    raise Fault(400, "BadRequest", "Write requests contain a body without Content-Type.")
                reply = inner(Request(part["method"], "/v1.0" + part["url"], {**request.headers, **headers}, raw))
            if reply.status >= 400:
                failed.add(part["id"])
            body = json.loads(reply.payload() or b"null")
            done.append({"id": part["id"], "status": reply.status, "headers": reply.headers, "body": body})
        return Reply(200, {"responses": done[::-1]})

    # -- strictness ------------------------------------------------------------------------------------------------

    def _need(self, request: Request, scopes: tuple[str, ...]) -> None:
        if not request.scopes.intersection(scopes):
            raise Fault(403, "ErrorAccessDenied", _DENIED)

    def _writable(self, request: Request, some_id: str) -> None:
        event, _ = self.events.resolve(request.account, some_id, deleted=True)
        if not self._store.calendars[event.calendar].writable:
            raise Fault(403, "ErrorAccessDenied", _DENIED)

    def _only(self, request: Request, allowed: frozenset[str]) -> None:
        if bad := sorted(request.query.keys() - allowed):
            raise self._strange(request, f"parameters that aren't known here: {bad}")

    def _strange(self, request: Request, what: str, status: int = 400) -> Fault:
        self.unexpected.append(f"{request.method} {request.target}: {what}")
        return Fault(status, "BadRequest" if status == 400 else "NotImplemented", what)


def _applied(reply: Reply, renderer: Renderer) -> Reply:
    if renderer.applied:
        reply.headers["Preference-Applied"] = renderer.applied
    return reply


def _same(one: str, other: str) -> bool:
    """Property ids: the GUID in any case, the name exactly."""
    (kind, _, name), (other_kind, _, other_name) = one.partition(" Name "), other.partition(" Name ")
    return kind.lower() == other_kind.lower() and name == other_name


def _has(event: StoredEvent, name: str, value: str) -> bool:
    return any(_same(known, name) and held.lower() == value.lower() for known, held in event.properties.items())
