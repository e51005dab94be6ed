"""What clients write back reaches the operator, and nothing of it stays behind."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa

from booking import privacy
from booking.invitation import mail_for, waitlist_mail
from booking.letters import Letter
from booking.tables import WaitlistEntry
from connectors.emulators.mailclient import Client, answer, write_back
from connectors.mail import imip
from connectors.model import PartStat
from ledger.db import Database
from ledger.messages import SendMail
from ledger.tables import OutboxMessage
from tests.support.desk import TERMS, Desk
from tests.support.dump import holding
from tests.support.post import Post
from workers.mail import to_mail

WORDS = "May my brother come too?\nHe is <b>small</b>."


@pytest.fixture
def post(database: Database) -> Post:
    return Post(Desk(database).open(talk={}))


def told(post: Post) -> list[Letter | None]:
    """The letters that pass words on, as they would be written now."""
    with post.desk.database.reading() as tx:
        return [
            mail_for(tx, asked, TERMS, now=post.desk.now)
            for asked in post.desk.messages(SendMail, audience="operator")
            if isinstance(asked, SendMail) and asked.about.startswith("words:")
        ]


@pytest.mark.parametrize("client", [Client.GMAIL, Client.OUTLOOK])
def test_an_answer_in_words_is_passed_on_and_changes_nothing(post: Post, client: Client) -> None:
    desk = post.desk
    booking = desk.book(desk.at(8))
    raw, before = post.letter(booking), desk.seen(booking)
    mail = write_back(raw, WORDS, at=desk.now, client=client)
    post.arrives(mail)
    assert post.arrives(mail) is None
    assert desk.seen(booking) == before
    assert post.reviews() == []
    assert post.happened(booking)[-1] == "client_wrote"
    assert "client_wrote" not in post.happened(booking, "client")
    (letter,) = told(post)
    assert letter is not None
    assert letter.subject.startswith("A client has written: Kata, Consultation")
    assert letter.reply_to == "kata@example.org"
    assert "They write: May my brother come too?" in letter.text
    assert "He is <b>small</b>." in letter.text
    assert "<b>small" not in letter.html
    assert ("Your booking is confirmed" in letter.text) == (client is Client.OUTLOOK)  # it marks no quotations
    assert before.token not in letter.text + letter.html


def test_what_is_written_beside_a_yes_is_passed_on(post: Post) -> None:
    desk = post.desk
    raw = post.letter(desk.book(desk.at(8)))
    post.arrives(answer(raw, PartStat.ACCEPTED, at=desk.now, comment="I shall be ten minutes late"))
    (letter,) = told(post)
    assert letter is not None
    assert "I shall be ten minutes late" in letter.text


def test_words_are_passed_on_though_the_booking_has_changed_or_ended(post: Post) -> None:
    desk = post.desk
    booking = desk.book(desk.at(8))
    raw = post.letter(booking)
    post.arrives(write_back(raw, "Sorry!", at=desk.now))
    desk.reschedule(booking, desk.at(9))
    desk.cancel(booking)
    (letter,) = told(post)
    assert letter is not None
    assert "Sorry!" in letter.text


def test_who_waits_is_heard_as_well(post: Post) -> None:
    desk = post.desk
    desk.book(desk.at(8))
    token = desk.join("vera", {"start": desk.at(8)})
    with desk.database.transaction() as tx:
        tagged = sa.update(WaitlistEntry).where(WaitlistEntry.token == token).values(organizer_tag="7" * 32)
        entry = tx.execute(tagged.returning(WaitlistEntry.id)).scalar_one()
        letter = mail_for(tx, waitlist_mail(entry, "waitlisted"), TERMS, now=desk.now)
    assert letter is not None
    post.arrives(write_back(imip.compose(to_mail(letter)), "Any day will do.", at=desk.now))
    (passed,) = told(post)
    assert passed is not None
    assert "Any day will do." in passed.text
    assert passed.reply_to == "vera@example.org"


def test_a_sender_who_is_not_authentic_is_not_heard(post: Post) -> None:
    desk = post.desk
    booking = desk.book(desk.at(8))
    forged = b"Authentication-Results: mx.slotledger.test; dmarc=fail\r\n"
    post.arrives(forged + write_back(post.letter(booking), "Send me money", at=desk.now))
    assert told(post) == []
    assert post.happened(booking)[-1] == "reply_doubted"


def test_a_mailbox_that_answers_by_itself_is_not_heard_for_ever(post: Post) -> None:
    desk = post.desk
    raw = post.letter(desk.book(desk.at(11)))
    for number in range(8):
        post.arrives(write_back(raw, f"I am away ({number})", at=desk.now))
    assert len(told(post)) == 5
    desk.now += timedelta(hours=1)
    post.arrives(write_back(raw, "I am back", at=desk.now))
    assert len(told(post)) == 6


def test_what_is_long_over_is_not_spoken_of_again(post: Post) -> None:
    desk = post.desk
    raw = post.letter(desk.book(desk.at(8)))
    desk.now += timedelta(days=29)
    post.arrives(write_back(raw, "That was good", at=desk.now))
    desk.now += timedelta(days=2)
    post.arrives(write_back(raw, "It was, wasn't it?", at=desk.now))
    assert len(told(post)) == 1


def test_nothing_of_it_stays(post: Post) -> None:
    desk = post.desk
    booking = desk.book(desk.at(8))
    raw = post.letter(booking)
    post.arrives(write_back(raw, "the secret of Rumpelstiltskin", at=desk.now))
    with desk.database.reading() as tx:
        exported = str(privacy.export(tx, "kata@example.org", now=desk.now))
    assert "Rumpelstiltskin" in exported
    desk.cancel(booking)
    with desk.database.transaction() as tx:
        tx.execute(sa.update(OutboxMessage).values(state="done"))
        privacy.erase(tx, TERMS, "kata@example.org", now=desk.now, cause="test")
    assert holding(desk.database, "Rumpelstiltskin") == []
    assert told(post) == [None]
