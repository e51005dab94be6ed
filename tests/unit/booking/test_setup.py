"""Operators and services: made and changed by whoever runs the place."""

from __future__ import annotations

from typing import Any

import pytest

from booking import setup
from booking.catalogue import offering
from booking.errors import Invalid, NotFound
from ledger.db import Database, Tx
from tests.support.desk import SPEC, Desk

BEN: dict[str, Any] = {"name": "Ben", "email": "ben@practice.example", "timezone": "Europe/London", "language": "en"}


@pytest.fixture
def desk(database: Database) -> Desk:
    return Desk(database).open(talk={})


def wrong(call: Any, *given: Any, **more: Any) -> list[tuple[str, str]]:
    with pytest.raises(Invalid) as refused:
        call(*given, **more)
    return [(e.field, e.code) for e in refused.value.errors]


@pytest.mark.parametrize(
    "slug",
    [
        "",
        "Anna",
        "an na",
        "-anna",
        "anna-",
        "an--na",
        "a" * 61,
        "admin",
        "en",
        "hu",
        "api",
        "b",
        "w",
        "änna",
        "a/b",
        "a\n",
    ],
)
def test_a_slug_is_part_of_an_address(desk: Desk, slug: str) -> None:
    with desk.database.transaction() as tx:
        assert wrong(setup.add_operator, tx, slug, **BEN, now=desk.now) == [("slug", "not_a_slug")]
        assert wrong(setup.put_service, tx, "anna", slug, {"title": "x"}, now=desk.now) == [("slug", "not_a_slug")]


def test_an_operator_is_added_once(desk: Desk) -> None:
    with desk.database.transaction() as tx:
        made = setup.add_operator(tx, "ben", **BEN, now=desk.now)
        assert setup.operator_id(tx, "ben") == made
        assert wrong(setup.add_operator, tx, "ben", **BEN, now=desk.now) == [("slug", "in_use")]
        assert setup.ensure_operator(tx, "ben", **BEN, now=desk.now) == made
        assert setup.ensure_operator(tx, "chloe", **BEN, now=desk.now) != made
        assert [o["slug"] for o in setup.operators(tx)] == ["anna", "ben", "chloe"]
        assert setup.operator(tx, "ben")["email"] == "ben@practice.example"
        assert [o["slug"] for o in setup.operators(tx, only=made)] == ["ben"]
        with pytest.raises(NotFound):
            setup.operator_id(tx, "dora")


def test_every_wrong_field_of_an_operator_is_named(desk: Desk) -> None:
    bad = {"name": "", "email": "x", "timezone": "Mars", "language": "tlh"}
    with desk.database.transaction() as tx:
        assert [f for f, _ in wrong(setup.add_operator, tx, "ben", **bad, now=desk.now)] == [
            "name",
            "email",
            "timezone",
            "language",
        ]
        assert wrong(setup.change_operator, tx, "anna", {"timezone": "Mars"}, now=desk.now) == [
            ("timezone", "unknown_timezone")
        ]
        assert setup.operator(tx, "anna")["timezone"] == "UTC"


def test_an_operator_can_be_changed_and_switched_off(desk: Desk) -> None:
    with desk.database.transaction() as tx:
        setup.change_operator(tx, "anna", {"name": "Anna K", "timezone": "Europe/Budapest"}, now=desk.now)
        assert (setup.operator(tx, "anna")["name"], setup.operator(tx, "anna")["email"]) == (
            "Anna K",
            "anna@practice.example",
        )
        assert offering(tx, "anna", "talk").rules.timezone == "Europe/Budapest"
        setup.change_operator(tx, "anna", {"active": False}, now=desk.now)
        with pytest.raises(NotFound):
            offering(tx, "anna", "talk")
        with pytest.raises(NotFound):
            setup.change_operator(tx, "ben", {"name": "x"}, now=desk.now)


def put(tx: Tx, desk: Desk, slug: str = "walk", replace: bool = False, **spec: Any) -> int:
    return setup.put_service(tx, "anna", slug, {**SPEC, **spec}, now=desk.now, replace=replace)


def test_a_service_is_added_once_and_replaced_where_that_is_meant(desk: Desk) -> None:
    with desk.database.transaction() as tx:
        made = put(tx, desk)
        assert wrong(put, tx, desk) == [("slug", "in_use")]
        assert put(tx, desk, replace=True, title="Long walk") == made
        assert offering(tx, "anna", "walk").spec.title == "Long walk"
        assert wrong(put, tx, desk, "run", capacity=0) == [("capacity", "greater_than_equal")]
        assert [s["slug"] for s in setup.services(tx, "anna")] == ["talk", "walk"]
        with pytest.raises(NotFound):
            setup.put_service(tx, "ben", "walk", SPEC, now=desk.now)
        with pytest.raises(NotFound):
            setup.services(tx, "ben")
        assert setup.owner_of_service(tx, made) == desk.operator_id
        with pytest.raises(NotFound):
            setup.owner_of_service(tx, 99)


def test_a_changed_service_outdates_what_is_shown(desk: Desk) -> None:
    before = desk.starts()
    with desk.database.transaction() as tx:
        setup.change_service(
            tx, "anna", "talk", spec={**SPEC, "hours": {"wed": ["08:00-09:00"]}}, active=None, now=desk.now
        )
    assert desk.starts() == [desk.at(8, day=2), desk.at(8, day=9)]
    with desk.database.transaction() as tx:
        setup.change_service(tx, "anna", "talk", spec=SPEC, active=False, now=desk.now)
        with pytest.raises(NotFound):
            offering(tx, "anna", "talk")
        setup.change_service(tx, "anna", "talk", spec=None, active=True, now=desk.now)
        with pytest.raises(NotFound):
            setup.change_service(tx, "anna", "run", spec=None, active=True, now=desk.now)
    assert desk.starts() == before


def test_a_line_waits_while_a_service_is_off_and_is_served_when_it_is_on_again(desk: Desk) -> None:
    booking = desk.book(desk.at(9))
    token = desk.join("imre", {"start": desk.at(9)})
    with desk.database.transaction() as tx:
        setup.change_service(tx, "anna", "talk", spec=None, active=False, now=desk.now)
    desk.cancel(booking)
    assert desk.place(token)["status"] == "waiting"
    with desk.database.transaction() as tx:
        setup.change_service(tx, "anna", "talk", spec=None, active=True, now=desk.now)
    assert desk.at(9) not in desk.starts()
    desk.work()
    assert desk.place(token)["status"] == "promoted"


def test_a_slot_belongs_to_somebody(desk: Desk) -> None:
    slot = desk.seen(desk.book(desk.at(9))).slot_id
    with desk.database.reading() as tx:
        assert setup.owner_of_slot(tx, slot) == desk.operator_id
        with pytest.raises(NotFound):
            setup.owner_of_slot(tx, 99)
