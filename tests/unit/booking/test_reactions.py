"""What booking does about facts and timers: once, however often and late they come.

Covers: booking.overlaps.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from booking import commands
from booking.errors import DoesNotFit, NotPossible
from booking.reactions import react
from booking.tables import Booking, Offer, WaitlistEntry
from ledger import reviews
from ledger.backoff import NotYet
from ledger.db import Database
from ledger.messages import (
    CompleteBooking,
    DecidePending,
    ExpireHold,
    ExpireOffer,
    PromoteWaitlist,
    PushEvent,
    RemoteCancellation,
    RemoteMove,
    RemoteOverlap,
    SendMail,
    TimeFreed,
)
from ledger.tables import Busy, Calendar, Opening, Review, Seat, Slot, SlotEvent, TimelineEntry
from tests.support import books
from tests.support.desk import TERMS, Desk

MINUTE = timedelta(minutes=1)


@pytest.fixture
def desk(database: Database) -> Desk:
    return Desk(database).open(talk={}, group={"capacity": 4})


@contextmanager
def nothing_changes(desk: Desk) -> Iterator[None]:
    def seen() -> list[Any]:
        with desk.database.reading() as tx:
            return [tx.execute(sa.select(t.__table__).order_by(t.id)).all() for t in (Booking, Slot, Seat, SlotEvent, Review, WaitlistEntry, TimelineEntry, Busy)]  # fmt: skip

    before = seen()
    yield
    assert seen() == before


def event_of(desk: Desk, booking_id: str) -> Any:
    with desk.database.reading() as tx:
        slot_id = sa.select(Booking.slot_id).where(Booking.id == booking_id).scalar_subquery()
        return tx.execute(sa.select(SlotEvent.__table__).where(SlotEvent.slot_id == slot_id)).one()


def in_the_calendar(desk: Desk) -> None:
    """Sync has written every event."""
    with desk.database.transaction() as tx:
        tx.execute(sa.update(SlotEvent).values(state="confirmed", pushed_version=SlotEvent.version))


def deleted(event: Any) -> RemoteCancellation:
    return RemoteCancellation(event.id, event.slot_id)


def moved(event: Any, start: datetime, end: datetime | None = None) -> RemoteMove:
    return RemoteMove(event.id, event.slot_id, event.version, start, end or start + timedelta(hours=1))


def mails(desk: Desk, booking_id: str) -> list[tuple[int, str, str]]:
    found = [m for m in desk.messages(SendMail, booking_id=booking_id) if isinstance(m, SendMail)]
    return [(m.revision, m.about.partition(":")[0], m.audience) for m in found]


def asked(desk: Desk) -> list[tuple[str, str]]:
    with desk.database.reading() as tx:
        return [(r["kind"], r["detail"].get("why", "")) for r in reviews.listing(tx)]


class Calendars:
    """Anna's busy calendar, as sync would have left it."""

    def __init__(self, desk: Desk, pulled_at: datetime | None = None) -> None:
        self.desk = desk
        with desk.database.transaction() as tx:
            account = books.connection(tx, desk.operator_id, desk.now)
            self.id = books.calendar(
                tx, desk.operator_id, account, busy=True, availability=True, pulled_at=pulled_at or desk.now
            )

    def busy(self, start: datetime, end: datetime, *, freed: bool = False) -> None:
        with self.desk.database.transaction() as tx:
            books.busy(tx, self.desk.operator_id, self.id, start, end, freed=freed)

    def opening(self, start: datetime, end: datetime, *, fresh: bool = False) -> None:
        with self.desk.database.transaction() as tx:
            books.opening(tx, self.desk.operator_id, self.id, start, end, fresh=fresh)

    def pulled(self, *, without_openings: bool = False) -> None:
        with self.desk.database.transaction() as tx:
            tx.execute(sa.update(Calendar).values(pulled_at=self.desk.now))
            if without_openings:
                tx.execute(sa.delete(Opening))


# --- the operator deletes -----------------------------------------------------------------------------------------


def test_a_deleted_event_cancels_tells_the_client_and_serves_the_line(desk: Desk) -> None:
    booking = desk.book(desk.at(9), "kata")
    token = desk.join("imre", {"start": desk.at(9)})
    event = event_of(desk, booking)
    desk.say(deleted(event))
    assert desk.seen(booking).status == "cancelled"
    assert mails(desk, booking)[2:] == [(1, "cancelled_by_operator", "client")]
    assert desk.view(booking)["timeline"][-1]["cause"] == "operator_calendar"
    assert desk.place(token)["status"] == "promoted"
    with nothing_changes(desk):
        desk.say(deleted(event))


def test_a_deleted_group_cancels_everybody_before_anybody_is_promoted(desk: Desk) -> None:
    bookings = [desk.book(desk.at(9), f"c{n}", "group") for n in range(4)]
    tokens = [desk.join(f"w{n}", {"start": desk.at(9)}, "group") for n in range(5)]
    desk.say(deleted(event_of(desk, bookings[0])))
    assert {desk.seen(b).status for b in bookings} == {"cancelled"}
    assert [desk.place(t)["status"] for t in tokens] == ["promoted"] * 4 + ["waiting"]
    with desk.database.reading() as tx:
        assert tx.execute(sa.select(Slot.taken).where(Slot.taken > 0)).scalars().all() == [4]


def test_pending_ones_in_the_slot_go_with_it(desk: Desk) -> None:
    confirmed = desk.book(desk.at(9), "a", "group")
    Calendars(desk, desk.now - timedelta(hours=1))
    pending = desk.book(desk.at(9), "b", "group")
    assert desk.seen(pending).status == "pending"
    desk.say(deleted(event_of(desk, confirmed)))
    assert (desk.seen(confirmed).status, desk.seen(pending).status) == ("cancelled", "cancelled")


def test_cleaning_up_afterwards_is_no_cancellation(desk: Desk) -> None:
    booking = desk.book(desk.at(9))
    event = event_of(desk, booking)
    desk.now = desk.at(10)
    with nothing_changes(desk):
        desk.say(deleted(event))
        desk.say(RemoteCancellation(99, 99))
    assert desk.seen(booking).status == "confirmed"


# --- the operator moves -------------------------------------------------------------------------------------------


def test_a_moved_event_moves_the_booking_and_is_not_pushed_back(desk: Desk) -> None:
    booking = desk.book(desk.at(9))
    token = desk.join("imre", {"start": desk.at(9)})
    in_the_calendar(desk)
    event, pushes = event_of(desk, booking), len(desk.messages(PushEvent))
    fact = moved(event, desk.at(20), desk.at(21.5))  # outside the hours, and longer: it is the operator's calendar
    desk.say(fact)
    row = desk.seen(booking)
    assert (row.starts_at, row.ends_at, row.revision, row.status) == (desk.at(20), desk.at(21.5), 1, "confirmed")
    assert mails(desk, booking)[2:] == [(1, "moved", "client")]
    assert len(desk.messages(PushEvent)) == pushes + 1  # that of the promoted one
    assert desk.place(token)["status"] == "promoted"
    assert CompleteBooking(booking, 1) in desk.messages(CompleteBooking)
    with nothing_changes(desk):
        desk.say(fact)


def test_a_whole_group_moves_together(desk: Desk) -> None:
    bookings = [desk.book(desk.at(9), f"c{n}", "group") for n in range(3)]
    in_the_calendar(desk)
    desk.say(moved(event_of(desk, bookings[0]), desk.at(11)))
    assert {desk.seen(b).starts_at for b in bookings} == {desk.at(11)}
    assert {desk.seen(b).revision for b in bookings} == {1}
    event = event_of(desk, bookings[0])
    assert (event.starts_at, event.sequence, event.pushed_version) == (desk.at(11), 1, event.version)


@pytest.mark.parametrize(
    ("hour", "why"), [(5, "past"), (10, "overlap"), (10.5, "overlap"), (11, "overlap"), (13, "overlap")]
)
def test_a_move_that_does_not_fit_asks_a_human_once_and_changes_nothing(desk: Desk, hour: float, why: str) -> None:
    booking = desk.book(desk.at(9))
    desk.book(desk.at(10), "jon")
    desk.book(desk.at(11), "jon2", "group")
    Calendars(desk).busy(desk.at(13), desk.at(13.5))
    for _ in range(2):
        desk.say(moved(event_of(desk, booking), desk.at(hour)))
    assert asked(desk) == [("move", why)]
    assert (desk.seen(booking).starts_at, desk.seen(booking).revision) == (desk.at(9), 0)


def test_a_move_away_from_an_older_wish_is_nobodys_business(desk: Desk) -> None:
    booking = desk.book(desk.at(9))
    stale = moved(event_of(desk, booking), desk.at(11))
    desk.reschedule(booking, desk.at(10))
    with nothing_changes(desk):
        desk.say(stale)
        desk.say(moved(event_of(desk, booking), desk.at(10)))  # to where it is
        desk.say(RemoteMove(99, 99, 1, desk.at(9), desk.at(10)))
    desk.cancel(booking)
    with nothing_changes(desk):
        desk.say(moved(event_of(desk, booking), desk.at(11)))


def test_a_hold_in_the_way_of_a_move_keeps_it_until_it_runs_out(desk: Desk) -> None:
    booking = desk.book(desk.at(9))
    desk.hold(desk.at(11))
    desk.say(moved(event_of(desk, booking), desk.at(11)))
    assert asked(desk) == [("move", "overlap")]
    desk.now += 5 * MINUTE
    desk.say(moved(event_of(desk, booking), desk.at(11)))
    assert desk.seen(booking).starts_at == desk.at(11)


def test_where_moves_are_proposals_the_client_decides(database: Database) -> None:
    desk = Desk(database).open(talk={"operator_moves": "propose"})
    first, second = desk.book(desk.at(9)), desk.book(desk.at(10), "jon")
    for booking in (first, second):
        for _ in range(2):
            desk.say(moved(event_of(desk, booking), desk.at(15)))
    assert asked(desk) == [("move", "propose")] * 2
    assert desk.seen(first).starts_at == desk.at(9)
    assert mails(desk, first)[2:] == [(0, "proposal", "client")]
    with desk.database.transaction() as tx:
        commands.answer_proposal(tx, TERMS, first, accept=True, now=desk.now, cause="client_link")
    assert (desk.seen(first).starts_at, desk.seen(first).revision) == (desk.at(15), 1)
    with desk.database.transaction() as tx, pytest.raises(DoesNotFit):
        commands.answer_proposal(tx, TERMS, second, accept=True, now=desk.now, cause="client_link")
    pushes = len(desk.messages(PushEvent))
    with desk.database.transaction() as tx:
        commands.answer_proposal(tx, TERMS, second, accept=False, now=desk.now, cause="client_link")
    assert desk.seen(second).starts_at == desk.at(10)
    assert len(desk.messages(PushEvent)) == pushes + 1  # it is put back
    assert asked(desk) == []
    for booking in (first, second):
        with desk.database.transaction() as tx, pytest.raises(NotPossible):
            commands.answer_proposal(tx, TERMS, booking, accept=True, now=desk.now, cause="client_link")


def test_a_time_that_the_client_could_not_have_is_not_proposed(database: Database) -> None:
    desk = Desk(database).open(talk={"operator_moves": "propose"})
    first, second = desk.book(desk.at(9)), desk.book(desk.at(11), "jon")
    told = mails(desk, first)
    desk.say(moved(event_of(desk, first), desk.at(11)))
    assert asked(desk) == [("move", "overlap")]
    assert mails(desk, first) == told
    desk.say(moved(event_of(desk, second), desk.at(11.5)))  # over its own time is no obstacle
    assert asked(desk) == [("move", "overlap"), ("move", "propose")]
    Calendars(desk).busy(desk.at(14), desk.at(15))
    desk.say(moved(event_of(desk, first), desk.at(14.5)))
    assert asked(desk)[2:] == [("move", "overlap")]
    assert mails(desk, first) == told


# --- a foreign event over a booking -------------------------------------------------------------------------------


def test_an_overlap_asks_a_human_once(desk: Desk) -> None:
    slot = event_of(desk, desk.book(desk.at(9))).slot_id
    fact = RemoteOverlap(slot, desk.at(9.5), desk.at(12))
    for _ in range(2):
        desk.say(fact)
    assert asked(desk) == [("overlap", "")]
    with nothing_changes(desk):
        desk.say(RemoteOverlap(slot, desk.at(10), desk.at(11)))  # beside it
        desk.say(RemoteOverlap(99, desk.at(9), desk.at(11)))


def test_an_overlap_with_what_is_over_or_cancelled_is_none(desk: Desk) -> None:
    booking = desk.book(desk.at(9))
    slot = event_of(desk, booking).slot_id
    desk.cancel(booking)
    other = event_of(desk, desk.book(desk.at(8), "jon")).slot_id
    desk.now = desk.at(9)
    for fact in (RemoteOverlap(slot, desk.at(9), desk.at(10)), RemoteOverlap(other, desk.at(8), desk.at(9))):
        desk.say(fact)
    assert asked(desk) == []


def test_an_overlap_that_is_over_asks_nobody_any_more(desk: Desk) -> None:
    calendar = Calendars(desk)
    bookings = [desk.book(desk.at(hour), who) for hour, who in ((9, "kata"), (10, "jon"), (11, "vera"))]
    for hour, booking in zip((9, 10, 11), bookings, strict=True):
        calendar.busy(desk.at(hour), desk.at(hour + 0.5))
        desk.say(RemoteOverlap(event_of(desk, booking).slot_id, desk.at(hour), desk.at(hour + 0.5)))
    assert len(asked(desk)) == 3
    desk.cancel(bookings[0])
    assert len(asked(desk)) == 2
    with desk.database.transaction() as tx:  # the foreign event goes away
        tx.execute(sa.update(Busy).where(Busy.starts_at == desk.at(10)).values(freed=True))
    desk.say(TimeFreed(desk.operator_id))
    assert len(asked(desk)) == 1
    desk.reschedule(bookings[2], desk.at(8, 1))
    assert asked(desk) == []
    desk.say(RemoteOverlap(event_of(desk, bookings[1]).slot_id, desk.at(10), desk.at(11)))
    assert asked(desk) == [("overlap", "")]


# --- freed time ---------------------------------------------------------------------------------------------------


def test_freed_time_is_the_lines_first_and_everybodys_afterwards(desk: Desk) -> None:
    calendar = Calendars(desk)
    for hour in (9, 10):
        calendar.busy(desk.at(hour), desk.at(hour + 1), freed=True)
    calendar.busy(desk.at(11), desk.at(12))
    token = desk.join("imre", {"start": desk.at(9)})
    assert desk.starts()[0] == desk.at(8)
    assert desk.at(10) not in desk.starts()
    desk.say(TimeFreed(desk.operator_id))
    assert desk.place(token)["status"] == "promoted"
    assert desk.at(10) in desk.starts()
    assert {desk.at(9), desk.at(11)}.isdisjoint(desk.starts())
    with nothing_changes(desk):
        desk.say(TimeFreed(desk.operator_id))


def test_new_openings_are_the_lines_first(database: Database) -> None:
    desk = Desk(database).open(yoga={"capacity": 2, "calendar_openings": True})
    calendar = Calendars(desk)
    calendar.opening(desk.at(18), desk.at(20), fresh=True)
    tokens = [desk.join(who, {"start": desk.at(18)}, "yoga") for who in ("imre", "eva", "joe")]
    assert desk.starts("yoga") == []
    desk.say(TimeFreed(desk.operator_id))
    assert [desk.place(t)["status"] for t in tokens] == ["promoted", "promoted", "waiting"]
    assert desk.starts("yoga") == [desk.at(19)]
    assert desk.starts("yoga", "full") == [desk.at(18)]


# --- timers -------------------------------------------------------------------------------------------------------


def test_timers_that_come_late_or_twice_do_nothing(desk: Desk) -> None:
    booking = desk.book(desk.at(9))
    with nothing_changes(desk):
        desk.say(ExpireHold(desk.operator_id, "hold:none"))
        desk.say(ExpireOffer(9))
        desk.say(PromoteWaitlist(desk.operator_id, "kept:none"))
        desk.say(DecidePending(booking, "fresh"))
        desk.say(DecidePending(booking, "expiry"))
        desk.say(DecidePending("nobody", "expiry"))
        desk.say(CompleteBooking(booking, 7))
        desk.say(CompleteBooking("nobody", 0))


@pytest.mark.parametrize(
    ("busy", "result"),
    [
        ((9.5, 11), "declined"),
        ((9, 10), "declined"),
        ((10, 11), "confirmed"),
        ((8, 9), "confirmed"),
        (None, "confirmed"),
    ],
)
def test_fresh_data_decides_what_waited_for_it(desk: Desk, busy: tuple[float, float] | None, result: str) -> None:
    calendar = Calendars(desk, desk.now - timedelta(hours=1))
    booking = desk.book(desk.at(9))
    assert desk.seen(booking).status == "pending"
    with pytest.raises(NotYet):
        desk.say(DecidePending(booking, "fresh"))
    if busy:
        calendar.busy(desk.at(busy[0]), desk.at(busy[1]))
    calendar.pulled()
    desk.say(DecidePending(booking, "fresh"))
    assert desk.seen(booking).status == result
    if result == "declined":
        assert mails(desk, booking) == [(0, "pending", "client"), (1, "declined", "client")]
        assert desk.seen(booking).reason == "calendar"
        with desk.database.reading() as tx:
            assert tx.execute(sa.select(Slot.taken)).scalar_one() == 0


@pytest.mark.parametrize(("others", "result"), [(0, "declined"), (1, "confirmed")])
def test_an_opening_that_is_gone_closes_what_nobody_shares(database: Database, others: int, result: str) -> None:
    desk = Desk(database).open(yoga={"capacity": 4, "calendar_openings": True})
    calendar = Calendars(desk)
    calendar.opening(desk.at(18), desk.at(19))
    for number in range(others):
        desk.book(desk.at(18), f"c{number}", "yoga")
    desk.now += timedelta(hours=1)
    booking = desk.book(desk.at(18), service="yoga")
    assert desk.seen(booking).status == "pending"
    desk.now += MINUTE
    calendar.pulled(without_openings=True)
    desk.say(DecidePending(booking, "fresh"))
    assert desk.seen(booking).status == result


def test_an_opening_that_is_still_there_confirms(database: Database) -> None:
    desk = Desk(database).open(yoga={"capacity": 4, "calendar_openings": True, "notice_minutes": 60 * 11})
    calendar = Calendars(desk, desk.now - timedelta(hours=1))
    calendar.opening(desk.at(18), desk.at(19))
    booking = desk.book(desk.at(18), service="yoga")
    desk.now = desk.at(17)  # nearer than a stranger may book
    calendar.pulled()
    desk.say(DecidePending(booking, "fresh"))
    assert desk.seen(booking).status == "confirmed"


def test_a_promoted_person_whose_offer_ran_out_meanwhile_leaves_no_trace(desk: Desk) -> None:
    booking = desk.book(desk.at(9))
    token = desk.join("imre", {"start": desk.at(9)}, accept="ask")
    desk.cancel(booking)
    desk.leave(token)
    with nothing_changes(desk):
        desk.say(ExpireOffer(1))
    with desk.database.reading() as tx:
        assert tx.execute(sa.select(Offer.status)).scalars().all() == ["declined"]


def test_what_nobody_reacts_to_is_a_mistake_of_ours(desk: Desk) -> None:
    with desk.database.transaction() as tx, pytest.raises(TypeError, match="PushEvent"):
        react(tx, PushEvent(1, 1), terms=TERMS, now=desk.now, cause="")
