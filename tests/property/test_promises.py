"""Random days in a practice, with crashes and repeats: P1–P4 and P7 hold after every step.

The operator's side is played by facts, as sync would tell them; the workers' side by `Desk.work`, which may lose a
transaction before its commit and is given the same message again.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from contextlib import ExitStack
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from booking.errors import BookingError
from booking.states import LIVE
from booking.tables import Booking, Offer, WaitlistEntry
from ledger.messages import PushEvent, RemoteCancellation, RemoteMove, SendMail, TimeFreed
from ledger.outbox import append
from ledger.tables import Busy, Calendar, Connection, RemoteEvent, Seat, Slot, SlotEvent
from tests.support.databases import migrated
from tests.support.desk import Desk

HOURS = st.sampled_from([8, 9, 10, 11])
DAYS = st.sampled_from([1, 2])
SERVICES = st.sampled_from(["talk", "group"])
WHO = st.sampled_from([f"client{n}" for n in range(8)])
CRASHES = st.lists(st.booleans(), max_size=6)


class Practice(RuleBasedStateMachine):
    """One operator, an individual and a group service over the same hours."""

    @initialize(kind=st.sampled_from(["sqlite"]))
    def open(self, kind: str) -> None:
        """A new ledger."""
        self.folder = Path(tempfile.mkdtemp())
        self.stack = ExitStack()
        self.desk = Desk(self.stack.enter_context(migrated(kind, self.folder)))
        self.desk.open(talk={}, group={"capacity": 3, "waitlist": {"offer_minutes": 30, "auto_lead_minutes": 120}})
        self.bookings: list[str] = []
        self.places: list[str] = []
        self.holds: list[tuple[str, datetime, str]] = []
        with self.desk.database.transaction() as tx:
            owner, now = self.desk.operator_id, self.desk.now
            connection = tx.execute(
                sa.insert(Connection).values(operator_id=owner, provider="memory", state_since=now, created_at=now).returning(Connection.id)
            ).scalar_one()  # fmt: skip
            self.calendar = tx.execute(
                sa.insert(Calendar).values(connection_id=connection, operator_id=owner, href="c", bookings=True).returning(Calendar.id)
            ).scalar_one()  # fmt: skip

    def teardown(self) -> None:
        """The folder goes."""
        if hasattr(self, "stack"):
            self.stack.close()
            shutil.rmtree(self.folder, ignore_errors=True)

    def _try(self, *attempt: object) -> str | None:
        action, *arguments = attempt
        try:
            return action(*arguments)  # type: ignore[operator,no-any-return]
        except BookingError:
            return None

    @rule(who=WHO, day=DAYS, hour=HOURS, service=SERVICES, again=st.booleans())
    def book(self, who: str, day: int, hour: int, service: str, again: bool) -> None:
        """Somebody books; perhaps their browser sends it twice."""
        start = self.desk.at(hour, day)
        key = f"{who}:{start}:{service}:{len(self.bookings)}"
        waiting = self._first_fitting(service, start, 1)
        for _ in range(2 if again else 1):
            try:
                booking = self.desk.book(start, who, service, idempotency_key=key)
            except BookingError:
                continue
            if booking not in self.bookings:
                assert waiting is None, "a passer-by was faster than the line"
                self.bookings.append(booking)

    @rule(day=DAYS, hour=HOURS, service=SERVICES)
    def hold(self, day: int, hour: int, service: str) -> None:
        """Somebody begins to type."""
        start = self.desk.at(hour, day)
        token = self._try(self.desk.hold, start, service)
        if token:
            self.holds.append((token, start, service))

    @precondition(lambda self: self.holds)
    @rule(data=st.data(), who=WHO)
    def book_the_hold(self, data: st.DataObject, who: str) -> None:
        """…and finishes, in time or not."""
        token, start, service = data.draw(st.sampled_from(self.holds))
        try:
            self.bookings.append(self.desk.book(start, who, service, hold=token))
        except BookingError:
            return
        self.holds.remove((token, start, service))

    @precondition(lambda self: self.bookings)
    @rule(data=st.data(), by=st.sampled_from(["client", "operator", "admin"]))
    def cancel(self, data: st.DataObject, by: str) -> None:
        """Somebody cancels; twice is once."""
        booking = data.draw(st.sampled_from(self.bookings))
        self._try(self.desk.cancel, booking, by)
        before = self._mails()
        self._try(self.desk.cancel, booking, by)
        assert self._mails() == before

    @precondition(lambda self: self.bookings)
    @rule(data=st.data(), day=DAYS, hour=HOURS)
    def reschedule(self, data: st.DataObject, day: int, hour: int) -> None:
        """A client chooses another time; a refusal changes nothing."""
        booking = data.draw(st.sampled_from(self.bookings))
        before = self.desk.seen(booking)
        try:
            self.desk.reschedule(booking, self.desk.at(hour, day))
        except BookingError:
            assert self.desk.seen(booking) == before
            return
        after = self.desk.seen(booking)
        assert after.uid == before.uid
        assert after.revision == before.revision + (after.starts_at != before.starts_at)

    @rule(who=WHO, day=DAYS, hour=HOURS, service=SERVICES, accept=st.sampled_from(["auto", "ask"]), span=st.booleans())
    def join(self, who: str, day: int, hour: int, service: str, accept: str, span: bool) -> None:
        """Somebody waits, for a start that is taken or for any day."""
        start = self.desk.at(hour, day)
        if start in self.desk.starts(service):
            return  # who could book needs no line
        wish = (
            {"from": f"{self.desk.at(0, 1):%Y-%m-%d}", "to": f"{self.desk.at(0, 2):%Y-%m-%d}"}
            if span
            else {"start": start}
        )
        if span and self.desk.starts(service):
            return
        place = self._try(self.desk.join, who, wish, service, accept)
        if place and place not in self.places:
            self.places.append(place)

    @precondition(lambda self: self.places)
    @rule(data=st.data(), act=st.sampled_from(["accept", "decline", "leave"]))
    def answer(self, data: st.DataObject, act: str) -> None:
        """Somebody in line answers an offer, or leaves."""
        booking = self._try(getattr(self.desk, act), data.draw(st.sampled_from(self.places)))
        if act == "accept" and booking and booking not in self.bookings:
            self.bookings.append(booking)

    @precondition(lambda self: self.bookings)
    @rule(data=st.data(), again=st.booleans())
    def operator_deletes(self, data: st.DataObject, again: bool) -> None:
        """The operator deletes an event, and sync has proven it; the fact may come twice."""
        event = self._event(data)
        if event is None:
            return
        with self.desk.database.transaction() as tx:
            tx.execute(sa.update(SlotEvent).where(SlotEvent.id == event.id).values(state="gone"))
        for _ in range(2 if again else 1):
            self.desk.say(RemoteCancellation(event.id, event.slot_id))

    @precondition(lambda self: self.bookings)
    @rule(data=st.data(), day=DAYS, hour=HOURS, again=st.booleans())
    def operator_moves(self, data: st.DataObject, day: int, hour: int, again: bool) -> None:
        """The operator drags an event; the fact may come twice, and may be out of date."""
        event = self._event(data)
        if event is None:
            return
        start = self.desk.at(hour, day) + timedelta(minutes=30)
        for _ in range(2 if again else 1):
            self.desk.say(RemoteMove(event.id, event.slot_id, event.version, start, start + timedelta(hours=1)))

    @rule(day=DAYS, hour=HOURS)
    def operator_is_busy(self, day: int, hour: int) -> None:
        """A foreign event appears, as a pull would write it."""
        start = self.desk.at(hour, day)
        with self.desk.database.transaction() as tx:
            event = tx.execute(sa.insert(RemoteEvent).values(calendar_id=self.calendar, href=f"{start}").returning(RemoteEvent.id)) if not tx.execute(sa.select(RemoteEvent.id).where(RemoteEvent.href == f"{start}")).first() else None  # fmt: skip
            if event is not None:
                tx.execute(
                    sa.insert(Busy).values(
                        operator_id=self.desk.operator_id, calendar_id=self.calendar, remote_event_id=event.scalar_one(),
                        starts_at=start, ends_at=start + timedelta(hours=1),
                    )
                )  # fmt: skip

    @rule(crash=CRASHES)
    def operator_is_free_again(self, crash: list[bool]) -> None:
        """The foreign events go: marked, told, and given to the line first."""
        with self.desk.database.transaction() as tx:
            tx.execute(sa.update(Busy).values(freed=True))
            tx.execute(sa.delete(RemoteEvent))
            append(tx, TimeFreed(self.desk.operator_id), now=self.desk.now)
        self.work(crash)

    @rule(crash=CRASHES)
    def work(self, crash: list[bool]) -> None:
        """The workers do what is due, and some of it is lost and done again."""
        plan = list(crash)
        self.desk.work(crash=lambda: plan.pop() if plan else False)

    @rule(minutes=st.sampled_from([1, 6, 40, 600]))
    def time_passes(self, minutes: int) -> None:
        """The clock."""
        self.desk.now += timedelta(minutes=minutes)

    # --- what always holds ----------------------------------------------------------------------------------

    @invariant()
    def no_overlap_and_no_overbooking(self) -> None:
        """P1."""
        if not hasattr(self, "desk"):
            return
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
    def every_live_booking_has_its_seats_and_nobody_else(self) -> None:
        """P1, P6: rows and seats tell the same story."""
        if not hasattr(self, "desk"):
            return
        with self.desk.database.reading() as tx:
            rows = tx.execute(sa.select(Booking.__table__).where(Booking.status.in_(LIVE))).all()
            held = dict(tx.execute(sa.select(Seat.holder, Seat.slot_id).where(Seat.holder.like("booking:%"))).all())  # type: ignore[arg-type]
            times = {s.id: (s.starts_at, s.ends_at) for s in tx.execute(sa.select(Slot.__table__))}
        assert {f"booking:{r.id}": r.slot_id for r in rows} == held
        for row in rows:
            assert (row.starts_at, row.ends_at) == times[row.slot_id]

    @invariant()
    def one_event_for_a_taken_slot(self) -> None:
        """P3: the wish follows the bookings."""
        if not hasattr(self, "desk"):
            return
        with self.desk.database.reading() as tx:
            taken = set(
                tx.execute(sa.select(Booking.slot_id).where(Booking.status == "confirmed").distinct()).scalars()
            )
            wanted = tx.execute(sa.select(SlotEvent.__table__).where(SlotEvent.wanted)).all()
            times = {s.id: s.starts_at for s in tx.execute(sa.select(Slot.__table__))}
        assert {e.slot_id for e in wanted} == taken
        assert all(e.starts_at == times[e.slot_id] for e in wanted)
        pushes = Counter((m.slot_event_id, m.version) for m in self.desk.messages(PushEvent))  # type: ignore[attr-defined]
        assert not [p for p, n in pushes.items() if n > 1]

    @invariant()
    def each_revision_is_told_once(self) -> None:
        """P3: no person has two messages about one revision."""
        if not hasattr(self, "desk"):
            return
        mails = [m for m in self.desk.messages(SendMail) if not m.booking_id.startswith("entry:")]  # type: ignore[attr-defined]
        assert len({(m.booking_id, m.revision, m.about, m.audience) for m in mails}) == len(mails)  # type: ignore[attr-defined]
        told = {(m.booking_id, m.revision) for m in mails if m.audience == "client"}  # type: ignore[attr-defined]
        with self.desk.database.reading() as tx:
            for row in tx.execute(sa.select(Booking.id, Booking.revision)):
                assert (row.id, row.revision) in told

    @invariant()
    def nobody_waits_beside_a_free_seat(self) -> None:
        """P7: what is open to a passer-by is what nobody in line wanted when it came free."""
        if not hasattr(self, "desk"):
            return
        for service in ("talk", "group"):
            for start in self.desk.starts(service):
                # A hold that has run out is given on by whoever comes next; until then it only looks free.
                if not self._expired_holds():
                    assert self._first_fitting(service, start, 1) is None

    @invariant()
    def an_offer_has_its_seats(self) -> None:
        """P7: exclusive, until it is over."""
        if not hasattr(self, "desk"):
            return
        with self.desk.database.reading() as tx:
            offers = tx.execute(sa.select(Offer.id, WaitlistEntry.status).join(WaitlistEntry, WaitlistEntry.id == Offer.entry_id).where(Offer.status == "open")).all()  # fmt: skip
            holders = set(tx.execute(sa.select(Seat.holder).where(Seat.holder.like("offer:%"))).scalars())
        assert {f"offer:{o.id}" for o in offers} == holders
        assert all(o.status == "offered" for o in offers)

    # --- helpers ----------------------------------------------------------------------------------------------

    def _event(self, data: st.DataObject) -> SlotEvent | None:
        slot_id = self.desk.seen(data.draw(st.sampled_from(self.bookings))).slot_id
        with self.desk.database.reading() as tx:
            return tx.execute(sa.select(SlotEvent.__table__).where(SlotEvent.slot_id == slot_id)).one_or_none()  # type: ignore[return-value]

    def _expired_holds(self) -> bool:
        with self.desk.database.reading() as tx:
            return tx.execute(sa.select(Seat.id).where(Seat.expires_at <= self.desk.now)).first() is not None

    def _mails(self) -> int:
        return len(self.desk.messages(SendMail))

    def _first_fitting(self, service: str, start: datetime, seats: int) -> str | None:
        """The oracle: who in line would take that start, by reading every entry in Python."""
        with self.desk.database.reading() as tx:
            entries = tx.execute(sa.select(WaitlistEntry.__table__).where(WaitlistEntry.status == "waiting").order_by(WaitlistEntry.id)).all()  # fmt: skip
            service_id = tx.execute(sa.text("SELECT id FROM service WHERE slug = :s"), {"s": service}).scalar_one()
            live = tx.execute(sa.select(Booking.client_email, Booking.starts_at, Booking.ends_at).where(Booking.status.in_(LIVE))).all()  # fmt: skip
        end = start + timedelta(hours=1)
        for entry in entries:
            if entry.service_id != service_id or entry.seats > seats:
                continue
            wants = (
                entry.wish_start == start
                if entry.wish_start
                else entry.first_date <= f"{start:%Y-%m-%d}" <= entry.last_date
            )
            elsewhere = any(
                b.client_email == entry.client_email and b.starts_at < end and b.ends_at > start for b in live
            )
            if wants and not elsewhere:
                return str(entry.token)
        return None


Practice.TestCase.settings = settings(
    max_examples=15, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True
)
TestPromises = pytest.mark.timeout(900)(Practice.TestCase)
