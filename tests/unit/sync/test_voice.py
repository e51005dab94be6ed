"""An account that invites the client itself: what is written there, and what comes back (P8)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connectors.model import Period
from connectors.protocol import Credentials
from ledger import clock, entries
from ledger.db import Database
from ledger.entries import Guest, Words
from ledger.messages import Message
from ledger.tables import Calendar, Connection
from ledger.vault import Vault
from sync.accounts import Accounts
from sync.errors import NotFound, VoiceNotOffered
from tests.support.microsoft import CLIENT_ID
from tests.support.practices import Practice
from tests.support.provider_accounts import Account, account_at

START = datetime(2027, 1, 11, 9, tzinfo=UTC)
KATA = Guest("Kata@Example.org", "Kata")


@dataclass
class Bench:
    """A practice in one account; the default calendar takes the bookings."""

    practice: Practice
    account: Account
    calendar: int

    def wish(self, slot: int, guest: Guest | None, *, start: datetime = START, description: str = "") -> None:
        with self.practice.database.transaction() as tx:
            entries.wish(
                tx, slot_id=slot, operator_id=self.practice.operator, service_id=1,
                period=Period(start, start + timedelta(hours=1)), words=Words("Talk", description, guest=guest),
                grace_seconds=0, domain="slotledger.test", now=self.practice.now,
            )  # fmt: skip
        self.practice.work()

    def book(self, guest: Guest | None = KATA) -> int:
        """A slot whose event was pushed with its guest."""
        slot = self.practice.book(START)
        self.wish(slot, guest)
        return slot

    def living(self) -> Any:
        (event,) = self.account.living(self.account.primary)
        return event

    def answer(self, who: str, what: str) -> None:
        self.account.answer(self.account.primary, self.living().href, who, what)
        self.practice.pull(self.calendar)

    def answers(self) -> list[Message]:
        return self.practice.facts("GuestDeclined", "GuestAccepted")


@pytest.fixture(params=["google", "microsoft"])
def bench(request: pytest.FixtureRequest, sqlite: Database) -> Iterator[Bench]:
    with account_at(request.param) as account:
        google = account.provider == "google"
        secret = json.dumps(account.control.grant(account.email)) if google else account.control.grant(CLIENT_ID)
        practice = Practice(sqlite, Credentials(account.provider, username="u", secret=secret))
        practice.accounts = Accounts(sqlite, Vault("a key that is only for tests"), account.endpoints)
        practice.now = clock.now()
        practice.connect()
        (calendar,) = (row.id for row in practice.rows(Calendar, Calendar.primary))
        practice.assign(calendar, bookings=True)
        practice.work()
        yield Bench(practice, account, calendar)


def test_the_guest_is_in_the_event_and_is_mailed_once(bench: Bench) -> None:
    bench.book()
    assert list(bench.living().guests) == ["kata@example.org"]
    bench.practice.pull(bench.calendar)
    assert bench.account.mails("kata@example.org") == ["request"]
    assert bench.answers() == []


def test_without_a_guest_nobody_is_mailed(bench: Bench) -> None:
    slot = bench.book(guest=None)
    bench.practice.unwish(slot)
    bench.practice.work()
    assert bench.account.living(bench.account.primary) == []
    assert bench.account.control.mails() == []


def test_giving_it_up_tells_the_guest(bench: Bench) -> None:
    slot = bench.book()
    bench.practice.unwish(slot)
    bench.practice.work()
    assert bench.account.mails("kata@example.org") == ["request", "cancel"]


def test_a_conference_comes_with_the_event(bench: Bench) -> None:
    bench.book(Guest("kata@example.org", "Kata", conference=True))
    if bench.account.provider == "google":
        event = bench.account.control.event(bench.account.primary.href, bench.living().href)
        assert event["conferenceData"]["createRequest"]["conferenceSolutionKey"]["type"] == "hangoutsMeet"
    else:
        (event,) = bench.account.control.state()["accounts"][0]["events"]
        assert event["isOnlineMeeting"] is True


@pytest.mark.parametrize(("said", "fact"), [("declined", "GuestDeclined"), ("accepted", "GuestAccepted")])
def test_the_guests_answer_is_told_once(bench: Bench, said: str, fact: str) -> None:
    slot = bench.book()
    version = bench.practice.event(slot).version
    bench.answer("kata@example.org", said)
    bench.practice.pull(bench.calendar)
    (told,) = bench.answers()
    assert type(told).__name__ == fact
    assert (told.slot_id, told.version) == (slot, version)  # type: ignore[attr-defined]
    assert "kata" not in str(told).lower()


def test_a_maybe_is_no_answer(bench: Bench) -> None:
    bench.book()
    bench.answer("kata@example.org", "tentative" if bench.account.provider == "google" else "tentativelyAccepted")
    assert bench.answers() == []


def test_an_answer_that_our_own_write_ran_into_is_not_lost(bench: Bench) -> None:
    """The client declined, then we wrote new words before anybody had read that: the etag is ours, the answer theirs."""
    slot = bench.book()
    href = bench.living().href
    bench.account.answer(bench.account.primary, href, "kata@example.org", "declined")
    bench.wish(slot, KATA, description="other words")
    bench.practice.pull(bench.calendar)
    assert [type(fact).__name__ for fact in bench.answers()] == ["GuestDeclined"]


def test_only_the_invited_person_answers(bench: Bench) -> None:
    if bench.account.provider == "microsoft":
        pytest.skip("the emulator's operator can't add a guest")
    bench.book()
    control, calendar, href = bench.account.control, bench.account.primary.href, bench.living().href
    guests = [*control.event(calendar, href)["attendees"], {"email": "friend@example.org"}]
    control.edit(calendar, href, attendees=guests)
    bench.answer("friend@example.org", "declined")
    assert bench.answers() == []


def test_the_voice_is_the_connections(bench: Bench) -> None:
    accounts = bench.practice.accounts
    accounts.set_voice(bench.calendar, "provider")
    assert bench.practice.rows(Connection)[0].voice == "provider"
    bench.practice.connect()
    assert bench.practice.rows(Connection)[0].voice == "provider"
    accounts.set_voice(bench.calendar, "service")
    assert bench.practice.rows(Connection)[0].voice == "service"
    for wrong in ("both", "Provider"):
        with pytest.raises(VoiceNotOffered):
            accounts.set_voice(bench.calendar, wrong)
    with pytest.raises(NotFound):
        accounts.set_voice(999, "provider")


def test_other_providers_never_speak(sqlite: Database) -> None:
    practice = Practice(sqlite)
    practice.server.add_calendar("work")
    with pytest.raises(VoiceNotOffered):
        practice.accounts.connect(practice.operator, practice.credentials, now=practice.now, voice="provider")
    assert practice.rows(Connection) == []
    calendar = practice.connect()["work"]
    with pytest.raises(VoiceNotOffered):
        practice.accounts.set_voice(calendar, "provider")
