"""events.get, insert, import, patch, update, delete, move (rules G-4, G-5, G-6, G-8, G-10, G-14)."""

from __future__ import annotations

import copy
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from connectors.emulators.google import series
from connectors.emulators.google.answers import ApiError, Json, NotModified, invalid, named_error, not_found
from connectors.emulators.google.listing import virtual_resource
from connectors.emulators.google.resources import check_id, check_times, cleaned, merged, rendered, tidy
from connectors.emulators.google.store import StoredCalendar, StoredEvent, World, millis

_ALPHABET = "0123456789abcdefghijklmnopqrstuv"


@dataclass(slots=True)
class Writes:
    """Calls about single events of one calendar by one person. headers: lower-case names."""

    world: World
    calendar: StoredCalendar
    viewer: str
    query: Json
    headers: dict[str, str]

    def get(self, event_id: str) -> Json:
        """200 for a deleted one too, as a stub; 404 once purged. Raises `NotModified`."""
        event = self._known(event_id)
        if self.headers.get("if-none-match") == event.etag:
            raise NotModified
        conference = event.resource.get("conferenceData", {}).get("createRequest", {}).get("status")
        if conference and conference["statusCode"] == "pending":
            finish_conference(event.resource)
        return self._shown(event)

    def insert(self, body: Json) -> Json:
        """A new event, under the client's id if given. 409 if that id is there or was (A6)."""
        self._writable()
        body = cleaned(body, partial=False)
        if body.get("id") and body.get("iCalUID"):
            raise invalid("At most one of id and iCalUID can be given.")
        event_id = body.get("id") or _random_id()
        check_id(event_id)
        there = self.calendar.events.get(event_id)
        if there is not None and (not there.cancelled or self.world.rules.deleted_id_refused):
            raise named_error("duplicate")
        return self._stored_new(body, event_id, body.get("iCalUID") or f"{event_id}@google.com")

    def import_(self, body: Json) -> Json:
        """A private copy of somebody else's event."""
        self._writable()
        body = cleaned(body, partial=False)
        if not body.get("iCalUID"):
            raise ApiError(400, "required", "Missing iCalUID.")
        if any(e.resource.get("iCalUID") == body["iCalUID"] for e in self.calendar.events.values() if not e.cancelled):
            raise named_error("duplicate")
        body.pop("id", None)
        return self._stored_new(body, _random_id(), body["iCalUID"])

    def patch(self, event_id: str, body: Json, *, replace: bool = False) -> Json:
        """Change one event; of an instance of a series this makes an exception. replace: PUT."""
        self._writable()
        event = self._known(event_id)
        self._matching(event)
        if event.cancelled and self.world.rules.write_to_deleted == "refuse":
            raise named_error("forbidden")
        body = cleaned(body, partial=not replace)
        body.pop("id", None)
        if body.get("eventType", event.resource["eventType"]) != event.resource["eventType"]:
            raise invalid("Event type cannot be changed.")
        if body.get("status") == "cancelled":
            self.delete(event_id)
            return self._shown(self.calendar.events[event_id])
        if not self.query.get("conferenceDataVersion"):
            body.pop("conferenceData", None)
        if replace:
            kept = ("id", "iCalUID", "created", "creator", "organizer", "recurringEventId", "originalStartTime")
            base: Json = {k: copy.deepcopy(v) for k, v in event.resource.items() if k in kept}
            base |= {k: event.resource[k] for k in ("eventType", "sequence", "htmlLink", "status")}
        else:
            base = event.resource
        changed = merged(base, body)
        if event.cancelled:
            changed["status"] = "confirmed"
        check_times(changed, self.calendar.timezone)
        if series.span(changed, self.calendar.timezone) != series.span(event.resource, self.calendar.timezone):
            changed["sequence"] = event.resource.get("sequence", 0) + 1
        self._answers(changed, event.resource)
        self._conference(changed)
        before = event.resource
        stored = self.world.put(self.calendar, tidy(changed))
        self._touch_master(stored)
        if before.get("recurrence") and not stored.resource.get("recurrence"):
            self._cancel_exceptions(event_id)
        self.mail("update", stored.resource, before)
        return self._shown(stored)

    def delete(self, event_id: str) -> None:
        """Leave a stub; of an instance, a cancelled exception. 410 the second time."""
        self._writable()
        event = self._known(event_id)
        if event.cancelled:
            raise named_error("deleted")
        self._matching(event)
        resource = copy.deepcopy(event.resource) | {"status": "cancelled"}
        stored = self.world.put(self.calendar, resource)
        self._touch_master(stored)
        self._cancel_exceptions(event_id)
        self.mail("cancel", event.resource)

    def move(self, event_id: str, target: StoredCalendar) -> Json:
        """To another calendar: a stub stays here, the iCalUID goes along, the id only by a switch (H4)."""
        self._writable()
        event = self._known(event_id)
        if event.cancelled:
            raise not_found()
        if event.resource["eventType"] != "default" or event.master_id:
            raise invalid("Only default events can be moved.")
        resource = copy.deepcopy(event.resource)
        if not self.world.rules.move_keeps_id:
            resource["id"] = _random_id()
        if not self.world.rules.move_keeps_private:
            resource.get("extendedProperties", {}).pop("private", None)
        resource["organizer"] = organizer(self.world, target)
        self.world.put(self.calendar, copy.deepcopy(event.resource) | {"status": "cancelled"})
        stored = self.world.put(target, tidy(resource))
        for exception in self.world.exceptions(self.calendar, event_id):
            moved = copy.deepcopy(exception.resource) | {"recurringEventId": stored.id}
            moved["id"] = moved["id"].replace(event_id, stored.id, 1)
            self.world.put(target, moved)
            self.world.put(self.calendar, copy.deepcopy(exception.resource) | {"status": "cancelled"})
        return rendered(target, stored, self.viewer, self.world.rules, self.query)

    def mail(self, kind: str, resource: Json, before: Json | None = None) -> None:
        """Rule G-10: note what Google would send. kind: request, update, cancel."""
        voice = self.query.get("sendUpdates", "all" if self.query.get("sendNotifications") else "none")
        if voice == "none":
            return
        earlier = {a["email"].lower() for a in (before or {}).get("attendees", ())}
        now = {a["email"].lower() for a in resource.get("attendees", ())}
        for email in sorted(now | earlier):
            if email == self.calendar.id.lower() or (voice == "externalOnly" and email.endswith("@gmail.com")):
                continue
            what = kind
            if kind == "update":
                what = "request" if email not in earlier else "cancel" if email not in now else "update"
            self.world.mails.append(
                {
                    "at": millis(self.world.now()),
                    "kind": what,
                    "to": email,
                    "calendar": self.calendar.id,
                    "event": resource["id"],
                    "iCalUID": resource["iCalUID"],
                    "summary": resource.get("summary", ""),
                    "start": resource["start"],
                }
            )

    # parts

    def _writable(self) -> None:
        if self.calendar.role(self.viewer) not in ("writer", "owner"):
            raise named_error("requiredAccessLevel")

    def _known(self, event_id: str) -> StoredEvent:
        """A stored event, or an instance of a series that nobody has changed yet."""
        event = self.calendar.events.get(event_id)
        if event is None:
            event = self._virtual(event_id)
        if event is None:
            raise not_found()
        return event

    def _virtual(self, event_id: str) -> StoredEvent | None:
        master_id, _, stamp = event_id.rpartition("_")
        master = self.calendar.events.get(master_id)
        if master is None or master.cancelled or not master.resource.get("recurrence"):
            return None
        form = "%Y%m%dT%H%M%SZ" if "T" in stamp else "%Y%m%d"
        try:
            about = datetime.strptime(stamp, form).replace(tzinfo=UTC)
        except ValueError:
            return None
        zone = self.calendar.timezone
        for instance in series.expand(master.resource, zone, about - timedelta(days=2), about + timedelta(days=2)):
            if series.instance_id(master_id, instance.original, zone) == event_id:
                return StoredEvent(virtual_resource(master, instance, zone), master.version, master.etag)
        return None

    def _matching(self, event: StoredEvent) -> None:
        wanted = self.headers.get("if-match", "")
        if wanted and wanted not in ("*", event.etag):
            raise ApiError(412, "conditionNotMet", "Precondition Failed", location="If-Match")

    def _shown(self, event: StoredEvent) -> Json:
        return rendered(self.calendar, event, self.viewer, self.world.rules, self.query)

    def _stored_new(self, body: Json, event_id: str, uid: str) -> Json:
        check_times(body, self.calendar.timezone)
        if not self.query.get("conferenceDataVersion"):
            body.pop("conferenceData", None)
        now = millis(self.world.now())
        resource = {"status": "confirmed", "eventType": "default", "sequence": 0, "reminders": {"useDefault": True}}
        resource |= copy.deepcopy(body)
        resource |= {
            "id": event_id,
            "iCalUID": uid,
            "created": now,
            "htmlLink": f"https://www.google.com/calendar/event?eid={event_id}",
            "creator": {"email": self.viewer},
            "organizer": organizer(self.world, self.calendar),
        }
        self._answers(resource, {})
        self._conference(resource)
        stored = self.world.put(self.calendar, tidy(resource))
        self.mail("request", stored.resource)
        return self._shown(stored)

    def _answers(self, resource: Json, before: Json) -> None:
        """Every attendee has an answer; a caller can't give one for others without changing the list itself."""
        for attendee in resource.get("attendees", ()):
            attendee.setdefault("responseStatus", "needsAction")
            attendee.pop("self", None)

    def _conference(self, resource: Json) -> None:
        request = resource.get("conferenceData", {}).get("createRequest")
        if not request or "status" in request:
            return
        request["status"] = {"statusCode": "pending"}
        if not self.world.rules.conference_async:
            finish_conference(resource)

    def _cancel_exceptions(self, master_id: str) -> None:
        """With its series, or when that stops repeating, every changed instance goes (UNVERIFIED for the latter)."""
        for exception in self.world.exceptions(self.calendar, master_id):
            if not exception.cancelled:
                self.world.put(self.calendar, copy.deepcopy(exception.resource) | {"status": "cancelled"})

    def _touch_master(self, event: StoredEvent) -> None:
        master = self.calendar.events.get(event.master_id)
        if master is not None and self.world.rules.exception_touches_master:
            self.world.put(self.calendar, copy.deepcopy(master.resource))


def organizer(world: World, calendar: StoredCalendar) -> Json:
    """The organizer that events of a calendar get."""
    name = world.people[calendar.owner].name if calendar.id == calendar.owner else calendar.summary
    return {"email": calendar.id, "displayName": name}


def finish_conference(resource: Json) -> None:
    """The conference that was asked for now exists."""
    data = resource["conferenceData"]
    name = data["createRequest"]["requestId"][:10]
    data["createRequest"]["status"] = {"statusCode": "success"}
    data["conferenceId"] = name
    data["conferenceSolution"] = {"key": {"type": "hangoutsMeet"}, "name": "Google Meet"}
    data["entryPoints"] = [{"entryPointType": "video", "uri": f"https://meet.google.com/{name}"}]
    resource["hangoutLink"] = f"https://meet.google.com/{name}"


def _random_id() -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(26))
