"""Making, changing and deleting events, as Exchange does it."""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from connectors.emulators.microsoft import bodies
from connectors.emulators.microsoft.store import Store, StoredEvent, new_id
from connectors.emulators.microsoft.times import instances, local_of
from connectors.emulators.microsoft.wire import Fault, Json

Changed = Callable[[StoredEvent, str], None]
"""Told of each change: the event, and ``created``, ``updated`` or ``deleted``."""

_NOT_FOUND = "The specified object was not found in the store."
_EXCEPTION_ONLY = frozenset({"recurrence", "transactionId", "singleValueExtendedProperties"})


def occurrence_id(master_id: str, original: str) -> str:
    """The id of one occurrence: long, opaque to clients, made of its master's."""
    return base64.b64encode(f"{original}|{master_id}".encode()).decode()


def etag_of(event: StoredEvent) -> str:
    """Weak, different after each change."""
    return f'W/"DwAAABYAAAB{base64.b64encode(event.seq.to_bytes(6, "big")).decode()}"'


class Events:
    """The calendar's writing half. Every call holds the store's lock."""

    def __init__(self, store: Store, changed: Changed) -> None:
        self._store = store
        self._changed = changed

    def resolve(
        self, owner: str, some_id: str, *, lagging: bool = False, deleted: bool | None = None
    ) -> tuple[StoredEvent, str]:
        """An event and the original start of the occurrence meant, or ``""``.

        deleted: may it lie in Deleted Items? None: as the switch says. Raises `Fault` 404.
        """
        store, original = self._store, ""
        key = store.key_of(some_id)
        if key is None:
            try:
                original, _, master = base64.b64decode(some_id, validate=True).decode().partition("|")
                key = store.key_of(master)
            except (binascii.Error, UnicodeDecodeError):
                key = None
        event = store.seen(key, lagging=lagging) if key else None
        if event is None or event.owner != owner or event.purged:
            raise Fault(404, "ErrorItemNotFound", _NOT_FOUND)
        allowed = store.switches.deleted_answers == 200 if deleted is None else deleted
        if (event.deleted and not allowed) or original in event.cancelled:
            raise Fault(404, "ErrorItemNotFound", _NOT_FOUND)
        return event, original

    def create(self, owner: str, calendar_id: str | None, body: Json, **inner: Any) -> StoredEvent:
        """POST. inner: fields that only an operator's other means can set. Raises `Fault`."""
        with self._store.lock:
            calendar = self._store.calendar(owner, calendar_id)
            fields = bodies.accepted(body)
            bodies.check_times(fields)
            if known := self._repeated(owner, fields):
                return known
            properties = {item["id"]: item["value"] for item in fields.pop("singleValueExtendedProperties", ())}
            content = bodies.with_meeting({"subject": "", **fields, **inner}, {}, _join_url())
            content["iCalUId"] = "040000008200E00074C5B7101A82E008" + secrets.token_hex(28).upper()
            now = self._store.now()
            event = StoredEvent(
                new_id("AAkALg"), new_id("AAMkAG"), owner, calendar.id, content, now, now, 0, now, properties
            )
            event = self._store.put(event)
            self._mail(event, "invitation")
            self._changed(event, "created")
            return event

    def _repeated(self, owner: str, fields: Json) -> StoredEvent | None:
        """Rule M-4."""
        transaction, switches = fields.get("transactionId"), self._store.switches
        if not transaction or switches.transaction == "ignore":
            return None
        for versions in self._store.versions.values():
            event = versions[-1]
            if event.owner != owner or event.content.get("transactionId") != transaction:
                continue
            if event.deleted and not switches.transaction_outlives:
                continue
            if switches.transaction == "same" and not event.deleted and bodies.same(event.content, fields):
                return event
            message = (
                "Your request can't be completed. The TransactionId has already been used to create a different event."
            )
            extra = {"@event.existingEventId": event.key} if switches.duplicate_names_event else {}
            raise Fault(switches.duplicate_status, "ErrorDuplicateTransactionId", message, extra=extra)
        return None

    def change(self, owner: str, some_id: str, body: Json, if_match: str = "", **inner: Any) -> tuple[StoredEvent, str]:
        """PATCH of an event, a series, or one occurrence. Raises `Fault`."""
        with self._store.lock:
            event, original = self.resolve(owner, some_id)
            self._guard(event, if_match)
            fields = bodies.accepted(body)
            if "transactionId" in fields:
                raise Fault(400, "ErrorInvalidRequest", "TransactionId can be set only once.")
            added = {item["id"]: item["value"] for item in fields.pop("singleValueExtendedProperties", ())}
            if original:
                if fields.keys() & _EXCEPTION_ONLY:
                    raise Fault(400, "ErrorInvalidRequest", "An occurrence has no recurrence of its own.")
                over = {**self._at(event, original), **event.exceptions.get(original, {}), **fields, **inner}
                bodies.check_times({**event.content, **over})
                event = self._store.put(event, exceptions={**event.exceptions, original: over})
            else:
                content = {**event.content, **fields, **inner}
                bodies.check_times(content)
                content = bodies.with_meeting(content, event.content, _join_url())
                reset: Json = (
                    {}
                    if fields.keys().isdisjoint({"start", "end", "recurrence", "isAllDay"})
                    else {
                        "exceptions": {},
                        "cancelled": (),
                    }
                )
                event = self._store.put(event, content=content, properties={**event.properties, **added}, **reset)
            self._mail(event, "update")
            self._changed(event, "updated")
            return event, original

    def delete(self, owner: str, some_id: str, if_match: str = "", *, kind: str = "cancellation") -> None:
        """DELETE: into Deleted Items; an organizer's guests are told. Raises `Fault`."""
        with self._store.lock:
            event, original = self.resolve(owner, some_id, deleted=True)
            if event.deleted:
                if self._store.switches.second_delete == 403:
                    raise Fault(403, "ErrorCannotDeleteObject", "The object can't be deleted.")
                raise Fault(404, "ErrorItemNotFound", _NOT_FOUND)
            self._guard(event, if_match)
            if original:
                event = self._store.put(event, cancelled=(*event.cancelled, original))
                self._changed(event, "updated")
                return
            event = self._store.put(event, deleted=True, left={**event.left, event.calendar: self._store.seq + 1})
            self._mail(event, kind)
            self._changed(event, "deleted")

    def cancel(self, owner: str, some_id: str) -> None:
        """POST /cancel: for organizers only. Raises `Fault`."""
        with self._store.lock:
            event, original = self.resolve(owner, some_id, deleted=False)
            if event.content.get("organizer"):
                raise Fault(400, "ErrorInvalidRequest", "You need to be an organizer to cancel a meeting.")
            if not original:
                event = self._store.put(event, content={**event.content, "isCancelled": True})
            self.delete(owner, some_id)

    def respond(self, owner: str, some_id: str, answer: str) -> None:
        """Accept, decline or accept tentatively somebody else's meeting. Raises `Fault`."""
        with self._store.lock:
            event, _ = self.resolve(owner, some_id, deleted=False)
            if not event.content.get("organizer"):
                raise Fault(400, "ErrorInvalidRequest", "Your request can't be completed. You're the organizer.")
            event = self._store.put(event, content={**event.content, "response": answer})
            self._changed(event, "updated")

    def move(self, owner: str, some_id: str, calendar_id: str) -> StoredEvent:
        """Drag to another calendar: the plain id changes, the immutable one doesn't (rule M-2)."""
        with self._store.lock:
            event, _ = self.resolve(owner, some_id, deleted=False)
            target = self._store.calendar(owner, calendar_id)
            left = {**event.left, event.calendar: self._store.seq + 1}
            event = self._store.put(event, calendar=target.id, plain=new_id("AAMkAG"), left=left)
            self._changed(event, "updated")
            return event

    def restore(self, owner: str, some_id: str) -> None:
        """Out of Deleted Items again."""
        with self._store.lock:
            event, _ = self.resolve(owner, some_id, deleted=True)
            self._changed(self._store.put(event, deleted=False), "created")

    def purge(self, owner: str, some_id: str) -> None:
        """Out of Deleted Items for ever."""
        with self._store.lock:
            event, _ = self.resolve(owner, some_id, deleted=True)
            self._store.put(event, purged=True, deleted=True)

    def occurrences(self, event: StoredEvent) -> list[str]:
        """Original starts of the first occurrences that still exist, for an operator to choose from."""
        first = local_of(event.content["start"]).replace(tzinfo=UTC)
        near = instances(event, first - timedelta(days=2), first + timedelta(days=800))
        return [instance.original for instance in near]

    def _at(self, event: StoredEvent, original: str) -> Json:
        """Start and end of an occurrence as the series has them."""
        local = datetime.fromisoformat(original)
        content = event.content
        length = local_of(content["end"]) - local_of(content["start"])
        return {
            "start": {**content["start"], "dateTime": local.isoformat()},
            "end": {**content["end"], "dateTime": (local + length).isoformat()},
            "isAllDay": bool(content.get("isAllDay")),
        }

    def _guard(self, event: StoredEvent, if_match: str) -> None:
        if self._store.switches.if_match and if_match not in ("", "*", etag_of(event)):
            message = "The change key passed in the request does not match the current change key for the item."
            raise Fault(412, "ErrorIrresolvableConflict", message)

    def _mail(self, event: StoredEvent, kind: str) -> None:
        """Rule M-5: nothing keeps Exchange from telling the guests of an own meeting."""
        guests = [] if event.content.get("organizer") else event.content.get("attendees") or []
        people = [str(guest["emailAddress"]["address"]) for guest in guests if guest.get("type") != "resource"]
        self._store.mail(event.owner, kind, people, str(event.content.get("subject") or ""))


def _join_url() -> str:
    return f"https://teams.microsoft.com/l/meetup-join/{secrets.token_hex(8)}"
