"""A practice inside one process: operators and services in a ledger, and short words for what people do there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from booking import commands, queries, setup, waitlist
from booking.catalogue import offering
from booking.reactions import react
from booking.tables import Booking
from booking.terms import Terms
from ledger import outbox
from ledger.backoff import NotYet
from ledger.db import Database
from ledger.messages import (
    KINDS,
    CatchUpWebhook,
    CloseChannel,
    LookForEvent,
    Message,
    OpenChannel,
    PullCalendar,
    PushEvent,
    SendMail,
    SendWebhook,
    SweepEvent,
)

TERMS = Terms("http://127.0.0.1:8000", "bookings@slotledger.test")
MONDAY = datetime(2027, 1, 11, 6, 0, tzinfo=UTC)
ELSEWHERE = (
    PullCalendar,
    PushEvent,
    LookForEvent,
    SweepEvent,
    OpenChannel,
    CloseChannel,
    SendMail,
    SendWebhook,
    CatchUpWebhook,
)
"""What the workers do with the outside; here it is left in the outbox."""

SPEC: dict[str, Any] = {
    "title": "Consultation",
    "duration_minutes": 60,
    "notice_minutes": 0,
    "horizon_days": 30,
    "hours": {day: ["08:00-12:00"] for day in ("mon", "tue", "wed")},
}


@dataclass
class Desk:
    """Everything at a time of one's own choosing: ``now`` moves only when somebody moves it."""

    database: Database
    now: datetime = MONDAY
    operator_id: int = 0
    told: list[str] = field(default_factory=list)

    def open(self, slug: str = "anna", **services: dict[str, Any]) -> Desk:
        """An operator with these services; underscores of their names become dashes."""
        with self.database.transaction() as tx:
            self.operator_id = setup.add_operator(
                tx, slug, name=slug.title(), email=f"{slug}@practice.example", timezone="UTC", now=self.now
            )
            for name, spec in services.items():
                setup.put_service(tx, slug, name.replace("_", "-"), {**SPEC, **spec}, now=self.now)
        return self

    def at(self, hour: float, day: int = 0) -> datetime:
        """An hour of the first Monday, or of days after."""
        return MONDAY.replace(hour=0) + timedelta(days=day, hours=hour)

    def book(self, start: datetime, who: str = "kata", service: str = "talk", **more: Any) -> str:
        """Book; the id."""
        key = more.pop("idempotency_key", "")
        request = {"start": start, "seats": 1, "client": person(who), "answers": {}, "hold": None, **more}
        with self.database.transaction() as tx:
            return commands.book(tx, TERMS, "anna", service, request, now=self.now, cause="test", idempotency_key=key)

    def hold(self, start: datetime, service: str = "talk", seats: int = 1) -> str:
        """Hold; the token."""
        with self.database.transaction() as tx:
            held = commands.hold(tx, TERMS, "anna", service, start=start, seats=seats, now=self.now, cause="test")
        return held.token

    def cancel(self, booking_id: str, by: str = "client") -> None:
        """Cancel."""
        with self.database.transaction() as tx:
            commands.cancel(tx, TERMS, booking_id, by=by, now=self.now, cause="test")

    def reschedule(self, booking_id: str, start: datetime, by: str = "client") -> None:
        """Move."""
        with self.database.transaction() as tx:
            commands.reschedule(tx, TERMS, booking_id, start, by=by, now=self.now, cause="test")

    def decide(self, booking_id: str, decision: str) -> None:
        """Approve or decline."""
        with self.database.transaction() as tx:
            commands.decide(tx, TERMS, booking_id, decision, now=self.now, cause="test")

    def join(self, who: str, wish: dict[str, Any], service: str = "talk", accept: str = "auto", seats: int = 1) -> str:
        """Wait; the token."""
        given = {"client": person(who), "wish": wish, "accept": accept, "seats": seats}
        with self.database.transaction() as tx:
            return waitlist.join(tx, offering(tx, "anna", service), given, now=self.now, cause="test")

    def accept(self, token: str) -> str:
        """Take an offer; the booking."""
        with self.database.transaction() as tx:
            return waitlist.accept_offer(tx, TERMS, token, now=self.now, cause="test")

    def decline(self, token: str) -> None:
        """Say no to an offer."""
        with self.database.transaction() as tx:
            waitlist.decline_offer(tx, TERMS, token, now=self.now, cause="test")

    def leave(self, token: str) -> None:
        """Leave the line."""
        with self.database.transaction() as tx:
            waitlist.leave(tx, TERMS, token, now=self.now, cause="test")

    def place(self, token: str) -> dict[str, Any]:
        """A place in line as its owner sees it."""
        with self.database.reading() as tx:
            return queries.line_view(tx, token)

    def seen(self, booking_id: str) -> Any:
        """The stored booking."""
        with self.database.reading() as tx:
            return tx.execute(sa.select(Booking.__table__).where(Booking.id == booking_id)).one()

    def view(self, booking_id: str, reader: str = "client") -> dict[str, Any]:
        """The booking as its reader sees it."""
        with self.database.reading() as tx:
            return queries.booking_view(tx, booking_id, TERMS, reader=reader)

    def starts(self, service: str = "talk", state: str = "open") -> list[datetime]:
        """Starts of the next two weeks in that state."""
        with self.database.reading() as tx:
            wanted = offering(tx, "anna", service)
            today = self.now.date()
            listed = queries.slots(tx, wanted, today, today + timedelta(days=14), "UTC", now=self.now)
        return [s.period.start for s in listed.starts if s.state == state]

    def say(
        self, message: Message, *, cause: str = "operator_calendar", after_commit: Callable[[], None] | None = None
    ) -> None:
        """A fact, reacted to in a transaction of its own."""
        with self.database.transaction() as tx:
            react(tx, message, terms=TERMS, now=self.now, cause=cause)
        if after_commit is not None:
            after_commit()

    def work(self, *, crash: Callable[[], bool] = lambda: False) -> int:
        """Do what is due for booking, as the workers do: begin, react, settle in one transaction. crash: lose it before
        the commit. Returns how many messages were done."""
        done = 0
        while True:
            with self.database.transaction() as tx:
                ready = [i for i, kind in outbox.lease(tx, now=self.now) if not issubclass(KINDS[kind], ELSEWHERE)]
            if not ready:
                return done
            for message_id in ready:
                done += self._one(message_id, crash)

    def _one(self, message_id: int, crash: Callable[[], bool]) -> int:
        try:
            with self.database.transaction() as tx:
                leased = outbox.begin(tx, message_id, now=self.now)
                if leased is None:
                    return 0
                react(tx, leased.message, terms=TERMS, now=self.now, cause=leased.cause)
                outbox.settle(tx, leased, now=self.now)
                if crash():
                    raise Crash
        except (Crash, NotYet):
            self.now += timedelta(seconds=61)  # until the lease is over
            return 0
        return 1

    def messages(self, kind: type[Message], **where: Any) -> list[Message]:
        """What was asked for of that kind, in order, whatever became of it."""
        with self.database.reading() as tx:
            rows = tx.execute(
                sa.select(outbox.OutboxMessage.kind, outbox.OutboxMessage.body)
                .where(outbox.OutboxMessage.kind == kind.__name__)
                .order_by(outbox.OutboxMessage.id)
            ).all()
        found = [outbox.from_body(r.kind, r.body) for r in rows]
        return [m for m in found if all(getattr(m, k) == v for k, v in where.items())]


class Crash(Exception):
    """The process ends here."""


def person(who: str) -> dict[str, str]:
    """Somebody."""
    return {"name": who.title(), "email": f"{who}@example.org", "timezone": "UTC", "language": "en"}
