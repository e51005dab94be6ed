"""Old calendar data (P11): what is booked or moved on it is decided by fresh data, with the same rules, and nothing is lost."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from booking import changes, freshness, setup
from booking.catalogue import offering_of
from booking.complete import row_of
from booking.errors import SlotTaken
from ledger.backoff import NotYet
from ledger.claims import lock_operator
from ledger.db import Database
from ledger.messages import DecidePending, PullCalendar, ReleaseUnconfirmed, RemoteCancellation, RemoteMove, SendMail
from ledger.tables import Calendar, Seat, Slot, SlotEvent
from tests.support import books
from tests.support.desk import SPEC, TERMS, Desk
from tests.support.doors import Doors
from tests.support.post import Post

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


class Work:
    """Anna's calendar, last read an hour before the desk opens."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        with desk.database.transaction() as tx:
            account = books.connection(tx, desk.operator_id, desk.now)
            self.id = books.calendar(tx, desk.operator_id, account, busy=True, pulled_at=desk.now - HOUR)

    def busy(self, start: float, end: float) -> None:
        with self.desk.database.transaction() as tx:
            books.busy(tx, self.desk.operator_id, self.id, self.desk.at(start), self.desk.at(end))

    def pulled(self) -> None:
        self.desk.now += MINUTE
        with self.desk.database.transaction() as tx:
            tx.execute(sa.update(Calendar).values(pulled_at=self.desk.now))


@pytest.fixture
def desk(database: Database) -> Desk:
    buffers = {"buffer_before_minutes": 10, "buffer_after_minutes": 20, "start_every_minutes": 30}
    return Desk(database).open(talk=buffers, asked={**buffers, "confirmation": "approval"})


@pytest.fixture
def work(desk: Desk) -> Work:
    return Work(desk)


def confirmed(desk: Desk, work: Work, hour: float, who: str = "kata") -> str:
    work.pulled()
    booked = desk.book(desk.at(hour), who)
    assert desk.seen(booked).status == "confirmed"
    desk.now += 30 * MINUTE
    return booked


def decide(desk: Desk, booking_id: str) -> None:
    for message in desk.messages(DecidePending, booking_id=booking_id):
        if isinstance(message, DecidePending) and message.reason != "expiry":
            desk.say(message)


def mails(desk: Desk, booking_id: str) -> list[str]:
    sent = [m for m in desk.messages(SendMail, booking_id=booking_id) if isinstance(m, SendMail)]
    return [m.about.partition(":")[0] for m in sent if m.audience == "client"]


def holders(desk: Desk) -> list[str]:
    with desk.database.reading() as tx:
        return [h.partition(":")[0] for h in tx.execute(sa.select(Seat.holder).order_by(Seat.id)).scalars()]


def offers_to_a_stranger(desk: Desk, hour: float) -> bool:
    return desk.at(hour) in desk.starts()


# --- booked on old data -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("busy", "status"),
    [
        ((8.5, 9), "declined"),  # within ten minutes before
        ((8.5, 8.8), "confirmed"),
        ((10.25, 11), "declined"),  # within twenty minutes after
        ((10.4, 11), "confirmed"),
        ((9.25, 9.5), "declined"),
    ],
)
def test_buffers_count_as_they_would_have(desk: Desk, work: Work, busy: tuple[float, float], status: str) -> None:
    booked = desk.book(desk.at(9))
    assert desk.seen(booked).waits_for == "fresh"
    work.busy(*busy)
    work.pulled()
    decide(desk, booked)
    assert desk.seen(booked).status == status
    with desk.database.reading() as tx:
        live = tx.execute(sa.select(Slot.taken)).scalar_one()
    assert live == (1 if status == "confirmed" else 0)


def test_a_pending_one_that_moves_ends_before_its_new_start(desk: Desk, work: Work) -> None:
    work.pulled()
    booked = desk.book(desk.at(11, 1), service="asked")
    assert desk.seen(booked).expires_at == desk.now + 24 * HOUR
    desk.reschedule(booked, desk.at(8))
    assert desk.seen(booked).expires_at == desk.at(8)
    desk.now = desk.at(8)
    desk.work()
    assert desk.seen(booked).status == "expired"


def test_a_pending_one_that_moves_on_old_data_waits_for_new_data_too(desk: Desk, work: Work) -> None:
    work.pulled()
    booked = desk.book(desk.at(8), service="asked")
    assert desk.seen(booked).waits_for == "approval"
    desk.now += 30 * MINUTE
    desk.reschedule(booked, desk.at(10))
    assert desk.seen(booked).waits_for == "approval,fresh"
    desk.decide(booked, "confirm")
    assert (desk.seen(booked).status, desk.seen(booked).waits_for) == ("pending", "fresh")
    with pytest.raises(NotYet):
        decide(desk, booked)
    work.busy(10, 10.5)
    work.pulled()
    decide(desk, booked)
    assert (desk.seen(booked).status, desk.seen(booked).reason) == ("declined", "calendar")


def test_each_move_is_decided_by_data_of_its_own(desk: Desk, work: Work) -> None:
    booked = desk.book(desk.at(8))
    desk.now += MINUTE
    with desk.database.transaction() as tx:
        tx.execute(sa.update(Calendar).values(pulled_at=desk.now))
    desk.now += 20 * MINUTE
    desk.reschedule(booked, desk.at(10))
    with pytest.raises(NotYet):
        decide(desk, booked)
    work.pulled()
    decide(desk, booked)
    assert (desk.seen(booked).status, desk.seen(booked).starts_at) == ("confirmed", desk.at(10))


# --- moved on old data --------------------------------------------------------------------------------------------


def test_the_old_time_is_kept_until_the_new_one_is_sure(desk: Desk, work: Work) -> None:
    booked = confirmed(desk, work, 8)
    pulls = len(desk.messages(PullCalendar))
    desk.reschedule(booked, desk.at(10))
    row = desk.seen(booked)
    assert (row.status, row.starts_at, row.revision) == ("confirmed", desk.at(8), 0)
    assert desk.view(booked)["wanted"] == {"start": desk.at(10), "end": desk.at(11)}
    assert len(desk.messages(PullCalendar)) == pulls + 1
    assert not any(offers_to_a_stranger(desk, hour) for hour in (8, 10))
    assert mails(desk, booked) == ["booked"]
    with pytest.raises(NotYet):
        decide(desk, booked)
    work.pulled()
    decide(desk, booked)
    row = desk.seen(booked)
    assert (row.status, row.starts_at, row.revision) == ("confirmed", desk.at(10), 1)
    assert desk.view(booked)["wanted"] is None
    assert offers_to_a_stranger(desk, 8)
    assert mails(desk, booked) == ["booked", "moved_by_client"]
    with desk.database.reading() as tx:
        events = tx.execute(sa.select(SlotEvent.starts_at, SlotEvent.wanted)).all()
    assert events == [(desk.at(10), True)]  # the same event, moved
    decide(desk, booked)
    assert desk.seen(booked) == row


@pytest.mark.parametrize("busy", [(10, 11), (9.75, 10), (11.25, 12)])
def test_a_time_that_is_taken_after_all_leaves_everything_and_is_told(
    desk: Desk, work: Work, busy: tuple[float, float]
) -> None:
    booked = confirmed(desk, work, 8)
    desk.reschedule(booked, desk.at(10))
    work.busy(*busy)
    work.pulled()
    decide(desk, booked)
    row = desk.seen(booked)
    assert (row.status, row.starts_at, row.revision) == ("confirmed", desk.at(8), 0)
    assert mails(desk, booked) == ["booked", "counter_declined"]
    assert holders(desk) == ["booking"]
    assert [line["what"] for line in desk.view(booked)["timeline"]] == [
        "booked",
        "other_time_wanted",
        "other_time_declined",
    ]
    decide(desk, booked)
    assert mails(desk, booked) == ["booked", "counter_declined"]
    asked = desk.messages(SendMail, booking_id=booked, audience="client")[-1].about  # type: ignore[attr-defined]
    raw = Post(desk).letter(booked, asked)
    assert b"text/calendar" not in raw, "their calendar has asked nothing"


def test_another_wish_takes_the_place_of_the_first(desk: Desk, work: Work) -> None:
    booked = confirmed(desk, work, 8)
    desk.reschedule(booked, desk.at(10))
    desk.reschedule(booked, desk.at(10))
    desk.reschedule(booked, desk.at(11))
    assert (holders(desk), desk.view(booked)["wanted"]["start"]) == (["booking", "change"], desk.at(11))
    desk.reschedule(booked, desk.at(8))  # to stay after all
    assert holders(desk) == ["booking"]
    work.pulled()
    decide(desk, booked)
    assert desk.seen(booked).starts_at == desk.at(8)


@pytest.mark.parametrize("end", ["cancelled", "deleted"])
def test_who_goes_gives_both_times_back(desk: Desk, work: Work, end: str) -> None:
    booked = confirmed(desk, work, 8)
    desk.reschedule(booked, desk.at(10))
    if end == "cancelled":
        desk.cancel(booked)
    else:
        with desk.database.reading() as tx:
            event = tx.execute(sa.select(SlotEvent.id, SlotEvent.slot_id)).one()
        desk.say(RemoteCancellation(event.id, event.slot_id))
    assert holders(desk) == []
    work.pulled()
    decide(desk, booked)
    assert desk.seen(booked).status == "cancelled"
    assert all(offers_to_a_stranger(desk, hour) for hour in (8, 10))


def test_the_operators_move_is_the_last_word(desk: Desk, work: Work) -> None:
    booked = confirmed(desk, work, 8)
    desk.reschedule(booked, desk.at(10))
    with desk.database.reading() as tx:
        event = tx.execute(sa.select(SlotEvent.__table__)).one()
    desk.say(RemoteMove(event.id, event.slot_id, event.version, desk.at(14), desk.at(15)))
    assert holders(desk) == ["booking"]
    work.pulled()
    decide(desk, booked)
    assert desk.seen(booked).starts_at == desk.at(14)


def test_a_calendar_that_cant_be_read_keeps_no_time_for_ever(desk: Desk, work: Work) -> None:
    booked = confirmed(desk, work, 8 + 48)
    desk.reschedule(booked, desk.at(10, 2))
    desk.now += 25 * HOUR
    decide(desk, booked)
    assert (desk.seen(booked).starts_at, holders(desk)) == (desk.at(8, 2), ["booking"])


def test_a_time_that_touches_the_old_one_is_taken_at_once(desk: Desk, work: Work) -> None:
    booked = confirmed(desk, work, 9)
    desk.reschedule(booked, desk.at(9.5))  # both can't be kept side by side; an overlap becomes a review
    assert desk.seen(booked).starts_at == desk.at(9.5)


def test_the_operators_own_reschedule_waits_for_nothing(desk: Desk, work: Work) -> None:
    booked = confirmed(desk, work, 8)
    desk.reschedule(booked, desk.at(10), by="operator")
    assert desk.seen(booked).starts_at == desk.at(10)


def test_a_wish_for_what_is_taken_changes_nothing(desk: Desk, work: Work) -> None:
    booked = confirmed(desk, work, 8)
    other = confirmed(desk, work, 10, "jon")
    with pytest.raises(SlotTaken):
        desk.reschedule(booked, desk.at(10))
    assert (desk.view(booked)["wanted"], desk.seen(other).status) == (None, "confirmed")


def test_the_line_gets_what_was_kept_in_vain(desk: Desk, work: Work) -> None:
    booked = confirmed(desk, work, 8 + 24)
    desk.reschedule(booked, desk.at(10, 1))
    waiting = desk.join("imre", {"start": desk.at(10, 1)})
    desk.reschedule(booked, desk.at(8, 1))
    assert desk.place(waiting)["status"] == "promoted"


def test_the_line_gets_what_was_kept_for_who_lost_the_place(database: Database) -> None:
    desk = Desk(database).open(talk={"confirm_attendance_hours": 26, "release_unconfirmed_hours": 4})
    work = Work(desk)
    booked = confirmed(desk, work, 11 + 48)
    desk.now = desk.at(9, 1)
    desk.work()
    desk.now = desk.at(7, 2)
    desk.reschedule(booked, desk.at(9, 2))
    taker, waiting = (
        desk.join("imre", {"start": desk.at(11, 2)}, accept="ask"),
        desk.join("eva", {"start": desk.at(9, 2)}),
    )
    desk.say(ReleaseUnconfirmed(booked, desk.seen(booked).revision))
    desk.accept(taker)
    assert desk.seen(booked).status == "cancelled"
    assert desk.place(waiting)["status"] in ("promoted", "offered")
    assert desk.at(9, 2) not in desk.starts()


def test_a_place_in_a_group_that_has_fewer_seats_by_now_is_refused(database: Database) -> None:
    desk = Desk(database).open(talk={"capacity": 3})
    work = Work(desk)
    others = [confirmed(desk, work, 10, who) for who in ("imre", "eva")]
    booked = confirmed(desk, work, 8)
    desk.reschedule(booked, desk.at(10))
    assert holders(desk).count("change") == 1
    with desk.database.transaction() as tx:
        setup.put_service(tx, "anna", "talk", {**SPEC, "capacity": 2}, now=desk.now, replace=True)
    work.pulled()
    decide(desk, booked)
    assert desk.seen(booked).starts_at == desk.at(8)
    assert mails(desk, booked)[-1] == "counter_declined"
    assert "change" not in holders(desk)
    with desk.database.reading() as tx:
        assert tx.execute(sa.select(Slot.taken).where(Slot.id == desk.seen(others[0]).slot_id)).scalar_one() == 2


def test_the_page_says_that_it_is_being_checked(sqlite: Database) -> None:
    desk = Desk(sqlite).open(talk={})
    work = Work(desk)
    token = desk.seen(confirmed(desk, work, 8)).token
    doors = Doors(desk)
    sent = doors.client.post(f"/api/v1/bookings/{token}/reschedule", json={"start": "2027-01-11T10:00:00Z"}).json()
    assert (sent["start"], sent["wanted"]["start"]) == ("2027-01-11T08:00:00Z", "2027-01-11T10:00:00Z")
    page = doors.client.get(f"/en/b/{token}?did=moved").text
    assert "Your new time is being checked" in page
    assert "has a new time" not in page


def test_nothing_is_decided_for_nobody(desk: Desk, work: Work) -> None:
    booked: Any = confirmed(desk, work, 8)
    with desk.database.transaction() as tx:
        lock_operator(tx, desk.operator_id)
        changes.decide(tx, TERMS, booked, now=desk.now, cause="test")
        row = row_of(tx, booked)
        assert changes.drop(tx, row) == []
        assert freshness.leaves_free(tx, offering_of(tx, row), row.slot_id, 1, desk.now)
    desk.say(DecidePending("nobody", "change:1"))
