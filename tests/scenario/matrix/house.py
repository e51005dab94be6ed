"""A whole deployment on one thread: the real doors, handlers, connectors and mail, with a clock that only a story moves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from fastapi.testclient import TestClient

from api import keys
from api.app import create_app
from api.deps import Site
from booking import setup
from connectors.emulators.radicale import RunningServer
from connectors.mail.folder import MailFolder, StoredMail
from connectors.mail.mailbox import IncomingMail
from ledger import outbox
from ledger.db import Database
from ledger.settings import Settings
from ledger.tables import Calendar, OutboxMessage
from sync.accounts import ask_for_due_pulls
from tests.scenario.matrix.axes import Arrangement, Cell, Kind
from tests.scenario.matrix.calendars import App, app_at
from tests.scenario.matrix.expectation import CAPACITY, NAMES
from tests.scenario.matrix.outcome import LANGUAGES, TIMES, TITLES, TODAY
from tests.support.databases import migrated
from workers.actors import run_message
from workers.inbound import InboundMailbox
from workers.opening import open_world

SOON = timedelta(seconds=10)
"""What is due within it is waited for: a second look, a pause between two writes."""
BETWEEN_PULLS = timedelta(minutes=6)
AUTOMATED = OutboxMessage.automation != ""


class House:
    """One deployment for one story. now: its clock."""

    def __init__(self, database: Database, folder: Path, app: App) -> None:
        self.now = TODAY
        self.app = app
        self.database = database
        self.mail = MailFolder(folder / "mail")
        settings = Settings(
            mail_url=f"file:{folder}/mail",
            mail_from="bookings@svc.example",
            inbound_mail_url="lmtp://127.0.0.1:8024",  # never opened: a story brings its mail in by hand
            secret_key="a key that is only for tests",
            **_providers(app),
        )
        self.world = open_world(settings, database=database, clock=lambda: self.now)
        self.inbound = InboundMailbox(self.world)
        site = Site(settings, database, self.world.terms, self.world.vault, self.world.accounts, self.world.clock)
        self.client = TestClient(create_app(site), follow_redirects=False)
        self.client.__enter__()  # one loop for all of the story's requests
        self.tokens: dict[str, str] = {}
        """Who → the key to their booking."""
        self.places: dict[str, str] = {}
        """Who → the key to their place in line."""
        with database.transaction() as tx:
            self._admin = keys.create_token(tx, name="front-desk", scope="admin", now=self.now)

    def open(self, cell: Cell) -> None:
        """Anna opens her practice, connects her calendar, and it is read."""
        texts = {language: {"title": title} for language, title in TITLES.items()}
        spec = {
            "title": TITLES["en"], "texts": texts, "duration_minutes": 50, "start_every_minutes": 60,
            "buffer_after_minutes": 10, "capacity": CAPACITY[cell.kind], "hours": {"thu": ["09:00-17:00"]},
            "confirmation": "approval" if cell.arrangement is Arrangement.APPROVAL else "instant",
            "operator_moves": "propose" if cell.arrangement is Arrangement.PROPOSE else "follow",
        }  # fmt: skip
        with self.database.transaction() as tx:
            operator = setup.add_operator(
                tx, "anna", name="Anna Rossi", email="anna@practice.example", timezone="Europe/Budapest",
                now=self.now, language=LANGUAGES["anna"],
            )  # fmt: skip
            setup.put_service(tx, "anna", "talk", spec, now=self.now)
        if self.app.credentials is not None:
            accounts = self.world.accounts
            accounts.connect(operator, self.app.credentials, now=self.now)
            with self.database.reading() as tx:
                listed = {row.href: row.id for row in tx.execute(sa.select(Calendar.id, Calendar.href))}
            (ours,) = (i for href, i in listed.items() if href.rstrip("/").endswith(self.app.calendar))
            accounts.assign(ours, busy=True, bookings=True, now=self.now)
        self.settle()

    # doors

    def call(self, method: str, path: str, status: int, **given: Any) -> Any:
        """A call of the public API; what it answers."""
        answer = self.client.request(method, f"/api/v1{path}", **given)
        assert answer.status_code == status, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def admin(self, method: str, path: str, status: int = 200, **given: Any) -> Any:
        """A call of the admin API."""
        return self.call(method, f"/admin{path}", status, headers={"Authorization": f"Bearer {self._admin}"}, **given)

    def press(self, path: str, **form: str) -> None:
        """A button of a page; it must have done what it says."""
        answer = self.client.post(path, data=form)
        assert answer.status_code == 303, f"{path}: {answer.status_code} {answer.text}"

    # time

    def settle(self) -> None:
        """The workers do all that is due, and what follows from it, until nothing is left; nothing may fail."""
        while True:
            with self.database.transaction() as tx:
                ask_for_due_pulls(tx, now=self.now, poll_seconds=300)
                ready = outbox.lease(tx, now=self.now)
            for message_id, _ in ready:
                run_message(self.world, message_id)
            if not ready and not self._wait_a_little():
                break
        with self.database.reading() as tx:
            failed = sa.and_(OutboxMessage.last_error != "", OutboxMessage.state != "discarded")
            wrong = sa.or_(OutboxMessage.state == "parked", failed)
            assert [dict(r._mapping) for r in tx.execute(sa.select(OutboxMessage.__table__).where(wrong))] == []

    def _wait_a_little(self) -> bool:
        with self.database.reading() as tx:
            due = outbox.next_start(tx, now=self.now)
        if due is None or due - self.now > SOON:
            return False
        self.now = due
        return True

    def later(self, length: timedelta = BETWEEN_PULLS) -> None:
        """Time passes, and everything that it brings happens: at least every calendar is read again."""
        self.until(self.now + length)

    def until(self, moment: datetime) -> None:
        """Time passes up to that moment."""
        assert moment >= self.now
        self.now = moment
        self.settle()

    # mail

    def mails(self) -> list[StoredMail]:
        """All that was handed over, in order."""
        return self.mail.listing()

    def invitation(self, who: str) -> bytes:
        """The newest mail to somebody with an invitation in it."""
        found = [m for m in self.mails() if m.recipient == address(who) and m.method == "REQUEST"]
        raw = self.mail.read(found[-1].id)
        assert raw is not None
        return raw

    def arrives(self, raw: bytes) -> None:
        """A mail comes to the practice."""
        to = next(line for line in raw.split(b"\r\n") if line.startswith(b"To:")).decode().partition(":")[2]
        self.inbound.take(IncomingMail("", raw, (to.strip().strip("<>"),)))

    # what is in the ledger

    def rows(self, *columns: Any, where: tuple[Any, ...] = ()) -> list[Any]:
        """A query."""
        with self.database.reading() as tx:
            return list(tx.execute(sa.select(*columns).where(*where)).all())

    def close(self) -> None:
        """End of the story."""
        self.client.__exit__(None, None, None)
        self.world.close()


def address(who: str) -> str:
    """Somebody's mail address."""
    return "anna@practice.example" if who == "anna" else f"{who}@example.org"


def client(who: str) -> dict[str, str]:
    """Somebody, as the form asks for them."""
    return {
        "name": NAMES[who], "email": address(who), "timezone": "Europe/Budapest", "language": LANGUAGES[who],
    }  # fmt: skip


def instant(at: str) -> str:
    """A start on the wire."""
    return TIMES[at].strftime("%Y-%m-%dT%H:%M:%SZ")


@contextmanager
def house_of(cell: Cell, folder: Path, radicale: Callable[[], RunningServer]) -> Iterator[House]:
    """A house for this story, opened."""
    with ExitStack() as stack:
        app = stack.enter_context(app_at(cell.provider, radicale))
        database = stack.enter_context(migrated("sqlite", folder))
        house = House(database, folder, app)
        stack.callback(house.close)
        house.open(cell)
        yield house


def is_group(cell: Cell) -> bool:
    """More than one may come."""
    return cell.kind is Kind.GROUP


def _providers(app: App) -> dict[str, Any]:
    """The settings that lead to the emulators."""
    there = app.endpoints
    names = ("client_id", "client_secret", "api_root", "oauth_root")
    found = {f"google_{name}": getattr(there, f"google_{name}") for name in names}
    names = ("client_id", "client_secret", "tenant", "graph_root", "authority")
    found |= {f"microsoft_{name}": getattr(there, f"microsoft_{name}") for name in names}
    return {**{name: value for name, value in found.items() if value}, "allow_private_networks": True}
