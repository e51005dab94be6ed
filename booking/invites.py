"""What calendars are told: the client's invitation of a booking or of a place in line, the words of the operator's event.

One UID has one organizer for one recipient (PROVIDERS D3), and it may begin as a place in line: the tentative entry of
somebody waiting has the UID and tag that the booking gets when it is promoted, with the next SEQUENCE (RFC 5546 §2.1.4).
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from booking.catalogue import Offering, offering_by_id, offering_of
from booking.client_letter import calendar_text, entry_title
from booking.errors import NotFound
from booking.letters import Invite, Matter
from booking.operator_words import calendar_words
from booking.states import COUNTED, Status
from booking.stationery import courteous_name, one_line
from booking.tables import Booking
from booking.terms import Terms
from connectors.model import Period
from ledger.db import Tx
from ledger.entries import Guest, Words
from ledger.tables import Slot

_STATUS = {
    Status.PENDING: "TENTATIVE",
    **dict.fromkeys((Status.DECLINED, Status.EXPIRED, Status.CANCELLED), "CANCELLED"),
}


def invite_of(tx: Tx, booking_id: str, terms: Terms) -> Invite:
    """What a client's calendar shall say of a stored booking, as the file to download. Raises `NotFound`.

    DTSTAMP is the booking's last change. An ended booking gives ``CANCELLED``, a pending one ``TENTATIVE``.
    """
    row = tx.execute(sa.select(Booking.__table__).where(Booking.id == booking_id)).one_or_none()
    if row is None:
        raise NotFound("there is no such booking")
    return booking_invite(row, offering_of(tx, row), terms, row.updated_at)


def booking_invite(row: Any, offering: Offering, terms: Terms, dtstamp: datetime) -> Invite:
    """What a client's calendar shall say of a booking. row: as stored; dtstamp: when this message was decided."""
    return _invite(
        row,
        offering,
        terms,
        dtstamp,
        sequence=row.revision,
        period=Period(row.starts_at, row.ends_at),
        url=terms.manage_url(row.language, row.token),
        status=_STATUS.get(Status(row.status), "CONFIRMED"),
    )


def waiting_invite(entry: Any, offering: Offering, terms: Terms, dtstamp: datetime) -> Invite:
    """What the calendar of somebody waiting for one start shall say: tentative, and the time stays free; ``CANCELLED``
    when they wait no more. entry: the stored place in line, with UID and tag. Raises ValueError for a range of days."""
    if entry.wish_start is None:
        raise ValueError("only the wish for one start has a place in a calendar")
    return _invite(
        entry,
        offering,
        terms,
        dtstamp,
        sequence=entry.sequence,
        period=Period(entry.wish_start, entry.wish_start + length_of(entry, offering)),
        url=terms.waitlist_url(entry.language, entry.token),
        status="TENTATIVE" if entry.status in ("waiting", "offered") else "CANCELLED",
        transparent=True,
    )


def length_of(entry: Any, offering: Offering) -> timedelta:
    """How long the appointment will be that somebody waits for."""
    return timedelta(minutes=entry.duration_minutes or offering.spec.duration_minutes)


def _invite(
    row: Any, offering: Offering, terms: Terms, dtstamp: datetime, *, sequence: int, period: Period, url: str, status: str,
    transparent: bool = False,
) -> Invite:  # fmt: skip
    words = offering.spec.text(row.language)
    operator = one_line(offering.operator_name)
    link = offering.spec.link if status == "CONFIRMED" else ""  # how to join is for those who come
    return Invite(
        uid=row.uid,
        sequence=sequence,
        dtstamp=dtstamp,
        created=row.created_at,
        period=period,
        summary=entry_title(words, operator),
        organizer_email=terms.organizer(row.organizer_tag),
        organizer_name=operator,
        attendee_email=row.client_email,
        attendee_name=courteous_name(row.client_name),
        description=calendar_text(row.language, words, link, url),
        location=one_line(words.place) or link,
        url=url,
        status=status,
        transparent=transparent,
    )


# Asked at every booking, under the operator's lock: built once.
_SLOT = sa.select(Slot.service_id, Slot.operator_id, Slot.capacity).where(Slot.id == sa.bindparam("slot_id"))
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
    offering = offering_by_id(tx, slot.service_id, slot.operator_id)
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
