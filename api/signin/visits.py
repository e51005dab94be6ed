"""Who is signed in? The session of a request, and the proof that its form was ours.

A form counts when three agree: the session's cookie (SameSite=Lax, HttpOnly), a token that is bound to that session,
and the browser's word on where the form came from. Somebody else's page can forge none of the last two.
"""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request
from fastapi.responses import Response

from api.deps import Here, Site
from api.keys import Caller
from api.pages.service import Form, Posted
from booking.errors import NotFound
from ledger import audit
from ledger.identity import sessions
from ledger.identity.users import Person
from ledger.vault import Vault

DOORS = ("operator", "admin")
_NEXT = re.compile(r"/(operator|admin)/[\w/.?=&%+:-]*", re.ASCII)


class SignInFirst(Exception):
    """Nobody is signed in. wanted: where to go afterwards, ``""`` for the start page."""

    def __init__(self, wanted: str = "") -> None:
        super().__init__(wanted)
        self.wanted = wanted


class OtherDoor(Exception):
    """This page is behind the other door, at `address`."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self.address = address


class NotOurForm(Exception):
    """The form wasn't made for this session, or was sent from somewhere else."""


class MayOnlyLook(Exception):
    """Whoever has the role ``read`` changes nothing."""


@dataclass(frozen=True, slots=True)
class Visit:
    """A request of somebody who is signed in. csrf: what every form carries."""

    session_id: int
    key: str
    person: Person
    csrf: str

    @property
    def who(self) -> Caller:
        """The same rights as a token of that scope has."""
        role = self.person.role
        return Caller(
            self.person.name, self.person.operator_id, writes=role != "read", admin=role == "admin", kind="user",
            id=str(self.person.id),
        )  # fmt: skip

    @property
    def door(self) -> str:
        """``operator`` or ``admin``."""
        return "operator" if self.person.role == "operator" else "admin"

    @property
    def cause(self) -> str:
        """For the timeline, which says who did it."""
        return f"{self.door}_page:{self.person.name}"


@dataclass(frozen=True, slots=True)
class Press:
    """A button that was pressed by somebody who is signed in, and the form that it sent. address: of their machine."""

    visit: Visit
    form: Form
    address: str

    @property
    def actor(self) -> audit.Actor:
        """Who it was, as changes are written down."""
        return audit.Actor("user", self.visit.person.name, str(self.visit.person.id), self.address)


def visit_of(request: Request, here: Here) -> Visit:
    """Raises `SignInFirst`; `OtherDoor` for a page that lies behind the other door."""
    visit = visitor(request, here)
    getting = request.method == "GET"
    if visit is None:
        query = f"?{request.url.query}" if request.url.query else ""
        raise SignInFirst(request.url.path + query if getting else "")
    door, _, rest = request.url.path.removeprefix("/").partition("/")
    if door in DOORS and door != visit.door:
        if not getting:
            raise NotFound("there is no such thing")
        raise OtherDoor(f"/{visit.door}/{rest}")
    return visit


def visitor(request: Request, here: Site) -> Visit | None:
    """The same, for pages that are there for everybody."""
    token = request.cookies.get(cookie_name(here, "session"), "")
    if not token:
        return None
    now = here.now()
    with here.database.reading() as tx:
        session = sessions.find(tx, token, now=now)
    if session is None:
        return None
    if not session.fresh:
        with here.database.transaction() as tx:
            sessions.seen(tx, session.id, now=now)
    return visit_in(here, session)


def visit_in(here: Site, session: sessions.Session) -> Visit:
    """A request of this session, with the token that binds its forms to it."""
    return Visit(session.id, session.key, session.person, here.vault.sign(session.key, "form"))


def press_of(request: Request, here: Here, visit: Annotated[Visit, Depends(visit_of)], form: Posted) -> Press:
    """Raises `NotOurForm`; what `visit_of` raises."""
    check_origin(request, here)
    if not same(form.get("csrf", ""), visit.csrf):
        raise NotOurForm()
    return Press(visit, form, request.client.host if request.client else "")


def deed_of(press: Annotated[Press, Depends(press_of)]) -> Press:
    """A press that changes something of the practice. Raises `MayOnlyLook`."""
    if not press.visit.who.writes:
        raise MayOnlyLook()
    return press


Signed = Annotated[Visit, Depends(visit_of)]
Pressed = Annotated[Press, Depends(press_of)]
Deed = Annotated[Press, Depends(deed_of)]


def check_origin(request: Request, here: Site) -> None:
    """Did the browser send this from a page of ours? Raises `NotOurForm`.

    Ours is the public address, or the very host that was asked: a browser lets no page choose either header. What
    sends none of them is no browser and carries nobody's cookies by itself.
    """
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise NotOurForm()
    given = request.headers.get("origin") or request.headers.get("referer")
    if given is None:
        return
    try:
        parts = urlsplit(given)
    except ValueError:
        raise NotOurForm() from None
    public = urlsplit(here.settings.base_url)
    asked = request.headers.get("host", "")
    if (parts.scheme, parts.netloc) != (public.scheme, public.netloc) and parts.netloc != asked:
        raise NotOurForm()


def same(given: str, wanted: str) -> bool:
    """In constant time."""
    return hmac.compare_digest(given.encode(errors="replace"), wanted.encode())


def stranger_token(vault: Vault, nonce: str) -> str:
    """What the sign-in form carries, bound to the browser that it was shown to (login CSRF)."""
    return vault.sign(nonce, "sign-in form")


def safe_next(wanted: str) -> str:
    """Where to go after signing in: a page behind our own doors, else ``""``."""
    return wanted if _NEXT.fullmatch(wanted) and "//" not in wanted and ".." not in wanted else ""


def cookie_name(here: Site, what: str) -> str:
    """``__Host-`` where the address is https: no other host can then set or overwrite it."""
    return f"{'__Host-' if is_secure(here) else ''}slotledger_{what}"


def is_secure(here: Site) -> bool:
    """Is the public address https?"""
    return here.settings.base_url.startswith("https://")


def give_cookie(here: Site, answer: Response, what: str, value: str, *, seconds: int | None) -> None:
    """seconds: None until the browser is closed."""
    answer.set_cookie(
        cookie_name(here, what), value, max_age=seconds, path="/", httponly=True, samesite="lax", secure=is_secure(here)
    )


def take_cookie(here: Site, answer: Response, what: str) -> None:
    """The browser forgets it."""
    answer.delete_cookie(cookie_name(here, what), path="/", httponly=True, samesite="lax", secure=is_secure(here))
