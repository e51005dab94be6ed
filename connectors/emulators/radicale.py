"""A real Radicale, started as a process of its own: the demo's CalDAV server and the tests' first one.

Everything it holds is in one folder and outlives a restart. It listens on 127.0.0.1 only.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote
from xml.sax.saxutils import escape

import httpx

_CONFIG = """\
[server]
hosts = 127.0.0.1:{port}
delay_on_error = 0
[auth]
type = htpasswd
htpasswd_filename = {folder}/users
htpasswd_encryption = plain
delay = 0
[rights]
type = owner_only
[storage]
filesystem_folder = {folder}/collections
[logging]
level = warning
"""


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_port(port: int, process: subprocess.Popen[bytes], log: Path, seconds: float = 20.0) -> None:
    """Return as soon as a started process listens. Raises RuntimeError with its log if it ends or takes too long."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1.0):
            return
        time.sleep(0.02)
    stop_process(process)
    raise RuntimeError(f"the server did not start:\n{log.read_text(errors='replace')[-4000:]}")


def stop_process(process: subprocess.Popen[bytes]) -> None:
    """End a process that we started, gently first. Idempotent."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A CalDAV server that runs. url: its root, with a trailing slash. users: name → password. folder: its data."""

    url: str
    users: Mapping[str, str]
    folder: Path
    process: subprocess.Popen[bytes]

    def home(self, username: str) -> str:
        """URL of a user's calendar home."""
        return f"{self.url}{quote(username)}/"

    def make_calendar(
        self, username: str, name: str, *, title: str = "", timezone: str = "", color: str = "", home: str = ""
    ) -> str:
        """Create a calendar by MKCALENDAR and return its URL; one that exists stays as it is.

        timezone: an IANA name, stored as a bare VTIMEZONE that only names it. Raises httpx.HTTPError.
        """
        url = f"{home or self.home(username)}{quote(name)}/"
        props = f"<d:displayname>{escape(title or name)}</d:displayname>"
        if color:
            props += f"<ic:calendar-color>{escape(color)}</ic:calendar-color>"
        if timezone:
            props += f"<c:calendar-timezone>{escape(_vtimezone(timezone))}</c:calendar-timezone>"
        body = (
            '<c:mkcalendar xmlns:d="DAV:" xmlns:c="urn:ietf:params:xml:ns:caldav" xmlns:ic="http://apple.com/ns/ical/">'
            f"<d:set><d:prop>{props}<c:supported-calendar-component-set><c:comp name='VEVENT'/>"
            "</c:supported-calendar-component-set></d:prop></d:set></c:mkcalendar>"
        )
        with httpx.Client(trust_env=False, auth=(username, self.users.get(username, ""))) as client:
            answer = client.request(
                "MKCALENDAR", url, content=body.encode(), headers={"Content-Type": "application/xml"}
            )
            if answer.status_code not in (403, 405, 409):  # what servers answer where there is one already
                answer.raise_for_status()
        return url

    def stop(self) -> None:
        """End the process; the data stays. Idempotent."""
        stop_process(self.process)


def _vtimezone(name: str) -> str:
    return (
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//Slotledger//EN\r\n"
        f"BEGIN:VTIMEZONE\r\nTZID:{name}\r\nX-LIC-LOCATION:{name}\r\n"
        "BEGIN:STANDARD\r\nDTSTART:19700101T000000\r\nTZOFFSETFROM:+0000\r\nTZOFFSETTO:+0000\r\nEND:STANDARD\r\n"
        "END:VTIMEZONE\r\nEND:VCALENDAR\r\n"
    )


def start_radicale(folder: Path, users: Mapping[str, str], port: int = 0) -> RunningServer:
    """Start Radicale on 127.0.0.1 with these users (name → password) and its data in a folder.

    port: 0 picks a free one. Returns when it answers. Raises RuntimeError if it does not start.
    """
    port = port or free_port()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config").write_text(_CONFIG.format(port=port, folder=folder.resolve()))
    passwords = folder / "users"
    passwords.write_text("".join(f"{name}:{password}\n" for name, password in users.items()))
    passwords.chmod(0o600)
    log = folder / "radicale.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "radicale", "--config", str(folder / "config")],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    wait_for_port(port, process, log)
    return RunningServer(f"http://127.0.0.1:{port}/", dict(users), folder, process)
