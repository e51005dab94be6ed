"""The post between a practice and its clients: real invitations out, real answers of mail programs in."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from booking.invitation import mail_for
from booking.letters import About
from booking.replies import scope_of_fact
from connectors.mail import imip
from connectors.mail.imip_incoming import parse_incoming
from ledger import deliveries, reviews, timeline
from ledger.messages import MailFact, SendMail
from sync import replies
from tests.support.desk import TERMS, Desk
from workers.mail import to_mail

MAILBOX = replies.mailbox_key("lmtp://127.0.0.1:8024")


@dataclass
class Post:
    """What goes between one desk and the people who book there. authserv_id: of the practice's own mail server."""

    desk: Desk
    authserv_id: str = "mx.slotledger.test"
    facts: list[MailFact] = field(default_factory=list)

    def letter(self, booking_id: str, about: str = About.BOOKED, audience: str = "client") -> bytes:
        """The mail about the booking's newest revision, handed over."""
        row = self.desk.seen(booking_id)
        asked = SendMail(booking_id, row.revision, about, audience)
        with self.desk.database.transaction() as tx:
            letter = mail_for(tx, asked, TERMS, now=self.desk.now)
            assert letter is not None, f"nothing is to be said: {asked}"
            raw = imip.compose(to_mail(letter))
            stored = deliveries.prepare(
                tx, message_id=letter.message_id, message=raw, recipient=letter.recipient, booking_id=booking_id,
                operator_id=row.operator_id, audience=audience, kind=about, sequence=row.revision,
                method=letter.method or "", uid=letter.invitation.uid if letter.invitation else "", now=self.desk.now,
            )  # fmt: skip
            deliveries.handed_over(tx, stored.id, reply="250 OK", now=self.desk.now)
        return raw

    def arrives(self, raw: bytes, *recipients: str, cursor: str = "") -> MailFact | None:
        """A mail arrives and is acted upon; the fact in it, if it was news. recipients: of the envelope."""
        found = parse_incoming(raw, TERMS.mail_from, recipients=recipients, authserv_id=self.authserv_id)
        with self.desk.database.transaction() as tx:
            fact = replies.record(tx, found, mailbox=MAILBOX, cursor=cursor, scope_of=scope_of_fact, now=self.desk.now)
        self.desk.now += timedelta(seconds=1)
        self.desk.work()
        return fact

    def reviews(self) -> list[tuple[str, str]]:
        """``(kind, why)`` of what asks for a human."""
        with self.desk.database.reading() as tx:
            return [(r["kind"], r["detail"].get("why", "")) for r in reviews.listing(tx)]

    def review(self) -> dict[str, Any]:
        """The one that is open."""
        with self.desk.database.reading() as tx:
            (only,) = reviews.listing(tx)
        return only

    def told(self, booking_id: str, audience: str = "operator") -> list[str]:
        """What that person was to be told by mail about the booking, in order."""
        asked = self.desk.messages(SendMail, booking_id=booking_id, audience=audience)
        return [m.about.partition(":")[0] for m in asked if isinstance(m, SendMail)]

    def happened(self, booking_id: str, reader: str = "operator") -> list[str]:
        """The timeline's words."""
        with self.desk.database.reading() as tx:
            return [entry["what"] for entry in timeline.of_booking(tx, booking_id, reader=reader)]
