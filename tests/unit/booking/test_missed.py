"""Who didn't come is written to, once and not at once; and the operator is asked who came where the service wants that."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

import pytest
import sqlalchemy as sa

from booking import commands, setup
from booking.foreseen import foresee
from booking.invitation import mail_for
from booking.letters import Letter
from booking.missed import UNDONE_WITHIN
from booking.reactions import react
from booking.states import Happening
from ledger import outbox, pauses
from ledger.db import Database, Tx
from ledger.messages import AskWhoCame, CompleteBooking, SendMail
from ledger.outbox import OutboxMessage
from tests.support.desk import ELSEWHERE, SPEC, TERMS, Desk

MINUTE = timedelta(minutes=1)
OUTSIDE = {kind.__name__ for kind in ELSEWHERE} - {"SendMail"}


@dataclass
class Post(Desk):
    """A desk that also writes the mails, as the workers do: when they are due, one after the other in their lines."""

    letters: list[tuple[str, Letter]] = field(default_factory=list)

    def mark(self, booking_id: str, happening: Happening = Happening.NO_SHOW) -> None:
        """As every door does it."""
        with self.database.transaction() as tx:
            commands.mark(tx, TERMS, booking_id, happening, now=self.now, cause="admin")

    def undo(self, booking_id: str) -> None:
        """It was a slip."""
        self.mark(booking_id, Happening.UNDO_NO_SHOW)

    def until(self, hour: float) -> None:
        """Time passes up to that hour, and what is due by then happens and is written."""
        self.now = self.at(hour)
        while True:
            with self.database.transaction() as tx:
                ready = [i for i, kind in outbox.lease(tx, now=self.now) if kind not in OUTSIDE]
            if not ready:
                return
            for message_id in ready:
                with self.database.transaction() as tx:
                    self._do(tx, message_id)

    def _do(self, tx: Tx, message_id: int) -> None:
        leased = outbox.begin(tx, message_id, now=self.now)
        assert leased is not None
        if isinstance(leased.message, SendMail):
            letter = mail_for(tx, leased.message, TERMS, now=leased.created_at)
            if letter is not None:
                self.letters.append((leased.message.about.partition(":")[0], letter))
        else:
            react(tx, leased.message, terms=TERMS, now=self.now, cause=leased.cause)
        outbox.settle(tx, leased, now=self.now)

    def heard(self, audience: str = "client", about: str = "no_show") -> list[Letter]:
        """The letters about that to client or operator, in order."""
        reader = {"client": "kata@example.org", "operator": "anna@practice.example"}[audience]
        return [letter for kind, letter in self.letters if kind == about and letter.recipient == reader]


@pytest.fixture
def desk(database: Database) -> Post:
    desk = Post(database)
    desk.open(talk={}, silent={"no_show_mail": False}, curious={"ask_who_came": True})
    return desk


def missed(desk: Post, service: str = "talk") -> str:
    """Somebody who hasn't come at nine, marked half an hour later."""
    booking = desk.book(desk.at(9), service=service)
    desk.now = desk.at(9.5)
    desk.mark(booking)
    return booking


def test_who_was_missed_is_told_once_and_not_before_a_quarter_of_an_hour(desk: Post) -> None:
    booking = missed(desk)
    desk.mark(booking)
    desk.until(9.74)
    assert desk.heard() == []
    desk.until(9.75)
    (letter,) = desk.heard()
    assert (letter.method, letter.invitation) == (None, None)
    assert letter.subject.startswith("We missed you")
    desk.mark(booking)
    desk.until(12)
    assert len(desk.heard()) == 1


def test_a_slip_undone_in_time_is_told_to_nobody(desk: Post) -> None:
    booking = missed(desk)
    desk.now += 14 * MINUTE
    desk.undo(booking)
    desk.until(12)
    assert desk.heard() == []


def test_what_is_said_after_an_undo_does_not_wait_for_the_letter_that_was_dropped(desk: Post) -> None:
    booking = missed(desk)
    desk.undo(booking)
    desk.cancel(booking, by="operator")
    desk.until(9.5)
    assert len(desk.heard(about="cancelled_by_operator")) == 1


def test_marked_again_it_is_told_once_a_quarter_of_an_hour_after_the_new_mark(desk: Post) -> None:
    booking = missed(desk)
    desk.now += 5 * MINUTE
    desk.undo(booking)
    desk.now += 5 * MINUTE
    desk.mark(booking)
    desk.until(9.75)  # when the first would have gone
    assert desk.heard() == []
    desk.until(12)
    assert len(desk.heard()) == 1


def test_a_letter_about_an_older_mark_that_is_sent_late_says_nothing(desk: Post) -> None:
    booking = missed(desk)
    with desk.database.transaction() as tx:  # it was parked with the mail server down, and is retried afterwards
        parked = OutboxMessage.kind == "SendMail", OutboxMessage.not_before == desk.now + UNDONE_WITHIN
        assert tx.execute(sa.update(OutboxMessage).where(*parked).values(state="parked")).rowcount == 1
    desk.undo(booking)
    desk.mark(booking)
    with desk.database.transaction() as tx:
        tx.execute(sa.update(OutboxMessage).where(OutboxMessage.state == "parked").values(state="waiting"))
    desk.until(12)
    assert len(desk.heard()) == 1


def test_marked_again_after_it_was_told_and_undone_it_is_told_again(desk: Post) -> None:
    booking = missed(desk)
    desk.until(10)
    desk.undo(booking)
    desk.mark(booking)
    desk.until(12)
    first, second = desk.heard()
    assert first.message_id != second.message_id


def test_a_service_may_send_no_such_letter(desk: Post) -> None:
    missed(desk, "silent")
    desk.until(12)
    assert desk.heard() == []


# --- the question to the operator -------------------------------------------------------------------------------


def test_the_operator_is_asked_once_when_it_is_over(desk: Post) -> None:
    booking = desk.book(desk.at(9), service="curious")
    desk.until(9.9)
    assert desk.heard("operator") == []
    desk.until(10)
    (question,) = desk.heard("operator")
    assert question.subject.startswith("Did the client come?")
    desk.say(CompleteBooking(booking, 0))
    desk.say(AskWhoCame(booking, 0))
    desk.until(12)
    assert len(desk.heard("operator")) == 1
    assert desk.heard() == []


def test_without_the_key_nobody_is_asked(desk: Post) -> None:
    desk.book(desk.at(9))
    desk.until(12)
    assert desk.heard("operator") == []
    assert desk.messages(AskWhoCame) == []


def test_of_what_is_marked_already_nobody_is_asked(desk: Post) -> None:
    missed(desk, "curious")
    desk.until(12)
    assert desk.heard("operator") == []
    assert len(desk.heard()) == 1


@pytest.mark.parametrize("meanwhile", ["nothing", "marked", "switched off"])
def test_a_pause_holds_the_question_and_its_end_asks_only_what_is_still_open(desk: Post, meanwhile: str) -> None:
    booking = desk.book(desk.at(9), service="curious")
    with desk.database.transaction() as tx:
        pause = pauses.pause(tx, scope="booking", target=booking, automations=["no_show"], now=desk.now)
    desk.until(11)
    assert desk.seen(booking).status == "completed"
    assert desk.heard("operator") == []
    with desk.database.reading() as tx:
        assert [held["kind"] for held in pauses.held(tx, pause, now=desk.now)] == ["AskWhoCame"]
    if meanwhile == "marked":
        desk.mark(booking)
    with desk.database.transaction() as tx:
        if meanwhile == "switched off":
            setup.put_service(tx, "anna", "curious", SPEC, now=desk.now, replace=True)
        seen = foresee(tx, AskWhoCame(booking, 0), slot_id=None, booking_id=booking, now=desk.now)
        assert ([row.id for row in seen.bookings], seen.idle) == ([booking], meanwhile != "nothing")
        pauses.resume(tx, pause, now=desk.now)
    desk.until(12)
    assert len(desk.heard("operator")) == (meanwhile == "nothing")
