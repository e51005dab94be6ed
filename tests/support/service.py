"""The whole service as its users run it: its own processes, its command line, its HTTP; nothing of it is imported here."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import httpx

from connectors.emulators.radicale import RunningServer, free_port
from connectors.mail.folder import MailFolder, StoredMail
from tests.support.brokers import broker_url
from tests.support.databases import postgres_url
from tests.support.servers import OtherClient, radicale, xandikos

SLOTLEDGER = str(Path(sys.executable).parent / "slotledger")
T = TypeVar("T")

CONSULTATION = """
title = "Consultation"
duration_minutes = 50
start_every_minutes = 60
buffer_after_minutes = 10
notice_minutes = 0
cancellation_grace_seconds = 0
[hours]
mon = ["09:00-17:00"]
tue = ["09:00-17:00"]
wed = ["09:00-17:00"]
thu = ["09:00-17:00"]
fri = ["09:00-17:00"]
"""


def wait_until(what: Callable[[], T | None], seconds: float = 90) -> T:
    """Ask until the answer is neither None nor empty nor False. Raises AssertionError after so many seconds."""
    end = time.monotonic() + seconds
    while True:
        answer = what()
        if answer:
            return answer
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.05)


@dataclass
class Service:
    """One deployment on this machine. mode: ``embedded`` (SQLite) or ``redis`` (PostgreSQL, worker and relay apart)."""

    folder: Path
    mode: str
    database: str
    broker: str
    port: int = field(default_factory=free_port)
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Its public address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """Its settings."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("SLOTLEDGER_")}
        return kept | {
            "SLOTLEDGER_DATABASE_URL": self.database,
            "SLOTLEDGER_BROKER_URL": self.broker,
            "SLOTLEDGER_MAIL_URL": f"file:{self.folder}/mail",
            "SLOTLEDGER_BASE_URL": self.url,
            "SLOTLEDGER_SECRET_KEY": "for-tests-only-0123456789",
            "SLOTLEDGER_ALLOW_PRIVATE_NETWORKS": "true",
            "SLOTLEDGER_POLL_SECONDS": "1",
            "SLOTLEDGER_RATE_PER_MINUTE": "0",
            "SLOTLEDGER_FORM_SECONDS": "0",
            **self.extra,
        }

    def cli(self, *arguments: str, stdin: str = "", ok: bool = True) -> str:
        """Run a verb; its output. ok: it has to succeed."""
        done = subprocess.run(
            [SLOTLEDGER, *arguments],
            env=self.environment,
            cwd=self.folder,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )
        assert not ok or done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout if ok else f"{done.returncode} {done.stderr}"

    def start(self) -> None:
        """Start its processes and wait until it is ready."""
        verbs = [["serve"]] if self.mode == "embedded" else [["api"], ["worker", "--threads", "4"], ["relay"]]
        for verb in verbs:
            with (self.folder / f"{verb[0]}.log").open("ab") as log:
                self.running.append(
                    subprocess.Popen(
                        [SLOTLEDGER, *verb], env=self.environment, cwd=self.folder, stdin=subprocess.DEVNULL,
                        stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
                    )
                )  # fmt: skip
        wait_until(self.is_ready)

    def is_ready(self) -> bool:
        """Does ``/readyz`` say so?"""
        assert all(p.poll() is None for p in self.running), self.logs()
        try:
            return httpx.get(f"{self.url}/readyz", trust_env=False).status_code == 200
        except httpx.TransportError:
            return False

    def kill(self) -> None:
        """Pull the plug: SIGKILL for every process."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it in an orderly way."""
        self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> None:
        for process in self.running:
            if process.poll() is None:
                os.killpg(process.pid, number)
        for process in self.running:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self.running.clear()

    def logs(self) -> str:
        """What its processes said."""
        return "\n".join(f"--- {p.name}\n{p.read_text()[-4000:]}" for p in sorted(self.folder.glob("*.log")))

    def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        """One call of the public API."""
        return httpx.request(method, f"{self.url}/api/v1{path}", trust_env=False, timeout=30, **options)

    def get(self, path: str, **params: str) -> Any:
        """A successful GET's JSON."""
        answer = self.call("GET", path, params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def mails(self, to: str = "") -> list[StoredMail]:
        """What was mailed, in order."""
        return [m for m in MailFolder(self.folder / "mail").listing() if to in m.recipient]


@dataclass
class Practice:
    """Anna's practice on one service and one CalDAV server, made by the command line."""

    service: Service
    server: RunningServer
    busy: OtherClient
    bookings: OtherClient
    where: str = "/operators/anna/services/consultation"

    def starts(self, state: str = "open") -> list[str]:
        """Starts of the next four weeks in that state."""
        today = datetime.now().astimezone().date()
        listed = self.service.get(f"{self.where}/slots", **{"from": f"{today}", "to": f"{today + timedelta(days=28)}"})
        return [s["start"] for s in listed["slots"] if s["state"] == state]

    def book(self, start: str, who: str = "kata") -> dict[str, Any]:
        """A successful booking."""
        answer = self.service.call("POST", f"{self.where}/bookings", json={"start": start, "client": client(who)})
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def wait_in_line(self, start: str, who: str) -> str:
        """A place in line for one start; its token."""
        body = {"client": client(who), "wish": {"start": start}, "accept": "auto"}
        answer = self.service.call("POST", f"{self.where}/waitlist", json=body)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["token"])

    def booking(self, token: str) -> dict[str, Any]:
        """As its client sees it."""
        return dict(self.service.get(f"/bookings/{token}"))

    def in_calendar(self, token: str) -> dict[str, Any]:
        """Wait until the booking says that its event is in the calendar."""
        return wait_until(lambda: b if (b := self.booking(token))["calendar"] == "in_the_calendar" else None)

    def events(self) -> dict[str, bytes]:
        """Name → object in the bookings calendar, read by the other client."""
        return {name: self.bookings.get(name) or b"" for name in self.bookings.names()}


def client(who: str, language: str = "en") -> dict[str, str]:
    """Somebody who books."""
    return {"name": who.title(), "email": f"{who}@example.org", "timezone": "Europe/Berlin", "language": language}


@contextmanager
def practice(folder: Path, server_kind: str, mode: str, *, proxied: bool = False, **extra: str) -> Iterator[Practice]:
    """A running practice, from nothing. server_kind: ``radicale`` or ``xandikos``."""
    with ExitStack() as stack:
        server: RunningServer = stack.enter_context(radicale() if server_kind == "radicale" else xandikos())
        name, password = next(iter(server.users.items()))
        busy, bookings = (server.make_calendar(name, role, timezone="Europe/Berlin") for role in ("busy", "bookings"))
        database = f"sqlite:///{folder}/ledger.db" if mode == "embedded" else stack.enter_context(postgres_url())
        broker = stack.enter_context(broker_url(mode))
        service = Service(folder, mode, database, broker, extra=extra)
        service.cli("migrate")
        set_up(service, server.url, name, password)
        stack.callback(service.stop)  # also what was started before one of them failed to
        service.start()
        made = Practice(service, server, OtherClient(busy, name, password), OtherClient(bookings, name, password))
        stack.callback(made.busy.close)
        stack.callback(made.bookings.close)
        wait_until(lambda: made.starts())
        yield made


def set_up(service: Service, caldav: str, name: str, password: str) -> None:
    """Operator, service, calendars: as the README does it."""
    (service.folder / "service.toml").write_text(CONSULTATION)
    service.cli(
        "operator", "add", "anna", "--name", "Anna", "--email", "anna@practice.example", "--timezone", "Europe/Berlin"
    )
    service.cli("service", "add", "anna/consultation", "--file", "service.toml")
    listed = service.cli(
        "connect",
        "caldav",
        "anna",
        "--url",
        caldav,
        "--username",
        name,
        "--password-stdin",
        "--json",
        stdin=f"{password}\n",
    )
    for calendar in json.loads(listed):
        role = unquote(urlsplit(calendar["url"]).path).rstrip("/").rpartition("/")[2]
        if role in ("busy", "bookings"):
            service.cli("calendar", "set", str(calendar["id"]), "--role", role)


def field_of(ics: bytes, name: str) -> str:
    """The first property of that name in an object, unfolded."""
    text = re.sub(r"\r?\n[ \t]", "", ics.decode())
    found = re.search(rf"^{name}[;:](.*)$", text, re.MULTILINE)
    return found.group(1).strip() if found else ""
