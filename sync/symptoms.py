"""What the ledger alone tells the doctor: messages that failed, foreign time over slots, calendars and channels that are
silent."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import sqlalchemy as sa

from connectors.model import Period
from ledger import pauses
from ledger.db import Tx
from ledger.tables import Busy, Calendar, Channel, Connection, Operator, OutboxMessage, Review, Slot
from sync import hints
from sync.accounts import STALE_AFTER
from sync.findings import Finding, Kind, ask_about, open_channel, pull, try_again
from sync.hints import RELAXED, SILENT, address_of, has_role

OVERDUE = timedelta(minutes=15)
"""How long something due may wait while the service works."""


def unsent(tx: Tx, now: datetime) -> Iterator[Finding]:
    """Messages that failed for good, and such as wait though nothing holds them."""
    row = OutboxMessage
    query = sa.select(row.id, row.kind, row.state, row.last_error, row.booking_id, row.slot_id, Operator.slug).join(
        Operator, Operator.id == row.operator_id, isouter=True
    )
    for found in tx.execute(query.where(row.state == "parked").order_by(row.id)):
        plan = "try it again"
        yield Finding(
            Kind.UNSENT, found.slug or "", f"message {found.id}", f"{found.kind} failed: {found.last_error}"[:300], plan,
            try_again(found.id),
        )  # fmt: skip
    late = sa.and_(row.state == "waiting", row.not_before < now - OVERDUE, ~pauses.holding(row, now))
    for found in tx.execute(query.where(late).order_by(row.id)):
        yield Finding(
            Kind.UNSENT, found.slug or "", f"message {found.id}", f"{found.kind} is overdue",
            "none: start the service, which does it",
        )  # fmt: skip


def overlaps(tx: Tx, now: datetime) -> Iterator[Finding]:
    """Foreign busy time over a taken slot, which nobody has been asked about."""
    asked = sa.exists().where(Review.kind == "overlap", Review.slot_id == Slot.id)
    told = sa.exists().where(OutboxMessage.kind == "RemoteOverlap", OutboxMessage.slot_id == Slot.id,
                             OutboxMessage.state.in_(("waiting", "queued", "running")))  # fmt: skip
    query = (
        sa.select(Slot.id, Busy.starts_at, Busy.ends_at, Operator.slug)
        .join(Busy, Busy.operator_id == Slot.operator_id)
        .join(Operator, Operator.id == Slot.operator_id)
        .where(Slot.taken > 0, Slot.ends_at > now, ~Busy.freed, ~asked, ~told)
        .where(Busy.starts_at < Slot.ends_at, Busy.ends_at > Slot.starts_at)
        .order_by(Slot.id, Busy.starts_at)
    )
    seen: set[int] = set()
    for found in tx.execute(query):
        if found.id not in seen:
            seen.add(found.id)
            period = Period(found.starts_at, found.ends_at)
            yield Finding(
                Kind.OVERLAP, found.slug, f"slot {found.id}", f"busy from {_said(period.start)} to {_said(period.end)}",
                "ask a human about it (a review)", ask_about(found.id, period),
            )  # fmt: skip


def stale_calendars(tx: Tx, now: datetime, *, poll_seconds: int) -> Iterator[Finding]:
    """Calendars in use that were not read for longer than they should be, and why."""
    row = Calendar
    query = (
        sa.select(row.id, row.name, row.pulled_at, row.last_error, Operator.slug, Connection.state, Connection.state_detail,
                  hints.works(row.id, now).label("pushed"))
        .join(Connection, Connection.id == row.connection_id)
        .join(Operator, Operator.id == row.operator_id)
        .where(has_role(), Connection.state != "disabled")
        .order_by(row.id)
    )  # fmt: skip
    for found in tx.execute(query):
        every = timedelta(seconds=poll_seconds) * (RELAXED if found.pushed else 1)
        if found.pulled_at is not None and found.pulled_at > now - max(2 * every, STALE_AFTER):
            continue
        when = f"last read {_said(found.pulled_at)}" if found.pulled_at else "never read"
        why = found.state_detail if found.state == "reconnect" else found.last_error
        about = f"calendar {found.id}"
        detail = f"“{found.name}” {when}" + (f": {why}" if why else "")
        if found.state == "reconnect":
            yield Finding(Kind.STALE_CALENDAR, found.slug, about, detail, "none: the account must be connected again")
        else:
            yield Finding(Kind.STALE_CALENDAR, found.slug, about, detail, "read it", pull(found.id))


def dead_channels(tx: Tx, now: datetime, *, hooks: str) -> Iterator[Finding]:
    """Calendars whose provider should call us and doesn't. hooks: our public address, ``""`` where nobody can call."""
    row, channel = Calendar, Channel
    refused = sa.exists().where(channel.calendar_id == row.id, channel.state == "refused", channel.next_at > now)
    silent = sa.exists().where(channel.calendar_id == row.id, channel.state == "open", channel.silent >= SILENT)
    query = (
        sa.select(row.id, row.name, Operator.slug, Connection.provider, silent.label("silent"))
        .join(Connection, Connection.id == row.connection_id)
        .join(Operator, Operator.id == row.operator_id)
        .where(has_role(), Connection.state.in_(("ok", "stale")), ~hints.works(row.id, now), ~refused)
        .order_by(row.id)
    )
    for found in tx.execute(query):
        if address_of(hooks, found.provider):
            why = "its channel is silent" if found.silent else "it has no channel in force"
            yield Finding(
                Kind.DEAD_CHANNEL, found.slug, f"calendar {found.id}", f"“{found.name}”: {why}", "open one",
                open_channel(found.id),
            )  # fmt: skip


def _said(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M}Z"
