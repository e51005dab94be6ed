"""Users, their proofs and their sessions.

Covers: ledger.identity.users, ledger.identity.sessions, ledger.identity.passwords, ledger.identity.codes,
ledger.identity.links, ledger.identity.proofs, ledger.identity.errors, ledger.identity.tables.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import pyotp
import pytest
import sqlalchemy as sa

from ledger import audit
from ledger.db import Database
from ledger.identity import codes, links, passwords, proofs, sessions, users
from ledger.identity.errors import BadValue, NoSuchUser
from ledger.identity.tables import SignInAttempt, User, UserSession
from ledger.vault import Vault
from tests.support.books import operator

VAULT = Vault("for-tests-only-0123456789")
PASSWORD = "correct horse battery"
HASHED = passwords.hashed(PASSWORD)


def added(database: Database, now: datetime, email: str = "ada@practice.example", role: str = "admin") -> int:
    with database.transaction() as tx:
        return users.add(tx, email=email, role=role, password_hash=HASHED, now=now)


def try_in(database: Database, now: datetime, **changes: str) -> str | None:
    given = {"email": "ada@practice.example", "password": PASSWORD, "code": "", "agent": "test", **changes}
    return proofs.by_password(database, VAULT, now=now, **given)


# --- passwords ----------------------------------------------------------------------------------------------------


def test_a_password_is_kept_as_argon2id() -> None:
    assert HASHED.startswith("$argon2id$")
    assert PASSWORD not in HASHED
    assert passwords.fits(PASSWORD, HASHED)
    assert not passwords.fits(PASSWORD + "x", HASHED)
    assert not passwords.is_outdated(HASHED)


def test_nobody_has_the_password_that_is_tried_for_nobody() -> None:
    for tried in ("nobody has this password", "", "x" * 5000, "\udcff"):
        assert not passwords.fits(tried, "")
    assert not passwords.fits(PASSWORD, "not a hash")


@pytest.mark.parametrize(
    ("password", "code"),
    [
        ("short", "too_short"),
        ("x" * 201, "too_long"),
        ("aaaaaaaaaaaa", "too_simple"),
        ("ada@practice.example", "too_simple"),
        ("ADA@practice.example ", "too_simple"),
    ],
)
def test_what_is_no_password(password: str, code: str) -> None:
    with pytest.raises(BadValue) as refused:
        passwords.check_new(password, email="ada@practice.example")
    assert (refused.value.field, refused.value.code) == ("password", code)


def test_what_is_a_password() -> None:
    passwords.check_new("nur kleine buchstaben", email="ada@practice.example")


# --- one-time codes -----------------------------------------------------------------------------------------------


def test_a_code_is_good_around_its_moment_and_never_again(now: datetime) -> None:
    secret = codes.new_secret()
    code = pyotp.TOTP(secret).at(now)
    step = codes.step_of(secret, code, now)
    assert step == int(now.timestamp()) // 30
    for seconds in (-30, 30):
        assert codes.step_of(secret, code, now + timedelta(seconds=seconds)) == step
    for seconds in (-61, 61):
        assert codes.step_of(secret, code, now + timedelta(seconds=seconds)) is None
    assert codes.step_of(secret, code, now, after=step) is None
    assert codes.step_of(secret, f" {code[:3]} {code[3:]} ", now) == step
    for nonsense in ("", "12345", "1234567", "abcdef", "１２３４５６"):
        assert codes.step_of(secret, nonsense, now) is None


def test_recovery_codes_are_hashes_and_each_is_good_once() -> None:
    made = codes.recovery_codes()
    assert len(set(made)) == codes.RECOVERY_CODES
    stored = [codes.recovery_hash(code) for code in made]
    assert not set(stored) & set(made)
    left = codes.without(stored, made[2].upper().replace("-", " "))
    assert left is not None
    assert len(left) == len(stored) - 1
    assert codes.without(left, made[2]) is None
    assert codes.without(stored, "") is None


def test_a_code_is_asked_for_once_it_is_set_up_and_no_replay_is_taken(database: Database, now: datetime) -> None:
    user_id = added(database, now)
    secret = codes.new_secret()
    totp = pyotp.TOTP(secret)
    with database.transaction() as tx, pytest.raises(BadValue):
        users.start_codes(tx, VAULT, user_id, secret=secret, code="000000", now=now)
    assert try_in(database, now)  # still without
    with database.transaction() as tx:
        recovery = users.start_codes(tx, VAULT, user_id, secret=secret, code=totp.at(now), now=now)
    with database.reading() as tx:
        stored = tx.execute(sa.select(User.totp_secret, User.recovery_codes)).one()
    assert secret not in stored.totp_secret
    assert not set(stored.recovery_codes) & set(recovery)
    assert try_in(database, now) is None
    assert try_in(database, now, code=totp.at(now)) is None  # that one proved that the app works
    later = now + timedelta(seconds=30)
    assert try_in(database, later, code=totp.at(later))
    assert try_in(database, later, code=totp.at(later)) is None
    assert try_in(database, later, code=totp.at(now)) is None
    assert try_in(database, later, code=recovery[0])
    assert try_in(database, later, code=recovery[0]) is None
    with database.transaction() as tx:
        users.stop_codes(tx, user_id)
    assert try_in(database, later)


# --- users --------------------------------------------------------------------------------------------------------


def test_users_are_known_by_their_address(database: Database, now: datetime) -> None:
    with database.transaction() as tx:
        anna = operator(tx, now, "anna")
        user_id = users.add(tx, email=" Anna@Practice.example ", role="operator:anna", name="Anna", now=now)
        assert users.by_email(tx, "ANNA@practice.example").id == user_id
        person = users.by_id(tx, user_id)
    assert (person.email, person.role, person.operator_id, person.operator) == (
        "anna@practice.example", "operator", anna, "anna",
    )  # fmt: skip
    assert not person.has_password
    with database.transaction() as tx, pytest.raises(BadValue, match="already"):
        users.add(tx, email="anna@practice.EXAMPLE", role="admin", now=now)
    with database.reading() as tx, pytest.raises(NoSuchUser):
        users.by_email(tx, "nobody@practice.example")


@pytest.mark.parametrize(
    ("email", "role", "field"),
    [
        ("no address", "admin", "email"),
        ("@practice.example", "admin", "email"),
        ("a\nb@practice.example", "admin", "email"),
        ("", "admin", "email"),
        ("a@b.example", "root", "role"),
        ("a@b.example", "operator", "role"),
        ("a@b.example", "operator:", "role"),
        ("a@b.example", "admin:anna", "role"),
        ("a@b.example", "operator:nobody", "role"),
    ],
)
def test_a_wrong_field_is_named_and_nothing_is_stored(
    sqlite: Database, now: datetime, email: str, role: str, field: str
) -> None:
    with pytest.raises(BadValue) as refused, sqlite.transaction() as tx:
        users.add(tx, email=email, role=role, now=now)
    assert refused.value.field == field
    with sqlite.reading() as tx:
        assert users.listing(tx) == []


def test_another_role_or_a_reset_ends_every_session(database: Database, now: datetime) -> None:
    user_id = added(database, now)
    first = try_in(database, now)
    with database.transaction() as tx:
        users.add(tx, email="ada@practice.example", role="read", now=now, replace=True)
        assert sessions.find(tx, first or "", now=now) is None
        assert users.by_id(tx, user_id).role == "read"
    second = try_in(database, now)
    with database.transaction() as tx:
        links.add_account(tx, user_id, "google", "123", email="", now=now)
        users.reset(tx, user_id, password_hash=passwords.hashed("another password"))
        assert sessions.find(tx, second or "", now=now) is None
        assert links.identities(tx, user_id) == []
    assert try_in(database, now) is None
    assert try_in(database, now, password="another password")


def test_a_removed_user_leaves_nothing(database: Database, now: datetime) -> None:
    user_id = added(database, now)
    token = try_in(database, now) or ""
    with database.transaction() as tx:
        links.add_passkey(tx, user_id, credential_id="c", public_key="p", sign_count=0, name="n", now=now)
        users.remove(tx, user_id)
        users.remove(tx, user_id)
        assert users.listing(tx) == []
        assert sessions.find(tx, token, now=now) is None
        assert links.passkey(tx, "c") is None
    assert try_in(database, now) is None


# --- signing in ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("changes", [{"password": "wrong password"}, {"email": "nobody@practice.example"}])
def test_what_is_wrong_gives_nothing_and_is_hashed_as_often(
    sqlite: Database, now: datetime, changes: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same work for who has an account and who has none: one password is hashed."""
    added(sqlite, now)
    worked: list[str] = []
    real = type(passwords._hasher).verify

    def counted(self: object, stored: str, password: bytes) -> object:
        worked.append(stored)
        return real(self, stored, password)  # type: ignore[arg-type]

    monkeypatch.setattr(type(passwords._hasher), "verify", counted)
    assert try_in(sqlite, now, **changes) is None
    assert len(worked) == 1
    assert worked[0].split("$")[:4] == HASHED.split("$")[:4]  # the same costs


def test_a_password_hashed_with_older_costs_is_hashed_anew(sqlite: Database, now: datetime) -> None:
    from argon2 import PasswordHasher

    user_id = added(sqlite, now)
    with sqlite.transaction() as tx:
        users.set_password(tx, user_id, PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD))
    assert try_in(sqlite, now)
    with sqlite.reading() as tx:
        _, stored = users.password_of(tx, "ada@practice.example")
    assert not passwords.is_outdated(stored)
    assert passwords.fits(PASSWORD, stored)


# --- sessions -----------------------------------------------------------------------------------------------------


def test_a_session_is_stored_as_a_hash_and_found_by_its_token(database: Database, now: datetime) -> None:
    user_id = added(database, now)
    token = try_in(database, now) or ""
    with database.reading() as tx:
        stored = tx.execute(sa.select(UserSession.hash)).scalar_one()
        found = sessions.find(tx, token, now=now)
        assert sessions.find(tx, "", now=now) is None
        assert sessions.find(tx, stored, now=now) is None
    assert found is not None
    assert token not in stored
    assert (found.person.id, found.key) == (user_id, stored)


def test_sessions_end_by_age_by_rest_and_by_hand(database: Database, now: datetime) -> None:
    user_id = added(database, now)
    tokens = [try_in(database, now) or "" for _ in range(3)]
    with database.transaction() as tx:
        kept = sessions.find(tx, tokens[0], now=now)
        assert kept is not None
        late = now + sessions.IDLE
        sessions.seen(tx, kept.id, now=late - timedelta(minutes=1))
        assert sessions.find(tx, tokens[0], now=late) is not None
        assert sessions.find(tx, tokens[1], now=late) is None
        assert [row["id"] for row in sessions.listing(tx, user_id, now=late)] == [kept.id]
        sessions.seen(tx, kept.id, now=now + sessions.LONGEST)
        assert sessions.find(tx, tokens[0], now=now + sessions.LONGEST) is None
        assert sessions.forget_old(tx, now + sessions.LONGEST) == 3
        assert sessions.forget_old(tx, now + sessions.LONGEST) == 0
    token = try_in(database, now) or ""
    with database.transaction() as tx:
        sessions.end(tx, token)
        sessions.end(tx, token)
        assert sessions.find(tx, token, now=now) is None


def test_a_rotated_session_has_another_token_and_nobody_revokes_anothers(database: Database, now: datetime) -> None:
    user_id, other = added(database, now), added(database, now, "bob@practice.example")
    token = try_in(database, now) or ""
    with database.transaction() as tx:
        found = sessions.find(tx, token, now=now)
        assert found is not None
        again = sessions.rotate(tx, found.id)
        assert sessions.find(tx, token, now=now) is None
        assert sessions.find(tx, again, now=now) is not None
        assert not sessions.revoke(tx, other, found.id)
        assert sessions.revoke(tx, user_id, found.id)
        assert sessions.find(tx, again, now=now) is None


# --- what was begun -----------------------------------------------------------------------------------------------


def test_what_was_begun_is_taken_once_in_time_and_for_its_purpose(database: Database, now: datetime) -> None:
    with database.transaction() as tx:
        token, late = (links.begin(tx, VAULT, "google", "verifier", now=now) for _ in range(2))
        stored = tx.execute(sa.select(SignInAttempt.pending, SignInAttempt.hash)).first()
        assert stored is not None
        assert "verifier" not in stored.pending
        assert token not in stored.hash
        assert links.take(tx, VAULT, "microsoft", token, now=now) is None
        assert links.take(tx, VAULT, "google", token, now=now) == ("verifier", None)
        assert links.take(tx, VAULT, "google", token, now=now) is None
        assert links.take(tx, VAULT, "google", late, now=now + links.PATIENCE) is None
        assert links.take(tx, VAULT, "google", "", now=now) is None


def test_an_account_elsewhere_opens_by_its_subject_or_once_by_a_verified_address(
    database: Database, now: datetime
) -> None:
    ada, bob = added(database, now), added(database, now, "bob@practice.example")

    def opened(subject: str, email: str = "", provider: str = "google") -> int | None:
        with database.transaction() as tx:
            return links.user_of_account(tx, provider, subject, verified_email=email, now=now)

    assert opened("1") is None
    assert opened("1", "nobody@practice.example") is None
    assert opened("1", "Ada@practice.example") == ada
    assert opened("1") == ada
    assert opened("1", "bob@practice.example") == ada  # the subject counts, not the address it has now
    assert opened("2", "ada@practice.example") is None  # the address has another owner now
    assert opened("2", "ada@practice.example", "microsoft") == ada
    with database.transaction() as tx, pytest.raises(BadValue):
        links.add_account(tx, bob, "google", "1", email="", now=now)
    with database.transaction() as tx:
        (google, _) = links.identities(tx, ada)
        assert not links.remove(tx, bob, "account", google["id"])
        assert not links.remove(tx, ada, "nonsense", google["id"])
        assert links.remove(tx, ada, "account", google["id"])
    assert opened("1") is None
    with database.reading() as tx:
        written = [(e["action"], e["target"], e["after"]) for e in reversed(audit.listing(tx))]
    assert written == [
        ("user.account_linked", f"user:{ada}", {"provider": "google"}),
        ("user.account_linked", f"user:{ada}", {"provider": "microsoft"}),
    ]


def test_an_account_that_was_removed_opens_again_only_by_hand(database: Database, now: datetime) -> None:
    ada = added(database, now)

    def opened() -> int | None:
        with database.transaction() as tx:
            return links.user_of_account(tx, "google", "1", verified_email="ada@practice.example", now=now)

    assert opened() == ada
    for _ in range(2):
        with database.transaction() as tx:
            (google,) = links.identities(tx, ada)
            assert links.remove(tx, ada, "account", google["id"])
            assert not links.remove(tx, ada, "account", google["id"])
            assert links.identities(tx, ada) == []
        assert opened() is None
        with database.transaction() as tx:
            links.add_account(tx, ada, "google", "1", email="ada@practice.example", now=now)
        assert opened() == ada


def test_a_passkey_is_one_users(database: Database, now: datetime) -> None:
    ada, bob = added(database, now), added(database, now, "bob@practice.example")
    one = {"credential_id": "c1", "public_key": "p", "sign_count": 1, "name": " Key ", "now": now}
    with database.transaction() as tx:
        links.add_passkey(tx, ada, **one)  # type: ignore[arg-type]
        row = links.passkey(tx, "c1")
        links.passkey_used(tx, row.id, sign_count=7, now=now)
        assert links.passkey(tx, "c1").sign_count == 7
        assert [k["name"] for k in links.passkeys(tx, ada)] == ["Key"]
        assert links.passkeys(tx, bob) == []
    with database.transaction() as tx, pytest.raises(BadValue):
        links.add_passkey(tx, bob, **one)  # type: ignore[arg-type]
