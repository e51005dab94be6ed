"""A second event that a repeated create left at Microsoft goes, and nothing else does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from connectors.microsoft.events import BOOKING_KEY
from connectors.protocol import Credentials, Endpoints, Sweeping
from connectors.registry import open_connector
from ledger import clock
from ledger.db import Database
from ledger.messages import SweepEvent
from ledger.tables import Calendar, OutboxMessage, SlotEvent
from ledger.vault import Vault
from sync.accounts import Accounts
from tests.support.microsoft import CLIENT_ID
from tests.support.practices import Practice
from tests.support.provider_accounts import Account, account_at

START = datetime(2027, 1, 11, 9, tzinfo=UTC)


@dataclass
class Bench:
    """A practice at a Microsoft whose views lag by twenty seconds, and that takes every POST for a new one."""

    practice: Practice
    account: Account
    calendar: int

    def later(self, **by: float) -> None:
        self.account.control.advance(timedelta(**by).total_seconds())
        self.practice.later(**by)

    def lose_answer(self) -> None:
        self.account.control.add_fault("commit_then_close", method="POST", path="/events$", count=1)

    def events(self, slot: int) -> list[str]:
        return list(self.account.control.holding(BOOKING_KEY, self.practice.event(slot).key))

    def sweeps(self) -> list[str]:
        rows = self.practice.rows(OutboxMessage, OutboxMessage.kind == SweepEvent.__name__)
        return [row.state for row in rows]

    def twins(self) -> int:
        """A slot whose event was made twice."""
        self.lose_answer()
        slot = self.practice.book(START)
        self.practice.work()
        assert self.practice.event(slot).state == "sent"
        self.later(seconds=3)
        assert self.practice.event(slot).state == "confirmed"
        assert len(self.events(slot)) == 2
        return slot


@pytest.fixture
def bench(sqlite: Database) -> Iterator[Bench]:
    with account_at("microsoft", transaction="ignore", lag_seconds=20.0) as account:
        practice = Practice(sqlite, Credentials("microsoft", username="u", secret=account.control.grant(CLIENT_ID)))
        practice.accounts = Accounts(sqlite, Vault("a key that is only for tests"), account.endpoints)
        practice.now = clock.now()
        practice.connect()
        (calendar,) = (row.id for row in practice.rows(Calendar, Calendar.primary))
        practice.assign(calendar, bookings=True, busy=True)
        made = Bench(practice, account, calendar)
        made.later(minutes=1)
        yield made


def test_the_second_event_goes_and_the_known_one_stays(bench: Bench) -> None:
    slot = bench.twins()
    bench.later(minutes=9)
    assert len(bench.events(slot)) == 2
    bench.later(minutes=2)
    assert bench.events(slot) == [bench.practice.event(slot).href]
    bench.later(minutes=1)
    bench.practice.pull(bench.calendar)
    assert bench.practice.busy() == []
    assert bench.practice.facts() == []
    assert bench.sweeps() == ["done"]


def test_the_operators_own_copy_stays(bench: Bench) -> None:
    slot = bench.twins()
    bench.account.block(bench.account.primary, START + timedelta(hours=3), START + timedelta(hours=4))
    bench.later(minutes=11)
    assert len(bench.account.living(bench.account.primary)) == 2
    assert len(bench.events(slot)) == 1


def test_a_moved_event_is_still_the_known_one(bench: Bench) -> None:
    slot = bench.twins()
    bench.practice.wish(slot, START + timedelta(hours=5))
    bench.practice.work()
    bench.later(minutes=11)
    (left,) = bench.account.living(bench.account.primary)
    assert (left.href, left.period.start) == (bench.practice.event(slot).href, START + timedelta(hours=5))


def test_what_is_not_wanted_any_more_goes_altogether(bench: Bench) -> None:
    """The create's answer was lost, the booking was cancelled at once, and the event showed up only afterwards."""
    bench.lose_answer()
    slot = bench.practice.book(START)
    bench.practice.work()
    bench.practice.unwish(slot)
    bench.later(seconds=3)
    assert bench.practice.event(slot).state == "gone"
    bench.later(minutes=11)
    assert bench.events(slot) == []
    assert bench.sweeps() == ["done"]


def test_nothing_is_swept_while_nobody_knows_which_is_the_one(bench: Bench) -> None:
    slot = bench.twins()
    with bench.practice.database.transaction() as tx:
        tx.execute(sa.update(SlotEvent).values(missing_since=bench.practice.now))
    bench.later(minutes=11)
    assert len(bench.events(slot)) == 2
    assert bench.sweeps() == ["waiting"]
    with bench.practice.database.transaction() as tx:
        tx.execute(sa.update(SlotEvent).values(missing_since=None))
    bench.later(hours=1)
    assert bench.events(slot) == [bench.practice.event(slot).href]


def test_where_the_operator_deletes_one_of_the_two_the_other_is_the_bookings(bench: Bench) -> None:
    slot = bench.twins()
    bench.account.hands.delete(bench.account.primary, bench.practice.event(slot).href)
    bench.later(minutes=1)
    bench.practice.pull(bench.calendar)
    bench.later(minutes=11)
    assert bench.events(slot) == [bench.practice.event(slot).href]
    assert bench.practice.facts("RemoteCancellation") == []


def test_a_create_that_was_answered_asks_for_no_sweep(bench: Bench) -> None:
    slot = bench.practice.book(START)
    bench.practice.work()
    bench.later(minutes=11)
    assert len(bench.events(slot)) == 1
    assert bench.sweeps() == []


def test_only_microsoft_needs_it() -> None:
    secrets: dict[str, Any] = {"google": '{"refresh_token": "x"}', "caldav": "x"}
    for provider, secret in secrets.items():
        with open_connector(Credentials(provider, "https://dav.example.org", "u", secret), Endpoints()) as connector:
            assert not isinstance(connector, Sweeping)
