"""No overlap and no overbooking, however many come at once, on both databases (P1, P7)."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import sqlalchemy as sa

from api import reviewing, scopes
from booking import commands, judgement, waitlist
from booking.errors import DoesNotFit, NotPossible, OfferExpired, SlotTaken
from booking.reactions import react
from ledger.db import Database
from ledger.messages import ExpireOffer, RemoteMove
from ledger.tables import Seat, Slot, SlotEvent
from tests.support.desk import TERMS, Desk, person

CROWD = 200


def at_once(actions: list[Callable[[], object]]) -> list[object]:
    """Results or exceptions, in the order of the actions; sixteen threads."""

    def run(action: Callable[[], object]) -> object:
        try:
            return action()
        except SlotTaken as error:
            return error

    with ThreadPoolExecutor(16) as pool:
        return list(pool.map(run, actions))


def overlaps(database: Database) -> int:
    one, other = sa.orm.aliased(Slot), sa.orm.aliased(Slot)
    with database.reading() as tx:
        return tx.execute(
            sa.select(sa.func.count())
            .select_from(one)
            .join(other, sa.and_(one.operator_id == other.operator_id, one.id < other.id))
            .where(one.taken > 0, other.taken > 0, one.block_start < other.block_end, other.block_start < one.block_end)
        ).scalar_one()


def test_two_hundred_for_one_seat(database: Database) -> None:
    desk = Desk(database).open(talk={})
    start = desk.at(9)
    results = at_once([lambda n=n: desk.book(start, f"client{n}") for n in range(CROWD)])  # type: ignore[misc]
    won = [r for r in results if isinstance(r, str)]
    lost = [r for r in results if isinstance(r, SlotTaken)]
    assert (len(won), len(lost)) == (1, CROWD - 1)
    assert all(r.alternatives and start not in r.alternatives and r.waitlist for r in lost)
    assert overlaps(database) == 0


def test_two_hundred_for_eight_seats(database: Database) -> None:
    desk = Desk(database).open(talk={"capacity": 8})
    start = desk.at(9)
    results = at_once([lambda n=n: desk.book(start, f"client{n}") for n in range(CROWD)])  # type: ignore[misc]
    assert Counter(type(r) for r in results) == {str: 8, SlotTaken: CROWD - 8}
    with database.reading() as tx:
        assert tx.execute(sa.select(Slot.taken, Slot.capacity)).all() == [(8, 8)]
        assert tx.execute(sa.select(sa.func.sum(Seat.seats))).scalar_one() == 8


def test_services_of_one_operator_whose_times_overlap(database: Database) -> None:
    desk = Desk(database).open(
        talk={"start_every_minutes": 30},
        long={"duration_minutes": 90, "start_every_minutes": 30, "buffer_after_minutes": 15},
    )
    starts = [desk.at(8 + n / 2) for n in range(6)]
    actions = [
        lambda n=n: desk.book(starts[n % 6], f"client{n}", service=("talk", "long")[n % 2])  # type: ignore[misc]
        for n in range(CROWD)
    ]
    results = at_once(actions)
    assert any(isinstance(r, str) for r in results)
    assert overlaps(database) == 0
    free = set(desk.starts("talk")) & set(starts)
    assert not [s for s in free if s in {desk.seen(r).starts_at for r in results if isinstance(r, str)}]


def test_racing_strangers_never_jump_the_line(database: Database) -> None:
    desk = Desk(database).open(talk={})
    start = desk.at(9)
    first = desk.book(start, "first")
    places = [desk.join(f"waiter{n}", {"start": start}) for n in range(3)]
    results = at_once([lambda: desk.cancel(first), *(lambda n=n: desk.book(start, f"stranger{n}") for n in range(50))])  # type: ignore[misc]
    assert not [r for r in results[1:] if isinstance(r, str)]
    assert [desk.place(p)["status"] for p in places] == ["promoted", "waiting", "waiting"]


def test_racing_reschedules_and_bookings_keep_one_place_each(database: Database) -> None:
    desk = Desk(database).open(talk={})
    bookings = [desk.book(desk.at(8 + n), f"client{n}") for n in range(3)]
    target = desk.at(11)
    results = at_once(
        [
            *(lambda b=b: desk.reschedule(b, target) for b in bookings),
            *(lambda n=n: desk.book(target, f"other{n}") for n in range(20)),
        ]  # type: ignore[misc]
    )
    assert sum(not isinstance(r, SlotTaken) for r in results) >= 1
    at_target = [b for b in bookings if desk.seen(b).starts_at == target]
    booked = [r for r in results[3:] if isinstance(r, str)]
    assert len(at_target) + len(booked) == 1
    assert overlaps(database) == 0
    with database.reading() as tx:
        assert tx.execute(sa.select(sa.func.count()).select_from(Seat)).scalar_one() == len(bookings) + len(booked)


def test_one_idempotency_key_one_booking(database: Database) -> None:
    desk = Desk(database).open(talk={"capacity": 8})
    start = desk.at(9)
    results = at_once([lambda: desk.book(start, "kata", idempotency_key="once") for _ in range(30)])
    assert len(set(map(str, results))) == 1
    assert person("kata")
    with database.reading() as tx:
        assert tx.execute(sa.select(Slot.taken)).scalar_one() == 1


@pytest.mark.parametrize("seats", [1, 2])
def test_the_database_itself_refuses(database: Database, seats: int) -> None:
    """Past all of our code: overlap and overbooking are errors of the database."""
    desk = Desk(database).open(talk={"capacity": 2})
    desk.book(desk.at(9), "kata", seats=seats)
    with database.reading() as tx:
        slot = dict(tx.execute(sa.select(Slot.__table__)).one()._mapping)
    with pytest.raises(sa.exc.IntegrityError), database.transaction() as tx:
        tx.execute(sa.update(Slot).values(taken=3))
    with pytest.raises(sa.exc.IntegrityError, match="slot_overlap"), database.transaction() as tx:
        tx.execute(sa.insert(Slot).values({**slot, "id": slot["id"] + 1, "service_id": 99}))


# --- the line at the same instant -------------------------------------------------------------------------------------


def both(*actions: Callable[[], object]) -> list[object]:
    """All of them at once, behind one barrier; results, or what was refused."""
    gate = threading.Barrier(len(actions))

    def run(action: Callable[[], object]) -> object:
        gate.wait()
        try:
            return action()
        except (SlotTaken, OfferExpired, NotPossible, DoesNotFit) as error:
            return error

    with ThreadPoolExecutor(len(actions)) as pool:
        return list(pool.map(run, actions))


def live(database: Database) -> list[tuple[str, int]]:
    """Who holds seats, by kind, and how many."""
    with database.reading() as tx:
        return [(h.partition(":")[0], n) for h, n in tx.execute(sa.select(Seat.holder, Seat.seats).order_by(Seat.id))]


TURNS = range(4)


@pytest.mark.parametrize("turn", TURNS)
def test_two_seats_freed_at_once_go_to_the_first_two(database: Database, turn: int) -> None:
    desk = Desk(database).open(talk={"capacity": 2})
    held = [desk.book(desk.at(9), f"held{n}-{turn}") for n in range(2)]
    places = [desk.join(f"waiter{n}", {"start": desk.at(9)}) for n in range(4)]
    both(*(lambda b=b: desk.cancel(b) for b in held), lambda: _tries(desk, "stranger"))  # type: ignore[misc]
    assert [desk.place(p)["status"] for p in places] == ["promoted", "promoted", "waiting", "waiting"]
    assert live(database) == [("booking", 1), ("booking", 1)]


def _tries(desk: Desk, who: str) -> object:
    return desk.book(desk.at(9), who)


@pytest.mark.parametrize("turn", TURNS)
def test_expiry_and_acceptance_at_the_same_instant_one_wins(database: Database, turn: int) -> None:
    desk = Desk(database).open(talk={})
    booking = desk.book(desk.at(9), f"held{turn}")
    first, second = (desk.join(who, {"start": desk.at(9)}, accept="ask") for who in ("imre", "eva"))
    desk.cancel(booking)
    before, (asked,) = desk.now, desk.messages(ExpireOffer)
    ends = desk.now + timedelta(minutes=30)

    def accept() -> object:
        with database.transaction() as tx:  # a clock that is a moment behind
            return waitlist.accept_offer(tx, TERMS, first, now=ends - timedelta(seconds=1), cause="test")

    def expire() -> object:
        with database.transaction() as tx:
            return react(tx, asked, terms=TERMS, now=ends, cause="test")

    took, _ = both(accept, expire)
    if isinstance(took, OfferExpired):
        assert [desk.place(p)["status"] for p in (first, second)] == ["expired", "offered"]
        assert live(database) == [("offer", 1)]
    else:
        assert [desk.place(p)["status"] for p in (first, second)] == ["promoted", "waiting"]
        assert live(database) == [("booking", 1)]
    assert desk.now == before


@pytest.mark.parametrize("turn", TURNS)
def test_leaving_and_being_promoted_at_the_same_instant_one_wins(database: Database, turn: int) -> None:
    desk = Desk(database).open(talk={})
    booking = desk.book(desk.at(9), f"held{turn}")
    first, second = (desk.join(who, {"start": desk.at(9)}) for who in ("imre", "eva"))
    both(lambda: desk.leave(first), lambda: desk.cancel(booking))
    got = [desk.place(p)["status"] for p in (first, second)]
    assert got in (["removed", "promoted"], ["promoted", "waiting"])
    assert live(database) == [("booking", 1)]


@pytest.mark.parametrize("turn", TURNS)
def test_joining_while_the_last_seat_comes_free_loses_nobody(database: Database, turn: int) -> None:
    desk = Desk(database).open(talk={})
    booking = desk.book(desk.at(9), f"held{turn}")
    tokens = both(lambda: desk.join("imre", {"start": desk.at(9)}), lambda: desk.cancel(booking))
    status = desk.place(str(tokens[0]))["status"]
    assert (status == "promoted") != (desk.at(9) in desk.starts())


@pytest.mark.parametrize("turn", TURNS)
def test_priority_given_while_a_seat_comes_free_counts_or_does_not_but_one_is_first(
    database: Database, turn: int
) -> None:
    desk = Desk(database).open(talk={})
    booking = desk.book(desk.at(9), f"held{turn}")
    first, second = (desk.join(who, {"start": desk.at(9)}) for who in ("imre", "eva"))

    def prefer() -> object:
        with database.transaction() as tx:
            return judgement.prioritise(tx, 2, 5, now=desk.now)

    both(prefer, lambda: desk.cancel(booking))
    assert sorted(desk.place(p)["status"] for p in (first, second)) == ["promoted", "waiting"]


@pytest.mark.parametrize("turn", TURNS)
def test_the_clients_answer_and_the_operators_decision_do_not_wait_for_each_other(
    database: Database, turn: int
) -> None:
    desk = Desk(database).open(talk={"operator_moves": "propose"})
    booking = desk.book(desk.at(9), f"kata{turn}")
    with database.reading() as tx:
        event = tx.execute(sa.select(SlotEvent.__table__)).one()
    desk.say(RemoteMove(event.id, event.slot_id, event.version, desk.at(11), desk.at(12)))

    def answer() -> object:
        with database.transaction() as tx:
            return commands.answer_proposal(tx, TERMS, booking, accept=True, now=desk.now, cause="client_link")

    def decide() -> object:
        with database.transaction() as tx:
            return reviewing.dismiss(tx, TERMS, scopes.EVERYBODY, 1, now=desk.now)

    answered, decided = both(answer, decide)
    assert isinstance(answered, NotPossible) != isinstance(decided, NotPossible)
    assert desk.seen(booking).starts_at == desk.at(9 if isinstance(answered, NotPossible) else 11)


def test_a_pending_booking_that_is_moved_earlier_ends_with_its_new_start(database: Database) -> None:
    desk = Desk(database).open(talk={"confirmation": "approval", "approval_hours": 48})
    booking = desk.book(desk.at(11, 1))
    token = desk.join("imre", {"start": desk.at(8, 1)}, accept="ask")
    desk.reschedule(booking, desk.at(8, 1))
    assert desk.seen(booking).expires_at == desk.at(8, 1)
    desk.now = desk.at(8, 1)
    desk.work()
    assert desk.seen(booking).status == "expired"
    assert desk.place(token)["status"] == "waiting"  # it has begun
