"""What couldn't be sent goes out again when a human says so, as the very same bytes."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from ledger import deliveries, outbox
from ledger.db import Tx
from ledger.messages import SendMail, from_body
from ledger.tables import OutboxMessage


def send_again(tx: Tx, operator_id: int, *, now: datetime) -> int:
    """Put back every mail of an operator that the mail server didn't take; of none where the id is 0. What was parked by
    hand before it was tried stays where it is. Returns how many."""
    row = OutboxMessage
    theirs = row.operator_id == operator_id if operator_id else row.operator_id.is_(None)
    parked = tx.execute(
        sa.select(row.id, row.kind, row.body)
        .where(row.kind == SendMail.__name__, row.state == "parked", theirs)
        .order_by(row.id)
    )
    again = 0
    for found in parked.all():
        asked = from_body(found.kind, found.body)
        assert isinstance(asked, SendMail)
        mail = deliveries.find(
            tx, booking_id=asked.booking_id, audience=asked.audience, kind=asked.about, sequence=asked.revision
        )
        if mail is not None and mail.state == "prepared":
            again += outbox.retry(tx, found.id, now=now)
    return again
