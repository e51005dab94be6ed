"""People who sign in. Passwords and tokens are stored as hashes, the secret of one-time codes sealed by the vault."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from ledger.db import Base
from ledger.sealed import Sealed
from ledger.tables import Id


def _owner() -> Mapped[int]:
    return mapped_column(sa.ForeignKey("user_account.id", ondelete="CASCADE"), index=True)


class User(Base):
    """Somebody who signs in. role: ``admin``, ``read`` (sees all, changes nothing) or ``operator`` (sees `operator_id`).

    email: in lower case. password_hash: argon2id, ``""`` for none. totp_secret: sealed for ``totp:ID``, ``""`` while
    one-time codes are off. totp_step: the last 30 seconds of which a code was taken; an older one is a replay.
    recovery_codes: hashes of those not used yet.
    """

    __tablename__ = "user_account"
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    email: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    role: Mapped[str]
    operator_id: Mapped[int | None] = mapped_column(sa.ForeignKey("operator.id", ondelete="CASCADE"))
    password_hash: Mapped[str] = mapped_column(default="")
    totp_secret: Mapped[str] = mapped_column(Sealed, default="")
    totp_step: Mapped[int] = mapped_column(sa.BigInteger, default=0)
    recovery_codes: Mapped[list[Any]] = mapped_column(default=list)
    created_at: Mapped[datetime]
    signed_in_at: Mapped[datetime | None]


class UserSession(Base):
    """A browser that is signed in; ending it deletes the row. hash: of the cookie. agent: what the browser calls itself."""

    __tablename__ = "user_session"
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    user_id: Mapped[int] = _owner()
    hash: Mapped[str] = mapped_column(sa.String(64), unique=True)
    method: Mapped[str]
    agent: Mapped[str]
    created_at: Mapped[datetime]
    seen_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)


class Passkey(Base):
    """A WebAuthn credential. credential_id, public_key: base64url. sign_count: the authenticator's, against copies."""

    __tablename__ = "passkey"
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    user_id: Mapped[int] = _owner()
    credential_id: Mapped[str] = mapped_column(sa.Text, unique=True)
    public_key: Mapped[str] = mapped_column(sa.Text)
    sign_count: Mapped[int] = mapped_column(sa.BigInteger, default=0)
    name: Mapped[str]
    created_at: Mapped[datetime]
    used_at: Mapped[datetime | None]


class ProviderIdentity(Base):
    """An account at Google or Microsoft that opens a user's door. subject: the provider's unchanging name of it."""

    __tablename__ = "provider_identity"
    __table_args__ = (sa.UniqueConstraint("provider", "subject"),)
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    user_id: Mapped[int] = _owner()
    provider: Mapped[str]
    subject: Mapped[str]
    email: Mapped[str]
    created_at: Mapped[datetime]


class SignInAttempt(Base):
    """Something begun that a browser comes back with: a consent elsewhere, a passkey's challenge. Taken out once.

    hash: of the browser's cookie. kind: what was begun. user_id: who is signed in already, to add a proof of theirs.
    pending: sealed for ``attempt:HASH``.
    """

    __tablename__ = "sign_in_attempt"
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    hash: Mapped[str] = mapped_column(sa.String(64), unique=True)
    kind: Mapped[str]
    user_id: Mapped[int | None] = mapped_column(sa.ForeignKey("user_account.id", ondelete="CASCADE"), index=True)
    pending: Mapped[str] = mapped_column(Sealed)
    expires_at: Mapped[datetime] = mapped_column(index=True)
