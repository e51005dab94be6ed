"""Whatever opens time, the line has its turn before a stranger sees it, however many strangers try (P7)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from booking import commands, judgement, setup, turns, waitlist
from booking.catalogue import offering
from booking.errors import NotFound, SlotTaken
from ledger import pauses
from ledger.backoff import NotYet
from ledger.claims import lock_operator
from ledger.db import Database
from ledger.free_time import ask_for_turn
from ledger.messages import TimeFreed
from ledger.tables import Busy, Seat, Slot, Turn
from tests.support import books
from tests.support.desk import SPEC, TERMS, Desk, person


@dataclass
class Opening:
    """Something that opens `start` by itself. open: does it; free: also opened by it, and nobody waits for that. token: of
    who waits already; before: done when somebody waits."""

    desk: Desk
    start: datetime
    open: Callable[[], None]
    free: datetime | None = None
    token: str = ""
    before: Callable[[], None] = lambda: None


def changed(desk: Desk, **spec: Any) -> None:
    with desk.database.transaction() as tx:
        setup.put_service(tx, "anna", "talk", {**SPEC, **spec}, now=desk.now, replace=True)


def hours(desk: Desk) -> Opening:
    opened = {**SPEC["hours"], "thu": ["08:00-12:00"]}
    return Opening(desk.open(talk={}), desk.at(9, 3), lambda: changed(desk, hours=opened), desk.at(10, 3))


def override(desk: Desk) -> Opening:
    return Opening(
        desk.open(talk={"overrides": {"2027-01-12": []}}), desk.at(9, 1), lambda: changed(desk), desk.at(10, 1)
    )


def capacity(desk: Desk) -> Opening:
    desk.open(talk={"capacity": 2, "hours": {}})
    token = desk.join("imre", {"start": desk.at(9, 1)}, seats=2)
    changed(desk)
    desk.work()
    assert desk.at(9, 1) in desk.starts()  # for one
    return Opening(desk, desk.at(9, 1), lambda: changed(desk, capacity=2), token=token)


def full_slot(desk: Desk) -> Opening:
    desk.open(talk={})
    desk.book(desk.at(9))
    return Opening(desk, desk.at(9), lambda: changed(desk, capacity=2))


def service_gone(desk: Desk) -> Opening:
    """An opening that named another service is for each when there is no such service any more."""
    desk.open(talk={"calendar_openings": True}, walk={"title": "Walk", "calendar_openings": True})
    with desk.database.transaction() as tx:
        books.opening(tx, desk.operator_id, calendar_of(desk, tx), desk.at(9), desk.at(11), label="walk")

    def remove() -> None:
        with desk.database.transaction() as tx:
            setup.remove_service(tx, "anna", "walk", now=desk.now)

    return Opening(desk, desk.at(9), remove, desk.at(10))


def limit(desk: Desk) -> Opening:
    desk.open(talk={"limit_per_day": 1})
    desk.book(desk.at(8))
    return Opening(desk, desk.at(9), lambda: changed(desk), desk.at(10))


def limit_by_cancelling(desk: Desk) -> Opening:
    desk.open(talk={"limit_per_day": 1})
    booking = desk.book(desk.at(8))
    return Opening(desk, desk.at(11), lambda: desk.cancel(booking))


def buffers(desk: Desk) -> Opening:
    desk.open(talk={"buffer_before_minutes": 30}, walk={})
    desk.book(desk.at(8), service="walk")
    return Opening(desk, desk.at(9), lambda: changed(desk))


def notice(desk: Desk) -> Opening:
    desk.open(talk={"notice_minutes": 10_000})
    return Opening(desk, desk.at(9, 1), lambda: changed(desk), desk.at(10, 1))


def zone(desk: Desk) -> Opening:
    desk.open(talk={})

    def moves() -> None:
        with desk.database.transaction() as tx:
            setup.change_operator(tx, "anna", {"timezone": "Atlantic/Azores"}, now=desk.now)  # an hour behind

    return Opening(desk, desk.at(12, 1), moves)


def switched_on(desk: Desk) -> Opening:
    desk.open(talk={})

    def switch(active: bool) -> None:
        with desk.database.transaction() as tx:
            setup.change_service(tx, "anna", "talk", spec=None, active=active, now=desk.now)

    return Opening(desk, desk.at(9), lambda: switch(True), desk.at(10), before=lambda: switch(False))


def horizon(desk: Desk) -> Opening:
    desk.open(talk={"horizon_days": 5})
    return Opening(desk, desk.at(9, 7), lambda: changed(desk, horizon_days=10), desk.at(10, 7))


def another_day(desk: Desk) -> Opening:
    desk.open(talk={"horizon_days": 5})

    def rolls() -> None:
        desk.now += timedelta(days=3)
        with desk.database.transaction() as tx:
            assert turns.roll(tx, desk.now) == 1

    return Opening(desk, desk.at(9, 7), rolls, desk.at(10, 7))


def calendar_of(desk: Desk, tx: Any) -> int:
    return books.calendar(tx, desk.operator_id, books.connection(tx, desk.operator_id, desk.now))


def opening(desk: Desk) -> Opening:
    desk.open(talk={"calendar_openings": True})

    def opens() -> None:
        with desk.database.transaction() as tx:
            lock_operator(tx, desk.operator_id)
            books.opening(tx, desk.operator_id, calendar_of(desk, tx), desk.at(9), desk.at(11), fresh=True)
            ask_for_turn(tx, desk.operator_id, now=desk.now, cause="test")

    return Opening(desk, desk.at(9), opens, desk.at(10))


def busy(desk: Desk) -> Opening:
    desk.open(talk={})
    with desk.database.transaction() as tx:
        books.busy(tx, desk.operator_id, calendar_of(desk, tx), desk.at(9), desk.at(11))

    def removed() -> None:
        with desk.database.transaction() as tx:
            lock_operator(tx, desk.operator_id)
            tx.execute(sa.update(Busy).values(freed=True))
            ask_for_turn(tx, desk.operator_id, now=desk.now, cause="test")

    return Opening(desk, desk.at(9), removed, desk.at(10))


def hold(desk: Desk) -> Opening:
    desk.open(talk={})
    desk.hold(desk.at(9))

    def runs_out() -> None:
        desk.now += timedelta(minutes=5)

    return Opening(desk, desk.at(9), runs_out)


def approval_expired(desk: Desk) -> Opening:
    desk.open(talk={"confirmation": "approval", "approval_hours": 1})
    desk.book(desk.at(9))

    def runs_out() -> None:
        desk.now += timedelta(hours=1)

    return Opening(desk, desk.at(9), runs_out)


def approval_declined(desk: Desk) -> Opening:
    desk.open(talk={"confirmation": "approval"})
    booking = desk.book(desk.at(9))
    return Opening(desk, desk.at(9), lambda: desk.decide(booking, "decline"))


def resumed(desk: Desk) -> Opening:
    desk.open(talk={})
    booking = desk.book(desk.at(9))
    with desk.database.transaction() as tx:
        pause = pauses.pause(tx, scope="global", target="", automations=["promote"], now=desk.now)

    def resume() -> None:
        desk.cancel(booking)
        assert desk.at(9) not in desk.starts()
        with desk.database.transaction() as tx:
            pauses.resume(tx, pause, now=desk.now)

    return Opening(desk, desk.at(9), resume)


OPENINGS = [
    hours, override, capacity, full_slot, service_gone, limit, limit_by_cancelling, buffers, notice, zone, switched_on, horizon, another_day, opening,
    busy, hold, approval_expired, approval_declined, resumed,
]  # fmt: skip


def strangers(desk: Desk, start: datetime, stop: threading.Event) -> list[str]:
    """What passers-by get who try again and again until somebody says stop."""
    got = []
    n = 0
    while True:
        last = stop.is_set()
        with suppress(SlotTaken, NotFound):
            got.append(desk.book(start, f"stranger{n}-{threading.get_ident()}"))
        n += 1
        if last:
            return got


@pytest.mark.parametrize("opens", OPENINGS, ids=lambda o: o.__name__)
def test_the_line_has_its_turn_before_strangers(database: Database, opens: Callable[[Desk], Opening]) -> None:
    case = opens(Desk(database))
    desk = case.desk
    token = case.token or desk.join("imre", {"start": case.start})
    case.before()
    stop = threading.Event()
    with ThreadPoolExecutor(3) as pool:
        # One seat is anybody's where the line waits for two.
        crowd = [] if case.token else [pool.submit(strangers, desk, case.start, stop) for _ in range(2)]
        try:
            case.open()
            assert case.start not in desk.starts()
            desk.work()
        finally:
            stop.set()
        got = [booking for one in crowd for booking in one.result(60)]
    assert got == []
    assert desk.place(token)["status"] in ("promoted", "offered")
    assert case.start not in desk.starts()
    if case.free is not None:
        assert case.free in desk.starts()
    with database.reading() as tx:
        closed = tx.execute(sa.select(Turn.service_id).where(Turn.ends_at.is_not(None))).all()
    assert closed == []


@pytest.fixture
def two(database: Database) -> Desk:
    return Desk(database).open(talk={}, walk={})


def pause_of(desk: Desk, service: int) -> int:
    with desk.database.transaction() as tx:
        walk = setup.services(tx, "anna")[service]["id"]
        return pauses.pause(tx, scope="service", target=str(walk), automations=["promote"], now=desk.now)


def test_time_that_a_paused_line_would_take_stays_closed_and_is_theirs_when_it_goes_on(two: Desk) -> None:
    booking = two.book(two.at(9))
    token = two.join("imre", {"start": two.at(9)}, service="walk")
    pause = pause_of(two, 1)
    two.cancel(booking)
    assert two.place(token)["status"] == "waiting"
    assert two.at(9) not in two.starts("talk")
    assert two.at(9) not in two.starts("walk")
    with pytest.raises(SlotTaken):
        two.book(two.at(9), "stranger")
    two.now += timedelta(seconds=31)
    with pytest.raises(NotYet):
        two.say(TimeFreed(two.operator_id))
    with two.database.transaction() as tx:
        pauses.resume(tx, pause, now=two.now)
    assert two.work() == 1
    assert two.place(token)["status"] == "promoted"


def test_time_that_nobody_in_a_paused_line_wants_is_free(two: Desk) -> None:
    booking = two.book(two.at(9))
    two.join("imre", {"start": two.at(11)}, service="walk")
    pause_of(two, 1)
    two.cancel(booking)
    assert two.at(9) in two.starts("talk")
    assert two.at(9) in two.starts("walk")


def test_lines_that_are_not_paused_are_served_up_to_the_paused_one(two: Desk) -> None:
    booking = two.book(two.at(9))
    first = two.join("imre", {"start": two.at(9)})
    second = two.join("eva", {"start": two.at(9)}, service="walk")
    pause_of(two, 1)
    two.cancel(booking)
    assert [two.place(t)["status"] for t in (first, second)] == ["promoted", "waiting"]


def test_hours_opened_during_a_pause_wait_for_its_end_and_others_do_not(two: Desk) -> None:
    token = two.join("imre", {"start": two.at(9, 3)}, service="walk")
    pause = pause_of(two, 1)
    for service in ("talk", "walk"):
        with two.database.transaction() as tx:
            spec = {**SPEC, "hours": {**SPEC["hours"], "thu": ["08:00-12:00"]}}
            setup.put_service(tx, "anna", service, spec, now=two.now, replace=True)
        with pytest.raises(NotYet) if service == "walk" else nullcontext():
            two.say(TimeFreed(two.operator_id))
    assert two.at(9, 3) not in two.starts("walk")
    assert two.at(9, 3) in two.starts("talk")
    with two.database.transaction() as tx:
        pauses.resume(tx, pause, now=two.now)
    two.work()
    assert two.place(token)["status"] == "promoted"
    assert two.at(10, 3) in two.starts("walk")


def test_a_horizon_rolls_on_by_itself_where_nobody_waits(database: Database) -> None:
    desk = Desk(database).open(talk={"horizon_days": 5})
    token = desk.join("imre", {"start": desk.at(9)})
    desk.leave(token)
    desk.now += timedelta(days=3)
    assert desk.at(9, 7) not in desk.starts()  # not before it is known that nobody waits
    for asked in (1, 0):
        with database.transaction() as tx:
            assert turns.roll(tx, desk.now) == asked
        desk.work()
    assert desk.at(9, 7) in desk.starts()
    with database.reading() as tx:
        assert tx.execute(sa.select(Turn.id)).all() == []


def test_a_line_from_before_is_given_its_horizon(database: Database) -> None:
    desk = Desk(database).open(talk={"horizon_days": 5})
    desk.join("imre", {"start": desk.at(9, 7)})
    with database.transaction() as tx:
        tx.execute(sa.delete(Turn))
        assert turns.roll(tx, desk.now) == 1
    desk.work()
    with database.reading() as tx:
        assert tx.execute(sa.select(Turn.starts_at)).scalars().all() == [desk.now + timedelta(days=5)]
    with database.transaction() as tx:
        assert turns.roll(tx, desk.now) == 0


def test_a_seat_beside_an_expired_hold_is_kept_for_the_line(database: Database) -> None:
    desk = Desk(database).open(talk={"capacity": 2})
    desk.book(desk.at(9))
    desk.hold(desk.at(9))
    desk.join("imre", {"start": desk.at(11)}, seats=2)
    desk.now += timedelta(minutes=6)
    assert desk.at(9) in desk.starts(state="held")  # until the hold's end was noticed
    desk.work()
    assert desk.at(9) in desk.starts()
    with database.reading() as tx:
        assert tx.execute(sa.select(sa.func.count()).select_from(Seat)).scalar_one() == 1


def test_a_named_person_gets_time_that_waits_for_the_line(database: Database) -> None:
    desk = Desk(database).open(talk={})
    desk.join("imre", {"start": desk.at(9, 3)})
    changed(desk, hours={**SPEC["hours"], "thu": ["08:00-12:00"]})
    with database.transaction() as tx:
        judgement.promote(tx, TERMS, 1, desk.at(10, 3), now=desk.now, cause="admin")
    assert desk.at(10, 3) not in desk.starts()


# --- teams ----------------------------------------------------------------------------------------------------------


def team(database: Database, mode: str) -> tuple[Desk, Desk]:
    """Anna's service, done by her and Ben."""
    anna, ben = Desk(database).open("anna"), Desk(database).open("ben", solo={})
    with database.transaction() as tx:
        spec = {**SPEC, "team": ["anna", "ben"], "team_mode": mode}
        setup.put_service(tx, "anna", "talk", spec, now=anna.now)
    return anna, ben


def waits(desk: Desk, who: str, **more: Any) -> str:
    given = {"client": person(who), "wish": {"start": desk.at(9)}, "accept": "auto", "seats": 1, **more}
    with desk.database.transaction() as tx:
        return waitlist.join(tx, offering(tx, "anna", "talk"), given, now=desk.now, cause="test")


def operator_of(desk: Desk, token: str) -> int:
    with desk.database.reading() as tx:
        return int(desk.seen(waitlist.entry_by_token(tx, token).booking_id).operator_id)


def test_a_place_with_a_member_goes_to_who_waits_for_them_or_for_anybody(database: Database) -> None:
    anna, ben = team(database, "any")
    held = {desk.operator_id: anna.book(anna.at(9), f"c{desk.operator_id}", operator=slug) for desk, slug in ((anna, "anna"), (ben, "ben"))}  # fmt: skip
    for_anna, anybody = waits(anna, "imre", operator="anna"), waits(anna, "eva")
    anna.cancel(held[ben.operator_id])
    assert [anna.place(t)["status"] for t in (for_anna, anybody)] == ["waiting", "promoted"]
    assert operator_of(anna, anybody) == ben.operator_id
    anna.cancel(held[anna.operator_id])
    assert operator_of(anna, for_anna) == anna.operator_id


def test_time_that_a_member_frees_elsewhere_is_for_the_teams_line_first(database: Database) -> None:
    anna, ben = team(database, "any")
    with database.transaction() as tx:
        own = commands.book(
            tx, TERMS, "ben", "solo", {"start": ben.at(9), "client": person("x")}, now=ben.now, cause="t"
        )
    anna.book(anna.at(9), "c", operator="anna")
    anybody = waits(anna, "eva")
    ben.cancel(own)
    assert anna.place(anybody)["status"] == "promoted"
    assert operator_of(anna, anybody) == ben.operator_id


def test_an_offer_of_a_member_is_accepted_declined_and_expires_with_that_member(database: Database) -> None:
    anna, ben = team(database, "any")
    anna.book(anna.at(9), "c", operator="anna")
    held = anna.book(anna.at(9), "d", operator="ben")
    first, second, third = (waits(anna, who, accept="ask") for who in ("imre", "eva", "joe"))
    anna.cancel(held)
    anna.decline(first)
    assert anna.place(second)["status"] == "offered"
    anna.now += timedelta(minutes=31)
    anna.work()
    assert [anna.place(t)["status"] for t in (second, third)] == ["expired", "offered"]
    anna.accept(third)
    assert operator_of(anna, third) == ben.operator_id


def test_what_all_do_together_is_free_when_all_are(database: Database) -> None:
    anna, ben = team(database, "all")
    with database.transaction() as tx:
        own = commands.book(
            tx, TERMS, "ben", "solo", {"start": ben.at(9), "client": person("x")}, now=ben.now, cause="t"
        )
    token = waits(anna, "eva")
    ben.cancel(own)
    assert anna.place(token)["status"] == "promoted"
    with database.reading() as tx:
        assert tx.execute(sa.select(sa.func.count()).select_from(Slot).where(Slot.taken > 0)).scalar_one() == 2
