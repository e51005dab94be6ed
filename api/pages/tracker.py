"""A tracker on the public pages, for those who said yes: without a ``PIXEL_ID`` there is none, and before a yes nothing
of it is loaded or named in a page.

It is offered where people look around (`SHOWN_ON`), never where somebody types their data, manages a booking, waits or
works; nothing about anybody is handed to it.
"""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import Request

COOKIE = "sl_tracking"
HOST = "https://pixel.barion.com"
SHOWN_ON = frozenset({"home.html", "operator.html", "service.html"})


@dataclass(frozen=True, slots=True)
class Tracker:
    """The tracker on one page. choice: ``yes``, ``no``, or ``""`` while nobody has said."""

    id: str
    choice: str
    script: str = f"{HOST}/bp.js"


def tracker_on(request: Request, template: str) -> Tracker | None:
    """The tracker of this page, if it may have one."""
    pixel_id = request.app.state.site.settings.pixel_id
    if not pixel_id or template not in SHOWN_ON:
        return None
    choice = request.cookies.get(COOKIE, "")
    return Tracker(pixel_id, choice if choice in ("yes", "no") else "")


def allowed(policy: str, tracker: Tracker | None) -> str:
    """The page's Content-Security-Policy: after a yes with the tracker's one host, else as it is."""
    if tracker is None or tracker.choice != "yes":
        return policy
    opened = ("script-src", "connect-src", "img-src", "frame-src")
    return "; ".join(f"{part} {HOST}" if part.split()[0] in opened else part for part in policy.split("; "))
