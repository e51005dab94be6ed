"""Dramatiq's Redis broker, with consumers that are woken instead of asleep.

The stock consumer of an idle queue sleeps up to a second between looks. Here an enqueueing process publishes the names
of the queues, and waiting consumers look at once; without that notice they still look every second.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

import redis
from dramatiq.broker import Consumer, MessageProxy
from dramatiq.brokers.redis import RedisBroker, _RedisConsumer


class WakingRedisBroker(RedisBroker):
    """A `RedisBroker` whose queues can be announced."""

    def __init__(self, *, url: str, namespace: str, middleware: list[Any]) -> None:
        super().__init__(url=url, namespace=namespace, middleware=middleware)  # type: ignore[no-untyped-call]
        self._waiting: dict[str, list[threading.Event]] = {}
        self._lock = threading.Lock()
        self._listener: threading.Thread | None = None
        self._closed = threading.Event()

    @property
    def channel(self) -> str:
        """Where names of queues with new messages are published."""
        return f"{self.namespace}:__wake__"

    def announce(self, queues: Iterable[str]) -> None:
        """There are new messages in these queues."""
        self.client.publish(self.channel, " ".join(queues))

    def depth(self, queue: str) -> int:
        """Messages in a queue that nobody has fetched."""
        return int(self.client.llen(f"{self.namespace}:{queue}"))

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 5000) -> Consumer:
        """A consumer that waits for notices, for `timeout` milliseconds at most."""
        woken = threading.Event()
        with self._lock:
            self._waiting.setdefault(queue_name, []).append(woken)
            if self._listener is None:
                self._listener = threading.Thread(target=self._listen, name="redis-notices", daemon=True)
                self._listener.start()
        return _WakingConsumer(self, queue_name, prefetch, timeout, woken)

    def close(self) -> None:
        """End the listener and the connections."""
        self._closed.set()
        self._wake([])
        if self._listener is not None:
            self._listener.join(timeout=2)
        super().close()
        self.client.close()

    def _forget(self, queue: str, woken: threading.Event) -> None:
        with self._lock:
            if woken in self._waiting.get(queue, []):
                self._waiting[queue].remove(woken)

    def _wake(self, queues: Iterable[str]) -> None:
        with self._lock:
            names = list(queues) or list(self._waiting)
            for name in names:
                for woken in self._waiting.get(name, ()):
                    woken.set()

    def _listen(self) -> None:
        while not self._closed.is_set():
            try:
                with self.client.pubsub(ignore_subscribe_messages=True) as notices:
                    notices.subscribe(self.channel)
                    self._wake([])  # what was announced before we listened
                    while not self._closed.is_set():
                        notice = notices.get_message(timeout=0.5)
                        if notice is not None:
                            self._wake(notice["data"].decode().split())
            except redis.RedisError:
                self._closed.wait(1)  # consumers look by themselves meanwhile


class _WakingConsumer(_RedisConsumer):
    def __init__(
        self, broker: WakingRedisBroker, queue_name: str, prefetch: int, timeout: int, woken: threading.Event
    ) -> None:
        # 0: the stock waiting is skipped
        super().__init__(broker, queue_name, prefetch, 0)  # type: ignore[no-untyped-call]
        self.idle = timeout / 1000
        self.woken = woken

    def __next__(self) -> MessageProxy | None:
        self.woken.clear()
        message: MessageProxy | None = super().__next__()  # type: ignore[no-untyped-call]
        if message is None:
            self.woken.wait(self.idle)
        return message

    def ack(self, message: MessageProxy) -> None:
        super().ack(message)  # type: ignore[no-untyped-call]
        self._room()

    def nack(self, message: MessageProxy) -> None:
        super().nack(message)  # type: ignore[no-untyped-call]
        self._room()

    def close(self) -> None:
        self.broker._forget(self.queue_name, self.woken)
        super().close()

    def _room(self) -> None:
        if self.outstanding_message_count <= self.prefetch // 2:
            self.woken.set()
