"""What pages and the API read: honest, complete, and each reader's part alone."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import pytest
import sqlalchemy as sa

from booking import queries
from booking.catalogue import offering
from booking.errors import Invalid, NotFound
from booking.queries import Listed, Pulse
from ledger import claims, deliveries, timeline
from ledger.availability import SlotState
from ledger.db import Database
from ledger.tables import Calendar, SlotEvent
from tests.support import books
from tests.support.desk import TERMS, Desk

MINUTE = timedelta(minutes=1)


@pytest.fixture
def desk(database: Database) -> Desk:
    return Desk(database).open(talk={}, group={"capacity": 3})


def listed(desk: Desk, first: date, last: date, zone: str = "UTC", service: str = "talk") -> Listed:
    with desk.database.reading() as tx:
        return queries.slots(tx, offering(tx, "anna", service), first, last, zone, now=desk.now)


def calendar(desk: Desk, **values: object) -> int:
    with desk.database.transaction() as tx:
        account = books.connection(tx, desk.operator_id, desk.now)
        return books.calendar(tx, desk.operator_id, account, **values)


# --- slots --------------------------------------------------------------------------------------------------------


def test_days_are_those_of_the_zone_that_asks(desk: Desk) -> None:
    monday = date(2027, 1, 11)
    assert [s.period.start for s in listed(desk, monday, monday).starts] == [desk.at(h) for h in (8, 9, 10, 11)]
    # In Auckland Monday ends at eleven o'clock UTC, in Honolulu it begins at ten.
    assert [s.period.start for s in listed(desk, monday, monday, "Pacific/Auckland").starts] == [
        desk.at(h) for h in (8, 9, 10)
    ]
    assert [s.period.start for s in listed(desk, monday, monday, "Pacific/Honolulu").starts][:2] == [
        desk.at(10),
        desk.at(11),
    ]


@pytest.mark.parametrize(
    ("first", "last", "field"),
    [
        (date(2027, 1, 11), date(2027, 1, 10), "to"),
        (date(2027, 1, 11), date(2027, 1, 11) + timedelta(days=62), "to"),
        (date(1, 1, 1), date(1, 1, 1), "from"),
        (date(9999, 12, 31), date(9999, 12, 31), "from"),
    ],
)
def test_a_range_of_days_has_its_limits(desk: Desk, first: date, last: date, field: str) -> None:
    with pytest.raises(Invalid) as refused:
        listed(desk, first, last, "Pacific/Kiritimati")
    assert [(e.field, e.code) for e in refused.value.errors] == [(field, "out_of_range")]


def test_sixty_two_days_are_allowed(desk: Desk) -> None:
    assert listed(desk, date(2027, 1, 11), date(2027, 1, 11) + timedelta(days=61)).starts


def test_it_says_how_long_it_stays_true(database: Database) -> None:
    desk = Desk(database).open(
        talk={"notice_minutes": 115}, far={"notice_minutes": 0, "hours": {"sun": ["08:00-12:00"]}}
    )
    today = date(2027, 1, 11)
    assert listed(desk, today, today).valid_until == desk.at(8) - 115 * MINUTE  # the first start drops out
    assert listed(desk, today, today + timedelta(days=30), service="far").valid_until == desk.now + 10 * MINUTE
    desk.hold(desk.at(9))
    assert listed(desk, today, today).valid_until == desk.now + 5 * MINUTE
    desk.now += 5 * MINUTE
    again = listed(desk, today, today)
    assert again.valid_until == desk.now
    assert again.starts[0].period.start == desk.at(8)
    desk.now += timedelta(microseconds=1)
    assert listed(desk, today, today).starts[0].period.start == desk.at(9)


def test_one_start_is_as_the_list_shows_it(desk: Desk) -> None:
    desk.book(desk.at(9), service="group")
    with desk.database.reading() as tx:
        group = offering(tx, "anna", "group")
        found = queries.start_of(tx, group, desk.at(9), now=desk.now)
        assert queries.start_of(tx, group, desk.at(9.5), now=desk.now) is None
    assert found in listed(desk, date(2027, 1, 11), date(2027, 1, 11), service="group").starts
    assert found is not None
    assert (found.seats_left, found.state) == (2, SlotState.OPEN)


def test_bookable_are_the_open_ones(desk: Desk) -> None:
    desk.book(desk.at(9))
    desk.hold(desk.at(10))
    day = listed(desk, date(2027, 1, 11), date(2027, 1, 11))
    assert [s.state.value for s in day.starts] == ["open", "full", "held", "open"]
    assert [s.period.start for s in queries.bookable(day)] == [desk.at(8), desk.at(11)]


# --- facts --------------------------------------------------------------------------------------------------------


def test_the_pulse_changes_with_everything_that_can_be_shown(desk: Desk) -> None:
    def pulse() -> Pulse:
        with desk.database.reading() as tx:
            return queries.pulse(tx, "anna")

    before = pulse()
    assert (before.operator_id, before.fresh_at) == (desk.operator_id, None)
    assert pulse() == before
    booking = desk.book(desk.at(9))
    booked = pulse()
    assert booked.version > before.version
    desk.cancel(booking)
    assert pulse().version > booked.version
    calendar(desk, busy=True, pulled_at=desk.now)
    assert pulse().fresh_at == desk.now
    with desk.database.reading() as tx, pytest.raises(NotFound):
        queries.pulse(tx, "ben")


def test_public_facts_name_what_a_visitor_needs_and_nobodys_address(database: Database) -> None:
    desk = Desk(database).open(
        talk={"texts": {"hu": {"title": "Beszélgetés"}}, "place": "Main street 1", "cancel_until_minutes": 60,
              "fields": [{"name": "phone", "type": "phone", "required": True}]},
    )  # fmt: skip
    with database.reading() as tx:
        facts = queries.operator_facts(tx, "anna")
        everybody = queries.operators(tx)
        with pytest.raises(NotFound):
            queries.operator_facts(tx, "ben")
    assert everybody == [facts]
    assert "practice.example" not in str(facts)
    (service,) = facts["services"]
    assert service["texts"]["hu"] == {"title": "Beszélgetés", "description": "", "place": "Main street 1", "price": ""}
    assert service["texts"]["en"]["title"] == "Consultation"
    assert (service["mode"], service["confirmation"], service["duration_minutes"]) == ("individual", "instant", 60)
    assert service["policies"]["cancel_until_minutes"] == 60
    assert service["fields"][0]["name"] == "phone"
    assert desk.operator_id


# --- bookings -----------------------------------------------------------------------------------------------------


def test_a_client_sees_their_booking_and_nobody_else(desk: Desk) -> None:
    mine, other = desk.book(desk.at(9), "kata", "group", seats=2), desk.book(desk.at(9), "jon", "group")
    view = desk.view(mine)
    assert (view["status"], view["seats"], view["start"], view["end"]) == ("confirmed", 2, desk.at(9), desk.at(10))
    assert (view["operator"], view["service"], view["title"]) == ("anna", "group", "Consultation")
    assert view["client"] == {"name": "Kata", "email": "kata@example.org"}
    assert view["manage_url"] == f"http://127.0.0.1:8000/en/b/{view['token']}"
    assert view["ics_url"] == f"http://127.0.0.1:8000/api/v1/bookings/{view['token']}/invite.ics"
    assert "jon" not in str(view).lower()
    assert other not in str(view)
    with desk.database.reading() as tx:
        with pytest.raises(NotFound):
            queries.booking_view(tx, "nobody", TERMS)
        assert queries.token_of(tx, mine) == view["token"]
        assert queries.service_of(tx, mine) == 2


def test_the_link_is_for_those_who_have_a_place(database: Database) -> None:
    desk = Desk(database).open(talk={"confirmation": "approval", "link": "https://meet.example/1"})
    booking = desk.book(desk.at(9))
    assert desk.view(booking)["link"] == ""
    desk.decide(booking, "confirm")
    assert desk.view(booking)["link"] == "https://meet.example/1"
    desk.cancel(booking)
    assert desk.view(booking)["link"] == ""


def test_each_reader_sees_their_part_of_timeline_and_mail(desk: Desk) -> None:
    booking = desk.book(desk.at(9))
    with desk.database.transaction() as tx:
        timeline.note(tx, booking, desk.operator_id, "for_the_operator", now=desk.now, audience="operator")
        timeline.note(tx, booking, desk.operator_id, "for_the_admin", now=desk.now, audience="admin")
        for audience in ("client", "operator"):
            deliveries.prepare(
                tx, message_id=f"<{audience}>", message=b"x", recipient="x@x", booking_id=booking, operator_id=1, audience=audience,
                kind="booked", sequence=0, now=desk.now,
            )  # fmt: skip
    parts = {reader: desk.view(booking, reader) for reader in ("client", "operator", "admin")}
    assert [len(parts[r]["timeline"]) for r in ("client", "operator", "admin")] == [1, 2, 3]
    assert [len(parts[r]["deliveries"]) for r in ("client", "operator", "admin")] == [1, 2, 2]
    assert parts["client"]["deliveries"][0]["state"] == "prepared"
    assert "recipient" not in parts["client"]["deliveries"][0]


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ({"state": "planned", "pushed_version": 0}, "on_its_way"),
        ({"state": "sent", "pushed_version": 0}, "on_its_way"),
        ({"state": "confirmed", "pushed_version": 1}, "in_the_calendar"),
        ({"state": "confirmed", "pushed_version": 1, "version": 2}, "on_its_way"),
        ({"state": "gone", "pushed_version": 1}, "removed"),
        ({"state": "confirmed", "pushed_version": 1, "version": 2, "wanted": False}, "on_its_way"),
        ({"state": "confirmed", "pushed_version": 2, "version": 2, "wanted": False}, "removed"),
        ({"calendar_id": None}, "none"),
    ],
)
def test_the_state_in_the_calendar_is_honest(desk: Desk, values: dict[str, object], shown: str) -> None:
    calendar(desk, bookings=True)
    booking = desk.book(desk.at(9))
    with desk.database.transaction() as tx:
        tx.execute(sa.update(SlotEvent).values(**values))
    assert desk.view(booking)["calendar"] == shown


def test_without_an_event_there_is_no_state(database: Database) -> None:
    desk = Desk(database).open(talk={"confirmation": "approval"})
    assert desk.view(desk.book(desk.at(9)))["calendar"] == "none"


# --- the line -----------------------------------------------------------------------------------------------------


def test_a_place_in_line_shows_its_offer_and_later_its_booking(desk: Desk) -> None:
    booking = desk.book(desk.at(11))
    token = desk.join("imre", {"start": desk.at(11)}, accept="ask")
    with desk.database.reading() as tx:
        assert queries.waiting_for(tx, 1) == 1
        assert queries.waiting_for(tx, 2) == 0
    desk.cancel(booking)
    assert desk.place(token)["offer"]["start"] == desk.at(11)
    accepted = desk.accept(token)
    seen = desk.place(token)
    assert (seen["status"], seen["offer"], seen["booking"]) == ("promoted", None, desk.view(accepted)["token"])
    with desk.database.reading() as tx, pytest.raises(NotFound):
        queries.line_view(tx, "nobody")


def test_a_wish_without_limits_says_so(desk: Desk) -> None:
    token = desk.join("imre", {"from": "2027-01-11", "to": "2027-01-12"})
    assert desk.place(token)["wish"] == {
        "from": "2027-01-11", "to": "2027-01-12", "weekdays": [1, 2, 3, 4, 5, 6, 7], "between": ["00:00", "24:00"],
    }  # fmt: skip


def test_the_oldest_calendar_counts_for_freshness(desk: Desk) -> None:
    calendar(desk, busy=True, pulled_at=desk.now)
    with desk.database.transaction() as tx:
        claims.lock_operator(tx, desk.operator_id)
        account = tx.execute(sa.select(Calendar.connection_id)).scalar_one()
        books.calendar(tx, desk.operator_id, account, "/old/", busy=True, pulled_at=desk.now - 7 * MINUTE)
    with desk.database.reading() as tx:
        assert queries.pulse(tx, "anna").fresh_at == desk.now - 7 * MINUTE
    assert isinstance(desk.now, datetime)
