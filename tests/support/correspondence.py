"""Every mail that a practice can send, in one language: real commands, the real outbox, the real mail worker.

People behave in `Correspondence.everything` so that each kind of letter is written at least once.
"""

from __future__ import annotations

import email
import email.policy
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from email.message import EmailMessage
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import sqlalchemy as sa
from lxml import html as lxml_html

from api import reviewing
from booking import commands, setup, waitlist
from booking.catalogue import offering
from booking.letters import About
from booking.missed import UNDONE_WITHIN
from booking.replies import scope_of_fact
from booking.states import Happening
from connectors.emulators.mailclient import propose, write_back
from connectors.mail.folder import MailFolder
from connectors.mail.imip_incoming import parse_incoming
from connectors.model import Period
from ledger import outbox, reviews
from ledger.db import Database
from ledger.messages import Message, RemoteMove
from ledger.tables import Delivery, SlotEvent
from sync import replies
from tests.support.worlds import world_of
from workers import opening
from workers.actors import run_message
from workers.world import World

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
HOURS = {day: ["08:00-18:00"] for day in ("mon", "tue", "wed", "thu", "fri", "sat", "sun")}
TITLES = {
    "en": ("Consultation", "Main street 1", "A calm hour."),
    "hu": ("Konzultáció", "Fő utca 1.", "Egy nyugodt óra."),
    "de": ("Beratung", "Hauptstraße 1", "Eine ruhige Stunde."),
    "fr": ("Entretien", "1 rue Haute", "Une heure au calme."),
    "es": ("Consulta", "Calle Mayor 1", "Una hora tranquila."),
    "it": ("Consulenza", "Via Alta 1", "Un’ora tranquilla."),
    "ar": ("استشارة", "الشارع الرئيسي ١", "ساعة هادئة."),
}
PHONE = {
    "en": "Phone",
    "hu": "Telefon",
    "de": "Telefon",
    "fr": "Téléphone",
    "es": "Teléfono",
    "it": "Telefono",
    "ar": "هاتف",
}
SPEC: dict[str, Any] = {
    "title": "Consultation",
    "place": "Main street 1",
    "link": "https://meet.example/room-7",
    "price": "80 €",
    "duration_minutes": 50,
    "start_every_minutes": 60,
    "notice_minutes": 0,
    "hours": HOURS,
    "texts": {lang: {"title": t, "place": p, "description": d} for lang, (t, p, d) in TITLES.items()},
    "fields": [{"name": "phone", "type": "phone", "label": PHONE}],
}
SERVICES: dict[str, dict[str, Any]] = {
    "talk": {},
    "proposing": {"operator_moves": "propose"},
    "asked": {"confirmation": "approval"},
    "sure": {"confirm_attendance_hours": 48, "release_unconfirmed_hours": 12, "reminder_hours": 0},
    "circle": {"capacity": 8, "show_names": True},
    "curious": {"ask_who_came": True},
}
PEOPLE = (
    "Adara", "Bertil", "Cosima", "Dagmar", "Edvin", "Fabiola", "Gudrun", "Hakan", "Ingeborg", "Jarmila", "Kasimir",
    "Lorenz", "Mirjam", "Nikolaj", "Ottilie", "Philippa", "Quirin", "Rosamund",
    "Tamara", "Ulrike",
)  # fmt: skip


@dataclass(frozen=True, repr=False)
class Sent:
    """One mail that went out: what it was about, and its bytes."""

    about: About
    audience: str
    booking_id: str
    sequence: int
    recipient: str
    raw: bytes

    def __repr__(self) -> str:
        return f"{self.about} to {self.audience} {self.recipient}"

    @cached_property
    def message(self) -> EmailMessage:
        """As the standard library reads it, with every defect raised."""
        return email.message_from_bytes(self.raw, policy=email.policy.default.clone(raise_on_defect=True))

    @cached_property
    def text(self) -> str:
        """The plain twin."""
        part = self.message.get_body(("plain",))
        assert part is not None, self
        return str(part.get_content())

    @cached_property
    def html(self) -> str:
        """The HTML twin."""
        part = self.message.get_body(("html",))
        assert part is not None, self
        return str(part.get_content())

    @cached_property
    def page(self) -> Any:
        """The HTML twin as a tree."""
        return lxml_html.document_fromstring(self.html.encode())

    @cached_property
    def calendars(self) -> list[EmailMessage]:
        """The iCalendar parts: inline, then attached."""
        wanted = ("text/calendar", "application/ics")
        return [part for part in self.message.walk() if part.get_content_type() in wanted]

    @cached_property
    def ics(self) -> bytes:
        """The inline iCalendar object, empty where there is none."""
        return self.calendars[0].get_payload(decode=True) if self.calendars else b""

    @property
    def method(self) -> str:
        """METHOD, or nothing."""
        return self.field("METHOD")

    def field(self, name: str) -> str:
        """The value of the first iCalendar property of that name, unfolded; ``""`` if there is none."""
        for line in self.ics.decode().replace("\r\n ", "").split("\r\n"):
            if line.partition(":")[0].partition(";")[0] == name:
                return line.partition(":")[2]
        return ""

    @cached_property
    def everything(self) -> str:
        """All that a reader could find in it, decoded."""
        parts = [
            str(part.get_payload(decode=True).decode("utf-8"))
            for part in self.message.walk()
            if not part.is_multipart()
        ]  # type: ignore[union-attr]
        heads = [f"{name}: {value}" for name, value in self.message.items()]
        return "\n".join([*heads, *parts]).replace("\r\n ", "")


class Correspondence:
    """One practice in one language; a clock that is moved by hand."""

    def __init__(self, database: Database, folder: Path, now: datetime, language: str = "en") -> None:
        self.database, self.now, self.language = database, now, language
        self.day = now.replace(hour=9) + 7 * DAY
        made = world_of(
            database, folder, now=lambda: self.now, handlers=opening.handlers(), reactions=opening.reactions()
        )
        self.world: World = replace(made, terms=replace(made.terms, base_url="https://book.example"))
        self.terms = self.world.terms
        self.box = MailFolder(folder / "mail")
        with database.transaction() as tx:
            setup.add_operator(
                tx, "anna", name="Anna Kovács", email="anna@practice.example", timezone="Europe/Budapest",
                language=language, now=now,
            )  # fmt: skip
            for slug, more in SERVICES.items():
                setup.put_service(tx, "anna", slug, {**SPEC, **more}, now=now)

    # --- what people do -----------------------------------------------------------------------------------------

    def person(self, name: str) -> dict[str, str]:
        """Somebody far away."""
        return {
            "name": name,
            "email": f"{name.lower()}@client.example",
            "timezone": "America/New_York",
            "language": self.language,
        }

    def at(self, hour: int, day: int = 0) -> datetime:
        """An hour of the first day, UTC, or of days after."""
        return self.day.replace(hour=hour) + day * DAY

    def book(self, name: str, start: datetime, service: str = "talk") -> str:
        """Somebody books, and everything that follows from it happens."""
        request = {"start": start, "seats": 1, "client": self.person(name), "answers": {"phone": "+36 1 234 5678"}}
        with self.database.transaction() as tx:
            made = commands.book(tx, self.terms, "anna", service, request, now=self.now, cause="api")
        self.run()
        return made

    def wait(self, name: str, start: datetime, accept: str = "auto", service: str = "talk", **more: Any) -> str:
        """Somebody waits for that start; the token."""
        given = {
            "client": self.person(name),
            "seats": 1,
            "accept": accept,
            "wish": {"start": start.isoformat()},
            **more,
        }
        with self.database.transaction() as tx:
            token = waitlist.join(tx, offering(tx, "anna", service), given, now=self.now, cause="api")
        self.run()
        return token

    def do(self, command: Any, *args: Any, **options: Any) -> Any:
        """One command in its transaction, a minute later, and what follows from it."""
        self.now += timedelta(minutes=1)
        with self.database.transaction() as tx:
            done = command(tx, self.terms, *args, now=self.now, cause="api", **options)
        self.run()
        return done

    def say(self, message: Message) -> None:
        """A fact from outside, or something that is asked for."""
        scope = outbox.Scope(booking_id=getattr(message, "booking_id", None))
        with self.database.transaction() as tx:
            outbox.append(tx, message, now=self.now, scope=scope, cause="test")
        self.run()

    def drag(self, booking_id: str, start: datetime) -> None:
        """The operator moves the booking's event in their calendar."""
        with self.database.reading() as tx:
            slot = sa.text("SELECT slot_id FROM booking WHERE id = :id").bindparams(id=booking_id)
            event = tx.execute(
                sa.select(SlotEvent.__table__).where(SlotEvent.slot_id == tx.execute(slot).scalar_one())
            ).one()
        self.now += timedelta(minutes=1)
        self.say(RemoteMove(event.id, event.slot_id, event.version, start, start + timedelta(minutes=50)))

    def arrives(self, raw: bytes) -> None:
        """A mail comes back to our mailbox."""
        found = parse_incoming(raw, self.terms.mail_from)
        self.now += timedelta(minutes=1)
        with self.database.transaction() as tx:
            replies.record(tx, found, mailbox="box", cursor="", scope_of=scope_of_fact, now=self.now)
        self.run()

    def review(self, kind: str) -> dict[str, Any]:
        """The open review of that kind."""
        with self.database.reading() as tx:
            (only,) = [r for r in reviews.listing(tx) if r["kind"] == kind]
        return only

    def wait_until(self, moment: datetime) -> None:
        """Time passes, and everything that falls due meanwhile happens in its order."""
        while True:
            with self.database.reading() as tx:
                due = outbox.next_start(tx, now=self.now)
            if due is None or due > moment:
                break
            self.now = due
            self.run()
        self.now = moment
        self.run()

    def run(self) -> None:
        """Everything that is due, as the workers do it."""
        while True:
            with self.database.transaction() as tx:
                ready = outbox.lease(tx, now=self.now)
            if not ready:
                return
            for row_id, _ in ready:
                run_message(self.world, row_id)

    # --- what went out ------------------------------------------------------------------------------------------

    def sent(self, **wanted: Any) -> list[Sent]:
        """The mails that were handed over, in order; wanted: only with these values."""
        with self.database.reading() as tx:
            rows = tx.execute(
                sa.select(Delivery.__table__).where(Delivery.state == "handed_over").order_by(Delivery.id)
            )
            known = {row.message_id: row for row in rows}
        found = []
        for listed in self.box.listing():
            row = known[listed.message_id]
            raw = self.box.read(listed.id)
            assert raw is not None
            about = About(row.kind.partition(":")[0])
            found.append(Sent(about, row.audience, row.booking_id, row.sequence, row.recipient, raw))
        return [mail for mail in found if all(getattr(mail, name) == value for name, value in wanted.items())]

    def one(self, about: About, audience: str = "client") -> Sent:
        """The first of its kind."""
        return next(mail for mail in self.sent(about=about, audience=audience))

    def stuck(self) -> list[tuple[str, str]]:
        """Messages that failed: ``(kind, error)``."""
        with self.database.reading() as tx:
            return [(row["kind"], row["last_error"]) for row in outbox.listing(tx) if row["last_error"]]

    # --- the whole of it ----------------------------------------------------------------------------------------

    def everything(self) -> Correspondence:
        """Days at the practice in which every kind of letter is written."""
        self._one_booking()
        self._operator_moves_and_cancels()
        self._proposals()
        self._approval()
        self._the_line()
        self._a_group()
        self._other_time_wanted()
        self._own_words()
        self._the_day_itself()
        return self

    def _one_booking(self) -> None:
        booking = self.book("Adara", self.at(9))
        self.do(commands.reschedule, booking, self.at(10), by="client")

    def _operator_moves_and_cancels(self) -> None:
        booking = self.book("Bertil", self.at(9, 1))
        self.do(commands.reschedule, booking, self.at(11, 1), by="operator")
        self.do(commands.cancel, booking, by="operator")

    def _proposals(self) -> None:
        booking = self.book("Cosima", self.at(9, 2), "proposing")
        self.drag(booking, self.at(12, 2))
        self.do(commands.answer_proposal, booking, accept=True)
        self.do(commands.cancel, booking, by="client", reason="private matters")

    def _approval(self) -> None:
        booking = self.book("Dagmar", self.at(9, 3), "asked")
        self.do(commands.decide, booking, "confirm")
        self.do(commands.cancel, booking, by="admin")
        other = self.book("Edvin", self.at(9, 3), "asked")
        self.do(commands.decide, other, "decline")
        self.book("Fabiola", self.at(10, 3), "asked")  # nobody answers

    def _the_line(self) -> None:
        first = self.book("Gudrun", self.at(9, 4))
        self.wait("Hakan", self.at(9, 4))
        self.do(commands.cancel, first, by="client")
        second = self.book("Ingeborg", self.at(11, 4))
        self.wait("Jarmila", self.at(11, 4), "ask")
        third = self.wait("Kasimir", self.at(11, 4), "ask")
        self.do(commands.cancel, second, by="client")
        self.wait_until(self.now + timedelta(minutes=31))
        self.do(waitlist.accept_offer, third)
        booked = self.book("Tamara", self.at(13, 4))
        self.wait("Ulrike", self.at(13, 4), calendar_entry=True)
        self.do(commands.cancel, booked, by="client")
        last = self.wait("Philippa", self.at(11, 4), calendar_entry=True)
        self.do(waitlist.leave, last)

    def _a_group(self) -> None:
        self.book("Mirjam", self.at(14, 4), "circle")
        self.book("Nikolaj", self.at(14, 4), "circle")

    def _other_time_wanted(self) -> None:
        booking = self.book("Lorenz", self.at(9, 5))
        start = self.at(15, 5)
        invitation = self.sent(booking_id=booking, audience="client")[0].raw
        self.arrives(propose(invitation, Period(start, start + timedelta(minutes=50)), at=self.now))
        caller: Any = SimpleNamespace(name="anna", sees=lambda operator_id: None)
        self.do(
            lambda tx, terms, **at: reviewing.dismiss(tx, terms, caller, self.review("counter")["id"], now=at["now"])
        )

    def _own_words(self) -> None:
        self.arrives(write_back(self.one(About.BOOKED).raw, "May my brother come too?", at=self.now))

    def _the_day_itself(self) -> None:
        """Reminders go, requests expire; somebody didn't come."""
        booking = self.book("Ottilie", self.at(16, 0), "curious")
        self.book("Rosamund", self.at(15, 0), "sure")
        place = self.wait("Quirin", self.at(15, 0), "ask", "sure")
        self.wait_until(self.at(3, 0) + timedelta(minutes=5))
        self.do(waitlist.accept_offer, place)  # nobody heard of Rosamund
        self.wait_until(self.at(17, 0))
        self.do(commands.mark, booking, Happening.NO_SHOW)
        self.wait_until(self.now + UNDONE_WITHIN)
