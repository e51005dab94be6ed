"""Random days in a practice (`tests.support.random_days` and `random_rules`), with crashes, repeats and pauses: P1–P10 hold
after every step.

Each promise is an invariant of its own, or stands with the rule that could break it. Seen red, one by one, with these
changes of the product:

* P1: `claims._freed` that leaves ``taken``.
* P2: `Database.transaction` that commits what an exception left.
* P3: SendMail's key without its revision (a revision is told to nobody); a second mail about the same.
* P4: `replies.record` that forgets the cursor.
* P5: `facts.report_missing` that reports a deletion instead of asking for a look.
* P6: `complete` without `refresh_event`, without `CompleteBooking`.
* P7: `seats_freed` that gives nothing; an offer whose seats are somebody else's; `put_service` that closes nothing it opens.
* P8: `event_words` with the client as a guest though the service is the voice.
* P9: `_declined` in replies that sets the status itself.
* P10: `pauses.holding` that forgets one scope.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from hypothesis.stateful import invariant

from booking import queries
from booking.catalogue import offering
from booking.states import LIVE
from booking.tables import Booking, Offer, Service, WaitlistEntry
from ledger.availability import SlotState
from ledger.messages import CompleteBooking, PushEvent, SendMail
from ledger.tables import InboundMail, MailboxCursor, OutboxMessage, PauseItem, Seat, Slot, SlotEvent, TimelineEntry
from tests.support.random_rules import RandomRules

ENDS = {"cancelled", "declined", "expired"}
BEGINS = {"booked", "requested", "promoted"}


class Promises(RandomRules):
    """What PRODUCT promises, P1–P10, of any days."""

    @invariant()
    def p1_no_overlap_and_no_overbooking(self) -> None:
        """No two taken slots overlap, buffers included; seats never exceed capacity, and are somebody's each."""
        with self.desk.database.reading() as tx:
            slots = tx.execute(sa.select(Slot.__table__).where(Slot.taken > 0).order_by(Slot.block_start)).all()
            seats = Counter[int]()
            for seat in tx.execute(sa.select(Seat.slot_id, Seat.seats)):
                seats[seat.slot_id] += seat.seats
        for one, other in pairwise(slots):
            assert one.block_end <= other.block_start
        for slot in slots:
            assert 0 < slot.taken <= slot.capacity
        assert {s.id: s.taken for s in slots} == dict(seats)

    @invariant()
    def p2_what_is_to_be_told_is_stored(self) -> None:
        """Each message is about something that was committed with it. That a lost transaction and a refused command leave
        nothing behind is asserted where they happen (`RandomDays.attempt`, `take_mail`)."""
        with self.desk.database.reading() as tx:
            revisions: dict[str, int] = dict(tx.execute(sa.select(Booking.id, Booking.revision)).all())  # type: ignore[arg-type]
            entries = {f"entry:{i}" for i in tx.execute(sa.select(WaitlistEntry.id)).scalars()}
            versions: dict[int, int] = dict(tx.execute(sa.select(SlotEvent.id, SlotEvent.version)).all())  # type: ignore[arg-type]
        for mail in self._asked(SendMail):
            assert mail.booking_id in entries or mail.revision <= revisions[mail.booking_id]
        for push in self._asked(PushEvent):
            assert push.version <= versions[push.slot_event_id]

    @invariant()
    def p3_never_lost_never_twice(self) -> None:
        """Each revision is told to its client, nobody is told the same twice, each wish is one write."""
        mails = [m for m in self._asked(SendMail) if not m.booking_id.startswith("entry:")]
        assert len({(m.booking_id, m.revision, m.about, m.audience) for m in mails}) == len(mails)
        told = {(m.booking_id, m.revision) for m in mails if m.audience == "client"}
        with self.desk.database.reading() as tx:
            for row in tx.execute(sa.select(Booking.id, Booking.revision)):
                assert (row.id, row.revision) in told
            wished = {(e.id, e.version) for e in tx.execute(sa.select(SlotEvent.__table__).where(SlotEvent.wanted))}
        pushes = Counter((m.slot_event_id, m.version) for m in self._asked(PushEvent))
        assert not [push for push, times in pushes.items() if times > 1]
        assert {event for event, _ in wished} <= {event for event, _ in pushes}

    @invariant()
    def p4_facts_commit_with_their_token(self) -> None:
        """The cursor of the mailbox stands behind exactly the mails that were taken."""
        with self.desk.database.reading() as tx:
            cursor = tx.execute(sa.select(MailboxCursor.cursor)).scalar()
            digests = tx.execute(sa.select(sa.func.count()).select_from(InboundMail)).scalar_one()
        assert cursor == (str(len(self.taken_mails)) if self.taken_mails else None)
        assert digests == len(set(self.taken_mails))

    @invariant()
    def p5_absence_of_proof_cancels_nothing(self) -> None:
        """Only where the event was proven to be deleted has the operator's calendar cancelled."""
        query = (
            sa.select(Booking.slot_id)
            .join(TimelineEntry, TimelineEntry.booking_id == Booking.id)
            .where(TimelineEntry.what == "cancelled", TimelineEntry.cause == "operator deleted the event")
        )
        with self.desk.database.reading() as tx:
            assert set(tx.execute(query).scalars()) <= self.proven

    @invariant()
    def p6_whatever_the_way_a_booking_is_complete(self) -> None:
        """Each has its seats at its own time; those that stand have the operator's event and their end to come."""
        with self.desk.database.reading() as tx:
            rows = self.live(tx)
            held = dict(tx.execute(sa.select(Seat.holder, Seat.slot_id).where(Seat.holder.like("booking:%"))).all())  # type: ignore[arg-type]
            times = {s.id: (s.starts_at, s.ends_at) for s in tx.execute(sa.select(Slot.__table__))}
            counted = Booking.status.in_(("confirmed", "completed", "no_show"))
            come = set(tx.execute(sa.select(Booking.slot_id).where(counted)).scalars())
            wanted = {e.slot_id: e for e in tx.execute(sa.select(SlotEvent.__table__).where(SlotEvent.wanted))}
        assert {f"booking:{r.id}": r.slot_id for r in rows} == {h: s for h, s in held.items() if self._lives(h, rows)}
        for row in rows:
            assert (row.starts_at, row.ends_at) == times[row.slot_id]
        assert wanted.keys() == come
        assert all((e.starts_at, e.ends_at) == times[slot] for slot, e in wanted.items())
        to_end = {(m.booking_id, m.revision) for m in self._asked(CompleteBooking)}
        assert {(r.id, r.revision) for r in rows if r.status == "confirmed"} <= to_end

    @staticmethod
    def _lives(holder: str, rows: list[Any]) -> bool:
        """Who came keeps the seat: it is past, and nobody else's business."""
        return holder.removeprefix("booking:") in {row.id for row in rows}

    @invariant()
    def p7_the_line_before_strangers(self) -> None:
        """What is open to a passer-by is what nobody in line wanted when it came free."""
        if self._expired_holds():
            return  # a hold that has run out is given on by whoever comes next; until then it only looks free
        assert self._beside_free_seats() <= self.opened_by_hand

    @invariant()
    def p7_an_offer_is_exclusive(self) -> None:
        """It has its seats until it is over; or those of somebody who hasn't said that they come, until it is accepted."""
        with self.desk.database.reading() as tx:
            query = sa.select(Offer.id, Offer.booking_id, WaitlistEntry.status).join(
                WaitlistEntry, WaitlistEntry.id == Offer.entry_id
            )
            offers = tx.execute(query.where(Offer.status == "open")).all()
            holders = set(tx.execute(sa.select(Seat.holder).where(Seat.holder.like("offer:%"))).scalars())
            alive = {row.id for row in self.live(tx)}
        assert {f"offer:{o.id}" for o in offers if o.booking_id is None} == holders
        assert {o.booking_id for o in offers if o.booking_id is not None} <= alive
        assert all(o.status == "offered" for o in offers)

    @invariant()
    def p8_one_voice(self) -> None:
        """We invite, so nobody else does: no event of the operator's has a guest."""
        with self.desk.database.reading() as tx:
            assert set(tx.execute(sa.select(Booking.voice)).scalars()) <= {"service"}
            for words in tx.execute(sa.select(SlotEvent.words)).scalars():
                assert not words.get("guest")

    @invariant()
    def p9_one_command_with_its_cause(self) -> None:
        """Whatever the door: one beginning, at most one end, each with its cause; an end raises the revision by one and is
        told to the client once."""
        with self.desk.database.reading() as tx:
            rows = tx.execute(sa.select(Booking.__table__)).all()
            lines = tx.execute(sa.select(TimelineEntry.__table__).order_by(TimelineEntry.id)).all()
        assert all(entry.cause for entry in lines)
        ends = [m for m in self._asked(SendMail) if m.audience == "client" and m.about.startswith(tuple(ENDS))]
        told = Counter(mail.booking_id for mail in ends)
        for row in rows:
            words = [entry.what for entry in lines if entry.booking_id == row.id]
            moves = len([word for word in words if word in ("rescheduled", "moved", "address_changed")])
            over = [word for word in words if word in ENDS]
            assert len([word for word in words if word in BEGINS]) == 1
            assert over == ([row.status] if row.status in ENDS else [])
            assert row.revision == moves + len(over)
            assert told[row.id] == len(over)

    @invariant()
    def p10_nothing_in_scope_acts_while_paused(self) -> None:
        """What a pause covers, since before the last step, has neither been begun nor done in it."""
        table = OutboxMessage.__table__
        with self.desk.database.reading() as tx:
            rows = {row.id: row for row in tx.execute(sa.select(table).where(table.c.automation != ""))}
            in_force = set(tx.execute(sa.select(PauseItem.pause_id).distinct()).scalars())
            seats = tx.execute(sa.select(Seat.holder, Seat.slot_id)).all()
        assert in_force == set(self.standing)
        known, stood, sat = getattr(self, "_last", ({}, {}, []))
        for message_id, row in rows.items():
            began = row.state in ("queued", "running", "done") and known.get(message_id) != row.state
            if not began or (known.get(message_id) == "running" and row.state == "queued"):
                continue
            for pause_id, pause in stood.items():
                if pause_id in self.standing and row.automation in pause["automations"]:
                    assert not _covers(pause, row, [*sat, *seats]), f"{row.kind} acted under pause {pause_id}"
        self._last = ({i: row.state for i, row in rows.items()}, dict(self.standing), seats)

    # --- oracles: reading everything, in Python -----------------------------------------------------------------

    def _asked(self, kind: type[Any]) -> list[Any]:
        return self.desk.messages(kind)

    def after_a_decision(self) -> None:
        """What a human opens to everybody may be wanted by somebody in line."""
        self.opened_by_hand |= self._beside_free_seats()

    def _beside_free_seats(self) -> set[tuple[str, datetime]]:
        """Starts that are open to strangers though somebody in line would take them."""
        found = set()
        today = self.desk.now.date()
        with self.desk.database.reading() as tx:
            line = _Line(tx)
            for service in {slug for slug, _ in line.entries} & line.active:
                wanted = offering(tx, "anna", service)
                listed = queries.slots(tx, wanted, today, today + timedelta(days=4), "UTC", now=self.desk.now)
                open_ones = [s for s in listed.starts if s.state is SlotState.OPEN]
                found |= {
                    (service, s.period.start)
                    for s in open_ones
                    if line.first_fitting(service, s.period.start, s.seats_left)
                }
        return found

    def _expired_holds(self) -> bool:
        with self.desk.database.reading() as tx:
            return tx.execute(sa.select(Seat.id).where(Seat.expires_at <= self.desk.now)).first() is not None

    def before_a_stranger(self, service: str, start: datetime) -> None:
        """Who would be the first to have it?"""
        with self.desk.database.reading() as tx:
            first = _Line(tx).first_fitting(service, start, 1)
        self._waiting = None if (service, start) in self.opened_by_hand else first

    def after_a_stranger(self) -> None:
        """P7: a passer-by has what nobody in line wanted."""
        assert self._waiting is None, "a passer-by was faster than the line"


class _Line:
    """Who waits, in their order, read once and matched in Python."""

    def __init__(self, tx: Any) -> None:
        services: dict[int, str] = dict(tx.execute(sa.select(Service.id, Service.slug)).all())
        self.active = set(tx.execute(sa.select(Service.slug).where(Service.active)).scalars())
        waiting = sa.select(WaitlistEntry.__table__).where(WaitlistEntry.status == "waiting")
        rows = tx.execute(waiting.order_by(WaitlistEntry.priority.desc(), WaitlistEntry.id)).all()
        self.entries = [(services[row.service_id], row) for row in rows]
        self.bookings = tx.execute(sa.select(Booking.__table__)).all()
        self.slugs = services

    def first_fitting(self, service: str, start: datetime, seats: int) -> str | None:
        """Who would take that start: the first whose wish and party fit, who isn't elsewhere at that time, and hasn't given
        it up while they waited for any of such days."""
        end = start + timedelta(hours=1)
        for slug, entry in self.entries:
            if slug != service or entry.seats > seats:
                continue
            day = f"{start:%Y-%m-%d}"
            wants = entry.wish_start == start if entry.wish_start else entry.first_date <= day <= entry.last_date
            theirs = [b for b in self.bookings if b.client_email == entry.client_email]
            at_that_time = [b for b in theirs if b.starts_at < end and b.ends_at > start]
            if wants and not any(b.status in LIVE or self._given_up(b, slug, entry) for b in at_that_time):
                return str(entry.token)
        return None

    def _given_up(self, booking: Any, slug: str, entry: Any) -> bool:
        since = booking.status in ENDS and booking.updated_at > entry.created_at
        return since and entry.wish_start is None and self.slugs[booking.service_id] == slug


def _covers(pause: dict[str, Any], row: Any, seats: list[Any]) -> bool:
    """Is the message in the pause's scope? What is about a slot is about who sits in it, before or after."""
    target = pause["target"]
    if pause["scope"] == "booking" and row.booking_id is None:
        slots = [seat.slot_id for seat in seats if seat.holder == f"booking:{target}"]
        return len(slots) == 2 and set(slots) == {row.slot_id}  # sat there throughout
    of = {"operator": row.operator_id, "service": row.service_id, "slot": row.slot_id, "booking": row.booking_id}
    return pause["scope"] == "global" or str(of[pause["scope"]]) == target


Promises.TestCase.settings = settings(
    max_examples=15, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True
)
TestPromises = pytest.mark.timeout(900)(Promises.TestCase)
