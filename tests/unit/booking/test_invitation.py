"""When a letter is written, what goes with it, and what never does."""

from __future__ import annotations

import email
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from booking import client_words, operator_words
from booking.errors import NotFound
from booking.invitation import event_words, invite_of, mail_for, waitlist_mail
from booking.invites import waiting_invite
from booking.letters import About, Letter
from booking.states import Status
from booking.tables import Booking, Offer, WaitlistEntry
from connectors.mail import imip
from ledger import reviews
from ledger.db import Database, Tx
from ledger.messages import SendMail
from ledger.tables import Operator
from tests.support.databases import migrated
from tests.support.practice import SPEC, TERMS, Practice, offering_with
from workers.mail import to_mail

TOLD_OF = {
    About.BOOKED: {"confirmed"},
    About.PENDING: {"pending"},
    About.APPROVED: {"confirmed"},
    About.DECLINED: {"declined"},
    About.EXPIRED: {"expired"},
    About.MOVED: {"confirmed"},
    About.MOVED_BY_CLIENT: {"confirmed"},
    About.CANCELLED_BY_CLIENT: {"cancelled"},
    About.CANCELLED_BY_OPERATOR: {"cancelled"},
    About.CANCELLED_BY_ADMIN: {"cancelled"},
    About.CANCELLED_UNCONFIRMED: {"cancelled"},
    About.PROMOTED: {"confirmed"},
    About.REMINDER: {"confirmed"},
    About.NO_SHOW: {"no_show"},
}
INVITES = (About.BOOKED, About.APPROVED, About.MOVED, About.MOVED_BY_CLIENT, About.PROMOTED)
ENDS = (About.DECLINED, About.EXPIRED, About.CANCELLED_BY_CLIENT, About.CANCELLED_BY_OPERATOR,
        About.CANCELLED_BY_ADMIN, About.CANCELLED_UNCONFIRMED)  # fmt: skip


@pytest.fixture(scope="module")
def books(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with migrated("sqlite", tmp_path_factory.mktemp("books")) as opened:
        yield opened


@pytest.fixture
def tx(books: Database) -> Iterator[Tx]:
    """Taken back afterwards: every test finds the books empty."""
    with books.reading() as open_tx:
        yield open_tx


@pytest.fixture
def practice(tx: Tx, now: datetime) -> Practice:
    return Practice(tx, now)


def letter_of(
    practice: Practice, about: About, audience: str = "client", *, revision: int = 0, booking_id: str = "b1"
) -> Letter | None:
    return mail_for(practice.tx, SendMail(booking_id, revision, about, audience), TERMS, now=practice.now)


def written(practice: Practice, about: About, audience: str = "client", *, revision: int = 0) -> Letter:
    letter = letter_of(practice, about, audience, revision=revision)
    assert letter is not None
    return letter


# --- out of date ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", list(Status))
@pytest.mark.parametrize("about", list(TOLD_OF))
def test_a_client_is_told_only_what_is_true(about: About, status: Status, practice: Practice) -> None:
    practice.booking(status=status)
    assert (letter_of(practice, about) is not None) == (status in TOLD_OF[about])


@pytest.mark.parametrize("status", list(Status))
@pytest.mark.parametrize("about", list(TOLD_OF))
def test_an_operator_is_told_only_what_is_true(about: About, status: Status, practice: Practice) -> None:
    practice.booking(status=status)
    expected = {"confirmed", "completed"} if about is About.NO_SHOW else TOLD_OF[about]
    assert (letter_of(practice, about, "operator") is not None) == (status in expected)


@pytest.mark.parametrize("audience", ["client", "operator"])
def test_an_older_revision_is_silent(audience: str, practice: Practice) -> None:
    practice.booking(revision=2)
    assert letter_of(practice, About.MOVED_BY_CLIENT, audience, revision=1) is None
    assert letter_of(practice, About.MOVED_BY_CLIENT, audience, revision=2) is not None


def test_a_review_is_told_in_any_state(practice: Practice) -> None:
    practice.booking(status="expired")
    assert written(practice, About.REVIEW, "operator").subject.startswith("Your decision is needed")


def test_what_is_gone_is_silent(practice: Practice) -> None:
    assert letter_of(practice, About.BOOKED, booking_id="nothing") is None
    assert mail_for(practice.tx, waitlist_mail(77, About.WAITLISTED), TERMS, now=practice.now) is None


def test_an_erased_person_gets_nothing(practice: Practice) -> None:
    practice.booking(client_email="", client_name="")
    assert letter_of(practice, About.BOOKED) is None


def test_unknown_news_are_an_error_and_not_silence(practice: Practice) -> None:
    practice.booking()
    with pytest.raises(ValueError, match="nonsense"):
        mail_for(practice.tx, SendMail("b1", 0, "nonsense", "client"), TERMS, now=practice.now)
    entry = practice.waiting()
    with pytest.raises(ValueError, match="not about a place in line"):
        mail_for(practice.tx, waitlist_mail(entry, About.BOOKED), TERMS, now=practice.now)


# --- invitations ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("about", INVITES)
def test_what_confirms_invites(about: About, practice: Practice) -> None:
    practice.booking(revision=3)
    letter = written(practice, about, revision=3)
    assert letter.method == "REQUEST"
    invite = letter.invitation
    assert invite is not None
    assert (invite.uid, invite.sequence, invite.status) == ("b1@book.example", 3, "CONFIRMED")
    assert invite.organizer_email == "bookings+tag-b1@book.example" == letter.reply_to
    assert (invite.attendee_email, letter.recipient) == ("kata@example.org", "kata@example.org")
    assert (invite.period.start, invite.period.duration) == (practice.start, timedelta(minutes=50))
    assert (invite.dtstamp, letter.date, invite.created) == (practice.now, practice.now, practice.now)
    assert invite.summary == "Consultation – Anna Kovács"
    assert invite.url in invite.description
    assert "Auto-Submitted" not in letter.headers


@pytest.mark.parametrize("about", ENDS)
def test_an_end_cancels_what_was_sent(about: About, practice: Practice) -> None:
    (status,) = TOLD_OF[about]
    practice.booking(status=status, revision=1, invited=True)
    assert written(practice, about, revision=1).method is None  # decided, but never sent
    practice.invited("b1", "refused")
    assert written(practice, about, revision=1).method is None  # the address took nothing
    practice.tx.execute(sa.text("DELETE FROM delivery"))
    practice.invited("b1", method="")
    assert written(practice, about, revision=1).method is None  # told, but in words alone
    practice.tx.execute(sa.text("DELETE FROM delivery"))
    practice.invited("b1", "prepared")
    letter = written(practice, about, revision=1)  # perhaps it arrived
    assert letter.method == "CANCEL"
    assert letter.invitation is not None
    assert (letter.invitation.status, letter.invitation.sequence) == ("CANCELLED", 1)
    assert letter.invitation.organizer_email == "bookings+tag-b1@book.example"


def test_another_clients_invitation_is_none_of_ones_own(practice: Practice) -> None:
    practice.booking(status="cancelled", revision=1)
    practice.booking("b2", client_email="jon@example.org")
    practice.invited("b2")
    assert written(practice, About.CANCELLED_BY_CLIENT, revision=1).method is None


@pytest.mark.parametrize("about", [About.PENDING, About.REMINDER, About.NO_SHOW])
def test_the_rest_is_words_alone(about: About, practice: Practice) -> None:
    (status,) = TOLD_OF[about]
    practice.booking(status=status)
    practice.invited("b1")
    letter = written(practice, about)
    assert (letter.method, letter.invitation) == (None, None)
    assert letter.headers["Auto-Submitted"] == "auto-generated"
    assert letter.reply_to == "bookings+tag-b1@book.example"


@pytest.mark.parametrize("about", list(TOLD_OF))
def test_an_operator_is_never_invited(about: About, practice: Practice) -> None:
    status = "confirmed" if about is About.NO_SHOW else next(iter(TOLD_OF[about]))
    practice.booking(status=status, invited=True)
    practice.invited("b1")
    letter = written(practice, about, "operator")
    assert (letter.method, letter.invitation) == (None, None)
    assert letter.recipient == "anna@practice.example"
    assert letter.reply_to == "kata@example.org"


@pytest.mark.parametrize("about", [*INVITES, *ENDS])
def test_there_is_one_voice(about: About, practice: Practice) -> None:
    (status,) = TOLD_OF[about]
    practice.booking(status=status, voice="google", invited=True)
    practice.invited("b1")
    letter = written(practice, about)
    assert (letter.method, letter.invitation) == (None, None)
    assert "Your calendar hears of it from Anna Kovács" in letter.text


def test_who_was_never_invited_natively_is_not_told_of_calendars(practice: Practice) -> None:
    practice.booking(status="declined", voice="google")
    assert "calendar" not in written(practice, About.DECLINED).text


# --- identity ---------------------------------------------------------------------------------------------------


def test_the_same_rows_give_the_same_letter(database: Database, now: datetime) -> None:
    with database.transaction() as tx:
        practice = Practice(tx, now)
        practice.booking()
        first = written(practice, About.BOOKED)
    with database.reading() as tx:
        assert mail_for(tx, SendMail("b1", 0, "booked", "client"), TERMS, now=now) == first


def test_message_ids_differ_by_what_they_are_about(practice: Practice) -> None:
    practice.booking()
    practice.booking("b2")
    ids = [written(practice, about, audience).message_id for about in (About.BOOKED, About.REMINDER) for audience in ("client", "operator")]  # fmt: skip
    other = letter_of(practice, About.BOOKED, booking_id="b2")
    assert other is not None
    practice.change("b1", revision=1)
    ids += [other.message_id, written(practice, About.BOOKED, revision=1).message_id]
    assert len(set(ids)) == 6
    assert all(each.startswith("<") and each.endswith("@book.example>") for each in ids)
    practice.tx.execute(sa.text("UPDATE deployment SET id = 'another'"))
    assert written(practice, About.BOOKED, revision=1).message_id not in ids


def test_language_and_sender(practice: Practice) -> None:
    practice.booking(language="ar")
    letter = written(practice, About.BOOKED)
    assert letter.headers["Content-Language"] == "ar"
    assert (letter.sender, letter.sender_name) == ("bookings@book.example", "Anna Kovács")
    practice.tx.execute(sa.update(Operator).values(language="hu"))
    mine = written(practice, About.BOOKED, "operator")
    assert mine.headers["Content-Language"] == "hu"
    assert mine.subject.startswith("Új foglalás: Kata Nagy, Konzultáció")


def test_a_name_that_advertises_goes_nowhere(practice: Practice) -> None:
    practice.booking(client_name="Win at https://evil.example")
    letter = written(practice, About.BOOKED)
    assert letter.invitation is not None
    assert "evil" not in f"{letter.text}{letter.html}{letter.recipient_name}{letter.subject}{letter.invitation}"


def test_the_links_to_change_end_with_the_window(practice: Practice) -> None:
    practice.booking()
    assert "#cancel" in written(practice, About.BOOKED).text
    practice.change("b1", starts_at=practice.now - timedelta(minutes=1))
    assert "#cancel" not in written(practice, About.BOOKED).text


def test_why_a_client_cancelled_is_for_the_operator(practice: Practice) -> None:
    practice.booking(status="cancelled", reason="I am ill")
    assert "I am ill" in written(practice, About.CANCELLED_BY_CLIENT, "operator").text
    assert "I am ill" not in written(practice, About.CANCELLED_BY_CLIENT).text
    assert "I am ill" not in written(practice, About.CANCELLED_BY_OPERATOR).text


# --- proposals --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("about", "audience", "kind"), [(About.PROPOSAL, "client", "move"), (About.COUNTER, "operator", "counter")]
)
def test_a_proposal_lives_as_long_as_its_review(about: About, audience: str, kind: str, practice: Practice) -> None:
    slot = practice.slot()
    practice.booking(slot_id=slot)
    assert letter_of(practice, about, audience) is None
    to = practice.start + timedelta(days=1)
    reviews.ask(
        practice.tx, kind, "k", now=practice.now, operator_id=practice.operator_id, slot_id=slot,
        detail={"why": "propose", "to": to.isoformat()},
    )  # fmt: skip
    letter = written(practice, about, audience)
    assert "1 December 2026" in letter.text
    assert "30 November 2026" in letter.text
    review = reviews.listing(practice.tx)[0]
    reviews.resolve(practice.tx, review["id"], state="dismissed", by="anna", now=practice.now)
    assert letter_of(practice, about, audience) is None


def test_a_move_that_only_does_not_fit_is_no_proposal(practice: Practice) -> None:
    slot = practice.slot()
    practice.booking(slot_id=slot)
    to = practice.start + timedelta(days=1)
    reviews.ask(
        practice.tx, "move", "k", now=practice.now, operator_id=practice.operator_id, slot_id=slot,
        detail={"why": "overlap", "to": to.isoformat()},
    )  # fmt: skip
    assert letter_of(practice, About.PROPOSAL) is None


# --- the line ---------------------------------------------------------------------------------------------------


def test_the_line_is_told_its_place(practice: Practice) -> None:
    for priority, name in ((0, "first"), (5, "second"), (0, "third")):
        practice.waiting(priority=priority, client_email=f"{name}@example.org", client_name=name.title())
    ids = practice.tx.execute(sa.select(WaitlistEntry.id).order_by(WaitlistEntry.id)).scalars().all()
    letters = [mail_for(practice.tx, waitlist_mail(each, About.WAITLISTED), TERMS, now=practice.now) for each in ids]
    places = [letter.text.partition("Your place in line: ")[2][:1] for letter in letters if letter]
    assert places == ["2", "1", "3"]
    assert all(letter.reply_to == "" and letter.method is None for letter in letters if letter)


def test_a_far_place_is_not_counted(practice: Practice) -> None:
    for number in range(101):
        practice.waiting(client_email=f"n{number}@example.org")
    ids = practice.tx.execute(sa.select(WaitlistEntry.id).order_by(WaitlistEntry.id)).scalars().all()
    for entry_id, said in ((ids[98], True), (ids[99], False), (ids[100], False)):
        letter = mail_for(practice.tx, waitlist_mail(entry_id, About.WAITLISTED), TERMS, now=practice.now)
        assert letter is not None
        assert ("Your place in line: 99" in letter.text) == said
        assert said or "Your place in line:" not in letter.text.replace("See your place in line:", "")


@pytest.mark.parametrize("status", ["offered", "promoted", "removed", "expired", "declined"])
def test_who_no_longer_waits_is_not_told_that_they_do(status: str, practice: Practice) -> None:
    entry = practice.waiting(status=status)
    assert mail_for(practice.tx, waitlist_mail(entry, About.WAITLISTED), TERMS, now=practice.now) is None


@pytest.mark.parametrize("status", ["open", "accepted", "declined", "expired"])
@pytest.mark.parametrize("about", [About.OFFER, About.OFFER_EXPIRED])
def test_an_offer_is_told_while_it_is_one(about: About, status: str, practice: Practice) -> None:
    entry = practice.waiting(status="offered")
    offer = practice.offer(entry, status)
    letter = mail_for(practice.tx, waitlist_mail(entry, about, offer_id=offer), TERMS, now=practice.now)
    assert (letter is not None) == (status == ("open" if about is About.OFFER else "expired"))
    stranger = practice.waiting(client_email="other@example.org")
    assert mail_for(practice.tx, waitlist_mail(stranger, about, offer_id=offer), TERMS, now=practice.now) is None


def waits(practice: Practice, **changes: Any) -> int:
    """Somebody who wants the one start they wait for in their calendar."""
    values = {"wish_start": practice.start, "calendar_entry": True, "uid": "u1@x", "organizer_tag": "t1", "sequence": 0}
    return practice.waiting(**(values | changes))


def test_who_waits_for_one_start_may_have_it_in_their_calendar_as_tentative(practice: Practice) -> None:
    letter = mail_for(practice.tx, waitlist_mail(waits(practice), About.WAITLISTED), TERMS, now=practice.now)
    assert letter is not None
    invite = letter.invitation
    assert invite is not None
    assert (letter.method, invite.status, invite.transparent, invite.sequence) == ("REQUEST", "TENTATIVE", True, 0)
    assert (invite.uid, invite.organizer_email) == ("u1@x", TERMS.organizer("t1"))
    assert letter.reply_to == invite.organizer_email
    assert (invite.period.start, invite.period.duration) == (practice.start, timedelta(minutes=30))
    assert "tentative" in letter.text
    written = imip.compose(to_mail(letter))
    ics = next(p for p in email.message_from_bytes(written).walk() if p.get_content_type() == "text/calendar")
    said = ics.get_payload(decode=True)
    assert isinstance(said, bytes)
    for line in (b"STATUS:TENTATIVE", b"TRANSP:TRANSPARENT", b"X-MICROSOFT-CDO-BUSYSTATUS:FREE", b"METHOD:REQUEST"):
        assert line in said.split(b"\r\n")


def test_the_entry_becomes_the_bookings(practice: Practice) -> None:
    entry = waits(practice, status="promoted")
    practice.booking(uid="u1@x", organizer_tag="t1", revision=1, waitlist_entry_id=entry)
    letter = mail_for(practice.tx, SendMail("b1", 1, About.PROMOTED, "client"), TERMS, now=practice.now)
    assert letter is not None
    invite = letter.invitation
    assert invite is not None
    assert (invite.uid, invite.sequence, invite.status, invite.transparent) == ("u1@x", 1, "CONFIRMED", False)
    assert invite.organizer_email == TERMS.organizer("t1")


@pytest.mark.parametrize(("status", "about"), [
    ("removed", About.LEFT_LINE), ("declined", About.LEFT_LINE), ("expired", About.OFFER_EXPIRED),
])  # fmt: skip
@pytest.mark.parametrize("sent", [True, False])
def test_the_entry_is_taken_out_where_it_was_put(status: str, about: About, sent: bool, practice: Practice) -> None:
    entry = waits(practice, status=status, sequence=1)
    offer = practice.offer(entry, "expired")
    if sent:
        practice.invited(f"entry:{entry}")
    letter = mail_for(practice.tx, waitlist_mail(entry, about, offer_id=offer), TERMS, now=practice.now)
    assert letter is not None
    if not sent:
        assert letter.invitation is None
        return
    assert letter.invitation is not None
    assert (letter.method, letter.invitation.status, letter.invitation.sequence) == ("CANCEL", "CANCELLED", 1)
    assert "takes it out of your calendar" in letter.text


def test_a_request_that_began_in_the_line_is_taken_out_when_it_is_declined(practice: Practice) -> None:
    entry = waits(practice, status="promoted")
    practice.invited(f"entry:{entry}")
    practice.booking(uid="u1@x", organizer_tag="t1", revision=2, waitlist_entry_id=entry, status="declined")
    letter = mail_for(practice.tx, SendMail("b1", 2, About.DECLINED, "client"), TERMS, now=practice.now)
    assert letter is not None
    assert (letter.method, letter.invitation and letter.invitation.uid) == ("CANCEL", "u1@x")


def test_a_range_of_days_has_no_place_in_a_calendar(practice: Practice) -> None:
    entry = waits(practice, wish_start=None)
    letter = mail_for(practice.tx, waitlist_mail(entry, About.WAITLISTED), TERMS, now=practice.now)
    assert letter is not None
    assert letter.invitation is None
    row = practice.tx.execute(sa.select(WaitlistEntry.__table__).where(WaitlistEntry.id == entry)).one()
    with pytest.raises(ValueError, match="one start"):
        waiting_invite(row, offering_with(), TERMS, practice.now)


def test_who_has_confirmed_is_not_asked_whether_they_come(practice: Practice) -> None:
    practice.booking()
    asked = SendMail("b1", 0, About.ATTENDANCE, "client")
    assert mail_for(practice.tx, asked, TERMS, now=practice.now) is not None
    practice.change("b1", attendance_confirmed_at=practice.now)
    assert mail_for(practice.tx, asked, TERMS, now=practice.now) is None


def test_two_offers_to_one_person_are_two_letters(practice: Practice) -> None:
    entry = practice.waiting(status="offered")
    offers = [practice.offer(entry) for _ in range(2)]
    letters = [mail_for(practice.tx, waitlist_mail(entry, About.OFFER, offer_id=o), TERMS, now=practice.now) for o in offers]  # fmt: skip
    assert len({letter.message_id for letter in letters if letter}) == 2
    practice.tx.execute(sa.delete(Offer))
    assert mail_for(practice.tx, waitlist_mail(entry, About.OFFER, offer_id=offers[0]), TERMS, now=practice.now) is None


# --- privacy ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("audience", ["client", "operator"])
def test_nobody_else_is_ever_named(audience: str, tx: Tx, now: datetime) -> None:
    practice = Practice(tx, now, spec=SPEC | {"capacity": 8, "names_in_event": True})
    slot = practice.slot(8)
    secret = {"client_name": "Zoltan Zebra", "client_email": "zebra@hidden.example", "answers": {"phone": "090-990"}}
    practice.booking("other", slot_id=slot, token="zebra-token", **secret)
    practice.waiting(**secret)
    practice.offer(practice.waiting(client_email="zebra2@hidden.example"))
    writers = client_words.WRITERS if audience == "client" else operator_words.WRITERS
    practice.booking(slot_id=slot)
    told = 0
    for about in writers:
        for status in Status:
            practice.change("b1", status=status)
            letter = letter_of(practice, about, audience)
            if letter is not None:
                told += 1
                assert "zebra" not in repr(letter).lower()
                assert "090-990" not in repr(letter)  # no digits alone: a Message-ID is made of such
    assert told >= len(TOLD_OF)


# --- the operator's calendar, and the file ----------------------------------------------------------------------


def test_event_words_are_of_those_who_come(tx: Tx, now: datetime) -> None:
    practice = Practice(tx, now, spec=SPEC | {"capacity": 8, "names_in_event": True})
    slot = practice.slot(8)
    for number, status in enumerate(Status):
        practice.booking(f"b{number}", slot_id=slot, status=status, client_name=f"Guest {status}", seats=2)
    words = event_words(tx, slot, TERMS)
    assert words.title == "Consultation (6/8)"
    assert [line for line in words.description.splitlines() if line.startswith("Guest")] == [
        "Guest confirmed (2)", "Guest completed (2)", "Guest no_show (2)",
    ]  # fmt: skip


def test_event_words_of_one_person(practice: Practice) -> None:
    slot = practice.slot()
    practice.booking("gone", slot_id=slot, status="cancelled", client_name="Zoltan Zebra")
    practice.booking(slot_id=slot)
    words = event_words(practice.tx, slot, TERMS)
    assert words.title == "Consultation: Kata Nagy"
    assert "Zebra" not in repr(words)
    with pytest.raises(NotFound):
        event_words(practice.tx, slot + 1, TERMS)


@pytest.mark.parametrize(
    ("status", "said"),
    [("pending", "TENTATIVE"), ("confirmed", "CONFIRMED"), ("completed", "CONFIRMED"), ("cancelled", "CANCELLED"), ("declined", "CANCELLED")],
)  # fmt: skip
def test_the_file_says_how_it_stands(status: str, said: str, practice: Practice) -> None:
    practice.booking(status=status, updated_at=practice.now + timedelta(hours=1))
    invite = invite_of(practice.tx, "b1", TERMS)
    assert (invite.status, invite.uid) == (said, "b1@book.example")
    assert invite.dtstamp == practice.now + timedelta(hours=1)
    with pytest.raises(NotFound):
        invite_of(practice.tx, "b2", TERMS)


def test_nothing_is_written_by_reading(practice: Practice) -> None:
    practice.booking()
    before = practice.tx.execute(sa.select(Booking.__table__)).all()
    written(practice, About.BOOKED)
    assert practice.tx.execute(sa.select(Booking.__table__)).all() == before
