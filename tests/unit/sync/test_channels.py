"""Push channels at both emulated providers: opened, renewed, closed, lost, silent. Covers: sync.channels, sync.hints."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from connectors.errors import ConnectorError
from connectors.protocol import Credentials
from ledger import clock, outbox
from ledger.backoff import NotYet
from ledger.db import Database
from ledger.messages import CloseChannel, Message, OpenChannel, PullCalendar
from ledger.tables import Calendar, Channel, Connection, Operator, OutboxMessage, Review
from ledger.vault import Vault
from sync import hints
from sync.accounts import Accounts, ask_for_due_pulls
from sync.channels import close_channel, open_channel
from sync.hints import RELAXED, SILENT, Call
from sync.pull import pull_calendar
from tests.support.doorbell import Doorbell
from tests.support.practices import Practice
from tests.support.provider_accounts import Account, account_at

_HANDLERS: dict[type[Message], Callable[..., None]] = {
    OpenChannel: open_channel,
    CloseChannel: close_channel,
    PullCalendar: pull_calendar,
}
POLL = 300


class Bench:
    """A connected account whose default calendar blocks time, and a door where the provider's calls arrive."""

    def __init__(self, database: Database, account: Account, doorbell: Doorbell) -> None:
        self.database, self.account, self.doorbell = database, account, doorbell
        self.offset = timedelta()
        secret = grant(account)
        self.practice = Practice(database, Credentials(account.provider, username="u", secret=secret))
        self.accounts = Accounts(database, Vault("a key that is only for tests"), account.endpoints, doorbell.url)
        self.practice.accounts = self.accounts
        self.practice.now = self.now
        self.calendars = self.practice.connect()
        (self.id,) = (r.id for r in self.practice.rows(Calendar, Calendar.primary))
        self.accounts.assign(self.id, busy=True, now=self.now)
        doorbell.answer_with(database, self.accounts.vault, lambda: self.now)

    @property
    def now(self) -> datetime:
        return clock.now() + self.offset

    def later(self, **by: float) -> None:
        """Time passes, here and at the provider."""
        self.offset += timedelta(**by)
        self.account.control.advance(timedelta(**by).total_seconds())

    def tick(self, work: bool = True) -> int:
        with self.database.transaction() as tx:
            asked = hints.ask_for_due_channels(tx, now=self.now, hooks=self.accounts.hooks)
        if work:
            self.work()
        return asked

    def work(self, rounds: int = 10) -> list[str]:
        """Do what is due for channels and pulls, and what the provider's calls ask for meanwhile. Returns the failures."""
        failures = []
        for _ in range(rounds):
            self.doorbell.settle(self.account)  # a call on its way would else be there or not, as the threads run
            with self.database.transaction() as tx:
                taken = [(i, k) for i, k in outbox.lease(tx, now=self.now) if k in {m.__name__ for m in _HANDLERS}]
            if not taken:
                break
            for message_id, _kind in taken:
                with self.database.transaction() as tx:
                    leased = outbox.begin(tx, message_id, now=self.now)
                assert leased is not None
                try:
                    _HANDLERS[type(leased.message)](self.accounts, leased, clock=lambda: self.now)
                except (ConnectorError, NotYet) as error:
                    failures.append(type(error).__name__)
                    with self.database.transaction() as tx:
                        outbox.fail(tx, leased, error, now=self.now)
        return failures

    def channels(self, *states: str) -> list[Any]:
        rows = self.practice.rows(Channel, Channel.state.in_(states or ("open",)))
        return sorted(rows, key=lambda row: row.created_at)

    def pulls(self) -> int:
        rows = self.practice.rows(OutboxMessage, OutboxMessage.kind == "PullCalendar")
        return len([r for r in rows if r.state == "waiting" and r.cause == "the provider called"])

    def change(self) -> str:
        """Something happens in the calendar."""
        start = datetime(2027, 1, 11, 9, tzinfo=UTC)
        return self.account.block(self.account.primary, start, start + timedelta(hours=1))

    def reviews(self) -> list[str]:
        return [r["kind"] for r in self.practice.reviews("channel_silent")]

    def due_in(self) -> float:
        """Seconds until the next poll after one that is due now."""
        with self.database.transaction() as tx:
            tx.execute(sa.update(Calendar).values(due_at=self.now))
            now = self.now
            ask_for_due_pulls(tx, now=now, poll_seconds=POLL)
        return float((self.practice.calendar(self.id).due_at - now).total_seconds())


def grant(account: Account) -> str:
    import json

    from tests.support.microsoft import CLIENT_ID

    if account.provider == "google":
        return json.dumps(account.control.grant(account.email))
    return str(account.control.grant(CLIENT_ID))


@pytest.fixture(params=["google", "microsoft"])
def account(request: pytest.FixtureRequest) -> Iterator[Account]:
    with account_at(request.param) as made:
        yield made


@pytest.fixture
def doorbell() -> Iterator[Doorbell]:
    with Doorbell() as made:
        yield made


@pytest.fixture
def bench(sqlite: Database, account: Account, doorbell: Doorbell) -> Bench:
    return Bench(sqlite, account, doorbell)


def test_a_calendar_with_a_role_gets_one_channel_and_calls_arrive(bench: Bench) -> None:
    bench.tick()
    (channel,) = bench.channels()
    assert channel.address == f"{bench.doorbell.url}/hooks/{bench.account.provider}"
    assert bench.account.open_channels() == 1
    assert bench.now < channel.next_at < channel.expires_at
    assert bench.tick() == 0
    bench.change()
    bench.doorbell.settle(bench.account)
    assert bench.pulls() == 1
    bench.work()
    assert len(bench.practice.busy()) == 1


def test_the_row_is_there_before_the_provider_is_asked(bench: Bench) -> None:
    seen: list[list[str]] = []
    if bench.account.provider == "google":  # its first message and its answer may overtake each other
        bench.account.control.fault("slow", path="/events/watch$", seconds=1)
    bench.doorbell.before = lambda: seen.append([row.state for row in bench.channels("opening", "open")])
    bench.tick()
    assert seen, "the provider called while it was being asked (sync message or handshake)"
    assert seen[0] == ["opening"]


def test_secrets_are_sealed(bench: Bench) -> None:
    bench.tick()
    (channel,) = bench.channels()
    assert channel.secret.startswith("v1.")
    assert channel.id not in channel.secret


def test_only_the_channels_secret_opens_the_door(bench: Bench) -> None:
    bench.tick()
    (row,) = bench.channels()
    secret = bench.accounts.vault.open(row.secret, hints.secret_context(row.id))
    good = Call(row.id, secret, row.remote_id, row.resource_id if row.provider == "google" else "")
    bad = [
        Call(row.id, secret[:-1] + "x", row.remote_id, good.resource_id),
        Call(row.id, "", row.remote_id, good.resource_id),
        Call(row.id, secret, "other", good.resource_id),
        Call("f" * 32, secret, row.remote_id, good.resource_id),
        Call("", secret, row.remote_id, good.resource_id),
    ]
    if row.provider == "google":
        bad.append(Call(row.id, secret, row.remote_id, "other"))
        bad.append(Call(row.id, secret, row.remote_id, ""))
    with bench.database.reading() as tx:
        assert [hints.find(tx, bench.accounts.vault, call) for call in bad] == [None] * len(bad)
        assert hints.find(tx, Vault("another key for this test"), good) is None
        known = hints.find(tx, bench.accounts.vault, good)
    assert known == row.id


def test_a_working_channel_lets_polls_be_rare(bench: Bench) -> None:
    assert bench.due_in() == pytest.approx(POLL, rel=0.11)
    bench.tick()
    assert bench.due_in() == pytest.approx(POLL * RELAXED, rel=0.11)
    with bench.database.transaction() as tx:
        tx.execute(sa.update(Channel).values(expires_at=bench.now - timedelta(seconds=1)))
    assert bench.due_in() == pytest.approx(POLL, rel=0.11)


def test_at_half_its_life_a_channel_is_renewed_without_a_gap(bench: Bench) -> None:
    bench.tick()
    (first,) = bench.channels()
    bench.later(days=3.5)
    bench.doorbell.before = lambda: gaps.append(len(bench.channels("open")))
    gaps: list[int] = []
    bench.tick()
    (renewed,) = bench.channels()
    assert renewed.expires_at > first.expires_at + timedelta(days=2)
    assert 0 not in gaps
    assert bench.account.open_channels() == 1
    if bench.account.provider == "google":
        assert renewed.id != first.id
        assert [row.id for row in bench.channels("closed")] == [first.id]
    bench.change()
    bench.doorbell.settle(bench.account)
    assert bench.pulls() == 1


def test_another_public_address_opens_another_channel(bench: Bench) -> None:
    bench.tick()
    with Doorbell() as other:
        other.answer_with(bench.database, bench.accounts.vault, lambda: bench.now)
        bench.accounts.hooks = other.url
        assert bench.tick() == 1
        (channel,) = bench.channels()
        assert channel.address.startswith(other.url)
        assert bench.account.open_channels() == 1


@pytest.mark.parametrize("how", ["role", "disabled"])
def test_what_nobody_needs_is_closed(bench: Bench, how: str) -> None:
    bench.tick()
    if how == "role":
        bench.accounts.assign(bench.id, busy=False, now=bench.now)
    else:
        bench.accounts.disable(bench.practice.connection, now=bench.now)
    bench.tick()
    assert bench.channels("opening", "open", "closing") == []
    assert bench.account.open_channels() == 0


def test_without_an_address_that_can_be_called_nothing_is_opened(bench: Bench) -> None:
    bench.accounts.hooks = ""
    assert bench.tick() == 0
    with bench.database.transaction() as tx:
        outbox.append(tx, OpenChannel(bench.id), now=bench.now)
    bench.work()
    assert bench.channels("opening", "open", "refused") == []


def test_a_calendar_that_cannot_be_watched_is_polled_and_asked_again_tomorrow(bench: Bench) -> None:
    bench.account.forbid_push()
    bench.tick()
    (refused,) = bench.channels("refused")
    assert refused.detail
    assert bench.channels() == []
    assert bench.due_in() == pytest.approx(POLL, rel=0.11)
    assert bench.tick() == 0
    bench.later(days=1, minutes=1)
    assert bench.tick() == 1
    assert len(bench.channels("refused")) == 1


def test_calendars_beside_the_default_one_are_watched_where_the_provider_can(bench: Bench) -> None:
    (second,) = (r.id for r in bench.practice.rows(Calendar, Calendar.href == bench.account.second.href))
    bench.accounts.assign(second, busy=True, now=bench.now)
    bench.tick()
    states = {row.calendar_id: row.state for row in bench.channels("open", "refused")}
    assert states == {bench.id: "open", second: "open" if bench.account.provider == "google" else "refused"}


# --- lost answers -----------------------------------------------------------------------------------------------------


def lose_answer(bench: Bench) -> None:
    if bench.account.provider == "google":
        bench.account.control.fault("commit_then_reset", method="POST", path="/events/watch$", count=1)
    else:
        bench.account.control.add_fault("commit_then_close", method="POST", path="/subscriptions$", count=1)


def test_a_lost_answer_leaves_one_channel_in_the_end(bench: Bench) -> None:
    lose_answer(bench)
    bench.tick()
    bench.later(minutes=1)
    bench.work()
    bench.later(minutes=1)
    bench.work()
    bench.change()
    bench.doorbell.settle(bench.account)
    bench.work()
    assert len(bench.channels("open")) == 1
    assert bench.account.open_channels() == 1
    assert bench.channels("opening", "closing") == []


def test_a_crash_after_the_row_is_made_up_for(bench: Bench) -> None:
    with bench.database.transaction() as tx:
        tx.execute(
            sa.insert(Channel).values(
                id="0" * 32, calendar_id=bench.id, provider=bench.account.provider, secret="v1.x", state="opening",
                address=f"{bench.doorbell.url}/hooks/{bench.account.provider}", created_at=bench.now, next_at=bench.now,
            )
        )  # fmt: skip
    bench.tick()
    assert len(bench.channels("open")) == 1
    assert [row.id for row in bench.channels("lost")] == ["0" * 32]
    bench.later(days=9)
    bench.tick()
    assert bench.channels("lost") == []


# --- silence ------------------------------------------------------------------------------------------------------------


def mute(bench: Bench) -> None:
    if bench.account.provider == "google":
        bench.account.control.push("suppress")
    else:
        bench.account.control.hold_notifications()


def test_a_silent_channel_raises_a_review_and_polls_tighten_until_it_calls_again(bench: Bench) -> None:
    bench.tick()
    bench.later(minutes=5)
    bench.practice.now = bench.now
    bench.work()
    mute(bench)
    for number in range(SILENT):
        assert bench.reviews() == [], number
        bench.later(minutes=10)
        bench.change()
        with bench.database.transaction() as tx:
            outbox.append(tx, PullCalendar(bench.id), now=bench.now)
        bench.work()
    assert bench.reviews() == ["channel_silent"]
    assert bench.due_in() == pytest.approx(POLL, rel=0.11)
    bench.tick()  # another one is tried, and not trusted before it has called
    assert bench.account.open_channels() == 1
    if bench.account.provider == "google":
        bench.account.control.push("deliver")
    else:
        bench.account.control.hold_notifications(False)
    bench.change()
    bench.doorbell.settle(bench.account)
    assert bench.reviews() == []
    assert bench.due_in() == pytest.approx(POLL * RELAXED, rel=0.11)


def test_our_own_silence_is_no_alarm(bench: Bench) -> None:
    """Nothing changed, so nothing was to be told; and what the first pull finds was there before the channel."""
    bench.change()
    bench.tick()
    for _ in range(SILENT + 1):
        bench.later(minutes=10)
        with bench.database.transaction() as tx:
            outbox.append(tx, PullCalendar(bench.id), now=bench.now)
        bench.work()
    assert bench.reviews() == []
    assert {row.silent for row in bench.channels()} == {0}


def test_an_expired_channel_raises_a_review_and_is_opened_anew(bench: Bench) -> None:
    bench.tick()
    with bench.database.transaction() as tx:
        tx.execute(sa.update(Channel).values(expires_at=bench.now))
        tx.execute(sa.update(Calendar).values(due_at=bench.now + timedelta(minutes=30)))
    bench.tick(work=False)
    assert bench.reviews() == ["channel_silent"]
    assert bench.practice.calendar(bench.id).due_at <= bench.now
    bench.work()
    assert len(bench.channels("open")) == 1
    bench.change()
    bench.doorbell.settle(bench.account)
    assert bench.reviews() == []


# --- what the provider may say beside changes -------------------------------------------------------------------------


def tell(bench: Bench, what: str) -> None:
    (row,) = bench.channels("open")
    call = Call(row.id, "", row.remote_id, what=what)
    with bench.database.transaction() as tx:
        hints.heard(tx, row.id, call, now=bench.now)


def test_a_provider_that_removed_the_channel_gets_a_new_one_and_a_pull(bench: Bench) -> None:
    bench.tick()
    (before,) = bench.channels()
    tell(bench, "removed")
    assert bench.pulls() == 1
    bench.work()
    (after,) = bench.channels()
    assert after.id != before.id


def test_a_provider_that_wants_to_be_asked_again_is_asked(bench: Bench) -> None:
    bench.tick()
    (before,) = bench.channels()
    bench.later(hours=30)
    tell(bench, "renew")
    assert bench.pulls() == 0
    bench.work()
    (after,) = bench.channels()
    assert after.expires_at > before.expires_at


def test_after_a_call_of_microsoft_the_calendar_is_read_once_more(bench: Bench) -> None:
    bench.tick()
    later = bench.now + timedelta(minutes=25)
    with bench.database.transaction() as tx:
        tx.execute(sa.update(Calendar).values(due_at=later))
    tell(bench, "changed")
    due = bench.practice.calendar(bench.id).due_at
    assert (due < later) == (bench.account.provider == "microsoft")


# --- grants -------------------------------------------------------------------------------------------------------------


def test_a_revoked_grant_stops_asking_and_a_new_one_renews(bench: Bench) -> None:
    bench.tick()
    bench.account.revoke()
    bench.later(days=3.5)
    bench.tick()
    assert bench.practice.state() == "reconnect"
    assert bench.tick() == 0
    bench.practice.credentials = Credentials(bench.account.provider, username="u", secret=grant(bench.account))
    bench.practice.now = bench.now
    bench.practice.connect()
    bench.tick()
    assert len(bench.channels("open")) == 1
    bench.change()
    bench.doorbell.settle(bench.account)
    assert bench.pulls() == 1
    assert bench.practice.rows(Connection)[0].state == "ok"
    assert [r.state for r in bench.practice.rows(Review, Review.kind == "reconnect")] == ["approved"]


def test_the_same_on_the_other_database(database: Database, doorbell: Doorbell) -> None:
    with account_at("google") as account:
        bench = Bench(database, account, doorbell)
        bench.tick()
        bench.later(days=3.5)
        bench.tick()
        assert len(bench.channels("open")) == 1
        bench.change()
        bench.doorbell.settle(account)
        assert bench.pulls() == 1
        bench.accounts.assign(bench.id, busy=False, now=bench.now)
        bench.tick()
        assert account.open_channels() == 0


# --- what the accounts tell beside ------------------------------------------------------------------------------------


def test_whole_days_are_the_operators_days_where_the_calendar_has_no_zone(sqlite: Database) -> None:
    """Graph names no zone of a calendar; a day that was written in UTC is a day in Auckland all the same."""
    with account_at("microsoft") as account:
        practice = Practice(sqlite, Credentials("microsoft", username="u", secret=grant(account)))
        with sqlite.transaction() as tx:
            tx.execute(sa.update(Operator).values(timezone="Pacific/Auckland"))
        practice.accounts = Accounts(sqlite, Vault("a key that is only for tests"), account.endpoints)
        practice.now = clock.now()
        practice.connect()
        (calendar,) = practice.rows(Calendar, Calendar.primary)
        assert calendar.timezone == "Pacific/Auckland"
        practice.assign(calendar.id, busy=True)
        account.control.create_event("Away", "2027-01-11", "2027-01-12", zone="UTC", all_day=True, show_as="busy")
        practice.work()
        practice.pull(calendar.id)
        assert practice.busy() == [(datetime(2027, 1, 10, 11, tzinfo=UTC), datetime(2027, 1, 11, 11, tzinfo=UTC))]
        practice.connect()  # the same zone again: nothing is forgotten
        assert practice.calendar(calendar.id).pulled_at is not None
