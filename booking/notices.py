"""Mails to an operator that are about an account and not about a booking."""

from __future__ import annotations

from datetime import datetime
from hashlib import sha256

import sqlalchemy as sa

from booking.i18n import Reader
from booking.letters import Letter
from booking.stationery import Action, Body, Fact, one_line, subject, write
from booking.terms import Terms
from ledger.db import Tx
from ledger.entries import deployment_id
from ledger.messages import SendMail
from ledger.tables import Connection, Operator

PREFIX = "connection:"
"""``SendMail.booking_id`` of these mails begins so; the connection's id follows."""
_NAMES = {"google": "Google", "microsoft": "Microsoft", "caldav": "CalDAV"}


def reconnect_letter(tx: Tx, message: SendMail, terms: Terms, *, link: str, now: datetime) -> Letter | None:
    """Asks the operator to connect an account again; None if it has been done, or there is nobody to tell. link: where
    to do it. now: when it was decided."""
    connection_id = int(message.booking_id.removeprefix(PREFIX))
    row = tx.execute(
        sa.select(
            Connection.provider, Connection.account, Connection.username, Connection.state,
            Operator.name, Operator.email, Operator.language, Operator.timezone,
        )
        .join(Operator, Operator.id == Connection.operator_id)
        .where(Connection.id == connection_id)
    ).one_or_none()  # fmt: skip
    if row is None or row.state != "reconnect" or not row.email or not link:
        return None
    reader = Reader(row.language, row.timezone)
    body = _body(reader, _NAMES.get(row.provider, row.provider), row.account or row.username, link)
    text, html = write(body, reader)
    identity = (deployment_id(tx), message.booking_id, str(message.revision), message.about)
    return Letter(
        message_id=f"<{sha256(chr(31).join(identity).encode()).hexdigest()[:40]}@{terms.domain}>",
        sender=terms.mail_from,
        sender_name="Slotledger",
        reply_to="",
        reply_to_name="",
        recipient=row.email,
        recipient_name=one_line(row.name),
        subject=body.subject,
        text=text,
        html=html,
        date=now,
        headers={"Content-Language": reader.language, "Auto-Submitted": "auto-generated"},
    )


def _body(reader: Reader, provider: str, account: str, link: str) -> Body:
    gettext = reader.gettext
    title = gettext("Please reconnect your calendar")
    return Body(
        subject=subject(f"{title}: {account}"),
        heading=title,
        greeting="",
        paragraphs=(
            gettext(
                "%(provider)s does not let us into your calendar any more: the permission was withdrawn or has run out.",
                provider=provider,
            ),
            gettext(
                "Nothing is lost and nothing is cancelled. But until you reconnect, we don’t see your changes, and new bookings do not appear in your calendar."
            ),
        ),
        facts=(Fact(gettext("Account"), (account,)),),
        actions=(Action(gettext("Reconnect"), link, main=True),),
        footer=(gettext("The link is for you alone and works for two weeks."),),
        accent="wait",
    )
