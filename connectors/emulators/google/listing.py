"""events.list and events.instances: filters, pages, sync tokens (rules G-1, G-2, G-3, G-9)."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from connectors.emulators.google import series
from connectors.emulators.google.answers import ApiError, Json, not_found, sync_token_expired
from connectors.emulators.google.resources import rendered
from connectors.emulators.google.store import StoredCalendar, StoredEvent, World, millis

NOT_WITH_TOKEN = [
    "iCalUID",
    "orderBy",
    "privateExtendedProperty",
    "q",
    "sharedExtendedProperty",
    "timeMin",
    "timeMax",
    "updatedMin",
]
_NO_TOKEN_AFTER = frozenset(NOT_WITH_TOKEN) - {"timeMin", "timeMax"}
_BEGIN, _END = datetime(1970, 1, 3, tzinfo=UTC), datetime(2099, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class Listing:
    """One listing of one calendar for one person, already checked."""

    world: World
    calendar: StoredCalendar
    viewer: str
    query: Json

    def page(self) -> Json:
        """One page: the first of a new listing, or the next of one begun (frozen as it was then)."""
        size = min(int(self.query.get("maxResults", 250)), 2500)
        token = self.query.get("pageToken")
        if token:
            begun = self.world.pages.get(token)
            if begun is None or begun["asked"] != self._asked():
                raise ApiError(400, "invalid", "Invalid page token value.", location="pageToken")
            items, ending = begun["items"], begun["ending"]
        else:
            items, ending = self._begun()
        count = 0 if self.world.rules.empty_pages and not token and items else size
        here, rest = items[:count], items[count:]
        answer = self._frame(here)
        if rest:
            following = secrets.token_urlsafe(12)
            self.world.pages[following] = {"asked": self._asked(), "items": rest, "ending": ending}
            return answer | {"nextPageToken": following}
        return answer | ({"nextSyncToken": ending} if ending else {})

    def _frame(self, items: list[Json]) -> Json:
        calendar = self.calendar
        return {
            "kind": "calendar#events",
            "etag": f'"p{calendar.version}"',
            "summary": calendar.summary,
            "description": "",
            "updated": millis(self.world.now()),
            "timeZone": calendar.timezone,
            "accessRole": calendar.role(self.viewer),
            "defaultReminders": [{"method": "popup", "minutes": 10}],
            "items": items,
        }

    def _asked(self) -> str:
        asked = {k: v for k, v in self.query.items() if k not in ("pageToken", "calendarId")}
        return json.dumps([self.calendar.id, self.viewer, asked], sort_keys=True)

    def _begun(self) -> tuple[list[Json], str]:
        query, calendar = self.query, self.calendar
        if query.get("orderBy") == "startTime" and not query.get("singleEvents"):
            raise ApiError(400, "badRequest", "The requested ordering is not available for the particular query.")
        bounded = query
        if "syncToken" in query:
            known = self._known_token(query["syncToken"])
            chosen = [e for e in calendar.events.values() if e.version > known["v"]]
            chosen.sort(key=lambda e: e.version)
            if known["w"] and not self.world.rules.delta_outside_window:
                bounded = query | {"timeMin": known["w"]}
                chosen = [e for e in chosen if e.cancelled or self._in_range(e, bounded)]
            ending = self._token(known["w"])
        else:
            chosen = [e for e in calendar.events.values() if self._wanted(e)]
            ending = "" if _NO_TOKEN_AFTER & set(query) else self._token(query.get("timeMin", ""))
        if query.get("singleEvents"):
            items = self._single(chosen)
        else:
            items = [rendered(calendar, e, self.viewer, self.world.rules, query) for e in chosen]
        if query.get("orderBy") == "updated":
            items.sort(key=lambda item: item.get("updated", ""))
        return items, ending

    # tokens

    def _fingerprint(self) -> str:
        kept = {k: v for k, v in self.query.items() if k not in ("syncToken", "pageToken", "calendarId")}
        kept = {k: v for k, v in kept.items() if k not in NOT_WITH_TOKEN and k != "showDeleted"}
        return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:12]

    def _token(self, time_min: str) -> str:
        calendar = self.calendar
        content = {
            "c": calendar.id,
            "u": self.viewer,
            "f": self._fingerprint(),
            "v": calendar.version,
            "g": calendar.generation,
            "w": time_min,
        }
        return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=") + "="

    def _known_token(self, token: str) -> Json:
        for name in NOT_WITH_TOKEN:
            if name in self.query:
                message = f"Sync token cannot be used with {name}."
                raise ApiError(400, "badRequest", message, location="syncToken")
        if self.query.get("showDeleted") is False:
            raise ApiError(400, "badRequest", "showDeleted=false cannot be combined with a sync token.")
        if self.query.get("singleEvents"):
            raise ApiError(501, "notImplemented", "singleEvents with syncToken is not emulated")
        try:
            known: Json = json.loads(base64.urlsafe_b64decode(token.rstrip("=") + "=" * (-len(token.rstrip("=")) % 4)))
            mine = known["c"] == self.calendar.id and known["u"] == self.viewer
            fresh = known["g"] == self.calendar.generation and known["v"] >= self.calendar.floor
        except (ValueError, KeyError, TypeError):
            raise sync_token_expired() from None
        if not (mine and fresh):
            raise sync_token_expired()
        if known["f"] != self._fingerprint():
            raise ApiError(400, "badRequest", "The query differs from the one that gave the sync token.")
        return known

    # filters

    def _wanted(self, event: StoredEvent) -> bool:
        query, resource = self.query, event.resource
        if event.cancelled and not query.get("showDeleted"):
            # Cancelled instances of living series are listed all the same, unless expanded (G-9).
            living = event.master_id in self.calendar.events and not self.calendar.events[event.master_id].cancelled
            if not living or query.get("singleEvents"):
                return False
        if "iCalUID" in query and resource.get("iCalUID") != query["iCalUID"]:
            return False
        if "iCalUID" in query and event.cancelled and event.master_id and not self.world.rules.uid_search_lists_stubs:
            return False
        if "q" in query and query["q"].lower() not in json.dumps(resource, ensure_ascii=False).lower():
            return False
        if "eventTypes" in query and resource.get("eventType", "default") not in query["eventTypes"]:
            return False
        if "updatedMin" in query and resource["updated"] < query["updatedMin"]:
            return False
        properties = resource.get("extendedProperties", {})
        return (
            _has(properties.get("private", {}), query.get("privateExtendedProperty", ()))
            and _has(properties.get("shared", {}), query.get("sharedExtendedProperty", ()))
            and self._in_range(event, query)
        )

    def _in_range(self, event: StoredEvent, query: Json) -> bool:
        """timeMin: exclusive, on the end; timeMax: exclusive, on the start. Of a series: of any instance."""
        if "timeMin" not in query and "timeMax" not in query:
            return True
        zone = self.calendar.timezone
        try:
            start, end = series.span(event.resource, zone)
        except KeyError:
            return True  # planted by a test, without times that can be read
        if event.resource.get("recurrence") and not event.cancelled:
            end = series.last_end(event.resource, zone)
        low = datetime.fromisoformat(query["timeMin"]) if "timeMin" in query else None
        high = datetime.fromisoformat(query["timeMax"]) if "timeMax" in query else None
        return (low is None or end > low) and (high is None or start < high)

    # expansion

    def _single(self, chosen: Iterable[StoredEvent]) -> list[Json]:
        low = datetime.fromisoformat(self.query["timeMin"]) if "timeMin" in self.query else _BEGIN
        horizon = self.world.now() + timedelta(days=self.world.rules.expansion_days)
        high = min(datetime.fromisoformat(self.query["timeMax"]) if "timeMax" in self.query else _END, horizon)
        items: list[tuple[datetime, Json]] = []
        for event in chosen:
            if event.resource.get("recurrence") and not event.cancelled:
                items += self._instances(event, low, high, bool(self.query.get("showDeleted")))
            elif not event.master_id:
                item = rendered(self.calendar, event, self.viewer, self.world.rules, self.query)
                at = _BEGIN if event.cancelled else series.span(event.resource, self.calendar.timezone)[0]
                items.append((at, item))
        if self.query.get("orderBy") == "startTime":
            items.sort(key=lambda pair: pair[0])
        return [item for _, item in items]

    def _instances(
        self, master: StoredEvent, low: datetime, high: datetime, show_deleted: bool
    ) -> Iterator[tuple[datetime, Json]]:
        zone = self.calendar.timezone
        known = {e.id: e for e in self.world.exceptions(self.calendar, master.id)}
        for instance in series.expand(master.resource, zone, low, high):
            name = series.instance_id(master.id, instance.original, zone)
            if name not in known:
                yield instance.start, self.virtual(master, instance)
        for event in known.values():
            if event.cancelled and not show_deleted:
                continue
            start, end = series.span(event.resource, zone)
            if end > low and start < high:
                yield start, rendered(self.calendar, event, self.viewer, self.world.rules, self.query)

    def virtual(self, master: StoredEvent, instance: series.Instance) -> Json:
        """An instance of the plain rule as a resource."""
        stored = StoredEvent(virtual_resource(master, instance, self.calendar.timezone), master.version, master.etag)
        return rendered(self.calendar, stored, self.viewer, self.world.rules, self.query)

    def instances(self, master_id: str) -> Json:
        """One page of events.instances."""
        master = self.calendar.events.get(master_id)
        if master is None or not master.resource.get("recurrence") or master.cancelled:
            raise not_found()
        low = datetime.fromisoformat(self.query["timeMin"]) if "timeMin" in self.query else _BEGIN
        high = datetime.fromisoformat(self.query["timeMax"]) if "timeMax" in self.query else _END
        high = min(high, self.world.now() + timedelta(days=self.world.rules.expansion_days))
        size = min(int(self.query.get("maxResults", 250)), 2500)
        found = sorted(self._instances(master, low, high, bool(self.query.get("showDeleted"))), key=lambda p: p[0])
        items = [item for _, item in found]
        if "originalStart" in self.query:
            asked = datetime.fromisoformat(self.query["originalStart"])
            items = [i for i in items if series.moment(i["originalStartTime"], self.calendar.timezone) == asked]
        offset = int(self.query.get("pageToken") or 0)
        answer = self._frame(items[offset : offset + size])
        if len(items) > offset + size:
            answer["nextPageToken"] = str(offset + size)
        return answer


def virtual_resource(master: StoredEvent, instance: series.Instance, zone: str) -> Json:
    """What an instance inherits from its series."""
    resource = {k: v for k, v in master.resource.items() if k not in ("recurrence", "start", "end")}
    if "date" in instance.original:
        days = datetime.fromisoformat(master.resource["end"]["date"]) - datetime.fromisoformat(
            master.resource["start"]["date"]
        )
        start = instance.original
        end: Json = {"date": (datetime.fromisoformat(start["date"]) + days).date().isoformat()}
    else:
        own = datetime.fromisoformat(instance.original["dateTime"]).tzinfo
        start = instance.original
        length = instance.end - instance.start
        end = start | {"dateTime": (instance.start + length).astimezone(own).isoformat()}
    return resource | {
        "id": series.instance_id(master.id, instance.original, zone),
        "recurringEventId": master.id,
        "originalStartTime": instance.original,
        "start": start,
        "end": end,
    }


def _has(properties: Json, wanted: Iterable[str]) -> bool:
    return all(properties.get(w.partition("=")[0]) == w.partition("=")[2] for w in wanted)
