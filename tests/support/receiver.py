"""Somebody else's webhook endpoint: a real HTTP server that keeps what it was told and answers as it is asked to."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Told:
    """One call as it came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        """Its identity."""
        return self.headers["webhook-id"]

    @property
    def json(self) -> Any:
        """What it says."""
        return json.loads(self.body)

    def is_signed_by(self, secret: str) -> bool:
        """Worked out here from the words of the specification, with nothing of the product."""
        key = base64.b64decode(secret.split("_", 1)[1])
        signed = f"{self.id}.{self.headers['webhook-timestamp']}.".encode() + self.body
        wanted = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        return wanted in self.headers["webhook-signature"].split(" ")


@dataclass
class Receiver:
    """A context manager. answers: statuses or ``(status, headers, body)`` of the next calls; 200 when there is none left.
    before: called with each call before it is answered."""

    answers: list[Any] = field(default_factory=list)
    always: int = 200
    before: Callable[[Told], None] | None = None
    told: list[Told] = field(default_factory=list)

    def __enter__(self) -> Receiver:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                call = Told(self.path, {k.lower(): v for k, v in self.headers.items()}, body)
                if receiver.before is not None:
                    receiver.before(call)
                with receiver._lock:
                    receiver.told.append(call)
                    given = receiver.answers.pop(0) if receiver.answers else receiver.always
                status, headers, text = given if isinstance(given, tuple) else (given, {}, b"")
                self.send_response(status)
                for name, value in {"content-length": str(len(text)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                try:
                    self.wfile.write(text)
                except ConnectionError:
                    self.close_connection = True  # the other side has read enough

            def log_message(self, *_: Any) -> None:
                pass

        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/told?key=theirs"

    @property
    def types(self) -> list[str]:
        """What it was told of, in order."""
        return [call.json["type"] for call in self.told]
