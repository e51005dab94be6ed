"""The appointment as a file to download."""

from __future__ import annotations

from booking.invitation import invite_of
from booking.terms import Terms
from connectors.ical import itip
from connectors.model import Attendee
from ledger.db import Tx


def invitation_file(tx: Tx, booking_id: str, terms: Terms) -> bytes:
    """iCalendar, METHOD:PUBLISH, with the UID and SEQUENCE of the mailed invitation. Raises `NotFound`."""
    invite = invite_of(tx, booking_id, terms)
    return itip.publish(
        itip.Invitation(
            uid=invite.uid,
            sequence=invite.sequence,
            dtstamp=invite.dtstamp,
            created=invite.created,
            period=invite.period,
            summary=invite.summary,
            organizer=itip.Organizer(invite.organizer_email, invite.organizer_name),
            attendee=Attendee(invite.attendee_email, invite.attendee_name),
            description=invite.description,
            location=invite.location,
            url=invite.url,
            status=itip.EventStatus(invite.status),
            transparent=invite.transparent,
        )
    )
