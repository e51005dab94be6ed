"""Outgoing mail into a folder: one ``.eml`` for each Message-ID, for the demo and for trying things out."""

from __future__ import annotations

import contextlib
import email
import os
import re
import threading
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from email.header import decode_header, make_header
from email.message import Message
from email.utils import parseaddr
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from urllib.parse import unquote

from connectors import mention
from connectors.errors import Unreachable
from connectors.ical import scheduling as ical_itip
from connectors.ical.contentline import one_line
from connectors.mail.outgoing import Receipt

_NAME = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class StoredMail:
    """One message of the folder as a list shows it. id: 64 hex digits. at: when it arrived, UTC. sender, recipient: bare
    addresses. method … partstat: of its calendar part, None where it has none."""

    id: str
    at: datetime
    sender: str
    recipient: str
    subject: str
    message_id: str
    method: str | None = None
    uid: str | None = None
    sequence: int | None = None
    partstat: str | None = None


class MailFolder:
    """An `Outgoing` that keeps each message as ``<sha256 of its Message-ID>.eml``; safe between threads and processes.

    A Message-ID that is there already is left as it is: the first one counts.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._lock = threading.Lock()
        self._latest = 0

    @classmethod
    def from_url(cls, url: str) -> MailFolder:
        """``file:DIR`` (relative to the working directory) or ``file:///DIR``. Raises ValueError without a folder."""
        path = unquote(url.removeprefix("file:"))
        if path.startswith("//"):
            host, slash, rest = path[2:].partition("/")
            if host not in ("", "localhost"):
                raise ValueError("a file: URL can't name another host")
            path = slash + rest
        if not path:
            raise ValueError("file: needs a folder, as in file:var/mail")
        return cls(Path(path))

    def send(self, raw: bytes, *, sender: str, recipient: str) -> Receipt:  # noqa: ARG002 -- a folder has no envelope
        """Store the message; on disk when this returns. The envelope isn't kept: one recipient, and it is in To."""
        message_id = one_line(str(email.message_from_bytes(raw).get("Message-ID", "")))
        name = sha256(message_id.encode() if message_id else raw).hexdigest()
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            stored = self._store(name, raw)
        except OSError as error:
            raise Unreachable(f"the mail folder can't be written: {error.strerror}") from error
        return Receipt(f"stored as {name}.eml", repeated=not stored)

    def _store(self, name: str, raw: bytes) -> bool:
        final = self.directory / f"{name}.eml"
        if final.exists():
            return False
        draft = self.directory / f".{uuid.uuid4().hex}.tmp"
        try:
            with draft.open("xb") as file:
                file.write(raw)
                file.flush()
                os.fsync(file.fileno())
            with self._lock:
                # The list is ordered by this time; the file system's clock ticks too slowly to tell neighbours apart.
                written = draft.stat().st_mtime_ns
                self._latest = max(written, self._latest + 1)
                os.utime(draft, ns=(self._latest, self._latest))
                try:
                    os.link(draft, final)  # unlike rename it fails where the name is taken
                except FileExistsError:
                    return False
        finally:
            draft.unlink(missing_ok=True)
        handle = os.open(self.directory, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        return True

    def listing(self) -> list[StoredMail]:
        """Every message, in order of first arrival. A file that can't be read as mail is listed with empty fields."""
        found: list[tuple[int, str]] = []
        with contextlib.suppress(FileNotFoundError):
            found = [
                (entry.stat().st_mtime_ns, entry.name[:64])
                for entry in os.scandir(self.directory)
                if entry.name.endswith(".eml") and _NAME.fullmatch(entry.name[:-4])
            ]
        return [_described(self.directory / f"{name}.eml", arrived) for arrived, name in sorted(found)]

    def read(self, mail_id: str) -> bytes | None:
        """The message as it was sent; None for an id that isn't in the folder, whatever it looks like."""
        if not _NAME.fullmatch(mail_id):
            return None
        try:
            return (self.directory / f"{mail_id}.eml").read_bytes()
        except FileNotFoundError:
            return None

    def forget(self, address: str) -> int:
        """Delete every message that is to, from or about an address, whatever its case. Returns how many."""
        wanted = address.strip().casefold()
        if not wanted:
            return 0
        found = [path for path in self.directory.glob("*.eml") if mention.names(_readable(path.read_bytes()), wanted)]
        for path in found:
            path.unlink(missing_ok=True)
        return len(found)

    def close(self) -> None:
        """Nothing is held open."""


@lru_cache(maxsize=4096)
def _described(path: Path, arrived: int) -> StoredMail:
    # Of one name and time of arrival there is one content: a stored message is never written again.
    return describe(path.stem, datetime.fromtimestamp(arrived / 1e9, UTC), path.read_bytes())


def describe(mail_id: str, at: datetime, raw: bytes) -> StoredMail:
    """What a list shows of a message."""
    message = email.message_from_bytes(raw)
    shown = StoredMail(
        id=mail_id,
        at=at,
        sender=parseaddr(_text(message, "From"))[1].lower(),
        recipient=parseaddr(_text(message, "To"))[1].lower(),
        subject=_text(message, "Subject"),
        message_id=one_line(str(message.get("Message-ID", ""))),
    )
    for part in message.walk():
        body = part.get_payload(decode=True) if part.get_content_type() == "text/calendar" else None
        if isinstance(body, bytes):
            return _with_calendar(shown, body)
    return shown


def _readable(raw: bytes) -> str:
    """Headers and decoded texts, case-folded; folded lines of calendar parts are joined."""
    message = email.message_from_bytes(raw)
    texts = [_text(message, name) for name in message]
    for part in message.walk():
        body = part.get_payload(decode=True)
        if isinstance(body, bytes):
            texts.append(re.sub("\r?\n[ \t]", "", body.decode("utf-8", "replace")))
    return "\n".join(texts).casefold()


def _with_calendar(shown: StoredMail, body: bytes) -> StoredMail:
    try:
        found = ical_itip.parse(body, sender=shown.sender)
    except ical_itip.Unreadable:
        return shown
    return StoredMail(
        id=shown.id,
        at=shown.at,
        sender=shown.sender,
        recipient=shown.recipient,
        subject=shown.subject,
        message_id=shown.message_id,
        method=str(ical_itip.method_of(found)),
        uid=found.uid,
        sequence=getattr(found, "sequence", 0),
        partstat=str(found.attendee.partstat) if found.attendee else None,
    )


def _text(message: Message, name: str) -> str:
    raw = str(message.get(name, ""))
    try:
        return one_line(str(make_header(decode_header(raw))))
    except (ValueError, LookupError):
        return one_line(raw)
