"""Services, bookings and the people waiting. One class a table; what a column means is said here once."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from ledger.db import Base, Json
from ledger.tables import Id


class Service(Base):
    """Something that can be booked with an operator. spec: `booking.services.ServiceSpec` as JSON, checked on the way in."""

    __tablename__ = "service"
    __table_args__ = (sa.UniqueConstraint("operator_id", "slug"),)
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    operator_id: Mapped[int] = mapped_column(sa.ForeignKey("operator.id", ondelete="CASCADE"))
    slug: Mapped[str]
    spec: Mapped[dict[str, Any]] = mapped_column(Json)
    active: Mapped[bool] = mapped_column(default=True)
    created_at: Mapped[datetime]


class TeamMember(Base):
    """Who does a team's service; what the service's spec says, to be asked from the operator's side."""

    __tablename__ = "team_member"
    service_id: Mapped[int] = mapped_column(sa.ForeignKey("service.id", ondelete="CASCADE"), primary_key=True)
    operator_id: Mapped[int] = mapped_column(
        sa.ForeignKey("operator.id", ondelete="CASCADE"), primary_key=True, index=True
    )


class Booking(Base):
    """One client's place in one slot.

    token: the client's key to it, unguessable. uid: of the invitation, never changed. organizer_tag: of its
    organizer's address; like the token it becomes another one with another address of the client. revision: its
    SEQUENCE. waits_for: why it is pending: ``approval``, ``fresh`` (calendar data), both with a comma. expires_at: when
    a pending one is over. voice: who invites the client, fixed at creation (P8). partstat: the last answer of the
    client's calendar to our invitation; reply_sequence, reply_dtstamp: the revision it answered, and when it was given.
    reminders_off: what the client wants no reminders of: ``booking`` (this one), ``operator`` (all with this operator).
    needs_data_from: calendar data from then on decides it, where it waits for that, or the other time it waits for.
    duration_minutes: as chosen; 0 is the service's first. consents: field → ``{"text", "at"}``, the words agreed to.
    """

    __tablename__ = "booking"
    __table_args__ = (
        sa.Index("ix_booking_service_starts", "service_id", "starts_at"),
        sa.Index(
            "ix_booking_no_show",
            "operator_id",
            sqlite_where=sa.text("status = 'no_show'"),
            postgresql_where=sa.text("status = 'no_show'"),
        ),
    )
    id: Mapped[str] = mapped_column(sa.String(32), primary_key=True)
    token: Mapped[str] = mapped_column(unique=True)
    operator_id: Mapped[int] = mapped_column(sa.ForeignKey("operator.id", ondelete="CASCADE"), index=True)
    service_id: Mapped[int] = mapped_column(sa.ForeignKey("service.id", ondelete="CASCADE"))
    slot_id: Mapped[int] = mapped_column(Id, index=True)
    seats: Mapped[int]
    status: Mapped[str]
    waits_for: Mapped[str] = mapped_column(default="")
    expires_at: Mapped[datetime | None]
    needs_data_from: Mapped[datetime | None]
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    client_name: Mapped[str]
    client_email: Mapped[str] = mapped_column(index=True)
    client_timezone: Mapped[str]
    language: Mapped[str]
    answers: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)
    consents: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)
    duration_minutes: Mapped[int] = mapped_column(default=0)
    revision: Mapped[int] = mapped_column(default=0)
    uid: Mapped[str] = mapped_column(unique=True)
    organizer_tag: Mapped[str] = mapped_column(unique=True)
    voice: Mapped[str] = mapped_column(default="service")
    invited: Mapped[bool] = mapped_column(default=False)
    waitlist_entry_id: Mapped[int | None] = mapped_column(Id)
    attendance_confirmed_at: Mapped[datetime | None]
    reminders_off: Mapped[str] = mapped_column(default="")
    partstat: Mapped[str] = mapped_column(default="")
    reply_sequence: Mapped[int | None]
    reply_dtstamp: Mapped[datetime | None]
    reason: Mapped[str] = mapped_column(sa.Text, default="")
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class IdempotencyKey(Base):
    """What was answered to a request with this header, so that a repeat gets the same answer. answer: as it was written;
    None where the door has no need of it."""

    __tablename__ = "idempotency_key"
    key: Mapped[str] = mapped_column(sa.String(128), primary_key=True)
    body_hash: Mapped[str] = mapped_column(sa.String(64))
    booking_id: Mapped[str] = mapped_column(sa.String(32), index=True)
    answer: Mapped[str | None] = mapped_column(sa.Text)
    created_at: Mapped[datetime] = mapped_column(index=True)


class WaitlistEntry(Base):
    """Somebody waiting. The wish is one start (``wish_start``) or a range of local dates with weekdays and hours.

    weekdays: bit mask, Monday 1; 127 is any day. between_*: minutes of the day in the operator's zone. first_date,
    last_date: the wish's days in the operator's zone, also for one start, so that one index finds who may fit.
    duration_minutes, consents: as of a booking. member_id: the member of a team whom they wait for; None for anybody.
    """

    __tablename__ = "waitlist_entry"
    __table_args__ = (
        sa.Index(
            "ix_waitlist_line",
            "service_id",
            sa.text("priority DESC"),
            "id",
            sqlite_where=sa.text("status = 'waiting'"),
            postgresql_where=sa.text("status = 'waiting'"),
        ),
        sa.Index(
            "ix_waitlist_entry_last_date",
            "last_date",
            sqlite_where=sa.text("status = 'waiting'"),
            postgresql_where=sa.text("status = 'waiting'"),
        ),
        sa.Index(
            "ix_waitlist_entry_organizer_tag",
            "organizer_tag",
            unique=True,
            sqlite_where=sa.text("organizer_tag <> ''"),
            postgresql_where=sa.text("organizer_tag <> ''"),
        ),
    )
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    token: Mapped[str] = mapped_column(unique=True)
    operator_id: Mapped[int] = mapped_column(sa.ForeignKey("operator.id", ondelete="CASCADE"), index=True)
    service_id: Mapped[int] = mapped_column(sa.ForeignKey("service.id", ondelete="CASCADE"))
    status: Mapped[str] = mapped_column(default="waiting")
    accept: Mapped[str] = mapped_column(default="auto")
    seats: Mapped[int] = mapped_column(default=1)
    priority: Mapped[int] = mapped_column(default=0)
    wish_start: Mapped[datetime | None]
    first_date: Mapped[str] = mapped_column(sa.String(10))
    last_date: Mapped[str] = mapped_column(sa.String(10))
    weekdays: Mapped[int] = mapped_column(default=127)
    between_start: Mapped[int] = mapped_column(default=0)
    between_end: Mapped[int] = mapped_column(default=1440)
    client_name: Mapped[str]
    client_email: Mapped[str] = mapped_column(index=True)
    client_timezone: Mapped[str]
    language: Mapped[str]
    answers: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)
    consents: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)
    duration_minutes: Mapped[int] = mapped_column(default=0)
    member_id: Mapped[int | None] = mapped_column(Id)
    booking_id: Mapped[str | None]
    calendar_entry: Mapped[bool] = mapped_column(default=False)
    uid: Mapped[str] = mapped_column(default="")
    organizer_tag: Mapped[str] = mapped_column(default="")
    sequence: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class WishShape(Base):
    """What the wishes of a line have in common but for their times: few rows, however many wait.

    weekdays: 0 for wishes of one start, 127 for others; first_hour, last_hour: likewise 0, and 0 to 24. Those that were
    filed when keys didn't tell weekdays and hours have theirs here, and are found all the same.
    duration_minutes: as of the entry; member_id: likewise, 0 for anybody.
    """

    __tablename__ = "wish_shape"
    __table_args__ = (
        sa.UniqueConstraint(
            "service_id",
            "weekdays",
            "first_hour",
            "last_hour",
            "seats",
            "duration_minutes",
            "member_id",
            name="uq_wish_shape",
        ),
    )
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    service_id: Mapped[int] = mapped_column(sa.ForeignKey("service.id", ondelete="CASCADE"))
    weekdays: Mapped[int]
    first_hour: Mapped[int]
    last_hour: Mapped[int]
    seats: Mapped[int]
    duration_minutes: Mapped[int]
    member_id: Mapped[int] = mapped_column(Id)


class WishKey(Base):
    """Where a waiting entry is found (`booking/wishes.py`): its rows go when it waits no more, by a trigger of the
    database, which also keeps the rank: the priority, turned round."""

    __tablename__ = "wish_key"
    __table_args__ = (sa.Index("ix_wish_key_line", "shape_id", "key", "rank", "entry_id"),)
    entry_id: Mapped[int] = mapped_column(sa.ForeignKey("waitlist_entry.id", ondelete="CASCADE"), primary_key=True)
    key: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True)
    shape_id: Mapped[int] = mapped_column(sa.ForeignKey("wish_shape.id", ondelete="CASCADE"))
    rank: Mapped[int]


class LineCount(Base):
    """How many of a line wait, in blocks of 64, 4,096 and 262,144 ids (level 1, 2, 3): a place in line is a sum of few
    rows. Kept by triggers of the database, so that nobody can forget it."""

    __tablename__ = "line_count"
    __table_args__ = {"info": {"derived": True}}  # noqa: RUF012 -- as SQLAlchemy wants it
    service_id: Mapped[int] = mapped_column(Id, primary_key=True, autoincrement=False)
    level: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    priority: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    block: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True, autoincrement=False)
    waiting: Mapped[int]


class Offer(Base):
    """A freed seat, kept for one waiting client until ``expires_at``. Its seats are held as ``offer:ID`` in the ledger.

    booking_id: of a booking that nobody confirmed, whose client keeps the seats until this is accepted.
    """

    __tablename__ = "offer"
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    entry_id: Mapped[int] = mapped_column(sa.ForeignKey("waitlist_entry.id", ondelete="CASCADE"), index=True)
    slot_id: Mapped[int] = mapped_column(Id)
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    booking_id: Mapped[str | None] = mapped_column(sa.String(32))
    status: Mapped[str] = mapped_column(default="open")  # open, accepted, declined, expired, withdrawn
    expires_at: Mapped[datetime]
    created_at: Mapped[datetime]
