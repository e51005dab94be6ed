"""What the admin routes share: pages of lists, entity tags, and changes that are written down."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from fastapi import Depends, Header, Path, Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, TypeAdapter

from api.deps import Here, Site
from api.keys import Caller
from api.problems import PreconditionFailed, documented
from api.schemas import Instant
from api.security import Who
from api.wire import wire
from booking.errors import FieldError, Invalid
from ledger import audit
from ledger.db import Tx, one_at_a_time

CAUSE = "admin"
LARGEST_PAGE = 200
READING = documented(401, 403, 422)
"""Of a listing."""
FINDING = documented(401, 403, 404, 422)
"""Of a look at one thing."""
REFUSALS = documented(400, 401, 403, 404, 409, 422)
"""Of a change."""
EDITS = documented(400, 401, 403, 404, 409, 412, 422)
"""Of a change of something that has an entity tag."""
TAGGED: dict[str, Any] = {"ETag": {"description": "for `If-Match`", "schema": {"type": "string"}}}

Cursor = Annotated[str, Query(pattern=r"^\d{0,18}$", description="from the page before; left out for the first")]
Limit = Annotated[int, Query(ge=1, le=LARGEST_PAGE, description="of items on a page")]
RowId = Annotated[int, Path(ge=1, le=2**62)]
Bound = Annotated[
    str,
    Query(
        max_length=40,
        description="an instant with its zone; or a day, which is in: the operator's if one is named, else UTC's",
    ),
]
IfMatch = Annotated[
    str,
    Header(
        max_length=1000,
        description="the `ETag` that was read; 412 where it has changed since. Left out, the change is made in any case",
    ),
]


_INSTANT: TypeAdapter[datetime] = TypeAdapter(Instant)


class In(BaseModel):
    """A body; unknown fields are refused."""

    model_config = ConfigDict(extra="forbid")


def bound(field: str, given: str, zone: str = "UTC", *, is_end: bool = False) -> datetime | None:
    """The instant that a `Bound` means, of a half-open span; None for none. Raises `Invalid`."""
    if not given:
        return None
    try:
        if len(given) == len("2026-12-01"):
            day = date.fromisoformat(given) + timedelta(days=is_end)
            return _INSTANT.validate_python(datetime.combine(day, time.min, ZoneInfo(zone)).astimezone(UTC))
        return _INSTANT.validate_python(given)
    except (ValueError, OverflowError):
        raise Invalid([FieldError(field, "not_an_instant", "2026-12-01, or an instant with its zone")]) from None


def answer(value: Any, status: int = 200, *, etag: bool = False) -> JSONResponse:
    """JSON with instants as they are written on the wire. etag: with the entity tag of the value."""
    return JSONResponse(wire(value), status, {"ETag": etag_of(value)} if etag else None)


def items(rows: list[dict[str, Any]], cursor: str = "") -> JSONResponse:
    """A page of a list; cursor: where the next begins, null at the end."""
    return answer({"items": rows, "cursor": cursor or None})


def page(rows: list[dict[str, Any]], limit: int, key: str = "id") -> JSONResponse:
    """A page of rows that were asked for with one more than `limit`, in the order of their `key`."""
    return items(rows[:limit], str(rows[limit - 1][key]) if len(rows) > limit else "")


def etag_of(value: Any) -> str:
    """A strong entity tag (RFC 9110 §8.8.3): another one for every other representation."""
    text = json.dumps(wire(value), sort_keys=True, separators=(",", ":"))
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'


def expect(if_match: str, value: Any) -> None:
    """Raises `PreconditionFailed` unless the caller knows this state, or said nothing about it (RFC 9110 §13.1.1)."""
    known = [tag.strip() for tag in if_match.split(",") if tag.strip()]
    if known and "*" not in known and etag_of(value) not in known:
        raise PreconditionFailed()


@dataclass(slots=True)
class Change:
    """One change in the making, in its transaction. before, after: what is written down about it; owner: whose it is."""

    tx: Tx
    now: datetime
    cause: str
    target: str
    owner: int | None = None
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = field(default=None)


@dataclass(frozen=True, slots=True)
class Acting:
    """Who changes something here, and from where. Every change goes through `changing` (tests/unit/api/test_audit.py)."""

    site: Site
    caller: Caller
    address: str

    @property
    def actor(self) -> audit.Actor:
        """As it is written down."""
        return audit.Actor(self.caller.kind, self.caller.name, self.caller.id, self.address)

    @contextmanager
    def changing(self, action: str, target: str) -> Iterator[Change]:
        """A transaction that ends with the record of what was done in it. action: ``noun.past tense``."""
        now = self.site.now()
        with self.site.database.transaction() as tx:
            # Of two who edit the same thing the second reads what the first has made of it, and If-Match is true to its word.
            one_at_a_time(tx, target)
            change = Change(tx, now, f"{CAUSE}:{self.caller.name}", target)
            yield change
            self.record(tx, action, change)

    def record(self, tx: Tx, action: str, change: Change) -> None:
        """Write it down; for changes whose transaction is opened elsewhere."""
        audit.record(
            tx, self.actor, action, change.target, now=change.now, operator_id=change.owner, before=change.before,
            after=change.after,
        )  # fmt: skip


def _acting(request: Request, here: Here, who: Who) -> Acting:
    return Acting(here, who, request.client.host if request.client else "")


Act = Annotated[Acting, Depends(_acting)]
