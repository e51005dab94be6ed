"""The line: who waits, who is next, and that nobody is faster than the first in line."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from booking import commands, judgement, waitlist
from booking.catalogue import offering
from booking.errors import Invalid, NotFound, NotPossible, OfferExpired
from booking.tables import Booking, Offer, WaitlistEntry
from ledger import pauses
from ledger.db import Database
from ledger.messages import ExpireOffer, RemoteMove, SendMail
from ledger.tables import Seat, Slot, SlotEvent
from tests.support.desk import TERMS, Desk, person

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


@pytest.fixture
def desk(database: Database) -> Desk:
    return Desk(database).open(talk={}, group={"capacity": 4})


def told(desk: Desk, token: str) -> list[tuple[str, int]]:
    """Mails to somebody in line: what about, and which offer."""
    with desk.database.reading() as tx:
        entry_id = tx.execute(sa.select(WaitlistEntry.id).where(WaitlistEntry.token == token)).scalar_one()
    mails = [m for m in desk.messages(SendMail) if isinstance(m, SendMail) and m.booking_id == f"entry:{entry_id}"]
    return [(m.about, m.revision) for m in mails]


def status(desk: Desk, *tokens: str) -> list[str]:
    return [desk.place(token)["status"] for token in tokens]


def holders(desk: Desk) -> list[str]:
    with desk.database.reading() as tx:
        return [h.partition(":")[0] for h in tx.execute(sa.select(Seat.holder).order_by(Seat.id)).scalars()]


def event_of(desk: Desk, booking_id: str) -> Any:
    with desk.database.reading() as tx:
        slot_id = sa.select(Booking.slot_id).where(Booking.id == booking_id).scalar_subquery()
        return tx.execute(sa.select(SlotEvent.__table__).where(SlotEvent.slot_id == slot_id)).one()


# --- joining ------------------------------------------------------------------------------------------------------


def test_a_place_in_line_says_where_one_stands(desk: Desk) -> None:
    first = desk.join("imre", {"start": desk.at(9)})
    second = desk.join(
        "eva",
        {"from": "2027-01-11", "to": "2027-01-13", "weekdays": [1, 2], "between": ["08:00", "10:00"]},
        accept="ask",
    )
    seen = desk.place(second)
    assert (seen["status"], seen["position"], seen["accept"], seen["offer"], seen["booking"]) == (
        "waiting",
        2,
        "ask",
        None,
        None,
    )
    assert seen["wish"] == {"from": "2027-01-11", "to": "2027-01-13", "weekdays": [1, 2], "between": ["08:00", "10:00"]}
    assert desk.place(first)["wish"] == {"start": desk.at(9)}
    assert told(desk, first) == [("waitlisted", 0)]


def test_who_waits_for_the_same_already_keeps_that_place(desk: Desk) -> None:
    first = desk.join("imre", {"start": desk.at(9)})
    desk.join("eva", {"start": desk.at(9)})
    assert desk.join("imre", {"start": desk.at(9)}) == first
    assert desk.join("imre", {"start": desk.at(10)}) != first
    assert desk.join("imre", {"start": desk.at(9)}, accept="ask") != first
    assert told(desk, first) == [("waitlisted", 0)]


def test_who_is_being_asked_does_not_stand_in_line_twice(desk: Desk) -> None:
    booking = desk.book(desk.at(9))
    token = desk.join("imre", {"start": desk.at(9)}, accept="ask")
    desk.cancel(booking)
    assert desk.join("imre", {"start": desk.at(9)}, accept="ask") == token


def test_asking_several_times_at_once_gives_one_place(desk: Desk) -> None:
    with ThreadPoolExecutor(8) as pool:
        tokens = list(pool.map(lambda _: desk.join("imre", {"start": desk.at(9)}), range(16)))
    assert len(set(tokens)) == 1


@pytest.mark.parametrize(
    ("spec", "given", "field"),
    [
        ({"waitlist": {"accept": ["ask"]}}, {"accept": "auto"}, "accept"),
        ({"waitlist": {"accept": []}}, {"accept": "auto"}, "accept"),
        ({"waitlist": {"accept": []}}, {"accept": ""}, "accept"),
        ({}, {"seats": 2}, "seats"),
        ({}, {"wish": {}}, "wish.from"),
        ({}, {"client": {**person("x"), "email": ""}}, "client.email"),
    ],
)
def test_a_bad_wish_takes_no_place(database: Database, spec: dict[str, Any], given: dict[str, Any], field: str) -> None:
    desk = Desk(database).open(talk=spec)
    asked = {"client": person("imre"), "wish": {"start": desk.at(9)}, "accept": "auto", "seats": 1, **given}
    with database.transaction() as tx:
        with pytest.raises(Invalid) as refused:
            waitlist.join(tx, offering(tx, "anna", "talk"), asked, now=desk.now, cause="test")
        assert [e.field for e in refused.value.errors] == [field]
        assert tx.execute(sa.select(WaitlistEntry.id)).first() is None


def test_without_a_word_the_services_first_way_counts(database: Database) -> None:
    desk = Desk(database).open(
        talk={"waitlist": {"accept": ["ask", "auto"]}, "fields": [{"name": "phone", "required": True}]}
    )
    token = desk.join("imre", {"start": desk.at(9)}, accept="")
    assert desk.place(token)["accept"] == "ask"


# --- auto ---------------------------------------------------------------------------------------------------------


def test_the_first_in_line_gets_the_seat_in_the_same_transaction(desk: Desk) -> None:
    booking = desk.book(desk.at(9), "kata")
    first, second = (desk.join(who, {"start": desk.at(9)}) for who in ("imre", "eva"))
    desk.cancel(booking)
    assert status(desk, first, second) == ["promoted", "waiting"]
    assert desk.place(second)["position"] == 1
    assert desk.place(first)["position"] is None
    assert holders(desk) == ["booking"]
    token = desk.place(first)["booking"]
    with desk.database.reading() as tx:
        row = tx.execute(sa.select(Booking.__table__).where(Booking.token == token)).one()
    assert (row.client_email, row.status, row.starts_at) == ("imre@example.org", "confirmed", desk.at(9))
    assert row.uid != desk.seen(booking).uid
    assert [line["what"] for line in desk.view(row.id)["timeline"]] == ["promoted"]
    mails = [(m.about, m.audience) for m in desk.messages(SendMail, booking_id=row.id) if isinstance(m, SendMail)]
    assert mails == [("promoted", "client"), ("promoted", "operator")]
    assert desk.at(9) not in desk.starts()


@pytest.mark.parametrize(
    ("wish", "fits"),
    [
        ({"from": "2027-01-11", "to": "2027-01-11"}, True),
        ({"from": "2027-01-12", "to": "2027-01-12"}, False),
        ({"from": "2027-01-11", "to": "2027-01-13", "weekdays": [1]}, True),
        ({"from": "2027-01-11", "to": "2027-01-13", "weekdays": [2, 3]}, False),
        ({"from": "2027-01-11", "to": "2027-01-11", "between": ["09:00", "09:01"]}, True),
        ({"from": "2027-01-11", "to": "2027-01-11", "between": ["08:00", "09:00"]}, False),
    ],
)
def test_only_who_wished_for_it(desk: Desk, wish: dict[str, Any], fits: bool) -> None:
    booking = desk.book(desk.at(9))
    for hour in (8, 10, 11):
        desk.book(desk.at(hour), f"c{hour}")
    token = desk.join("imre", wish)
    desk.cancel(booking)
    assert status(desk, token) == ["promoted" if fits else "waiting"]
    assert (desk.at(9) in desk.starts()) is not fits


def test_the_party_must_fit_and_keeps_its_place_while_it_does_not(desk: Desk) -> None:
    bookings = [desk.book(desk.at(9), f"c{n}", "group", seats=n) for n in (1, 3)]
    pair, single = (
        desk.join("imre", {"start": desk.at(9)}, "group", seats=2),
        desk.join("eva", {"start": desk.at(9)}, "group"),
    )
    desk.cancel(bookings[0])
    assert status(desk, pair, single) == ["waiting", "promoted"]
    assert desk.place(pair)["position"] == 1
    third = desk.join("joe", {"start": desk.at(9)}, "group")
    desk.cancel(bookings[1])
    assert status(desk, pair, third) == ["promoted", "promoted"]
    with desk.database.reading() as tx:
        assert tx.execute(sa.select(Slot.taken).where(Slot.taken > 0)).scalar_one() == 4


def test_who_is_booked_at_that_time_is_passed_over_and_keeps_the_place(desk: Desk) -> None:
    booking = desk.book(desk.at(9), "kata")
    mine = desk.join("kata", {"start": desk.at(9)})
    other = desk.join("imre", {"start": desk.at(9)})
    with desk.database.transaction() as tx:
        waitlist.seats_freed(tx, TERMS, [], now=desk.now, cause="test")  # nothing freed, nobody served
    desk.cancel(booking)
    assert status(desk, mine, other) == ["promoted", "waiting"]  # not booked there any more
    elsewhere = Desk(desk.database, desk.now)
    again = desk.join("eva", {"start": desk.at(10)})
    taken = desk.book(desk.at(10), "jon")
    desk.cancel(desk.book(desk.at(11), "eva"))
    assert elsewhere.place(again)["status"] == "waiting"
    desk.cancel(taken)
    assert status(desk, again) == ["promoted"]


@pytest.mark.parametrize("by", ["client", "operator"])
def test_who_waits_for_any_day_does_not_get_back_what_they_gave_up(desk: Desk, by: str) -> None:
    """Kata has nine o'clock and would rather come earlier. She cancels, and isn't booked again by that."""
    desk.now = desk.at(0, day=0)
    booking = desk.book(desk.at(9), "kata")
    earlier, *_ = [desk.book(desk.at(hour), f"c{hour}") for hour in (8, 10, 11)]
    days = {"from": "2027-01-11", "to": "2027-01-11"}
    kata, imre = (desk.join(who, days) for who in ("kata", "imre"))
    desk.now += MINUTE
    desk.cancel(booking, by)
    assert status(desk, kata, imre) == ["waiting", "promoted"]
    with desk.database.reading() as tx:
        given = commands.id_of(tx, desk.place(imre)["booking"])
    desk.cancel(given, by)
    assert (status(desk, kata), desk.at(9) in desk.starts()) == (["waiting"], True)
    desk.cancel(earlier)
    assert status(desk, kata) == ["promoted"]


def test_who_waits_for_it_again_after_giving_it_up_gets_it(desk: Desk) -> None:
    desk.cancel(desk.book(desk.at(9, 1), "kata"))
    taken = desk.book(desk.at(9, 1), "jon")
    desk.now += MINUTE
    kata = desk.join("kata", {"from": "2027-01-12", "to": "2027-01-12"})
    desk.cancel(taken)
    assert status(desk, kata) == ["promoted"]


def test_priority_goes_first_then_age(desk: Desk) -> None:
    booking = desk.book(desk.at(9))
    tokens = [desk.join(who, {"start": desk.at(9)}) for who in ("imre", "eva", "joe")]
    with desk.database.transaction() as tx:
        entry = waitlist.entry_by_token(tx, tokens[2])
        judgement.prioritise(tx, entry.id, 5, now=desk.now)
    assert [desk.place(t)["position"] for t in tokens] == [2, 3, 1]
    desk.cancel(booking)
    assert status(desk, *tokens) == ["waiting", "waiting", "promoted"]


def test_notice_is_for_strangers(database: Database) -> None:
    desk = Desk(database).open(talk={"notice_minutes": 24 * 60})
    booking = desk.book(desk.at(9, day=1))
    desk.now = desk.at(6, day=1)
    token = desk.join("imre", {"start": desk.at(9, day=1)})
    desk.cancel(booking)
    assert status(desk, token) == ["promoted"]


def test_nobody_is_promoted_into_the_past(desk: Desk) -> None:
    booking = desk.book(desk.at(9))
    token = desk.join("imre", {"from": "2027-01-11", "to": "2027-01-11", "between": ["09:00", "10:00"]})
    desk.now = desk.at(9.5)
    desk.cancel(booking, by="operator")
    assert status(desk, token) == ["waiting"]


def test_a_seat_of_a_service_that_needs_approval_is_asked_for(database: Database) -> None:
    desk = Desk(database).open(talk={"confirmation": "approval"})
    booking = desk.book(desk.at(9))
    token = desk.join("imre", {"start": desk.at(9)})
    desk.decide(booking, "decline")
    assert status(desk, token) == ["promoted"]
    with desk.database.reading() as tx:
        promoted = tx.execute(sa.select(Booking.__table__).where(Booking.token == desk.place(token)["booking"])).one()
    assert (promoted.status, promoted.waits_for) == ("pending", "approval")
    desk.decide(promoted.id, "confirm")
    abouts = [
        m.about for m in desk.messages(SendMail, booking_id=promoted.id, audience="client") if isinstance(m, SendMail)
    ]
    assert abouts == ["pending", "promoted"]


def test_a_reschedule_and_an_ended_hold_serve_the_line_too(desk: Desk) -> None:
    booking = desk.book(desk.at(9))
    token = desk.join("imre", {"start": desk.at(9)})
    desk.reschedule(booking, desk.at(11))
    assert status(desk, token) == ["promoted"]
    desk.hold(desk.at(10))
    later = desk.join("eva", {"start": desk.at(10)})
    desk.now += 5 * MINUTE
    desk.work()
    assert status(desk, later) == ["promoted"]


def test_time_freed_by_one_service_goes_to_whoever_waits_for_any(database: Database) -> None:
    desk = Desk(database).open(
        short={"duration_minutes": 30, "start_every_minutes": 30}, long={"duration_minutes": 120}
    )
    long = desk.book(desk.at(8), service="long")
    tokens = [desk.join(f"w{n}", {"start": desk.at(8 + n / 2)}, "short") for n in range(4)]
    desk.cancel(long)
    assert status(desk, *tokens) == ["promoted"] * 4


def test_what_was_open_all_along_is_not_freed_by_what_ends_beside_it(desk: Desk) -> None:
    booking = desk.book(desk.at(9, 1))
    place = desk.join("imre", {"from": "2027-01-12", "to": "2027-01-12"})
    assert desk.at(8, 1) in desk.starts()
    desk.cancel(booking)
    with desk.database.reading() as tx:
        promoted = commands.id_of(tx, desk.place(place)["booking"])
    assert desk.seen(promoted).starts_at == desk.at(9, 1)


def test_a_start_that_needed_time_before_it_is_freed_as_well(database: Database) -> None:
    desk = Desk(database).open(talk={}, careful={"buffer_before_minutes": 30})
    talk = desk.book(desk.at(9))
    assert desk.at(10) not in desk.starts("careful")
    token = desk.join("imre", {"start": desk.at(10)}, "careful")
    desk.cancel(talk)
    assert status(desk, token) == ["promoted"]


# --- ask ----------------------------------------------------------------------------------------------------------


def offered(desk: Desk, *who: str, accept: str = "ask") -> list[str]:
    """A start whose first in line has just been asked."""
    booking = desk.book(desk.at(11))
    tokens = [desk.join(name, {"start": desk.at(11)}, accept=accept) for name in who]
    desk.cancel(booking)
    return tokens


def test_an_offer_is_exclusive_until_it_ends(desk: Desk) -> None:
    first, second = offered(desk, "imre", "eva")
    seen = desk.place(first)
    assert (seen["status"], desk.place(second)["status"]) == ("offered", "waiting")
    assert seen["offer"] == {"start": desk.at(11), "end": desk.at(12), "expires_at": desk.now + 30 * MINUTE}
    assert told(desk, first) == [("waitlisted", 0), ("offer", 1)]
    assert holders(desk) == ["offer"]
    assert desk.at(11) not in desk.starts()
    assert desk.starts(state="held") == [desk.at(11)]


def test_accepted_it_is_a_booking_once(desk: Desk) -> None:
    (token,) = offered(desk, "imre")
    booking = desk.accept(token)
    assert desk.accept(token) == booking
    assert desk.seen(booking).status == "confirmed"
    assert status(desk, token) == ["promoted"]
    assert holders(desk) == ["booking"]
    desk.now += HOUR
    desk.work()
    assert status(desk, token) == ["promoted"]
    with pytest.raises(OfferExpired):
        desk.decline(token)


def test_declined_it_goes_to_the_next_and_so_on(desk: Desk) -> None:
    tokens = offered(desk, "imre", "eva", "joe")
    desk.decline(tokens[0])
    desk.decline(tokens[0])
    assert status(desk, *tokens) == ["declined", "offered", "waiting"]
    desk.decline(tokens[1])
    desk.decline(tokens[2])
    assert status(desk, *tokens) == ["declined"] * 3
    assert desk.at(11) in desk.starts()


def test_expired_it_goes_to_the_next_and_can_not_be_accepted(desk: Desk) -> None:
    first, second = offered(desk, "imre", "eva")
    desk.now += 30 * MINUTE
    with pytest.raises(OfferExpired):
        desk.accept(first)
    assert status(desk, first, second) == ["offered", "waiting"]
    assert desk.work() == 1
    assert status(desk, first, second) == ["expired", "offered"]
    assert [about for about, _ in told(desk, first)] == ["waitlisted", "offer", "offer_expired"]
    assert desk.place(second)["offer"]["expires_at"] == desk.now + 30 * MINUTE
    desk.say(ExpireOffer(1))  # a repeat
    desk.say(ExpireOffer(99))  # one that never was
    assert status(desk, first, second) == ["expired", "offered"]


def test_leaving_gives_the_place_and_the_offer_up(desk: Desk) -> None:
    first, second = offered(desk, "imre", "eva")
    for _ in range(2):
        desk.leave(first)
    assert status(desk, first, second) == ["removed", "offered"]
    desk.leave(second)
    assert desk.at(11) in desk.starts()
    waiting = desk.join("joe", {"start": desk.at(9)})
    desk.leave(waiting)
    assert status(desk, waiting) == ["removed"]
    with pytest.raises(NotFound):
        desk.leave("no-such-token")


def test_near_the_start_auto_becomes_ask_and_the_offer_ends_with_the_start(desk: Desk) -> None:
    booking = desk.book(desk.at(9))
    token = desk.join("imre", {"start": desk.at(9)})
    desk.now = desk.at(7) + timedelta(seconds=1)  # less than two hours before
    desk.cancel(booking)
    assert status(desk, token) == ["offered"]
    late = desk.book(desk.at(10), "jon")
    other = desk.join("eva", {"start": desk.at(10)})
    desk.now = desk.at(10) - 10 * MINUTE
    desk.cancel(late, by="operator")
    assert desk.place(other)["offer"]["expires_at"] == desk.at(10)


def test_exactly_at_the_lead_time_it_is_still_taken(desk: Desk) -> None:
    booking = desk.book(desk.at(9))
    token = desk.join("imre", {"start": desk.at(9)})
    desk.now = desk.at(7)
    desk.cancel(booking)
    assert status(desk, token) == ["promoted"]


def test_an_offer_in_a_group_that_moves_is_withdrawn_and_its_person_waits_again(desk: Desk) -> None:
    stays, leaves = desk.book(desk.at(9), "a", "group", seats=3), desk.book(desk.at(9), "b", "group")
    token = desk.join("imre", {"start": desk.at(9)}, "group", accept="ask")
    later = desk.join("eva", {"start": desk.at(11)}, "group")
    desk.cancel(leaves)
    assert status(desk, token) == ["offered"]
    event = event_of(desk, stays)
    desk.say(RemoteMove(event.id, event.slot_id, event.version, desk.at(11), desk.at(12)))
    assert desk.seen(stays).starts_at == desk.at(11)
    assert status(desk, later) == ["promoted"]  # the seat that was kept is at eleven now
    assert status(desk, token) == ["offered"]  # of the old time, which became free as a whole
    assert desk.place(token)["offer"]["start"] == desk.at(9)
    accepted = desk.accept(token)
    assert desk.seen(accepted).starts_at == desk.at(9)
    with desk.database.reading() as tx:
        assert tx.execute(sa.select(Offer.status).order_by(Offer.id)).scalars().all() == ["withdrawn", "accepted"]
    desk.say(ExpireOffer(1))
    assert status(desk, token) == ["promoted"]


# --- pauses -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scope", ["global", "operator", "service", "slot", "booking"])
def test_a_paused_promotion_keeps_the_seat_and_resumes_as_if_nothing_had_been(desk: Desk, scope: str) -> None:
    booking = desk.book(desk.at(9))
    first, second = (desk.join(who, {"start": desk.at(9)}) for who in ("imre", "eva"))
    targets = {
        "global": "",
        "operator": desk.operator_id,
        "service": 1,
        "slot": desk.seen(booking).slot_id,
        "booking": booking,
    }
    with desk.database.transaction() as tx:
        pause = pauses.pause(tx, scope=scope, target=str(targets[scope]), automations=["promote"], now=desk.now)
    desk.cancel(booking)
    assert status(desk, first, second) == ["waiting", "waiting"]
    assert holders(desk) == ["kept"]
    assert desk.at(9) not in desk.starts()
    assert desk.at(9) in desk.starts(state="held")
    assert desk.work() == 0
    assert holders(desk) == ["kept"]
    with desk.database.transaction() as tx:
        pauses.resume(tx, pause, now=desk.now)
    assert desk.work() == 1
    assert status(desk, first, second) == ["promoted", "waiting"]
    assert holders(desk) == ["booking"]


def test_a_kept_seat_that_nobody_wants_is_free_after_the_pause(desk: Desk) -> None:
    booking = desk.book(desk.at(9))
    with desk.database.transaction() as tx:
        pause = pauses.pause(tx, scope="global", target="", automations=["promote"], now=desk.now)
    desk.cancel(booking)
    assert desk.at(9) not in desk.starts()
    with desk.database.transaction() as tx:
        pauses.resume(tx, pause, now=desk.now)
    desk.work()
    assert desk.at(9) in desk.starts()


def test_other_pauses_do_not_hold_the_line(desk: Desk) -> None:
    booking = desk.book(desk.at(9))
    token = desk.join("imre", {"start": desk.at(9)})
    with desk.database.transaction() as tx:
        pauses.pause(tx, scope="global", target="", automations=["push", "cancel"], now=desk.now)
    desk.cancel(booking)
    assert status(desk, token) == ["promoted"]


# --- by name ------------------------------------------------------------------------------------------------------


def test_a_person_can_be_named_before_others(desk: Desk) -> None:
    first, second = (desk.join(who, {"start": desk.at(9)}) for who in ("imre", "eva"))
    with desk.database.transaction() as tx:
        entry = waitlist.entry_by_token(tx, second)
        booking = judgement.promote(tx, TERMS, entry.id, desk.at(10), now=desk.now, cause="admin")
    assert desk.seen(booking).starts_at == desk.at(10)
    assert status(desk, first, second) == ["waiting", "promoted"]
    for _ in range(2):
        with desk.database.transaction() as tx, pytest.raises(NotPossible):
            judgement.promote(tx, TERMS, entry.id, desk.at(11), now=desk.now, cause="admin")
    with desk.database.transaction() as tx, pytest.raises(NotFound):
        judgement.promote(tx, TERMS, 99, desk.at(11), now=desk.now, cause="admin")
    with desk.database.transaction() as tx, pytest.raises(NotPossible):
        judgement.prioritise(tx, entry.id, 1, now=desk.now)


def test_a_named_person_gets_only_what_is_free(desk: Desk) -> None:
    desk.book(desk.at(9))
    token = desk.join("imre", {"start": desk.at(9)})
    with desk.database.transaction() as tx:
        entry = waitlist.entry_by_token(tx, token)
        for hour in (9, 7):
            with pytest.raises(NotPossible):
                judgement.promote(tx, TERMS, entry.id, desk.at(hour), now=desk.now, cause="admin")
    assert status(desk, token) == ["waiting"]


# --- in the client's calendar -------------------------------------------------------------------------------------


def noted(desk: Desk, **more: Any) -> str:
    given = {
        "client": person("imre"), "wish": {"start": desk.at(9)}, "accept": "auto", "seats": 1, "calendar_entry": True, **more
    }  # fmt: skip
    with desk.database.transaction() as tx:
        return waitlist.join(tx, offering(tx, "anna", "talk"), given, now=desk.now, cause="test")


def entry_of(desk: Desk, token: str) -> Any:
    with desk.database.reading() as tx:
        return waitlist.entry_by_token(tx, token)


def test_a_tentative_entry_becomes_the_bookings(desk: Desk) -> None:
    booking = desk.book(desk.at(9))
    token = noted(desk)
    before = entry_of(desk, token)
    desk.cancel(booking)
    promoted = desk.seen(entry_of(desk, token).booking_id)
    assert (promoted.uid, promoted.organizer_tag, promoted.revision) == (before.uid, before.organizer_tag, 1)
    assert promoted.voice == "service"
    desk.cancel(promoted.id)
    assert desk.seen(promoted.id).revision == 2


@pytest.mark.parametrize("end", ["leave", "decline", "expire"])
def test_a_tentative_entry_is_taken_out_again(desk: Desk, end: str) -> None:
    booking = desk.book(desk.at(9))
    token = noted(desk, accept="ask")
    if end != "leave":
        desk.cancel(booking)
    if end == "expire":
        desk.now += 31 * MINUTE
        desk.work()
    else:
        getattr(desk, end)(token)
    assert entry_of(desk, token).sequence == 1
    assert told(desk, token)[-1][0] == ("offer_expired" if end == "expire" else "left_line")


def test_who_has_no_entry_is_not_told_what_they_did(desk: Desk) -> None:
    token = desk.join("imre", {"start": desk.at(9)})
    desk.leave(token)
    assert told(desk, token) == [("waitlisted", 0)]
    assert entry_of(desk, token).uid == ""


def test_only_one_start_has_a_place_in_a_calendar(desk: Desk) -> None:
    with pytest.raises(Invalid) as refused:
        noted(desk, wish={"from": "2027-01-11", "to": "2027-01-12"})
    assert [e.field for e in refused.value.errors] == ["calendar_entry"]
