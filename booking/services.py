"""What a service is: the shape of ``service.toml`` and of the admin API (INTERFACE §3), checked, with its defaults."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from booking.errors import FieldError, Invalid
from ledger.availability import MinuteRange, Rules

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
LANGUAGES = ("en", "hu", "de", "fr", "es", "it", "ar")
_RANGE = re.compile(r"([01]\d|2[0-4]):([0-5]\d)-([01]\d|2[0-4]):([0-5]\d)")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class FormField(_Strict):
    """One question on the booking form. label: per language; ``""`` or a missing one falls back to the name."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")
    type: Literal["text", "choice", "consent", "phone", "number"] = "text"
    required: bool = False
    label: dict[str, str] = {}
    choices: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _choices_fit(self) -> FormField:
        if (self.type == "choice") != bool(self.choices):
            raise ValueError("choices belong to fields of type choice, and only to them")
        return self


class Texts(_Strict):
    """The service's own words in one language; empty ones fall back to the main texts."""

    title: str = ""
    description: str = ""
    place: str = ""
    price: str = ""


class WaitlistSpec(_Strict):
    """How the line works. auto_lead_minutes: nearer to the start than this, a seat is offered instead of booked."""

    accept: tuple[Literal["auto", "ask"], ...] = ("auto", "ask")
    offer_minutes: int = Field(default=30, ge=1, le=10_080)
    auto_lead_minutes: int = Field(default=120, ge=0, le=100_000)


class ServiceSpec(_Strict):
    """A service. Minutes and days are elapsed time but for ``hours`` and ``overrides``: the operator's wall time.

    reminder_hours: before the start, 0 for none. conference: a Meet or Teams link with each booking, where the operator's
    account invites the clients itself (P8).
    """

    title: str = Field(min_length=1, max_length=200)
    description: str = Field(default="", max_length=5000)
    duration_minutes: int = Field(default=30, ge=5, le=1440)
    capacity: int = Field(default=1, ge=1, le=10_000)
    confirmation: Literal["instant", "approval"] = "instant"
    approval_hours: int = Field(default=24, ge=1, le=720)
    start_every_minutes: int = Field(default=0, ge=0, le=1440)
    buffer_before_minutes: int = Field(default=0, ge=0, le=1440)
    buffer_after_minutes: int = Field(default=0, ge=0, le=1440)
    notice_minutes: int = Field(default=240, ge=0, le=525_600)
    horizon_days: int = Field(default=60, ge=1, le=366)
    cancel_until_minutes: int = Field(default=0, ge=0, le=525_600)
    reminder_hours: int = Field(default=24, ge=0, le=720)
    operator_moves: Literal["follow", "propose"] = "follow"
    cancellation_grace_seconds: int = Field(default=60, ge=0, le=86_400)
    max_staleness_minutes: int = Field(default=15, ge=1, le=10_080)
    place: str = Field(default="", max_length=500)
    link: str = Field(default="", max_length=1000)
    conference: bool = False
    price: str = Field(default="", max_length=200)
    languages: tuple[str, ...] = ()
    calendar_openings: bool = False
    show_names: bool = False
    hours: dict[str, tuple[str, ...]] = {}
    overrides: dict[date, tuple[str, ...]] = {}
    waitlist: WaitlistSpec = WaitlistSpec()
    texts: dict[str, Texts] = {}
    fields: tuple[FormField, ...] = ()

    @field_validator("hours")
    @classmethod
    def _known_days(cls, value: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        for day, ranges in value.items():
            if day not in WEEKDAYS:
                raise ValueError(f"{day!r} is no weekday; use {', '.join(WEEKDAYS)}")
            _ranges(ranges)
        return value

    @field_validator("overrides")
    @classmethod
    def _readable_days(cls, value: dict[date, tuple[str, ...]]) -> dict[date, tuple[str, ...]]:
        for ranges in value.values():
            _ranges(ranges)
        return value

    @field_validator("texts")
    @classmethod
    def _known_languages(cls, value: dict[str, Texts]) -> dict[str, Texts]:
        for language in value:
            if language not in LANGUAGES:
                raise ValueError(f"{language!r} is no shipped language; use {', '.join(LANGUAGES)}")
        return value

    @field_validator("link")
    @classmethod
    def _web_link(cls, value: str) -> str:
        if value and not re.match(r"https?://\S+$", value):
            raise ValueError("a link starts with https:// or http://")
        return value

    @field_validator("fields")
    @classmethod
    def _different_names(cls, value: tuple[FormField, ...]) -> tuple[FormField, ...]:
        names = [f.name for f in value]
        if len(set(names)) != len(names):
            raise ValueError("two fields have the same name")
        return value

    @property
    def duration(self) -> timedelta:
        """Length of an appointment without its buffers."""
        return timedelta(minutes=self.duration_minutes)

    @property
    def mode(self) -> str:
        """``individual`` or ``group``."""
        return "individual" if self.capacity == 1 else "group"

    def text(self, language: str) -> Texts:
        """The words in that language, each falling back to the main one."""
        own = self.texts.get(language, Texts())
        return Texts(
            title=own.title or self.title,
            description=own.description or self.description,
            place=own.place or self.place,
            price=own.price or self.price,
        )

    def to_json(self) -> dict[str, Any]:
        """As stored, and as the admin API shows it."""
        return self.model_dump(mode="json")


def parse(values: Mapping[str, Any]) -> ServiceSpec:
    """Check and complete. Raises `Invalid` which names every wrong field."""
    try:
        return ServiceSpec.model_validate(values)
    except ValidationError as error:
        raise Invalid(
            [
                FieldError(
                    ".".join(str(part) for part in e["loc"]) or "service",
                    str(e["type"]),
                    str(e["msg"]).removeprefix("Value error, "),
                )
                for e in error.errors()
            ]
        ) from None


def parse_toml(text: str) -> ServiceSpec:
    """From a ``service.toml``. Raises `Invalid`."""
    try:
        return parse(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise Invalid([FieldError("file", "not_toml", str(error))]) from None


def rules(
    service_id: int, slug: str, spec: ServiceSpec, timezone: str, others: Iterable[tuple[str, ServiceSpec]] = ()
) -> Rules:
    """What `ledger.availability` needs. others: slug and spec of the operator's other services, for naming in openings."""
    return Rules(
        service_id=service_id,
        timezone=timezone,
        duration=spec.duration,
        every=timedelta(minutes=spec.start_every_minutes or spec.duration_minutes),
        capacity=spec.capacity,
        buffer_before=timedelta(minutes=spec.buffer_before_minutes),
        buffer_after=timedelta(minutes=spec.buffer_after_minutes),
        notice=timedelta(minutes=spec.notice_minutes),
        horizon=timedelta(days=spec.horizon_days),
        hours={WEEKDAYS.index(day): _ranges(ranges) for day, ranges in spec.hours.items()},
        overrides={day: _ranges(ranges) for day, ranges in spec.overrides.items()},
        calendar_openings=spec.calendar_openings,
        labels=_labels(slug, spec),
        rivals=frozenset().union(*(_labels(s, p) for s, p in others)),
    )


def _labels(slug: str, spec: ServiceSpec) -> frozenset[str]:
    titles = [spec.title, *(t.title for t in spec.texts.values() if t.title)]
    return frozenset([slug, slug.replace("-", " "), *(t.lower() for t in titles)])


def _ranges(texts: Iterable[str]) -> tuple[MinuteRange, ...]:
    result = []
    for text in texts:
        found = _RANGE.fullmatch(text.replace(" ", "").replace("–", "-"))
        if not found:
            raise ValueError(f"{text!r} is no range of hours like 09:00-12:00")
        h1, m1, h2, m2 = map(int, found.groups())
        start, end = h1 * 60 + m1, h2 * 60 + m2
        if start >= 1440 or end > 1440 or start == end:
            raise ValueError(f"{text!r} is no range of hours like 09:00-12:00")
        result.append((start, end if end > start else end + 1440))  # 22:00-02:00 reaches into the next day
    return tuple(sorted(result))
