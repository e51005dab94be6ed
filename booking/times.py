"""The starts of an offering as the ledger has them now: one answer for what is shown and what can be booked (P12),
whoever of a team may do it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from booking.catalogue import Offering
from connectors.model import Period
from ledger import availability, free_time
from ledger.availability import SlotState, Start, Taken
from ledger.db import Tx
from ledger.tables import Slot


def starts(
    tx: Tx, offering: Offering, window: Period, now: datetime, *, for_the_line: bool = False, leaving: int = 0
) -> list[Start]:
    """Every start in the window, as `ledger.availability.starts` lists them; of a team the best that any member has.

    for_the_line: as the people waiting see it; the service's notice is for strangers. leaving: a slot that doesn't stand
    in the way, because it is given up for it.
    """
    lists = [
        _starts_of(tx, each, window, now, for_the_line, leaving=leaving) for each in offering.choices or (offering,)
    ]
    return lists[0] if len(lists) == 1 else availability.best_of(lists)


def find(tx: Tx, offering: Offering, start: datetime, now: datetime, *, for_the_line: bool = False) -> Start | None:
    """That one start as `starts` would list it, or None where it doesn't exist."""
    moment = Period(start, start + timedelta(microseconds=1))
    return next(iter(starts(tx, offering, moment, now, for_the_line=for_the_line)), None)


def choose(
    tx: Tx,
    offering: Offering,
    start: datetime,
    seats: int,
    now: datetime,
    *,
    leaving: int = 0,
    for_the_line: bool = False,
) -> tuple[Offering, Start] | None:
    """Who does it, and that start with them; None where so many seats aren't open.

    Of several who could: who has people at that start already, then who has the least to do in that week, then by slug.
    leaving: the slot that is given up for it, which doesn't stand in the way.
    """
    moment = Period(start, start + timedelta(microseconds=1))
    open_ones: list[tuple[Offering, Start]] = []
    for each in offering.choices or (offering,):
        for found in _starts_of(tx, each, moment, now, for_the_line, leaving=leaving):
            if found.state is SlotState.OPEN and found.seats_left >= seats:
                open_ones.append((each, found))
    if len(open_ones) < 2:
        return open_ones[0] if open_ones else None
    load = _minutes_in_week(tx, [each.operator_id for each, _ in open_ones], start, offering.timezone)
    return min(open_ones, key=lambda o: (o[1].slot_id is None, load[o[0].operator_id], o[0].operator_slug))


def taken(tx: Tx, offering: Offering, window: Period, now: datetime, *, for_the_line: bool = False) -> Taken:
    """What speaks against a start of the offering in the window: with one operator, or with any of those who do it together."""
    known = [
        free_time.taken(tx, operator_id, window, now, for_the_line=for_the_line) for operator_id in offering.people
    ]
    if len(known) == 1:
        return known[0]
    together = {slot.slot_id: slot for each in known for slot in each.slots}  # one that takes all of them comes once
    return Taken(
        busy=[period for each in known for period in each.busy],
        slots=list(together.values()),
        closed=[closed for each in known for closed in each.closed],
    )


def _starts_of(
    tx: Tx, offering: Offering, window: Period, now: datetime, for_the_line: bool, *, leaving: int = 0
) -> list[Start]:
    rules = replace(offering.rules, notice=timedelta()) if for_the_line else offering.rules
    around = window.widened(rules.reach, rules.reach)
    known = taken(tx, offering, around, now, for_the_line=for_the_line)
    if leaving:
        known = replace(known, slots=[slot for slot in known.slots if slot.slot_id != leaving])
    return availability.starts(rules, window, now, known)


def _minutes_in_week(tx: Tx, operators: list[int], start: datetime, zone: str) -> dict[int, float]:
    """How long each is taken in the week of `start`, Monday to Sunday of wall time."""
    local = ZoneInfo(zone)
    monday = start.astimezone(local).replace(hour=0, minute=0, second=0, microsecond=0)
    monday -= timedelta(days=monday.weekday())
    rows = tx.execute(
        sa.select(Slot.operator_id, Slot.starts_at, Slot.ends_at).where(
            Slot.operator_id.in_(operators),
            Slot.taken > 0,
            Slot.starts_at >= monday,
            Slot.starts_at < monday + timedelta(days=7),
        )
    )
    load = dict.fromkeys(operators, 0.0)
    for row in rows:
        load[row.operator_id] += (row.ends_at - row.starts_at).total_seconds() / 60
    return load
