"""A copy of everything: what was saved from one database is the same in another, and nothing is sent again."""

from __future__ import annotations

import json
import os
import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from api import keys
from booking import queries
from ledger import backup, catalog, clock, deliveries, outbox, reviews
from ledger.backup import BackupError
from ledger.db import Database, open_database
from ledger.entries import key_of
from ledger.identity import links, sessions, users
from ledger.messages import SendMail
from ledger.migrate import is_current, migrate
from ledger.tables import Connection, Deployment, OutboxMessage, SlotEvent, TimelineEntry
from ledger.vault import Vault
from tests.support import books
from tests.support.databases import postgres_url
from tests.support.desk import TERMS, Desk


@pytest.fixture
def desk(database: Database) -> Desk:
    """A practice in the midst of its life: bookings, a line, sent and unsent mail, secrets."""
    desk = Desk(database).open(talk={}, group={"capacity": 4})
    booked = desk.book(desk.at(9), idempotency_key="k")
    desk.cancel(desk.book(desk.at(10), who="zoë"))
    desk.join("imre", {"start": desk.at(9)})
    desk.hold(desk.at(11))
    with database.transaction() as tx:
        made = books.connection(tx, desk.operator_id, desk.now)
        sealed = Vault("a key that is only for tests").seal("secret", f"connection:{made}")
        tx.execute(sa.update(Connection).where(Connection.id == made).values(secret=sealed))
        calendar = books.calendar(tx, desk.operator_id, made, quirks={"notes": ["ä"]})
        books.busy(tx, desk.operator_id, calendar, desk.at(13), desk.at(14))
        deliveries.prepare(
            tx, message_id="<1@x>", message=b"\x00\xff bytes", recipient="a@b.example", booking_id=booked,
            operator_id=desk.operator_id, audience="client", kind="booked", sequence=0, now=desk.now,
        )  # fmt: skip
        reviews.ask(tx, "move", "k", now=desk.now, operator_id=desk.operator_id, detail={"why": "past", "n": [1, None]})
        keys.create_token(tx, name="ops", scope="admin", now=desk.now)
        first = tx.execute(sa.select(sa.func.min(OutboxMessage.id)).where(OutboxMessage.kind == "SendMail")).scalar()
        done = {"state": "done", "settled_at": desk.now}
        tx.execute(sa.update(OutboxMessage).where(OutboxMessage.id == first).values(**done))
    return desk


@contextmanager
def another(kind: str, folder: Path) -> Iterator[Database]:
    """A database with nothing in it, not even tables."""
    if kind == "sqlite":
        opened = open_database(f"sqlite:///{folder}/restored.db")
        yield opened
        opened.dispose()
        return
    with postgres_url() as url:
        opened = open_database(url)
        yield opened
        opened.dispose()


def content(database: Database) -> dict[str, list[dict[str, Any]]]:
    """Every row of every table as the product reads it."""
    with database.reading() as tx:
        return {
            table.name: [
                {k: v for k, v in row._mapping.items() if k != "generation"}
                for row in tx.execute(sa.select(table).order_by(*table.primary_key))
            ]
            for table in catalog.tables()
        }


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_what_is_restored_is_what_was_saved(desk: Desk, kind: str, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    file = tmp_path / "all.zip"
    rows = backup.save(desk.database, file, now=desk.now, progress=lambda *at: told.append(at))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with another(kind, tmp_path) as empty:
        assert backup.restore(empty, file, now=desk.now, progress=lambda *at: told.append(at)) == rows
        assert content(empty) == content(desk.database)
        assert is_current(empty)
        assert told[-1] == (rows, rows)
        with empty.reading() as tx:
            states = dict(tx.execute(sa.select(OutboxMessage.id, OutboxMessage.state)).all())
        with empty.transaction() as tx:
            due = {i for i, _ in outbox.lease(tx, now=desk.now)}
        assert {i for i, state in states.items() if state == "done"}.isdisjoint(due)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_life_goes_on_there(desk: Desk, kind: str, tmp_path: Path) -> None:
    backup.save(desk.database, tmp_path / "all.zip", now=desk.now)
    with another(kind, tmp_path) as empty:
        backup.restore(empty, tmp_path / "all.zip", now=desk.now)
        there = Desk(empty, now=desk.now, operator_id=desk.operator_id)
        with empty.reading() as tx:
            before = tx.execute(sa.select(sa.func.max(TimelineEntry.id))).scalar_one()
        booking_id = there.book(there.at(8, day=1), who="eva")
        assert there.view(booking_id)["status"] == "confirmed"
        with empty.reading() as tx:
            assert tx.execute(sa.select(sa.func.max(TimelineEntry.id))).scalar_one() > before
            assert queries.booking_view(tx, booking_id, TERMS)["seats"] == 1


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_nobody_is_signed_in_after_it(desk: Desk, kind: str, tmp_path: Path) -> None:
    with desk.database.transaction() as tx:
        user = users.add(tx, email="eva@practice.example", role="admin", now=desk.now)
        cookie = sessions.begin(tx, user, method="password", agent="", now=desk.now)
        begun = links.begin(tx, Vault("a key that is only for tests"), "google", "{}", now=desk.now)
    backup.save(desk.database, tmp_path / "all.zip", now=desk.now)
    with another(kind, tmp_path) as empty:
        backup.restore(empty, tmp_path / "all.zip", now=desk.now)
        with empty.transaction() as tx:
            assert users.by_email(tx, "eva@practice.example").id == user
            assert sessions.find(tx, cookie, now=desk.now) is None
            assert links.take(tx, Vault("a key that is only for tests"), "google", begun, now=desk.now) is None


def test_a_slot_id_that_is_given_again_makes_another_key(desk: Desk, tmp_path: Path) -> None:
    backup.save(desk.database, tmp_path / "all.zip", now=desk.now)
    later = desk.seen(desk.book(desk.at(8, day=2), who="eva")).slot_id
    with another("sqlite", tmp_path) as empty:
        backup.restore(empty, tmp_path / "all.zip", now=desk.now)
        there = Desk(empty, now=desk.now, operator_id=desk.operator_id)
        again = there.seen(there.book(there.at(8, day=1), who="noa")).slot_id
        with desk.database.reading() as tx:
            lost = tx.execute(sa.select(SlotEvent.key).where(SlotEvent.slot_id == later)).scalar_one()
        with empty.reading() as tx:
            who = tx.execute(sa.select(Deployment.id)).scalar_one()
            made = tx.execute(sa.select(SlotEvent.key).where(SlotEvent.slot_id == again)).scalar_one()
        assert again == later or desk.database.dialect == "postgresql"  # whatever the ids are,
        assert (lost, made) == (key_of(who, 0, later), key_of(who, 1, again))  # the keys differ
        assert lost != made


def test_only_an_empty_database_is_filled(desk: Desk, tmp_path: Path) -> None:
    backup.save(desk.database, tmp_path / "all.zip", now=desk.now)
    before = content(desk.database)
    with pytest.raises(BackupError, match="not empty"):
        backup.restore(desk.database, tmp_path / "all.zip", now=desk.now)
    assert content(desk.database) == before


def test_a_migrated_database_without_rows_is_empty(desk: Desk, tmp_path: Path) -> None:
    backup.save(desk.database, tmp_path / "all.zip", now=desk.now)
    with another("sqlite", tmp_path) as fresh:
        migrate(fresh, now=clock.now())
        backup.restore(fresh, tmp_path / "all.zip", now=desk.now)
        assert content(fresh) == content(desk.database)


def test_nothing_is_overwritten(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "all.zip").write_text("precious")
    with pytest.raises(BackupError, match="there already"):
        backup.save(desk.database, tmp_path / "all.zip", now=desk.now)
    assert [p.name for p in tmp_path.glob("all*")] == ["all.zip"]


def test_what_stands_beside_it_is_left_alone(sqlite: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    precious, beside = tmp_path / "precious", tmp_path / "all.zip.part"
    precious.write_text("precious")
    beside.symlink_to(precious)
    kept: list[bool] = []
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (kept.append(stat.S_ISDIR(os.fstat(fd).st_mode)), fsync(fd)))
    backup.save(sqlite, tmp_path / "all.zip", now=clock.now())
    assert precious.read_text() == "precious"
    assert beside.is_symlink()
    assert sorted(p.name for p in tmp_path.glob("all*")) == ["all.zip", "all.zip.part"]
    assert kept == [False, True]  # what is in the file, then its name


def test_a_failed_save_leaves_no_file(desk: Desk, tmp_path: Path) -> None:
    def stop(_done: int, _total: int) -> None:
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        backup.save(desk.database, tmp_path / "all.zip", now=desk.now, progress=stop)
    assert list(tmp_path.glob("all*")) == []


def changed(source: Path, target: Path, name: str, change: Any) -> Path:
    """A copy of a backup with one member changed."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for each in old.namelist():
            new.writestr(each, change(old.read(each)) if each == name else old.read(each))
    return target


def as_of(revision: str) -> Any:
    return lambda raw: json.dumps({**json.loads(raw), "revision": revision})


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("manifest.json", as_of("2031_01_01_future"), "newer version"),
        ("manifest.json", lambda raw: raw.replace(b"slotledger-backup/1", b"slotledger-backup/9"), "backup/9"),
        ("manifest.json", lambda raw: raw[:-10], "damaged"),
        ("booking.jsonl", lambda raw: raw.split(b"\n")[0] + b"\n", "booking has 1 of 2 rows"),
        ("booking.jsonl", lambda _raw: b"{", "damaged"),
    ],
)
def test_what_can_not_be_restored_changes_nothing(
    desk: Desk, name: str, change: Any, words: str, tmp_path: Path
) -> None:
    backup.save(desk.database, tmp_path / "all.zip", now=desk.now)
    bad = changed(tmp_path / "all.zip", tmp_path / "bad.zip", name, change)
    with another("sqlite", tmp_path) as empty:
        with pytest.raises(BackupError, match=words):
            backup.restore(empty, bad, now=desk.now)
        with empty.reading() as tx:
            left = [t for t in sa.inspect(tx).get_table_names() if t not in ("alembic_version", "deployment")]
            assert all(tx.execute(sa.select(sa.func.count()).select_from(sa.table(t))).scalar() == 0 for t in left)
        backup.restore(empty, tmp_path / "all.zip", now=desk.now)  # and the good one still fits


def test_a_file_that_is_no_backup_says_so(tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(os.urandom(100))
    with another("sqlite", tmp_path) as empty, pytest.raises(BackupError, match="damaged"):
        backup.restore(empty, tmp_path / "x.zip", now=clock.now())


def test_an_older_backup_is_brought_up_to_date(desk: Desk, tmp_path: Path) -> None:
    backup.save(desk.database, tmp_path / "all.zip", now=desk.now)
    was = open_database(f"sqlite:///{tmp_path}/older.db")
    migrate(was, now=desk.now, to="2026_11_26_webhooks")
    with was.reading() as tx:
        seen = sa.inspect(tx)
        had = {name: {c["name"] for c in seen.get_columns(name)} for name in seen.get_table_names()}
    was.dispose()

    def older(raw: bytes) -> str:
        manifest = json.loads(raw)
        tables = [
            {**told, "columns": {name: kind for name, kind in told["columns"].items() if name in had[told["name"]]}}
            for told in manifest["tables"]
            if told["name"] in had
        ]
        return json.dumps({**manifest, "revision": "2026_11_26_webhooks", "tables": tables})

    step = changed(tmp_path / "all.zip", tmp_path / "step.zip", "manifest.json", older)
    with another("sqlite", tmp_path) as empty:
        backup.restore(empty, step, now=desk.now)
        assert is_current(empty)
        told = [
            [(b["id"], b["client_name"], b["starts_at"], b["status"]) for b in content(d)["booking"]]
            for d in (empty, desk.database)
        ]
        assert told[0] == told[1]


def test_mail_that_waits_in_the_copy_keeps_its_identity(desk: Desk, tmp_path: Path) -> None:
    backup.save(desk.database, tmp_path / "all.zip", now=desk.now)
    with another("sqlite", tmp_path) as empty:
        backup.restore(empty, tmp_path / "all.zip", now=desk.now)
        there = Desk(empty, now=desk.now)
        assert there.messages(SendMail) == desk.messages(SendMail)
        with empty.reading() as one, desk.database.reading() as two:
            assert one.execute(sa.select(Deployment.id)).scalar() == two.execute(sa.select(Deployment.id)).scalar()
