"""What a missed appointment brings: a letter to the client; and where the service wants it, the question who came."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from booking.catalogue import offering_of
from booking.letters import About
from booking.services import ServiceSpec
from booking.states import Happening, Status
from booking.tables import Booking
from ledger import outbox
from ledger.db import Tx
from ledger.messages import AskWhoCame, SendMail
from ledger.tables import TimelineEntry

UNDONE_WITHIN = timedelta(minutes=15)
"""So long a mark may be taken back before the client hears of it."""


def tell_client(tx: Tx, row: Any, spec: ServiceSpec, *, now: datetime, cause: str) -> None:
    """Ask for the letter about the mark that the timeline has just got, unless the service sends none."""
    if spec.no_show_mail:
        due = now + UNDONE_WITHIN
        outbox.append(tx, _letter(tx, row), now=now, not_before=due, scope=_scope(row), cause=cause)


def take_back(tx: Tx, row: Any, *, now: datetime) -> None:
    """Drop the letter about the newest mark, or it would keep later mails of its line waiting. One that is on its way is
    left alone; what is sent then is decided by `invitation.mail_for`."""
    outbox.discard_key(tx, _letter(tx, row).key, now=now)


def newest_mark(tx: Tx, booking_id: str) -> str:
    """What the letter about a booking's newest no-show is named by, ``""`` if there was none: each mark has its own, so
    that one after an undo is told too."""
    marks = sa.select(sa.func.max(TimelineEntry.id)).where(
        TimelineEntry.booking_id == booking_id, TimelineEntry.what == Happening.NO_SHOW.value
    )
    return str(tx.execute(marks).scalar() or "")


def ask_later(tx: Tx, row: Any, *, now: datetime) -> None:
    """An appointment is over: have its operator asked whether the client came, if the service wants that."""
    if offering_of(tx, row).spec.ask_who_came:
        outbox.append(tx, AskWhoCame(row.id, row.revision), now=now, scope=_scope(row), cause="time")


def ask(tx: Tx, message: AskWhoCame, *, now: datetime, cause: str) -> None:
    """Ask by mail, unless somebody has marked it meanwhile or the service doesn't want it any more."""
    row = asked_about(tx, message)
    if row is not None:
        question = SendMail(row.id, row.revision, About.NO_SHOW, "operator")
        outbox.append(tx, question, now=now, scope=_scope(row), cause=cause)


def asked_about(tx: Tx, message: AskWhoCame) -> Any:
    """The booking that there is still something to ask about, or None."""
    row = tx.execute(sa.select(Booking.__table__).where(Booking.id == message.booking_id)).one_or_none()
    if row is None or row.revision != message.revision or row.status != Status.COMPLETED:
        return None
    return row if offering_of(tx, row).spec.ask_who_came else None


def _letter(tx: Tx, row: Any) -> SendMail:
    return SendMail(row.id, row.revision, f"{About.NO_SHOW}:{newest_mark(tx, row.id)}", "client")


def _scope(row: Any) -> outbox.Scope:
    return outbox.Scope(row.operator_id, row.service_id, row.slot_id, row.id)
