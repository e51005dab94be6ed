"""What operators and admins look through, page by page."""

from __future__ import annotations

from typing import Any

import pytest

from booking import overview
from booking.errors import Invalid
from ledger.db import Database
from tests.support.desk import Desk


@pytest.fixture
def desk(database: Database) -> Desk:
    made = Desk(database).open(talk={}, group={"capacity": 9})
    for number, hour in enumerate((8, 9, 10, 11)):
        made.book(made.at(hour), f"client{number}")
    for who in ("kata", "100%sure", "under_score"):
        made.book(made.at(8, day=1), who, "group")
    made.cancel(made.book(made.at(9, day=1), "gone"))
    return made


def names(desk: Desk, **asked: Any) -> list[str]:
    with desk.database.reading() as tx:
        rows, _ = overview.bookings(tx, **asked)
    return [row["client_email"].partition("@")[0] for row in rows]


def test_newest_appointments_first_and_page_by_page_without_gaps(desk: Desk) -> None:
    whole = names(desk)
    assert whole[0] == "gone"
    assert whole[-4:] == ["client3", "client2", "client1", "client0"]
    paged, cursor = [], ""
    with desk.database.reading() as tx:
        while True:
            rows, cursor = overview.bookings(tx, cursor=cursor, limit=2)
            paged += [row["client_email"].partition("@")[0] for row in rows]
            if not cursor:
                break
    assert paged == whole


@pytest.mark.parametrize("cursor", ["x", "2027-01-11", "2027-01-11T08:00:00_x", "_", "9999-99-99T00:00:00+00:00_a"])
def test_no_cursor(desk: Desk, cursor: str) -> None:
    with desk.database.reading() as tx:
        with pytest.raises(Invalid) as refused:
            overview.bookings(tx, cursor=cursor)
        assert [e.field for e in refused.value.errors] == ["cursor"]


def test_it_can_be_narrowed(desk: Desk) -> None:
    assert names(desk, status="cancelled") == ["gone"]
    assert len(names(desk, service="group")) == 3
    assert names(desk, operator="ben") == []
    assert len(names(desk, operator="anna", operator_id=desk.operator_id)) == 8
    assert names(desk, first=desk.at(9), last=desk.at(11)) == ["client2", "client1"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("KATA", ["kata"]),
        ("client1", ["client1"]),
        ("example.org", 8),
        ("100%", ["100%sure"]),
        ("%", ["100%sure"]),
        ("_", ["under_score"]),
    ],
)
def test_a_text_is_looked_for_as_it_stands(desk: Desk, text: str, found: list[str] | int) -> None:
    hits = names(desk, text=text)
    assert (len(hits) if isinstance(found, int) else hits) == found


def test_the_line_in_the_order_in_which_it_came(desk: Desk) -> None:
    for who in ("imre", "eva", "joe"):
        token = desk.join(who, {"start": desk.at(8)})
    desk.leave(token)
    with desk.database.reading() as tx:
        rows = overview.line(tx)
        assert [(r["client_email"], r["position"], r["service"]) for r in rows] == [
            ("imre@example.org", 1, "talk"), ("eva@example.org", 2, "talk"),
        ]  # fmt: skip
        assert [r["id"] for r in overview.line(tx, after=rows[0]["id"])] == [rows[1]["id"]]
        assert [r["id"] for r in overview.line(tx, limit=1)] == [rows[0]["id"]]
        assert overview.line(tx, service="group") == []
        assert overview.line(tx, operator_id=99) == []
        assert len(overview.line(tx, status="removed", operator_id=desk.operator_id)) == 1
        assert overview.owner_of_entry(tx, rows[0]["id"]).operator_id == desk.operator_id
        assert overview.owner_of_entry(tx, 99) is None
        assert overview.counts(tx) == {"confirmed": 7, "cancelled": 1, "waiting": 2}
        assert overview.counts(tx, operator_id=99) == {"waiting": 0}


def test_whose_a_booking_is(desk: Desk) -> None:
    booking = desk.book(desk.at(8, day=2))
    with desk.database.reading() as tx:
        assert overview.owner_of_booking(tx, booking) == desk.operator_id
        assert overview.owner_of_booking(tx, "nobody") is None
