"""The mails of whole stories: real commands, the real outbox and mail worker, messages read back from a folder."""

from __future__ import annotations

import email
import email.policy
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import icalendar
import pytest
import sqlalchemy as sa

from booking import commands, waitlist
from booking.catalogue import offering
from booking.services import parse
from booking.tables import Booking, Service, WaitlistEntry
from connectors.mail.folder import MailFolder
from ledger import outbox
from ledger.db import Database
from ledger.messages import SendMail
from ledger.tables import Operator, OutboxMessage
from tests.support.worlds import world_of
from workers.mail import send_mail
from workers.world import World

DAY = timedelta(days=1)
HOURS = {day: ["08:00-18:00"] for day in ("mon", "tue", "wed", "thu", "fri", "sat", "sun")}


@dataclass(frozen=True)
class Read:
    """A mail as its reader has it."""

    recipient: str
    subject: str
    text: str
    html: str
    message: EmailMessage
    calendars: list[icalendar.Component] = field(default_factory=list)

    @property
    def event(self) -> Any:
        """The event of the inline part."""
        return self.calendars[0].events[0]

    @property
    def method(self) -> str:
        """METHOD, or nothing."""
        return str(self.calendars[0]["METHOD"]) if self.calendars else ""


class Story:
    """One practice with one service; a clock that is moved by hand."""

    def __init__(self, database: Database, folder: Path, now: datetime, **spec: Any) -> None:
        self.database, self.folder, self.now = database, folder, now
        self.start = now.replace(hour=9) + 7 * DAY
        self.world: World = world_of(database, folder, now=lambda: self.now)
        self.terms = self.world.terms
        self.box = MailFolder(folder / "mail")
        self.seen: set[str] = set()
        values = parse(
            {"title": "Consultation", "duration_minutes": 50, "start_every_minutes": 60, "hours": HOURS} | spec
        )
        with database.transaction() as tx:
            operator = tx.execute(
                sa.insert(Operator)
                .values(
                    slug="anna", name="Anna Kovács", email="anna@x.example", timezone="Europe/Budapest", created_at=now
                )
                .returning(Operator.id)
            ).scalar_one()
            tx.execute(sa.insert(Service).values(operator_id=operator, slug="c", spec=values.to_json(), created_at=now))

    def book(self, name: str, language: str = "en", start: datetime | None = None) -> str:
        """Somebody books on the page."""
        client = {
            "name": name,
            "email": f"{name.lower()}@mail.example",
            "timezone": "America/New_York",
            "language": language,
        }
        request = {"start": start or self.start, "seats": 1, "client": client, "answers": {}}
        with self.database.transaction() as tx:
            return commands.book(tx, self.terms, "anna", "c", request, now=self.now, cause="api")

    def wait(self, name: str, accept: str = "auto") -> str:
        """Somebody waits for the start of the story."""
        client = {"name": name, "email": f"{name.lower()}@mail.example", "timezone": "Europe/London", "language": "de"}
        given = {"client": client, "seats": 1, "accept": accept, "wish": {"start": self.start.isoformat()}}
        with self.database.transaction() as tx:
            return waitlist.join(tx, offering(tx, "anna", "c"), given, now=self.now, cause="api")

    def do(self, command: Any, *args: Any, **options: Any) -> Any:
        """One command in its transaction, a minute later."""
        self.now += timedelta(minutes=1)
        with self.database.transaction() as tx:
            return command(tx, self.terms, *args, now=self.now, cause="api", **options)

    def deliver(self) -> list[Read]:
        """Send everything that is due, and open the new mail."""
        while True:
            with self.database.transaction() as tx:
                ids = [i for i, kind in outbox.lease(tx, now=self.now) if kind == "SendMail"]
            if not ids:
                break
            for row_id in ids:
                with self.database.transaction() as tx:
                    leased = outbox.begin(tx, row_id, now=self.now)
                assert leased is not None
                send_mail(self.world, leased)
        return [self._opened(mail.id) for mail in self.box.listing() if mail.id not in self.seen]

    def to_clients(self) -> list[Read]:
        """`deliver`, without the operator's mail."""
        return [mail for mail in self.deliver() if mail.recipient != "anna@x.example"]

    def _opened(self, mail_id: str) -> Read:
        self.seen.add(mail_id)
        raw = self.box.read(mail_id)
        assert raw is not None
        message = email.message_from_bytes(raw, policy=email.policy.default)
        text, html = message.get_body(("plain",)), message.get_body(("html",))
        assert text is not None
        assert html is not None
        inline = [p for p in message.walk() if p.get_content_type() == "text/calendar"]
        return Read(
            recipient=message["To"].addresses[0].addr_spec,
            subject=str(message["Subject"]),
            text=text.get_content(),
            html=html.get_content(),
            message=message,
            calendars=[icalendar.Calendar.from_ical(p.get_payload(decode=True)) for p in inline],
        )


def test_one_booking_from_its_beginning_to_its_end(database: Database, tmp_path: Path, now: datetime) -> None:
    story = Story(database, tmp_path, now)
    booking = story.book("Kata")
    (first,) = story.to_clients()
    story.do(commands.reschedule, booking, story.start + DAY, by="client")
    (second,) = story.to_clients()
    story.do(commands.cancel, booking, by="operator")
    (third,) = story.to_clients()

    mails = [first, second, third]
    assert [mail.method for mail in mails] == ["REQUEST", "REQUEST", "CANCEL"]
    assert [int(mail.event["SEQUENCE"]) for mail in mails] == [0, 1, 2]
    assert len({str(mail.event["UID"]) for mail in mails}) == 1
    assert len({str(mail.event["ORGANIZER"]) for mail in mails}) == 1
    assert {str(mail.event["ATTENDEE"]) for mail in mails} == {"mailto:kata@mail.example"}
    assert [str(mail.event["STATUS"]) for mail in mails] == ["CONFIRMED", "CONFIRMED", "CANCELLED"]
    assert [mail.event.start for mail in mails] == [story.start, story.start + DAY, story.start + DAY]
    assert [mail.subject.split(":")[0] for mail in mails] == ["Confirmed", "New time", "Cancelled"]
    assert len({mail.message["Message-ID"] for mail in mails}) == 3
    for mail in mails:
        assert f"mailto:{mail.message['Reply-To'].addresses[0].addr_spec}" == str(mail.event["ORGANIZER"])
        assert "04:00–04:50 (New York)" in mail.text
        assert "10:00–10:50 (Budapest)" in mail.text


def test_the_operator_gets_words_and_no_second_event(sqlite: Database, tmp_path: Path, now: datetime) -> None:
    story = Story(sqlite, tmp_path, now)
    booking = story.book("Kata")
    story.do(commands.cancel, booking, by="client", reason="I am ill")
    mails = [mail for mail in story.deliver() if mail.recipient == "anna@x.example"]
    assert [mail.subject.split(":")[0] for mail in mails] == ["Cancelled"]
    assert mails[0].calendars == []
    assert "Reason: I am ill" in mails[0].text


def test_who_was_never_invited_is_not_uninvited(sqlite: Database, tmp_path: Path, now: datetime) -> None:
    story = Story(sqlite, tmp_path, now)
    booking = story.book("Kata")
    story.do(commands.cancel, booking, by="operator")
    (only,) = story.to_clients()
    assert only.subject.startswith("Cancelled")
    assert only.calendars == []


def test_a_move_before_the_first_mail_invites_once(sqlite: Database, tmp_path: Path, now: datetime) -> None:
    story = Story(sqlite, tmp_path, now)
    booking = story.book("Kata")
    story.do(commands.reschedule, booking, story.start + DAY, by="client")
    (only,) = story.to_clients()
    assert (only.method, int(only.event["SEQUENCE"]), only.event.start) == ("REQUEST", 1, story.start + DAY)
    story.do(commands.cancel, booking, by="client")
    (last,) = story.to_clients()
    assert (last.method, int(last.event["SEQUENCE"])) == ("CANCEL", 2)


@pytest.mark.parametrize(("decision", "method"), [("confirm", "REQUEST"), ("decline", "")])
def test_approval(decision: str, method: str, sqlite: Database, tmp_path: Path, now: datetime) -> None:
    story = Story(sqlite, tmp_path, now, confirmation="approval")
    booking = story.book("Kata", "hu")
    asked = story.deliver()
    assert sorted(mail.subject.split(":")[0] for mail in asked) == ["Kérését megkaptuk", "Please decide"]
    assert all(mail.calendars == [] for mail in asked)
    story.do(commands.decide, booking, decision)
    (answer,) = story.to_clients()
    assert answer.method == method
    assert answer.subject.split(":")[0] == ("Visszaigazolva" if method else "Nem lehetséges")


def test_the_freed_place_is_an_invitation_and_no_leftover(database: Database, tmp_path: Path, now: datetime) -> None:
    story = Story(database, tmp_path, now)
    zebra = story.book("Zebra")
    story.wait("Jonas")
    (_, waiting) = story.to_clients()
    assert waiting.subject == "Warteliste: Consultation"
    story.do(commands.cancel, zebra, by="client", reason="private reasons")
    gone, promoted = sorted(story.to_clients(), key=lambda mail: mail.method)
    assert (gone.method, gone.recipient) == ("CANCEL", "zebra@mail.example")
    assert (promoted.method, promoted.recipient) == ("REQUEST", "jonas@mail.example")
    assert promoted.subject.startswith("Ein Platz für Sie: Consultation")
    assert int(promoted.event["SEQUENCE"]) == 0
    assert str(promoted.event["UID"]) != str(gone.event["UID"])
    everything = promoted.message.as_string() + promoted.text + promoted.html + promoted.calendars[0].to_ical().decode()
    assert "zebra" not in everything.lower()
    assert "private reasons" not in everything


def test_an_offer_runs_out_for_one_and_is_taken_by_the_next(sqlite: Database, tmp_path: Path, now: datetime) -> None:
    story = Story(sqlite, tmp_path, now)
    zebra = story.book("Zebra")
    story.wait("Jonas", "ask")
    second = story.wait("Lena", "ask")
    story.deliver()
    story.do(commands.cancel, zebra, by="client")
    (offer,) = [mail for mail in story.to_clients() if mail.recipient == "jonas@mail.example"]
    assert offer.subject.startswith("Ein Platz ist frei")
    assert offer.calendars == []
    assert "#accept" in offer.text
    story.now += timedelta(minutes=30)
    with sqlite.reading() as tx:
        (offer_id,) = tx.execute(sa.text("SELECT id FROM offer")).scalars().all()
    story.do(waitlist.expire_offer, offer_id)
    after = {mail.recipient: mail for mail in story.to_clients()}
    assert after["jonas@mail.example"].subject.startswith("Angebot abgelaufen")
    assert after["lena@mail.example"].subject.startswith("Ein Platz ist frei")
    story.do(waitlist.accept_offer, second)
    (taken,) = story.to_clients()
    assert (taken.recipient, taken.method) == ("lena@mail.example", "REQUEST")


def test_members_of_a_group_never_meet(sqlite: Database, tmp_path: Path, now: datetime) -> None:
    story = Story(sqlite, tmp_path, now, capacity=8, names_in_event=True)
    story.book("Zebra")
    story.book("Lion", "ar")
    zebra, lion = sorted(story.to_clients(), key=lambda mail: mail.recipient, reverse=True)
    for mine, other in ((zebra, "lion"), (lion, "zebra")):
        everything = mine.message.as_string() + mine.text + mine.html + mine.calendars[0].to_ical().decode()
        assert other not in everything.lower()
    assert str(zebra.event["UID"]) != str(lion.event["UID"])
    assert str(zebra.event["ORGANIZER"]) != str(lion.event["ORGANIZER"])
    assert '<html lang="ar" dir="rtl">' in lion.html


def test_a_repeat_is_the_very_same_mail(sqlite: Database, tmp_path: Path, now: datetime) -> None:
    story = Story(sqlite, tmp_path, now)
    story.book("Kata")
    (first,) = story.to_clients()
    # A crash between the sending and the noting: the row comes back, and its bytes were lost with the disk.
    with sqlite.transaction() as tx:
        tx.execute(sa.text("DELETE FROM delivery"))
        tx.execute(
            sa.update(OutboxMessage)
            .where(OutboxMessage.kind == SendMail.__name__)
            .values(state="waiting", lease="", leased_until=None, settled_at=None)
        )
    for path in (tmp_path / "mail").glob("*.eml"):
        path.unlink()
    story.seen.clear()
    story.now += timedelta(hours=1)
    (second,) = story.to_clients()
    assert second.message.as_bytes() == first.message.as_bytes()


def test_no_story_leaves_mail_behind(sqlite: Database, tmp_path: Path, now: datetime) -> None:
    story = Story(sqlite, tmp_path, now)
    story.book("Kata")
    story.wait("Jonas")
    story.deliver()
    with sqlite.reading() as tx:
        stuck = tx.execute(
            sa.select(OutboxMessage.state).where(OutboxMessage.kind == "SendMail", OutboxMessage.state != "done")
        ).all()
        people = tx.execute(sa.select(Booking.id)).all() + tx.execute(sa.select(WaitlistEntry.id)).all()
    assert stuck == []
    assert len(people) == 2
