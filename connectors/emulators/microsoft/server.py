"""The HTTP server in front of all parts: routing, faults, throttling, the request log."""

from __future__ import annotations

import socket
import struct
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from connectors.emulators.microsoft.faults import BEFORE, FaultRule, Faults
from connectors.emulators.microsoft.login import Login, refusal
from connectors.emulators.microsoft.service import Service
from connectors.emulators.microsoft.store import Store
from connectors.emulators.microsoft.subscriptions import Subscriptions
from connectors.emulators.microsoft.wire import Fault, Json, Reply, Request

Observer = Callable[[Request, Reply], None]
"""Sees every reply of Graph's half before it is sent; tests check its honesty there."""
Side = Callable[[Request], Reply | None]
"""Control and page: what isn't Microsoft's."""

_LOG = 5000


class App:
    """One emulator without its socket. log: every request to Microsoft's half, oldest first."""

    def __init__(self, store: Store, observe: Observer | None = None) -> None:
        self.store = store
        self.subscriptions = Subscriptions(store)
        self.login = Login(store)
        self.faults = Faults()
        self.service = Service(store, self.subscriptions)
        self.side: Side = lambda _request: None
        self.log: list[Json] = []
        self.most_at_once: Counter[str] = Counter()
        self._observe = observe
        self._running: Counter[str] = Counter()
        self._lock = threading.Lock()

    def answer(self, request: Request) -> tuple[Reply, FaultRule | None]:
        """The reply, and how its sending is to be spoilt."""
        if request.segments[:1] in ((), ("_ctl",), ("_ui",), ("favicon.ico",)):
            try:
                reply = self.side(request) or Reply(404, {"error": "no such page"})
            except Fault as fault:
                reply = fault.reply()
            self.store.save()
            return reply, None
        rule = self.faults.met_by(request.method, request.target)
        entry: Json = {
            "at": self.store.instant().isoformat(),
            "method": request.method,
            "path": request.target,
            "headers": {**request.headers, "authorization": "…"},
            "body": request.raw.decode("utf-8", "replace"),
            "fault": rule.action if rule else "",
        }
        reply = self._done(request, rule)
        entry["status"] = reply.status
        with self._lock:
            self.log.append(entry)
            del self.log[:-_LOG]
        if self._observe is not None:
            self._observe(request, reply)
        self.store.save()
        return _spoilt(reply, rule), rule

    def _done(self, request: Request, rule: FaultRule | None) -> Reply:
        name = str(uuid.uuid4())
        try:
            if rule is not None and rule.action in BEFORE:
                if rule.action == "oauth":
                    return refusal(rule.error, rule.suberror)
                raise rule.fault()
            if request.segments[:1] == ("v1.0",):
                reply = self._graph(request)
            else:
                found = self.login.handle(request)
                if found is None:
                    self.service.unexpected.append(f"{request.method} {request.target}: no such route here")
                    raise Fault(404, "ResourceNotFound", "no such route here")
                reply = found
            if rule is not None and rule.action == "commit_then_status":
                raise rule.fault()
        except Fault as fault:
            reply = fault.reply(name, self.store.instant().strftime("%Y-%m-%dT%H:%M:%S"))
        reply.headers.setdefault("request-id", name)
        if client := request.headers.get("client-request-id"):
            reply.headers.setdefault("client-request-id", client)
        return reply

    def _graph(self, request: Request) -> Reply:
        account, scopes = self.login.bearer(request.headers.get("authorization", ""))
        request.account, request.scopes = account, scopes
        with self._lock:
            self._running[account] += 1
            running = self._running[account]
            self.most_at_once[account] = max(self.most_at_once[account], running)
        try:
            if running > self.store.switches.concurrent:
                message = "Application is over its MailboxConcurrency limit."
                raise Fault(429, "ApplicationThrottled", message, headers={"Retry-After": "1"})
            if self.store.switches.latency_seconds:
                time.sleep(self.store.switches.latency_seconds)
            return self.service.handle(request, self._inner)
        finally:
            with self._lock:
                self._running[account] -= 1

    def _inner(self, request: Request) -> Reply:
        """One part of a batch, with faults of its own."""
        try:
            rule = self.faults.met_by(request.method, request.target)
            if rule is not None and rule.action == "status":
                raise rule.fault()
            request.account, request.scopes = self.login.bearer(request.headers.get("authorization", ""))
            reply = self.service.handle(request, self._inner)
        except Fault as fault:
            reply = fault.reply()
        if self._observe is not None:
            self._observe(request, reply)
        return reply


def _spoilt(reply: Reply, rule: FaultRule | None) -> Reply:
    """Replies whose content is wrong; what is wrong with the sending is the handler's."""
    action = rule.action if rule else ""
    if action == "html":
        page = b"<html><body><h1>Service temporarily odd</h1></body></html>"
        return Reply(200, page, {"Content-Type": "text/html"})
    if action == "invalid_json":
        return Reply(reply.status, b'{"value": [', {**reply.headers, "Content-Type": "application/json"})
    if not isinstance(reply.body, dict):
        return reply
    body = dict(reply.body)
    if action == "repeat_row" and body.get("value"):
        body["value"] = [*body["value"], body["value"][0]]
    elif action == "empty_page" and "@odata.nextLink" in body:
        body["value"] = []
    elif action == "strip_etag":
        body.pop("@odata.etag", None)
    return Reply(reply.status, body, reply.headers)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: _Server

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        raw = self.rfile.read(length) if length else b""
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, self.path, headers, raw)
        try:
            reply, rule = self.server.app.answer(request)
        except Exception as error:
            self.server.crashes.append(f"{self.command} {self.path}: {type(error).__name__}: {error}")
            reply, rule = Fault(500, "EmulatorBroken", f"{type(error).__name__}: {error}").reply(), None
        try:
            self._send(reply, rule)
        except OSError:
            self.close_connection = True

    do_POST = do_PATCH = do_DELETE = do_PUT = do_GET  # noqa: N815

    def _send(self, reply: Reply, rule: FaultRule | None) -> None:
        action = rule.action if rule else ""
        if action in ("close", "commit_then_close"):
            return self._reset()
        if rule is not None and action in ("hang", "commit_then_hang"):
            self.server.stopping.wait(rule.seconds)
            return self._reset()
        payload = reply.payload()
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if payload and "Content-Type" not in reply.headers:
            kind = "application/json;odata.metadata=minimal;charset=utf-8"
            self.send_header("Content-Type", kind)
        if reply.status != 204:
            self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        if action == "truncate":
            self.wfile.write(payload[: len(payload) // 2])
            self.wfile.flush()
            self.close_connection = True
        elif rule is not None and action == "slow":
            for start in range(0, len(payload), max(1, len(payload) // 4)):
                self.wfile.write(payload[start : start + max(1, len(payload) // 4)])
                self.wfile.flush()
                self.server.stopping.wait(rule.seconds / 4)
        else:
            self.wfile.write(payload)
        self.wfile.flush()
        return None

    def _reset(self) -> None:
        """End without a byte, as a dying server does."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def date_time_string(self, timestamp: float | None = None) -> str:
        """``Date`` by the emulator's clock."""
        return super().date_time_string(self.server.app.store.now() if timestamp is None else timestamp)

    def log_message(self, format: str, *args: Any) -> None:
        """Silence: the request log is kept elsewhere."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], app: App) -> None:
        self.app = app
        self.stopping = threading.Event()
        self.crashes: list[str] = []
        super().__init__(address, _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away isn't worth a traceback."""


class Running:
    """The socket and its thread."""

    def __init__(self, app: App, host: str, port: int) -> None:
        self._server = _Server((host, port), app)
        self._app = app
        self.address = f"http://{host}:{self._server.server_address[1]}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, name="microsoft-emulator", daemon=True
        )
        self._thread.start()

    @property
    def crashes(self) -> list[str]:
        """Requests on which the emulator itself failed."""
        return self._server.crashes

    def stop(self) -> None:
        """Close the socket, end the threads, write the file; idempotent."""
        if not self._server.stopping.is_set():
            self._server.stopping.set()
            self._server.shutdown()
            self._server.server_close()
            self._thread.join(timeout=5)
            self._app.subscriptions.close()
            self._app.store.save()
