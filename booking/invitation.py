"""What is said about a booking, in the reader's language: the letter to a person, the words in the operator's calendar.

When a letter is out of date (`mail_for` then gives None; a newer message says what is true now):

* the booking, the place in line or the offer is gone;
* the booking has a newer revision than the message;
* its status is not the one the letter tells of: "confirmed" to a cancelled one, "pending" to an approved one, a
  reminder of a completed one;
* a proposal is no longer open, an offer no longer waits for its answer.

When a calendar object goes with it (RFC 5546; PROVIDERS D5, D6):

* only to the client, and only where we are the voice of the booking (P8); the operator's event is pushed, so a REQUEST
  would put it there a second time;
* REQUEST with whatever makes or keeps the booking confirmed; SEQUENCE is the revision, UID and organizer never change;
* CANCEL with its end, but only where a REQUEST went out before: whoever was never invited has nothing to take out of
  their calendar and gets words alone. That is read from the deliveries, because an invitation that was decided may
  have become out of date before it was sent. One whose fate is unknown counts as sent: a CANCEL too many is ignored by
  every calendar, one too few leaves an appointment that isn't.
* A pending booking is told without one; the invitation comes with the confirmation.

Each letter is made of one client's `Matter` alone, so no other client can be named in it (P14). Nothing asks a clock:
the same rows and the same `now` give the same letter, and its Message-ID follows from what it is about.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime
from hashlib import sha256
from typing import Any

import sqlalchemy as sa

from booking.catalogue import Offering, offering_by_id
from booking.client_letter import ClientLetter, calendar_text
from booking.client_words import client_body
from booking.errors import NotFound, TooLate
from booking.letters import About, Invite, Letter, Matter
from booking.operator_words import OperatorLetter, calendar_words, operator_body
from booking.rules import Wish, may_change
from booking.states import COUNTED, Status
from booking.stationery import courteous_name, one_line, write
from booking.tables import Booking, Offer, WaitlistEntry
from booking.terms import Terms
from connectors.model import Period
from ledger.db import Tx
from ledger.entries import Guest, Words, deployment_id
from ledger.messages import SendMail
from ledger.tables import Delivery, Review, Slot

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
    About.REMINDER: (Status.CONFIRMED,),
    About.NO_SHOW: (Status.NO_SHOW,),
    About.REVIEW: tuple(Status),
}
_REVIEWS = {About.PROPOSAL: "move", About.COUNTER: "counter"}
_FARTHEST = 99  # a place in line farther back than this is not counted


def waitlist_mail(entry_id: int, about: About, *, offer_id: int = 0) -> SendMail:
    """The message that asks for a letter to somebody waiting; offer_id: of ``offer`` and ``offer_expired``."""
    return SendMail(f"entry:{entry_id}", offer_id, about, "client")


def mail_for(tx: Tx, message: SendMail, terms: Terms, *, now: datetime) -> Letter | None:
    """The letter that `message` asks for, or None when it is out of date (the rules stand above).

    now: when it was decided, not the clock: DTSTAMP and Date. Raises ValueError for an `about` that this audience is
    never told.
    """
    about = About(message.about.partition(":")[0])
    if message.booking_id.startswith("entry:"):
        matter, tag = _waiting(tx, about, int(message.booking_id.removeprefix("entry:")), message.revision), ""
        row = None
    else:
        row = tx.execute(sa.select(Booking.__table__).where(Booking.id == message.booking_id)).one_or_none()
        matter = None if row is None else _booked(tx, about, row, message, now)
        tag = "" if row is None else row.organizer_tag
    if matter is None or not matter.email:
        return None
    message_id = _message_id(tx, message, terms)
    if message.audience == "operator":
        return _to_operator(about, matter, terms, message_id, now)
    letter = ClientLetter(matter, terms)
    body = client_body(about, letter)
    text, html = write(body, letter.reader)
    organizer = terms.organizer(tag) if tag else ""
    invitation = _invite(row, matter.offering, terms, now) if matter.method else None
    return Letter(
        message_id=message_id,
        sender=terms.mail_from,
        sender_name=letter.operator,
        reply_to=organizer,
        recipient=matter.email,
        recipient_name=courteous_name(matter.name),
        subject=body.subject,
        text=text,
        html=html,
        date=now,
        invitation=invitation,
        method=matter.method,
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
    if row.revision != message.revision or row.status not in told_of:
        return None
    proposed = None
    if about in _REVIEWS:
        proposed = _proposed(tx, about, row, message.about.partition(":")[2])
        if proposed is None:
            return None
    offering = offering_by_id(tx, row.service_id)
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
        method=_method(tx, about, row) if message.audience == "client" else None,
        native=invites and row.voice != "service",
        changeable=_changeable(offering, row.starts_at, now),
        attendance_confirmed=row.attendance_confirmed_at is not None,
    )


def _method(tx: Tx, about: About, row: Any) -> str | None:
    if row.voice != "service":
        return None
    if about in _CONFIRMS:
        return "REQUEST"
    return "CANCEL" if about in _ENDS and _was_invited(tx, row.id) else None


def _was_invited(tx: Tx, booking_id: str) -> bool:
    sent = sa.select(Delivery.id).where(
        Delivery.booking_id == booking_id,
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
    """The other time that waits for an answer: of the newest open review of that kind about the booking or its slot.

    named: the review that a proposal's letter is about; ``""`` for the newest.
    """
    query = sa.select(Review.detail).where(
        Review.kind == _REVIEWS[about],
        Review.state == "open",
        sa.or_(Review.booking_id == row.id, Review.slot_id == row.slot_id),
    )
    if about is About.PROPOSAL and named:
        query = query.where(Review.id == int(named))
    details = tx.execute(query.order_by(Review.id.desc())).scalars()
    for detail in details:
        if about is About.PROPOSAL and detail.get("why") != "propose":
            continue
        start = datetime.fromisoformat(detail["to"])
        until = detail.get("until")
        return Period(start, datetime.fromisoformat(until) if until else start + (row.ends_at - row.starts_at))
    return None


def _waiting(tx: Tx, about: About, entry_id: int, offer_id: int) -> Matter | None:
    entry = tx.execute(sa.select(WaitlistEntry.__table__).where(WaitlistEntry.id == entry_id)).one_or_none()
    if entry is None:
        return None
    offer = None
    if about is About.WAITLISTED:
        if entry.status != "waiting":
            return None
    elif about in (About.OFFER, About.OFFER_EXPIRED):
        offer = tx.execute(
            sa.select(Offer.__table__).where(Offer.id == offer_id, Offer.entry_id == entry_id)
        ).one_or_none()
        if offer is None or offer.status != ("open" if about is About.OFFER else "expired"):
            return None
    else:
        raise ValueError(f"{about} is not about a place in line")
    weekdays = entry.weekdays if entry.wish_start is None else 127
    wish = Wish(
        entry.wish_start,
        date.fromisoformat(entry.first_date),
        date.fromisoformat(entry.last_date),
        weekdays,
        (entry.between_start, entry.between_end),
    )
    return Matter(
        offering=offering_by_id(tx, entry.service_id),
        booking_id="",
        token=entry.token,
        name=entry.client_name,
        email=entry.client_email,
        zone=entry.client_timezone,
        language=entry.language,
        seats=entry.seats,
        period=None if offer is None else Period(offer.starts_at, offer.ends_at),
        until=None if offer is None else offer.expires_at,
        wish=wish,
        accept=entry.accept,
        waiting=entry.status == "waiting",
        position=_position(tx, entry),
    )


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


# --- calendars --------------------------------------------------------------------------------------------------


def invite_of(tx: Tx, booking_id: str, terms: Terms) -> Invite:
    """What a client's calendar shall say of a stored booking, as the file to download. Raises `NotFound`.

    DTSTAMP is the booking's last change. An ended booking gives ``CANCELLED``, a pending one ``TENTATIVE``.
    """
    row = tx.execute(sa.select(Booking.__table__).where(Booking.id == booking_id)).one_or_none()
    if row is None:
        raise NotFound("there is no such booking")
    return _invite(row, offering_by_id(tx, row.service_id), terms, row.updated_at)


def _invite(row: Any, offering: Offering, terms: Terms, dtstamp: datetime) -> Invite:
    words = offering.spec.text(row.language)
    operator = one_line(offering.operator_name)
    url = terms.manage_url(row.language, row.token)
    status = {Status.PENDING: "TENTATIVE", **dict.fromkeys(_ENDS.values(), "CANCELLED")}.get(
        Status(row.status), "CONFIRMED"
    )
    return Invite(
        uid=row.uid,
        sequence=row.revision,
        dtstamp=dtstamp,
        created=row.created_at,
        period=Period(row.starts_at, row.ends_at),
        summary=f"{one_line(words.title)} – {operator}",
        organizer_email=terms.organizer(row.organizer_tag),
        organizer_name=operator,
        attendee_email=row.client_email,
        attendee_name=courteous_name(row.client_name),
        description=calendar_text(row.language, words, offering.spec.link, url),
        location=one_line(words.place) or offering.spec.link,
        url=url,
        status=status,
    )


# Asked at every booking, under the operator's lock: built once.
_SLOT = sa.select(Slot.service_id, Slot.capacity).where(Slot.id == sa.bindparam("slot_id"))
_GUESTS = (
    sa.select(
        Booking.id, Booking.client_name, Booking.client_email, Booking.client_timezone, Booking.language,
        Booking.seats, Booking.answers, Booking.token, Booking.voice,
    )
    .where(Booking.slot_id == sa.bindparam("slot_id"), Booking.status.in_(COUNTED))
    .order_by(Booking.created_at, Booking.id)
)  # fmt: skip


def event_words(tx: Tx, slot_id: int, terms: Terms) -> Words:
    """What the operator reads in their calendar about a slot, in their language. Raises `NotFound` without the slot.

    One person's slot names them with mail address and answers; of a group only how many come, and the names where the
    service says so (``names_in_event``). Pending bookings are not in it: the event is of those who come. Where the account
    invites the client itself (P8), they read the same event, so it speaks to them.
    """
    slot = tx.execute(_SLOT, {"slot_id": slot_id}).one_or_none()
    if slot is None:
        raise NotFound("there is no such slot")
    rows = tx.execute(_GUESTS, {"slot_id": slot_id}).all()
    offering = offering_by_id(tx, slot.service_id)
    guests = [
        Matter(
            offering=offering,
            booking_id=row.id,
            token=row.token,
            name=row.client_name,
            email=row.client_email,
            zone=row.client_timezone,
            language=row.language,
            seats=row.seats,
            answers=row.answers,
        )
        for row in rows
    ]
    words = calendar_words(offering, guests, slot.capacity, terms)
    invited = [guest for guest, row in zip(guests, rows, strict=True) if row.voice != "service" and guest.email]
    return _shared(words, invited[0], terms) if len(invited) == 1 and slot.capacity == 1 else words


def _shared(words: Words, guest: Matter, terms: Terms) -> Words:
    """The words of an event that the operator's account shares with the client: nothing that is the operator's alone."""
    spec = guest.offering.spec
    url = terms.manage_url(guest.language, guest.token)
    return replace(
        words,
        description=calendar_text(guest.language, spec.text(guest.language), spec.link, url),
        url=url,
        guest=Guest(guest.email, courteous_name(guest.name), spec.conference),
    )
