"""What is told to booking, and how long a provider is given to recover."""

from __future__ import annotations

from datetime import timedelta

import pytest

from connectors.errors import AddressRefused, BadAnswer, CalendarGone, ConnectorError, Gone, Refused, Throttled
from connectors.model import Period
from ledger import pauses
from ledger.backoff import NotYet
from ledger.db import Database
from ledger.messages import LookForEvent
from ledger.outbox import Leased, Scope
from ledger.tables import OutboxMessage
from sync.facts import patient, report_deleted, report_missing, report_move, wait
from tests.support.practices import NOON, Practice, at


def leased(age: timedelta) -> Leased:
    return Leased(1, LookForEvent(1, NOON, 1), "x", 1, "", Scope(), NOON - age)


@pytest.mark.parametrize(
    ("error", "age", "again"),
    [
        (BadAnswer(), timedelta(), True),
        (CalendarGone(), timedelta(hours=2), True),
        (BadAnswer(), timedelta(hours=16), False),
        (Refused(), timedelta(), True),
        (Refused(), timedelta(hours=16), False),
        (AddressRefused(), timedelta(), False),
        (Gone(), timedelta(), False),
        (Throttled(), timedelta(), False),
    ],
)
def test_patience(error: ConnectorError, age: timedelta, again: bool) -> None:
    assert isinstance(patient(error, leased(age), NOON), NotYet) is again


def test_waits_grow_with_age() -> None:
    ages = [timedelta(seconds=2), timedelta(minutes=10), timedelta(days=1)]
    waits = [wait("", leased(age), NOON).after for age in ages]
    assert waits == [timedelta(seconds=5), timedelta(minutes=5), timedelta(minutes=30)]


def test_facts_carry_the_scope_that_pauses_them(sqlite: Database) -> None:
    practice = Practice(sqlite)
    slot = practice.book(at(9))
    event = practice.event(slot)
    with sqlite.transaction() as tx:
        pauses.pause(tx, scope="service", target="1", automations=["cancel"], now=NOON)
        report_move(tx, event, Period(at(10), at(11)), now=NOON)
        report_deleted(tx, event, now=NOON)
    practice.work()
    rows = practice.rows(OutboxMessage, OutboxMessage.line == f"facts:{slot}")
    assert [(r.kind, r.operator_id, r.service_id, r.slot_id) for r in rows] == [
        ("RemoteMove", practice.operator, 1, slot),
        ("RemoteCancellation", practice.operator, 1, slot),
    ]
    assert [r.state for r in rows] == ["queued", "waiting"]
    assert all(r.cause for r in rows)


def test_missing_is_noted_once(sqlite: Database) -> None:
    practice = Practice(sqlite)
    slot = practice.book(at(9))
    with sqlite.transaction() as tx:
        assert report_missing(tx, practice.event(slot), now=NOON) == NOON
    with sqlite.transaction() as tx:
        assert report_missing(tx, practice.event(slot), now=at(0)) == NOON
    assert len(practice.rows(OutboxMessage, OutboxMessage.kind == "LookForEvent")) == 1
