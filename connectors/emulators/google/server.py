"""The HTTP side: one thread a connection, raw sockets where a fault asks for it."""

from __future__ import annotations

import contextlib
import inspect
import os
import socket
import struct
import threading
from dataclasses import dataclass
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from connectors.emulators.google.answers import ApiError, Request, Response
from connectors.emulators.google.api import Api
from connectors.emulators.google.control import Control
from connectors.emulators.google.faults import BEFORE, Fault
from connectors.emulators.google.oauth import Accounts
from connectors.emulators.google.page import Page
from connectors.emulators.google.store import World
from connectors.emulators.google.watch import Push

CLIENT_ID = "emulated.apps.googleusercontent.com"
CLIENT_SECRET = "emulated-secret"


@dataclass(slots=True)
class RunningEmulator:
    """A started emulator. base_url: for ``google_api_root`` and ``google_oauth_root``; also a page for humans."""

    base_url: str
    control: Control
    client_id: str
    client_secret: str
    _server: _Server

    def stop(self) -> None:
        """Save, close all connections and end; idempotent."""
        self._server.end()

    def __enter__(self) -> RunningEmulator:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()


def start_google(
    port: int = 0,
    *,
    path: Path | None = None,
    client_id: str = CLIENT_ID,
    client_secret: str = CLIENT_SECRET,
    strict: bool = True,
) -> RunningEmulator:
    """Start on 127.0.0.1. port: 0 for a free one. path: JSON file that keeps the world over restarts."""
    world = World(path)
    accounts = Accounts(world, client_id, client_secret)
    push = Push(world)
    control = Control(world, accounts, push)
    server = _Server(port, world, Api(world, accounts, push, strict), control)
    server.begin()
    return RunningEmulator(f"http://127.0.0.1:{server.server_port}", control, client_id, client_secret, server)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, world: World, api: Api, control: Control) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.world, self.api, self.control = world, api, control
        self.page = Page(world, control)
        self.ended = threading.Event()
        self._open: set[socket.socket] = set()
        self._own_threads = [
            threading.Thread(target=self.serve_forever, args=(0.02,), name="google-emulator", daemon=True),
            threading.Thread(target=self._keep, name="google-emulator-saver", daemon=True),
        ]

    def begin(self) -> None:
        """Start serving."""
        for thread in self._own_threads:
            thread.start()

    def end(self) -> None:
        """Stop serving and save."""
        if self.ended.is_set():
            return
        self.ended.set()
        self.shutdown()
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self.server_close()
        self.api.push.close()
        for thread in self._own_threads:
            thread.join(timeout=5)
        with self.world.lock:
            self.world.save()

    def _keep(self) -> None:
        while not self.ended.wait(0.3):
            with self.world.lock:
                self.world.save()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Remember the socket, so that `end` can close it."""
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Forget the socket."""
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def do_GET(self) -> None:
        self._serve()

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are in the world's log."""

    def _serve(self) -> None:
        world = self.server.world
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        url = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, url.path, parse_qsl(url.query, keep_blank_values=True), headers, body)
        request.at = world.now().timestamp()
        if url.path.startswith("/_ctl/"):
            return self._send(self._controlled(request))
        if url.path == "/" or url.path.startswith("/_page/"):
            return self._send(self.server.page.handle(request))
        if url.path == "/favicon.ico":
            return self._send(Response(204))  # browsers ask for it; it isn't Google's
        entry = {
            "method": request.method,
            "path": url.path,
            "query": url.query,
            "headers": {k: v for k, v in headers.items() if k != "authorization"},
            "body": body.decode(errors="replace"),
            "at": request.at,
            "status": 0,
        }
        world.log.append(entry)
        fault = self.server.control.matching_fault(request, url.query)
        if fault is not None and fault.action in BEFORE:
            return self._spoiled_before(fault, entry)
        answer = self._answer(request)
        entry["status"] = answer.status
        if fault is not None:
            return self._spoiled_after(fault, answer)
        return self._send(answer)

    def _answer(self, request: Request) -> Response:
        if request.path.startswith("/calendar/v3/"):
            return self.server.api.handle(request)
        with self.server.world.lock:
            answer = self.server.api.accounts.handle(request)
        if answer is None:
            self.server.world.unexpected.append(f"{request.method} {request.path}: no such address")
            answer = ApiError(501, "notImplemented", f"{request.path} is not emulated").response()
        return answer

    def _controlled(self, request: Request) -> Response:
        name = request.path.removeprefix("/_ctl/")
        act = getattr(self.server.control, name, None)
        if name.startswith("_") or name == "matching_fault" or not inspect.ismethod(act):
            return Response.of({"error": f"no such control: {name}"}, 404)
        try:
            return Response.of({"result": act(**request.json())})
        except (ApiError, KeyError, TypeError, ValueError, AssertionError) as error:
            return Response.of({"error": f"{type(error).__name__}: {error}"}, 400)

    # faults

    def _spoiled_before(self, fault: Fault, entry: dict[str, Any]) -> None:
        if fault.action == "hang":
            self.server.ended.wait(float(fault.options.get("seconds", 60)))
            return self._close()
        answer = fault.instead()
        if answer is None:
            return self._reset() if fault.action == "reset" else self._close()
        entry["status"] = answer.status
        return self._send(answer)

    def _spoiled_after(self, fault: Fault, answer: Response) -> None:
        match fault.action:
            case "commit_then_close":
                return self._close()
            case "commit_then_reset":
                return self._reset()
            case "commit_then_hang":
                self.server.ended.wait(float(fault.options.get("seconds", 60)))
                return self._close()
            case "truncate":
                self._send(fault.changed(answer), length=len(answer.body))
                return self._close()
            case "slow":
                return self._send(answer, pause=float(fault.options.get("seconds", 1)))
        return self._send(fault.changed(answer))

    def _close(self) -> None:
        """Close without another byte; where none was sent, httplib2 repeats the request on its own."""
        self.close_connection = True

    def _reset(self) -> None:
        """Break the line by RST."""
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            os.close(self.connection.detach())

    def _send(self, answer: Response, *, length: int | None = None, pause: float = 0) -> None:
        date = formatdate(self.server.world.now().timestamp(), usegmt=True)
        head = [f"HTTP/1.1 {answer.status} {self.responses.get(answer.status, ('',))[0]}", f"Date: {date}"]
        head += [f"{name}: {value}" for name, value in answer.headers]
        if answer.status not in (204, 304):
            head.append(f"Content-Length: {len(answer.body) if length is None else length}")
        with contextlib.suppress(OSError):
            self.wfile.write(("\r\n".join(head) + "\r\n\r\n").encode())
            if pause:
                self.wfile.flush()
                self.server.ended.wait(pause)
            self.wfile.write(answer.body)
            self.wfile.flush()
