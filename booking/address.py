"""Another mail address for a live booking: what was known at the old one is worth nothing from the commit on."""

from __future__ import annotations

import secrets
from datetime import datetime
from hashlib import sha256
from typing import Any

import sqlalchemy as sa

from booking import commands, line, reminders
from booking.catalogue import Offering, offering_of
from booking.complete import refresh_event, row_of, scope_of, tell
from booking.errors import NotFound, NotPossible
from booking.letters import About
from booking.rules import email_of
from booking.states import Happening, Status, after
from booking.tables import Booking, Offer, WaitlistEntry
from booking.terms import Terms
from ledger import claims, deliveries, outbox, reviews, timeline
from ledger.db import Tx
from ledger.messages import CompleteBooking


def change_address(
    tx: Tx, terms: Terms, booking_id: str, email: str, *, by: str, now: datetime, cause: str, path: str = "email"
) -> None:
    """The client's mails, invitation and reminders go to `email` from now on. The address it has is a no-op.

    by: who did it, for the review of the old address that this settles. path: of the field that a refusal names. Raises
    `Invalid`, `NotFound`, and `NotPossible` for what has ended or is over.

    The client's links and the organizer's address get other secrets, so neither a link nor an answer from the old mailbox
    does anything; what was said from there (attendance, no reminders) is asked anew. The UID stays and SEQUENCE rises.
    No-shows stay with the address they were marked under. Where the operator's account invites (P8), its event has another
    guest, and it tells both of them. Where we do, the old address gets nothing: the entry in that calendar stays until
    somebody deletes it there.
    """
    wanted_email = email_of(email, path=path)
    operator_id = tx.execute(sa.select(Booking.operator_id).where(Booking.id == booking_id)).scalar()
    if operator_id is None:
        raise NotFound("there is no such booking")
    claims.lock_operator(tx, operator_id)
    row = row_of(tx, booking_id)
    after(row.status, Happening.MOVE)  # says why not
    if row.ends_at <= now:
        raise NotPossible("this appointment is over")
    if row.client_email == wanted_email:
        return
    reminders.leave_behind(tx, row, now=now)
    changed = _with_other_secrets(tx, row, wanted_email, now)
    deliveries.forget_recipient(tx, row.id, f"entry:{row.waitlist_entry_id}")
    line.withdraw_offers(tx, Offer.booking_id == row.id, now=now)  # whoever didn't confirm was asked elsewhere
    reviews.settle(tx, failing(operator_id, row.client_email), by=by, now=now)
    timeline.note(tx, row.id, operator_id, "address_changed", now=now, cause=cause, revision=changed.revision)
    offering = offering_of(tx, changed)
    refresh_event(tx, terms, offering, changed.slot_id, now=now, cause=cause)
    _plan_anew(tx, changed, offering, now=now, cause=cause)


def failing(operator_id: int, address: str) -> str:
    """The key of the review that tells an operator of an address that takes no mail; the address can't be read in it."""
    return f"failed_address:{operator_id}:{sha256(address.lower().encode()).hexdigest()[:32]}"


def _with_other_secrets(tx: Tx, row: Any, email: str, now: datetime) -> Any:
    tag = secrets.token_hex(16)
    values = {
        "client_email": email,
        "token": secrets.token_urlsafe(24),
        "organizer_tag": tag,
        "revision": row.revision + 1,
        "attendance_confirmed_at": None,
        "partstat": "",
        "reply_sequence": None,
        "reply_dtstamp": None,
        "reminders_off": "",
        "updated_at": now,
    }
    tx.execute(sa.update(Booking).where(Booking.id == row.id).values(**values))
    if row.waitlist_entry_id is not None:
        # The link to the place in line that it was shows the booking's; and its tag is the booking's.
        entry = sa.update(WaitlistEntry).where(WaitlistEntry.id == row.waitlist_entry_id)
        tx.execute(entry.values(client_email=email, token=secrets.token_urlsafe(24)))
        tx.execute(entry.where(WaitlistEntry.organizer_tag != "").values(organizer_tag=tag))
    return row_of(tx, row.id)


def _plan_anew(tx: Tx, row: Any, offering: Offering, *, now: datetime, cause: str) -> None:
    """What was planned for the revision before does nothing any more."""
    if row.status == Status.PENDING:
        tell(tx, row, About.PENDING, "client", now=now, cause=cause)
        return
    scope = scope_of(row)
    done = CompleteBooking(row.id, row.revision)
    outbox.append(tx, done, now=now, not_before=row.ends_at, scope=scope, cause=cause)
    reminders.plan(tx, row, offering.spec.reminder_hours, scope=scope, now=now, cause=cause)
    reminders.plan_attendance(tx, row, offering.spec, scope=scope, now=now, cause=cause)
    if row.voice == "service":
        tell(tx, row, About.BOOKED, "client", now=now, cause=cause)
    proposal = commands.proposal_of(tx, row)
    if proposal is not None:
        tell(tx, row, f"{About.PROPOSAL}:{proposal.id}", "client", now=now, cause=cause)
