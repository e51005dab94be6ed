"""Keeps programs off the public forms without asking anybody else and without JavaScript.

A form carries a field that people don't see, and a stamp that says when it was opened. Who fills in the one, or sends the
form faster than anybody types, is shown the form again with all that was typed, and why: no person is dropped silently.
Machines have the JSON API.
"""

from __future__ import annotations

import hmac
from datetime import datetime, timedelta

from api.deps import Site
from booking.errors import Invalid

TRAP = "website"
"""The field that must stay empty; a name that programs like to fill in."""
LONGEST = timedelta(hours=12)
"""A form that was left open for longer is shown again."""


class LooksAutomatic(Invalid):
    """The form was filled in as a program does it."""

    def __init__(self, code: str) -> None:
        super().__init__([])
        self.code = code


def stamp(site: Site, about: str) -> str:
    """What the form carries. about: which form it is; a stamp of one opens no other."""
    at = str(int(site.now().timestamp() * 1000))
    return f"{at}.{site.vault.sign(f'{at}:{about}', 'form stamp')}"


def check(site: Site, form: dict[str, str], about: str) -> None:
    """Raises `LooksAutomatic`, with the code ``trap``, ``too_fast`` or ``too_old``."""
    if form.get(TRAP, "").strip():
        raise LooksAutomatic("trap")
    if not site.settings.form_seconds:
        return
    at, _, signature = form.get("stamp", "").partition(".")
    wanted = site.vault.sign(f"{at}:{about}", "form stamp")
    if not hmac.compare_digest(signature.encode(errors="replace"), wanted.encode()):
        raise LooksAutomatic("too_old")
    age = site.now() - datetime.fromtimestamp(int(at) / 1000, tz=site.now().tzinfo)
    if age < timedelta(seconds=site.settings.form_seconds):
        raise LooksAutomatic("too_fast")
    if age > LONGEST:
        raise LooksAutomatic("too_old")
