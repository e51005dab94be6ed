"""Scheduling mail (RFC 6047): the message in the one shape that Gmail, Outlook and Apple Mail all show with buttons.

Reading what comes back is in `connectors/mail/imip_incoming.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256

from connectors.ical.contentline import ascii_domain, mailto
from connectors.mail.mime import (
    binary_part,
    header,
    mailbox,
    multipart,
    text_part,
    unstructured,
)
from connectors.mail.outgoing import Outgoing
from connectors.mail.url import MailURL

_MESSAGE_ID = re.compile(r"<[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,160}@[A-Za-z0-9.\[\]:-]{1,80}>")
_URL = re.compile(r"https?://[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]{1,900}")
_TAG = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")
_WRITTEN_HERE = {
    name.lower()
    for name in (
        "From",
        "Sender",
        "Reply-To",
        "To",
        "Cc",
        "Bcc",
        "Subject",
        "Date",
        "Message-ID",
        "MIME-Version",
        "Content-Type",
        "Content-Transfer-Encoding",
        "Content-Disposition",
        "Content-Class",
        "List-Unsubscribe",
        "List-Unsubscribe-Post",
        "Return-Path",
    )
}
_NEEDS_ATTENDEE = ("REQUEST", "CANCEL", "DECLINECOUNTER")


@dataclass(frozen=True, slots=True)
class Mail:
    """One message to one person.

    message_id: ``<left@right>``, the same for every repetition (`message_id`). sender: the MAIL_FROM mailbox. reply_to:
    the tagged address, ``""`` for none; reply_to_name: whom an answer reaches. html: ``""`` for none. calendar, method: an iTIP object and its METHOD, both or
    none. date: aware; the instant the message was decided. unsubscribe: the URL of List-Unsubscribe, ``""`` for none; an
    https one takes one click (RFC 8058). headers: further ones, by name; none that are written here.
    """

    message_id: str
    sender: str
    sender_name: str
    recipient: str
    recipient_name: str
    subject: str
    text: str
    date: datetime
    html: str = ""
    reply_to: str = ""
    reply_to_name: str = ""
    unsubscribe: str = ""
    calendar: bytes | None = None
    method: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


def compose(mail: Mail) -> bytes:
    """The message as bytes with CRLF, ASCII throughout but for a recipient whose local part isn't.

    The same value gives the same bytes. Raises ValueError for what would be misread: an unsafe address or header, a
    METHOD that differs from the calendar's, a calendar that doesn't name the recipient (RFC 6047 §2.4).
    """
    if (mail.calendar is None) != (mail.method is None):
        raise ValueError("calendar and method go together")
    if not _MESSAGE_ID.fullmatch(mail.message_id):
        raise ValueError("not a Message-ID")
    head = [
        header("From", mailbox(mail.sender, mail.sender_name)),
        header("To", mailbox(mail.recipient, mail.recipient_name)),
    ]
    if mail.reply_to:
        head.append(header("Reply-To", mailbox(mail.reply_to, mail.reply_to_name)))
    head += [
        header("Subject", unstructured(mail.subject)),
        header("Date", _date(mail.date)),
        header("Message-ID", [mail.message_id]),
        header("MIME-Version", ["1.0"]),
    ]
    if mail.calendar is not None:
        head.append(header("Content-Class", ["urn:content-classes:calendarmessage"]))
    if mail.unsubscribe:
        head += _unsubscribe(mail.unsubscribe)
    for name, value in mail.headers.items():
        if name.lower() in _WRITTEN_HERE:
            raise ValueError(f"{name} is not the caller's to write")
        head.append(header(name, unstructured(value)))
    return b"".join(head) + _body(mail)


def _unsubscribe(url: str) -> list[bytes]:
    if not _URL.fullmatch(url):
        raise ValueError("not a URL to unsubscribe at")
    # Never folded nor encoded: readers take the URL as it stands.
    found = [header("List-Unsubscribe", [f"<{url}>"])]
    if url.startswith("https://"):
        found.append(header("List-Unsubscribe-Post", ["List-Unsubscribe=One-Click"]))
    return found


def _body(mail: Mail) -> bytes:
    texts = [text_part("text/plain", mail.text)]
    if mail.html:
        texts.append(text_part("text/html", mail.html))
    if mail.calendar is None or mail.method is None:
        return texts[0] if len(texts) == 1 else multipart("alternative", mail.message_id, texts)
    _check_calendar(mail.calendar, mail.method, mail.recipient)
    inline = binary_part("text/calendar", {"method": mail.method, "charset": "UTF-8"}, mail.calendar)
    attached = binary_part("application/ics", {"name": "invite.ics"}, mail.calendar, filename="invite.ics")
    alternatives = multipart("alternative", mail.message_id, [*texts, inline])
    return multipart("mixed", mail.message_id, [alternatives, attached])


def _check_calendar(ics: bytes, method: str, recipient: str) -> None:
    lines = ics.replace(b"\r\n ", b"").split(b"\r\n")
    if b"METHOD:" + method.encode() not in lines:
        raise ValueError("the calendar's METHOD differs from the mail's")
    if method in _NEEDS_ATTENDEE:
        # Gmail shows no buttons where the recipient isn't an attendee.
        wanted = b":" + mailto(recipient).lower().encode()
        attendees = [line for line in lines if line.startswith(b"ATTENDEE")]
        if len(attendees) != 1 or not attendees[0].lower().endswith(wanted):
            raise ValueError("the calendar's only attendee must be the recipient")


def _date(instant: datetime) -> list[str]:
    # strftime would use the names of the process's locale.
    if instant.tzinfo is None:
        raise ValueError("Mail.date must be aware")
    at = instant.astimezone(UTC)
    day = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")[at.weekday()]
    months = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
    return [f"{day},", f"{at.day:02d}", months[at.month - 1], f"{at.year:04d}", f"{at:%H:%M:%S}", "+0000"]


def message_id(*identity: str, mail_from: str) -> str:
    """A Message-ID that follows from what the message is: UID, SEQUENCE, recipient, kind … in that order."""
    digest = sha256("\x1f".join(identity).encode("utf-8", "replace")).hexdigest()[:40]
    return f"<{digest}@{ascii_domain(mail_from).rpartition('@')[2]}>"


def organizer_address(mail_from: str, tag: str) -> str:
    """``local+TAG@domain``, lower-case: organizer and Reply-To of one UID, unchanged for its whole life.

    tag: ``[a-z0-9-]``, at least 128 random bits in it. Raises ValueError if the local part would pass 64 octets.
    """
    local, _, domain = ascii_domain(mail_from).lower().rpartition("@")
    if not _TAG.fullmatch(tag):
        raise ValueError("a tag is made of a-z, 0-9 and inner hyphens")
    tagged = f"{local}+{tag}"
    if len(tagged.encode()) > 64:
        raise ValueError("the tagged local part is longer than 64 octets (RFC 5321 §4.5.3.1.1)")
    return f"{tagged}@{domain}"


def tag_of(email: str, mail_from: str) -> str | None:
    """The tag in an address made by `organizer_address`, None for any other. Case doesn't matter."""
    local, _, domain = ascii_domain(mail_from).lower().rpartition("@")
    ours, _, host = email.strip().lower().rpartition("@")
    if host != domain or not ours.startswith(f"{local}+"):
        return None
    tag = ours[len(local) + 1 :]
    return tag if _TAG.fullmatch(tag) else None


def open_outgoing(url: str) -> Outgoing:
    """The way out that MAIL_URL names; the only place that looks at its mode. Nothing is connected yet.

    ``file:DIR`` keeps every message in a folder. ``smtp://user:pw@host:587?tls=starttls|none`` and
    ``smtps://user:pw@host:465`` speak SMTP; ``cafile=PEM`` names a certificate authority. Without ``tls=`` smtp:// asks
    for STARTTLS unless the host is loopback. Raises ValueError, without the password in it.
    """
    if url.startswith("file:"):
        from connectors.mail.folder import MailFolder

        return MailFolder.from_url(url)
    parsed = MailURL.parse(url, schemes={"smtp": 25, "smtps": 465}, options=("tls", "cafile"))
    from connectors.mail.smtp import SmtpOutgoing

    return SmtpOutgoing(parsed)
