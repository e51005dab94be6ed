"""Stored messages, as they would arrive."""

from __future__ import annotations

import base64
import email
import email.policy
import re
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "data" / "mail"
MAIL_FROM = "bookings@svc.example"
TAG = "k7q2m4x9d3f6h8j1n5p0r2t4v6"
UID = "bk4f0c2a9e71@svc.example"
SENT = "<0f1e2d3c4b5a69788796a5b4c3d2e1f001234567@svc.example>"
"""Message-ID of the invitation that the stored messages answer to."""


def answered(name: str, partstat: str, *, tagged: bool = True) -> bytes:
    """A stored answer with another PARTSTAT, in every calendar part of it; the shape stays as that client writes it.

    tagged: False takes the secret tag out of it, wherever it stands.
    """
    tag = re.compile(rb"(?i)\+" + TAG.encode())
    raw = load(name)
    message = email.message_from_bytes(raw if tagged else tag.sub(b"", raw))
    changed = 0
    for part in message.walk():
        kind, file = part.get_content_type(), str(part.get_filename() or "")
        octets = part.get_payload(decode=True)
        if isinstance(octets, bytes) and (kind in ("text/calendar", "application/ics") or file.endswith(".ics")):
            unfolded = re.sub(rb"\r?\n ", b"", octets)
            said, count = re.subn(rb"PARTSTAT=[A-Z-]+", b"PARTSTAT=" + partstat.encode(), unfolded)
            changed += count
            said = said if tagged else tag.sub(b"", said)
            del part["Content-Transfer-Encoding"]
            part["Content-Transfer-Encoding"] = "base64"
            part.set_payload(base64.encodebytes(said).decode())
    assert changed, f"{name} holds no answer"
    return message.as_bytes(policy=email.policy.compat32.clone(linesep="\r\n"))


def load(name: str) -> bytes:
    """One message of ``tests/data/mail`` with CRLF."""
    return (FOLDER / f"{name}.eml").read_bytes().replace(b"\n", b"\r\n")
