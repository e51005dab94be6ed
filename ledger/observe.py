"""Every log event and metric name, in one list, and how they are written down. No addresses of people in either (P14).

``observe.log.info(observe.Event.MESSAGE_PARKED, kind="PushEvent", id=7)``: an event of the list and the ids that name
what it is about. Whoever reads the log finds the rest in the ledger.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from enum import StrEnum
from typing import Any, TextIO

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest


class Event(StrEnum):
    """What can be read in the log. Past tense: it is written when it has happened."""

    SERVICE_STARTED = "service_started"
    SERVICE_STOPPED = "service_stopped"
    # workers
    MESSAGE_DONE = "message_done"
    MESSAGE_DELAYED = "message_delayed"
    MESSAGE_RETRIED = "message_retried"
    MESSAGE_PARKED = "message_parked"
    MESSAGE_TAKEN_OVER = "message_taken_over"
    MESSAGE_UNREADABLE = "message_unreadable"
    LEASES_RELEASED = "leases_released"
    LEASES_NOT_EXTENDED = "leases_not_extended"
    RELAY_STUMBLED = "relay_stumbled"
    NOTICES_LOST = "notices_lost"
    LEADING = "leading"
    LEADING_LOST = "leading_lost"
    TICK_FAILED = "tick_failed"
    MAIL_HANDED_OVER = "mail_handed_over"
    MAIL_REFUSED = "mail_refused"
    MAIL_STUCK = "mail_stuck"
    MAIL_SUPERSEDED = "mail_superseded"
    WEBHOOK_SENT = "webhook_sent"
    WEBHOOK_PAUSED = "webhook_paused"
    MAIL_TAKEN = "mail_taken"
    MAILBOX_OPENED = "mailbox_opened"
    MAILBOX_LOST = "mailbox_lost"
    # sync
    PULL_DONE = "pull_done"
    TOKEN_EXPIRED = "token_expired"  # noqa: S105 -- the calendar's, no secret
    OBJECT_UNREADABLE = "object_unreadable"
    BULK_BRAKE = "bulk_brake"
    EVENT_MISSING = "event_missing"
    EVENT_PUSHED = "event_pushed"
    EVENT_REMOVED = "event_removed"
    CONNECTION_BROKEN = "connection_broken"
    CHANNEL_OPENED = "channel_opened"
    CHANNEL_LOST = "channel_lost"
    REPLY_RECEIVED = "reply_received"
    REPLY_REJECTED = "reply_rejected"
    # api
    REQUEST_DONE = "request_done"
    REQUEST_FAILED = "request_failed"
    SIGNED_IN = "signed_in"
    LOGIN_FAILED = "login_failed"
    RATE_LIMITED = "rate_limited"
    RATES_UNSTORED = "rates_unstored"
    HOOK_REJECTED = "hook_rejected"


registry = CollectorRegistry()
"""Ours alone: nothing that a library registers by itself gets out."""

_SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300)

messages_total = Counter(
    "slotledger_messages_total",
    "Outbox messages by what became of the attempt: done, delayed, retried, parked, taken_over.",
    ("kind", "outcome"),
    registry=registry,
)
message_seconds = Histogram(
    "slotledger_message_seconds",
    "How long an attempt at an outbox message took.",
    ("kind",),
    buckets=_SECONDS,
    registry=registry,
)
outbox_rows = Gauge("slotledger_outbox_rows", "Outbox messages by state.", ("state",), registry=registry)
queue_depth = Gauge("slotledger_queue_depth", "Messages in the broker's queues.", ("lane",), registry=registry)
mails_total = Counter(
    "slotledger_mails_total",
    "Mails by what became of them: handed_over, refused, superseded.",
    ("outcome",),
    registry=registry,
)
leading = Gauge("slotledger_leading", "1 where this process leads the ticker.", registry=registry)
mailbox_open = Gauge(
    "slotledger_mailbox_open", "1 where this process reads the mailbox for clients' answers.", registry=registry
)
pulls_total = Counter("slotledger_pulls_total", "Calendar pulls.", ("provider", "outcome"), registry=registry)
pull_seconds = Histogram(
    "slotledger_pull_seconds", "How long a pull took.", ("provider",), buckets=_SECONDS, registry=registry
)
requests_total = Counter(
    "slotledger_requests_total", "HTTP requests by route and status.", ("route", "status"), registry=registry
)
request_seconds = Histogram(
    "slotledger_request_seconds", "Server time of HTTP requests.", ("route",), buckets=_SECONDS, registry=registry
)


def exposition() -> bytes:
    """All metrics in the Prometheus text format."""
    return generate_latest(registry)


log: structlog.typing.FilteringBoundLogger = structlog.get_logger("slotledger")

# Also percent-encoded, as in the path of somebody's CalDAV home.
_ADDRESS = re.compile(r"[^\s<>\"'(),;:/=\[\]{}]+(?:@|%40)[^\s<>\"'(),;:/\[\]{}]+", re.IGNORECASE)


def without_addresses(_logger: Any, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The last step before writing: whatever looks like an address, in any value or traceback, becomes ``<address>``."""
    for key, value in event.items():
        event[key] = _masked(value)
    return event


def _masked(value: Any) -> Any:
    if isinstance(value, str):
        return _ADDRESS.sub("<address>", value) if "@" in value or "%40" in value else value
    if isinstance(value, dict):
        return {k: _masked(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_masked(v) for v in value]
    return value if isinstance(value, int | float | bool | None) else _masked(str(value))


def configure(log_format: str = "", stream: TextIO | None = None) -> None:
    """Write the log of this process and of the libraries in it to `stream` (standard error). Repeatable.

    log_format: ``console``, ``json``, or ``""`` for console on a terminal and json elsewhere.
    """
    stream = stream or sys.stderr
    console = log_format == "console" or (not log_format and stream.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
    ]
    last: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback, colors=stream.isatty())
        if console
        else structlog.processors.JSONRenderer()
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.PositionalArgumentsFormatter(), *shared],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, without_addresses, last],
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    for chatty in ("httpx", "pika", "googleapiclient", "alembic", "mail.log", "urllib3"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
