"""Shapes of the JSON API, in and out (INTERFACE §4)."""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from booking.rules import REACH


def _instant(given: object) -> object:
    # Pydantic also takes numbers, for seconds of an epoch that nobody meant.
    if isinstance(given, datetime) or (isinstance(given, str) and re.match(r"\d{4}-\d\d-\d\d[Tt ]", given)):
        return given
    raise PydanticCustomError("not_an_instant", "an instant like 2026-12-01T09:00:00Z is needed")


def _in_reach(moment: datetime) -> datetime:
    if not REACH[0] <= moment < REACH[1]:
        raise PydanticCustomError("out_of_range", "an instant from 1970 to 2199 is needed")
    return moment


def _day(given: object) -> object:
    if isinstance(given, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", given):
        try:
            return date.fromisoformat(given)
        except ValueError:
            pass  # no such day
    raise PydanticCustomError("not_a_date", "a date like 2026-12-01 is needed")


Day = Annotated[date, BeforeValidator(_day)]
"""``YYYY-MM-DD``."""
Instant = Annotated[AwareDatetime, BeforeValidator(_instant), AfterValidator(_in_reach)]
"""With its zone, and near enough to be counted with."""
Answer = str | bool | int | float | None


class _In(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ClientIn(_In):
    """Who books. timezone: IANA, else the operator's; language: one of the shipped ones."""

    name: str = Field(max_length=200)
    email: str = Field(max_length=254)
    timezone: str = ""
    language: str = "en"


class HoldIn(_In):
    """Keep seats while somebody types. duration_minutes: one of the service's, else its first. operator: a member of the
    team that does it, else the one of them who has the least to do."""

    start: Instant
    seats: int = 1
    duration_minutes: int | None = None
    operator: str | None = None


class BookingIn(_In):
    """A booking. hold: token of a hold for the same start. duration_minutes, operator: as of a hold."""

    start: Instant
    seats: int = 1
    duration_minutes: int | None = None
    operator: str | None = None
    client: ClientIn
    answers: dict[str, Answer] = {}
    hold: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_-]{0,100}$")


class CancelIn(_In):
    """Why, if one likes to say."""

    reason: str = Field(default="", max_length=1000)


class RescheduleIn(_In):
    """The new start."""

    start: Instant


class WishIn(_In):
    """One start, or days with weekdays (Monday 1) and times of day in the operator's zone."""

    start: Instant | None = None
    from_: str | None = Field(default=None, alias="from")
    to: str | None = None
    weekdays: list[int] | None = None
    between: list[str] | None = None


class WaitlistIn(_In):
    """A place in the line. duration_minutes: as of a hold; operator: only with this member of the team. calendar_entry: with
    a tentative entry in the client's calendar, for a wish of one start."""

    client: ClientIn
    seats: int = 1
    duration_minutes: int | None = None
    operator: str | None = None
    wish: WishIn
    accept: Literal["auto", "ask"] | None = None
    answers: dict[str, Answer] = {}
    calendar_entry: bool = False


class HoldOut(BaseModel):
    """A hold."""

    token: str
    expires_at: datetime


class SlotOut(BaseModel):
    """One start."""

    start: datetime
    end: datetime
    seats_left: int
    state: Literal["open", "full", "held"]


class SlotsOut(BaseModel):
    """Starts of a range of days. fresh_at: age of the oldest calendar behind it; null where none is connected."""

    timezone: str
    fresh_at: datetime | None
    slots: list[SlotOut]


class TimelineOut(BaseModel):
    """One line of what happened."""

    at: datetime
    what: str
    cause: str
    detail: dict[str, Any]


class DeliveryOut(BaseModel):
    """One mail, honestly: ``prepared`` (on its way to the mail server), ``handed_over`` (to it), ``refused`` (the address),
    ``bounced`` (it came back), ``stuck`` (not tried any more by itself), ``superseded`` (out of date before it went)."""

    audience: str
    kind: str
    method: str
    sequence: int
    state: str
    created_at: datetime
    handed_over_at: datetime | None
    message_id: str


class PersonOut(BaseModel):
    """The client, as they named themselves."""

    name: str
    email: str


class ConsentOut(BaseModel):
    """What the client agreed to: the words as they read them, and when."""

    text: str
    at: datetime


class ProposalOut(BaseModel):
    """Another time: one that the operator proposes, or one that the client wants and that the calendar is checked for."""

    start: datetime
    end: datetime


class BookingOut(BaseModel):
    """A booking as its client sees it."""

    id: str
    token: str
    status: Literal["pending", "confirmed", "cancelled", "completed", "no_show", "declined", "expired"]
    waits_for: list[str]
    expires_at: datetime | None
    start: datetime
    end: datetime
    timezone: str
    language: str
    operator: str
    operator_name: str
    operator_timezone: str
    service: str
    title: str
    place: str
    link: str
    duration_minutes: int
    seats: int
    revision: int
    uid: str
    reason: str
    proposal: ProposalOut | None
    wanted: ProposalOut | None
    client: PersonOut
    answers: dict[str, Any]
    consents: dict[str, ConsentOut]
    attendance_confirmed_at: datetime | None
    cancel_until: datetime
    calendar: Literal["none", "on_its_way", "in_the_calendar", "removed"]
    timeline: list[TimelineOut]
    deliveries: list[DeliveryOut]
    created_at: datetime
    manage_url: str
    voice: Literal["service", "provider"]
    ics_url: str


class OfferOut(BaseModel):
    """A freed seat, exclusively for this person until ``expires_at``."""

    start: datetime
    end: datetime
    expires_at: datetime


class LineOut(BaseModel):
    """A place in the line."""

    token: str
    status: Literal["waiting", "offered", "promoted", "declined", "expired", "removed"]
    position: int | None
    duration_minutes: int
    member: str | None
    seats: int
    accept: Literal["auto", "ask"]
    wish: dict[str, Any]
    operator: str
    operator_name: str
    operator_timezone: str
    service: str
    title: str
    timezone: str
    language: str
    offer: OfferOut | None
    booking: str | None
    created_at: datetime
    manage_url: str


class OperatorOut(BaseModel):
    """Public facts of an operator."""

    operator: str
    name: str
    timezone: str
    language: str
    services: list[dict[str, Any]]


class ServiceOut(BaseModel):
    """Public facts of a service."""

    operator: str
    service: str
    title: str
    texts: dict[str, dict[str, str]]
    languages: list[str]
    timezone: str
    duration_minutes: int
    durations_minutes: list[int]
    capacity: int
    mode: Literal["individual", "group"]
    team: list[dict[str, str]]
    team_mode: Literal["any", "all"] | None
    confirmation: Literal["instant", "approval"]
    fields: list[dict[str, Any]]
    place: str
    link: str
    price: str
    policies: dict[str, Any]
