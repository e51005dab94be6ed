"""Users: added by whoever runs the place, known by their mail address."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from ledger.db import Tx, insert_ignoring
from ledger.identity import codes
from ledger.identity.errors import BadValue, NoSuchUser
from ledger.identity.tables import Passkey, ProviderIdentity, User, UserSession
from ledger.tables import Operator
from ledger.vault import Vault

ROLES = ("admin", "operator", "read")


@dataclass(frozen=True, slots=True)
class Person:
    """A user without secrets. operator: slug, ``""`` for admins and readers. language: of that operator, ``""`` for none."""

    id: int
    email: str
    name: str
    role: str
    operator_id: int | None
    operator: str
    language: str
    timezone: str
    has_password: bool
    has_codes: bool
    recovery_left: int


def add(
    tx: Tx, *, email: str, role: str, now: datetime, name: str = "", password_hash: str = "", replace: bool = False
) -> int:
    """A new user's id. role: ``admin``, ``read`` or ``operator:SLUG``. password_hash: of `passwords.hashed`, or none.

    replace: change the role of the one who is there instead; that ends their sessions. Raises `BadValue`.
    """
    address = normalized(email)
    kind, operator_id = parsed_role(tx, role)
    known = tx.execute(sa.select(User.id).where(User.email == address)).scalar()
    if known is not None:
        if not replace:
            raise BadValue("email", "in_use", f"there is a user {address} already")
        tx.execute(sa.update(User).where(User.id == known).values(role=kind, operator_id=operator_id))
        end_sessions(tx, known)
        return int(known)
    values: dict[str, Any] = {
        "email": address, "name": name.strip()[:200] or address.partition("@")[0], "role": kind, "operator_id": operator_id,
        "password_hash": password_hash, "totp_secret": "", "totp_step": 0, "recovery_codes": [], "created_at": now,
        "signed_in_at": None,
    }  # fmt: skip
    if not insert_ignoring(tx, User, values, unique=["email"]):
        raise BadValue("email", "in_use", f"there is a user {address} already")
    return by_email(tx, address).id


def normalized(email: str) -> str:
    """As it is stored and compared. Raises `BadValue`."""
    address = email.strip().lower()
    if address.count("@") != 1 or address[0] == "@" or address[-1] == "@" or len(address) > 254 or not address.isprintable() or " " in address:  # fmt: skip
        raise BadValue("email", "not_an_address", "a mail address like name@example.org is needed")
    return address


def parsed_role(tx: Tx, role: str) -> tuple[str, int | None]:
    """``(kind, operator)``. Raises `BadValue`."""
    kind, colon, slug = role.partition(":")
    if kind not in ROLES or (kind == "operator") != bool(colon):
        raise BadValue("role", "unknown_role", "admin, read or operator:SLUG")
    if kind != "operator":
        return kind, None
    operator_id = tx.execute(sa.select(Operator.id).where(Operator.slug == slug)).scalar()
    if operator_id is None:
        raise BadValue("role", "unknown_operator", f"there is no operator {slug}")
    return kind, int(operator_id)


def by_id(tx: Tx, user_id: int) -> Person:
    """Raises `NoSuchUser`."""
    return _one(tx, User.id == user_id)


def by_email(tx: Tx, email: str) -> Person:
    """Raises `NoSuchUser`."""
    return _one(tx, User.email == email.strip().lower())


def listing(tx: Tx) -> list[Person]:
    """Everybody who may sign in."""
    return [_person(row) for row in tx.execute(_query().order_by(User.id))]


def remove(tx: Tx, user_id: int) -> None:
    """With all sessions and proofs. Idempotent."""
    for table in (UserSession, Passkey, ProviderIdentity):
        tx.execute(sa.delete(table).where(table.user_id == user_id))
    tx.execute(sa.delete(User).where(User.id == user_id))


def reset(tx: Tx, user_id: int, *, password_hash: str) -> None:
    """A new password and nothing else: codes, passkeys and accounts elsewhere are forgotten, every session ends."""
    for table in (Passkey, ProviderIdentity):
        tx.execute(sa.delete(table).where(table.user_id == user_id))
    values = {"password_hash": password_hash, "totp_secret": "", "totp_step": 0, "recovery_codes": []}
    tx.execute(sa.update(User).where(User.id == user_id).values(**values))
    end_sessions(tx, user_id)


def set_password(tx: Tx, user_id: int, password_hash: str) -> None:
    """hash: of `passwords.hashed`."""
    tx.execute(sa.update(User).where(User.id == user_id).values(password_hash=password_hash))


def password_of(tx: Tx, email: str) -> tuple[int, str]:
    """``(id, hash)``; ``(0, "")`` where nobody has that address."""
    query = sa.select(User.id, User.password_hash).where(User.email == email.strip().lower())
    row = tx.execute(query).one_or_none()
    return (int(row.id), str(row.password_hash)) if row is not None else (0, "")


def start_codes(tx: Tx, vault: Vault, user_id: int, *, secret: str, code: str, now: datetime) -> list[str]:
    """From now on one-time codes are asked for, if this one proves that the app has the secret. Returns the recovery
    codes; this is the only time that they can be read. Raises `BadValue`."""
    step = codes.step_of(secret, code, now)
    if step is None:
        raise BadValue("code", "wrong_code", "this is not the code of this moment")
    made = codes.recovery_codes()
    values: dict[str, Any] = {
        "totp_secret": vault.seal(secret, _context(user_id)),
        "totp_step": step,
        "recovery_codes": [codes.recovery_hash(c) for c in made],
    }
    tx.execute(sa.update(User).where(User.id == user_id).values(**values))
    return made


def stop_codes(tx: Tx, user_id: int) -> None:
    """One-time codes are off."""
    values: dict[str, Any] = {"totp_secret": "", "totp_step": 0, "recovery_codes": []}
    tx.execute(sa.update(User).where(User.id == user_id).values(**values))


def use_code(tx: Tx, vault: Vault, user_id: int, code: str, *, now: datetime) -> bool:
    """Is the second proof given? True without one where none is asked for. A code is good once (RFC 6238 §5.2), also
    where two requests bring it at the same time."""
    row = tx.execute(
        sa.select(User.totp_secret, User.totp_step, User.recovery_codes).where(User.id == user_id).with_for_update()
    ).one_or_none()
    if row is None:
        return False
    if not row.totp_secret:
        return True
    step = codes.step_of(vault.open(row.totp_secret, _context(user_id)), code, now, after=row.totp_step)
    if step is not None:
        claim = sa.update(User).where(User.id == user_id, User.totp_step < step).values(totp_step=step)
        return tx.execute(claim).rowcount == 1
    left = codes.without(row.recovery_codes, code)
    if left is None:
        return False
    tx.execute(sa.update(User).where(User.id == user_id).values(recovery_codes=left))
    return True


def end_sessions(tx: Tx, user_id: int, *, but: int = 0) -> int:
    """Signed out everywhere, but for one session. Returns how many ended."""
    ended = sa.delete(UserSession).where(UserSession.user_id == user_id, UserSession.id != but)
    return tx.execute(ended).rowcount


def _context(user_id: int) -> str:
    return f"totp:{user_id}"


def _query() -> sa.Select[Any]:
    return sa.select(
        User.id, User.email, User.name, User.role, User.operator_id, User.password_hash, User.totp_secret,
        User.recovery_codes, Operator.slug, Operator.language, Operator.timezone,
    ).outerjoin(Operator, Operator.id == User.operator_id)  # fmt: skip


def _one(tx: Tx, condition: sa.ColumnElement[bool]) -> Person:
    row = tx.execute(_query().where(condition)).one_or_none()
    if row is None:
        raise NoSuchUser("there is no such user")
    return _person(row)


def _person(row: Any) -> Person:
    return Person(
        id=int(row.id), email=row.email, name=row.name, role=row.role, operator_id=row.operator_id,
        operator=row.slug or "", language=row.language or "", timezone=row.timezone or "UTC",
        has_password=bool(row.password_hash), has_codes=bool(row.totp_secret), recovery_left=len(row.recovery_codes),
    )  # fmt: skip
