"""What anybody may ask of a booking: what is stored, what is asked for, what is refused with nothing stored."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from booking import commands, setup
from booking.errors import HoldExpired, Invalid, KeyReused, NotFound, NotPossible, SlotTaken, TooLate
from booking.states import Happening
from booking.tables import Booking, IdempotencyKey
from ledger.backoff import NotYet
from ledger.db import Base, Database
from ledger.messages import CompleteBooking, DecidePending, ExpireHold, PullCalendar, PushEvent, SendMail
from ledger.tables import Calendar, Operator, Seat, Slot, SlotEvent
from tests.support import books
from tests.support.desk import TERMS, Desk, person

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


@pytest.fixture
def desk(database: Database) -> Desk:
    return Desk(database).open(talk={}, group={"capacity": 3}, asked={"confirmation": "approval"})


def stored(database: Database) -> dict[str, int]:
    """How many rows each table has, and how often each operator was locked."""
    with database.reading() as tx:
        counts = {
            t.name: tx.execute(sa.select(sa.func.count()).select_from(t)).scalar_one()
            for t in Base.metadata.sorted_tables
        }
        return counts | {"version": tx.execute(sa.select(sa.func.sum(Operator.ledger_version))).scalar_one()}


@contextmanager
def nothing_stored(desk: Desk) -> Iterator[None]:
    before = stored(desk.database)
    yield
    assert stored(desk.database) == before


def told(desk: Desk, booking_id: str) -> list[tuple[int, str, str]]:
    mails = [m for m in desk.messages(SendMail) if isinstance(m, SendMail) and m.booking_id == booking_id]
    return [(m.revision, m.about, m.audience) for m in mails]


def happened(desk: Desk, booking_id: str) -> list[str]:
    return [line["what"] for line in desk.view(booking_id)["timeline"]]


def seats(desk: Desk) -> list[tuple[datetime, int]]:
    """Taken slots: start and seats, checked against their holders."""
    with desk.database.reading() as tx:
        sums = sa.select(sa.func.coalesce(sa.func.sum(Seat.seats), 0)).where(Seat.slot_id == Slot.id).scalar_subquery()
        rows = tx.execute(
            sa.select(Slot.starts_at, Slot.taken, sums).where(Slot.taken > 0).order_by(Slot.starts_at)
        ).all()
    assert all(row[1] == row[2] for row in rows)
    return [(row[0], row[1]) for row in rows]


def stale(desk: Desk, minutes: int = 20) -> int:
    """A busy calendar that was read so long ago; its id."""
    with desk.database.transaction() as tx:
        account = books.connection(tx, desk.operator_id, desk.now)
        return books.calendar(tx, desk.operator_id, account, busy=True, pulled_at=desk.now - minutes * MINUTE)


def pulled(desk: Desk, calendar_id: int) -> None:
    with desk.database.transaction() as tx:
        tx.execute(sa.update(Calendar).where(Calendar.id == calendar_id).values(pulled_at=desk.now))


# --- book ---------------------------------------------------------------------------------------------------------


def test_a_booking_is_all_its_rows_at_once(desk: Desk) -> None:
    booking_id = desk.book(desk.at(9), "kata")
    row = desk.seen(booking_id)
    assert (row.status, row.revision, row.seats, row.invited) == ("confirmed", 0, 1, True)
    assert (row.starts_at, row.ends_at) == (desk.at(9), desk.at(10))
    assert row.uid == f"{booking_id}@slotledger.test"
    assert len(row.token) >= 32
    assert told(desk, booking_id) == [(0, "booked", "client"), (0, "booked", "operator")]
    assert desk.messages(CompleteBooking) == [CompleteBooking(booking_id, 0)]
    assert len(desk.messages(PushEvent)) == 1
    assert happened(desk, booking_id) == ["booked"]
    assert seats(desk) == [(desk.at(9), 1)]
    assert desk.at(9) not in desk.starts()
    assert desk.at(9) in desk.starts(state="full")


def test_a_taken_start_names_the_nearest_others_and_stores_nothing(desk: Desk) -> None:
    desk.book(desk.at(9))
    with nothing_stored(desk), pytest.raises(SlotTaken) as refused:
        desk.book(desk.at(9), "jon")
    assert list(refused.value.alternatives) == sorted(refused.value.alternatives)
    assert set(refused.value.alternatives) == {
        desk.at(8),
        desk.at(10),
        desk.at(11),
        desk.at(8, day=1),
        desk.at(9, day=1),
    }
    assert refused.value.waitlist


@pytest.mark.parametrize("start", [7, 12, 9.5, 5, 24 * 4 + 9, 24 * 40 + 9])
def test_what_is_not_shown_can_not_be_booked(desk: Desk, start: float) -> None:
    assert desk.at(start) not in desk.starts()
    with nothing_stored(desk), pytest.raises(SlotTaken):
        desk.book(desk.at(start))


def test_everything_that_is_shown_can_be_booked(desk: Desk) -> None:
    for number, start in enumerate(desk.starts()):
        desk.book(start, f"client{number}")
    assert desk.starts() == []


@pytest.mark.parametrize(
    ("request_", "fields"),
    [
        ({"seats": 0}, ["seats"]),
        ({"seats": 2}, ["seats"]),
        ({"client": {}}, ["client.name", "client.email"]),
        ({"answers": {"phone": "x"}}, ["answers.phone"]),
    ],
)
def test_a_bad_request_names_its_fields_and_stores_nothing(
    desk: Desk, request_: dict[str, Any], fields: list[str]
) -> None:
    with nothing_stored(desk), pytest.raises(Invalid) as refused:
        desk.book(desk.at(9), **request_)
    assert [e.field for e in refused.value.errors] == fields


def test_what_is_switched_off_can_not_be_booked(desk: Desk) -> None:
    with desk.database.transaction() as tx:
        setup.change_service(tx, "anna", "talk", spec=None, active=False, now=desk.now)
    with nothing_stored(desk):
        for service in ("talk", "walk"):
            with pytest.raises(NotFound):
                desk.book(desk.at(9), service=service)


def test_a_group_shares_its_start_up_to_the_last_seat(desk: Desk) -> None:
    first, second = desk.book(desk.at(9), "a", "group"), desk.book(desk.at(9), "b", "group", seats=2)
    assert desk.seen(first).slot_id == desk.seen(second).slot_id
    with nothing_stored(desk), pytest.raises(SlotTaken):
        desk.book(desk.at(9), "c", "group")
    assert desk.at(9) not in desk.starts("talk")
    with desk.database.reading() as tx:  # one event for all of them
        assert tx.execute(sa.select(sa.func.count()).select_from(SlotEvent)).scalar_one() == 1


def test_alternatives_have_room_for_the_whole_party(desk: Desk) -> None:
    for hour in (8, 9, 10):
        desk.book(desk.at(hour), "a", "group", seats=2)
    with pytest.raises(SlotTaken) as refused:
        desk.book(desk.at(9), "b", "group", seats=2)
    assert desk.at(8) not in refused.value.alternatives
    assert desk.at(11) in refused.value.alternatives


def test_alternatives_can_all_be_booked_also_where_the_list_begins(desk: Desk) -> None:
    with desk.database.transaction() as tx:
        setup.put_service(tx, "anna", "slow", {"title": "x", "duration_minutes": 30, "start_every_minutes": 15, "buffer_before_minutes": 30,
                                               "notice_minutes": 0, "hours": {"mon": ["08:00-12:00"]}}, now=desk.now)  # fmt: skip
    desk.book(desk.at(8))
    desk.now = desk.at(9)  # just now the first one ends
    desk.book(desk.at(10), "jon")
    with pytest.raises(SlotTaken) as refused:
        desk.book(desk.at(10), service="slow")
    shown = desk.starts("slow")
    assert set(refused.value.alternatives) <= set(shown)


# --- idempotency --------------------------------------------------------------------------------------------------


def test_a_repeat_gets_the_same_answer_and_another_request_does_not(desk: Desk) -> None:
    first = desk.book(desk.at(9), idempotency_key="k1")
    with nothing_stored(desk):
        assert desk.book(desk.at(9), idempotency_key="k1") == first
        with pytest.raises(KeyReused):
            desk.book(desk.at(10), idempotency_key="k1")
    other = (
        desk.book(desk.at(9), "jon", "group", idempotency_key="k1")
        if False
        else desk.book(desk.at(10), idempotency_key="k2")
    )
    assert other != first


def test_a_repeat_is_answered_whatever_became_of_the_booking(desk: Desk) -> None:
    first = desk.book(desk.at(9), idempotency_key="k1")
    desk.cancel(first)
    assert desk.book(desk.at(9), idempotency_key="k1") == first


def test_a_key_belongs_to_one_service(desk: Desk) -> None:
    first = desk.book(desk.at(9), idempotency_key="k1")
    assert desk.book(desk.at(10), service="group", idempotency_key="k1") != first


def test_a_refused_request_leaves_its_key_free(desk: Desk) -> None:
    first = desk.book(desk.at(9))
    with pytest.raises(SlotTaken):
        desk.book(desk.at(9), "jon", idempotency_key="k1")
    desk.cancel(first)
    assert desk.book(desk.at(9), "jon", idempotency_key="k1")


def test_keys_are_forgotten_after_a_day(desk: Desk) -> None:
    desk.book(desk.at(9), idempotency_key="k1")
    for hours, left in ((24, 1), (25, 0)):
        with desk.database.transaction() as tx:
            commands.forget_answers(tx, desk.now + timedelta(hours=hours))
            assert tx.execute(sa.select(sa.func.count()).select_from(IdempotencyKey)).scalar_one() == left


# --- hold ---------------------------------------------------------------------------------------------------------


def test_a_hold_keeps_a_start_for_five_minutes(desk: Desk) -> None:
    token = desk.hold(desk.at(9))
    assert desk.starts(state="held") == [desk.at(9)]
    with nothing_stored(desk), pytest.raises(SlotTaken):
        desk.book(desk.at(9), "jon")
    desk.now += 5 * MINUTE - timedelta(seconds=1)
    booking_id = desk.book(desk.at(9), hold=token)
    assert desk.seen(booking_id).status == "confirmed"
    assert seats(desk) == [(desk.at(9), 1)]
    desk.now += HOUR
    assert desk.work() == 1  # the end of the hold finds nothing to do
    assert seats(desk) == [(desk.at(9), 1)]


def test_a_hold_that_ran_out_is_over_whether_or_not_anybody_cleaned_up(desk: Desk) -> None:
    token = desk.hold(desk.at(9))
    desk.now += 5 * MINUTE
    assert desk.at(9) in desk.starts()
    with pytest.raises(HoldExpired):
        desk.book(desk.at(9), hold=token)
    assert desk.book(desk.at(9), "jon")
    assert len(desk.messages(ExpireHold)) == 1


def test_the_end_of_a_hold_gives_its_seats_back(desk: Desk) -> None:
    desk.hold(desk.at(9), "group", seats=2)
    assert seats(desk) == [(desk.at(9), 2)]
    desk.now += 5 * MINUTE
    assert desk.work() == 1
    assert seats(desk) == []


def test_a_hold_given_back_is_free_at_once_and_can_be_given_back_twice(desk: Desk) -> None:
    token = desk.hold(desk.at(9))
    for _ in range(2):
        with desk.database.transaction() as tx:
            commands.drop_hold(tx, TERMS, token, now=desk.now, cause="test")
    assert desk.at(9) in desk.starts()
    with pytest.raises(HoldExpired):
        desk.book(desk.at(9), hold=token)


@pytest.mark.parametrize("change", [{"start": 10}, {"seats": 2}, {"service": "talk"}])
def test_a_hold_is_for_one_start_and_number_of_seats(desk: Desk, change: dict[str, Any]) -> None:
    token = desk.hold(desk.at(9), "group")
    asked = {"service": "group", "seats": 1, "start": 9, **change}
    start = desk.at(asked.pop("start"))
    with nothing_stored(desk), pytest.raises(Invalid) as refused:
        desk.book(start, hold=token, **asked)
    assert [(e.field, e.code) for e in refused.value.errors] == [("hold", "other_time")]
    assert desk.book(desk.at(9), service="group", hold=token)


def test_a_hold_is_used_once(desk: Desk) -> None:
    token = desk.hold(desk.at(9))
    desk.book(desk.at(9), hold=token)
    with nothing_stored(desk), pytest.raises(HoldExpired):
        desk.book(desk.at(9), "jon", hold=token)


def test_nobody_holds_what_is_taken_or_more_than_there_is(desk: Desk) -> None:
    desk.book(desk.at(9))
    with nothing_stored(desk):
        with pytest.raises(SlotTaken):
            desk.hold(desk.at(9))
        with pytest.raises(Invalid):
            desk.hold(desk.at(10), seats=2)


# --- approval and freshness ---------------------------------------------------------------------------------------


def test_what_needs_approval_waits_with_its_seat(desk: Desk) -> None:
    booking_id = desk.book(desk.at(9), service="asked")
    row = desk.seen(booking_id)
    assert (row.status, row.waits_for, row.invited) == ("pending", "approval", False)
    assert row.expires_at == desk.at(9)  # the start, because it is nearer than a day
    assert told(desk, booking_id) == [(0, "pending", "client"), (0, "pending", "operator")]
    assert happened(desk, booking_id) == ["requested"]
    assert desk.messages(PushEvent) == []
    assert desk.at(9) not in desk.starts("talk")
    desk.decide(booking_id, "confirm")
    row = desk.seen(booking_id)
    assert (row.status, row.waits_for, row.expires_at, row.revision, row.invited) == ("confirmed", "", None, 0, True)
    assert told(desk, booking_id)[2:] == [(0, "approved", "client")]
    assert len(desk.messages(PushEvent)) == 1
    assert happened(desk, booking_id) == ["requested", "approved"]
    with nothing_stored_but_the_lock(desk):
        desk.decide(booking_id, "confirm")
    with pytest.raises(NotPossible):
        desk.decide(booking_id, "decline")


@contextmanager
def nothing_stored_but_the_lock(desk: Desk) -> Iterator[None]:
    before = stored(desk.database)
    yield
    after = stored(desk.database)
    assert {k: v for k, v in after.items() if k != "version"} == {k: v for k, v in before.items() if k != "version"}


def test_a_declined_request_frees_its_seat(desk: Desk) -> None:
    booking_id = desk.book(desk.at(9), service="asked")
    desk.decide(booking_id, "decline")
    assert desk.seen(booking_id).status == "declined"
    assert told(desk, booking_id)[2:] == [(1, "declined", "client")]
    assert seats(desk) == []
    desk.decide(booking_id, "decline")
    with pytest.raises(NotPossible):
        desk.decide(booking_id, "confirm")


def test_nobody_answers_for_a_day_and_the_request_is_over(desk: Desk) -> None:
    booking_id = desk.book(desk.at(9, day=7), service="asked")
    assert desk.seen(booking_id).expires_at == desk.now + timedelta(hours=24)
    desk.now += timedelta(hours=24) - timedelta(seconds=1)
    assert desk.work() == 0
    desk.now += timedelta(seconds=1)
    assert desk.work() == 1
    assert desk.seen(booking_id).status == "expired"
    assert told(desk, booking_id)[2:] == [(1, "expired", "client")]
    assert seats(desk) == []


@pytest.mark.parametrize("late", [timedelta(), timedelta(hours=1)])
def test_a_request_whose_time_is_over_is_not_approved_any_more_though_nobody_ended_it(
    desk: Desk, late: timedelta
) -> None:
    booking_id = desk.book(desk.at(9), service="asked")
    desk.now = desk.at(9) + late
    with nothing_stored_but_the_lock(desk), pytest.raises(NotPossible):
        desk.decide(booking_id, "confirm")
    desk.work()
    assert desk.seen(booking_id).status == "expired"


def test_a_request_moved_to_an_earlier_start_ends_with_that_start(desk: Desk) -> None:
    booking_id = desk.book(desk.at(11, day=1), service="asked")
    desk.reschedule(booking_id, desk.at(8))
    assert desk.seen(booking_id).expires_at == desk.at(8)
    desk.now = desk.at(8)
    desk.work()
    assert desk.seen(booking_id).status == "expired"


def test_stale_data_makes_a_booking_wait_for_the_pull_it_asks_for(desk: Desk) -> None:
    calendar = stale(desk)
    booking_id = desk.book(desk.at(9))
    assert (desk.seen(booking_id).status, desk.seen(booking_id).waits_for) == ("pending", "fresh")
    assert desk.messages(PullCalendar) == [PullCalendar(calendar)]
    assert told(desk, booking_id) == [(0, "pending", "client")]
    with pytest.raises(NotYet):  # the pull has not been yet
        desk.say(DecidePending(booking_id, "fresh"))
    assert desk.seen(booking_id).status == "pending"
    pulled(desk, calendar)
    assert desk.work() == 1
    assert desk.seen(booking_id).status == "confirmed"
    assert told(desk, booking_id)[1:] == [(0, "approved", "client"), (0, "approved", "operator")]
    assert happened(desk, booking_id) == ["requested", "approved"]


def test_fresh_data_that_comes_when_the_time_is_over_confirms_nothing(desk: Desk) -> None:
    calendar = stale(desk)
    booking_id = desk.book(desk.at(9))
    desk.now = desk.at(9)
    pulled(desk, calendar)
    desk.say(DecidePending(booking_id, "fresh"))
    assert desk.seen(booking_id).status == "pending"
    desk.work()
    assert desk.seen(booking_id).status == "expired"


def test_fresh_data_makes_nobody_wait(desk: Desk) -> None:
    stale(desk, minutes=14)
    assert desk.seen(desk.book(desk.at(9))).status == "confirmed"


@pytest.mark.parametrize("approval_first", [True, False])
def test_both_approval_and_fresh_data_are_needed(desk: Desk, approval_first: bool) -> None:
    calendar = stale(desk)
    booking_id = desk.book(desk.at(9), service="asked")
    assert desk.seen(booking_id).waits_for == "approval,fresh"
    if approval_first:
        desk.decide(booking_id, "confirm")
        assert (desk.seen(booking_id).status, desk.seen(booking_id).waits_for) == ("pending", "fresh")
        desk.decide(booking_id, "confirm")
        assert happened(desk, booking_id) == ["requested", "accepted"]
        pulled(desk, calendar)
        desk.work()
        assert happened(desk, booking_id) == ["requested", "accepted", "approved"]
    else:
        pulled(desk, calendar)
        desk.work()
        assert (desk.seen(booking_id).status, desk.seen(booking_id).waits_for) == ("pending", "approval")
        assert happened(desk, booking_id) == ["requested", "calendar_checked"]
        desk.decide(booking_id, "confirm")
        assert happened(desk, booking_id) == ["requested", "calendar_checked", "approved"]
    assert desk.seen(booking_id).status == "confirmed"
    assert [t for t in told(desk, booking_id) if t[1] == "approved" and t[2] == "client"] == [(0, "approved", "client")]


# --- reschedule ---------------------------------------------------------------------------------------------------


def test_a_client_moves_alone_and_takes_slot_and_event_along(desk: Desk) -> None:
    booking_id = desk.book(desk.at(9))
    before = desk.seen(booking_id)
    desk.reschedule(booking_id, desk.at(11))
    row = desk.seen(booking_id)
    assert (row.starts_at, row.revision, row.uid, row.slot_id) == (desk.at(11), 1, before.uid, before.slot_id)
    assert told(desk, booking_id)[2:] == [(1, "moved_by_client", "client"), (1, "moved_by_client", "operator")]
    assert happened(desk, booking_id) == ["booked", "rescheduled"]
    assert seats(desk) == [(desk.at(11), 1)]
    assert desk.at(9) in desk.starts()
    with desk.database.reading() as tx:
        event = tx.execute(sa.select(SlotEvent.starts_at, SlotEvent.sequence)).one()
    assert tuple(event) == (desk.at(11), 1)
    assert desk.messages(CompleteBooking) == [CompleteBooking(booking_id, 0), CompleteBooking(booking_id, 1)]


def test_one_of_a_group_moves_and_the_others_stay(desk: Desk) -> None:
    stays, moves = desk.book(desk.at(9), "a", "group"), desk.book(desk.at(9), "b", "group", seats=2)
    joined = desk.book(desk.at(11), "c", "group")
    desk.reschedule(moves, desk.at(11))
    assert seats(desk) == [(desk.at(9), 1), (desk.at(11), 3)]
    assert desk.seen(moves).slot_id == desk.seen(joined).slot_id != desk.seen(stays).slot_id
    with nothing_stored(desk), pytest.raises(SlotTaken):
        desk.reschedule(stays, desk.at(11))


def test_the_same_time_again_is_no_move(desk: Desk) -> None:
    booking_id = desk.book(desk.at(9))
    with nothing_stored_but_the_lock(desk):
        desk.reschedule(booking_id, desk.at(9))
    assert desk.seen(booking_id).revision == 0


def test_ones_own_place_is_not_in_ones_way(database: Database) -> None:
    desk = Desk(database).open(
        talk={"start_every_minutes": 30, "buffer_after_minutes": 15}, group={"capacity": 3, "start_every_minutes": 30}
    )
    booking_id = desk.book(desk.at(9))
    desk.reschedule(booking_id, desk.at(9.5))
    assert seats(desk) == [(desk.at(9.5), 1)]
    alone = desk.book(desk.at(8, day=1), "a", "group")
    desk.reschedule(alone, desk.at(8.5, day=1))
    other = desk.book(desk.at(8.5, day=1), "b", "group")
    with pytest.raises(SlotTaken):  # the other one keeps the slot where it is
        desk.reschedule(other, desk.at(9, day=1))


def test_a_taken_target_changes_nothing(desk: Desk) -> None:
    booking_id = desk.book(desk.at(9))
    desk.book(desk.at(10), "jon")
    with nothing_stored(desk), pytest.raises(SlotTaken) as refused:
        desk.reschedule(booking_id, desk.at(10))
    assert desk.at(10) not in refused.value.alternatives
    assert desk.seen(booking_id).starts_at == desk.at(9)


def test_the_client_may_move_until_the_window_closes_and_the_operator_afterwards_too(database: Database) -> None:
    desk = Desk(database).open(talk={"cancel_until_minutes": 60})
    booking_id = desk.book(desk.at(9))
    desk.now = desk.at(8)
    with nothing_stored(desk), pytest.raises(TooLate):
        desk.reschedule(booking_id, desk.at(10))
    desk.reschedule(booking_id, desk.at(10), by="operator")
    assert told(desk, booking_id)[2:] == [(1, "moved", "client")]
    assert desk.seen(booking_id).starts_at == desk.at(10)


def test_what_is_over_can_not_be_moved(desk: Desk) -> None:
    booking_id = desk.book(desk.at(9))
    desk.cancel(booking_id)
    with nothing_stored(desk), pytest.raises(NotPossible):
        desk.reschedule(booking_id, desk.at(10))
    with pytest.raises(NotFound):
        desk.reschedule("no-such-booking", desk.at(10))


def test_a_place_moved_into_a_smaller_opening_has_its_number_of_seats(database: Database) -> None:
    desk = Desk(database).open(yoga={"capacity": 5, "calendar_openings": True})
    with database.transaction() as tx:
        account = books.connection(tx, desk.operator_id, desk.now)
        calendar = books.calendar(tx, desk.operator_id, account, availability=True, pulled_at=desk.now)
        for hour, number in ((9, 8), (11, 2)):
            books.opening(tx, desk.operator_id, calendar, desk.at(hour), desk.at(hour + 1), seats=number)
    booking_id = desk.book(desk.at(9), service="yoga")
    desk.reschedule(booking_id, desk.at(11))
    desk.book(desk.at(11), "jon", "yoga")
    with pytest.raises(SlotTaken):
        desk.book(desk.at(11), "eva", "yoga")


# --- cancel -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("by", "mails"), [("client", ["client", "operator"]), ("operator", ["client"]), ("admin", ["client", "operator"])]
)
def test_a_cancellation_by_each(desk: Desk, by: str, mails: list[str]) -> None:
    booking_id = desk.book(desk.at(9))
    desk.cancel(booking_id, by=by)
    row = desk.seen(booking_id)
    assert (row.status, row.revision) == ("cancelled", 1)
    assert told(desk, booking_id)[2:] == [(1, f"cancelled_by_{by}", audience) for audience in mails]
    assert seats(desk) == []
    assert desk.at(9) in desk.starts()
    with desk.database.reading() as tx:
        assert tx.execute(sa.select(SlotEvent.wanted)).scalar_one() is False
    with nothing_stored_but_the_lock(desk):
        desk.cancel(booking_id, by=by)


def test_the_window_binds_the_client_alone(database: Database) -> None:
    desk = Desk(database).open(talk={"cancel_until_minutes": 60})
    booking_id = desk.book(desk.at(9))
    desk.now = desk.at(8)
    with nothing_stored(desk), pytest.raises(TooLate):
        desk.cancel(booking_id)
    desk.cancel(booking_id, by="operator")
    desk.cancel(booking_id)  # what is cancelled stays so, at any time
    assert desk.seen(booking_id).status == "cancelled"


def test_a_group_goes_on_without_the_one_who_cancels(desk: Desk) -> None:
    first, second = desk.book(desk.at(9), "a", "group"), desk.book(desk.at(9), "b", "group")
    desk.cancel(first)
    assert seats(desk) == [(desk.at(9), 1)]
    with desk.database.reading() as tx:
        assert tx.execute(sa.select(SlotEvent.wanted)).scalar_one() is True
    desk.cancel(second)
    with desk.database.reading() as tx:
        assert tx.execute(sa.select(SlotEvent.wanted)).scalar_one() is False


def test_an_event_stays_for_those_who_were_there(desk: Desk) -> None:
    came, cancels = desk.book(desk.at(9), "a", "group"), desk.book(desk.at(9), "b", "group")
    with desk.database.transaction() as tx:
        commands.mark(tx, TERMS, came, Happening.COMPLETE, now=desk.now, cause="admin")
    desk.cancel(cancels)
    with desk.database.reading() as tx:
        assert tx.execute(sa.select(SlotEvent.wanted)).scalar_one() is True


def test_a_reason_is_kept_for_the_other_side(desk: Desk) -> None:
    booking_id = desk.book(desk.at(9))
    with desk.database.transaction() as tx:
        commands.cancel(
            tx, TERMS, booking_id, by="client", now=desk.now, cause="test", reason=" a\x00 cold\r\n\ud800" + "x" * 2000
        )
    assert desk.seen(booking_id).reason.startswith("a  cold")
    assert len(desk.seen(booking_id).reason) == 1000


# --- afterwards ---------------------------------------------------------------------------------------------------


def mark(desk: Desk, booking_id: str, happening: Happening) -> None:
    with desk.database.transaction() as tx:
        commands.mark(tx, TERMS, booking_id, happening, now=desk.now, cause="test")


def test_an_appointment_completes_itself_at_its_end(desk: Desk) -> None:
    booking_id = desk.book(desk.at(9))
    desk.now = desk.at(10) - timedelta(seconds=1)
    desk.work()
    assert desk.seen(booking_id).status == "confirmed"
    desk.now = desk.at(10)
    desk.work()
    assert desk.seen(booking_id).status == "completed"
    with pytest.raises(TooLate):
        desk.cancel(booking_id)
    with pytest.raises(NotPossible):
        desk.cancel(booking_id, by="operator")


def test_an_old_end_completes_nothing(desk: Desk) -> None:
    booking_id = desk.book(desk.at(9))
    desk.reschedule(booking_id, desk.at(11))
    desk.now = desk.at(10)
    desk.work()
    assert desk.seen(booking_id).status == "confirmed"
    desk.now = desk.at(12)
    desk.work()
    assert desk.seen(booking_id).status == "completed"


def test_a_no_show_and_back(desk: Desk) -> None:
    booking_id = desk.book(desk.at(9))
    desk.now = desk.at(9.5)
    for _ in range(2):
        mark(desk, booking_id, Happening.NO_SHOW)
    assert desk.seen(booking_id).status == "no_show"
    mark(desk, booking_id, Happening.UNDO_NO_SHOW)
    assert desk.seen(booking_id).status == "confirmed"
    mark(desk, booking_id, Happening.NO_SHOW)
    desk.now = desk.at(11)
    desk.work()
    mark(desk, booking_id, Happening.UNDO_NO_SHOW)
    assert desk.seen(booking_id).status == "completed"
    with pytest.raises(NotPossible):
        mark(desk, booking_id, Happening.UNDO_NO_SHOW)
    assert happened(desk, booking_id) == ["booked", "no_show", "undo_no_show", "no_show", "undo_no_show"]


def test_attendance_is_confirmed_once_and_only_by_who_has_a_place(desk: Desk) -> None:
    booking_id = desk.book(desk.at(9))
    for _ in range(2):
        with desk.database.transaction() as tx:
            commands.confirm_attendance(tx, booking_id, now=desk.now, cause="test")
        desk.now += MINUTE
    assert desk.seen(booking_id).attendance_confirmed_at == desk.now - 2 * MINUTE
    assert happened(desk, booking_id) == ["booked", "attendance_confirmed"]
    desk.cancel(booking_id)
    with desk.database.transaction() as tx, pytest.raises(NotPossible, match="nobody is expected"):
        commands.confirm_attendance(tx, booking_id, now=desk.now, cause="test")


def test_a_token_opens_its_booking_and_no_other(desk: Desk) -> None:
    booking_id = desk.book(desk.at(9))
    with desk.database.reading() as tx:
        token = tx.execute(sa.select(Booking.token)).scalar_one()
        assert commands.id_of(tx, token) == booking_id
        for other in ("", booking_id, token[:-1]):
            with pytest.raises(NotFound):
                commands.id_of(tx, other)


def test_a_person_of_another_service_is_asked_its_questions(database: Database) -> None:
    desk = Desk(database).open(talk={"fields": [{"name": "phone", "type": "phone", "required": True}]})
    with pytest.raises(Invalid):
        desk.book(desk.at(9))
    booking_id = desk.book(desk.at(9), answers={"phone": "+36 1 2345"}, client=person("Kata"))
    assert desk.view(booking_id)["answers"] == {"phone": "+36 1 2345"}
    assert desk.messages(DecidePending) == []
