"""May this be booked, moved, offered; who fits. Pure decisions; ``now`` and facts are passed in."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from booking.errors import FieldError, Invalid, TooLate
from booking.services import LANGUAGES, LONGEST_ANSWER, FormField, ServiceSpec
from connectors.model import Period

_NO_TEXT = r"\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff"  # control characters, and halves of others
_CONTROL = re.compile(f"[{_NO_TEXT}]")
_NO_ADDRESS = r"@\s<>,;:\"()\[\]\\" + _NO_TEXT
_EMAIL = re.compile(rf"[^{_NO_ADDRESS}]{{1,64}}@[^{_NO_ADDRESS}.]+(\.[^{_NO_ADDRESS}.]+)*")
_PHONE = re.compile(r"\+?[0-9 ()./-]{5,30}")
_CLOCK = re.compile(r"([01]\d|2[0-4]):([0-5]\d)", re.ASCII)
REACH = (datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC))
"""Instants that can be asked about; beyond them, adding a zone or a buffer would leave the calendar."""
SHORTEST_DAY = timedelta(hours=23)
"""From midnight to midnight, when the clock is put forward."""
LINK_LIVES_ON = timedelta(days=30)
"""How long after an appointment, or after the last day of a wish, the link in the client's mails still leads there."""


@dataclass(frozen=True, slots=True)
class Client:
    """Who books. email: lower-case domain; timezone: IANA; language: a shipped one."""

    name: str
    email: str
    timezone: str
    language: str


def client_of(given: Mapping[str, Any], *, zone: str, path: str = "client.") -> Client:
    """Check what a person typed. zone: used where none is given. Raises `Invalid`."""
    errors: list[FieldError] = []
    name = said(given.get("name"))
    timezone = str(given.get("timezone") or zone)
    language = str(given.get("language") or "en").split("-")[0].lower()
    if not name or len(name) > 200:
        errors.append(FieldError(path + "name", "required", "a name of 1 to 200 characters is needed"))
    email = ""
    try:
        email = email_of(given.get("email"), path=path + "email")
    except Invalid as error:
        errors += error.errors
    if not is_zone(timezone):
        errors.append(FieldError(path + "timezone", "unknown_timezone", "an IANA zone like Europe/Budapest is needed"))
    if language not in LANGUAGES:
        errors.append(FieldError(path + "language", "unknown_language", f"one of {', '.join(LANGUAGES)} is needed"))
    if errors:
        raise Invalid(errors)
    return Client(name, email, timezone, language)


def email_of(given: Any, *, path: str = "email") -> str:
    """A mail address as it is stored: its domain lower-case. Raises `Invalid`."""
    email = str(given or "").strip()
    if len(email) > 254 or not _EMAIL.fullmatch(email):
        raise Invalid([FieldError(path, "not_an_address", "a mail address like name@example.org is needed")])
    local, _, domain = email.rpartition("@")
    return f"{local}@{domain.lower()}"


def said(words: Any, longest: int | None = None) -> str:
    """Free text as it is stored: on one line, trimmed, nothing in it that no text may hold. longest: cut there."""
    return _CONTROL.sub(" ", str(words or "")).strip()[:longest]


def is_zone(name: str) -> bool:
    """Is it the IANA name of a zone?"""
    return name in _zones()


def answers_of(given: Mapping[str, Any], fields: Sequence[FormField], *, path: str = "answers.") -> dict[str, Any]:
    """Check the answers to the service's questions. Raises `Invalid`."""
    known = {field.name: field for field in fields}
    errors = [
        FieldError(path + name, "unknown_field", "this service doesn't ask that") for name in given if name not in known
    ]
    result: dict[str, Any] = {}
    for name, field in known.items():
        value, problem = _answer(field, given.get(name))
        if problem:
            errors.append(FieldError(path + name, *problem))
        elif value is not None:
            result[name] = value
    if errors:
        raise Invalid(errors)
    return result


def consents_of(
    answers: Mapping[str, Any], fields: Sequence[FormField], language: str, now: datetime
) -> dict[str, Any]:
    """What a client agreed to: field → ``{"text", "at"}``, the words as they read them and when."""
    return {
        field.name: {"text": field.label_in(language), "at": now.astimezone(UTC).isoformat()}
        for field in fields
        if field.type == "consent" and answers.get(field.name) is True
    }


def _answer(field: FormField, value: Any) -> tuple[Any, tuple[str, str] | None]:
    if field.type == "consent":
        agreed = value in (True, "true", "on", "yes", "1")
        if field.required and not agreed:
            return None, ("required", "your consent is needed")
        return agreed, None
    text = "" if value is None else said(str(value))
    if not text:
        return None, ("required", "an answer is needed") if field.required else None
    longest = field.max_length or LONGEST_ANSWER
    if len(text) > longest:
        return None, ("too_long", f"at most {longest} characters")
    if field.type == "choice" and text not in field.choices:
        return None, ("unknown_choice", f"one of {', '.join(field.choices)}")
    if field.type == "phone" and not _PHONE.fullmatch(text):
        return None, ("not_a_phone_number", "a phone number is needed")
    if field.type == "number":
        return _number_in(field, text)
    return text, None


def _number_in(field: FormField, text: str) -> tuple[Any, tuple[str, str] | None]:
    number = _number(text)
    if number is None:
        return None, ("not_a_number", "a number is needed")
    if field.min is not None and number < field.min:
        return None, ("out_of_range", f"at least {field.min:g}")
    if field.max is not None and number > field.max:
        return None, ("out_of_range", f"at most {field.max:g}")
    return number, None


def _number(text: str) -> int | float | None:
    try:
        number = float(text) if "." in text else int(text)
    except ValueError:
        return None
    return number if isinstance(number, int) or math.isfinite(number) else None


def all_of(*checks: Callable[[], Any]) -> list[Any]:
    """What each check gives. Raises one `Invalid` with everything that is wrong, so that nobody mends a form field by field."""
    results: list[Any] = []
    errors: list[FieldError] = []
    for check in checks:
        try:
            results.append(check())
        except Invalid as error:
            errors += error.errors
    if errors:
        raise Invalid(errors)
    return results


def seats_of(seats: Any, spec: ServiceSpec) -> int:
    """A number of seats that the service has at all. Raises `Invalid`."""
    if isinstance(seats, bool) or not isinstance(seats, int) or not 1 <= seats <= spec.capacity:
        detail = "1 seat" if spec.capacity == 1 else f"1 to {spec.capacity} seats"
        raise Invalid([FieldError("seats", "out_of_range", f"{detail} can be booked")])
    return seats


def duration_of(minutes: Any, spec: ServiceSpec, *, path: str = "duration_minutes") -> int:
    """Minutes that the service has, its default where nothing is asked for. Raises `Invalid`."""
    if minutes is None:
        return spec.duration_minutes
    if isinstance(minutes, bool) or minutes not in spec.durations:
        offered = ", ".join(str(each) for each in spec.durations)
        raise Invalid([FieldError(path, "unknown_duration", f"this service takes {offered} minutes")])
    return int(minutes)


def may_change(spec: ServiceSpec, starts_at: datetime, now: datetime) -> None:
    """May the client still cancel or move? Raises `TooLate`."""
    if now >= starts_at - timedelta(minutes=spec.cancel_until_minutes):
        raise TooLate("the time to change this booking is over")


@dataclass(frozen=True, slots=True)
class Wish:
    """What a waiting client would take. start: exactly that one; else days and wall-clock minutes in the operator's zone.

    weekdays: bit mask, Monday 1. between: half-open, the start must lie in it.
    """

    start: datetime | None
    first: date
    last: date
    weekdays: int = 127
    between: tuple[int, int] = (0, 1440)


def wish_of(given: Mapping[str, Any], *, zone: str, now: datetime, horizon_days: int = 366) -> Wish:
    """Check a wish as INTERFACE §4 gives it. Raises `Invalid`."""
    local = ZoneInfo(zone)
    if given.get("start") is not None:
        if any(given.get(name) for name in ("from", "to", "weekdays", "between")):
            raise Invalid([FieldError("wish.start", "either_or", "one start, or days with their hours: not both")])
        start = _instant(given["start"], "wish.start")
        if start <= now:
            raise Invalid([FieldError("wish.start", "in_the_past", "this time is over")])
        day = start.astimezone(local).date()
        return Wish(start, day, day)
    today = now.astimezone(local).date()
    first = _date(given.get("from"), "wish.from")
    last = _date(given.get("to"), "wish.to")
    if last < first or last < today or (last - first).days > horizon_days:
        raise Invalid([FieldError("wish.to", "out_of_range", f"a day from wish.from on, within {horizon_days} days")])
    mask = 127
    if given.get("weekdays"):
        days = given["weekdays"]
        if not isinstance(days, list | tuple) or any(type(d) is not int or d not in range(1, 8) for d in days):
            raise Invalid([FieldError("wish.weekdays", "out_of_range", "numbers from 1 (Monday) to 7 (Sunday)")])
        mask = sum(1 << (d - 1) for d in set(days))
    between = (0, 1440)
    if given.get("between"):
        between = _clock_range(given["between"])
    return Wish(None, first, last, mask, between)


def fits(wish: Wish, start: datetime, zone: str) -> bool:
    """Would this wish take that start? The same question as `booking.waitlist` asks the database."""
    if wish.start is not None:
        return wish.start == start
    local = start.astimezone(ZoneInfo(zone))
    minute = local.hour * 60 + local.minute
    return (
        wish.first <= local.date() <= wish.last
        and bool(wish.weekdays & (1 << local.weekday()))
        and wish.between[0] <= minute < wish.between[1]
    )


def operator_move_fits(now: datetime, period: Period, *, lasted: timedelta, all_clear: bool) -> str:
    """Why an operator's move can't simply be followed: ``""``, ``past``, ``all_day`` or ``overlap``. lasted: until now.

    Who drops an hour onto the row of whole days, in their app, has named a day and no time that anybody could be told.
    """
    if period.start <= now or period.start == period.end:
        return "past"
    if period.end - period.start >= SHORTEST_DAY > lasted:
        return "all_day"
    return "" if all_clear else "overlap"


def _instant(value: Any, field: str) -> datetime:
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None or not REACH[0] <= moment < REACH[1]:
        raise Invalid([FieldError(field, "not_an_instant", "an instant like 2026-12-01T09:00:00Z is needed")])
    return moment


def _date(value: Any, field: str) -> date:
    try:
        return value if isinstance(value, date) else date.fromisoformat(str(value))
    except ValueError:
        raise Invalid([FieldError(field, "not_a_date", "a date like 2026-12-01 is needed")]) from None


def _clock_range(value: Any) -> tuple[int, int]:
    found = [_CLOCK.fullmatch(t) for t in value if isinstance(t, str)] if isinstance(value, list | tuple) else []
    times = [int(t[1]) * 60 + int(t[2]) for t in found if t]
    if len(times) != 2 or len(value) != 2 or not times[0] < times[1] <= 1440:
        raise Invalid(
            [FieldError("wish.between", "not_a_range", 'two times of day like ["09:00", "12:00"] are needed')]
        )
    return times[0], times[1]


_ZONES: set[str] = set()


def _zones() -> set[str]:
    if not _ZONES:
        _ZONES.update(available_timezones() - {"localtime", "Factory"})  # files that lie among them, and no zones
    return _ZONES
