"""How bookings end before their time: status, timeline, letters, the operator's event, and the seats that come free."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from booking import line
from booking.catalogue import Offering
from booking.complete import refresh_event, row_of, tell
from booking.invitation import About
from booking.rules import said
from booking.states import Happening, after
from booking.tables import Booking, Offer
from booking.terms import Terms
from ledger import claims, timeline
from ledger.claims import Freed
from ledger.db import Tx

LONGEST_REASON = 1000


def end(
    tx: Tx, terms: Terms, wanted: Offering, rows: Sequence[Any], happening: Happening, *, about: About, now: datetime,
    cause: str, reason: str = "", tell_operator: bool,
) -> list[Freed]:  # fmt: skip
    """End these bookings of one locked operator. Returns what came free, one for a slot: the caller gives it on, but only
    when all are ended, or somebody would be promoted into a slot that is being cancelled. Raises `NotPossible`."""
    freed: dict[int, Freed] = {}
    reason = said(reason, LONGEST_REASON)
    for row in rows:
        status = after(row.status, happening)
        tx.execute(
            sa.update(Booking)
            .where(Booking.id == row.id)
            .values(
                status=status, revision=row.revision + 1, updated_at=now, reason=reason, waits_for="", expires_at=None
            )
        )
        # Who was offered this very place is first in line for what becomes free now.
        line.withdraw_offers(tx, Offer.booking_id == row.id, now=now)
        gone = row_of(tx, row.id)
        timeline.note(
            tx, row.id, row.operator_id, str(status), now=now, cause=cause, revision=gone.revision, reason=reason
        )
        tell(tx, gone, about, "client", now=now, cause=cause)
        if tell_operator:
            tell(tx, gone, about, "operator", now=now, cause=cause)
        seats = claims.release(tx, f"booking:{row.id}", operator_id=row.operator_id)
        if seats is not None:
            before = freed.get(row.slot_id)
            freed[row.slot_id] = seats if before is None else _joined(before, seats)
        kept = claims.release(tx, f"change:{row.id}", operator_id=row.operator_id)
        if kept is not None:  # another time that they had asked for
            before = freed.get(kept.slot_id)
            freed[kept.slot_id] = kept if before is None else _joined(before, kept)
    for slot_id in {row.slot_id for row in rows}:
        refresh_event(tx, terms, wanted, slot_id, now=now, cause=cause)
    return list(freed.values())


def _joined(first: Freed, second: Freed) -> Freed:
    return replace(second, seats=first.seats + second.seats)
