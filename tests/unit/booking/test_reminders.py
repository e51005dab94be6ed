"""A reminder comes in time, by day, and only of what will take place."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from booking import setup
from booking.reminders import remind_at
from booking.tables import Booking
from ledger import outbox, pauses
from ledger.backoff import NotYet
from ledger.db import Database
from ledger.messages import RemindBooking, SendMail
from tests.support.desk import SPEC, Desk

BERLIN = ZoneInfo("Europe/Berlin")


def local(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN).astimezone(UTC)


@pytest.mark.parametrize(
    ("start", "hours", "expected"),
    [
        ("2027-03-10 10:00", 24, "2027-03-09 10:00"),
        ("2027-03-10 06:30", 24, "2027-03-09 07:00"),  # not at half past six
        ("2027-03-10 23:30", 24, "2027-03-10 07:00"),  # not at half past eleven in the night
        ("2027-03-10 22:00", 24, "2027-03-10 07:00"),
        ("2027-03-10 21:59", 24, "2027-03-09 21:59"),
        ("2027-03-10 07:00", 24, "2027-03-09 07:00"),
        ("2027-03-10 08:00", 2, "2027-03-10 07:00"),
        ("2027-03-10 07:30", 2, "2027-03-09 21:00"),  # the morning would be too late
        ("2027-03-10 06:00", 4, "2027-03-09 21:00"),
        ("2027-03-10 01:00", 3, "2027-03-09 21:00"),
        ("2027-03-28 10:00", 24, "2027-03-27 09:00"),  # the clocks go forward: 24 hours, not a day
        ("2027-03-28 23:30", 24, "2027-03-28 07:00"),
        ("2027-10-31 06:30", 24, "2027-10-30 07:30"),
    ],
)
def test_when(start: str, hours: int, expected: str) -> None:
    assert remind_at(local(start), hours, "Europe/Berlin") == local(expected)


def test_none_of_a_service_that_wants_none() -> None:
    assert remind_at(local("2027-03-10 10:00"), 0, "Europe/Berlin") is None


@given(
    start=st.datetimes(datetime(2026, 1, 1), datetime(2028, 1, 1), timezones=st.just(UTC)),
    hours=st.integers(1, 720),
    zone=st.sampled_from(["Europe/Berlin", "Asia/Kathmandu", "America/New_York", "Pacific/Apia", "UTC"]),
)
def test_always_by_day_and_before_the_start(start: datetime, hours: int, zone: str) -> None:
    due = remind_at(start, hours, zone)
    assert due is not None
    assert 7 <= due.astimezone(ZoneInfo(zone)).hour < 22
    assert due < start
    assert timedelta(hours=hours) / 2 - timedelta(hours=1) <= start - due <= timedelta(hours=hours + 11)


# --- in the ledger ----------------------------------------------------------------------------------------------


@pytest.fixture
def desk(sqlite: Database) -> Desk:
    return Desk(sqlite).open(talk={})


def reminders(desk: Desk) -> list[tuple[str, int]]:
    asked = desk.messages(SendMail, about="reminder")
    return [(m.booking_id, m.revision) for m in asked if isinstance(m, SendMail) and m.audience == "client"]


def test_it_comes_a_day_before_and_once(desk: Desk) -> None:
    booking = desk.book(desk.at(9, day=2))
    desk.now = desk.at(8.9, day=1)
    desk.work()
    assert reminders(desk) == []
    desk.now = desk.at(9, day=1)
    desk.work()
    desk.now = desk.at(8.9, day=2)
    desk.work()
    assert reminders(desk) == [(booking, 0)]


def test_who_books_later_than_that_has_just_read_the_confirmation(desk: Desk) -> None:
    desk.book(desk.at(9))
    assert desk.messages(RemindBooking) == []


def test_none_of_what_was_cancelled_and_one_of_the_new_time(desk: Desk) -> None:
    gone, moved = desk.book(desk.at(9, day=2), "kata"), desk.book(desk.at(8, day=2), "lena")
    desk.cancel(gone)
    desk.reschedule(moved, desk.at(10, day=8))
    desk.now = desk.at(12, day=2)
    desk.work()
    assert reminders(desk) == []
    desk.now = desk.at(10, day=7)
    desk.work()
    assert reminders(desk) == [(moved, 1)]


def test_after_a_long_night_of_ours_nobody_is_woken_and_nothing_past_is_recalled(desk: Desk) -> None:
    early, over = desk.book(desk.at(11, day=2), "kata"), desk.book(desk.at(9, day=1), "lena")
    desk.now = desk.at(3, day=2)  # down since the day before yesterday
    with pytest.raises(NotYet) as waits:
        desk.say(RemindBooking(early, 0))
    assert waits.value.after == timedelta(hours=4)
    desk.say(RemindBooking(over, 0))
    assert reminders(desk) == []
    desk.now = desk.at(7, day=2)
    desk.work()
    assert reminders(desk) == [(early, 0)]


def test_a_pause_holds_it_and_an_appointment_that_began_meanwhile_is_not_recalled(desk: Desk) -> None:
    first, second = desk.book(desk.at(9, day=1), "kata"), desk.book(desk.at(9, day=2), "lena")
    with desk.database.transaction() as tx:
        pause = pauses.pause(tx, scope="global", target="", automations=["remind"], now=desk.now)
    desk.now = desk.at(9.5, day=1)
    desk.work()
    assert reminders(desk) == []
    with desk.database.transaction() as tx:
        pauses.resume(tx, pause, now=desk.now)
    desk.work()
    assert reminders(desk) == [(second, 0)]
    assert first != second


def test_the_service_has_the_last_word(desk: Desk) -> None:
    booking = desk.book(desk.at(11, day=2))
    put(desk, 2)
    desk.now = desk.at(11, day=1)
    with pytest.raises(NotYet) as waits:
        desk.say(RemindBooking(booking, 0))
    assert waits.value.after == timedelta(hours=22)
    put(desk, 0)
    desk.say(RemindBooking(booking, 0))
    assert reminders(desk) == []


def put(desk: Desk, hours: int) -> None:
    with desk.database.transaction() as tx:
        setup.put_service(tx, "anna", "talk", {**SPEC, "reminder_hours": hours}, now=desk.now, replace=True)


def test_a_start_before_seven_that_was_missed_wakes_nobody(desk: Desk) -> None:
    booking = desk.book(desk.at(8, day=2))
    with desk.database.transaction() as tx:
        tx.execute(sa.update(Booking).where(Booking.id == booking).values(starts_at=desk.at(6, day=2)))
    desk.now = desk.at(5, day=2)
    desk.work()
    assert reminders(desk) == []
    with desk.database.reading() as tx:
        assert [r for r in outbox.listing(tx) if r["kind"] == "RemindBooking"] == []
