"""An HTTP proxy in front of a real server, with rules that let things go wrong, and a log of what came by.

A rule matches requests by method, path and body and picks an action (see `connectors/emulators/faults.py`); what
no rule matches is passed through.
"""

from __future__ import annotations

import contextlib
import gzip
import http.client
import random
import re
import socket
import struct
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

_HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length"})


@dataclass(slots=True)
class Answer:
    """A response on its way to the client."""

    status: int
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""

    def without(self, name: str) -> Answer:
        """The same without a header."""
        return Answer(self.status, [(k, v) for k, v in self.headers if k.lower() != name.lower()], self.body)

    def unpacked(self) -> Answer:
        """The same without gzip."""
        packed = any(k.lower() == "content-encoding" and v == "gzip" for k, v in self.headers)
        return self.without("content-encoding").with_body(gzip.decompress(self.body)) if packed else self

    def with_body(self, body: bytes) -> Answer:
        """The same with another body."""
        return Answer(self.status, list(self.headers), body)


@dataclass(frozen=True, slots=True)
class Seen:
    """One request that came by. up, down: bytes on the wire, heads included. status: 0 if nothing was answered."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    status: int
    up: int
    down: int


class Exchange:
    """One request inside the proxy, as actions see it."""

    def __init__(self, handler: _Handler, proxy: FaultProxy, body: bytes) -> None:
        self._handler, self.proxy = handler, proxy
        self.method, self.path, self.body = handler.command, handler.path, body
        self.headers: dict[str, str] = dict(handler.headers.items())
        self._sent = dict(self.headers)
        self._noted = False

    def note(self, status: int = 0, down: int = 0) -> None:
        """Put it in the log, once, before the client can know how it ended."""
        if not self._noted:
            self._noted = True
            head = len(self._handler.raw_requestline) + sum(len(k) + len(v) + 4 for k, v in self._sent.items()) + 2
            up = head + len(self.body)
            self.proxy.note(Seen(self.method, self.path, self._sent, self.body, status, up, down))

    def forward(self) -> Answer:
        """Ask the real server; after this the request has had its effect."""
        host, port = self.proxy.upstream
        connection = http.client.HTTPConnection(host, port, timeout=60)
        try:
            headers = {k: v for k, v in self.headers.items() if k.lower() not in _HOP_BY_HOP}
            connection.request(self.method, self.path, self.body or None, headers)
            response = connection.getresponse()
            body = response.read()
            kept = [(k, v) for k, v in response.getheaders() if k.lower() not in _HOP_BY_HOP]
            return Answer(response.status, kept, body)
        finally:
            connection.close()

    def reply(self, answer: Answer, *, declared: int | None = None) -> None:
        """Send an answer. declared: a Content-Length that isn't true."""
        length = len(answer.body) if declared is None else declared
        head = [f"HTTP/1.1 {answer.status} {http.client.responses.get(answer.status, 'Unknown')}"]
        head += [f"{name}: {value}" for name, value in answer.headers]
        if answer.status not in (204, 304) and answer.status >= 200:
            head.append(f"Content-Length: {length}")
        raw = "\r\n".join([*head, "", ""]).encode("latin-1") + (b"" if self.method == "HEAD" else answer.body)
        self.note(answer.status, len(raw))
        self._handler.wfile.write(raw)

    def hang(self, seconds: float) -> None:
        """Keep silent for a while, or until the proxy ends; then drop the connection."""
        self.note()
        self.proxy.ended.wait(seconds)
        self.reset()

    def reset(self) -> None:
        """Drop the connection with RST, without another byte."""
        self.note()
        with contextlib.suppress(OSError):
            self._handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._handler.close_connection = True


Action = Callable[[Exchange], None]
"""What happens to a matched request."""


@dataclass(slots=True)
class Rule:
    """When an action applies. method, path: regular expressions, searched. nth: the first match that it applies to,
    counted from 1. count: how often, None for ever. probability: of each, from the proxy's seed."""

    action: Action
    method: re.Pattern[str]
    path: re.Pattern[str]
    body: re.Pattern[bytes]
    nth: int = 1
    count: int | None = None
    probability: float = 1.0
    matched: int = 0
    applied: int = 0

    def takes(self, exchange: Exchange, chance: random.Random) -> bool:
        """Does it apply now? Counts."""
        if not (
            self.method.fullmatch(exchange.method)
            and self.path.search(exchange.path)
            and self.body.search(exchange.body)
        ):
            return False
        self.matched += 1
        if self.matched < self.nth or (self.count is not None and self.applied >= self.count):
            return False
        if self.probability < 1.0 and chance.random() >= self.probability:
            return False
        self.applied += 1
        return True


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60
    proxy: FaultProxy

    def log_message(self, format: str, *args: Any) -> None:  # the log is FaultProxy.log
        pass

    def handle_one_request(self) -> None:
        """Any method."""
        try:
            self.raw_requestline = self.rfile.readline(65537)
            if not self.raw_requestline or not self.parse_request():
                self.close_connection = True
                return
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.proxy.serve(self, body)
            self.wfile.flush()
        except OSError:
            self.close_connection = True


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], handler: type[_Handler]) -> None:
        self.open: set[socket.socket] = set()
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.open.discard(request)
        # No shutdown(SHUT_WR) first: with SO_LINGER set, close() alone sends RST.
        request.close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass

    def drop_all(self) -> None:
        for connection in list(self.open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class FaultProxy:
    """A context manager; thread-safe. upstream: root URL of the real server. seed: for probabilities."""

    def __init__(self, upstream: str, *, seed: int = 0) -> None:
        parts = urlsplit(upstream)
        self.upstream = (parts.hostname or "127.0.0.1", parts.port or 80)
        self.log: list[Seen] = []
        self.ended = threading.Event()
        self._rules: list[Rule] = []
        self._lock = threading.Lock()
        self._chance = random.Random(seed)
        self._server: _Server | None = None
        self._port = 0
        self._listen()

    @property
    def url(self) -> str:
        """Root URL of the proxy, with a trailing slash."""
        return f"http://127.0.0.1:{self._port}/"

    def through(self, url: str) -> str:
        """A URL of the real server, as it is reached through the proxy."""
        parts = urlsplit(url)
        return self.url.rstrip("/") + parts.path

    def add(
        self,
        action: Action,
        *,
        method: str = ".*",
        path: str = "",
        body: bytes = b"",
        nth: int = 1,
        count: int | None = None,
        probability: float = 1.0,
    ) -> Rule:
        """A new rule, asked after the earlier ones; the first that takes a request decides."""
        rule = Rule(action, re.compile(method), re.compile(path), re.compile(body, re.S), nth, count, probability)
        with self._lock:
            self._rules.append(rule)
        return rule

    def clear(self) -> None:
        """Forget all rules; the log stays."""
        with self._lock:
            self._rules.clear()

    def forget_log(self) -> None:
        """Start the log afresh."""
        with self._lock:
            self.log.clear()

    def away(self) -> None:
        """Stop listening: connections are refused until `back`. Idempotent."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.drop_all()
            server.server_close()

    def back(self) -> None:
        """Listen again on the same port. Idempotent."""
        if self._server is None:
            self._listen()

    def stop(self) -> None:
        """End it and all that hangs in it. Idempotent."""
        self.ended.set()
        self.away()

    def serve(self, handler: _Handler, body: bytes) -> None:
        """One request: find its rule, act, note it."""
        exchange = Exchange(handler, self, body)
        with self._lock:
            rule = next((rule for rule in self._rules if rule.takes(exchange, self._chance)), None)
        try:
            if rule is not None:
                rule.action(exchange)
            else:
                exchange.reply(exchange.forward())
        finally:
            exchange.note()

    def note(self, seen: Seen) -> None:
        """Add to the log."""
        with self._lock:
            self.log.append(seen)

    def _listen(self) -> None:
        handler = type("Handler", (_Handler,), {"proxy": self})
        self._server = _Server(("127.0.0.1", self._port), handler)
        self._port = int(self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def __enter__(self) -> FaultProxy:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()
