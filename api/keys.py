"""Keys to the admin API: shown once, stored as hashes, scoped, expiring, revocable."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from api.tables import ApiToken
from booking.errors import FieldError, Invalid, NotFound
from booking.setup import operator_id
from ledger.db import Tx, insert_ignoring


class NotAllowed(Exception):
    """The caller is unknown (401) or may not do this (403)."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who may come in. operator_id: the only operator they may see, None for all. writes: not read-only.

    kind: ``token``, ``user`` or ``cli``; id: of that token or user, as text (`ledger.audit.Actor`).
    """

    name: str
    operator_id: int | None
    writes: bool
    admin: bool
    kind: str = "token"
    id: str = ""

    def sees(self, owner: int) -> None:
        """Raises `NotFound` for another operator's things: they don't exist for this caller."""
        if self.operator_id is not None and owner != self.operator_id:
            raise NotFound("there is no such thing")

    def must_be_admin_to_read(self) -> None:
        """Raises `NotAllowed` for a token of one operator."""
        if self.operator_id is not None:
            raise NotAllowed(403, "this needs a token of scope admin or read")

    def must_be_admin(self) -> None:
        """Raises `NotAllowed` for anybody with a narrower scope."""
        if not self.admin:
            raise NotAllowed(403, "this needs a token of scope admin")


def create_token(
    tx: Tx, *, name: str, scope: str, now: datetime, expires_at: datetime | None = None, token: str = ""
) -> str:
    """A new token; this is the only time it can be read. Raises `Invalid`, `NotFound`. token: one that is known already."""
    if scope not in ("admin", "read"):
        kind, _, slug = scope.partition(":")
        if kind != "operator" or not slug:
            raise Invalid([FieldError("scope", "unknown_scope", "admin, read or operator:SLUG")])
        operator_id(tx, slug)
    if expires_at is not None and expires_at <= now:
        raise Invalid([FieldError("expires_at", "in_the_past", "an instant to come is needed")])
    token = token or "sl_" + secrets.token_urlsafe(32)
    values = {"name": name, "scope": scope, "hash": _hash(token), "created_at": now, "expires_at": expires_at}
    insert_ignoring(tx, ApiToken, values, unique=["hash"])
    return token


def identify(tx: Tx, token: str, now: datetime) -> Caller:
    """Who holds this token. Raises `NotAllowed` without telling why."""
    row = tx.execute(
        sa.select(ApiToken.id, ApiToken.name, ApiToken.scope).where(
            ApiToken.hash == _hash(token),
            ApiToken.revoked_at.is_(None),
            sa.or_(ApiToken.expires_at.is_(None), ApiToken.expires_at > now),
        )
    ).one_or_none()
    if row is None:
        raise NotAllowed(401, "a valid token is needed")
    kind, _, slug = row.scope.partition(":")
    try:
        owner = operator_id(tx, slug) if kind == "operator" else None
    except NotFound:
        raise NotAllowed(401, "a valid token is needed") from None
    return Caller(row.name, owner, writes=kind != "read", admin=kind == "admin", id=str(row.id))


def tokens(
    tx: Tx, *, only: int | None = None, scope: str = "", after: int = 0, limit: int | None = None
) -> list[dict[str, Any]]:
    """Names, scopes and dates of every token, in the order in which they were made. Never the tokens themselves."""
    row = ApiToken
    query = (
        sa.select(row.id, row.name, row.scope, row.created_at, row.expires_at, row.revoked_at)
        .where(row.id > after)
        .order_by(row.id)
        .limit(limit)
    )
    if only is not None:
        query = query.where(row.id == only)
    if scope:
        query = query.where(row.scope == scope)
    return [dict(r._mapping) for r in tx.execute(query)]


def shown(tx: Tx, token_id: int) -> dict[str, Any]:
    """One of `tokens`. Raises `NotFound`."""
    found = tokens(tx, only=token_id)
    if not found:
        raise NotFound("there is no such token")
    return found[0]


def id_of(tx: Tx, token: str) -> int:
    """The row of a token that exists."""
    return int(tx.execute(sa.select(ApiToken.id).where(ApiToken.hash == _hash(token))).scalar_one())


def revoke_token(tx: Tx, token_id: int, *, now: datetime) -> None:
    """From now on it opens nothing. Idempotent."""
    tx.execute(sa.update(ApiToken).where(ApiToken.id == token_id, ApiToken.revoked_at.is_(None)).values(revoked_at=now))


def revoke_tokens_of(tx: Tx, slug: str, *, now: datetime) -> None:
    """What opened this operator's door opens no later one's of the same slug. For the transaction that removes them."""
    row = ApiToken
    theirs = (row.scope == f"operator:{slug}", row.revoked_at.is_(None))
    tx.execute(sa.update(row).where(*theirs).values(revoked_at=now))


def _hash(token: str) -> str:
    # A random token of 256 bits needs no slow hash.
    return hashlib.sha256(token.encode()).hexdigest()
