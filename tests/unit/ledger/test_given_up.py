"""What was given up asks for somebody: once, until none of it is parked any more."""

from __future__ import annotations

import threading
from datetime import datetime
from typing import Any

import pytest

from connectors.errors import Refused
from ledger import given_up, outbox, reviews
from ledger.db import Database
from ledger.messages import LookForEvent, Message, PullCalendar, PushEvent, SendMail, SweepEvent
from ledger.outbox import Leased, Scope


class Clinic:
    """An outbox whose messages fail for good."""

    def __init__(self, database: Database, now: datetime) -> None:
        self.database, self.now = database, now

    def begin(self, message: Message, operator_id: int | None = 1, slot_id: int | None = 3) -> Leased:
        with self.database.transaction() as tx:
            outbox.append(tx, message, now=self.now, scope=Scope(operator_id, 1, slot_id), cause="test")
            ((row_id, _),) = outbox.lease(tx, now=self.now)
            leased = outbox.begin(tx, row_id, now=self.now)
        assert leased is not None
        return leased

    def fail(self, leased: Leased, error: BaseException | None = None) -> None:
        with self.database.transaction() as tx:
            assert outbox.fail(tx, leased, error or Refused("403 no"), now=self.now) is None

    def give_up(self, message: Message, operator_id: int | None = 1) -> int:
        leased = self.begin(message, operator_id)
        self.fail(leased)
        return leased.id

    def by_hand(self, message: Message) -> int:
        with self.database.transaction() as tx:
            outbox.append(tx, message, now=self.now, scope=Scope(1), cause="test")
            (row,) = outbox.listing(tx, state="waiting", limit=1)
            assert outbox.park(tx, row["id"], why="parked by Anna", now=self.now)
        return int(row["id"])

    def retry(self, message_id: int) -> None:
        with self.database.transaction() as tx:
            assert outbox.retry(tx, message_id, now=self.now)

    def retry_all(self, operator_id: int = 1) -> int:
        with self.database.transaction() as tx:
            return outbox.retry_all(tx, "unwritten_event", operator_id, now=self.now)

    def reviews(self, state: str = "open") -> list[dict[str, Any]]:
        with self.database.reading() as tx:
            return reviews.listing(tx, state=state)

    def asked(self) -> list[tuple[str, int]]:
        return [(row["kind"], row["operator_id"]) for row in self.reviews()]

    def parked(self) -> set[int]:
        with self.database.reading() as tx:
            return {row["id"] for row in outbox.listing(tx, state="parked")}


@pytest.fixture
def clinic(database: Database, now: datetime) -> Clinic:
    return Clinic(database, now)


def test_each_calendar_write_that_is_parked_is_one_question_of_its_operator(clinic: Clinic) -> None:
    clinic.give_up(PushEvent(1, 1))
    (review,) = clinic.reviews()
    assert (review["kind"], review["operator_id"], review["slot_id"]) == ("unwritten_event", 1, 3)
    assert review["detail"] == {"about": "PushEvent", "reply": "403 no"}
    clinic.give_up(LookForEvent(1, clinic.now, 2))
    clinic.give_up(SweepEvent(2))
    assert clinic.asked() == [("unwritten_event", 1)]
    clinic.give_up(SweepEvent(3), operator_id=2)
    clinic.give_up(SendMail("b1", 0, "booked", "client"))
    clinic.give_up(PullCalendar(1))
    assert clinic.asked() == [("unwritten_event", 1), ("unwritten_event", 2), ("unsent_mail", 1)]


def test_what_is_still_tried_or_was_parked_by_hand_asks_nobody(clinic: Clinic) -> None:
    clinic.by_hand(PushEvent(1, 1))
    with clinic.database.transaction() as tx:
        outbox.append(tx, PushEvent(2, 1), now=clinic.now, scope=Scope(1), cause="test")
        ((row_id, _),) = outbox.lease(tx, now=clinic.now)
        leased = outbox.begin(tx, row_id, now=clinic.now)
        assert leased is not None
        assert outbox.fail(tx, leased, ValueError("a bug"), now=clinic.now) is not None
    assert clinic.asked() == []


def test_a_bug_of_ours_is_not_shown_as_what_the_server_said(clinic: Clinic) -> None:
    with clinic.database.transaction() as tx:
        given_up.tell(tx, PushEvent(1, 1), KeyError("x"), now=clinic.now, operator_id=1, slot_id=3, booking_id=None)
    (review,) = clinic.reviews()
    assert review["detail"] == {"about": "PushEvent", "why": "'x'"}


@pytest.mark.parametrize("kind", ["unwritten_event", "unsent_mail"])
def test_the_question_ends_with_the_last_that_is_tried_again(clinic: Clinic, kind: str) -> None:
    mails = [SendMail("b1", 0, "booked", who) for who in ("client", "operator")]
    writes = [PushEvent(1, 1), SweepEvent(2)]
    first, second = [clinic.give_up(message) for message in (mails if kind == "unsent_mail" else writes)]
    clinic.give_up(writes[0] if kind == "unsent_mail" else mails[0])  # of the other kind
    clinic.by_hand(PushEvent(9, 1))
    clinic.retry(second)
    assert (kind, 1) in clinic.asked()
    clinic.retry(first)
    assert len(clinic.asked()) == 1
    assert (kind, 1) not in clinic.asked()
    (ended,) = clinic.reviews("approved")
    assert (ended["kind"], ended["resolved_by"]) == (kind, "tried again")


def test_what_fails_again_asks_again_and_so_does_the_next_after_a_dismissal(clinic: Clinic) -> None:
    message_id = clinic.give_up(PushEvent(1, 1))
    clinic.retry(message_id)
    assert clinic.asked() == []
    with clinic.database.transaction() as tx:
        outbox.lease(tx, now=clinic.now)
        leased = outbox.begin(tx, message_id, now=clinic.now)
    assert leased is not None
    clinic.fail(leased)
    (review,) = clinic.reviews()
    with clinic.database.transaction() as tx:
        reviews.resolve(tx, review["id"], state="dismissed", by="Anna", now=clinic.now)
    assert clinic.parked() == {message_id}
    clinic.give_up(PushEvent(2, 1))
    assert clinic.asked() == [("unwritten_event", 1)]


def test_all_of_an_operator_are_tried_again_at_once_and_nothing_else(clinic: Clinic) -> None:
    theirs = {clinic.give_up(m) for m in (PushEvent(1, 1), LookForEvent(1, clinic.now, 1), SweepEvent(1))}
    others = clinic.give_up(PushEvent(2, 1), operator_id=2)
    nobodys = clinic.give_up(SweepEvent(3), operator_id=None)
    mail = clinic.give_up(SendMail("b1", 0, "booked", "client"))
    held = clinic.by_hand(PushEvent(9, 1))
    assert clinic.retry_all() == len(theirs)
    assert clinic.parked() == {others, nobodys, mail, held}
    assert ("unwritten_event", 1) in clinic.asked()  # the caller's to close
    assert clinic.retry_all(0) == 1
    assert clinic.parked() == {others, mail, held}
    assert clinic.retry_all() == 0


def test_one_that_is_parked_while_the_last_is_tried_again_is_asked_about(clinic: Clinic) -> None:
    last, failing = clinic.give_up(PushEvent(1, 1)), clinic.begin(PushEvent(2, 1))
    other = threading.Thread(target=clinic.fail, args=(failing,))
    with clinic.database.transaction() as tx:
        assert outbox.retry(tx, last, now=clinic.now)
        other.start()
        other.join(0.3)
    other.join()
    assert (clinic.parked(), clinic.asked()) == ({failing.id}, [("unwritten_event", 1)])


def test_nor_does_the_question_end_under_one_that_is_being_parked(clinic: Clinic) -> None:
    last, failing = clinic.give_up(PushEvent(1, 1)), clinic.begin(PushEvent(2, 1))
    other = threading.Thread(target=clinic.retry, args=(last,))
    with clinic.database.transaction() as tx:
        outbox.fail(tx, failing, Refused("403 no"), now=clinic.now)
        other.start()
        other.join(0.3)
    other.join()
    assert (clinic.parked(), clinic.asked()) == ({failing.id}, [("unwritten_event", 1)])
