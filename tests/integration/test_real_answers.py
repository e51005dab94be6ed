"""What Gmail, Outlook, Apple Mail and Thunderbird send back, through a real Dovecot into the ledger, and what becomes of it.

The messages are those of tests/data/mail, byte for byte but for the PARTSTAT where a test says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from booking.tables import Booking
from ledger import reviews, timeline
from ledger.db import Database
from ledger.messages import SendMail
from ledger.tables import Delivery, InboundMail
from tests.support.desk import Desk
from tests.support.dovecot import Dovecot, needs_dovecot, running
from tests.support.eml import MAIL_FROM, SENT, TAG, UID, answered, load
from tests.support.service import wait_until
from tests.support.worlds import world_of
from workers.inbound import InboundMailbox

pytestmark = needs_dovecot
OURS = f"bookings+{TAG}@svc.example"
START = datetime(2027, 1, 10, 9, tzinfo=UTC)
"""What the stored invitations are about, in its second revision."""
CLIENTS = {
    "gmail": "gmail_accepted",
    "outlook": "exchange_declined",
    "apple": "apple_tentative_attachment",
    "thunderbird": "thunderbird_accepted",
}


@dataclass
class Office:
    """A desk whose mailbox is a real one."""

    desk: Desk
    dovecot: Dovecot
    booking: str
    taken: int = 0

    def get(self, raw: bytes, to: str = OURS) -> None:
        """A mail arrives, is taken in, and acted upon."""
        self.dovecot.deliver(raw, to)
        self.taken += 1
        wait_until(lambda: len(self.kinds()) == self.taken, 30)
        self.desk.work()

    def kinds(self) -> list[str]:
        """What the mails were, in order."""
        with self.desk.database.reading() as tx:
            return [str(kind) for kind in tx.execute(sa.select(InboundMail.kind).order_by(InboundMail.id)).scalars()]

    @property
    def row(self) -> Any:
        return self.desk.seen(self.booking)

    def reviews(self) -> list[tuple[str, str]]:
        with self.desk.database.reading() as tx:
            return [(r["kind"], r["detail"].get("why", "")) for r in reviews.listing(tx)]

    def happened(self) -> list[str]:
        """The operator's timeline, since the booking stood as the mails know it."""
        with self.desk.database.reading() as tx:
            return [entry["what"] for entry in timeline.of_booking(tx, self.booking, reader="operator")][2:]

    def told(self, audience: str = "client") -> list[str]:
        asked = self.desk.messages(SendMail, booking_id=self.booking, audience=audience)
        return [m.about.partition(":")[0] for m in asked if isinstance(m, SendMail)][2:]


@pytest.fixture
def office(sqlite: Database, tmp_path: Path) -> Iterator[Office]:
    desk = Desk(sqlite, now=datetime(2027, 1, 3, 8, tzinfo=UTC))
    desk.open(talk={"hours": {day: ["08:00-18:00"] for day in ("sun", "mon")}})
    booking = desk.book(START.replace(hour=8), "clara")
    desk.reschedule(booking, START)
    with sqlite.transaction() as tx:  # as the mails know it
        tx.execute(sa.update(Booking).values(uid=UID, organizer_tag=TAG, client_email="clara.client@gmail.example"))
    desk.now = datetime(2027, 1, 4, 18, tzinfo=UTC)
    made = world_of(sqlite, tmp_path, now=lambda: desk.now)
    with running() as dovecot:
        settings = replace(made.settings, inbound_mail_url=dovecot.url, mail_from=MAIL_FROM)
        mailbox = InboundMailbox(replace(made, settings=settings))
        mailbox.start()
        yield Office(desk, dovecot, booking)
        mailbox.stop()


def test_the_stored_answers_as_they_are(office: Office) -> None:
    office.get(load("gmail_accepted"))
    assert (office.row.partstat, office.row.attendance_confirmed_at is not None) == ("ACCEPTED", True)
    office.get(load("apple_tentative_attachment"))
    assert (office.row.partstat, office.row.attendance_confirmed_at, office.row.status) == (
        "TENTATIVE",
        None,
        "confirmed",
    )
    office.get(load("thunderbird_accepted"))
    assert office.row.partstat == "ACCEPTED"
    office.get(load("apple_tentative_attachment"))  # once more, and said before that
    assert office.row.partstat == "ACCEPTED"
    assert office.kinds() == ["reply"] * 4
    assert office.reviews() == []


@pytest.mark.parametrize("client", CLIENTS)
def test_accept_maybe_and_decline(office: Office, client: str) -> None:
    name = CLIENTS[client]
    waiting = office.desk.join("vera", {"start": START})
    office.get(answered(name, "ACCEPTED"))
    assert (office.row.partstat, office.row.status) == ("ACCEPTED", "confirmed")
    assert office.row.attendance_confirmed_at is not None
    with office.desk.database.transaction() as tx:  # the next one comes with the same DTSTAMP
        tx.execute(
            sa.update(Booking).where(Booking.id == office.booking).values(reply_dtstamp=None, reply_sequence=None)
        )
    office.get(answered(name, "TENTATIVE"))
    assert (office.row.partstat, office.row.status, office.row.attendance_confirmed_at) == (
        "TENTATIVE",
        "confirmed",
        None,
    )
    with office.desk.database.transaction() as tx:
        tx.execute(
            sa.update(Booking).where(Booking.id == office.booking).values(reply_dtstamp=None, reply_sequence=None)
        )
    office.get(answered(name, "DECLINED"))
    assert (office.row.partstat, office.row.status, office.row.revision) == ("DECLINED", "cancelled", 2)
    assert office.desk.place(waiting)["status"] == "promoted"
    assert office.told() == ["cancelled_by_client"]
    written = ["words", "words"] if client == "outlook" else []  # what stands beside its yes and maybe
    assert office.told("operator") == [*written, "cancelled_by_client"]
    assert office.reviews() == []


@pytest.mark.parametrize("client", CLIENTS)
def test_delegating_asks_a_human_and_keeps_the_booking(office: Office, client: str) -> None:
    office.get(answered(CLIENTS[client], "DELEGATED"))
    assert (office.row.partstat, office.row.status) == ("DELEGATED", "confirmed")
    assert office.reviews() == [("reply", "delegated")]
    assert office.told() == []


@pytest.mark.parametrize("client", CLIENTS)
def test_the_same_answer_delivered_twice_changes_nothing(office: Office, client: str) -> None:
    raw = answered(CLIENTS[client], "DECLINED")
    office.get(raw)
    before = office.desk.view(office.booking, "admin")
    again = office.desk.book(START, "lena")
    office.get(raw)  # other bytes: each delivery writes its own Received
    assert office.desk.view(office.booking, "admin")["status"] == "cancelled"
    assert office.told() == ["cancelled_by_client"]
    assert office.desk.seen(again).status == "confirmed"
    assert office.desk.view(office.booking, "admin")["revision"] == before["revision"]


@pytest.mark.parametrize("client", CLIENTS)
def test_without_the_secret_address_nothing_acts(office: Office, client: str) -> None:
    office.get(answered(CLIENTS[client], "DECLINED", tagged=False), MAIL_FROM)
    assert (office.row.status, office.row.partstat) == ("confirmed", "")
    assert office.reviews() == [("reply", "no_address")]
    assert office.told() == []


def test_an_answer_to_the_time_before_asks_a_human(office: Office) -> None:
    office.desk.reschedule(office.booking, START.replace(hour=11))
    office.get(load("exchange_declined"))
    assert (office.row.status, office.row.revision) == ("confirmed", 2)
    assert office.reviews() == [("reply", "old_time")]


def test_another_time_becomes_a_question(office: Office) -> None:
    office.get(load("outlook_counter"))
    with office.desk.database.reading() as tx:
        (review,) = reviews.listing(tx)
    assert (review["kind"], review["detail"]["to"]) == ("counter", "2027-01-11T13:00:00+00:00")
    assert office.row.starts_at == START
    assert office.told("operator") == ["counter"]


def test_a_refresh_brings_the_invitation_again(office: Office) -> None:
    office.get(load("refresh"))
    assert office.told() == ["booked"]
    assert office.row.revision == 1


def test_a_cancellation_that_we_did_not_write_is_a_question_alone(office: Office) -> None:
    office.get(load("forged_cancel"))
    assert (office.row.status, office.row.revision) == ("confirmed", 1)
    assert [kind for kind, _ in office.reviews()] == ["reply"]
    assert office.told() == []


@pytest.mark.parametrize("name", ["vacation", "person_forwards_invitation", "report_of_success"])
def test_what_is_no_answer_is_none(office: Office, name: str) -> None:
    before = office.row
    office.get(load(name))
    assert office.row == before
    assert office.reviews() == []
    assert office.happened() == []


@pytest.mark.parametrize(("name", "state"), [("bounce_permanent", "bounced"), ("bounce_delayed", "handed_over")])
def test_a_report_is_on_the_timeline(office: Office, name: str, state: str) -> None:
    with office.desk.database.transaction() as tx:
        tx.execute(
            sa.insert(Delivery).values(
                message_id=SENT, booking_id=office.booking, operator_id=office.desk.operator_id, audience="client",
                kind="booked", recipient="clara.client@gmail.example", method="REQUEST", state="handed_over",
                sequence=0, created_at=office.desk.now,
            )
        )  # fmt: skip
    office.get(load(name), MAIL_FROM)
    with office.desk.database.reading() as tx:
        assert tx.execute(sa.select(Delivery.state)).scalar_one() == state
    assert office.happened() == ["mail_bounced" if state == "bounced" else "mail_delayed"]
    assert [kind for kind, _ in office.reviews()] == (["failed_address"] if state == "bounced" else [])
