"""What the desk's pages share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi.responses import RedirectResponse, Response

from api.deps import Site
from api.keys import NotAllowed
from api.signin.pages import PRIVATE
from api.signin.visits import Press, Visit
from booking import catalogue, setup
from booking.errors import BookingError, NotFound
from ledger import audit
from ledger.db import Tx
from sync.errors import SyncError

NOTHING = "there is no such thing"


def operators(tx: Tx, visit: Visit) -> dict[str, dict[str, Any]]:
    """Slug → ``name``, ``timezone`` …, of those whom the visitor may see."""
    return {row["slug"]: row for row in setup.operators(tx, only=visit.who.operator_id)}


def titled(tx: Tx, visit: Visit, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with ``title``: what their service is called in the visitor's language, its slug where it isn't known."""
    known = {
        slug: {
            s["slug"]: catalogue.spec_of(s["spec"]).text(visit.person.language).title for s in setup.services(tx, slug)
        }
        for slug in {row["operator"] for row in rows}
    }
    return [{**row, "title": known[row["operator"]].get(row["service"], row["service"])} for row in rows]


def attempt(here: Site, press: Press, action: str, target: str, act: Callable[[Tx], int | None]) -> str:
    """Do it in one transaction, with the record of who did it. Returns the code of what is in the way, ``""`` if it is
    done. action: ``noun.past tense``, as the admin API writes it; act: returns whose it is. Raises `NotFound`."""
    try:
        with here.database.transaction() as tx:
            owner = act(tx)
            audit.record(tx, press.actor, action, target, now=here.now(), operator_id=owner)
    except NotFound:
        raise
    except NotAllowed:  # what somebody may not do isn't there for them
        raise NotFound(NOTHING) from None
    except (BookingError, SyncError) as error:
        return error.code
    return ""


def back(visit: Visit, page: str, problem: str = "", did: str = "") -> Response:
    """To a page of the desk, which says what was done or what was in the way."""
    said = f"?problem={problem}" if problem else f"?did={did}" if did else ""
    return RedirectResponse(f"/{visit.door}/{page}{said}", 303, PRIVATE)


def number(text: str) -> int:
    """An id of a form; 0 for what is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0
