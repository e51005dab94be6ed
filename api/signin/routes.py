"""The sign-in page, and the way out. Whatever was wrong, the answer is the same: nobody learns who has an account."""

from __future__ import annotations

import secrets

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from api import rates
from api.deps import Here, Site
from api.pages.service import Posted
from api.signin.pages import PRIVATE, private_page, providers_of
from api.signin.visits import (
    NotOurForm,
    Pressed,
    check_origin,
    cookie_name,
    give_cookie,
    safe_next,
    same,
    stranger_token,
    take_cookie,
    visitor,
)
from ledger import observe
from ledger.identity import proofs, sessions, users
from ledger.observe import Event

router = APIRouter(include_in_schema=False)


@router.get("/login")
def ask(request: Request, here: Here, next: str = "") -> Response:
    """The form; whoever is signed in already goes on."""
    visit = visitor(request, here)
    if visit is not None:
        return RedirectResponse(safe_next(next) or f"/{visit.door}/", 303, PRIVATE)
    return form_page(request, here, wanted=next)


@router.post("/login")
def sign_in(request: Request, here: Here, form: Posted) -> Response:
    """By address and password, and a code where the user has asked for codes."""
    check_stranger(request, here, form)
    email, wanted = form.get("email", "").replace("\0", "")[:300], form.get("next", "")
    rates.sign_in(request, email)
    token = proofs.by_password(
        here.database, here.vault, email=email, password=form.get("password", ""), code=form.get("code", "")[:100],
        agent=agent_of(request), now=here.now(), instead_of=request.cookies.get(cookie_name(here, "session"), ""),
    )  # fmt: skip
    if token is None:
        rates.sign_in_failed(request, email)
        observe.log.warning(Event.LOGIN_FAILED, method="password")
        return form_page(request, here, wanted=wanted, email=email, failed="proof")
    return welcome(here, token, wanted, method="password")


@router.post("/logout")
def sign_out(here: Here, request: Request, press: Pressed) -> Response:
    """Out of this browser, or with ``everywhere`` out of all."""
    with here.database.transaction() as tx:
        sessions.end(tx, request.cookies.get(cookie_name(here, "session"), ""))
        if "everywhere" in press.form:
            users.end_sessions(tx, press.visit.person.id)
    answer = RedirectResponse("/login", 303, PRIVATE)
    take_cookie(here, answer, "session")
    return answer


def form_page(request: Request, here: Site, *, wanted: str = "", email: str = "", failed: str = "") -> Response:
    """failed: ``proof``, ``provider`` (an account elsewhere that is nobody's here), ``late`` (begun too long ago)."""
    nonce = request.cookies.get(cookie_name(here, "stranger"), "") or secrets.token_urlsafe(24)
    answer = private_page(
        request, "signin.html", status=401 if failed else 200, consent=True, token=stranger_token(here.vault, nonce),
        wanted=safe_next(wanted), email=email, failed=failed, providers=providers_of(here),
    )  # fmt: skip
    give_cookie(here, answer, "stranger", nonce, seconds=None)
    return answer


def check_stranger(request: Request, here: Site, form: dict[str, str]) -> None:
    """Nobody is signed in yet, so the form is bound to the browser by a cookie of its own. Raises `NotOurForm`."""
    check_origin(request, here)
    nonce = request.cookies.get(cookie_name(here, "stranger"), "")
    if not nonce or not same(form.get("csrf", ""), stranger_token(here.vault, nonce)):
        raise NotOurForm()


def welcome(here: Site, token: str, wanted: str, *, method: str) -> Response:
    """Signed in: a new session's cookie, and on to where one wanted to go."""
    with here.database.reading() as tx:
        session = sessions.find(tx, token, now=here.now())
    door = "operator" if session is not None and session.person.role == "operator" else "admin"
    answer = RedirectResponse(safe_next(wanted) or f"/{door}/", 303, PRIVATE)
    give_cookie(here, answer, "session", token, seconds=int(sessions.LONGEST.total_seconds()))
    take_cookie(here, answer, "stranger")
    observe.log.info(Event.SIGNED_IN, method=method)
    return answer


def agent_of(request: Request) -> str:
    """What the browser calls itself."""
    return request.headers.get("user-agent", "")[:200]
