"""Answers that arrive in a real Dovecot are taken once, also those that came while nobody was reading."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from ledger import outbox
from ledger.db import Database
from ledger.tables import InboundMail
from tests.support.dovecot import Dovecot, needs_dovecot, running
from tests.support.eml import MAIL_FROM, TAG, load
from tests.support.service import wait_until
from tests.support.worlds import world_of
from workers.inbound import InboundMailbox
from workers.world import World

pytestmark = needs_dovecot


@pytest.fixture
def dovecot() -> Iterator[Dovecot]:
    with running() as server:
        yield server


def world(database: Database, folder: Path, url: str) -> World:
    made = world_of(database, folder)
    return replace(made, settings=replace(made.settings, inbound_mail_url=url, mail_from=MAIL_FROM))


def kinds(database: Database) -> list[str]:
    with database.reading() as tx:
        return [str(kind) for kind in tx.execute(sa.select(InboundMail.kind).order_by(InboundMail.id)).scalars()]


def test_a_restart_goes_on_where_it_was(database: Database, tmp_path: Path, dovecot: Dovecot) -> None:
    of = world(database, tmp_path, dovecot.url)
    ours = f"bookings+{TAG}@svc.example"
    dovecot.deliver(load("gmail_accepted"), ours)
    mailbox = InboundMailbox(of)
    mailbox.start()
    wait_until(lambda: kinds(database) == ["reply"], 20)
    mailbox.stop()
    dovecot.deliver(load("exchange_declined"), ours)
    dovecot.deliver(load("bounce_permanent"), MAIL_FROM)
    again = InboundMailbox(of)
    again.start()
    wait_until(lambda: len(kinds(database)) == 3, 20)
    again.stop()
    assert kinds(database) == ["reply", "reply", "bounce"]
    with database.reading() as tx:
        facts = [(row["kind"], row["body"]["tag"]) for row in reversed(outbox.listing(tx))]
    assert facts[:2] == [("ClientReply", TAG), ("ClientDeclined", TAG)]
    assert facts[2][0] == "MailBounced"
