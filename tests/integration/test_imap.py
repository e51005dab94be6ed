"""A real Dovecot: mail goes in by its LMTP and is read by our IMAP; and its replies come to our LMTP."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator

import pytest

from connectors.mail.imip_incoming import Kind, parse_incoming
from connectors.mail.mailbox import open_inbound
from tests.support.dovecot import Dovecot, needs_dovecot, running
from tests.support.eml import MAIL_FROM, TAG, load
from tests.support.listening import Listening

pytestmark = needs_dovecot


@pytest.fixture(scope="module")
def dovecot() -> Iterator[Dovecot]:
    with running() as server:
        yield server


def test_replies_arrive_within_seconds_and_are_understood(dovecot: Dovecot) -> None:
    with Listening(open_inbound(dovecot.url)) as heard:
        heard.until(lambda now: now.states == [None])
        before = len(heard.mails)
        started = time.monotonic()
        dovecot.deliver(load("exchange_declined"), f"bookings+{TAG}@svc.example")
        mail = heard.wait_for(before + 1)[-1]
        assert time.monotonic() - started < 10
        found = parse_incoming(mail.raw, MAIL_FROM, recipients=mail.recipients)
        assert (found.kind, found.tag) == (Kind.REPLY, TAG)
        dovecot.deliver(load("bounce_permanent"), MAIL_FROM)
        bounce = parse_incoming(heard.wait_for(before + 2)[-1].raw, MAIL_FROM)
        assert bounce.kind is Kind.BOUNCE


def test_dovecots_own_header_tells_the_tagged_recipient(dovecot: Dovecot) -> None:
    with Listening(open_inbound(dovecot.url)) as heard:
        heard.until(lambda now: now.states == [None])
        hidden = b"From: a@b.example\r\nTo: undisclosed-recipients:;\r\nSubject: hidden\r\n\r\nx\r\n"
        dovecot.deliver(hidden, f"bookings+{TAG}@svc.example")
        heard.until(lambda now: any(b"Subject: hidden" in mail.raw for mail in now.mails))
    found = parse_incoming(heard.mails[-1].raw, MAIL_FROM)
    assert (found.tag, found.tag_from) == (TAG, "delivered-to")


def test_reading_again_gives_the_same_ids_and_goes_on_behind_the_cursor(dovecot: Dovecot) -> None:
    for number in range(25):
        dovecot.deliver(b"Subject: %d\r\n\r\nx\r\n" % number, MAIL_FROM)
    runs = []
    for _ in range(2):
        with Listening(open_inbound(dovecot.url)) as heard:
            heard.until(lambda now: any(b"Subject: 24\r" in mail.raw for mail in now.mails))
            runs.append([(mail.id, mail.digest) for mail in heard.mails])
    assert runs[0] == runs[1]
    middle = heard.mails[len(heard.mails) // 2]
    with Listening(open_inbound(dovecot.url), middle.cursor) as rest:
        rest.until(lambda now: any(b"Subject: 24\r" in mail.raw for mail in now.mails))
    assert [mail.id for mail in rest.mails] == [mail_id for mail_id, _ in runs[0]][len(heard.mails) // 2 + 1 :]


def test_mail_stays_new_for_whoever_else_reads_the_folder(dovecot: Dovecot) -> None:
    dovecot.deliver(b"Subject: untouched\r\n\r\nx\r\n", MAIL_FROM)
    with Listening(open_inbound(dovecot.url)) as heard:
        heard.until(lambda now: any(b"Subject: untouched" in mail.raw for mail in now.mails))
    flags = [
        path.name
        for path in (dovecot.base / "mail" / "bookings").rglob("cur/*")
        if "S" in path.name.partition(":2,")[2]
    ]
    assert flags == []


def test_a_restart_of_the_server_loses_nothing(dovecot: Dovecot) -> None:
    with Listening(open_inbound(dovecot.url)) as heard:
        heard.until(lambda now: now.states == [None])
        kicked = subprocess.run(
            ["doveadm", "-c", str(dovecot.base / "dovecot.conf"), "kick", "bookings"], capture_output=True, timeout=20
        )
        assert kicked.returncode == 0, kicked.stderr.decode()
        heard.until(lambda now: any(state is not None for state in now.states))
        dovecot.deliver(b"Subject: after the kick\r\n\r\nx\r\n", MAIL_FROM)
        heard.until(lambda now: any(b"after the kick" in mail.raw for mail in now.mails), timeout=30)
    ids = [mail.id for mail in heard.mails]
    assert len(ids) == len(set(ids))
