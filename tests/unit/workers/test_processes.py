"""``dramatiq workers.main`` and the relay as processes of their own, on PostgreSQL and Redis.

Covers: workers.main.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from connectors.mail.folder import MailFolder
from ledger import clock, outbox
from ledger.db import Database
from ledger.messages import SendMail
from ledger.settings import BadSettings, Settings
from tests.support.brokers import broker_url
from tests.support.databases import migrated
from tests.support.practice import Practice
from tests.support.worlds import states
from workers.leader import FileLock, lock_file
from workers.processes import open_worker, run_relay, run_worker

ROOT = Path(__file__).parents[3]


@pytest.fixture(params=["postgresql", "sqlite"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Settings, Database]]:
    with migrated(request.param, tmp_path) as database, broker_url("redis") as broker:
        yield (
            Settings(
                database_url=database.engine.url.render_as_string(hide_password=False).replace("+psycopg", ""),
                broker_url=broker,
                mail_url=f"file:{tmp_path}/mail",
                mail_from="bookings@book.example",
                secret_key="0123456789abcdef",
            ),
            database,
        )


def eventually(true: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def environment(settings: Settings) -> dict[str, str]:
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("SLOTLEDGER_")},
        "SLOTLEDGER_DATABASE_URL": settings.database_url,
        "SLOTLEDGER_BROKER_URL": settings.broker_url,
        "SLOTLEDGER_MAIL_URL": settings.mail_url,
        "SLOTLEDGER_MAIL_FROM": settings.mail_from,
        "SLOTLEDGER_SECRET_KEY": settings.secret_key,
    }


def run(settings: Settings, folder: Path, script: str) -> subprocess.Popen[bytes]:
    script = f"import sys; from ledger.settings import load; from workers import processes; sys.exit({script})"
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-c", script],
            cwd=ROOT,
            env=environment(settings),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def test_worker_and_relay_send_a_mail_and_end_on_a_signal(settings: tuple[Settings, Database], tmp_path: Path) -> None:
    chosen, database = settings
    parts = [
        run(chosen, tmp_path, "processes.run_relay(load())"),
        run(chosen, tmp_path, "processes.run_worker(load(), processes=2, threads=2)"),
    ]
    try:
        now = clock.now()
        with database.transaction() as tx:
            practice = Practice(tx, now)
            practice.booking("b1")
            scope = outbox.Scope(practice.operator_id, booking_id="b1")
            outbox.append(tx, SendMail("b1", 0, "booked", "client"), now=now, scope=scope)
            outbox.append(tx, SendMail("nobody", 0, "booked", "client"), now=now, scope=scope)
        eventually(lambda: not states(database))
        (mail,) = MailFolder.from_url(chosen.mail_url).listing()
        assert mail.recipient == "kata@example.org"
        if database.dialect == "sqlite":
            assert not FileLock(lock_file(database, "service")).take()  # they are at work on it
    finally:
        for part in parts:
            part.send_signal(signal.SIGTERM)
        codes = [part.wait(20) for part in parts]
    assert codes == [0, 0], (tmp_path / "log").read_text()
    log = (tmp_path / "log").read_text()
    assert '"mail_handed_over"' in log
    assert "kata@" not in log
    assert "Traceback" not in log
    if database.dialect == "sqlite":
        lock = FileLock(lock_file(database, "service"))
        assert lock.take()
        lock.resign()


def test_the_relay_ends_when_told(settings: tuple[Settings, Database]) -> None:
    stopping = threading.Event()
    threading.Timer(0.5, stopping.set).start()
    started = time.monotonic()
    assert run_relay(settings[0], stopping) == 0
    assert time.monotonic() - started < 5


def test_without_a_broker_there_is_nothing_to_connect_to(tmp_path: Path) -> None:
    embedded = Settings(database_url=f"sqlite:///{tmp_path}/x.db", secret_key="0123456789abcdef")
    for part in (run_worker, run_relay, open_worker):
        with pytest.raises(BadSettings, match="BROKER_URL"):
            part(embedded)  # type: ignore[operator]
