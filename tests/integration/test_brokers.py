"""Outbox → relay → broker → actor on each broker: every row once, in the order of its line, whatever the broker forgets.

Covers: workers.redis_broker, workers.rabbitmq_broker.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import dramatiq
import pytest
import redis
from dramatiq import Worker

from ledger import clock, outbox
from ledger.db import Database, open_database
from ledger.messages import Message
from ledger.outbox import Leased
from tests.support.brokers import broker_url
from tests.support.databases import migrated
from tests.support.worlds import Errand, Step, append, known, states, world_of
from workers.actors import run_message
from workers.broker import LANES, Post, declare_actors, open_broker
from workers.middleware import SlowLane
from workers.notices import Listener, Notifier
from workers.redis_broker import WakingRedisBroker
from workers.relay import Relay
from workers.world import World

pytestmark = pytest.mark.usefixtures("kinds")


@pytest.fixture
def kinds() -> Iterator[None]:
    with known(Errand, Step):
        yield


@pytest.fixture(params=["redis", "rabbitmq"])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    with broker_url(request.param) as opened:
        yield opened


@pytest.fixture
def redis_url() -> Iterator[str]:
    with broker_url("redis") as opened:
        yield opened


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[Database]:
    with migrated("postgresql", tmp_path) as opened:
        yield opened


def eventually(true: Callable[[], bool], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


class Plant:
    """A worker and a relay as they would be in processes of their own: each with its own connections."""

    def __init__(self, database: Database, url: str, folder: Path) -> None:
        self.done: list[Message] = []
        self.lock = threading.Lock()
        address = database.engine.url.render_as_string(hide_password=False)
        self.databases = [open_database(address), open_database(address)]
        self.world = world_of(
            self.databases[0], folder, handlers={Errand: self.handle, Step: self.handle}, broker_url=url
        )
        self.broker: dramatiq.Broker = open_broker(url)
        self.broker.add_middleware(SlowLane(2))
        declare_actors(self.broker, lambda row_id: run_message(self.world, row_id))
        self.worker = Worker(self.broker, worker_threads=4, worker_timeout=200)
        self.notifier = Notifier(self.databases[0])
        self.post = Post(open_broker(url))
        self.relay = Relay(self.databases[1], self.post, clock.now, lease_for=timedelta(seconds=2))
        self.listener = Listener(self.databases[1], self.relay.wake)

    def handle(self, world: World, leased: Leased) -> None:
        with world.database.transaction() as tx:
            outbox.settle(tx, leased, now=world.clock())
        with self.lock:
            self.done.append(leased.message)

    def work(self) -> None:
        self.worker.start()
        self.notifier.start()

    def hand_over(self) -> None:
        self.listener.start()
        self.relay.start()

    def __enter__(self) -> Plant:
        return self

    def __exit__(self, *exc: object) -> None:
        self.listener.stop()
        self.relay.stop()
        self.worker.stop(timeout=5000)
        self.notifier.stop()
        self.broker.close()
        self.post.close()
        for database in self.databases:
            database.dispose()


def test_every_row_is_done_once_and_in_the_order_of_its_line(postgres: Database, url: str, tmp_path: Path) -> None:
    with Plant(postgres, url, tmp_path) as plant:
        plant.work()
        plant.hand_over()
        for number in range(20):
            append(postgres, *(Step(walk, number) for walk in "abc"), Errand(number))
        eventually(lambda: len(plant.done) == 80)
        assert not states(postgres)
    for walk in "abc":
        assert [step.number for step in plant.done if isinstance(step, Step) and step.walk == walk] == list(range(20))


def test_what_the_broker_forgot_comes_again_after_its_lease(postgres: Database, url: str, tmp_path: Path) -> None:
    with Plant(postgres, url, tmp_path) as plant:
        append(postgres, *(Errand(number) for number in range(30)))
        plant.hand_over()
        eventually(lambda: set(states(postgres).values()) == {"queued"})
        for queue in plant.broker.get_declared_queues():
            plant.broker.flush(queue)
        plant.work()
        eventually(lambda: len(plant.done) == 30)
        assert len(set(plant.done)) == 30


def test_depth_counts_what_nobody_has_fetched(postgres: Database, url: str, tmp_path: Path) -> None:
    with Plant(postgres, url, tmp_path) as plant:
        plant.post.hand_over([(number, "SendMail") for number in range(7)] + [(8, "PullCalendar")])
        assert plant.post.depths() == {"facts": 0, "mail": 7, "push": 0, "pull": 1}
        assert sorted(plant.post.depths()) == sorted(lane.name for lane in LANES)


def test_redis_notices_wake_a_waiting_consumer_at_once(postgres: Database, redis_url: str, tmp_path: Path) -> None:
    with Plant(postgres, redis_url, tmp_path) as plant:
        plant.work()
        plant.hand_over()
        time.sleep(1.5)  # the stock consumer would sleep up to a second between looks by now
        waits = []
        for number in range(10):
            started = time.monotonic()
            append(plant.databases[0], Errand(number))
            eventually(lambda number=number: len(plant.done) == number + 1)  # type: ignore[misc]
            waits.append(time.monotonic() - started)
            time.sleep(0.1)
        assert sorted(waits)[5] < 0.25


def test_a_consumer_without_notices_still_looks(redis_url: str) -> None:
    seen: list[int] = []
    broker = open_broker(redis_url)
    declare_actors(broker, seen.append)
    worker = Worker(broker, worker_threads=1, worker_timeout=100)
    worker.start()
    sender = Post(open_broker(redis_url))
    sender.broker.announce = None  # type: ignore[attr-defined]
    time.sleep(0.3)
    sender.hand_over([(1, "SendMail")])
    eventually(lambda: seen == [1], 3)
    worker.stop(timeout=2000)
    broker.close()
    sender.close()


def test_a_lost_notice_connection_comes_back(redis_url: str) -> None:
    seen: list[int] = []
    broker = open_broker(redis_url)
    assert isinstance(broker, WakingRedisBroker)
    broker.client.connection_pool.connection_kwargs["client_name"] = broker.namespace
    declare_actors(broker, seen.append)
    worker = Worker(broker, worker_threads=1, worker_timeout=30_000)  # only notices make it look
    worker.start()
    sender = Post(open_broker(redis_url))
    sender.hand_over([(1, "SendMail")])
    eventually(lambda: seen == [1], 3)
    with redis.Redis.from_url(redis_url.partition("?")[0]) as admin:
        ours = [c for c in admin.client_list(_type="pubsub") if c["name"] == broker.namespace]
        assert len(ours) == 1
        admin.client_kill_filter(_id=ours[0]["id"])
    time.sleep(1.5)
    sender.hand_over([(2, "SendMail")])
    eventually(lambda: seen == [1, 2], 3)
    for thread in worker.consumers.values():
        thread.stop()
    broker.announce(broker.get_declared_queues() | broker.get_declared_delay_queues())
    worker.stop(timeout=2000)
    broker.close()
    sender.close()


def test_a_redis_worker_ends_quickly_and_gives_back_what_it_had_not_begun(redis_url: str) -> None:
    begun, go = threading.Event(), threading.Event()

    def hang(_row_id: int) -> None:
        begun.set()
        go.wait(10)

    broker = open_broker(redis_url)
    declare_actors(broker, hang)
    worker = Worker(broker, worker_threads=1, worker_timeout=100)
    worker.start()
    post = Post(open_broker(redis_url))
    post.hand_over([(number, "SendMail") for number in range(2)])
    assert begun.wait(5)
    threading.Timer(0.3, go.set).start()
    worker.stop(timeout=5000)
    eventually(lambda: post.depths()["mail"] == 1, 2)
    broker.close()
    post.close()
