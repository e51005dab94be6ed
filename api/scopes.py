"""Pauses as people name them (``service:anna/consultation``), for the API and the command line."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import islice
from typing import Any

from api import dropping
from api.keys import Caller
from booking import foreseen, names, overview, setup
from booking.errors import FieldError, Invalid, NotFound
from ledger import messages, pauses
from ledger.db import Tx

EVERYBODY = Caller("command line", None, writes=True, admin=True, kind="cli")
_MEANS = {
    "RemoteCancellation": "would cancel the bookings of this slot",
    "RemoteMove": "would move the bookings of this slot",
    "GuestDeclined": "would cancel this client's booking",
    "ClientDeclined": "would cancel this client's booking",
    "PromoteWaitlist": "would give a freed seat to the first in line",
    "TimeFreed": "would give freed time to the line and open the rest",
    "PushEvent": "would write the calendar event",
    "SweepEvent": "would remove a doubled calendar event",
    "RemindBooking": "would remind this client",
    "AskAttendance": "would ask this client whether they come",
    "ReleaseUnconfirmed": "would offer a place that nobody confirmed to the line",
    "AskWhoCame": "would ask the operator whether the client came",
    "NoShowTagged": "would mark or unmark a no-show",
}

NOBODY_FITS = "would open a kept seat to everybody: nobody in line fits"


def pause(
    tx: Tx, who: Caller, *, scope: str, automations: Sequence[str], reason: str, until: datetime | None, now: datetime
) -> int:
    """Raises `Invalid`, `NotFound`."""
    kind, target, owner = resolve(tx, scope)
    if owner is None:
        who.must_be_admin()
    else:
        who.sees(owner)
    if until is not None and until <= now:
        raise Invalid([FieldError("until", "in_the_past", "an instant to come is needed")])
    try:
        return pauses.pause(
            tx,
            scope=kind,
            target=target,
            automations=automations,
            now=now,
            reason=reason,
            until=until,
            made_by=who.name,
        )
    except ValueError:
        allowed = ", ".join((*pauses.AUTOMATIONS, "all"))
        raise Invalid([FieldError("automations", "unknown_automation", f"some of {allowed}")]) from None


def resolve(tx: Tx, scope: str) -> tuple[str, str, int | None]:
    """``(kind, id as text, operator)``; the operator is None for the global scope. Raises `Invalid`, `NotFound`."""
    kind, _, name = scope.partition(":")
    if scope == "global":
        return "global", "", None
    if kind == "operator":
        owner = setup.operator_id(tx, name)
        return kind, str(owner), owner
    if kind == "service":
        operator, _, slug = name.partition("/")
        owner = setup.operator_id(tx, operator)
        service_id = next((s["id"] for s in setup.services(tx, operator) if s["slug"] == slug), None)
        if service_id is None:
            raise NotFound(f"there is no service {name}")
        return kind, str(service_id), owner
    if kind == "slot" and name.isascii() and name.isdigit() and len(name) < 19:
        owner = setup.owner_of_slot(tx, int(name))
        return kind, name, owner
    if kind == "booking":
        found = overview.owner_of_booking(tx, name)
        if found is None:
            raise NotFound("there is no such booking")
        return kind, name, found
    raise Invalid([FieldError("scope", "unknown_scope", "global, operator:o, service:o/s, slot:ID or booking:ID")])


def named(tx: Tx, row: dict[str, Any]) -> dict[str, Any]:
    """A pause with its scope as `pause` takes it; what is no longer there is named by its number."""
    kind, target = row["scope"], row["target"]
    if kind == "operator":
        target = names.operator_slug(tx, int(target)) or target
    elif kind == "service":
        target = "/".join(filter(None, names.service_named(tx, int(target)))) or target
    return {**row, "scope": f"{kind}:{target}" if target else kind}


def listing(
    tx: Tx, who: Caller, *, now: datetime, scope: str = "", after: int = 0, limit: int | None = None
) -> list[dict[str, Any]]:
    """Pauses in force that the caller may see, oldest first. scope: of one kind (``service``) only."""
    rows = (r for r in pauses.listing(tx, now=now) if r["id"] > after and scope in ("", r["scope"]))
    return list(islice((r for r in rows if who.operator_id is None or _owner(tx, r) == who.operator_id), limit))


def shown(tx: Tx, pause_id: int) -> dict[str, Any]:
    """One pause. Raises `NotFound`."""
    row = pauses.one(tx, pause_id)
    if row is None:
        raise NotFound("there is no such pause")
    return row


def of(tx: Tx, who: Caller, pause_id: int) -> dict[str, Any]:
    """One pause that the caller may see. Raises `NotFound`, `NotAllowed`."""
    _mine(tx, who, pause_id, only_to_read=True)
    return shown(tx, pause_id)


def owner(tx: Tx, pause_id: int) -> int | None:
    """Whose pause it is, None for the global scope. Raises `NotFound`."""
    return _owner(tx, shown(tx, pause_id))


def preview(tx: Tx, who: Caller, pause_id: int, *, now: datetime) -> list[dict[str, Any]]:
    """What waits behind it: each message with what it would do and to whom, as far as the caller may know them.
    Raises `NotFound`."""
    _mine(tx, who, pause_id, only_to_read=True)
    return [_foreseen(tx, who, row, now) for row in pauses.held(tx, pause_id, now=now)]


def _foreseen(tx: Tx, who: Caller, row: dict[str, Any], now: datetime) -> dict[str, Any]:
    try:
        message = messages.from_body(row["kind"], row["body"])
    except (KeyError, TypeError):  # of another version, which will know what to do
        found = foreseen.Foreseen()
    else:
        found = foreseen.foresee(tx, message, slot_id=row["slot_id"], booking_id=row["booking_id"], now=now)
    theirs = [b for b in found.bookings if who.operator_id in (None, b.operator_id)]
    entry = found.entry if found.entry is not None and who.operator_id in (None, found.entry.operator_id) else None
    would = _MEANS.get(row["kind"], "would be done")
    if row["kind"] == "PromoteWaitlist" and found.entry is None:
        would = NOBODY_FITS
    return {
        **row,
        "bookings": [{"id": b.id, "client_name": b.client_name, "start": b.starts_at} for b in theirs],
        "entry": {"id": entry.id, "client_name": entry.client_name} if entry is not None else None,
        "idle": found.idle,
        "would": "nothing any more" if found.idle else would,
    }


def resume(tx: Tx, who: Caller, pause_id: int, *, discard: Sequence[int], now: datetime) -> list[dict[str, Any]]:
    """End it, dropping these messages: to each of them the answer is no (`dropping`). Returns what was dropped: nothing
    where it is over. Raises `Invalid` for what it doesn't hold: who means another message doesn't want this one to run."""
    _mine(tx, who, pause_id)
    wanted = set(discard)
    dropping.lock(tx, (row for row in pauses.held(tx, pause_id, now=now) if row["id"] in wanted) if wanted else ())
    dropped = pauses.discard(tx, pause_id, discard, now=now) if wanted else []
    unheld = sorted(wanted - {row["id"] for row in dropped})
    if unheld and pauses.is_in_force(shown(tx, pause_id), now=now):
        told = f"this pause doesn't hold {', '.join(map(str, unheld))}; its preview shows what it does"
        raise Invalid([FieldError("discard", "not_held", told)])
    for row in dropped:
        dropping.answer_no(tx, row, by=who.name, now=now)
    pauses.resume(tx, pause_id, now=now)
    return dropped


def _mine(tx: Tx, who: Caller, pause_id: int, *, only_to_read: bool = False) -> None:
    owner = _owner(tx, shown(tx, pause_id))
    if owner is None and only_to_read:
        who.must_be_admin_to_read()
    elif owner is None:
        who.must_be_admin()
    else:
        who.sees(owner)


def _owner(tx: Tx, row: dict[str, Any]) -> int | None:
    """None for the global scope, and for what is no longer there: such a pause is the admins' to end."""
    if row["scope"] == "global":
        return None
    if row["scope"] == "operator":
        return int(row["target"])
    try:
        if row["scope"] == "service":
            return setup.owner_of_service(tx, int(row["target"]))
        if row["scope"] == "slot":
            return setup.owner_of_slot(tx, int(row["target"]))
    except NotFound:
        return None
    return overview.owner_of_booking(tx, row["target"])
