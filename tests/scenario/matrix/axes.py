"""The axes of the completion matrix, its cells, which of them make no sense, and the slice that every test run takes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations, product
from typing import Any


class Kind(StrEnum):
    """What is booked."""

    INDIVIDUAL = "individual"
    GROUP = "group"


class Arrangement(StrEnum):
    """How the booking comes to its time."""

    DIRECT = "direct"
    HOLD = "from hold"
    APPROVAL = "approval"
    WAITLIST_AUTO = "waitlist auto"
    WAITLIST_OFFER = "waitlist offer"
    RESCHEDULE = "reschedule by client"
    FOLLOW = "move by operator follow"
    PROPOSE = "move by operator propose"


class Provider(StrEnum):
    """The operator's calendar."""

    CALDAV = "CalDAV"
    GOOGLE = "Google"
    MICROSOFT = "Microsoft"
    NONE = "no calendar"


class Ending(StrEnum):
    """What becomes of the booking."""

    ALONE = "left alone"
    CLIENT_LINK = "cancelled by client link"
    IN_CALENDAR = "cancelled by the operator in the calendar"
    API = "cancelled by API"
    REPLY = "declined by the client's calendar reply"
    NO_SHOW = "no-show"


class Automation(StrEnum):
    """Does anything act by itself, or is each change made under a pause that ends afterwards?"""

    RUNNING = "automation running"
    PAUSED = "paused then resumed"


AXES: tuple[tuple[str, type[StrEnum]], ...] = (
    ("kind", Kind),
    ("arrangement", Arrangement),
    ("provider", Provider),
    ("ending", Ending),
    ("automation", Automation),
)


@dataclass(frozen=True, slots=True)
class Cell:
    """One story: a value of each axis."""

    kind: Kind
    arrangement: Arrangement
    provider: Provider
    ending: Ending
    automation: Automation

    @property
    def values(self) -> tuple[Any, ...]:
        """In the order of `AXES`."""
        return tuple(getattr(self, name) for name, _ in AXES)

    @property
    def name(self) -> str:
        """One line that says which."""
        return ", ".join(self.values)


EVERY = tuple(Cell(*values) for values in product(*(axis for _, axis in AXES)))
"""All of them, in the order of the axes."""

_DRAGGED = "a proposal is made by dragging the event, and there is no calendar to drag it in"
_DELETED = "there is no calendar in which the operator could delete the event"


def senseless(cell: Cell) -> str:
    """Why nobody can live this story; ``""`` where somebody can."""
    if cell.provider is not Provider.NONE:
        return ""
    if cell.arrangement is Arrangement.PROPOSE:
        return _DRAGGED
    return _DELETED if cell.ending is Ending.IN_CALENDAR else ""


LIVED = tuple(cell for cell in EVERY if not senseless(cell))
"""The cells that are run."""


def pairs(cell: Cell) -> frozenset[tuple[str, str]]:
    """Every two values that meet in a cell."""
    return frozenset((f"{a}", f"{b}") for a, b in combinations(cell.values, 2))


def all_pairs(cells: tuple[Cell, ...] = LIVED) -> tuple[Cell, ...]:
    """So few cells that every two values which meet anywhere meet in one of them; always the same ones.

    Greedy: the cell that shows the most new pairs; among equals one of values that were seldom chosen.
    """
    left = set().union(*(pairs(cell) for cell in cells))
    chosen: list[Cell] = []
    used = Counter[str]()
    while left:
        best = max(cells, key=lambda cell: (len(pairs(cell) & left), -sum(used[value] for value in cell.values)))
        chosen.append(best)
        used.update(best.values)
        left -= pairs(best)
    return tuple(sorted(chosen, key=EVERY.index))
