"""Who changed what, from where, and when: one row for each change by a person or a machine of theirs.

`record` is called in the transaction that makes the change, so that neither is there without the other. What clients
do is told by the bookings' own timelines.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from ledger.db import Base, Json, Tx
from ledger.tables import Id, Operator

KEEP = timedelta(days=730)
"""How long it is remembered who changed what."""
HIDDEN = frozenset({"password", "secret", "old_secret", "token", "hash", "totp", "recovery_codes", "client", "client_name",
                    "client_email", "answers", "reason"})  # fmt: skip
"""Fields that are never kept here, whoever hands them over: secrets, and what is about clients."""


class AuditEntry(Base):
    """One change. kind: ``token``, ``user`` or ``cli``; actor_id: of that token or user, actor: its name. address: of the
    machine that asked, ``""`` where it was this one. target: ``operator:anna``, ``booking:ID``, …; operator_id: whose.
    before, after: the fields that changed, None where there was nothing."""

    __tablename__ = "audit_entry"
    __table_args__ = (sa.Index("ix_audit_entry_target", "target", "id"),)
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    at: Mapped[datetime] = mapped_column(index=True)
    kind: Mapped[str]
    actor_id: Mapped[str] = mapped_column(default="")
    actor: Mapped[str]
    address: Mapped[str] = mapped_column(default="")
    action: Mapped[str]
    target: Mapped[str]
    operator_id: Mapped[int | None] = mapped_column(Id)
    before: Mapped[dict[str, Any] | None] = mapped_column(Json)
    after: Mapped[dict[str, Any] | None] = mapped_column(Json)


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks. kind: ``token`` (a machine), ``user`` (a signed-in person) or ``cli``. id: of the token or user, as text."""

    kind: str
    name: str
    id: str = ""
    address: str = ""


def record(
    tx: Tx,
    actor: Actor,
    action: str,
    target: str,
    *,
    now: datetime,
    operator_id: int | None = None,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    """Write down one change, in its own transaction. action: past tense with its noun, ``operator.changed``.

    before, after: JSON values or instants; of an edit only what differs is kept, and nothing that is `HIDDEN`.
    """
    was, became = _shown(before), _shown(after)
    if was is not None and became is not None:
        same = {name for name in was.keys() & became.keys() if was[name] == became[name]}
        was = {k: v for k, v in was.items() if k not in same}
        became = {k: v for k, v in became.items() if k not in same}
    tx.execute(
        sa.insert(AuditEntry).values(
            at=now,
            kind=actor.kind,
            actor_id=actor.id,
            actor=actor.name[:200],
            address=actor.address[:100],
            action=action,
            target=target[:300],
            operator_id=operator_id,
            before=sa.null() if was is None else was,
            after=sa.null() if became is None else became,
        )
    )


def listing(
    tx: Tx,
    *,
    before: int | None = None,
    limit: int = 50,
    kind: str = "",
    actor: str = "",
    action: str = "",
    target: str = "",
    operator: str = "",
    first: datetime | None = None,
    last: datetime | None = None,
) -> list[dict[str, Any]]:
    """Newest first, from before an id on. Each filter that is given must fit; first, last: half-open."""
    row = AuditEntry
    query = (
        sa.select(
            row.id, row.at, row.kind, row.actor_id, row.actor, row.address, row.action, row.target,
            Operator.slug.label("operator"), row.before, row.after,
        )
        .outerjoin(Operator, Operator.id == row.operator_id)
        .order_by(row.id.desc())
        .limit(limit)
    )  # fmt: skip
    wanted = {row.kind: kind, row.actor: actor, row.action: action, row.target: target, Operator.slug: operator}
    query = query.where(*(column == value for column, value in wanted.items() if value))
    if before is not None:
        query = query.where(row.id < before)
    if first is not None:
        query = query.where(row.at >= first)
    if last is not None:
        query = query.where(row.at < last)
    return [dict(found._mapping) for found in tx.execute(query)]


def forget(tx: Tx, now: datetime) -> int:
    """Delete what is older than `KEEP`. Returns how many rows that were."""
    return tx.execute(sa.delete(AuditEntry).where(AuditEntry.at < now - KEEP)).rowcount


def _shown(fields: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if fields is None else {name: _json(value) for name, value in fields.items() if name not in HIDDEN}


def _json(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(k): _json(v) for k, v in value.items() if k not in HIDDEN}
    if isinstance(value, list | tuple):
        return [_json(each) for each in value]
    return value
