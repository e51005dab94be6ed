"""Where the links in operators' mails lead: `api.pages.operator`."""

from __future__ import annotations

import pytest

from ledger import audit
from ledger.db import Database
from tests.support.doors import Doors, open_doors


@pytest.fixture
def doors(sqlite: Database) -> Doors:
    return open_doors(sqlite, talk={"confirmation": "approval"})


def test_a_key_opens_and_buttons_decide(doors: Doors) -> None:
    booking = doors.desk.book(doors.desk.at(9, 1), "kata")
    path, key = f"/operator/bookings/{booking}", doors.token("operator:anna")
    asked = doors.client.get(path)
    assert (asked.status_code, "kata@example.org" in asked.text) == (200, False)
    shown = doors.client.post(path, data={"key": key})
    assert "kata@example.org" in shown.text
    assert doors.desk.seen(booking).status == "pending"
    assert doors.client.post(path, data={"key": key, "act": "confirm"}).status_code == 200
    assert doors.desk.seen(booking).status == "confirmed"
    assert doors.client.post(path, data={"key": key, "act": "decline"}).status_code == 409
    assert doors.client.post(path, data={"key": key, "act": "cancel"}).status_code == 200
    assert doors.desk.seen(booking).status == "cancelled"


def test_no_other_key_tells_or_changes_anything(doors: Doors) -> None:
    booking = doors.desk.book(doors.desk.at(9, 1), "kata")
    doors.admin(
        "POST", "/operators", json={"slug": "ben", "name": "Ben", "email": "b@practice.example", "timezone": "UTC"}
    )
    for key in ("", "sl_wrong", doors.token("operator:ben")):
        answer = doors.client.post(f"/operator/bookings/{booking}", data={"key": key, "act": "cancel"})
        assert (answer.status_code, "kata" in answer.text) == (403, False)
    assert doors.client.post("/operator/bookings/none", data={"key": doors.token("admin")}).status_code == 403
    doors.client.post(f"/operator/bookings/{booking}", data={"key": doors.token("read"), "act": "cancel"})
    assert doors.desk.seen(booking).status == "pending"


def test_what_is_done_with_a_key_is_written_down(doors: Doors) -> None:
    booking = doors.desk.book(doors.desk.at(9, 1), "kata")
    path, key = f"/operator/bookings/{booking}", doors.token("operator:anna")
    for act in ("", "confirm", "decline", "cancel"):  # looking is no change, and declining is too late
        doors.client.post(path, data={"key": key, "act": act})
    with doors.desk.database.reading() as tx:
        written = audit.listing(tx, target=f"booking:{booking}")
    assert [(e["kind"], e["actor"], e["address"], e["action"], e["operator"]) for e in written] == [
        ("token", "operator:anna", "testclient", "booking.cancelled", "anna"),
        ("token", "operator:anna", "testclient", "booking.confirmed", "anna"),
    ]


def test_nobody_frames_it(doors: Doors) -> None:
    path = f"/operator/bookings/{doors.desk.book(doors.desk.at(9, 1), 'kata')}"
    for answer in (doors.client.get(path), doors.client.post(path, data={"key": doors.token("admin")})):
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
