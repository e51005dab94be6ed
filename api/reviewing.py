"""What each kind of review means when it is approved or dismissed; for the API and the command line."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from api.keys import Caller
from booking import absence, commands, judgement, overview, replies
from booking.errors import FieldError, Invalid, NotFound, NotPossible
from booking.terms import Terms
from ledger import given_up, outbox, reviews, webhook_feed
from ledger.db import Tx
from sync import verdicts

CHOICES: dict[str, tuple[str, ...]] = {
    "move": ("follow", "restore"),
    "overlap": ("cancel",),
    "closed_hours": ("cancel",),
    "bulk_deletion": ("cancel",),
    "calendar_emptied": ("accept",),
    "promotion": ("next", "ID of a waiting client"),
    "counter": ("follow",),
    "reply": ("cancel",),
    "late_decline": ("cancel",),
    "failed_address": ("cancel",),
    "unsent_mail": ("retry",),
    "unwritten_event": ("retry",),
    "webhook": ("resume",),
    "no_show": ("all", "ID of a booking"),
}
"""What `approve` may be told; the first is what it does if nothing is said. Other kinds are only read and put away."""


def _choices(row: dict[str, Any]) -> tuple[str, ...]:
    if row["kind"] == "reply" and row["detail"].get("partstat") != "DECLINED":
        return ()  # nobody said that they don't come
    if row["kind"] == "failed_address" and not row["booking_id"]:
        return ()  # of somebody who only waits
    return CHOICES.get(row["kind"], ())


def listing(tx: Tx, who: Caller, *, state: str, **filters: Any) -> list[dict[str, Any]]:
    """Reviews that the caller may see, with their choices. filters: as `reviews.listing`."""
    rows = reviews.listing(tx, state=state, operator_id=who.operator_id, **filters)
    return [{**row, "choices": list(_choices(row))} for row in rows]


def one(tx: Tx, who: Caller, review_id: int) -> dict[str, Any]:
    """One review, open or decided. Raises `NotFound`."""
    row = _seen(tx, who, review_id)
    return {**row, "choices": list(_choices(row))}


def approve(tx: Tx, terms: Terms, who: Caller, review_id: int, choice: str, *, now: datetime) -> dict[str, Any]:
    """Do it. Raises `NotFound`, `NotPossible`, `Invalid`; the review stays open then."""
    row = _open(tx, who, review_id)
    kind, cause = row["kind"], f"review:{who.name}"
    choice = choice or next(iter(_choices(row)), "")
    if kind == "promotion":
        _promote(tx, terms, who, row, choice, now=now, cause=cause)
    elif kind == "no_show":
        absence.mark_absent(tx, terms, row, choice, now=now, cause=cause)
    elif choice not in (_choices(row) or ("",)):
        raise Invalid([FieldError("choice", "unknown_choice", f"one of {', '.join(_choices(row))}")])
    elif kind == "move":
        judgement.decide_move(tx, terms, row, choice, now=now, cause=cause)
    elif kind in ("overlap", "closed_hours"):
        judgement.cancel_slot(tx, terms, row["slot_id"], by="operator", now=now, cause=cause)
    elif kind == "counter":
        replies.follow_counter(tx, terms, row, now=now, cause=cause)
    elif choice and kind in ("reply", "late_decline"):
        replies.take_as_decline(tx, terms, row, now=now, cause=cause)
    elif choice and kind == "failed_address":
        commands.cancel(tx, terms, row["booking_id"], by="operator", now=now, cause=cause)
    elif kind in given_up.KINDS:
        outbox.retry_all(tx, kind, row["operator_id"], now=now)
    elif kind == "webhook":
        webhook_feed.resume(tx, row["detail"]["webhook"], now=now)
    elif kind == "bulk_deletion":
        verdicts.resolve_bulk(tx, review_id, approve=True, now=now)
    elif kind == "calendar_emptied":
        verdicts.accept_shrink(tx, _calendar_of(row), now=now, by=who.name)
    reviews.resolve(tx, review_id, state="approved", by=who.name, now=now, choice=choice)
    return {**row, "state": "approved", "choice": choice, "resolved_at": now, "resolved_by": who.name}


def dismiss(tx: Tx, terms: Terms, who: Caller, review_id: int, *, now: datetime) -> dict[str, Any]:
    """Keep what the books say: bookings stay, moved events go back, deleted ones are put there again;
    whoever asked for another time is told that it doesn't suit."""
    row = _open(tx, who, review_id)
    if row["kind"] == "bulk_deletion":
        verdicts.resolve_bulk(tx, review_id, approve=False, now=now)
    elif row["kind"] == "move":
        judgement.decide_move(tx, terms, row, "restore", now=now, cause=f"review:{who.name}")
    elif row["kind"] == "promotion":
        judgement.open_kept_seat(tx, row["operator_id"], row["detail"]["holder"])
        _drop(tx, row, now=now)
    elif row["kind"] == "counter":
        replies.decline_counter(tx, row, now=now, cause=f"review:{who.name}")
    reviews.resolve(tx, review_id, state="dismissed", by=who.name, now=now)
    return {**row, "state": "dismissed", "resolved_at": now, "resolved_by": who.name}


def _promote(tx: Tx, terms: Terms, who: Caller, row: dict[str, Any], choice: str, *, now: datetime, cause: str) -> None:
    if choice != "next" and not (choice.isascii() and choice.isdigit() and len(choice) < 19):
        raise Invalid([FieldError("choice", "unknown_choice", "next, or the id of a waiting client")])
    entry_id = 0 if choice == "next" else int(choice)
    if entry_id:
        entry = overview.owner_of_entry(tx, entry_id)
        if entry is None:
            raise Invalid([FieldError("choice", "unknown_choice", "nobody waits by that id")])
        who.sees(entry.operator_id)  # nobody gives a seat to another operator's line
    judgement.give_kept_seat(
        tx, terms, row["operator_id"], row["detail"]["holder"], entry_id=entry_id, now=now, cause=cause
    )
    _drop(tx, row, now=now)


def _drop(tx: Tx, row: dict[str, Any], *, now: datetime) -> None:
    """The held message has nothing to do any more."""
    outbox.discard_key(tx, f"PromoteWaitlist:{row['operator_id']}:{row['detail']['holder']}", now=now)


def _seen(tx: Tx, who: Caller, review_id: int) -> dict[str, Any]:
    row = reviews.one(tx, review_id)
    if row is None:
        raise NotFound("there is no such thing")
    who.sees(row["operator_id"])
    return row


def _open(tx: Tx, who: Caller, review_id: int) -> dict[str, Any]:
    row = _seen(tx, who, review_id)
    if row["state"] != "open":
        raise NotPossible("this review has been decided already")
    return row


def _calendar_of(row: dict[str, Any]) -> int:
    return int(row["key"].rpartition(":")[2])
