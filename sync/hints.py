"""Push is a hint, polling is the truth: what a provider's call makes us do, and how far the silence of a channel is trusted.

Everything here is rows; who speaks to providers is `sync/channels.py`. A calendar with a working channel is polled more
rarely. A channel that didn't tell of news which polls found is called silent: a review says so, the calendar is polled
as often as one without, and another channel is tried; the first call that arrives makes it good again.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from ledger import observe, outbox, reviews
from ledger.db import Tx
from ledger.messages import CloseChannel, OpenChannel, PullCalendar
from ledger.observe import Event
from ledger.tables import Calendar, Channel, Connection, OutboxMessage
from ledger.vault import Vault, VaultError

DOORS: Mapping[str, str] = {"google": "/hooks/google", "microsoft": "/hooks/microsoft"}
"""Providers that call, and the path where each one does."""
RELAXED = 6
"""A calendar with a working channel is polled so many times more rarely."""
SILENT = 2
"""After so many polls that found untold news in a row a channel is called silent; one may be a call still on its way."""
SETTLES_AFTER = timedelta(seconds=45)
"""Graph's views may lag behind the call that tells of a change (PROVIDERS B4.8): look again then."""
KEEP = timedelta(days=8)
"""Longer than any channel lives: what isn't open any more is forgotten then."""
_LIVE = ("opening", "open", "closing")
_CHANNEL = re.compile(r"[0-9a-f]{32}")


def address_of(hooks: str, provider: str) -> str:
    """Where a provider is to call us, ``""`` if it can't. hooks: our public address, or ``""`` without one."""
    return f"{hooks}{DOORS[provider]}" if hooks and provider in DOORS else ""


def secret_context(channel_id: str) -> str:
    """What a channel's secret is sealed for."""
    return f"channel:{channel_id}"


def works(calendar_id: sa.ColumnElement[int] | Any, now: datetime) -> sa.ColumnElement[bool]:
    """SQL condition: this calendar's provider calls us when it changes, as far as we know."""
    row = Channel
    return sa.exists().where(
        row.calendar_id == calendar_id, row.state == "open", row.expires_at > now, row.silent < SILENT
    )


def has_role(row: type[Calendar] = Calendar) -> sa.ColumnElement[bool]:
    """SQL condition: the calendar is used for something."""
    return sa.or_(row.busy, row.availability, row.bookings)


# --- the ticker's share ---------------------------------------------------------------------------------------------


def ask_for_due_channels(tx: Tx, *, now: datetime, hooks: str) -> int:
    """Append what keeps channels as they should be: opened where one is missing, renewed at half of their life, closed
    where nobody needs them any more. Returns how many messages. Repeating is harmless. hooks: see `address_of`."""
    _end_expired(tx, now)
    tx.execute(sa.delete(Channel).where(Channel.state.not_in(_LIVE), Channel.next_at < now, _age(now)))
    done = close_where(tx, ~Channel.calendar_id.in_(_watched()), now=now)
    for provider in DOORS:
        address = address_of(hooks, provider)
        if address:
            done += _ask_to_open(tx, provider, address, now)
    return done


def _age(now: datetime) -> sa.ColumnElement[bool]:
    return Channel.created_at < now - KEEP


def _watched() -> sa.Select[int]:
    return (
        sa.select(Calendar.id)
        .join(Connection, Connection.id == Calendar.connection_id)
        .where(has_role(), Connection.provider.in_(tuple(DOORS)), Connection.state != "disabled")
    )


def _ask_to_open(tx: Tx, provider: str, address: str, now: datetime) -> int:
    row, message = Channel, OutboxMessage
    cared_for = sa.exists().where(
        row.calendar_id == Calendar.id, row.address == address, row.state.in_(("open", "refused")), row.next_at > now
    )
    asked = sa.exists().where(
        message.line == sa.literal("channel:") + sa.cast(Calendar.id, sa.String),
        message.state.in_([sa.literal_column(f"'{state}'") for state in outbox.LIVE]),
    )
    query = (
        sa.select(Calendar.id, Calendar.operator_id)
        .join(Connection, Connection.id == Calendar.connection_id)
        .where(has_role(), Connection.provider == provider, Connection.state.in_(("ok", "stale")), ~cared_for, ~asked)
        .order_by(Calendar.id)
    )
    found = tx.execute(query).all()
    for calendar in found:
        scope = outbox.Scope(operator_id=calendar.operator_id)
        outbox.append(tx, OpenChannel(calendar.id), now=now, scope=scope, cause="the calendar has no channel")
    return len(found)


def close_where(tx: Tx, *where: sa.ColumnElement[bool], now: datetime) -> int:
    """Have channels closed. Returns how many."""
    row = Channel
    closing = tx.execute(
        sa.update(row).where(row.state.in_(("opening", "open")), *where).values(state="closing").returning(row.id)
    ).scalars()
    ids = list(closing)
    for channel_id in ids:
        outbox.append(tx, CloseChannel(channel_id), now=now, cause="the channel isn't needed any more")
    return len(ids)


def doubt_channels(tx: Tx, *where: sa.ColumnElement[bool], now: datetime) -> None:
    """Have these channels renewed at once: they may have died with a grant, or with the server behind them."""
    tx.execute(sa.update(Channel).where(Channel.state == "open", *where).values(next_at=now))


def of_connection(connection_id: int) -> sa.ColumnElement[bool]:
    """SQL condition: channels of one connection's calendars."""
    return Channel.calendar_id.in_(sa.select(Calendar.id).where(Calendar.connection_id == connection_id))


def _end_expired(tx: Tx, now: datetime) -> None:
    row = Channel
    expired = tx.execute(
        sa.update(row)
        .where(row.state == "open", row.expires_at <= now)
        .values(state="closed", detail="it expired and could not be renewed")
        .returning(row.id, row.calendar_id)
    ).all()
    for channel in expired:
        _lost(tx, channel.id, channel.calendar_id, "expired", now)


# --- calls ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a provider, as it came. channel_id: our own name of the channel; remote_id: the provider's. what:
    ``changed``, ``renew`` (it wants to be asked again), ``removed`` (the channel is gone)."""

    channel_id: str
    secret: str
    remote_id: str
    resource_id: str = ""
    expires_at: datetime | None = None
    what: str = "changed"


def find(tx: Tx, vault: Vault, call: Call) -> str | None:
    """The channel that a call came through, if it brings the channel's secret; compared in constant time."""
    if not _CHANNEL.fullmatch(call.channel_id):
        return None  # anybody may send anything; not every database takes it
    found = tx.execute(sa.select(Channel.__table__).where(Channel.id == call.channel_id)).one_or_none()
    if found is None:
        return None
    try:
        secret = vault.open(found.secret, secret_context(found.id))
    except VaultError:
        return None
    names = [(call.remote_id, found.remote_id)]
    if found.provider == "google":  # Graph's resource is a path, and its notifications name another one
        names.append((call.resource_id, found.resource_id))
    good = [_same(call.secret, secret), *(_same(given, known) for given, known in names if known)]
    return str(found.id) if all(good) else None


def _same(given: str, known: str) -> bool:
    return bool(known) and hmac.compare_digest(given.encode(errors="surrogatepass"), known.encode())


def heard(tx: Tx, channel_id: str, call: Call, *, now: datetime) -> None:
    """Do what a call asks for: a pull, as a rule. Idempotent; a burst of calls is one pull.

    A channel of which nobody knew whether it was opened is known now: the newest attempt is adopted, others are closed.
    """
    row = tx.execute(sa.select(Channel.__table__).where(Channel.id == channel_id)).one_or_none()
    if row is None:
        return
    values: dict[str, Any] = {"heard_at": now, "silent": 0}
    values |= {"remote_id": call.remote_id} if call.remote_id else {}
    values |= {"resource_id": call.resource_id} if call.resource_id else {}
    if call.expires_at is not None and row.state == "opening":
        values["expires_at"] = call.expires_at
    if call.what == "removed":
        values |= {"state": "closed", "detail": "the provider removed it"}
        observe.log.warning(Event.CHANNEL_LOST, channel=channel_id, calendar=row.calendar_id, why="removed")
    elif row.state not in _LIVE:
        values["state"] = "closing"
        outbox.append(tx, CloseChannel(channel_id), now=now, cause="the channel turned out to be open")
    if call.what == "renew":
        values["next_at"] = now
    tx.execute(sa.update(Channel).where(Channel.id == channel_id).values(**values))
    reviews.settle(tx, _review_key(row.calendar_id), by="the provider calls again", now=now)
    _ask(tx, row.calendar_id, row.provider, call.what, now)


def _ask(tx: Tx, calendar_id: int, provider: str, what: str, now: datetime) -> None:
    row = Calendar
    operator_id = tx.execute(sa.select(row.operator_id).where(row.id == calendar_id)).scalar_one()
    scope = outbox.Scope(operator_id=operator_id)
    if what in ("renew", "removed"):
        outbox.append(tx, OpenChannel(calendar_id), now=now, scope=scope, cause="the provider asked for it")
    if what == "renew":
        return
    outbox.append(tx, PullCalendar(calendar_id), now=now, scope=scope, cause="the provider called")
    if provider == "microsoft":
        again = now + SETTLES_AFTER
        tx.execute(sa.update(row).where(row.id == calendar_id, row.due_at > again).values(due_at=again))


# --- silence ------------------------------------------------------------------------------------------------------------


def note_pull(tx: Tx, calendar_id: int, *, since: datetime | None, now: datetime) -> None:
    """A pull found news that came up after `since`, the pull before. Did the channel tell? One that was opened later
    couldn't."""
    row = Channel
    channel = tx.execute(
        sa.select(row.id, row.opened_at, row.heard_at, row.silent)
        .where(row.calendar_id == calendar_id, row.state == "open")
        .order_by(row.created_at.desc())
        .limit(1)
    ).one_or_none()
    if channel is None or since is None or channel.opened_at > since:
        return
    if channel.heard_at is not None and channel.heard_at >= since:
        return
    silent = channel.silent + 1
    values: dict[str, Any] = {"silent": silent}
    if silent == SILENT:
        values["next_at"] = now
        _lost(tx, channel.id, calendar_id, "silent", now)
    tx.execute(sa.update(row).where(row.id == channel.id).values(**values))


def _lost(tx: Tx, channel_id: str, calendar_id: int, why: str, now: datetime) -> None:
    """An alarm, and polling as often as without a channel."""
    observe.log.warning(Event.CHANNEL_LOST, channel=channel_id, calendar=calendar_id, why=why)
    calendar = tx.execute(
        sa.update(Calendar)
        .where(Calendar.id == calendar_id)
        .values(due_at=now)
        .returning(Calendar.operator_id, Calendar.connection_id, Calendar.name)
    ).one()
    reviews.ask(
        tx,
        "channel_silent",
        _review_key(calendar_id),
        now=now,
        operator_id=calendar.operator_id,
        connection_id=calendar.connection_id,
        detail={"calendar_id": calendar_id, "calendar": calendar.name, "why": why},
    )


def _review_key(calendar_id: int) -> str:
    return f"channel:{calendar_id}"
