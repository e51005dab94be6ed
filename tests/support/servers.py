"""Real CalDAV servers for tests, and a client that is not ours to act as the operator's calendar app."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import unquote, urlsplit

import httpx

from connectors.emulators.radicale import RunningServer, free_port, start_radicale, stop_process, wait_for_port
from connectors.model import Calendar, Entry, Period
from connectors.protocol import Credentials, Endpoints

ANNA = {"anna": "secret"}
HERE = Endpoints(allow_private_networks=True)
MONDAY = datetime(2027, 1, 11, 9, 0, tzinfo=UTC)
WINDOW = Period(datetime(2026, 12, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC))


@contextmanager
def radicale(users: Mapping[str, str] = ANNA) -> Iterator[RunningServer]:
    """Radicale with an empty folder."""
    with tempfile.TemporaryDirectory() as folder:
        server = start_radicale(Path(folder), users)
        try:
            yield server
        finally:
            server.stop()


@dataclass(frozen=True, slots=True)
class Xandikos(RunningServer):
    """Xandikos knows no passwords over plain HTTP; its only user is alice."""

    def home(self, username: str) -> str:
        """Where its calendars are."""
        return f"{self.url}{username}/calendars/"


@contextmanager
def xandikos() -> Iterator[Xandikos]:
    """Xandikos with alice's principal and her first calendar."""
    with tempfile.TemporaryDirectory() as folder:
        port, log = free_port(), Path(folder) / "xandikos.log"
        command = [sys.executable, "-m", "xandikos", "serve", "-d", f"{folder}/dav", "--state-dir", f"{folder}/state"]
        command += ["--defaults", "--autocreate", "--no-detect-systemd", "-l", "127.0.0.1", "-p", str(port)]
        command += ["--current-user-principal", "/alice/"]
        with log.open("ab") as output:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
        try:
            wait_for_port(port, process, log)
            yield Xandikos(f"http://127.0.0.1:{port}/", {"alice": ""}, Path(folder), process)
        finally:
            stop_process(process)


def credentials(url: str, username: str = "anna", secret: str = "secret") -> Credentials:
    """For a CalDAV account."""
    return Credentials("caldav", url, username, secret)


class OtherClient:
    """The operator's calendar app: plain HTTP, sharing no code with the connector. calendar: URL, trailing slash."""

    def __init__(self, calendar: str, username: str = "anna", secret: str = "secret") -> None:
        self.calendar = calendar
        self._client = httpx.Client(trust_env=False, auth=(username, secret), verify=False, timeout=30)

    def put(self, name: str, ics: bytes) -> str:
        """Store an object under a file name, whatever was there; its decoded path."""
        self._client.put(
            self.calendar + name, content=ics, headers={"Content-Type": "text/calendar"}
        ).raise_for_status()
        return unquote(urlsplit(self.calendar).path) + unquote(name)

    def get(self, name: str) -> bytes | None:
        """The stored bytes, None if there are none."""
        answer = self._client.get(self.calendar + name)
        return None if answer.status_code == 404 else answer.raise_for_status().content

    def delete(self, name: str) -> None:
        """Delete an object that is there."""
        self._client.delete(self.calendar + name).raise_for_status()

    def delete_calendar(self) -> None:
        """Delete the whole collection."""
        self._client.delete(self.calendar).raise_for_status()

    def names(self) -> set[str]:
        """File names of all objects, read from a PROPFIND without any of our code."""
        answer = self._client.request("PROPFIND", self.calendar, headers={"Depth": "1"}).raise_for_status()
        found = {part.split("</", 1)[0].split(">")[-1] for part in answer.text.split("href>")}
        return {unquote(path.rpartition("/")[2]) for path in found if path.endswith(".ics")}

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


def ics(uid: str, start: datetime = MONDAY, *extra: str, minutes: int = 60, summary: str = "Busy") -> bytes:
    """A VEVENT as a calendar app writes it. extra: further content lines."""
    end = start + timedelta(minutes=minutes)
    lines = [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        "PRODID:-//Other//App//EN",
        "BEGIN:VEVENT",
        f"UID:{uid}",
        "DTSTAMP:20261101T000000Z",
        f"DTSTART:{start:%Y%m%dT%H%M%SZ}",
        f"DTEND:{end:%Y%m%dT%H%M%SZ}",
        f"SUMMARY:{summary}",
        *extra,
        "END:VEVENT",
        "END:VCALENDAR",
        "",
    ]
    return "\r\n".join(lines).encode()


def entry(key: str = "booking1", start: datetime = MONDAY, *, title: str = "Consultation", sequence: int = 0) -> Entry:
    """An entry of ours, an hour long."""
    return Entry(
        key=key,
        uid=f"{key}@slotledger.test",
        marker=f"test:{key}:0",
        period=Period(start, start + timedelta(hours=1)),
        title=title,
        sequence=sequence,
        created_at=datetime(2026, 11, 1, tzinfo=UTC),
        updated_at=datetime(2026, 11, 1, tzinfo=UTC) + timedelta(minutes=sequence),
    )


def calendar(url: str, **values: str) -> Calendar:
    """A calendar as discovery would name it."""
    return Calendar(href=url, name="Test", **values)  # type: ignore[arg-type]
