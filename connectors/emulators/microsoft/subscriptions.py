"""Subscriptions: handshake, life, notifications (PROVIDERS B7, rule M-6)."""

from __future__ import annotations

import queue
import secrets
import threading
import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlsplit

import httpx

from connectors.emulators.microsoft.events import etag_of
from connectors.emulators.microsoft.store import Store, StoredEvent
from connectors.emulators.microsoft.wire import Fault, Json, Reply, Request

_LEAST = timedelta(minutes=45)
_RESOURCES = frozenset({"me/events"})
_NOT_FOUND = "The object was not found."


class Subscriptions:
    """Subscriptions of all accounts, and a thread that delivers.

    mode: ``auto`` delivers at once, ``hold`` keeps notifications until `deliver`. deliveries: what was sent, what
    was answered, and how long it took.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._queue: queue.Queue[Json | None] = queue.Queue()
        self._http = httpx.Client(trust_env=False, timeout=10.0, follow_redirects=False)
        self._thread = threading.Thread(target=self._work, name="graph-notifications", daemon=True)
        self.mode = "auto"
        self.held: list[Json] = []
        self.deliveries: list[Json] = []
        self.next_copies: list[int] = []
        self.wrong_state = 0
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._queue.put(None)
        self._thread.join(timeout=15)
        self._http.close()

    # -- the resource ----------------------------------------------------------------------------------------------

    def handle(self, request: Request, rest: tuple[str, ...]) -> Reply:
        """``/subscriptions…``. Raises `Fault`."""
        if not rest:
            if request.method == "POST":
                return Reply(201, self._create(request))
            return Reply(200, {"value": [self._shown(s) for s in self._living() if s["owner"] == request.account]})
        with self._store.lock:
            found = next((s for s in self._living() if s["id"] == rest[0] and s["owner"] == request.account), None)
            if found is None:
                raise Fault(404, "ResourceNotFound", _NOT_FOUND)
            if rest[1:] == ("reauthorize",) and request.method == "POST":
                return Reply(204)
            if request.method == "DELETE":
                del self._store.subscriptions[found["id"]]
                self._store.dirty = True
                return Reply(204)
            if request.method == "PATCH":
                body = request.json()
                if body.keys() - {"expirationDateTime", "notificationUrl"}:
                    raise Fault(400, "InvalidRequest", "Only expirationDateTime can be changed.")
                found["expirationDateTime"] = self._until(body.get("expirationDateTime"))
                self._store.dirty = True
            return Reply(200, self._shown(found))

    def _create(self, request: Request) -> Json:
        body = request.json()
        for name in ("changeType", "notificationUrl", "resource", "expirationDateTime"):
            if not isinstance(body.get(name), str):
                raise Fault(400, "InvalidRequest", f"Subscription property {name} is missing.")
        if body["resource"].strip("/").lower() not in _RESOURCES:
            raise Fault(400, "InvalidRequest", f"Resource '{body['resource']}' is not supported.")
        if set(body["changeType"].split(",")) - {"created", "updated", "deleted"}:
            raise Fault(400, "InvalidRequest", "changeType is not supported.")
        if len(body.get("clientState") or "") > 128:
            raise Fault(400, "InvalidRequest", "clientState must not exceed 128 characters.")
        until = self._until(body["expirationDateTime"])
        if self._store.switches.duplicate_subscription == 409:
            for known in self._living():
                if known["owner"] == request.account and known["notificationUrl"] == body["notificationUrl"]:
                    raise Fault(409, "ExtensionError", "Subscription with the same resource and URL exists.")
        for name in ("notificationUrl", "lifecycleNotificationUrl"):
            if body.get(name):
                self._handshake(body[name])
        made = {
            **{name: body.get(name) for name in ("changeType", "notificationUrl", "lifecycleNotificationUrl")},
            "id": str(uuid.uuid4()),
            "resource": body["resource"],
            "clientState": body.get("clientState"),
            "expirationDateTime": until,
            "owner": request.account,
            "immutable": request.preferences().get("idtype") == "ImmutableId",
        }
        with self._store.lock:
            self._store.subscriptions[made["id"]] = made
            self._store.dirty = True
        return self._shown(made, state=True)

    def _handshake(self, url: str) -> None:
        """Both addresses must repeat a token within ten seconds, before the POST is answered."""
        token = f"Validation: Testing client application reachability for subscription & <{secrets.token_hex(6)}>"
        self._allowed(url)
        joint = "&" if urlsplit(url).query else "?"
        try:
            address = f"{url}{joint}validationToken={quote(token, safe='')}"
            answer = self._http.post(address, content=b"", headers={"Content-Type": "text/plain; charset=utf-8"})
        except httpx.HTTPError as error:
            raise Fault(400, "ValidationError", f"Subscription validation request failed: {error}") from None
        kind = answer.headers.get("content-type", "").split(";")[0]
        if answer.status_code != 200 or kind != "text/plain" or answer.text != token:
            message = f"Subscription validation request failed. HTTP status {answer.status_code}, {kind}."
            raise Fault(400, "ValidationError", message)

    def _allowed(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme != "https" and not (parts.scheme == "http" and self._store.switches.http_hooks):
            raise Fault(400, "InvalidRequest", "The notification URL must use https.")
        if parts.hostname not in ("127.0.0.1", "localhost", "::1"):
            raise Fault(400, "ValidationError", "This emulator calls its own machine only.")

    def _until(self, text: Any) -> str:
        try:
            asked = datetime.fromisoformat(str(text))
        except ValueError:
            raise Fault(400, "InvalidRequest", "expirationDateTime can't be read.") from None
        asked = asked if asked.tzinfo else asked.replace(tzinfo=UTC)
        now = self._store.instant()
        if asked <= now:
            raise Fault(400, "InvalidRequest", "Subscription expiration must be in the future.")
        if asked > now + timedelta(minutes=self._store.switches.subscription_minutes):
            raise Fault(400, "InvalidRequest", "Subscription expiration can only be a limited time in the future.")
        return max(asked, now + _LEAST).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + "0Z"

    def _living(self) -> list[Json]:
        now = self._store.instant()
        living = []
        for found in list(self._store.subscriptions.values()):
            if datetime.fromisoformat(found["expirationDateTime"]) > now:
                living.append(found)
        return living

    def _shown(self, found: Json, *, state: bool = False) -> Json:
        hidden = {"owner", "immutable"} | (set() if state else {"clientState"})
        shown = {name: value for name, value in found.items() if name not in hidden}
        return {**shown, "applicationId": "00000000-0000-0000-0000-000000000001", "creatorId": found["owner"]}

    # -- notifications ---------------------------------------------------------------------------------------------

    def changed(self, event: StoredEvent, change: str) -> None:
        """An event changed: tell the subscribers, of the default calendar only."""
        calendar = self._store.calendars[event.calendar]
        if not (calendar.default or self._store.switches.other_calendars_notify):
            return
        for found in self._living():
            if found["owner"] != event.owner or change not in found["changeType"].split(","):
                continue
            some_id = event.key if found["immutable"] else event.plain
            path = f"Users/{event.owner}/Events/{some_id}"
            data = {
                "@odata.type": "#Microsoft.Graph.Event",
                "@odata.id": path,
                "@odata.etag": etag_of(event),
                "id": some_id,
            }
            self._enqueue(found, {"changeType": change, "resource": path, "resourceData": data}, "notificationUrl")

    def lifecycle(self, kind: str, subscription_id: str = "") -> int:
        """Send a lifecycle event to one or all subscriptions; ``subscriptionRemoved`` removes them, too."""
        hit = [s for s in self._living() if not subscription_id or s["id"] == subscription_id]
        for found in hit:
            item = {"lifecycleEvent": kind, "resource": found["resource"], "changeType": "updated"}
            self._enqueue(found, item, "lifecycleNotificationUrl")
            if kind == "subscriptionRemoved":
                self._store.subscriptions.pop(found["id"], None)
        return len(hit)

    def _enqueue(self, found: Json, item: Json, target: str) -> None:
        state = found["clientState"]
        if self.wrong_state:
            self.wrong_state -= 1
            state = "not-the-secret"
        item = {
            "id": str(uuid.uuid4()),
            "subscriptionId": found["id"],
            "subscriptionExpirationDateTime": found["expirationDateTime"],
            "clientState": state,
            "tenantId": self._store.accounts[found["owner"]].tid,
            **item,
        }
        parcel = {"url": found.get(target) or found["notificationUrl"], "item": item}
        copies = self.next_copies.pop(0) if self.next_copies else 1
        for _ in range(copies):
            if self.mode == "hold":
                self.held.append(parcel)
            else:
                self._queue.put(parcel)

    def deliver(self, *, reverse: bool = False) -> int:
        """Send what was held back."""
        parcels, self.held = self.held, []
        for parcel in reversed(parcels) if reverse else parcels:
            self._queue.put(parcel)
        return len(parcels)

    def settle(self, seconds: float = 5.0) -> bool:
        """Wait until everything queued has been sent."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if not self._queue.unfinished_tasks:
                return True
            time.sleep(0.01)
        return False

    def _work(self) -> None:
        while True:
            parcel = self._queue.get()
            try:
                if parcel is None:
                    return
                self._send(parcel)
            finally:
                self._queue.task_done()

    def _send(self, parcel: Json) -> None:
        began, status, fault = time.monotonic(), 0, ""
        try:
            self._allowed(parcel["url"])
            status = self._http.post(parcel["url"], json={"value": [parcel["item"]]}).status_code
        except (httpx.HTTPError, Fault) as error:
            fault = type(error).__name__
        took = time.monotonic() - began
        good = status == 202 and took <= 3.0
        self.deliveries.append({**parcel, "status": status, "seconds": took, "fault": fault, "good": good})
