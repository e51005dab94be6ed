"""The books. One class a table; what a column means is said here once.

Foreign time is stored as busy periods and a hash of the UID, never with titles or people (P14).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from ledger.db import Base, Json
from ledger.sealed import Sealed

Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


class Deployment(Base):
    """One row: who we are. ``id`` enters every key we put into foreign calendars, with ``generation``, which tells how
    often the books were restored from a backup: ids of slots are given again then."""

    __tablename__ = "deployment"
    id: Mapped[str] = mapped_column(sa.String(32), primary_key=True)
    created_at: Mapped[datetime]
    generation: Mapped[int] = mapped_column(default=0)


class Operator(Base):
    """Somebody whose time can be booked. ``ledger_version`` grows with every change of what can be shown, and its
    row is the lock of the operator's time (docs/locking.md). circle: of those who share services as a team, the operator
    whose row is the lock of all; None for who works alone."""

    __tablename__ = "operator"
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    slug: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    email: Mapped[str]
    timezone: Mapped[str]
    language: Mapped[str] = mapped_column(default="en")
    active: Mapped[bool] = mapped_column(default=True)
    ledger_version: Mapped[int] = mapped_column(sa.BigInteger, default=1)
    circle: Mapped[int | None] = mapped_column(Id, index=True)
    created_at: Mapped[datetime]


class Connection(Base):
    """Credentials at one provider. state: ``ok``, ``stale``, ``reconnect``, ``disabled``."""

    __tablename__ = "connection"
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    operator_id: Mapped[int] = mapped_column(sa.ForeignKey("operator.id", ondelete="CASCADE"), index=True)
    provider: Mapped[str]
    url: Mapped[str] = mapped_column(default="")
    username: Mapped[str] = mapped_column(default="")
    account: Mapped[str] = mapped_column(default="")
    secret: Mapped[str] = mapped_column(Sealed, default="")
    voice: Mapped[str] = mapped_column(default="service")  # who invites the client (P8)
    state: Mapped[str] = mapped_column(default="ok")
    state_detail: Mapped[str] = mapped_column(sa.Text, default="")
    state_since: Mapped[datetime]
    last_success_at: Mapped[datetime | None]
    created_at: Mapped[datetime]


class Calendar(Base):
    """One remote collection, its roles and rules, and how far it was read.

    token_*: where to go on. window_*: what `Busy` covers. pulled_at: the last pull that succeeded. tz_version: the
    time-zone data that the expansion rests on; another one asks for a full listing (P12).
    """

    __tablename__ = "calendar"
    __table_args__ = (sa.UniqueConstraint("connection_id", "href"), sa.Index("ix_calendar_due_at", "due_at"))
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    connection_id: Mapped[int] = mapped_column(sa.ForeignKey("connection.id", ondelete="CASCADE"))
    operator_id: Mapped[int] = mapped_column(sa.ForeignKey("operator.id", ondelete="CASCADE"), index=True)
    href: Mapped[str] = mapped_column(sa.Text)
    name: Mapped[str] = mapped_column(sa.Text, default="")
    timezone: Mapped[str] = mapped_column(default="")
    writable: Mapped[bool] = mapped_column(default=True)
    transparent: Mapped[bool] = mapped_column(default=False)
    primary: Mapped[bool] = mapped_column(default=False)  # the account's default calendar
    busy: Mapped[bool] = mapped_column(default=False)
    availability: Mapped[bool] = mapped_column(default=False)
    bookings: Mapped[bool] = mapped_column(default=False)
    all_day_blocks: Mapped[bool] = mapped_column(default=True)
    tentative_blocks: Mapped[bool] = mapped_column(default=True)
    unanswered_blocks: Mapped[bool] = mapped_column(default=True)
    quirks: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)
    token_kind: Mapped[str] = mapped_column(default="")
    token_value: Mapped[str] = mapped_column(sa.Text, default="")
    window_start: Mapped[datetime | None]
    window_end: Mapped[datetime | None]
    tz_version: Mapped[str] = mapped_column(default="")
    pulled_at: Mapped[datetime | None]
    due_at: Mapped[datetime | None]
    failures: Mapped[int] = mapped_column(default=0)
    last_error: Mapped[str] = mapped_column(sa.Text, default="")
    shrink_accepted: Mapped[bool] = mapped_column(default=False)  # a human said: yes, it really was emptied


class Channel(Base):
    """A provider's promise to call us when one calendar changed; stored before it is asked for, so that a lost answer
    leaves an id that we know.

    remote_id, resource_id: the provider's names of it. secret: sealed; each call must bring it. address: where we are
    called. state: ``opening`` (asked for, answer unknown), ``open``, ``closing``, ``closed``, ``lost`` (nobody knows
    whether it was opened; who calls through it makes it known), ``refused`` (can't be watched, polled instead).
    next_at: when to renew it or try again. heard_at: the last call. silent: pulls that found news it hadn't told of.
    """

    __tablename__ = "channel"
    __table_args__ = (sa.Index("ix_channel_calendar_state", "calendar_id", "state"),)
    id: Mapped[str] = mapped_column(sa.String(32), primary_key=True)
    calendar_id: Mapped[int] = mapped_column(sa.ForeignKey("calendar.id", ondelete="CASCADE"))
    provider: Mapped[str]
    address: Mapped[str] = mapped_column(sa.Text)
    secret: Mapped[str] = mapped_column(Sealed)
    remote_id: Mapped[str] = mapped_column(sa.Text, default="")
    resource_id: Mapped[str] = mapped_column(sa.Text, default="")
    state: Mapped[str] = mapped_column(default="opening")
    detail: Mapped[str] = mapped_column(sa.Text, default="")
    created_at: Mapped[datetime]
    opened_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]
    next_at: Mapped[datetime]
    heard_at: Mapped[datetime | None]
    silent: Mapped[int] = mapped_column(default=0)


class OAuthFlow(Base):
    """One link by which an operator connects an account, and the consent that was begun through it.

    nonce: makes the link's signature its own. connection_id: the one to be reconnected, afterwards the one that was
    made. voice: what was asked for it, or ``""``. pending: sealed, taken out once by who comes back. state_hash,
    session_hash: of what the provider and the browser must bring back. state: ``issued``, ``begun``, ``connected``.
    """

    __tablename__ = "oauth_flow"
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    operator_id: Mapped[int] = mapped_column(sa.ForeignKey("operator.id", ondelete="CASCADE"), index=True)
    provider: Mapped[str]
    connection_id: Mapped[int | None] = mapped_column(sa.ForeignKey("connection.id", ondelete="CASCADE"))
    voice: Mapped[str] = mapped_column(default="")
    nonce: Mapped[str] = mapped_column(sa.String(32))
    state: Mapped[str] = mapped_column(default="issued")
    pending: Mapped[str] = mapped_column(Sealed, default="")
    state_hash: Mapped[str] = mapped_column(sa.String(64), default="", index=True)
    session_hash: Mapped[str] = mapped_column(sa.String(64), default="")
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)


class RemoteEvent(Base):
    """One remote object that we know. slot_event_id: it is ours. problem: why it couldn't be read in full."""

    __tablename__ = "remote_event"
    __table_args__ = (sa.UniqueConstraint("calendar_id", "href"),)
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    calendar_id: Mapped[int] = mapped_column(sa.ForeignKey("calendar.id", ondelete="CASCADE"))
    href: Mapped[str] = mapped_column(sa.Text)
    etag: Mapped[str] = mapped_column(sa.Text, default="")
    uid_hash: Mapped[str] = mapped_column(sa.String(64), default="")
    slot_event_id: Mapped[int | None] = mapped_column(Id, index=True)
    problem: Mapped[str] = mapped_column(sa.Text, default="")


class Busy(Base):
    """A period that an operator's calendar takes. freed: it is gone there, but stays closed until the people waiting
    had their turn (booking handles `TimeFreed` and deletes it), so that no passer-by is faster (P7)."""

    __tablename__ = "busy"
    __table_args__ = (sa.Index("ix_busy_operator_end", "operator_id", "ends_at", "starts_at"),)
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    operator_id: Mapped[int] = mapped_column(sa.ForeignKey("operator.id", ondelete="CASCADE"))
    remote_event_id: Mapped[int] = mapped_column(Id, index=True)  # no foreign key: a freed row outlives its event
    calendar_id: Mapped[int] = mapped_column(sa.ForeignKey("calendar.id", ondelete="CASCADE"), index=True)
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    freed: Mapped[bool] = mapped_column(default=False)


class Opening(Base):
    """A period that an event in an ``availability`` calendar opens. label: what its title and categories name, to be
    matched with services. fresh: new, not shown before the people waiting had their turn."""

    __tablename__ = "opening"
    __table_args__ = (sa.Index("ix_opening_operator_end", "operator_id", "ends_at", "starts_at"),)
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    operator_id: Mapped[int] = mapped_column(sa.ForeignKey("operator.id", ondelete="CASCADE"))
    remote_event_id: Mapped[int] = mapped_column(Id, index=True)
    calendar_id: Mapped[int] = mapped_column(sa.ForeignKey("calendar.id", ondelete="CASCADE"), index=True)
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    label: Mapped[str] = mapped_column(sa.Text, default="")
    seats: Mapped[int | None]
    fresh: Mapped[bool] = mapped_column(default=False)


class Turn(Base):
    """Time that is closed to strangers until the people waiting had their turn at it (P7; `ledger/free_time.py`).

    service_id: starts of that service in ``[starts_at, ends_at)``; None: whatever would touch the period, of any service.
    ends_at: None for everything from there on, which is how far the line of a service has seen: one such row for each
    service that somebody waits for.
    """

    __tablename__ = "turn"
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    operator_id: Mapped[int] = mapped_column(sa.ForeignKey("operator.id", ondelete="CASCADE"), index=True)
    service_id: Mapped[int | None] = mapped_column(Id, index=True)
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime | None]


class Slot(Base):
    """One taken start of one service. It lives while seats are taken; the next taker of the same start gets a new one.

    block_*: the period with its buffers; the database refuses two taken slots of an operator whose blocks overlap.
    taken: sum of its seats, holds and offers included; checked against capacity by the database. ceiling: what capacity
    shall be, where more people than that are in it; nobody else comes in before they are fewer. leader_id: this is the
    time of one more operator whom the slot of that id takes; its seats are the leader's.
    """

    __tablename__ = "slot"
    __table_args__ = (
        sa.CheckConstraint("taken >= 0 AND taken <= capacity", name="seats"),
        sa.CheckConstraint("block_start <= starts_at AND starts_at < ends_at AND ends_at <= block_end", name="times"),
        sa.Index(
            "ix_slot_operator_taken",
            "operator_id",
            "block_end",
            sqlite_where=sa.text("taken > 0"),
            postgresql_where=sa.text("taken > 0"),
        ),
    )
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    operator_id: Mapped[int] = mapped_column(sa.ForeignKey("operator.id", ondelete="CASCADE"))
    service_id: Mapped[int] = mapped_column(Id, index=True)
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    block_start: Mapped[datetime]
    block_end: Mapped[datetime]
    capacity: Mapped[int]
    taken: Mapped[int] = mapped_column(default=0)
    leader_id: Mapped[int | None] = mapped_column(Id, index=True)
    ceiling: Mapped[int | None]
    created_at: Mapped[datetime]


class Seat(Base):
    """Who has seats of a slot. holder: ``booking:ID``, ``hold:TOKEN`` or ``offer:ID``. expires_at: only of holds; past
    it the seats count as free in every query, whether or not anybody has cleaned up."""

    __tablename__ = "seat"
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    slot_id: Mapped[int] = mapped_column(sa.ForeignKey("slot.id", ondelete="CASCADE"), index=True)
    operator_id: Mapped[int] = mapped_column(Id)
    holder: Mapped[str] = mapped_column(unique=True)
    seats: Mapped[int]
    expires_at: Mapped[datetime | None]


class SlotEvent(Base):
    """The event of one slot in the operator's calendar: what we want (written by booking through `ledger/entries.py`),
    what is there (written by sync). One for a slot, however many people are in it.

    wanted: should it exist? version: of the wish; pushed_version: of what the provider confirmed. state: ``planned``
    (never tried), ``sent`` (tried, answer unknown), ``confirmed``, ``gone`` (deleted by us or the operator).
    missing_since: sync saw it vanish and is looking again. no_show: the operator tagged it so when it was last read.
    """

    __tablename__ = "slot_event"
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    slot_id: Mapped[int] = mapped_column(Id, unique=True)  # outlives the slot row
    operator_id: Mapped[int] = mapped_column(sa.ForeignKey("operator.id", ondelete="CASCADE"), index=True)
    service_id: Mapped[int] = mapped_column(Id)
    calendar_id: Mapped[int | None] = mapped_column(sa.ForeignKey("calendar.id", ondelete="SET NULL"), index=True)
    key: Mapped[str] = mapped_column(unique=True)
    uid: Mapped[str]
    wanted: Mapped[bool] = mapped_column(default=True)
    version: Mapped[int] = mapped_column(default=1)
    sequence: Mapped[int] = mapped_column(default=0)
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    words: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)
    grace_seconds: Mapped[int] = mapped_column(default=60)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    state: Mapped[str] = mapped_column(default="planned")
    href: Mapped[str] = mapped_column(sa.Text, default="")
    etag: Mapped[str] = mapped_column(sa.Text, default="")
    pushed_version: Mapped[int] = mapped_column(default=0)
    pushed_start: Mapped[datetime | None]
    pushed_end: Mapped[datetime | None]
    confirmed_at: Mapped[datetime | None]
    missing_since: Mapped[datetime | None]
    no_show: Mapped[bool] = mapped_column(default=False)


class OutboxMessage(Base):
    """Something to be done later. state: ``waiting``, ``queued`` (given to the broker), ``running``, ``done``, ``parked``
    (asks for a human), ``discarded``. Only rows with the same ``line`` wait for each other."""

    __tablename__ = "outbox_message"
    __table_args__ = (
        sa.Index(
            "uq_outbox_message_key",
            "key",
            unique=True,
            sqlite_where=sa.text("NOT merges"),
            postgresql_where=sa.text("NOT merges"),
        ),
        sa.Index(
            "uq_outbox_message_merging_key",
            "key",
            unique=True,
            sqlite_where=sa.text("merges AND state = 'waiting'"),
            postgresql_where=sa.text("merges AND state = 'waiting'"),
        ),
        sa.Index(
            "ix_outbox_message_due",
            "not_before",
            "id",
            sqlite_where=sa.text("state IN ('waiting', 'queued', 'running')"),
            postgresql_where=sa.text("state IN ('waiting', 'queued', 'running')"),
        ),
        sa.Index(
            "ix_outbox_message_line",
            "line",
            "id",
            sqlite_where=sa.text("state IN ('waiting', 'queued', 'running')"),
            postgresql_where=sa.text("state IN ('waiting', 'queued', 'running')"),
        ),
    )
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    kind: Mapped[str]
    body: Mapped[dict[str, Any]] = mapped_column(Json)
    key: Mapped[str]
    merges: Mapped[bool] = mapped_column(default=False)
    line: Mapped[str]
    automation: Mapped[str] = mapped_column(default="")
    operator_id: Mapped[int | None] = mapped_column(Id)
    service_id: Mapped[int | None] = mapped_column(Id)
    slot_id: Mapped[int | None] = mapped_column(Id)
    booking_id: Mapped[str | None]
    cause: Mapped[str] = mapped_column(sa.Text, default="")
    state: Mapped[str] = mapped_column(default="waiting")
    attempts: Mapped[int] = mapped_column(default=0)
    not_before: Mapped[datetime]
    leased_until: Mapped[datetime | None]
    lease: Mapped[str] = mapped_column(default="")
    last_error: Mapped[str] = mapped_column(sa.Text, default="")
    created_at: Mapped[datetime]
    settled_at: Mapped[datetime | None]


class Delivery(Base):
    """One mail to one person about one revision. message: the exact bytes, kept from before the first attempt until
    they were handed over, so that a repeat is the same message. state: ``prepared``, ``handed_over``, ``refused``, ``bounced``."""

    __tablename__ = "delivery"
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    message_id: Mapped[str] = mapped_column(unique=True)
    booking_id: Mapped[str] = mapped_column(index=True)
    operator_id: Mapped[int] = mapped_column(Id)
    audience: Mapped[str]
    kind: Mapped[str]
    recipient: Mapped[str]
    method: Mapped[str] = mapped_column(default="")
    uid: Mapped[str] = mapped_column(default="")
    sequence: Mapped[int] = mapped_column(default=0)
    state: Mapped[str] = mapped_column(default="prepared")
    detail: Mapped[str] = mapped_column(sa.Text, default="")
    message: Mapped[bytes | None] = mapped_column(sa.LargeBinary)
    created_at: Mapped[datetime]
    handed_over_at: Mapped[datetime | None]


class InboundMail(Base):
    """A mail that came to our mailbox, taken once however often it is read. digest: sha256 of its bytes, hex. kind, reason,
    verdict: of `connectors.mail.imip_incoming.Incoming`. Nothing of what it says is kept here (P14)."""

    __tablename__ = "inbound_mail"
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    digest: Mapped[str] = mapped_column(sa.String(64), unique=True)
    kind: Mapped[str]
    reason: Mapped[str] = mapped_column(sa.Text, default="")
    verdict: Mapped[str] = mapped_column(default="")
    received_at: Mapped[datetime] = mapped_column(index=True)


class MailboxCursor(Base):
    """How far a mailbox was read. mailbox: sha256 of its address without the password; cursor: of its connector."""

    __tablename__ = "mailbox_cursor"
    mailbox: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    cursor: Mapped[str] = mapped_column(sa.Text)
    updated_at: Mapped[datetime]


class Pause(Base):
    """Automation that waits for a person. scope: ``global``, ``operator``, ``service``, ``slot``, ``booking``; target: its id as text."""

    __tablename__ = "pause"
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    scope: Mapped[str]
    target: Mapped[str] = mapped_column(default="")
    automations: Mapped[list[Any]] = mapped_column(Json)
    reason: Mapped[str] = mapped_column(sa.Text, default="")
    made_by: Mapped[str] = mapped_column(default="")
    created_at: Mapped[datetime]
    until: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]


class PauseItem(Base):
    """One automation of one pause, in the form that leasing asks for: ``scope_key`` is ``global``, ``operator:7``, …"""

    __tablename__ = "pause_item"
    __table_args__ = (sa.Index("ix_pause_item_scope", "scope_key", "automation"),)
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    pause_id: Mapped[int] = mapped_column(sa.ForeignKey("pause.id", ondelete="CASCADE"))
    scope_key: Mapped[str]
    automation: Mapped[str]
    until: Mapped[datetime | None]


class Review(Base):
    """Something that asks for a human. key: one open review for one matter. state: ``open``, ``approved``, ``dismissed``."""

    __tablename__ = "review"
    __table_args__ = (
        sa.Index(
            "uq_review_open_key",
            "key",
            unique=True,
            sqlite_where=sa.text("state = 'open'"),
            postgresql_where=sa.text("state = 'open'"),
        ),
    )
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    key: Mapped[str]
    kind: Mapped[str]
    state: Mapped[str] = mapped_column(default="open")
    operator_id: Mapped[int] = mapped_column(Id)
    connection_id: Mapped[int | None] = mapped_column(Id)
    slot_id: Mapped[int | None] = mapped_column(Id)
    booking_id: Mapped[str | None]
    detail: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)
    created_at: Mapped[datetime]
    resolved_at: Mapped[datetime | None]
    resolved_by: Mapped[str] = mapped_column(default="")
    choice: Mapped[str] = mapped_column(default="")


class TimelineEntry(Base):
    """One line of what happened to a booking. audience: ``client`` (everybody may see it), ``operator`` or ``admin``."""

    __tablename__ = "timeline_entry"
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    booking_id: Mapped[str] = mapped_column(index=True)
    operator_id: Mapped[int] = mapped_column(Id)
    at: Mapped[datetime]
    what: Mapped[str]
    cause: Mapped[str] = mapped_column(sa.Text, default="")
    audience: Mapped[str] = mapped_column(default="client")
    detail: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)
