"""The loop that is killed: a booking, somebody waiting for the same place, the operator's deletion, the promotion; who was
promoted moves, and is moved by the operator; somebody else books and cancels.

On a real Radicale and a real SMTP server, which outlive the killed process. Its end state is compared as a value.
"""

from __future__ import annotations

import dataclasses
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from dramatiq import Worker

from booking import catalogue, commands, setup, waitlist
from booking.tables import Booking, WaitlistEntry
from connectors.emulators.mailbox import SmtpCatcher
from connectors.emulators.radicale import RunningServer
from connectors.protocol import Credentials
from ledger import clock, outbox, reviews
from ledger.db import Database, Tx
from ledger.messages import PullCalendar
from ledger.settings import Settings
from ledger.tables import Calendar, Delivery, OutboxMessage, Seat, Slot, SlotEvent, TimelineEntry
from tests.support.databases import migrated
from tests.support.foreign import with_times
from tests.support.kill import Orders, wait_quiet, watched_world
from tests.support.servers import OtherClient
from workers.actors import run_message
from workers.broker import Post, declare_actors, open_broker
from workers.embedded import Embedded
from workers.leases import LeaseKeeper
from workers.middleware import SlowLane
from workers.notices import Listener, Notifier
from workers.opening import open_world
from workers.relay import Relay
from workers.world import World

SPEC = {
    "title": "Consultation",
    "duration_minutes": 50,
    "start_every_minutes": 60,
    "notice_minutes": 0,
    "cancellation_grace_seconds": 0,
    "hours": {day: ["09:00-17:00"] for day in ("mon", "tue", "wed", "thu", "fri", "sat", "sun")},
}
HOUR = timedelta(hours=1)
LEASE = timedelta(seconds=2)
"""Short, so that what a dead process held is taken over soon."""


@dataclasses.dataclass
class Loop:
    """One practice of its own: database, calendar, mailbox. progress: which doors were gone through."""

    settings: Settings
    database: Database
    catcher: SmtpCatcher
    bookings: OtherClient
    account: tuple[str, str]
    folder: Path
    start: datetime

    @property
    def progress(self) -> Path:
        """A file with a line for each door that has answered."""
        return self.folder / "progress"

    def end_state(self) -> dict[str, Any]:
        """What the world looks like when all is quiet, without what differs from practice to practice."""
        with self.database.reading() as tx:
            mails = [(m.recipients[0], *_calendar_part(m.raw)) for m in self.catcher.messages]
            stored = tx.execute(sa.select(Delivery.message_id, Delivery.state, Delivery.message)).all()
            return {
                "bookings": _rows(tx, Booking.client_email, Booking.status, Booking.revision),
                "line": _rows(tx, WaitlistEntry.client_email, WaitlistEntry.status),
                "slots": _rows(tx, Slot.taken, Slot.capacity),
                "seats": _rows(tx, Seat.seats),
                "events": _rows(tx, SlotEvent.wanted, SlotEvent.state, SlotEvent.version == SlotEvent.pushed_version),
                "timeline": _rows(tx, TimelineEntry.what, TimelineEntry.audience),
                "deliveries": _rows(tx, Delivery.audience, Delivery.kind, Delivery.state, Delivery.method),
                "outbox": _rows(tx, OutboxMessage.kind, OutboxMessage.state, but=("PullCalendar", "TimeFreed")),
                "reviews": [r["kind"] for r in reviews.listing(tx)],
                "mails": sorted(set(mails), key=str),
                "sent": sorted({m.message_id for m in self.catcher.messages}) == sorted(s.message_id for s in stored),
                "bytes kept": [s.message_id for s in stored if s.message is not None],
                "calendar": sorted(_summary(self.bookings.get(name) or b"") for name in self.bookings.names()),
            }

    def repeats(self) -> dict[str, set[bytes]]:
        """Message-ID → the different texts that were sent under it."""
        texts: dict[str, set[bytes]] = {}
        for mail in self.catcher.messages:
            texts.setdefault(mail.message_id, set()).add(mail.raw)
        return texts


def _rows(tx: Any, *columns: Any, but: tuple[str, ...] = ()) -> list[tuple[Any, ...]]:
    """but: what may be asked for once more after a restart, as a pull or a look at the line; what comes of it counts."""
    rows = [tuple(row) for row in tx.execute(sa.select(*columns))]
    return sorted((row for row in rows if row[0] not in but), key=str)


def _calendar_part(raw: bytes) -> tuple[str, str]:
    text = raw if b"text/calendar" not in raw else _decoded(raw)
    method = re.search(rb"METHOD:(\w+)", text)
    sequence = re.search(rb"\nSEQUENCE:(\d+)", text)
    return (method.group(1).decode() if method else "", sequence.group(1).decode() if sequence else "")


def _decoded(raw: bytes) -> bytes:
    for part in message_from_bytes(raw).walk():
        if part.get_content_type() == "text/calendar":
            body = part.get_payload(decode=True)
            assert isinstance(body, bytes)
            return body.replace(b"\r\n", b"\n")
    return b""


def _summary(ics: bytes) -> tuple[str, ...]:
    names = (rb"SUMMARY", rb"DTSTART", rb"SEQUENCE")
    return tuple(m.group(1).decode().strip() if (m := re.search(name + rb"[;:](.*)", ics)) else "" for name in names)


@contextmanager
def loop(kind: str, folder: Path, server: RunningServer, user: str, **settings: str) -> Iterator[Loop]:
    """A practice whose calendars have been read once. kind: ``sqlite`` or ``postgresql``. user: nobody else's."""
    folder.mkdir(parents=True, exist_ok=True)
    urls = {role: server.make_calendar(user, role, timezone="Europe/Berlin") for role in ("busy", "bookings")}
    with migrated(kind, folder) as database, SmtpCatcher() as catcher:
        chosen = Settings(
            database_url=database.engine.url.render_as_string(hide_password=False).replace("+psycopg", ""),
            mail_url=catcher.url,
            mail_from="bookings@practice.example",
            secret_key="0123456789abcdef",
            allow_private_networks=True,
            poll_seconds=86_400,
            **settings,  # type: ignore[arg-type]
        )
        bookings = OtherClient(urls["bookings"], user, server.users[user])
        start = (clock.now().astimezone(UTC) + timedelta(days=7)).replace(hour=10, minute=0, second=0, microsecond=0)
        made = Loop(chosen, database, catcher, bookings, (user, server.users[user]), folder, start)
        _set_up(made, Credentials("caldav", server.url, user, server.users[user]))
        try:
            yield made
        finally:
            bookings.close()


def _set_up(made: Loop, credentials: Credentials) -> None:
    now = clock.now()
    world = open_world(made.settings, database=made.database)
    with made.database.transaction() as tx:
        operator_id = setup.add_operator(
            tx, "anna", name="Anna", email="anna@practice.example", timezone="Europe/Berlin", now=now
        )
        setup.put_service(tx, "anna", "consultation", SPEC, now=now)
    connection_id = world.accounts.connect(operator_id, credentials, now=now)
    with made.database.reading() as tx:
        rows = tx.execute(sa.select(Calendar.id, Calendar.name).where(Calendar.connection_id == connection_id)).all()
    for row in rows:
        world.accounts.assign(row.id, now=now, **{row.name: True})
    drain(world)


def drain(world: World) -> None:
    """Do by hand, in this thread, what is due."""
    while True:
        with world.database.transaction() as tx:
            rows = outbox.lease(tx, now=clock.now())
        if not rows:
            return
        for row_id, _ in rows:
            run_message(world, row_id)


# --- the doors --------------------------------------------------------------------------------------------------


def go_through_the_doors(world: World, made_start: datetime, progress: Path, bookings: OtherClient) -> None:
    """Each door once; after a crash those again that hadn't answered, as people and machines do."""
    doors: list[tuple[str, Callable[[], None]]] = [
        ("book", lambda: _book(world, made_start)),
        ("join", lambda: _join(world, made_start)),
        ("delete", lambda: _delete(world, bookings, progress.with_name("victim"))),
        ("pull", lambda: _pull(world)),
        ("move", lambda: _move(world, made_start + HOUR)),
        ("drag", lambda: _drag(bookings, made_start + 2 * HOUR)),
        ("pull again", lambda: _pull(world)),
        ("book again", lambda: _book(world, made_start + 3 * HOUR, "nina")),
        ("cancel", lambda: _cancel(world, "nina")),
    ]
    for name, door in doors:
        answered = progress.read_text().splitlines() if progress.exists() else []
        if name not in answered:
            door()
            with progress.open("a") as file:
                file.write(f"{name}\n")
        wait_quiet(world.database)


def _person(who: str) -> dict[str, str]:
    return {"name": who.title(), "email": f"{who}@example.org", "timezone": "Europe/Berlin", "language": "en"}


def _book(world: World, start: datetime, who: str = "kata") -> None:
    with world.database.transaction() as tx:
        commands.book(
            tx, world.terms, "anna", "consultation", {"start": start, "client": _person(who)}, now=clock.now(),
            cause="api", idempotency_key=f"{who}'s only one",
        )  # fmt: skip


def _join(world: World, start: datetime) -> None:
    with world.database.transaction() as tx:
        offering = catalogue.offering(tx, "anna", "consultation")
        given = {"client": _person("vera"), "wish": {"start": start.isoformat()}, "accept": "auto"}
        waitlist.join(tx, offering, given, now=clock.now(), cause="api")


def _delete(world: World, bookings: OtherClient, victim: Path) -> None:
    """The operator deletes the one event there is; not the next one, if the phone crashes in between."""
    if not victim.exists():
        (name,) = bookings.names()
        victim.write_text(name)
    if bookings.get(victim.read_text()) is not None:
        bookings.delete(victim.read_text())


def _move(world: World, start: datetime) -> None:
    with world.database.transaction() as tx:
        booking_id = _booking_of(tx, "vera")
        commands.reschedule(tx, world.terms, booking_id, start, by="client", now=clock.now(), cause="api")


def _drag(bookings: OtherClient, start: datetime) -> None:
    (name,) = bookings.names()
    bookings.put(name, with_times(bookings.get(name) or b"", start, start + timedelta(minutes=50)))


def _cancel(world: World, who: str) -> None:
    with world.database.transaction() as tx:
        commands.cancel(tx, world.terms, _booking_of(tx, who), by="client", now=clock.now(), cause="api")


def _booking_of(tx: Tx, who: str) -> str:
    return str(tx.execute(sa.select(Booking.id).where(Booking.client_email == _person(who)["email"])).scalar_one())


def _pull(world: World) -> None:
    with world.database.transaction() as tx:
        for calendar in tx.execute(sa.select(Calendar.id, Calendar.operator_id).where(Calendar.bookings)).all():
            outbox.append(tx, PullCalendar(calendar.id), now=clock.now(), scope=outbox.Scope(calendar.operator_id))


def doors_of(made: Loop) -> None:
    """Go through the doors from this process, which lives on; its commits are heard elsewhere."""
    world = open_world(made.settings, database=made.database)
    notifier = Notifier(made.database)
    notifier.start()
    try:
        go_through_the_doors(world, made.start, made.progress, made.bookings)
    finally:
        notifier.stop()


# --- what runs in the children ------------------------------------------------------------------------------------


def embedded(orders: Orders, start: datetime, progress: Path, calendar: tuple[str, str, str]) -> None:
    """A process like ``serve``: doors and workers in one, until everything is quiet."""
    world, _ = watched_world(orders)
    room = Embedded(world, quick=3, slow=2)
    room.start()
    bookings = OtherClient(*calendar)
    go_through_the_doors(world, start, progress, bookings)
    room.stop()


def worker(orders: Orders) -> None:
    """A process like ``worker``, for ever."""
    world, _ = watched_world(orders)
    world = dataclasses.replace(
        world, leases=LeaseKeeper(world.database, world.clock, every=LEASE.total_seconds() / 4, lease_for=LEASE)
    )
    broker = open_broker(orders.settings.broker_url)
    broker.add_middleware(SlowLane(2))
    declare_actors(broker, lambda row_id: run_message(world, row_id))
    world.leases.start()
    Notifier(world.database).start()
    Worker(broker, worker_threads=3, worker_timeout=200).start()
    threading.Event().wait()


def relay(orders: Orders) -> None:
    """A process like ``relay``, for ever."""
    world, boundaries = watched_world(orders)
    post: Any = Post(open_broker(orders.settings.broker_url))
    post.hand_over = boundaries.around("broker.hand_over", post.hand_over)
    handing = Relay(world.database, post, world.clock, lease_for=LEASE)
    Listener(world.database, handing.wake).start()
    handing.start()
    threading.Event().wait()
