"""Reminders turned off: by a page, or by the mail program with one click (RFC 8058)."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import quote

import pytest

from booking import reminders
from booking.invitation import mail_for
from booking.letters import Letter
from ledger.db import Database
from ledger.messages import SendMail
from ledger.vault import Vault
from tests.support.desk import TERMS, Desk
from tests.support.doors import Doors

VAULT = Vault("for-tests-only-0123456789")
"""The key of `Doors`."""
ONE_CLICK = {"List-Unsubscribe": "One-Click"}


@pytest.fixture
def doors(sqlite: Database) -> Doors:
    return Doors(Desk(sqlite).open(talk={}))


def page(doors: Doors, booking_id: str) -> str:
    return f"/en/b/{doors.desk.seen(booking_id).token}/reminders"


def mailed(doors: Doors, booking_id: str) -> str:
    with doors.desk.database.reading() as tx:
        claim = reminders.claim_of(tx, booking_id)
    return f"{page(doors, booking_id)}?proof={quote(VAULT.sign(claim, reminders.PURPOSE))}"


def reminder(doors: Doors, booking_id: str) -> Letter | None:
    asked = SendMail(booking_id, doors.desk.seen(booking_id).revision, "reminder", "client")
    with doors.desk.database.reading() as tx:
        return mail_for(tx, asked, TERMS, now=doors.desk.now, prove=lambda claim: VAULT.sign(claim, reminders.PURPOSE))


def wanted(doors: Doors, booking_id: str) -> str:
    with doors.desk.database.reading() as tx:
        return reminders.wanted(tx, booking_id)


def test_the_mail_names_the_door_and_one_click_closes_all_of_the_operators(doors: Doors) -> None:
    first, second = doors.desk.book(doors.desk.at(8)), doors.desk.book(doors.desk.at(9))
    other = doors.desk.book(doors.desk.at(10), "lena")
    letter = reminder(doors, first)
    assert letter is not None
    assert letter.unsubscribe == TERMS.base_url + mailed(doors, first)
    assert letter.unsubscribe in letter.text
    answer = doors.client.post(letter.unsubscribe.removeprefix(TERMS.base_url), data=ONE_CLICK)
    assert (answer.status_code, answer.text) == (200, "")
    assert (reminder(doors, first), reminder(doors, second)) == (None, None)
    assert reminder(doors, other) is not None
    assert wanted(doors, second) == "none"
    timeline = doors.desk.view(first)["timeline"]
    assert (timeline[-1]["what"], timeline[-1]["cause"]) == ("reminders_off", "one_click")


def test_the_click_may_come_as_multipart_too_and_twice(doors: Doors) -> None:
    booking = doors.desk.book(doors.desk.at(8))
    for _ in range(2):
        answer = doors.client.post(page(doors, booking), files={"List-Unsubscribe": (None, "One-Click")})
        assert answer.status_code == 200
    assert [e["what"] for e in doors.desk.view(booking)["timeline"]] == ["booked", "reminders_off"]


def test_a_scanner_that_follows_the_link_changes_nothing(doors: Doors) -> None:
    booking = doors.desk.book(doors.desk.at(8))
    assert doors.client.get(page(doors, booking)).status_code == 200
    assert wanted(doors, booking) == "all"


def test_for_one_booking_and_back_again(doors: Doors) -> None:
    first, second = doors.desk.book(doors.desk.at(8)), doors.desk.book(doors.desk.at(9))
    answer = doors.client.post(page(doors, first), data={"off": "booking"})
    assert (answer.status_code, answer.headers["location"]) == (303, page(doors, first) + "?did=changed")
    assert "You get no reminder of this appointment." in doors.client.get(page(doors, first)).text
    assert (wanted(doors, first), wanted(doors, second)) == ("not_this", "all")
    answer = doors.client.post(mailed(doors, first), data={"off": "operator"})
    kept = mailed(doors, first).partition("?")[2]
    assert answer.headers["location"] == f"{page(doors, first)}?did=changed&{kept}"
    assert (wanted(doors, first), wanted(doors, second)) == ("none", "none")
    later = doors.desk.book(doors.desk.at(10))
    assert reminder(doors, later) is None
    doors.client.post(page(doors, later), data={"on": "yes"})
    assert {wanted(doors, booking) for booking in (first, second, later)} == {"all"}
    assert reminder(doors, later) is not None


def test_nothing_is_asked_for_that_nobody_wants(doors: Doors) -> None:
    desk = doors.desk
    booking = desk.book(desk.at(9, 1))
    doors.client.post(page(doors, booking), data={"off": "booking"})
    desk.now = desk.at(12)
    desk.work()
    desk.now += timedelta(hours=12)
    desk.work()
    assert desk.messages(SendMail, about="reminder") == []


@pytest.mark.parametrize("form", [ONE_CLICK, {"off": "operator"}, {"off": "nonsense"}])
def test_who_books_under_anothers_address_speaks_for_that_booking_alone(doors: Doors, form: dict[str, str]) -> None:
    theirs, strangers = doors.desk.book(doors.desk.at(8)), doors.desk.book(doors.desk.at(9))
    elsewhere = mailed(doors, doors.desk.book(doors.desk.at(10), "lena")).partition("?")[2]
    for address in (page(doors, strangers), f"{page(doors, strangers)}?{elsewhere}"):
        assert 'value="operator"' not in doors.client.get(address).text
        assert doors.client.post(address, data=form).status_code in (200, 303)
        assert (wanted(doors, strangers), wanted(doors, theirs)) == ("not_this", "all")
    assert 'value="operator"' in doors.client.get(mailed(doors, strangers)).text


def test_strangers_find_no_door(doors: Doors) -> None:
    assert doors.client.post("/en/b/nobody/reminders", data=ONE_CLICK).status_code == 404
    assert doors.client.get("/en/b/nobody/reminders").status_code == 404


def test_other_words_are_refused_inside(doors: Doors) -> None:
    booking = doors.desk.book(doors.desk.at(8))
    with doors.desk.database.transaction() as tx, pytest.raises(ValueError, match="reach"):
        reminders.turn_off(tx, booking, "everything", now=doors.desk.now, cause="test")
