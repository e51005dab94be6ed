"""What becomes of the books, the calendar and the line when a human drops what waited behind a pause."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from connectors.model import Period
from ledger.db import Database
from ledger.free_time import ask_for_turn
from ledger.messages import PushEvent
from ledger.tables import Busy, Calendar, Connection, RemoteEvent, SlotEvent
from sync import facts
from tests.support.desk import SPEC, person
from tests.support.doors import Doors, open_doors


@pytest.fixture
def doors(database: Database) -> Doors:
    return open_doors(database, talk={})


def paused(doors: Doors, scope: str = "operator:anna", **more: Any) -> int:
    made = doors.admin("POST", "/pauses", json={"scope": scope, "automations": ["all"], **more})
    return int(made.json()["id"])


def waiting(doors: Doors, pause: int, *kinds: str) -> list[int]:
    rows = doors.admin("GET", f"/pauses/{pause}/preview").json()["items"]
    return [row["id"] for row in rows if not kinds or row["kind"] in kinds]


def dropped(doors: Doors, pause: int, ids: list[int]) -> list[int]:
    answer = doors.admin("DELETE", f"/pauses/{pause}", params={"discard": ",".join(map(str, ids))})
    assert answer.status_code == 200, answer.text
    doors.desk.work()
    return list(answer.json()["discarded"])


def event_of(doors: Doors, booking: str) -> Any:
    with doors.desk.database.reading() as tx:
        query = sa.select(SlotEvent.__table__).where(SlotEvent.slot_id == doors.desk.seen(booking).slot_id)
        return tx.execute(query).one()


def in_calendar(doors: Doors, booking: str) -> Any:
    """Its event as it is once it was written."""
    event = event_of(doors, booking)
    with doors.desk.database.transaction() as tx:
        written = {"state": "confirmed", "pushed_version": event.version, "href": "x.ics"}
        tx.execute(sa.update(SlotEvent).where(SlotEvent.id == event.id).values(**written))
    return event_of(doors, booking)


def test_an_event_whose_deletion_is_dropped_is_put_there_again(doors: Doors) -> None:
    booking = doors.desk.book(doors.desk.at(9, 1))
    event = in_calendar(doors, booking)
    pause = paused(doors)
    with doors.desk.database.transaction() as tx:
        facts.report_deleted(tx, event, now=doors.desk.now)
    held = waiting(doors, pause, "RemoteCancellation")
    assert dropped(doors, pause, held) == held
    again = event_of(doors, booking)
    assert (doors.desk.seen(booking).status, again.wanted, again.state) == ("confirmed", True, "planned")
    assert again.key != event.key
    assert doors.desk.messages(PushEvent, version=again.version)


def test_an_event_whose_move_is_dropped_goes_back(doors: Doors) -> None:
    booking = doors.desk.book(doors.desk.at(9, 1))
    event = in_calendar(doors, booking)
    pause = paused(doors)
    there = Period(event.starts_at + timedelta(hours=1), event.ends_at + timedelta(hours=1))
    with doors.desk.database.transaction() as tx:
        facts.report_move(tx, event, there, now=doors.desk.now)
    dropped(doors, pause, waiting(doors, pause, "RemoteMove"))
    back = event_of(doors, booking)
    assert (doors.desk.seen(booking).starts_at, back.starts_at, back.pushed_start) == (
        event.starts_at, event.starts_at, there.start,
    )  # fmt: skip
    assert doors.desk.messages(PushEvent, version=back.version)
    assert back.version == event.version + 1


def test_what_follows_a_newer_wish_is_left_to_it(doors: Doors) -> None:
    booking = doors.desk.book(doors.desk.at(9, 1))
    event = in_calendar(doors, booking)
    pause = paused(doors)
    there = Period(event.starts_at + timedelta(hours=1), event.ends_at + timedelta(hours=1))
    with doors.desk.database.transaction() as tx:
        facts.report_move(tx, event, there, now=doors.desk.now)
    held = waiting(doors, pause, "RemoteMove")
    doors.desk.reschedule(booking, doors.desk.at(11, 1))
    newer = event_of(doors, booking)
    dropped(doors, pause, held)
    assert event_of(doors, booking).version == newer.version


def busy(doors: Doors, hour: int) -> None:
    """A foreign event that has just gone away, while its time is still the line's."""
    start, now = doors.desk.at(hour, 1), doors.desk.now
    owner = {"operator_id": doors.desk.operator_id}
    with doors.desk.database.transaction() as tx:
        account = {**owner, "provider": "memory", "state_since": now, "created_at": now}
        connection = tx.execute(sa.insert(Connection).values(**account).returning(Connection.id)).scalar_one()
        about = {**owner, "connection_id": connection, "href": "b", "busy": True, "pulled_at": now}
        calendar = tx.execute(sa.insert(Calendar).values(**about).returning(Calendar.id)).scalar_one()
        event = sa.insert(RemoteEvent).values(calendar_id=calendar, href="e").returning(RemoteEvent.id)
        known = {**owner, "calendar_id": calendar, "remote_event_id": tx.execute(event).scalar_one()}
        tx.execute(sa.insert(Busy).values(**known, starts_at=start, ends_at=start + timedelta(hours=1), freed=True))
        ask_for_turn(tx, doors.desk.operator_id, now=now, cause="test")


def test_freed_time_whose_turn_is_dropped_is_open_to_everybody(doors: Doors) -> None:
    start = doors.desk.at(9, 1)
    pause = paused(doors)
    busy(doors, 9)
    vera = doors.desk.join("vera", {"start": start})
    assert start not in doors.desk.starts()
    dropped(doors, pause, waiting(doors, pause, "TimeFreed"))
    assert start in doors.desk.starts()
    assert doors.desk.place(vera)["status"] == "waiting"


def test_what_waits_for_several_operators_is_dropped_in_any_order(doors: Doors) -> None:
    ben = {"slug": "ben", "name": "Ben", "email": "ben@practice.example", "timezone": "UTC"}
    assert doors.admin("POST", "/operators", json=ben).status_code == 201
    made = doors.admin("POST", "/operators/ben/services", json={"slug": "talk", "spec": SPEC})
    assert made.status_code == 201
    start = doors.desk.at(9, 1)
    wanted = {"start": f"{start:%FT%TZ}", "client": person("kata")}
    bens = doors.client.post("/api/v1/operators/ben/services/talk/bookings", json=wanted).json()
    annas = doors.desk.book(start)
    pause = paused(doors, "global")
    for booking in (bens["id"], annas):
        doors.desk.cancel(booking)
    held = waiting(doors, pause, "PromoteWaitlist")
    assert len(held) == 2
    assert dropped(doors, pause, held) == held
    assert start in doors.desk.starts()


def test_what_the_pause_does_not_hold_is_refused_as_a_whole(doors: Doors) -> None:
    booking = doors.desk.book(doors.desk.at(9, 1))
    vera = doors.desk.join("vera", {"start": doors.desk.at(9, 1)})
    before = paused(doors, "service:anna/talk")
    doors.desk.cancel(booking)
    (freed,) = waiting(doors, before, "PromoteWaitlist")
    other = paused(doors, automations=["remind"])
    for wrong, named in (("99999", ["99999"]), (f"{freed},99999", ["99999"]), (f"777,{freed},99", ["99", "777"])):
        answer = doors.admin("DELETE", f"/pauses/{before}", params={"discard": wrong})
        (error,) = answer.json()["errors"]
        assert (answer.status_code, error["field"]) == (422, "discard"), answer.text
        assert re.findall(r"\d+", error["detail"]) == named
    assert doors.admin("DELETE", f"/pauses/{other}?discard={freed}").status_code == 422  # which another one holds
    doors.desk.work()
    assert doors.admin("GET", f"/pauses/{before}").json()["ended_at"] is None
    assert (waiting(doors, before, "PromoteWaitlist"), doors.desk.place(vera)["status"]) == ([freed], "waiting")
    answers = [doors.admin("DELETE", f"/pauses/{before}?discard={freed},{freed}") for _ in range(2)]
    assert [(a.status_code, a.json()["discarded"]) for a in answers] == [(200, [freed]), (200, [])]
    doors.desk.work()
    assert doors.desk.place(vera)["status"] == "waiting"


def test_a_pause_that_has_ended_by_itself_holds_nothing_that_could_be_dropped(doors: Doors) -> None:
    until = doors.desk.now + timedelta(hours=1)
    pause = paused(doors, until=f"{until:%FT%TZ}")
    booking = doors.desk.book(doors.desk.at(9, 2))
    held = waiting(doors, pause)
    assert held, "a calendar event to be written"
    doors.desk.now = until
    assert waiting(doors, pause) == []
    assert dropped(doors, pause, held) == []
    assert dropped(doors, pause, held) == []
    assert event_of(doors, booking).state == "planned"
