"""Hours that a calendar opens: what they name, how many they seat, and what becomes of people in them when they go."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import pytest
import sqlalchemy as sa

from booking import capacity, openings, setup
from booking.errors import SlotTaken
from ledger import claims, pauses, reviews
from ledger.db import Database
from ledger.messages import HoursClosed, Message, TimeFreed
from ledger.tables import Opening, Review
from tests.support import books
from tests.support.desk import Desk

FACTS: tuple[Callable[[int], Message], ...] = (HoursClosed, TimeFreed)


class Hours:
    """Anna's availability calendar, as the last pull left it."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        with desk.database.transaction() as tx:
            account = books.connection(tx, desk.operator_id, desk.now)
            self.calendar = books.calendar(tx, desk.operator_id, account, availability=True, pulled_at=desk.now)

    def are(
        self, *periods: tuple[datetime, datetime, str, int | None], told: Sequence[Callable[[int], Message]] = FACTS
    ) -> None:
        """A pull: these instead of those before, and the facts that follow; told: those of them that no pause holds."""
        with self.desk.database.transaction() as tx:
            tx.execute(sa.delete(Opening))
            for start, end, label, seats in periods:
                books.opening(
                    tx, self.desk.operator_id, self.calendar, start, end, label=label, seats=seats, fresh=True
                )
        for fact in told:
            self.desk.say(fact(self.desk.operator_id))


@pytest.fixture
def desk(database: Database) -> Desk:
    return Desk(database).open(
        yoga={"title": "Yoga", "capacity": 4, "calendar_openings": True},
        talk={"title": "Talk", "calendar_openings": True},
    )


@pytest.fixture
def hours(desk: Desk) -> Hours:
    return Hours(desk)


def asked(desk: Desk, state: str = "open") -> list[tuple[str, str]]:
    with desk.database.reading() as tx:
        return [(r["kind"], r["detail"]["start"]) for r in reviews.listing(tx, state=state)]


def test_a_title_names_services_and_seats(desk: Desk, hours: Hours) -> None:
    hours.are(
        (desk.at(8), desk.at(9), "yoga, 2 seats", 2),
        (desk.at(10), desk.at(11), "talk", None),
        (desk.at(12), desk.at(13), "open", None),
    )
    assert desk.starts("yoga") == [desk.at(8), desk.at(12)]
    assert desk.starts("talk") == [desk.at(10), desk.at(12)]
    desk.book(desk.at(8), "a", "yoga", seats=2)
    with pytest.raises(SlotTaken):
        desk.book(desk.at(8), "b", "yoga")
    desk.book(desk.at(12), "b", "yoga", seats=4)


def test_another_number_of_seats_holds_for_who_is_in_it(desk: Desk, hours: Hours) -> None:
    hours.are((desk.at(8), desk.at(9), "yoga", 2))
    booked = [desk.book(desk.at(8), who, "yoga") for who in ("a", "b")]
    waiting = desk.join("imre", {"start": desk.at(8)}, "yoga", accept="ask")
    hours.are((desk.at(8), desk.at(9), "yoga", 3))
    assert desk.place(waiting)["status"] == "offered"
    desk.decline(waiting)
    hours.are((desk.at(8), desk.at(9), "yoga", 1))
    assert [desk.seen(each).status for each in booked] == ["confirmed"] * 2
    desk.cancel(booked[0])
    assert desk.starts("yoga", "full") == [desk.at(8)]
    assert desk.starts("yoga") == []


def promotion_paused(desk: Desk, service: str = "") -> int:
    with desk.database.transaction() as tx:
        target = next((str(s["id"]) for s in setup.services(tx, "anna") if s["slug"] == service), "")
        scope = "service" if service else "global"
        return pauses.pause(tx, scope=scope, target=target, automations=["promote"], now=desk.now)


def test_seats_that_come_during_a_pause_are_the_lines_though_others_are_served(database: Database) -> None:
    services = {"talk": {"title": "Talk"}, "yoga": {"title": "Yoga", "capacity": 4}}
    desk = Desk(database).open(**{name: {**spec, "calendar_openings": True} for name, spec in services.items()})
    hours = Hours(desk)
    hours.are((desk.at(8), desk.at(9), "yoga", 2))
    desk.book(desk.at(8), "a", "yoga", seats=2)
    for_yoga = desk.join("imre", {"start": desk.at(8)}, "yoga")
    for_talk = desk.join("eva", {"start": desk.at(10)}, "talk")
    pause = promotion_paused(desk, "yoga")
    hours.are((desk.at(8), desk.at(9), "yoga", 4), (desk.at(10), desk.at(11), "talk", None))
    assert [desk.place(t)["status"] for t in (for_yoga, for_talk)] == ["waiting", "promoted"]
    with pytest.raises(SlotTaken):
        desk.book(desk.at(8), "stranger", "yoga")
    with desk.database.transaction() as tx:
        pauses.resume(tx, pause, now=desk.now)
    desk.work()
    assert desk.place(for_yoga)["status"] == "promoted"
    desk.book(desk.at(8), "stranger", "yoga")


def test_fewer_seats_hold_during_a_pause(desk: Desk, hours: Hours) -> None:
    hours.are((desk.at(8), desk.at(9), "yoga", 8))
    desk.book(desk.at(8), "a", "yoga")
    promotion_paused(desk)
    hours.are((desk.at(8), desk.at(9), "yoga", 2), told=[HoursClosed])
    with pytest.raises(SlotTaken):
        desk.book(desk.at(8), "b", "yoga", seats=2)
    desk.book(desk.at(8), "b", "yoga")
    hours.are((desk.at(8), desk.at(9), "yoga", 8), told=[HoursClosed])
    with pytest.raises(SlotTaken):  # more of them are for the line
        desk.book(desk.at(8), "c", "yoga")


@pytest.mark.parametrize("change", ["deleted", "moved", "shortened", "renamed"])
def test_people_stay_when_their_hours_go_and_the_operator_is_asked(desk: Desk, hours: Hours, change: str) -> None:
    hours.are((desk.at(8), desk.at(10), "yoga", None))
    booked = desk.book(desk.at(8), service="yoga")
    left: dict[str, list[Any]] = {
        "deleted": [],
        "moved": [(desk.at(14), desk.at(16), "yoga", None)],
        "shortened": [(desk.at(8.5), desk.at(10), "yoga", None)],
        "renamed": [(desk.at(8), desk.at(10), "talk", None)],
    }
    hours.are(*left[change])
    assert desk.seen(booked).status == "confirmed"
    assert asked(desk) == [("closed_hours", desk.at(8).isoformat())]
    assert desk.at(9) not in desk.starts("yoga")
    hours.are(*left[change])
    assert len(asked(desk)) == 1


def test_hours_that_come_back_end_the_question(desk: Desk, hours: Hours) -> None:
    hours.are((desk.at(8), desk.at(10), "yoga", None))
    desk.book(desk.at(8), service="yoga")
    hours.are()
    hours.are((desk.at(7), desk.at(9), "yoga", None))
    assert asked(desk) == []


def test_what_was_put_away_is_not_asked_again(desk: Desk, hours: Hours) -> None:
    hours.are((desk.at(8), desk.at(10), "yoga", None))
    desk.book(desk.at(8), service="yoga")
    hours.are()
    with desk.database.transaction() as tx:
        reviews.resolve(tx, tx.execute(sa.select(Review.id)).scalar_one(), state="dismissed", by="test", now=desk.now)
    hours.are()
    assert asked(desk) == []


def test_hours_of_the_plan_ask_nothing(database: Database) -> None:
    desk = Desk(database).open(talk={})
    desk.book(desk.at(9))
    with database.transaction() as tx:
        claims.lock_operator(tx, desk.operator_id)
        openings.look(tx, desk.operator_id, now=desk.now)
        assert capacity.adjust(tx, desk.operator_id, now=desk.now, cause="test") == 0
    assert asked(desk) == []
