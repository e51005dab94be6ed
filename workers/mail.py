"""One mail: prepare and store, send, note. A crash in between sends the very same bytes again, never another message (P3)."""

from __future__ import annotations

from datetime import datetime

from booking import notices, reminders
from booking.invitation import mail_for
from booking.letters import Invite, Letter
from booking.replies import address_failed
from connectors.errors import ConnectorError, NeedsReconnect, Unreachable
from connectors.ical import itip
from connectors.ical.itip import EventStatus, Invitation, Organizer
from connectors.mail import imip
from connectors.mail.imip import Mail
from connectors.mail.outgoing import RecipientRefused
from connectors.model import Attendee
from ledger import deliveries, observe, outbox, reviews, timeline
from ledger.backoff import next_attempt
from ledger.db import Tx
from ledger.deliveries import Prepared
from ledger.messages import SendMail
from ledger.observe import Event
from ledger.outbox import Leased
from sync import tickets
from sync.errors import BadLink
from workers.world import World

LONG_AWAY = 9
"""Attempts after which a server that can't be reached is a review of those who run the service: some 15 minutes."""
_SERVER = "mail_server"

_WRITTEN = {"REQUEST": itip.request, "CANCEL": itip.cancel, "DECLINECOUNTER": itip.decline_counter}


def send_mail(world: World, leased: Leased) -> None:
    """Send the mail that a `SendMail` asks for, or settle it where there is nothing to say any more.

    An address that is refused for good becomes a review and is not tried again. What else is refused for good, or has
    failed for too long, is a review too and raised: it is parked with its bytes until somebody retries it. A server that
    refuses our login, or is away for long, is a review of the admins while it lasts. Raises the tree of `connectors/errors.py` and `LeaseLost`.
    """
    asked = leased.message
    if not isinstance(asked, SendMail):
        raise TypeError(f"{type(asked).__name__} is no mail")
    mail = _prepared(world, leased, asked)
    if mail is None or mail.message is None:
        return
    try:
        receipt = world.outgoing.send(mail.message, sender=world.settings.mail_from, recipient=mail.recipient)
    except RecipientRefused as error:
        _refused(world, leased, asked, mail, str(error))
        return
    except ConnectorError as error:
        if next_attempt(error, leased.attempt, world.clock()) is None:
            _stuck(world, leased, asked, mail, str(error))
        elif isinstance(error, NeedsReconnect) or (isinstance(error, Unreachable) and leased.attempt >= LONG_AWAY):
            with world.database.transaction() as tx:
                reviews.ask(
                    tx, "unsent_mail", _SERVER, now=world.clock(), operator_id=0, detail={"reply": str(error)[:500]}
                )
        raise
    now = world.clock()
    with world.database.transaction() as tx:
        deliveries.handed_over(tx, mail.id, reply=receipt.reply, now=now)
        _note(tx, leased, asked, "mail_handed_over", now=now)
        if leased.attempt > 1:
            reviews.settle(tx, _SERVER, by="the mail server takes our mail again", now=now)
        outbox.settle(tx, leased, now=now)
    observe.mails_total.labels("handed_over").inc()
    observe.log.info(Event.MAIL_HANDED_OVER, delivery=mail.id, about=asked.about, audience=asked.audience)


def _prepared(world: World, leased: Leased, asked: SendMail) -> Prepared | None:
    """The stored mail; None where nothing is to be sent, and the message is settled then."""
    now = world.clock()
    with world.database.transaction() as tx:
        stored = deliveries.find(
            tx,
            booking_id=asked.booking_id,
            audience=asked.audience,
            kind=asked.about,
            sequence=asked.revision,
        )
        # Asked again before each attempt: what became out of date meanwhile isn't sent. The time is that of the
        # decision, so that a letter written again is the same letter.
        letter = _letter(world, tx, asked, leased.created_at)
        if stored is not None:
            deliveries.tried_again(tx, stored.id)
        if stored is None and letter is not None:
            stored = deliveries.prepare(
                tx,
                message_id=letter.message_id,
                message=imip.compose(to_mail(letter)),
                recipient=letter.recipient,
                booking_id=asked.booking_id,
                operator_id=leased.scope.operator_id or 0,
                audience=asked.audience,
                kind=asked.about,
                sequence=asked.revision,
                method=letter.method or "",
                uid=letter.invitation.uid if letter.invitation else "",
                now=now,
            )
        if letter is not None and stored is not None and stored.state == "prepared":
            return stored
        if stored is not None and stored.state == "prepared":
            deliveries.superseded(tx, stored.id)
        outbox.settle(tx, leased, now=now)
    observe.mails_total.labels("superseded").inc()
    observe.log.info(Event.MAIL_SUPERSEDED, about=asked.about, audience=asked.audience)
    return None


def _letter(world: World, tx: Tx, asked: SendMail, decided: datetime) -> Letter | None:
    """About a booking or a place in line; or about an account, with a link that only this deployment can sign."""
    if not asked.booking_id.startswith(notices.PREFIX):
        return mail_for(
            tx, asked, world.terms, now=decided, prove=lambda claim: world.vault.sign(claim, reminders.PURPOSE)
        )
    try:
        link = tickets.link(tx, world.vault, asked.revision, world.settings.base_url)
    except BadLink:
        return None
    return notices.reconnect_letter(tx, asked, world.terms, link=link, now=decided)


def _refused(world: World, leased: Leased, asked: SendMail, mail: Prepared, reply: str) -> None:
    now = world.clock()
    with world.database.transaction() as tx:
        deliveries.refused(tx, mail.id, reply=reply)
        _note(tx, leased, asked, "mail_refused", now=now)
        address_failed(
            tx, asked.booking_id, leased.scope.operator_id or 0, asked.audience, mail.recipient, asked.about, reply,
            now=now, cause=leased.cause,
        )  # fmt: skip
        outbox.settle(tx, leased, now=now)
    observe.mails_total.labels("refused").inc()
    observe.log.warning(Event.MAIL_REFUSED, delivery=mail.id, about=asked.about, audience=asked.audience)


def _stuck(world: World, leased: Leased, asked: SendMail, mail: Prepared, reply: str) -> None:
    """The mail server wants none of it: the trouble is ours, and most likely that of every mail. Parking it asks for somebody,
    with one review for all (`ledger.given_up`)."""
    now, operator_id = world.clock(), leased.scope.operator_id or 0
    with world.database.transaction() as tx:
        if not deliveries.stuck(tx, mail.id, reply=reply):
            return
        timeline.note(
            tx, asked.booking_id, operator_id, "mail_stuck", now=now, cause=leased.cause, audience="operator",
            about=asked.about, revision=asked.revision,
        )  # fmt: skip
    observe.mails_total.labels("stuck").inc()
    observe.log.error(Event.MAIL_STUCK, delivery=mail.id, about=asked.about, audience=asked.audience)


def _note(tx: Tx, leased: Leased, asked: SendMail, what: str, *, now: datetime) -> None:
    timeline.note(
        tx, asked.booking_id, leased.scope.operator_id or 0, what, now=now, cause=leased.cause,
        audience=asked.audience, about=asked.about, revision=asked.revision,
    )  # fmt: skip


def to_mail(letter: Letter) -> Mail:
    """A letter with its invitation written out (RFC 5546), ready to be composed."""
    return Mail(
        message_id=letter.message_id,
        sender=letter.sender,
        sender_name=letter.sender_name,
        recipient=letter.recipient,
        recipient_name=letter.recipient_name,
        subject=letter.subject,
        text=letter.text,
        date=letter.date,
        html=letter.html,
        reply_to=letter.reply_to,
        reply_to_name=letter.reply_to_name,
        unsubscribe=letter.unsubscribe,
        calendar=None if letter.invitation is None else _calendar(letter.invitation, letter.method),
        method=letter.method,
        headers=letter.headers,
    )


def _calendar(invite: Invite, method: str | None) -> bytes:
    invitation = Invitation(
        uid=invite.uid,
        sequence=invite.sequence,
        dtstamp=invite.dtstamp,
        created=invite.created,
        period=invite.period,
        summary=invite.summary,
        organizer=Organizer(invite.organizer_email, invite.organizer_name),
        attendee=Attendee(invite.attendee_email, invite.attendee_name),
        description=invite.description,
        location=invite.location,
        url=invite.url,
        status=EventStatus(invite.status),
        transparent=invite.transparent,
        comment=invite.comment,
    )
    return _WRITTEN[method or ""](invitation)
