"""Whatever frees time or seats, and however the clocks stand: the line first (P7), and nothing is forgotten."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from booking import judgement, setup, waitlist
from booking.catalogue import offering
from ledger import pauses
from ledger.backoff import NotYet
from ledger.db import Database
from ledger.messages import ExpireHold, ExpireOffer, RemoteCancellation, RemoteMove, TimeFreed
from ledger.tables import Busy, Seat, Slot, SlotEvent, Turn
from tests.support import books
from tests.support.desk import SPEC, TERMS, Desk, person


def test_an_offer_whose_end_came_early_is_not_forgotten(database: Database) -> None:
    """Two hosts, two clocks: the relay's was ahead of the worker's."""
    desk = Desk(database).open(talk={})
    booking = desk.book(desk.at(9))
    desk.join("imre", {"start": desk.at(9)}, accept="ask")
    desk.cancel(booking)
    [asked] = desk.messages(ExpireOffer)
    desk.now += timedelta(minutes=29)
    with pytest.raises(NotYet):
        desk.say(asked)
    desk.now += timedelta(minutes=1)
    desk.say(asked)
    assert desk.at(9) in desk.starts()


def test_a_hold_whose_end_came_early_is_not_forgotten(database: Database) -> None:
    desk = Desk(database).open(talk={})
    desk.hold(desk.at(9))
    token = desk.join("imre", {"start": desk.at(9)})
    [asked] = desk.messages(ExpireHold)
    desk.now += timedelta(minutes=4)
    with pytest.raises(NotYet):
        desk.say(asked)
    desk.now += timedelta(minutes=1)
    desk.say(asked)
    assert desk.place(token)["status"] == "promoted"


def test_a_hold_that_ran_out_unnoticed_does_not_stand_in_the_way_of_the_line(database: Database) -> None:
    desk = Desk(database).open(talk={"capacity": 3})
    booking = desk.book(desk.at(9))
    desk.hold(desk.at(9), seats=2)
    token = desk.join("imre", {"start": desk.at(9)}, seats=3)
    desk.now += timedelta(minutes=6)
    with database.reading() as tx:
        event_id, slot_id = tx.execute(sa.select(SlotEvent.id, SlotEvent.slot_id)).one()
    desk.say(RemoteCancellation(event_id, slot_id))
    assert desk.seen(booking).status == "cancelled"
    assert desk.place(token)["status"] == "promoted"


def test_a_hold_that_ran_out_unnoticed_does_not_stand_in_the_way_of_a_move(database: Database) -> None:
    desk = Desk(database).open(talk={})
    booking = desk.book(desk.at(9))
    desk.hold(desk.at(10))
    desk.now += timedelta(minutes=6)
    with database.reading() as tx:
        event = tx.execute(sa.select(SlotEvent.__table__)).one()
    desk.say(RemoteMove(event.id, event.slot_id, event.version, desk.at(10), desk.at(11)))
    assert desk.seen(booking).starts_at == desk.at(10)


@pytest.mark.parametrize("paused", [True, False])
def test_what_a_named_person_leaves_of_kept_seats(database: Database, paused: bool) -> None:
    desk = Desk(database).open(talk={"capacity": 3})
    booking = desk.book(desk.at(9), seats=3)
    first = desk.join("imre", {"start": desk.at(9)}, seats=2)
    second = desk.join("eva", {"start": desk.at(9)})
    with database.transaction() as tx:
        pause = pauses.pause(tx, scope="global", target="", automations=["promote"], now=desk.now)
    desk.cancel(booking)
    with database.transaction() as tx:
        if not paused:
            pauses.resume(tx, pause, now=desk.now)
        holder = tx.execute(sa.select(Seat.holder)).scalar_one()
        judgement.give_kept_seat(tx, TERMS, desk.operator_id, holder, entry_id=2, now=desk.now, cause="test")
    assert desk.place(second)["status"] == "promoted"
    assert desk.place(first)["status"] == ("waiting" if paused else "promoted")
    with database.reading() as tx:
        assert tx.execute(sa.select(Slot.taken).where(Slot.taken > 0)).scalars().all() == [3]


@pytest.mark.parametrize("paused", [True, False])
def test_what_a_named_person_leaves_of_kept_time(database: Database, paused: bool) -> None:
    desk = Desk(database).open(talk={"durations_minutes": [60, 30], "start_every_minutes": 30})
    booking = desk.book(desk.at(9), duration_minutes=60)
    waiting = [waits(desk, who, hour, duration_minutes=30) for who, hour in (("imre", 9.5), ("eva", 9))]
    with database.transaction() as tx:
        pause = pauses.pause(tx, scope="global", target="", automations=["promote"], now=desk.now)
    desk.cancel(booking)
    with database.transaction() as tx:
        if not paused:
            pauses.resume(tx, pause, now=desk.now)
        holder = tx.execute(sa.select(Seat.holder)).scalar_one()
        judgement.give_kept_seat(tx, TERMS, desk.operator_id, holder, entry_id=2, now=desk.now, cause="test")
    assert [desk.place(t)["status"] for t in waiting] == ["waiting" if paused else "promoted", "promoted"]
    assert desk.at(9.5) not in desk.starts()
    if paused:
        with database.transaction() as tx:
            pauses.resume(tx, pause, now=desk.now)
        desk.work()
        assert desk.place(waiting[0])["status"] == "promoted"


def test_the_kept_time_of_a_member_goes_on_when_a_named_person_comes_to_another(database: Database) -> None:
    desk, ben = Desk(database).open("anna"), Desk(database).open("ben")
    with database.transaction() as tx:
        setup.put_service(tx, "anna", "talk", {**SPEC, "team": ["anna", "ben"], "team_mode": "any"}, now=desk.now)
    booking = desk.book(desk.at(9), operator="ben")
    desk.book(desk.at(10), "other", operator="ben")  # so Anna has less to do
    first, second = waits(desk, "imre", 9, operator="ben"), waits(desk, "eva", 9)
    with database.transaction() as tx:
        pauses.pause(tx, scope="global", target="", automations=["promote"], now=desk.now)
    desk.cancel(booking)
    with database.transaction() as tx:
        holder = tx.execute(sa.select(Seat.holder).where(Seat.holder.like("kept:%"))).scalar_one()
        judgement.give_kept_seat(tx, TERMS, ben.operator_id, holder, entry_id=2, now=desk.now, cause="test")
    assert [desk.place(t)["status"] for t in (first, second)] == ["waiting", "promoted"]
    assert desk.at(9) not in desk.starts()


def waits(desk: Desk, who: str, hour: float, **more: Any) -> str:
    given = {"client": person(who), "wish": {"start": desk.at(hour)}, "accept": "auto", "seats": 1, **more}
    with desk.database.transaction() as tx:
        return waitlist.join(tx, offering(tx, "anna", "talk"), given, now=desk.now, cause="test")


def test_hours_that_a_service_opens_go_to_the_line_first(database: Database) -> None:
    desk = Desk(database).open(talk={})
    thursday = desk.at(9, day=3)
    token = desk.join("imre", {"start": thursday})
    with database.transaction() as tx:
        spec = {**SPEC, "hours": {**SPEC["hours"], "thu": ["08:00-12:00"]}}
        setup.change_service(tx, "anna", "talk", spec=spec, active=None, now=desk.now)
    assert desk.at(10, day=3) not in desk.starts()
    desk.work()
    assert desk.place(token)["status"] == "promoted"
    assert desk.at(10, day=3) in desk.starts()
    assert thursday not in desk.starts()


def test_a_paused_service_is_not_served_by_what_another_one_frees(database: Database) -> None:
    desk = Desk(database).open(talk={}, walk={})
    booking = desk.book(desk.at(9))
    token = desk.join("imre", {"start": desk.at(9)}, service="walk")
    with database.transaction() as tx:
        walk = setup.services(tx, "anna")[1]["id"]
        pauses.pause(tx, scope="service", target=str(walk), automations=["promote"], now=desk.now)
    desk.cancel(booking)
    assert desk.place(token)["status"] == "waiting"


def test_freed_time_stays_closed_while_a_service_that_waits_for_it_is_paused(database: Database) -> None:
    desk = Desk(database).open(talk={})
    token = desk.join("imre", {"start": desk.at(9)})
    with database.transaction() as tx:
        talk = setup.services(tx, "anna")[0]["id"]
        pause = pauses.pause(tx, scope="service", target=str(talk), automations=["promote"], now=desk.now)
        calendar = books.calendar(tx, desk.operator_id, books.connection(tx, desk.operator_id, desk.now))
        tx.execute(
            sa.insert(Busy).values(
                operator_id=desk.operator_id, calendar_id=calendar, remote_event_id=1, starts_at=desk.at(9),
                ends_at=desk.at(10), freed=True,
            )
        )  # fmt: skip
    with pytest.raises(NotYet):
        desk.say(TimeFreed(desk.operator_id))
    assert desk.at(9) not in desk.starts()
    with database.transaction() as tx:
        pauses.resume(tx, pause, now=desk.now)
    desk.say(TimeFreed(desk.operator_id))
    assert desk.place(token)["status"] == "promoted"


def begun(database: Database, *, paused: bool) -> tuple[Desk, str, str, int]:
    """A long appointment five minutes after its start, and somebody who waits for an hour of its rest."""
    desk = Desk(database).open(long={"duration_minutes": 180}, walk={})
    booking = desk.book(desk.at(8), service="long")
    token = desk.join("imre", {"start": desk.at(10)}, service="walk")
    desk.now = desk.at(8) + timedelta(minutes=5)
    with database.transaction() as tx:
        pause = pauses.pause(
            tx, scope="global", target="", automations=["promote"] if paused else ["push"], now=desk.now
        )
    return desk, booking, token, pause


def test_the_rest_of_what_had_begun_goes_to_the_line(database: Database) -> None:
    desk, booking, token, _ = begun(database, paused=False)
    desk.cancel(booking, by="operator")
    assert desk.place(token)["status"] in ("promoted", "offered")
    assert desk.starts("walk") == [desk.at(9), desk.at(11), *desk.starts("walk")[2:]]


def test_the_rest_of_what_was_dragged_away_goes_to_the_line(database: Database) -> None:
    desk, _, token, _ = begun(database, paused=False)
    with database.reading() as tx:
        event = tx.execute(sa.select(SlotEvent.__table__)).one()
    desk.say(RemoteMove(event.id, event.slot_id, event.version, desk.at(8, 1), desk.at(11, 1)))
    assert desk.place(token)["status"] in ("promoted", "offered")


def test_the_rest_of_what_had_begun_stays_closed_during_a_pause(database: Database) -> None:
    desk, booking, token, pause = begun(database, paused=True)
    desk.cancel(booking, by="operator")
    desk.work()
    assert desk.place(token)["status"] == "waiting"
    assert not {desk.at(9), desk.at(10)} & set(desk.starts("walk"))
    with database.transaction() as tx:
        pauses.resume(tx, pause, now=desk.now)
    desk.work()
    assert desk.place(token)["status"] in ("promoted", "offered")
    assert desk.at(9) in desk.starts("walk")


def test_a_seat_of_a_class_that_has_begun_is_nobodys(database: Database) -> None:
    desk = Desk(database).open(talk={"capacity": 2})
    gone = desk.book(desk.at(8))
    desk.book(desk.at(8), "eva")
    desk.now = desk.at(8.5)
    with database.transaction() as tx:
        pauses.pause(tx, scope="global", target="", automations=["promote"], now=desk.now)
    desk.cancel(gone, by="operator")
    with database.reading() as tx:
        assert tx.execute(sa.select(sa.func.count()).select_from(Turn)).scalar_one() == 0
