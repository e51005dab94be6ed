"""One voice (P8): who invites the client is fixed with the booking, and nobody else speaks."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from booking.invitation import mail_for
from ledger import entries
from ledger.db import Database
from ledger.messages import GuestAccepted, GuestDeclined, SendMail
from ledger.tables import Calendar, Connection, Review, SlotEvent
from tests.support.desk import TERMS, Desk

DETAILS: dict[str, Any] = {"description": "Bring your shoes.", "fields": [{"name": "phone", "type": "phone"}]}


@pytest.fixture
def desk(sqlite: Database) -> Desk:
    made = Desk(sqlite).open(
        talk={**DETAILS, "conference": True, "cancel_until_minutes": 60}, group={"capacity": 3, "names_in_event": True}
    )
    account(made, "provider")
    return made


def account(desk: Desk, voice: str) -> int:
    """An account of Anna's that takes her bookings."""
    with desk.database.transaction() as tx:
        connection = tx.execute(
            sa.insert(Connection)
            .values(
                operator_id=desk.operator_id, provider="google", voice=voice, state_since=desk.now, created_at=desk.now
            )
            .returning(Connection.id)
        ).scalar_one()
        tx.execute(
            sa.insert(Calendar).values(
                connection_id=connection, operator_id=desk.operator_id, href="c", bookings=True, pulled_at=desk.now
            )
        )
    return int(connection)


def event(desk: Desk, booking_id: str) -> Any:
    with desk.database.reading() as tx:
        query = sa.select(SlotEvent.__table__).where(SlotEvent.slot_id == desk.seen(booking_id).slot_id)
        return tx.execute(query).one()


def letter(desk: Desk, message: SendMail) -> Any:
    with desk.database.reading() as tx:
        return mail_for(tx, message, TERMS, now=desk.now)


def test_without_an_account_that_speaks_we_do(sqlite: Database) -> None:
    desk = Desk(sqlite).open(talk={})
    with sqlite.reading() as tx:
        assert entries.voice_of(tx, desk.operator_id) == "service"
    account(desk, "service")
    booking = desk.book(desk.at(9, 1))
    assert desk.seen(booking).voice == "service"
    assert "guest" not in event(desk, booking).words


def test_the_operators_account_invites_the_client_of_an_individual_service(desk: Desk) -> None:
    booking = desk.book(desk.at(9, 1), "kata", answers={"phone": "+36 1 234"})
    assert desk.seen(booking).voice == "provider"
    words = event(desk, booking).words
    assert words["guest"] == {"email": "kata@example.org", "name": "Kata", "conference": True}
    assert "Kata" in words["title"]
    manage = TERMS.manage_url("en", desk.seen(booking).token)
    assert words["url"] == manage
    assert manage in words["description"]
    assert "Bring your shoes." in words["description"]
    for private in ("+36 1 234", "/operator/", "kata@example.org"):
        assert private not in words["description"]


def test_we_send_words_and_no_invitation_then(desk: Desk) -> None:
    booking = desk.book(desk.at(9, 1))
    told = letter(desk, SendMail(booking, 0, "booked", "client"))
    assert (told.method, told.invitation) == (None, None)
    assert "separate mail" in told.text
    desk.cancel(booking)
    gone = letter(desk, SendMail(booking, 1, "cancelled_by_client", "client"))
    assert (gone.method, gone.invitation) == (None, None)


def test_a_group_is_invited_by_us(desk: Desk) -> None:
    booking = desk.book(desk.at(9, 1), service="group")
    assert desk.seen(booking).voice == "service"
    assert "guest" not in event(desk, booking).words
    assert letter(desk, SendMail(booking, 0, "booked", "client")).method == "REQUEST"


def test_a_booking_keeps_its_voice(desk: Desk) -> None:
    first = desk.book(desk.at(9, 1))
    with desk.database.transaction() as tx:
        tx.execute(sa.update(Connection).values(voice="service"))
    second = desk.book(desk.at(10, 1), "lena")
    desk.reschedule(first, desk.at(11, 1))
    assert [desk.seen(b).voice for b in (first, second)] == ["provider", "service"]
    assert event(desk, first).words["guest"]["email"] == "kata@example.org"
    assert "guest" not in event(desk, second).words


def answer(desk: Desk, kind: type[GuestDeclined] | type[GuestAccepted], booking: str, version: int = 1) -> None:
    row = event(desk, booking)
    desk.say(kind(row.id, row.slot_id, version), cause="calendar_reply")


def test_a_decline_cancels_and_the_next_in_line_is_served(desk: Desk) -> None:
    booking = desk.book(desk.at(9, 1))
    vera = desk.join("vera", {"start": desk.at(9, 1)})
    for _ in range(2):
        answer(desk, GuestDeclined, booking)
    assert (desk.seen(booking).status, desk.place(vera)["status"]) == ("cancelled", "promoted")
    causes = {line["what"]: line["cause"] for line in desk.view(booking, "admin")["timeline"]}
    assert causes["cancelled"] == "calendar_reply"
    assert desk.messages(SendMail, about="cancelled_by_client", booking_id=booking, audience="operator")


def test_an_acceptance_confirms_attendance(desk: Desk) -> None:
    booking = desk.book(desk.at(9, 1))
    answer(desk, GuestAccepted, booking)
    assert desk.seen(booking).attendance_confirmed_at == desk.now
    assert desk.seen(booking).status == "confirmed"


@pytest.mark.parametrize("kind", [GuestDeclined, GuestAccepted])
def test_an_answer_to_an_older_invitation_says_nothing(
    desk: Desk, kind: type[GuestDeclined] | type[GuestAccepted]
) -> None:
    booking = desk.book(desk.at(9, 1))
    desk.reschedule(booking, desk.at(11, 1))
    answer(desk, kind, booking, version=1)
    assert (desk.seen(booking).status, desk.seen(booking).attendance_confirmed_at) == ("confirmed", None)


def test_nobody_answers_for_a_client_whom_we_invited(desk: Desk) -> None:
    booking = desk.book(desk.at(9, 1), service="group")
    answer(desk, GuestDeclined, booking)
    assert desk.seen(booking).status == "confirmed"


def test_a_decline_that_comes_too_late_asks_the_operator(desk: Desk) -> None:
    booking = desk.book(desk.at(9, 1))
    desk.now = desk.at(9, 1) - timedelta(minutes=30)
    for _ in range(2):
        answer(desk, GuestDeclined, booking)
    assert desk.seen(booking).status == "confirmed"
    with desk.database.reading() as tx:
        found = tx.execute(sa.select(Review.kind, Review.booking_id)).all()
    assert [tuple(row) for row in found] == [("late_decline", booking)]


def test_an_answer_after_the_appointment_says_nothing(desk: Desk) -> None:
    booking = desk.book(desk.at(9, 1))
    desk.now = desk.at(12, 1)
    answer(desk, GuestDeclined, booking)
    assert desk.seen(booking).status == "confirmed"


def test_a_booking_says_whose_voice_it_has(desk: Desk) -> None:
    assert desk.view(desk.book(desk.at(9, 1)))["voice"] == "provider"
    assert desk.view(desk.book(desk.at(9, 2), service="group"))["voice"] == "service"
