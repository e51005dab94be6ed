"""Who was asked and doesn't answer may lose the place, but only to somebody who takes it; whoever is first wins."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from booking import commands
from booking.attendance import ASKED
from booking.errors import Invalid, NotPossible, OfferExpired, SlotTaken
from booking.services import parse
from booking.tables import Offer
from ledger import pauses
from ledger.backoff import NotYet
from ledger.db import Database
from ledger.messages import AskAttendance, ReleaseUnconfirmed, SendMail
from ledger.tables import Seat, Slot
from tests.support.desk import SPEC, Desk

HOUR = timedelta(hours=1)
ASKS: dict[str, Any] = {"confirm_attendance_hours": 26, "release_unconfirmed_hours": 4}


@pytest.fixture
def desk(database: Database) -> Desk:
    return Desk(database).open(talk=ASKS, group={**ASKS, "capacity": 3})


def asked(desk: Desk, service: str = "talk", **more: Any) -> str:
    """A booking of Wednesday at eleven, whose client was asked on Tuesday."""
    booking = desk.book(desk.at(11, 2), "kata", service, **more)
    desk.now = desk.at(9, 1)
    desk.work()
    assert about(desk, booking)[-1] == "attendance"
    return booking


def unanswered(desk: Desk, service: str = "talk", **more: Any) -> str:
    booking = asked(desk, service, **more)
    desk.now = desk.at(7, 2)
    return booking


def about(desk: Desk, booking_id: str) -> list[str]:
    mails = desk.messages(SendMail, booking_id=booking_id, audience="client")
    return [m.about for m in mails if isinstance(m, SendMail)]


def confirm(desk: Desk, booking_id: str) -> None:
    with desk.database.transaction() as tx:
        commands.confirm_attendance(tx, booking_id, now=desk.now, cause="client_link")


def release(desk: Desk, booking_id: str) -> None:
    desk.say(ReleaseUnconfirmed(booking_id, desk.seen(booking_id).revision))


def test_they_are_asked_once_and_not_who_has_said_so(desk: Desk) -> None:
    booking = asked(desk)
    desk.say(AskAttendance(booking, 0))
    assert about(desk, booking).count("attendance") == 1
    assert [n["what"] for n in desk.view(booking)["timeline"]].count(ASKED) == 1
    other = desk.book(desk.at(8, 2), "imre")  # when others had been asked already
    desk.now = desk.at(7, 2)
    assert "attendance" not in about(desk, other)
    assert desk.messages(AskAttendance, booking_id=other) == []


def test_whoever_confirmed_is_not_asked_and_keeps_the_place(desk: Desk) -> None:
    booking = desk.book(desk.at(11, 2), "kata")
    confirm(desk, booking)
    token = desk.join("imre", {"start": desk.at(11, 2)})
    desk.now = desk.at(8, 2)
    desk.work()
    assert "attendance" not in about(desk, booking)
    assert desk.place(token)["status"] == "waiting"


def test_who_said_so_of_another_time_is_asked_again(desk: Desk) -> None:
    booking = desk.book(desk.at(11, 1), "kata")
    confirm(desk, booking)
    desk.reschedule(booking, desk.at(11, 2), by="operator")
    desk.now = desk.at(9, 1)
    desk.work()
    assert about(desk, booking)[-1] == "attendance"


def test_nobody_is_asked_at_night(desk: Desk) -> None:
    booking = desk.book(desk.at(11, 2), "kata")
    desk.now = desk.at(23, 1)  # the workers were away all day
    with pytest.raises(NotYet) as later:
        desk.say(AskAttendance(booking, 0))
    assert later.value.after == 8 * HOUR
    desk.now = desk.at(7, 2)
    desk.say(AskAttendance(booking, 0))
    assert about(desk, booking)[-1] == "attendance"
    early = desk.book(desk.at(8, 8), "imre")
    desk.now = desk.at(6.5, 8)
    with pytest.raises(NotYet):
        desk.say(AskAttendance(early, 0))


def test_nobody_is_asked_about_what_is_cancelled_or_moved(desk: Desk) -> None:
    gone, moved = desk.book(desk.at(11, 2), "kata"), desk.book(desk.at(10, 2), "imre")
    desk.cancel(gone)
    desk.reschedule(moved, desk.at(9, 2))
    desk.now = desk.at(9, 1)
    desk.work()
    assert "attendance" not in about(desk, gone)
    assert about(desk, moved).count("attendance") == 1
    desk.now = desk.at(7, 2)
    desk.say(ReleaseUnconfirmed(moved, 0))  # of the time before
    desk.say(ReleaseUnconfirmed("no-such-booking", 0))


def test_the_place_is_theirs_until_somebody_takes_it(desk: Desk) -> None:
    booking = unanswered(desk)
    with pytest.raises(NotYet):  # nobody waits: nothing changes
        release(desk, booking)
    token, later = desk.join("imre", {"start": desk.at(11, 2)}), desk.join("eva", {"start": desk.at(11, 2)})
    release(desk, booking)
    release(desk, booking)  # a repeat asks nobody else
    assert [desk.place(t)["status"] for t in (token, later)] == ["offered", "waiting"]
    assert desk.seen(booking).status == "confirmed"
    with pytest.raises(SlotTaken):
        desk.book(desk.at(11, 2), "stranger")
    promoted = desk.accept(token)
    assert (desk.seen(booking).status, desk.seen(promoted).status) == ("cancelled", "confirmed")
    assert about(desk, booking)[-1] == "cancelled_unconfirmed"
    assert desk.accept(token) == promoted
    assert desk.place(later)["status"] == "waiting"
    with pytest.raises(NotPossible):
        confirm(desk, booking)
    with desk.database.reading() as tx:
        assert tx.execute(sa.select(Seat.holder)).scalars().all() == [f"booking:{promoted}"]


def test_who_confirms_while_others_are_asked_keeps_it(desk: Desk) -> None:
    booking = unanswered(desk)
    token = desk.join("imre", {"start": desk.at(11, 2)})
    release(desk, booking)
    confirm(desk, booking)
    confirm(desk, booking)
    assert (desk.place(token)["status"], desk.place(token)["position"]) == ("waiting", 1)
    with pytest.raises(OfferExpired):
        desk.accept(token)
    desk.work()
    assert desk.place(token)["status"] == "waiting"


@pytest.mark.parametrize("end", ["expires", "declined", "left"])
def test_an_offer_that_ends_goes_on_to_the_next_and_back(desk: Desk, end: str) -> None:
    booking = unanswered(desk)
    first, second = (desk.join(who, {"start": desk.at(11, 2)}, accept="ask") for who in ("imre", "eva"))
    release(desk, booking)
    if end == "declined":
        desk.decline(first)
    elif end == "left":
        desk.leave(first)
    else:
        desk.now += HOUR / 2
    desk.work()
    desk.work()
    assert desk.place(first)["status"] == {"expires": "expired", "declined": "declined", "left": "removed"}[end]
    assert desk.place(second)["status"] == "offered"
    desk.decline(second)
    desk.work()
    assert desk.seen(booking).status == "confirmed"


def test_a_cancelled_place_that_was_offered_is_theirs_who_was_asked(desk: Desk) -> None:
    booking = unanswered(desk)
    first, second = (desk.join(who, {"start": desk.at(11, 2)}) for who in ("imre", "eva"))
    release(desk, booking)
    desk.cancel(booking)
    assert [desk.place(t)["status"] for t in (first, second)] == ["promoted", "waiting"]
    with desk.database.reading() as tx:
        assert tx.execute(sa.select(Offer.status)).scalars().all() == ["withdrawn"]


def test_a_moved_booking_takes_its_offer_with_it(desk: Desk) -> None:
    booking = unanswered(desk)
    token = desk.join("imre", {"start": desk.at(11, 2)})
    release(desk, booking)
    desk.reschedule(booking, desk.at(10, 2))
    assert desk.place(token)["status"] == "promoted"  # the time it left is free
    assert desk.seen(booking).starts_at == desk.at(10, 2)


def test_of_a_group_the_seats_of_one_and_what_is_left_goes_on(desk: Desk) -> None:
    booking = unanswered(desk, "group", seats=3)
    first, second, big = (
        desk.join(who, {"start": desk.at(11, 2)}, "group", seats=n) for who, n in (("a", 1), ("b", 2), ("c", 3))
    )
    release(desk, booking)
    assert desk.place(first)["status"] == "offered"
    desk.accept(first)
    assert [desk.place(t)["status"] for t in (first, second, big)] == ["promoted", "promoted", "waiting"]
    with desk.database.reading() as tx:
        assert tx.execute(sa.select(Slot.taken).where(Slot.taken > 0)).scalars().all() == [3]


def test_a_pause_of_no_shows_holds_it(desk: Desk) -> None:
    booking = asked(desk)
    token = desk.join("imre", {"start": desk.at(11, 2)})
    with desk.database.transaction() as tx:
        pause = pauses.pause(tx, scope="booking", target=booking, automations=["no_show"], now=desk.now)
    desk.now = desk.at(7, 2)
    desk.work()
    assert desk.place(token)["status"] == "waiting"
    with desk.database.transaction() as tx:
        pauses.resume(tx, pause, now=desk.now)
    desk.work()
    assert desk.place(token)["status"] == "offered"


def test_a_pause_of_promotions_holds_it(desk: Desk) -> None:
    booking = unanswered(desk)
    token = desk.join("imre", {"start": desk.at(11, 2)})
    with desk.database.transaction() as tx:
        pause = pauses.pause(tx, scope="global", target="", automations=["promote"], now=desk.now)
    with pytest.raises(NotYet):
        release(desk, booking)
    with desk.database.transaction() as tx:
        pauses.resume(tx, pause, now=desk.now)
    release(desk, booking)
    assert desk.place(token)["status"] == "offered"


def test_who_was_not_asked_does_not_lose_the_place(desk: Desk) -> None:
    booking = desk.book(desk.at(11, 2), "kata")
    with desk.database.transaction() as tx:
        pauses.pause(tx, scope="global", target="", automations=["remind"], now=desk.now)
    desk.join("imre", {"start": desk.at(11, 2)})
    desk.now = desk.at(7, 2)
    with pytest.raises(NotYet):
        release(desk, booking)
    assert desk.seen(booking).status == "confirmed"


@pytest.mark.parametrize("turn", range(4))
def test_confirming_and_accepting_at_the_same_instant_one_wins(desk: Desk, turn: int) -> None:
    booking = unanswered(desk)
    token = desk.join(f"imre{turn}", {"start": desk.at(11, 2)})
    release(desk, booking)
    both = threading.Barrier(2)

    def run(action: Any) -> Any:
        both.wait()
        try:
            return action()
        except (OfferExpired, NotPossible) as error:
            return error

    with ThreadPoolExecutor(2) as pool:
        took, kept = pool.map(run, [lambda: desk.accept(token), lambda: confirm(desk, booking)])
    assert isinstance(took, OfferExpired) != isinstance(kept, NotPossible)
    with desk.database.reading() as tx:
        assert tx.execute(sa.select(sa.func.count()).select_from(Seat)).scalar_one() == 1
    assert (desk.seen(booking).status == "confirmed") == isinstance(took, OfferExpired)


def test_they_are_asked_before_the_place_is_offered() -> None:
    for spec in ({"release_unconfirmed_hours": 4}, {"confirm_attendance_hours": 4, "release_unconfirmed_hours": 4}):
        with pytest.raises(Invalid):
            parse({**SPEC, **spec})
