"""The doctor: each kind of trouble is made on purpose, found, mended by ordinary messages, and then gone.

Covers: sync.reconcile, sync.findings, sync.symptoms.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from connectors.emulators.radicale import RunningServer
from connectors.errors import Refused, Unreachable
from ledger import outbox, pauses
from ledger.db import Database
from ledger.entries import key_of, next_key
from ledger.messages import OpenChannel, PullCalendar, PushEvent, RemoteOverlap, SendMail
from ledger.tables import Calendar, Channel, Connection, Deployment, OutboxMessage, Review
from sync.findings import Finding, Kind
from sync.reconcile import examine
from tests.support import books
from tests.support.practices import Practice, at
from tests.support.servers import OtherClient, credentials, radicale


@dataclass
class Bench:
    """A practice whose calendar can be changed behind the ledger's back. get, put, delete: an object by its href."""

    practice: Practice
    calendar: int
    get: Callable[[str], bytes]
    put: Callable[[str, bytes], Any]
    delete: Callable[[str], Any]
    names: Callable[[], set[str]]

    def examine(self) -> list[Finding]:
        return examine(self.practice.accounts, now=self.practice.now, poll_seconds=300)

    def kinds(self) -> list[str]:
        return [finding.kind.value for finding in self.examine()]

    def repair(self) -> list[Finding]:
        """Do what the plan says, and let the workers work."""
        found = self.examine()
        for finding in found:
            if finding.remedy is not None:
                with self.practice.database.transaction() as tx:
                    finding.remedy(tx, self.practice.now)
        self.practice.work()
        return found

    def book(self, hour: float = 10) -> Any:
        slot = self.practice.book(at(hour))
        self.practice.work()
        assert self.examine() == []
        return self.practice.event(slot)

    def edit(self, href: str, pattern: str, text: str) -> None:
        raw = self.get(href)
        changed = re.sub(pattern.encode(), text.encode(), raw)
        assert changed != raw
        self.put(href, changed)


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with radicale() as running:
        yield running


def in_memory(database: Database) -> Bench:
    practice = Practice(database)
    there = practice.server.add_calendar("work")
    memory = practice.server
    calendar = practice.connect()["work"]
    return Bench(
        practice, calendar, lambda href: memory.raw(there, href), lambda href, raw: memory.put(there, raw, href),
        lambda href: memory.remove(there, href), lambda: set(memory.hrefs(there)),
    )  # fmt: skip


def on_radicale(database: Database, server: RunningServer) -> Bench:
    url = server.make_calendar("anna", f"work-{id(database)}")
    app = OtherClient(url)
    practice = Practice(database, credentials(server.url))
    [calendar] = [row.id for row in map(practice.calendar, practice.connect().values()) if row.href in f"{url}/"]
    name = lambda href: href.rpartition("/")[2]  # noqa: E731
    return Bench(
        practice, calendar, lambda href: app.get(name(href)) or b"", lambda href, raw: app.put(name(href), raw),
        lambda href: app.delete(name(href)), app.names,
    )  # fmt: skip


@pytest.fixture(params=["memory", "radicale"])
def bench(request: pytest.FixtureRequest, sqlite: Database, server: RunningServer) -> Bench:
    made = in_memory(sqlite) if request.param == "memory" else on_radicale(sqlite, server)
    made.practice.assign(made.calendar, bookings=True, busy=True)
    made.practice.work()
    return made


@pytest.fixture
def desk(database: Database) -> Bench:
    """On each database, for what the ledger alone tells."""
    made = in_memory(database)
    made.practice.assign(made.calendar, bookings=True, busy=True)
    made.practice.work()
    return made


# --- calendars --------------------------------------------------------------------------------------------------------


def test_where_all_is_well_nothing_is_found_and_nothing_changes(bench: Bench) -> None:
    bench.book()
    bench.practice.unwish(bench.practice.book(at(14)))
    bench.practice.work()
    with bench.practice.database.reading() as tx:
        before = tx.execute(sa.select(OutboxMessage.id, OutboxMessage.state)).all()
    assert bench.examine() == []
    with bench.practice.database.reading() as tx:
        assert tx.execute(sa.select(OutboxMessage.id, OutboxMessage.state)).all() == before


def test_a_missing_event_is_put_again(bench: Bench) -> None:
    event = bench.book()
    bench.delete(event.href)
    [found] = bench.repair()
    assert (found.kind, found.about, found.remedy is not None) == (Kind.MISSING, f"slot {event.slot_id}", True)
    again = bench.practice.event(event.slot_id)
    assert again.key == next_key(event.key)
    assert len(bench.names()) == 1
    assert bench.examine() == []


def test_an_event_that_was_never_written_is_written(bench: Bench) -> None:
    slot = bench.practice.book(at(10))
    with bench.practice.database.transaction() as tx:
        tx.execute(sa.delete(OutboxMessage).where(OutboxMessage.kind == "PushEvent"))
    assert [f.kind for f in bench.repair()] == [Kind.MISSING]
    assert bench.practice.event(slot).state == "confirmed"
    assert bench.examine() == []


def test_an_event_at_a_wrong_time_is_put_back(bench: Bench) -> None:
    event = bench.book(10)
    bench.edit(event.href, r"T100000", "T130000")
    bench.edit(event.href, r"T110000", "T140000")
    [found] = bench.repair()
    assert found.kind is Kind.WRONG_TIME
    assert "13:00Z" in found.detail
    assert b"T100000" in bench.get(bench.practice.event(event.slot_id).href)
    assert bench.examine() == []


def test_a_wrong_sequence_is_written_again(bench: Bench) -> None:
    event = bench.book()
    bench.practice.wish(event.slot_id, at(12))
    bench.practice.work()
    event = bench.practice.event(event.slot_id)
    bench.edit(event.href, r"SEQUENCE:1", "SEQUENCE:0")
    assert [f.kind for f in bench.repair()] == [Kind.WRONG_SEQUENCE]
    assert b"SEQUENCE:1" in bench.get(event.href)
    assert bench.examine() == []


def test_an_operators_app_that_moves_an_event_and_leaves_its_sequence_is_right(bench: Bench) -> None:
    event = bench.book(10)
    bench.edit(event.href, r"T100000", "T130000")
    bench.edit(event.href, r"T110000", "T140000")
    bench.practice.now += timedelta(minutes=1)
    bench.practice.wish(event.slot_id, at(13), there=True)
    bench.practice.work()
    assert bench.practice.event(event.slot_id).sequence == 1
    assert b"SEQUENCE:0" in bench.get(event.href)
    assert bench.examine() == []


def test_a_second_event_is_removed(bench: Bench) -> None:
    event = bench.book()
    twin = event.href.replace(".ics", "-again.ics")
    bench.put(twin, bench.get(event.href).replace(b"UID:", b"UID:again-"))
    assert [f.kind for f in bench.repair()] == [Kind.DUPLICATE]
    assert {name.rpartition("/")[2] for name in bench.names()} == {event.href.rpartition("/")[2]}
    assert bench.examine() == []


def test_a_copy_at_another_time_is_the_operators_own(bench: Bench) -> None:
    event = bench.book(10)
    copy = (
        bench.get(event.href)
        .replace(b"UID:", b"UID:again-")
        .replace(b"T100000", b"T130000")
        .replace(b"T110000", b"T140000")
    )
    bench.put(event.href.replace(".ics", "-again.ics"), copy)
    assert bench.examine() == []


def test_an_event_that_nobody_wants_is_removed(bench: Bench) -> None:
    event = bench.book()
    raw = bench.get(event.href)
    bench.practice.unwish(event.slot_id)
    bench.practice.work()
    bench.put(event.href, raw)  # an old device brings it back
    assert [f.kind for f in bench.repair()] == [Kind.ORPHANED]
    assert bench.names() == set()
    assert bench.examine() == []


def test_an_event_from_before_a_restoration_is_named_and_left(bench: Bench) -> None:
    event = bench.book()
    with bench.practice.database.transaction() as tx:
        who = tx.execute(sa.select(Deployment.id)).scalar_one()
        tx.execute(sa.update(Deployment).values(generation=1))
    lost = key_of(who, 0, event.slot_id + 40).encode()
    bench.put(event.href.replace(event.key, lost.decode()), bench.get(event.href).replace(event.key.encode(), lost))
    [found] = bench.repair()
    assert (found.kind, found.remedy) == (Kind.ORPHANED, None)
    assert len(bench.names()) == 2


def test_events_of_other_deployments_are_none_of_our_business(bench: Bench) -> None:
    event = bench.book()
    theirs = key_of("somebody-else", 0, 1).encode()
    bench.put(event.href.replace(event.key, theirs.decode()), bench.get(event.href).replace(event.key.encode(), theirs))
    assert bench.examine() == []


def test_what_is_on_its_way_is_not_wrong(bench: Bench) -> None:
    event = bench.book()
    bench.delete(event.href)
    bench.practice.ask(PullCalendar(bench.calendar))
    bench.practice.work()
    assert bench.practice.event(event.slot_id).missing_since is not None
    assert bench.examine() == []
    bench.practice.book(at(14))  # wished for, not written yet
    assert bench.examine() == []


def test_what_is_over_is_left_alone(bench: Bench) -> None:
    event = bench.book()
    bench.delete(event.href)
    bench.practice.now = event.ends_at + timedelta(minutes=1)
    assert bench.kinds() == ["stale_calendar"]


def test_a_calendar_that_can_not_be_read_is_told_and_proves_nothing(desk: Bench) -> None:
    desk.book()
    desk.practice.server.fail_next(Unreachable("down"), times=9)
    [found] = desk.examine()
    assert (found.kind, "not readable" in found.detail, found.remedy) == (Kind.STALE_CALENDAR, True, None)


# --- what the ledger tells ----------------------------------------------------------------------------------------------


def mail(desk: Bench, state: str, late: timedelta = timedelta()) -> None:
    with desk.practice.database.transaction() as tx:
        outbox.append(
            tx, SendMail("b1", 0, "booked", "client"), now=desk.practice.now - late,
            scope=outbox.Scope(desk.practice.operator, booking_id="b1"),
        )  # fmt: skip
        tx.execute(
            sa.update(OutboxMessage).where(OutboxMessage.kind == "SendMail").values(state=state, last_error="Boom")
        )


def test_a_message_that_failed_for_good_is_tried_again(desk: Bench) -> None:
    mail(desk, "parked")
    [found] = desk.repair()
    assert (found.kind, "SendMail failed: Boom" in found.detail) == (Kind.UNSENT, True)
    [row] = desk.practice.rows(OutboxMessage, OutboxMessage.kind == "SendMail")
    assert row.state in ("waiting", "queued")
    assert desk.examine() == []


def test_a_write_that_was_given_up_is_tried_again_and_nobody_is_asked_any_more(desk: Bench) -> None:
    desk.practice.book(at(10))
    leased = desk.practice.begin(PushEvent)
    with desk.practice.database.transaction() as tx:
        outbox.fail(tx, leased, Refused("403 no"), now=desk.practice.now)
    assert len(desk.practice.reviews("unwritten_event")) == 1
    assert [found.kind for found in desk.repair()] == [Kind.UNSENT]
    assert desk.practice.reviews() == []
    assert desk.examine() == []


def test_a_message_that_nobody_takes_is_overdue(desk: Bench) -> None:
    mail(desk, "waiting", timedelta(hours=1))
    [found] = desk.examine()
    assert (found.kind, "overdue" in found.detail, found.remedy) == (Kind.UNSENT, True, None)


def test_what_a_pause_holds_is_not_overdue(desk: Bench) -> None:
    with desk.practice.database.transaction() as tx:
        pauses.pause(tx, scope="global", target="", automations=["push"], now=desk.practice.now)
    desk.practice.book(at(10))
    desk.practice.now += timedelta(minutes=14)
    with desk.practice.database.transaction() as tx:
        tx.execute(sa.update(OutboxMessage).values(not_before=desk.practice.now - timedelta(hours=1)))
        tx.execute(sa.update(Calendar).values(pulled_at=desk.practice.now))
    assert desk.examine() == []


def test_an_overlap_that_nobody_was_asked_about_is_asked(desk: Bench) -> None:
    event = desk.book(10)
    with desk.practice.database.transaction() as tx:
        books.busy(tx, desk.practice.operator, desk.calendar, at(10.5), at(12))
    assert [f.kind for f in desk.repair()] == [Kind.OVERLAP]
    assert desk.practice.facts("RemoteOverlap") == [RemoteOverlap(event.slot_id, at(10.5), at(12))]
    assert desk.examine() == []
    with desk.practice.database.transaction() as tx:
        tx.execute(sa.update(OutboxMessage).where(OutboxMessage.kind == "RemoteOverlap").values(state="done"))
    assert desk.kinds() == ["overlap"]  # nobody was asked after all
    with desk.practice.database.transaction() as tx:
        tx.execute(
            sa.insert(Review).values(
                kind="overlap", key="k", operator_id=desk.practice.operator, slot_id=event.slot_id, state="dismissed",
                created_at=desk.practice.now,
            )
        )  # fmt: skip
    assert desk.examine() == []


def test_a_stale_calendar_is_read(desk: Bench) -> None:
    desk.practice.now += timedelta(hours=3)
    assert [f.kind for f in desk.repair()] == [Kind.STALE_CALENDAR]
    assert desk.examine() == []


def test_a_lost_account_asks_for_a_human(desk: Bench) -> None:
    desk.practice.now += timedelta(hours=3)
    with desk.practice.database.transaction() as tx:
        tx.execute(sa.update(Connection).values(state="reconnect", state_detail="revoked"))
    [found] = desk.examine()
    assert ("revoked" in found.detail, found.remedy) == (True, None)


def test_a_calendar_without_its_channel_gets_one(desk: Bench) -> None:
    practice = desk.practice
    practice.accounts.hooks = "https://book.example"
    with practice.database.transaction() as tx:
        account = books.connection(tx, practice.operator, practice.now)
        tx.execute(sa.update(Connection).where(Connection.id == account).values(provider="google", state="ok"))
        calendar = books.calendar(tx, practice.operator, account, availability=True, pulled_at=practice.now)
        about = {
            "calendar_id": calendar,
            "provider": "google",
            "address": "x",
            "secret": "",
            "created_at": practice.now,
        }
        dead = {"state": "open", "expires_at": practice.now - timedelta(hours=1), "next_at": practice.now}
        tx.execute(sa.insert(Channel).values(id="a" * 32, **about, **dead))
    found = examine(practice.accounts, now=practice.now, poll_seconds=300)
    assert [(f.kind, f.about) for f in found] == [(Kind.DEAD_CHANNEL, f"calendar {calendar}")]
    with practice.database.transaction() as tx:
        assert found[0].remedy is not None
        found[0].remedy(tx, practice.now)
    [asked] = practice.rows(OutboxMessage, OutboxMessage.kind == OpenChannel.__name__)
    assert asked.body == {"calendar_id": calendar}
    with practice.database.transaction() as tx:
        later = {"expires_at": practice.now + timedelta(days=6), "state": "open"}
        tx.execute(sa.update(Channel).values(**later, silent=0))
    assert examine(practice.accounts, now=practice.now, poll_seconds=300) == []


def test_a_switched_off_account_is_not_examined(desk: Bench) -> None:
    event = desk.book()
    desk.delete(event.href)
    with desk.practice.database.transaction() as tx:
        tx.execute(sa.update(Connection).values(state="disabled"))
    desk.practice.now += timedelta(hours=3)
    assert desk.examine() == []


def test_remedies_are_ordinary_messages(bench: Bench) -> None:
    event = bench.book()
    bench.delete(event.href)
    [found] = bench.examine()
    with bench.practice.database.transaction() as tx:
        assert found.remedy is not None
        found.remedy(tx, bench.practice.now)
    live = bench.practice.rows(OutboxMessage, OutboxMessage.state == "waiting")
    assert [(row.kind, row.cause) for row in live] == [(PushEvent.__name__, "doctor")]
    assert bench.names() == set()  # nothing was written by the doctor itself
    assert bench.examine() == []  # it is on its way
