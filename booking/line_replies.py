"""What the calendar of somebody waiting answers about their tentative entry. When they have a place, `booking.replies` has it.

Only what came to the entry's secret organizer address and names its UID counts; nobody loses more than a place in line by
it, so nothing else asks for a human.
"""

from __future__ import annotations

import hmac
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from booking import waitlist, written
from booking.invitation import About, waitlist_mail
from booking.tables import WaitlistEntry
from booking.terms import Terms
from ledger import outbox
from ledger.db import Tx
from ledger.messages import ClientDeclined, ClientRefresh, ClientWrote, MailFact


def place_of(tx: Tx, fact: MailFact) -> Any:
    """The place in line that an answer proves to be about, or None."""
    entry = _tagged(tx, fact)
    uid = str(getattr(fact, "uid", ""))
    if entry is None or not hmac.compare_digest(entry.uid.encode(), uid.encode()):
        return None
    return None if getattr(fact, "verdict", "") == "fail" else entry


def place_named(tx: Tx, about_id: str) -> Any:
    """The place in line that a mail is about, by its ``entry:ID``; None for another id, or where it is gone."""
    if not about_id.startswith("entry:"):
        return None
    wanted = WaitlistEntry.id == int(about_id.removeprefix("entry:"))
    return tx.execute(sa.select(WaitlistEntry.__table__).where(wanted)).one_or_none()


def _tagged(tx: Tx, fact: MailFact) -> Any:
    if not fact.tag:
        return None
    query = sa.select(WaitlistEntry.__table__).where(
        WaitlistEntry.organizer_tag == fact.tag,
        WaitlistEntry.organizer_tag != "",  # SQLite goes by a partial index only if asked in its words
    )
    return tx.execute(query).one_or_none()


def scope_of_place(entry: Any) -> outbox.Scope:
    """Where a place in line belongs, for pauses."""
    return outbox.Scope(entry.operator_id, entry.service_id)


def wrote(tx: Tx, fact: ClientWrote, *, now: datetime, cause: str) -> None:
    """Pass on what somebody waiting has written. Safe to repeat."""
    entry = _tagged(tx, fact)
    if entry is not None and fact.verdict != "fail":
        scope = scope_of_place(entry)
        written.pass_on(tx, fact, f"entry:{entry.id}", entry.operator_id, 0, scope=scope, now=now, cause=cause)


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
