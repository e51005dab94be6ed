"""A new SECRET_KEY: everything sealed under the old one opens, is sealed again, and then opens without the old one."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa

from connectors.protocol import Endpoints
from ledger import catalog, sealed, webhooks
from ledger.db import Database, Tx
from ledger.identity.tables import SignInAttempt, User
from ledger.sealed import Rotation, Sealed
from ledger.settings import Settings
from ledger.tables import Channel, Connection, OAuthFlow
from ledger.vault import Vault, VaultError
from sync import tickets
from sync.accounts import Accounts
from sync.errors import BadLink
from tests.support import books
from tests.support.dump import texts
from workers.ticker import chores

OLD, NEW = "the old key, only for tests", "the new key, only for tests"


def fill(tx: Tx, vault: Vault, now: datetime, connections: int = 3) -> None:
    """One of each thing that is sealed, and some connections."""
    operator = books.operator(tx, now)
    for number in range(connections):
        made = books.connection(tx, operator, now, username=f"u{number}")
        secret = vault.seal(f"token cache {made}", f"connection:{made}")
        tx.execute(sa.update(Connection).where(Connection.id == made).values(secret=secret))
    calendar = books.calendar(tx, operator, made)
    tx.execute(
        sa.insert(Channel).values(
            id="c" * 32, calendar_id=calendar, provider="google", address="x", created_at=now, next_at=now,
            secret=vault.seal("channel's", f"channel:{'c' * 32}"),
        )
    )  # fmt: skip
    flow = tickets.issue(tx, operator_id=operator, provider="google", now=now)
    tx.execute(
        sa.update(OAuthFlow).where(OAuthFlow.id == flow).values(pending=vault.seal("verifier", f"consent:{flow}"))
    )
    hook, _ = webhooks.add(tx, vault, url="https://hooks.example", operator_id=None, events=[], description="", now=now)
    webhooks.rotate(tx, vault, hook, now=now)
    about = {"email": "a@b.example", "name": "A", "role": "admin", "recovery_codes": [], "created_at": now}
    tx.execute(sa.insert(User).values(**about, totp_secret=vault.seal("totp", "totp:1")))
    attempt = {"hash": "h", "kind": "k", "pending": vault.seal("challenge", "attempt:h")}
    tx.execute(sa.insert(SignInAttempt).values(**attempt, expires_at=now))


def stored(database: Database) -> list[str]:
    """Every sealed text of the database, wherever it stands."""
    return [text for _, _, text in texts(database) if text.startswith("v1.gAAAA")]


def walk(database: Database, vault: Vault, limit: int = 2) -> Rotation:
    rotation = Rotation(vault)
    for _ in range(100):
        with database.transaction() as tx:
            if not rotation.step(tx, limit=limit):
                return rotation
    raise AssertionError("it never ends")


def test_after_the_walk_the_old_key_is_not_needed(database: Database, now: datetime) -> None:
    with database.transaction() as tx:
        fill(tx, Vault(OLD), now)
        assert sealed.count(tx) == 9
    assert len(stored(database)) == 9
    both, new = Vault(NEW, OLD), Vault(NEW)
    assert not any(map(new.is_newest, stored(database)))
    done = walk(database, both)
    assert (done.looked, done.resealed, done.broken) == (9, 9, ())
    assert all(map(new.is_newest, stored(database)))
    again = walk(database, both)
    assert (again.looked, again.resealed) == (9, 0)
    with database.reading() as tx:
        for row in tx.execute(sa.select(Connection.id, Connection.secret)):
            assert new.open(row.secret, f"connection:{row.id}") == f"token cache {row.id}"
        assert new.open(tx.execute(sa.select(User.totp_secret)).scalar_one(), "totp:1") == "totp"
    with pytest.raises(VaultError):
        Vault(OLD).open(stored(database)[0], "connection:1")


def test_every_text_that_the_vault_sealed_stands_in_a_column_for_it(database: Database, now: datetime) -> None:
    with database.transaction() as tx:
        fill(tx, Vault(OLD), now)
    marked = {(c.table.name, c.name) for c in sealed.columns()}
    assert {(t, c) for t, c, text in texts(database) if text.startswith("v1.gAAAA")} == marked


def test_a_walk_goes_on_where_it_was_interrupted(sqlite: Database, now: datetime) -> None:
    with sqlite.transaction() as tx:
        fill(tx, Vault(OLD), now)
    begun = Rotation(Vault(NEW, OLD))
    with sqlite.transaction() as tx:
        begun.step(tx, limit=2)
    assert walk(sqlite, Vault(NEW, OLD)).resealed == 9 - begun.resealed  # another process, from the start


def test_a_secret_stored_meanwhile_is_not_overwritten(sqlite: Database, now: datetime) -> None:
    both = Vault(NEW, OLD)
    with sqlite.transaction() as tx:
        fill(tx, Vault(OLD), now, connections=1)
        before = tx.execute(sa.select(Connection.secret)).scalar_one()
        newer = both.seal("newer", "connection:1")
        tx.execute(sa.update(Connection).values(secret=newer))
        rotation = Rotation(both)
        column = next(c for c in sealed.columns() if c.table.name == "connection")
        rotation._reseal(tx, column, 1, before)
        assert (rotation.resealed, tx.execute(sa.select(Connection.secret)).scalar_one()) == (0, newer)


def test_what_no_key_opens_is_named_and_left(sqlite: Database, now: datetime) -> None:
    with sqlite.transaction() as tx:
        fill(tx, Vault("a third key, long forgotten"), now, connections=1)
    before = stored(sqlite)
    done = walk(sqlite, Vault(NEW, OLD))
    assert (done.resealed, set(done.broken)) == (
        0, {"connection.secret", "channel.secret", "oauth_flow.pending", "webhook.secret", "webhook.old_secret",
            "user_account.totp_secret", "sign_in_attempt.pending"},
    )  # fmt: skip
    assert stored(sqlite) == before


def test_the_ticker_walks_while_there_is_an_old_key(sqlite: Database, now: datetime) -> None:
    with sqlite.transaction() as tx:
        fill(tx, Vault(OLD), now)
    assert "reseal" not in [chore.name for chore in chores(Settings(secret_key=NEW))]
    [chore] = [c for c in chores(Settings(secret_key=NEW, secret_key_old=OLD)) if c.name == "reseal"]
    looked = 1
    while looked:
        with sqlite.transaction() as tx:
            looked = chore.do(tx, now)
    assert all(map(Vault(NEW).is_newest, stored(sqlite)))
    with sqlite.transaction() as tx:
        assert chore.do(tx, now) > 0  # the next hour's walk


def test_links_in_sent_mails_stay_good_as_long_as_the_old_key_is_known(sqlite: Database, now: datetime) -> None:
    with sqlite.transaction() as tx:
        operator = books.operator(tx, now)
        flow = tickets.issue(tx, operator_id=operator, provider="google", now=now, lifetime=tickets.BY_MAIL)
        url = tickets.link(tx, Vault(OLD), flow, "https://book.example")
    ticket = url.partition("ticket=")[2]
    with sqlite.reading() as tx:
        assert tickets.read(tx, Vault(NEW, OLD), ticket, "google", now=now + timedelta(days=13)).id == flow
        for vault, given in ((Vault(NEW), ticket), (Vault(NEW, OLD), ticket[:-1]), (Vault(NEW, OLD), f"0{ticket}")):
            with pytest.raises(BadLink):
                tickets.read(tx, vault, given, "google", now=now)


def test_an_account_opens_with_either_key(sqlite: Database, now: datetime) -> None:
    with sqlite.transaction() as tx:
        fill(tx, Vault(OLD), now, connections=1)
        tx.execute(sa.update(Connection).values(provider="ics", url="http://127.0.0.1:9/x.ics"))
    Accounts(sqlite, Vault(NEW, OLD), Endpoints(allow_private_networks=True)).open(1).close()
    with pytest.raises(VaultError):
        Accounts(sqlite, Vault(NEW), Endpoints(allow_private_networks=True)).open(1)


def test_all_tables_are_known_without_being_asked_for() -> None:
    names = {table.name for table in catalog.tables()}
    assert {"connection", "webhook", "user_account", "audit_entry"} <= names
    assert all(isinstance(column.type, Sealed) for column in sealed.columns())
