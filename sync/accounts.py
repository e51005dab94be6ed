"""Connections and their calendars: connect, open, assign roles, states, and what is due."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from connectors.errors import ConnectorError, NeedsReconnect
from connectors.model import Calendar as RemoteCalendar
from connectors.model import Href, Quirks
from connectors.protocol import Connector, Credentials, Endpoints
from connectors.registry import open_connector
from ledger import outbox, reviews
from ledger.claims import lock_operator
from ledger.db import Database, Tx
from ledger.messages import PullCalendar
from ledger.places import Places
from ledger.tables import Calendar, Connection, Operator, OutboxMessage, SlotEvent
from ledger.vault import Vault
from sync import hints, roles, tickets
from sync.errors import Disabled, NotFound, VoiceNotOffered
from sync.selftest import examine
from sync.stored import calendar_of, quirks_json

STALE_AFTER = timedelta(minutes=15)
"""A connection that failed for so long is called stale."""
RARELY = timedelta(minutes=30)
"""How often a calendar that fails and fails is tried: it may be well again, its credentials too, without anybody telling
us. Until then each wait is twice as long as the one before, so that no server locks us out for asking."""

VOICES = ("google", "microsoft")
"""Providers that may invite clients in our place."""


class Accounts:
    """Every connection of this deployment. endpoints: addresses and application identities of the providers. hooks: our
    public address where providers may call us, ``""`` if they can't."""

    def __init__(self, database: Database, vault: Vault, endpoints: Endpoints, hooks: str = "") -> None:
        self.database = database
        self.vault = vault
        self.endpoints = endpoints
        self.hooks = hooks
        self._turns = Places(database).turns

    def connect(
        self,
        operator_id: int,
        credentials: Credentials,
        *,
        now: datetime,
        voice: str = "",
        account: str = "",
        noted: Callable[[Tx, int], None] | None = None,
    ) -> int:
        """Prove the credentials by listing the calendars, then store them with a row for each. Returns the connection.

        The same operator, provider, URL and user name connect the same connection again: new secret, same calendars
        and roles, list refreshed. voice: ``service`` or ``provider`` (P8); ``""`` leaves it as it is, ``service`` for a
        new one. account: how people know it, the user name if left out. noted: called with the connection in the
        transaction that stores it. Raises `VoiceNotOffered`, ConnectorError; nothing is stored then.
        """
        check_voice(credentials.provider, voice)
        secrets = [credentials.secret]
        with open_connector(credentials, self.endpoints, secrets.append, self._turns) as connector:
            listed = list(connector.calendars())
            found = [(calendar, examine(connector, calendar, write=False)) for calendar in listed]
        with self.database.transaction() as tx:
            lock_operator(tx, operator_id)  # two connects at once make one connection
            connection_id = self._store(tx, operator_id, credentials, voice, account, now)
            sealed = self.vault.seal(secrets[-1], f"connection:{connection_id}")
            tx.execute(sa.update(Connection).where(Connection.id == connection_id).values(secret=sealed))
            _refresh_calendars(tx, connection_id, operator_id, found, now)
            self.note_success(tx, connection_id, now=now)
            hints.doubt_channels(tx, hints.of_connection(connection_id), now=now)
            _wake(tx, connection_id, operator_id, now)
            if noted is not None:
                noted(tx, connection_id)
        return connection_id

    def open(self, connection_id: int, *, disabled_too: bool = False) -> Connector:
        """Open the account. A secret that the provider rotates is stored at once, in its own transaction, unless another one
        was stored since: somebody may have connected the account again, and an older grant must not come back.

        Raises `NotFound`, `Disabled`, VaultError; ConnectorError comes from the calls.
        """
        with self.database.reading() as tx:
            row = tx.execute(sa.select(Connection.__table__).where(Connection.id == connection_id)).one_or_none()
        if row is None:
            raise NotFound(f"no connection {connection_id}")
        if row.state == "disabled" and not disabled_too:
            raise Disabled()
        context = f"connection:{connection_id}"
        credentials = Credentials(row.provider, row.url, row.username, self.vault.open(row.secret, context))
        known = credentials.secret

        def save(secret: str) -> None:
            nonlocal known
            stored = sa.select(Connection.secret).where(Connection.id == connection_id).with_for_update(key_share=True)
            with self.database.transaction() as tx:
                sealed = tx.execute(stored).scalar()
                if sealed is None or self.vault.open(sealed, context) != known:
                    return
                values = {"secret": self.vault.seal(secret, context)}
                tx.execute(sa.update(Connection).where(Connection.id == connection_id).values(**values))
            known = secret

        return open_connector(credentials, self.endpoints, save, self._turns)

    def assign(
        self,
        calendar_id: int,
        *,
        busy: bool | None = None,
        availability: bool | None = None,
        bookings: bool | None = None,
        all_day_blocks: bool | None = None,
        tentative_blocks: bool | None = None,
        unanswered_blocks: bool | None = None,
        now: datetime,
    ) -> None:
        """Give a calendar roles and rules; None leaves one as it is. See `roles.change`.

        For bookings the server is tested by a probe event, written and deleted. Raises `NotFound`, `NotWritable`,
        `BookingsTaken`, and ConnectorError from the test; nothing changes then.
        """
        given = {
            "busy": busy,
            "availability": availability,
            "bookings": bookings,
            "all_day_blocks": all_day_blocks,
            "tentative_blocks": tentative_blocks,
            "unanswered_blocks": unanswered_blocks,
        }
        wanted = {name: value for name, value in given.items() if value is not None}
        quirks = self.probed(calendar_id) if bookings else None
        with self.database.transaction() as tx:
            roles.change(tx, calendar_id, wanted, quirks=quirks, now=now)

    def disable(self, connection_id: int, *, now: datetime, why: str = "") -> None:
        """Switch a connection off by hand: nothing is pulled or pushed, nothing is forgotten. `connect` switches it on."""
        with self.database.transaction() as tx:
            switch_off(tx, connection_id, now=now, why=why)

    def set_voice(self, calendar_id: int, voice: str, *, noted: Callable[[Tx, int], None] | None = None) -> None:
        """Who invites the clients of bookings made from now on: of the account that this calendar belongs to. Bookings
        that are there keep their voice (P8). noted: as of `connect`. Raises `NotFound`, `VoiceNotOffered`."""
        with self.database.transaction() as tx:
            account = sa.select(Calendar.connection_id).where(Calendar.id == calendar_id).scalar_subquery()
            row = tx.execute(
                sa.select(Connection.id, Connection.provider).where(Connection.id == account)
            ).one_or_none()
            if row is None:
                raise NotFound(f"no calendar {calendar_id}")
            give_voice(tx, row.id, row.provider, voice)
            if noted is not None:
                noted(tx, calendar_id)

    def note_success(self, tx: Tx, connection_id: int, *, now: datetime) -> None:
        """The provider answered: the connection is well, a request to reconnect it is settled, and what waited for that
        goes on."""
        row = Connection
        known = tx.execute(sa.select(row.state, row.operator_id).where(row.id == connection_id)).one_or_none()
        if known is None:
            return
        values: dict[str, Any] = {"last_success_at": now}
        if known.state in ("stale", "reconnect"):
            values |= {"state": "ok", "state_detail": "", "state_since": now}
        tx.execute(sa.update(row).where(row.id == connection_id).values(**values))
        if known.state == "reconnect":
            reviews.settle(tx, f"reconnect:{connection_id}", by="connected again", now=now)
            _wake(tx, connection_id, known.operator_id, now)

    def note_failure(self, tx: Tx, connection_id: int, error: ConnectorError, *, now: datetime) -> None:
        """The provider failed us. Credentials that are refused ask for a human; long silence makes it stale.

        Never touches bookings or time: a calendar that can't be read says nothing (P5).
        """
        row = tx.execute(sa.select(Connection.__table__).where(Connection.id == connection_id)).one_or_none()
        if row is None or row.state == "disabled":
            return
        since = row.last_success_at or row.created_at
        if isinstance(error, NeedsReconnect):
            state = "reconnect"
        elif now - since > STALE_AFTER and row.state == "ok":
            state = "stale"
        else:
            return
        values: dict[str, Any] = {"state": state, "state_detail": f"{error.code}: {error.detail}"[:500]}
        if state != row.state:
            values["state_since"] = now
        tx.execute(sa.update(Connection).where(Connection.id == connection_id).values(**values))
        if state != "reconnect":
            return
        new = reviews.ask(
            tx,
            "reconnect",
            f"reconnect:{connection_id}",
            now=now,
            operator_id=row.operator_id,
            connection_id=connection_id,
            detail={"provider": row.provider, "why": error.detail},
        )
        if new:
            tickets.tell_operator(tx, row, now=now)

    def _store(
        self, tx: Tx, operator_id: int, credentials: Credentials, voice: str, account: str, now: datetime
    ) -> int:
        row = Connection
        there = tx.execute(
            sa.select(row.id, row.state).where(
                row.operator_id == operator_id,
                row.provider == credentials.provider,
                row.url == credentials.url,
                row.username == credentials.username,
            )
        ).first()
        if there is None:
            values = {
                "operator_id": operator_id,
                "provider": credentials.provider,
                "url": credentials.url,
                "username": credentials.username,
                "account": account or credentials.username,
                "voice": voice or "service",
                "state_since": now,
                "created_at": now,
            }
            return int(tx.execute(sa.insert(row).values(**values).returning(row.id)).scalar_one())
        again: dict[str, Any] = {"voice": voice} if voice else {}
        again |= {"account": account} if account else {}
        if there.state == "disabled":
            again |= {"state": "ok", "state_detail": "", "state_since": now}
        if again:
            tx.execute(sa.update(row).where(row.id == there.id).values(**again))
        return int(there.id)

    def probed(self, calendar_id: int) -> Quirks:
        """What the server of a calendar that is to take bookings honours, found out by a probe event. Raises as `assign`."""
        with self.database.reading() as tx:
            roles.check_bookings(tx, calendar_id)
            row = tx.execute(sa.select(Calendar.__table__).where(Calendar.id == calendar_id)).one()
        with self.open(row.connection_id) as connector:
            return examine(connector, calendar_of(row), write=True)


def switch_off(tx: Tx, connection_id: int, *, now: datetime, why: str) -> None:
    """As `Accounts.disable`, in a transaction that is open."""
    values = {"state": "disabled", "state_detail": why, "state_since": now}
    tx.execute(sa.update(Connection).where(Connection.id == connection_id).values(**values))


def give_voice(tx: Tx, connection_id: int, provider: str, voice: str) -> None:
    """As `Accounts.set_voice`, in a transaction that is open. Raises `VoiceNotOffered`."""
    check_voice(provider, voice)
    tx.execute(sa.update(Connection).where(Connection.id == connection_id).values(voice=voice))


def check_voice(provider: str, voice: str) -> None:
    """Raises `VoiceNotOffered`: CalDAV servers differ too much in whom they mail (PROVIDERS D6)."""
    if voice not in ("", "service", "provider") or (voice == "provider" and provider not in VOICES):
        raise VoiceNotOffered()


def ask_for_due_pulls(tx: Tx, *, now: datetime, poll_seconds: int) -> int:
    """Append `PullCalendar` for every calendar that is due, and set when it is due again. Returns how many.

    A calendar is pulled if it has a role, or while it holds an event of ours that lies ahead (an operator may have
    dragged it there). With a working push channel six times more rarely, and more and more rarely while it fails. The
    wait is moved by up to ±10 %, for each calendar its own share, so that they don't march in step.
    """
    row = Calendar
    holds_ours = sa.exists().where(
        SlotEvent.calendar_id == row.id, SlotEvent.wanted, SlotEvent.state != "gone", SlotEvent.ends_at > now
    )
    due = tx.execute(
        sa.select(row.id, row.operator_id, row.failures, hints.works(row.id, now).label("pushed"))
        .join(Connection, Connection.id == row.connection_id)
        .where(
            Connection.state != "disabled",
            sa.or_(row.due_at.is_(None), row.due_at <= now),
            sa.or_(row.busy, row.availability, row.bookings, holds_ours),
        )
        .order_by(row.id)
    ).all()
    for calendar in due:
        poll = timedelta(seconds=poll_seconds) * (hints.RELAXED if calendar.pushed else 1)
        wait = max(poll, min(poll * (1 << min(calendar.failures, 12)), RARELY))
        tx.execute(sa.update(row).where(row.id == calendar.id).values(due_at=now + wait * jitter(calendar.id)))
        scope = outbox.Scope(operator_id=calendar.operator_id)
        outbox.append(tx, PullCalendar(calendar.id), now=now, scope=scope, cause="due")
    return len(due)


def jitter(calendar_id: int) -> float:
    """0.9 … 1.1, always the same for one calendar (Knuth's multiplicative hash)."""
    return 0.9 + 0.2 * (calendar_id * 2_654_435_761 % (1 << 32)) / (1 << 32)


def _refresh_calendars(
    tx: Tx, connection_id: int, operator_id: int, found: Sequence[tuple[RemoteCalendar, Quirks]], now: datetime
) -> None:
    """Make the rows equal the list. One that is listed no more stays if it has a role or an event of ours."""
    row = Calendar
    there = {r.href: r for r in tx.execute(sa.select(row.__table__).where(row.connection_id == connection_id))}
    for calendar, quirks in found:
        facts = _facts(tx, operator_id, calendar)
        known = there.pop(calendar.href, None)
        if known is None:
            add_calendar(tx, connection_id, operator_id, calendar, quirks)
            continue
        kept = {k: v for k, v in known.quirks.items() if k in ("if_none_match", "etag_on_put") and v is not None}
        values: dict[str, Any] = {**facts, "quirks": {**quirks_json(quirks), **kept}}
        if known.busy or known.availability or known.bookings:
            values["due_at"] = now
            roles.ask_for_pull(tx, known.id, operator_id, now=now)
        if (known.timezone, known.transparent) != (facts["timezone"], facts["transparent"]):
            values |= roles.FORGOTTEN  # all-day days, or the meaning of it all, are other periods now
        tx.execute(sa.update(row).where(row.id == known.id).values(**values))
    used = sa.exists().where(SlotEvent.calendar_id == row.id)
    for left in there.values():
        tx.execute(sa.delete(row).where(row.id == left.id, ~row.busy, ~row.availability, ~row.bookings, ~used))


def add_calendar(tx: Tx, connection_id: int, operator_id: int, calendar: RemoteCalendar, quirks: Quirks) -> int:
    """Store a newly listed calendar, without a role. Returns its row."""
    values = {
        "connection_id": connection_id,
        "operator_id": operator_id,
        "href": calendar.href,
        "quirks": quirks_json(quirks),
        **_facts(tx, operator_id, calendar),
    }
    return int(tx.execute(sa.insert(Calendar).values(**values).returning(Calendar.id)).scalar_one())


def calendars_of(tx: Tx, connection_id: int) -> Mapping[Href, int]:
    """Rows of a connection's calendars by href."""
    row = Calendar
    return {r.href: r.id for r in tx.execute(sa.select(row.href, row.id).where(row.connection_id == connection_id))}


def _facts(tx: Tx, operator_id: int, calendar: RemoteCalendar) -> dict[str, Any]:
    """timezone: where the provider names none (Graph never does), whole days are the operator's days (PROVIDERS E1)."""
    zone = calendar.timezone or tx.execute(sa.select(Operator.timezone).where(Operator.id == operator_id)).scalar_one()
    return {
        "name": calendar.name,
        "timezone": zone,
        "writable": calendar.writable,
        "transparent": calendar.transparent,
        "primary": calendar.primary,
    }


def _wake(tx: Tx, connection_id: int, operator_id: int, now: datetime) -> None:
    """What waits because credentials failed, or was given up because nobody mended them for days, is tried at once, and
    every calendar is read: whatever succeeded first."""
    calendar, row = Calendar, OutboxMessage
    tx.execute(
        sa.update(calendar).where(calendar.connection_id == connection_id, calendar.due_at > now).values(due_at=now)
    )
    waiting = tx.execute(
        sa.select(row.id)
        .where(
            row.operator_id == operator_id,
            row.kind.in_(("PushEvent", "LookForEvent", "SweepEvent")),
            row.state.in_(("waiting", "parked")),
            row.last_error.like("NeedsReconnect%"),
        )
        .order_by(row.id)
    ).scalars()
    for message_id in waiting.all():
        outbox.retry(tx, message_id, now=now)
