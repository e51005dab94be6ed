"""The public JSON API call by call (INTERFACE §4), with good and bad input.

Covers: api.public, api.problems, api.schemas, api.wire, api.slot_cache, api.deps, api.invite, api.openapi, api.health, api.limits, api.head.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from api.app import description
from api.slot_cache import SlotCache
from api.wire import instant, wire
from booking.queries import Listed, Pulse
from ledger.db import Base, Database
from tests.support.desk import person
from tests.support.doors import Doors, open_doors

WHERE = "/api/v1/operators/anna/services/talk"
START = "2027-01-12T09:00:00Z"


@pytest.fixture
def doors(sqlite: Database) -> Doors:
    return open_doors(
        sqlite, talk={"fields": [{"name": "phone", "type": "phone", "required": True}]}, group={"capacity": 3}
    )


def body(**changes: object) -> dict[str, object]:
    return {"start": START, "client": person("kata"), "answers": {"phone": "+36 1 234 5678"}, **changes}


def refused(answer: object, status: int, code: str, *fields: str) -> dict[str, object]:
    """A problem of the right shape; its body."""
    assert answer.status_code == status, answer.text  # type: ignore[attr-defined]
    assert answer.headers["content-type"] == "application/problem+json"  # type: ignore[attr-defined]
    told = answer.json()  # type: ignore[attr-defined]
    assert (told["status"], told["code"]) == (status, code)
    assert {"type", "title", "detail"} <= set(told)
    assert [e["field"] for e in told.get("errors", [])] == list(fields)
    return dict(told)


def rows(database: Database) -> dict[str, int]:
    with database.reading() as tx:
        return {
            table.name: tx.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
            for table in Base.metadata.sorted_tables
        }


def test_facts_of_operator_and_service(doors: Doors) -> None:
    operator = doors.client.get("/api/v1/operators/anna").json()
    assert [s["service"] for s in operator["services"]] == ["talk", "group"]
    service = doors.client.get(WHERE).json()
    assert (service["mode"], service["confirmation"], service["duration_minutes"]) == ("individual", "instant", 60)
    assert service["fields"][0]["name"] == "phone"
    refused(doors.client.get("/api/v1/operators/nobody"), 404, "not_found")
    refused(doors.client.get("/api/v1/operators/anna/services/none"), 404, "not_found")


def test_slots_with_etag_and_zone(doors: Doors) -> None:
    first = doors.client.get(f"{WHERE}/slots?from=2027-01-12&to=2027-01-12")
    assert [s["start"] for s in first.json()["slots"]] == [f"2027-01-12T{h:02}:00:00Z" for h in (8, 9, 10, 11)]
    assert (first.json()["timezone"], first.json()["fresh_at"]) == ("UTC", None)
    same = doors.client.get(
        f"{WHERE}/slots?from=2027-01-12&to=2027-01-12", headers={"If-None-Match": first.headers["etag"]}
    )
    assert (same.status_code, same.content) == (304, b"")
    doors.client.post(f"{WHERE}/bookings", json=body())
    changed = doors.client.get(
        f"{WHERE}/slots?from=2027-01-12&to=2027-01-12", headers={"If-None-Match": first.headers["etag"]}
    )
    assert changed.status_code == 200
    assert {s["start"]: s["state"] for s in changed.json()["slots"]}[START] == "full"
    auckland = doors.client.get(f"{WHERE}/slots?from=2027-01-13&to=2027-01-13&timezone=Pacific/Auckland").json()
    assert auckland["slots"][0]["start"] == "2027-01-12T11:00:00Z"


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("from=2027-01-12&to=2027-03-16", "to"),
        ("from=2027-01-12&to=2027-01-11", "to"),
        ("from=x&to=2027-01-12", "from"),
        ("from=2027-01-12T00:00:00Z&to=2027-01-12", "from"),
        ("from=2027-02-29&to=2027-03-01", "from"),
        ("to=2027-01-12", "from"),
        ("from=2027-01-12&to=2027-01-12&timezone=Mars/Olympus", "timezone"),
        ("from=2027-01-12&to=2027-01-12&timezone=../etc", "timezone"),
    ],
)
def test_slots_say_what_is_wrong(doors: Doors, query: str, field: str) -> None:
    refused(doors.client.get(f"{WHERE}/slots?{query}"), 422, "invalid", field)


def test_a_booking_from_hold_to_cancellation(doors: Doors) -> None:
    hold = doors.client.post(f"{WHERE}/holds", json={"start": START})
    assert (hold.status_code, hold.json()["expires_at"]) == (201, "2027-01-11T06:05:00Z")
    taken = refused(doors.client.post(f"{WHERE}/bookings", json=body()), 409, "slot_taken")
    assert START not in taken["alternatives"]  # type: ignore[operator]
    assert str(taken["waitlist"]).endswith("/services/talk/waitlist")
    made = doors.client.post(f"{WHERE}/bookings", json=body(hold=hold.json()["token"]))
    assert made.status_code == 201
    booking = made.json()
    assert (booking["status"], booking["start"], booking["revision"]) == ("confirmed", START, 0)
    path = f"/api/v1/bookings/{booking['token']}"
    assert doors.client.get(path).json()["timeline"][0]["what"] == "booked"
    moved = doors.client.post(f"{path}/reschedule", json={"start": "2027-01-12T10:00:00Z"}).json()
    assert (moved["id"], moved["uid"], moved["revision"]) == (booking["id"], booking["uid"], 1)
    assert doors.client.post(f"{path}/confirm-attendance").status_code == 200
    invite = doors.client.get(f"{path}/invite.ics")
    assert invite.headers["content-type"].startswith("text/calendar")
    assert f"UID:{booking['uid']}" in invite.text.replace("\r\n ", "")
    for _ in range(2):
        assert doors.client.post(f"{path}/cancel", json={"reason": "ill"}).json()["status"] == "cancelled"
    refused(doors.client.post(f"{path}/reschedule", json={"start": START}), 409, "not_possible")
    refused(doors.client.get("/api/v1/bookings/none"), 404, "not_found")


def test_a_hold_runs_out_or_is_given_back(doors: Doors) -> None:
    token = doors.client.post(f"{WHERE}/holds", json={"start": START}).json()["token"]
    for _ in range(2):
        assert doors.client.delete(f"/api/v1/holds/{token}").status_code == 204
    late = doors.client.post(f"{WHERE}/holds", json={"start": START}).json()["token"]
    doors.desk.now += timedelta(minutes=6)
    refused(doors.client.post(f"{WHERE}/bookings", json=body(hold=late)), 409, "hold_expired")
    assert doors.client.post(f"{WHERE}/bookings", json=body()).status_code == 201


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"start": "2027-01-12T09:00:00"}, ["start"]),
        ({"start": "soon"}, ["start"]),
        ({"start": "2027-01-12"}, ["start"]),
        ({"start": 1799744400}, ["start"]),
        ({"start": "1799744400"}, ["start"]),
        ({"seats": 0}, ["seats"]),
        ({"seats": 2}, ["seats"]),
        ({"client": {"name": "", "email": "x", "timezone": "Mars", "language": "tlh"}}, ["client.name", "client.email", "client.timezone", "client.language"]),
        ({"client": {"email": "kata@example.org"}}, ["client.name"]),
        ({"answers": {}}, ["answers.phone"]),
        ({"answers": {"phone": "x"}}, ["answers.phone"]),
        ({"answers": {"phone": "+36 1 234 5678", "shoe": 1}}, ["answers.shoe"]),
        ({"nonsense": 1}, ["nonsense"]),
    ],
)  # fmt: skip
def test_a_bad_booking_names_the_field_and_stores_nothing(
    doors: Doors, changes: dict[str, object], fields: list[str]
) -> None:
    before = rows(doors.desk.database)
    refused(doors.client.post(f"{WHERE}/bookings", json=body(**changes)), 422, "invalid", *fields)
    assert rows(doors.desk.database) == before


def test_what_is_not_json_or_too_large(doors: Doors) -> None:
    headers = {"Content-Type": "application/json"}
    refused(doors.client.post(f"{WHERE}/bookings", content=b"{", headers=headers), 400, "not_json")
    refused(doors.client.post(f"{WHERE}/bookings", content=b"x" * 70_000, headers=headers), 413, "too_large")
    pieces = (b"x" * 10_000 for _ in range(8))
    refused(doors.client.post(f"{WHERE}/bookings", content=pieces, headers=headers), 413, "too_large")
    refused(doors.client.put(f"{WHERE}/bookings", json={}), 405, "method_not_allowed")


def test_an_idempotency_key_gives_the_same_answer(doors: Doors) -> None:
    headers = {"Idempotency-Key": "once"}
    first = doors.client.post(f"{WHERE}/bookings", json=body(), headers=headers)
    again = doors.client.post(f"{WHERE}/bookings", json=body(), headers=headers)
    assert (again.status_code, again.json()["id"]) == (201, first.json()["id"])
    other = doors.client.post(f"{WHERE}/bookings", json=body(start="2027-01-12T10:00:00Z"), headers=headers)
    refused(other, 422, "idempotency_key_reused")


def test_the_window_to_cancel_closes(sqlite: Database) -> None:
    doors = open_doors(sqlite, talk={"cancel_until_minutes": 120})
    token = doors.client.post(f"{WHERE}/bookings", json={"start": START, "client": person("kata")}).json()["token"]
    doors.desk.now = doors.desk.at(7.5, 1)
    refused(doors.client.post(f"/api/v1/bookings/{token}/cancel"), 409, "too_late")
    refused(
        doors.client.post(f"/api/v1/bookings/{token}/reschedule", json={"start": "2027-01-12T11:00:00Z"}),
        409,
        "too_late",
    )


def test_the_line_from_joining_to_an_offer(doors: Doors) -> None:
    booked = doors.client.post(f"{WHERE}/bookings", json=body()).json()["token"]
    wish = {"from": "2027-01-12", "to": "2027-01-12", "weekdays": [2], "between": ["09:00", "10:00"]}
    joined = doors.client.post(f"{WHERE}/waitlist", json={"client": person("vera"), "wish": wish, "accept": "ask"})
    assert (joined.status_code, joined.json()["position"], joined.json()["status"]) == (201, 1, "waiting")
    path = f"/api/v1/waitlist/{joined.json()['token']}"
    assert doors.client.get(path).json()["wish"] == wish
    refused(doors.client.post(f"{path}/accept"), 410, "offer_expired")
    doors.client.post(f"/api/v1/bookings/{booked}/cancel")
    offered = doors.client.get(path).json()
    assert (offered["status"], offered["offer"]["start"]) == ("offered", START)
    refused(doors.client.post(f"{WHERE}/bookings", json=body()), 409, "slot_taken")
    accepted = doors.client.post(f"{path}/accept").json()
    assert accepted["status"] == "promoted"
    assert doors.client.get(f"/api/v1/bookings/{accepted['booking']}").json()["start"] == START
    assert doors.client.delete(path).status_code == 204
    refused(doors.client.get("/api/v1/waitlist/none"), 404, "not_found")


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        ({"start": "2020-01-01T00:00:00Z"}, "wish.start"),
        ({}, "wish.from"),
        ({"from": "2027-01-12", "to": "2027-01-11"}, "wish.to"),
        ({"from": "2027-01-12", "to": "2027-01-13", "weekdays": [9]}, "wish.weekdays"),
        ({"from": "2027-01-12", "to": "2027-01-13", "between": ["12:00", "09:00"]}, "wish.between"),
    ],
)
def test_a_wish_says_what_is_wrong(doors: Doors, wish: dict[str, object], field: str) -> None:
    answer = doors.client.post(f"{WHERE}/waitlist", json={"client": person("vera"), "wish": wish})
    refused(answer, 422, "invalid", field)


def test_a_get_never_changes_anything(doors: Doors) -> None:
    token = doors.client.post(f"{WHERE}/bookings", json=body()).json()["token"]
    place = doors.client.post(f"{WHERE}/waitlist", json={"client": person("vera"), "wish": {"start": START}}).json()[
        "token"
    ]
    before = rows(doors.desk.database)
    for path in (
        "/", "/livez", "/readyz", "/metrics", "/api/openapi.json", WHERE, f"{WHERE}/slots?from=2027-01-12&to=2027-01-12",
        f"/api/v1/bookings/{token}", f"/api/v1/bookings/{token}/invite.ics", f"/api/v1/waitlist/{place}", f"/en/b/{token}",
        f"/en/w/{place}", "/en/anna", "/en/anna/talk", f"/en/anna/talk?start={START}", "/en/anna/talk?wait=any",
    ):  # fmt: skip
        assert doors.client.get(path).status_code in (200, 409), path
    assert rows(doors.desk.database) == before


def test_head_is_get_without_its_body(doors: Doors) -> None:
    for path in ("/livez", f"{WHERE}/slots?from=2027-01-12&to=2027-01-12", "/en/anna/talk"):
        answer = doors.client.head(path)
        assert (answer.status_code, answer.content) == (200, b""), path


def test_health(doors: Doors) -> None:
    assert doors.client.get("/livez").text == "ok\n"
    assert doors.client.get("/readyz").text == "ready\n"
    assert "slotledger" in doors.client.get("/metrics").text
    with doors.desk.database.transaction() as tx:
        tx.execute(sa.text("DELETE FROM alembic_version"))
    refused(doors.client.get("/readyz"), 503, "not_ready")


def test_the_document_is_whole() -> None:
    document = description()
    assert document["openapi"].startswith("3.1")
    text = json.dumps(document)
    assert "HTTPValidationError" not in text
    for reference in set(re.findall(r"#/components/schemas/(\w+)", text)):
        assert reference in document["components"]["schemas"]
    public = [p for p in document["paths"] if p.startswith("/api/v1") and "/admin" not in p]
    assert len(public) == 15


def test_the_cache_follows_the_version_and_the_clock() -> None:
    cache, asked = SlotCache(size=1), []

    def compute() -> Listed:
        asked.append(1)
        return Listed((), now + timedelta(minutes=1))

    now = datetime(2027, 1, 11, tzinfo=UTC)
    for version, moment in ((1, now), (1, now), (2, now), (2, now + timedelta(minutes=2))):
        cache.get(("a",), Pulse(1, version, None), moment, compute)
    assert len(asked) == 3
    cache.get(("b",), Pulse(1, 2, None), now, compute)
    cache.get(("a",), Pulse(1, 2, None), now, compute)
    assert len(asked) == 5


def test_instants_on_the_wire() -> None:
    moment = datetime(2027, 1, 11, 7, 30, tzinfo=UTC)
    assert instant(moment) == "2027-01-11T07:30:00Z"
    assert wire({"a": [moment, moment.date()], 1: (None,)}) == {
        "a": ["2027-01-11T07:30:00Z", "2027-01-11"],
        "1": [None],
    }
    kept = {"to": moment.isoformat(), "at": ["2027-01-11T07:30:00.000005+00:00"], "why": "until 07:30:00+00:00"}
    assert wire(kept) == {"to": "2027-01-11T07:30:00Z", "at": ["2027-01-11T07:30:00.000005Z"], "why": kept["why"]}
