"""What waits says whom it concerns, and it is what happens when it runs."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from booking import setup
from booking.foreseen import Foreseen, foresee
from ledger import pauses
from ledger.db import Database
from ledger.messages import GuestDeclined, NoShowTagged, TimeFreed, from_body
from ledger.tables import SlotEvent
from tests.support.desk import SPEC, Desk

ASKS = {"confirm_attendance_hours": 26, "release_unconfirmed_hours": 4, "reminder_hours": 24}


@pytest.fixture
def desk(database: Database) -> Desk:
    return Desk(database).open(talk=ASKS, group={"capacity": 3}, long={"duration_minutes": 120})


def pause(desk: Desk, *automations: str) -> int:
    with desk.database.transaction() as tx:
        return pauses.pause(tx, scope="operator", target=str(desk.operator_id), automations=automations, now=desk.now)


def waiting(desk: Desk, pause_id: int) -> dict[str, Foreseen]:
    with desk.database.reading() as tx:
        return {
            row["kind"]: foresee(
                tx, from_body(row["kind"], row["body"]), slot_id=row["slot_id"], booking_id=row["booking_id"], now=desk.now
            )
            for row in pauses.held(tx, pause_id, now=desk.now)
        }  # fmt: skip


def event_of(desk: Desk, booking: str) -> int:
    with desk.database.reading() as tx:
        slot_id = desk.seen(booking).slot_id
        return int(tx.execute(sa.select(SlotEvent.id).where(SlotEvent.slot_id == slot_id)).scalar_one())


def resume(desk: Desk, pause_id: int) -> None:
    with desk.database.transaction() as tx:
        pauses.resume(tx, pause_id, now=desk.now)
    desk.work()


def test_a_kept_seat_names_who_gets_it(desk: Desk) -> None:
    first = desk.book(desk.at(9, 1))
    late, early = desk.join("vera", {"start": desk.at(10, 1)}), desk.join("mark", {"start": desk.at(9, 1)})
    held = pause(desk, "promote")
    desk.cancel(first)
    found = waiting(desk, held)["PromoteWaitlist"]
    assert (found.entry.client_name, found.bookings, found.idle) == ("Mark", (), False)
    resume(desk, held)
    assert [desk.place(p)["status"] for p in (late, early)] == ["waiting", "promoted"]


def test_a_kept_seat_goes_to_another_line_where_its_own_is_empty(desk: Desk) -> None:
    first = desk.book(desk.at(9, 1))
    other = desk.join("lena", {"start": desk.at(8, 1)}, "long")
    held = pause(desk, "promote")
    desk.cancel(first)
    assert waiting(desk, held)["PromoteWaitlist"].entry.client_name == "Lena"
    resume(desk, held)
    assert desk.place(other)["status"] == "promoted"


def test_a_kept_seat_that_nobody_fits_names_nobody_and_one_that_is_over_is_idle(desk: Desk) -> None:
    first = desk.book(desk.at(9, 1))
    desk.join("vera", {"start": desk.at(10, 1)})
    held = pause(desk, "promote")
    desk.cancel(first)
    found = waiting(desk, held)["PromoteWaitlist"]
    assert (found.entry, found.idle) == (None, False)
    desk.now = desk.at(9, 1)
    assert waiting(desk, held)["PromoteWaitlist"].idle


def test_a_seat_of_a_group_goes_to_who_fits_beside_the_others(desk: Desk) -> None:
    first = desk.book(desk.at(9, 1), "kata", "group")
    for who in ("ben", "lili"):
        desk.book(desk.at(9, 1), who, "group")
    desk.join("pair", {"start": desk.at(9, 1)}, "group", seats=2)
    one = desk.join("vera", {"start": desk.at(9, 1)}, "group")
    held = pause(desk, "promote")
    desk.cancel(first)
    assert waiting(desk, held)["PromoteWaitlist"].entry.client_name == "Vera"
    resume(desk, held)
    assert desk.place(one)["status"] == "promoted"


def test_reminders_of_what_was_cancelled_or_moved_do_nothing_any_more(desk: Desk) -> None:
    held = pause(desk, "remind")
    kept = desk.book(desk.at(11, 2), "kata")
    assert [b.client_name for b in waiting(desk, held)["RemindBooking"].bookings] == ["Kata"]
    assert not waiting(desk, held)["RemindBooking"].idle
    assert not waiting(desk, held)["AskAttendance"].idle
    desk.cancel(kept)
    found = waiting(desk, held)
    assert [(found[kind].idle, found[kind].bookings[0].id) for kind in ("RemindBooking", "AskAttendance")] == [
        (True, kept)
    ] * 2


def test_an_unconfirmed_place_names_who_would_be_asked(desk: Desk) -> None:
    held = pause(desk, "no_show")
    booking = desk.book(desk.at(11, 2), "kata")
    assert waiting(desk, held)["ReleaseUnconfirmed"].entry is None
    desk.join("vera", {"start": desk.at(11, 2)})
    found = waiting(desk, held)["ReleaseUnconfirmed"]
    assert (found.bookings[0].id, found.entry.client_name, found.idle) == (booking, "Vera", False)
    desk.now = desk.at(11, 2)
    assert waiting(desk, held)["ReleaseUnconfirmed"].idle


def test_a_decline_of_the_invitation_counts_for_the_version_it_was_sent_for(desk: Desk) -> None:
    booking = desk.book(desk.at(9, 1))
    event, slot_id = event_of(desk, booking), desk.seen(booking).slot_id
    with desk.database.reading() as tx:
        of_old = foresee(tx, GuestDeclined(event, slot_id, 99), slot_id=slot_id, booking_id=None, now=desk.now)
        assert of_old.idle
        tagged = NoShowTagged(event, slot_id)
        untagged = foresee(tx, tagged, slot_id=slot_id, booking_id=None, now=desk.now)
        assert ([b.id for b in untagged.bookings], untagged.idle) == ([booking], True)
    with desk.database.transaction() as tx:
        tx.execute(sa.update(SlotEvent).values(no_show=True))
    with desk.database.reading() as tx:
        assert not foresee(tx, tagged, slot_id=slot_id, booking_id=None, now=desk.now).idle


def test_time_that_was_freed_names_the_first_whom_it_would_reach(desk: Desk) -> None:
    place = desk.join("vera", {"from": "2027-01-11", "to": "2027-01-15", "weekdays": [4]})
    with desk.database.transaction() as tx:
        hours = {**SPEC["hours"], "thu": ["08:00-12:00"]}
        setup.put_service(tx, "anna", "talk", {**SPEC, **ASKS, "hours": hours}, now=desk.now, replace=True)
    freed = TimeFreed(desk.operator_id)
    with desk.database.reading() as tx:
        found = foresee(tx, freed, slot_id=None, booking_id=None, now=desk.now)
    assert found.entry.client_name == "Vera"
    desk.work()
    assert desk.place(place)["status"] == "promoted"
    with desk.database.reading() as tx:
        assert foresee(tx, freed, slot_id=None, booking_id=None, now=desk.now).entry is None
