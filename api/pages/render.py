"""Templates and languages of the pages."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import available_timezones

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment

from api.pages.tracker import allowed, tracker_on
from api.pages.words import (
    by_day,
    day_name,
    happening,
    marks,
    month_name,
    plain_date,
    status_name,
    weekday_name,
    weekdays,
    wish_limits,
)
from booking.i18n import LANGUAGES, direction, environment, language_name, pick

TEMPLATES = Path(__file__).parent.parent / "templates"
STATIC = Path(__file__).parent.parent / "static"

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self' data:; "
        "frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors *"
    ),
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


@cache
def templates() -> Environment:
    """The pages' templates, with the helpers of `booking.i18n`."""
    made = environment(TEMPLATES)
    for function in (
        by_day, happening, marks, status_name, month_name, day_name, plain_date, weekday_name, weekdays, wish_limits,
    ):  # fmt: skip
        made.globals[function.__name__] = function
    made.globals["languages"] = [(code, language_name(code)) for code in LANGUAGES]
    return made


def page(
    request: Request,
    template: str,
    language: str,
    /,
    *,
    status: int = 200,
    headers: dict[str, str] | None = None,
    **values: Any,
) -> HTMLResponse:
    """One page. values: what the template shows; it also knows ``language``, ``direction``, ``path`` and ``site``."""
    site = request.app.state.site
    tracker = tracker_on(request, template)
    policy = allowed(HEADERS["Content-Security-Policy"], tracker)
    own = {"Content-Security-Policy": policy, "Vary": "Cookie, Sec-Fetch-Dest" if tracker else "Sec-Fetch-Dest"}
    text = (
        templates()
        .get_template(template)
        .render(
            language=language,
            direction=direction(language),
            path=request.url.path,
            query=request.url.query,
            elsewhere=_elsewhere(request, language),
            demo=site.demo,
            tracker=tracker,
            framed=request.headers.get("sec-fetch-dest") == "iframe",  # then it tells its height to `embed.js`
            **values,
        )
    )
    return HTMLResponse(text, status, {**HEADERS, **own, "Content-Language": language, **(headers or {})})


def language_of(request: Request) -> str:
    """What the browser asks for, among the shipped ones."""
    return pick(request.headers.get("accept-language", ""))


@cache
def zones() -> list[str]:
    """Zone names for people to choose from."""
    return sorted(
        z for z in available_timezones() if "/" in z and not z.startswith(("Etc/", "SystemV/", "posix/", "right/"))
    )


def _elsewhere(request: Request, language: str) -> dict[str, str]:
    """The same page in the other languages."""
    prefix = f"/{language}/"
    path = request.url.path
    if path in ("/", f"/{language}"):
        return {code: f"/{code}" for code in LANGUAGES}
    if not path.startswith(prefix):
        return {}
    query = f"?{request.url.query}" if request.url.query else ""
    return {code: f"/{code}/{path.removeprefix(prefix)}{query}" for code in LANGUAGES}
