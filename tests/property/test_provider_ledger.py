"""Whatever an operator does at Google or Microsoft, and whatever fails meanwhile: the ledger comes to equal the account, and
no booking is cancelled whose event exists (PROVIDERS G5; P4, P5).

The truth is what the emulator itself lists, expanded by its own code, which the connectors know nothing of.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from connectors.microsoft.events import BOOKING_KEY
from connectors.model import Calendar, Period
from connectors.protocol import Credentials
from ledger import clock, outbox, reviews
from ledger.db import Base, Database
from ledger.messages import PullCalendar, RemoteCancellation, RemoteMove
from ledger.tables import Deployment, Operator, Slot, SlotEvent
from ledger.vault import Vault
from sync.accounts import Accounts
from sync.verdicts import accept_shrink, resolve_bulk
from tests.support.databases import migrated
from tests.support.foreign import Foreign
from tests.support.google import RawGoogle
from tests.support.microsoft import CLIENT_ID
from tests.support.practices import Practice
from tests.support.provider_accounts import BERLIN, Account, account_at

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
MONDAY = (clock.now() + 30 * DAY).astimezone(BERLIN).replace(hour=0, minute=0, second=0, microsecond=0)
hours = st.integers(0, 20 * 24).map(lambda hour: (MONDAY + timedelta(hours=hour)).astimezone(UTC))
pick = st.integers(0, 1_000_000)

GOOGLE_FAULTS: list[dict[str, Any]] = [
    {"action": "error", "name": "backendError"},
    {"action": "error", "name": "rateLimitExceeded"},
    {"action": "close"},
    {"action": "commit_then_reset"},
    {"action": "commit_then_error"},
    {"action": "truncate"},
    {"action": "garbage"},
    {"action": "html"},
]
MICROSOFT_FAULTS: list[dict[str, Any]] = [
    {"action": "status", "status": 503},
    {"action": "status", "status": 429, "retry_after": "1"},
    {"action": "close"},
    {"action": "commit_then_close"},
    {"action": "commit_then_status", "status": 500},
    {"action": "truncate"},
    {"action": "invalid_json"},
    {"action": "html"},
    {"action": "repeat_row", "path": "delta"},
    {"action": "empty_page", "path": "delta"},
]
GOOGLE_SWITCHES: dict[str, list[Any]] = {
    "stubs": ["minimal", "full"],
    "delta_outside_window": [True, False],
    "move_keeps_id": [True, False],
    "uid_search_lists_stubs": [True, False],
    "exception_touches_master": [True, False],
    "empty_pages": [True, False],
    "write_to_deleted": ["refuse", "restore"],
    "split_ids": [True, False],
    "move_keeps_private": [True, False],
}
MICROSOFT_SWITCHES: dict[str, list[Any]] = {
    "transaction": ["same", "refuse", "ignore"],
    "deleted_answers": [404, 200],
    "second_delete": [404, 403],
    "exceptions": ["full", "minimal"],
    "move_back": ["removed", "changed"],
    "outside_window": ["removed", "silent"],
    "lag_seconds": [0.0, 20.0],
    "empty_page": [True, False],
    "expired": ["code", "location"],
    "spread": [True, False],
    "if_match": [True, False],
    "replay": [0.0, 0.3],
    "mailbox_wide": [True, False],
    "deleted_in_events": [False, True],
}


@dataclass(frozen=True)
class True_:  # noqa: N801
    """One occurrence that takes time, as the emulator lists it. href: of the single event or the series."""

    calendar: int
    href: str
    start: datetime
    end: datetime
    busy: bool


class OperatorAndProvider(RuleBasedStateMachine):
    """Rules are what the operator, booking, the network and the workers do, in any order."""

    database: Database
    account: Account

    @initialize(data=st.data())
    def world(self, data: Any) -> None:
        with self.database.transaction() as tx:
            for table in reversed(Base.metadata.sorted_tables):
                if table is not Deployment.__table__:
                    tx.execute(table.delete())
        self.calendars = self.fresh_account(data)
        practice = Practice(self.database, Credentials(self.account.provider, username="u", secret=self.grant()))
        practice.accounts = Accounts(self.database, Vault("a key that is only for tests"), self.account.endpoints)
        practice.now = clock.now() + timedelta(seconds=getattr(self, "ahead", 0.0))
        with self.database.transaction() as tx:  # Graph's calendars name no zone: whole days are the operator's
            tx.execute(sa.update(Operator).values(timezone=BERLIN.key))
        self.practice = practice
        by_href = {row.href: row.id for row in self.rows_of_calendars()}
        self.ids = [by_href[calendar.href] for calendar in self.calendars]
        practice.assign(self.ids[0], bookings=True, busy=True)
        practice.assign(self.ids[1], busy=True)
        self.buried: list[tuple[int, str]] = []
        self.told: set[int] = set()
        practice.work()

    def rows_of_calendars(self) -> list[Any]:
        from ledger.tables import Calendar as Row

        self.practice.connect()
        return self.practice.rows(Row)

    def fresh_account(self, data: Any) -> list[Calendar]:
        """An empty account with two calendars, and some position of every switch that nobody is sure of."""
        account = self.account
        if account.provider == "google":
            account.world.refill()  # type: ignore[union-attr]
            account.control.clear_faults()
            account.control.rules(**{name: data.draw(st.sampled_from(v)) for name, v in GOOGLE_SWITCHES.items()})
            return [account.primary, account.second]
        control = account.control
        control.reset()
        control.add_account(account.email, "Chloe", "Europe/Berlin")
        for name, values in MICROSOFT_SWITCHES.items():
            control.set_switch(name, data.draw(st.sampled_from(values)))
        (state,) = control.state()["accounts"]
        primary = Calendar(state["calendars"][0]["id"], "Calendar", "Europe/Berlin", primary=True)
        return [primary, Calendar(control.add_calendar("Work"), "Work", "Europe/Berlin")]

    def grant(self) -> str:
        if self.account.provider == "google":
            return json.dumps(self.account.control.grant(self.account.email))
        return str(self.account.control.grant(CLIENT_ID))

    # --- the operator ---------------------------------------------------------------------------------------------

    @rule(
        which=st.integers(0, 1), start=hours, kind=st.sampled_from(["", "", "series", "all day", "free", "tentative"]),
        odd=st.booleans(),
    )  # fmt: skip
    def add(self, which: int, start: datetime, kind: str, odd: bool) -> None:
        local = start.astimezone(BERLIN)
        if kind == "all day":
            event = Foreign("Away", local.date(), local.date() + DAY)
        elif kind == "series":
            third = local + 2 * DAY
            changes: dict[str, Any] = {"deleted": (local + DAY,)} if odd else {}
            changes |= {} if odd else {"moved": {third: (third + 5 * HOUR, third + 6 * HOUR)}}
            event = Foreign("Course", local, local + HOUR, rrule="FREQ=DAILY;COUNT=4", **changes)
        else:
            event = Foreign("Busy", start, start + HOUR, tentative=kind == "tentative", transparent=kind == "free")
        self.account.hands.add(self.calendars[which], event)

    @rule(number=pick, start=hours)
    @precondition(lambda self: self.singles())
    def move(self, number: int, start: datetime) -> None:
        which, href = self.one(number)
        self.account.hands.move(self.calendars[which], href, start, start + HOUR)

    @rule(number=pick)
    @precondition(lambda self: self.hrefs())
    def delete(self, number: int) -> None:
        found = self.hrefs()
        which, href = found[number % len(found)]
        self.buried.append((which, href))
        self.account.hands.delete(self.calendars[which], href)

    @rule(number=pick)
    @precondition(lambda self: self.buried)
    def undo(self, number: int) -> None:
        """Taken out of the bin."""
        which, href = self.buried.pop(number % len(self.buried))
        if (which, href) in self.hrefs():
            return
        if self.account.provider == "google":
            self.account.control.restore(self.calendars[which].href, href)
        else:
            self.account.control.restore_event(href)

    @rule(number=pick)
    @precondition(lambda self: self.singles())
    def drag(self, number: int) -> None:
        which, href = self.one(number)
        self.account.hands.move_to(self.calendars[which], href, self.calendars[1 - which])

    # --- booking --------------------------------------------------------------------------------------------------

    @rule(start=hours, grace=st.sampled_from([0, 60]))
    def book(self, start: datetime, grace: int) -> None:
        taken = {row.starts_at for row in self.practice.rows(SlotEvent)}
        taken |= {row.starts_at for row in self.practice.rows(Slot)}
        if not any(abs(start - other) < HOUR for other in taken):
            self.practice.book(start, grace=grace)

    @rule(number=pick, start=hours)
    @precondition(lambda self: self.wanted())
    def reschedule(self, number: int, start: datetime) -> None:
        self.practice.wish(self.wanted()[number % len(self.wanted())].slot_id, start)

    @rule(number=pick)
    @precondition(lambda self: self.wanted())
    def cancel(self, number: int) -> None:
        self.practice.unwish(self.wanted()[number % len(self.wanted())].slot_id)

    # --- the network ----------------------------------------------------------------------------------------------

    @rule(number=pick, times=st.integers(1, 2), writes=st.booleans())
    def fail(self, number: int, times: int, writes: bool) -> None:
        known = GOOGLE_FAULTS if self.account.provider == "google" else MICROSOFT_FAULTS
        fault = {"path": r"/calendars/|/me/", "count": times, **known[number % len(known)]}
        if writes and "delta" not in fault["path"]:
            fault["method"] = "POST"
        action = fault.pop("action")
        add = self.account.control.fault if self.account.provider == "google" else self.account.control.add_fault
        add(action, **fault)

    @rule()
    def expire_sync_tokens(self) -> None:
        self.account.hands.expire_tokens()

    @rule()
    def expire_access_tokens(self) -> None:
        if self.account.provider == "google":
            self.account.control.expire_access()
        else:
            self.account.control.expire_access_tokens()

    # --- the workers ----------------------------------------------------------------------------------------------

    @rule(which=st.integers(0, 1))
    def pull(self, which: int) -> None:
        self.practice.ask(PullCalendar(self.ids[which]))
        self.practice.work()
        self.react()

    @rule(seconds=st.sampled_from([1, 25, 61, 600]))
    def wait(self, seconds: int) -> None:
        self.later(seconds)
        self.react()

    @rule()
    def settle(self) -> None:
        """All is well again and everything has had its time."""
        self.account.control.clear_faults()
        for _ in range(6):
            with self.database.transaction() as tx:
                for row in outbox.listing(tx, state="parked"):
                    if row["kind"] == "PushEvent":  # a refusal waits for a human, who tries it again
                        outbox.retry(tx, row["id"], now=self.practice.now)
            self.later(3600)
            for review in self.practice.reviews("calendar_emptied"):
                with self.database.transaction() as tx:
                    accept_shrink(tx, review["detail"]["calendar_id"], now=self.practice.now)
            for calendar in self.ids:
                self.practice.pull(calendar)
            for review in self.practice.reviews("bulk_deletion"):
                with self.database.transaction() as tx:
                    resolve_bulk(tx, review["id"], approve=True, now=self.practice.now)
                    reviews.resolve(tx, review["id"], state="approved", by="test", now=self.practice.now)
            self.react()
        self.check()

    def later(self, seconds: int) -> None:
        self.account.control.advance(seconds)
        self.ahead = getattr(self, "ahead", 0.0) + seconds
        self.practice.now = clock.now() + timedelta(seconds=self.ahead)
        self.practice.work(rounds=60)

    # --- what must be true ----------------------------------------------------------------------------------------

    @invariant()
    def nothing_is_cancelled_that_exists(self) -> None:
        if not hasattr(self, "practice"):
            return
        for fact in self.practice.facts("RemoteCancellation"):
            assert isinstance(fact, RemoteCancellation)
            if fact.slot_event_id not in self.told:
                self.told.add(fact.slot_event_id)
                assert not self.holding(self.practice.event(fact.slot_id).key)

    def check(self) -> None:
        """The ledger's busy time is the account's, but for our own events; and those are where they should be."""
        own = {(row.calendar_id, row.href): row for row in self.practice.rows(SlotEvent) if row.state != "gone"}
        busy, found = [], []
        for one in self.truth():
            row = own.get((self.ids[one.calendar], one.href))
            if row is None:
                busy += [(one.start, one.end)] if one.busy else []
            else:
                found.append(row.id)
                assert (row.starts_at, row.ends_at) == (one.start, one.end)
        assert self.practice.busy() == sorted(busy)
        assert sorted(found) == sorted(row.id for row in own.values())
        assert all(row.wanted and row.state == "confirmed" and row.missing_since is None for row in own.values())
        assert all(row.pushed_version == row.version for row in own.values())
        for row in own.values():
            assert len(self.holding(row.key)) == 1, "a booking has exactly one event"

    # --- what the model knows -------------------------------------------------------------------------------------

    def hrefs(self) -> list[tuple[int, str]]:
        return [(i, e.href) for i, calendar in enumerate(self.calendars) for e in self.account.living(calendar)]

    def singles(self) -> list[tuple[int, str]]:
        """Those that don't recur and take an hour: apps drag series and whole days otherwise."""
        return [
            (i, e.href)
            for i, calendar in enumerate(self.calendars)
            for e in self.account.living(calendar)
            if e.title not in ("Course", "Away")
        ]

    def one(self, number: int) -> tuple[int, str]:
        found = self.singles()
        return found[number % len(found)]

    def holding(self, key: str) -> list[str]:
        """Living events of a booking: they carry its key. At Google their iCalUID was made of it as well, which stays
        where a move takes the key away (`move_keeps_private`)."""
        if self.account.provider == "microsoft":
            return list(self.account.control.holding(BOOKING_KEY, key))
        return [
            str(event["id"])
            for calendar in self.calendars
            for event in self.account.control.events(calendar.href)
            if event.get("extendedProperties", {}).get("private", {}).get("slotledger") == key
            or event["iCalUID"] == f"{key}@google.com"
        ]

    def truth(self) -> list[True_]:
        window = Period(self.practice.now - DAY, self.practice.now + 399 * DAY)
        read = self.google_truth if self.account.provider == "google" else self.microsoft_truth
        return [one for i, calendar in enumerate(self.calendars) for one in read(i, calendar, window)]

    def google_truth(self, index: int, calendar: Calendar, window: Period) -> list[True_]:
        raw = RawGoogle(self.account.world)  # type: ignore[arg-type]
        try:
            asked = {"singleEvents": "true", "timeMin": window.start.isoformat(), "timeMax": window.end.isoformat()}
            items: list[Any] = []
            page = raw.events(calendar=calendar.href, params=asked).json()
            while items.extend(page["items"]) or "nextPageToken" in page:
                page = raw.events(calendar=calendar.href, params={**asked, "pageToken": page["nextPageToken"]}).json()
        finally:
            raw.close()
        return [
            True_(
                index,
                str(item.get("recurringEventId", item["id"])),
                _google_moment(item["start"]),
                _google_moment(item["end"]),
                item.get("transparency") != "transparent",
            )
            for item in items
            if item["status"] != "cancelled"
        ]

    def microsoft_truth(self, index: int, calendar: Calendar, window: Period) -> list[True_]:
        rows = self.account.control.busy(window.start, window.end, calendar=calendar.href)
        return [
            True_(
                index,
                str(row.get("seriesMasterId") or row["id"]),
                _graph_moment(row, "start"),
                _graph_moment(row, "end"),
                row["showAs"] not in ("free", "workingElsewhere") and not row["isCancelled"],
            )
            for row in rows
        ]

    def wanted(self) -> list[Any]:
        return self.practice.rows(SlotEvent, SlotEvent.wanted.is_(True), SlotEvent.state != "gone")

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
        self.practice.work(rounds=60)


def _google_moment(value: dict[str, str]) -> datetime:
    if "date" in value:
        return datetime.fromisoformat(value["date"]).replace(tzinfo=BERLIN).astimezone(UTC)
    return datetime.fromisoformat(value["dateTime"]).astimezone(UTC)


def _graph_moment(row: dict[str, Any], name: str) -> datetime:
    moment = datetime.fromisoformat(row[name]["dateTime"])
    if row["isAllDay"]:  # floating: the label beside it says nothing (PROVIDERS B3)
        return moment.replace(tzinfo=BERLIN).astimezone(UTC)
    return moment.replace(tzinfo=UTC)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("provider", ["google", "microsoft"])
def test_the_ledger_comes_to_equal_the_account(provider: str) -> None:
    with ExitStack() as stack:
        memory = Path("/dev/shm")  # where there is one, waiting for the disk is saved
        folder = stack.enter_context(tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None))
        machine: Callable[..., Any] = type("Machine", (OperatorAndProvider,), {})
        machine.database = stack.enter_context(migrated("sqlite", Path(folder)))  # type: ignore[attr-defined]
        machine.account = stack.enter_context(account_at(provider))  # type: ignore[attr-defined]
        run_state_machine_as_test(  # type: ignore[no-untyped-call]
            machine,
            settings=settings(
                max_examples=12, stateful_step_count=25, deadline=None, database=None, print_blob=True,
                suppress_health_check=list(HealthCheck),
            ),
        )  # fmt: skip
