"""Whether the reader may be counted: a cookie of ours, chosen by a form, so that it needs no script."""

from __future__ import annotations

from urllib.parse import urlsplit

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from api.deps import Here
from api.pages.service import Posted
from api.pages.tracker import COOKIE

router = APIRouter(include_in_schema=False)
KEPT = 180 * 24 * 3600
"""Seconds after which a choice is asked for again."""


@router.post("/consent")
def choose(request: Request, here: Here, form: Posted) -> Response:
    """Store the choice and go back. ``answer``: ``yes``, ``no``, or anything else to be asked again.

    Nobody says yes for somebody else: it counts only from a page of ours.
    """
    answer = form.get("answer", "")
    back = RedirectResponse(_local(form.get("back", "")), 303)
    if answer == "yes" and not _from_here(request, here.settings.base_url):
        return back
    if answer not in ("yes", "no"):
        back.delete_cookie(COOKIE)
        return back
    secure = here.settings.base_url.startswith("https:")
    back.set_cookie(COOKIE, answer, max_age=KEPT, path="/", secure=secure, httponly=True, samesite="lax")
    return back


def _from_here(request: Request, base_url: str) -> bool:
    origin = urlsplit(request.headers.get("origin", ""))
    return bool(origin.netloc) and origin.netloc in (request.headers.get("host", ""), urlsplit(base_url).netloc)


def _local(path: str) -> str:
    """A place on this site; the start where it is none."""
    return path if path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable() else "/"
