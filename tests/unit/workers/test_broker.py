"""Which message goes where, and when a queue is full."""

from __future__ import annotations

import pytest
from dramatiq import Message
from dramatiq.brokers.stub import StubBroker
from dramatiq.middleware import AgeLimit, Retries, TimeLimit

from ledger.messages import KINDS
from workers.broker import (
    CHECK_EVERY,
    FACTS,
    LANES,
    MAIL,
    PULL,
    PUSH,
    Post,
    declare_actors,
    lane_of,
    open_broker,
)
from workers.rabbitmq_broker import OurRabbitmqBroker
from workers.redis_broker import WakingRedisBroker


def taken(broker: StubBroker, lane: str) -> list[list[int]]:
    queue = broker.queues[lane]
    return [Message.decode(queue.get()).args[0] for _ in range(queue.qsize())]


@pytest.fixture
def broker() -> StubBroker:
    broker = open_broker("embedded:")
    assert isinstance(broker, StubBroker)
    return broker


def test_each_url_opens_its_broker_without_connecting() -> None:
    assert isinstance(open_broker("embedded:"), StubBroker)
    redis = open_broker("redis://:pw@127.0.0.1:1/3?namespace=mine&socket_timeout=5")
    assert isinstance(redis, WakingRedisBroker)
    assert redis.namespace == "mine"
    connection = redis.client.connection_pool.connection_kwargs
    assert (connection["port"], connection["db"], connection["socket_timeout"]) == (1, 3, 5)
    rabbitmq = open_broker("amqp://user:pw@127.0.0.1:1/%2F?heartbeat=7")
    assert isinstance(rabbitmq, OurRabbitmqBroker)
    assert rabbitmq.prefix == "slotledger."
    with pytest.raises(ValueError, match="kafka"):
        open_broker("kafka://127.0.0.1")


def test_dramatiq_retries_and_forgets_nothing_by_itself(broker: StubBroker) -> None:
    assert [type(each) for each in broker.middleware] == [TimeLimit]
    assert not {Retries, AgeLimit} & {type(each) for each in broker.middleware}


def test_every_kind_has_its_lane_and_pulls_come_last() -> None:
    assert {kind: lane_of(kind) for kind in ("SendMail", "PushEvent", "LookForEvent", "PullCalendar")} == {
        "SendMail": MAIL,
        "PushEvent": PUSH,
        "LookForEvent": PUSH,
        "PullCalendar": PULL,
    }
    assert {lane_of(kind) for kind in KINDS} == set(LANES)
    assert lane_of("RemoteCancellation") is lane_of("ExpireOffer") is FACTS
    assert [lane.priority for lane in LANES] == sorted(lane.priority for lane in LANES)


def test_rows_travel_alone_and_quick_ones_together_when_there_are_many(broker: StubBroker) -> None:
    post = Post(broker)
    rows = [(number, "TimeFreed") for number in range(12)] + [(99, "SendMail")]
    post.hand_over(rows)
    assert taken(broker, "facts") == [[number] for number in range(12)]
    assert taken(broker, "mail") == [[99]]
    post.hand_over(rows, many=True)
    assert taken(broker, "facts") == [list(range(10)), [10, 11]]
    assert taken(broker, "mail") == [[99]]
    assert taken(broker, "pull") == []


def test_a_queue_without_room_names_its_kinds_until_it_has_room_again(broker: StubBroker) -> None:
    post = Post(broker)
    assert post.full() == frozenset()
    for number in range(PULL.room):
        post.hand_over([(number, "PullCalendar")])
    post.hand_over([(1, "SendMail")])
    assert PULL.room >= CHECK_EVERY
    assert post.full() == {kind for kind in KINDS if lane_of(kind) is PULL}
    assert post.depths() == {"facts": 0, "mail": 1, "push": 0, "pull": PULL.room}
    broker.queues["pull"].get()
    assert post.full() == frozenset()


def test_actors_have_the_priority_of_their_lane_and_run_each_id(broker: StubBroker) -> None:
    ran: list[int] = []
    declare_actors(broker, ran.append)
    assert {name: actor.priority for name, actor in broker.actors.items()} == {
        f"run_{lane.name}": lane.priority for lane in LANES
    }
    broker.actors["run_facts"]([3, 4])
    assert ran == [3, 4]
