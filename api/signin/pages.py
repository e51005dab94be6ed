"""How pages behind the doors are shown, and what is shown where one may not pass."""

from __future__ import annotations

import ipaddress
from typing import Any
from urllib.parse import quote, urlsplit

from fastapi import FastAPI, Request
from fastapi.responses import RedirectResponse, Response

from api.deps import Site
from api.pages.render import HEADERS, language_of, page
from api.signin.visits import MayOnlyLook, NotOurForm, OtherDoor, SignInFirst, Visit
from api.signin.words import word

PRIVATE = {"Cache-Control": "no-store"}


def private_page(
    request: Request,
    template: str,
    *,
    visit: Visit | None = None,
    status: int = 200,
    consent: bool = False,
    **values: Any,
) -> Response:
    """A page that nobody frames and no cache keeps. consent: its form may lead to a provider's consent page."""
    site: Site = request.app.state.site
    language = (visit.person.language if visit else "") or language_of(request)
    rules = HEADERS["Content-Security-Policy"].replace("frame-ancestors *", "frame-ancestors 'none'")
    if consent:
        rules = rules.replace("form-action 'self'", " ".join(["form-action 'self'", *_consent_pages(site)]))
    headers = {**PRIVATE, "Content-Security-Policy": rules}
    values = {
        "word": word,
        "visit": visit,
        "csrf": visit.csrf if visit else "",
        "door": visit.door if visit else "",
        "passkeys_work": has_domain(site),
        **values,
    }
    return page(request, template, language, status=status, headers=headers, **values)


def providers_of(site: Site) -> list[tuple[str, str]]:
    """``(key, name)`` of those at which this deployment is registered."""
    ends = site.accounts.endpoints
    known = (("google", "Google", ends.google_client_id), ("microsoft", "Microsoft", ends.microsoft_client_id))
    return [(key, name) for key, name, client_id in known if client_id]


def has_domain(site: Site) -> bool:
    """Passkeys are bound to a domain: at a bare address there are none."""
    try:
        ipaddress.ip_address(urlsplit(site.settings.base_url).hostname or "")
    except ValueError:
        return True
    return False


def _consent_pages(site: Site) -> list[str]:
    ends = site.accounts.endpoints
    roots = {"google": ends.google_oauth_root or "https://accounts.google.com", "microsoft": ends.microsoft_authority}
    parts = [urlsplit(roots[key]) for key, _ in providers_of(site)]
    return [f"{p.scheme}://{p.netloc}" for p in parts]


def install(app: FastAPI) -> None:
    """What is answered where one may not pass."""

    @app.exception_handler(SignInFirst)
    def _sign_in(_: Request, error: SignInFirst) -> Response:
        wanted = f"?next={quote(error.wanted, safe='')}" if error.wanted else ""
        return RedirectResponse(f"/login{wanted}", 303, PRIVATE)

    @app.exception_handler(OtherDoor)
    def _other_door(_: Request, error: OtherDoor) -> Response:
        return RedirectResponse(error.address, 303, PRIVATE)

    @app.exception_handler(NotOurForm)
    def _not_ours(request: Request, _: NotOurForm) -> Response:
        return private_page(request, "refused.html", status=403, why="form")

    @app.exception_handler(MayOnlyLook)
    def _may_only_look(request: Request, _: MayOnlyLook) -> Response:
        return private_page(request, "refused.html", status=403, why="read")
