"""Links by which an operator connects an account, with or without a login: signed, expiring, good for one account."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from ledger import outbox
from ledger.db import Tx
from ledger.messages import SendMail
from ledger.tables import OAuthFlow
from ledger.vault import Vault
from sync.errors import BadLink, LinkExpired, LinkUsed

BY_HAND = timedelta(hours=24)
"""How long a link is good that an admin made for an operator."""
BY_MAIL = timedelta(days=14)
"""How long the link is good in a mail that asks to reconnect."""
_PURPOSE = "connect"
PROVIDERS = ("google", "microsoft", "caldav")
"""Providers with a page to connect an account."""


def issue(
    tx: Tx,
    *,
    operator_id: int,
    provider: str,
    now: datetime,
    lifetime: timedelta = BY_HAND,
    connection_id: int | None = None,
    voice: str = "",
) -> int:
    """A new link's row. connection_id: only this connection may be connected again by it. voice: see `Accounts.connect`."""
    values = {
        "operator_id": operator_id,
        "provider": provider,
        "connection_id": connection_id,
        "voice": voice,
        "nonce": secrets.token_hex(16),
        "created_at": now,
        "expires_at": now + lifetime,
    }
    return int(tx.execute(sa.insert(OAuthFlow).values(**values).returning(OAuthFlow.id)).scalar_one())


def link(tx: Tx, vault: Vault, flow_id: int, base_url: str) -> str:
    """The address to give to the operator. Raises `BadLink` if there is no such row any more."""
    row = _row(tx, flow_id)
    return f"{base_url}/connect/{row.provider}?ticket={ticket_of(vault, row)}"


def ticket_of(vault: Vault, row: Any) -> str:
    """What the link carries."""
    return f"{row.id}.{vault.sign(f'{row.id}:{row.nonce}', _PURPOSE)}"


def read(tx: Tx, vault: Vault, ticket: str, provider: str, *, now: datetime, used: bool = False) -> Any:
    """The row of a ticket. used: only one by which an account has been connected; else only one that is still good.

    Raises `BadLink`, `LinkExpired`, `LinkUsed`.
    """
    number, _, signature = ticket.partition(".")
    row = _row(tx, int(number) if number.isascii() and number.isdigit() and len(number) < 19 else 0)
    good = number == str(row.id) and vault.signed(f"{row.id}:{row.nonce}", _PURPOSE, signature)
    if not good or row.provider != provider:
        raise BadLink()
    still_good(row, now)
    if used != (row.state == "connected"):
        raise LinkUsed() if row.state == "connected" else BadLink()
    return row


def still_good(row: Any, now: datetime) -> None:
    """Raises `LinkExpired`."""
    if row.expires_at <= now:
        raise LinkExpired()


def tell_operator(tx: Tx, connection: Any, *, now: datetime) -> None:
    """Mail the operator that an account needs reconnecting, with a link that does it. connection: the row.

    Of a provider without a page for that only the review tells.
    """
    if connection.provider not in PROVIDERS:
        return
    flow_id = issue(
        tx,
        operator_id=connection.operator_id,
        provider=connection.provider,
        connection_id=connection.id,
        now=now,
        lifetime=BY_MAIL,
    )
    notice = SendMail(f"connection:{connection.id}", flow_id, "reconnect", "operator")
    outbox.append(tx, notice, now=now, scope=outbox.Scope(connection.operator_id), cause="the credentials failed")


def forget_old(tx: Tx, now: datetime) -> int:
    """Links that expired a month ago."""
    return tx.execute(sa.delete(OAuthFlow).where(OAuthFlow.expires_at < now - timedelta(days=30))).rowcount


def _row(tx: Tx, flow_id: int) -> Any:
    row = tx.execute(sa.select(OAuthFlow.__table__).where(OAuthFlow.id == flow_id)).one_or_none()
    if row is None:
        raise BadLink()
    return row
