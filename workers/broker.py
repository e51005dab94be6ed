"""The broker: opened in one place. It carries row ids and nothing else, so that a broker that forgets loses nothing.

Retry, order and cause live in the outbox; Dramatiq gives delivery, concurrency, priorities and time limits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import dramatiq
from dramatiq.brokers.stub import StubBroker
from dramatiq.middleware import Middleware, TimeLimit

from ledger import observe
from ledger.messages import KINDS

NAMESPACE = "slotledger"
HOUR = 3_600_000  # milliseconds
CHECK_EVERY = 50  # messages between two questions about the depth of the queues


@dataclass(frozen=True, slots=True)
class Lane:
    """One queue. priority: the lower runs first. room: at so many messages it is full. together: how many rows may
    travel in one message when many are due; more than 1 only where a row takes milliseconds."""

    name: str
    priority: int
    room: int
    together: int = 1


FACTS = Lane("facts", 0, room=500, together=10)
MAIL = Lane("mail", 10, room=500)
PUSH = Lane("push", 20, room=500)
PULL = Lane("pull", 30, room=200)
LANES = (FACTS, MAIL, PUSH, PULL)
QUICK = frozenset(lane.name for lane in (FACTS, MAIL, PUSH))
"""Lanes that must never wait for slow calendars: they have threads of their own."""

_LANE_OF = {
    "SendMail": MAIL,
    "PushEvent": PUSH,
    "LookForEvent": PUSH,
    "SweepEvent": PUSH,
    "PullCalendar": PULL,
    "OpenChannel": PULL,
    "CloseChannel": PULL,
    "SendWebhook": PULL,
}


def lane_of(kind: str) -> Lane:
    """Where messages of this kind travel; facts and timers go first."""
    return _LANE_OF.get(kind, FACTS)


def open_broker(url: str) -> dramatiq.Broker:
    """``embedded:`` (threads of this process), ``redis://…``, ``rediss://…``, ``unix:///socket`` (Redis),
    ``amqp://…``, ``amqps://…``.

    ``?namespace=NAME`` keeps several deployments apart on one server. Nothing is connected yet. Raises ValueError.
    Dramatiq's own retries, age limits and exposition server stay out: the outbox and our registry do that.
    """
    middleware: list[Middleware] = [TimeLimit(time_limit=HOUR)]
    scheme = urlsplit(url).scheme
    if scheme == "embedded":
        return StubBroker(middleware=middleware)
    plain, namespace = _namespace(url)
    if scheme in {"redis", "rediss", "unix"}:
        from workers.redis_broker import WakingRedisBroker

        return WakingRedisBroker(url=plain, middleware=middleware, namespace=namespace)
    if scheme in {"amqp", "amqps"}:
        from workers.rabbitmq_broker import OurRabbitmqBroker

        return OurRabbitmqBroker(url=plain, middleware=middleware, namespace=namespace)
    raise ValueError(f"no broker for {scheme}:")


def _namespace(url: str) -> tuple[str, str]:
    plain, _, options = url.partition("?")
    query = dict(parse_qsl(options))
    namespace = query.pop("namespace", NAMESPACE)
    return f"{plain}?{urlencode(query)}" if query else plain, namespace


def queue_name(broker: dramatiq.Broker, lane: str) -> str:
    """What this broker calls a lane's queue."""
    return f"{getattr(broker, 'prefix', '')}{lane}"


class Post:
    """Hands outbox rows to the broker, and says which of its queues are full. Used by one thread."""

    def __init__(self, broker: dramatiq.Broker) -> None:
        self.broker = broker
        self._unchecked = CHECK_EVERY
        self._crowded: frozenset[Lane] = frozenset()
        for lane in LANES:
            broker.declare_queue(queue_name(broker, lane.name))

    def hand_over(self, rows: Sequence[tuple[int, str]], *, many: bool = False) -> None:
        """Send ``(id, kind)`` rows on their way, in order within a lane. many: more are due than one batch holds."""
        ids: dict[Lane, list[int]] = {}
        for row_id, kind in rows:
            ids.setdefault(lane_of(kind), []).append(row_id)
        for lane, all_ids in ids.items():
            step = lane.together if many else 1
            queue = queue_name(self.broker, lane.name)
            for first in range(0, len(all_ids), step):
                self._unchecked += 1
                self.broker.enqueue(
                    dramatiq.Message(
                        queue_name=queue,
                        actor_name=f"run_{lane.name}",
                        args=(all_ids[first : first + step],),
                        kwargs={},
                        options={},
                    )
                )
        announce: Callable[[Iterable[str]], None] | None = getattr(self.broker, "announce", None)
        if announce is not None:
            announce([queue_name(self.broker, lane.name) for lane in ids])

    def depths(self) -> Mapping[str, int]:
        """How many messages wait in each queue, not counting what workers have fetched already."""
        depths = {lane.name: self._depth(lane.name) for lane in LANES}
        for lane, depth in depths.items():
            observe.queue_depth.labels(lane).set(depth)
        return depths

    def full(self) -> frozenset[str]:
        """Kinds whose queue has no room. The broker is asked again after some messages, or while one is full."""
        if self._unchecked >= CHECK_EVERY or self._crowded:
            self._unchecked = 0
            depths = self.depths()
            self._crowded = frozenset(lane for lane in LANES if depths[lane.name] >= lane.room)
        return frozenset(kind for kind in KINDS if lane_of(kind) in self._crowded) if self._crowded else frozenset()

    def _depth(self, lane: str) -> int:
        queue = queue_name(self.broker, lane)
        if isinstance(self.broker, StubBroker):
            return int(self.broker.queues[queue].qsize())
        depth: Callable[[str], int] = self.broker.depth  # type: ignore[attr-defined]
        return depth(queue)

    def close(self) -> None:
        """End the broker's connections."""
        self.broker.close()


def declare_actors(broker: dramatiq.Broker, run: Callable[[int], Any]) -> None:
    """One actor a lane; it takes row ids and calls `run` with each. `run` must not raise: failures live in the row."""

    def run_all(ids: list[int]) -> None:
        for message_id in ids:
            run(message_id)

    for lane in LANES:
        actor = dramatiq.actor(
            broker=broker,
            actor_name=f"run_{lane.name}",
            queue_name=queue_name(broker, lane.name),
            priority=lane.priority,
        )
        actor(run_all)
