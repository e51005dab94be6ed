"""Every table of the books, for those who walk over all of them: to forget, to seal anew, to carry away."""

from __future__ import annotations

from importlib import import_module

import sqlalchemy as sa

from ledger.db import Base

_MODULES = ("ledger.tables", "ledger.webhooks", "ledger.audit", "ledger.identity.tables", "ledger.places")


def tables() -> list[sa.Table]:
    """All tables of this room and of the rooms above that were loaded, those that others refer to first."""
    for module in _MODULES:  # here and not above: they build upon those who ask
        import_module(module)
    return list(Base.metadata.sorted_tables)
