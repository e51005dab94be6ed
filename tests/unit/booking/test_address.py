"""Another address for a booking: everything goes there from then on, and the old mailbox is good for nothing.

Covers: booking.address, and what ledger.deliveries and booking.reminders keep of the old one.
"""

from __future__ import annotations

import email
import email.policy
from datetime import timedelta
from typing import Any

import icalendar
import pytest
import sqlalchemy as sa

from booking import address, reminders
from booking.errors import Invalid, NotFound, NotPossible
from booking.invitation import mail_for
from booking.tables import Booking
from connectors.emulators.mailclient import answer, bounce
from connectors.model import PartStat
from ledger import pauses, reviews, timeline
from ledger.db import Base, Database
from ledger.messages import AskAttendance, RemindBooking, SendMail
from tests.support.books import calendar, connection
from tests.support.desk import TERMS, Crash, Desk
from tests.support.post import Post
from tests.unit.booking.test_voice import account, event

NEW = "kata@new.example"
OLD = "kata@example.org"


@pytest.fixture
def desk(sqlite: Database) -> Desk:
    return Desk(sqlite).open(
        talk={"reminder_hours": 24, "confirm_attendance_hours": 48, "release_unconfirmed_hours": 24},
        asked={"confirmation": "approval"},
        group={"capacity": 3},
    )


@pytest.fixture
def post(desk: Desk) -> Post:
    return Post(desk)


def change(desk: Desk, booking: str, email: str = NEW) -> None:
    with desk.database.transaction() as tx:
        address.change_address(tx, TERMS, booking, email, by="Anna", now=desk.now, cause="test")


def invitation(raw: bytes) -> Any:
    mail = email.message_from_bytes(raw, policy=email.policy.default)
    (part,) = (p for p in mail.walk() if p.get_content_type() == "text/calendar")
    return icalendar.Calendar.from_ical(part.get_content()).events[0]


def everything(database: Database) -> dict[str, list[str]]:
    with database.reading() as tx:
        return {t.name: sorted(str(row) for row in tx.execute(sa.select(t))) for t in Base.metadata.sorted_tables}


def test_the_invitation_goes_to_the_new_address_with_another_link_and_organizer(post: Post) -> None:
    desk = post.desk
    booking = desk.book(desk.at(9, 3 + 4))
    before, first = desk.seen(booking), invitation(post.letter(booking))
    change(desk, booking)
    after, raw = desk.seen(booking), post.letter(booking)
    second = invitation(raw)
    assert (after.client_email, after.revision, after.status) == (NEW, 1, "confirmed")
    assert (after.uid, after.slot_id, after.starts_at) == (before.uid, before.slot_id, before.starts_at)
    assert second["UID"] == first["UID"]
    assert (int(first["SEQUENCE"]), int(second["SEQUENCE"])) == (0, 1)
    assert second["ORGANIZER"] != first["ORGANIZER"]
    assert second["ATTENDEE"].lower() == f"mailto:{NEW}"
    assert email.message_from_bytes(raw, policy=email.policy.default)["To"].addresses[0].addr_spec == NEW
    whole = email.message_from_bytes(raw, policy=email.policy.default).as_string()
    assert after.token in whole
    assert before.token not in whole
    assert before.token != after.token
    assert post.told(booking, "client") == ["booked", "booked"]
    assert post.happened(booking, "client") == ["booked", "address_changed"]


def test_a_mail_of_before_that_was_not_sent_yet_is_out_of_date(desk: Desk) -> None:
    booking = desk.book(desk.at(9, 7))
    (first,) = desk.messages(SendMail, booking_id=booking, audience="client")
    change(desk, booking)
    with desk.database.reading() as tx:
        assert isinstance(first, SendMail)
        assert mail_for(tx, first, TERMS, now=desk.now) is None


def test_the_same_address_changes_nothing(desk: Desk) -> None:
    booking = desk.book(desk.at(9, 7))
    before = everything(desk.database)
    change(desk, booking, " kata@EXAMPLE.org ")
    after = everything(desk.database)
    assert {name for name in after if after[name] != before[name]} == {"operator"}  # was locked


@pytest.mark.parametrize("given", ["", "kata", "kata@", "a b@example.org", "x@example.org\r\nBcc: y@z.example"])
def test_what_is_no_address_is_refused_as_in_a_booking(desk: Desk, given: str) -> None:
    booking = desk.book(desk.at(9, 7))
    before = everything(desk.database)
    with pytest.raises(Invalid) as refused:
        change(desk, booking, given)
    assert [(e.field, e.code) for e in refused.value.errors] == [("email", "not_an_address")]
    assert everything(desk.database) == before


def test_only_what_is_ahead_can_have_another_address(desk: Desk) -> None:
    over, ended = desk.book(desk.at(8)), desk.book(desk.at(9))
    desk.cancel(ended)
    desk.now = desk.seen(over).ends_at
    for booking in (over, ended):
        with pytest.raises(NotPossible):
            change(desk, booking)
    with pytest.raises(NotFound):
        change(desk, "nobody")


def test_what_was_planned_happens_once_and_to_the_new_address(desk: Desk) -> None:
    booking = desk.book(desk.at(9, 7))
    change(desk, booking)
    for kind, about in ((AskAttendance, "attendance"), (RemindBooking, "reminder")):
        assert [m.revision for m in desk.messages(kind, booking_id=booking)] == [0, 1]  # type: ignore[attr-defined]
        desk.now = desk.at(9, 7) - timedelta(hours=48 if kind is AskAttendance else 24)
        desk.work()
        (asked,) = desk.messages(SendMail, booking_id=booking, about=about)
        with desk.database.reading() as tx:
            letter = mail_for(tx, asked, TERMS, now=desk.now)  # type: ignore[arg-type]
        assert letter is not None
        assert letter.recipient == NEW
    desk.now = desk.seen(booking).ends_at
    desk.work()
    assert desk.seen(booking).status == "completed"


def test_a_request_is_told_at_the_new_address_and_can_still_be_approved(desk: Desk) -> None:
    booking = desk.book(desk.at(9, 7), service="asked")
    change(desk, booking)
    told = [(m.revision, m.about) for m in desk.messages(SendMail, booking_id=booking, audience="client")]  # type: ignore[attr-defined]
    assert told == [(0, "pending"), (1, "pending")]
    desk.decide(booking, "confirm")
    assert (desk.seen(booking).status, desk.seen(booking).revision) == ("confirmed", 1)


def test_an_answer_from_the_old_mailbox_proves_nothing_any_more(post: Post) -> None:
    desk = post.desk
    booking = desk.book(desk.at(9, 7))
    old = post.letter(booking)
    post.arrives(answer(old, PartStat.ACCEPTED, at=desk.now))
    assert desk.seen(booking).attendance_confirmed_at is not None
    change(desk, booking)
    row = desk.seen(booking)
    assert (row.attendance_confirmed_at, row.partstat) == (None, "")
    desk.now += timedelta(minutes=1)
    for said in (PartStat.ACCEPTED, PartStat.DECLINED):
        post.arrives(answer(old, said, at=desk.now))
    assert (desk.seen(booking).status, desk.seen(booking).attendance_confirmed_at) == ("confirmed", None)
    assert post.reviews() == [("reply", "wrong_address")]
    post.arrives(answer(post.letter(booking), PartStat.DECLINED, at=desk.now))
    assert desk.seen(booking).status == "cancelled"


def test_what_was_switched_off_from_the_old_mailbox_holds_there_alone(desk: Desk) -> None:
    booking, other = desk.book(desk.at(9, 7)), desk.book(desk.at(10, 7))
    with desk.database.transaction() as tx:
        reminders.turn_off(tx, booking, "operator", now=desk.now, cause="test")
    change(desk, booking)
    with desk.database.reading() as tx:
        assert [reminders.wanted(tx, each) for each in (booking, other)] == ["all", "none"]


def test_the_link_to_the_place_in_line_leads_nowhere_either(desk: Desk) -> None:
    first = desk.book(desk.at(9, 7), "lena")
    place = desk.join("kata", {"start": desk.at(9, 7)})
    desk.cancel(first)
    desk.work()
    token = desk.place(place)["booking"]
    with desk.database.reading() as tx:
        booking = tx.execute(sa.select(Booking.id).where(Booking.token == token)).scalar_one()
    change(desk, booking)
    with pytest.raises(NotFound):
        desk.place(place)


def test_mail_that_came_back_is_settled_by_it_and_a_later_one_says_nothing_new(post: Post) -> None:
    desk = post.desk
    booking = desk.book(desk.at(9, 7))
    post.arrives(bounce(post.letter(booking), at=desk.now))
    assert post.reviews() == [("failed_address", "")]
    change(desk, booking)
    assert post.reviews() == []
    with desk.database.reading() as tx:
        (settled,) = reviews.listing(tx, state="approved")
    assert settled["resolved_by"] == "Anna"
    post.arrives(bounce(post.letter(booking), at=desk.now))
    assert post.reviews() == [("failed_address", "")]  # the new one doesn't work either


def test_a_bounce_of_the_old_address_after_the_change_asks_nobody(post: Post) -> None:
    desk = post.desk
    booking = desk.book(desk.at(9, 7))
    old = post.letter(booking)
    change(desk, booking)
    post.arrives(bounce(old, at=desk.now))
    assert post.reviews() == []
    assert post.happened(booking)[-1] == "mail_bounced"


def test_nothing_keeps_the_old_address_and_no_record_names_the_new_one(post: Post) -> None:
    desk = post.desk
    booking = desk.book(desk.at(9, 7), answers={})
    post.letter(booking)
    change(desk, booking)
    kept = everything(desk.database)
    assert [name for name, rows in kept.items() if OLD in str(rows)] == []
    assert sorted(name for name, rows in kept.items() if NEW in str(rows)) == ["booking", "slot_event"]
    with desk.database.reading() as tx:
        told = str(timeline.of_booking(tx, booking, reader="admin"))
    assert "@" not in told


def test_the_operators_own_account_invites_the_new_guest_and_we_say_nothing(sqlite: Database) -> None:
    desk = Desk(sqlite).open(talk={})
    account(desk, "provider")
    booking = desk.book(desk.at(9, 1))
    before = event(desk, booking)
    change(desk, booking)
    after = event(desk, booking)
    assert (before.words["guest"]["email"], after.words["guest"]["email"]) == (OLD, NEW)
    assert after.words["url"] == TERMS.manage_url("en", desk.seen(booking).token)
    assert (after.version, after.sequence) == (before.version + 1, before.sequence)
    assert len(desk.messages(SendMail, booking_id=booking, audience="client")) == 1


def test_the_operators_event_names_the_new_address(sqlite: Database) -> None:
    desk = Desk(sqlite).open(talk={})
    with sqlite.transaction() as tx:
        held = connection(tx, desk.operator_id, desk.now, account="anna@cloud.example")
        calendar(tx, desk.operator_id, held, name="Practice", bookings=True)
    booking = desk.book(desk.at(9, 1))
    change(desk, booking)
    assert NEW in event(desk, booking).words["description"]


def test_it_waits_for_nothing_that_is_paused(desk: Desk) -> None:
    """A person does it: pauses hold what goes by itself."""
    booking = desk.book(desk.at(9, 7))
    with desk.database.transaction() as tx:
        pauses.pause(tx, scope="global", target="", automations=list(pauses.AUTOMATIONS), now=desk.now)
    change(desk, booking)
    assert desk.seen(booking).client_email == NEW


def test_a_crash_before_the_commit_leaves_the_booking_as_it_was(desk: Desk) -> None:
    booking = desk.book(desk.at(9, 7))
    before = everything(desk.database)

    def crash() -> None:
        with desk.database.transaction() as tx:
            address.change_address(tx, TERMS, booking, NEW, by="Anna", now=desk.now, cause="test")
            raise Crash

    with pytest.raises(Crash):
        crash()
    assert everything(desk.database) == before
