"""The links in clients' mails: unguessable, changing nothing by being opened, and over some time after the appointment.

Covers: booking.rules, api.pages.booking, api.pages.line.
"""

from __future__ import annotations

import base64
from datetime import timedelta

import pytest
import sqlalchemy as sa

from booking import privacy, setup
from booking.rules import LINK_LIVES_ON
from booking.waitlist import REPEAT
from ledger.db import Base, Database
from tests.support.desk import TERMS
from tests.support.doors import Doors, open_doors


@pytest.fixture
def doors(sqlite: Database) -> Doors:
    return open_doors(sqlite)


def opened(token: str) -> list[str]:
    """Everything that a booking's link opens."""
    return [f"/en/b/{token}", f"/api/v1/bookings/{token}", f"/api/v1/bookings/{token}/invite.ics"]


def acted(token: str) -> list[str]:
    """Everything that may be done by it."""
    acts = [f"/api/v1/bookings/{token}/{act}" for act in ("cancel", "confirm-attendance")]
    return [*acts, f"/en/b/{token}/cancel", f"/en/b/{token}/confirm"]


def everything(database: Database) -> dict[str, list[str]]:
    with database.reading() as tx:
        return {t.name: sorted(str(row) for row in tx.execute(sa.select(t))) for t in Base.metadata.sorted_tables}


def test_a_link_can_not_be_guessed(doors: Doors) -> None:
    bookings = [doors.desk.seen(doors.desk.book(doors.desk.at(hour, 1))).token for hour in (8, 9, 10)]
    places = [doors.desk.join(who, {"start": doors.desk.at(9, 1)}) for who in ("vera", "mark")]
    for token in (*bookings, *places, doors.desk.hold(doors.desk.at(11, 1))):
        assert len(base64.urlsafe_b64decode(token + "==")) >= 18  # 144 random bits and more
    assert len({token[:6] for token in (*bookings, *places)}) == 5


def test_opening_a_link_changes_nothing(doors: Doors) -> None:
    token = doors.desk.seen(doors.desk.book(doors.desk.at(9, 1))).token
    place = doors.desk.join("vera", {"start": doors.desk.at(9, 1)})
    before = everything(doors.desk.database)
    for path in (*opened(token), f"/en/w/{place}", f"/api/v1/waitlist/{place}"):
        assert doors.client.get(path).status_code == 200
        assert doors.client.head(path).status_code == 200
    for path in (*acted(token), f"/en/w/{place}/leave", f"/api/v1/waitlist/{place}/accept"):
        assert doors.client.get(path).status_code in (404, 405)
    assert everything(doors.desk.database) == before


def test_some_time_after_the_appointment_the_link_leads_nowhere(doors: Doors) -> None:
    booking = doors.desk.book(doors.desk.at(9, 1))
    token = doors.desk.seen(booking).token
    doors.desk.now = doors.desk.seen(booking).ends_at + LINK_LIVES_ON - timedelta(seconds=1)
    assert [doors.client.get(path).status_code for path in opened(token)] == [200] * 3
    doors.desk.now += timedelta(seconds=1)
    before = everything(doors.desk.database)
    assert [doors.client.get(path).status_code for path in opened(token)] == [404] * 3
    assert {doors.client.post(path).status_code for path in acted(token)} <= {403, 404}
    moved = doors.client.post(f"/api/v1/bookings/{token}/reschedule", json={"start": "2027-03-01T09:00:00Z"})
    assert moved.status_code == 404
    assert everything(doors.desk.database) == before
    assert doors.admin("GET", f"/bookings/{booking}").status_code == 200


def test_so_does_the_link_to_a_place_in_line(doors: Doors) -> None:
    place = doors.desk.join("vera", {"start": doors.desk.at(9, 1)})
    doors.desk.now = doors.desk.at(0, 1) + LINK_LIVES_ON - timedelta(seconds=1)
    assert doors.client.get(f"/api/v1/waitlist/{place}").status_code == 200
    doors.desk.now += timedelta(seconds=1)
    for path in (f"/api/v1/waitlist/{place}", f"/en/w/{place}"):
        assert doors.client.get(path).status_code == 404


def test_knowing_an_address_gives_nobody_the_key_to_its_place(doors: Doors) -> None:
    wish = {"start": doors.desk.at(9, 1)}
    place = doors.desk.join("vera", wish)
    assert doors.desk.join("vera", wish) == place  # a form that was sent twice
    doors.desk.now += REPEAT
    assert doors.desk.join("vera", wish) != place


def test_a_wrong_link_tells_nothing(doors: Doors) -> None:
    token = doors.desk.seen(doors.desk.book(doors.desk.at(9, 1))).token
    answers = {doors.client.get(f"/api/v1/bookings/{t}").text for t in ("x", token[:-1], token.swapcase(), "a" * 32)}
    assert len(answers) == 1


def test_who_is_erased_takes_their_links_along(doors: Doors) -> None:
    booking = doors.desk.book(doors.desk.at(9, 1))
    token = doors.desk.seen(booking).token
    doors.desk.cancel(booking)
    doors.desk.now += timedelta(days=3)
    with doors.desk.database.transaction() as tx:
        privacy.erase(tx, TERMS, "kata@example.org", now=doors.desk.now, cause="test")
        privacy.erase(tx, TERMS, "kata@example.org", now=doors.desk.now, cause="test")
    with doors.desk.database.reading() as tx:
        left = tx.execute(sa.text("SELECT count(*) FROM booking WHERE token = :t"), {"t": token}).scalar_one()
    mails_wait = doors.desk.seen(booking).token == token
    assert mails_wait or (left == 0 and doors.client.get(f"/api/v1/bookings/{token}").status_code == 404)


def test_with_another_address_the_links_sent_before_lead_nowhere(doors: Doors) -> None:
    booking = doors.desk.book(doors.desk.at(9, 1))
    old = doors.desk.seen(booking).token
    said = doors.admin("POST", f"/bookings/{booking}/address", json={"email": "kata@new.example"})
    assert (said.status_code, said.json()["revision"], said.json()["client"]["email"]) == (200, 1, "kata@new.example")
    new = doors.desk.seen(booking).token
    assert new not in said.text
    before = everything(doors.desk.database)
    assert [doors.client.get(path).status_code for path in opened(old)] == [404] * 3
    assert {doors.client.post(path).status_code for path in acted(old)} <= {403, 404}
    assert everything(doors.desk.database) == before
    assert [doors.client.get(path).status_code for path in opened(new)] == [200] * 3
    assert doors.client.post(f"/api/v1/bookings/{new}/cancel").status_code == 200


def test_who_may_change_an_address(doors: Doors) -> None:
    booking = doors.desk.book(doors.desk.at(9, 1))
    with doors.desk.database.transaction() as tx:
        setup.add_operator(tx, "ben", name="Ben", email="b@practice.example", timezone="UTC", now=doors.now())
    before = doors.desk.seen(booking)
    body = {"email": "kata@new.example"}
    for scope, status in (("operator:ben", 404), ("read", 403)):
        assert doors.admin("POST", f"/bookings/{booking}/address", scope=scope, json=body).status_code == status
    wrong = doors.admin("POST", f"/bookings/{booking}/address", json={"email": "kata"})
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (422, "email")
    assert doors.desk.seen(booking) == before
    for _ in range(2):  # the second changes nothing
        changed = doors.admin("POST", f"/bookings/{booking}/address", scope="operator:anna", json=body)
        assert (changed.status_code, changed.json()["revision"]) == (200, 1)
