"""The admin API: who may come in, and what each call does.

Covers: api.admin.common, api.admin.books, api.admin.bookings, api.admin.line, api.admin.pauses, api.admin.reviews,
api.admin.calendars, api.admin.machinery, api.admin.tokens, api.scopes, api.reviewing, api.security, api.keys, api.tables.
"""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa

from api.tables import ApiToken
from booking import judgement
from ledger import reviews
from ledger.db import Database
from ledger.messages import RemoteMove
from ledger.tables import Seat, SlotEvent
from tests.support.desk import SPEC, TERMS, person
from tests.support.doors import Doors, open_doors


@pytest.fixture
def doors(sqlite: Database) -> Doors:
    return open_doors(sqlite, talk={}, group={"capacity": 3, "confirmation": "approval"})


ROUTES = [
    ("GET", "/operators"), ("POST", "/operators"), ("GET", "/bookings"), ("GET", "/waitlist"), ("GET", "/pauses"),
    ("POST", "/pauses"), ("GET", "/reviews"), ("GET", "/calendars"), ("GET", "/connections"), ("GET", "/outbox"),
    ("GET", "/events"), ("GET", "/status"), ("GET", "/tokens"), ("POST", "/tokens"), ("POST", "/bookings/x/cancel"),
    ("DELETE", "/pauses/1"), ("POST", "/reviews/1/approve"), ("POST", "/outbox/1/retry"), ("PATCH", "/calendars/1"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_nobody_comes_in_without_a_good_key(doors: Doors, method: str, path: str) -> None:
    for headers in ({}, {"Authorization": "Bearer sl_wrong"}, {"Authorization": "Basic x"}):
        answer = doors.client.request(method, f"/api/v1/admin{path}", headers=headers)
        assert answer.status_code == 401
        assert (answer.json()["code"], answer.headers["www-authenticate"]) == ("unauthorized", "Bearer")


@pytest.mark.parametrize(("method", "path"), [r for r in ROUTES if r[0] != "GET"])
def test_a_reading_key_changes_nothing(doors: Doors, method: str, path: str) -> None:
    assert doors.admin(method, path, scope="read").status_code == 403


def test_keys_expire_are_revoked_and_stored_as_hashes(doors: Doors) -> None:
    made = doors.admin("POST", "/tokens", json={"name": "ops", "scope": "admin", "expires_at": "2027-01-11T07:00:00Z"})
    token = made.json()["token"]
    assert doors.admin("GET", "/status", token=token).status_code == 200
    with doors.desk.database.reading() as tx:
        assert token not in str(tx.execute(sa.select(ApiToken.__table__)).all())
    assert token not in doors.admin("GET", "/tokens").text
    doors.desk.now += timedelta(hours=2)
    assert doors.admin("GET", "/status", token=token).status_code == 401
    other = doors.token("admin")
    listed = doors.admin("GET", "/tokens", token=other).json()["items"]
    mine = next(t["id"] for t in reversed(listed) if t["name"] == "admin")
    for _ in range(2):
        assert doors.admin("DELETE", f"/tokens/{mine}").status_code == 204
    assert doors.admin("GET", "/status", token=other).status_code == 401
    assert doors.admin("POST", "/tokens", json={"name": "x", "scope": "god"}).json()["errors"][0]["field"] == "scope"


def test_an_operators_key_sees_only_their_own(doors: Doors) -> None:
    doors.admin(
        "POST", "/operators", json={"slug": "ben", "name": "Ben", "email": "ben@practice.example", "timezone": "UTC"}
    )
    booking = doors.desk.book(doors.desk.at(9, 1))
    ben = doors.token("operator:ben")
    assert [o["slug"] for o in doors.admin("GET", "/operators", token=ben).json()["items"]] == ["ben"]
    assert doors.admin("GET", "/operators/anna", token=ben).status_code == 404
    assert doors.admin("GET", f"/bookings/{booking}", token=ben).status_code == 404
    assert doors.admin("POST", f"/bookings/{booking}/cancel", token=ben).status_code == 404
    assert doors.admin("GET", "/bookings", token=ben).json()["items"] == []
    assert (
        doors.admin("POST", "/pauses", token=ben, json={"scope": "global", "automations": ["all"]}).status_code == 403
    )
    body = {"scope": "operator:anna", "automations": ["all"]}
    assert doors.admin("POST", "/pauses", token=ben, json=body).status_code == 404
    assert doors.admin("GET", "/outbox", token=ben).status_code == 403
    assert doors.admin("POST", "/operators", token=ben, json={}).status_code in (403, 422)


def test_operators_and_services_are_made_and_changed(doors: Doors) -> None:
    bad = doors.admin("POST", "/operators", json={"slug": "Ben!", "name": "", "email": "x", "timezone": "Mars"})
    assert bad.status_code == 422
    assert bad.json()["code"] == "invalid"
    assert (
        doors.admin("PATCH", "/operators/anna", json={"timezone": "Europe/Berlin"}).json()["timezone"]
        == "Europe/Berlin"
    )
    made = doors.admin(
        "POST", "/operators/anna/services", json={"slug": "long", "spec": {"title": "Long", "duration_minutes": 90}}
    )
    assert (made.status_code, made.json()["duration_minutes"]) == (201, 90)
    wrong = doors.admin(
        "PUT", "/operators/anna/services/long", json={"spec": {"title": "Long", "capacity": 0, "nonsense": 1}}
    )
    assert {e["field"] for e in wrong.json()["errors"]} == {"capacity", "nonsense"}
    assert doors.admin("PUT", "/operators/anna/services/long", json={"active": False}).json()["active"] is False
    assert doors.client.get("/api/v1/operators/anna/services/long").status_code == 404


def test_bookings_are_found_page_by_page(doors: Doors) -> None:
    doors.desk.book(doors.desk.at(9, 1), "kata")
    doors.desk.book(doors.desk.at(10, 1), "ben")
    assert [b["client_name"] for b in doors.admin("GET", "/bookings").json()["items"]] == ["Ben", "Kata"]
    assert len(doors.admin("GET", "/bookings?q=KATA").json()["items"]) == 1
    assert doors.admin("GET", "/bookings?operator=anna&service=group").json()["items"] == []
    assert len(doors.admin("GET", "/bookings?from=2027-01-12T09:30:00Z&status=confirmed").json()["items"]) == 1
    for cursor in ("nonsense", "9999-12-31T23:59:59-23:59_ab", "2027-01-12T09:00:00_ab"):
        assert doors.admin("GET", f"/bookings?cursor={cursor}").status_code == 422


def test_what_an_operator_may_do_with_a_booking(doors: Doors) -> None:
    pending = doors.desk.book(doors.desk.at(9, 1), "kata", "group")
    assert doors.desk.seen(pending).status == "pending"
    assert doors.admin("POST", f"/bookings/{pending}/confirm").json()["status"] == "confirmed"
    assert doors.admin("POST", f"/bookings/{pending}/decline").status_code == 409
    moved = doors.admin("POST", f"/bookings/{pending}/reschedule", json={"start": "2027-01-12T11:00:00Z"})
    assert (moved.status_code, moved.json()["revision"]) == (200, 1)
    doors.desk.now = doors.desk.at(13, 1)
    for act, status in (("complete", "completed"), ("no-show", "no_show"), ("undo-no-show", "completed")):
        assert doors.admin("POST", f"/bookings/{pending}/{act}").json()["status"] == status
    view = doors.admin("GET", f"/bookings/{pending}").json()
    assert "token" not in view
    assert {e["cause"] for e in view["timeline"]} >= {"test", "admin:admin"}
    assert doors.admin("GET", "/bookings/nobody").status_code == 404


def test_a_pause_keeps_the_seat_and_a_human_names_who_gets_it(doors: Doors) -> None:
    start = doors.desk.at(9, 1)
    first = doors.desk.book(start, "kata")
    vera, mark = doors.desk.join("vera", {"start": start}), doors.desk.join("mark", {"start": start})
    pause = doors.admin(
        "POST", "/pauses", json={"scope": "service:anna/talk", "automations": ["promote"], "reason": "look"}
    )
    doors.desk.cancel(first)
    doors.desk.work()
    assert start not in doors.desk.starts()
    assert [doors.desk.place(p)["status"] for p in (vera, mark)] == ["waiting", "waiting"]
    waiting = doors.admin("GET", f"/pauses/{pause.json()['id']}/preview").json()["items"]
    assert [(w["kind"], w["entry"]["client_name"], w["would"]) for w in waiting] == [
        ("PromoteWaitlist", "Vera", "would give a freed seat to the first in line")
    ]
    (review,) = doors.admin("GET", "/reviews").json()["items"]
    entry = next(e["id"] for e in doors.admin("GET", "/waitlist").json()["items"] if e["client_name"] == "Mark")
    assert doors.admin("POST", f"/reviews/{review['id']}/approve", json={"choice": "abc"}).status_code == 422
    assert doors.admin("POST", f"/reviews/{review['id']}/approve", json={"choice": str(entry)}).status_code == 200
    assert doors.desk.place(mark)["status"] == "promoted"
    assert doors.admin("POST", f"/reviews/{review['id']}/approve").status_code == 409
    assert doors.admin("DELETE", f"/pauses/{pause.json()['id']}").status_code == 200
    doors.desk.work()
    assert doors.desk.place(vera)["status"] == "waiting"
    assert doors.admin("GET", "/pauses").json()["items"] == []


def test_a_pause_resumed_ends_as_if_there_had_been_none(doors: Doors) -> None:
    start = doors.desk.at(9, 1)
    first = doors.desk.book(start, "kata")
    vera = doors.desk.join("vera", {"start": start})
    pause = doors.admin("POST", "/pauses", json={"scope": "operator:anna", "automations": ["all"]}).json()["id"]
    doors.desk.cancel(first)
    doors.desk.work()
    assert doors.desk.place(vera)["status"] == "waiting"
    doors.admin("DELETE", f"/pauses/{pause}")
    doors.desk.work()
    assert doors.desk.place(vera)["status"] == "promoted"
    assert doors.admin("GET", "/reviews").json()["items"] == []


def test_what_waits_can_be_dropped(doors: Doors) -> None:
    start = doors.desk.at(9, 1)
    first = doors.desk.book(start, "kata")
    vera = doors.desk.join("vera", {"start": start})
    pause = doors.admin("POST", "/pauses", json={"scope": "global", "automations": ["promote"]}).json()["id"]
    doors.desk.cancel(first)
    (waiting,) = doors.admin("GET", f"/pauses/{pause}/preview").json()["items"]
    assert doors.admin("DELETE", f"/pauses/{pause}?discard=x").status_code == 422
    assert doors.admin("DELETE", f"/pauses/{pause}?discard={waiting['id']}").json()["discarded"] == [waiting["id"]]
    doors.desk.work()
    assert doors.desk.place(vera)["status"] == "waiting"
    assert start in doors.desk.starts()


def test_what_waits_says_whom_it_is_about_and_what_is_left_of_it(doors: Doors) -> None:
    doors.admin("PUT", "/operators/anna/services/talk", json={"spec": {**SPEC, "reminder_hours": 24}})
    pause = doors.admin("POST", "/pauses", json={"scope": "operator:anna", "automations": ["all"]}).json()["id"]
    stays, goes = doors.desk.book(doors.desk.at(11, 2), "kata"), doors.desk.book(doors.desk.at(10, 2), "lili")
    doors.desk.cancel(goes)

    def reminders(scope: str) -> list[tuple[str, str, bool]]:
        listed = doors.admin("GET", f"/pauses/{pause}/preview", scope=scope).json()["items"]
        found = [(row["bookings"], row) for row in listed if row["kind"] == "RemindBooking"]
        assert [b["id"] for bookings, _ in found for b in bookings] == [stays, goes]
        assert found[0][0][0]["start"] == "2027-01-13T11:00:00Z"
        return [(bookings[0]["client_name"], row["would"], row["idle"]) for bookings, row in found]

    for scope in ("admin", "read", "operator:anna"):
        assert reminders(scope) == [
            ("Kata", "would remind this client", False),
            ("Lili", "nothing any more", True),
        ]


def test_whoever_may_read_all_sees_behind_everybodys_pause_and_nobody_else(doors: Doors) -> None:
    pause = doors.admin("POST", "/pauses", json={"scope": "global", "automations": ["push"]}).json()["id"]
    doors.desk.book(doors.desk.at(9, 1), "kata")
    for scope, status in (("admin", 200), ("read", 200), ("operator:anna", 403)):
        assert doors.admin("GET", f"/pauses/{pause}/preview", scope=scope).status_code == status
        assert doors.admin("GET", f"/pauses/{pause}", scope=scope).status_code == status
    assert doors.admin("DELETE", f"/pauses/{pause}", scope="read").status_code == 403


def test_an_operator_learns_no_name_of_another_from_what_waits(doors: Doors) -> None:
    body = {"slug": "ben", "name": "Ben", "email": "ben@practice.example", "timezone": "UTC"}
    assert doors.admin("POST", "/operators", json=body).status_code == 201
    shared = {**SPEC, "team": ["anna", "ben"], "team_mode": "all"}
    made = doors.admin("POST", "/operators/anna/services", json={"slug": "both", "spec": shared})
    assert made.status_code == 201, made.text
    pause = doors.admin("POST", "/pauses", json={"scope": "operator:ben", "automations": ["all"]}).json()["id"]
    doors.desk.book(doors.desk.at(9, 1), "kata", "both")

    def names(scope: str) -> set[str]:
        listed = doors.admin("GET", f"/pauses/{pause}/preview", scope=scope).json()["items"]
        assert listed
        return {b["client_name"] for row in listed for b in row["bookings"]}

    assert names("admin") == {"Kata"}
    assert names("operator:ben") == set()


def test_a_place_in_anothers_line_has_no_name_but_is_not_denied(doors: Doors) -> None:
    body = {"slug": "ben", "name": "Ben", "email": "ben@practice.example", "timezone": "UTC"}
    assert doors.admin("POST", "/operators", json=body).status_code == 201
    shared = {**SPEC, "team": ["ben"]}
    made = doors.admin("POST", "/operators/anna/services", json={"slug": "his", "spec": shared})
    assert made.status_code == 201, made.text
    pause = doors.admin("POST", "/pauses", json={"scope": "operator:ben", "automations": ["promote"]}).json()["id"]
    start = doors.desk.at(9, 1)
    booking = doors.desk.book(start, "kata", "his")
    doors.desk.join("vera", {"start": start}, "his")
    doors.desk.cancel(booking)
    found = {}
    for scope in ("admin", "operator:ben"):
        listed = doors.admin("GET", f"/pauses/{pause}/preview", scope=scope).json()["items"]
        (found[scope],) = (row for row in listed if row["kind"] == "PromoteWaitlist")
    assert found["admin"]["entry"]["client_name"] == "Vera"
    assert found["operator:ben"]["entry"] is None
    assert {row["would"] for row in found.values()} == {"would give a freed seat to the first in line"}


def test_pauses_say_what_is_wrong_with_them(doors: Doors) -> None:
    for scope in ("nowhere", "slot:x", "operator:nobody", "service:anna/none", "booking:none", "slot:99"):
        body = {"scope": scope, "automations": ["all"]}
        assert doors.admin("POST", "/pauses", json=body).status_code in (404, 422), scope
    bad = doors.admin("POST", "/pauses", json={"scope": "global", "automations": ["fly"]})
    assert bad.json()["errors"][0]["field"] == "automations"
    late = doors.admin(
        "POST", "/pauses", json={"scope": "global", "automations": ["all"], "until": "2020-01-01T00:00:00Z"}
    )
    assert late.json()["errors"][0]["field"] == "until"
    assert doors.admin("GET", "/pauses/99/preview").status_code == 404


@pytest.mark.parametrize(("choice", "where"), [("restore", 9), ("", 10)])
def test_a_move_that_did_not_fit_is_followed_or_undone(doors: Doors, choice: str, where: int) -> None:
    booking = doors.desk.book(doors.desk.at(9, 1), "kata")
    other = doors.desk.book(doors.desk.at(10, 1), "ben")
    slot_id = doors.desk.seen(booking).slot_id
    with doors.desk.database.reading() as tx:
        event = tx.execute(sa.select(SlotEvent.__table__).where(SlotEvent.slot_id == slot_id)).one()
    to = doors.desk.at(10, 1)
    doors.desk.say(RemoteMove(event.id, slot_id, event.version, to, to + timedelta(hours=1)))
    (review,) = doors.admin("GET", "/reviews").json()["items"]
    assert (review["kind"], review["detail"]["why"], review["choices"]) == ("move", "overlap", ["follow", "restore"])
    assert doors.admin("POST", f"/reviews/{review['id']}/approve").status_code == 409
    doors.desk.cancel(other)
    assert doors.admin("POST", f"/reviews/{review['id']}/approve", json={"choice": choice}).status_code == 200
    assert doors.desk.seen(booking).starts_at == doors.desk.at(where, 1)


def test_reviews_that_are_only_read_are_put_away(doors: Doors) -> None:
    with doors.desk.database.transaction() as tx:
        reviews.ask(tx, "failed_address", "failed:1", now=doors.desk.now, operator_id=doors.desk.operator_id)
    (review,) = doors.admin("GET", "/reviews").json()["items"]
    assert doors.admin("POST", f"/reviews/{review['id']}/dismiss").json()["state"] == "dismissed"
    assert doors.admin("POST", f"/reviews/{review['id']}/dismiss").status_code == 409
    assert doors.admin("POST", "/reviews/99/dismiss").status_code == 404


def test_the_line_shows_for_which_days_and_hours_and_for_whom_they_wait(doors: Doors) -> None:
    body = {"slug": "ben", "name": "Ben", "email": "ben@practice.example", "timezone": "UTC"}
    assert doors.admin("POST", "/operators", json=body).status_code == 201
    shared = {"slug": "both", "spec": {**SPEC, "team": ["anna", "ben"]}}
    assert doors.admin("POST", "/operators/anna/services", json=shared).status_code == 201
    days = {"from": "2027-01-12", "to": "2027-01-30"}
    wish = {**days, "weekdays": [5, 2], "between": ["09:30", "12:00"]}
    given = {"client": person("vera"), "wish": wish, "accept": "auto", "operator": "ben"}
    assert doors.client.post("/api/v1/operators/anna/services/both/waitlist", json=given).status_code == 201
    doors.desk.join("mark", days)
    vera, mark = doors.admin("GET", "/waitlist").json()["items"]
    told = ("start", "from", "to", "weekdays", "between", "member")
    assert [vera[key] for key in told] == [None, *days.values(), [2, 5], ["09:30", "12:00"], "ben"]
    assert [mark[key] for key in told] == [None, *days.values(), list(range(1, 8)), ["00:00", "24:00"], None]


def test_the_line_is_led_by_hand(doors: Doors) -> None:
    start = doors.desk.at(9, 1)
    doors.desk.book(start, "kata")
    doors.desk.join("vera", {"start": start})
    mark = doors.desk.join("mark", {"start": start})
    listed = doors.admin("GET", "/waitlist?service=talk").json()["items"]
    assert [(e["client_name"], e["position"]) for e in listed] == [("Vera", 1), ("Mark", 2)]
    assert [(e["weekdays"], e["between"], e["member"], e["booking_id"]) for e in listed] == [([], None, None, None)] * 2
    answer = doors.admin("POST", f"/waitlist/{listed[1]['id']}/prioritise", json={"priority": 5})
    told = ("id", "position", "priority", "booking_id")
    assert [answer.json()[key] for key in told] == [listed[1]["id"], 1, 5, None]
    taken = doors.admin("POST", f"/waitlist/{listed[1]['id']}/promote", json={"start": start.isoformat()})
    assert taken.status_code == 409
    free = doors.desk.at(10, 1)
    promoted = doors.admin("POST", f"/waitlist/{listed[1]['id']}/promote", json={"start": free.isoformat()}).json()
    assert (promoted["status"], promoted["id"], promoted["priority"]) == ("promoted", listed[1]["id"], 5)
    assert doors.admin("GET", f"/bookings/{promoted['booking_id']}").json()["client"]["name"] == "Mark"
    (shown,) = doors.admin("GET", "/waitlist?status=promoted").json()["items"]
    assert shown["booking_id"] == promoted["booking_id"]
    assert doors.desk.place(mark)["status"] == "promoted"
    removed = doors.admin("POST", f"/waitlist/{listed[0]['id']}/remove").json()
    assert (removed["status"], removed["id"], removed["booking_id"]) == ("removed", listed[0]["id"], None)
    assert doors.admin("POST", "/waitlist/99/remove").status_code == 404


def test_the_machinery_shows_itself(doors: Doors) -> None:
    doors.desk.book(doors.desk.at(9, 1), "kata")
    rows = doors.admin("GET", "/outbox").json()["items"]
    assert {r["kind"] for r in rows} >= {"SendMail", "CompleteBooking"}
    assert doors.admin("POST", f"/outbox/{rows[0]['id']}/park").json()["state"] == "parked"
    assert [r["id"] for r in doors.admin("GET", "/outbox?state=parked").json()["items"]] == [rows[0]["id"]]
    assert doors.admin("POST", f"/outbox/{rows[0]['id']}/retry").json()["state"] == "waiting"
    assert doors.admin("POST", f"/outbox/{rows[0]['id']}/park").json()["state"] == "parked"
    assert doors.admin("POST", f"/outbox/{rows[0]['id']}/park").status_code == 409
    assert doors.admin("POST", f"/outbox/{rows[0]['id']}/retry").json()["state"] == "waiting"
    assert doors.admin("POST", "/outbox/9999/park").status_code == 404
    assert doors.admin("POST", "/outbox/9999/retry").status_code == 404
    status = doors.admin("GET", "/status").json()
    assert (status["bookings"]["confirmed"], status["outbox"]["parked"], status["calendars"]["all"]) == (1, 0, 0)
    assert doors.admin("GET", "/events").json()["items"] == []
    doors.desk.now += timedelta(seconds=5)
    (event,) = doors.admin("GET", "/events").json()["items"]
    assert event["type"] == "booking.booked"
    assert doors.admin("GET", f"/events?after={event['cursor']}").json()["items"] == []


def test_calendars_are_connected_by_hand_and_refusals_named(doors: Doors) -> None:
    body = {"operator": "anna", "provider": "caldav", "url": "http://127.0.0.1:9/", "username": "a", "password": "b"}
    refused = doors.admin("POST", "/connections", json=body)
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "connection")
    assert doors.admin("GET", "/connections").json()["items"] == []
    assert doors.admin("GET", "/connections/1/health").status_code == 404
    assert doors.admin("PATCH", "/calendars/1", json={"busy": True}).status_code == 404
    assert doors.admin("POST", "/calendars/1/pull").status_code == 404
    assert doors.admin("DELETE", "/connections/1").status_code == 404


def test_a_kept_seat_is_given_once(doors: Doors) -> None:
    start = doors.desk.at(9, 1)
    first = doors.desk.book(start, "kata")
    vera = doors.desk.join("vera", {"start": start})
    doors.admin("POST", "/pauses", json={"scope": "global", "automations": ["promote"]})
    doors.desk.cancel(first)
    with doors.desk.database.reading() as tx:
        holder = tx.execute(sa.select(Seat.holder)).scalar_one()
    for _ in range(2):
        with doors.desk.database.transaction() as tx:
            judgement.give_kept_seat(
                tx, TERMS, doors.desk.operator_id, holder, entry_id=0, now=doors.desk.now, cause="test"
            )
    assert doors.desk.place(vera)["status"] == "promoted"


def test_a_key_that_would_open_nothing_is_not_made(doors: Doors) -> None:
    made = doors.admin("POST", "/tokens", json={"name": "x", "scope": "read", "expires_at": "2027-01-11T06:00:00Z"})
    assert (made.status_code, made.json()["errors"][0]["code"]) == (422, "in_the_past")
    assert "x" not in [row["name"] for row in doors.admin("GET", "/tokens").json()["items"]]


def test_a_pause_is_shown_with_the_scope_that_was_asked_for(doors: Doors) -> None:
    booking = doors.desk.book(doors.desk.at(9, 1))
    wanted = [
        "global",
        "operator:anna",
        "service:anna/talk",
        f"slot:{doors.desk.seen(booking).slot_id}",
        f"booking:{booking}",
    ]
    for scope in wanted:
        made = doors.admin("POST", "/pauses", json={"scope": scope, "automations": ["remind"]}).json()
        assert made["scope"] == doors.admin("GET", f"/pauses/{made['id']}").json()["scope"] == scope
    assert [row["scope"] for row in doors.admin("GET", "/pauses").json()["items"]] == wanted
    assert [row["scope"] for row in doors.admin("GET", "/pauses?scope=slot").json()["items"]] == [wanted[3]]


def test_bookings_are_filtered_by_instants_or_by_days(doors: Doors) -> None:
    doors.admin("PATCH", "/operators/anna", json={"timezone": "Pacific/Auckland"})  # 13 hours ahead
    doors.admin("PUT", "/operators/anna/services/talk", json={"spec": {**SPEC, "hours": {"tue": ["00:00-23:00"]}}})
    early, late = doors.desk.book(doors.desk.at(12, 0)), doors.desk.book(doors.desk.at(9, 1))

    def found(query: str) -> list[str]:
        return [row["id"] for row in doors.admin("GET", f"/bookings?{query}").json()["items"]]

    assert found("from=2027-01-12&to=2027-01-12") == [late]
    assert found("operator=anna&from=2027-01-12&to=2027-01-12") == [late, early]
    assert found("from=2027-01-11T12:00:00Z&to=2027-01-12T09:00:00Z") == [early]
    for wrong in ("2027-01-12T09:00:00", "2027-13-01", "tomorrow", "9999-12-31", "0001-01-01"):
        refused = doors.admin("GET", "/bookings", params={"to": wrong})
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "to"), wrong
    assert doors.admin("GET", "/audit?from=2027-01-11&to=2027-01-11&action=operator.changed").json()["items"]
    assert doors.admin("GET", "/audit?from=2027-01-12").json()["items"] == []
