"""What a human decides about a doubt."""

from __future__ import annotations

import pytest

from ledger.db import Database
from sync.errors import NotFound
from sync.verdicts import accept_shrink, resolve_bulk
from tests.support.practices import Practice, at


class Bulk:
    """A practice whose operator deleted five of eight events at once."""

    def __init__(self, database: Database) -> None:
        self.practice = practice = Practice(database)
        self.server = practice.server
        self.work = self.server.add_calendar("work")
        self.id = practice.connect()["work"]
        practice.assign(self.id, bookings=True)
        self.slots = [practice.book(at(hour, day=2), grace=0) for hour in range(8, 16)]
        practice.work()
        practice.later(minutes=1)
        practice.pull(self.id)
        self.deleted = self.slots[:5]
        for slot in self.deleted:
            self.server.remove(self.work, practice.event(slot).href)
        practice.later(minutes=1)
        practice.pull(self.id)
        [self.review] = practice.reviews("bulk_deletion")
        assert self.review["detail"]["slots"] == self.deleted
        assert practice.facts() == []

    def resolve(self, approve: bool) -> int:
        with self.practice.database.transaction() as tx:
            return resolve_bulk(tx, self.review["id"], approve=approve, now=self.practice.now)


def test_approved_deletions_are_told(database: Database) -> None:
    bulk = Bulk(database)
    assert bulk.resolve(True) == 5
    assert [getattr(f, "slot_id", 0) for f in bulk.practice.facts("RemoteCancellation")] == bulk.deleted
    assert {bulk.practice.event(slot).state for slot in bulk.deleted} == {"gone"}
    assert bulk.resolve(True) == 0
    assert len(bulk.practice.facts()) == 5


def test_dismissed_deletions_are_put_into_the_calendar_again(database: Database) -> None:
    """Under new keys: the reference server, like Google, refuses a key whose event was deleted."""
    bulk = Bulk(database)
    old = {slot: bulk.practice.event(slot).key for slot in bulk.deleted}
    assert bulk.resolve(False) == 5
    bulk.practice.work()
    assert len(bulk.server.hrefs(bulk.work)) == 8
    for slot in bulk.deleted:
        event = bulk.practice.event(slot)
        assert (event.state, event.missing_since) == ("confirmed", None)
        assert event.key != old[slot]
        assert event.uid.startswith(event.key)
    bulk.practice.later(minutes=1)
    bulk.practice.pull(bulk.id)
    assert bulk.practice.facts() == []
    assert bulk.resolve(False) == 0


def test_what_came_back_or_was_cancelled_since_is_left_alone(sqlite: Database) -> None:
    bulk = Bulk(sqlite)
    bulk.practice.unwish(bulk.deleted[0])
    bulk.practice.work()
    bulk.practice.now = at(9.5, day=2)
    assert bulk.resolve(True) == 3  # the slot of nine o'clock has begun


def test_what_there_isnt(sqlite: Database) -> None:
    with sqlite.transaction() as tx, pytest.raises(NotFound):
        resolve_bulk(tx, 4711, approve=True, now=at(0))
    with sqlite.transaction() as tx, pytest.raises(NotFound):
        accept_shrink(tx, 4711, now=at(0))
