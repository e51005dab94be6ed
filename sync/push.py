"""Make the provider's event equal the wish. A reconciler: repeating, reordering and racing are harmless.

The state ``sent`` is committed before the call, so that a lost answer is known as one. What the operator did meanwhile
is never overwritten: a write names the etag that it rests on, and a different time is told to booking instead.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from connectors.errors import BadAnswer, Conflict, ConnectorError, Gone, ServerFault, Unreachable
from connectors.model import Attendee, Entry, Event, Period, Quirks, Written
from connectors.model import Calendar as RemoteCalendar
from connectors.protocol import Connector, Sweeping
from ledger import outbox
from ledger.claims import after_operators
from ledger.db import Tx
from ledger.entries import anew, deployment_id
from ledger.messages import PushEvent
from ledger.outbox import Leased
from ledger.tables import Calendar, Operator, SlotEvent
from sync import mirror
from sync.accounts import Accounts
from sync.errors import Disabled, NotFound
from sync.facts import patient, report_missing, report_move, wait
from sync.looks import WIDE
from sync.merge import OwnEvent, seen_as
from sync.stored import calendar_of, quirks_of
from sync.suspicion import may_not_show_yet
from sync.sweep import ask_for_sweep

_UNKNOWN_OUTCOME = (Unreachable, ServerFault, BadAnswer)


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is to be done, as it was when the attempt began. row: of `SlotEvent`, before it was marked as sent."""

    row: Any
    own: OwnEvent
    connection_id: int
    calendar: RemoteCalendar
    quirks: Quirks
    entry: Entry


@dataclass(frozen=True, slots=True)
class _Moved:
    """It lies at a time that we never wished: the operator's doing."""

    event: Event
    period: Period


@dataclass(frozen=True, slots=True)
class _Missing:
    """It was there and isn't any more."""


@dataclass(frozen=True, slots=True)
class _Removed:
    """It is nowhere, as wished."""


_Result = Written | _Moved | _Missing | _Removed


def push_event(accounts: Accounts, leased: Leased, *, clock: Callable[[], datetime]) -> None:
    """Handle a `PushEvent`: create, update or delete, whatever the newest wish needs.

    Raises ConnectorError and `NotYet`; after a failure whose outcome is unknown the event stays ``sent``, and the next
    attempt finds out.
    """
    message = leased.message
    assert isinstance(message, PushEvent)
    with accounts.database.transaction() as tx:
        plan = _begin(tx, leased, clock())
        if plan is None:
            outbox.settle(tx, leased, now=clock())
            return
    try:
        with accounts.open(plan.connection_id) as connector:
            act = _put if plan.row.wanted else _remove
            result = act(connector, plan, clock())
            unsure = plan.row.state == "sent" and not plan.own.href and isinstance(connector, Sweeping)
            early = isinstance(result, _Missing) and may_not_show_yet(
                connector.provider, plan.row.confirmed_at, clock()
            )
    except (NotFound, Disabled) as error:
        _note_failure(accounts, plan, None, clock())
        raise wait(str(error), leased, clock()) from error
    except ConnectorError as error:
        _note_failure(accounts, plan, error, clock())
        raise patient(error, leased, clock()) from error
    now = clock()
    if early:
        _note_failure(accounts, plan, None, now)
        raise wait("the event was written a moment ago, and may not show yet", leased, now)
    with accounts.database.transaction() as tx:
        _write(tx, plan, result, now)
        if unsure:
            ask_for_sweep(tx, plan.row, now=now)
        accounts.note_success(tx, plan.connection_id, now=now)
        if not isinstance(result, _Missing):
            outbox.settle(tx, leased, now=now)
    if isinstance(result, _Missing):
        raise wait("the event is missing; it is being looked for", leased, now)


def _begin(tx: Tx, leased: Leased, now: datetime) -> _Plan | None:
    """Read the newest wish and mark a write as sent. None if there is nothing to do. Raises `NotYet` while it is missing."""
    message = leased.message
    assert isinstance(message, PushEvent)
    # Locked: it must not be given to another calendar between this look and the mark.
    after_operators(tx, "slot event")
    query = sa.select(SlotEvent.__table__).where(SlotEvent.id == message.slot_event_id)
    row = tx.execute(query.with_for_update(key_share=True)).one_or_none()
    if row is None or row.calendar_id is None or row.state == "gone" or row.pushed_version >= row.version:
        return None
    if not row.wanted and row.state == "planned" and not row.href:
        _finish(tx, row, state="gone")  # it was never sent anywhere
        return None
    if row.wanted and row.missing_since is not None:
        raise wait("the event is missing; it is being looked for", leased, now)
    calendar = tx.execute(sa.select(Calendar.__table__).where(Calendar.id == row.calendar_id)).one()
    zone = tx.execute(sa.select(Operator.timezone).where(Operator.id == row.operator_id)).scalar_one()
    own = mirror.own_event(row, row.calendar_id)
    if row.wanted:
        values: dict[str, Any] = {"state": "sent"}
        if own.pushed is None:
            values |= {"pushed_start": row.starts_at, "pushed_end": row.ends_at}
        tx.execute(sa.update(SlotEvent).where(SlotEvent.id == row.id).values(**values))
    entry = _entry(row, zone, deployment_id(tx))
    return _Plan(row, own, calendar.connection_id, calendar_of(calendar), quirks_of(calendar.quirks), entry)


def _entry(row: Any, zone: str, deployment: str) -> Entry:
    words, guest = row.words, row.words.get("guest")
    return Entry(
        key=row.key,
        uid=row.uid,
        marker=f"{deployment}:{row.slot_id}:0",
        period=Period(row.starts_at, row.ends_at),
        title=words.get("title", ""),
        description=words.get("description", ""),
        location=words.get("location", ""),
        url=words.get("url", ""),
        sequence=row.sequence,
        timezone=zone,
        created_at=row.created_at,
        updated_at=row.updated_at,
        categories=tuple(words.get("categories", ())),
        attendees=(Attendee(guest["email"].lower(), guest["name"]),) if guest else (),
        conference=bool(guest and guest["conference"]),
    )


# --- calls ----------------------------------------------------------------------------------------------------------


def _put(connector: Connector, plan: _Plan, now: datetime) -> _Result:
    """Create or update. A deletion by the operator comes back as missing, their move as moved."""
    own, entry = plan.own, plan.entry
    window = Period(now - WIDE[0], now + WIDE[1])
    try:
        if not own.href:
            written = connector.create(plan.calendar, entry, quirks=plan.quirks)
            if not written.adopted:
                return written
            return _reconcile(connector, plan, connector.fetch(plan.calendar, written.href, window))
        if own.etag:
            try:
                return connector.update(plan.calendar, entry, own.href, own.etag, quirks=plan.quirks)
            except Conflict:
                pass  # somebody else wrote it: read before deciding
        return _reconcile(connector, plan, connector.fetch(plan.calendar, own.href, window))
    except Gone:
        return _Missing()


def _reconcile(connector: Connector, plan: _Plan, event: Event) -> _Result:
    """Bring an event that was just read up to the wish, unless the operator gave it a time of their own."""
    if event.cancelled:
        return _Missing()
    period = seen_as(event, plan.own).period
    ours = (plan.own.wish, plan.own.pushed or plan.own.wish)
    if period is not None and period not in ours:
        return _Moved(event, period)
    if not plan.own.href and plan.row.version == 1 and period == plan.own.wish:
        return Written(event.href, event.etag, adopted=True)  # an earlier attempt of ours, word for word
    return connector.update(plan.calendar, plan.entry, event.href, event.etag, quirks=plan.quirks)


def _remove(connector: Connector, plan: _Plan, now: datetime) -> _Removed:
    """Delete it, also where the answer to its creation was lost."""
    href = plan.own.href
    if not href:
        window = Period(now - WIDE[0], now + WIDE[1])
        found = connector.find([plan.calendar], plan.own.key, plan.own.uid, window)
        href = found.event.href if found is not None else ""
    if href:
        connector.delete(plan.calendar, href)
    return _Removed()


# --- writing down ---------------------------------------------------------------------------------------------------


def _write(tx: Tx, plan: _Plan, result: _Result, now: datetime) -> None:
    row = plan.row
    if isinstance(result, _Removed):
        _finish(tx, row, state="gone", missing_since=None)
        mirror.forget_own(tx, row.id)
        _put_again(tx, row.id)
    elif isinstance(result, Written):
        wish = plan.own.wish
        _finish(
            tx,
            row,
            state="confirmed",
            href=result.href,
            etag=result.etag,
            pushed_start=wish.start,
            pushed_end=wish.end,
            confirmed_at=now,
            missing_since=None,
        )
        mirror.remember_own(tx, row.calendar_id, result.href, result.etag, plan.own.uid, row.id)
    elif isinstance(result, _Moved):
        event = result.event
        values = {"state": "confirmed", "href": event.href, "confirmed_at": row.confirmed_at or now}
        tx.execute(sa.update(SlotEvent).where(SlotEvent.id == row.id).values(**values))
        mirror.remember_own(tx, row.calendar_id, event.href, event.etag, event.uid, row.id)
        report_move(tx, row, result.period, now=now)
    else:
        _restore_state(tx, row)
        report_missing(tx, row, now=now)


def _finish(tx: Tx, row: Any, **values: Any) -> None:
    """The provider has this version of the wish."""
    tx.execute(
        sa.update(SlotEvent)
        .where(SlotEvent.id == row.id, SlotEvent.pushed_version < row.version)
        .values(pushed_version=row.version, **values)
    )


def _put_again(tx: Tx, event_id: int) -> None:
    """Somebody wished for it again while it was being removed; their push follows this one and makes another event."""
    query = sa.select(SlotEvent.__table__).where(SlotEvent.id == event_id).with_for_update()
    row = tx.execute(query).one()
    if row.wanted and row.state == "gone":
        tx.execute(sa.update(SlotEvent).where(SlotEvent.id == event_id).values(**anew(row)))


def _restore_state(tx: Tx, row: Any) -> None:
    """What was marked as sent was surely not done: say again what is known. An earlier unknown answer stays unknown."""
    if row.state != "sent":
        tx.execute(
            sa.update(SlotEvent).where(SlotEvent.id == row.id, SlotEvent.state == "sent").values(state=row.state)
        )


def _note_failure(accounts: Accounts, plan: _Plan, error: ConnectorError | None, now: datetime) -> None:
    with accounts.database.transaction() as tx:
        if not isinstance(error, _UNKNOWN_OUTCOME):
            _restore_state(tx, plan.row)
        if error is not None:
            accounts.note_failure(tx, plan.connection_id, error, now=now)
