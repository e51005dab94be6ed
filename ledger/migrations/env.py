"""Alembic's entry: runs on the connection that `ledger/migrate.py` hands over."""

from __future__ import annotations

from alembic import context

import ledger.tables  # noqa: F401 - fills the metadata
from ledger.db import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
