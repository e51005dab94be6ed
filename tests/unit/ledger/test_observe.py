"""The log says what happened and never to whom."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from ledger import observe
from ledger.observe import Event


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_is_one_json_line_with_its_ids(written: io.StringIO) -> None:
    observe.configure("json", written)
    observe.log.warning(Event.MESSAGE_PARKED, kind="PushEvent", id=7)
    (line,) = lines(written)
    assert (line["event"], line["kind"], line["id"], line["level"]) == ("message_parked", "PushEvent", 7, "warning")
    assert str(line["timestamp"]).endswith("Z")


def test_what_is_no_terminal_gets_json_and_console_is_readable(written: io.StringIO) -> None:
    observe.configure("", written)
    observe.log.info(Event.SERVICE_STARTED)
    assert lines(written)[0]["event"] == "service_started"
    written.truncate(0)
    written.seek(0)
    observe.configure("console", written)
    observe.log.info(Event.SERVICE_STARTED, port=8000)
    assert "service_started" in written.getvalue()
    assert "port=8000" in written.getvalue()


@pytest.mark.parametrize(
    "secret",
    ["jana@example.org", "<jana@example.org>", "mailto:jana@example.org", "https://dav.example/jana%40example.org/c/",
     "redis://user:pw@host:6379/1", "Jana <j.v+x@exämple.org>, next"],
)  # fmt: skip
def test_addresses_never_reach_the_log(written: io.StringIO, secret: str) -> None:
    observe.configure("json", written)
    observe.log.info(Event.MAIL_REFUSED, detail=secret, more={"in": [secret]})
    logging.getLogger("library").error("refused: %s", secret)
    try:
        raise ValueError(secret)
    except ValueError:
        observe.log.exception(Event.TICK_FAILED)
    text = written.getvalue()
    assert len(lines(written)) == 3
    for part in ("jana@", "jana%40", "pw@", "j.v+x"):
        assert part not in text
    assert text.count("<address>") >= 4
    assert "ValueError" in text


def test_what_libraries_log_has_the_same_form(written: io.StringIO) -> None:
    observe.configure("json", written)
    logging.getLogger("dramatiq").info("Worker %s", "ready")
    logging.getLogger("httpx").info("too chatty")
    (line,) = lines(written)
    assert (line["event"], line["logger"]) == ("Worker ready", "dramatiq")


def test_metrics_are_ours_alone() -> None:
    observe.messages_total.labels("PushEvent", "done").inc()
    text = observe.exposition().decode()
    assert 'slotledger_messages_total{kind="PushEvent",outcome="done"}' in text
    assert all(line.startswith(("#", "slotledger_")) for line in text.splitlines())
