"""What sync tells booking about events of ours, and how long sync has patience with a provider."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from connectors.errors import BadAnswer, CalendarGone, ConnectorError, Gone, Permanent, Refused
from connectors.model import Attendee, PartStat, Period
from ledger import outbox, reviews
from ledger.backoff import NotYet
from ledger.db import Tx
from ledger.messages import GuestAccepted, GuestDeclined, LookForEvent, NoShowTagged, RemoteCancellation, RemoteMove
from ledger.tables import OutboxMessage, Review, SlotEvent
from sync.mirror import forget_own

_PATIENCE = timedelta(hours=15)
_SHORTEST = timedelta(seconds=5)
_LONGEST = timedelta(minutes=30)


def scope_of(row: Any) -> outbox.Scope:
    """The pauses that hold facts about a slot's event."""
    return outbox.Scope(row.operator_id, row.service_id, row.slot_id)


def report_move(tx: Tx, row: Any, period: Period, *, now: datetime) -> None:
    """The operator gave a slot's event another time. row: of `SlotEvent`.

    Only where it lies now counts: earlier moves that nobody has acted on yet are taken back. Idempotent.
    """
    fact = RemoteMove(row.id, row.slot_id, row.version, period.start, period.end)
    withdraw_moves(tx, row, now=now, but=fact)
    if not outbox.append(tx, fact, now=now, scope=scope_of(row), cause="operator moved the event"):
        # There and away and there again: what was taken back is true once more; and what had no effect may have one now.
        _say_again(tx, fact.key, ("done", "discarded"), now=now)


def _say_again(tx: Tx, key: str, states: Sequence[str], *, now: datetime) -> None:
    message = OutboxMessage
    tx.execute(
        sa.update(message)
        .where(message.key == key, ~message.merges, message.state.in_(states))
        .values(state="waiting", not_before=now, attempts=0, settled_at=None)
    )
    tx.info["wake"] = True


def withdraw_moves(tx: Tx, row: Any, *, now: datetime, but: RemoteMove | None = None) -> None:
    """A slot's event isn't (any more) where these moves put it: nothing is to be done or decided about them. One that is
    being acted on can't be taken back: then look again when that is over."""
    asked = sa.select(Review.id, Review.detail).where(
        Review.kind == "move", Review.state == "open", Review.slot_id == row.slot_id
    )
    for review in tx.execute(asked):
        if but is None or review.detail.get("to") != but.start.isoformat():
            reviews.resolve(tx, review.id, state="dismissed", by="operator_calendar", now=now)
    message = OutboxMessage
    pending = sa.and_(
        message.line == f"facts:{row.slot_id}",
        message.kind == RemoteMove.__name__,
        message.state.in_(outbox.LIVE),
        message.key != (but.key if but is not None else ""),
    )
    states = tx.execute(sa.select(message.state).where(pending)).scalars().all()
    if not states:
        return
    tx.execute(
        sa.update(message)
        .where(pending, message.state != "running")
        .values(state="discarded", settled_at=now, last_error="the operator moved it again")
    )
    if "running" in states:
        ask_for_look(tx, row, now, now=now, at=now + _SHORTEST)


def report_missing(tx: Tx, row: Any, *, now: datetime) -> datetime | None:
    """A slot's event isn't where it was: look for it, if it is wanted and not over. Returns since when it is missing.

    Idempotent. The row of an event that is over, or was unwanted anyway, just says that it is gone.
    """
    event = SlotEvent
    if row.state == "gone":
        return None
    if not row.wanted or row.ends_at <= now:
        if row.ends_at <= now:
            tx.execute(sa.update(event).where(event.id == row.id).values(state="gone"))
        forget_own(tx, row.id)
        return None
    since: datetime = row.missing_since or now
    if row.missing_since is None:
        tx.execute(sa.update(event).where(event.id == row.id).values(missing_since=now))
    ask_for_look(tx, row, since, now=now)
    return since


def ask_for_look(
    tx: Tx, row: Any, since: datetime, *, now: datetime, look: int = 1, at: datetime | None = None
) -> None:
    """Have somebody ask the provider for this very event."""
    message = LookForEvent(row.id, since, look)
    outbox.append(tx, message, now=now, not_before=at, scope=scope_of(row), cause="the event is missing")


def report_deleted(tx: Tx, row: Any, *, now: datetime) -> None:
    """The operator deleted a slot's event; proven. ``missing_since`` stays: the bulk brake counts it."""
    tx.execute(sa.update(SlotEvent).where(SlotEvent.id == row.id).values(state="gone", href="", etag=""))
    forget_own(tx, row.id)
    fact = RemoteCancellation(row.id, row.slot_id)
    if not outbox.append(tx, fact, now=now, scope=scope_of(row), cause="operator deleted the event"):
        _say_again(tx, fact.key, ("done", "discarded"), now=now)  # the slot's event was another one then


def report_answers(tx: Tx, row: Any, guests: Sequence[Attendee], *, now: datetime) -> None:
    """What the client answered to the invitation that the operator's account sent. row: of `SlotEvent`. Idempotent.

    Only the person counts whom we had invited; who else was added is the operator's business.
    """
    invited = str((row.words.get("guest") or {}).get("email", "")).lower()
    answer = next((guest.partstat for guest in guests if invited and guest.email == invited), None)
    kinds = {PartStat.DECLINED: GuestDeclined, PartStat.ACCEPTED: GuestAccepted}
    if row.wanted and answer in kinds:
        fact = kinds[answer](row.id, row.slot_id, row.version)
        outbox.append(tx, fact, now=now, scope=scope_of(row), cause="calendar_reply")


def report_tag(tx: Tx, row: Any, tagged: bool | None, *, now: datetime) -> None:
    """The operator's event is tagged as a no-show, or isn't any more. row: of `SlotEvent`; None: it can't be told.
    Idempotent: only that is kept of its words, and booking reads it when it acts."""
    if tagged is None or tagged == row.no_show:
        return
    tx.execute(sa.update(SlotEvent).where(SlotEvent.id == row.id).values(no_show=tagged))
    fact = NoShowTagged(row.id, row.slot_id)
    outbox.append(tx, fact, now=now, scope=scope_of(row), cause="operator_calendar")


def patient(error: ConnectorError, leased: outbox.Leased, now: datetime) -> ConnectorError | NotYet:
    """The error to let fly. One that a provider may get over by itself, though it sounds final, is tried again.

    A proxy's login page, a gateway's 403 or a calendar that is not shared for an hour must neither lose a write nor leave
    a deletion unnoticed; waits grow with the age of the message.
    """
    age = now - leased.created_at
    passing = isinstance(error, BadAnswer | CalendarGone | Refused) or (type(error) is Permanent)
    if not passing or isinstance(error, Gone) or age > _PATIENCE:
        return error
    return wait(f"{error.code}: {error.detail}", leased, now)


def wait(why: str, leased: outbox.Leased, now: datetime) -> NotYet:
    """Not a failure, and no use to hurry: half of the message's age again."""
    return NotYet(why, min(max((now - leased.created_at) / 2, _SHORTEST), _LONGEST))
