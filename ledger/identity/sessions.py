"""Sessions live on the server: the browser holds a random token, we its hash. A new one for each sign-in and privilege."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from ledger.db import Tx
from ledger.identity import users
from ledger.identity.tables import SignInAttempt, User, UserSession

LONGEST = timedelta(days=30)
"""After that one signs in again, however busy."""
IDLE = timedelta(days=3)
"""A session that nobody used for so long is over."""
SEEN_EVERY = timedelta(minutes=5)
"""How often it is written down that a session is in use."""


@dataclass(frozen=True, slots=True)
class Session:
    """One that is good. key: the hash of its token, to bind forms to it. fresh: its use needs no writing down yet."""

    id: int
    key: str
    fresh: bool
    person: users.Person


def begin(tx: Tx, user_id: int, *, method: str, agent: str, now: datetime, instead_of: str = "") -> str:
    """A new session's token. instead_of: the token that the browser brought, which ends: nobody else may go on with it.

    method: ``password``, ``passkey``, ``google``, ``microsoft``.
    """
    end(tx, instead_of)
    token = secrets.token_urlsafe(32)
    values = {
        "user_id": user_id, "hash": key_of(token), "method": method, "agent": agent[:200], "created_at": now,
        "seen_at": now, "expires_at": now + LONGEST,
    }  # fmt: skip
    tx.execute(sa.insert(UserSession).values(**values))
    tx.execute(sa.update(User).where(User.id == user_id).values(signed_in_at=now))
    return token


def find(tx: Tx, token: str, *, now: datetime) -> Session | None:
    """Whose session it is; None for one that has ended, been revoked or never was."""
    if not token:
        return None
    query = sa.select(UserSession.id, UserSession.user_id, UserSession.hash, UserSession.seen_at).where(
        UserSession.hash == key_of(token), UserSession.expires_at > now, UserSession.seen_at > now - IDLE
    )
    row = tx.execute(query).one_or_none()
    if row is None:
        return None
    return Session(row.id, row.hash, row.seen_at > now - SEEN_EVERY, users.by_id(tx, row.user_id))


def seen(tx: Tx, session_id: int, *, now: datetime) -> None:
    """It is in use."""
    tx.execute(sa.update(UserSession).where(UserSession.id == session_id).values(seen_at=now))


def rotate(tx: Tx, session_id: int) -> str:
    """A new token for the same session; the old one opens nothing any more."""
    token = secrets.token_urlsafe(32)
    tx.execute(sa.update(UserSession).where(UserSession.id == session_id).values(hash=key_of(token)))
    return token


def end(tx: Tx, token: str) -> None:
    """Sign out. Idempotent."""
    if token:
        tx.execute(sa.delete(UserSession).where(UserSession.hash == key_of(token)))


def revoke(tx: Tx, user_id: int, session_id: int) -> bool:
    """End one of that user's sessions. False for any other's."""
    ended = sa.delete(UserSession).where(UserSession.id == session_id, UserSession.user_id == user_id)
    return tx.execute(ended).rowcount == 1


def listing(tx: Tx, user_id: int, *, now: datetime) -> list[dict[str, Any]]:
    """A user's sessions that are good, the one used last first."""
    query = (
        sa.select(UserSession.id, UserSession.method, UserSession.agent, UserSession.created_at, UserSession.seen_at)
        .where(UserSession.user_id == user_id, UserSession.expires_at > now, UserSession.seen_at > now - IDLE)
        .order_by(UserSession.seen_at.desc(), UserSession.id.desc())
    )
    return [dict(r._mapping) for r in tx.execute(query)]


def forget_old(tx: Tx, now: datetime) -> int:
    """Sessions and attempts to sign in whose time is over. Returns how many."""
    over = sa.or_(UserSession.expires_at <= now, UserSession.seen_at <= now - IDLE)
    attempts = tx.execute(sa.delete(SignInAttempt).where(SignInAttempt.expires_at <= now)).rowcount
    return attempts + tx.execute(sa.delete(UserSession).where(over)).rowcount


def key_of(token: str) -> str:
    """The hash by which a token is known. A random token of 256 bits needs no slow one."""
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()
