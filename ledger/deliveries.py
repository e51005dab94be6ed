"""Mail on its way: the exact bytes from before the first attempt until somebody took them over, so that a repeat is the
same message (P3)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from ledger.db import Tx, insert_ignoring
from ledger.tables import Delivery


@dataclass(frozen=True, slots=True)
class Prepared:
    """A stored mail. message: None as soon as its bytes are no longer needed."""

    id: int
    message_id: str
    recipient: str
    state: str
    message: bytes | None


def find(tx: Tx, *, booking_id: str, audience: str, kind: str, sequence: int) -> Prepared | None:
    """The mail about this revision of a booking that was prepared for this person, whatever became of it."""
    return _one(
        tx,
        Delivery.booking_id == booking_id,
        Delivery.audience == audience,
        Delivery.kind == kind,
        Delivery.sequence == sequence,
    )


def prepare(
    tx: Tx,
    *,
    message_id: str,
    message: bytes,
    recipient: str,
    booking_id: str,
    operator_id: int,
    audience: str,
    kind: str,
    sequence: int,
    method: str = "",
    uid: str = "",
    now: datetime,
) -> Prepared:
    """Store a mail before it is sent. Idempotent by Message-ID: what is there already counts."""
    insert_ignoring(
        tx,
        Delivery,
        {
            "message_id": message_id,
            "booking_id": booking_id,
            "operator_id": operator_id,
            "audience": audience,
            "kind": kind,
            "recipient": recipient,
            "method": method,
            "uid": uid,
            "sequence": sequence,
            "state": "prepared",
            "detail": "",
            "message": message,
            "created_at": now,
        },
        unique=["message_id"],
    )
    stored = _one(tx, Delivery.message_id == message_id)
    if stored is None:
        raise LookupError("the mail that was just stored is not there")
    return stored


def handed_over(tx: Tx, delivery_id: int, *, reply: str, now: datetime) -> None:
    """The next server has it; the bytes are forgotten. reply: its words."""
    _close(tx, delivery_id, state="handed_over", detail=reply[:1000], handed_over_at=now)


def stuck(tx: Tx, delivery_id: int, *, reply: str) -> bool:
    """It isn't tried any more by itself; the bytes stay for a retry by hand. reply: why, not empty. False if somebody
    else has sent it meanwhile."""
    changed = tx.execute(
        sa.update(Delivery).where(Delivery.id == delivery_id, Delivery.state == "prepared").values(detail=reply[:1000])
    )
    return changed.rowcount == 1


def tried_again(tx: Tx, delivery_id: int) -> None:
    """What was `stuck` is on its way again."""
    tx.execute(
        sa.update(Delivery)
        .where(Delivery.id == delivery_id, Delivery.state == "prepared", Delivery.detail != "")
        .values(detail="")
    )


def refused(tx: Tx, delivery_id: int, *, reply: str) -> None:
    """The address is refused for good; the bytes are forgotten."""
    _close(tx, delivery_id, state="refused", detail=reply[:1000])


def bounced(tx: Tx, delivery_id: int, *, detail: str) -> bool:
    """It came back for good; its bytes are forgotten. detail: the refusing server's words. False if that is known already."""
    changed = tx.execute(
        sa.update(Delivery)
        .where(Delivery.id == delivery_id, Delivery.state.in_(("prepared", "handed_over")))
        .values(state="bounced", message=None, detail=detail[:1000])
    )
    return changed.rowcount == 1


def forget_recipient(tx: Tx, *names: str) -> None:
    """The client whom these mails went to has another address: the old one isn't kept. names: of the booking, and of the
    place in line that it was."""
    theirs = sa.update(Delivery).where(Delivery.booking_id.in_(names), Delivery.audience == "client")
    tx.execute(theirs.values(recipient=""))


def superseded(tx: Tx, delivery_id: int) -> None:
    """It was never handed over, and a newer one says more; the bytes are forgotten. Its state stays for the record."""
    _close(tx, delivery_id, state="superseded")


def _close(tx: Tx, delivery_id: int, **values: object) -> None:
    tx.execute(
        sa.update(Delivery)
        .where(Delivery.id == delivery_id, Delivery.state == "prepared")
        .values(message=None, **values)
    )


def _one(tx: Tx, *where: sa.ColumnElement[bool]) -> Prepared | None:
    row = tx.execute(
        sa.select(Delivery.id, Delivery.message_id, Delivery.recipient, Delivery.state, Delivery.message)
        .where(*where)
        .order_by(Delivery.id.desc())
        .limit(1)
    ).first()
    return Prepared(row.id, row.message_id, row.recipient, row.state, row.message) if row else None
