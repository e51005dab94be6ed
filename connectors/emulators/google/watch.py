"""Push channels (PROVIDERS A8, rule G-11): bodyless notifications, delivered from a thread of their own."""

from __future__ import annotations

import hashlib
import http.client
import queue
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from connectors.emulators.google.answers import ApiError, Json, not_found
from connectors.emulators.google.store import StoredCalendar, World

DEFAULT_TTL = 604_800
MAX_TTL = 2_592_000
_RETRIES = (0.2, 0.5, 1.0)
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(slots=True)
class OpenChannel:
    """One channel. expires: epoch seconds of the emulated clock. number: of the last message."""

    id: str
    resource_id: str
    calendar: str
    address: str
    token: str
    expires: float
    owner: str
    number: int = 0


class Push:
    """All channels and their messages.

    mode: ``deliver``, ``suppress`` (lost), ``duplicate``, ``hold`` (until `release`). allow_http: the test flag
    without which only https addresses are taken. Only loopback addresses are ever called; others are noted as lost.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.channels: dict[str, OpenChannel] = {}
        self.mode = "deliver"
        self.allow_http = True
        self.wrong_token = False
        self.sent: list[Json] = []
        self.held: list[tuple[OpenChannel, dict[str, str]]] = []
        self._queue: queue.Queue[tuple[OpenChannel, dict[str, str]] | None] = queue.Queue()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._deliver_all, name="google-push", daemon=True)
        self._thread.start()

    def open(self, calendar: StoredCalendar, owner: str, body: Json, uri: str) -> Json:
        """events.watch: the sync message goes out first. Raises `ApiError` 400."""
        if body.get("type") not in ("web_hook", "webhook") or not body.get("id") or not body.get("address"):
            raise ApiError(400, "required", "Required")
        if not self.allow_http and not body["address"].startswith("https://"):
            raise ApiError(400, "push.webhookUrlNotHttps", f"WebHook callback must be HTTPS: {body['address']}")
        if len(body["id"]) > 64 or len(body.get("token", "")) > 256:
            raise ApiError(400, "invalid", "Invalid value")
        if calendar.id.endswith("#holiday@group.v.calendar.google.com"):
            message = "Push notifications are not supported by this resource."
            raise ApiError(400, "pushNotSupportedForRequestedResource", message)
        if body["id"] in self.channels and self.world.rules.duplicate_channel_refused:
            raise ApiError(400, "channelIdNotUnique", f"Channel id {body['id']} not unique")
        now = self.world.now().timestamp()
        wanted = now + int((body.get("params") or {}).get("ttl", DEFAULT_TTL))
        if body.get("expiration"):
            wanted = int(body["expiration"]) / 1000
        expires = min(wanted, now + MAX_TTL)
        resource_id = hashlib.sha256(f"{owner} {calendar.id}".encode()).hexdigest()[:27]
        channel = OpenChannel(
            body["id"], resource_id, calendar.id, body["address"], body.get("token", ""), expires, owner
        )
        self.channels[channel.id] = channel
        self._notify(channel, "sync", uri)
        answer: Json = {
            "kind": "api#channel",
            "id": channel.id,
            "resourceId": resource_id,
            "resourceUri": uri,
            "expiration": str(int(expires * 1000)),
        }
        return answer | ({"token": channel.token} if channel.token else {})

    def stop(self, owner: str, body: Json) -> None:
        """channels.stop. Raises `ApiError` 404, by a switch, for an unknown one."""
        channel = self.channels.get(body.get("id", ""))
        if channel is None or channel.resource_id != body.get("resourceId") or channel.owner != owner:
            if self.world.rules.stop_unknown == 404:
                raise not_found()
            return
        del self.channels[channel.id]

    def changed(self, calendar_id: str, state: str = "exists") -> None:
        """Something in a calendar changed: tell every channel that lives."""
        now = self.world.now().timestamp()
        with self.world.lock:
            for channel in list(self.channels.values()):
                if channel.expires <= now:
                    del self.channels[channel.id]
                elif channel.calendar == calendar_id:
                    self._notify(
                        channel, state, f"https://www.googleapis.com/calendar/v3/calendars/{calendar_id}/events"
                    )

    def release(self, *, reverse: bool = False) -> int:
        """Send what was held back, in order or reversed. Returns how many."""
        with self.world.lock:
            held, self.held = self.held, []
        for item in reversed(held) if reverse else held:
            self._queue.put(item)
        return len(held)

    def settle(self, timeout: float = 10.0) -> None:
        """Wait until everything queued has been sent or lost."""
        waiter = threading.Thread(target=self._queue.join, daemon=True)
        waiter.start()
        waiter.join(timeout)

    def close(self) -> None:
        """End the thread."""
        self._stopped.set()
        self._queue.put(None)
        self._thread.join(timeout=5)

    def _notify(self, channel: OpenChannel, state: str, uri: str) -> None:
        channel.number += 1
        headers = {
            "Content-Length": "0",
            "X-Goog-Channel-ID": channel.id,
            "X-Goog-Message-Number": str(channel.number),
            "X-Goog-Resource-ID": channel.resource_id,
            "X-Goog-Resource-State": state,
            "X-Goog-Resource-URI": uri,
            "X-Goog-Channel-Expiration": f"{datetime.fromtimestamp(channel.expires, UTC):%a, %d %b %Y %H:%M:%S} GMT",
        }
        if channel.token:
            headers["X-Goog-Channel-Token"] = "wrong" if self.wrong_token else channel.token
        if self.mode == "suppress":
            self.sent.append({"channel": channel.id, "state": state, "status": "suppressed"})
        elif self.mode == "hold":
            self.held.append((channel, headers))
        else:
            for _ in range(2 if self.mode == "duplicate" else 1):
                self._queue.put((channel, dict(headers)))

    def _deliver_all(self) -> None:
        while (item := self._queue.get()) is not None:
            try:
                self._deliver(*item)
            finally:
                self._queue.task_done()
        self._queue.task_done()

    def _deliver(self, channel: OpenChannel, headers: dict[str, str]) -> None:
        status: Any = "lost"
        for pause in (0.0, *_RETRIES):
            if self._stopped.wait(pause):
                break
            status = _post(channel.address, headers)
            if status not in (500, 502, 503, 504):
                break
        note = {"channel": channel.id, "state": headers["X-Goog-Resource-State"], "status": status}
        with self.world.lock:
            self.sent.append(note)


def _post(address: str, headers: dict[str, str]) -> int | str:
    url = urlsplit(address)
    if url.hostname not in _LOOPBACK or url.scheme != "http":
        return "not loopback"
    connection = http.client.HTTPConnection(url.hostname or "", url.port or 80, timeout=10)
    try:
        connection.request("POST", url.path + (f"?{url.query}" if url.query else ""), headers=headers)
        return connection.getresponse().status
    except (TimeoutError, OSError, http.client.HTTPException):
        return "unreachable"
    finally:
        connection.close()
