"""Push channels: open, renew, close. What is to be done is decided in `sync/hints.py`.

A channel's row is committed before the provider is asked for it. A lost answer leaves the row ``opening``: the first
call that arrives through it, or the next attempt, finds out. Renewal overlaps: the new channel is open before the old
one is closed, where the provider can't extend the old one in place.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from connectors.errors import BadAnswer, CalendarGone, ConnectorError, NeedsReconnect, Permanent, Temporary
from connectors.model import Calendar as RemoteCalendar
from connectors.protocol import Channel as Granted
from connectors.protocol import Watching
from ledger import observe, outbox
from ledger.db import Tx
from ledger.messages import CloseChannel, OpenChannel, PullCalendar
from ledger.observe import Event
from ledger.outbox import Leased
from ledger.tables import Calendar, Channel, Connection
from sync.accounts import Accounts, jitter
from sync.errors import Disabled, NotFound
from sync.hints import SILENT, address_of, has_role, secret_context
from sync.stored import calendar_of

LIFE = timedelta(days=6)
"""How long a channel is asked for; what is granted counts (PROVIDERS A8, B7)."""
REFUSED_FOR = timedelta(days=1)
"""A calendar that can't be watched is asked about again then."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is to be done. old: the open row to be renewed or replaced. extend: may the old one be extended in place?"""

    row: Any
    calendar: RemoteCalendar
    provider: str
    address: str
    old: Any
    extend: bool


def open_channel(accounts: Accounts, leased: Leased, *, clock: Callable[[], datetime]) -> None:
    """Handle an `OpenChannel`: the calendar has one good channel afterwards, or is known as one that can't have any.

    Raises the temporary part of the ConnectorError tree; the attempt's row stays ``opening`` then.
    """
    message = leased.message
    assert isinstance(message, OpenChannel)
    with accounts.database.transaction() as tx:
        plan = _plan(tx, accounts, message.calendar_id, clock())
        if plan is None:
            outbox.settle(tx, leased, now=clock())
            return
    channel_id = ""
    try:
        with accounts.open(plan.row.connection_id) as connector:
            assert isinstance(connector, Watching)
            until = clock() + LIFE
            if plan.old is not None and plan.extend and (longer := connector.renew(_granted(plan.old), until)):
                _note_renewed(accounts, leased, plan, longer, clock())
                return
            channel_id, secret = secrets.token_hex(16), secrets.token_urlsafe(32)
            _announce(accounts, plan, channel_id, secret, clock())
            token = f"{channel_id}.{secret}"
            granted = connector.watch(
                plan.calendar, channel_id=channel_id, secret=token, address=plan.address, expires_at=until
            )
            _note_opened(accounts, leased, plan, channel_id, granted, clock())
    except (NotFound, Disabled):
        _give_up(accounts, leased, plan, channel_id, None, clock())
    except Temporary:
        raise
    except ConnectorError as error:
        _give_up(accounts, leased, plan, channel_id, error, clock())


def _plan(tx: Tx, accounts: Accounts, calendar_id: int, now: datetime) -> _Plan | None:
    """None if nothing is to be done (any more)."""
    row = tx.execute(
        sa.select(Calendar.__table__, Connection.provider)
        .join(Connection, Connection.id == Calendar.connection_id)
        .where(Calendar.id == calendar_id, has_role(), Connection.state.in_(("ok", "stale")))
    ).one_or_none()
    address = address_of(accounts.hooks, row.provider) if row is not None else ""
    if row is None or not address:
        return None
    channels = tx.execute(
        sa.select(Channel.__table__)
        .where(Channel.calendar_id == calendar_id, Channel.state.in_(("opening", "open", "refused")))
        .order_by(Channel.created_at.desc(), Channel.id)
    ).all()
    old = None
    for channel in channels:
        adopted = channel.state == "opening" and channel.heard_at is not None and channel.expires_at is not None
        if old is None and (channel.state == "open" or adopted):
            old = channel
            if adopted:  # the answer was lost, but it called
                _make_open(tx, channel.id, _granted(channel), calendar_id, now)
        else:
            _leave(tx, channel, now)
    if old is not None and old.address == address and (old.state == "opening" or old.next_at > now):
        return None
    extend = old is not None and old.address == address and old.silent < SILENT
    return _Plan(row, calendar_of(row), row.provider, address, old, extend)


def _leave(tx: Tx, channel: Any, now: datetime) -> None:
    """An earlier attempt: one that was refused is over, one without an answer may be open all the same."""
    unknown = "closing" if channel.remote_id else "lost"
    state = {"refused": "closed", "opening": unknown}.get(channel.state, "closing")
    tx.execute(sa.update(Channel).where(Channel.id == channel.id).values(state=state))
    if state == "closing":
        outbox.append(tx, CloseChannel(channel.id), now=now, cause="there is a newer one")


def _announce(accounts: Accounts, plan: _Plan, channel_id: str, secret: str, now: datetime) -> None:
    """The row first: whatever happens to the answer, the id is known."""
    values = {
        "id": channel_id,
        "calendar_id": plan.row.id,
        "provider": plan.provider,
        "address": plan.address,
        "secret": accounts.vault.seal(f"{channel_id}.{secret}", secret_context(channel_id)),
        "state": "opening",
        "created_at": now,
        "next_at": now,
        "silent": plan.old.silent if plan.old is not None else 0,
    }
    with accounts.database.transaction() as tx:
        tx.execute(sa.insert(Channel).values(**values))


def _note_opened(
    accounts: Accounts, leased: Leased, plan: _Plan, channel_id: str, granted: Granted, now: datetime
) -> None:
    """It is open; now the old one may go. What changed while there was none is read at once."""
    with accounts.database.transaction() as tx:
        if _make_open(tx, channel_id, granted, plan.row.id, now) and plan.old is not None:
            tx.execute(
                sa.update(Channel).where(Channel.id == plan.old.id, Channel.state == "open").values(state="closing")
            )
            outbox.append(tx, CloseChannel(plan.old.id), now=now, cause="there is a newer one")
        if plan.old is None:
            scope = outbox.Scope(operator_id=plan.row.operator_id)
            outbox.append(tx, PullCalendar(plan.row.id), now=now, scope=scope, cause="the channel was opened")
        accounts.note_success(tx, plan.row.connection_id, now=now)
        outbox.settle(tx, leased, now=now)
    observe.log.info(Event.CHANNEL_OPENED, channel=channel_id, calendar=plan.row.id)


def _make_open(tx: Tx, channel_id: str, granted: Granted, calendar_id: int, now: datetime) -> bool:
    """False if it isn't wanted any more; it is closed then."""
    values = {
        "remote_id": granted.id,
        "resource_id": granted.resource_id,
        "expires_at": granted.expires_at,
        "opened_at": now,
        "next_at": now + (granted.expires_at - now) / 2 * jitter(calendar_id),
    }
    row = Channel
    opened = tx.execute(
        sa.update(row).where(row.id == channel_id, row.state == "opening").values(state="open", **values)
    )
    if opened.rowcount == 1:
        return True
    tx.execute(sa.update(row).where(row.id == channel_id, row.state != "closed").values(state="closing", **values))
    outbox.append(tx, CloseChannel(channel_id), now=now, cause="the channel isn't needed any more")
    return False


def _note_renewed(accounts: Accounts, leased: Leased, plan: _Plan, granted: Granted, now: datetime) -> None:
    next_at = now + (granted.expires_at - now) / 2 * jitter(plan.row.id)
    with accounts.database.transaction() as tx:
        tx.execute(
            sa.update(Channel)
            .where(Channel.id == plan.old.id)
            .values(expires_at=granted.expires_at, remote_id=granted.id, next_at=next_at)
        )
        accounts.note_success(tx, plan.row.connection_id, now=now)
        outbox.settle(tx, leased, now=now)


def _give_up(
    accounts: Accounts, leased: Leased, plan: _Plan, channel_id: str, error: ConnectorError | None, now: datetime
) -> None:
    """No channel for now; the calendar is polled. Asked again when the connection is well, or tomorrow."""
    permanent = isinstance(error, Permanent)
    values: dict[str, Any] = {"state": "refused" if permanent else "closed", "next_at": now + REFUSED_FOR}
    if isinstance(error, CalendarGone | BadAnswer):
        values["next_at"] = now + timedelta(hours=1)
    if error is not None:
        values["detail"] = f"{error.code}: {error.detail}"[:500]
    with accounts.database.transaction() as tx:
        if not channel_id and permanent:  # the old one could not be extended: it is good until it expires
            channel_id = plan.old.id if plan.old is not None else ""
            values = {"next_at": values["next_at"], "detail": values["detail"]}
        tx.execute(sa.update(Channel).where(Channel.id == channel_id).values(**values))
        if isinstance(error, NeedsReconnect):
            accounts.note_failure(tx, plan.row.connection_id, error, now=now)
        outbox.settle(tx, leased, now=now)


def close_channel(accounts: Accounts, leased: Leased, *, clock: Callable[[], datetime]) -> None:
    """Handle a `CloseChannel`. One that is unknown at the provider, has expired, or belongs to a grant that is no longer
    good is closed. Raises the temporary part of the ConnectorError tree."""
    message = leased.message
    assert isinstance(message, CloseChannel)
    with accounts.database.reading() as tx:
        row = tx.execute(
            sa.select(Channel.__table__, Calendar.connection_id)
            .join(Calendar, Calendar.id == Channel.calendar_id)
            .where(Channel.id == message.channel_id, Channel.state != "closed")
        ).one_or_none()
    state, detail = "closed", ""
    if row is not None and not row.remote_id:
        state = "lost"  # nobody knows whether it is open; its first call would tell
    elif row is not None and (row.expires_at is None or row.expires_at > clock()):
        detail = _close(accounts, row)
    now = clock()
    with accounts.database.transaction() as tx:
        tx.execute(sa.update(Channel).where(Channel.id == message.channel_id).values(state=state, detail=detail))
        outbox.settle(tx, leased, now=now)


def _close(accounts: Accounts, row: Any) -> str:
    try:
        with accounts.open(row.connection_id, disabled_too=True) as connector:
            assert isinstance(connector, Watching)
            connector.unwatch(_granted(row))
    except NotFound:
        return "the connection is gone"
    except (NeedsReconnect, Permanent) as error:
        return f"{error.code}: {error.detail}"[:500]
    return ""


def _granted(row: Any) -> Granted:
    return Granted(row.remote_id or row.id, row.resource_id, row.expires_at)
