"""What no browser would send: refused as a problem that names the field, never an error of ours, nothing stored."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from ledger.db import Base, Database
from tests.support.desk import person
from tests.support.doors import Doors, open_doors

WHERE = "/api/v1/operators/anna/services/talk"
START = "2027-01-12T09:00:00Z"
QUESTIONS = [{"name": "note"}, {"name": "age", "type": "number"}]
FAR = [
    "9999-12-31T23:59:59Z",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00",
    "1969-12-31T23:59:59Z",
    "2200-01-01T00:00:00Z",
]


def opened(database: Database) -> Doors:
    return open_doors(database, talk={"fields": QUESTIONS}, closed={"waitlist": {"accept": []}})


@pytest.fixture
def doors(sqlite: Database) -> Doors:
    return opened(sqlite)


@pytest.fixture
def both(database: Database) -> Doors:
    """On each database, where it is the database that can't take it."""
    return opened(database)


@pytest.fixture(autouse=True)
def nothing_is_stored(request: pytest.FixtureRequest) -> Iterator[None]:
    doors: Doors = request.getfixturevalue("both" if "both" in request.fixturenames else "doors")

    def rows() -> dict[str, int]:
        with doors.desk.database.reading() as tx:
            return {
                t.name: tx.execute(sa.select(sa.func.count()).select_from(t)).scalar_one()
                for t in Base.metadata.sorted_tables
            }

    before = rows()
    yield
    assert rows() == before


def body(**changes: Any) -> dict[str, Any]:
    return {"start": START, "client": person("kata"), **changes}


def refused(answer: Any, status: int, code: str, *fields: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    assert (told["status"], told["code"]) == (status, code)
    assert [e["field"] for e in told.get("errors", [])] == list(fields)


# --- values beyond the calendar -----------------------------------------------------------------------------------


@pytest.mark.parametrize("start", FAR)
def test_instants_that_nobody_lives_to_see(doors: Doors, start: str) -> None:
    refused(doors.client.post(f"{WHERE}/bookings", json=body(start=start)), 422, "invalid", "start")
    refused(doors.client.post(f"{WHERE}/holds", json={"start": start}), 422, "invalid", "start")
    refused(doors.client.post("/api/v1/bookings/x/reschedule", json={"start": start}), 422, "invalid", "start")
    wish = {"client": person("imre"), "wish": {"start": start}}
    refused(doors.client.post(f"{WHERE}/waitlist", json=wish), 422, "invalid", "wish.start")
    page = doors.client.get("/en/anna/talk", params={"start": start, "wait": start})
    assert page.status_code == 200
    assert doors.client.post("/en/anna/talk", data={"start": start}).status_code == 303
    assert doors.client.post("/en/b/x/reschedule", data={"start": start}).status_code == 303


@pytest.mark.parametrize("start", ["2027-01-12T09:00:00", "tomorrow", "", None, [], {"a": 1}, "2027-13-01T00:00:00Z"])
def test_what_is_no_instant(doors: Doors, start: object) -> None:
    refused(doors.client.post(f"{WHERE}/bookings", json=body(start=start)), 422, "invalid", "start")


@pytest.mark.parametrize(
    ("first", "last", "field"),
    [("0001-01-01", "0001-01-01", "from"), ("9999-12-31", "9999-12-31", "from"), ("2027-01-12", "9999-12-31", "to"),
     ("2027-01-12", "x", "to"), ("2027-02-30", "2027-03-01", "from"), ("2027-01-12", "2027-01-11", "to"), ("2027-01-01", "2027-03-04", "to")],
)  # fmt: skip
def test_days_that_can_not_be_shown(doors: Doors, first: str, last: str, field: str) -> None:
    refused(
        doors.client.get(f"{WHERE}/slots", params={"from": first, "to": last, "timezone": "Pacific/Kiritimati"}),
        422,
        "invalid",
        field,
    )


@pytest.mark.parametrize(
    "zone",
    [
        "Mars/Olympus",
        "europe/berlin",
        "../../etc/passwd",
        "Europe",
        "localtime",
        "right/UTC",
        "a\x00b",
        "/etc/localtime",
    ],
)
def test_what_is_no_zone(doors: Doors, zone: str) -> None:
    asked = {"from": "2027-01-12", "to": "2027-01-12", "timezone": zone}
    refused(doors.client.get(f"{WHERE}/slots", params=asked), 422, "invalid", "timezone")
    client = {**person("kata"), "timezone": zone}
    refused(doors.client.post(f"{WHERE}/bookings", json=body(client=client)), 422, "invalid", "client.timezone")
    assert doors.client.get("/en/anna/talk", params={"tz": zone}).status_code == 200


@pytest.mark.parametrize("params", ["month=9999-12", "month=0001-01", "month=x", "day=9999-12-31", "day=0001-01-01", "day=x", "month=2027-13",
                                    "month=2199-12", "month=1990-01", "month=1991-01", "seats=-1", "seats=x", "wait=x", "start=x", "month=&day="])  # fmt: skip
def test_pages_survive_every_address(doors: Doors, params: str) -> None:
    for language in ("en", "ar"):
        assert doors.client.get(f"/{language}/anna/talk?{params}").status_code == 200


# --- characters that no text may hold -----------------------------------------------------------------------------


@pytest.mark.parametrize("letter", ["\x00", "\ud800"])
def test_no_text(both: Doors, letter: str) -> None:
    def post(path: str, value: dict[str, Any]) -> Any:
        return both.client.post(path, content=json.dumps(value).encode(), headers={"Content-Type": "application/json"})

    word = f"a{letter}b"
    for answer in (
        post(f"{WHERE}/bookings", body(client={**person("kata"), "email": f"{word}@example.org"})),
        post(f"{WHERE}/bookings", body(hold=word)),
        post(f"{WHERE}/bookings", body(answers={word: "x"})),
        post(f"{WHERE}/bookings", body(client={**person("kata"), "language": word})),
        post(f"{WHERE}/waitlist", {"client": person("imre"), "wish": {"from": word, "to": word}}),
        post("/api/v1/bookings/nobody/cancel", {"reason": word}),
        post("/api/v1/bookings/nobody/reschedule", {"start": word}),
    ):
        assert answer.status_code in (404, 409, 422), answer.text
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("name", ["%00", "a%00b", "%ff%fe", "%F0%9F%91%8D", "x" * 3000, "..%2F..", "%27%3B--"])
def test_names_that_nobody_has(both: Doors, name: str) -> None:
    for path in (
        "/api/v1/operators/{}", "/api/v1/operators/anna/services/{}", "/api/v1/operators/anna/services/{}/slots?from=2027-01-12&to=2027-01-12",
        "/api/v1/bookings/{}", "/api/v1/bookings/{}/invite.ics", "/api/v1/waitlist/{}", "/en/b/{}", "/en/w/{}", "/en/anna/{}", "/en/{}/talk",
    ):  # fmt: skip
        answer = both.client.get(path.format(name))
        assert answer.status_code in (404, 405), answer.text
        if answer.status_code == 404:
            assert ("problem+json" in answer.headers["content-type"]) == path.startswith("/api/")


def test_a_form_with_such_letters(both: Doors) -> None:
    form = {
        "start": START,
        "tz": "UTC",
        "name": "\x00",
        "email": "a\x00b@example.org",
        "once": "\x00",
        "answer_note": "\x00",
    }
    assert both.client.post("/en/anna/talk", data=form).status_code == 422
    assert both.client.post("/en/b/a%00b/cancel", data={"reason": "\x00"}).status_code == 404
    assert both.client.post("/en/w/a%00b/accept").status_code == 404
    assert both.client.delete("/api/v1/holds/a%00b").status_code in (204, 404)
    assert both.client.delete("/api/v1/waitlist/a%00b").status_code == 404


# --- wrong shapes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"seats": "two"}, "seats"), ({"seats": 1.5}, "seats"), ({"seats": 10**30}, "seats"), ({"seats": -1}, "seats"),
        ({"client": None}, "client"), ({"client": []}, "client"), ({"client": {"name": "x"}}, "client.email"), ({"answers": []}, "answers"),
        ({"answers": {"age": "1.e999"}}, "answers.age"), ({"answers": {"age": "NaN"}}, "answers.age"), ({"answers": {"note": "x" * 3000}}, "answers.note"),
        ({"colour": "red"}, "colour"), ({"hold": 5}, "hold"),
    ],
)  # fmt: skip
def test_every_wrong_shape_is_named(doors: Doors, changes: dict[str, Any], field: str) -> None:
    refused(doors.client.post(f"{WHERE}/bookings", json=body(**changes)), 422, "invalid", field)


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b'{"start": NaN}'])
def test_what_is_no_request(doors: Doors, raw: bytes) -> None:
    answer = doors.client.post(f"{WHERE}/bookings", content=raw, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422)
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_key_that_is_too_long(doors: Doors) -> None:
    answer = doors.client.post(f"{WHERE}/bookings", json=body(), headers={"Idempotency-Key": "k" * 101})
    refused(answer, 422, "invalid", "idempotency-key")


def test_a_line_that_does_not_exist(doors: Doors) -> None:
    closed = "/api/v1/operators/anna/services/closed/waitlist"
    wish = {"client": person("imre"), "wish": {"start": START}}
    refused(doors.client.post(closed, json=wish), 422, "invalid", "accept")
    assert "not in line" not in doors.client.get("/en/anna/closed?wait=any").text
    assert doors.client.post("/en/anna/closed/waitlist", data={"start": START, **person("imre")}).status_code == 404


# --- methods ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    ["/livez", "/readyz", "/metrics", "/api/v1/operators/anna", WHERE, f"{WHERE}/slots?from=2027-01-12&to=2027-01-12", "/en/anna/talk", "/",
     "/static/site.css", "/api/openapi.json", "/anna/talk", "/api/v1/bookings/none", "/en/b/none"],
)  # fmt: skip
def test_head_is_get_without_a_body(doors: Doors, path: str) -> None:
    whole, head = doors.client.get(path), doors.client.head(path)
    assert (head.status_code, head.content) == (whole.status_code, b"")
    assert head.headers["content-type"] == whole.headers["content-type"] if "content-type" in whole.headers else True
    assert head.headers.get("content-length") == whole.headers.get("content-length")


@pytest.mark.parametrize(
    ("method", "path"),
    [("PUT", WHERE), ("DELETE", WHERE), ("PATCH", f"{WHERE}/slots"), ("GET", f"{WHERE}/bookings"), ("HEAD", f"{WHERE}/bookings"), ("POST", "/livez"),
     ("DELETE", "/api/v1/bookings/x"), ("GET", "/api/v1/bookings/x/cancel"), ("GET", "/en/b/x/cancel"), ("PUT", "/en/anna/talk"), ("TRACE", "/livez")],
)  # fmt: skip
def test_a_method_that_a_door_does_not_have(doors: Doors, method: str, path: str) -> None:
    answer = doors.client.request(method, path)
    assert answer.status_code == 405
    assert answer.headers["allow"]
    if method != "HEAD":
        refused(answer, 405, "method_not_allowed")


@pytest.mark.parametrize(
    "path",
    [
        "/api",
        "/api/v1",
        "/api/v2/operators",
        "/api/v1/nothing",
        "/api/v1/operators",
        "/api/v1/operators/anna/nothing",
        "/api/v1/a/b/c/d/e",
    ],
)
def test_an_address_of_the_api_that_does_not_exist_is_a_problem(doors: Doors, path: str) -> None:
    refused(doors.client.get(path), 404, "not_found")
    assert doors.client.post(path, json={}).status_code in (404, 405)


@pytest.mark.parametrize(
    "path", ["/en/a/b/c/d", "/static/none.css", "/en/anna/talk/waitlist/x", "/demo/mail", "/operator/x/y/z"]
)
def test_any_other_is_a_page(doors: Doors, path: str) -> None:
    answer = doors.client.get(path, follow_redirects=True)
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/html")


# --- caches -------------------------------------------------------------------------------------------------------


def test_every_way_to_say_that_one_has_it_already(doors: Doors) -> None:
    path = f"{WHERE}/slots?from=2027-01-12&to=2027-01-12"
    etag = doors.client.get(path).headers["etag"]
    for known in (etag, etag.removeprefix("W/"), f'"x", {etag}', f'{etag},"x"', "*"):
        answer = doors.client.get(path, headers={"If-None-Match": known})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", etag)
        assert "content-type" not in answer.headers
    for other in ('"x"', "", "x", etag.strip('W/"')):
        assert doors.client.get(path, headers={"If-None-Match": other}).status_code == 200
