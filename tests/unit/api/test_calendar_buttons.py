"""The booking's page offers the invitation as a file and by the calendars' own forms, with nothing but the booking in it."""

from __future__ import annotations

import html
import re

import pytest
import sqlalchemy as sa

from booking.tables import Booking
from ledger.db import Database
from tests.support.desk import Desk
from tests.support.doors import Doors


@pytest.fixture
def doors(sqlite: Database) -> Doors:
    return Doors(Desk(sqlite).open(talk={"place": "Main street 1", "capacity": 1}, slow={"confirmation": "approval"}))


def shown(doors: Doors, booking_id: str) -> str:
    return str(doors.client.get(f"/en/b/{doors.desk.seen(booking_id).token}").text)


def links(page: str) -> list[str]:
    return [html.unescape(href) for href in re.findall(r'href="(https://[^"]+)"', page)]


def test_three_calendars_and_a_file(doors: Doors) -> None:
    booking = doors.desk.book(doors.desk.at(9))
    page = shown(doors, booking)
    assert [re.sub(r"^https://([^/]+)/.*$", r"\1", link) for link in links(page)] == [
        "calendar.google.com", "outlook.live.com", "outlook.office.com",
    ]  # fmt: skip
    assert "/invite.ics" in page
    for link in links(page):
        assert "Main%20street%201" in link
        assert "kata" not in link.lower()


@pytest.mark.parametrize("other", ["pending", "cancelled", "native"])
def test_only_what_is_confirmed_and_ours_to_invite(doors: Doors, other: str) -> None:
    booking = doors.desk.book(doors.desk.at(9), service="slow" if other == "pending" else "talk")
    if other == "cancelled":
        doors.desk.cancel(booking)
    if other == "native":
        with doors.desk.database.transaction() as tx:
            tx.execute(sa.update(Booking).values(voice="provider"))
    assert links(shown(doors, booking)) == []
