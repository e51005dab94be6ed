"""Reads mail that came to our organizer addresses (RFC 6047): a calendar reply, a bounce, an auto-reply, or neither.

Nothing here decides: the caller looks the tag up, checks the UID, and asks `itip.standing` whether the answer counts.
"""

from __future__ import annotations

import email
import html
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import Message
from email.utils import getaddresses, parsedate_to_datetime
from enum import StrEnum
from hashlib import sha256

from connectors.ical import itip
from connectors.ical import scheduling as ical_itip
from connectors.ical.contentline import from_mailto, one_line, plain_text
from connectors.mail import dsn
from connectors.mail.imip import tag_of

MAX_MESSAGE = 10 * 1024 * 1024
"""Octets; a larger message isn't taken apart."""
MAX_PARTS = 200
LONGEST_TEXT = 64 * 1024
LONGEST_WORDS = 2000
"""Octets looked at, and characters kept, of what a person wrote."""

_ENVELOPE_HEADERS = ("Delivered-To", "X-Delivered-To", "X-Original-To", "Envelope-To", "X-Envelope-To")
# The line above a quotation ends with a colon, whatever the language: "On … wrote:", "Am … schrieb:".
_QUOTED = re.compile(r"(?m)^(?:[^\n]*:[ \t]*\n+)?>|^-{2,}[^\n]*-{2,}$|^_{10,}$")
_UNSEEN = re.compile(r"(?is)<(script|style|head|blockquote)\b.*?(?:</\1>|\Z)|<!--.*?(?:-->|\Z)")
_BREAKS = re.compile(r"(?i)<(?:br|/p|/div|/li|/tr)\b[^>]*>")
_MARKUP = re.compile(r"<[^>]*(?:>|\Z)")
_MESSAGE_ID = re.compile(r"<[^<>\s]{1,250}@[^<>\s]{1,250}>")


class Kind(StrEnum):
    """What a message is."""

    REPLY = "reply"
    COUNTER = "counter"
    REFRESH = "refresh"
    BOUNCE = "bounce"
    AUTO_REPLY = "auto_reply"
    FORGED = "forged"  # says to one of our organizer addresses what only the organizer may say
    OTHER = "other"  # a person's words, a stranger's invitation, a success report
    UNREADABLE = "unreadable"


class Verdict(StrEnum):
    """What our own mail server found out about the sender (RFC 8601)."""

    PASS = "pass"  # noqa: S105 -- a verdict, not a password
    FAIL = "fail"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Incoming:
    """One message, understood as far as it can be.

    digest: sha256 of the raw bytes, hex. reason: why it is of this kind, for a log; holds no addresses and no content.
    sender: From, bare and lower-case. tag: of the organizer address it was sent to, None if to no tagged one. tag_from:
    ``envelope``, a header's name, ``organizer`` or ``returned``. received: the Date header, UTC, to be trusted by
    nobody. replies_to: Message-IDs it refers to. words: what a person answered, plain and without what they quote; of `OTHER`
    alone.
    """

    kind: Kind
    digest: str
    reason: str = ""
    sender: str = ""
    message_id: str = ""
    replies_to: tuple[str, ...] = ()
    tag: str | None = None
    tag_from: str = ""
    verdict: Verdict = Verdict.UNKNOWN
    received: datetime | None = None
    itip: itip.Message | None = None
    bounce: dsn.Bounce | None = None
    words: str = ""


def parse_incoming(raw: bytes, mail_from: str, *, recipients: Sequence[str] = (), authserv_id: str = "") -> Incoming:
    """What a message says. Never raises: what can't be read is `Kind.UNREADABLE`.

    mail_from: our mailbox, whose tags count. recipients: envelope recipients where the transport knows them. authserv_id:
    the name our own mail server writes into Authentication-Results; without it every verdict is unknown.
    """
    digest = sha256(raw).hexdigest()
    if len(raw) > MAX_MESSAGE:
        return Incoming(Kind.UNREADABLE, digest, f"{len(raw)} octets are too many")
    try:
        return _understand(email.message_from_bytes(raw), digest, mail_from, recipients, authserv_id)
    except Exception as error:  # a stranger's bytes must never stop the mailbox
        return Incoming(Kind.UNREADABLE, digest, f"the parser gave up: {type(error).__name__}")


def _understand(message: Message, digest: str, mail_from: str, recipients: Sequence[str], authserv_id: str) -> Incoming:
    sender = next(iter(_addresses(message, "From")), "")
    found, trouble = _scheduling(message, sender)
    bounce = _bounce(message)
    tag, tag_from = _tag(message, recipients, mail_from, found, bounce)
    kind, reason = _kind(message, found, trouble, bounce, ours=tag is not None)
    answered = _references(message)
    return Incoming(
        kind=kind,
        digest=digest,
        reason=reason,
        sender=sender,
        message_id=next(iter(_MESSAGE_ID.findall(str(message.get("Message-ID", ""))[: dsn.LONGEST_HEADER])), ""),
        replies_to=answered,
        tag=tag,
        tag_from=tag_from,
        verdict=_verdict(message, sender, authserv_id),
        received=_date(message),
        itip=found if kind in (Kind.REPLY, Kind.COUNTER, Kind.REFRESH, Kind.FORGED) else None,
        bounce=bounce if kind is Kind.BOUNCE else None,
        words=_words(message) if answered and kind is Kind.OTHER and found is None else "",
    )


def _kind(
    message: Message, found: itip.Message | None, trouble: str, bounce: dsn.Bounce | None, *, ours: bool
) -> tuple[Kind, str]:
    """Reports and auto-replies first: what hangs on them is quoted, not said."""
    if bounce is not None:
        return Kind.BOUNCE, f"delivery report {bounce.status}"
    if message.get_content_type() == "multipart/report":
        return Kind.AUTO_REPLY, "a report of success or of reading"
    automatic = _automatic(message)
    # Google marks the replies it writes for a person as auto-generated: only an auto-reply disqualifies (RFC 3834 §5).
    if automatic == "auto-replied":
        return Kind.AUTO_REPLY, "marked as replied automatically"
    match found:
        case itip.Reply():
            return Kind.REPLY, "METHOD:REPLY"
        case itip.Counter():
            return Kind.COUNTER, "METHOD:COUNTER"
        case itip.Refresh():
            return Kind.REFRESH, "METHOD:REFRESH"
        case itip.OrganizerMessage(method=method):
            return (Kind.FORGED if ours else Kind.OTHER), f"METHOD:{method} is for organizers"
    if automatic:
        return Kind.AUTO_REPLY, f"marked as {automatic}"
    return (Kind.UNREADABLE, trouble) if trouble else (Kind.OTHER, "no calendar part")


def _automatic(message: Message) -> str:
    """How a message says that no person wrote it, ``""`` if it doesn't (RFC 3834; older habits beside it)."""
    marked = re.split(r"[;\s]", str(message.get("Auto-Submitted", "")).strip().lower())[0]
    if marked and marked != "no":
        return marked
    if any(message.get(name) for name in ("X-Autoreply", "X-Autorespond", "X-Autoreply-From")):
        return "auto-replied"
    if str(message.get("Precedence", "")).strip().lower() in ("auto_reply", "auto-reply"):
        return "auto-replied"
    return "auto-generated" if str(message.get("Return-Path", "")).strip() == "<>" else ""


def _bounce(message: Message) -> dsn.Bounce | None:
    return dsn.from_report(message) if dsn.is_report(message) else dsn.from_notice(message)


def _parts(message: Message) -> Iterator[Message]:
    """Every part but those inside an attached message: these are quotations."""
    waiting, seen = [message], 0
    while waiting and seen < MAX_PARTS:
        part = waiting.pop(0)
        seen += 1
        payload = part.get_payload()
        if isinstance(payload, list):
            if part.get_content_maintype() == "multipart":
                waiting[:0] = [inner for inner in payload if isinstance(inner, Message)]
        else:
            yield part


def _scheduling(message: Message, sender: str) -> tuple[itip.Message | None, str]:
    """The first scheduling message in it, ``text/calendar`` parts before attached files; else what was wrong."""
    inline: list[Message] = []
    attached: list[Message] = []
    for part in _parts(message):
        if part.get_content_type() == "text/calendar":
            inline.append(part)
        elif part.get_content_type() == "application/ics" or str(part.get_filename() or "").lower().endswith(".ics"):
            attached.append(part)
    trouble = ""
    for part in [*inline, *attached][: ical_itip.MAX_EVENTS]:
        try:
            return ical_itip.parse(_octets(part), sender=sender), ""
        except ical_itip.Unreadable as error:
            trouble = trouble or one_line(str(error))
    return None, trouble


def _words(message: Message) -> str:
    """The first text in it down to where the mail before is quoted, HTML only where there is no plain one."""
    texts = [p for p in _parts(message) if p.get_content_maintype() == "text" and not p.get_filename()]
    plain = [p for p in texts if p.get_content_type() == "text/plain"]
    for part in [*plain, *texts][:1]:
        text = _octets(part)[:LONGEST_TEXT].decode("utf-8", "replace")
        if part not in plain:
            text = html.unescape(_MARKUP.sub("", _BREAKS.sub("\n", _UNSEEN.sub("", text))))
        return _QUOTED.split(plain_text(text), maxsplit=1)[0].strip()[:LONGEST_WORDS]
    return ""


def _octets(part: Message) -> bytes:
    """A part of text in UTF-8."""
    octets = part.get_payload(decode=True)
    if not isinstance(octets, bytes):
        return b""
    charset = str(part.get_content_charset() or "utf-8")
    if charset in ("utf-8", "us-ascii"):
        return octets
    try:
        return octets.decode(charset, "replace").encode("utf-8")
    except LookupError:
        return octets


def _references(message: Message) -> tuple[str, ...]:
    named = f"{message.get('In-Reply-To', '')} {message.get('References', '')}"
    return tuple(_MESSAGE_ID.findall(named[: dsn.LONGEST_HEADER]))[:20]


def _addresses(message: Message, *names: str) -> list[str]:
    values = [str(value)[: dsn.LONGEST_HEADER] for name in names for value in message.get_all(name, [])[:10]]
    return [found for _, address in getaddresses(values) if (found := from_mailto(address))]


def _tag(
    message: Message,
    recipients: Sequence[str],
    mail_from: str,
    found: itip.Message | None,
    bounce: dsn.Bounce | None,
) -> tuple[str | None, str]:
    """The tag in the most trustworthy place that holds one. Knowing it is the proof, wherever it stands."""
    places: list[tuple[str, Sequence[str]]] = [("envelope", recipients)]
    places += [(name.lower(), _addresses(message, name)) for name in (*_ENVELOPE_HEADERS, "To", "Cc")]
    if found is not None:
        places.append(("organizer", [found.organizer]))
    if bounce is not None:
        places.append(("returned", bounce.returned_to))
    for place, addresses in places:
        for address in addresses:
            if (tag := tag_of(address, mail_from)) is not None:
                return tag, place
    return None, ""


def _date(message: Message) -> datetime | None:
    try:
        at = parsedate_to_datetime(str(message.get("Date", "")))
        return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    except (ValueError, TypeError, OverflowError):
        return None


def _verdict(message: Message, sender: str, authserv_id: str) -> Verdict:
    """DMARC as the trusted server saw it; without one an aligned DKIM pass. Only its topmost result counts: a server
    that adds results takes away older ones in its own name (RFC 8601 §5)."""
    if not authserv_id:
        return Verdict.UNKNOWN
    for value in message.get_all("Authentication-Results", [])[:20]:
        uncommented = re.sub(r"\([^()]*\)", " ", one_line(str(value)[: dsn.LONGEST_HEADER])).lower()
        results = [part.strip() for part in uncommented.split(";")]
        if results[0].split(" ")[0] == authserv_id.lower():
            return _judge(results[1:], sender.rpartition("@")[2])
    return Verdict.UNKNOWN


def _judge(results: Sequence[str], domain: str) -> Verdict:
    outcomes = [match.groups() for part in results if (match := re.match(r"(dmarc|dkim)\s*=\s*([a-z]+)(.*)", part))]
    dmarc = [result for method, result, _ in outcomes if method == "dmarc"]
    if "fail" in dmarc:
        return Verdict.FAIL
    if "pass" in dmarc:
        return Verdict.PASS
    for method, result, rest in outcomes:
        signer = re.search(r"header\.[di]\s*=\s*@?([a-z0-9.-]+)", rest)
        aligned = signer is not None and (domain == signer.group(1) or domain.endswith(f".{signer.group(1)}"))
        if method == "dkim" and result == "pass" and aligned and domain:
            return Verdict.PASS
    return Verdict.UNKNOWN
