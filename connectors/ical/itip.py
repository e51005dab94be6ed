"""Scheduling messages of one appointment with one person (RFC 5546): what we send, and what comes back as values.

Writing needs no clock and no library: the same `Invitation` gives the same bytes for ever. Reading is in
`connectors/ical/scheduling.py`. Times are UTC; a message holds one VEVENT without recurrence.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from connectors.ical.contentline import address, component, content_line, escape, fold, mailto, one_line, utc
from connectors.model import Attendee, Period

PRODID = "-//Slotledger//Slotledger//EN"


class Method(StrEnum):
    """RFC 5546 §1.4."""

    PUBLISH = "PUBLISH"
    REQUEST = "REQUEST"
    REPLY = "REPLY"
    ADD = "ADD"
    CANCEL = "CANCEL"
    REFRESH = "REFRESH"
    COUNTER = "COUNTER"
    DECLINECOUNTER = "DECLINECOUNTER"


class EventStatus(StrEnum):
    """RFC 5545 §3.8.1.11, for VEVENT."""

    CONFIRMED = "CONFIRMED"
    TENTATIVE = "TENTATIVE"
    CANCELLED = "CANCELLED"


@dataclass(frozen=True, slots=True)
class Organizer:
    """Who invites. email: byte-identical in every message of one UID (`imip.organizer_address`)."""

    email: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Invitation:
    """One appointment as one person is to see it.

    sequence: rises with each change of time and with the cancellation (RFC 5546 §2.1.4). dtstamp: when this message
    was decided. created: when the appointment came to be; updated: its last change, dtstamp if None. period: longer
    than nothing. attendee: the recipient of the message. comment: one note to the reader, such as why it was
    cancelled. Raises ValueError for values no client could read: a naive time, an empty UID, no real address.
    """

    uid: str
    sequence: int
    dtstamp: datetime
    created: datetime
    period: Period
    summary: str
    organizer: Organizer
    attendee: Attendee
    updated: datetime | None = None
    description: str = ""
    location: str = ""
    url: str = ""
    status: EventStatus = EventStatus.CONFIRMED
    transparent: bool = False
    comment: str = ""

    def __post_init__(self) -> None:
        if not self.uid or one_line(self.uid) != self.uid:
            raise ValueError("Invitation.uid must be one plain line")
        if self.sequence < 0:
            raise ValueError("Invitation.sequence is negative")
        if self.period.end <= self.period.start:
            raise ValueError("Invitation.period must be longer than nothing")
        for instant in (self.dtstamp, self.created, self.updated):
            if instant is not None and instant.tzinfo is None:
                raise ValueError("Invitation times must be aware")
        address(self.organizer.email)
        address(self.attendee.email)


def request(invitation: Invitation) -> bytes:
    """METHOD:REQUEST: invite, or move with the same UID and a higher SEQUENCE (RFC 5546 §3.2.2)."""
    return _calendar(
        Method.REQUEST,
        [*_event(invitation, invitation.status), _organizer(invitation), _attendee(invitation, rsvp=True)],
    )


def cancel(invitation: Invitation) -> bytes:
    """METHOD:CANCEL for the whole event; ``sequence`` is the raised one (RFC 5546 §3.2.5)."""
    return _calendar(
        Method.CANCEL,
        [*_event(invitation, EventStatus.CANCELLED), _organizer(invitation), _attendee(invitation, rsvp=False)],
    )


def publish(invitation: Invitation) -> bytes:
    """METHOD:PUBLISH, the file to download: the same UID, nobody to answer to, no attendee (RFC 5546 §3.2.1)."""
    return _calendar(Method.PUBLISH, [*_event(invitation, invitation.status), _organizer(invitation)])


def decline_counter(invitation: Invitation) -> bytes:
    """METHOD:DECLINECOUNTER: the proposed time doesn't suit, what was agreed stands (RFC 5546 §3.2.8)."""
    return _calendar(
        Method.DECLINECOUNTER,
        [*_event(invitation, invitation.status), _organizer(invitation), _attendee(invitation, rsvp=False)],
    )


def _calendar(method: Method, event: list[bytes]) -> bytes:
    head = [
        fold(f"PRODID:{PRODID}"),
        fold("VERSION:2.0"),
        fold("CALSCALE:GREGORIAN"),
        fold(f"METHOD:{method}"),
    ]
    return component("VCALENDAR", [*head, component("VEVENT", event)])


def _event(invitation: Invitation, status: EventStatus) -> list[bytes]:
    transparent = invitation.transparent or status is EventStatus.CANCELLED
    busy = "FREE" if transparent else "TENTATIVE" if status is EventStatus.TENTATIVE else "BUSY"
    lines = [
        content_line("UID", escape(invitation.uid)),
        content_line("SEQUENCE", str(invitation.sequence)),
        content_line("DTSTAMP", utc(invitation.dtstamp)),
        content_line("CREATED", utc(invitation.created)),
        content_line("LAST-MODIFIED", utc(invitation.updated or invitation.dtstamp)),
        content_line("DTSTART", utc(invitation.period.start)),
        content_line("DTEND", utc(invitation.period.end)),
        content_line("SUMMARY", escape(one_line(invitation.summary))),
    ]
    for name, text in (
        ("DESCRIPTION", escape(invitation.description)),
        ("LOCATION", escape(one_line(invitation.location))),
        ("URL", "".join(one_line(invitation.url).split())),
        ("COMMENT", escape(invitation.comment)),
    ):
        if text:
            lines.append(content_line(name, text))
    lines += [
        content_line("STATUS", status),
        content_line("TRANSP", "TRANSPARENT" if transparent else "OPAQUE"),
        content_line("CLASS", "PUBLIC"),
        content_line("PRIORITY", "5"),
        # Exchange reads these and not TRANSP (MS-OXCICAL §2.1.3.1.1.20).
        content_line("X-MICROSOFT-CDO-BUSYSTATUS", busy),
        content_line("X-MICROSOFT-CDO-INTENDEDSTATUS", busy),
    ]
    return lines


def _organizer(invitation: Invitation) -> bytes:
    # No SENT-BY: Outlook and Gmail then show "unknown organizer".
    organizer = invitation.organizer
    return content_line("ORGANIZER", mailto(organizer.email), {"CN": organizer.name or organizer.email})


def _attendee(invitation: Invitation, *, rsvp: bool) -> bytes:
    attendee = invitation.attendee
    parameters = {"CUTYPE": "INDIVIDUAL", "ROLE": "REQ-PARTICIPANT", "PARTSTAT": str(attendee.partstat)}
    if rsvp:
        parameters["RSVP"] = "TRUE"
    return content_line("ATTENDEE", mailto(attendee.email), parameters | {"CN": attendee.name or attendee.email})


@dataclass(frozen=True, slots=True)
class Reply:
    """METHOD:REPLY. attendee: who answers, with the PARTSTAT. sequence: of the invitation answered, 0 where none was
    given. dtstamp: UTC, None where unreadable. period: the time answered to, where it is echoed. recurrence_id: ``""``
    for the whole event. organizer: ``""`` from Exchange, which omits it. comment: plain text, never to be shown raw."""

    uid: str
    sequence: int
    dtstamp: datetime | None
    attendee: Attendee
    organizer: str = ""
    comment: str = ""
    period: Period | None = None
    recurrence_id: str = ""


@dataclass(frozen=True, slots=True)
class Counter:
    """METHOD:COUNTER, a wish for another time. proposed: None where the wish can't be read as an instant (all-day,
    floating); the rest as in `Reply`."""

    uid: str
    sequence: int
    dtstamp: datetime | None
    attendee: Attendee
    proposed: Period | None
    organizer: str = ""
    comment: str = ""
    recurrence_id: str = ""


@dataclass(frozen=True, slots=True)
class Refresh:
    """METHOD:REFRESH, the attendee asks for the newest version. Answer with `request`, at most once an hour."""

    uid: str
    dtstamp: datetime | None
    attendee: Attendee
    organizer: str = ""


@dataclass(frozen=True, slots=True)
class OrganizerMessage:
    """What only an organizer may say (REQUEST, CANCEL, ADD, PUBLISH, DECLINECOUNTER): ours, or a forgery."""

    method: Method
    uid: str
    sequence: int
    dtstamp: datetime | None
    attendee: Attendee | None
    organizer: str = ""
    period: Period | None = None
    status: str = ""


Message = Reply | Counter | Refresh | OrganizerMessage


class Standing(StrEnum):
    """How an answer stands to what is known."""

    FRESH = "fresh"  # decides
    OLD_TIME = "old_time"  # answers a time that has been changed since: a note, nothing more
    REPEATED = "repeated"  # not newer than the answer that is already known


def standing(answer: Reply | Counter, *, sequence: int, last: datetime | None) -> Standing:
    """Is this answer the one that counts? sequence: our newest for this attendee. last: DTSTAMP of the last answer
    taken from the same attendee to the same sequence, None if there was none.

    Higher SEQUENCE wins, then later DTSTAMP (RFC 5546 §2.1.5). An answer without a DTSTAMP counts only as the first.
    """
    if answer.sequence < sequence:
        return Standing.OLD_TIME
    if last is None:
        return Standing.FRESH
    if answer.dtstamp is None or answer.dtstamp <= last:
        return Standing.REPEATED
    return Standing.FRESH
