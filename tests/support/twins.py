"""Two practices that live the same days: in one of them automation is paused now and then (P10)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from api import scopes
from booking.reactions import react
from booking.states import LIVE
from booking.tables import Booking, Offer, Service, WaitlistEntry
from connectors.model import Period
from ledger import outbox
from ledger.backoff import NotYet
from ledger.messages import KINDS, ClientDeclined, SendMail
from ledger.tables import OutboxMessage, Slot, SlotEvent, TimelineEntry
from sync import facts
from tests.support.desk import ELSEWHERE, TERMS, Desk

WAITING = ("waiting", "queued", "running")


@dataclass(frozen=True, slots=True)
class Paused:
    """A pause in words that hold in both practices. target: a service's slug, a client whose slot or booking it is."""

    scope: str
    target: str
    automations: tuple[str, ...]


@dataclass
class Practice(Desk):
    """A desk whose workers also do what leads outside: it is settled at once, as if a calendar and a mail server had
    taken it."""

    bookings: dict[str, str] = field(default_factory=dict)
    """Who → their booking, of those who booked themselves."""
    places: dict[str, str] = field(default_factory=dict)
    """Who → the token of their place in line."""

    def work(self, **_: Any) -> int:
        """All that is due, in the order of the outbox, and what follows from it."""
        done = 0
        while True:
            with self.database.transaction() as tx:
                ready = outbox.lease(tx, now=self.now)
            if not ready:
                return done
            for message_id, kind in ready:
                done += self._do(message_id, kind)

    def _do(self, message_id: int, kind: str) -> int:
        try:
            with self.database.transaction() as tx:
                leased = outbox.begin(tx, message_id, now=self.now)
                if leased is None:
                    return 0
                if not issubclass(KINDS[kind], ELSEWHERE):
                    react(tx, leased.message, terms=TERMS, now=self.now, cause=leased.cause)
                outbox.settle(tx, leased, now=self.now)
        except NotYet as error:
            with self.database.transaction() as tx:
                again = outbox.begin(tx, message_id, now=self.now)
                if again is not None:
                    outbox.fail(tx, again, error, now=self.now)
            return 0
        return 1

    # what happens in calendars and mailboxes, as sync proves and stores it

    def deleted(self, who: str) -> None:
        """The operator deleted the event of somebody's slot."""
        with self.database.transaction() as tx:
            facts.report_deleted(tx, self._event(tx, who), now=self.now)

    def dragged(self, who: str, start: datetime) -> None:
        """The operator dragged it."""
        with self.database.transaction() as tx:
            facts.report_move(tx, self._event(tx, who), Period(start, start + timedelta(hours=1)), now=self.now)

    def declined(self, who: str) -> None:
        """Somebody's calendar declined."""
        row = self.seen(self.bookings[who])
        fact = ClientDeclined(
            mail=f"{who}-declines", tag=row.organizer_tag, uid=row.uid, method="REPLY", sequence=row.revision,
            said_at=self.now, partstat="DECLINED", attendee=row.client_email, comment="", verdict="pass",
        )  # fmt: skip
        scope = outbox.Scope(row.operator_id, row.service_id, row.slot_id, row.id)
        with self.database.transaction() as tx:
            outbox.append(tx, fact, now=self.now, scope=scope, cause="calendar_reply")

    def _event(self, tx: Any, who: str) -> Any:
        slot_id = self.seen(self.bookings[who]).slot_id
        return tx.execute(sa.select(SlotEvent.__table__).where(SlotEvent.slot_id == slot_id)).one()

    # pauses

    def pause(self, wanted: Paused) -> int:
        """From now on it waits; the pause's id."""
        with self.database.transaction() as tx:
            return scopes.pause(
                tx, scopes.EVERYBODY, scope=self._scope(wanted), automations=wanted.automations, reason="", until=None,
                now=self.now,
            )  # fmt: skip

    def _scope(self, wanted: Paused) -> str:
        if wanted.scope in ("slot", "booking"):
            row = self.seen(self.bookings[wanted.target])
            return f"slot:{row.slot_id}" if wanted.scope == "slot" else f"booking:{row.id}"
        return {"global": "global", "operator": "operator:anna"}.get(wanted.scope, f"service:anna/{wanted.target}")

    def preview(self, pause_id: int) -> dict[int, bool]:
        """What waits behind a pause, in its order: message → would it run at once if the pause ended now?"""
        with self.database.reading() as tx:
            rows = scopes.preview(tx, scopes.EVERYBODY, pause_id, now=self.now)
        return {row["id"]: row["not_before"] <= self.now and not row["also_held"] for row in rows}

    def resume(self, pause_id: int, discard: Sequence[int] = ()) -> None:
        """Go on, but for what is dropped."""
        with self.database.transaction() as tx:
            scopes.resume(tx, scopes.EVERYBODY, pause_id, discard=discard, now=self.now)

    def automated(self) -> dict[int, Any]:
        """Every message of an automation, by id."""
        query = sa.select(OutboxMessage.__table__).where(OutboxMessage.automation != "").order_by(OutboxMessage.id)
        with self.database.reading() as tx:
            return {row.id: row for row in tx.execute(query)}

    # how it stands

    def standing(self) -> dict[str, Any]:
        """All that people and calendars can know, in words that are the same in both practices."""
        with self.database.reading() as tx:
            slugs: Mapping[int, str] = dict(tx.execute(sa.select(Service.id, Service.slug)).all())  # type: ignore[arg-type]
            rows = tx.execute(sa.select(Booking.__table__)).all()
            entries = tx.execute(sa.select(WaitlistEntry.__table__)).all()
            slots = tx.execute(sa.select(Slot.__table__).where(Slot.taken > 0)).all()
            offers = tx.execute(sa.select(Offer.entry_id, Offer.starts_at, Offer.status)).all()
            events = tx.execute(sa.select(SlotEvent.__table__).where(SlotEvent.wanted)).all()
            lines = tx.execute(sa.select(TimelineEntry.booking_id, TimelineEntry.what).order_by(TimelineEntry.id)).all()
        who = {row.id: row.client_name for row in rows} | {f"entry:{e.id}": e.client_name for e in entries}
        mails: dict[str, list[tuple[str, int]]] = {}
        for mail in self.messages(SendMail):
            assert isinstance(mail, SendMail)
            about = mail.about.partition(":")[0]
            revision = 0 if mail.booking_id.startswith("entry:") else mail.revision  # there, the id of an offer
            mails.setdefault(f"{who[mail.booking_id]} to {mail.audience}", []).append((about, revision))
        return {
            "bookings": sorted((r.client_name, r.status, r.starts_at, r.revision) for r in rows),
            "line": sorted((e.client_name, e.status) for e in entries),
            "seats": sorted((slugs[s.service_id], s.starts_at, s.taken) for s in slots),
            "offers": sorted((who[f"entry:{o.entry_id}"], o.starts_at, o.status) for o in offers),
            "events": sorted((e.starts_at, e.words["title"]) for e in events),
            "mails": mails,
            "timelines": {
                who[booking]: [line.what for line in lines if line.booking_id == booking]
                for booking in dict.fromkeys(line.booking_id for line in lines)
            },
        }

    def live(self) -> dict[str, tuple[str, datetime, int]]:
        """Who has a seat: status, start, revision."""
        with self.database.reading() as tx:
            rows = tx.execute(sa.select(Booking.__table__).where(Booking.status.in_(LIVE))).all()
        return {row.client_name: (row.status, row.starts_at, row.revision) for row in rows}
