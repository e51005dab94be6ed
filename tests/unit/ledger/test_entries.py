"""The wish for an event in the operator's calendar: said once, changed only by a change."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from connectors.model import Period
from ledger import entries
from ledger.db import Database, Tx
from ledger.entries import Words
from ledger.messages import PushEvent
from ledger.outbox import OutboxMessage
from ledger.tables import Connection, SlotEvent
from tests.support.books import calendar, connection, hours, operator

WORDS = Words("Kata", "50 minutes", "Main street 1", "https://x/y", ("talk",))


class Wisher:
    """The wishes for slots of one operator, in one transaction."""

    def __init__(self, tx: Tx, now: datetime, *, calendars: int = 1) -> None:
        self.tx, self.now = tx, now
        self.operator_id = operator(tx, now)
        self.connection_id = connection(tx, self.operator_id, now)
        for number in range(calendars):
            calendar(tx, self.operator_id, self.connection_id, f"/{number}/", bookings=True)

    def wish(self, period: Period | None = None, words: Words = WORDS, slot_id: int = 7, **more: Any) -> None:
        entries.wish(
            self.tx, slot_id=slot_id, operator_id=self.operator_id, service_id=2, period=period or hours(self.now, 9, 10), words=words,
            grace_seconds=60, domain="x.example", now=self.now, cause="test", **more,
        )  # fmt: skip

    def unwish(self) -> None:
        entries.unwish(self.tx, 7, now=self.now, cause="test")

    def event(self) -> Any:
        return self.tx.execute(sa.select(SlotEvent.__table__).where(SlotEvent.slot_id == 7)).one()

    def provider_has(self, **values: Any) -> None:
        """What sync writes down about it."""
        self.tx.execute(sa.update(SlotEvent).where(SlotEvent.slot_id == 7).values(**values))

    def pushes(self) -> list[PushEvent]:
        rows = self.tx.execute(sa.select(OutboxMessage.body, OutboxMessage.line).order_by(OutboxMessage.id))
        return [PushEvent(r.body["slot_event_id"], r.body["version"]) for r in rows]


@pytest.fixture
def anna(database: Database, now: datetime) -> Iterator[Wisher]:
    with database.transaction() as tx:
        yield Wisher(tx, now)


def test_the_first_wish_is_planned_and_asked_for(anna: Wisher) -> None:
    anna.wish()
    event = anna.event()
    assert (event.wanted, event.version, event.sequence, event.state) == (True, 1, 0, "planned")
    assert (event.starts_at, event.ends_at) == (hours(anna.now, 9, 10).start, hours(anna.now, 9, 10).end)
    assert event.words["title"] == "Kata"
    assert event.words["categories"] == ["talk"]
    assert event.calendar_id == 1
    assert anna.pushes() == [PushEvent(event.id, 1)]
    row = anna.tx.execute(sa.select(OutboxMessage.__table__)).one()
    assert (row.operator_id, row.service_id, row.slot_id, row.cause) == (anna.operator_id, 2, 7, "test")


def test_the_same_wish_asks_for_nothing(anna: Wisher) -> None:
    for _ in range(3):
        anna.wish()
    assert (anna.event().version, len(anna.pushes())) == (1, 1)


def test_other_words_are_a_new_version_and_another_time_a_new_sequence(anna: Wisher) -> None:
    anna.wish()
    anna.wish(words=replace(WORDS, title="Kata and Jon"))
    assert (anna.event().version, anna.event().sequence) == (2, 0)
    anna.wish(hours(anna.now, 10, 11), replace(WORDS, title="Kata and Jon"))
    assert (anna.event().version, anna.event().sequence) == (3, 1)
    anna.wish(hours(anna.now, 10, 11.5), replace(WORDS, title="Kata and Jon"))
    assert (anna.event().version, anna.event().sequence) == (4, 2)
    assert [p.version for p in anna.pushes()] == [1, 2, 3, 4]


def test_a_move_that_the_operator_made_is_taken_over_and_not_pushed(anna: Wisher) -> None:
    anna.wish()
    anna.provider_has(state="confirmed", pushed_version=1)
    moved = hours(anna.now, 11, 12)
    anna.wish(moved, there=True)
    event = anna.event()
    assert (event.version, event.sequence, event.pushed_version) == (2, 1, 2)
    assert (event.pushed_start, event.pushed_end) == (moved.start, moved.end)
    assert len(anna.pushes()) == 1


def test_what_is_no_longer_wanted_is_asked_for_once(anna: Wisher) -> None:
    anna.unwish()  # there never was a wish
    anna.wish()
    anna.unwish()
    anna.unwish()
    event = anna.event()
    assert (event.wanted, event.version) == (False, 2)
    assert [p.version for p in anna.pushes()] == [1, 2]


def test_nobody_is_asked_to_delete_what_is_gone(anna: Wisher) -> None:
    anna.wish()
    anna.provider_has(state="gone")
    anna.unwish()
    assert (anna.event().wanted, len(anna.pushes())) == (False, 1)


def test_a_move_is_taken_over_but_what_was_not_written_yet_still_is(anna: Wisher) -> None:
    anna.wish()
    anna.wish(hours(anna.now, 11, 12), there=True)
    assert (anna.event().pushed_version, anna.event().pushed_start) == (0, hours(anna.now, 11, 12).start)
    assert [p.version for p in anna.pushes()] == [1, 2]
    anna.provider_has(state="confirmed", pushed_version=2)
    anna.wish(hours(anna.now, 13, 14), replace(WORDS, title="other"), there=True)
    assert [p.version for p in anna.pushes()] == [1, 2, 3]


def test_what_was_taken_away_comes_again_as_another_event(anna: Wisher) -> None:
    anna.wish()
    first = anna.event()
    anna.unwish()
    anna.provider_has(state="gone", pushed_version=2, href="/x", etag="1")
    anna.wish()
    again = anna.event()
    assert (again.wanted, again.state, again.pushed_version, again.href, again.etag) == (True, "planned", 0, "", "")
    assert (again.id, again.key != first.key, again.uid) == (first.id, True, f"{again.key}@x.example")
    assert [p.version for p in anna.pushes()] == [1, 2, 3]
    anna.wish()
    assert anna.event() == again


def test_an_operators_move_that_is_refused_is_put_back(anna: Wisher) -> None:
    entries.insist(anna.tx, 7, seen=hours(anna.now, 11, 12), now=anna.now)  # there is no such wish
    anna.wish()
    entries.insist(anna.tx, 7, seen=hours(anna.now, 11, 12), now=anna.now, cause="no")
    event = anna.event()
    assert (event.starts_at, event.pushed_start, event.version) == (
        hours(anna.now, 9, 10).start,
        hours(anna.now, 11, 12).start,
        2,
    )
    assert [p.version for p in anna.pushes()] == [1, 2]
    anna.unwish()
    entries.insist(anna.tx, 7, seen=hours(anna.now, 11, 12), now=anna.now)
    assert [p.version for p in anna.pushes()] == [1, 2, 3]


def test_a_wish_may_come_back(anna: Wisher) -> None:
    anna.wish()
    anna.unwish()
    anna.wish()
    assert (anna.event().wanted, anna.event().version, anna.event().sequence) == (True, 3, 0)
    assert [p.version for p in anna.pushes()] == [1, 2, 3]


def test_every_slot_has_a_key_of_its_own_that_calendars_accept(anna: Wisher) -> None:
    for slot_id in (7, 8, 9):
        anna.wish(slot_id=slot_id)
    rows = anna.tx.execute(sa.select(SlotEvent.key, SlotEvent.uid)).all()
    assert len({r.key for r in rows}) == 3
    for row in rows:
        assert set(row.key) <= set("0123456789abcdefghijklmnopqrstuv")  # Google's event ids
        assert 5 <= len(row.key) <= 64
        assert row.uid == f"{row.key}@x.example"


def test_two_deployments_never_share_a_key(anna: Wisher) -> None:
    anna.wish()
    first = anna.event().key
    anna.tx.execute(sa.delete(SlotEvent))
    anna.tx.execute(sa.update(entries.Deployment).values(id="somebody-else"))
    assert entries.deployment_id(anna.tx) == "somebody-else"
    anna.wish(slot_id=7, words=Words("x"))
    assert anna.event().key != first


def test_of_several_calendars_the_first_takes_bookings_and_without_one_nothing_is_lost(
    database: Database, now: datetime
) -> None:
    with database.transaction() as tx:
        many = Wisher(tx, now, calendars=3)
        many.wish()
        assert many.event().calendar_id == 1
    with database.transaction() as tx:
        tx.execute(sa.delete(SlotEvent))
        tx.execute(sa.update(entries.Calendar).values(bookings=False))
        many.tx = tx
        many.wish()
        assert many.event().calendar_id is None


def test_a_change_notes_when(anna: Wisher) -> None:
    anna.wish()
    made = anna.now
    anna.now += timedelta(minutes=1)
    anna.wish(words=Words("x"))
    assert (anna.event().created_at, anna.event().updated_at) == (made, anna.now)


def test_the_voice_is_that_of_the_account_that_takes_the_bookings(anna: Wisher) -> None:
    assert entries.voice_of(anna.tx, anna.operator_id) == "service"
    anna.tx.execute(sa.update(Connection).values(voice="provider"))
    assert entries.voice_of(anna.tx, anna.operator_id) == "provider"
    assert entries.voice_of(anna.tx, anna.operator_id + 1) == "service"
