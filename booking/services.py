"""What a service is: the shape of ``service.toml`` and of the admin API (INTERFACE §3), checked, with its defaults."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import date, timedelta
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from booking.errors import FieldError, Invalid
from booking.holidays import PublicHolidays, is_known
from ledger.availability import MinuteRange, Rules

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
LANGUAGES = ("en", "hu", "de", "fr", "es", "it", "ar")
LONGEST_ANSWER = 2000
_RANGE = re.compile(r"([01]\d|2[0-4]):([0-5]\d)-([01]\d|2[0-4]):([0-5]\d)")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class FormField(_Strict):
    """One question on the booking form, and what it may be answered with.

    label, help: per language; a missing one falls back to English, then to whatever there is, a label at last to the name.
    choice_labels: language → choice → words; what is stored is the choice itself. min, max: of a number; max_length: of a
    text, in characters.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")
    type: Literal["text", "choice", "consent", "phone", "number"] = "text"
    required: bool = False
    label: dict[str, str] = {}
    help: dict[str, str] = {}
    choices: tuple[str, ...] = ()
    choice_labels: dict[str, dict[str, str]] = {}
    min: float | None = None
    max: float | None = None
    max_length: int | None = Field(default=None, ge=1, le=LONGEST_ANSWER)

    @field_validator("label", "help", "choice_labels")
    @classmethod
    def _known_languages(cls, value: dict[str, Any]) -> dict[str, Any]:
        return _spoken(value)

    @model_validator(mode="after")
    def _fits_its_type(self) -> FormField:
        if (self.type == "choice") != bool(self.choices):
            raise ValueError("choices belong to fields of type choice, and only to them")
        if len(set(self.choices)) != len(self.choices) or not all(self.choices):
            raise ValueError("each of the choices needs words of its own")
        if {choice for named in self.choice_labels.values() for choice in named} - set(self.choices):
            raise ValueError("choice_labels name something that is none of the choices")
        if self.type != "number" and (self.min, self.max) != (None, None):
            raise ValueError("min and max belong to fields of type number")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError("min is more than max")
        if self.type != "text" and self.max_length is not None:
            raise ValueError("max_length belongs to fields of type text")
        return self

    def label_in(self, language: str) -> str:
        """The question in that language."""
        return _words(self.label, language) or self.name.replace("_", " ").capitalize()

    def help_in(self, language: str) -> str:
        """What is said beside the question, or ``""``."""
        return _words(self.help, language)

    def choice_in(self, choice: str, language: str) -> str:
        """The words of one choice in that language."""
        return (
            _words({spoken: named.get(choice, "") for spoken, named in self.choice_labels.items()}, language) or choice
        )


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


def _readable(value: tuple[str, ...]) -> tuple[str, ...]:
    _ranges(value)
    return value


Hours = Annotated[tuple[str, ...], AfterValidator(_readable)]
"""Ranges of a day's wall time."""
Minutes = Annotated[int, Field(ge=5, le=1440)]
"""How long an appointment may be."""


class ServiceSpec(_Strict):
    """A service. Minutes and days are elapsed time but for ``hours`` and ``overrides``: the operator's wall time.

    durations_minutes: where there are several to choose from, the first is the default; empty where there is one.
    languages: in which its page is; empty: in all that are shipped. limit_per_day, limit_per_week: how many of its slots (not seats) may be taken in a day or week (Monday to Sunday) of
    the operator's wall time, 0 for no limit. holidays: a country, or one and a part of it, whose public holidays close the
    day unless it has an override. team: slugs of the operators who do it, ``any`` one of them or ``all`` together; empty:
    whose service it is. reminder_hours: before the start, 0 for none. confirm_attendance_hours: ask then whether
    they come; release_unconfirmed_hours: offer the place of who hasn't answered to those who wait; both before the start,
    0 for never. approval_after_no_shows: who missed so many needs approval, 0 for nobody.
    no_show_mail: who is marked as a no-show is written to. ask_who_came: the operator is asked after each appointment
    whether the client came. conference: a Meet or Teams link with each booking,
    where the operator's account invites the clients itself (P8). names_in_event: who comes to a group stands in its event.
    """

    title: str = Field(min_length=1, max_length=200)
    description: str = Field(default="", max_length=5000)
    duration_minutes: Minutes = 30
    durations_minutes: tuple[Minutes, ...] = Field(default=(), max_length=12)
    capacity: int = Field(default=1, ge=1, le=10_000)
    confirmation: Literal["instant", "approval"] = "instant"
    approval_hours: int = Field(default=24, ge=1, le=720)
    start_every_minutes: int = Field(default=0, ge=0, le=1440)
    buffer_before_minutes: int = Field(default=0, ge=0, le=1440)
    buffer_after_minutes: int = Field(default=0, ge=0, le=1440)
    notice_minutes: int = Field(default=240, ge=0, le=525_600)
    horizon_days: int = Field(default=60, ge=1, le=366)
    limit_per_day: int = Field(default=0, ge=0, le=1000)
    limit_per_week: int = Field(default=0, ge=0, le=1000)
    cancel_until_minutes: int = Field(default=0, ge=0, le=525_600)
    reminder_hours: int = Field(default=24, ge=0, le=720)
    confirm_attendance_hours: int = Field(default=0, ge=0, le=720)
    release_unconfirmed_hours: int = Field(default=0, ge=0, le=720)
    approval_after_no_shows: int = Field(default=0, ge=0, le=100)
    no_show_mail: bool = True
    ask_who_came: bool = False
    retention_months: int = Field(default=24, ge=1, le=1200)
    operator_moves: Literal["follow", "propose"] = "follow"
    cancellation_grace_seconds: int = Field(default=60, ge=0, le=86_400)
    max_staleness_minutes: int = Field(default=15, ge=1, le=10_080)
    place: str = Field(default="", max_length=500)
    link: str = Field(default="", max_length=1000)
    conference: bool = False
    price: str = Field(default="", max_length=200)
    languages: tuple[str, ...] = ()
    calendar_openings: bool = False
    names_in_event: bool = Field(default=False, validation_alias=AliasChoices("names_in_event", "show_names"))
    team: tuple[str, ...] = Field(default=(), max_length=50)
    team_mode: Literal["any", "all"] = "any"
    holidays: str = ""
    hours: dict[str, Hours] = {}
    overrides: dict[date, Hours] = {}
    waitlist: WaitlistSpec = WaitlistSpec()
    texts: dict[str, Texts] = {}
    fields: tuple[FormField, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _first_is_default(cls, given: Any) -> Any:
        several = given.get("durations_minutes") if isinstance(given, dict) else None
        if isinstance(several, list | tuple) and several and "duration_minutes" not in given:
            return {**given, "duration_minutes": several[0]}
        return given

    @field_validator("durations_minutes")
    @classmethod
    def _different_durations(cls, value: tuple[int, ...], info: ValidationInfo) -> tuple[int, ...]:
        if len(set(value)) != len(value):
            raise ValueError("two durations are the same")
        default = info.data.get("duration_minutes")
        if value and default is not None and value[0] != default:
            raise ValueError(f"the first is the default, and duration_minutes says {default}")
        return value if len(value) > 1 else ()

    @field_validator("team")
    @classmethod
    def _different_members(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) != len(value):
            raise ValueError("somebody is in the team twice")
        return value

    @field_validator("team_mode")
    @classmethod
    def _one_plan_for_all(cls, value: str, info: ValidationInfo) -> str:
        if value == "all" and info.data.get("calendar_openings"):
            raise ValueError("of a service that takes everybody the hours are written here, not in a calendar")
        return value

    @field_validator("holidays")
    @classmethod
    def _known_country(cls, value: str) -> str:
        if value and not is_known(value):
            raise ValueError("a country like HU, or one and a part of it like DE-BY, is needed")
        return value

    @field_validator("languages")
    @classmethod
    def _shipped_languages(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(_spoken(dict.fromkeys(value)))

    @field_validator("hours")
    @classmethod
    def _known_days(cls, value: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        for day in value:
            if day not in WEEKDAYS:
                raise ValueError(f"{day!r} is no weekday; use {', '.join(WEEKDAYS)}")
        return value

    @field_validator("texts")
    @classmethod
    def _known_languages(cls, value: dict[str, Texts]) -> dict[str, Texts]:
        return _spoken(value)

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
        """Length of an appointment without its buffers, where nobody asks for another."""
        return timedelta(minutes=self.duration_minutes)

    @model_validator(mode="after")
    def _asked_before_released(self) -> ServiceSpec:
        if self.release_unconfirmed_hours and self.release_unconfirmed_hours >= self.confirm_attendance_hours:
            raise ValueError(
                "release_unconfirmed_hours must be less than confirm_attendance_hours: they are asked before"
            )
        return self

    @property
    def durations(self) -> tuple[int, ...]:
        """Minutes that may be asked for, the default first."""
        return self.durations_minutes or (self.duration_minutes,)

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

    def speaks(self, language: str, operator_language: str) -> str:
        """The language that title and description are in for a reader of ``language``: theirs, or that of the main texts,
        which is the operator's own, English where there are texts for the operator's apart."""
        own = self.texts.get(language, Texts())
        if own.title and (own.description or not self.description):
            return language
        return "en" if operator_language in self.texts else operator_language

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
        lengths=frozenset(timedelta(minutes=m) for m in spec.durations),
        capacity=spec.capacity,
        buffer_before=timedelta(minutes=spec.buffer_before_minutes),
        buffer_after=timedelta(minutes=spec.buffer_after_minutes),
        notice=timedelta(minutes=spec.notice_minutes),
        horizon=timedelta(days=spec.horizon_days),
        hours={WEEKDAYS.index(day): _ranges(ranges) for day, ranges in spec.hours.items()},
        overrides={day: _ranges(ranges) for day, ranges in spec.overrides.items()},
        closed=PublicHolidays(spec.holidays) if spec.holidays else frozenset(),
        limit_per_day=spec.limit_per_day,
        limit_per_week=spec.limit_per_week,
        calendar_openings=spec.calendar_openings,
        labels=_labels(slug, spec),
        rivals=frozenset().union(*(_labels(s, p) for s, p in others)),
    )


def lasting(rules: Rules, spec: ServiceSpec, minutes: int) -> Rules:
    """The rules for appointments of that length; where the service hasn't got it (any more), of its default."""
    length = minutes if minutes in spec.durations else spec.duration_minutes
    every = timedelta(minutes=spec.start_every_minutes or length)
    return replace(rules, duration=timedelta(minutes=length), every=every)


def _labels(slug: str, spec: ServiceSpec) -> frozenset[str]:
    titles = [spec.title, *(t.title for t in spec.texts.values() if t.title)]
    return frozenset([slug, slug.replace("-", " "), *(t.lower() for t in titles)])


def _spoken(value: dict[str, Any]) -> dict[str, Any]:
    for language in value:
        if language not in LANGUAGES:
            raise ValueError(f"{language!r} is no shipped language; use {', '.join(LANGUAGES)}")
    return value


def _words(words: Mapping[str, str], language: str) -> str:
    """In that language, else in English, else in any."""
    return words.get(language) or words.get("en") or next((w for w in words.values() if w), "")


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
