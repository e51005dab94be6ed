"""Signing in with a password. Says the same, and works as long, whatever was wrong: nobody learns who has an account."""

from __future__ import annotations

from datetime import datetime

from ledger.db import Database
from ledger.identity import passwords, sessions, users
from ledger.vault import Vault


def by_password(
    database: Database,
    vault: Vault,
    *,
    email: str,
    password: str,
    code: str,
    agent: str,
    now: datetime,
    instead_of: str = "",
) -> str | None:
    """A new session's token, or None. code: a one-time or recovery code, where the user has asked for them.

    Reads, closes, hashes, writes: hashing is slow and holds no transaction. instead_of: see `sessions.begin`.
    """
    with database.reading() as tx:
        user_id, stored = users.password_of(tx, email)
    if not passwords.fits(password, stored):
        return None
    better = passwords.hashed(password) if passwords.is_outdated(stored) else ""
    with database.transaction() as tx:
        # Another one may have changed the password meanwhile.
        if users.password_of(tx, email) != (user_id, stored) or not users.use_code(tx, vault, user_id, code, now=now):
            return None
        if better:
            users.set_password(tx, user_id, better)
        return sessions.begin(tx, user_id, method="password", agent=agent, now=now, instead_of=instead_of)
