"""Consent of an operator, from the link to the connected account.

A consent is bound three ways: to the link that was issued, to the browser that began it (`Begun.session`, a cookie),
and to the ``state`` that the provider brings back. What was remembered meanwhile is taken out once.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from connectors import oauth
from connectors.errors import AddressRefused
from connectors.protocol import Credentials
from ledger.db import Tx
from ledger.tables import Connection, OAuthFlow
from sync import tickets
from sync.accounts import Accounts
from sync.errors import BadLink, LinkUsed, WrongAccount


@dataclass(frozen=True, slots=True)
class Begun:
    """Where to send the person, and what their browser must bring back with them."""

    url: str
    session: str


def begin(accounts: Accounts, flow: Any, *, redirect_uri: str) -> Begun:
    """Begin a consent by a link. flow: its row, as `tickets.read` gave it. A consent begun earlier by the same link is
    no longer good. Raises `Refused` where this deployment isn't registered at the provider, ConnectorError."""
    consent = oauth.begin(flow.provider, accounts.endpoints, redirect_uri, login_hint=_hint(accounts, flow))
    session = secrets.token_urlsafe(32)
    values = {
        "state": "begun",
        "pending": accounts.vault.seal(consent.pending, _context(flow.id)),
        "state_hash": _hash(str(json.loads(consent.pending)["state"])),
        "session_hash": _hash(session),
    }
    with accounts.database.transaction() as tx:
        row = OAuthFlow
        changed = tx.execute(sa.update(row).where(row.id == flow.id, row.state != "connected").values(**values))
        if changed.rowcount != 1:
            raise LinkUsed()
    return Begun(consent.url, session)


def finish(
    accounts: Accounts, provider: str, query: Mapping[str, str], session: str, *, now: datetime
) -> tuple[Any, int]:
    """End a consent with what the provider sent back. Returns the link's row and the connection.

    Raises `BadLink` for a return that wasn't begun here, in this browser, or a second time; `WrongAccount`; what
    `connectors.oauth.finish` and `Accounts.connect` raise: then the link is good for another try.
    """
    flow, pending = _taken(accounts, provider, query, session, now)
    granted = oauth.finish(provider, accounts.endpoints, pending, query)
    _check_account(accounts, flow, granted.account)
    credentials = Credentials(provider, username=granted.account, secret=granted.secret)
    connection_id = accounts.connect(flow.operator_id, credentials, now=now, voice=flow.voice, account=granted.email)
    return note_connected(accounts, flow, connection_id), connection_id


def connect_by_password(
    accounts: Accounts, flow: Any, *, url: str, username: str, password: str, now: datetime
) -> tuple[Any, int]:
    """The same for CalDAV, which knows passwords only. A link to reconnect keeps server and name, and takes a new
    password. Raises `LinkUsed`, ConnectorError."""
    if flow.connection_id is not None:
        with accounts.database.reading() as tx:
            known = tx.execute(sa.select(Connection.__table__).where(Connection.id == flow.connection_id)).one()
        url, username = known.url, known.username
    if not url:
        raise AddressRefused("an address is needed")
    credentials = Credentials("caldav", url, username, password)
    connection_id = accounts.connect(flow.operator_id, credentials, now=now)
    return note_connected(accounts, flow, connection_id), connection_id


def note_connected(accounts: Accounts, flow: Any, connection_id: int) -> Any:
    """The link has done its work; what is left of it is the choice of calendars, in the same browser."""
    row = OAuthFlow
    with accounts.database.transaction() as tx:
        tx.execute(
            sa.update(row).where(row.id == flow.id).values(state="connected", connection_id=connection_id, pending="")
        )
        return tx.execute(sa.select(row.__table__).where(row.id == flow.id)).one()


def begin_session(accounts: Accounts, flow: Any) -> str:
    """A session for a link without a consent page (CalDAV)."""
    session = secrets.token_urlsafe(32)
    with accounts.database.transaction() as tx:
        tx.execute(sa.update(OAuthFlow).where(OAuthFlow.id == flow.id).values(session_hash=_hash(session)))
    return session


def check_session(flow: Any, session: str) -> None:
    """Raises `BadLink` in any other browser than the one that connected the account."""
    if not session or not hmac.compare_digest(_hash(session), flow.session_hash):
        raise BadLink()


def begun(tx: Tx, provider: str, query: Mapping[str, str], session: str) -> Any:
    """The row of the link by which this browser began the consent that the provider's return ends. Raises `BadLink`."""
    row = OAuthFlow
    flow = tx.execute(
        sa.select(row.__table__).where(
            row.state_hash == _hash(query.get("state", "")), row.provider == provider, row.pending != ""
        )
    ).one_or_none()
    if flow is None:
        raise BadLink()
    check_session(flow, session)
    return flow


def _taken(accounts: Accounts, provider: str, query: Mapping[str, str], session: str, now: datetime) -> tuple[Any, str]:
    """The link and what was remembered, taken out for good: a return works once."""
    row = OAuthFlow
    with accounts.database.transaction() as tx:
        flow = begun(tx, provider, query, session)
        tickets.still_good(flow, now)
        tx.execute(sa.update(row).where(row.id == flow.id).values(pending="", state_hash="", state="issued"))
    return flow, accounts.vault.open(flow.pending, _context(flow.id))


def _check_account(accounts: Accounts, flow: Any, account: str) -> None:
    if flow.connection_id is None:
        return
    with accounts.database.reading() as tx:
        known = tx.execute(sa.select(Connection.username).where(Connection.id == flow.connection_id)).scalar()
    if known != account:
        raise WrongAccount()


def _hint(accounts: Accounts, flow: Any) -> str:
    if flow.connection_id is None:
        return ""
    with accounts.database.reading() as tx:
        return tx.execute(sa.select(Connection.account).where(Connection.id == flow.connection_id)).scalar() or ""


def _context(flow_id: int) -> str:
    return f"consent:{flow_id}"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
