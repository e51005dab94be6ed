"""Letters as values: what is said to whom, ready to be turned into a mail. Nothing here knows MIME, SMTP or a database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from booking.catalogue import Offering
from booking.rules import Wish
from connectors.model import Period


class About(StrEnum):
    """What a letter is about: ``SendMail.about``. The same word serves client and operator, each reads their own text."""

    BOOKED = "booked"
    PENDING = "pending"
    APPROVED = "approved"
    DECLINED = "declined"
    EXPIRED = "expired"
    MOVED = "moved"  # by the operator or an admin, done
    MOVED_BY_CLIENT = "moved_by_client"
    PROPOSAL = "proposal"  # the operator would like another time
    COUNTER = "counter"  # the client would like another time
    CANCELLED_BY_CLIENT = "cancelled_by_client"
    CANCELLED_BY_OPERATOR = "cancelled_by_operator"
    CANCELLED_BY_ADMIN = "cancelled_by_admin"
    CANCELLED_UNCONFIRMED = "cancelled_unconfirmed"  # nobody confirmed attendance in time
    PROMOTED = "promoted"
    WAITLISTED = "waitlisted"
    OFFER = "offer"
    OFFER_EXPIRED = "offer_expired"
    LEFT_LINE = "left_line"  # to who had the wish in their calendar
    ATTENDANCE = "attendance"  # please confirm that you come
    REMINDER = "reminder"
    NO_SHOW = "no_show"
    COUNTER_DECLINED = "counter_declined"  # the time that the client wanted instead
    REVIEW = "review"  # something about a booking asks the operator for a decision
    WORDS = "words"  # what a client wrote back to a mail


@dataclass(frozen=True, slots=True)
class Invite:
    """What the iTIP part says; the fields are those of `connectors.ical.itip.Invitation`, organizer and attendee flattened.

    status: ``CONFIRMED``, ``TENTATIVE`` or ``CANCELLED``. Times are UTC. organizer_email never changes for a UID and attendee.
    """

    uid: str
    sequence: int
    dtstamp: datetime
    created: datetime
    period: Period
    summary: str
    organizer_email: str
    organizer_name: str
    attendee_email: str
    attendee_name: str
    description: str = ""
    location: str = ""
    url: str = ""
    status: str = "CONFIRMED"
    transparent: bool = False
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Letter:
    """One mail to one person: the fields of `connectors.mail.imip.Mail`, with the invitation still a value.

    message_id: with angle brackets, the same for every repetition. method: ``REQUEST``, ``CANCEL``, ``DECLINECOUNTER`` or
    None, set exactly where `invitation` is. date: when it was decided. reply_to: ``""`` for none; reply_to_name: whom an
    answer reaches. unsubscribe: where to POST for no more of these (RFC 8058), ``""`` for none. html and text say the same.
    """

    message_id: str
    sender: str
    sender_name: str
    reply_to: str
    reply_to_name: str
    recipient: str
    recipient_name: str
    subject: str
    text: str
    html: str
    date: datetime
    invitation: Invite | None = None
    method: str | None = None
    unsubscribe: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Matter:
    """All that one letter may speak of: one client's booking, or their place in line. Nobody else is within reach (P14).

    booking_id, token: of the booking, or ``""`` and the token of the place in line. period: the time it is about; None
    for a wish without one. proposed: another time that waits for an answer. until: when a request or an offer ends.
    method: of the invitation that goes with it. native: the operator's own account invites instead of us (P8).
    joins: may they be told how to join online? changeable: may the client still change their mind? waiting: is the client
    (still) in line? position: in it, 0 where it is far. reason: what the one who cancelled said about it, for the other side.
    """

    offering: Offering
    booking_id: str
    token: str
    name: str
    email: str
    zone: str
    language: str
    seats: int = 1
    period: Period | None = None
    waits_for: str = ""
    until: datetime | None = None
    proposed: Period | None = None
    answers: Mapping[str, object] = field(default_factory=dict)
    reason: str = ""
    method: str | None = None
    native: bool = False
    joins: bool = True
    changeable: bool = True
    attendance_confirmed: bool = False
    asks: str = ""  # of a review: its kind and, after a colon, why
    words: str = ""  # what the client wrote back
    no_shows: int = 0  # missed with this operator before; only the operator is told
    wish: Wish | None = None
    accept: str = ""
    waiting: bool = False
    position: int = 0

    @property
    def at(self) -> Period:
        """The time it is about. Raises ValueError where there is none."""
        if self.period is None:
            raise ValueError("this letter needs a time")
        return self.period
