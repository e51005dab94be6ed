"""A no-show said in the calendar, undone there, and of a group by whom a human names."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from booking import absence, commands
from booking.errors import Invalid, NotPossible
from booking.states import Happening
from ledger import pauses, reviews
from ledger.backoff import NotYet
from ledger.db import Database
from ledger.messages import NoShowTagged, RemoteCancellation
from ledger.outbox import Scope, append, lease
from ledger.tables import SlotEvent
from tests.support.desk import TERMS, Desk


@pytest.fixture
def desk(database: Database) -> Desk:
    return Desk(database).open(talk={}, group={"capacity": 4})


def tag(desk: Desk, tagged: bool = True) -> NoShowTagged:
    """As sync writes it down."""
    with desk.database.transaction() as tx:
        row = tx.execute(sa.update(SlotEvent).values(no_show=tagged).returning(SlotEvent.__table__)).one()
        fact = NoShowTagged(row.id, row.slot_id)
        append(tx, fact, now=desk.now, scope=Scope(row.operator_id, row.service_id, row.slot_id))
    return fact


def asked(desk: Desk) -> list[dict[str, Any]]:
    with desk.database.reading() as tx:
        return [r for r in reviews.listing(tx) if r["kind"] == "no_show"]


def test_a_tag_marks_and_its_removal_undoes(desk: Desk) -> None:
    booking = desk.book(desk.at(9))
    desk.now = desk.at(9.5)
    desk.say(tag(desk))
    desk.say(tag(desk))
    assert desk.seen(booking).status == "no_show"
    desk.now = desk.at(11)
    desk.say(tag(desk, False))
    assert desk.seen(booking).status == "completed"
    causes = [(n["what"], n["cause"]) for n in desk.view(booking, "admin")["timeline"]][1:]
    assert causes == [("no_show", "operator_calendar"), ("undo_no_show", "operator_calendar")]


def test_before_the_start_nobody_has_missed_anything(desk: Desk) -> None:
    booking = desk.book(desk.at(9))
    with pytest.raises(NotYet):
        desk.say(tag(desk))
    with desk.database.transaction() as tx, pytest.raises(NotPossible):
        commands.mark(tx, TERMS, booking, Happening.NO_SHOW, now=desk.now, cause="admin")
    desk.say(tag(desk, False))
    assert desk.seen(booking).status == "confirmed"


def test_a_tag_before_the_start_holds_no_cancellation_up(desk: Desk) -> None:
    booking = desk.book(desk.at(9))
    fact = tag(desk)
    with desk.database.transaction() as tx:
        append(tx, RemoteCancellation(fact.slot_event_id, fact.slot_id), now=desk.now, cause="operator_calendar")
        leased = {kind: message_id for message_id, kind in lease(tx, now=desk.now)}
    assert {"NoShowTagged", "RemoteCancellation"} <= set(leased), "neither waits for the other"
    desk.say(RemoteCancellation(fact.slot_event_id, fact.slot_id))
    desk.now = desk.at(9.5)
    desk.say(fact)
    assert desk.seen(booking).status == "cancelled"


def test_an_event_of_nobody_says_nothing(desk: Desk) -> None:
    booking = desk.book(desk.at(9))
    desk.cancel(booking)
    desk.now = desk.at(9.5)
    desk.say(tag(desk))
    desk.say(NoShowTagged(99, 99))
    assert desk.seen(booking).status == "cancelled"
    assert asked(desk) == []


def test_of_a_group_a_human_says_who(desk: Desk) -> None:
    first, second, third = (desk.book(desk.at(9), who, "group") for who in ("a", "b", "c"))
    desk.now = desk.at(9.5)
    for _ in range(2):
        desk.say(tag(desk))
    (review,) = asked(desk)
    assert sorted(review["detail"]["bookings"]) == sorted([first, second, third])

    def choose(choice: str) -> None:
        with desk.database.transaction() as tx:
            absence.mark_absent(tx, TERMS, review, choice, now=desk.now, cause="review:anna")

    for wrong in ("somebody", "", f"{first},x"):
        with pytest.raises(Invalid):
            choose(wrong)
    choose(f"{first}, {third}")
    assert [desk.seen(b).status for b in (first, second, third)] == ["no_show", "confirmed", "no_show"]
    choose("all")
    assert desk.seen(second).status == "no_show"
    desk.say(tag(desk, False))
    assert [desk.seen(b).status for b in (first, second, third)] == ["confirmed"] * 3


def test_a_tag_taken_back_takes_the_question_back(desk: Desk) -> None:
    for who in ("a", "b"):
        desk.book(desk.at(9), who, "group")
    desk.now = desk.at(9.5)
    desk.say(tag(desk))
    assert len(asked(desk)) == 1
    desk.say(tag(desk, False))
    assert asked(desk) == []


def test_a_pause_holds_the_mark_and_only_what_is_true_at_its_end_counts(desk: Desk) -> None:
    kept = desk.book(desk.at(9))
    desk.now = desk.at(9.5)
    with desk.database.transaction() as tx:
        pause = pauses.pause(tx, scope="service", target="1", automations=["no_show"], now=desk.now)
    tag(desk)
    desk.work()
    assert desk.seen(kept).status == "confirmed"
    tag(desk, False)
    tag(desk)
    with desk.database.transaction() as tx:
        pauses.resume(tx, pause, now=desk.now)
    desk.work()
    assert desk.seen(kept).status == "no_show"
