"""What clients write back: passed on to the operator as a mail, because nobody reads our mailbox.

The words stay in the outbox, where the answer is that they came with, and are forgotten with it (docs/privacy.md).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from booking.letters import About
from ledger import outbox, timeline
from ledger.db import Tx
from ledger.messages import MailFact, SendMail
from ledger.tables import OutboxMessage

MOST = 5
EVERY = timedelta(hours=1)
"""So many mails are passed on in that time, for one booking or place in line; a mailbox that answers by itself ends there."""
HEARD_FOR = timedelta(days=30)
"""After an appointment; a mailbox that is read anew from its beginning may hold mails of years."""
WHAT = "client_wrote"


def pass_on(
    tx: Tx, fact: MailFact, about_id: str, operator_id: int, revision: int, *, scope: outbox.Scope, now: datetime, cause: str
) -> None:  # fmt: skip
    """Ask for the mail to the operator. about_id: the booking or ``entry:ID``; fact: as it stands in the outbox."""
    if timeline.count(tx, about_id, WHAT, since=now - EVERY) >= MOST:
        return
    timeline.note(tx, about_id, operator_id, WHAT, now=now, cause=cause, audience="operator")
    answer = tx.execute(sa.select(OutboxMessage.id).where(OutboxMessage.key == fact.key, ~OutboxMessage.merges))
    asked = SendMail(about_id, revision, f"{About.WORDS}:{answer.scalar_one()}", "operator")
    outbox.append(tx, asked, now=now, scope=scope, cause=cause)


def words(tx: Tx, answer: str) -> str:
    """What was written, by the answer's number in the outbox; ``""`` where it is forgotten."""
    row = OutboxMessage
    body: dict[str, Any] = tx.execute(sa.select(row.body).where(row.id == int(answer or 0))).scalar() or {}
    return str(body.get("text") or body.get("comment") or "")
