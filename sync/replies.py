"""What clients' calendars and mail servers answer by mail, as facts. What they mean for a booking is decided elsewhere.

A mail, the cursor behind it and the fact are one transaction; the same bytes are taken once, however often a mailbox
hands them over (P4).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from hashlib import sha256
from urllib.parse import urlsplit

import sqlalchemy as sa

from connectors.ical import itip
from connectors.ical.contentline import one_line
from connectors.ical.scheduling import method_of
from connectors.mail.imip_incoming import Incoming, Kind
from connectors.model import PartStat
from ledger import outbox, reviews
from ledger.db import Tx, insert_ignoring
from ledger.messages import (
    ClientCounter,
    ClientDeclined,
    ClientRefresh,
    ClientReply,
    ClientWrote,
    MailBounced,
    MailFact,
)
from ledger.tables import InboundMail, MailboxCursor

LONGEST = 255
"""Characters of a UID, a tag or an address; what is longer isn't ours and doesn't match anyway."""
LONGEST_WORDS = 1000
_REVIEW = "mailbox"
KEEP_MAIL = timedelta(days=90)
"""How long a mail is known by its digest; a mailbox that hands an older one over again meets an answer that is known."""


def fact_of(incoming: Incoming, *, now: datetime) -> MailFact | None:
    """The fact in a mail; None where it says nothing about an invitation: auto-replies, a stranger's words, the
    unreadable."""
    tag = _short(incoming.tag or "")
    if incoming.kind is Kind.BOUNCE and incoming.bounce is not None:
        bounce = incoming.bounce
        words = _clean(bounce.diagnostic)[:LONGEST_WORDS]
        message_id = _short(bounce.message_id)
        known = bool(message_id or tag)
        return MailBounced(incoming.digest, tag, message_id, bounce.status, bounce.permanent, words) if known else None
    said, verdict = incoming.itip, str(incoming.verdict)
    match said:
        case None:
            return (
                ClientWrote(incoming.digest, tag, _clean(incoming.words), verdict) if tag and incoming.words else None
            )
        case itip.Refresh():
            return ClientRefresh(incoming.digest, tag, _short(said.uid), verdict)
        case itip.Counter(proposed=proposed) if proposed is not None:
            return ClientCounter(
                incoming.digest, tag, _short(said.uid), said.sequence, _said_at(said.dtstamp, now),
                proposed.start, proposed.end, verdict,
            )  # fmt: skip
    partstat = said.attendee.partstat if said.attendee is not None else PartStat.NEEDS_ACTION
    declined = isinstance(said, itip.Reply) and partstat is PartStat.DECLINED
    kind = ClientDeclined if declined else ClientReply
    return kind(
        mail=incoming.digest,
        tag=tag,
        uid=_short(said.uid),
        method=str(method_of(said)),
        sequence=said.sequence,
        said_at=_said_at(said.dtstamp, now),
        partstat=str(partstat),
        attendee=_short(said.attendee.email if said.attendee is not None else ""),
        comment=_clean(getattr(said, "comment", ""))[:LONGEST_WORDS],
        verdict=verdict,
    )


def record(
    tx: Tx,
    incoming: Incoming,
    *,
    mailbox: str,
    cursor: str,
    scope_of: Callable[[Tx, MailFact], outbox.Scope],
    now: datetime,
) -> MailFact | None:
    """Take a mail in: its digest, the cursor behind it, and the fact as a message. Returns the fact if it is news.

    mailbox: of `mailbox_key`; cursor: ``""`` where the sender of the mail remembers. scope_of: where a fact belongs, so
    that a pause finds it.
    """
    if cursor:
        keep_cursor(tx, mailbox, cursor, now=now)
    news = insert_ignoring(
        tx,
        InboundMail,
        {
            "digest": incoming.digest,
            "kind": str(incoming.kind),
            "reason": _clean(incoming.reason)[:LONGEST_WORDS],
            "verdict": str(incoming.verdict),
            "received_at": now,
        },
        unique=["digest"],
    )
    fact = fact_of(incoming, now=now) if news else None
    if fact is not None:
        cause = "mail_report" if isinstance(fact, MailBounced) else "calendar_reply"
        outbox.append(tx, fact, now=now, scope=scope_of(tx, fact), cause=cause)
    return fact


def mailbox_key(url: str) -> str:
    """What a mailbox is known by: its address without password and options, hashed."""
    parts = urlsplit(url)
    return sha256(f"{parts.scheme}://{parts.username}@{parts.hostname}:{parts.port}{parts.path}".encode()).hexdigest()


def cursor_of(tx: Tx, mailbox: str) -> str:
    """Where to go on in a mailbox; ``""`` for its beginning."""
    return tx.execute(sa.select(MailboxCursor.cursor).where(MailboxCursor.mailbox == mailbox)).scalar() or ""


def keep_cursor(tx: Tx, mailbox: str, cursor: str, *, now: datetime) -> None:
    """Go on from here next time."""
    values = {"cursor": cursor, "updated_at": now}
    if not insert_ignoring(tx, MailboxCursor, {"mailbox": mailbox, **values}, unique=["mailbox"]):
        tx.execute(sa.update(MailboxCursor).where(MailboxCursor.mailbox == mailbox).values(**values))


def mailbox_lost(tx: Tx, words: str, *, now: datetime) -> None:
    """Nobody hears clients' answers: one review for those who run the service, while it lasts. words: what went wrong."""
    detail = {"reply": _clean(words)[:LONGEST_WORDS]}
    reviews.ask(tx, "mailbox", _REVIEW, now=now, operator_id=0, detail=detail)


def mailbox_found(tx: Tx, *, now: datetime) -> None:
    """It is read again."""
    reviews.settle(tx, _REVIEW, by="the mailbox is read again", now=now)


def forget_mail(tx: Tx, now: datetime) -> int:
    """Mails of long ago need not be known any more."""
    return tx.execute(sa.delete(InboundMail).where(InboundMail.received_at < now - KEEP_MAIL)).rowcount


def _said_at(dtstamp: datetime | None, now: datetime) -> datetime:
    """A client's clock that is ahead of ours must not outdate every later answer."""
    return now if dtstamp is None else min(dtstamp, now)


def _short(text: str) -> str:
    return one_line(_clean(text))[:LONGEST]


def _clean(text: str) -> str:
    """What every database takes: no NUL, no halves of characters."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode("utf-8")
