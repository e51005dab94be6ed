"""A service's public page: a month to look at, a day to choose from, a form to fill in, and the line to wait in."""

from __future__ import annotations

import calendar
import re
import secrets
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, Request
from fastapi.responses import RedirectResponse, Response

from api import guard
from api.deps import Here, Site
from api.pages.render import page, zones
from booking import catalogue, commands, queries, waitlist
from booking.catalogue import Offering
from booking.errors import BookingError, Invalid, KeyReused, NotFound, SlotTaken
from booking.i18n import LANGUAGES, locale
from booking.rules import REACH, is_zone
from ledger.availability import SlotState, Start
from ledger.db import Tx

router = APIRouter(include_in_schema=False)
CAUSE = "page"
AHEAD = timedelta(days=92)
"""How far the next free time is looked for."""
Form = dict[str, Any]


async def form_of(request: Request) -> Form:
    """The posted fields; of several with one name the last."""
    return {name: value for name, value in (await request.form()).items() if isinstance(value, str)}


Posted = Annotated[Form, Depends(form_of)]


@dataclass(frozen=True, slots=True)
class Day:
    """One cell of the month. free, full: starts of that kind."""

    date: date
    in_month: bool
    free: int
    full: int


@router.get("/{language}/{operator}/{service}")
def service_page(
    request: Request, language: str, operator: str, service: str, here: Here,
    month: str = "", day: str = "", tz: str = "", start: str = "", wait: str = "", seats: str = "1", duration: str = "",
    who: str = "",
) -> Response:  # fmt: skip
    """The page. day: show its starts; start: show the booking form; wait: show the form of the line (a start, or ``any``).
    duration: minutes; who: slug of a team's member."""
    known(language)
    with here.database.reading() as tx:
        whole = catalogue.offering(tx, operator, service)
        if language not in (whole.spec.languages or LANGUAGES):
            query = f"?{request.url.query}" if request.url.query else ""
            return RedirectResponse(f"/{whole.spec.languages[0]}/{operator}/{service}{query}", 307)
        offering, form = _asked(whole, duration, who)
        form["seats"] = seats
        zone = _zone(tz, offering)
        chosen = instant_of(start)
        if chosen is not None:
            return _booking_form(request, language, here, tx, offering, zone, chosen, form)
        if wait and offering.spec.waitlist.accept:
            return _line_form(request, language, here, tx, offering, zone, instant_of(wait), form)
        return _month_page(request, language, here, tx, offering, zone, month, day, form)


@router.post("/{language}/{operator}/{service}")
def book(request: Request, language: str, operator: str, service: str, here: Here, form: Posted) -> Response:
    """Book what the form says; then show the booking."""
    known(language)
    start = instant_of(form.get("start", ""))
    try:
        with here.database.transaction() as tx:
            offering = catalogue.offering(tx, operator, service)
            if start is None:
                return RedirectResponse(request.url.path, 303)
            guard.check(here, form, f"{operator}/{service}")
            booking_id = commands.book(
                tx, here.terms, operator, service, _request_of(form, offering, language, start),
                now=here.now(), cause=CAUSE, idempotency_key=_once(form),
            )  # fmt: skip
            token = queries.token_of(tx, booking_id)
    except BookingError as error:
        with here.database.reading() as tx:
            offering, _ = _asked(
                catalogue.offering(tx, operator, service), form.get("duration", ""), form.get("who", "")
            )
            zone = _zone(form.get("tz", ""), offering)
            if isinstance(error, KeyReused):  # the form was sent before, then changed: that booking stands
                return RedirectResponse(f"/{language}/b/{queries.token_of(tx, error.booking_id)}", 303)
            if isinstance(error, SlotTaken) and start is not None:
                return _taken_page(request, language, here, tx, offering, zone, start, error, form)
            if start is None or isinstance(error, NotFound):
                raise
            return _booking_form(request, language, here, tx, offering, zone, start, form, error=error)
    return RedirectResponse(f"/{language}/b/{token}", 303)


@router.post("/{language}/{operator}/{service}/waitlist")
def join_line(request: Request, language: str, operator: str, service: str, here: Here, form: Posted) -> Response:
    """Take a place in the line; then show it."""
    known(language)
    try:
        with here.database.transaction() as tx:
            offering = catalogue.offering(tx, operator, service)
            if not offering.spec.waitlist.accept:
                raise NotFound("nobody waits in line here")
            guard.check(here, form, f"{operator}/{service}")
            token = waitlist.join(tx, offering, _wish_of(form, language, offering), now=here.now(), cause=CAUSE)
    except Invalid as error:
        with here.database.reading() as tx:
            offering, _ = _asked(
                catalogue.offering(tx, operator, service), form.get("duration", ""), form.get("who", "")
            )
            zone = _zone(form.get("tz", ""), offering)
            return _line_form(
                request, language, here, tx, offering, zone, instant_of(form.get("start", "")), form, error=error
            )
    return RedirectResponse(f"/{language}/w/{token}", 303)


# --- what the pages show ----------------------------------------------------------------------------------------


def _month_page(
    request: Request, language: str, here: Site, tx: Tx, offering: Offering, zone: str, month: str, day: str, form: Form
) -> Response:
    now = here.now()
    today = now.astimezone(ZoneInfo(zone)).date()
    last = (now + offering.rules.horizon).astimezone(ZoneInfo(zone)).date()
    asked = _month(month or day[:7])
    first_of_month = asked or today.replace(day=1)
    weeks = calendar.Calendar(first_weekday(language)).monthdatescalendar(first_of_month.year, first_of_month.month)
    by_day = _by_day(tx, offering, zone, weeks[0][0], weeks[-1][-1], now)
    if asked is None and not any(d.replace(day=1) == first_of_month for d in _open_days(by_day)):
        # Whoever asks for no month wants the next free time, and that is in a later one.
        ahead = _open_days(_by_day(tx, offering, zone, today, min(last, today + AHEAD), now))
        if ahead:
            return _month_page(request, language, here, tx, offering, zone, f"{min(ahead):%Y-%m}", day, form)
    chosen = _date(day) or min(_open_days(by_day), key=lambda d: (d.replace(day=1) != first_of_month, d), default=None)
    if chosen is None and not month:
        chosen = next(iter(sorted(by_day)), None)
    cells = [
        [
            Day(
                d,
                d.month == first_of_month.month,
                sum(s.state is SlotState.OPEN for s in by_day.get(d, ())),
                sum(s.state is not SlotState.OPEN for s in by_day.get(d, ())),
            )
            for d in week
        ]
        for week in weeks
    ]
    before, after = first_of_month - timedelta(days=1), (first_of_month + timedelta(days=32)).replace(day=1)
    return page(
        request, "service.html", language,
        offering=offering, facts=queries.service_facts(offering), text=offering.spec.text(language), zone=zone, zones=zones(),
        today=today, month=first_of_month, weeks=cells, chosen=chosen, starts=by_day.get(chosen, []) if chosen else [],
        previous=before.replace(day=1) if first_of_month > today.replace(day=1) else None,
        following=after if after <= last else None,
        fresh_at=queries.pulse(tx, offering.operator_slug, offering.slug).fresh_at, form=form, more=_more(form),
    )  # fmt: skip


def _by_day(
    tx: Tx, offering: Offering, zone: str, first: date, last: date, now: datetime
) -> dict[date, list[Start]]:  # fmt: skip
    found: dict[date, list[Start]] = {}
    for each in queries.slots(tx, offering, first, last, zone, now=now).starts:
        found.setdefault(each.period.start.astimezone(ZoneInfo(zone)).date(), []).append(each)
    return found


def _open_days(by_day: dict[date, list[Start]]) -> list[date]:
    return [d for d, starts in by_day.items() if any(s.state is SlotState.OPEN for s in starts)]


def _booking_form(
    request: Request, language: str, here: Site, tx: Tx, offering: Offering, zone: str, start: datetime, form: Form,
    *, error: BookingError | None = None,
) -> Response:  # fmt: skip
    found = queries.start_of(tx, offering, start, now=here.now())
    if found is None or found.state is not SlotState.OPEN:
        refusal = commands.taken(tx, offering, start, here.now())
        return _taken_page(request, language, here, tx, offering, zone, start, refusal, form)
    return page(
        request, "book.html", language, status=422 if error else 200,
        offering=offering, text=offering.spec.text(language), zone=zone, zones=zones(), start=found, form=form, more=_more(form),
        once=form.get("once") or secrets.token_urlsafe(16), stamp=_stamp(request), problems=_problems(error), error=error,
    )  # fmt: skip


def _line_form(
    request: Request, language: str, here: Site, tx: Tx, offering: Offering, zone: str, start: datetime | None, form: Form,
    *, error: Invalid | None = None,
) -> Response:  # fmt: skip
    now = here.now()
    today = now.astimezone(ZoneInfo(offering.timezone)).date()
    return page(
        request, "wait.html", language, status=422 if error else 200,
        offering=offering, text=offering.spec.text(language), zone=zone, zones=zones(), start=start, form=form, more=_more(form),
        waiting=queries.waiting_for(tx, offering.service_id), stamp=_stamp(request), problems=_problems(error),
        error=error, now=now, today=today,
    )  # fmt: skip


def _taken_page(
    request: Request, language: str, here: Site, tx: Tx, offering: Offering, zone: str, start: datetime,
    error: SlotTaken, form: Form,
) -> Response:  # fmt: skip
    found = queries.start_of(tx, offering, start, now=here.now())
    left = found.seats_left if found and found.state is SlotState.OPEN else 0
    asked = _number(form.get("seats", "1"))
    return page(
        request, "taken.html", language, status=409,
        offering=offering, text=offering.spec.text(language), zone=zone, start=start, alternatives=error.alternatives,
        form=form, more=_more(form), seats=f"&seats={asked}" if asked > 1 else "", left=left if left < asked else 0,
        waiting=queries.waiting_for(tx, offering.service_id),
    )  # fmt: skip


# --- what the forms say -----------------------------------------------------------------------------------------


def _asked(whole: Offering, duration: str, who: str) -> tuple[Offering, Form]:
    """What a link or form asks for of several durations and a team; what isn't there is passed over."""
    minutes = _number(duration) if _number(duration) in whole.spec.durations else whole.spec.duration_minutes
    member = next((choice for choice in whole.choices if choice.operator_slug == who), None)
    form = {"duration": str(minutes) if len(whole.spec.durations) > 1 else "", "who": who if member else ""}
    return (member or whole).lasting(minutes), form


def _more(form: Form) -> str:
    """What every link of the page repeats of it."""
    given = {name: form[name] for name in ("duration", "who") if form.get(name)}
    return f"&{urlencode(given)}" if given else ""


def _request_of(form: Form, offering: Offering, language: str, start: datetime) -> dict[str, Any]:
    return {
        "start": start,
        "seats": _number(form.get("seats", "1")),
        "client": _client_of(form, language),
        "answers": {f.name: form[f"answer_{f.name}"] for f in offering.spec.fields if f"answer_{f.name}" in form},
        "hold": None,
        **_choice_of(form),
    }


def _wish_of(form: Form, language: str, offering: Offering) -> dict[str, Any]:
    start = instant_of(form.get("start", ""))
    wish: dict[str, Any] = {"start": start}
    if start is None:
        weekdays = [d for d in range(1, 8) if form.get(f"weekday_{d}")]
        wish = {"from": form.get("from"), "to": form.get("to"), "weekdays": weekdays or None}
        if form.get("earliest") or form.get("latest"):
            wish["between"] = [form.get("earliest") or "00:00", form.get("latest") or "24:00"]
    accept = form.get("accept") or next(iter(offering.spec.waitlist.accept), "")
    seats = _number(form.get("seats", "1"))
    return {
        "client": _client_of(form, language), "seats": seats, "wish": wish, "accept": accept, **_choice_of(form),
        "calendar_entry": bool(form.get("calendar_entry")),
    }  # fmt: skip


def _choice_of(form: Form) -> dict[str, Any]:
    duration = form.get("duration")
    return {"duration_minutes": _number(duration) if duration else None, "operator": form.get("who") or None}


def _client_of(form: Form, language: str) -> dict[str, str]:
    return {
        "name": form.get("name", ""),
        "email": form.get("email", ""),
        "timezone": form.get("tz", ""),
        "language": language,
    }


def _problems(error: BookingError | None) -> dict[str, str]:
    """Field → code, for the template to say in the reader's language."""
    return {e.field: e.code for e in error.errors} if isinstance(error, Invalid) else {}


def _stamp(request: Request) -> str:
    form = request.path_params
    return guard.stamp(request.app.state.site, f"{form['operator']}/{form['service']}")


def first_weekday(language: str) -> int:
    """Where a week begins for that reader (CLDR): Monday 0."""
    return int(locale(language).first_week_day)


def known(language: str) -> None:
    """Raises `NotFound` for a language that isn't shipped."""
    if language not in LANGUAGES:
        raise NotFound("there is no such page")


def _zone(name: str, offering: Offering) -> str:
    return name if is_zone(name) else offering.timezone


def _once(form: Form) -> str:
    """The form's own Idempotency-Key, apart from those of the API: nobody else can have seen it."""
    key = form.get("once", "")
    return f"page:{key}" if re.fullmatch(r"[\w-]{1,64}", key, re.ASCII) else ""


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0


def instant_of(text: str) -> datetime | None:
    """An aware instant of a link or form, or None."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment.astimezone(UTC) if moment.tzinfo and REACH[0] <= moment < REACH[1] else None


def _date(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _month(text: str) -> date | None:
    day = _date(text + "-01")
    return day if day and 1990 < day.year < 2200 else None
