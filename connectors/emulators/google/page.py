"""A page for people who want to play the operator: upcoming events of each calendar, and what one does with them."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote
from zoneinfo import ZoneInfo

from jinja2 import Environment, FileSystemLoader

from connectors.emulators.google import series
from connectors.emulators.google.answers import ApiError, Json, Request, Response
from connectors.emulators.google.control import Control
from connectors.emulators.google.listing import virtual_resource
from connectors.emulators.google.store import StoredCalendar, World

DAYS = 21
_RULES = {"daily": ["RRULE:FREQ=DAILY;COUNT=5"], "weekly": ["RRULE:FREQ=WEEKLY;COUNT=8"]}


class Page:
    """``GET /`` shows, ``POST /_page/<act>`` does and goes back."""

    def __init__(self, world: World, control: Control) -> None:
        self._world, self._control = world, control
        environment = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True)
        self._template = environment.get_template("operator.html")

    def handle(self, request: Request) -> Response:
        """Answer one request."""
        if request.method == "GET":
            return Response.html(self._shown(request.first("note")))
        form = {name: values[0] for name, values in parse_qs(request.body.decode(), keep_blank_values=True).items()}
        act = {
            "create": self._create,
            "move": self._move,
            "delete": self._delete,
            "title": self._title,
            "carry": self._carry,
            "answer": self._answer,
        }.get(request.path.removeprefix("/_page/"))
        if act is None:
            return Response.html("<h1>404</h1>", 404)
        try:
            note = act(form)
        except (ApiError, KeyError, ValueError) as error:
            note = f"That did not work: {error}"
        return Response.redirect(f"/?note={quote(note)}", 303)

    def _shown(self, note: str) -> str:
        with self._world.lock:
            living = [c for c in self._world.calendars.values() if not c.deleted]
            shown = [self._calendar(c) for c in living]
        return self._template.render(
            calendars=shown,
            note=note,
            days=DAYS,
            others=lambda calendar: [c for c in shown if c["id"] != calendar["id"]],
        )

    def _calendar(self, calendar: StoredCalendar) -> Json:
        now = self._world.now()
        zone = ZoneInfo(calendar.timezone)
        rows: list[tuple[datetime, Json]] = []
        for event in calendar.events.values():
            if event.cancelled:
                continue
            if event.resource.get("recurrence"):
                known = {e.id for e in self._world.exceptions(calendar, event.id)}
                for instance in series.expand(event.resource, calendar.timezone, now, now + timedelta(days=DAYS)):
                    resource = virtual_resource(event, instance, calendar.timezone)
                    if resource["id"] not in known:
                        rows.append((instance.start, _row(resource, instance.start, instance.end, zone)))
                continue
            start, end = series.span(event.resource, calendar.timezone)
            if now < end and start < now + timedelta(days=DAYS):
                rows.append((start, _row(event.resource, start, end, zone)))
        tomorrow = now.astimezone(zone).date() + timedelta(days=1)
        return {
            "id": calendar.id,
            "summary": calendar.summary,
            "timezone": calendar.timezone,
            "proposal": f"{tomorrow}T10:00",
            "events": [row for _, row in sorted(rows, key=lambda pair: pair[0])],
        }

    def _create(self, form: dict[str, str]) -> str:
        zone = ZoneInfo(self._world.calendars[form["calendar"]].timezone)
        start = datetime.fromisoformat(form["start"]).replace(tzinfo=zone)
        fields: dict[str, Any] = {}
        if form["kind"] in _RULES:
            fields["recurrence"] = _RULES[form["kind"]]
        if form["kind"] == "day":
            self._control.create(form["calendar"], form["title"], start.date(), start.date() + timedelta(days=1))
        else:
            end = start + timedelta(minutes=int(form["minutes"]))
            self._control.create(form["calendar"], form["title"], start, end, **fields)
        return f"Created “{form['title']}”."

    def _move(self, form: dict[str, str]) -> str:
        calendar = self._world.calendars[form["calendar"]]
        zone = ZoneInfo(calendar.timezone)
        with self._world.lock:
            found = calendar.events.get(form["event"])
            if found is not None:
                first, last = series.span(found.resource, calendar.timezone)
            else:
                master = calendar.events[form["event"].rpartition("_")[0]]
                first, last = series.span(master.resource, calendar.timezone)
        start = datetime.fromisoformat(form["start"]).replace(tzinfo=zone)
        self._control.move_time(form["calendar"], form["event"], start, start + (last - first))
        return "Moved."

    def _delete(self, form: dict[str, str]) -> str:
        self._control.delete(form["calendar"], form["event"])
        return "Deleted."

    def _title(self, form: dict[str, str]) -> str:
        self._control.edit(form["calendar"], form["event"], summary=form["title"])
        return "Renamed."

    def _carry(self, form: dict[str, str]) -> str:
        self._control.move_calendar(form["calendar"], form["event"], form["to"])
        return "Moved to the other calendar."

    def _answer(self, form: dict[str, str]) -> str:
        self._control.answer(form["calendar"], form["event"], form["email"], form["response"])
        return f"Answered as {form['email']}."


def _row(resource: Json, start: datetime, end: datetime, zone: ZoneInfo) -> Json:
    local, last = start.astimezone(zone), end.astimezone(zone)
    when = f"{local:%a %d %b %Y, %H:%M}–{last:%H:%M}"
    if "date" in resource["start"]:
        day = date.fromisoformat(resource["start"]["date"])
        when = f"{day:%a %d %b %Y}, all day"
    return {
        "id": resource["id"],
        "master": resource.get("recurringEventId", ""),
        "recurring": bool(resource.get("recurringEventId")),
        "title": resource.get("summary", ""),
        "when": when,
        "start": f"{local:%Y-%m-%dT%H:%M}",
        "ours": "slotledger" in resource.get("extendedProperties", {}).get("private", {}),
        "guests": [a for a in resource.get("attendees", ()) if not a.get("organizer")],
    }
