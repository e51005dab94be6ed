"""The one completion path: what each origin takes, writes, says and asks for."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from booking.catalogue import offering
from booking.complete import Completion, Origin, complete, refresh_event, row_of, scope_of
from booking.errors import HoldExpired, NotPossible, SlotTaken
from booking.rules import Client
from booking.tables import Booking
from ledger import claims
from ledger.availability import SlotState, Start
from ledger.db import Database, Tx
from ledger.messages import PushEvent, SendMail
from ledger.outbox import Scope
from ledger.tables import Seat, Slot, SlotEvent
from tests.support import books
from tests.support.desk import TERMS, Desk

KATA = Client("Kata", "kata@example.org", "UTC", "en")


@pytest.fixture
def desk(database: Database) -> Desk:
    return Desk(database).open(talk={}, asked={"confirmation": "approval"}, group={"capacity": 3})


def wish(
    tx: Tx, desk: Desk, origin: Origin = Origin.DIRECT, service: str = "talk", hour: float = 9, **more: Any
) -> Completion:
    wanted = offering(tx, "anna", service)
    claims.lock_operator(tx, wanted.operator_id)
    period = books.hours(desk.now, hour, hour + 1)
    start = Start(period, wanted.spec.capacity, wanted.spec.capacity, SlotState.OPEN)
    values: dict[str, Any] = {"start": start, "client": KATA, **more}
    return Completion(wanted, origin, "test", **values)


@pytest.mark.parametrize(
    ("origin", "word", "about"),
    [(Origin.DIRECT, "booked", "booked"), (Origin.HOLD, "booked", "booked"), (Origin.PROMOTED, "promoted", "promoted"),
     (Origin.OFFER, "promoted", "promoted")],
)  # fmt: skip
def test_every_way_to_a_place_ends_the_same(desk: Desk, origin: Origin, word: str, about: str) -> None:
    with desk.database.transaction() as tx:
        asked = wish(tx, desk, origin)
        if origin in (Origin.HOLD, Origin.OFFER):
            period = books.hours(desk.now, 9, 10)
            claims.claim(
                tx, operator_id=1, service_id=asked.offering.service_id, period=period, block=period, capacity=1, holder="x:1", seats=1,
                now=desk.now,
            )  # fmt: skip
            asked = wish(tx, desk, origin, start=None, holder="x:1", entry_id=7)
        done = complete(tx, TERMS, asked, now=desk.now)
        assert tx.execute(sa.select(Seat.holder)).scalars().all() == [f"booking:{done.booking_id}"]
        assert done.freed == ()
        row = row_of(tx, done.booking_id)
        assert scope_of(row) == Scope(1, asked.offering.service_id, done.slot_id, row.id)
    assert desk.seen(done.booking_id).status == "confirmed"
    assert [line["what"] for line in desk.view(done.booking_id)["timeline"]] == [word]
    assert desk.messages(SendMail) == [SendMail(done.booking_id, 0, about, a) for a in ("client", "operator")]
    assert len(desk.messages(PushEvent)) == 1


def test_nothing_is_stored_where_the_seats_are_gone(desk: Desk) -> None:
    desk.book(desk.at(9), "jon")
    with desk.database.transaction() as tx:
        with pytest.raises(SlotTaken):
            complete(tx, TERMS, wish(tx, desk), now=desk.now)
        with pytest.raises(HoldExpired):
            complete(tx, TERMS, wish(tx, desk, Origin.HOLD, holder="hold:gone"), now=desk.now)
        assert tx.execute(sa.select(sa.func.count()).select_from(Booking)).scalar_one() == 1
        assert tx.execute(sa.select(sa.func.sum(Slot.taken))).scalar_one() == 1


@pytest.mark.parametrize("missing", ["client", "start"])
def test_a_wish_that_lacks_something_is_a_mistake_of_ours(desk: Desk, missing: str) -> None:
    with desk.database.transaction() as tx, pytest.raises(ValueError, match=missing):
        complete(tx, TERMS, wish(tx, desk, **{missing: None}), now=desk.now)


def test_what_is_over_is_not_completed_again(desk: Desk) -> None:
    booking = desk.book(desk.at(9), service="asked")
    desk.cancel(booking)
    with desk.database.transaction() as tx:
        asked = wish(tx, desk, Origin.DECIDED, "asked", start=None, booking=row_of(tx, booking), decided="approval")
        with pytest.raises(NotPossible):
            complete(tx, TERMS, asked, now=desk.now)


def test_an_event_is_wished_for_by_those_who_come(desk: Desk) -> None:
    pending = desk.book(desk.at(9), service="asked")
    with desk.database.transaction() as tx:
        asked = offering(tx, "anna", "asked")
        slot = row_of(tx, pending).slot_id
        for _ in range(2):
            refresh_event(tx, TERMS, asked, slot, now=desk.now, cause="test")
        assert tx.execute(sa.select(SlotEvent.id)).first() is None
    desk.decide(pending, "confirm")
    with desk.database.transaction() as tx:
        for _ in range(2):
            refresh_event(tx, TERMS, asked, slot, now=desk.now, cause="test")
        assert tx.execute(sa.select(SlotEvent.wanted, SlotEvent.version)).all() == [(True, 1)]
    assert len(desk.messages(PushEvent)) == 1


def test_the_seats_of_a_party_are_one_claim(desk: Desk) -> None:
    with desk.database.transaction() as tx:
        done = complete(tx, TERMS, wish(tx, desk, service="group", seats=2), now=desk.now)
        assert tx.execute(sa.select(Slot.taken, Slot.capacity)).one() == (2, 3)
    assert desk.seen(done.booking_id).seats == 2


def test_where_the_account_invites_the_booking_remembers_it_for_life(desk: Desk) -> None:
    with desk.database.transaction() as tx:
        account = books.connection(tx, desk.operator_id, desk.now, voice="provider")
        books.calendar(tx, desk.operator_id, account, bookings=True)
    assert desk.seen(desk.book(desk.at(9))).voice == "provider"
    assert desk.seen(desk.book(desk.at(10), service="group")).voice == "service"  # one event for all: we invite each
