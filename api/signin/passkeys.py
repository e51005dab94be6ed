"""Passkeys (WebAuthn level 2): a key of the browser's own, unlocked by its owner, stands for password and code together.

The challenge stays on the server, sealed, and is good once; it is bound to the browser by a cookie.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

import webauthn
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from webauthn.helpers import base64url_to_bytes, bytes_to_base64url
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from api import rates
from api.deps import Here, Site
from api.pages.service import Posted
from api.problems import problem
from api.signin.account import prove
from api.signin.pages import PRIVATE, has_domain
from api.signin.routes import agent_of, check_stranger, welcome
from api.signin.visits import Pressed, cookie_name, give_cookie
from booking.errors import NotFound
from ledger import audit, observe
from ledger.identity import links, sessions, users
from ledger.identity.errors import BadValue
from ledger.observe import Event

router = APIRouter(include_in_schema=False)
own = APIRouter(include_in_schema=False)
_VERIFIED = UserVerificationRequirement.REQUIRED


@router.post("/login/passkey/options")
def ask(request: Request, here: Here, form: Posted) -> Response:
    """A challenge for whatever passkey the browser has for us; says nothing about who has one."""
    check_stranger(request, here, form)
    options = webauthn.generate_authentication_options(rp_id=_host(here), user_verification=_VERIFIED)
    return _challenge(here, "passkey", options.challenge, webauthn.options_to_json(options))


@router.post("/login/passkey")
def sign_in(request: Request, here: Here, form: Posted) -> Response:
    """With the browser's answer: ``{"next": address}``, or 401 whatever was wrong."""
    check_stranger(request, here, form)
    credential = form.get("credential", "")
    known = f"passkey:{_id_of(credential)}"
    rates.sign_in(request, known)
    now = here.now()
    with here.database.transaction() as tx:
        taken = links.take(tx, here.vault, "passkey", _cookie(request, here), now=now)
    token = None
    if taken is not None:
        with here.database.transaction() as tx:
            user_id = _answered(tx, here, credential, taken[0])
            token = user_id and sessions.begin(
                tx, user_id, method="passkey", agent=agent_of(request), now=now,
                instead_of=request.cookies.get(cookie_name(here, "session"), ""),
            )  # fmt: skip
    if not token:
        rates.sign_in_failed(request, known)
        observe.log.warning(Event.LOGIN_FAILED, method="passkey")
        return problem(401, "unauthorized", "this passkey opens nothing here")
    went = welcome(here, token, form.get("next", ""), method="passkey")
    answer = JSONResponse({"next": went.headers["location"]}, headers=PRIVATE)
    answer.raw_headers += [(k, v) for k, v in went.raw_headers if k == b"set-cookie"]
    return answer


@own.post("/account/passkey/options")
def begin(request: Request, here: Here, press: Pressed) -> Response:
    """A challenge to make a passkey for whoever is signed in and knows their password."""
    person = press.visit.person
    try:
        prove(request, here, press.visit, press.form.get("password", ""))
    except BadValue as error:
        return problem(422, error.code, error.detail)
    with here.database.reading() as tx:
        known = [base64url_to_bytes(row["credential_id"]) for row in links.passkeys(tx, person.id)]
    options = webauthn.generate_registration_options(
        rp_id=_host(here), rp_name="Slotledger", user_name=person.email, user_display_name=person.name,
        user_id=f"user:{person.id}".encode(),
        exclude_credentials=[PublicKeyCredentialDescriptor(id=each) for each in known],
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.REQUIRED, user_verification=_VERIFIED
        ),
    )  # fmt: skip
    return _challenge(here, "new passkey", options.challenge, webauthn.options_to_json(options), user_id=person.id)


@own.post("/account/passkey")
def add(request: Request, here: Here, press: Pressed) -> Response:
    """With the browser's answer: from now on it opens this door."""
    person, now = press.visit.person, here.now()
    with here.database.transaction() as tx:
        taken = links.take(tx, here.vault, "new passkey", _cookie(request, here), now=now)
    if taken is None or taken[1] != person.id:
        return problem(409, "too_late", "that took too long, or was begun by somebody else")
    try:
        made = webauthn.verify_registration_response(
            credential=press.form.get("credential", ""), expected_challenge=base64url_to_bytes(taken[0]),
            expected_rp_id=_host(here), expected_origin=_origin(here), require_user_verification=True,
        )  # fmt: skip
    except (WebAuthnException, ValueError):
        return problem(422, "wrong_passkey", "the browser's answer does not fit")
    try:
        with here.database.transaction() as tx:
            links.add_passkey(
                tx, person.id, credential_id=bytes_to_base64url(made.credential_id),
                public_key=bytes_to_base64url(made.credential_public_key), sign_count=made.sign_count,
                name=press.form.get("name", "") or "Passkey", now=now,
            )  # fmt: skip
            audit.record(tx, press.actor, "user.passkey_added", f"user:{person.id}", now=now)
            users.end_sessions(tx, person.id, but=press.visit.session_id)
            token = sessions.rotate(tx, press.visit.session_id)
    except BadValue as error:
        return problem(409, error.code, error.detail)
    answer = JSONResponse({"next": f"/{press.visit.door}/account?did=passkey#links"}, headers=PRIVATE)
    give_cookie(here, answer, "session", token, seconds=int(sessions.LONGEST.total_seconds()))
    return answer


def _answered(tx: Any, here: Site, credential: str, challenge: str) -> int | None:
    """Whose passkey signed the challenge; None if none of ours did, or a copy that counts behind."""
    try:
        row = links.passkey(tx, _id_of(credential))
        if row is None:
            return None
        proved = webauthn.verify_authentication_response(
            credential=credential, expected_challenge=base64url_to_bytes(challenge), expected_rp_id=_host(here),
            expected_origin=_origin(here), credential_public_key=base64url_to_bytes(row.public_key),
            credential_current_sign_count=row.sign_count, require_user_verification=True,
        )  # fmt: skip
    except (WebAuthnException, ValueError, KeyError, TypeError):
        return None
    links.passkey_used(tx, row.id, sign_count=proved.new_sign_count, now=here.now())
    return int(row.user_id)


def _id_of(credential: str) -> str:
    """By which passkey the answer says that it is; ``""`` for what is no answer."""
    try:
        return str(json.loads(credential)["id"])[:2000].replace("\0", "")
    except (ValueError, KeyError, TypeError):
        return ""


def _challenge(here: Site, kind: str, challenge: bytes, options: str, *, user_id: int | None = None) -> Response:
    with here.database.transaction() as tx:
        token = links.begin(
            tx, here.vault, kind, bytes_to_base64url(challenge), now=here.now(), user_id=user_id
        )  # fmt: skip
    answer = Response(options, media_type="application/json", headers=PRIVATE)
    give_cookie(here, answer, "consent", token, seconds=int(links.PATIENCE.total_seconds()))
    return answer


def _cookie(request: Request, here: Site) -> str:
    return request.cookies.get(cookie_name(here, "consent"), "")


def _name(here: Site) -> str:
    return urlsplit(here.settings.base_url).hostname or ""


def _host(here: Site) -> str:
    if not has_domain(here):
        raise NotFound("there are no passkeys at a bare address")
    return _name(here)


def _origin(here: Site) -> str:
    parts = urlsplit(here.settings.base_url)
    return f"{parts.scheme}://{parts.netloc}"
