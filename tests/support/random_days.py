"""Random days in a practice: everything that people, calendars, mailboxes and the clock can do, one rule each.

What must hold meanwhile is said by who inherits from `RandomDays`. The operator's side is played by facts, as sync stores
them; the workers' side by `Desk.work`, which may lose a transaction before its commit and is given the same message
again.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from api import reviewing, scopes
from booking import commands, judgement, line, turns
from booking.errors import BookingError
from booking.replies import scope_of_fact
from booking.states import LIVE, Happening
from booking.tables import WaitlistEntry
from connectors.emulators.mailclient import Client, answer, propose
from connectors.mail.imip_incoming import parse_incoming
from connectors.model import PartStat, Period
from ledger import outbox, pauses, reviews
from ledger.db import Base, Tx
from ledger.messages import TimeFreed
from ledger.tables import Busy, Calendar, Connection, RemoteEvent, SlotEvent
from sync import facts, replies
from tests.support.databases import migrated
from tests.support.desk import TERMS, Crash, Desk
from tests.support.post import MAILBOX, Post

HOURS = st.sampled_from([8, 9, 10, 11])
DAYS = st.sampled_from([1, 2])
SERVICES = st.sampled_from(["talk", "group", "asked", "shifting"])
SEATS = st.sampled_from([1, 1, 1, 2])
WHO = st.sampled_from([f"client{n}" for n in range(8)])
CRASHES = st.lists(st.booleans(), max_size=6)
AUTOMATIONS = st.lists(st.sampled_from(pauses.AUTOMATIONS), unique=True, min_size=1)
GROUP = {"capacity": 3, "waitlist": {"offer_minutes": 30, "auto_lead_minutes": 120}}
SAYS = st.sampled_from([PartStat.DECLINED, PartStat.DECLINED, PartStat.ACCEPTED, PartStat.TENTATIVE])
ASKS = {"confirm_attendance_hours": 30, "release_unconfirmed_hours": 24}
SPECS: dict[str, dict[str, Any]] = {
    "talk": ASKS, "group": GROUP, "asked": {"confirmation": "approval"}, "shifting": {"operator_moves": "propose"},
}  # fmt: skip

_bookings = precondition(lambda self: self.bookings)
_places = precondition(lambda self: self.places)


class RandomDays(RuleBasedStateMachine):
    """One operator; an individual service that asks whether one comes, a group, one that asks for approval, one whose moves are proposed, all over
    the same hours.

    bookings: ids. places: tokens. proven: slots whose event was proven to be deleted. standing: pause → what it holds.
    """

    @initialize(begun=st.sampled_from([True, True, False]))
    def open(self, begun: bool) -> None:
        """A new ledger. begun: with some people in it."""
        self.folder = Path(tempfile.mkdtemp())
        self.stack = ExitStack()
        self.desk = Desk(self.stack.enter_context(migrated("sqlite", self.folder)))
        self.desk.open(**SPECS)
        self.post = Post(self.desk)
        self.bookings: list[str] = []
        self.places: list[str] = []
        self.holds: list[tuple[str, datetime, str, int]] = []
        self.proven: set[int] = set()
        self.standing: dict[int, dict[str, Any]] = {}
        self.taken_mails: list[bytes] = []
        self.opened_by_hand: set[tuple[str, datetime]] = set()
        owner, now = self.desk.operator_id, self.desk.now
        with self.desk.database.transaction() as tx:
            values: dict[str, Any] = {"operator_id": owner, "provider": "memory", "state_since": now, "created_at": now}
            account = tx.execute(sa.insert(Connection).values(**values).returning(Connection.id)).scalar_one()
            # Read only just now, and forever: whether data is fresh is not what these days are about.
            values = {"connection_id": account, "operator_id": owner, "href": "c", "bookings": True}
            self.calendar = tx.execute(sa.insert(Calendar).values(**values).returning(Calendar.id)).scalar_one()
        if begun:
            self._begin()

    def _begin(self) -> None:
        """Somebody is there already, and somebody waits behind them."""
        seeds = [
            ("talk", 1, 9, 1),
            ("group", 1, 10, 2),
            ("group", 1, 10, 1),
            ("asked", 2, 9, 1),
            ("shifting", 2, 10, 1),
        ]
        for number, (service, day, hour, seats) in enumerate(seeds):
            who, start = f"client{number}", self.desk.at(hour, day)
            self.bookings.append(self.desk.book(start, who, service, seats=seats))
        for number, accept in ((5, "auto"), (6, "ask")):
            for service, day, hour in (("talk", 1, 9), ("group", 1, 10)):
                self.places.append(
                    self.desk.join(f"client{number}", {"start": self.desk.at(hour, day)}, service, accept)
                )

    def teardown(self) -> None:
        """The folder goes."""
        if hasattr(self, "stack"):
            self.stack.close()
            shutil.rmtree(self.folder, ignore_errors=True)

    def attempt(self, act: Callable[..., Any], *given: Any, **more: Any) -> Any:
        """What it answers; None where it is refused. A refusal changes nothing."""
        before = self.everything()
        try:
            return act(*given, **more)
        except BookingError:
            assert self.everything() == before, "refused, and something has changed"
            return None

    def in_one(self, act: Callable[..., Any], *given: Any, cause: str = "test", **more: Any) -> Any:
        """A command in a transaction of its own."""
        with self.desk.database.transaction() as tx:
            return act(tx, *given, now=self.desk.now, cause=cause, **more)

    def everything(self) -> dict[str, list[Any]]:
        """Every row of every table."""
        with self.desk.database.reading() as tx:
            tables = Base.metadata.sorted_tables
            return {t.name: [tuple(r) for r in tx.execute(sa.text(f'SELECT * FROM "{t.name}"'))] for t in tables}

    # --- clients ------------------------------------------------------------------------------------------------

    @rule(who=WHO, day=DAYS, hour=HOURS, service=SERVICES, seats=SEATS, again=st.booleans())
    def book(self, who: str, day: int, hour: int, service: str, seats: int, again: bool) -> None:
        """Somebody books; perhaps their browser sends it twice."""
        start = self.desk.at(hour, day)
        key = f"{who}:{start}:{service}:{len(self.bookings)}"
        self.before_a_stranger(service, start)
        for _ in range(2 if again else 1):
            booking = self.attempt(self.desk.book, start, who, service, seats=seats, idempotency_key=key)
            if booking and booking not in self.bookings:
                self.bookings.append(booking)
                self.after_a_stranger()

    def after_a_decision(self) -> None:
        """A human has dropped something or turned it down."""

    def before_a_stranger(self, service: str, start: datetime) -> None:
        """Somebody who waits for nothing is about to ask for a start."""

    def after_a_stranger(self) -> None:
        """They have got it."""

    @rule(day=DAYS, hour=HOURS, service=SERVICES, seats=SEATS)
    def hold(self, day: int, hour: int, service: str, seats: int) -> None:
        """Somebody begins to type."""
        start = self.desk.at(hour, day)
        token = self.attempt(self.desk.hold, start, service, seats)
        if token:
            self.holds.append((token, start, service, seats))

    @precondition(lambda self: self.holds)
    @rule(data=st.data(), who=WHO, goes=st.booleans())
    def finish_or_go(self, data: st.DataObject, who: str, goes: bool) -> None:
        """…and finishes, in time or not, or goes away."""
        kept = data.draw(st.sampled_from(self.holds))
        token, start, service, seats = kept
        if goes:
            self.in_one(commands.drop_hold, TERMS, token)
        else:
            booking = self.attempt(self.desk.book, start, who, service, hold=token, seats=seats)
            if not booking:
                return
            self.bookings.append(booking)
        self.holds.remove(kept)

    @_bookings
    @rule(data=st.data(), by=st.sampled_from(["client", "operator", "admin"]))
    def cancel(self, data: st.DataObject, by: str) -> None:
        """Somebody cancels; twice is once."""
        booking = data.draw(st.sampled_from(self.bookings))
        self.attempt(self.desk.cancel, booking, by)
        before = self.everything()["outbox_message"]
        self.attempt(self.desk.cancel, booking, by)
        assert len(self.everything()["outbox_message"]) == len(before)

    @_bookings
    @rule(
        data=st.data(), day=DAYS, hour=HOURS, by=st.sampled_from(["client", "client", "operator"]), back=st.booleans()
    )
    def reschedule(self, data: st.DataObject, day: int, hour: int, by: str, back: bool) -> None:
        """Another time; the same booking and UID. back: and then rather the old one."""
        booking = data.draw(st.sampled_from(self.bookings))
        first = self.desk.seen(booking)
        for start in (self.desk.at(hour, day), first.starts_at) if back else (self.desk.at(hour, day),):
            before = self.desk.seen(booking)
            self.attempt(self.desk.reschedule, booking, start, by)
            after = self.desk.seen(booking)
            assert after.uid == first.uid
            assert after.revision == before.revision + (after.starts_at != before.starts_at)

    @_bookings
    @rule(data=st.data(), accept=st.booleans())
    def answer_the_proposal(self, data: st.DataObject, accept: bool) -> None:
        """Somebody answers another time that the operator proposes."""
        booking = data.draw(st.sampled_from(self.bookings))
        self.attempt(self.in_one, commands.answer_proposal, TERMS, booking, accept=accept, cause="client_link")

    @_bookings
    @rule(data=st.data())
    def attend(self, data: st.DataObject) -> None:
        """Somebody says that they come."""
        self.attempt(self.in_one, commands.confirm_attendance, data.draw(st.sampled_from(self.bookings)))

    @rule(
        who=WHO,
        day=DAYS,
        hour=HOURS,
        service=SERVICES,
        accept=st.sampled_from(["auto", "ask"]),
        span=st.booleans(),
        seats=SEATS,
    )
    def join(self, who: str, day: int, hour: int, service: str, accept: str, span: bool, seats: int) -> None:
        """Somebody waits, for a start that is taken or for any day."""
        start = self.desk.at(hour, day)
        open_ones = self.attempt(self.desk.starts, service) or []
        if open_ones if span else start in open_ones:
            return  # who could book needs no line
        days = {"from": f"{self.desk.at(0, 1):%Y-%m-%d}", "to": f"{self.desk.at(0, 2):%Y-%m-%d}"}
        place = self.attempt(self.desk.join, who, days if span else {"start": start}, service, accept, seats)
        if place and place not in self.places:
            self.places.append(place)

    @_places
    @rule(data=st.data(), act=st.sampled_from(["accept", "decline", "leave"]))
    def answer_the_offer(self, data: st.DataObject, act: str) -> None:
        """Somebody in line answers an offer, or leaves."""
        booking = self.attempt(getattr(self.desk, act), data.draw(st.sampled_from(self.places)))
        if act == "accept" and booking and booking not in self.bookings:
            self.bookings.append(booking)

    # --- clients' calendars, by mail ----------------------------------------------------------------------------

    @_bookings
    @rule(
        data=st.data(),
        says=SAYS,
        crash=st.booleans(),
    )
    def calendar_answers(self, data: st.DataObject, says: PartStat, crash: bool) -> None:
        """A client's calendar answers the newest invitation; the mailbox may hand the mail over again."""
        booking = data.draw(st.sampled_from(self.bookings))
        if self.desk.seen(booking).status == "confirmed":
            self.take_mail(answer(self._invitation(booking), says, at=self.desk.now, client=Client.APPLE), crash)
            self.perhaps_at_once(data)

    @_bookings
    @rule(data=st.data(), day=DAYS, hour=HOURS, crash=st.booleans())
    def calendar_asks_for_another_time(self, data: st.DataObject, day: int, hour: int, crash: bool) -> None:
        """A client's calendar would like to meet at another time."""
        booking = data.draw(st.sampled_from(self.bookings))
        start = self.desk.at(hour, day)
        if self.desk.seen(booking).status == "confirmed":
            wish = Period(start, start + timedelta(hours=1))
            self.take_mail(propose(self._invitation(booking), wish, at=self.desk.now), crash)

    def _invitation(self, booking: str) -> bytes:
        return self.post.letter(booking)

    def perhaps_at_once(self, data: st.DataObject) -> None:
        """The workers may be quick."""
        if data.draw(st.booleans(), label="at once"):
            self.desk.work()
            self._learn_of_promoted()

    def take_mail(self, raw: bytes, crash: bool) -> None:
        """The mailbox hands a mail over, and again if we crash before the commit."""
        found = parse_incoming(raw, TERMS.mail_from, authserv_id=self.post.authserv_id)
        cursor = str(len(self.taken_mails) + 1)
        for lost in (True, False) if crash else (False,):
            before = self.everything()
            try:
                with self.desk.database.transaction() as tx:
                    replies.record(tx, found, mailbox=MAILBOX, cursor=cursor, scope_of=scope_of_fact, now=self.desk.now)
                    if lost:
                        raise Crash
            except Crash:
                assert self.everything() == before
        self.taken_mails.append(raw)

    # --- the operator and the admins ----------------------------------------------------------------------------

    @_bookings
    @rule(data=st.data(), decision=st.sampled_from(["confirm", "confirm", "decline"]))
    def decide(self, data: st.DataObject, decision: str) -> None:
        """The operator approves or declines what waits for it."""
        self.attempt(self.desk.decide, data.draw(st.sampled_from(self.bookings)), decision)

    @_bookings
    @rule(data=st.data(), what=st.sampled_from([Happening.NO_SHOW, Happening.UNDO_NO_SHOW, Happening.COMPLETE]))
    def mark(self, data: st.DataObject, what: Happening) -> None:
        """The operator says whether they came."""
        self.attempt(self.in_one, commands.mark, TERMS, data.draw(st.sampled_from(self.bookings)), what)

    @_places
    @rule(data=st.data(), priority=st.sampled_from([0, 5]))
    def prioritise(self, data: st.DataObject, priority: int) -> None:
        """Somebody in line becomes more urgent, or less."""
        with self.desk.database.transaction() as tx:
            entry = tx.execute(sa.select(WaitlistEntry.id).where(WaitlistEntry.token == data.draw(st.sampled_from(self.places)))).scalar_one()  # fmt: skip
        self.attempt(self._prioritise, entry, priority)

    def _prioritise(self, entry: int, priority: int) -> None:
        with self.desk.database.transaction() as tx:
            judgement.prioritise(tx, entry, priority, now=self.desk.now)

    @_places
    @rule(data=st.data(), day=DAYS, hour=HOURS)
    def promote_by_hand(self, data: st.DataObject, day: int, hour: int) -> None:
        """An admin gives somebody in line a free start, whoever else waits."""
        token = data.draw(st.sampled_from(self.places))
        with self.desk.database.reading() as tx:
            entry = line.entry_by_token(tx, token).id
        booking = self.attempt(self.in_one, judgement.promote, TERMS, entry, self.desk.at(hour, day))
        if booking:
            self.bookings.append(booking)

    @rule(data=st.data(), approve=st.booleans())
    def review(self, data: st.DataObject, approve: bool) -> None:
        """A human decides what was asked of one."""
        with self.desk.database.reading() as tx:
            asked = [row["id"] for row in reviews.listing(tx)]
        if not asked:
            return
        decide = self._approve if approve else self._dismiss
        self.attempt(decide, data.draw(st.sampled_from(asked)))
        self.after_a_decision()

    def _approve(self, review_id: int) -> None:
        with self.desk.database.transaction() as tx:
            reviewing.approve(tx, TERMS, scopes.EVERYBODY, review_id, "", now=self.desk.now)

    def _dismiss(self, review_id: int) -> None:
        with self.desk.database.transaction() as tx:
            reviewing.dismiss(tx, TERMS, scopes.EVERYBODY, review_id, now=self.desk.now)

    @rule(
        data=st.data(),
        scope=st.sampled_from(["global", "operator", "service", "slot", "booking"]),
        automations=AUTOMATIONS,
    )
    def pause(self, data: st.DataObject, scope: str, automations: list[str]) -> None:
        """An admin wants to look at it first."""
        target = {"global": "", "operator": str(self.desk.operator_id), "service": "1"}.get(scope, "")
        if scope in ("slot", "booking"):
            if not self.bookings:
                return
            row = self.desk.seen(data.draw(st.sampled_from(self.bookings)))
            target = str(row.slot_id) if scope == "slot" else row.id
        with self.desk.database.transaction() as tx:
            made = pauses.pause(tx, scope=scope, target=target, automations=automations, now=self.desk.now)
        self.standing[made] = {"scope": scope, "target": target, "automations": automations}

    @precondition(lambda self: self.standing)
    @rule(data=st.data(), drops=st.booleans())
    def resume(self, data: st.DataObject, drops: bool) -> None:
        """…and goes on, perhaps without some of it."""
        ended = data.draw(st.sampled_from(sorted(self.standing)))
        with self.desk.database.transaction() as tx:
            waiting = [row["id"] for row in scopes.preview(tx, scopes.EVERYBODY, ended, now=self.desk.now)]
            dropped = data.draw(st.lists(st.sampled_from(waiting), unique=True)) if drops and waiting else []
            scopes.resume(tx, scopes.EVERYBODY, ended, discard=dropped, now=self.desk.now)
        del self.standing[ended]
        if dropped:
            self.after_a_decision()

    # --- the operator's calendar, as sync stores it -------------------------------------------------------------

    def in_calendar(self, act: Callable[[Tx, Any], Any], data: st.DataObject) -> None:
        """Something about the event of a booking's slot becomes known."""
        slot_id = self.desk.seen(data.draw(st.sampled_from(self.bookings))).slot_id
        with self.desk.database.transaction() as tx:
            event = tx.execute(sa.select(SlotEvent.__table__).where(SlotEvent.slot_id == slot_id)).one_or_none()
            if event is not None and event.wanted and event.state != "gone":
                act(tx, event)
        self.perhaps_at_once(data)

    @_bookings
    @rule(data=st.data())
    def event_is_missing(self, data: st.DataObject) -> None:
        """A pull doesn't find it; nobody has looked again yet."""
        self.in_calendar(lambda tx, event: facts.report_missing(tx, event, now=self.desk.now), data)

    @_bookings
    @rule(data=st.data())
    def event_is_deleted(self, data: st.DataObject) -> None:
        """The operator deletes it, and a second look has proven that."""

        def prove(tx: Tx, event: Any) -> None:
            facts.report_deleted(tx, event, now=self.desk.now)
            self.proven.add(event.slot_id)

        self.in_calendar(prove, data)

    @_bookings
    @rule(data=st.data(), day=DAYS, hour=HOURS)
    def event_is_dragged(self, data: st.DataObject, day: int, hour: int) -> None:
        """The operator drags it to another time."""
        start = self.desk.at(hour, day) + timedelta(minutes=30)
        there = Period(start, start + timedelta(hours=1))
        self.in_calendar(lambda tx, event: facts.report_move(tx, event, there, now=self.desk.now), data)

    @_bookings
    @rule(data=st.data(), tagged=st.booleans())
    def event_is_tagged(self, data: st.DataObject, tagged: bool) -> None:
        """The operator says in the calendar that nobody came, or takes that back."""
        self.in_calendar(lambda tx, event: facts.report_tag(tx, event, tagged, now=self.desk.now), data)

    @rule(day=DAYS, hour=HOURS)
    def operator_is_busy(self, day: int, hour: int) -> None:
        """A foreign event appears, as a pull would write it."""
        start = self.desk.at(hour, day)
        values = {"operator_id": self.desk.operator_id, "calendar_id": self.calendar}
        with self.desk.database.transaction() as tx:
            if tx.execute(sa.select(RemoteEvent.id).where(RemoteEvent.href == f"{start}")).first() is None:
                new = sa.insert(RemoteEvent).values(calendar_id=self.calendar, href=f"{start}")
                event = tx.execute(new.returning(RemoteEvent.id)).scalar_one()
                period = {"starts_at": start, "ends_at": start + timedelta(hours=1)}
                tx.execute(sa.insert(Busy).values(**values, **period, remote_event_id=event))

    @rule()
    def operator_is_free_again(self) -> None:
        """The foreign events go: marked, told, and given to the line first."""
        with self.desk.database.transaction() as tx:
            tx.execute(sa.update(Busy).values(freed=True))
            tx.execute(sa.delete(RemoteEvent).where(RemoteEvent.slot_event_id.is_(None)))
            owner = self.desk.operator_id
            outbox.append(tx, TimeFreed(owner), now=self.desk.now, scope=outbox.Scope(operator_id=owner))

    # --- time ---------------------------------------------------------------------------------------------------

    @rule(crash=CRASHES)
    def work(self, crash: list[bool]) -> None:
        """The workers do what is due, and some of it is lost and done again."""
        plan = list(crash)
        self.desk.work(crash=lambda: plan.pop() if plan else False)
        self._learn_of_promoted()

    @rule(minutes=st.sampled_from([1, 6, 40, 600]))
    def time_passes(self, minutes: int) -> None:
        """The clock, and what it alone brings about."""
        self.desk.now += timedelta(minutes=minutes)
        with self.desk.database.transaction() as tx:
            turns.roll(tx, self.desk.now)
            line.expire_wishes(tx, self.desk.now)
            commands.forget_answers(tx, self.desk.now)

    def _learn_of_promoted(self) -> None:
        with self.desk.database.reading() as tx:
            for booking in tx.execute(sa.select(WaitlistEntry.booking_id).where(WaitlistEntry.status == "promoted")):
                if booking.booking_id and booking.booking_id not in self.bookings:
                    self.bookings.append(booking.booking_id)

    def live(self, tx: Tx) -> list[Any]:
        """Bookings that hold seats."""
        table = commands.Booking.__table__
        return list(tx.execute(sa.select(table).where(table.c.status.in_(LIVE))).all())
