"""An operator with a calendar account and a ledger, for tests of how the two meet. Time moves only when a test says so."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from connectors.errors import ConnectorError
from connectors.memory_server import MemoryServer
from connectors.model import Period
from connectors.protocol import Credentials, Endpoints
from ledger import entries, outbox, reviews
from ledger.backoff import NotYet
from ledger.claims import claim, lock_operator
from ledger.db import Base, Database, Tx
from ledger.entries import Words
from ledger.messages import LookForEvent, Message, PullCalendar, PushEvent, SweepEvent, from_body
from ledger.outbox import Leased
from ledger.tables import Busy, Calendar, Connection, Opening, Operator, OutboxMessage, RemoteEvent, SlotEvent
from ledger.vault import Vault
from sync.accounts import Accounts
from sync.looks import look_for_event
from sync.pull import pull_calendar
from sync.push import push_event
from sync.sweep import sweep_event

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
FACTS = ("RemoteCancellation", "RemoteMove", "RemoteOverlap", "NoShowTagged", "HoursClosed", "TimeFreed")
_HANDLERS: dict[type[Message], Callable[..., None]] = {
    PullCalendar: pull_calendar,
    PushEvent: push_event,
    LookForEvent: look_for_event,
    SweepEvent: sweep_event,
}
_names = itertools.count()


class Practice:
    """One operator, one account. server: of the reference provider, unless other credentials are given."""

    def __init__(self, database: Database, credentials: Credentials | None = None, *, sync_tokens: bool = True) -> None:
        self.database = database
        self.now = NOON
        name = f"practice-{next(_names)}"
        self.server = MemoryServer(name, sync_tokens=sync_tokens)
        self.credentials = credentials or Credentials("memory", f"memory:{name}", "anna", "secret")
        self.accounts = Accounts(
            database, Vault("a key that is only for tests"), Endpoints(allow_private_networks=True)
        )
        self.failures: list[str] = []
        self._starts = itertools.count(1)
        with database.transaction() as tx:
            self.operator = tx.execute(
                sa.insert(Operator)
                .values(slug=name, name="Anna", email="anna@x.test", timezone="UTC", created_at=self.now)
                .returning(Operator.id)
            ).scalar_one()
        self.connection = 0

    def clock(self) -> datetime:
        """What the handlers are told."""
        return self.now

    def connect(self) -> dict[str, int]:
        """Connect, and return the rows of the calendars by name."""
        self.connection = self.accounts.connect(self.operator, self.credentials, now=self.now)
        rows = self.rows(Calendar, Calendar.connection_id == self.connection)
        return {row.name: row.id for row in rows}

    def assign(self, calendar: int, **roles: bool) -> None:
        """Give roles and rules."""
        self.accounts.assign(calendar, **roles, now=self.now)

    # what booking does

    def book(self, start: datetime, *, minutes: int = 60, grace: int = 60, title: str = "Consultation") -> int:
        """Take a slot and wish for its event. Returns the slot."""
        period = Period(start, start + timedelta(minutes=minutes))
        with self.database.transaction() as tx:
            lock_operator(tx, self.operator)
            slot = claim(
                tx,
                operator_id=self.operator,
                service_id=1,
                period=period,
                block=period,
                capacity=1,
                holder=f"booking:{start.isoformat()}:{next(self._starts)}",
                seats=1,
                now=self.now,
            )
            assert slot is not None
        self.wish(slot, start, minutes=minutes, grace=grace, title=title)
        return slot

    def wish(
        self,
        slot: int,
        start: datetime,
        *,
        minutes: int = 60,
        grace: int = 60,
        title: str = "Consultation",
        there: bool = False,
    ) -> None:
        """Say how the slot's event should be."""
        with self.database.transaction() as tx:
            entries.wish(
                tx,
                slot_id=slot,
                operator_id=self.operator,
                service_id=1,
                period=Period(start, start + timedelta(minutes=minutes)),
                words=Words(title),
                grace_seconds=grace,
                domain="slotledger.test",
                now=self.now,
                there=there,
            )

    def unwish(self, slot: int) -> None:
        """Say that there should be none."""
        with self.database.transaction() as tx:
            entries.unwish(tx, slot, now=self.now)

    # what workers do

    def ask(self, message: Message) -> None:
        """Append a message."""
        with self.database.transaction() as tx:
            outbox.append(tx, message, now=self.now, scope=outbox.Scope(operator_id=self.operator))

    def begin(self, kind: type[Message]) -> Leased:
        """Begin the first due message of a kind."""
        live = self.rows(OutboxMessage, OutboxMessage.kind == kind.__name__, OutboxMessage.state.in_(outbox.LIVE))
        with self.database.transaction() as tx:
            outbox.lease(tx, now=self.now)
            leased = outbox.begin(tx, live[0].id, now=self.now)
        assert leased is not None
        return leased

    def work(self, rounds: int = 20) -> None:
        """Handle what is due for sync, again and again until nothing is. Failures are noted as workers do."""
        for _ in range(rounds):
            with self.database.transaction() as tx:
                taken = outbox.lease(tx, now=self.now)
            ours = [(i, kind) for i, kind in taken if kind in {k.__name__ for k in _HANDLERS}]
            if not ours:
                return
            for message_id, _kind in ours:
                with self.database.transaction() as tx:
                    leased = outbox.begin(tx, message_id, now=self.now)
                if leased is not None:
                    self.handle(leased)
        raise AssertionError("sync never comes to rest")

    def handle(self, leased: Leased) -> None:
        """Handle one begun message."""
        try:
            _HANDLERS[type(leased.message)](self.accounts, leased, clock=self.clock)
        except (ConnectorError, NotYet) as error:
            self.failures.append(f"{type(leased.message).__name__}: {type(error).__name__}")
            with self.database.transaction() as tx:
                outbox.fail(tx, leased, error, now=self.now)

    def pull(self, calendar: int) -> None:
        """Ask for a pull and do all work that comes of it."""
        self.ask(PullCalendar(calendar))
        self.work()

    def later(self, **by: float) -> None:
        """Let time pass and do what is due then."""
        self.now += timedelta(**by)
        self.work()

    # what is in the ledger

    def rows(self, table: type[Base], *where: sa.ColumnElement[bool]) -> list[Any]:
        """Rows in order of their id."""
        with self.database.reading() as tx:
            statement = sa.select(table.__table__).where(*where).order_by(table.__table__.c.id)
            return list(tx.execute(statement))

    def busy(self, calendar: int | None = None, *, freed: bool = False) -> list[tuple[datetime, datetime]]:
        """Busy periods, those kept for the line only if asked for."""
        where = [Busy.freed == freed] + ([Busy.calendar_id == calendar] if calendar else [])
        return sorted((r.starts_at, r.ends_at) for r in self.rows(Busy, *where))

    def openings(self) -> list[tuple[datetime, str, int | None]]:
        """Start, label and seats of opened hours."""
        return sorted((r.starts_at, r.label, r.seats) for r in self.rows(Opening))

    def facts(self, *kinds: str) -> list[Message]:
        """Facts that booking has not handled yet, in order."""
        wanted: Iterable[str] = kinds or FACTS
        rows = self.rows(OutboxMessage, OutboxMessage.kind.in_(wanted), OutboxMessage.state.in_(outbox.LIVE))
        return [from_body(row.kind, row.body) for row in rows]

    def turn_over(self) -> None:
        """Booking had its say: every fact is done, freed time is free."""
        from ledger.free_time import end_turn

        with self.database.transaction() as tx:
            lock_operator(tx, self.operator)
            end_turn(tx, self.operator)
            tx.execute(sa.update(OutboxMessage).where(OutboxMessage.kind.in_(FACTS)).values(state="done"))

    def reviews(self, kind: str = "") -> list[dict[str, Any]]:
        """Open reviews."""
        with self.database.reading() as tx:
            return [r for r in reviews.listing(tx) if kind in ("", r["kind"])]

    def event(self, slot: int) -> Any:
        """The slot's event."""
        return self.rows(SlotEvent, SlotEvent.slot_id == slot)[0]

    def calendar(self, calendar: int) -> Any:
        """A calendar's row."""
        return self.rows(Calendar, Calendar.id == calendar)[0]

    def state(self) -> str:
        """Of the connection."""
        return str(self.rows(Connection, Connection.id == self.connection)[0].state)

    def remote(self, calendar: int) -> list[Any]:
        """Known remote objects."""
        return self.rows(RemoteEvent, RemoteEvent.calendar_id == calendar)


class Crashes(Database):
    """A database whose process dies at the end of the n-th transaction, before it commits."""

    def __init__(self, real: Database, at_transaction: int) -> None:
        super().__init__(real.engine)
        self.left = at_transaction

    @contextmanager
    def transaction(self) -> Iterator[Tx]:
        with super().transaction() as tx:
            yield tx
            self.left -= 1
            if self.left == 0:
                raise SystemExit


def at(hours: float, day: int = 1) -> datetime:
    """An hour of a coming day: ``at(10)`` is 10:00 tomorrow."""
    return NOON.replace(hour=0) + timedelta(days=day, hours=hours)
