"""The operator moves an event, and again, and back: each time counts once, and only the last one stands."""

from __future__ import annotations

import threading
import time
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from booking import commands, judgement
from booking.errors import NotPossible
from booking.invitation import mail_for
from connectors.model import Period
from ledger import reviews
from ledger.db import Database
from ledger.messages import PushEvent, RemoteMove, SendMail
from ledger.tables import OutboxMessage, SlotEvent
from sync import facts
from tests.support.desk import TERMS, Desk

HOUR = timedelta(hours=1)


def event_of(desk: Desk) -> Any:
    with desk.database.reading() as tx:
        return tx.execute(sa.select(SlotEvent.__table__)).one()


def dragged(desk: Desk, start: datetime) -> None:
    """Sync sees the event at another time, and booking acts on it."""
    row = event_of(desk)
    with desk.database.transaction() as tx:
        if start == row.starts_at:
            facts.withdraw_moves(tx, row, now=desk.now)
        else:
            facts.report_move(tx, row, Period(start, start + HOUR), now=desk.now)
    desk.work()


def written(desk: Desk) -> None:
    """Sync wrote the wish."""
    with desk.database.transaction() as tx:
        tx.execute(
            sa.update(SlotEvent).values(
                state="confirmed", pushed_version=SlotEvent.version, pushed_start=SlotEvent.starts_at,
                pushed_end=SlotEvent.ends_at,
            )
        )  # fmt: skip
        tx.execute(sa.update(OutboxMessage).where(OutboxMessage.kind == "PushEvent").values(state="done"))


def open_moves(desk: Desk) -> list[dict[str, Any]]:
    with desk.database.reading() as tx:
        return [r for r in reviews.listing(tx) if r["kind"] == "move"]


def letters(desk: Desk) -> list[datetime]:
    """The times that letters with a proposal would speak of now."""
    with desk.database.reading() as tx:
        asked = [m for m in desk.messages(SendMail) if isinstance(m, SendMail) and m.about.startswith("proposal")]
        found = [mail_for(tx, message, TERMS, now=desk.now) for message in asked]
        assert len({m.key for m in asked}) == len(asked)
    return [letter.date for letter in found if letter is not None]


def test_each_proposal_is_told_and_only_the_last_one_stands(database: Database) -> None:
    desk = Desk(database).open(talk={"operator_moves": "propose"})
    booking = desk.book(desk.at(9))
    written(desk)
    for hour in (10, 11):
        dragged(desk, desk.at(hour))
    asked = [m for m in desk.messages(SendMail, audience="client") if m.about.startswith("proposal")]  # type: ignore[attr-defined]
    assert len(asked) == 2
    assert [r["detail"]["to"] for r in open_moves(desk)] == [desk.at(11).isoformat()]
    assert len(letters(desk)) == 1
    assert desk.view(booking)["proposal"]["start"] == desk.at(11)


def test_a_proposal_that_was_taken_back_cannot_be_accepted(database: Database) -> None:
    desk = Desk(database).open(talk={"operator_moves": "propose"})
    booking = desk.book(desk.at(9))
    written(desk)
    dragged(desk, desk.at(10))
    dragged(desk, desk.at(9))
    assert desk.view(booking)["proposal"] is None
    with pytest.raises(NotPossible), database.transaction() as tx:
        commands.answer_proposal(tx, TERMS, booking, accept=True, now=desk.now, cause="test")
    assert letters(desk) == []
    dragged(desk, desk.at(10))
    assert desk.view(booking)["proposal"]["start"] == desk.at(10)
    assert len(letters(desk)) == 1


def test_a_proposal_about_a_time_that_the_client_has_left(database: Database) -> None:
    desk = Desk(database).open(talk={"operator_moves": "propose"})
    booking = desk.book(desk.at(9))
    written(desk)
    dragged(desk, desk.at(10))
    desk.reschedule(booking, desk.at(11))
    assert desk.view(booking)["proposal"] is None
    with pytest.raises(NotPossible), database.transaction() as tx:
        commands.answer_proposal(tx, TERMS, booking, accept=True, now=desk.now, cause="test")


def test_who_joined_meanwhile_moves_along(database: Database) -> None:
    desk = Desk(database).open(talk={"operator_moves": "propose", "capacity": 3})
    first = desk.book(desk.at(9), "kata")
    written(desk)
    dragged(desk, desk.at(10))
    second = desk.book(desk.at(9), "imre")
    with database.transaction() as tx:
        commands.answer_proposal(tx, TERMS, first, accept=True, now=desk.now, cause="test")
    assert [desk.seen(b).starts_at for b in (first, second)] == [desk.at(10)] * 2


def test_what_did_not_fit_is_tried_again_when_it_is_moved_there_again(database: Database) -> None:
    desk = Desk(database).open(talk={})
    booking, other = desk.book(desk.at(9), "kata"), desk.book(desk.at(10), "imre")
    with database.transaction() as tx:
        tx.execute(sa.delete(SlotEvent).where(SlotEvent.slot_id == desk_slot(desk, other)))
    written(desk)
    dragged(desk, desk.at(10))
    assert [r["detail"]["why"] for r in open_moves(desk)] == ["overlap"]
    dragged(desk, desk.at(9))
    assert open_moves(desk) == []
    desk.cancel(other)
    dragged(desk, desk.at(10))
    assert desk.seen(booking).starts_at == desk.at(10)
    assert open_moves(desk) == []


def desk_slot(desk: Desk, booking: str) -> int:
    return int(desk.seen(booking).slot_id)


def test_to_and_fro(database: Database) -> None:
    desk = Desk(database).open(talk={})
    booking = desk.book(desk.at(9))
    written(desk)
    for n, hour in enumerate((10, 9, 10, 9), start=1):
        row = event_of(desk)
        with database.transaction() as tx:
            facts.report_move(tx, row, Period(desk.at(hour), desk.at(hour + 1)), now=desk.now)
        desk.work()
        seen = desk.seen(booking)
        assert (seen.starts_at, seen.revision) == (desk.at(hour), n)
    told = [m for m in desk.messages(SendMail, audience="client") if m.about == "moved"]  # type: ignore[attr-defined]
    assert [m.revision for m in told] == [1, 2, 3, 4]  # type: ignore[attr-defined]
    assert len(desk.messages(RemoteMove)) == 4


def test_following_a_move_whose_booking_has_moved_writes_the_event(database: Database) -> None:
    desk = Desk(database).open(talk={})
    booking, other = desk.book(desk.at(9), "kata"), desk.book(desk.at(10), "imre")
    with database.transaction() as tx:
        tx.execute(sa.delete(SlotEvent).where(SlotEvent.slot_id == desk_slot(desk, other)))
    written(desk)
    dragged(desk, desk.at(10))
    [review] = open_moves(desk)
    desk.reschedule(booking, desk.at(11))
    written(desk)
    desk.cancel(other)
    with database.transaction() as tx:
        judgement.decide_move(tx, TERMS, review, "follow", now=desk.now, cause="test")
    assert desk.seen(booking).starts_at == desk.at(10)
    event = event_of(desk)
    assert event.pushed_version < event.version
    assert desk.messages(PushEvent)[-1] == PushEvent(event.id, event.version)


def test_a_decision_beside_a_cancellation(database: Database) -> None:
    desk = Desk(database).open(talk={"operator_moves": "propose"})
    booking = desk.book(desk.at(9))
    written(desk)
    dragged(desk, desk.at(10))
    [review] = open_moves(desk)
    errors: list[BaseException] = []

    def decide() -> None:
        try:
            with database.transaction() as tx:
                judgement.decide_move(tx, TERMS, review, "follow", now=desk.now, cause="test")
        except BaseException as error:
            errors.append(error)

    beside = threading.Thread(target=decide)
    with database.transaction() as tx:
        commands.cancel(tx, TERMS, booking, by="client", now=desk.now, cause="test")
        beside.start()
        time.sleep(0.5)  # it has read by now what it may read without the lock
    beside.join()
    assert errors == []
    seen = desk.seen(booking)
    assert (seen.status, seen.starts_at, seen.revision) == ("cancelled", desk.at(9), 1)
    assert desk.messages(SendMail, about="moved") == desk.messages(SendMail, about="pending") == []


@pytest.mark.parametrize("days", [1, 2])
@pytest.mark.parametrize("operator_moves", ["follow", "propose"])
def test_dropped_onto_a_whole_day_it_has_no_time_that_anybody_could_be_told(
    sqlite: Database, operator_moves: str, days: int
) -> None:
    desk = Desk(sqlite).open(talk={"operator_moves": operator_moves})
    booking = desk.book(desk.at(9))
    written(desk)
    told = letters(desk)
    with desk.database.transaction() as tx:
        facts.report_move(tx, event_of(desk), Period(desk.at(0, 3), desk.at(0, 3 + days)), now=desk.now)
    desk.work()
    assert [review["detail"]["why"] for review in open_moves(desk)] == ["all_day"]
    assert (desk.seen(booking).starts_at, desk.seen(booking).revision) == (desk.at(9), 0)
    assert letters(desk) == told
    dragged(desk, desk.at(9))
    assert open_moves(desk) == [], "and back"
