"""Whatever an operator does, and whatever fails meanwhile: the ledger comes to equal the calendars, and no booking is
cancelled whose event exists (P4, P5)."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from connectors.errors import (
    BadAnswer,
    CalendarGone,
    ConnectorError,
    NeedsReconnect,
    Refused,
    ServerFault,
    Throttled,
    Unreachable,
)
from connectors.memory_server import simple_object
from connectors.model import Calendar, Period
from ledger import outbox
from ledger.db import Base, Database
from ledger.messages import PullCalendar, RemoteCancellation, RemoteMove
from ledger.tables import Deployment, SlotEvent
from sync.verdicts import accept_shrink, resolve_bulk
from tests.support.databases import migrated
from tests.support.practices import NOON, Practice, at

ERRORS: list[Callable[[], ConnectorError]] = [
    Unreachable, ServerFault, Throttled, NeedsReconnect, Refused, CalendarGone, BadAnswer,
]  # fmt: skip
CALLS = ["", "changes", "fetch", "find", "calendars", "create", "update", "delete"]
hours = st.integers(0, 20 * 24).map(lambda hour: at(hour, day=30))
pick = st.integers(0, 1_000_000)
WINDOW = Period(NOON - timedelta(days=1), NOON + timedelta(days=400))
HOUR = timedelta(hours=1)


class OperatorAndLedger(RuleBasedStateMachine):
    """Rules are what the operator, booking, the network and the workers do, in any order."""

    database: Database
    sync_tokens = True

    @initialize()
    def world(self) -> None:
        with self.database.transaction() as tx:
            for table in reversed(Base.metadata.sorted_tables):
                if table is not Deployment.__table__:
                    tx.execute(table.delete())
        self.practice = Practice(self.database, sync_tokens=self.sync_tokens)
        self.server = self.practice.server
        self.calendars = [self.server.add_calendar(name) for name in ("work", "private")]
        ids = self.practice.connect()
        self.ids = [ids["work"], ids["private"]]
        self.practice.assign(self.ids[0], bookings=True, busy=True)
        self.practice.assign(self.ids[1], busy=True)
        self.buried: list[tuple[Calendar, str, bytes]] = []
        self.told: set[int] = set()
        self.serial = 0
        self.practice.work()

    # --- the operator ---------------------------------------------------------------------------------------------

    @rule(which=st.integers(0, 1), start=hours, days=st.sampled_from([1, 1, 1, 4]))
    def add(self, which: int, start: datetime, days: int) -> None:
        self.serial += 1
        repeat = [f"RRULE:FREQ=DAILY;COUNT={days}"] if days > 1 else []
        self.server.put(self.calendars[which], simple_object(f"f{self.serial}@x", start, start + HOUR, "Busy", repeat))

    @rule(number=pick, start=hours)
    @precondition(lambda self: self.objects())
    def move(self, number: int, start: datetime) -> None:
        calendar, href = self.one(number)
        self.server.move(calendar, href, start, start + HOUR)

    @rule(number=pick)
    @precondition(lambda self: self.objects())
    def delete(self, number: int) -> None:
        calendar, href = self.one(number)
        self.buried.append((calendar, href, self.server.raw(calendar, href)))
        self.server.remove(calendar, href)

    @rule(number=pick)
    @precondition(lambda self: self.buried)
    def undo(self, number: int) -> None:
        calendar, href, raw = self.buried.pop(number % len(self.buried))
        if href not in self.server.hrefs(calendar):
            self.server.put(calendar, raw, href)

    @rule(number=pick)
    @precondition(lambda self: self.objects())
    def drag(self, number: int) -> None:
        calendar, href = self.one(number)
        other = self.calendars[1 - self.calendars.index(calendar)]
        if other.href + href.rpartition("/")[2] not in self.server.hrefs(other):
            self.server.move_to(calendar, href, other)

    @rule(number=pick, which=st.integers(0, 1))
    @precondition(lambda self: self.objects())
    def copy(self, number: int, which: int) -> None:
        """As apps do: the content, our key included, under a new UID."""
        calendar, href = self.one(number)
        self.serial += 1
        lines = self.server.raw(calendar, href).replace(b"\r\n ", b"").split(b"\r\n")
        lines = [f"UID:copy{self.serial}@x".encode() if line.startswith(b"UID:") else line for line in lines]
        self.server.put(self.calendars[which], b"\r\n".join(lines))

    # --- booking --------------------------------------------------------------------------------------------------

    @rule(start=hours, grace=st.sampled_from([0, 60]))
    def book(self, start: datetime, grace: int) -> None:
        taken = {row.starts_at for row in self.practice.rows(SlotEvent)}
        if not any(abs(start - other) < HOUR for other in taken | {s for s, _ in self.slots()}):
            self.practice.book(start, grace=grace)

    @rule(number=pick, start=hours)
    @precondition(lambda self: self.wanted())
    def reschedule(self, number: int, start: datetime) -> None:
        row = self.wanted()[number % len(self.wanted())]
        self.practice.wish(row.slot_id, start)

    @rule(number=pick)
    @precondition(lambda self: self.wanted())
    def cancel(self, number: int) -> None:
        self.practice.unwish(self.wanted()[number % len(self.wanted())].slot_id)

    # --- the network ----------------------------------------------------------------------------------------------

    @rule(error=st.sampled_from(ERRORS), call=st.sampled_from(CALLS), times=st.integers(1, 3), after=st.booleans())
    def fail(self, error: Callable[[], ConnectorError], call: str, times: int, after: bool) -> None:
        self.server.fail_next(error(), call, times=times, after=after)

    @rule()
    def expire(self) -> None:
        self.server.expire_tokens()

    @rule()
    def lie(self) -> None:
        self.server.empty_listing()

    # --- the workers ----------------------------------------------------------------------------------------------

    @rule(which=st.integers(0, 1))
    def pull(self, which: int) -> None:
        self.practice.ask(PullCalendar(self.ids[which]))
        self.practice.work()
        self.react()

    @rule(seconds=st.sampled_from([1, 20, 61, 600]))
    def wait(self, seconds: int) -> None:
        self.practice.later(seconds=seconds)
        self.react()

    @rule()
    def settle(self) -> None:
        """All is well again and everything has had its time."""
        self.server._failures.clear()
        self.server.empty = 0
        for _ in range(6):
            with self.database.transaction() as tx:
                for row in outbox.listing(tx, state="parked"):
                    if row["kind"] == "PushEvent":  # a refusal waits for a human, who tries it again
                        outbox.retry(tx, row["id"], now=self.practice.now)
            self.practice.later(hours=1)
            for review in self.practice.reviews("calendar_emptied"):
                with self.database.transaction() as tx:
                    accept_shrink(tx, review["detail"]["calendar_id"], now=self.practice.now)
            for calendar in self.ids:
                self.practice.pull(calendar)
            for review in self.practice.reviews("bulk_deletion"):
                self.decide(review)
            self.react()
        self.check()

    # --- what must be true ----------------------------------------------------------------------------------------

    @invariant()
    def nothing_is_cancelled_that_exists(self) -> None:
        if not hasattr(self, "practice"):
            return
        for fact in self.practice.facts("RemoteCancellation"):
            assert isinstance(fact, RemoteCancellation)
            if fact.slot_event_id not in self.told:
                self.told.add(fact.slot_event_id)
                uid = self.practice.event(fact.slot_id).uid
                assert uid not in {event.uid for _, event in self.truth()}

    def check(self) -> None:
        """The ledger's busy time is the calendars', but for our own events; and those are where they should be."""
        own = {(row.calendar_id, row.href): row for row in self.practice.rows(SlotEvent) if row.state != "gone"}
        busy: list[tuple[datetime, datetime]] = []
        found = []
        for index, event in self.truth():
            row = own.get((self.ids[index], event.href))
            if row is None:
                busy += {(one.period.start, one.period.end) for one in event.occurrences}
            else:
                found.append(row.id)
                assert (row.starts_at, row.ends_at) == (
                    event.occurrences[0].period.start,
                    event.occurrences[0].period.end,
                )
        assert self.practice.busy() == sorted(busy)
        assert sorted(found) == sorted(row.id for row in own.values())
        assert all(row.wanted and row.state == "confirmed" and row.missing_since is None for row in own.values())
        assert all(row.pushed_version == row.version for row in own.values())

    # --- what the model knows -------------------------------------------------------------------------------------

    def objects(self) -> list[tuple[Calendar, str]]:
        return [(calendar, href) for calendar in self.calendars for href in self.server.hrefs(calendar)]

    def one(self, number: int) -> tuple[Calendar, str]:
        found = self.objects()
        return found[number % len(found)]

    def truth(self) -> list[tuple[int, Any]]:
        return [
            (i, event) for i, calendar in enumerate(self.calendars) for event in self.server.events(calendar, WINDOW)
        ]

    def wanted(self) -> list[Any]:
        return self.practice.rows(SlotEvent, SlotEvent.wanted.is_(True), SlotEvent.state != "gone")

    def slots(self) -> list[tuple[datetime, datetime]]:
        from ledger.tables import Slot

        return [(row.starts_at, row.ends_at) for row in self.practice.rows(Slot)]

    def react(self) -> None:
        """What booking does: follows moves, gives up what was deleted, has its turn at freed time."""
        self.nothing_is_cancelled_that_exists()
        for fact in self.practice.facts("RemoteMove", "RemoteCancellation"):
            if isinstance(fact, RemoteCancellation):
                self.practice.unwish(fact.slot_id)
            elif isinstance(fact, RemoteMove):
                row = self.practice.event(fact.slot_id)
                if row.wanted and row.version == fact.version:
                    minutes = int((fact.end - fact.start) / timedelta(minutes=1))
                    self.practice.wish(fact.slot_id, fact.start, minutes=minutes, there=True)
        self.practice.turn_over()
        self.practice.work()

    def decide(self, review: dict[str, Any]) -> None:
        from ledger import reviews

        approve = bool(review["id"] % 2)
        with self.database.transaction() as tx:
            resolve_bulk(tx, review["id"], approve=approve, now=self.practice.now)
            reviews.resolve(tx, review["id"], state="approved", by="test", now=self.practice.now)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("sync_tokens", [True, False], ids=["tokens", "listings"])
def test_the_ledger_comes_to_equal_the_calendars(sync_tokens: bool) -> None:
    with ExitStack() as stack:
        memory = Path("/dev/shm")  # where there is one, waiting for the disk is saved
        folder = stack.enter_context(tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None))
        machine = type("Machine", (OperatorAndLedger,), {"sync_tokens": sync_tokens})
        machine.database = stack.enter_context(migrated("sqlite", Path(folder)))  # type: ignore[attr-defined]
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=20, stateful_step_count=40, deadline=None, database=None, print_blob=True,
                suppress_health_check=list(HealthCheck),
            ),
        )  # fmt: skip
