"""Links that put an appointment into a web calendar by hand, for readers whose mail program shows no invitation. Pure.

An entry made that way has a UID of its own and follows no change, so the invitation comes first and the file with the
same UID (`Terms.invite_url`) is the last of the links. Nothing is in them but the appointment.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote, urlencode

from connectors.model import Period

LONGEST = 400
"""Characters of a title or place in a link: with all of them it stays below what mail programs and servers take."""


@dataclass(frozen=True, slots=True)
class Appointment:
    """What the links say. details: one or two lines, such as where to change it."""

    title: str
    period: Period
    place: str = ""
    details: str = ""


def add_links(about: Appointment, file_url: str) -> tuple[tuple[str, str], ...]:
    """``(name, url)`` for each calendar, the file last. file_url: of the iCalendar file."""
    return (
        ("Google Calendar", _google(about)),
        ("Outlook.com", _outlook("outlook.live.com", about)),
        ("Microsoft 365", _outlook("outlook.office.com", about)),
        ("iCalendar (.ics)", file_url),
    )


def _google(about: Appointment) -> str:
    dates = "/".join(_at(moment, "%Y%m%dT%H%M%SZ") for moment in (about.period.start, about.period.end))
    return _url(
        "https://calendar.google.com/calendar/render",
        {"action": "TEMPLATE", "text": about.title, "dates": dates, "location": about.place, "details": about.details},
    )


def _outlook(host: str, about: Appointment) -> str:
    return _url(
        f"https://{host}/calendar/0/deeplink/compose",
        {
            "path": "/calendar/action/compose",
            "rru": "addevent",
            "subject": about.title,
            "startdt": _at(about.period.start, "%Y-%m-%dT%H:%M:%SZ"),
            "enddt": _at(about.period.end, "%Y-%m-%dT%H:%M:%SZ"),
            "location": about.place,
            "body": about.details,
        },
    )


def _url(base: str, values: dict[str, str]) -> str:
    # Outlook shows a plus as a plus: blanks go as %20.
    return f"{base}?{urlencode({k: v[:LONGEST] for k, v in values.items() if v}, quote_via=quote, safe='')}"


def _at(moment: datetime, pattern: str) -> str:
    return moment.astimezone(UTC).strftime(pattern)
