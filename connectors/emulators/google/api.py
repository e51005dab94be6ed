"""The calendar API: which method, may they, is the query known, and is our own answer one that Google could give."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qsl

from connectors.emulators.google import lists
from connectors.emulators.google.answers import ApiError, Json, NotModified, Request, Response, not_found
from connectors.emulators.google.discovery import Method, checked_query, faults_of, route
from connectors.emulators.google.listing import Listing
from connectors.emulators.google.oauth import Accounts
from connectors.emulators.google.store import World
from connectors.emulators.google.watch import Push
from connectors.emulators.google.writes import Writes

WRITES = frozenset({"insert", "import", "patch", "update", "delete", "move"})


@dataclass(slots=True)
class Api:
    """Every call under /calendar/v3/. strict: each answer is held against the discovery document (G6)."""

    world: World
    accounts: Accounts
    push: Push
    strict: bool = True

    def handle(self, request: Request) -> Response:
        """Answer one call; never raises."""
        if request.method == "POST" and request.headers.get("x-http-method-override") == "GET":
            # The client library does this with addresses of more than 2,048 characters.
            query = parse_qsl(request.body.decode(), keep_blank_values=True)
            request = Request("GET", request.path, query, request.headers, b"", request.at)
        found = route(request.method, request.path)
        try:
            if found is None:
                raise ApiError(404, "notFound", "Not Found")
            method, path = found
            with self.world.lock:
                return self._answer(method, path, request)
        except NotModified:
            return Response(304)
        except ApiError as error:
            if error.status == 501 or found is None:
                self.world.unexpected.append(f"{request.method} {request.path}: {error.message}")
            return error.response()

    def _answer(self, method: Method, path: dict[str, str], request: Request) -> Response:
        viewer = self.accounts.viewer(request, method)
        query = checked_query(method, request.query)
        value = self._called(method.id.removeprefix("calendar."), path, query, request, viewer)
        if value is None:
            return Response(204)
        if self.strict and (problems := faults_of(value, method.answers)):
            self.world.unexpected.append(f"{method.id} answers {problems}")
        return Response.of(value)

    def _called(self, name: str, path: dict[str, str], query: Json, request: Request, viewer: str) -> Json | None:
        resource, verb = name.split(".")
        match resource:
            case "events":
                return self._events(verb, path, query, request, viewer)
            case "calendarList" if verb == "list":
                return lists.calendar_list(self.world, viewer, query)
            case "calendarList" if verb == "get":
                return lists.entry(self.world.calendar(path["calendarId"], viewer), viewer)
            case "calendars" if verb == "get":
                return lists.calendar(self.world.calendar(path["calendarId"], viewer))
            case "freebusy":
                return lists.free_busy(self.world, viewer, request.json())
            case "channels":
                self.push.stop(viewer, request.json())
                return None
        raise ApiError(501, "notImplemented", f"{name} is not emulated")

    def _events(self, verb: str, path: dict[str, str], query: Json, request: Request, viewer: str) -> Json | None:
        calendar = self.world.calendar(path["calendarId"], viewer)
        listing = Listing(self.world, calendar, viewer, query)
        writes = Writes(self.world, calendar, viewer, query, dict(request.headers))
        event_id = path.get("eventId", "")
        match verb:
            case "list":
                return listing.page()
            case "instances":
                return listing.instances(event_id)
            case "get":
                return writes.get(event_id)
            case "watch":
                uri = f"https://www.googleapis.com/calendar/v3/calendars/{calendar.id}/events?alt=json"
                return self.push.open(calendar, viewer, request.json(), uri)
        if verb not in WRITES:
            raise ApiError(501, "notImplemented", f"events.{verb} is not emulated")
        answer = self._write(verb, writes, event_id, query, request, viewer)
        self.push.changed(calendar.id)
        return answer

    def _write(
        self, verb: str, writes: Writes, event_id: str, query: Json, request: Request, viewer: str
    ) -> Json | None:
        match verb:
            case "insert":
                return writes.insert(request.json())
            case "import":
                return writes.import_(request.json())
            case "patch":
                return writes.patch(event_id, request.json())
            case "update":
                return writes.patch(event_id, request.json(), replace=True)
            case "move":
                if not query.get("destination"):
                    raise ApiError(400, "required", "Required", location="destination")
                target = self.world.calendar(query["destination"], viewer)
                if target.role(viewer) not in ("writer", "owner"):
                    raise not_found()
                moved = writes.move(event_id, target)
                self.push.changed(target.id)
                return moved
        writes.delete(event_id)
        return None
