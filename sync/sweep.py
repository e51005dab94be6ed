"""After a create that had to be repeated: remove the second event that it may have left.

Only where the provider can neither refuse the second one nor show the first one in time (Graph; PROVIDERS B5, F1). Some
minutes later everything shows, and what carries our key beside the event that we know is ours to delete.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from connectors.errors import ConnectorError, Gone
from connectors.model import Calendar as RemoteCalendar
from connectors.model import Period, Quirks
from connectors.protocol import Connector, Sweeping
from ledger import outbox
from ledger.db import Tx
from ledger.messages import SweepEvent
from ledger.outbox import Leased
from ledger.tables import Calendar, SlotEvent
from sync.accounts import Accounts
from sync.errors import Disabled, NotFound
from sync.facts import patient, scope_of, wait
from sync.looks import WIDE
from sync.stored import calendar_of, quirks_of

SWEEP_AFTER = timedelta(minutes=10)
_MOST = 5


def ask_for_sweep(tx: Tx, row: Any, *, now: datetime) -> None:
    """Have it looked for when everything shows. row: of `SlotEvent`."""
    message = SweepEvent(row.id)
    outbox.append(
        tx, message, now=now, not_before=now + SWEEP_AFTER, scope=scope_of(row), cause="a create was repeated"
    )


def sweep_event(accounts: Accounts, leased: Leased, *, clock: Callable[[], datetime]) -> None:
    """Handle a `SweepEvent`. Of an event that is wanted all others go; of one that isn't wanted any more all go.

    Raises ConnectorError and `NotYet`. Repeating is harmless.
    """
    message = leased.message
    assert isinstance(message, SweepEvent)
    event = SlotEvent
    with accounts.database.reading() as tx:
        row = tx.execute(
            sa.select(event.__table__, Calendar.connection_id)
            .join(Calendar, Calendar.id == event.calendar_id)
            .where(event.id == message.slot_event_id)
        ).one_or_none()
        calendar, quirks = None, Quirks()
        if row is not None:
            stored = tx.execute(sa.select(Calendar.__table__).where(Calendar.id == row.calendar_id)).one()
            calendar, quirks = calendar_of(stored), quirks_of(stored.quirks)
    if row is not None and calendar is not None:
        if row.wanted and (row.state != "confirmed" or row.missing_since is not None):
            raise wait("nobody knows yet which event is the one", leased, clock())
        try:
            with accounts.open(row.connection_id) as connector:
                _sweep(connector, calendar, quirks, row, clock())
        except (NotFound, Disabled) as error:
            raise wait(str(error), leased, clock()) from error
        except ConnectorError as error:
            raise patient(error, leased, clock()) from error
    with accounts.database.transaction() as tx:
        outbox.settle(tx, leased, now=clock())


def _sweep(connector: Connector, calendar: RemoteCalendar, quirks: Quirks, row: Any, now: datetime) -> None:
    if row.wanted:
        if isinstance(connector, Sweeping):
            connector.sweep(calendar, row.key, row.href)
        else:
            _sweep_copies(connector, calendar, quirks, row, now)
        return
    for _ in range(_MOST):
        try:
            found = connector.find([calendar], row.key, row.uid, Period(now - WIDE[0], now + WIDE[1]))
        except Gone:
            return
        if found is None:
            return
        connector.delete(calendar, found.event.href)


def _sweep_copies(connector: Connector, calendar: RemoteCalendar, quirks: Quirks, row: Any, now: datetime) -> None:
    """Of a provider without a way of its own, because it refuses a second create: copies that somebody else made. One at
    another time is the operator's own business; and nothing is deleted where the one that we know isn't seen."""
    window = Period(now - WIDE[0], now + WIDE[1])
    listed = connector.changes(calendar, None, window, dict, quirks=quirks).changed
    wish = Period(row.starts_at, row.ends_at)
    ours = [event for event in listed if event.own_key == row.key and any(o.period == wish for o in event.occurrences)]
    if any(event.href == row.href for event in ours):
        for event in ours:
            if event.href != row.href:
                connector.delete(calendar, event.href, event.etag)
