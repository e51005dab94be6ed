"""A day with everything that goes wrong in it: no secret is in a log line, an error, an answer, an export or a column of
the database; and no log line names a person.

Covers: ledger.observe, ledger.vault, ledger.sealed.
"""

from __future__ import annotations

import dataclasses
import io
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import structlog

from connectors.emulators.mailbox import SmtpCatcher
from connectors.mail.imip import open_outgoing
from ledger import observe, outbox
from ledger.db import Base, Database
from ledger.tables import Connection
from tests.support.browser import PASSWORD, Browser, user
from tests.support.doors import Doors, open_doors
from tests.support.receiver import Receiver
from tests.support.servers import radicale
from tests.support.worlds import world_of
from workers.actors import run_message
from workers.opening import handlers, reactions

CALENDAR = "calendar-pässwörd-7f3a"
WRONG = "wrong-calendar-password-91c2"
GUESSED = "guessed-sign-in-password-55e0"
PEOPLE = ("kata@example.org", "vera@example.org", "anna@practice.example", "Kata", "Vera")


@dataclass
class Day:
    """What was said and stored in it. secrets: what must be nowhere; links: what must be in no log."""

    log: io.StringIO
    answers: list[str] = field(default_factory=list)
    secrets: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)


@pytest.fixture(params=["json", "console"])
def log(request: pytest.FixtureRequest) -> Iterator[io.StringIO]:
    root, before = logging.getLogger(), structlog.get_config()
    handlers_before, level = list(root.handlers), root.level
    stream = io.StringIO()
    observe.configure(request.param, stream)
    logging.getLogger("httpx2").setLevel(logging.WARNING)  # the tests' own client
    yield stream
    root.handlers[:] = handlers_before
    root.setLevel(level)
    structlog.configure(**before)


def lived(doors: Doors, log: io.StringIO, folder: Path, catcher: SmtpCatcher, receiver: Receiver) -> Day:
    """The day."""
    day, desk = Day(log), doors.desk
    app: Any = doors.client.app
    site = app.state.site
    app.state.site = dataclasses.replace(site, settings=dataclasses.replace(site.settings, allow_private_networks=True))
    key = doors.token("admin")

    def call(method: str, path: str, **body: Any) -> Any:
        answer = doors.admin(method, path, token=key, **({"json": body} if body else {}))
        day.answers.append(answer.text)
        return answer

    world = world_of(
        desk.database, folder, handlers=handlers(), reactions=reactions(), outgoing=open_outgoing(catcher.url),
        now=doors.now,
    )  # fmt: skip
    settings = dataclasses.replace(world.settings, allow_private_networks=True)
    world = dataclasses.replace(world, settings=settings, vault=site.vault, accounts=site.accounts)

    def work() -> None:
        while True:
            with desk.database.transaction() as tx:
                ready = outbox.lease(tx, now=desk.now)
            if not ready:
                return
            for message_id, _ in ready:
                run_message(world, message_id)

    with radicale({"anna": CALENDAR}) as server:
        account = {"operator": "anna", "provider": "caldav", "url": server.url, "username": "anna"}
        assert call("POST", "/connections", **account, password=WRONG).status_code == 422
        server.make_calendar("anna", "work")
        made = call("POST", "/connections", **account, password=CALENDAR)
        assert made.status_code == 201, made.text
        calendar = made.json()["calendars"][0]["id"]
        assert call("PATCH", f"/calendars/{calendar}", busy=True, bookings=True).status_code == 200
        url = receiver.url.replace("http://", "http://user:endpoint-password@")
        hook = doors.admin("POST", "/webhooks", token=key, json={"url": url}).json()  # the one time that it is shown
        receiver.always = 500
        catcher.refuse_recipient("kata@example.org")
        booking = desk.book(desk.at(9, 1), "kata")
        desk.join("vera", {"start": desk.at(9, 1)})
        work()
        with desk.database.transaction() as tx:  # somebody changed the password at the provider
            sealed = site.vault.seal(WRONG, "connection:1")
            tx.execute(sa.update(Connection).values(secret=sealed))
        assert call("POST", f"/calendars/{calendar}/pull").status_code == 202
        desk.cancel(booking)
        desk.now += timedelta(minutes=2)
        work()
    call("POST", f"/calendars/{calendar}/pull")
    desk.now += timedelta(minutes=2)
    work()  # nobody is there any more
    rotated = doors.admin("POST", f"/webhooks/{hook['id']}/rotate", token=key).json()
    user(doors, "ben", "admin")
    browser = Browser(doors)
    day.answers += [browser.sign_in("ben", GUESSED).text, browser.sign_in("ben").text, browser.get("/admin/").text]
    assert browser.session
    other = doors.admin("POST", "/tokens", token=key, json={"name": "ops", "scope": "read"}).json()["token"]
    for path in (
        "/webhooks",
        "/connections",
        "/tokens",
        "/outbox",
        "/outbox?state=parked",
        "/reviews",
        "/audit",
        "/events",
    ):
        call("GET", path)
    call("GET", f"/connections/{made.json()['id']}/health")
    call("POST", "/clients/export", email="kata@example.org")
    day.answers.append(doors.client.get("/api/v1/admin/status", headers={"Authorization": f"Bearer {GUESSED}"}).text)
    day.secrets = [
        CALENDAR, WRONG, GUESSED, PASSWORD, "endpoint-password", key, other, browser.session, "for-tests-only-0123456789",
        *(secret.removeprefix("whsec_") for secret in (hook["secret"], rotated["secret"])),
    ]  # fmt: skip
    world.outgoing.close()
    with desk.database.reading() as tx:
        day.links = [
            str(t) for (t,) in tx.execute(sa.text("SELECT token FROM booking UNION SELECT token FROM waitlist_entry"))
        ]
    return day


def cells(database: Database) -> Iterator[tuple[str, str]]:
    """Every value that is stored, as text."""
    with database.reading() as tx:
        for table in Base.metadata.sorted_tables:
            for row in tx.execute(sa.select(table)):
                for name, value in row._mapping.items():
                    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
                    yield f"{table.name}.{name}", text


def test_no_secret_is_anywhere_in_the_clear(database: Database, log: io.StringIO, tmp_path: Path) -> None:
    with SmtpCatcher() as catcher, Receiver() as receiver:
        doors = open_doors(database)
        day = lived(doors, log, tmp_path, catcher, receiver)
        told = [str(call.headers) + call.body.decode() for call in receiver.told]
    lines = log.getvalue()
    stored = list(cells(database))
    assert len([line for line in lines.splitlines() if line]) > 5
    assert any("webhook.added" in text for _, text in stored)
    assert told
    for secret in day.secrets:
        assert secret not in lines
        assert not [where for where, text in stored if secret in text]
        assert not [text for text in (*day.answers, *told) if secret in text]
    for person in (*PEOPLE, *day.links):
        assert person not in lines
    assert not [text for text in told if "@" in text]
    # The export is the client's own, but the key to their bookings is in their mails alone.
    assert not [text for text in day.answers if any(link in text for link in day.links)]
