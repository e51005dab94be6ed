"""What is paused, and for whom; what waits behind it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from ledger import claims, outbox, pauses
from ledger.db import Database, Tx
from ledger.messages import PromoteWaitlist, PushEvent, RemoteCancellation, SendMail
from ledger.outbox import Scope
from tests.support import books

EVERYTHING: dict[str, Any] = {"operator_id": 1, "service_id": 2, "slot_id": 3, "booking_id": "b1"}


def pause(
    tx: Tx, now: datetime, scope: str, target: str = "", automations: tuple[str, ...] = ("cancel",), **more: Any
) -> int:
    return pauses.pause(tx, scope=scope, target=target, automations=automations, now=now, **more)


@pytest.mark.parametrize(
    ("scope", "target", "covers"),
    [
        ("global", "", True), ("operator", "1", True), ("service", "2", True), ("slot", "3", True), ("booking", "b1", True),
        ("operator", "2", False), ("service", "1", False), ("slot", "1", False), ("booking", "b", False), ("operator", "11", False),
    ],
)  # fmt: skip
def test_a_pause_covers_its_scope_and_nothing_else(
    database: Database, now: datetime, scope: str, target: str, covers: bool
) -> None:
    with database.transaction() as tx:
        outbox.append(tx, RemoteCancellation(1, 3), now=now, scope=Scope(**EVERYTHING))
        outbox.append(tx, PushEvent(1, 1), now=now, scope=Scope(**EVERYTHING))
        held = pause(tx, now, scope, target)
        assert pauses.is_paused(tx, "cancel", now=now, **EVERYTHING) is covers
        assert not pauses.is_paused(tx, "move", now=now, **EVERYTHING)
        assert [row["kind"] for row in pauses.held(tx, held, now=now)] == (["RemoteCancellation"] if covers else [])
        leased = {kind for _, kind in outbox.lease(tx, now=now)}
    assert leased == ({"PushEvent"} if covers else {"PushEvent", "RemoteCancellation"})


def test_what_is_about_a_slot_is_about_each_booking_in_it(database: Database, now: datetime) -> None:
    with database.transaction() as tx:
        owner = books.operator(tx, now)
        claims.lock_operator(tx, owner)
        slot = claims.claim(
            tx, operator_id=owner, service_id=2, period=books.hours(now, 9, 10), block=books.hours(now, 9, 10), capacity=2,
            holder="booking:b1", seats=1, now=now,
        )  # fmt: skip
        outbox.append(tx, RemoteCancellation(1, slot or 0), now=now, scope=Scope(owner, 2, slot))
        held, other = pause(tx, now, "booking", "b1"), pause(tx, now, "booking", "b2")
        assert [len(pauses.held(tx, one, now=now)) for one in (held, other)] == [1, 0]
        assert outbox.lease(tx, now=now) == []
        claims.release(tx, "booking:b1", operator_id=owner)  # it isn't in that slot any more
        assert len(outbox.lease(tx, now=now)) == 1


def test_who_is_asked_without_a_scope_is_held_by_a_global_pause_alone(database: Database, now: datetime) -> None:
    with database.transaction() as tx:
        pause(tx, now, "operator", "1")
        assert not pauses.is_paused(tx, "cancel", now=now)
        pause(tx, now, "global")
        assert pauses.is_paused(tx, "cancel", now=now)


def test_all_means_all_and_doubles_count_once(database: Database, now: datetime) -> None:
    with database.transaction() as tx:
        pause(tx, now, "global", automations=("all",), reason="holiday", made_by="anna")
        for automation in pauses.AUTOMATIONS:
            assert pauses.is_paused(tx, automation, now=now)
        pause(tx, now, "operator", "1", ("push", "push"))
        first, second = pauses.listing(tx, now=now)
    assert (first["automations"], first["reason"], first["made_by"]) == (list(pauses.AUTOMATIONS), "holiday", "anna")
    assert second["automations"] == ["push"]


@pytest.mark.parametrize(
    ("scope", "automations"),
    [("planet", ("cancel",)), ("global", ()), ("global", ("sleep",)), ("global", ("all", "push"))],
)
def test_what_nobody_knows_can_not_be_paused(
    database: Database, now: datetime, scope: str, automations: tuple[str, ...]
) -> None:
    with database.transaction() as tx:
        with pytest.raises(ValueError, match="unknown"):
            pause(tx, now, scope, automations=automations)
        assert pauses.listing(tx, now=now) == []


def test_of_two_pauses_both_must_end(database: Database, now: datetime) -> None:
    with database.transaction() as tx:
        one, other = pause(tx, now, "operator", "1"), pause(tx, now, "slot", "3")
        assert pauses.resume(tx, one, now=now)
        assert pauses.is_paused(tx, "cancel", now=now, **EVERYTHING)
        assert pauses.resume(tx, other, now=now)
        assert not pauses.is_paused(tx, "cancel", now=now, **EVERYTHING)
        assert not pauses.resume(tx, other, now=now)
        ended = pauses.one(tx, one)
        assert ended is not None
        assert ended["ended_at"] == now
        assert pauses.one(tx, 99) is None


def test_its_end_is_the_first_instant_that_is_free(database: Database, now: datetime) -> None:
    end = now + timedelta(hours=1)
    with database.transaction() as tx:
        pause(tx, now, "global", until=end)
        assert pauses.is_paused(tx, "cancel", now=end - timedelta(microseconds=1))
        assert not pauses.is_paused(tx, "cancel", now=end)
        assert len(pauses.listing(tx, now=now)) == 1
        assert pauses.listing(tx, now=end) == []


def test_the_preview_is_what_waits_in_its_order(database: Database, now: datetime) -> None:
    with database.transaction() as tx:
        held = pause(tx, now, "operator", "1", ("cancel", "promote"))
        outbox.append(tx, PromoteWaitlist(1, "kept:1"), now=now, scope=Scope(1))
        outbox.append(tx, SendMail("b1", 0, "booked", "client"), now=now, scope=Scope(1))
        outbox.append(tx, RemoteCancellation(1, 3), now=now, not_before=now + timedelta(hours=1), scope=Scope(1))
        outbox.append(tx, RemoteCancellation(2, 4), now=now, scope=Scope(2))
        waiting = pauses.held(tx, held, now=now)
    assert [(row["kind"], row["operator_id"]) for row in waiting] == [("PromoteWaitlist", 1), ("RemoteCancellation", 1)]
    assert [row["not_before"] - now for row in waiting] == [timedelta(0), timedelta(hours=1)]


def test_the_preview_says_what_waits_for_another_pause_too(database: Database, now: datetime) -> None:
    with database.transaction() as tx:
        held = pause(tx, now, "operator", "1", ("cancel",))
        pause(tx, now, "slot", "3", ("cancel",), until=now + timedelta(hours=1))
        pause(tx, now, "slot", "4", ("move",))
        for slot in (3, 4):
            outbox.append(tx, RemoteCancellation(slot, slot), now=now, scope=Scope(1, 2, slot))
        for hours, also in ((0, [True, False]), (1, [False, False])):
            waiting = pauses.held(tx, held, now=now + timedelta(hours=hours))
            assert [row["also_held"] for row in waiting] == also


def test_what_is_dropped_never_runs_and_only_what_this_pause_holds_is(database: Database, now: datetime) -> None:
    with database.transaction() as tx:
        for number in range(3):
            outbox.append(tx, RemoteCancellation(number, number), now=now, scope=Scope(1))
        outbox.append(tx, SendMail("b1", 0, "booked", "client"), now=now, scope=Scope(1))
        held = pause(tx, now, "operator", "1")
        ids = [row["id"] for row in reversed(outbox.listing(tx))]
        dropped = pauses.discard(tx, held, [ids[0], ids[3], 99], now=now)
        assert [row["id"] for row in dropped] == [ids[0]]
        pauses.resume(tx, held, now=now)
        assert [i for i, _ in outbox.lease(tx, now=now)] == ids[1:]
        assert [row["id"] for row in outbox.listing(tx, state="discarded")] == [ids[0]]


def test_what_is_at_work_already_is_neither_held_nor_dropped(database: Database, now: datetime) -> None:
    with database.transaction() as tx:
        outbox.append(tx, RemoteCancellation(1, 3), now=now, scope=Scope(1))
        ((message_id, _),) = outbox.lease(tx, now=now)
        leased = outbox.begin(tx, message_id, now=now)
        assert leased is not None
        held = pause(tx, now, "operator", "1")
        assert pauses.held(tx, held, now=now) == []
        assert pauses.discard(tx, held, [message_id], now=now) == []
        outbox.settle(tx, leased, now=now)
