"""An event that was taken away and is wished for again: a slot of a group outlives those who made its event."""

from __future__ import annotations

from datetime import timedelta

import sqlalchemy as sa

from connectors.model import Event, Period
from ledger.db import Database
from ledger.messages import PushEvent, RemoteCancellation
from ledger.tables import OutboxMessage, SlotEvent
from sync.push import push_event
from tests.support.desk import Desk
from tests.support.practices import NOON, Practice, at

WINDOW = Period(NOON - timedelta(days=1), NOON + timedelta(days=30))


class Bench:
    """A practice whose bookings go into ``work``."""

    def __init__(self, database: Database) -> None:
        self.practice = Practice(database)
        self.work = self.practice.server.add_calendar("work")
        self.id = self.practice.connect()["work"]
        self.practice.assign(self.id, bookings=True, busy=True)
        self.practice.work()

    def ours(self) -> list[Event]:
        return [event for event in self.practice.server.events(self.work, WINDOW) if event.own_key]


def test_after_our_own_deletion_it_is_there_again(database: Database) -> None:
    bench = Bench(database)
    practice = bench.practice
    slot = practice.book(at(9))
    practice.work()
    practice.unwish(slot)
    practice.work()
    assert bench.ours() == []
    practice.later(minutes=1)
    practice.wish(slot, at(9), title="somebody else")
    practice.work()
    [there] = bench.ours()
    event = practice.event(slot)
    assert there.occurrences[0].title == "somebody else"
    assert (event.state, event.href, event.pushed_version) == ("confirmed", there.href, event.version)
    practice.pull(bench.id)
    assert practice.facts("RemoteCancellation", "RemoteMove", "RemoteOverlap") == []


def test_wished_for_while_it_is_being_deleted(database: Database) -> None:
    bench = Bench(database)
    practice = bench.practice
    slot = practice.book(at(9))
    practice.work()
    practice.unwish(slot)
    leased = practice.begin(PushEvent)
    ticks = iter(range(100))

    def clock() -> object:
        if next(ticks) == 1:  # the plan is made, the call is about to begin
            practice.wish(slot, at(9), title="somebody else")
        return practice.now

    push_event(practice.accounts, leased, clock=clock)  # type: ignore[arg-type]
    practice.later(minutes=1)
    [there] = bench.ours()
    event = practice.event(slot)
    assert (event.state, event.href, event.pushed_version) == ("confirmed", there.href, event.version)


def test_deleted_by_the_operator_a_second_time(database: Database) -> None:
    bench = Bench(database)
    practice = bench.practice
    slot = practice.book(at(9), grace=0)
    for _ in range(2):
        practice.work()
        [there] = bench.ours()
        practice.later(minutes=20)
        practice.server.remove(bench.work, there.href)
        practice.pull(bench.id)
        assert [type(f) for f in practice.facts("RemoteCancellation")] == [RemoteCancellation]
        with database.transaction() as tx:
            tx.execute(sa.update(OutboxMessage).where(OutboxMessage.kind == "RemoteCancellation").values(state="done"))
        practice.unwish(slot)
        practice.work()
        practice.wish(slot, at(9), grace=0)


def test_words_that_were_not_written_yet_survive_a_move(database: Database) -> None:
    bench = Bench(database)
    practice = bench.practice
    slot = practice.book(at(9))
    practice.work()
    practice.later(minutes=1)
    [there] = bench.ours()
    practice.wish(slot, at(9), title="two come")  # not written when the operator's move is taken over
    practice.server.move(bench.work, there.href, at(11), at(12))
    practice.wish(slot, at(11), title="two come", there=True)
    practice.later(minutes=1)
    [there] = bench.ours()
    assert (there.occurrences[0].title, there.occurrences[0].period.start) == ("two come", at(11))


def test_a_group_whose_first_guest_left_before_the_second_was_approved(database: Database) -> None:
    desk = Desk(database).open(talk={"capacity": 3, "confirmation": "approval"})
    first, second = desk.book(desk.at(9), "kata"), desk.book(desk.at(9), "imre")
    desk.decide(first, "confirm")
    desk.cancel(first)
    with database.transaction() as tx:  # sync took it away
        tx.execute(sa.update(SlotEvent).values(state="gone", pushed_version=SlotEvent.version))
        [key] = tx.execute(sa.select(SlotEvent.key)).scalars()
    desk.decide(second, "confirm")
    with database.reading() as tx:
        [event] = tx.execute(sa.select(SlotEvent.__table__)).all()
    assert (event.state, event.wanted, event.href, event.pushed_version) == ("planned", True, "", 0)
    assert event.key != key
    assert desk.messages(PushEvent)[-1] == PushEvent(event.id, event.version)
