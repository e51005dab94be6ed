"""A mail is stored, sent and noted; whatever happens in between, a repeat is the same message."""

from __future__ import annotations

import email
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from email import policy
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from booking import queries, reminders
from connectors.emulators.mailbox import Fault, SmtpCatcher, Stage
from connectors.mail.imip import open_outgoing
from connectors.mail.outgoing import OutcomeUnknown, Outgoing, Receipt
from connectors.mail.smtp import SmtpOutgoing
from connectors.mail.url import MailURL
from ledger import deliveries, outbox, reviews, timeline
from ledger.backoff import GIVE_UP_AFTER
from ledger.db import Database
from ledger.messages import PullCalendar, SendMail
from tests.support.practice import Practice
from tests.support.worlds import states, world_of
from workers.actors import run_message
from workers.mail import LONG_AWAY, send_mail
from workers.world import World

BOOKED = SendMail("b1", 0, "booked", "client")


@pytest.fixture
def catcher() -> Iterator[SmtpCatcher]:
    with SmtpCatcher() as server:
        yield server


class Clerk:
    """The practice with a booking, and the messages that are sent about it."""

    def __init__(self, database: Database, folder: Path, now: datetime, outgoing: Outgoing) -> None:
        self.moment = now
        self.database = database
        self.world: World = world_of(
            database, folder, handlers={SendMail: send_mail}, outgoing=outgoing, now=lambda: self.moment
        )
        with database.transaction() as tx:
            self.practice = Practice(tx, now)
            self.operator_id = self.practice.operator_id
            self.practice.booking("b1")

    def ask(self, message: SendMail = BOOKED) -> int:
        scope = outbox.Scope(
            self.operator_id, 1, 1, None if message.booking_id.startswith("entry:") else message.booking_id
        )
        with self.database.transaction() as tx:
            outbox.append(tx, message, now=self.moment, scope=scope, cause="test")
        return self.lease()

    def lease(self) -> int:
        with self.database.transaction() as tx:
            ((row_id, _),) = outbox.lease(tx, now=self.moment)
        return row_id

    def send(self, message: SendMail = BOOKED) -> int:
        row_id = self.ask(message)
        run_message(self.world, row_id)
        return row_id

    def again(self) -> None:
        self.moment += timedelta(hours=1)
        run_message(self.world, self.lease())

    def delivery(self, sequence: int = 0, about: str = "booked") -> deliveries.Prepared | None:
        with self.database.reading() as tx:
            return deliveries.find(tx, booking_id="b1", audience="client", kind=about, sequence=sequence)

    def change(self, **values: Any) -> None:
        with self.database.transaction() as tx:
            self.practice.tx = tx
            self.practice.change("b1", **values)

    def shown(self) -> str:
        """The state of the booking's first mail, as its client sees it."""
        with self.database.reading() as tx:
            return str(queries.booking_view(tx, "b1", self.world.terms)["deliveries"][0]["state"])

    def told(self, reader: str = "client") -> list[tuple[str, str]]:
        with self.database.reading() as tx:
            return [(line["what"], line["detail"]["about"]) for line in timeline.of_booking(tx, "b1", reader=reader)]


@pytest.fixture
def clerk(database: Database, tmp_path: Path, now: datetime, catcher: SmtpCatcher) -> Iterator[Clerk]:
    url = MailURL.parse(catcher.url, schemes={"smtp": 25}, options=("tls",))
    outgoing = SmtpOutgoing(url, final_timeout=0.5)
    yield Clerk(database, tmp_path, now, outgoing)
    outgoing.close()


def test_a_mail_is_handed_over_once_and_everybody_can_see_it(clerk: Clerk, catcher: SmtpCatcher) -> None:
    row_id = clerk.send()
    run_message(clerk.world, row_id)
    (caught,) = catcher.messages
    assert caught.recipients == ("kata@example.org",)
    assert caught.sender == clerk.world.settings.mail_from
    message = email.message_from_bytes(caught.raw)
    calendar = next(part for part in message.walk() if part.get_content_type() == "text/calendar")
    assert b"METHOD:REQUEST" in calendar.get_payload(decode=True)  # type: ignore[operator]
    stored = clerk.delivery()
    assert stored is not None
    assert (stored.state, stored.message, stored.message_id) == ("handed_over", None, caught.message_id)
    assert clerk.told() == [("mail_handed_over", "booked")]
    assert states(clerk.database) == {}


def test_before_it_is_sent_its_very_bytes_are_stored(clerk: Clerk, catcher: SmtpCatcher) -> None:
    seen: list[deliveries.Prepared | None] = []
    send = clerk.world.outgoing.send

    class Looking:
        def send(self, raw: bytes, *, sender: str, recipient: str) -> Receipt:
            seen.append(clerk.delivery())
            return send(raw, sender=sender, recipient=recipient)

        def close(self) -> None:
            pass

    object.__setattr__(clerk.world, "outgoing", Looking())
    clerk.send()
    (before,) = seen
    assert before is not None
    assert before.state == "prepared"
    assert before.message == catcher.messages[0].raw


FAULTS = {
    "refuses for now": (Fault(Stage.RCPT, reply="451 4.7.1 later"), False),
    "refuses the message for now": (Fault(Stage.ACCEPT, reply="452 4.3.1 full"), False),
    "delays": (Fault(Stage.ANSWER, delay=2.0), True),
    "drops the line before DATA": (Fault(Stage.DATA, drop=True), False),
    "drops the line after DATA, unkept": (Fault(Stage.ACCEPT, drop=True), False),
    "drops the line after DATA, kept": (Fault(Stage.ANSWER, drop=True), True),
    "dies between acceptance and answer": (Fault(Stage.ANSWER, die=True), True),
    "dies before acceptance": (Fault(Stage.ACCEPT, die=True), False),
}
"""What a server does → has it kept the message?"""


@pytest.mark.parametrize(("fault", "kept"), FAULTS.values(), ids=FAULTS)
def test_a_repeat_is_the_same_message_whatever_has_changed_since(
    clerk: Clerk, catcher: SmtpCatcher, fault: Fault, kept: bool
) -> None:
    catcher.script(replace(fault, times=1))
    clerk.send()
    assert list(states(clerk.database).values()) == ["waiting"]
    assert clerk.told() == []
    clerk.change(client_name="Kata Kiss", answers={"phone": "+36 1 999"})  # the same revision in other words
    if fault.die:
        catcher.stop()
        catcher.start()
    clerk.again()
    assert len(catcher.messages) == (2 if kept else 1)
    assert len({caught.raw for caught in catcher.messages}) == 1
    assert len({caught.message_id for caught in catcher.messages}) == 1
    assert b"Kata Nagy" in catcher.messages[0].raw
    assert clerk.told() == [("mail_handed_over", "booked")]


def test_what_is_out_of_date_is_not_said(clerk: Clerk, catcher: SmtpCatcher) -> None:
    clerk.change(revision=1)
    clerk.send()
    assert (catcher.messages, clerk.delivery(), clerk.told(), states(clerk.database)) == ([], None, [], {})


def test_what_became_out_of_date_while_waiting_is_not_repeated(clerk: Clerk, catcher: SmtpCatcher) -> None:
    catcher.defer()
    clerk.send()
    clerk.change(revision=1)
    clerk.again()
    stored = clerk.delivery()
    assert stored is not None
    assert (stored.state, stored.message, catcher.messages) == ("superseded", None, [])
    assert states(clerk.database) == {}


def test_an_address_that_is_refused_asks_for_a_human_and_is_not_tried_again(clerk: Clerk, catcher: SmtpCatcher) -> None:
    catcher.refuse_recipient("kata@example.org", 550)
    row_id = clerk.send()
    assert row_id not in states(clerk.database)
    stored = clerk.delivery()
    assert stored is not None
    assert (stored.state, stored.message) == ("refused", None)
    assert clerk.told() == [("mail_refused", "booked")]
    with clerk.database.reading() as tx:
        (review,) = reviews.listing(tx, operator_id=clerk.operator_id)
    assert (review["kind"], review["booking_id"], review["detail"]["about"]) == ("failed_address", "b1", "booked")
    run_message(clerk.world, clerk.lease())
    (told,) = catcher.messages
    assert told.recipients == ("anna@practice.example",)


def test_an_operator_is_told_once_of_an_address_that_takes_no_mail(clerk: Clerk, catcher: SmtpCatcher) -> None:
    with clerk.database.transaction() as tx:
        clerk.practice.tx = tx
        clerk.practice.booking("b2", client_email="KATA@example.org")
        clerk.practice.booking("b3", client_email="lena@example.org")
    catcher.refuse_recipient("kata@example.org")
    catcher.refuse_recipient("KATA@example.org")
    catcher.refuse_recipient("lena@example.org")
    for booking in ("b1", "b2", "b3"):
        run_message(clerk.world, clerk.ask(SendMail(booking, 0, "booked", "client")))
        with clerk.database.transaction() as tx:
            for row_id, _ in outbox.lease(tx, now=clerk.moment):
                told = row_id
        run_message(clerk.world, told)
    with clerk.database.reading() as tx:
        assert [r["booking_id"] for r in reviews.listing(tx)] == ["b1", "b3"]
    assert [caught.recipients for caught in catcher.messages] == [("anna@practice.example",)] * 2


def test_the_operators_own_bad_address_is_no_review_and_no_word_to_the_client(
    clerk: Clerk, catcher: SmtpCatcher
) -> None:
    catcher.refuse_recipient()
    clerk.send(SendMail("b1", 0, "booked", "operator"))
    with clerk.database.reading() as tx:
        assert reviews.listing(tx) == []
    assert clerk.told("client") == []
    assert clerk.told("operator") == [("mail_refused", "booked")]


def asked(clerk: Clerk) -> list[tuple[str, int, str]]:
    with clerk.database.reading() as tx:
        return [(r["kind"], r["operator_id"], r["detail"]["reply"]) for r in reviews.listing(tx)]


def test_a_login_that_is_refused_is_told_at_once_and_put_away_when_mail_goes(
    clerk: Clerk, catcher: SmtpCatcher
) -> None:
    catcher.script(Fault(Stage.MAIL, reply="535 5.7.8 Wrong password", times=2))
    clerk.send()
    assert asked(clerk) == [("unsent_mail", 0, "login: 535 5.7.8 Wrong password")]
    assert clerk.shown() == "prepared"
    clerk.again()
    assert len(asked(clerk)) == 1
    clerk.again()
    assert (asked(clerk), clerk.shown(), len(catcher.messages)) == ([], "handed_over", 1)


def test_a_server_that_is_away_is_told_of_after_a_while(clerk: Clerk, catcher: SmtpCatcher) -> None:
    catcher.stop()
    clerk.send()
    for _ in range(2, LONG_AWAY):
        clerk.again()
        assert asked(clerk) == []
    clerk.again()
    assert [kind for kind, _, _ in asked(clerk)] == ["unsent_mail"]
    catcher.start()
    clerk.again()
    assert (asked(clerk), clerk.shown()) == ([], "handed_over")


def test_one_address_that_is_busy_for_long_is_nobodys_matter(clerk: Clerk, catcher: SmtpCatcher) -> None:
    catcher.script(Fault(Stage.RCPT, reply="452 4.2.2 Mailbox full", times=None))
    clerk.send()
    for _ in range(LONG_AWAY + 1):
        clerk.again()
    assert asked(clerk) == []


REFUSALS = {
    "sender": Fault(Stage.MAIL, reply="550 5.7.1 Sender refused"),
    "relaying": Fault(Stage.RCPT, reply="554 5.7.1 Relay access denied"),
    "size": Fault(Stage.ACCEPT, reply="552 5.3.4 Message too big"),
    "policy": Fault(Stage.ACCEPT, reply="554 5.7.1 looks like spam"),
}


@pytest.mark.parametrize("fault", REFUSALS.values(), ids=REFUSALS)
def test_what_is_not_the_addresss_fault_is_parked_told_once_and_a_retry_sends_the_same_bytes(
    clerk: Clerk, catcher: SmtpCatcher, fault: Fault
) -> None:
    catcher.script(replace(fault, times=2))
    row_id = clerk.send()
    assert states(clerk.database) == {row_id: "parked"}
    stored = clerk.delivery()
    assert stored is not None
    assert stored.state == "prepared"
    assert clerk.shown() == "stuck"
    assert clerk.told() == []
    assert clerk.told("operator") == [("mail_stuck", "booked")]
    with clerk.database.transaction() as tx:
        clerk.practice.tx = tx
        clerk.practice.booking("b2")
    clerk.send(SendMail("b2", 0, "booked", "client"))
    with clerk.database.reading() as tx:
        (review,) = reviews.listing(tx)
    assert (review["kind"], review["detail"]["reply"]) == ("unsent_mail", fault.reply)
    with clerk.database.transaction() as tx:
        outbox.retry(tx, row_id, now=clerk.moment)
    run_message(clerk.world, clerk.lease())
    assert [caught.raw for caught in catcher.messages] == [stored.message]
    assert clerk.shown() == "handed_over"


def test_a_server_that_is_away_for_too_long_is_told_of(clerk: Clerk, catcher: SmtpCatcher) -> None:
    catcher.defer(times=100)
    row_id = clerk.send()
    for _ in range(GIVE_UP_AFTER - 1):
        assert states(clerk.database) == {row_id: "waiting"}
        assert clerk.shown() == "prepared"
        clerk.again()
    assert states(clerk.database) == {row_id: "parked"}
    assert clerk.shown() == "stuck"
    with clerk.database.reading() as tx:
        assert [r["kind"] for r in reviews.listing(tx)] == ["unsent_mail"]
    with clerk.database.transaction() as tx:
        outbox.retry(tx, row_id, now=clerk.moment)
    run_message(clerk.world, clerk.lease())
    assert clerk.shown() == "prepared"  # it is tried again


def test_somebody_waiting_gets_mail_too(clerk: Clerk, catcher: SmtpCatcher) -> None:
    with clerk.database.transaction() as tx:
        clerk.practice.tx = tx
        entry_id = clerk.practice.waiting()
    catcher.refuse_recipient(times=1)
    message = SendMail(f"entry:{entry_id}", 0, "waitlisted", "client")
    clerk.send(message)
    with clerk.database.reading() as tx:
        (review,) = reviews.listing(tx)
    assert review["booking_id"] is None
    run_message(clerk.world, clerk.lease())
    assert [caught.recipients for caught in catcher.messages] == [("anna@practice.example",)]  # whose place it is
    clerk.send(SendMail(f"entry:{entry_id}", 1, "waitlisted", "client"))
    assert catcher.messages[-1].recipients == ("jon@example.org",)


def test_an_unknown_outcome_keeps_the_bytes(sqlite: Database, tmp_path: Path, now: datetime) -> None:
    class Breaking:
        def send(self, raw: bytes, *, sender: str, recipient: str) -> Receipt:
            raise OutcomeUnknown

        def close(self) -> None:
            pass

    clerk = Clerk(sqlite, tmp_path, now, Breaking())
    clerk.send()
    stored = clerk.delivery()
    assert stored is not None
    assert stored.state == "prepared"
    assert stored.message
    assert list(states(sqlite).values()) == ["waiting"]


def test_nothing_else_is_mail(sqlite: Database, tmp_path: Path, now: datetime, catcher: SmtpCatcher) -> None:
    clerk = Clerk(sqlite, tmp_path, now, open_outgoing(catcher.url))
    leased = outbox.Leased(1, PullCalendar(1), "x", 1, "", outbox.Scope(), now)
    with pytest.raises(TypeError):
        send_mail(clerk.world, leased)


def test_a_reminders_link_proves_who_reads_the_mail(clerk: Clerk, catcher: SmtpCatcher) -> None:
    clerk.send(SendMail("b1", 0, "reminder", "client"))
    with clerk.database.reading() as tx:
        claim = reminders.claim_of(tx, "b1")
    assert clerk.delivery(about="reminder") is not None
    told = email.message_from_bytes(catcher.messages[0].raw, policy=policy.default)
    link = parse_qs(urlsplit(str(told["List-Unsubscribe"]).strip("<>")).query)
    assert clerk.world.vault.signed(claim, reminders.PURPOSE, link["proof"][0])
