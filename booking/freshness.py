"""Calendar data that is older than a service allows decides nothing by itself (P11): a pull at once, and then the answer."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from booking.catalogue import Offering
from booking.tables import Booking
from connectors.model import Period
from ledger import availability, free_time, outbox
from ledger.availability import Taken
from ledger.db import Tx
from ledger.messages import DecidePending, PullCalendar
from ledger.tables import Slot


def is_fresh(tx: Tx, offering: Offering, now: datetime) -> bool:
    """Is what is known of everybody whose time it takes as new as the service wants it?"""
    return is_known(tx, offering, now - timedelta(minutes=offering.spec.max_staleness_minutes))


def is_known(tx: Tx, offering: Offering, since: datetime) -> bool:
    """Has every calendar that counts been read at or after `since`?"""
    return all(free_time.is_fresh(tx, each, since) for each in offering.people)


def ask(tx: Tx, offering: Offering, row: Any, reason: str, *, now: datetime, scope: outbox.Scope, cause: str) -> None:
    """Read the calendars now, and decide the booking `row` when that is done. reason: of the `DecidePending`; one that was
    asked for already isn't asked for again."""
    tx.execute(sa.update(Booking).where(Booking.id == row.id).values(needs_data_from=now))
    for operator_id in offering.people:
        for calendar_id in free_time.watched_calendars(tx, operator_id):
            outbox.append(tx, PullCalendar(calendar_id), now=now, scope=outbox.Scope(operator_id), cause=cause)
    outbox.append(tx, DecidePending(row.id, reason), now=now, scope=scope, cause=cause)


def leaves_free(tx: Tx, offering: Offering, slot_id: int, seats: int, now: datetime) -> bool:
    """Does fresh calendar data leave a slot its time: nothing lies over it or its buffers, in the calendar of anybody whose
    time it takes, and what opened it is still there?

    seats: of who asks. Who shares the slot with others needs no opening of their own: the slot is kept for them anyway.
    """
    slot = tx.execute(sa.select(Slot.__table__).where(Slot.id == slot_id)).one()
    block = Period(slot.block_start, slot.block_end)
    known = [free_time.taken(tx, each, block, now, for_the_line=True) for each in offering.people]
    if any(busy.overlaps(block) for each in known for busy in each.busy):
        return False
    alone = sum(each.taken for each in known[0].slots if each.slot_id == slot_id) == seats
    if not offering.rules.calendar_openings or not alone:
        return True
    rules = replace(offering.rules, notice=timedelta())
    return availability.find(rules, slot.starts_at, now, Taken(openings=known[0].openings)) is not None
