"""Absence of proof is no proof of absence (P5): when to believe that something is gone. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

MAX_VERIFIED = 20
"""Objects missing from one listing that are asked for one by one; more at once wait for a human."""
SHOWS_WITHIN: Mapping[str, timedelta] = {"microsoft": timedelta(seconds=60)}
"""Providers whose reads may lag behind our own writes, and by how much (PROVIDERS B4.8, G3 M-10)."""
BULK_WINDOW = timedelta(minutes=15)
BULK_SHARE = 0.2
BULK_FEW = 3


@dataclass(frozen=True, slots=True)
class Shrinkage:
    """How much of a calendar vanishes in one pull; only objects that take or open time ahead count.

    known: before. removed: named as gone. absent: merely not listed. left: what is there afterwards, known or new.
    """

    known: int
    removed: int
    absent: int
    left: int


def doubt(shrinkage: Shrinkage) -> str:
    """Why this loss must not be believed, in words for the operator; ``""`` if it may be."""
    vanishing = shrinkage.removed + shrinkage.absent
    if shrinkage.known > 3 and vanishing >= shrinkage.known and not shrinkage.left:
        return f"the calendar is suddenly empty; it had {shrinkage.known} events"
    if vanishing > 10 and vanishing * 2 > shrinkage.known:
        return f"{vanishing} of {shrinkage.known} events vanished at once"
    if shrinkage.absent > MAX_VERIFIED:
        return f"{shrinkage.absent} events are missing from the listing"
    return ""


def too_many_gone(future: int, missing: int) -> bool:
    """The bulk brake: do so many of a connection's future events vanish together that a human should look?

    future: events of ours ahead, missing ones included. missing: those that vanished within `BULK_WINDOW`.
    """
    return missing > max(BULK_FEW, future * BULK_SHARE)


def second_look_at(missing_since: datetime, look: int, grace: timedelta) -> datetime | None:
    """When to look again after a look that found nothing; None if it has been proven."""
    return missing_since + grace if look < 2 and grace > timedelta() else None


def may_not_show_yet(provider: str, confirmed_at: datetime | None, now: datetime) -> bool:
    """Did we write it so lately that not finding it says nothing? Where the provider itself names it as removed, it does."""
    return confirmed_at is not None and now - confirmed_at < SHOWS_WITHIN.get(provider, timedelta())


def may_cancel(starts_at: datetime, now: datetime) -> bool:
    """Only what lies ahead can be cancelled by a deletion; of events that began, operators just clean up."""
    return starts_at > now
