"""The desk behind the doors: who sees what, who may do what, and that each button is the command of the admin API.

Covers: api.desk.start, api.desk.bookings, api.desk.line, api.desk.reviews, api.desk.pauses, api.desk.connections,
api.desk.common, api.desk.doors, booking.names.
"""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
import sqlalchemy as sa

from booking import setup
from booking.address import failing
from booking.i18n import LANGUAGES
from ledger import audit, reviews
from ledger.db import Database
from ledger.tables import Calendar, Connection, OAuthFlow, OutboxMessage
from tests.support.books import calendar, connection
from tests.support.browser import Browser, signed_in, user
from tests.support.desk import SPEC, Desk
from tests.support.doors import Doors, open_doors

PAGES = ("", "line", "reviews", "pauses", "connections", "account")


@pytest.fixture
def doors(sqlite: Database) -> Doors:
    made = open_doors(sqlite, talk={}, asked={"confirmation": "approval"})
    with sqlite.transaction() as tx:
        setup.add_operator(tx, "ben", name="Ben", email="ben@practice.example", timezone="Asia/Tokyo", now=made.now())
        setup.put_service(tx, "ben", "cut", SPEC, now=made.now())
    return made


def ids(text: str, what: str) -> list[int]:
    return [int(i) for i in dict.fromkeys(re.findall(rf"/{what}/(\d+)", text))]


def kept_seat(desk: Desk) -> tuple[str, str]:
    """Two wait, promotion is paused, and their time becomes free; their tokens."""
    first = desk.book(desk.at(9, 1), "kata")
    places = tuple(desk.join(who, {"start": desk.at(9, 1)}) for who in ("vera", "mark"))
    with desk.database.transaction() as tx:
        from ledger import pauses

        pauses.pause(tx, scope="operator", target=str(desk.operator_id), automations=["promote"], now=desk.now)
    desk.cancel(first)
    desk.work()
    return places  # type: ignore[return-value]


# --- who sees what ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize(
    ("role", "home"), [("admin", "/admin/"), ("read", "/admin/"), ("operator:anna", "/operator/"), ("operator:ben", "/operator/")]
)  # fmt: skip
def test_every_page_has_one_door_for_each_role(doors: Doors, page: str, role: str, home: str) -> None:
    browser = signed_in(doors, "who", role)
    other = {"/admin/": "/operator/", "/operator/": "/admin/"}[home]
    assert browser.get(home + page).status_code == 200
    assert browser.get(other + page).headers["location"] == home + page
    assert Browser(doors).get(home + page).headers["location"].startswith("/login")


def test_an_operator_sees_their_own_and_nothing_of_anothers(doors: Doors) -> None:
    booking = doors.desk.book(doors.desk.at(9, 1), "kata")
    doors.desk.join("vera", {"start": doors.desk.at(9, 1)})
    with doors.desk.database.transaction() as tx:
        reviews.ask(tx, "failed_address", "failed:1", now=doors.now(), operator_id=doors.desk.operator_id)
        account = connection(tx, doors.desk.operator_id, doors.now(), account="anna@cloud.example")
        calendar(tx, doors.desk.operator_id, account, name="Practice", busy=True)
    anna, ben, root = (
        signed_in(doors, who, role)
        for who, role in (("anna", "operator:anna"), ("ben", "operator:ben"), ("root", "admin"))
    )
    anna.get("/operator/pauses")
    anna.post("/operator/pauses", scope="operator:anna", reason="a secret reason")
    told = ("Kata", "Vera", "anna@cloud.example", "a secret reason", "Practice", "/reviews/1")
    for browser, door, sees in ((anna, "operator", True), (ben, "operator", False), (root, "admin", True)):
        seen = "".join(browser.get(f"/{door}/{page}").text for page in ("", "line", "reviews", "pauses", "connections"))
        assert [word in seen for word in told] == [sees] * len(told), door
    for path in (f"bookings/{booking}", "pauses/1"):
        assert anna.get(f"/operator/{path}").status_code == 200
        assert ben.get(f"/operator/{path}").status_code == 404
        assert "Kata" not in ben.shown.text
    ben.get("/operator/pauses")
    for path, form in {
        f"bookings/{booking}": {"act": "cancel"},
        "line/1": {"act": "remove"},
        "reviews/1": {"act": "dismiss"},
        "pauses/1": {},
        f"connections/{account}/reconnect": {},
        "connections": {"operator": "anna", "provider": "google"},
        "calendars/1/pull": {},
    }.items():
        assert ben.post(f"/operator/{path}", data=form).status_code == 404, path
    for scope in ("operator:anna", "service:anna/talk", f"booking:{booking}", "global", "slot:1"):
        assert ben.post("/operator/pauses", scope=scope).status_code == 404, scope
    assert doors.desk.seen(booking).status == "confirmed"
    with doors.desk.database.reading() as tx:
        assert len(reviews.listing(tx)) == 1
        assert tx.execute(sa.select(OAuthFlow.id)).all() == []
    assert len(doors.admin("GET", "/pauses").json()["items"]) == 1


def test_an_everybodys_pause_is_the_admins(doors: Doors) -> None:
    root, anna = signed_in(doors, "root", "admin"), signed_in(doors, "anna", "operator:anna")
    root.get("/admin/pauses")
    assert root.post("/admin/pauses", scope="global").status_code == 303
    assert root.get("/admin/pauses/1").status_code == 200
    assert anna.get("/operator/pauses/1").status_code == 404
    anna.get("/operator/pauses")
    assert anna.post("/operator/pauses/1").status_code == 404
    assert len(doors.admin("GET", "/pauses").json()["items"]) == 1


def test_whoever_may_only_look_has_no_buttons_and_no_effect(doors: Doors) -> None:
    booking = doors.desk.book(doors.desk.at(9, 1), "kata")
    doors.desk.join("vera", {"start": doors.desk.at(9, 1)})
    with doors.desk.database.transaction() as tx:
        reviews.ask(tx, "failed_address", "failed:1", now=doors.now(), operator_id=doors.desk.operator_id)
    reader, root = signed_in(doors, "reader", "read"), signed_in(doors, "root", "admin")
    root.get("/admin/pauses")
    root.post("/admin/pauses", scope="operator:anna")
    for path in ("", "line", "reviews", "pauses", "pauses/1", "connections", f"bookings/{booking}"):
        page = reader.get(f"/admin/{path}")
        assert page.status_code == 200
        forms = set(re.findall(r'<form[^>]*method="post"[^>]*action="([^"]+)"', page.text))
        assert forms <= {"/logout"}, path
    reader.get("/admin/account")
    for path, form in {
        f"bookings/{booking}": {"act": "cancel"},
        "line/1": {"act": "remove"},
        "reviews/1": {"act": "dismiss"},
        "pauses": {"scope": "global"},
        "pauses/1": {},
        "connections": {"operator": "anna", "provider": "caldav"},
        "connections/1/reconnect": {},
        "calendars/1/pull": {},
    }.items():
        answer = reader.post(f"/admin/{path}", data=form)
        assert (answer.status_code, "You may look" in answer.text) == (403, True), path
    assert doors.desk.seen(booking).status == "confirmed"
    assert len(doors.admin("GET", "/pauses").json()["items"]) == 1
    assert reader.post("/admin/account/password", password="x", new="y").status_code == 422  # their own they may change


# --- bookings -----------------------------------------------------------------------------------------------------


def test_the_day_and_the_days_to_come(doors: Doors) -> None:
    for hour, day, who in ((9, 0, "kata"), (10, 0, "lili"), (8, 2, "mark")):
        doors.desk.book(doors.desk.at(hour, day), who)
    doors.desk.book(doors.desk.at(11, 1), "vera", "asked")
    page = signed_in(doors, "anna", "operator:anna").shown.text
    places = [page.index(word) for word in ("Today", "Kata", "Lili", "Vera", "Waiting for confirmation", "Mark")]
    assert places == sorted(places)


def test_buttons_do_what_the_admin_api_does_and_say_who(doors: Doors) -> None:
    booking = doors.desk.book(doors.desk.at(9, 1), "kata", "asked")
    anna = signed_in(doors, "anna", "operator:anna")
    path = f"/operator/bookings/{booking}"

    def press(act: str, **more: str) -> str:
        anna.get(path)
        answer = anna.post(path, act=act, **more)
        assert answer.status_code == 303
        return str(answer.headers["location"].partition("?")[2])

    assert press("confirm") == "did=confirm"
    assert doors.desk.seen(booking).status == "confirmed"
    assert press("decline") == "problem=not_possible"
    assert "not possible any more" in anna.get(f"{path}?problem=not_possible").text
    start = re.findall(r'<option value="([^"]+)"', anna.get(path).text)[0]
    assert press("reschedule", start=start) == "did=reschedule"
    assert doors.desk.seen(booking).starts_at.isoformat() == start
    doors.desk.now = doors.desk.at(13, 2)
    for act, status in (("complete", "completed"), ("no_show", "no_show"), ("undo_no_show", "completed")):
        assert press(act) == f"did={act}"
        assert doors.desk.seen(booking).status == status
    other = doors.desk.book(doors.desk.at(9, 7), "lili")
    anna.get(f"/operator/bookings/{other}")
    assert anna.post(f"/operator/bookings/{other}", act="nonsense").status_code == 404
    assert anna.post(f"/operator/bookings/{other}", act="cancel", reason="ill").status_code == 303
    assert doors.desk.seen(other).status == "cancelled"
    causes = {entry["cause"] for entry in doors.desk.view(booking, "admin")["timeline"]}
    assert "operator_page:Anna" in causes
    with doors.desk.database.reading() as tx:
        written = audit.listing(tx, kind="user")
    assert {row["action"] for row in written} >= {"booking.confirmed", "booking.rescheduled", "booking.cancelled"}
    assert {(row["actor"], row["operator"]) for row in written if row["action"].startswith("booking.")} == {
        ("Anna", "anna")
    }


def test_a_mistyped_address_is_put_right_from_its_review(doors: Doors) -> None:
    booking = doors.desk.book(doors.desk.at(9, 1), "kata")
    with doors.desk.database.transaction() as tx:
        reviews.ask(
            tx, "failed_address", failing(doors.desk.operator_id, "kata@example.org"), now=doors.now(),
            operator_id=doors.desk.operator_id, booking_id=booking, slot_id=doors.desk.seen(booking).slot_id,
        )  # fmt: skip
    anna = signed_in(doors, "anna", "operator:anna")
    path = f"/operator/bookings/{booking}"
    assert f'href="{path}"' in anna.get("/operator/reviews").text
    anna.get(path)
    assert anna.post(path, act="address", email="kata").headers["location"].endswith("problem=invalid")
    assert anna.post(path, act="address", email="kata@new.example").headers["location"].endswith("did=address")
    page = anna.get(path).text
    assert "kata@new.example" in page
    assert "Mail address changed" in page
    assert "Nothing waits for your decision." in anna.get("/operator/reviews").text
    with doors.desk.database.reading() as tx:
        (entry,) = audit.listing(tx, target=f"booking:{booking}")
    assert (entry["action"], entry["actor"], entry["operator"]) == ("booking.address_changed", "Anna", "anna")
    assert "@" not in str(entry)
    doors.desk.now = doors.desk.seen(booking).ends_at
    assert 'name="email"' not in anna.get(path).text


def test_a_refused_button_leaves_no_record(doors: Doors) -> None:
    booking = doors.desk.book(doors.desk.at(9, 1), "kata")
    anna = signed_in(doors, "anna", "operator:anna")
    anna.get(f"/operator/bookings/{booking}")
    assert (
        anna.post(f"/operator/bookings/{booking}", act="decline").headers["location"].endswith("problem=not_possible")
    )
    with doors.desk.database.reading() as tx:
        assert audit.listing(tx, target=f"booking:{booking}") == []


def test_the_link_in_a_mail_leads_to_the_booking_by_session_or_by_key(doors: Doors) -> None:
    booking = doors.desk.book(doors.desk.at(9, 1), "kata", "asked")
    path = f"/operator/bookings/{booking}"
    nobody = Browser(doors)
    asked = nobody.get(path)
    assert (asked.status_code, "Kata" in asked.text, "/login?next=" in asked.text) == (200, False, True)
    user(doors, "anna", "operator:anna")
    nobody.get("/login?next=" + path)
    assert nobody.post("/login", email="anna@practice.example", password="a good long password", next=path).headers[
        "location"
    ] == path  # fmt: skip
    assert "Kata" in nobody.get(path).text
    by_key = Browser(doors).client.post(path, data={"key": doors.token("operator:anna"), "act": "confirm"})
    assert by_key.status_code == 200
    assert doors.desk.seen(booking).status == "confirmed"
    assert Browser(doors).client.post(path, data={"act": "cancel"}).status_code == 303  # neither: sign in
    assert doors.desk.seen(booking).status == "confirmed"


def test_whose_address_failed_is_named_though_they_only_wait(doors: Doors) -> None:
    doors.desk.join("vera", {"start": doors.desk.at(9, 1)})
    with doors.desk.database.transaction() as tx:
        reviews.ask(
            tx, "failed_address", "failed:1", now=doors.now(), operator_id=doors.desk.operator_id, detail={"entry": 1}
        )
    page = signed_in(doors, "anna", "operator:anna").get("/operator/reviews").text
    assert '<a href="/operator/line"><bdi>Vera</bdi></a>' in page
    assert 'name="approve:' not in page


# --- the line and reviews -----------------------------------------------------------------------------------------


def test_the_line_can_be_ordered_and_served_by_hand(doors: Doors) -> None:
    desk = doors.desk
    vera, mark = (desk.join(who, {"from": "2027-01-11", "to": "2027-01-30"}) for who in ("vera", "mark"))
    anna = signed_in(doors, "anna", "operator:anna")
    first, second = ids(anna.get("/operator/line").text, "operator/line")
    anna.post(f"/operator/line/{second}", act="up")
    assert desk.place(mark)["position"] == 1
    anna.post(f"/operator/line/{second}", act="down")
    assert desk.place(vera)["position"] == 1
    start = re.findall(r'<option value="([^"]+)"', anna.shown.text)[0]
    assert anna.post(f"/operator/line/{second}", act="promote", start=start).headers["location"].endswith("did=promote")
    assert desk.place(mark)["status"] == "promoted"
    assert anna.post(f"/operator/line/{first}", act="remove").status_code == 303
    assert desk.place(vera)["status"] == "removed"
    assert anna.post(f"/operator/line/{first}", act="up").headers["location"].endswith("problem=not_possible")
    for entry, act in ((99, "up"), (first, "nonsense")):
        assert anna.post(f"/operator/line/{entry}", act=act).status_code == 404


def test_a_kept_seat_is_given_to_the_person_whom_a_human_names(doors: Doors) -> None:
    vera, mark = kept_seat(doors.desk)
    anna = signed_in(doors, "anna", "operator:anna")
    page = anna.get("/operator/reviews").text
    assert "A seat became free while the line was paused" in page
    named = re.search(r'<option value="(\d+)">\d+\. Mark', page)
    assert named is not None
    anna.post(f"/operator/reviews/{ids(page, 'reviews')[0]}", act="approve", choice=named[1])
    assert [doors.desk.place(p)["status"] for p in (vera, mark)] == ["waiting", "promoted"]
    assert "Nothing waits for your decision." in anna.get("/operator/reviews").text


def test_or_to_the_first_in_line_or_to_everybody(doors: Doors) -> None:
    vera, _ = kept_seat(doors.desk)
    anna = signed_in(doors, "anna", "operator:anna")
    anna.get("/operator/reviews")
    (review,) = ids(anna.shown.text, "reviews")
    assert anna.post(f"/operator/reviews/{review}", data={"approve:next": "yes"}).status_code == 303
    assert doors.desk.place(vera)["status"] == "promoted"
    assert anna.post(f"/operator/reviews/{review}", act="dismiss").headers["location"].endswith("problem=not_possible")
    assert anna.post(f"/operator/reviews/{review}").status_code == 404


def test_nobody_gives_a_seat_to_another_operators_line(doors: Doors) -> None:
    kept_seat(doors.desk)
    with doors.desk.database.transaction() as tx:
        from booking import waitlist
        from booking.catalogue import offering

        given = {
            "client": {"name": "Zoe", "email": "zoe@example.org", "timezone": "UTC", "language": "en"},
            "wish": {"start": doors.desk.at(9, 1)}, "accept": "auto", "seats": 1,
        }  # fmt: skip
        token = waitlist.join(tx, offering(tx, "ben", "cut"), given, now=doors.now(), cause="test")
        entry = waitlist.entry_by_token(tx, token).id
    anna = signed_in(doors, "anna", "operator:anna")
    anna.get("/operator/reviews")
    assert "Zoe" not in anna.shown.text
    (review,) = ids(anna.shown.text, "reviews")
    assert anna.post(f"/operator/reviews/{review}", act="approve", choice=str(entry)).status_code == 404
    assert doors.desk.place(token)["status"] == "waiting"
    by_api = doors.admin("POST", f"/reviews/{review}/approve", scope="operator:anna", json={"choice": str(entry)})
    assert by_api.status_code == 404


@pytest.mark.parametrize(
    "kind",
    ["move", "overlap", "bulk_deletion", "calendar_emptied", "counter", "reply", "late_decline", "failed_address",
     "reconnect", "channel_silent", "calendar_unreadable", "webhook", "mailbox", "unsent_mail", "unwritten_event", "of_tomorrow"],
)  # fmt: skip
def test_each_kind_of_review_can_be_read_and_put_away(doors: Doors, kind: str) -> None:
    booking = doors.desk.book(doors.desk.at(9, 1), "kata")
    at = doors.desk.at(11, 1).isoformat()
    detail = {
        "to": at,
        "until": at,
        "from": at,
        "why": "x",
        "calendar": "Practice",
        "slots": [],
        "webhook": 1,
        "revision": 1,
    }
    with doors.desk.database.transaction() as tx:
        slot = doors.desk.seen(booking).slot_id
        reviews.ask(
            tx, kind, f"{kind}:1", now=doors.now(), operator_id=doors.desk.operator_id, slot_id=slot, detail=detail,
            booking_id=booking if kind in ("counter", "reply", "late_decline") else None,
        )  # fmt: skip
    anna = signed_in(doors, "anna", "operator:anna")
    page = anna.get("/operator/reviews")
    assert page.status_code == 200
    assert "Kata" in page.text
    assert anna.post("/operator/reviews/1", act="dismiss").headers["location"].endswith("did=decided")
    with doors.desk.database.reading() as tx:
        (row,) = reviews.listing(tx, state="dismissed")
    assert row["resolved_by"] == "Anna"


# --- pauses -------------------------------------------------------------------------------------------------------


def test_a_pause_is_made_looked_behind_and_ended_item_by_item(doors: Doors) -> None:
    desk = doors.desk
    anna = signed_in(doors, "anna", "operator:anna")
    anna.get("/operator/pauses")
    anna.post("/operator/pauses", data={"scope": "service:anna/talk", "automation:promote": "yes", "reason": "I look"})
    starts = [desk.at(9, 1), desk.at(10, 8)]
    places = []
    for start, who in zip(starts, ("vera", "mark"), strict=True):
        booking = desk.book(start, f"{who}-before")
        places.append(desk.join(who, {"start": start}))
        desk.cancel(booking)
    desk.work()
    page = anna.get("/operator/pauses").text
    assert "I look" in page
    assert "Look at 2 waiting matters" in page
    behind = anna.get("/operator/pauses/1").text
    assert re.findall(r"free seat to the first in line[^<]*<bdi>(\w+)</bdi>", behind) == ["Vera", "Mark"]
    waiting = re.findall(r'name="discard:(\d+)"', behind)
    assert len(waiting) == 2
    assert anna.post("/operator/pauses/1", data={f"discard:{waiting[0]}": "yes"}).status_code == 303
    desk.work()
    assert [desk.place(p)["status"] for p in places] == ["waiting", "promoted"]
    assert starts[0] in desk.starts()  # what was left out is open to everybody
    assert "Nothing is paused." in anna.get("/operator/pauses").text


def test_what_is_behind_a_pause_names_whom_it_is_about_and_says_when_it_is_idle(doors: Doors) -> None:
    with doors.desk.database.transaction() as tx:
        setup.put_service(tx, "anna", "near", {**SPEC, "reminder_hours": 24}, now=doors.now())
    anna = signed_in(doors, "anna", "operator:anna")
    anna.get("/operator/pauses")
    anna.post("/operator/pauses", data={"scope": "operator:anna", "automation:remind": "yes"})
    doors.desk.book(doors.desk.at(11, 2), "kata", "near")
    doors.desk.cancel(doors.desk.book(doors.desk.at(10, 2), "lili", "near"))
    page = anna.get("/operator/pauses/1").text
    assert re.search(r"would remind the client: <bdi>Kata</bdi>", page)
    assert re.search(r"would do nothing any more: <bdi>Lili</bdi>", page)


def test_a_kept_seat_that_nobody_fits_says_so(doors: Doors) -> None:
    first = doors.desk.book(doors.desk.at(9, 1), "kata")
    doors.desk.join("vera", {"start": doors.desk.at(10, 1)})
    anna = signed_in(doors, "anna", "operator:anna")
    anna.get("/operator/pauses")
    anna.post("/operator/pauses", data={"scope": "operator:anna", "automation:promote": "yes"})
    doors.desk.cancel(first)
    assert "(nobody who waits fits)" in anna.get("/operator/pauses/1").text


def test_a_pause_ends_by_itself_on_the_readers_clock(doors: Doors) -> None:
    ben = signed_in(doors, "ben", "operator:ben")
    ben.get("/operator/pauses")
    for wrong in ("yesterday", "2027-01-10T10:00"):
        answer = ben.post("/operator/pauses", scope="operator:ben", until=wrong)
        assert answer.headers["location"].endswith("problem=invalid")
    ben.post("/operator/pauses", scope="operator:ben", until="2027-01-11T18:30")
    (row,) = doors.admin("GET", "/pauses").json()["items"]
    assert row["until"] == "2027-01-11T09:30:00Z"  # Tokyo's half past six
    assert len(row["automations"]) == 6


def test_one_appointment_is_paused_by_its_number(doors: Doors) -> None:
    booking = doors.desk.book(doors.desk.at(9, 1), "kata")
    anna = signed_in(doors, "anna", "operator:anna")
    anna.get("/operator/pauses")
    assert (
        anna.post("/operator/pauses", scope="other", other=f"booking:{booking}")
        .headers["location"]
        .endswith("did=paused")
    )
    assert (
        anna.post("/operator/pauses", scope="other", other="nonsense").headers["location"].endswith("problem=invalid")
    )


# --- connections --------------------------------------------------------------------------------------------------


def test_an_account_is_connected_again_by_a_button(doors: Doors) -> None:
    with doors.desk.database.transaction() as tx:
        account = connection(
            tx, doors.desk.operator_id, doors.now(), account="anna@cloud.example", state="reconnect", url="https://dav.example/"
        )  # fmt: skip
        calendar(tx, doors.desk.operator_id, account, name="Practice", busy=True)
        feed = connection(tx, doors.desk.operator_id, doors.now(), username="feed")
        tx.execute(sa.update(Connection).where(Connection.id == feed).values(provider="ics"))
    anna = signed_in(doors, "anna", "operator:anna")
    assert "must be connected again" in anna.shown.text
    page = anna.get("/operator/connections").text
    assert f"connections/{feed}/reconnect" not in page
    answer = anna.post(f"/operator/connections/{account}/reconnect")
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/connect/caldav?ticket=")
    asked = anna.get(answer.headers["location"])
    assert (asked.status_code, "anna@cloud.example" in asked.text) == (200, True)
    assert anna.get("/operator/connections").status_code == 200
    assert anna.post(f"/operator/connections/{feed}/reconnect").status_code == 404
    another = anna.post("/operator/connections", operator="anna", provider="caldav")
    assert anna.get(another.headers["location"]).status_code == 200
    anna.get("/operator/connections")
    assert anna.post("/operator/connections", operator="anna", provider="ics").status_code == 404
    with doors.desk.database.reading() as tx:
        made = [row for row in audit.listing(tx, kind="user") if row["action"] == "link.made"]
        number = tx.execute(sa.select(Calendar.id)).scalar_one()
    assert [(row["actor"], row["operator"]) for row in made] == [("Anna", "anna")] * 2
    assert anna.post(f"/operator/calendars/{number}/pull").status_code == 303
    assert anna.post("/operator/calendars/99/pull").status_code == 404
    with doors.desk.database.reading() as tx:
        assert "PullCalendar" in tx.execute(sa.select(OutboxMessage.kind)).scalars().all()


# --- every language -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_page_speaks_the_readers_language(doors: Doors, language: str) -> None:
    kept_seat(doors.desk)
    browser = signed_in(doors, "root", "admin")
    browser.client.headers["Accept-Language"] = language
    for page in (*PAGES, "pauses/1"):
        answer = browser.get(f"/admin/{page}")
        assert answer.status_code == 200
        assert f'<html lang="{language}" dir="{"rtl" if language == "ar" else "ltr"}">' in answer.text
        assert ("Sign out" in answer.text) == (language == "en")


def test_nothing_happens_by_looking(doors: Doors) -> None:
    kept_seat(doors.desk)
    browser = signed_in(doors, "root", "admin")

    def rows() -> dict[str, int]:
        from ledger.db import Base

        with doors.desk.database.reading() as tx:
            return {
                name: tx.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
                for name, table in Base.metadata.tables.items()
            }

    before = rows()
    doors.desk.now += timedelta(seconds=1)
    for page in (*PAGES, "pauses/1"):
        browser.get(f"/admin/{page}")
    assert rows() == before
