"""Clients who never see our pages: they answer the invitation in their own calendar, and the practice follows.

The invitation is the mail that was sent, the answer is what Gmail, Outlook, Apple Mail and Thunderbird would send back,
by LMTP from the mail server in front or through a real Dovecot.
"""

from __future__ import annotations

import json
import smtplib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.emulators.mailclient import Client, answer, ask_again, bounce, propose
from connectors.emulators.radicale import free_port
from connectors.mail.folder import MailFolder
from connectors.model import PartStat, Period
from tests.support.dovecot import needs_dovecot, running
from tests.support.service import Practice, field_of, practice, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
OURS = "bookings@svc.example"


@dataclass
class Mailing:
    """A practice, and the way by which mail reaches it."""

    practice: Practice
    deliver: Callable[[bytes, str], None]

    @property
    def anna(self) -> Practice:
        return self.practice

    def booked(self, index: int, who: str) -> tuple[dict[str, Any], bytes]:
        """A booking in the calendar, and the invitation as it was mailed."""
        booking = self.anna.in_calendar(self.anna.book(self.anna.starts()[index], who)["token"])
        return booking, self.invitation(who)

    def invitation(self, who: str, number: int = 1) -> bytes:
        """The so-and-so-manieth mail with an invitation to somebody."""
        asked = wait_until(
            lambda: (
                found
                if len(found := [m for m in self.anna.service.mails(f"{who}@example.org") if m.method == "REQUEST"])
                >= number
                else None
            )
        )
        raw = MailFolder(self.anna.service.folder / "mail").read(asked[number - 1].id)
        assert raw is not None
        return raw

    def send(self, raw: bytes) -> None:
        """An answer of a mail program, to the address that stands in its To."""
        to = next(line for line in raw.split(b"\r\n") if line.startswith(b"To:"))
        self.deliver(raw, to.decode().partition(":")[2].strip().strip("<>"))

    def reviews(self, booking: dict[str, Any]) -> list[dict[str, Any]]:
        """What asks for a human about a booking."""
        listed = json.loads(self.anna.service.cli("reviews", "list", "--json"))
        return [r for r in listed if r["booking_id"] == booking["id"]]


@contextmanager
def lmtp(folder: Path, mode: str) -> Iterator[Mailing]:
    port = free_port()

    def deliver(raw: bytes, to: str) -> None:
        with smtplib.LMTP("127.0.0.1", port, local_hostname="mx.example", timeout=20) as line:
            line.sendmail("client@example.org", [to], raw)

    with practice(
        folder, "radicale", mode, SLOTLEDGER_MAIL_FROM=OURS, SLOTLEDGER_INBOUND_MAIL_URL=f"lmtp://127.0.0.1:{port}"
    ) as made:
        yield Mailing(made, deliver)


@contextmanager
def imap(folder: Path, mode: str) -> Iterator[Mailing]:
    with (
        running() as dovecot,
        practice(folder, "radicale", mode, SLOTLEDGER_MAIL_FROM=OURS, SLOTLEDGER_INBOUND_MAIL_URL=dovecot.url) as made,
    ):
        yield Mailing(made, dovecot.deliver)


@pytest.fixture(
    scope="module", params=["embedded-lmtp", "redis-lmtp", pytest.param("embedded-dovecot", marks=needs_dovecot)]
)
def post(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mailing]:
    """One practice for all tests of a way; each test uses starts of its own."""
    mode, _, way = request.param.partition("-")
    with ExitStack() as stack:
        yield stack.enter_context((lmtp if way == "lmtp" else imap)(tmp_path_factory.mktemp("service"), mode))


def now() -> datetime:
    return datetime.now(UTC)


def told(post: Mailing, who: str) -> list[tuple[str | None, int | None]]:
    return [(m.method, m.sequence) for m in post.anna.service.mails(f"{who}@example.org")]


@pytest.mark.parametrize("client", list(Client))
def test_a_decline_cancels_and_the_first_in_line_has_the_place(post: Mailing, client: Client) -> None:
    who, next_one = f"kata{client}", f"vera{client}"
    booking, invitation = post.booked(8, who)
    place = post.anna.wait_in_line(booking["start"], next_one)
    raw = answer(invitation, PartStat.DECLINED, at=now(), client=client)
    post.send(raw)
    wait_until(lambda: post.anna.booking(booking["token"])["status"] == "cancelled")
    promoted = wait_until(
        lambda: p if (p := post.anna.service.get(f"/waitlist/{place}"))["status"] == "promoted" else None
    )
    assert post.anna.in_calendar(promoted["booking"])["start"] == booking["start"]
    wait_until(lambda: len(told(post, who)) == 2 and len(told(post, next_one)) == 2)
    assert told(post, who) == [("REQUEST", 0), ("CANCEL", 1)]
    assert told(post, next_one) == [(None, None), ("REQUEST", 0)]
    last = post.anna.booking(booking["token"])
    assert [e["cause"] for e in last["timeline"] if e["what"] == "cancelled"] == ["calendar_reply"]
    post.send(raw)  # the same mail again
    other, words = post.booked(9, f"mila{client}")
    post.send(answer(words, PartStat.ACCEPTED, at=now(), client=client))  # read after it
    wait_until(lambda: "attendance_confirmed" in happened(post, other))
    assert post.anna.booking(promoted["booking"])["status"] == "confirmed"
    assert len(told(post, who)) == 2


def happened(post: Mailing, booking: dict[str, Any]) -> list[str]:
    return [entry["what"] for entry in post.anna.booking(booking["token"])["timeline"]]


def test_accept_confirms_and_maybe_leaves_the_booking(post: Mailing) -> None:
    booking, invitation = post.booked(12, "lena")
    post.send(answer(invitation, PartStat.ACCEPTED, at=now(), client=Client.APPLE))
    wait_until(lambda: "attendance_confirmed" in happened(post, booking))
    post.send(answer(invitation, PartStat.TENTATIVE, at=now() + timedelta(seconds=2), client=Client.OUTLOOK))
    wait_until(lambda: "tentative" in happened(post, booking))
    assert post.anna.booking(booking["token"])["status"] == "confirmed"


def test_forgeries_change_nothing_and_ask_a_human(post: Mailing) -> None:
    booking, invitation = post.booked(14, "otto")
    raw = answer(invitation, PartStat.DECLINED, at=now(), client=Client.OUTLOOK)
    tagged = next(line for line in raw.split(b"\r\n") if line.startswith(b"To:"))
    for address in (OURS, f"bookings+{'0' * 32}@svc.example"):
        post.deliver(raw.replace(tagged, f"To: {address}".encode()), address)
    wait_until(lambda: len(post.reviews(booking)) == 2)
    assert {(r["kind"], r["detail"]["why"]) for r in post.reviews(booking)} == {
        ("reply", "no_address"),
        ("reply", "wrong_address"),
    }
    assert post.anna.booking(booking["token"])["status"] == "confirmed"
    assert told(post, "otto") == [("REQUEST", 0)]


def test_an_answer_to_the_old_time_does_not_cancel_the_new_one(post: Mailing) -> None:
    booking, invitation = post.booked(16, "paul")
    target = post.anna.starts()[18]
    moved = post.anna.service.call("POST", f"/bookings/{booking['token']}/reschedule", json={"start": target})
    assert moved.status_code == 200
    post.send(answer(invitation, PartStat.DECLINED, at=now()))
    newer = post.invitation("paul", 2)
    post.send(answer(newer, PartStat.ACCEPTED, at=now()))  # comes behind it
    wait_until(lambda: "attendance_confirmed" in happened(post, booking))
    assert (post.anna.booking(booking["token"])["status"], len(post.reviews(booking))) == ("confirmed", 0)


def test_another_time_is_asked_for_approved_and_invited_to(post: Mailing) -> None:
    booking, invitation = post.booked(20, "nina")
    target = post.anna.starts()[22]
    start = datetime.fromisoformat(target)
    before = len(post.anna.service.mails("anna@practice.example"))
    post.send(propose(invitation, Period(start, start + timedelta(minutes=50)), at=now()))
    review = wait_until(lambda: post.reviews(booking))[0]
    wait_until(lambda: len(post.anna.service.mails("anna@practice.example")) > before)
    assert post.anna.booking(booking["token"])["start"] == booking["start"]
    post.anna.service.cli("reviews", "approve", str(review["id"]))
    wait_until(lambda: told(post, "nina") == [("REQUEST", 0), ("REQUEST", 1)])
    assert post.anna.booking(booking["token"])["start"] == target
    stamp = start.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    wait_until(lambda: any(field_of(raw, "DTSTART") == stamp for raw in post.anna.events().values()))


def test_a_refresh_brings_the_invitation_again(post: Mailing) -> None:
    booking, invitation = post.booked(24, "mark")
    post.send(ask_again(invitation, at=now()))
    wait_until(lambda: told(post, "mark") == [("REQUEST", 0), ("REQUEST", 0)])
    assert post.anna.booking(booking["token"])["revision"] == 0


def test_a_bounce_is_seen_by_the_operator(post: Mailing) -> None:
    booking, invitation = post.booked(26, "emil")
    wait_until(lambda: post.anna.booking(booking["token"])["deliveries"][0]["state"] == "handed_over")
    post.deliver(bounce(invitation, at=now()), OURS)
    wait_until(lambda: post.anna.booking(booking["token"])["deliveries"][0]["state"] == "bounced")
    assert [r["kind"] for r in wait_until(lambda: post.reviews(booking))] == ["failed_address"]
