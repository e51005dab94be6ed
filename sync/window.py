"""Foreign time is kept only inside the window that a fresh pull would read: what is over goes."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from ledger.db import Tx
from ledger.tables import Busy, Opening
from sync.pull import BEFORE


def forget_past(tx: Tx, now: datetime, *, limit: int = 1000) -> int:
    """Busy and opened time that ended before the window, a batch at a time. Returns how much. Nothing that can be booked
    changes by it, so no operator is locked."""
    done = 0
    for row in (Busy, Opening):
        old = sa.select(row.id).where(row.ends_at < now - BEFORE).order_by(row.ends_at).limit(limit - done)
        done += tx.execute(sa.delete(row).where(row.id.in_(old))).rowcount
        if done >= limit:
            break
    return done
