"""Where others want to be told of what happens here: endpoints, their secrets, and how they fare.

An endpoint is ``active``, ``paused`` (by hand, or because it failed for long), ``replaying`` (on its way from a place
in the feed to its end, then active) or ``disabled`` (it said 410 Gone). What happens while it is not active is not
queued: its ``position`` in the feed is kept, and `ledger.webhook_feed` goes on from there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from ledger import signatures
from ledger.db import Base, Json, Tx
from ledger.sealed import Sealed
from ledger.tables import Id, Operator, OutboxMessage
from ledger.vault import Vault

OVERLAP = timedelta(hours=24)
"""How long the old secret signs as well after a new one was made, unless another time is asked for."""


class Webhook(Base):
    """One endpoint. operator_id: whose bookings it hears of, None for all. events: which types, none for all.

    secret, old_secret: sealed; the old one signs as well until old_secret_until. position: the last entry of the feed
    that needs no telling, while it isn't active. run: grows with each resumption, so that an event may be queued again.
    failures, failing_since: since the last success. retry_at: when one attempt may be made, while it fails.
    """

    __tablename__ = "webhook"
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    operator_id: Mapped[int | None] = mapped_column(sa.ForeignKey("operator.id", ondelete="CASCADE"), index=True)
    url: Mapped[str] = mapped_column(sa.Text)
    events: Mapped[list[Any]] = mapped_column(Json)
    description: Mapped[str] = mapped_column(sa.Text, default="")
    secret: Mapped[str] = mapped_column(Sealed, default="")
    old_secret: Mapped[str] = mapped_column(Sealed, default="")
    old_secret_until: Mapped[datetime | None]
    state: Mapped[str] = mapped_column(default="active")
    state_detail: Mapped[str] = mapped_column(sa.Text, default="")
    state_since: Mapped[datetime]
    position: Mapped[int] = mapped_column(Id, default=0)
    run: Mapped[int] = mapped_column(default=0)
    failures: Mapped[int] = mapped_column(default=0)
    failing_since: Mapped[datetime | None]
    retry_at: Mapped[datetime | None]
    last_success_at: Mapped[datetime | None]
    created_at: Mapped[datetime]


def add(
    tx: Tx,
    vault: Vault,
    *,
    url: str,
    operator_id: int | None,
    events: Sequence[str],
    description: str,
    now: datetime,
) -> tuple[int, str]:
    """A new endpoint, told of what happens from now on. Returns its id and its secret, which can't be read again."""
    values = {
        "operator_id": operator_id,
        "url": url,
        "events": list(events),
        "description": description,
        "state_since": now,
        "created_at": now,
    }
    webhook_id = int(tx.execute(sa.insert(Webhook).values(**values).returning(Webhook.id)).scalar_one())
    secret = signatures.new_secret()
    _change(tx, webhook_id, {"secret": vault.seal(secret, _context(webhook_id))})
    return webhook_id, secret


def change(tx: Tx, webhook_id: int, changes: Mapping[str, Any]) -> None:
    """Change some of url, events, description. An endpoint elsewhere has not failed yet."""
    anew = {"failures": 0, "failing_since": None, "retry_at": None} if "url" in changes else {}
    _change(tx, webhook_id, {**changes, **anew})


def rotate(tx: Tx, vault: Vault, webhook_id: int, *, now: datetime, overlap: timedelta = OVERLAP) -> str:
    """A new secret, shown this once; the old one signs as well until `overlap` is over."""
    secret = signatures.new_secret()
    before = sa.select(Webhook.secret).where(Webhook.id == webhook_id).scalar_subquery()
    values = {
        "old_secret": before,
        "old_secret_until": now + overlap,
        "secret": vault.seal(secret, _context(webhook_id)),
    }
    _change(tx, webhook_id, values)
    return secret


def keys(vault: Vault, row: Any, *, now: datetime) -> list[str]:
    """The secrets that sign now, the newest first. Raises `VaultError`."""
    sealed = [row.secret]
    if row.old_secret and row.old_secret_until is not None and row.old_secret_until > now:
        sealed.append(row.old_secret)
    return [vault.open(each, _context(row.id)) for each in sealed]


def remove(tx: Tx, webhook_id: int) -> None:
    """Forget it, and what was queued for it with its keys: SQLite gives an id again, and the next endpoint of this one
    must neither hear what was for it nor lack what it has heard. An attempt that runs ends as it ends."""
    message = OutboxMessage
    theirs = sa.or_(message.line.startswith(f"webhook:{webhook_id}:"), message.line == f"catch-up:{webhook_id}")
    tx.execute(sa.delete(message).where(theirs, message.state != "running"))
    tx.execute(sa.delete(Webhook).where(Webhook.id == webhook_id))


def row_of(tx: Tx, webhook_id: int, *, lock: bool = False) -> Any:
    """The stored row, secrets sealed; None if there is none. lock: nobody else changes it or queues for it meanwhile."""
    query = sa.select(Webhook.__table__).where(Webhook.id == webhook_id)
    return tx.execute(query.with_for_update() if lock else query).one_or_none()


def listing(
    tx: Tx, *, operator_id: int | None = None, only: int | None = None, after: int = 0, limit: int | None = None
) -> list[dict[str, Any]]:
    """Endpoints without their secrets, in the order in which they were made."""
    row = Webhook
    query = (
        sa.select(
            row.id, Operator.slug.label("operator"), row.url, row.events, row.description, row.state, row.state_detail,
            row.state_since, row.failures, row.failing_since, row.last_success_at, row.old_secret_until, row.created_at,
        )
        .outerjoin(Operator, Operator.id == row.operator_id)
        .where(row.id > after)
        .order_by(row.id)
        .limit(limit)
    )  # fmt: skip
    if operator_id is not None:
        query = query.where(row.operator_id == operator_id)
    if only is not None:
        query = query.where(row.id == only)
    return [dict(found._mapping) for found in tx.execute(query)]


def _change(tx: Tx, webhook_id: int, values: Mapping[str, Any]) -> None:
    if values:
        tx.execute(sa.update(Webhook).where(Webhook.id == webhook_id).values(**values))


def _context(webhook_id: int) -> str:
    return f"webhook:{webhook_id}"
