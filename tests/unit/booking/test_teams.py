"""A service of a team: any member who is free, or all of them together."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from booking import catalogue, commands, queries, setup, teams, times
from booking.errors import DoesNotFit, Invalid, NotFound, SlotTaken
from booking.invitation import event_words
from connectors.model import Period
from ledger import claims, outbox, pauses
from ledger.db import Database
from ledger.messages import DecidePending, PullCalendar, PushEvent, RemoteCancellation, RemoteMove, SendMail
from ledger.tables import Calendar, Operator, Slot, SlotEvent
from tests.support import books
from tests.support.desk import SPEC, TERMS, Desk, person
from tests.support.doors import Doors

HOUR = timedelta(hours=1)
PEOPLE = ("anna", "ben", "chloe")


def practice(database: Database, mode: str = "any", team: Sequence[str] = PEOPLE, **spec: Any) -> Desk:
    """Anna, Ben and Chloe, each with a service of their own, and Anna's service that a team does."""
    desk = Desk(database)
    for slug in PEOPLE:
        desk.open(slug, own={})
    with database.transaction() as tx:
        told = {**SPEC, "title": "Consult", "team": list(team), "team_mode": mode, **spec}
        setup.put_service(tx, "anna", "consult", told, now=desk.now)
    return desk


@pytest.fixture
def anybody(database: Database) -> Desk:
    return practice(database)


@pytest.fixture
def together(database: Database) -> Desk:
    return practice(database, "all", ("anna", "ben"))


def busy(desk: Desk, slug: str, start: datetime, end: datetime) -> None:
    with desk.database.transaction() as tx:
        owner = setup.operator_id(tx, slug)
        account = books.connection(tx, owner, desk.now, url=str(start))
        calendar = books.calendar(tx, owner, account, f"/{start}/", busy=True, pulled_at=desk.now)
        books.busy(tx, owner, calendar, start, end)


def taken_by(desk: Desk, who: str, start: datetime) -> str:
    """Somebody books with that operator alone."""
    request = {"start": start, "seats": 1, "client": person(f"of-{who}"), "answers": {}, "hold": None}
    with desk.database.transaction() as tx:
        return commands.book(tx, TERMS, who, "own", request, now=desk.now, cause="test")


def who_has(desk: Desk, booking_id: str) -> str:
    return str(desk.view(booking_id)["operator"])


def events(desk: Desk) -> list[Any]:
    with desk.database.reading() as tx:
        query = sa.select(SlotEvent.__table__, Operator.slug).join(Operator, Operator.id == SlotEvent.operator_id)
        return list(tx.execute(query.order_by(SlotEvent.id)).all())


def circles(desk: Desk) -> dict[str, int | None]:
    with desk.database.reading() as tx:
        return {str(r.slug): r.circle for r in tx.execute(sa.select(Operator.slug, Operator.circle))}


# --- who is in it -------------------------------------------------------------------------------------------------


def test_unknown_and_doubled_members_are_named(anybody: Desk) -> None:
    for team, field in ((["anna", "nobody"], "team.1"), (["ben", "ben"], "team")):
        with pytest.raises(Invalid) as error, anybody.database.transaction() as tx:
            setup.put_service(tx, "anna", "other", {**SPEC, "team": team}, now=anybody.now)
        assert [e.field for e in error.value.errors] == [field]
    spec = {**SPEC, "team": ["anna", "ben"], "team_mode": "all", "calendar_openings": True}
    with pytest.raises(Invalid) as error, anybody.database.transaction() as tx:
        setup.put_service(tx, "anna", "other", spec, now=anybody.now)
    assert [e.field for e in error.value.errors] == ["team_mode"]


def test_who_shares_a_service_shares_a_lock_and_nobody_else(anybody: Desk) -> None:
    assert set(circles(anybody).values()) == {1}
    with anybody.database.transaction() as tx:
        assert teams.circle_of(tx, 2) == {1, 2, 3}
        before = {r.id: r.ledger_version for r in tx.execute(sa.select(Operator.id, Operator.ledger_version))}
        claims.lock_operator(tx, 3)
        after = {r.id: r.ledger_version for r in tx.execute(sa.select(Operator.id, Operator.ledger_version))}
    assert after == {each: version + 1 for each, version in before.items()}
    with anybody.database.transaction() as tx:
        setup.put_service(tx, "anna", "consult", {**SPEC, "team": ["ben", "chloe"]}, now=anybody.now, replace=True)
    assert set(circles(anybody).values()) == {1}  # its owner's hours are theirs
    with anybody.database.transaction() as tx:
        setup.put_service(tx, "anna", "consult", {**SPEC, "team": ["anna", "ben"]}, now=anybody.now, replace=True)
    assert circles(anybody) == {"anna": 1, "ben": 1, "chloe": None}
    with anybody.database.transaction() as tx:
        setup.put_service(tx, "ben", "pair", {**SPEC, "team": ["ben", "chloe"]}, now=anybody.now)
        setup.put_service(tx, "anna", "consult", SPEC, now=anybody.now, replace=True)
    assert circles(anybody) == {"anna": None, "ben": 2, "chloe": 2}
    with anybody.database.transaction() as tx:
        setup.remove_service(tx, "ben", "pair", now=anybody.now)
    assert set(circles(anybody).values()) == {None}


def test_a_member_who_is_removed_leaves_the_others_whole(anybody: Desk) -> None:
    with anybody.database.transaction() as tx:
        setup.remove_operator(tx, "ben", now=anybody.now)
    assert circles(anybody) == {"anna": 1, "chloe": 1}
    anybody.book(anybody.at(9), service="consult")


def test_it_is_found_by_its_owner_and_by_each_member(anybody: Desk) -> None:
    with anybody.database.reading() as tx:
        whole = catalogue.offering(tx, "anna", "consult")
        ben = catalogue.offering(tx, "ben", "consult")
        assert [c.operator_slug for c in whole.choices] == list(PEOPLE)
        assert (whole.names, ben.names, ben.choices) == ("Anna, Ben, Chloe", "Ben", ())
        assert [o.slug for o in catalogue.offerings_of(tx, ben.operator_id)] == ["own", "consult"]
        assert [o.operator_slug for o in catalogue.done_by(tx, ben.operator_id)] == ["ben", "ben"]
        with pytest.raises(NotFound):
            catalogue.offering(tx, "ben", "nothing")
        facts = queries.service_facts(whole)
    assert facts["team_mode"] == "any"
    assert [m["operator"] for m in facts["team"]] == list(PEOPLE)


# --- any ----------------------------------------------------------------------------------------------------------


def test_a_start_is_open_while_anybody_is_free(anybody: Desk) -> None:
    busy(anybody, "anna", anybody.at(8), anybody.at(12))
    taken_by(anybody, "ben", anybody.at(9))
    busy(anybody, "chloe", anybody.at(8), anybody.at(11))
    assert [s for s in anybody.starts("consult") if s < anybody.at(0, 1)] == [anybody.at(h) for h in (8, 10, 11)]
    assert who_has(anybody, anybody.book(anybody.at(10), service="consult")) == "ben"
    assert who_has(anybody, anybody.book(anybody.at(11), service="consult")) in ("ben", "chloe")
    with pytest.raises(SlotTaken):
        anybody.book(anybody.at(9), service="consult")


def test_who_has_the_least_to_do_in_that_week_gets_it(anybody: Desk) -> None:
    taken_by(anybody, "anna", anybody.at(8, 1))
    taken_by(anybody, "ben", anybody.at(8, 7))  # of another week
    got = [who_has(anybody, anybody.book(anybody.at(9), f"c{n}", "consult")) for n in range(3)]
    assert got == ["ben", "chloe", "anna"]
    with pytest.raises(SlotTaken):
        anybody.book(anybody.at(9), "late", "consult")
    assert anybody.at(9) in anybody.starts("consult", "full")


def test_a_named_member_or_nobody(anybody: Desk) -> None:
    assert who_has(anybody, anybody.book(anybody.at(9), service="consult", operator="chloe")) == "chloe"
    with pytest.raises(SlotTaken):
        anybody.book(anybody.at(9), "jon", "consult", operator="chloe")
    with pytest.raises(Invalid) as error:
        anybody.book(anybody.at(9), "jon", "consult", operator="dora")
    assert [(e.field, e.code) for e in error.value.errors] == [("operator", "unknown_operator")]


def test_a_hold_keeps_a_member_and_the_booking_is_with_them(anybody: Desk) -> None:
    token = anybody.hold(anybody.at(9), "consult")
    assert who_has(anybody, anybody.book(anybody.at(9), "jon", "consult")) == "ben"
    assert who_has(anybody, anybody.book(anybody.at(9), "kata", "consult", hold=token)) == "anna"


def test_a_booking_stays_with_its_member(anybody: Desk) -> None:
    booked = anybody.book(anybody.at(9), service="consult", operator="ben")
    busy(anybody, "ben", anybody.at(10), anybody.at(11))
    with pytest.raises(SlotTaken):
        anybody.reschedule(booked, anybody.at(10))
    anybody.reschedule(booked, anybody.at(11))
    assert (who_has(anybody, booked), anybody.seen(booked).starts_at) == ("ben", anybody.at(11))
    assert {(e.slug, e.wanted) for e in events(anybody)} == {("ben", True)}
    anybody.cancel(booked)
    assert {(e.slug, e.wanted) for e in events(anybody)} == {("ben", False)}


def test_a_group_is_filled_before_another_begins(database: Database) -> None:
    desk = practice(database, capacity=3)
    first = desk.book(desk.at(9), "a", "consult", operator="chloe")
    second = desk.book(desk.at(9), "b", "consult")
    assert desk.seen(first).slot_id == desk.seen(second).slot_id
    assert (
        who_has(desk, desk.book(desk.at(9), "c", "consult", seats=2)) == "anna"
    )  # there is room for two with her only


def test_whoever_frees_time_gives_it_to_the_line_of_the_team(anybody: Desk) -> None:
    booked = [anybody.book(anybody.at(9, 1), f"c{n}", "consult") for n in range(3)]
    ben = next(b for b in booked if who_has(anybody, b) == "ben")
    waiting = anybody.join("imre", {"start": anybody.at(9, 1)}, "consult")
    anybody.cancel(ben)
    place = anybody.place(waiting)
    assert place["status"] == "promoted"
    with anybody.database.reading() as tx:
        assert who_has(anybody, commands.id_of(tx, place["booking"])) == "ben"


def test_own_work_that_is_cancelled_is_the_teams_too(anybody: Desk) -> None:
    own = taken_by(anybody, "ben", anybody.at(9, 1))
    for name in ("anna", "chloe"):
        taken_by(anybody, name, anybody.at(9, 1))
    waiting = anybody.join("imre", {"start": anybody.at(9, 1)}, "consult")
    anybody.cancel(own)
    assert anybody.place(waiting)["status"] == "promoted"


def test_two_at_once_get_two_people(anybody: Desk) -> None:
    def one(number: int) -> str:
        try:
            return who_has(anybody, anybody.book(anybody.at(9), f"c{number}", "consult"))
        except SlotTaken:
            return ""

    with ThreadPoolExecutor(5) as pool:
        got = sorted(pool.map(one, range(5)))
    assert got == ["", "", *PEOPLE]


def test_own_and_team_bookings_at_once_never_deadlock(anybody: Desk) -> None:
    def one(number: int) -> bool:
        start = anybody.at(8 + number % 4)
        try:
            if number % 2:
                anybody.book(start, f"c{number}", "consult")
            else:
                taken_by(anybody, PEOPLE[number % 3], start)
        except SlotTaken:
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        assert any(pool.map(one, range(24)))
    with anybody.database.reading() as tx:
        rows = tx.execute(sa.select(Slot.operator_id, Slot.starts_at).where(Slot.taken > 0)).all()
    assert len(set(rows)) == len(rows)


def test_stale_data_of_the_chosen_member_decides(anybody: Desk) -> None:
    busy(anybody, "ben", anybody.at(11), anybody.at(12))
    anybody.now += HOUR
    free = anybody.book(anybody.at(9), service="consult", operator="anna")
    waits = anybody.book(anybody.at(9), "jon", "consult", operator="ben")
    assert (anybody.seen(free).status, anybody.seen(waits).status) == ("confirmed", "pending")
    assert len(anybody.messages(PullCalendar)) == 1


# --- all ----------------------------------------------------------------------------------------------------------


def test_all_together_needs_all_of_them(together: Desk) -> None:
    busy(together, "ben", together.at(9), together.at(10))
    taken_by(together, "anna", together.at(10))
    assert [s for s in together.starts("consult") if s < together.at(0, 1)] == [together.at(8), together.at(11)]
    booked = together.book(together.at(8), service="consult")
    for name in ("anna", "ben"):
        with pytest.raises(SlotTaken):
            taken_by(together, name, together.at(8))
    taken_by(together, "chloe", together.at(8))
    assert together.view(booked)["operator_name"] == "Anna, Ben"
    assert together.at(8) in together.starts("consult", "full")


def test_everybody_has_the_event_and_the_client_one_invitation(together: Desk) -> None:
    booked = together.book(together.at(8), service="consult")
    assert [(e.slug, e.wanted, e.starts_at) for e in events(together)] == [
        ("anna", True, together.at(8)),
        ("ben", True, together.at(8)),
    ]
    assert len({e.key for e in events(together)}) == 2
    assert len(together.messages(PushEvent)) == 2
    assert [m.audience for m in together.messages(SendMail, booking_id=booked)] == ["client", "operator"]
    with together.database.reading() as tx:
        slot_id = together.seen(booked).slot_id
        assert event_words(tx, slot_id, TERMS).title == "Consult: Kata"


def test_it_moves_and_ends_for_all(together: Desk) -> None:
    booked = together.book(together.at(8), service="consult")
    together.reschedule(booked, together.at(11))
    assert {(e.slug, e.starts_at) for e in events(together)} == {("anna", together.at(11)), ("ben", together.at(11))}
    taken_by(together, "ben", together.at(8))
    with pytest.raises(SlotTaken):
        together.reschedule(booked, together.at(8))
    together.cancel(booked)
    assert [e.wanted for e in events(together)] == [False, False, True]  # the last is Ben's own
    taken_by(together, "ben", together.at(11))
    taken_by(together, "anna", together.at(11))


def test_any_of_them_cancels_for_all(together: Desk) -> None:
    booked = together.book(together.at(8), service="consult")
    theirs = next(e for e in events(together) if e.slug == "ben")
    together.say(RemoteCancellation(theirs.id, theirs.slot_id))
    assert together.seen(booked).status == "cancelled"
    assert not any(e.wanted for e in events(together))
    assert together.at(8) in together.starts("consult")


def test_any_of_them_moves_it_for_all_and_only_the_others_are_written(together: Desk) -> None:
    booked = together.book(together.at(8), service="consult")
    theirs = next(e for e in events(together) if e.slug == "ben")
    with together.database.transaction() as tx:
        tx.execute(sa.update(SlotEvent).values(pushed_version=SlotEvent.version, state="confirmed"))
    before = len(together.messages(PushEvent))
    together.say(RemoteMove(theirs.id, theirs.slot_id, theirs.version, together.at(10), together.at(11)))
    assert together.seen(booked).starts_at == together.at(10)
    assert {(e.slug, e.starts_at) for e in events(together)} == {("anna", together.at(10)), ("ben", together.at(10))}
    hers = next(e for e in events(together) if e.slug == "anna")
    assert [m.slot_event_id for m in together.messages(PushEvent)[before:]] == [hers.id]
    with together.database.reading() as tx:
        slots = tx.execute(sa.select(Slot.starts_at, Slot.taken)).all()
    assert set(slots) == {(together.at(10), 1)}


def test_a_move_onto_somebodys_other_work_is_refused(together: Desk) -> None:
    booked = together.book(together.at(8), service="consult")
    taken_by(together, "anna", together.at(10))
    busy(together, "anna", together.at(11), together.at(12))
    row = together.seen(booked)

    def move(hour: int) -> None:
        with together.database.transaction() as tx:
            claims.lock_operator(tx, row.operator_id)
            period = Period(together.at(hour), together.at(hour + 1))
            offered = catalogue.offering_of(tx, row)
            commands.move_slot(tx, TERMS, offered, row.slot_id, period, now=together.now, cause="test")

    for hour in (10, 11):
        with pytest.raises(DoesNotFit):
            move(hour)
    assert together.seen(booked).starts_at == together.at(8)


def test_an_expired_hold_frees_everybodys_time(together: Desk) -> None:
    together.hold(together.at(8), "consult")
    with pytest.raises(SlotTaken):
        taken_by(together, "ben", together.at(8))
    together.now += timedelta(minutes=6)
    taken_by(together, "ben", together.at(8))


def test_time_that_one_of_them_frees_is_for_the_line_of_all(together: Desk) -> None:
    own = taken_by(together, "ben", together.at(9, 1))
    waiting = together.join("imre", {"start": together.at(9, 1)}, "consult")
    alone = together.join("eva", {"start": together.at(9, 1)}, "consult")
    together.cancel(own)
    place = together.place(waiting)
    assert place["status"] == "promoted"
    with together.database.reading() as tx:
        booked = commands.id_of(tx, place["booking"])
    together.cancel(booked)
    assert together.place(alone)["status"] == "promoted"


def test_stale_data_of_anybody_makes_it_pending_until_all_are_read(together: Desk) -> None:
    busy(together, "ben", together.at(11), together.at(12))
    together.now += HOUR
    booked = together.book(together.at(9), service="consult")
    assert together.seen(booked).waits_for == "fresh"
    with together.database.transaction() as tx:
        tx.execute(sa.update(Calendar).values(pulled_at=together.now))
    together.say(DecidePending(booked, "fresh"))
    assert together.seen(booked).status == "confirmed"


def test_two_for_all_at_once_are_one(together: Desk) -> None:
    def one(number: int) -> bool:
        try:
            together.book(together.at(9), f"c{number}", "consult")
        except SlotTaken:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(one, range(4))) == 1


def test_without_one_of_them_there_is_nothing_to_book(together: Desk) -> None:
    with together.database.transaction() as tx:
        setup.change_operator(tx, "ben", {"active": False}, now=together.now)
    with pytest.raises(NotFound):
        together.starts("consult")


# --- the doors ----------------------------------------------------------------------------------------------------


def test_the_doors_show_the_team_and_take_a_name(sqlite: Database) -> None:
    doors = Doors(practice(sqlite))
    page = doors.client.get("/en/anna/consult?day=2027-01-11").text
    assert "whoever is free" in page
    assert "who=ben" in page
    form = doors.client.get("/en/anna/consult?start=2027-01-11T09:00:00Z&who=ben").text
    assert '<input type="hidden" name="who" value="ben">' in form
    sent = {"start": "2027-01-11T09:00:00+00:00", "name": "Kata", "email": "kata@example.org", "who": "ben"}
    done = doors.client.post("/en/anna/consult", data=sent)
    view = doors.client.get("/api/v1/bookings/" + done.headers["location"].rsplit("/", 1)[1]).json()
    assert (view["operator"], view["service"]) == ("ben", "consult")
    assert doors.client.get("/en/ben/consult").status_code == 200
    body = {"start": "2027-01-11T09:00:00Z", "client": person("jon"), "operator": "ben"}
    path = "/api/v1/operators/anna/services/consult"
    assert doors.client.post(path + "/bookings", json=body).json()["code"] == "slot_taken"
    wrong = doors.client.post(path + "/holds", json={"start": body["start"], "operator": "dora"})
    assert wrong.json()["errors"][0]["field"] == "operator"
    call = "/slots?from=2027-01-11&to=2027-01-11"
    before = doors.client.get(path + call)
    assert doors.client.post(path + "/holds", json={"start": body["start"], "operator": "anna"}).status_code == 201
    assert doors.client.post(path + "/holds", json={"start": body["start"], "operator": "chloe"}).status_code == 201
    after = doors.client.get(path + call)  # a member's change outdates the team's page
    assert [s["state"] for s in (before.json()["slots"][1], after.json()["slots"][1])] == ["open", "held"]
    line = doors.client.post(
        path + "/waitlist", json={"client": person("eva"), "wish": {"start": body["start"]}, "operator": "ben"}
    )
    assert line.json()["member"] == "ben"


def test_the_list_is_the_same_for_one_start(anybody: Desk) -> None:
    taken_by(anybody, "ben", anybody.at(9))
    with anybody.database.reading() as tx:
        offered = catalogue.offering(tx, "anna", "consult")
        window = Period(anybody.at(0), anybody.at(0, 1))
        for start in times.starts(tx, offered, window, anybody.now):
            assert times.find(tx, offered, start.period.start, anybody.now) == start


def test_a_pause_of_the_booking_holds_what_any_of_them_does(together: Desk) -> None:
    booked = together.book(together.at(8), service="consult")
    theirs = next(e for e in events(together) if e.slug == "ben")
    with together.database.transaction() as tx:
        pause_id = pauses.pause(tx, scope="booking", target=booked, automations=["cancel"], now=together.now)
        scope = outbox.Scope(theirs.operator_id, theirs.service_id, theirs.slot_id)
        outbox.append(tx, RemoteCancellation(theirs.id, theirs.slot_id), now=together.now, scope=scope)
    together.work()
    assert together.seen(booked).status == "confirmed"
    with together.database.transaction() as tx:
        pauses.resume(tx, pause_id, now=together.now)
    together.work()
    assert together.seen(booked).status == "cancelled"


def test_a_members_calendar_speaks_for_their_booking(anybody: Desk) -> None:
    booked = anybody.book(anybody.at(9), service="consult", operator="ben")
    event = events(anybody)[0]
    anybody.say(RemoteMove(event.id, event.slot_id, event.version, anybody.at(14), anybody.at(15)))
    assert (anybody.seen(booked).starts_at, who_has(anybody, booked)) == (anybody.at(14), "ben")
    assert {anybody.at(9), anybody.at(10)} <= set(anybody.starts("consult"))
    event = events(anybody)[0]
    anybody.say(RemoteCancellation(event.id, event.slot_id))
    assert anybody.seen(booked).status == "cancelled"
