"""A world of workers for tests: the real outbox, and small messages whose handlers the test brings along."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import ClassVar

from booking.terms import Terms
from connectors.mail.imip import open_outgoing
from connectors.mail.outgoing import Outgoing
from connectors.protocol import Endpoints
from ledger import clock, messages, outbox
from ledger.db import Database
from ledger.messages import Message
from ledger.settings import Settings
from ledger.vault import Vault
from sync.accounts import Accounts
from workers.leases import LeaseKeeper
from workers.world import Handler, Reaction, World


@dataclass(frozen=True, slots=True)
class Errand(Message):
    """Something alone in its line."""

    number: int


@dataclass(frozen=True, slots=True)
class Step(Message):
    """One of several in the same line."""

    walk: str
    number: int

    @property
    def line(self) -> str:
        """One step after the other."""
        return f"walk:{self.walk}"


@dataclass(frozen=True, slots=True)
class Refresh(Message):
    """Wanted again and again; one waits at most."""

    what: int
    merges: ClassVar[bool] = True
    automation: ClassVar[str] = "push"


@contextmanager
def known(*kinds: type[Message]) -> Iterator[None]:
    """The outbox knows these kinds inside the block."""
    messages.KINDS.update({kind.__name__: kind for kind in kinds})
    try:
        yield
    finally:
        for kind in kinds:
            del messages.KINDS[kind.__name__]


def world_of(
    database: Database,
    folder: Path,
    *,
    handlers: Mapping[type[Message], Handler] | None = None,
    reactions: Mapping[type[Message], Reaction] | None = None,
    outgoing: Outgoing | None = None,
    now: Callable[[], datetime] = clock.now,
    leases: LeaseKeeper | None = None,
    broker_url: str = "embedded:",
) -> World:
    """A world whose messages are the test's own."""
    settings = Settings(
        database_url=database.engine.url.render_as_string(hide_password=False),
        broker_url=broker_url,
        mail_url=f"file:{folder}/mail",
        mail_from="bookings@practice.example",
        base_url="http://127.0.0.1:8000",
        secret_key="a key that is only for tests",
    )
    vault = Vault(settings.secret_key)
    return World(
        settings=settings,
        database=database,
        vault=vault,
        accounts=Accounts(database, vault, Endpoints(allow_private_networks=True)),
        outgoing=outgoing or open_outgoing(settings.mail_url),
        terms=Terms(settings.base_url, settings.mail_from),
        clock=now,
        leases=leases or LeaseKeeper(database, now),
        handlers=handlers or {},
        reactions=reactions or {},
    )


def append(database: Database, *asked: Message, now: datetime | None = None, **options: object) -> None:
    """Ask for these in one transaction."""
    now = now or clock.now()
    with database.transaction() as tx:
        for message in asked:
            outbox.append(tx, message, now=now, **options)  # type: ignore[arg-type]


def states(database: Database) -> dict[int, str]:
    """Row id → state, of all but what is done."""
    with database.reading() as tx:
        return {row["id"]: row["state"] for row in outbox.listing(tx)}
