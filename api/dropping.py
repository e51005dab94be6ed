"""What is left of a held message that a human drops: the answer is no, so the books stand, and what waited for it goes on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from booking import judgement, teams
from ledger import messages
from ledger.db import Tx
from ledger.messages import PromoteWaitlist, RemoteCancellation, RemoteMove, TimeFreed
from sync import verdicts


def lock(tx: Tx, rows: Iterable[Mapping[str, Any]]) -> None:
    """Lock whose time it is about, all of them at once: for before the first is dropped (docs/locking.md)."""
    teams.lock(tx, {row["operator_id"] for row in rows if row["operator_id"] is not None})


def answer_no(tx: Tx, row: Mapping[str, Any], *, by: str, now: datetime) -> None:
    """row: of `pauses.held`, dropped. A kept seat and freed time are open to everybody; an event that was deleted is put
    into the calendar again, one that was dragged goes back: nothing tells another time than the booking does (P13)."""
    try:
        message = messages.from_body(row["kind"], row["body"])
    except (KeyError, TypeError):  # of another version
        return
    cause = f"dropped:{by}"
    match message:
        case PromoteWaitlist():
            judgement.open_kept_seat(tx, message.operator_id, message.holder)
            judgement.close_review(tx, message.holder, now=now, by=by)
        case TimeFreed():
            judgement.open_freed_time(tx, message.operator_id, now=now, cause=cause)
        case RemoteCancellation():
            verdicts.undo_deletion(tx, message, now=now, cause=cause)
        case RemoteMove():
            verdicts.undo_move(tx, message, now=now, cause=cause)
