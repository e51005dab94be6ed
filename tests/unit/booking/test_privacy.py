"""What is kept of a client, shown whole and erased: afterwards nothing in any column names them.

Covers: booking.privacy, booking.retention, ledger.erasure.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from api.wire import wire
from booking import commands, privacy, retention, setup, waitlist
from booking.catalogue import offering
from booking.errors import NotFound
from booking.invitation import mail_for
from booking.states import Happening
from booking.tables import Booking, IdempotencyKey, Service, WaitlistEntry
from ledger import deliveries, erasure, outbox, reviews, timeline
from ledger.backoff import NotYet
from ledger.db import Database
from ledger.messages import ClientReply, ForgetClient, PushEvent, SendMail
from ledger.tables import Delivery, InboundMail, OutboxMessage, Review, Slot, SlotEvent
from tests.support.desk import SPEC, TERMS, Desk
from tests.support.dump import holding

NAME, LOCAL, ANSWER, REASON = "Xenia Quarzmark", "xenia.q_1%", "Blueberrystreet 7", "Grandmother Ottilie is ill"
EMAIL = f"{LOCAL}@quarz.example"
CLIENT = {"name": NAME, "email": EMAIL, "timezone": "Europe/Budapest", "language": "hu"}
FIELDS = [{"name": "street", "type": "text"}, {"name": "terms", "type": "consent"}]
CLUES = (NAME, "Quarzmark", LOCAL, "quarz.example", ANSWER, "Ottilie")


@pytest.fixture
def desk(database: Database) -> Desk:
    return Desk(database).open(talk={"fields": FIELDS}, group={"capacity": 4, "show_names": True})


def book(desk: Desk, start: datetime, service: str = "talk", **more: Any) -> str:
    return desk.book(start, service=service, client={**CLIENT, **more.pop("client", {})}, **more)


def erase(desk: Desk, email: str = EMAIL) -> privacy.Erased:
    with desk.database.transaction() as tx:
        return privacy.erase(tx, TERMS, email, now=desk.now, cause="test")


def give_up(desk: Desk) -> int:
    done = 0
    while True:
        with desk.database.transaction() as tx:
            if not privacy.give_up(tx, TERMS, EMAIL, now=desk.now, cause="test"):
                return done
        done += 1


def send_all(desk: Desk) -> None:
    """Every mail goes out, as the workers would note it."""
    with desk.database.transaction() as tx:
        row = OutboxMessage
        for each in tx.execute(
            sa.select(row.__table__).where(row.kind == "SendMail", row.state.in_(outbox.LIVE))
        ).all():
            client = privacy._address_of(tx, each.body["booking_id"])
            recipient = client if each.body["audience"] == "client" else "anna@practice.example"
            deliveries.prepare(
                tx, message_id=f"<{each.id}@slotledger.test>", message=f"To: {recipient}\n\n{NAME} {ANSWER}".encode(),
                recipient=recipient,
                booking_id=each.body["booking_id"], operator_id=desk.operator_id, audience=each.body["audience"],
                kind=each.body["about"], sequence=each.body["revision"], now=desk.now,
            )  # fmt: skip
            sent = deliveries.find(
                tx, booking_id=each.body["booking_id"], audience=each.body["audience"], kind=each.body["about"],
                sequence=each.body["revision"],
            )  # fmt: skip
            assert sent is not None
            deliveries.handed_over(tx, sent.id, reply=f"250 queued for {recipient}", now=desk.now)
            tx.execute(sa.update(row).where(row.id == each.id).values(state="done", settled_at=desk.now))


def a_full_life(desk: Desk) -> list[str]:
    """Somebody who did everything that leaves a trace. Returns the bookings."""
    came = book(desk, desk.at(8), answers={"street": ANSWER, "terms": True}, idempotency_key="k1")
    missed = book(desk, desk.at(9), answers={"street": ANSWER})
    off = book(desk, desk.at(10))
    shared = book(desk, desk.at(8, day=1), service="group")
    desk.book(desk.at(8, day=1), who="imre", service="group")
    desk.join("nobody", {"start": desk.at(9)})
    with desk.database.transaction() as tx:
        commands.cancel(tx, TERMS, off, by="client", now=desk.now, cause="test", reason=REASON)
        token = _wait(tx, desk)
        row = tx.execute(sa.select(Booking.__table__).where(Booking.id == came)).one()
        fact = ClientReply(
            "0" * 64, row.organizer_tag, row.uid, "REPLY", 0, desk.now, "ACCEPTED", EMAIL, f"yours, {NAME}", "pass"
        )
        outbox.append(tx, fact, now=desk.now, cause="calendar_reply")
        reviews.ask(
            tx, "failed_address", f"failed_address:{missed}", now=desk.now, operator_id=desk.operator_id,
            booking_id=missed, detail={"about": "booked", "reply": f"550 {EMAIL} unknown"},
        )  # fmt: skip
        tx.execute(
            sa.insert(InboundMail).values(
                digest="1" * 64, kind="bounce", reason=f"for {EMAIL.upper()}", verdict="pass", received_at=desk.now
            )
        )
        timeline.note(tx, came, desk.operator_id, "noted", now=desk.now, audience="admin", note=f"{NAME} called")
    desk.leave(token)
    desk.now = desk.at(13, day=1)
    desk.work()
    with desk.database.transaction() as tx:
        commands.mark(tx, TERMS, missed, Happening.NO_SHOW, now=desk.now, cause="test")
    send_all(desk)  # the letter about it too
    return [came, missed, off, shared]


def _wait(tx: Any, desk: Desk) -> str:
    given = {"client": CLIENT, "wish": {"start": desk.at(9)}, "accept": "ask", "answers": {"street": ANSWER}}
    return waitlist.join(tx, offering(tx, "anna", "talk"), given, now=desk.now, cause="test")


# --- export ---------------------------------------------------------------------------------------------------------


def test_an_export_shows_all_that_is_kept_of_one_client(desk: Desk) -> None:
    came, missed, off, shared = a_full_life(desk)
    with desk.database.reading() as tx:
        shown = privacy.export(tx, EMAIL.upper(), now=desk.now)
    json.dumps(wire(shown))  # a document
    assert (shown["format"], [b["id"] for b in shown["bookings"]]) == (
        "slotledger-client/1",
        [came, missed, off, shared],
    )
    first, second, third = shown["bookings"][:3]
    assert (first["name"], first["email"], first["answers"]) == (NAME, EMAIL, {"street": ANSWER, "terms": True})
    assert list(first["consents"]) == ["terms"]
    assert [m["kind"] for m in first["deliveries"]] == ["booked"]
    assert first["deliveries"][0]["recipient"] == EMAIL
    assert first["replies"][0]["comment"] == f"yours, {NAME}"
    assert "noted" in [line["what"] for line in first["timeline"]]
    assert (second["status"], third["reason"]) == ("no_show", REASON)
    assert shown["no_shows"] == {"count": 1, "starts": [second["start"]]}
    assert [p["status"] for p in shown["waitlist"]] == ["removed"]
    assert "Imre" not in json.dumps(wire(shown))


def test_an_export_of_a_stranger_is_empty(desk: Desk) -> None:
    with desk.database.reading() as tx:
        for email in ("who@example.org", "", "%"):
            shown = privacy.export(tx, email, now=desk.now)
            assert (shown["bookings"], shown["waitlist"], shown["no_shows"]["count"]) == ([], [], 0)


# --- erase ----------------------------------------------------------------------------------------------------------


def test_after_an_erasure_nothing_names_them(desk: Desk) -> None:
    a_full_life(desk)
    assert holding(desk.database, *CLUES)  # the search finds what is there
    done = erase(desk)
    assert (done.bookings, done.places, done.waits_for) == (4, 1, 0)
    assert holding(desk.database, *CLUES) == []
    again = erase(desk)
    assert (again.bookings, again.places) == (0, 0)


def test_what_happened_stays(desk: Desk) -> None:
    came, missed, off, shared = a_full_life(desk)
    with desk.database.reading() as tx:
        tokens = dict(tx.execute(sa.select(Booking.id, Booking.token)).all())
        slots = tx.execute(sa.select(Slot.__table__).order_by(Slot.id)).all()
    erase(desk)
    assert [desk.seen(b).status for b in (came, missed, off, shared)] == [
        "completed",
        "no_show",
        "cancelled",
        "completed",
    ]
    assert desk.seen(came).starts_at == desk.at(8)
    with desk.database.reading() as tx:
        assert tx.execute(sa.select(Slot.__table__).order_by(Slot.id)).all() == slots
        with pytest.raises(NotFound):
            commands.id_of(tx, tokens[came])  # the link in their mails leads nowhere
        kept = tx.execute(sa.select(sa.func.count()).select_from(Delivery)).scalar_one()
    assert kept >= 8
    lines = [line["what"] for line in desk.view(came, reader="operator")["timeline"]]
    assert lines[0] == "booked"
    assert lines[-1] == "erased"


def test_others_stay_whole(desk: Desk) -> None:
    shared = a_full_life(desk)[3]
    erase(desk)
    with desk.database.reading() as tx:
        words = tx.execute(
            sa.select(SlotEvent.words).where(SlotEvent.slot_id == desk.seen(shared).slot_id)
        ).scalar_one()
    assert "Imre" in json.dumps(words)
    assert holding(desk.database, "imre@example.org")
    assert holding(desk.database, "anna@practice.example")


@pytest.mark.parametrize("other", ["anna.kovacs@gmail.example", "kovacs@gmail.examples", "o'kovacs@gmail.example"])
def test_who_has_a_longer_address_stays_who_they_are(desk: Desk, other: str) -> None:
    gone = book(desk, desk.at(9), client={"name": "Kovacs", "email": "kovacs@gmail.example"})
    stays = book(desk, desk.at(10), client={"name": "Anna Kovacs", "email": other})
    desk.cancel(gone)
    send_all(desk)
    before, rows = desk.seen(stays), holding(desk.database, other)
    assert erase(desk, "kovacs@gmail.example").bookings == 1
    assert desk.seen(stays) == before
    assert holding(desk.database, other) == rows
    assert (desk.seen(gone).client_name, desk.seen(gone).client_email) == ("—", "")


def test_an_address_may_have_letters_outside_of_ascii(desk: Desk) -> None:
    gone = book(
        desk, desk.at(9), client={"email": "Ágnes@posta.example"}, answers={"street": "ask Ágnes@posta.example"}
    )
    desk.cancel(gone)
    send_all(desk)
    with desk.database.transaction() as tx:
        seen = {"email": "written by ÁGNES@posta.example"}
        timeline.note(tx, "another", desk.operator_id, "noted", now=desk.now, audience="admin", **seen)
    with desk.database.reading() as tx:
        assert [b["id"] for b in privacy.export(tx, "ágnes@POSTA.example", now=desk.now)["bookings"]] == [gone]
    assert erase(desk, "ágnes@posta.example").bookings == 1
    assert holding(desk.database, "ágnes", "gnes@posta") == []


def test_who_named_somebody_else_keeps_their_own_words(desk: Desk) -> None:
    gone = book(desk, desk.at(9), client={"name": "Kovacs"}, answers={"street": "20"})
    both = {"street": f"20 Road, with {EMAIL}"}
    stays = book(desk, desk.at(10), client={"name": "Anna Kovacs", "email": "anna@quarz.example"}, answers=both)
    desk.cancel(gone)
    send_all(desk)
    erase(desk)
    row = desk.seen(stays)
    assert (row.client_name, row.client_email) == ("Anna Kovacs", "anna@quarz.example")
    assert row.answers["street"] == "20 Road, with "


def test_the_operators_event_loses_the_name_too(desk: Desk) -> None:
    came = a_full_life(desk)[0]
    with desk.database.reading() as tx:
        event = tx.execute(sa.select(SlotEvent.__table__).where(SlotEvent.slot_id == desk.seen(came).slot_id)).one()
    erase(desk)
    assert PushEvent(event.id, event.version + 1) in desk.messages(PushEvent)


def test_an_event_that_the_account_shares_is_not_written_again(desk: Desk) -> None:
    came = a_full_life(desk)[0]
    with desk.database.transaction() as tx:
        tx.execute(sa.update(Booking).where(Booking.id == came).values(voice="provider"))
        tx.execute(sa.update(SlotEvent).values(words={"title": NAME, "guest": {"email": EMAIL, "name": NAME}}))
    before = desk.messages(PushEvent)
    erase(desk)
    slot_id = desk.seen(came).slot_id
    with desk.database.reading() as tx:
        event = tx.execute(sa.select(SlotEvent.__table__).where(SlotEvent.slot_id == slot_id)).one()
    assert [m for m in desk.messages(PushEvent) if m not in before and m.slot_event_id == event.id] == []  # type: ignore[attr-defined]
    assert "guest" not in event.words
    assert holding(desk.database, NAME, EMAIL) == []


def test_who_is_expected_or_waits_is_not_erased(desk: Desk) -> None:
    book(desk, desk.at(9))
    with pytest.raises(privacy.StillExpected):
        erase(desk)
    assert holding(desk.database, NAME)
    with desk.database.transaction() as tx:
        _wait(tx, desk)
    assert give_up(desk) == 2
    with desk.database.reading() as tx:
        assert tx.execute(sa.select(Booking.status)).scalars().all() == ["cancelled"]
        assert tx.execute(sa.select(WaitlistEntry.status)).scalars().all() == ["removed"]


def test_the_mails_about_it_go_out_before(desk: Desk) -> None:
    booking_id = book(desk, desk.at(9))
    give_up(desk)
    assert erase(desk).waits_for > 0
    [asked] = desk.messages(ForgetClient)
    assert asked == ForgetClient(booking_id, desk.now + privacy.MAIL_FIRST)  # and no address in it
    with pytest.raises(NotYet):
        desk.say(asked)
    assert holding(desk.database, NAME)
    send_all(desk)
    desk.say(asked)
    assert holding(desk.database, *CLUES) == []


def test_a_mail_that_cannot_be_sent_does_not_keep_them_for_ever(desk: Desk) -> None:
    booking_id = book(desk, desk.at(9))
    give_up(desk)
    erase(desk)
    desk.now += privacy.MAIL_FIRST
    desk.work()
    assert holding(desk.database, *CLUES) == []
    with desk.database.reading() as tx:
        row = OutboxMessage
        states = tx.execute(sa.select(row.state).where(row.kind == "SendMail", row.booking_id == booking_id)).scalars()
        assert set(states) == {"discarded"}


def test_who_comes_back_meanwhile_stays(desk: Desk) -> None:
    booking_id = book(desk, desk.at(9))
    give_up(desk)
    erase(desk)
    again = book(desk, desk.at(10))
    send_all(desk)
    desk.now += timedelta(seconds=10)
    with desk.database.transaction() as tx:
        message = ForgetClient(booking_id, desk.now)
        privacy.erase_later(tx, TERMS, message, now=desk.now, cause="test")
    assert desk.seen(again).client_name == desk.seen(booking_id).client_name == NAME


def test_a_repeated_request_is_forgotten(desk: Desk) -> None:
    a_full_life(desk)
    erase(desk)
    with desk.database.reading() as tx:
        assert tx.execute(sa.select(IdempotencyKey.key)).all() == []


def test_no_mail_is_written_to_nobody(desk: Desk) -> None:
    came, missed = a_full_life(desk)[:2]
    asked = [
        SendMail(missed, desk.seen(missed).revision, "no_show", "client"),
        SendMail(came, desk.seen(came).revision, "no_show", "operator"),
    ]
    with desk.database.reading() as tx:
        assert all(mail_for(tx, message, TERMS, now=desk.now) for message in asked)
    erase(desk)
    with desk.database.reading() as tx:
        assert [mail_for(tx, message, TERMS, now=desk.now) for message in asked] == [None, None]


def test_an_event_that_nobody_wants_any_more_says_nothing(desk: Desk) -> None:
    booking_id = book(desk, desk.at(9))
    desk.cancel(booking_id)
    with desk.database.reading() as tx:
        words = sa.select(SlotEvent.words).where(SlotEvent.slot_id == desk.seen(booking_id).slot_id)
        assert tx.execute(words).scalar_one() == {}


@pytest.mark.parametrize(
    ("value", "tidy"),
    [
        ("cancelled_by_client", "cancelled_by_client"),
        ("2027-01-11T09:00:00+00:00", "2027-01-11T09:00:00+00:00"),
        ("I am ill", ""),
        ("kata", ""),  # a needle
        ("KATA-7", ""),
        ("x@y.example", ""),
        (
            {"reason": "ill", "revision": 3, "list": ["a", "b c", None]},
            {"reason": "", "revision": 3, "list": ["a", "", None]},
        ),
    ],
)
def test_records_keep_code_words_numbers_and_instants(value: object, tidy: object) -> None:
    assert erasure.tidied(value, {"kata"}) == tidy


def test_needles_are_cut_out_whatever_their_case() -> None:
    assert erasure.without("to KATA@x.example, Kata!", {"kata@x.example", "kata"}) == "to , !"
    assert erasure.without({"a": ["Kata", 1]}, {"kata"}) == {"a": ["", 1]}


def test_an_ordinary_answer_spoils_nobodys_review(desk: Desk) -> None:
    gone = book(desk, desk.at(8), service="group", client={"name": "2027"}, answers={})
    slot_id = desk.seen(gone).slot_id
    detail = {"start": "2027-01-11T08:00:00+00:00", "why": "2027-late", "seats": "2027", "note": "in 2027, not 20271"}
    with desk.database.transaction() as tx:
        reviews.ask(
            tx, "move", f"move:{slot_id}", now=desk.now, operator_id=desk.operator_id, slot_id=slot_id, detail=detail
        )
    desk.cancel(gone)
    send_all(desk)
    erase(desk)
    with desk.database.reading() as tx:
        stored = tx.execute(sa.select(Review.detail).where(Review.slot_id == slot_id)).scalar_one()
    assert stored == {**detail, "seats": "", "note": "in , not 20271"}


@pytest.mark.parametrize("instant", ["2027-01-11T09:00:00+00:00", "2027-01-11 09:00:00.5Z", "2027-01-11"])
def test_an_instant_stays_one_whatever_was_answered(instant: str) -> None:
    assert erasure.without(instant, {"20", "11", "2027"}) == instant
    assert erasure.tidied(instant, {"20", "11", "2027"}) == instant
    assert erasure.without(instant, {instant.casefold()}) == erasure.tidied(instant, {instant.casefold()}) == ""


def test_needles_are_whole_words_and_whole_addresses() -> None:
    text = "Kata, Katalin, anna.kata@x.org, kata.b@x.org, kata@x.org, kata@x.org.uk"
    kept = ", Katalin, anna.kata@x.org, kata.b@x.org, , kata@x.org.uk"
    assert erasure.without(text, {"kata", "kata@x.org"}) == kept


# --- retention --------------------------------------------------------------------------------------------------------


def old(desk: Desk, months: int) -> datetime:
    return retention.months_before(desk.now, -months)


def forget(desk: Desk, now: datetime, limit: int = 20) -> int:
    with desk.database.transaction() as tx:
        return retention.forget_old(tx, TERMS, now, limit=limit)


def test_clients_are_forgotten_by_themselves(desk: Desk) -> None:
    a_full_life(desk)
    assert forget(desk, old(desk, 23)) == 0
    assert holding(desk.database, NAME)
    later = old(desk, 24) + timedelta(days=2)
    assert forget(desk, later) == 3  # she in two services, he in one; who never came is not yet over
    assert list(holding(desk.database, NAME, ANSWER, "Ottilie")) == []
    assert [t for t, c, _ in holding(desk.database, EMAIL) if t not in ("inbound_mail",)] == []
    assert forget(desk, later) == 0


def test_each_service_says_how_long(desk: Desk) -> None:
    a_full_life(desk)
    with desk.database.transaction() as tx:
        setup.put_service(
            tx,
            "anna",
            "talk",
            {**SPEC, "fields": FIELDS, "retention_months": 1},
            now=desk.now,
            replace=True,
        )
    assert forget(desk, old(desk, 2)) == 1
    with desk.database.reading() as tx:
        names = tx.execute(
            sa.select(Service.slug, Booking.client_name).join(Service, Service.id == Booking.service_id).distinct()
        ).all()
    assert {(slug, name) for slug, name in names} == {("talk", "—"), ("group", NAME), ("group", "Imre")}


def test_retention_works_in_batches(desk: Desk) -> None:
    a_full_life(desk)
    later = old(desk, 25)
    assert [forget(desk, later, limit=1) for _ in range(4)] == [1, 1, 1, 0]


def test_who_is_expected_is_kept_whatever_was_before(desk: Desk) -> None:
    a_full_life(desk)
    later = old(desk, 30)
    with desk.database.transaction() as tx:
        tx.execute(
            sa.update(Booking)
            .where(Booking.client_email == EMAIL, Booking.status == "completed")
            .values(status="confirmed", ends_at=desk.now)
        )
    forget(desk, later)
    assert holding(desk.database, NAME)


@pytest.mark.parametrize(
    ("now", "months", "then"),
    [
        ((2026, 11, 26), 24, (2024, 11, 26)),
        ((2028, 2, 29), 12, (2027, 2, 28)),
        ((2026, 3, 31), 1, (2026, 2, 28)),
        ((2026, 1, 5), 1, (2025, 12, 5)),
    ],
)
def test_months_are_months(now: tuple[int, int, int], months: int, then: tuple[int, int, int]) -> None:
    assert retention.months_before(datetime(*now, tzinfo=UTC), months) == datetime(*then, tzinfo=UTC)
