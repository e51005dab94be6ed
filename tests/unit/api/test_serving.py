"""A service that is told to end closes what it opened."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.guard.sitecustomize import guard_children


@pytest.mark.timeout(120)
def test_a_service_closes_everything_when_told_to_end(tmp_path: Path) -> None:
    """The exit code tells: 0 where the blocks around the server were left in order, -15 where the signal cut them off."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("SLOTLEDGER_")},
        "SLOTLEDGER_DATABASE_URL": f"sqlite:///{tmp_path}/books.db",
        "SLOTLEDGER_MAIL_URL": f"file:{tmp_path}/mail",
        "PYTHONPATH": str(Path(__file__).parents[3]),
    }
    guard_children(environment)
    command = [sys.executable, "-c", "from api.cli import main; main()", "serve", "--port", str(port)]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=log, stderr=log)
    try:
        _wait_for(port, process)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0, (tmp_path / "log").read_text()
    finally:
        process.kill()
        process.wait()


def _wait_for(port: int, process: subprocess.Popen[bytes], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        with socket.socket() as knock:
            if knock.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError("the service doesn't listen")
