"""What is said about a booking or a place in line: the letter to a person, in their language.

When a letter is out of date (`mail_for` then gives None; a newer message says what is true now):

* the booking, the place in line or the offer is gone;
* the booking has a newer revision than the message;
* its status is not the one the letter tells of: "confirmed" to a cancelled one, "pending" to an approved one, a
  reminder of a completed one; its client wants no reminders any more, or has said already that they come; a no-show
  was taken back, also where it was marked again: that is another letter;
* a proposal is no longer open, an offer no longer waits for its answer;
* what a client wrote back is forgotten already; else it is passed on, whatever has become of the booking.

When a calendar object goes with it (RFC 5546; PROVIDERS D5, D6):

* only to the client, and only where we are the voice of the booking (P8); the operator's event is pushed, so a REQUEST
  would put it there a second time;
* REQUEST with whatever makes or keeps the booking confirmed; SEQUENCE is the revision, the UID never changes, nor
  does the organizer for one recipient;
* CANCEL with its end, but only where a REQUEST went out before: whoever was never invited has nothing to take out of
  their calendar and gets words alone. That is read from the deliveries, because an invitation that was decided may
  have become out of date before it was sent. One whose fate is unknown counts as sent: a CANCEL too many is ignored by
  every calendar, one too few leaves an appointment that isn't.
* A pending booking is told without one; the invitation comes with the confirmation.
* DECLINECOUNTER with the answer that the time the client's calendar asked for doesn't suit.
* Whoever waits for one start and wants it gets it as a tentative entry, which becomes the booking's or is taken out.

Each letter is made of one client's `Matter` alone, so no other client can be named in it (P14). Nothing asks a clock:
the same rows and the same `now` give the same letter, and its Message-ID follows from what it is about.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from hashlib import sha256
from typing import Any

import sqlalchemy as sa

from booking import history, missed, reminders, written
from booking.catalogue import Offering, offering_of, offering_waited_for
from booking.client_letter import ClientLetter
from booking.client_words import client_body
from booking.errors import TooLate
from booking.invites import booking_invite, event_words, invite_of, length_of, waiting_invite
from booking.letters import About, Invite, Letter, Matter
from booking.operator_words import OperatorLetter, operator_body
from booking.rules import Wish, may_change
from booking.states import Status
from booking.stationery import courteous_name, one_line, write
from booking.tables import Booking, Offer, WaitlistEntry
from booking.terms import Terms
from connectors.model import Period
from ledger.db import Tx
from ledger.entries import deployment_id
from ledger.messages import SendMail
from ledger.tables import Delivery, Review

__all__ = ["About", "Invite", "Letter", "event_words", "invite_of", "mail_for", "waitlist_mail"]

_ENDS = {
    About.DECLINED: Status.DECLINED,
    About.EXPIRED: Status.EXPIRED,
    About.CANCELLED_BY_CLIENT: Status.CANCELLED,
    About.CANCELLED_BY_OPERATOR: Status.CANCELLED,
    About.CANCELLED_BY_ADMIN: Status.CANCELLED,
    About.CANCELLED_UNCONFIRMED: Status.CANCELLED,
}
_CONFIRMS = (About.BOOKED, About.APPROVED, About.MOVED, About.MOVED_BY_CLIENT, About.PROMOTED)
_TELLS_OF: dict[About, tuple[Status, ...]] = {
    **dict.fromkeys(_CONFIRMS, (Status.CONFIRMED,)),
    **{about: (status,) for about, status in _ENDS.items()},
    About.PENDING: (Status.PENDING,),
    About.PROPOSAL: (Status.CONFIRMED,),
    About.COUNTER: (Status.CONFIRMED,),
    About.COUNTER_DECLINED: (Status.CONFIRMED,),
    About.REMINDER: (Status.CONFIRMED,),
    About.ATTENDANCE: (Status.CONFIRMED,),
    About.NO_SHOW: (Status.NO_SHOW,),
    About.REVIEW: tuple(Status),
    About.WORDS: tuple(Status),
}
ASKED_ON_A_PAGE = "calendar"
"""Who answers a review of a time that was asked for on a page: fresh data, not a person."""
_REVIEWS = {About.PROPOSAL: "move", About.COUNTER: "counter", About.COUNTER_DECLINED: "counter"}
_LINE_ENDS = ("removed", "declined", "expired")
_FARTHEST = 99  # a place in line farther back than this is not counted


def waitlist_mail(entry_id: int, about: str, *, offer_id: int = 0) -> SendMail:
    """The message that asks for a letter to somebody waiting. about: an `About`; what follows a colon makes it another
    one of the same words. offer_id: of ``offer`` and ``offer_expired``."""
    return SendMail(f"entry:{entry_id}", offer_id, about, "client")


def mail_for(
    tx: Tx, message: SendMail, terms: Terms, *, now: datetime, prove: Callable[[str], str] | None = None
) -> Letter | None:
    """The letter that `message` asks for, or None when it is out of date (the rules stand above).

    now: when it was decided, not the clock: DTSTAMP and Date. Raises ValueError for an `about` that this audience is
    never told. prove: signs a claim, for what only the reader of this mail may do.
    """
    about = About(message.about.partition(":")[0])
    if message.booking_id.startswith("entry:"):
        row = tx.execute(sa.select(WaitlistEntry.__table__).where(WaitlistEntry.id == _entry_id(message))).one_or_none()
        matter = None if row is None else _waiting(tx, about, row, message)
        invite: Callable[[Any, Offering, Terms, datetime], Invite] = waiting_invite
    else:
        row = tx.execute(sa.select(Booking.__table__).where(Booking.id == message.booking_id)).one_or_none()
        matter = None if row is None else _booked(tx, about, row, message, now)
        invite = booking_invite
    if row is None or matter is None or not matter.email or (about is About.WORDS and not matter.words):
        return None
    message_id = _message_id(tx, message, terms)
    if message.audience == "operator":
        return _to_operator(about, matter, terms, message_id, now)
    letter = ClientLetter(matter, terms, prove(reminders.claim(row)) if prove and about is About.REMINDER else "")
    body = client_body(about, letter)
    text, html = write(body, letter.reader)
    return Letter(
        message_id=message_id,
        sender=terms.mail_from,
        sender_name=letter.operator,
        reply_to=terms.organizer(row.organizer_tag) if row.organizer_tag else "",
        reply_to_name=letter.operator,
        recipient=matter.email,
        recipient_name=courteous_name(matter.name),
        subject=body.subject,
        text=text,
        html=html,
        date=now,
        invitation=invite(row, matter.offering, terms, now) if matter.method else None,
        method=matter.method,
        unsubscribe=letter.reminders() if about is About.REMINDER else "",
        headers=_headers(letter.reader.language, matter.method),
    )


def _to_operator(about: About, matter: Matter, terms: Terms, message_id: str, now: datetime) -> Letter | None:
    if not matter.offering.operator_email:
        return None
    letter = OperatorLetter(matter, terms)
    body = operator_body(about, letter)
    text, html = write(body, letter.reader)
    return Letter(
        message_id=message_id,
        sender=terms.mail_from,
        sender_name="Slotledger",
        reply_to=matter.email,
        reply_to_name=letter.client,
        recipient=matter.offering.operator_email,
        recipient_name=one_line(matter.offering.operator_name),
        subject=body.subject,
        text=text,
        html=html,
        date=now,
        headers=_headers(letter.reader.language, None),
    )


def _headers(language: str, method: str | None) -> dict[str, str]:
    # Auto-Submitted keeps out-of-office replies away; on scheduling mail some calendars then don't act (PROVIDERS D3).
    automatic = {} if method else {"Auto-Submitted": "auto-generated"}
    return {"Content-Language": language, **automatic}


def _message_id(tx: Tx, message: SendMail, terms: Terms) -> str:
    identity = (deployment_id(tx), message.booking_id, str(message.revision), message.about, message.audience)
    return f"<{sha256(chr(31).join(identity).encode()).hexdigest()[:40]}@{terms.domain}>"


# --- what a letter may speak of ---------------------------------------------------------------------------------


def _booked(tx: Tx, about: About, row: Any, message: SendMail, now: datetime) -> Matter | None:
    told_of = _TELLS_OF.get(about, ())
    if about is About.NO_SHOW and message.audience == "operator":
        told_of = (Status.CONFIRMED, Status.COMPLETED)  # they are asked whether it was one
    if row.status not in told_of or (row.revision != message.revision and about is not About.WORDS):
        return None
    if about is About.REMINDER and reminders.are_off(tx, row):
        return None
    if about is About.ATTENDANCE and row.attendance_confirmed_at is not None:
        return None
    proposed, named = None, message.about.partition(":")[2]
    if about is About.NO_SHOW and named and named != missed.newest_mark(tx, row.id):
        return None
    if about in _REVIEWS:
        proposed = _proposed(tx, about, row, named)
        if proposed is None:
            return None
    offering = offering_of(tx, row)
    invites = about in _CONFIRMS or (about in _ENDS and row.invited)
    return Matter(
        offering=offering,
        booking_id=row.id,
        token=row.token,
        name=row.client_name,
        email=row.client_email,
        zone=row.client_timezone,
        language=row.language,
        seats=row.seats,
        period=Period(row.starts_at, row.ends_at),
        waits_for=row.waits_for,
        until=row.expires_at,
        proposed=proposed,
        answers=row.answers,
        reason=row.reason if about is About.CANCELLED_BY_CLIENT else "",
        method=_method(tx, about, row, named) if message.audience == "client" else None,
        native=invites and row.voice != "service",
        joins=row.status == Status.CONFIRMED,
        changeable=_changeable(offering, row.starts_at, now),
        attendance_confirmed=row.attendance_confirmed_at is not None,
        asks=_asks(about, named),
        words=written.words(tx, named) if about is About.WORDS else "",
        no_shows=history.no_shows(tx, row.operator_id, row.client_email) if message.audience == "operator" else 0,
    )


def _method(tx: Tx, about: About, row: Any, named: str) -> str | None:
    if row.voice != "service":
        return None
    if about in _CONFIRMS:
        return "REQUEST"
    if about is About.COUNTER_DECLINED:
        return "DECLINECOUNTER" if _was_countered(tx, named) else None
    return "CANCEL" if about in _ENDS and _was_invited(tx, row.id, f"entry:{row.waitlist_entry_id}") else None


def _was_countered(tx: Tx, named: str) -> bool:
    """Did the client's calendar ask for the other time? What was asked for on a page is answered in words alone."""
    by = tx.execute(sa.select(Review.resolved_by).where(Review.id == int(named or 0))).scalar()
    return by != ASKED_ON_A_PAGE


def _was_invited(tx: Tx, *names: str) -> bool:
    """names: of the booking, and of the place in line that it was; either may have put the UID into the calendar."""
    sent = sa.select(Delivery.id).where(
        Delivery.booking_id.in_(names),
        Delivery.audience == "client",
        Delivery.method == "REQUEST",
        Delivery.state != "refused",
    )
    return tx.execute(sent.limit(1)).first() is not None


def _changeable(offering: Offering, starts_at: datetime, now: datetime) -> bool:
    try:
        may_change(offering.spec, starts_at, now)
    except TooLate:
        return False
    return True


def _proposed(tx: Tx, about: About, row: Any, named: str) -> Period | None:
    """The other time that waits for an answer, or has got one: of the newest review of that kind about the booking or its
    slot.

    named: the review that the letter to a client is about; ``""`` for the newest.
    """
    query = sa.select(Review.detail).where(
        Review.kind == _REVIEWS[about],
        Review.state == ("dismissed" if about is About.COUNTER_DECLINED else "open"),
        sa.or_(Review.booking_id == row.id, Review.slot_id == row.slot_id),
    )
    if about is not About.COUNTER and named:
        query = query.where(Review.id == int(named))
    details = tx.execute(query.order_by(Review.id.desc())).scalars()
    for detail in details:
        if about is About.PROPOSAL and detail.get("why") != "propose":
            continue
        start = datetime.fromisoformat(detail["to"])
        until = detail.get("until")
        return Period(start, datetime.fromisoformat(until) if until else start + (row.ends_at - row.starts_at))
    return None


def _entry_id(message: SendMail) -> int:
    return int(message.booking_id.removeprefix("entry:"))


def _asks(about: About, named: str) -> str:
    return named.rpartition(":")[0] if about is About.REVIEW else ""


def _waiting(tx: Tx, about: About, entry: Any, message: SendMail) -> Matter | None:
    offer, offer_id, named = None, message.revision, message.about.partition(":")[2]
    if about is About.WAITLISTED:
        if entry.status != "waiting":
            return None
    elif about is About.LEFT_LINE:
        if entry.status not in _LINE_ENDS:
            return None
    elif about in (About.OFFER, About.OFFER_EXPIRED):
        offer = tx.execute(
            sa.select(Offer.__table__).where(Offer.id == offer_id, Offer.entry_id == entry.id)
        ).one_or_none()
        if offer is None or offer.status != ("open" if about is About.OFFER else "expired"):
            return None
    elif about not in (About.REVIEW, About.WORDS):
        raise ValueError(f"{about} is not about a place in line")
    weekdays = entry.weekdays if entry.wish_start is None else 127
    wish = Wish(
        entry.wish_start,
        date.fromisoformat(entry.first_date),
        date.fromisoformat(entry.last_date),
        weekdays,
        (entry.between_start, entry.between_end),
    )
    offering = offering_waited_for(tx, entry)
    return Matter(
        offering=offering,
        booking_id="",
        token=entry.token,
        name=entry.client_name,
        email=entry.client_email,
        zone=entry.client_timezone,
        language=entry.language,
        seats=entry.seats,
        period=_wished(entry, offering) if offer is None else Period(offer.starts_at, offer.ends_at),
        until=None if offer is None else offer.expires_at,
        joins=False,
        wish=wish,
        accept=entry.accept,
        waiting=entry.status == "waiting",
        position=_position(tx, entry),
        method=_line_method(tx, about, entry),
        asks=_asks(about, named),
        words=written.words(tx, named) if about is About.WORDS else "",
    )


def _wished(entry: Any, offering: Offering) -> Period | None:
    if entry.wish_start is None:
        return None
    return Period(entry.wish_start, entry.wish_start + length_of(entry, offering))


def _line_method(tx: Tx, about: About, entry: Any) -> str | None:
    if not entry.calendar_entry or entry.wish_start is None:
        return None
    if about is About.WAITLISTED:
        return "REQUEST"
    ended = entry.status in _LINE_ENDS and _was_invited(tx, f"entry:{entry.id}")
    return "CANCEL" if ended and about in (About.LEFT_LINE, About.OFFER_EXPIRED) else None


def _position(tx: Tx, entry: Any) -> int:
    """The place in line, 0 if it is farther back than `_FARTHEST`: a long line isn't counted for a mail."""
    row = WaitlistEntry
    ahead = (
        sa.select(row.id)
        .where(
            row.service_id == entry.service_id,
            row.status == "waiting",
            sa.or_(row.priority > entry.priority, sa.and_(row.priority == entry.priority, row.id < entry.id)),
        )
        .limit(_FARTHEST)
        .subquery()
    )
    count = int(tx.execute(sa.select(sa.func.count()).select_from(ahead)).scalar_one())
    return count + 1 if count < _FARTHEST else 0
