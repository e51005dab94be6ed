"""What else opens a user's door: passkeys, and accounts at Google or Microsoft."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from ledger import audit
from ledger.db import Tx, insert_ignoring
from ledger.identity.errors import BadValue
from ledger.identity.tables import Passkey, ProviderIdentity, SignInAttempt, User
from ledger.vault import Vault

_REMOVED = "removed:"
"""Begins the subject of an account that was removed; no provider's subject does."""
PATIENCE = timedelta(minutes=10)
"""How long one may take at the provider's page, or with the authenticator."""


def begin(tx: Tx, vault: Vault, kind: str, pending: str, *, now: datetime, user_id: int | None = None) -> str:
    """Remember what was begun; what the browser must bring back. user_id: who wants to add this to their own proofs."""
    token = secrets.token_urlsafe(32)
    key = _hash(token)
    values = {
        "hash": key, "kind": kind, "user_id": user_id, "pending": vault.seal(pending, f"attempt:{key}"),
        "expires_at": now + PATIENCE,
    }  # fmt: skip
    tx.execute(sa.insert(SignInAttempt).values(**values))
    return token


def take(tx: Tx, vault: Vault, kind: str, token: str, *, now: datetime) -> tuple[str, int | None] | None:
    """``(what was remembered, user)``, taken out for good: it works once. None for what wasn't begun, or too long ago."""
    row = SignInAttempt
    taken = tx.execute(
        sa.delete(row)
        .where(row.hash == _hash(token), row.kind == kind, row.expires_at > now)
        .returning(row.hash, row.pending, row.user_id)
    ).one_or_none()
    return None if taken is None else (vault.open(taken.pending, f"attempt:{taken.hash}"), taken.user_id)


# --- accounts elsewhere -------------------------------------------------------------------------------------------


def user_of_account(
    tx: Tx, provider: str, subject: str, *, verified_email: str, now: datetime, address: str = ""
) -> int | None:
    """Who may come in with this account: whose it is already, else the user of that very address, whose it becomes.

    address: of the machine that asks, for the record. verified_email: only where the provider vouches for it, else ``""``. An address whose user has another account at
    this provider, or has removed one, opens nothing: accounts change hands, subjects don't, and removed is removed.
    """
    row = ProviderIdentity
    known = tx.execute(sa.select(row.user_id).where(row.provider == provider, row.subject == subject)).scalar()
    if known is not None or not verified_email:
        return None if known is None else int(known)
    user_id = tx.execute(sa.select(User.id).where(User.email == verified_email.lower())).scalar()
    if user_id is None:
        return None
    other = tx.execute(sa.select(row.id).where(row.provider == provider, row.user_id == user_id)).first()
    if other is not None:
        return None
    add_account(tx, int(user_id), provider, subject, email=verified_email, now=now)
    user = tx.execute(sa.select(User.name, User.operator_id).where(User.id == user_id)).one()
    who, whose = audit.Actor("user", user.name, str(user_id), address), user.operator_id
    after = {"provider": provider}
    audit.record(tx, who, "user.account_linked", f"user:{user_id}", now=now, operator_id=whose, after=after)
    return int(user_id)


def add_account(tx: Tx, user_id: int, provider: str, subject: str, *, email: str, now: datetime) -> None:
    """From now on it opens this user's door. Raises `BadValue` for an account that opens another's."""
    values = {"user_id": user_id, "provider": provider, "subject": subject, "email": email, "created_at": now}
    if not insert_ignoring(tx, ProviderIdentity, values, unique=["provider", "subject"]):
        row = ProviderIdentity
        owner = tx.execute(sa.select(row.user_id).where(row.provider == provider, row.subject == subject)).scalar()
        if owner != user_id:
            raise BadValue("account", "in_use", "this account belongs to another user")


def identities(tx: Tx, user_id: int) -> list[dict[str, Any]]:
    """A user's accounts elsewhere."""
    row = ProviderIdentity
    query = sa.select(row.id, row.provider, row.email, row.created_at).where(row.user_id == user_id, _opens(row))
    query = query.order_by(row.id)
    return [dict(r._mapping) for r in tx.execute(query)]


# --- passkeys -----------------------------------------------------------------------------------------------------


def add_passkey(
    tx: Tx, user_id: int, *, credential_id: str, public_key: str, sign_count: int, name: str, now: datetime
) -> None:
    """credential_id, public_key: base64url. Raises `BadValue` for one that is known."""
    values = {
        "user_id": user_id, "credential_id": credential_id, "public_key": public_key, "sign_count": sign_count,
        "name": name.strip()[:100], "created_at": now, "used_at": None,
    }  # fmt: skip
    if not insert_ignoring(tx, Passkey, values, unique=["credential_id"]):
        raise BadValue("passkey", "in_use", "this passkey is known already")


def passkey(tx: Tx, credential_id: str) -> Any:
    """``(id, user_id, public_key, sign_count)``, or None. The row is locked where the database locks rows."""
    row = Passkey
    query = sa.select(row.id, row.user_id, row.public_key, row.sign_count).where(row.credential_id == credential_id)
    return tx.execute(query.with_for_update()).one_or_none()


def passkey_used(tx: Tx, passkey_id: int, *, sign_count: int, now: datetime) -> None:
    """The authenticator counts; a copy of it would fall behind."""
    tx.execute(sa.update(Passkey).where(Passkey.id == passkey_id).values(sign_count=sign_count, used_at=now))


def passkeys(tx: Tx, user_id: int) -> list[dict[str, Any]]:
    """A user's passkeys."""
    row = Passkey
    query = sa.select(row.id, row.credential_id, row.name, row.created_at, row.used_at).where(row.user_id == user_id)
    return [dict(r._mapping) for r in tx.execute(query.order_by(row.id))]


def remove(tx: Tx, user_id: int, kind: str, link_id: int) -> bool:
    """kind: ``passkey`` or ``account``. False for what isn't that user's."""
    if kind == "passkey":
        return tx.execute(sa.delete(Passkey).where(Passkey.id == link_id, Passkey.user_id == user_id)).rowcount == 1
    row = ProviderIdentity
    mine = (row.id == link_id, row.user_id == user_id, _opens(row))
    # A stone is left where it was, so that the same address doesn't open the door again by itself.
    values = {"subject": f"{_REMOVED}{link_id}", "email": ""}
    return kind == "account" and tx.execute(sa.update(row).where(*mine).values(**values)).rowcount == 1


def _opens(row: type[ProviderIdentity]) -> sa.ColumnElement[bool]:
    return sa.not_(row.subject.startswith(_REMOVED))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()
