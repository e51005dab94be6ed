"""What is known about an operator's time, for strangers and for the people waiting."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa

from connectors.model import Period
from ledger import claims, free_time
from ledger.availability import OpenPeriod, TakenSlot
from ledger.claims import NotLocked
from ledger.db import Database, Tx
from ledger.tables import Busy, Opening
from tests.support.books import calendar, connection, hours, operator

MINUTE = timedelta(minutes=1)


def busy(tx: Tx, operator_id: int, calendar_id: int, period: Period, *, freed: bool = False) -> None:
    tx.execute(
        sa.insert(Busy).values(
            operator_id=operator_id, calendar_id=calendar_id, remote_event_id=1, starts_at=period.start, ends_at=period.end, freed=freed,
        )
    )  # fmt: skip


def opening(tx: Tx, operator_id: int, calendar_id: int, period: Period, label: str = "", seats: int | None = None, *, fresh: bool = False) -> None:  # fmt: skip
    tx.execute(
        sa.insert(Opening).values(
            operator_id=operator_id, calendar_id=calendar_id, remote_event_id=1, starts_at=period.start, ends_at=period.end,
            label=label, seats=seats, fresh=fresh,
        )
    )  # fmt: skip


class Anna:
    """An operator with one calendar."""

    def __init__(self, tx: Tx, now: datetime, slug: str = "anna") -> None:
        self.id = operator(tx, now, slug)
        self.connection = connection(tx, self.id, now)
        self.calendar = calendar(tx, self.id, self.connection, busy=True)


def test_the_window_is_half_open_and_others_are_left_out(database: Database, now: datetime) -> None:
    with database.transaction() as tx:
        anna, ben = Anna(tx, now), Anna(tx, now, "ben")
        for start, end in ((7, 8), (7, 8.25), (9, 9.5), (9.75, 12), (10, 11)):
            busy(tx, anna.id, anna.calendar, hours(now, start, end))
        busy(tx, ben.id, ben.calendar, hours(now, 8, 10))
        found = free_time.taken(tx, anna.id, hours(now, 8, 10), now)
    assert sorted(found.busy) == [hours(now, 7, 8.25), hours(now, 9, 9.5), hours(now, 9.75, 12)]


def test_what_was_freed_a_moment_ago_is_seen_by_the_line_alone(database: Database, now: datetime) -> None:
    day = hours(now, 0, 24)
    with database.transaction() as tx:
        anna = Anna(tx, now)
        claims.lock_operator(tx, anna.id)
        busy(tx, anna.id, anna.calendar, hours(now, 8, 9))
        busy(tx, anna.id, anna.calendar, hours(now, 9, 10), freed=True)
        opening(tx, anna.id, anna.calendar, hours(now, 12, 13), "talk", 3)
        opening(tx, anna.id, anna.calendar, hours(now, 14, 15), fresh=True)
        strangers = free_time.taken(tx, anna.id, day, now)
        line = free_time.taken(tx, anna.id, day, now, for_the_line=True)
        free_time.end_turn(tx, anna.id)
        after = free_time.taken(tx, anna.id, day, now)
    assert sorted(strangers.busy) == [hours(now, 8, 9), hours(now, 9, 10)]
    assert list(strangers.openings) == [OpenPeriod(hours(now, 12, 13), "talk", 3)]
    assert list(line.busy) == [hours(now, 8, 9)]
    assert list(line.openings) == [OpenPeriod(hours(now, 12, 13), "talk", 3), OpenPeriod(hours(now, 14, 15), "", None)]
    assert after == line


def test_the_turn_of_one_operators_line_is_no_other_ones(database: Database, now: datetime) -> None:
    with database.transaction() as tx:
        anna, ben = Anna(tx, now), Anna(tx, now, "ben")
        with pytest.raises(NotLocked):
            free_time.end_turn(tx, anna.id)
        busy(tx, ben.id, ben.calendar, hours(now, 9, 10), freed=True)
        opening(tx, ben.id, ben.calendar, hours(now, 9, 10), fresh=True)
        claims.lock_operator(tx, anna.id)
        free_time.end_turn(tx, anna.id)
        assert len(free_time.taken(tx, ben.id, hours(now, 0, 24), now).busy) == 1
        assert free_time.taken(tx, ben.id, hours(now, 0, 24), now).openings == []


def test_slots_are_counted_by_their_live_seats(database: Database, now: datetime) -> None:
    period = hours(now, 15, 16)
    block = period.widened(10 * MINUTE, 10 * MINUTE)
    with database.transaction() as tx:
        anna = Anna(tx, now)
        claims.lock_operator(tx, anna.id)
        for holder, seats, until in (
            ("booking:a", 2, None),
            ("hold:b", 1, 5),
            ("offer:c", 1, None),
            ("kept:d", 1, None),
        ):
            claims.claim(
                tx, operator_id=anna.id, service_id=4, period=period, block=block, capacity=9, holder=holder, seats=seats, now=now,
                expires_at=None if until is None else now + until * MINUTE,
            )  # fmt: skip
        seen = [free_time.taken(tx, anna.id, hours(now, 0, 24), now + m * MINUTE).slots for m in (0, 5)]
        assert seen == [[TakenSlot(1, 4, period, block, 9, 5, 3)], [TakenSlot(1, 4, period, block, 9, 4, 2)]]
        # Its block counts, not its period alone.
        assert len(free_time.taken(tx, anna.id, hours(now, 16.1, 17), now).slots) == 1
        assert free_time.taken(tx, anna.id, Period(block.end, block.end + MINUTE), now).slots == []
        for holder in ("booking:a", "hold:b", "offer:c", "kept:d"):
            claims.release(tx, holder, operator_id=anna.id)
        assert free_time.taken(tx, anna.id, hours(now, 0, 24), now).slots == []


def test_the_next_end_of_a_hold(database: Database, now: datetime) -> None:
    with database.transaction() as tx:
        anna = Anna(tx, now)
        claims.lock_operator(tx, anna.id)
        assert free_time.next_hold_end(tx, anna.id, now) is None
        for n in (1, 2, 3):
            period = hours(now, n, n + 1)
            claims.claim(
                tx, operator_id=anna.id, service_id=1, period=period, block=period, capacity=1, holder=f"hold:{n}", seats=1,
                now=now, expires_at=now + n * MINUTE,
            )  # fmt: skip
        assert free_time.next_hold_end(tx, anna.id, now) == now + MINUTE
        assert free_time.next_hold_end(tx, anna.id, now + MINUTE) == now + 2 * MINUTE


def test_the_oldest_calendar_that_counts_tells_how_fresh_the_ledger_is(database: Database, now: datetime) -> None:
    with database.transaction() as tx:
        anna, ben = Anna(tx, now), Anna(tx, now, "ben")
        assert free_time.fresh_at(tx, anna.id) is None
        assert not free_time.is_fresh(tx, anna.id, now)  # one that was never read
        old = calendar(tx, anna.id, anna.connection, "/old/", availability=True, pulled_at=now - 5 * MINUTE)
        calendar(tx, anna.id, anna.connection, "/written-only/", bookings=True)
        calendar(tx, anna.id, anna.connection, "/no-role/", pulled_at=now - timedelta(days=9))
        assert not free_time.is_fresh(tx, anna.id, now - timedelta(days=1))
        tx.execute(sa.update(free_time.Calendar).where(free_time.Calendar.id == anna.calendar).values(pulled_at=now))
        assert free_time.fresh_at(tx, anna.id) == now - 5 * MINUTE
        assert free_time.is_fresh(tx, anna.id, now - 5 * MINUTE)
        assert not free_time.is_fresh(tx, anna.id, now - 4 * MINUTE)
        assert sorted(free_time.watched_calendars(tx, anna.id)) == [anna.calendar, old]
        assert free_time.watched_calendars(tx, ben.id) == [ben.calendar]


def test_without_calendars_nothing_can_be_stale(database: Database, now: datetime) -> None:
    with database.transaction() as tx:
        lone = operator(tx, now)
        assert free_time.is_fresh(tx, lone, now)
        assert free_time.fresh_at(tx, lone) is None
        assert free_time.watched_calendars(tx, lone) == []
