"""``make demo`` as its visitor meets it: three operators at three providers, played from outside; a second run goes on.

Covers: api.demo, api.demo_accounts.
"""

from __future__ import annotations

import email
import json
import os
import signal
import smtplib
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from connectors.emulators.mailclient import answer
from connectors.emulators.radicale import free_port
from connectors.model import PartStat
from ledger import clock
from tests.support.service import SLOTLEDGER, client, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SERVICES = {"anna": "consultation", "ben": "first-session", "chloe": "morning-yoga"}
MICROSOFT_PORT = 5252


@dataclass
class Demo:
    """A running demo. about: what it wrote into ``var/demo.json``."""

    about: dict[str, Any]

    def call(self, method: str, path: str, **options: Any) -> Any:
        """A successful call of the API, as admin where the path says so."""
        headers = {"Authorization": f"Bearer {self.about['admin_token']}"} if path.startswith("/admin") else {}
        url = f"{self.about['base_url']}/api/v1{path}"
        answer = httpx.request(method, url, trust_env=False, timeout=30, headers=headers, **options)
        assert answer.status_code in (200, 201), answer.text
        return answer.json()

    def control(self, provider: str, name: str, **given: Any) -> Any:
        """What the operator does in their own app."""
        answer = httpx.post(
            f"{self.about[provider]['control_root']}/{name}", json=given, trust_env=False, timeout=30
        ).raise_for_status()
        return answer.json()["result"]

    def starts(self, operator: str) -> list[str]:
        """Open starts of the next four weeks."""
        today = clock.now().date()
        days = {"from": f"{today}", "to": f"{today + timedelta(days=28)}"}
        listed = self.call("GET", f"/operators/{operator}/services/{SERVICES[operator]}/slots", params=days)
        return [slot["start"] for slot in listed["slots"] if slot["state"] == "open"]

    def book(self, operator: str, start: str, who: str) -> dict[str, Any]:
        """A confirmed booking whose event is in the calendar."""
        body = {"start": start, "client": client(who)}
        made = self.call("POST", f"/operators/{operator}/services/{SERVICES[operator]}/bookings", json=body)
        if made["status"] == "pending":
            self.call("POST", f"/admin/bookings/{made['id']}/confirm", json={})
        wait_until(lambda: self.booking(made["token"])["calendar"] == "in_the_calendar")
        return dict(made)

    def booking(self, token: str) -> dict[str, Any]:
        """As its client sees it."""
        return dict(self.call("GET", f"/bookings/{token}"))

    def decline(self, who: str) -> None:
        """The client's calendar says no to the invitation that came by mail."""
        mailbox = self.about["mailbox_url"]
        listed = wait_until(lambda: [m for m in httpx.get(f"{mailbox}.json", trust_env=False).json() if who in m["to"]])
        invitation = httpx.get(f"{mailbox}/{listed[0]['id']}.eml", trust_env=False).content
        raw = answer(invitation, PartStat.DECLINED, at=clock.now())
        to = str(email.message_from_bytes(raw)["To"]).strip("<>")
        door = urlsplit(self.about["inbound_mail_url"])
        with smtplib.LMTP(door.hostname, door.port, local_hostname="mx.example", timeout=20) as line:  # type: ignore[arg-type]
            line.sendmail(f"{who}@example.org", [to], raw)

    def calendars(self) -> list[dict[str, Any]]:
        """As an admin sees them."""
        return list(self.call("GET", "/admin/calendars")["items"])


@contextmanager
def demo(folder: Path, port: int) -> Iterator[Demo]:
    """The demo in a folder of its own, ended by Ctrl-C."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("SLOTLEDGER_")} | {"PORT": str(port)}
    with (folder / "demo.log").open("ab") as log:
        process = subprocess.Popen(
            [SLOTLEDGER, "demo"], cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        end = time.monotonic() + 120
        while not _ready(port):
            assert process.poll() is None, (folder / "demo.log").read_text()[-3000:]
            assert time.monotonic() < end
            time.sleep(0.1)
        yield Demo(json.loads((folder / "var" / "demo.json").read_text()))
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0, (folder / "demo.log").read_text()[-3000:]
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def verb(folder: Path, *arguments: str) -> Any:
    """What a verb of the command line answers on the demo's world."""
    settings = dict(line.split("=", 1) for line in (folder / "var" / "demo" / "settings.env").read_text().splitlines())
    environment = {k: v for k, v in os.environ.items() if not k.startswith("SLOTLEDGER_")} | settings
    done = subprocess.run([SLOTLEDGER, *arguments], cwd=folder, env=environment, capture_output=True, check=True)
    return json.loads(done.stdout)


def _ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/readyz", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def test_three_operators_at_three_providers_and_a_second_run(tmp_path: Path) -> None:
    with ExitStack() as stack:
        taken = socket.socket()  # of the other parts a taken port gives way
        stack.callback(taken.close)
        try:
            taken.bind(("127.0.0.1", MICROSOFT_PORT))
            taken.listen()
        except OSError:
            pass  # somebody else has it, which serves as well
        with demo(tmp_path, free_port()) as first:
            wait_until(lambda: all(c["pulled_at"] for c in first.calendars() if c["roles"]))
            providers = {(c["operator"], c["provider"]) for c in first.calendars()}
            assert providers == {("anna", "caldav"), ("ben", "google"), ("chloe", "microsoft")}
            assert set(first.about["caldav"]["users"]) == {"anna"}
            assert not first.about["microsoft"]["graph_root"].endswith(f":{MICROSOFT_PORT}")
            wait_until(lambda: {c["push"] for c in first.calendars() if c["provider"] == "google"} == {"open"})

            kept = first.book("ben", first.starts("ben")[3], "kata")
            lost = first.book("ben", first.starts("ben")[8], "lena")
            (calendar,) = (c["id"] for c in first.control("google", "calendars") if c["summary"] == "Practice")
            events = {e["summary"]: e["id"] for e in first.control("google", "events", calendar=calendar)}
            first.control("google", "delete", calendar=calendar, event=events["First session: Lena"])
            wait_until(lambda: first.booking(lost["token"])["status"] == "cancelled", seconds=20)

            # Chloe's hours are events: a new one opens a start, the class's own deletion cancels.
            before = first.starts("chloe")
            assert before
            yoga = first.book("chloe", before[2], "nina")
            (state,) = first.control("microsoft", "state")["accounts"]
            hours = next(c["id"] for c in state["calendars"] if c["name"] == "Open hours")
            start = (clock.now() + timedelta(days=9)).replace(hour=14, minute=0, second=0, microsecond=0)
            first.control(
                "microsoft", "create_event", subject="Morning yoga", start=start.replace(tzinfo=None).isoformat(),
                end=(start + timedelta(hours=1)).replace(tzinfo=None).isoformat(), zone="UTC", calendar=hours,
            )  # fmt: skip
            wait_until(lambda: f"{start:%Y-%m-%dT%H:%M:%SZ}" in first.starts("chloe"), seconds=20)
            (own,) = (e["id"] for e in state["events"] if e["properties"])
            first.control("microsoft", "delete_event", event=own)
            wait_until(lambda: first.booking(yoga["token"])["status"] == "cancelled", seconds=20)

            said_no = first.book("anna", first.starts("anna")[3], "mila")
            first.decline("mila")
            wait_until(lambda: first.booking(said_no["token"])["status"] == "cancelled", seconds=20)

            for provider in ("google", "microsoft"):
                assert httpx.get(first.about[provider]["page"], trust_env=False).status_code == 200

        with demo(tmp_path, free_port()) as second:
            assert second.booking(kept["token"])["status"] == "confirmed"
            assert second.about["admin_token"] == first.about["admin_token"]
            wait_until(lambda: {c["push"] for c in second.calendars() if c["provider"] == "google"} == {"open"})
            assert {c["last_error"] for c in second.calendars()} == {""}
            assert verb(tmp_path, "doctor", "--json") == []  # reads all three providers
            second.control("google", "delete", calendar=calendar, event=events["First session: Kata"])
            wait_until(lambda: second.booking(kept["token"])["status"] == "cancelled", seconds=20)
            assert second.book("anna", second.starts("anna")[4], "otto")
