"""Signing in with Google or Microsoft: who it is by their word, and whose door that opens is our own list's.

The consent is bound to the browser by a cookie and kept on the server, sealed, until it comes back once.
"""

from __future__ import annotations

import json

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from api.deps import Here, Site
from api.pages.service import Posted
from api.signin.account import prove
from api.signin.pages import PRIVATE, providers_of
from api.signin.routes import agent_of, check_stranger, form_page, welcome
from api.signin.visits import Pressed, cookie_name, give_cookie, safe_next, take_cookie, visitor
from booking.errors import NotFound
from connectors import oauth
from connectors.errors import ConnectorError
from ledger import audit, observe
from ledger.identity import links, sessions
from ledger.identity.errors import BadValue
from ledger.observe import Event

router = APIRouter(include_in_schema=False)
linking = APIRouter(include_in_schema=False)


@router.post("/login/{provider}")
def begin(request: Request, provider: str, here: Here, form: Posted) -> Response:
    """To the provider's page."""
    _known(here, provider)
    check_stranger(request, here, form)
    return _to_provider(here, provider, wanted=safe_next(form.get("next", "")), user_id=None)


@linking.post("/account/link/{provider}")
def begin_link(request: Request, provider: str, here: Here, press: Pressed) -> Response:
    """The same, for somebody who is signed in and wants this account to open their door from now on."""
    _known(here, provider)
    door = press.visit.door
    try:
        prove(request, here, press.visit, press.form.get("password", ""))
    except BadValue:
        return RedirectResponse(f"/{door}/account?problem=password#links", 303, PRIVATE)
    return _to_provider(here, provider, wanted=f"/{door}/account", user_id=press.visit.person.id)


@router.get("/login/{provider}/callback")
def come_back(request: Request, provider: str, here: Here) -> Response:
    """Back from the provider, once, in the same browser."""
    _known(here, provider)
    now, token = here.now(), request.cookies.get(cookie_name(here, "consent"), "")
    with here.database.transaction() as tx:
        taken = links.take(tx, here.vault, provider, token, now=now) if token else None
    if taken is None:
        return form_page(request, here, failed="late")
    begun, user_id = json.loads(taken[0]), taken[1]
    try:
        granted = oauth.finish(provider, here.accounts.endpoints, begun["pending"], dict(request.query_params))
    except ConnectorError as error:
        observe.log.warning(Event.LOGIN_FAILED, method=provider, error=type(error).__name__)
        return form_page(request, here, wanted=begun["next"], failed="late")
    if user_id is not None:
        return _linked(request, here, provider, granted, user_id, begun["next"])
    with here.database.transaction() as tx:
        verified = granted.email if granted.verified else ""
        known = links.user_of_account(
            tx, provider, granted.account, verified_email=verified, now=now,
            address=request.client.host if request.client else "",
        )  # fmt: skip
        session = known and sessions.begin(
            tx, known, method=provider, agent=agent_of(request), now=now,
            instead_of=request.cookies.get(cookie_name(here, "session"), ""),
        )  # fmt: skip
    if not session:
        observe.log.warning(Event.LOGIN_FAILED, method=provider)
        return form_page(request, here, wanted=begun["next"], failed="provider")
    answer = welcome(here, session, begun["next"], method=provider)
    take_cookie(here, answer, "consent")
    return answer


def _linked(request: Request, here: Site, provider: str, granted: oauth.Granted, user_id: int, wanted: str) -> Response:
    """Only while that user is still signed in here."""
    visit = visitor(request, here)
    if visit is None or visit.person.id != user_id:
        return form_page(request, here, failed="late")
    said = "did=linked"
    try:
        with here.database.transaction() as tx:
            links.add_account(tx, user_id, provider, granted.account, email=granted.email, now=here.now())
            who = audit.Actor("user", visit.person.name, str(user_id), request.client.host if request.client else "")
            audit.record(
                tx, who, "user.account_linked", f"user:{user_id}", now=here.now(), after={"provider": provider}
            )
            token = sessions.rotate(tx, visit.session_id)
    except BadValue:
        said, token = "problem=in_use", ""
    answer = RedirectResponse(f"{wanted}?{said}#links", 303, PRIVATE)
    take_cookie(here, answer, "consent")
    if token:
        give_cookie(here, answer, "session", token, seconds=int(sessions.LONGEST.total_seconds()))
    return answer


def _to_provider(here: Site, provider: str, *, wanted: str, user_id: int | None) -> Response:
    redirect_uri = f"{here.settings.base_url}/login/{provider}/callback"
    consent = oauth.begin(provider, here.accounts.endpoints, redirect_uri, identity_only=True)
    pending = json.dumps({"pending": consent.pending, "next": wanted})
    with here.database.transaction() as tx:
        token = links.begin(tx, here.vault, provider, pending, now=here.now(), user_id=user_id)
    answer = RedirectResponse(consent.url, 303, PRIVATE)
    give_cookie(here, answer, "consent", token, seconds=int(links.PATIENCE.total_seconds()))
    return answer


def _known(here: Site, provider: str) -> None:
    if provider not in dict(providers_of(here)):
        raise NotFound("there is no such page")
