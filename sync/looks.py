"""An event of ours is missing: is it really gone? (P5)

Only proofs count: the object's own address says 404/410/cancelled, and every calendar of the account that may be
written answers and none holds it. Any error proves nothing and is tried again. At the end of the grace the proof is asked for once more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from connectors.errors import ConnectorError, Gone, Permanent
from connectors.model import Calendar as RemoteCalendar
from connectors.model import Event, Found, Period, Quirks
from connectors.protocol import Connector
from ledger import outbox, reviews
from ledger.backoff import NotYet
from ledger.claims import lock_operator
from ledger.db import Tx
from ledger.messages import LookForEvent
from ledger.outbox import Leased
from ledger.tables import Busy, Calendar, RemoteEvent, Review, SlotEvent
from sync import mirror
from sync.accounts import Accounts, add_calendar, calendars_of
from sync.errors import Disabled, NotFound
from sync.facts import ask_for_look, report_deleted, report_move, wait
from sync.merge import Verdict, judge, seen_as
from sync.stored import calendar_of
from sync.suspicion import BULK_WINDOW, may_cancel, may_not_show_yet, second_look_at, too_many_gone

WIDE = (timedelta(days=400), timedelta(days=1200))
"""Around now: where an operator may have dragged an event to."""
_TRIES = 20
"""Failures after which a look goes on patiently instead of towards being parked."""
_SHUT = (403, 404, 410)
_UNCHANGED = (
    "calendar_id", "href", "etag", "wanted", "state", "version", "pushed_version", "confirmed_at", "missing_since",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Answer:
    """What the provider says. found: None is proof of absence. calendars: as listed just now, if that was needed.

    back: other events that were missing too and turned out to be there.
    """

    found: Found | None
    calendars: Sequence[RemoteCalendar] = ()
    back: Sequence[Any] = ()


def look_for_event(accounts: Accounts, leased: Leased, *, clock: Callable[[], datetime]) -> None:
    """Handle a `LookForEvent`. Found: all is well, or it was moved. Proven absent: look again after the grace, or tell
    booking. Raises ConnectorError and `NotYet` where nothing could be proven."""
    message = leased.message
    assert isinstance(message, LookForEvent)
    with accounts.database.reading() as tx:
        row = _event(tx, message.slot_event_id)
        calendar = _calendar(tx, row.calendar_id) if _needs_look(row, message) else None
        together = _missing_together(tx, row, calendar.connection_id, clock()) if calendar is not None else None
    if calendar is None or together is None:
        with accounts.database.transaction() as tx:
            outbox.settle(tx, leased, now=clock())
        return
    unsure = False
    try:
        with accounts.open(calendar.connection_id) as connector:
            answer = _ask(connector, row, calendar, together, clock())
            if answer.found is None and row.missing_since is None:  # nobody said that it is gone
                unsure = may_not_show_yet(connector.provider, row.confirmed_at, clock())
    except (NotFound, Disabled) as error:
        raise wait(str(error), leased, clock()) from error
    except ConnectorError as error:
        now = clock()
        with accounts.database.transaction() as tx:
            accounts.note_failure(tx, calendar.connection_id, error, now=now)
        if isinstance(error, Permanent) or leased.attempt >= _TRIES:
            # Nobody needs to look at a question: it is asked again until it is answered, or the event begins.
            raise wait(f"{error.code}: {error.detail}", leased, now) from error
        raise
    if unsure:
        raise wait("it was written a moment ago, and may not show yet", leased, clock())
    _write(accounts, leased, row, calendar, answer, clock())


def _needs_look(row: Any, message: LookForEvent) -> bool:
    """Not if it isn't wanted any more, or was found and vanished again: then another look is on its way.

    An event without ``missing_since`` is just checked.
    """
    if row is None or not row.wanted or row.state == "gone":
        return False
    return row.missing_since is None or bool(row.missing_since == message.missing_since)


# --- asking the provider ------------------------------------------------------------------------------------------


def _ask(connector: Connector, row: Any, calendar: Any, together: _Together, now: datetime) -> _Answer:
    here = calendar_of(calendar)
    window = Period(now - WIDE[0], now + WIDE[1])
    event = _fetch(connector, here, row.href, window) if row.href else None
    if event is not None:
        return _Answer(Found(here.href, event))
    calendars = connector.calendars()  # also the proof that the credentials are good
    found = _searched(connector, row, here, calendars, window)
    if found is not None and not found.event.cancelled:
        return _Answer(found, calendars)
    return _Answer(None, calendars, _there_after_all(connector, together, window))


def _searched(
    connector: Connector, row: Any, here: RemoteCalendar, calendars: Sequence[RemoteCalendar], window: Period
) -> Found | None:
    """Every calendar into which the operator can drag an event must answer. One that they may only read is asked as well:
    a colleague may have put it there. But where its owner doesn't show it any more, as lists keep naming such
    calendars, it would hold back every deletion for ever."""
    open_ones = [calendar for calendar in calendars if calendar.writable or calendar.href == here.href]
    found = connector.find(open_ones, row.key, row.uid, window)
    for calendar in calendars:
        if found is not None and not found.event.cancelled:
            break
        if calendar not in open_ones:
            try:
                found = connector.find([calendar], row.key, row.uid, window)
            except ConnectorError as error:
                if error.status not in _SHUT:
                    raise
    return found


def _fetch(connector: Connector, calendar: RemoteCalendar, href: str, window: Period) -> Event | None:
    try:
        event = connector.fetch(calendar, href, window)
    except Gone:
        return None
    return None if event.cancelled else event


def _there_after_all(connector: Connector, together: _Together, window: Period) -> list[Any]:
    """Before the bulk brake is pulled: which of the other missing events are there? A listing that lied must not keep
    the one real deletion waiting for a human. Asks no more than the decision needs."""
    back: list[Any] = []
    lost = 1
    for other in together.others:
        left = 1 + len(together.others) - len(back)
        if too_many_gone(together.ahead, lost) or not too_many_gone(together.ahead, left):
            break
        calendar = RemoteCalendar(other.calendar_href, "", other.timezone)
        if other.state == "gone" or not other.href or _fetch(connector, calendar, other.href, window) is None:
            lost += 1
        else:
            back.append(other)
    return back


# --- writing what it means ----------------------------------------------------------------------------------------


def _write(accounts: Accounts, leased: Leased, before: Any, calendar: Any, answer: _Answer, now: datetime) -> None:
    message = leased.message
    assert isinstance(message, LookForEvent)
    with accounts.database.transaction() as tx:
        if answer.found is not None and _elsewhere(before, calendar, answer.found):
            lock_operator(tx, before.operator_id)  # a copy that was taken for foreign busy time may be freed
        row = _event(tx, before.id)
        if row is None or any(getattr(row, name) != getattr(before, name) for name in _UNCHANGED):
            raise NotYet("the event was written meanwhile", timedelta(seconds=1))
        for other in answer.back:
            tx.execute(
                sa.update(SlotEvent)
                .where(SlotEvent.id == other.id, SlotEvent.missing_since == other.missing_since)
                .values(missing_since=None)
            )
        if answer.found is not None:
            _found(tx, row, calendar, answer.found, answer.calendars, now)
        else:
            _absent(tx, row, calendar, message.look if row.missing_since is not None else 1, now)
        accounts.note_success(tx, calendar.connection_id, now=now)
        outbox.settle(tx, leased, now=now)


def _elsewhere(row: Any, calendar: Any, found: Found) -> bool:
    return bool((calendar.href, row.href) != (found.calendar, found.event.href))


def _found(tx: Tx, row: Any, calendar: Any, found: Found, calendars: Sequence[RemoteCalendar], now: datetime) -> None:
    """It is there: adopt its new place, report its new time."""
    calendar_id, event = calendar.id, found.event
    values: dict[str, Any] = {"missing_since": None}
    if _elsewhere(row, calendar, found):
        calendar_id = _row_of(tx, calendar, found.calendar, calendars)
        values |= {"calendar_id": calendar_id, "href": event.href, "etag": ""}
        remote = sa.select(RemoteEvent.id).where(RemoteEvent.calendar_id == calendar_id, RemoteEvent.href == event.href)
        if mirror.free_busy(tx, Busy.remote_event_id.in_(remote), now=now):
            mirror.ask_for_turn(tx, row.operator_id, now=now)
    tx.execute(sa.update(SlotEvent).where(SlotEvent.id == row.id).values(**values))
    own = mirror.own_event(row, row.calendar_id)
    seen = seen_as(event, own)
    if judge(own, seen) is Verdict.MOVED and seen.period is not None:
        report_move(tx, row, seen.period, now=now)
    mirror.remember_own(tx, calendar_id, event.href, event.etag, event.uid, row.id, event.problem)


def _row_of(tx: Tx, calendar: Any, href: str, calendars: Sequence[RemoteCalendar]) -> int:
    """The row of a calendar of the same account; one that is new there gets a row without roles."""
    known = calendars_of(tx, calendar.connection_id)
    if href in known:
        return known[href]
    listed = next((one for one in calendars if one.href == href), RemoteCalendar(href, ""))
    return add_calendar(tx, calendar.connection_id, calendar.operator_id, listed, Quirks())


def _absent(tx: Tx, row: Any, calendar: Any, look: int, now: datetime) -> None:
    """It is proven to be nowhere, for now."""
    since = row.missing_since or now
    if row.missing_since is None:
        tx.execute(sa.update(SlotEvent).where(SlotEvent.id == row.id).values(missing_since=since))
    if not may_cancel(row.starts_at, now):
        tx.execute(sa.update(SlotEvent).where(SlotEvent.id == row.id).values(state="gone"))
        mirror.forget_own(tx, row.id)
        return
    again = second_look_at(since, look, timedelta(seconds=row.grace_seconds))
    if again is not None:
        ask_for_look(tx, row, since, now=now, look=2, at=max(again, now))
        return
    row = _event(tx, row.id)
    together = _missing_together(tx, row, calendar.connection_id, now)
    if too_many_gone(together.ahead, 1 + len(together.others)):
        _ask_a_human(tx, row, calendar, together, now)
    else:
        report_deleted(tx, row, now=now)


def _ask_a_human(tx: Tx, row: Any, calendar: Any, together: _Together, now: datetime) -> None:
    """The bulk brake: one review for the connection, naming every slot that waits for it."""
    key = f"bulk_deletion:{calendar.connection_id}"
    slots = sorted({row.slot_id, *(other.slot_id for other in together.others if other.state != "gone")})
    open_one = tx.execute(sa.select(Review.id, Review.detail).where(Review.key == key, Review.state == "open")).first()
    if open_one is None:
        detail = {"slots": slots, "calendar": calendar.name, "of": together.ahead}
        reviews.ask(
            tx,
            "bulk_deletion",
            key,
            now=now,
            operator_id=row.operator_id,
            connection_id=calendar.connection_id,
            detail=detail,
        )
        return
    named = sorted({*open_one.detail.get("slots", ()), *slots})
    if named != open_one.detail.get("slots"):
        detail = {**open_one.detail, "slots": named, "of": together.ahead}
        tx.execute(sa.update(Review).where(Review.id == open_one.id).values(detail=detail))


# --- reading ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Together:
    """ahead: events of ours on the connection that lie ahead. others: those that vanished about the same time."""

    ahead: int
    others: Sequence[Any]


def _missing_together(tx: Tx, row: Any, connection_id: int, now: datetime) -> _Together:
    """What the bulk brake counts. Events that were deleted and told within the same minutes count as well."""
    event = SlotEvent
    since = row.missing_since or now
    lately = event.missing_since.between(since - BULK_WINDOW, since + BULK_WINDOW)
    ahead = sa.and_(Calendar.connection_id == connection_id, event.starts_at > now, event.confirmed_at.is_not(None))
    live = sa.and_(event.wanted, event.state != "gone")
    deleted = sa.and_(event.state == "gone", lately)
    columns = sa.select(
        event.id, event.slot_id, event.state, event.href, event.missing_since, event.calendar_id,
        Calendar.href.label("calendar_href"), Calendar.timezone,
    ).join(Calendar, Calendar.id == event.calendar_id)  # fmt: skip
    others = tx.execute(
        columns.where(ahead, event.id != row.id, lately, sa.or_(live, deleted)).order_by(event.id)
    ).all()
    count = (
        sa.select(sa.func.count())
        .select_from(event)
        .join(Calendar, Calendar.id == event.calendar_id)
        .where(ahead, sa.or_(live, deleted, event.id == row.id))
    )
    return _Together(int(tx.execute(count).scalar_one()), others)


def _event(tx: Tx, event_id: int) -> Any:
    return tx.execute(sa.select(SlotEvent.__table__).where(SlotEvent.id == event_id)).one_or_none()


def _calendar(tx: Tx, calendar_id: int | None) -> Any:
    if calendar_id is None:
        return None
    return tx.execute(sa.select(Calendar.__table__).where(Calendar.id == calendar_id)).one_or_none()
