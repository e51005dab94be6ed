"""Webhooks to a real receiver: one for each change, the same one in a repeat, in order, signed, and never lost by a pause.

Covers: workers.webhooks, ledger.webhooks, ledger.webhook_feed, ledger.signatures.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from booking import setup
from ledger import outbox, reviews, timeline, webhook_feed, webhooks
from ledger.db import Database
from ledger.messages import CatchUpWebhook, SendWebhook
from ledger.tables import OutboxMessage, TimelineEntry
from tests.support.desk import Desk
from tests.support.receiver import Receiver
from tests.support.worlds import world_of
from workers.actors import run_message
from workers.opening import handlers, reactions


class Listener:
    """Anna's desk, an endpoint that listens, and the workers that tell it."""

    def __init__(self, database: Database, folder: Path, receiver: Receiver) -> None:
        self.database = database
        self.desk = Desk(database).open(talk={})
        self.receiver = receiver
        self.world = world_of(database, folder, handlers=handlers(), reactions=reactions(), now=lambda: self.desk.now)
        self.allow_private(True)

    def allow_private(self, allowed: bool) -> None:
        settings = dataclasses.replace(self.world.settings, allow_private_networks=allowed)
        self.world = dataclasses.replace(self.world, settings=settings)

    def listen(self, url: str = "", operator_id: int | None = None, events: tuple[str, ...] = ()) -> tuple[int, str]:
        with self.database.transaction() as tx:
            return webhooks.add(
                tx, self.world.vault, url=url or self.receiver.url, operator_id=operator_id, events=events,
                description="", now=self.desk.now,
            )  # fmt: skip

    def note(self, booking: str, what: str) -> None:
        with self.database.transaction() as tx:
            timeline.note(tx, booking, self.desk.operator_id, what, now=self.desk.now, cause="test")

    def row(self, webhook_id: int) -> dict[str, Any]:
        with self.database.reading() as tx:
            (found,) = webhooks.listing(tx, only=webhook_id)
        return found

    def queued(self) -> list[tuple[str, str]]:
        with self.database.reading() as tx:
            rows = tx.execute(
                sa.select(OutboxMessage.kind, OutboxMessage.state)
                .where(OutboxMessage.kind.in_((SendWebhook.__name__, CatchUpWebhook.__name__)))
                .order_by(OutboxMessage.id)
            )
            return [(r.kind, r.state) for r in rows]

    def due(self) -> list[int]:
        with self.database.transaction() as tx:
            ours = (SendWebhook.__name__, CatchUpWebhook.__name__)
            return [i for i, kind in outbox.lease(tx, now=self.desk.now) if kind in ours]

    def work(self) -> None:
        while ready := self.due():
            for message_id in ready:
                run_message(self.world, message_id)

    def later(self, **by: float) -> None:
        self.desk.now += timedelta(**by)
        self.work()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as opened:
        yield opened


@pytest.fixture
def listener(database: Database, tmp_path: Path, receiver: Receiver) -> Listener:
    return Listener(database, tmp_path, receiver)


def test_each_change_is_told_once_as_the_feed_has_it(listener: Listener, receiver: Receiver) -> None:
    _, secret = listener.listen()
    booking = listener.desk.book(listener.desk.at(9, 1))
    listener.desk.reschedule(booking, listener.desk.at(10, 1))
    listener.desk.cancel(booking)
    listener.work()
    listener.later(minutes=5)
    with listener.database.reading() as tx:
        feed = timeline.feed(tx, after=0, operator_id=None, now=listener.desk.now)
    assert receiver.types == [event["type"] for event in feed]
    assert receiver.types == ["booking.booked", "booking.rescheduled", "booking.cancelled"]
    for call, event in zip(receiver.told, feed, strict=True):
        assert call.json["data"]["cursor"] == event["cursor"]
        assert call.json["data"]["booking_id"] == booking
        assert call.json["data"]["operator"] == "anna"
        assert call.json["timestamp"] == call.json["data"]["at"]
        assert "+00:00" not in call.body.decode()
        assert call.json["timestamp"].endswith("Z")
        assert call.is_signed_by(secret)
        assert "@" not in call.body.decode()
    assert len({call.id for call in receiver.told}) == 3


def test_what_was_rolled_back_is_told_to_nobody(listener: Listener, receiver: Receiver) -> None:
    listener.listen()

    def change_its_mind() -> None:
        with listener.database.transaction() as tx:
            timeline.note(tx, "b1", listener.desk.operator_id, "booked", now=listener.desk.now)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        change_its_mind()
    listener.work()
    assert (receiver.told, listener.queued()) == ([], [])


def test_a_crash_between_sending_and_noting_repeats_the_same_event(listener: Listener, receiver: Receiver) -> None:
    _, secret = listener.listen()
    listener.note("b1", "booked")

    class Killed(BaseException):
        pass

    real = listener.database.transaction

    def dies_after_the_call() -> Any:
        if receiver.told:
            raise Killed
        return real()

    (message_id,) = listener.due()
    listener.database.transaction = dies_after_the_call  # type: ignore[method-assign]
    with pytest.raises(Killed):
        run_message(listener.world, message_id)
    listener.database.transaction = real  # type: ignore[method-assign]
    listener.later(minutes=2)
    first, second = receiver.told
    assert (first.id, first.body) == (second.id, second.body)
    assert first.headers["webhook-timestamp"] < second.headers["webhook-timestamp"]
    assert first.is_signed_by(secret)
    assert second.is_signed_by(secret)
    listener.later(hours=1)
    assert len(receiver.told) == 2


def test_a_booking_is_told_of_in_order_and_keeps_nobody_else_waiting(listener: Listener, receiver: Receiver) -> None:
    webhook_id, _ = listener.listen()
    receiver.answers = [500]
    listener.note("b1", "booked")
    listener.note("b1", "cancelled")
    listener.work()
    assert receiver.types == ["booking.booked"]
    assert listener.row(webhook_id)["failures"] == 1
    listener.note("b2", "booked")
    listener.later(minutes=1)
    listener.later(minutes=1)
    assert [(c.json["data"]["booking_id"], c.json["type"]) for c in receiver.told if c.json["data"]["booking_id"] == "b1"] == [
        ("b1", "booking.booked"), ("b1", "booking.booked"), ("b1", "booking.cancelled"),
    ]  # fmt: skip
    assert [c.json["type"] for c in receiver.told if c.json["data"]["booking_id"] == "b2"] == ["booking.booked"]
    assert listener.row(webhook_id)["failing_since"] is None


def test_while_it_fails_one_attempt_at_a_time_is_made(listener: Listener, receiver: Receiver) -> None:
    listener.listen()
    receiver.always = 503
    for number in range(5):
        listener.note(f"b{number}", "booked")
    listener.work()
    assert len(receiver.told) == 1
    listener.later(seconds=10)
    assert len(receiver.told) == 2
    receiver.always = 200
    listener.later(minutes=5)
    assert sorted(c.json["data"]["booking_id"] for c in receiver.told[2:]) == [f"b{n}" for n in range(5)]


def test_an_endpoint_hears_of_its_operator_and_its_events_alone(listener: Listener, receiver: Receiver) -> None:
    with listener.database.transaction() as tx:
        from booking import setup

        ben = setup.add_operator(tx, "ben", name="Ben", email="b@x.example", timezone="UTC", now=listener.desk.now)
    listener.listen(operator_id=ben)
    listener.listen(operator_id=listener.desk.operator_id, events=("booking.cancelled",))
    listener.note("b1", "booked")
    listener.note("b1", "cancelled")
    listener.work()
    assert receiver.types == ["booking.cancelled"]


def test_two_secrets_sign_for_a_while(listener: Listener, receiver: Receiver) -> None:
    webhook_id, old = listener.listen()
    with listener.database.transaction() as tx:
        new = webhooks.rotate(tx, listener.world.vault, webhook_id, now=listener.desk.now)
    assert new != old
    listener.note("b1", "booked")
    listener.work()
    assert receiver.told[0].is_signed_by(old)
    assert receiver.told[0].is_signed_by(new)
    listener.desk.now += timedelta(hours=25)
    listener.note("b1", "cancelled")
    listener.work()
    assert receiver.told[1].is_signed_by(new)
    assert not receiver.told[1].is_signed_by(old)
    with listener.database.reading() as tx:
        stored = str(tx.execute(sa.select(webhooks.Webhook.__table__)).all())
    assert all(secret.removeprefix("whsec_") not in stored for secret in (old, new))


def test_one_that_is_gone_is_disabled_with_a_notice(listener: Listener, receiver: Receiver) -> None:
    webhook_id, _ = listener.listen()
    receiver.answers = [410]
    listener.note("b1", "booked")
    listener.work()
    listener.note("b1", "cancelled")
    listener.later(days=1)
    assert len(receiver.told) == 1
    assert listener.row(webhook_id)["state"] == "disabled"
    with listener.database.reading() as tx:
        (review,) = reviews.listing(tx)
    assert (review["kind"], review["detail"]["webhook"]) == ("webhook", webhook_id)
    assert "theirs" not in str(review)


def test_one_that_fails_for_long_is_paused_and_goes_on_where_it_stood(listener: Listener, receiver: Receiver) -> None:
    webhook_id, _ = listener.listen()
    listener.note("b1", "booked")
    listener.work()
    receiver.always = 500
    listener.note("b1", "rescheduled")
    listener.note("b2", "booked")
    for _ in range(40):
        listener.later(minutes=31)
    assert listener.row(webhook_id)["state"] == "paused"
    assert "failing since" in listener.row(webhook_id)["state_detail"]
    with listener.database.reading() as tx:
        assert [r["kind"] for r in reviews.listing(tx)] == ["webhook"]
    asked = len(receiver.told)
    listener.note("b1", "cancelled")
    listener.later(days=1)
    assert len(receiver.told) == asked
    assert not [state for _, state in listener.queued() if state not in ("done", "discarded")]
    receiver.always = 200
    with listener.database.transaction() as tx:
        webhook_feed.resume(tx, webhook_id, now=listener.desk.now)
    listener.note("b2", "cancelled")  # while it goes through what it missed
    listener.work()
    after = receiver.told[asked:]
    assert [(c.json["data"]["booking_id"], c.json["type"]) for c in after if c.json["data"]["booking_id"] == "b1"] == [
        ("b1", "booking.rescheduled"), ("b1", "booking.cancelled"),
    ]  # fmt: skip
    assert [c.json["type"] for c in after if c.json["data"]["booking_id"] == "b2"] == [
        "booking.booked",
        "booking.cancelled",
    ]
    assert listener.row(webhook_id)["state"] == "active"
    with listener.database.reading() as tx:
        assert reviews.listing(tx) == []
    listener.note("b3", "booked")
    listener.work()
    assert receiver.types[-1] == "booking.booked"
    assert receiver.told[-1].json["data"]["booking_id"] == "b3"


def test_a_replay_tells_it_again_with_the_same_identities(
    listener: Listener, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook_feed, "BATCH", 2)
    webhook_id, _ = listener.listen()
    for number in range(5):
        listener.note(f"b{number}", "booked")
    listener.work()
    first = {call.id: call.body for call in receiver.told}
    after = sorted(call.json["data"]["cursor"] for call in receiver.told)[1]
    for _ in range(2):
        receiver.told.clear()
        with listener.database.transaction() as tx:
            webhook_feed.resume(tx, webhook_id, now=listener.desk.now, after=after)
        listener.work()
        assert sorted(call.json["data"]["cursor"] for call in receiver.told) == list(range(after + 1, after + 4))
        assert all(first[call.id] == call.body for call in receiver.told)
    assert listener.row(webhook_id)["state"] == "active"


def test_a_pause_by_hand_loses_nothing(listener: Listener, receiver: Receiver) -> None:
    webhook_id, _ = listener.listen()
    listener.note("b1", "booked")
    with listener.database.transaction() as tx:
        webhook_feed.pause(tx, webhook_id, why="by hand", now=listener.desk.now)
    listener.note("b1", "cancelled")
    listener.work()
    assert receiver.told == []
    with listener.database.transaction() as tx:
        webhook_feed.resume(tx, webhook_id, now=listener.desk.now)
    listener.work()
    assert receiver.types == ["booking.booked", "booking.cancelled"]


@pytest.mark.parametrize(
    "where", ["http://127.0.0.1:1/", "https://127.0.0.1:1/", "https://[::1]:1/", "https://169.254.169.254/x"]
)
def test_inner_addresses_are_never_called(listener: Listener, receiver: Receiver, where: str) -> None:
    webhook_id, _ = listener.listen(where.replace(":1/", f":{receiver.url.split(':')[2].split('/')[0]}/"))
    listener.allow_private(False)
    listener.note("b1", "booked")
    listener.work()
    assert receiver.told == []
    assert listener.row(webhook_id)["state"] == "paused"
    assert "address_refused" in listener.row(webhook_id)["state_detail"]


def test_a_change_under_way_while_the_replay_ends_is_not_lost(listener: Listener, receiver: Receiver) -> None:
    """It looked when the endpoint was still replaying, and commits when that is over."""
    webhook_id, _ = listener.listen()
    with listener.database.transaction() as tx:
        webhook_feed.pause(tx, webhook_id, why="by hand", now=listener.desk.now)
    with listener.database.transaction() as tx:
        webhook_feed.resume(tx, webhook_id, now=listener.desk.now)
    looked, go_on = threading.Event(), threading.Event()

    def change() -> None:
        with listener.database.transaction() as tx:
            found = webhook_feed.listening(tx, listener.desk.operator_id, "booked")
            looked.set()
            assert go_on.wait(20)
            entry = {
                "booking_id": "b1",
                "operator_id": listener.desk.operator_id,
                "at": listener.desk.now,
                "what": "booked",
            }
            entry_id = tx.execute(sa.insert(TimelineEntry).values(entry).returning(TimelineEntry.id)).scalar_one()
            webhook_feed.announce(tx, found, entry_id, "b1", listener.desk.operator_id, now=listener.desk.now)

    changing = threading.Thread(target=change)
    changing.start()
    assert looked.wait(20)
    replaying = threading.Thread(target=listener.work)
    replaying.start()
    replaying.join(0.3)  # it waits for the change; one that didn't would end here, without it
    go_on.set()
    changing.join(20)
    replaying.join(20)
    listener.work()
    assert listener.row(webhook_id)["state"] == "active"
    assert receiver.types == ["booking.booked"]


@pytest.mark.parametrize(
    "answer",
    [
        (302, {"location": "http://127.0.0.1:1/elsewhere"}, b""),
        (200, {}, b"x" * (200 * 1024)),
        (200, {"content-encoding": "br"}, b"?"),
        404,
    ],
)
def test_what_is_no_success_is_tried_again(listener: Listener, receiver: Receiver, answer: Any) -> None:
    webhook_id, _ = listener.listen()
    receiver.answers = [answer]
    listener.note("b1", "booked")
    listener.work()
    assert listener.row(webhook_id)["failures"] == 1
    listener.later(minutes=1)
    assert [call.path for call in receiver.told] == ["/told?key=theirs"] * 2
    assert len({call.id for call in receiver.told}) == 1
    assert listener.row(webhook_id)["failures"] == 0


def test_it_says_when_to_come_again(listener: Listener, receiver: Receiver) -> None:
    webhook_id, _ = listener.listen()
    receiver.answers = [(429, {"retry-after": "600"}, b"")]
    listener.note("b1", "booked")
    listener.work()
    listener.later(minutes=9)
    assert len(receiver.told) == 1
    listener.later(minutes=2)
    assert len(receiver.told) == 2
    assert listener.row(webhook_id)["failures"] == 0


def test_one_that_was_removed_hears_nothing_more(listener: Listener, receiver: Receiver) -> None:
    webhook_id, _ = listener.listen()
    listener.note("b1", "booked")
    with listener.database.transaction() as tx:
        webhooks.remove(tx, webhook_id)
        webhook_feed.resume(tx, webhook_id, now=listener.desk.now)
        webhook_feed.pause(tx, webhook_id, why="", now=listener.desk.now)
    listener.work()
    assert (receiver.told, listener.queued()) == ([], [])


def test_the_next_one_of_its_id_hears_only_what_is_its_own(listener: Listener, receiver: Receiver) -> None:
    first, _ = listener.listen()
    with listener.database.transaction() as tx:
        webhook_feed.resume(tx, first, now=listener.desk.now, after=0)
    listener.work()  # its key is used up
    listener.note("b1", "booked")
    with listener.database.transaction() as tx:
        webhooks.remove(tx, first)
    second = listen_as(listener, first)
    listener.work()
    assert receiver.told == []
    with listener.database.transaction() as tx:
        webhook_feed.resume(tx, second, now=listener.desk.now, after=0)
    listener.work()
    assert (receiver.types, listener.row(second)["state"]) == (["booking.booked"], "active")


def test_an_attempt_for_an_earlier_one_of_its_id_is_settled(listener: Listener, receiver: Receiver) -> None:
    first, _ = listener.listen()
    listener.note("b1", "booked")
    (running,) = listener.due()
    with listener.database.transaction() as tx:
        tx.execute(sa.delete(webhooks.Webhook))  # and what was queued for it stays, as an attempt that runs does
    listener.desk.now += timedelta(minutes=1)
    listen_as(listener, first)
    run_message(listener.world, running)
    assert (receiver.told, listener.queued()) == ([], [("SendWebhook", "done")])


def test_what_was_for_another_operators_is_settled(listener: Listener, receiver: Receiver) -> None:
    first, _ = listener.listen()
    listener.note("b1", "booked")
    (running,) = listener.due()
    with listener.database.transaction() as tx:
        tx.execute(sa.delete(webhooks.Webhook))
        ben = setup.add_operator(
            tx, "ben", name="Ben", email="ben@practice.example", timezone="UTC", now=listener.desk.now
        )
    listen_as(listener, first, operator_id=ben)
    run_message(listener.world, running)
    assert (receiver.told, listener.queued()) == ([], [("SendWebhook", "done")])


def test_the_endpoints_of_an_operator_go_with_what_was_queued(listener: Listener, receiver: Receiver) -> None:
    with listener.database.transaction() as tx:
        ben = setup.add_operator(
            tx, "ben", name="Ben", email="ben@practice.example", timezone="UTC", now=listener.desk.now
        )
    bens, _ = listener.listen(operator_id=ben)
    with listener.database.transaction() as tx:
        webhook_feed.resume(tx, bens, now=listener.desk.now, after=0)
        setup.remove_operator(tx, "ben", now=listener.desk.now)
    assert listener.queued() == []


def listen_as(listener: Listener, webhook_id: int, operator_id: int | None = None) -> int:
    """Another endpoint that got the id of an earlier one."""
    if listener.database.dialect == "postgresql":  # which gives none twice by itself
        with listener.database.transaction() as tx:
            tx.execute(
                sa.text("SELECT setval(pg_get_serial_sequence('webhook', 'id'), :id, false)"), {"id": webhook_id}
            )
    made, _ = listener.listen(operator_id=operator_id)
    assert made == webhook_id
    return webhook_id
