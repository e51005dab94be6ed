"""Dramatiq's RabbitMQ broker, with queues of our own name and a batch that is known to have arrived."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pika.exceptions  # type: ignore[import-untyped]
from dramatiq.brokers.rabbitmq import RabbitmqBroker
from dramatiq.errors import ConnectionClosed


class OurRabbitmqBroker(RabbitmqBroker):
    """A `RabbitmqBroker` whose queue names start with a namespace; queues are durable."""

    def __init__(self, *, url: str, namespace: str, middleware: list[Any]) -> None:
        super().__init__(url=url, middleware=middleware)
        self.prefix = f"{namespace}."

    def announce(self, queues: Iterable[str]) -> None:
        """Wait until the server has seen what this thread has published.

        One round trip on the same channel; cheaper than a confirmation of each message. Raises ConnectionClosed: then
        the batch is to be sent again.
        """
        for queue in list(queues)[:1]:
            self.depth(queue)

    def depth(self, queue: str) -> int:
        """Messages in a queue that nobody has fetched. Raises ConnectionClosed."""
        self.declare_queue(queue, ensure=True)
        try:
            answer = self._declare_queue(queue)  # type: ignore[no-untyped-call]
        except (pika.exceptions.AMQPConnectionError, pika.exceptions.AMQPChannelError) as error:
            del self.connection
            raise ConnectionClosed(error) from None  # type: ignore[no-untyped-call]
        return int(answer.method.message_count)
