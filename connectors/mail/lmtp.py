"""Incoming mail by LMTP (RFC 2033): the mail server in front hands messages over and keeps each until it is stored here."""

from __future__ import annotations

import contextlib
import re
import socket
import socketserver
import threading
from hashlib import sha256

from connectors.errors import Unreachable
from connectors.mail.incoming import Handle, IncomingMail, OnState
from connectors.mail.url import MailURL

MAX_OCTETS = 10 * 1024 * 1024
MAX_RECIPIENTS = 100
MAX_CONNECTIONS = 20
LONGEST_LINE = 64 * 1024
"""Octets of one line; RFC 5321 allows 1000, and servers in front pass longer ones on."""
IDLE_SECONDS = 300
"""A silent client is sent away after so long."""

_PATH = re.compile(r"<([^<>\s]*)>(?:\s+(.*))?")


class LmtpInbound:
    """An `Inbound` that listens on ``lmtp://host:port``; port 0 takes any free one (`address` tells).

    LMTP knows no login: the address must be reachable by our own mail server alone.
    """

    def __init__(self, url: MailURL) -> None:
        if url.username or url.path:
            raise ValueError("lmtp:// is an address to listen on; it has no user and no path")
        self._url = url
        self._server: _Server | None = None
        self._bound = threading.Event()
        self.authserv_id = url.options.get("authserv", "")

    def address(self, timeout: float = 10) -> tuple[str, int]:
        """Where it listens, once `run` has been called. Raises `Unreachable` if that takes longer than ``timeout``."""
        if not self._bound.wait(timeout) or self._server is None:
            raise Unreachable("not listening")
        host, port = self._server.server_address[:2]
        return str(host), int(port)

    def run(self, handle: Handle, stop: threading.Event, cursor: str = "", on_state: OnState | None = None) -> None:  # noqa: ARG002 -- the sending server remembers what it has delivered
        """See `Inbound.run`. Messages of several connections are handed over one at a time. Raises `Unreachable` if the
        address can't be listened on."""
        try:
            server = _Server((self._url.host, self._url.port), handle)
        except OSError as error:
            raise Unreachable(f"can't listen on port {self._url.port}: {error.strerror}") from error
        with server:
            self._server = server
            self._bound.set()
            if on_state is not None:
                on_state(None)
            loop = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.2}, name="lmtp")
            loop.start()
            try:
                stop.wait()
            finally:
                server.shutdown()
                server.hang_up()
                loop.join()
                self._bound.clear()
                self._server = None


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = False
    block_on_close = True
    request_queue_size = MAX_CONNECTIONS

    def __init__(self, bind: tuple[str, int], handle: Handle) -> None:
        if ":" in bind[0]:
            self.address_family = socket.AF_INET6
        super().__init__(bind, _Dialogue)
        self.handle = handle
        self.one_at_a_time = threading.Lock()
        self.lines: set[socket.socket] = set()
        self.lines_lock = threading.Lock()
        self.closing = False

    def hang_up(self) -> None:
        """Wake every connection that waits for its client; one that is storing a message still answers."""
        with self.lines_lock:
            self.closing = True
            for line in self.lines:
                with contextlib.suppress(OSError):
                    line.shutdown(socket.SHUT_RD)


class _Gone(Exception):
    """The client is no longer there."""


class _Dialogue(socketserver.StreamRequestHandler):
    """One connection. A message is acknowledged once for each recipient, and only after it was stored."""

    server: _Server
    timeout = IDLE_SECONDS
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        self.greeted = False
        self._forget()
        with self.server.lines_lock:
            self.server.lines.add(self.connection)
            self.unwelcome = self.server.closing or len(self.server.lines) > MAX_CONNECTIONS

    def finish(self) -> None:
        with self.server.lines_lock:
            self.server.lines.discard(self.connection)
        with contextlib.suppress(OSError):
            super().finish()

    def handle(self) -> None:
        with contextlib.suppress(_Gone, OSError):
            if self.unwelcome:
                self._say("421 4.3.2 Not now")
                return
            self._say("220 LMTP ready")
            while self._command():
                pass

    def _forget(self) -> None:
        self.sender: str | None = None
        self.recipients: list[str] = []

    def _say(self, *lines: str) -> None:
        self.wfile.write("".join(f"{line}\r\n" for line in lines).encode("utf-8", "replace"))

    def _line(self) -> bytes:
        line = self.rfile.readline(LONGEST_LINE + 1)
        if not line.endswith(b"\n"):
            raise _Gone
        return line

    def _command(self) -> bool:
        """One command; False when the dialogue is over."""
        verb, _, argument = self._line().decode("utf-8", "replace").strip().partition(" ")
        match verb.upper():
            case "LHLO" if argument.strip():
                self.greeted = True
                self._forget()
                self._say("250-slotledger", "250-PIPELINING", "250-8BITMIME", "250-SMTPUTF8",
                          "250-ENHANCEDSTATUSCODES", f"250 SIZE {MAX_OCTETS}")  # fmt: skip
            case "MAIL":
                self._mail(argument)
            case "RCPT":
                self._rcpt(argument)
            case "DATA":
                self._data()
            case "RSET":
                self._forget()
                self._say("250 2.0.0 OK")
            case "NOOP":
                self._say("250 2.0.0 OK")
            case "VRFY":
                self._say("252 2.1.5 Send it and see")
            case "QUIT":
                self._say("221 2.0.0 Bye")
                return False
            case "HELO" | "EHLO":
                self._say("500 5.5.1 This is LMTP: say LHLO")
            case _:
                self._say("500 5.5.2 Not understood")
        return True

    def _mail(self, argument: str) -> None:
        found = _PATH.fullmatch(argument[5:].strip()) if argument[:5].upper() == "FROM:" else None
        if not self.greeted or self.sender is not None:
            self._say("503 5.5.1 Not now")
        elif found is None:
            self._say("501 5.5.4 MAIL FROM:<address>")
        elif (size := re.search(r"(?i)\bSIZE=(\d{1,20})\b", found.group(2) or "")) and int(size.group(1)) > MAX_OCTETS:
            self._say("552 5.3.4 Too large")
        else:
            self.sender = found.group(1)
            self._say("250 2.1.0 OK")

    def _rcpt(self, argument: str) -> None:
        found = _PATH.fullmatch(argument[3:].strip()) if argument[:3].upper() == "TO:" else None
        if self.sender is None:
            self._say("503 5.5.1 MAIL first")
        elif found is None or "@" not in found.group(1):
            self._say("501 5.5.4 RCPT TO:<address>")
        elif len(self.recipients) >= MAX_RECIPIENTS:
            self._say("452 4.5.3 Too many recipients")
        else:
            self.recipients.append(found.group(1))
            self._say("250 2.1.5 OK")

    def _data(self) -> None:
        if not self.recipients:
            self._say("503 5.5.1 RCPT first")
            return
        self._say("354 Go ahead")
        raw = self._message()
        answer = "552 5.3.4 Too large" if raw is None else self._store(raw)
        # One answer for each recipient: what makes LMTP differ from SMTP (RFC 2033 §4.2).
        answers = [answer] * len(self.recipients)
        self._forget()
        self._say(*answers)

    def _message(self) -> bytes | None:
        """The message up to the lone dot, unstuffed; None if it is too large."""
        lines: list[bytes] = []
        size = 0
        while (line := self._line()) not in (b".\r\n", b".\n"):
            size += len(line)
            if size <= MAX_OCTETS:
                lines.append(line[1:] if line.startswith(b".") else line)
        return b"".join(lines) if size <= MAX_OCTETS else None

    def _store(self, raw: bytes) -> str:
        mail = IncomingMail(id=f"lmtp:{sha256(raw).hexdigest()}", raw=raw, recipients=tuple(self.recipients))
        try:
            with self.server.one_at_a_time:
                self.server.handle(mail)
        except Exception:  # whatever it was, the message isn't stored and its sender must keep it
            return "451 4.3.0 Not stored, try again"
        return "250 2.0.0 Stored"
