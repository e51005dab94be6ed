"""What the calendar of somebody waiting answers about their tentative entry. When they have a place, `booking.replies` has it.

Only what came to the entry's secret organizer address and names its UID counts; nobody loses more than a place in line by
it, so nothing else asks for a human.
"""

from __future__ import annotations

import hmac
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from booking import waitlist
from booking.invitation import About, waitlist_mail
from booking.tables import WaitlistEntry
from booking.terms import Terms
from ledger import outbox
from ledger.db import Tx
from ledger.messages import ClientDeclined, ClientRefresh, MailFact


def place_of(tx: Tx, fact: MailFact) -> Any:
    """The place in line that an answer proves to be about, or None."""
    if not fact.tag:
        return None
    query = sa.select(WaitlistEntry.__table__).where(
        WaitlistEntry.organizer_tag == fact.tag,
        WaitlistEntry.organizer_tag != "",  # SQLite goes by a partial index only if asked in its words
    )
    entry = tx.execute(query).one_or_none()
    uid = str(getattr(fact, "uid", ""))
    if entry is None or not hmac.compare_digest(entry.uid.encode(), uid.encode()):
        return None
    return None if getattr(fact, "verdict", "") == "fail" else entry


def scope_of_place(entry: Any) -> outbox.Scope:
    """Where a place in line belongs, for pauses."""
    return outbox.Scope(entry.operator_id, entry.service_id)


def react(tx: Tx, fact: MailFact, terms: Terms, *, now: datetime, cause: str) -> None:
    """Declined: they wait no more. Asked for again: it is sent again, at most once an hour. Whatever else they say, the
    entry is tentative as long as they wait. Safe to repeat."""
    entry = place_of(tx, fact)
    if entry is None:
        return
    if isinstance(fact, ClientDeclined) and fact.method == "REPLY" and fact.sequence >= entry.sequence:
        waitlist.leave(tx, terms, entry.token, now=now, cause=cause)
    elif isinstance(fact, ClientRefresh):
        about = About.WAITLISTED if entry.status == "waiting" else About.LEFT_LINE
        asked = waitlist_mail(entry.id, f"{about}:{now:%Y%m%d%H}")
        outbox.append(tx, asked, now=now, scope=scope_of_place(entry), cause=cause)
