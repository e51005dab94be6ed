"""Brings a database to the newest tables, or back. Safe to run twice and by two processes at once."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from ledger.db import Database, Tx
from ledger.tables import Deployment

_ONE_AT_A_TIME = 0x510_7_1ED6E5  # advisory lock key


def migrate(database: Database, *, now: datetime, to: str = "head") -> None:
    """Upgrade to `to`. Creates the deployment's identity on the first run."""
    with _alone(database) as (tx, config):
        command.upgrade(config, to)
        if to == "head" and tx.execute(sa.select(Deployment.id)).first() is None:
            tx.execute(sa.insert(Deployment).values(id=secrets.token_hex(8), created_at=now))


def downgrade(database: Database, *, to: str = "base") -> None:
    """Go back; data of the newer tables is lost."""
    with _alone(database) as (_, config):
        command.downgrade(config, to)


def revision_of(tx: Tx) -> str:
    """Which tables this database has, ``""`` for none."""
    return MigrationContext.configure(tx).get_current_revision() or ""


def is_current(database: Database) -> bool:
    """Has this database the tables that this version needs?"""
    with database.reading() as tx:
        here = revision_of(tx)
    return here == ScriptDirectory.from_config(_config()).get_current_head()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    return config


@contextmanager
def _alone(database: Database) -> Iterator[tuple[Tx, Config]]:
    config = _config()
    with database.transaction() as tx:
        if database.dialect == "postgresql":
            tx.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ONE_AT_A_TIME})
        config.attributes["connection"] = tx
        yield tx, config
