"""One-time codes of an app (TOTP, RFC 6238), and recovery codes for when the phone is lost. Pure: ``now`` is given."""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Sequence
from datetime import datetime

import pyotp

STEP = 30
"""Seconds of which one code is good; the one before and after are taken as well: clocks differ."""
RECOVERY_CODES = 8


def new_secret() -> str:
    """Base32, as apps want it."""
    return pyotp.random_base32()


def address(secret: str, email: str) -> str:
    """``otpauth://…``, which apps read from a link."""
    return pyotp.TOTP(secret).provisioning_uri(name=email, issuer_name="Slotledger")


def step_of(secret: str, code: str, now: datetime, *, after: int = 0) -> int | None:
    """Which step's code this is; None if it is none of now, or of a step up to `after` (it was used: a replay)."""
    given = "".join(code.split())
    if not (given.isascii() and given.isdigit() and len(given) == 6):
        return None
    totp = pyotp.TOTP(secret, interval=STEP)
    present = int(now.timestamp()) // STEP
    fitting = [s for s in (present - 1, present, present + 1) if secrets.compare_digest(totp.generate_otp(s), given)]
    return next((s for s in fitting if s > after), None)


def recovery_codes() -> list[str]:
    """New ones, each of 80 bits: ``abcd-efgh-ijkl-mnop``."""
    made = [base64.b32encode(secrets.token_bytes(10)).decode().lower() for _ in range(RECOVERY_CODES)]
    return ["-".join(code[i : i + 4] for i in range(0, 16, 4)) for code in made]


def recovery_hash(code: str) -> str:
    """As it is stored. Spaces, dashes and capitals don't matter."""
    plain = "".join(c for c in code.lower() if c.isalnum())
    return hashlib.sha256(plain.encode()).hexdigest()


def without(stored: Sequence[str], code: str) -> list[str] | None:
    """What is left of these hashes when this code is used; None if it is none of them."""
    wanted = recovery_hash(code)
    found = [h for h in stored if secrets.compare_digest(h, wanted)]
    return [h for h in stored if h != wanted] if found else None
