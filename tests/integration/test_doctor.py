"""The doctor at Google and Microsoft: what their accounts lost or moved behind the ledger's back is found and mended."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta

import pytest
import sqlalchemy as sa

from connectors.protocol import Credentials
from ledger import clock
from ledger.db import Database
from ledger.tables import Calendar, SlotEvent
from ledger.vault import Vault
from sync.accounts import Accounts
from sync.findings import Finding
from sync.reconcile import examine
from tests.support.microsoft import CLIENT_ID
from tests.support.practices import Practice
from tests.support.provider_accounts import Account, account_at

HOUR = timedelta(hours=1)


class Ward:
    """A practice in one account, whose events can be changed without a pull."""

    def __init__(self, database: Database, account: Account) -> None:
        google = account.provider == "google"
        secret = json.dumps(account.control.grant(account.email)) if google else account.control.grant(CLIENT_ID)
        self.account = account
        self.practice = Practice(database, Credentials(account.provider, username="u", secret=secret))
        self.practice.accounts = Accounts(database, Vault("a key that is only for tests"), account.endpoints)
        self.practice.now = clock.now()
        self.practice.connect()
        (calendar,) = (row.id for row in self.practice.rows(Calendar, Calendar.primary))
        self.practice.assign(calendar, bookings=True, busy=True)
        self.practice.work()
        self.start = (self.practice.now + timedelta(days=3)).replace(minute=0, second=0, microsecond=0)

    def examine(self) -> list[Finding]:
        return examine(self.practice.accounts, now=self.practice.now, poll_seconds=300)

    def repair(self) -> list[str]:
        found = self.examine()
        for finding in found:
            with self.practice.database.transaction() as tx:
                assert finding.remedy is not None, finding
                finding.remedy(tx, self.practice.now)
        self.practice.work()
        return [str(finding.kind) for finding in found]

    def starts(self) -> list[object]:
        return [event.period.start for event in self.account.living(self.account.primary)]


@pytest.fixture(params=["google", "microsoft"])
def ward(request: pytest.FixtureRequest, sqlite: Database) -> Iterator[Ward]:
    with account_at(request.param) as account:
        yield Ward(sqlite, account)


def test_what_an_account_lost_is_put_again(ward: Ward) -> None:
    ward.practice.book(ward.start)
    ward.practice.work()
    assert ward.examine() == []
    [event] = ward.account.living(ward.account.primary)
    ward.account.hands.delete(ward.account.primary, event.href)
    assert ward.repair() == ["missing"]
    assert ward.starts() == [ward.start]
    assert ward.examine() == []


def test_what_lies_elsewhere_is_put_back(ward: Ward) -> None:
    ward.practice.book(ward.start)
    ward.practice.work()
    [event] = ward.account.living(ward.account.primary)
    ward.account.hands.move(ward.account.primary, event.href, ward.start + 2 * HOUR, ward.start + 3 * HOUR)
    assert ward.repair() == ["wrong_time"]
    assert ward.starts() == [ward.start]
    assert ward.examine() == []


def test_what_was_given_up_and_is_still_there_is_removed(ward: Ward) -> None:
    slot = ward.practice.book(ward.start)
    ward.practice.work()
    with ward.practice.database.transaction() as tx:  # the deletion was noted, and undone at the provider
        tx.execute(sa.update(SlotEvent).where(SlotEvent.slot_id == slot).values(wanted=False, state="gone"))
    assert ward.repair() == ["orphaned"]
    assert ward.starts() == []
    assert ward.examine() == []


def test_an_event_dragged_to_another_calendar_is_not_missing(ward: Ward) -> None:
    ward.practice.book(ward.start)
    ward.practice.work()
    [event] = ward.account.living(ward.account.primary)
    ward.account.hands.move_to(ward.account.primary, event.href, ward.account.second)
    assert ward.examine() == []
