"""The mailbox as threads of a process: one reads, a crash repeats nothing, a stranger's mail stops nobody."""

from __future__ import annotations

import smtplib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
import sqlalchemy as sa

from connectors.emulators.radicale import free_port
from connectors.errors import Unreachable
from connectors.mail.mailbox import IncomingMail
from ledger import observe, outbox, reviews
from ledger.db import Database
from ledger.settings import BadSettings
from ledger.tables import InboundMail
from sync import replies
from tests.support.eml import MAIL_FROM, TAG, load
from tests.support.imapd import ImapServer
from tests.support.worlds import world_of
from workers import inbound
from workers.inbound import InboundMailbox
from workers.world import World


def eventually(true: Callable[[], bool], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def world(database: Database, folder: Path, url: str) -> World:
    made = world_of(database, folder)
    return replace(made, settings=replace(made.settings, inbound_mail_url=url, mail_from=MAIL_FROM))


@contextmanager
def reading(of: World) -> Iterator[InboundMailbox]:
    mailbox = InboundMailbox(of)
    mailbox.start()
    try:
        yield mailbox
    finally:
        started = time.monotonic()
        mailbox.stop()
        assert time.monotonic() - started < 3


def facts(database: Database) -> list[str]:
    with database.reading() as tx:
        return sorted(row["kind"] for row in outbox.listing(tx))


def taken(database: Database) -> int:
    with database.reading() as tx:
        return int(tx.execute(sa.select(sa.func.count()).select_from(InboundMail)).scalar_one())


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbound, "LOOK_EVERY", 0.05)
    monkeypatch.setattr(inbound, "AGAIN_AFTER", 0.1)


def test_a_folder_is_read_once_and_gone_on_with_behind_the_cursor(database: Database, tmp_path: Path) -> None:
    with ImapServer() as server:
        of = world(database, tmp_path, server.url)
        server.folder.deliver(load("gmail_accepted"))
        with reading(of):
            eventually(lambda: facts(database) == ["ClientReply"])
            server.folder.deliver(load("bounce_permanent"))
            eventually(lambda: len(facts(database)) == 2)
        server.folder.deliver(load("vacation"))
        with reading(of):
            eventually(lambda: taken(database) == 3)
        assert facts(database) == ["ClientReply", "MailBounced"]
        with database.reading() as tx:
            assert replies.cursor_of(tx, replies.mailbox_key(server.url)) != ""


def test_a_rebuilt_folder_is_the_same_mail(sqlite: Database, tmp_path: Path) -> None:
    with ImapServer() as server:
        of = world(sqlite, tmp_path, server.url)
        server.folder.deliver(load("gmail_accepted"))
        with reading(of):
            eventually(lambda: taken(sqlite) == 1)
        server.folder.rebuild(2)
        server.folder.deliver(load("exchange_declined"))
        with reading(of):
            eventually(lambda: taken(sqlite) == 2)
        assert facts(sqlite) == ["ClientDeclined", "ClientReply"]


def test_two_processes_read_one_after_the_other(database: Database, tmp_path: Path) -> None:
    port = free_port()
    of = world(database, tmp_path, f"lmtp://127.0.0.1:{port}")
    first, second = InboundMailbox(of), InboundMailbox(of)
    first.start()
    eventually(lambda: delivered(port, load("gmail_accepted")))
    second.start()
    time.sleep(0.3)
    assert readers() == 1
    first.stop()
    eventually(lambda: delivered(port, load("exchange_declined")))
    second.stop()
    assert readers() == 0
    assert facts(database) == ["ClientDeclined", "ClientReply"]


def readers() -> int:
    return sum(thread.name == "mailbox-reader" for thread in threading.enumerate())


def delivered(port: int, raw: bytes) -> bool:
    try:
        with smtplib.LMTP("127.0.0.1", port, local_hostname="mx.example", timeout=5) as client:
            client.sendmail("kata@example.org", [f"bookings+{TAG}@svc.example"], raw)
    except OSError:
        return False
    return True


def test_a_port_that_is_taken_is_tried_again(sqlite: Database, tmp_path: Path) -> None:
    port = free_port()
    with reading(world(sqlite, tmp_path, f"lmtp://127.0.0.1:{port}")):
        eventually(lambda: readers() == 1)
        other = world(sqlite, tmp_path, f"lmtp://127.0.0.1:{port}")
        with reading_as_leader(other):
            time.sleep(0.3)
        eventually(lambda: delivered(port, load("gmail_accepted")))


def asked(database: Database) -> list[tuple[str, str]]:
    with database.reading() as tx:
        return [(row["kind"], row["detail"]["reply"]) for row in reviews.listing(tx)]


def test_who_runs_it_is_asked_while_the_login_is_refused(database: Database, tmp_path: Path) -> None:
    with ImapServer() as server:
        of = world(database, tmp_path, server.url)
        server.folder.password = "changed"
        with reading(of):
            eventually(lambda: asked(database) == [("mailbox", "the mailbox refuses the login")])
            assert observe.mailbox_open._value.get() == 0
            server.folder.password = "secret"
            eventually(lambda: asked(database) == [])
            assert observe.mailbox_open._value.get() == 1
    with database.reading() as tx:
        (settled,) = reviews.listing(tx, state="approved")
    assert (settled["operator_id"], settled["booking_id"]) == (0, None)


def test_a_server_that_is_away_for_a_moment_is_no_matter(sqlite: Database, tmp_path: Path, now: datetime) -> None:
    clock = SimpleNamespace(now=now)
    of = replace(world(sqlite, tmp_path, "lmtp://127.0.0.1:8024"), clock=lambda: clock.now)
    mailbox = InboundMailbox(of)
    for minutes, expected in ((0, 0), (14, 0), (1, 1), (5, 1)):
        clock.now += timedelta(minutes=minutes)
        mailbox._on_state(Unreachable("no connection"))
        assert len(asked(sqlite)) == expected
    mailbox._on_state(None)
    mailbox._on_state(Unreachable("no connection"))
    assert asked(sqlite) == []


@contextmanager
def reading_as_leader(of: World) -> Iterator[None]:
    class Always:
        def leads(self) -> bool:
            return True

        def resign(self) -> None:
            pass

    mailbox = InboundMailbox(of, leadership=Always())
    mailbox.start()
    yield
    mailbox.stop()


def test_the_ledger_being_away_leaves_the_mail_where_it_is(sqlite: Database, tmp_path: Path) -> None:
    mailbox = InboundMailbox(world(sqlite, tmp_path, "lmtp://127.0.0.1:8024"))
    broken = sa.event.listens_for(sqlite.engine, "begin")

    @broken
    def _away(_tx: object) -> None:
        raise sa.exc.OperationalError("begin", {}, Exception("away"))

    mail = IncomingMail("1", load("exchange_declined"))
    with pytest.raises(sa.exc.OperationalError):
        mailbox.take(mail)
    sa.event.remove(sqlite.engine, "begin", _away)
    mailbox.take(mail)
    assert facts(sqlite) == ["ClientDeclined"]


def test_a_mail_that_can_not_be_stored_stops_nobody(
    sqlite: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mailbox = InboundMailbox(world(sqlite, tmp_path, "lmtp://127.0.0.1:8024"))
    real = replies.fact_of

    def poisoned(incoming: object, **options: object) -> object:
        if getattr(incoming, "itip", None) is not None:
            raise ValueError("poison")
        return real(incoming, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(replies, "fact_of", poisoned)
    mailbox.take(IncomingMail("1", load("exchange_declined"), cursor="1:1"))
    assert (facts(sqlite), taken(sqlite)) == ([], 1)
    with sqlite.reading() as tx:
        assert tx.execute(sa.select(InboundMail.kind)).scalar_one() == "unreadable"
        assert replies.cursor_of(tx, replies.mailbox_key("lmtp://127.0.0.1:8024")) == "1:1"


def test_without_the_setting_nothing_runs_and_a_wrong_one_is_one_line(sqlite: Database, tmp_path: Path) -> None:
    before = threading.active_count()
    with reading(world(sqlite, tmp_path, "")):
        assert threading.active_count() == before
    with pytest.raises(BadSettings, match="INBOUND_MAIL_URL") as refused:
        InboundMailbox(world(sqlite, tmp_path, "lmtp://me:secret@127.0.0.1:8024"))
    assert "secret" not in str(refused.value)
