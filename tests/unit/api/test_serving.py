"""A service that is told to end closes what it opened."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from api import serving
from ledger.settings import load
from tests.support.guard.sitecustomize import guard_children


@contextmanager
def _served(folder: Path) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """A service that answers, on a port of its own; ended in any case."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = _service(folder, "serve", "--port", str(port))
    try:
        _wait_for(port, process)
        yield port, process
    finally:
        process.kill()
        process.wait()


@pytest.mark.timeout(120)
def test_a_service_closes_everything_when_told_to_end(tmp_path: Path) -> None:
    """The exit code tells: 0 where the blocks around the server were left in order, -15 where the signal cut them off."""
    with _served(tmp_path) as (_, process):
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0, (tmp_path / "log").read_text()


@pytest.mark.timeout(120)
def test_an_idle_connection_outlives_those_of_a_proxy(tmp_path: Path) -> None:
    """As of a proxy that sends the next visitor through it some seconds later."""
    with _served(tmp_path) as (port, process):
        kept = http.client.HTTPConnection("127.0.0.1", port)
        kept.connect()
        end = kept.sock
        for idle in (7, 0):
            kept.request("GET", "/livez")
            answer = kept.getresponse()
            assert (answer.status, answer.read() != b"", kept.sock) == (200, True, end)
            time.sleep(idle)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0, "it doesn't wait for who keeps a connection"
        kept.close()


@pytest.mark.timeout(120)
@pytest.mark.parametrize("verb", ["serve", "api"])
def test_a_service_whose_port_is_taken_says_so_in_one_line_and_begins_nothing(tmp_path: Path, verb: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert _service(tmp_path, verb, "--port", str(port)).wait(60) == 1
    told = (tmp_path / "log").read_text()
    assert told.strip() == f"slotledger: can't listen on port {port} of 127.0.0.1: Address already in use"
    assert not (tmp_path / "books.db").exists()


@pytest.mark.parametrize(
    ("given", "port", "base_url"),
    [
        ({}, 8123, "http://127.0.0.1:8123"),
        ({}, 0, "http://127.0.0.1:8000"),
        ({"SLOTLEDGER_BASE_URL": "https://book.example.org"}, 8123, "https://book.example.org"),
        ({"SLOTLEDGER_BASE_URL": "http://127.0.0.1:8000"}, 8123, "http://127.0.0.1:8000"),
    ],
)
def test_links_lead_to_the_port_unless_the_public_address_is_said(
    tmp_path: Path, given: dict[str, str], port: int, base_url: str
) -> None:
    settings = serving.linked(load(given, env_file=None, var=tmp_path), port)
    assert (settings.base_url, serving.port_of(settings)) == (base_url, urlsplit(base_url).port or 8000)


def _service(folder: Path, *verb: str) -> subprocess.Popen[bytes]:
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("SLOTLEDGER_")},
        "SLOTLEDGER_DATABASE_URL": f"sqlite:///{folder}/books.db",
        "SLOTLEDGER_MAIL_URL": f"file:{folder}/mail",
        "PYTHONPATH": str(Path(__file__).parents[3]),
    }
    guard_children(environment)
    command = [sys.executable, "-c", "from api.cli import main; main()", *verb]
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)


def _wait_for(port: int, process: subprocess.Popen[bytes], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        with socket.socket() as knock:
            if knock.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError("the service doesn't listen")
