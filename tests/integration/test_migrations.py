"""The migrations make exactly the tables that the code speaks of, on both databases, and take them away again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

import api.tables
import booking.tables
import ledger.audit
import ledger.identity.tables
import ledger.places
import ledger.tables
import ledger.webhooks
from booking.tables import LineCount, WaitlistEntry, WishKey, WishShape
from booking.wishes import keys_of
from ledger.db import Base, Database, Json, UtcDateTime, open_database
from ledger.migrate import downgrade, is_current, migrate
from ledger.tables import Operator, Slot
from tests.support.books import operator
from tests.support.databases import postgres_url

ROOT = Path(__file__).parents[2]
# Each fills the metadata.
KNOWN = (
    api.tables, booking.tables, ledger.audit, ledger.identity.tables, ledger.places, ledger.tables, ledger.webhooks,
)  # fmt: skip


def revisions() -> list[str]:
    """From the first to the newest."""
    config = Config()
    config.set_main_option("script_location", str(ROOT / "ledger" / "migrations"))
    config.set_main_option("path_separator", "os")
    return [script.revision for script in reversed(list(ScriptDirectory.from_config(config).walk_revisions()))]


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    if request.param == "sqlite":
        database = open_database(f"sqlite:///{tmp_path}/ledger.db")
        yield database
        database.dispose()
        return
    with postgres_url() as url:
        database = open_database(url)
        yield database
        database.dispose()


def shape(database: Database) -> dict[str, Any]:
    """Tables, columns, indexes, constraints and triggers as the database tells them."""
    with database.reading() as tx:
        seen = sa.inspect(tx)
        tables = {
            name: (
                sorted((c["name"], str(c["type"]), c["nullable"]) for c in seen.get_columns(name)),
                sorted(str(i["name"]) for i in seen.get_indexes(name)),
                sorted(str(c["name"]) for c in seen.get_check_constraints(name)),
                sorted(str(c["name"]) for c in seen.get_unique_constraints(name)),
                sorted(str(f["name"]) for f in seen.get_foreign_keys(name)),
            )
            for name in seen.get_table_names()
        }
        more = (
            "SELECT name FROM sqlite_master WHERE type = 'trigger' ORDER BY name"
            if database.dialect == "sqlite"
            else "SELECT conname FROM pg_constraint WHERE contype = 'x' ORDER BY conname"
        )
        return {"tables": tables, "more": list(tx.execute(sa.text(more)).scalars())}


def differences(database: Database) -> list[Any]:
    def compared(_object: Any, name: str | None, kind: str, _reflected: bool, _to: Any) -> bool:
        # SQLite can't tell an index with an expression from one without.
        return not (kind == "index" and name == "ix_waitlist_line")

    with database.reading() as tx:
        context = MigrationContext.configure(tx, opts={"compare_type": True, "include_object": compared})
        return list(compare_metadata(context, Base.metadata))


def test_the_tables_are_those_the_code_speaks_of(empty: Database, now: datetime) -> None:
    migrate(empty, now=now)
    assert differences(empty) == []
    tables = shape(empty)["tables"]
    assert set(tables) == {*Base.metadata.tables, "alembic_version"}
    assert "ix_waitlist_line" in tables["waitlist_entry"][1] or empty.dialect == "sqlite"


def test_up_down_up_gives_the_same(empty: Database, now: datetime) -> None:
    migrate(empty, now=now)
    first = shape(empty)
    downgrade(empty)
    assert set(shape(empty)["tables"]) <= {"alembic_version"}
    assert shape(empty)["more"] == []
    migrate(empty, now=now)
    assert shape(empty) == first


def test_each_step_goes_down_and_up_with_rows_in_the_tables(empty: Database, now: datetime) -> None:
    migrate(empty, now=now)
    with empty.transaction() as tx:
        operator_id = operator(tx, now)
    whole = shape(empty)
    steps = revisions()
    for revision in reversed(steps[:-1]):
        downgrade(empty, to=revision)
        assert not is_current(empty)
        migrate(empty, now=now)
        assert shape(empty) == whole
        with empty.reading() as tx:
            assert tx.execute(sa.select(Operator.id)).scalar_one() == operator_id


def test_the_database_itself_refuses_overlap(empty: Database, now: datetime) -> None:
    migrate(empty, now=now)
    with empty.transaction() as tx:
        operator_id = operator(tx, now)
    hour = timedelta(hours=1)
    slot = {
        "operator_id": operator_id, "service_id": 1, "starts_at": now, "ends_at": now + hour, "block_start": now,
        "block_end": now + hour, "capacity": 1, "taken": 1, "created_at": now,
    }  # fmt: skip
    later = {
        k: v + hour / 2 if k in ("starts_at", "ends_at", "block_start", "block_end") else v for k, v in slot.items()
    }
    next_one = {
        k: v + hour if k in ("starts_at", "ends_at", "block_start", "block_end") else v for k, v in slot.items()
    }
    with empty.transaction() as tx:
        tx.execute(sa.insert(Slot).values(slot))
        tx.execute(sa.insert(Slot).values(next_one))
        tx.execute(sa.insert(Slot).values({**later, "taken": 0}))
    for statement in (
        sa.insert(Slot).values(later),
        sa.update(Slot).where(Slot.taken == 0).values(taken=1),
        sa.update(Slot).where(Slot.starts_at == next_one["starts_at"]).values(block_start=now),
    ):
        with pytest.raises(sa.exc.IntegrityError, match="slot_overlap"), empty.transaction() as tx:
            tx.execute(statement)


def test_who_waits_already_is_filed_as_who_joins_now(empty: Database, now: datetime) -> None:
    migrate(empty, now=now, to="2026_11_26_services")
    entry = sa.table(
        "waitlist_entry",
        *(sa.column(name) for name in ENTRY),
        *(sa.column(name, UtcDateTime()) for name in ("wish_start", "created_at", "updated_at")),
        *(sa.column(name, Json) for name in ("answers", "consents")),
    )
    common = {"token": "", "operator_id": 1, "service_id": 1, "accept": "auto", "seats": 1, "priority": 0, "weekdays": 127,
              "between_start": 0, "between_end": 1440, "client_name": "x", "client_email": "x@y", "client_timezone": "UTC",
              "language": "en", "answers": {}, "created_at": now, "updated_at": now, "status": "waiting", "wish_start": None,
              "duration_minutes": 0, "consents": {}, "first_date": "2026-11-23", "last_date": "2027-02-02"}  # fmt: skip
    rows = [
        {**common, "token": "a"},
        {**common, "token": "b", "wish_start": now, "priority": 3, "last_date": "2026-11-23"},
        {**common, "token": "c", "status": "removed"},
        {**common, "token": "d", "weekdays": 3, "between_start": 570, "between_end": 601, "seats": 2},
    ]
    with empty.transaction() as tx:
        operator_id = operator(tx, now)
        tx.execute(sa.text("INSERT INTO service (operator_id, slug, spec, active, created_at) VALUES (:o, 's', '{}', true, :n)"),
                   {"o": operator_id, "n": now.isoformat()})  # fmt: skip
        for row in rows:
            tx.execute(sa.insert(entry).values(row))
    migrate(empty, now=now)
    with empty.transaction() as tx:
        filed = set(tx.execute(sa.select(WishKey.entry_id, WishKey.key, WishKey.rank)).all())
        first, last = date(2026, 11, 23), date(2027, 2, 2)
        assert {key for entry_id, key, _ in filed if entry_id == 1} == set(keys_of(None, first, last))
        assert [f for f in filed if f[0] == 2] == [(2, keys_of(now, first, first)[0], -3)]
        assert {entry_id for entry_id, *_ in filed} == {1, 2, 4}
        shapes = tx.execute(
            sa.select(WishShape.weekdays, WishShape.first_hour, WishShape.last_hour, WishShape.seats).order_by(
                WishShape.id
            )
        ).all()
        assert shapes == [(127, 0, 24, 1), (0, 0, 0, 1), (3, 9, 11, 2)]
        counted = sa.select(LineCount.priority, LineCount.waiting).where(LineCount.level == 3)
        assert sorted(tx.execute(counted).all()) == [(0, 2), (3, 1)]
        tx.execute(sa.update(WaitlistEntry).where(WaitlistEntry.id == 1).values(status="removed"))
        assert sorted(tx.execute(counted).all()) == [(0, 1), (3, 1)]


ENTRY = (
    "token", "operator_id", "service_id", "status", "accept", "seats", "priority", "first_date", "last_date", "weekdays",
    "between_start", "between_end", "client_name", "client_email", "client_timezone", "language", "duration_minutes",
)  # fmt: skip
