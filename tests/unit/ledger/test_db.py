"""One way to write, one way to read, the same on both databases."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa

from ledger import outbox
from ledger.db import RESTED, Database, Tx, UtcDateTime, insert_ignoring, open_database, skip_locked
from ledger.messages import PullCalendar
from ledger.tables import Operator, OutboxMessage, TimelineEntry
from tests.support.databases import migrated


def note(tx: Tx, at: datetime, what: str = "x") -> None:
    tx.execute(sa.insert(TimelineEntry).values(booking_id="b", operator_id=1, at=at, what=what))


def noted(database: Database) -> list[datetime]:
    with database.reading() as tx:
        return list(tx.execute(sa.select(TimelineEntry.at).order_by(TimelineEntry.at)).scalars())


# --- instants -----------------------------------------------------------------------------------------------------


def test_instants_come_back_as_they_went_in_utc_to_the_microsecond(database: Database) -> None:
    berlin = datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"), fold=1)
    given = [
        berlin,
        berlin.replace(fold=0),
        datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=-9, minutes=-30))),
        datetime(2026, 1, 1, 0, 0, 0, 1, tzinfo=UTC),
        datetime(1970, 1, 1, tzinfo=UTC),
        datetime(2199, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
    ]
    with database.transaction() as tx:
        for moment in given:
            note(tx, moment)
    stored = noted(database)
    assert stored == sorted(m.astimezone(UTC) for m in given)  # sorted by the database: text order is time order
    assert all(m.tzinfo is UTC for m in stored)
    assert len(set(stored)) == len(given)


def test_a_time_without_a_zone_is_refused(database: Database) -> None:
    with pytest.raises(sa.exc.StatementError, match="naive"), database.transaction() as tx:
        note(tx, datetime(2026, 1, 1))
    assert noted(database) == []


def test_small_letters_are_those_of_every_alphabet(database: Database) -> None:
    with database.reading() as tx:
        assert tx.execute(sa.select(sa.func.lower("ÁGNES Šœ"), sa.func.lower(sa.null()))).one() == ("ágnes šœ", None)


def test_nothing_is_no_instant(sqlite: Database) -> None:
    kind = UtcDateTime()
    assert kind.process_bind_param(None, sqlite.engine.dialect) is None
    assert kind.process_result_value(None, sqlite.engine.dialect) is None


# --- transactions -------------------------------------------------------------------------------------------------


def test_what_raises_leaves_nothing(database: Database, now: datetime) -> None:
    def failing(tx: Tx) -> None:
        note(tx, now)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), database.transaction() as tx:
        failing(tx)
    assert noted(database) == []
    with database.transaction() as tx:  # and the thread may go on
        note(tx, now)
    assert noted(database) == [now]


def test_one_inside_another_is_refused_and_the_outer_one_lives(database: Database, now: datetime) -> None:
    with database.transaction() as tx:
        note(tx, now)
        with pytest.raises(RuntimeError, match="open already"), database.transaction():
            pass
    assert noted(database) == [now]


def test_each_thread_has_its_own(database: Database, now: datetime) -> None:
    def write(number: int) -> None:
        with database.transaction() as tx:
            note(tx, now + timedelta(seconds=number))

    threads = [threading.Thread(target=write, args=(n,)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(noted(database)) == 12


def test_what_is_written_while_reading_is_taken_back(database: Database, now: datetime) -> None:
    with database.reading() as tx:
        note(tx, now)
        assert tx.execute(sa.select(sa.func.count()).select_from(TimelineEntry)).scalar_one() == 1
    assert noted(database) == []


def test_a_reader_sees_one_moment_whatever_is_committed_meanwhile(database: Database, now: datetime) -> None:
    count = sa.select(sa.func.count()).select_from(TimelineEntry)
    with database.reading() as reader:
        assert reader.execute(count).scalar_one() == 0

        def write() -> None:
            with database.transaction() as tx:
                note(tx, now)

        other = threading.Thread(target=write)
        other.start()
        other.join()
        assert reader.execute(count).scalar_one() == 0
    assert len(noted(database)) == 1


def test_a_lock_remembered_by_one_transaction_is_forgotten_by_the_next(database: Database) -> None:
    with database.transaction() as tx:
        tx.info["locked_operators"] = {1}
        tx.info["wake"] = True
    with database.transaction() as tx:
        assert "locked_operators" not in tx.info
        assert "wake" not in tx.info


# --- waking -------------------------------------------------------------------------------------------------------


def test_the_relay_is_woken_after_the_commit_and_only_for_work(database: Database, now: datetime) -> None:
    seen: list[int] = []

    def listener() -> None:
        with database.reading() as tx:  # sees what is committed, nothing else
            seen.append(tx.execute(sa.select(sa.func.count()).select_from(OutboxMessage)).scalar_one())

    stop = database.on_commit(listener)
    with database.transaction() as tx:
        outbox.append(tx, PullCalendar(1), now=now)
        outbox.append(tx, PullCalendar(2), now=now)
        assert seen == []
    assert seen == [2]
    with database.transaction() as tx:
        note(tx, now)

    def failing(tx: Tx) -> None:
        outbox.append(tx, PullCalendar(3), now=now)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), database.transaction() as tx:
        failing(tx)
    with database.transaction() as tx:  # on the connection whose work was taken back
        note(tx, now)
    assert seen == [2]
    stop()
    with database.transaction() as tx:
        outbox.append(tx, PullCalendar(4), now=now)
    assert seen == [2]


# --- statements ---------------------------------------------------------------------------------------------------


def test_insert_ignoring_tells_whether_it_did(database: Database, now: datetime) -> None:
    anna = {"slug": "anna", "name": "Anna", "email": "a@x", "timezone": "UTC", "language": "en", "active": True,
            "ledger_version": 1, "created_at": now}  # fmt: skip
    with database.transaction() as tx:
        assert insert_ignoring(tx, Operator, anna, unique=["slug"])
        assert not insert_ignoring(tx, Operator, anna | {"name": "Other"}, unique=["slug"])
        assert tx.execute(sa.select(Operator.name)).scalars().all() == ["Anna"]


def test_locked_rows_are_skipped_where_rows_are_locked(database: Database) -> None:
    compiled = str(skip_locked(sa.select(Operator.id)).compile(database.engine))
    assert ("SKIP LOCKED" in compiled) == (database.dialect == "postgresql")


# --- opening ------------------------------------------------------------------------------------------------------


def test_an_sqlite_file_and_what_lies_beside_it_are_their_owners_alone(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path}/ledger.db")
    with database.transaction() as tx:
        tx.execute(sa.text("CREATE TABLE a (b INTEGER)"))
        assert {file.name: oct(file.stat().st_mode & 0o777) for file in tmp_path.iterdir()} == {
            f"ledger.db{ending}": "0o600" for ending in ("", "-wal", "-shm")
        }
    database.dispose()


def test_what_was_deleted_is_not_in_the_file_any_more(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path}/ledger.db")
    with database.transaction() as tx:
        assert tx.execute(sa.text("PRAGMA secure_delete")).scalar() == 1
        tx.execute(sa.text("CREATE TABLE a (b TEXT)"))
        tx.execute(sa.text("INSERT INTO a VALUES ('kata@example.org')"))
    database.dispose()
    assert b"kata@example.org" in (tmp_path / "ledger.db").read_bytes()
    with database.transaction() as tx:
        tx.execute(sa.text("DELETE FROM a"))
    database.dispose()
    assert b"kata@example.org" not in (tmp_path / "ledger.db").read_bytes()


def test_the_folder_of_an_sqlite_file_is_made(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path}/new/folder/ledger.db")
    with database.transaction() as tx:
        facts = {p: tx.exec_driver_sql(f"PRAGMA {p}").scalar() for p in ("journal_mode", "synchronous", "foreign_keys")}
    database.dispose()
    assert facts == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite+pysqlite:///x.db"])
def test_a_ledger_in_memory_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="needs a file"):
        open_database(url)


def test_both_spellings_of_postgresql_are_the_same() -> None:
    for url in ("postgresql://u:p%40@h/db", "postgresql+psycopg://u:p%40@h/db"):
        database = open_database(url)
        assert (database.dialect, database.engine.driver, database.engine.url.password) == (
            "postgresql",
            "psycopg",
            "p@",
        )
        database.dispose()


# --- connections that died ----------------------------------------------------------------------------------------


def test_a_connection_that_died_while_it_rested_is_replaced_and_a_busy_one_is_not_asked(tmp_path: Path) -> None:
    with migrated("postgresql", tmp_path) as first:
        database = open_database(first.engine.url.render_as_string(hide_password=False))
        pings: list[int] = []
        ping = database.engine.dialect.do_ping
        database.engine.dialect.do_ping = lambda dbapi: pings.append(1) or ping(dbapi)  # type: ignore[method-assign,func-returns-value]
        for _ in range(3):
            with database.transaction() as tx:
                tx.exec_driver_sql("SELECT 1")
        assert pings == []
        with first.transaction() as tx:
            tx.exec_driver_sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        time.sleep(RESTED * 1.2)
        with database.transaction() as tx:
            assert tx.exec_driver_sql("SELECT 1").scalar() == 1
        assert pings
        database.dispose()
