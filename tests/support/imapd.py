"""A small IMAP server for one folder, that can be told to misbehave: as much of RFC 9051 as reading a folder takes."""

from __future__ import annotations

import re
import socket
import socketserver
import threading
from contextlib import suppress
from dataclasses import dataclass, field


@dataclass
class Folder:
    """What the server holds, and what it does wrong.

    drop_on: hang up at these commands, once each. expunged: listed by a search, gone when fetched. arriving: delivered
    while a search is answered, announced at its end. commands: what was asked, in order.
    """

    validity: int = 1
    messages: dict[int, bytes] = field(default_factory=dict)
    can_idle: bool = True
    password: str = "secret"
    drop_on: list[str] = field(default_factory=list)
    expunged: set[int] = field(default_factory=set)
    arriving: list[bytes] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def deliver(self, raw: bytes) -> int:
        """Put a message in; its UID."""
        with self.changed:
            uid = max(self.messages, default=0) + 1
            self.messages[uid] = raw
            self.changed.notify_all()
            return uid

    def rebuild(self, validity: int) -> None:
        """Number everything anew, as after a restore."""
        with self.changed:
            self.messages = dict(enumerate((raw for _, raw in sorted(self.messages.items())), start=1))
            self.validity = validity

    def asked(self, verb: str) -> int:
        """How often this was asked."""
        return sum(command.startswith(verb) for command in self.commands)


class ImapServer:
    """Runs in a thread on a free port; a context manager."""

    def __init__(self) -> None:
        self.folder = Folder()
        self._server = _Server(self.folder)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    @property
    def url(self) -> str:
        """Where it is, with its login."""
        return f"imap://me:{self.folder.password}@127.0.0.1:{self._server.server_address[1]}/INBOX"

    def hang_up(self) -> None:
        """Cut every line."""
        for line in list(self._server.lines):
            with suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> ImapServer:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self.hang_up()
        self._server.server_close()
        self._thread.join()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = False
    allow_reuse_address = True

    def __init__(self, folder: Folder) -> None:
        super().__init__(("127.0.0.1", 0), _Dialogue)
        self.folder = folder
        self.lines: set[socket.socket] = set()


class _Dialogue(socketserver.StreamRequestHandler):
    server: _Server
    disable_nagle_algorithm = True

    def handle(self) -> None:
        self.known: int | None = None
        self.folder = self.server.folder
        self.server.lines.add(self.connection)
        with suppress(OSError):
            self.say("* OK ready")
            while line := self.rfile.readline():
                tag, _, command = line.decode().strip().partition(" ")
                verb = " ".join(command.upper().split(" ")[: 2 if command.upper().startswith("UID") else 1])
                self.folder.commands.append(command)
                if verb in self.folder.drop_on:
                    self.folder.drop_on.remove(verb)
                    break
                if not self.answer(tag, verb, command):
                    break
        self.server.lines.discard(self.connection)

    def say(self, line: str) -> None:
        self.wfile.write(line.encode() + b"\r\n")

    def answer(self, tag: str, verb: str, command: str) -> bool:
        if verb == "CAPABILITY":
            self.say(f"* CAPABILITY IMAP4rev1{' IDLE' if self.folder.can_idle else ''}")
        elif verb == "LOGIN":
            if self.folder.password not in command:
                self.say(f"{tag} NO [AUTHENTICATIONFAILED] no")
                return True
        elif verb in ("SELECT", "EXAMINE"):
            self.known = len(self.folder.messages)
            self.say(f"* {self.known} EXISTS")
            self.say(f"* OK [UIDVALIDITY {self.folder.validity}] valid")
        elif verb == "UID SEARCH":
            self.search(command)
        elif verb == "UID FETCH":
            self.fetch(command)
        elif verb == "IDLE":
            return self.idle(tag)
        elif verb == "LOGOUT":
            self.say("* BYE")
            self.say(f"{tag} OK done")
            return False
        elif verb != "NOOP":
            self.say(f"{tag} BAD {verb} is beyond me")
            return True
        self.announce()
        self.say(f"{tag} OK done")
        return True

    def announce(self) -> None:
        """What came in since the client last heard of it; said once."""
        if self.known is not None and self.known != len(self.folder.messages):
            self.known = len(self.folder.messages)
            self.say(f"* {self.known} EXISTS")

    def search(self, command: str) -> None:
        first = int(re.search(r"UID (\d+):\*", command, re.I).group(1))  # type: ignore[union-attr]
        uids = sorted(self.folder.messages)
        found = [uid for uid in uids if uid >= first] or uids[-1:]  # "*" is always the last one
        self.say(" ".join(["* SEARCH", *map(str, found)]))
        while self.folder.arriving:
            self.folder.deliver(self.folder.arriving.pop(0))

    def fetch(self, command: str) -> None:
        wanted = [int(uid) for uid in command.split(" ")[2].split(",")]
        for uid in wanted:
            raw = self.folder.messages.get(uid)
            if raw is None or uid in self.folder.expunged:
                continue
            if "RFC822.SIZE" in command:
                self.say(f"* {uid} FETCH (UID {uid} RFC822.SIZE {len(raw)})")
                continue
            part = re.search(r"BODY\.PEEK\[\](?:<0\.(\d+)>)?", command)
            assert part is not None, "a message is fetched without PEEK"
            body = raw[: int(part.group(1))] if part.group(1) else raw
            label = "BODY[]<0>" if part.group(1) else "BODY[]"
            self.wfile.write(f"* {uid} FETCH (UID {uid} {label} {{{len(body)}}}\r\n".encode() + body + b")\r\n")

    def idle(self, tag: str) -> bool:
        self.say("+ idling")
        self.connection.settimeout(0.05)
        try:
            while True:
                self.announce()
                with suppress(TimeoutError):
                    byte = self.connection.recv(64)
                    if not byte:
                        return False
                    assert byte.upper().startswith(b"DONE")
                    self.say(f"{tag} OK done")
                    return True
        finally:
            self.connection.settimeout(None)
