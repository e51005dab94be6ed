"""Everybody's own account: password, one-time codes, where one is signed in. Also for who may otherwise only look."""

from __future__ import annotations

from typing import Any

import segno
from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from api import rates
from api.admin.common import RowId
from api.deps import Here, Site
from api.signin.pages import PRIVATE, private_page, providers_of
from api.signin.visits import Press, Pressed, Signed, Visit, give_cookie, visit_in
from api.signin.words import browser_name
from booking.errors import NotFound
from ledger import audit
from ledger.db import Tx
from ledger.identity import codes, links, passwords, sessions, users
from ledger.identity.errors import BadValue
from ledger.vault import VaultError

router = APIRouter(include_in_schema=False)
_PROBLEMS = {
    "password": BadValue("current", "wrong_password", "this is not your password"),
    "in_use": BadValue("account", "in_use", "this account belongs to another user"),
}


@router.get("/account")
def account(request: Request, here: Here, visit: Signed, did: str = "", problem: str = "") -> Response:
    """What opens this account, and the browsers that are signed in. problem: what was in the way elsewhere."""
    return _page(request, here, visit, did=did, problem=_PROBLEMS.get(problem))


@router.post("/account/password")
def change_password(request: Request, here: Here, press: Pressed) -> Response:
    """Another one, for who knows the old one. Every other browser is signed out, and this one's session is renewed."""
    form, person = press.form, press.visit.person
    new = form.get("new", "")
    try:
        _prove(request, here, press)
        passwords.check_new(new, email=person.email)
    except BadValue as error:
        return _page(request, here, press.visit, problem=error)
    made = passwords.hashed(new)
    with here.database.transaction() as tx:
        users.set_password(tx, person.id, made)
        _record(tx, here, press, "user.password_changed")
        token = _renewed(tx, press)
    return _done(here, press, "password", token)


@router.post("/account/codes")
def start_codes(request: Request, here: Here, press: Pressed) -> Response:
    """Show a secret; or take the code that proves that the app has it, and show the recovery codes."""
    person, form = press.visit.person, press.form
    context = f"new totp:{person.id}"
    if "code" not in form:
        try:
            _prove(request, here, press)
        except BadValue as error:
            return _page(request, here, press.visit, problem=error)
        return _setup(request, here, press.visit, codes.new_secret(), context)
    try:
        secret = here.vault.open(form.get("secret", ""), context)
    except VaultError:
        raise NotFound("there is nothing to set up") from None
    try:
        with here.database.transaction() as tx:
            recovery = users.start_codes(tx, here.vault, person.id, secret=secret, code=form["code"], now=here.now())
            _record(tx, here, press, "user.codes_on")
            token = _renewed(tx, press)
            session = sessions.find(tx, token, now=here.now())
    except BadValue as error:
        return _setup(request, here, press.visit, secret, context, problem=error)
    # Its forms are for the session as it is from now on.
    visit = visit_in(here, session) if session else press.visit
    answer = private_page(request, "recovery_codes.html", visit=visit, recovery=recovery)
    give_cookie(here, answer, "session", token, seconds=int(sessions.LONGEST.total_seconds()))
    return answer


@router.post("/account/codes/off")
def stop_codes(request: Request, here: Here, press: Pressed) -> Response:
    """No codes any more; the password proves that it is the owner who wants it."""
    try:
        _prove(request, here, press)
    except BadValue as error:
        return _page(request, here, press.visit, problem=error)
    with here.database.transaction() as tx:
        users.stop_codes(tx, press.visit.person.id)
        _record(tx, here, press, "user.codes_off")
        token = _renewed(tx, press)
    return _done(here, press, "codes-off", token)


@router.post("/account/sessions/{session_id}/end")
def end_session(session_id: RowId, here: Here, press: Pressed) -> Response:
    """Sign another browser out."""
    with here.database.transaction() as tx:
        if not sessions.revoke(tx, press.visit.person.id, session_id):
            raise NotFound("there is no such session")
        _record(tx, here, press, "user.session_ended")
    return RedirectResponse(f"/{press.visit.door}/account?did=ended#sessions", 303, PRIVATE)


@router.post("/account/links/{kind}/{link_id}/remove")
def remove_link(kind: str, link_id: RowId, request: Request, here: Here, press: Pressed) -> Response:
    """A passkey or an account elsewhere opens this door no longer."""
    try:
        _prove(request, here, press)
    except BadValue as error:
        return _page(request, here, press.visit, problem=error)
    with here.database.transaction() as tx:
        if not links.remove(tx, press.visit.person.id, kind, link_id):
            raise NotFound("there is no such thing")
        _record(tx, here, press, {"passkey": "user.passkey_removed"}.get(kind, "user.account_removed"))
        token = _renewed(tx, press)
    return _done(here, press, "removed", token)


def _prove(request: Request, here: Site, press: Press) -> None:
    """What changes how one signs in asks for the password again. Raises `BadValue`, `TooMany`."""
    prove(request, here, press.visit, press.form.get("password", ""))


def prove(request: Request, here: Site, visit: Visit, password: str) -> None:
    """The same for other modules. Whoever has no password is known by the session alone."""
    email = visit.person.email
    rates.sign_in(request, email)
    with here.database.reading() as tx:
        _, stored = users.password_of(tx, email)
    if stored and not passwords.fits(password, stored):
        rates.sign_in_failed(request, email)
        raise BadValue("current", "wrong_password", "this is not your password")


def _record(tx: Tx, here: Site, press: Press, action: str) -> None:
    """What opens a door, and who changed it, is asked for when something went wrong."""
    person = press.visit.person
    audit.record(tx, press.actor, action, f"user:{person.id}", now=here.now(), operator_id=person.operator_id)


def _renewed(tx: Any, press: Press) -> str:
    """Another token for this session, and no other session: whoever stole one is out."""
    users.end_sessions(tx, press.visit.person.id, but=press.visit.session_id)
    return sessions.rotate(tx, press.visit.session_id)


def _done(here: Site, press: Press, did: str, token: str) -> Response:
    answer = RedirectResponse(f"/{press.visit.door}/account?did={did}", 303, PRIVATE)
    give_cookie(here, answer, "session", token, seconds=int(sessions.LONGEST.total_seconds()))
    return answer


def _setup(
    request: Request, here: Site, visit: Visit, secret: str, context: str, *, problem: BadValue | None = None
) -> Response:
    address = codes.address(secret, visit.person.email)
    return private_page(
        request, "codes.html", visit=visit, status=422 if problem else 200, secret=secret, address=address,
        sealed=here.vault.seal(secret, context), picture=segno.make(address).svg_data_uri(light="#fff"), problem=problem,
    )  # fmt: skip


def _page(request: Request, here: Site, visit: Visit, *, did: str = "", problem: BadValue | None = None) -> Response:
    with here.database.reading() as tx:
        return private_page(
            request, "account.html", visit=visit, status=422 if problem else 200, consent=True, did=did, problem=problem,
            browser_name=browser_name,
            sessions=sessions.listing(tx, visit.person.id, now=here.now()),
            passkeys=links.passkeys(tx, visit.person.id), identities=links.identities(tx, visit.person.id),
            providers=providers_of(here), zone=visit.person.timezone,
        )  # fmt: skip
