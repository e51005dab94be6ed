"""Series of Google: a master and its exceptions, found in one listing and expanded in a window (PROVIDERS A5). No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import tzinfo

from connectors.google.events import (
    UNREADABLE,
    Resource,
    busy,
    clipped,
    is_cancelled,
    local,
    occurrence,
    recurrence_id,
    series,
    title,
)
from connectors.ical.recurrence import Override, expand, series_from_lines
from connectors.ical.values import When
from connectors.model import Event, Href, Occurrence, Period


@dataclass(frozen=True, slots=True)
class SeriesPile:
    """The items of one listing, sorted out.

    singles: living events that don't recur. masters: living series. exceptions: changed and cancelled instances by
    the id of their master. removed: ids of stubs that stood for a single event or a whole series.
    """

    singles: dict[Href, Resource] = field(default_factory=dict)
    masters: dict[Href, Resource] = field(default_factory=dict)
    exceptions: dict[Href, dict[Href, Resource]] = field(default_factory=dict)
    removed: frozenset[Href] = frozenset()

    @classmethod
    def sorted_out(cls, items: Iterable[Resource]) -> SeriesPile:
        """Sort the items of all pages, in any order."""
        singles: dict[Href, Resource] = {}
        masters: dict[Href, Resource] = {}
        exceptions: dict[Href, dict[Href, Resource]] = {}
        removed: set[Href] = set()
        for item in items:
            name = str(item["id"])
            if item.get("recurringEventId"):
                exceptions.setdefault(str(item["recurringEventId"]), {})[name] = item
            elif is_cancelled(item):
                removed.add(name)
            elif item.get("recurrence"):
                masters[name] = item
            else:
                singles[name] = item
        return cls(singles, masters, exceptions, frozenset(removed))

    def living(self) -> set[Href]:
        """Series that have a master here, or a living instance: a listing that leaves out what lies before it may
        still bring cancelled instances of a series that is over."""
        shown = {m for m, found in self.exceptions.items() if any(not is_cancelled(e) for e in found.values())}
        return set(self.masters) | shown

    def touched(self) -> set[Href]:
        """Series of which anything is here, and which aren't named as deleted."""
        return (set(self.masters) | set(self.exceptions)) - self.removed

    def instances(self, master: Href) -> dict[Href, Resource]:
        """Exceptions of one series, by their own id."""
        return self.exceptions.get(master, {})

    def uid(self, master: Href) -> str:
        """The iCalUID that a series and its instances share; ``""`` where only stubs are here."""
        candidates = [self.masters.get(master, {}), *self.instances(master).values()]
        return next((str(item["iCalUID"]) for item in candidates if item.get("iCalUID")), "")


def expanded(master: Resource, exceptions: Sequence[Resource], window: Period, zone: tzinfo) -> Event:
    """The whole series as one `Event`: occurrences in the window, cancelled instances left out.

    Never raises on content: what can't be read is named in ``problem``, and its time stays busy.
    """
    problems: list[str] = []
    overrides, sources = _overrides(exceptions, zone, problems)
    try:
        start, end = local(master["start"], zone), local(master["end"], zone)
    except UNREADABLE:
        readable = _readable(exceptions, zone, window)
        return series(master, exceptions, readable, problem="the times of the series can't be read")
    rules, broken = series_from_lines(start, end, master["recurrence"], overrides)
    problems += [f"unknown line {line.split(':', 1)[0]}" for line in broken]
    cancelled = tuple(when for e in exceptions if is_cancelled(e) and (when := _original(e, zone)) is not None)
    rules = replace(rules, exdates=rules.exdates + cancelled)
    expansion = expand(rules, window, zone)
    looks = [(busy(source), title(source)) for source in (*sources, master)]  # -1 is the master
    occurrences = tuple(
        Occurrence(Period(start, end), looks[source][0], all_day, name, looks[source][1])
        for start, end, all_day, name, source in expansion.instances
    )
    return series(master, exceptions, occurrences, problem="; ".join(problems + expansion.problems))


def _overrides(
    exceptions: Sequence[Resource], zone: tzinfo, problems: list[str]
) -> tuple[list[Override], list[Resource]]:
    """Changed instances, in the order of the answer, and the resource that each comes from."""
    overrides: list[Override] = []
    sources: list[Resource] = []
    for item in exceptions:
        if is_cancelled(item):
            continue  # of a stub only the original start is sure
        original = _original(item, zone)
        if original is None:
            problems.append("an instance names no original start")
            continue
        try:
            override = Override(original, local(item["start"], zone), local(item["end"], zone))
        except UNREADABLE:
            problems.append("the times of an instance can't be read")
            override = Override(original)
        overrides.append(override)
        sources.append(item)
    return overrides, sources


def _original(item: Resource, zone: tzinfo) -> When | None:
    try:
        return local(item["originalStartTime"], zone)
    except UNREADABLE:
        return None


def _readable(exceptions: Sequence[Resource], zone: tzinfo, window: Period) -> tuple[Occurrence, ...]:
    found = []
    for item in exceptions:
        if not is_cancelled(item):
            with suppress(*UNREADABLE):
                name = recurrence_id(item["originalStartTime"], zone)
                found.append(occurrence(item, zone, name=name))
    return clipped(found, window)
