"""Entity tags on what is edited, pages and filters of every list, and endpoints for webhooks.

Covers: api.admin.common, api.admin.webhooks, api.admin.calendars, api.admin.books.
"""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
import sqlalchemy as sa

from api.admin.common import etag_of
from ledger import claims, reviews
from ledger.db import Database
from ledger.messages import SendWebhook
from ledger.tables import Calendar, Connection
from ledger.webhooks import Webhook
from tests.support.doors import Doors, open_doors

HOOK = {"url": "https://hooks.example/here?key=theirs", "operator": "anna", "events": ["booking.cancelled"]}


@pytest.fixture
def doors(sqlite: Database) -> Doors:
    doors = open_doors(sqlite, talk={}, group={"capacity": 3})
    with sqlite.transaction() as tx:
        account = {
            "operator_id": doors.desk.operator_id, "provider": "caldav", "url": "https://dav.example/", "username": "anna",
            "state_since": doors.desk.now, "created_at": doors.desk.now,
        }  # fmt: skip
        connection = tx.execute(sa.insert(Connection).values(account).returning(Connection.id)).scalar_one()
        for name in ("work", "home"):
            calendar = {"connection_id": connection, "operator_id": doors.desk.operator_id, "href": name, "name": name}
            tx.execute(sa.insert(Calendar).values(calendar))
    return doors


def hook(doors: Doors, **changes: Any) -> dict[str, Any]:
    answer = doors.admin("POST", "/webhooks", json=HOOK | changes)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


EDITED: list[tuple[str, str, dict[str, Any]]] = [
    ("PATCH", "/operators/anna", {"name": "Anna Kis"}),
    ("PUT", "/operators/anna/services/talk", {"active": False}),
    ("PATCH", "/calendars/1", {"busy": True}),
    ("PATCH", "/webhooks/1", {"description": "theirs"}),
]


@pytest.mark.parametrize(("method", "path", "body"), EDITED)
def test_who_was_slower_is_told_so(doors: Doors, method: str, path: str, body: dict[str, Any]) -> None:
    hook(doors)
    read = doors.admin("GET", path)
    tag = read.headers["etag"]
    assert tag.startswith('"')
    assert tag == doors.admin("GET", path).headers["etag"]
    changed = doors.admin(method, path, json=body, headers_more={"If-Match": f'"other", {tag}'})
    assert (changed.status_code, changed.headers["etag"] != tag) == (200, True)
    again = doors.admin(method, path, json=body, headers_more={"If-Match": tag})
    assert (again.status_code, again.json()["code"]) == (412, "precondition_failed")
    weak = doors.admin(method, path, json=body, headers_more={"If-Match": "W/" + changed.headers["etag"]})
    assert weak.status_code == 412
    assert doors.admin(method, path, json=body, headers_more={"If-Match": "*"}).status_code == 200
    assert doors.admin(method, path, json=body).status_code == 200
    assert doors.admin("GET", path).headers["etag"] == changed.headers["etag"]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PATCH", "/operators/anna", {"name": "Anna Kis"}),
        ("PUT", "/operators/anna/services/talk", {"active": False}),
        ("PATCH", "/webhooks/1", {"description": "x"}),
    ],
)
def test_of_two_at_once_one_is_told_so(database: Database, method: str, path: str, body: dict[str, Any]) -> None:
    doors = open_doors(database, talk={}, group={"capacity": 3})
    hook(doors)
    tag, key = doors.admin("GET", path).headers["etag"], doors.token("admin")
    told: list[int] = []

    def edit(through: Doors) -> None:
        answer = through.admin(method, path, token=key, json=body, headers_more={"If-Match": tag})
        told.append(answer.status_code)

    threads = [threading.Thread(target=edit, args=(each,)) for each in (doors, Doors(doors.desk))]
    with database.transaction() as tx:  # both come while somebody else changes something
        claims.lock_operator(tx, doors.desk.operator_id)
        tx.execute(sa.update(Webhook).values(failures=0))
        for thread in threads:
            thread.start()
        time.sleep(1)
    for thread in threads:
        thread.join(20)
    assert sorted(told) == [200, 412]


@pytest.mark.parametrize(
    "path",
    ["/operators/anna/services/talk", "/operators/anna", "/calendars/1", "/connections/1", "/webhooks/1"],
)
def test_nothing_is_removed_by_who_was_slower(doors: Doors, path: str) -> None:
    hook(doors)
    tag = doors.admin("GET", path).headers["etag"]
    assert doors.admin("DELETE", path, headers_more={"If-Match": '"old"'}).status_code == 412
    assert doors.admin("GET", path).headers["etag"] == tag
    assert doors.admin("DELETE", path, headers_more={"If-Match": tag}).status_code == 204


def test_what_was_booked_is_not_removed(doors: Doors) -> None:
    doors.desk.book(doors.desk.at(9, 1))
    for path in ("/operators/anna", "/operators/anna/services/talk"):
        refused = doors.admin("DELETE", path)
        assert (refused.status_code, refused.json()["code"]) == (409, "not_possible")
    assert doors.admin("DELETE", "/operators/anna/services/group").status_code == 204
    assert doors.admin("GET", "/operators/anna/services/group").status_code == 404
    assert doors.admin("DELETE", "/operators/anna", scope="operator:anna").status_code == 403


def test_a_disabled_connection_and_a_dropped_calendar_are_still_there(doors: Doors) -> None:
    assert doors.admin("PATCH", "/calendars/1", json={"busy": True}).json()["busy"] is True
    assert doors.admin("DELETE", "/calendars/1").status_code == 204
    assert doors.admin("GET", "/calendars/1").json()["busy"] is False
    assert doors.admin("DELETE", "/connections/1").status_code == 204
    assert doors.admin("GET", "/connections/1").json()["state"] == "disabled"
    refused = doors.admin("PATCH", "/connections/1", json={"voice": "provider"})
    assert refused.status_code == 409
    health = doors.admin("GET", "/connections/1/health").json()
    assert [c["lag_seconds"] for c in health["calendars"]] == [None, None]
    assert doors.admin("POST", "/calendars/2/pull").json() == {"asked": 2}


def lists(doors: Doors) -> None:
    for slug in ("ben", "cleo"):
        person = {"slug": slug, "name": slug, "email": f"{slug}@practice.example", "timezone": "UTC"}
        assert doors.admin("POST", "/operators", json=person).status_code == 201
    for hour in (8, 9, 10):
        doors.desk.book(doors.desk.at(hour, 1), "kata")
        doors.desk.join("vera", {"start": doors.desk.at(hour, 1)})
        hook(doors)
        doors.admin("POST", "/pauses", json={"scope": "operator:anna", "automations": ["remind"]})
        with doors.desk.database.transaction() as tx:
            reviews.ask(tx, "overlap", f"x{hour}", now=doors.desk.now, operator_id=doors.desk.operator_id)


LISTS = [
    "/operators", "/operators/anna/services", "/bookings", "/waitlist", "/webhooks", "/pauses", "/reviews", "/tokens",
    "/calendars", "/connections", "/outbox", "/audit",
]  # fmt: skip


@pytest.mark.parametrize("path", LISTS)
def test_every_list_has_pages(doors: Doors, path: str) -> None:
    lists(doors)
    token = doors.token("admin")
    whole = doors.admin("GET", f"{path}?limit=200", token=token).json()
    assert whole["cursor"] is None
    seen, cursor = [], ""
    while cursor is not None:
        page = doors.admin("GET", f"{path}?limit=1&cursor={cursor}", token=token).json()
        assert len(page["items"]) <= 1
        seen += page["items"]
        cursor = page["cursor"]
    assert seen == whole["items"]
    assert len(seen) >= (1 if path == "/connections" else 2)
    for wrong in ("limit=0", "limit=201", "limit=x", "cursor=-1", "cursor=x!"):
        assert doors.admin("GET", f"{path}?{wrong}", token=token).status_code == 422


FILTERS = [
    ("/operators?active=false", 0), ("/operators?active=true", 3), ("/operators/anna/services?active=true", 2),
    ("/waitlist?operator=anna", 3), ("/waitlist?operator=ben", 0), ("/waitlist?status=promoted", 0),
    ("/pauses?scope=operator", 3), ("/pauses?scope=global", 0), ("/reviews?kind=overlap", 3), ("/reviews?kind=move", 0),
    ("/reviews?booking=none", 0), ("/reviews?state=dismissed", 0), ("/calendars?operator=ben", 0),
    ("/calendars?connection=1", 2), ("/calendars?role=busy", 0), ("/connections?provider=caldav", 1),
    ("/connections?state=stale", 0), ("/connections?operator=anna", 1), ("/outbox?kind=CompleteBooking", 3),
    ("/outbox?operator=ben", 0), ("/outbox?booking=none", 0), ("/outbox?state=done", 0), ("/tokens?scope=read", 0),
    ("/events?type=booking.booked", 3), ("/events?type=booking.cancelled", 0), ("/events?operator=ben", 0),
    ("/events?operator=nobody", 0), ("/events?booking=none", 0), ("/events?limit=2", 2),
]  # fmt: skip


def test_lists_are_filtered(doors: Doors) -> None:
    lists(doors)
    doors.desk.now = doors.desk.at(7)
    token = doors.token("admin")
    found = {path: len(doors.admin("GET", path, token=token).json()["items"]) for path, _ in FILTERS}
    assert found == dict(FILTERS)


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/bookings?status=bogus", "status"), ("/waitlist?status=bogus", "status"), ("/reviews?state=bogus", "state"),
        ("/reviews?kind=bogus", "kind"), ("/outbox?state=bogus", "state"), ("/connections?state=bogus", "state"),
        ("/connections?provider=bogus", "provider"), ("/calendars?role=bogus", "role"), ("/pauses?scope=bogus", "scope"),
        ("/audit?kind=bogus", "kind"),
    ],
)  # fmt: skip
def test_a_word_that_a_filter_does_not_know_is_named_with_those_it_knows(doors: Doors, path: str, field: str) -> None:
    answer = doors.admin("GET", path)
    assert (answer.status_code, [e["field"] for e in answer.json()["errors"]]) == (422, [field]), answer.text
    listed = doors.client.get("/api/openapi.json").json()["paths"]["/api/v1/admin" + path.partition("?")[0]]["get"]
    (known,) = (p["schema"]["enum"] for p in listed["parameters"] if p["name"] == field)
    assert all(repr(word) in answer.json()["detail"] for word in known)
    for word in known:
        assert doors.admin("GET", f"{path.partition('?')[0]}?{field}={word}").status_code == 200, word


def test_one_thing_is_found_by_its_id(doors: Doors) -> None:
    lists(doors)
    for path in ("/pauses", "/reviews", "/tokens", "/calendars", "/connections", "/webhooks"):
        token = doors.token("admin")
        first = doors.admin("GET", path, token=token).json()["items"][0]
        one = doors.admin("GET", f"{path}/{first['id']}", token=token).json()
        assert {k: v for k, v in one.items() if k in first} == {k: v for k, v in first.items() if k in one}
        assert doors.admin("GET", f"{path}/4711", token=token).status_code == 404


def test_an_endpoint_is_made_shown_once_and_removed(doors: Doors) -> None:
    made = hook(doors)
    assert made["secret"].startswith("whsec_")
    (row,) = doors.admin("GET", "/webhooks").json()["items"]
    assert (row["url"], row["events"], row["operator"], row["state"]) == (
        *(HOOK[k] for k in ("url", "events", "operator")),
        "active",
    )
    assert "secret" not in str(row).replace("old_secret_until", "")
    doors.desk.cancel(doors.desk.book(doors.desk.at(9, 1)))
    (asked,) = doors.desk.messages(SendWebhook)
    assert isinstance(asked, SendWebhook)
    rotated = doors.admin("POST", f"/webhooks/{made['id']}/rotate", json={"overlap_hours": 1}).json()
    assert rotated["secret"] != made["secret"]
    assert rotated["old_secret_until"] == "2027-01-11T07:00:00Z"
    assert doors.admin("DELETE", f"/webhooks/{made['id']}").status_code == 204
    with doors.desk.database.reading() as tx:
        assert tx.execute(sa.select(Webhook.id)).first() is None


def test_an_endpoint_rests_and_goes_on_by_hand(doors: Doors) -> None:
    here = f"/webhooks/{hook(doors)['id']}"
    assert doors.admin("POST", f"{here}/resume").status_code == 409
    assert doors.admin("POST", f"{here}/pause").json()["state"] == "paused"
    assert doors.admin("POST", f"{here}/pause").json()["state_detail"] == "by admin"
    assert doors.admin("GET", "/status").json()["webhooks"] == {"paused": 1}
    assert doors.admin("POST", f"{here}/resume", json={"after": 3}).json()["state"] == "replaying"
    assert doors.admin("POST", f"{here}/replay", json={"after": 0}).json()["state"] == "replaying"
    assert doors.admin("POST", f"{here}/replay").status_code == 422


def test_a_review_of_an_endpoint_is_approved_by_resuming_it(doors: Doors) -> None:
    from ledger import webhook_feed

    webhook_id = hook(doors)["id"]
    with doors.desk.database.transaction() as tx:
        webhook_feed.pause(tx, webhook_id, why="gone", now=doors.desk.now, state="disabled", notice=True)
    (review,) = doors.admin("GET", "/reviews").json()["items"]
    assert (review["kind"], review["choices"]) == ("webhook", ["resume"])
    assert doors.admin("POST", f"/reviews/{review['id']}/approve").json()["state"] == "approved"
    assert doors.admin("GET", f"/webhooks/{webhook_id}").json()["state"] == "replaying"


@pytest.mark.parametrize(
    "url",
    [
        "ftp://x.example/",
        "javascript:alert(1)",
        "//x",
        "https://",
        "",
        "http://[::1",
        "https://x.example/" + "a" * 2000,
    ],
)
def test_what_is_no_address_is_no_endpoint(doors: Doors, url: str) -> None:
    refused = doors.admin("POST", "/webhooks", json={"url": url})
    assert refused.status_code == 422
    assert {e["field"] for e in refused.json()["errors"]} == {"url"}
    assert doors.admin("GET", "/webhooks").json()["items"] == []


def test_names_and_keys_in_an_address_are_not_kept(doors: Doors) -> None:
    assert hook(doors, url="https://user:pw@hooks.example/x#part")["url"] == "https://hooks.example/x"


def test_an_operators_key_makes_endpoints_for_its_own_bookings_only(doors: Doors) -> None:
    lists(doors)
    ben = doors.token("operator:ben")
    assert doors.admin("POST", "/webhooks", token=ben, json={"url": HOOK["url"]}).status_code == 403
    assert doors.admin("POST", "/webhooks", token=ben, json=HOOK).status_code == 404
    assert doors.admin("GET", "/webhooks", token=ben).json()["items"] == []
    for method, act in (
        ("GET", ""),
        ("PATCH", ""),
        ("DELETE", ""),
        ("POST", "/rotate"),
        ("POST", "/pause"),
        ("POST", "/resume"),
    ):
        answer = doors.admin(method, f"/webhooks/1{act}", token=ben, json={} if method != "GET" else None)
        assert answer.status_code == 404
    made = doors.admin("POST", "/webhooks", token=ben, json=HOOK | {"operator": "ben"})
    assert (made.status_code, made.json()["operator"]) == (201, "ben")


def test_an_entity_tag_is_that_of_the_content() -> None:
    assert etag_of({"a": 1, "b": 2}) == etag_of({"b": 2, "a": 1}) != etag_of({"a": 1, "b": 3})


def test_a_link_lets_the_operator_connect_without_telling_us_the_password(doors: Doors) -> None:
    made = doors.admin("POST", "/connections/links", json={"operator": "anna", "provider": "caldav"})
    assert made.status_code == 201
    assert made.json()["url"].startswith("http://127.0.0.1:8000/connect/caldav?ticket=")
    assert made.json()["expires_at"] == "2027-01-12T06:00:00Z"
    ticket = made.json()["url"].partition("ticket=")[2]
    assert doors.client.get(f"/connect/caldav?ticket={ticket}").status_code == 200
    (entry,) = doors.admin("GET", "/audit?action=link.made").json()["items"]
    assert entry["operator"] == "anna"
    assert ticket not in str(entry)
    unknown = doors.admin("POST", "/connections/links", json={"operator": "anna", "provider": "google"})
    assert (unknown.status_code, unknown.json()["code"]) == (409, "not_possible")
    voice = {"operator": "anna", "provider": "caldav", "voice": "provider"}
    assert doors.admin("POST", "/connections/links", json=voice).status_code == 409


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/",
        "https://localhost/",
        "https://x.localhost./",
        "https://10.0.0.1/x",
        "https://[::1]/",
        "https://[fe80::1%25eth0]/",
        "https://169.254.169.254/",
        "https://2130706433/",
        "https://0x7f.1/",
        "http://hooks.example/",
    ],
)
def test_an_address_of_our_own_network_is_refused_when_it_is_given(doors: Doors, url: str) -> None:
    for refused in (
        doors.admin("POST", "/webhooks", json={"url": url}), doors.admin("PATCH", "/webhooks/1", json={"url": url}),
    ):  # fmt: skip
        assert (refused.status_code, refused.json()["errors"][0]["code"]) == (422, "address_refused")
