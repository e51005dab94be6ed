"""A client's mail program: answers an invitation as Gmail, Outlook, Apple Mail or Thunderbird would, byte for byte an e-mail.

The shapes are those of `tests/data/mail`; none was captured from a live account.
"""

from __future__ import annotations

import email
import html
from datetime import datetime
from email.header import decode_header, make_header
from email.message import Message as Mime
from email.utils import format_datetime, parseaddr
from enum import StrEnum
from hashlib import sha256

from connectors.ical import scheduling as ical_itip
from connectors.ical.contentline import component, content_line, escape, fold, mailto, utc
from connectors.ical.itip import Method, OrganizerMessage
from connectors.mail.mime import binary_part, header, mailbox, multipart, text_part, unstructured
from connectors.model import PartStat, Period

_WORDS = {PartStat.ACCEPTED: "Accepted", PartStat.DECLINED: "Declined", PartStat.TENTATIVE: "Tentative"}


class Client(StrEnum):
    """Whose shape an answer has."""

    GMAIL = "gmail"  # mixed(alternative(text, calendar), application/ics), auto-generated
    OUTLOOK = "outlook"  # alternative(text, calendar), no ORGANIZER
    APPLE = "apple"  # the calendar as an attached file alone
    THUNDERBIRD = "thunderbird"  # alternative(text, calendar)


_PRODID = {
    Client.GMAIL: "-//Google Inc//Google Calendar 70.9054//EN",
    Client.OUTLOOK: "Microsoft Exchange Server 2010",
    Client.APPLE: "-//Apple Inc.//macOS 15.1//EN",
    Client.THUNDERBIRD: "-//Mozilla.org/NONSGML Mozilla Calendar V1.1//EN",
}


def answer(
    invitation: bytes,
    partstat: PartStat,
    *,
    at: datetime,
    client: Client = Client.GMAIL,
    comment: str = "",
    attendee: str = "",
) -> bytes:
    """The mail that accepts or declines an invitation (METHOD:REPLY).

    invitation: the raw mail with its REQUEST. at: when it is answered, aware. attendee: answer from this address instead
    of the invited one, as behind a forwarding alias. Raises ValueError if the mail holds no invitation.
    """
    return _reply(invitation, Method.REPLY, partstat, at=at, client=client, comment=comment, attendee=attendee)


def propose(
    invitation: bytes, period: Period, *, at: datetime, client: Client = Client.OUTLOOK, comment: str = ""
) -> bytes:
    """The mail that asks for another time (METHOD:COUNTER)."""
    return _reply(invitation, Method.COUNTER, PartStat.TENTATIVE, at=at, client=client, comment=comment, period=period)


def ask_again(invitation: bytes, *, at: datetime, client: Client = Client.THUNDERBIRD) -> bytes:
    """The mail that asks for the newest version (METHOD:REFRESH)."""
    return _reply(invitation, Method.REFRESH, PartStat.NEEDS_ACTION, at=at, client=client)


def write_back(sent: bytes, words: str, *, at: datetime, client: Client = Client.GMAIL) -> bytes:
    """A person's own words in answer to a mail of ours, with that mail quoted below: Outlook without marks, in HTML alone."""
    message = email.message_from_bytes(sent)
    (ours,) = [p for p in message.walk() if p.get_content_type() == "text/plain"]
    octets = ours.get_payload(decode=True)
    quoted = octets.decode() if isinstance(octets, bytes) else ""
    to = parseaddr(str(message["Reply-To"] or message["From"]))[1]
    head = _envelope(parseaddr(str(message["To"]))[1], to, f"Re: {_subject(message)}", at, message)
    if client is Client.OUTLOOK:
        below = "".join(f"<div>{html.escape(line)}</div>" for line in quoted.splitlines())
        return head + text_part("text/html", f"<style>p {{}}</style><p>{html.escape(words)}</p>{below}")
    below = "\n".join(f"> {line}" for line in quoted.splitlines())
    return head + text_part("text/plain", f"{words}\n\nOn {at:%d %B}, Anna wrote:\n\n{below}")


def bounce(sent: bytes, *, at: datetime, status: str = "5.1.1", words: str = "550 5.1.1 No such user") -> bytes:
    """The delivery report (RFC 3464) about a mail of ours. status: ``5.…`` for good, ``4.…`` delayed."""
    message = email.message_from_bytes(sent)
    recipient = parseaddr(str(message["To"]))[1]
    sender = parseaddr(str(message["From"]))[1]
    fields = [
        b"Reporting-MTA: dns; mx.client.example\r\n\r\n",
        header("Final-Recipient", [f"rfc822; {recipient}"]),
        header("Action", ["failed" if status.startswith("5") else "delayed"]),
        header("Status", [status]),
        header("Diagnostic-Code", unstructured(f"smtp; {words}")),
    ]
    report = multipart(
        "report",
        f"{at.isoformat()}{message['Message-ID']}",
        [
            text_part("text/plain", "This is the mail system. Your message could not be delivered."),
            b"Content-Type: message/delivery-status\r\n\r\n" + b"".join(fields),
            b"Content-Type: message/rfc822\r\n\r\n" + sent,
        ],
    ).replace(b"multipart/report;", b"multipart/report; report-type=delivery-status;", 1)
    return _envelope("mailer-daemon@mx.client.example", sender, "Undelivered mail", at, message, bounced=True) + report


def _reply(
    invitation: bytes,
    method: Method,
    partstat: PartStat,
    *,
    at: datetime,
    client: Client,
    comment: str = "",
    attendee: str = "",
    period: Period | None = None,
) -> bytes:
    message = email.message_from_bytes(invitation)
    asked = _request(message)
    if asked.attendee is None or asked.period is None:
        raise ValueError("the invitation names no attendee or no time")
    who = attendee or asked.attendee.email
    ics = _calendar(asked, method, partstat, who, at, client, comment, period or asked.period)
    subject = f"{_WORDS.get(partstat, method.title())}: {_subject(message)}"
    head = _envelope(who, asked.organizer, subject, at, message, generated=client is Client.GMAIL)
    return head + _body(ics, method, client, comment or subject, f"{method}{at.isoformat()}{message['Message-ID']}")


def _request(message: Mime) -> OrganizerMessage:
    for part in message.walk():
        octets = part.get_payload(decode=True) if part.get_content_type() == "text/calendar" else None
        if isinstance(octets, bytes):
            found = ical_itip.parse(octets)
            if isinstance(found, OrganizerMessage) and found.method is Method.REQUEST:
                return found
    raise ValueError("this mail holds no invitation")


def _subject(message: Mime) -> str:
    return str(make_header(decode_header(str(message["Subject"]))))


def _calendar(
    asked: OrganizerMessage,
    method: Method,
    partstat: PartStat,
    who: str,
    at: datetime,
    client: Client,
    comment: str,
    period: Period,
) -> bytes:
    lines = [
        content_line("UID", escape(asked.uid)),
        content_line("SEQUENCE", str(asked.sequence)),
        content_line("DTSTAMP", utc(at)),
        content_line("ATTENDEE", mailto(who), {"PARTSTAT": str(partstat)}),
    ]
    if client is not Client.OUTLOOK:
        lines.append(content_line("ORGANIZER", mailto(asked.organizer)))
    if method is not Method.REFRESH:
        lines += [content_line("DTSTART", utc(period.start)), content_line("DTEND", utc(period.end))]
    if comment:
        lines.append(content_line("COMMENT", escape(comment)))
    head = [fold(f"PRODID:{_PRODID[client]}"), fold("VERSION:2.0"), fold(f"METHOD:{method}")]
    return component("VCALENDAR", [*head, component("VEVENT", lines)])


def _body(ics: bytes, method: Method, client: Client, text: str, seed: str) -> bytes:
    plain = text_part("text/plain", text)
    inline = binary_part("text/calendar", {"charset": "UTF-8", "method": str(method)}, ics)
    attached = binary_part("application/ics", {"name": "invite.ics"}, ics, filename="invite.ics")
    if client is Client.APPLE:
        return multipart("mixed", seed, [plain, attached.replace(b"application/ics", b"application/octet-stream", 1)])
    alternatives = multipart("alternative", seed, [plain, inline])
    return multipart("mixed", seed, [alternatives, attached]) if client is Client.GMAIL else alternatives


def _envelope(
    sender: str,
    recipient: str,
    subject: str,
    at: datetime,
    about: Mime,
    *,
    generated: bool = False,
    bounced: bool = False,
) -> bytes:
    identity = sha256(f"{sender}\x1f{recipient}\x1f{subject}\x1f{at.isoformat()}".encode()).hexdigest()[:32]
    head = [header("Return-Path", ["<>" if bounced else f"<{sender}>"])]
    head += [
        header("From", mailbox(sender)),
        header("To", mailbox(recipient)),
        header("Subject", unstructured(subject)),
        header("Date", format_datetime(at).split(" ")),
        header("Message-ID", [f"<{identity}@client.example>"]),
        header("In-Reply-To", [str(about["Message-ID"])]),
        header("MIME-Version", ["1.0"]),
    ]
    if generated or bounced:
        head.append(header("Auto-Submitted", ["auto-generated" if generated else "auto-replied"]))
    return b"".join(head)
