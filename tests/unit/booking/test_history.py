"""Missed appointments ask for a look, and refuse nobody."""

from __future__ import annotations

from booking import commands, history
from booking.invitation import mail_for
from booking.states import Happening
from ledger.db import Database
from ledger.messages import SendMail
from tests.support.desk import TERMS, Desk


def test_an_address_is_one_persons_however_it_is_written() -> None:
    assert history.normal("Kata+Yoga@Example.ORG") == history.normal("kata@example.org") == "kata@example.org"
    assert history.normal("+x@example.org") == "+x@example.org"


def test_who_missed_too_many_needs_approval_and_is_never_refused(database: Database) -> None:
    desk = Desk(database).open(talk={}, strict={"approval_after_no_shows": 2})
    missed = [desk.book(desk.at(hour), "Kata") for hour in (8, 9)]
    desk.now = desk.at(12)

    def mark(booking: str, what: Happening) -> None:
        with database.transaction() as tx:
            commands.mark(tx, TERMS, booking, what, now=desk.now, cause="admin")

    for booking in missed:
        mark(booking, Happening.NO_SHOW)
    with database.reading() as tx:
        assert history.no_shows(tx, desk.operator_id, "KATA+yoga@Example.ORG") == 2
        assert history.no_shows(tx, desk.operator_id, "kat_@example.org") == 0
        assert history.no_shows(tx, desk.operator_id + 1, "kata@example.org") == 0
    again = desk.book(desk.at(8, 1), "kata", "strict")
    assert (desk.seen(again).status, desk.seen(again).waits_for) == ("pending", "approval")
    assert desk.seen(desk.book(desk.at(9, 1), "kata")).status == "confirmed"  # the other service doesn't ask
    assert desk.seen(desk.book(desk.at(10, 1), "katalin", "strict")).status == "confirmed"
    mark(missed[0], Happening.UNDO_NO_SHOW)
    assert desk.seen(desk.book(desk.at(11, 1), "kata", "strict")).status == "confirmed"


def test_the_operator_reads_how_many_they_missed_and_the_client_does_not(database: Database) -> None:
    desk = Desk(database).open(talk={"confirmation": "approval"})
    missed = desk.book(desk.at(8), "kata")
    desk.decide(missed, "confirm")
    desk.now = desk.at(9)
    with database.transaction() as tx:
        commands.mark(tx, TERMS, missed, Happening.NO_SHOW, now=desk.now, cause="admin")
    again = desk.book(desk.at(9, 1), "kata")
    assert desk.view(again, "operator")["no_shows"] == 1
    assert "no_shows" not in desk.view(again)
    with database.reading() as tx:
        letters = {
            audience: mail_for(tx, SendMail(again, 0, "pending", audience), TERMS, now=desk.now)
            for audience in ("client", "operator")
        }
    assert "has missed 1 appointment with you before" in letters["operator"].text
    assert "missed" not in letters["client"].text
