"""Somebody waiting answers the tentative entry in their calendar."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from booking import waitlist
from booking.catalogue import offering
from booking.invitation import mail_for
from booking.tables import WaitlistEntry
from connectors.emulators.mailclient import Client, answer, ask_again
from connectors.mail import imip
from connectors.model import PartStat
from ledger import deliveries, outbox
from ledger.db import Database
from ledger.messages import ClientDeclined, SendMail
from tests.support.desk import TERMS, Desk, person
from tests.support.post import Post
from workers.mail import to_mail


@pytest.fixture
def post(database: Database) -> Post:
    return Post(Desk(database).open(talk={}))


def wait(post: Post) -> Any:
    """Vera waits for a taken start, and has it in her calendar."""
    desk = post.desk
    desk.book(desk.at(9))
    given = {
        "client": person("vera"),
        "wish": {"start": desk.at(9)},
        "accept": "auto",
        "seats": 1,
        "calendar_entry": True,
    }
    with desk.database.transaction() as tx:
        waitlist.join(tx, offering(tx, "anna", "talk"), given, now=desk.now, cause="test")
    return place(post)


def place(post: Post) -> Any:
    with post.desk.database.reading() as tx:
        return tx.execute(sa.select(WaitlistEntry.__table__)).one()


def told(post: Post) -> list[str]:
    asked = post.desk.messages(SendMail, booking_id=f"entry:{place(post).id}")
    return [m.about.partition(":")[0] for m in asked if isinstance(m, SendMail)]


def mail(post: Post, number: int = 0) -> bytes:
    """The so-and-so-manieth letter about her place, handed over."""
    asked = post.desk.messages(SendMail, booking_id=f"entry:{place(post).id}")[number]
    assert isinstance(asked, SendMail)
    with post.desk.database.transaction() as tx:
        letter = mail_for(tx, asked, TERMS, now=post.desk.now)
        assert letter is not None
        raw = imip.compose(to_mail(letter))
        stored = deliveries.prepare(
            tx, message_id=letter.message_id, message=raw, recipient=letter.recipient, booking_id=asked.booking_id,
            operator_id=1, audience="client", kind=asked.about, sequence=asked.revision, method=letter.method or "",
            now=post.desk.now,
        )  # fmt: skip
        deliveries.handed_over(tx, stored.id, reply="250 OK", now=post.desk.now)
    return raw


@pytest.mark.parametrize("client", list(Client))
def test_a_decline_gives_the_place_up_and_clears_the_calendar(post: Post, client: Client) -> None:
    wait(post)
    raw = answer(mail(post), PartStat.DECLINED, at=post.desk.now, client=client)
    assert isinstance(post.arrives(raw), ClientDeclined)
    assert (place(post).status, place(post).sequence) == ("removed", 1)
    assert told(post) == ["waitlisted", "left_line"]
    assert b"method=CANCEL" in mail(post, 1)
    assert post.arrives(raw) is None
    assert told(post) == ["waitlisted", "left_line"]


@pytest.mark.parametrize("partstat", [PartStat.ACCEPTED, PartStat.TENTATIVE])
def test_whatever_else_they_say_they_go_on_waiting(post: Post, partstat: PartStat) -> None:
    wait(post)
    post.arrives(answer(mail(post), partstat, at=post.desk.now))
    assert place(post).status == "waiting"
    assert told(post) == ["waitlisted"]


def test_asked_for_again_it_comes_again_once_an_hour(post: Post) -> None:
    wait(post)
    raw = mail(post)
    for _ in range(3):
        post.arrives(ask_again(raw, at=post.desk.now))
    assert told(post) == ["waitlisted", "waitlisted"]
    again = mail(post, 1)
    assert b"method=REQUEST" in again
    assert again.split(b"Message-ID:")[1][:60] != raw.split(b"Message-ID:")[1][:60]


def test_without_the_address_or_the_uid_nothing_happens(post: Post) -> None:
    entry = wait(post)
    raw = answer(mail(post), PartStat.DECLINED, at=post.desk.now, client=Client.OUTLOOK)
    post.arrives(raw.replace(f"+{entry.organizer_tag}".encode(), b""))
    with post.desk.database.transaction() as tx:
        tx.execute(sa.update(WaitlistEntry).values(uid="another"))
    post.arrives(raw)
    assert place(post).status == "waiting"
    assert post.reviews() == []


def test_a_decline_of_what_has_become_a_booking_is_the_bookings(post: Post) -> None:
    entry = wait(post)
    raw = answer(mail(post), PartStat.DECLINED, at=post.desk.now)
    first = post.desk.messages(SendMail)[0].booking_id  # type: ignore[attr-defined]
    post.desk.cancel(first)
    booking = place(post).booking_id
    assert booking
    assert post.desk.seen(booking).organizer_tag == entry.organizer_tag
    post.arrives(raw)  # said before they had it
    assert post.desk.seen(booking).status == "confirmed"
    assert post.reviews() == [("reply", "old_time")]


def test_the_answer_belongs_to_the_operator(post: Post) -> None:
    wait(post)
    post.arrives(answer(mail(post), PartStat.DECLINED, at=post.desk.now))
    with post.desk.database.reading() as tx:
        rows = tx.execute(
            sa.select(outbox.OutboxMessage.operator_id).where(outbox.OutboxMessage.kind == "ClientDeclined")
        ).scalars()
        assert list(rows) == [post.desk.operator_id]
