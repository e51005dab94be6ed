"""Delivery reports (RFC 3464): which of our messages didn't arrive, and whether it may yet.

A report is a hint from a stranger: act on it only if it names the Message-ID of a message we sent, which nobody else knows.
"""

from __future__ import annotations

import email
import re
from dataclasses import dataclass
from email.message import Message
from email.utils import getaddresses

from connectors.ical.contentline import from_mailto, one_line

_STATUS = re.compile(r"\b([245])\.(\d{1,3})\.(\d{1,3})\b")
_MESSAGE_ID = re.compile(r"<[^<>\s]{1,250}@[^<>\s]{1,250}>")
LONGEST_HEADER = 8 * 1024
"""Characters of a header field that are looked at; address parsing takes more than linear time."""
_LARGEST_NOTICE = 64 * 1024
"""Octets of a returned message that are searched for its header."""


@dataclass(frozen=True, slots=True)
class Bounce:
    """One failed or delayed delivery. message_id: of our message, ``""`` if the report doesn't tell. recipient: bare
    address, ``""`` if unknown. status: RFC 3463, such as ``5.1.1``. permanent: it won't arrive; else it is still being
    tried. diagnostic: the refusing server's words, one line. returned_to: addresses in the returned message's From and
    Reply-To, where our tag may stand."""

    message_id: str
    recipient: str
    status: str
    permanent: bool
    diagnostic: str = ""
    returned_to: tuple[str, ...] = ()


def is_report(message: Message) -> bool:
    """Is it a delivery report by its type (RFC 6522)?"""
    return (
        message.get_content_type() == "multipart/report"
        and str(message.get_param("report-type", "")).lower() == "delivery-status"
    )


def from_report(message: Message) -> Bounce | None:
    """What a ``multipart/report`` says; None where it reports a success."""
    payload = message.get_payload()
    if not isinstance(payload, list):
        return None
    parts = [part for part in payload if isinstance(part, Message)]
    status_part = next((part for part in parts if part.get_content_type().endswith("delivery-status")), None)
    fields = _recipient_fields(status_part) if status_part is not None else {}
    action = fields.get("action", "").strip().lower()
    if action in ("delivered", "relayed", "expanded"):
        return None
    found = _STATUS.search(fields.get("status", "") or fields.get("diagnostic-code", ""))
    permanent = action == "failed" or (action != "delayed" and (found is None or found.group(1) == "5"))
    status = found.group() if found else "5.0.0" if permanent else "4.0.0"
    returned = _returned_header(parts)
    named = fields.get("final-recipient") or fields.get("original-recipient", "")
    return Bounce(
        message_id=_message_id(returned) or _referenced(message),
        recipient=from_mailto(named.rpartition(";")[2]),
        status=status,
        permanent=permanent,
        diagnostic=one_line(fields.get("diagnostic-code", "").partition(";")[2])[:500],
        returned_to=_addresses(returned, "Reply-To", "From") if returned is not None else (),
    )


def from_notice(message: Message) -> Bounce | None:
    """What a mailer-daemon's free-form notice says, by the header Exim, qmail and Gmail write; None where it has none."""
    failed = str(message.get("X-Failed-Recipients", ""))[:LONGEST_HEADER]
    recipient = next(iter(address for _, address in getaddresses([failed]) if from_mailto(address)), "")
    if not recipient:
        return None
    return Bounce(message_id=_referenced(message), recipient=from_mailto(recipient), status="5.0.0", permanent=True)


def _recipient_fields(part: Message) -> dict[str, str]:
    """The fields of the first recipient that failed, else of the first one, lower-case names."""
    payload = part.get_payload()
    groups = payload if isinstance(payload, list) else []
    recipients = [
        {name.lower(): str(value) for name, value in group.items()}
        for group in groups
        if isinstance(group, Message) and (group.get("Action") or group.get("Final-Recipient"))
    ]
    failed = [fields for fields in recipients if fields.get("action", "").strip().lower() == "failed"]
    return next(iter(failed or recipients), {})


def _returned_header(parts: list[Message]) -> Message | None:
    """The header of the message that came back: its fields alone are read, never its parts."""
    for part in parts:
        payload = part.get_payload()
        if part.get_content_type() == "message/rfc822" and isinstance(payload, list) and payload:
            inner = payload[0]
            return inner if isinstance(inner, Message) else None
        if part.get_content_type() in ("text/rfc822-headers", "message/rfc822-headers"):
            octets = part.get_payload(decode=True)
            if isinstance(octets, bytes):
                return email.message_from_bytes(octets[:_LARGEST_NOTICE])
    return None


def _message_id(header: Message | None) -> str:
    found = _MESSAGE_ID.search(str(header.get("Message-ID", ""))) if header is not None else None
    return found.group() if found else ""


def _referenced(message: Message) -> str:
    """The message a report answers to; of several references the last."""
    for name in ("X-Original-Message-ID", "In-Reply-To", "References"):
        if found := _MESSAGE_ID.findall(str(message.get(name, ""))[:LONGEST_HEADER]):
            return str(found[-1])
    return ""


def _addresses(message: Message, *names: str) -> tuple[str, ...]:
    values = [str(value)[:LONGEST_HEADER] for name in names for value in message.get_all(name, [])[:10]]
    return tuple(address.lower() for _, address in getaddresses(values) if from_mailto(address))
