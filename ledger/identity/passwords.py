"""Passwords: what is a good one, and its argon2id hash (RFC 9106). Pure, but slow on purpose: never inside a transaction."""

from __future__ import annotations

import threading

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from ledger.identity.errors import BadValue

SHORTEST = 10
LONGEST = 200

_hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
"""OWASP's smallest for argon2id: 19 MiB and about 30 ms each, so that many who sign in don't exhaust a small machine."""
_at_once = threading.BoundedSemaphore(4)
_NOBODY = _hasher.hash("nobody has this password")


def check_new(password: str, *, email: str = "") -> None:
    """Raises `BadValue` for one that is too short, too long or the address itself. No rules about kinds of characters
    (NIST SP 800-63B)."""
    if len(password) < SHORTEST:
        raise BadValue("password", "too_short", f"at least {SHORTEST} characters are needed")
    if len(password) > LONGEST:
        raise BadValue("password", "too_long", f"at most {LONGEST} characters")
    plain = password.strip().casefold()
    if plain in {email.casefold(), email.partition("@")[0].casefold()} or len(set(plain)) < 4:
        raise BadValue("password", "too_simple", "this one is guessed too easily")


def hashed(password: str) -> str:
    """To be stored."""
    with _at_once:
        return _hasher.hash(password)


def fits(password: str, stored: str) -> bool:
    """Is it that one? stored: ``""`` where there is no user or no password; that takes as long and is never right."""
    with _at_once:
        try:
            _hasher.verify(stored or _NOBODY, password[:LONGEST].encode(errors="replace"))
        except (VerificationError, InvalidHashError):
            return False
    return bool(stored)


def is_outdated(stored: str) -> bool:
    """Was it hashed with other costs than we use now?"""
    return _hasher.check_needs_rehash(stored)
