"""Shapes of what the admin API answers (INTERFACE §5)."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, Field, create_model

from api.schemas import BookingOut, LineOut

Row = TypeVar("Row", bound=BaseModel)


class Page(BaseModel, Generic[Row]):
    """A page of a list. cursor: where the next one begins, null at the end."""

    items: list[Row]
    cursor: str | None


class OperatorRow(BaseModel):
    """An operator as those who run the place see them."""

    id: int
    slug: str
    name: str
    email: str
    timezone: str
    language: str
    active: bool
    created_at: datetime


class ServiceRow(BaseModel):
    """A service with its whole spec, which is that of ``service.toml``."""

    id: int
    slug: str
    active: bool
    spec: dict[str, Any]
    created_at: datetime


def _without(base: type[BaseModel], name: str, doc: str, *hidden: str, **more: Any) -> Any:
    fields: dict[str, Any] = {n: (f.annotation, f) for n, f in base.model_fields.items() if n not in hidden}
    return create_model(name, __doc__=doc, **fields, **more)


BookingSeen = _without(
    BookingOut, "BookingSeen", "A booking without the client's key to it.", "token", "manage_url", "ics_url"
)
LineSeen = _without(
    LineOut,
    "LineSeen",
    "A place in the line without the client's key to it. booking_id: what became of it.",
    *("token", "manage_url", "booking"),
    id=int,
    priority=int,
    booking_id=str | None,
)


class BookingRow(BaseModel):
    """A booking in a list."""

    id: str
    status: str
    waits_for: list[str]
    start: datetime
    end: datetime
    seats: int
    revision: int
    client_name: str
    client_email: str
    created_at: datetime
    operator: str
    service: str
    slot_id: int


class LineRow(BaseModel):
    """A place in the line in a list. start: of a wish for one start; else from and to, local dates, with weekdays (1 is
    Monday) and the hours between which it lies. member: of a team, whom they wait for. booking_id: what became of it."""

    id: int
    operator: str
    member: str | None
    service: str
    status: str
    accept: str
    seats: int
    priority: int
    position: int | None
    start: datetime | None
    from_: str = Field(alias="from")
    to: str
    weekdays: list[int]
    between: list[str] | None
    client_name: str
    client_email: str
    booking_id: str | None
    created_at: datetime


class PauseRow(BaseModel):
    """A pause. scope: as it was asked for. target: the id of the operator, service, slot or booking, as text."""

    id: int
    scope: str
    target: str
    automations: list[str]
    reason: str
    made_by: str
    created_at: datetime
    until: datetime | None
    ended_at: datetime | None


class ConcernedRow(BaseModel):
    """Somebody's booking that something is about to happen to."""

    id: str
    client_name: str
    start: datetime


class NextInLine(BaseModel):
    """Who would be served first."""

    id: int
    client_name: str


class HeldRow(BaseModel):
    """A message that waits behind a pause, and what it would do at `not_before` at the earliest. also_held: it waits for
    another pause too. bookings: whom it concerns; entry: who in line would be served first; of both only those whom the
    caller may see. idle: it would do nothing any more."""

    id: int
    kind: str
    body: dict[str, Any]
    automation: str
    operator_id: int | None
    service_id: int | None
    slot_id: int | None
    booking_id: str | None
    cause: str
    created_at: datetime
    not_before: datetime
    also_held: bool
    would: str
    bookings: list[ConcernedRow]
    entry: NextInLine | None
    idle: bool


class Resumed(BaseModel):
    """What became of a pause, and which messages were dropped."""

    resumed: int
    discarded: list[int]


class ReviewRow(BaseModel):
    """Something that asks for a human; choices: what `approve` may be told, the first is what it does by itself."""

    id: int
    kind: str
    key: str
    state: Literal["open", "approved", "dismissed"]
    operator_id: int
    connection_id: int | None
    slot_id: int | None
    booking_id: str | None
    detail: dict[str, Any]
    created_at: datetime
    resolved_at: datetime | None
    resolved_by: str
    choice: str
    choices: list[str] = []


class ConnectionOut(BaseModel):
    """An account, without its secret."""

    id: int
    operator: str
    provider: str
    url: str
    username: str
    account: str
    voice: Literal["service", "provider"]
    state: Literal["ok", "stale", "reconnect", "disabled"]
    state_detail: str
    state_since: datetime


class ConnectionRow(ConnectionOut):
    """An account in a list, with when it last answered."""

    last_success_at: datetime | None


class CalendarOut(BaseModel):
    """One remote calendar with its roles and rules."""

    id: int
    connection_id: int
    operator: str
    provider: str
    name: str
    url: str
    primary: bool
    writable: bool
    busy: bool
    availability: bool
    bookings: bool
    all_day_blocks: bool
    tentative_blocks: bool
    unanswered_blocks: bool


class CalendarRow(BaseModel):
    """A calendar in a list, with how its last pull went. roles: words with spaces between."""

    id: int
    connection_id: int
    operator: str
    operator_id: int
    provider: str
    state: str
    name: str
    primary: bool
    roles: str
    all_day_blocks: bool
    tentative_blocks: bool
    unanswered_blocks: bool
    writable: bool
    sync: str
    push: str
    pulled_at: datetime | None
    last_error: str
    problems: int
    url: str


class Unreadable(BaseModel):
    """An object that can't be read in full."""

    href: str
    problem: str


class CalendarHealth(CalendarRow):
    """How a calendar fares. lag_seconds: since its last pull."""

    unreadable: list[Unreadable]
    quirks: dict[str, Any]
    lag_seconds: int | None


class Health(ConnectionRow):
    """State of an account, last success, and each of its calendars."""

    calendars: list[CalendarHealth]


class Connected(BaseModel):
    """A connection that was just made, with what it lists."""

    id: int
    calendars: list[CalendarRow]


class LinkMade(BaseModel):
    """Where the operator connects their account; this is the only time that it is shown."""

    url: str
    expires_at: datetime


class Asked(BaseModel):
    """The calendar that is read now."""

    asked: int


class OutboxRow(BaseModel):
    """Something that is still to be done, or was parked."""

    id: int
    kind: str
    body: dict[str, Any]
    state: Literal["waiting", "queued", "running", "done", "parked", "discarded"]
    automation: str
    attempts: int
    not_before: datetime
    last_error: str
    cause: str
    created_at: datetime
    operator_id: int | None
    slot_id: int | None
    booking_id: str | None


class OutboxState(BaseModel):
    """What became of a message."""

    id: int
    state: Literal["waiting", "parked"]


class EventRow(BaseModel):
    """One line of what happened; ``data`` of a webhook."""

    cursor: int
    at: datetime
    operator: str | None
    booking_id: str
    type: str
    what: str
    cause: str
    detail: dict[str, Any]


class CalendarFigures(BaseModel):
    """Calendars that have a role, and those whose last pull failed."""

    all: int
    failing: int


class Status(BaseModel):
    """Figures for the dashboard. oldest_pull: of the calendars that have a role."""

    bookings: dict[str, int]
    outbox: dict[str, int]
    calendars: CalendarFigures
    oldest_pull: datetime | None
    reviews: int
    pauses: int
    webhooks: dict[str, int]


class TokenRow(BaseModel):
    """A key to this API, without the key."""

    id: int
    name: str
    scope: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


class TokenMade(BaseModel):
    """A new key; this is the only time it can be read."""

    token: str
    id: int
    name: str
    scope: str
    expires_at: datetime | None


class WebhookOut(BaseModel):
    """An endpoint as it was set up. operator: whose bookings it hears of, null for all; events: empty for all."""

    id: int
    operator: str | None
    url: str
    events: list[str]
    description: str
    state: Literal["active", "paused", "replaying", "disabled"]
    state_detail: str
    state_since: datetime
    old_secret_until: datetime | None
    created_at: datetime


class WebhookRow(WebhookOut):
    """An endpoint in a list, with how it fares."""

    failures: int
    failing_since: datetime | None
    last_success_at: datetime | None


class WebhookMade(WebhookOut):
    """A new endpoint or a new secret; this is the only time that the secret can be read."""

    secret: str


class AuditRow(BaseModel):
    """Who changed what, from where, and when. Newest first; before and after: what differs."""

    id: int
    at: datetime
    kind: Literal["token", "user", "cli"]
    actor_id: str
    actor: str
    address: str
    action: str
    target: str
    operator: str | None
    before: dict[str, Any] | None
    after: dict[str, Any] | None
