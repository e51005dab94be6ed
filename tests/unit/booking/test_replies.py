"""Answers of clients' calendars: what counts, what asks for a human, and what changes nothing."""

from __future__ import annotations

import email
import email.policy
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import icalendar
import pytest
import sqlalchemy as sa

from api import reviewing
from api.keys import Caller
from booking.errors import NotPossible, SlotTaken
from booking.invitation import mail_for
from booking.replies import address_failed
from booking.tables import Booking, WaitlistEntry
from connectors.emulators.mailclient import Client, answer, ask_again, bounce, propose
from connectors.model import PartStat, Period
from ledger import outbox, pauses, reviews
from ledger.db import Database
from ledger.messages import ClientDeclined, SendMail
from ledger.tables import Delivery
from tests.support.desk import TERMS, Desk
from tests.support.post import Post

CLIENTS = list(Client)


@pytest.fixture
def desk(sqlite: Database) -> Desk:
    return Desk(sqlite).open(talk={}, group={"capacity": 2})


@pytest.fixture
def post(desk: Desk) -> Post:
    return Post(desk)


def admin() -> Caller:
    return SimpleNamespace(name="admin", operator_id=None, sees=lambda operator_id: None)  # type: ignore[return-value]


def approve(post: Post, choice: str = "") -> None:
    with post.desk.database.transaction() as tx:
        reviewing.approve(tx, TERMS, admin(), post.review()["id"], choice, now=post.desk.now)
    post.desk.work()


# --- answers that count -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("client", CLIENTS)
def test_a_decline_cancels_and_the_next_in_line_has_the_place(database: Database, client: Client) -> None:
    desk = Desk(database).open(talk={})
    post = Post(desk)
    booking = desk.book(desk.at(9))
    waiting = desk.join("vera", {"start": desk.at(9)})
    raw = post.letter(booking)
    post.arrives(answer(raw, PartStat.DECLINED, at=desk.now, client=client))
    row = desk.seen(booking)
    assert (row.status, row.revision, row.partstat) == ("cancelled", 1, "DECLINED")
    place = desk.place(waiting)
    assert place["status"] == "promoted"
    assert post.told(booking, "client") == ["booked", "cancelled_by_client"]
    assert post.told(booking, "operator") == ["booked", "cancelled_by_client"]
    assert desk.view(booking, "operator")["timeline"][-1]["cause"] == "calendar_reply"
    assert post.reviews() == []


@pytest.mark.parametrize("client", CLIENTS)
def test_accept_confirms_attendance_and_maybe_takes_that_back(post: Post, client: Client) -> None:
    desk, raw = post.desk, post.letter(post.desk.book(post.desk.at(8)))
    booking = desk.messages(SendMail)[0].booking_id  # type: ignore[attr-defined]
    post.arrives(answer(raw, PartStat.ACCEPTED, at=desk.now, client=client))
    assert desk.seen(booking).attendance_confirmed_at is not None
    assert (desk.seen(booking).status, desk.seen(booking).partstat) == ("confirmed", "ACCEPTED")
    desk.now += timedelta(minutes=1)
    post.arrives(answer(raw, PartStat.TENTATIVE, at=desk.now, client=client))
    assert desk.seen(booking).attendance_confirmed_at is None
    assert (desk.seen(booking).status, desk.seen(booking).partstat) == ("confirmed", "TENTATIVE")
    assert post.happened(booking, "client") == ["booked", "attendance_confirmed", "tentative"]
    assert post.told(booking) == ["booked"]


def test_the_same_mail_twice_changes_nothing(post: Post) -> None:
    booking = post.desk.book(post.desk.at(8))
    raw = answer(post.letter(booking), PartStat.DECLINED, at=post.desk.now)
    assert post.arrives(raw) is not None
    before = post.desk.view(booking, "admin")
    assert post.arrives(raw) is None
    again = post.desk.book(post.desk.at(8), "lena")
    assert post.arrives(raw) is None
    assert post.desk.view(booking, "admin") == before
    assert post.desk.seen(again).status == "confirmed"


def test_of_answers_to_the_same_invitation_the_newest_counts_in_whatever_order_they_arrive(post: Post) -> None:
    desk = post.desk
    booking = desk.book(desk.at(8))
    raw = post.letter(booking)
    first, second = desk.now, desk.now + timedelta(minutes=5)
    desk.now += timedelta(minutes=10)
    post.arrives(answer(raw, PartStat.ACCEPTED, at=second))
    post.arrives(answer(raw, PartStat.DECLINED, at=first))
    assert (desk.seen(booking).status, desk.seen(booking).partstat) == ("confirmed", "ACCEPTED")
    assert post.reviews() == []


def test_a_client_whose_clock_is_ahead_can_still_change_their_mind(post: Post) -> None:
    desk = post.desk
    booking = desk.book(desk.at(8))
    raw = post.letter(booking)
    post.arrives(answer(raw, PartStat.ACCEPTED, at=desk.now + timedelta(days=400)))
    desk.now += timedelta(minutes=1)
    post.arrives(answer(raw, PartStat.DECLINED, at=desk.now))
    assert desk.seen(booking).status == "cancelled"


def test_a_second_doubt_after_the_first_was_looked_at_is_told_again(post: Post) -> None:
    desk = post.desk
    booking = desk.book(desk.at(8))
    raw = post.letter(booking)
    desk.reschedule(booking, desk.at(9))
    for _ in range(2):
        post.arrives(answer(raw, PartStat.DECLINED, at=desk.now))
        with desk.database.transaction() as tx:
            reviewing.dismiss(tx, TERMS, admin(), post.review()["id"], now=desk.now)
        desk.now += timedelta(minutes=1)
    asked = [m for m in desk.messages(SendMail, booking_id=booking, audience="operator") if isinstance(m, SendMail)]
    first, second = (m for m in asked if m.about.startswith("review:"))
    assert first.key != second.key
    assert b"ecision" in post.letter(booking, second.about, "operator")


def test_a_decline_of_an_older_time_asks_a_human_until_the_client_answers_the_new_one(post: Post) -> None:
    desk = post.desk
    booking = desk.book(desk.at(8))
    raw = post.letter(booking)
    desk.reschedule(booking, desk.at(9))
    post.arrives(answer(raw, PartStat.DECLINED, at=desk.now))
    assert (desk.seen(booking).status, desk.seen(booking).revision) == ("confirmed", 1)
    assert post.happened(booking)[-1] == "reply_to_old_time"
    assert "reply_to_old_time" not in post.happened(booking, "client")
    assert post.reviews() == [("reply", "old_time")]
    assert post.told(booking)[-1] == "review"
    desk.now += timedelta(minutes=1)
    post.arrives(answer(raw, PartStat.DECLINED, at=desk.now))
    assert post.told(booking).count("review") == 1
    newer = post.letter(booking, "moved_by_client")
    post.arrives(answer(newer, PartStat.TENTATIVE, at=desk.now))
    assert post.reviews() == []
    desk.now += timedelta(minutes=1)
    post.arrives(answer(raw, PartStat.DECLINED, at=desk.now, client=Client.OUTLOOK))  # they have answered the new time
    assert post.reviews() == []
    desk.now += timedelta(minutes=1)
    post.arrives(answer(newer, PartStat.DECLINED, at=desk.now))
    assert desk.seen(booking).status == "cancelled"


def test_an_acceptance_of_an_older_time_is_a_note(post: Post) -> None:
    desk = post.desk
    booking = desk.book(desk.at(8))
    raw = post.letter(booking)
    desk.reschedule(booking, desk.at(9))
    post.arrives(answer(raw, PartStat.ACCEPTED, at=desk.now))
    assert desk.seen(booking).attendance_confirmed_at is None
    assert post.happened(booking)[-1] == "reply_to_old_time"
    assert post.reviews() == []


def test_what_declined_an_older_time_may_be_taken_as_a_decline(post: Post) -> None:
    desk = post.desk
    booking = desk.book(desk.at(8))
    raw = post.letter(booking)
    desk.reschedule(booking, desk.at(9))
    post.arrives(answer(raw, PartStat.DECLINED, at=desk.now))
    approve(post)
    assert desk.seen(booking).status == "cancelled"


def test_a_decline_after_the_window_asks_the_operator(sqlite: Database) -> None:
    desk = Desk(sqlite).open(talk={"cancel_until_minutes": 600})
    post = Post(desk)
    booking = desk.book(desk.at(8))
    post.arrives(answer(post.letter(booking), PartStat.DECLINED, at=desk.now))
    assert desk.seen(booking).status == "confirmed"
    assert post.reviews() == [("late_decline", "too_late")]
    assert post.happened(booking, "client")[-1] == "declined_too_late"
    assert post.told(booking) == ["booked", "review"]
    approve(post)
    assert desk.seen(booking).status == "cancelled"
    assert post.told(booking, "client")[-1] == "cancelled_by_client"
    assert desk.at(8) in desk.starts()


def test_what_the_client_writes_beside_the_decline_is_the_reason(post: Post) -> None:
    booking = post.desk.book(post.desk.at(8))
    words = "Sorry,\nI am <b>ill</b>"
    post.arrives(answer(post.letter(booking), PartStat.DECLINED, at=post.desk.now, comment=words))
    assert post.desk.seen(booking).reason == "Sorry, I am <b>ill</b>"


def test_behind_an_alias_the_address_differs_and_is_noted(post: Post) -> None:
    booking = post.desk.book(post.desk.at(8))
    post.arrives(answer(post.letter(booking), PartStat.DECLINED, at=post.desk.now, attendee="k@alias.example"))
    assert post.desk.seen(booking).status == "cancelled"


def test_delegating_asks_a_human(post: Post) -> None:
    booking = post.desk.book(post.desk.at(8))
    raw = answer(post.letter(booking), PartStat.DECLINED, at=post.desk.now).replace(b"DECLINED", b"DELEGATED")
    post.arrives(_recoded(raw, post, booking, b"DELEGATED"))
    assert post.desk.seen(booking).status == "confirmed"
    assert post.reviews() == [("reply", "delegated")]
    with post.desk.database.reading() as tx:
        assert reviewing.listing(tx, admin(), state="open")[0]["choices"] == []


def test_one_of_a_group_declines_and_the_others_stay(post: Post) -> None:
    desk = post.desk
    kata, lena = (desk.book(desk.at(8), who, service="group") for who in ("kata", "lena"))
    post.arrives(answer(post.letter(kata), PartStat.DECLINED, at=desk.now))
    assert [desk.seen(b).status for b in (kata, lena)] == ["cancelled", "confirmed"]


def test_a_pause_holds_the_cancellation_and_not_the_answer(post: Post) -> None:
    desk = post.desk
    booking = desk.book(desk.at(8))
    with desk.database.transaction() as tx:
        pause = pauses.pause(tx, scope="operator", target=str(desk.operator_id), automations=["cancel"], now=desk.now)
    post.arrives(answer(post.letter(booking), PartStat.DECLINED, at=desk.now))
    assert desk.seen(booking).status == "confirmed"
    with desk.database.reading() as tx:
        held = [row for row in outbox.listing(tx) if row["kind"] == ClientDeclined.__name__]
    assert [(row["booking_id"], row["state"]) for row in held] == [(booking, "waiting")]
    with desk.database.transaction() as tx:
        pauses.resume(tx, pause, now=desk.now)
    desk.work()
    assert desk.seen(booking).status == "cancelled"


# --- answers that prove nothing ---------------------------------------------------------------------------------


def _recoded(raw: bytes, post: Post, booking: str, partstat: bytes) -> bytes:
    """A plain REPLY with a PARTSTAT of one's choosing, to the booking's address."""
    row = post.desk.seen(booking)
    return handmade(row.uid, TERMS.organizer(row.organizer_tag), partstat=partstat)


def handmade(
    uid: str,
    to: str,
    *,
    partstat: bytes = b"DECLINED",
    method: bytes = b"REPLY",
    verdict: bytes = b"",
    more: bytes = b"",
) -> bytes:
    """A mail that somebody wrote by hand."""
    head = b"Authentication-Results: mx.slotledger.test; dmarc=" + verdict + b"\r\n" if verdict else b""
    return head + b"\r\n".join([
        b"From: kata@example.org", b"To: " + to.encode(), b"MIME-Version: 1.0", b"Message-ID: <x@y.example>",
        b"Content-Type: text/calendar; method=" + method, b"", b"BEGIN:VCALENDAR", b"VERSION:2.0", b"PRODID:x",
        b"METHOD:" + method, b"BEGIN:VEVENT", b"UID:" + uid.encode(), b"SEQUENCE:0", b"DTSTAMP:20270111T060000Z",
        b"ATTENDEE;PARTSTAT=" + partstat + b":mailto:kata@example.org", *([more] if more else []),
        b"END:VEVENT", b"END:VCALENDAR", b"",
    ])  # fmt: skip


def test_forgeries_change_nothing_and_ask_a_human_once(post: Post) -> None:
    desk = post.desk
    booking, other = desk.book(desk.at(8)), desk.book(desk.at(9), "lena")
    row, stranger = desk.seen(booking), desk.seen(other)
    right = TERMS.organizer(row.organizer_tag)
    cases = {
        "no_address": handmade(row.uid, TERMS.mail_from),
        "wrong_address": handmade(row.uid, TERMS.organizer("0" * 32)),
        "wrong_uid": handmade(stranger.uid, right),
        "sender_not_authentic": handmade(row.uid, right, verdict=b"fail header.from=example.org"),
        "not_theirs_to_say": handmade(row.uid, right, method=b"CANCEL"),
    }
    for raw in cases.values():
        post.arrives(raw)
        post.arrives(raw.replace(b"<x@y.example>", b"<another@y.example>"))
    assert [desk.seen(b).status for b in (booking, other)] == ["confirmed", "confirmed"]
    assert post.reviews() == [("reply", why) for why in cases]
    assert post.told(booking, "client") == ["booked"]
    with desk.database.reading() as tx:
        offered = [r["choices"] for r in reviewing.listing(tx, admin(), state="open")]
    assert offered == [["cancel"]] * 4 + [[]]


def test_a_doubted_decline_can_be_believed_by_a_human(post: Post) -> None:
    booking = post.desk.book(post.desk.at(8))
    post.arrives(handmade(post.desk.seen(booking).uid, TERMS.mail_from))
    approve(post, "cancel")
    assert post.desk.seen(booking).status == "cancelled"


def test_a_doubted_accept_asks_nobody(post: Post) -> None:
    booking = post.desk.book(post.desk.at(8))
    post.arrives(handmade(post.desk.seen(booking).uid, TERMS.mail_from, partstat=b"ACCEPTED"))
    assert post.desk.seen(booking).attendance_confirmed_at is None
    assert post.reviews() == []
    assert post.happened(booking)[-1] == "reply_doubted"


def test_a_mail_about_nothing_of_ours_is_forgotten(post: Post) -> None:
    post.desk.book(post.desk.at(8))
    post.arrives(handmade("stranger@elsewhere.example", TERMS.mail_from))
    assert post.reviews() == []


def test_an_answer_when_it_is_over_is_a_note(post: Post) -> None:
    desk = post.desk
    booking = desk.book(desk.at(8))
    raw = post.letter(booking)
    desk.now = desk.at(10)
    post.arrives(answer(raw, PartStat.DECLINED, at=desk.now))
    assert desk.seen(booking).status == "completed"
    assert "reply_too_late" in post.happened(booking)
    assert post.reviews() == []


# --- another time -----------------------------------------------------------------------------------------------


def test_another_time_is_a_question_and_yes_moves_the_booking(post: Post) -> None:
    desk = post.desk
    booking = desk.book(desk.at(8))
    wanted = Period(desk.at(10), desk.at(11))
    post.arrives(propose(post.letter(booking), wanted, at=desk.now))
    assert desk.seen(booking).starts_at == desk.at(8)
    assert post.review()["kind"] == "counter"
    assert {"to", "until", "from"} <= post.review()["detail"].keys()
    assert post.told(booking) == ["booked", "counter"]
    assert b"10:00" in post.letter(booking, _newest(desk, booking), "operator")
    approve(post)
    row = desk.seen(booking)
    assert (row.starts_at, row.revision, row.status) == (desk.at(10), 1, "confirmed")
    assert post.told(booking, "client")[-1] == "moved"
    assert post.reviews() == []


def _newest(desk: Desk, booking: str) -> str:
    asked = desk.messages(SendMail, booking_id=booking, audience="operator")[-1]
    assert isinstance(asked, SendMail)
    return asked.about


def test_no_keeps_the_booking_and_a_newer_wish_replaces_the_older(post: Post) -> None:
    desk = post.desk
    booking = desk.book(desk.at(8))
    raw = post.letter(booking)
    for hour in (10, 11):
        desk.now += timedelta(minutes=1)
        post.arrives(propose(raw, Period(desk.at(hour), desk.at(hour + 1)), at=desk.now))
    assert post.review()["detail"]["to"] == desk.at(11).isoformat()
    with desk.database.transaction() as tx:
        reviewing.dismiss(tx, TERMS, admin(), post.review()["id"], now=desk.now)
    assert (desk.seen(booking).starts_at, post.reviews()) == (desk.at(8), [])
    asked = desk.messages(SendMail, booking_id=booking, audience="client")[-1].about  # type: ignore[attr-defined]
    mail = email.message_from_bytes(post.letter(booking, asked), policy=email.policy.default)
    assert post.happened(booking, "client")[-1] == "other_time_declined"
    words = mail.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    assert "08:00" in words
    assert "11:00" in words
    (calendar,) = [part for part in mail.walk() if part.get_content_type() == "text/calendar"]
    assert calendar.get_param("method") == "DECLINECOUNTER"
    (event,) = icalendar.Calendar.from_ical(calendar.get_payload(decode=True)).events
    assert (str(event["UID"]), int(event["SEQUENCE"]), event.start) == (desk.seen(booking).uid, 0, desk.at(8))
    assert str(event["ORGANIZER"]).removeprefix("mailto:") == TERMS.organizer(desk.seen(booking).organizer_tag)


@pytest.mark.parametrize(
    ("partstat", "asked"), [(PartStat.ACCEPTED, []), (PartStat.DECLINED, []), (PartStat.TENTATIVE, [("counter", "")])]
)
def test_who_then_answers_yes_or_no_wants_no_other_time(
    post: Post, partstat: PartStat, asked: list[tuple[str, str]]
) -> None:
    desk = post.desk
    raw = post.letter(desk.book(desk.at(8)))
    post.arrives(propose(raw, Period(desk.at(10), desk.at(11)), at=desk.now))
    desk.now += timedelta(minutes=1)
    post.arrives(answer(raw, partstat, at=desk.now))
    assert post.reviews() == asked


def test_who_wishes_without_end_fills_no_mailbox(post: Post) -> None:
    desk = post.desk
    booking = desk.book(desk.at(8))
    raw = post.letter(booking)
    for minutes in range(9):
        start = desk.at(10) + timedelta(minutes=minutes)
        desk.now += timedelta(minutes=1)
        post.arrives(propose(raw, Period(start, start + timedelta(hours=1)), at=desk.now))
    assert post.told(booking).count("counter") == 5
    assert post.review()["detail"]["to"] == (desk.at(10) + timedelta(minutes=8)).isoformat()


@pytest.mark.parametrize("change", ["moved", "cancelled", "over"])
def test_a_wish_about_what_has_changed_is_put_away_in_silence(post: Post, change: str) -> None:
    desk = post.desk
    booking = desk.book(desk.at(8))
    post.arrives(propose(post.letter(booking), Period(desk.at(10), desk.at(11)), at=desk.now))
    if change == "moved":
        desk.reschedule(booking, desk.at(9))
    elif change == "cancelled":
        desk.cancel(booking)
    else:
        desk.now = desk.at(12)
    told = post.told(booking, "client")
    review = next(r for r in reviews_of(post) if r["kind"] == "counter")
    with desk.database.transaction() as tx:
        reviewing.dismiss(tx, TERMS, admin(), review["id"], now=desk.now)
    assert post.told(booking, "client") == told


def reviews_of(post: Post) -> list[dict[str, Any]]:
    with post.desk.database.reading() as tx:
        return reviews.listing(tx)


def test_a_time_that_is_taken_or_an_older_booking_stays_a_question(post: Post) -> None:
    desk = post.desk
    booking = desk.book(desk.at(8))
    desk.book(desk.at(10), "lena")
    post.arrives(propose(post.letter(booking), Period(desk.at(10), desk.at(11)), at=desk.now))
    with pytest.raises(SlotTaken):
        approve(post)
    desk.reschedule(booking, desk.at(9))
    with pytest.raises(NotPossible):
        approve(post)
    assert post.review()["kind"] == "counter"


def test_a_wish_that_no_clock_can_tell_asks_a_human(post: Post) -> None:
    booking = post.desk.book(post.desk.at(8))
    row = post.desk.seen(booking)
    post.arrives(
        handmade(row.uid, TERMS.organizer(row.organizer_tag), method=b"COUNTER", more=b"DTSTART;VALUE=DATE:20270112")
    )
    assert post.reviews() == [("reply", "unclear_time")]
    assert post.desk.seen(booking).status == "confirmed"


# --- the newest version, please ---------------------------------------------------------------------------------


def test_the_invitation_is_sent_again_at_most_once_an_hour_as_a_mail_of_its_own(post: Post) -> None:
    desk = post.desk
    booking = desk.book(desk.at(8, day=1))
    raw = post.letter(booking)
    for minutes in (0, 5, 61):
        desk.now += timedelta(minutes=minutes)
        post.arrives(ask_again(raw, at=desk.now))
    again = [m for m in desk.messages(SendMail, booking_id=booking, audience="client") if ":" in m.about]  # type: ignore[attr-defined]
    assert len(again) == 2
    copy = post.letter(booking, again[0].about)  # type: ignore[attr-defined]
    ids = {_header(each, b"Message-ID") for each in (raw, copy, post.letter(booking, again[1].about))}  # type: ignore[attr-defined]
    assert len(ids) == 3
    assert b"METHOD:REQUEST" in copy or b"method=REQUEST" in copy
    assert desk.seen(booking).revision == 0


def test_of_what_is_cancelled_the_cancellation_comes_again(post: Post) -> None:
    desk = post.desk
    booking = desk.book(desk.at(8, day=1))
    raw = post.letter(booking)
    desk.cancel(booking)
    first = post.letter(booking, "cancelled_by_client")
    post.arrives(ask_again(raw, at=desk.now))
    again = desk.messages(SendMail, booking_id=booking, audience="client")[-1]
    assert isinstance(again, SendMail)
    assert again.about.startswith("cancelled_by_client:")
    copy = post.letter(booking, again.about)
    assert b"method=CANCEL" in copy
    assert _header(copy, b"Message-ID") != _header(first, b"Message-ID")


def test_who_was_never_invited_asks_in_vain(post: Post) -> None:
    desk = post.desk
    booking = desk.book(desk.at(8, day=1))
    raw = post.letter(booking)
    with desk.database.transaction() as tx:
        tx.execute(sa.delete(Delivery))
    desk.cancel(booking)
    told = post.told(booking, "client")
    post.arrives(ask_again(raw, at=desk.now))
    assert post.told(booking, "client") == told


def _header(raw: bytes, name: bytes) -> bytes:
    return next(line for line in raw.split(b"\r\n") if line.startswith(name + b":"))


# --- mail that comes back ---------------------------------------------------------------------------------------


def delivery(desk: Desk, booking: str) -> str:
    with desk.database.reading() as tx:
        return tx.execute(sa.select(Delivery.state).where(Delivery.booking_id == booking)).scalar_one()


def test_a_bounce_is_noted_and_the_operator_is_told_once(post: Post) -> None:
    desk = post.desk
    booking = desk.book(desk.at(8))
    raw = post.letter(booking)
    post.arrives(bounce(raw, at=desk.now))
    assert delivery(desk, booking) == "bounced"
    assert post.happened(booking, "client")[-1] == "mail_bounced"
    assert post.reviews() == [("failed_address", "")]
    assert post.told(booking) == ["booked", "review"]
    post.arrives(bounce(raw, at=desk.now + timedelta(minutes=1)))
    assert post.happened(booking).count("mail_bounced") == 1
    assert desk.seen(booking).status == "confirmed"


@pytest.mark.parametrize("wish", ["start", "days"])
def test_of_who_waits_the_operator_is_told_as_well(post: Post, wish: str) -> None:
    desk = post.desk
    wished = {"start": desk.at(8)} if wish == "start" else {"from": "2027-01-12", "to": "2027-01-20"}
    token = desk.join("vera", wished)
    with desk.database.reading() as tx:
        entry = tx.execute(sa.select(WaitlistEntry.id).where(WaitlistEntry.token == token)).scalar_one()
    with desk.database.transaction() as tx:
        for words in ("550 5.1.1 <vera@example.org> is unknown", "again"):
            address_failed(
                tx, f"entry:{entry}", desk.operator_id, "client", "vera@example.org", "waitlisted", words,
                now=desk.now, cause="mail_report",
            )  # fmt: skip
    review = post.review()
    assert (review["kind"], review["booking_id"]) == ("failed_address", None)
    assert review["detail"] == {"about": "waitlisted", "entry": entry, "reply": "550 5.1.1 <> is unknown"}
    (asked,) = desk.messages(SendMail, audience="operator")
    with desk.database.reading() as tx:
        letter = mail_for(tx, asked, TERMS, now=desk.now)  # type: ignore[arg-type]
        reviewed = reviewing.listing(tx, admin(), state="open")
    assert letter is not None
    assert letter.subject.startswith("A mail did not arrive: Vera, Consultation")
    assert ("When: " in letter.text) == (wish == "start")
    assert "vera@example.org" in letter.text
    assert f"{TERMS.base_url}/operator/line" in letter.text
    assert reviewed[0]["choices"] == []


def test_a_delay_is_only_a_note(post: Post) -> None:
    booking = post.desk.book(post.desk.at(8))
    post.arrives(bounce(post.letter(booking), at=post.desk.now, status="4.2.2", words="452 4.2.2 Mailbox full"))
    assert delivery(post.desk, booking) == "handed_over"
    assert post.happened(booking)[-1] == "mail_delayed"
    assert post.reviews() == []


def test_a_report_about_a_mail_that_is_not_ours_is_nobodys(post: Post) -> None:
    booking = post.desk.book(post.desk.at(8))
    raw = post.letter(booking)
    mine = _header(raw, b"Message-ID")
    forged = raw.replace(mine, b"Message-ID: <forged@slotledger.test>")
    post.arrives(bounce(forged, at=post.desk.now))
    assert delivery(post.desk, booking) == "handed_over"
    assert post.reviews() == []


def test_the_operators_own_address_is_not_told_that_it_is_broken(post: Post) -> None:
    booking = post.desk.book(post.desk.at(8))
    post.arrives(bounce(post.letter(booking, audience="operator"), at=post.desk.now))
    assert delivery(post.desk, booking) == "bounced"
    assert post.told(booking) == ["booked"]


def test_the_columns_are_empty_until_somebody_answers(desk: Desk) -> None:
    desk.book(desk.at(8))
    with desk.database.reading() as tx:
        row = tx.execute(sa.select(Booking.partstat, Booking.reply_sequence, Booking.reply_dtstamp)).one()
    assert tuple(row) == ("", None, None)
