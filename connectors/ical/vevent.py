"""VEVENTs of one resource, already read, to one neutral `Event`: who counts, how busy, where in the window. Pure.

Codes in ``Event.problem`` (comma-separated): those of `connectors/ical/recurrence.py` and `Problem`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta, tzinfo
from enum import StrEnum

from connectors.ical.recurrence import END_BEFORE_START, Expansion, Override, Series, expand
from connectors.ical.spans import span, touches
from connectors.ical.values import When
from connectors.model import Busy, Event, Occurrence, PartStat, Period

OWN_UID = re.compile(r"(sl[a-v0-9]{20,62})@")
"""UIDs that we gave: ``Entry.key@domain``."""


class Problem(StrEnum):
    """What was wrong with an object, beside its recurrence."""

    UNREADABLE = "unreadable"
    TOO_LARGE = "too-large"
    NO_UID = "no-uid"
    SEVERAL_UIDS = "several-uids"
    SEVERAL_MASTERS = "several-masters"
    NO_START = "no-start"
    BAD_PROPERTY = "bad-property"
    UNKNOWN_ZONE = "unknown-zone"


@dataclass(slots=True)
class VEvent:
    """What the ledger needs of one VEVENT. None: the property isn't there. busystatus: X-MICROSOFT-CDO-BUSYSTATUS.
    partstat: the calendar owner's own answer. hosted: the owner is the organizer."""

    uid: str = ""
    start: When | None = None
    end: When | None = None
    duration: timedelta | None = None
    rules: list[str] = field(default_factory=list)
    rdates: list[When | tuple[When, When | timedelta]] = field(default_factory=list)
    exdates: list[When] = field(default_factory=list)
    recurrence_id: When | None = None
    this_and_future: bool = False
    sequence: int = 0
    status: str | None = None
    transp: str | None = None
    busystatus: str | None = None
    partstat: PartStat | None = None
    hosted: bool = False
    summary: str | None = None
    categories: tuple[str, ...] | None = None
    key: str = ""
    problems: list[str] = field(default_factory=list)


def busy(
    status: str | None, transp: str | None, busystatus: str | None, partstat: PartStat | None, hosted: bool = False
) -> Busy:
    """How a VEVENT takes time (PROVIDERS E2 rows 1, 4 and 8 to 14; the first that fits). Values in upper case."""
    if status == "CANCELLED":
        return Busy.NONE
    if partstat is PartStat.DECLINED:
        return Busy.FREE
    if busystatus in ("FREE", "WORKINGELSEWHERE") or (busystatus is None and transp == "TRANSPARENT"):
        return Busy.FREE
    if busystatus == "OOF":
        return Busy.BUSY
    if "TENTATIVE" in (busystatus, status) or partstat is PartStat.TENTATIVE:
        return Busy.TENTATIVE
    if partstat is PartStat.NEEDS_ACTION and not hosted:
        return Busy.UNANSWERED
    return Busy.BUSY


def event(
    parts: Sequence[VEvent],
    *,
    href: str,
    etag: str,
    window: Period,
    zone: tzinfo,
    keep_text: bool = True,
    problems: Iterable[str] = (),
) -> Event:
    """One `Event` of all VEVENTs of a resource. zone: the calendar's. problems: what reading them brought up."""
    first = _first(parts)
    found: list[str] = [*problems]
    groups: dict[str, list[VEvent]] = {}
    for part in parts:
        groups.setdefault(part.uid, []).append(part)
        found.extend(part.problems)
    if "" in groups:
        found.append(Problem.NO_UID)
    if len(groups) > 1:
        found.append(Problem.SEVERAL_UIDS)
    key = own_key(first.key, first.uid)
    occurrences: list[Occurrence] = []
    for group in groups.values():
        for series in _series(group, found):
            occurrences.extend(_occurrences(series, window, zone, keep_text, found))
    masters = [part for part in parts if part.recurrence_id is None]
    return Event(
        href=href,
        etag=etag,
        uid=first.uid,
        occurrences=tuple(_distinct(occurrences)),
        sequence=first.sequence,
        own_key=key,
        recurring=any(part.rules or part.rdates or part.recurrence_id is not None for part in parts),
        cancelled=bool(masters) and all(part.status == "CANCELLED" for part in masters),
        problem=",".join(dict.fromkeys(found)),
    )


def own_key(key: str, uid: str) -> str:
    """The `Entry.key` of an event of ours: its X-SLOTLEDGER-KEY, else what our UIDs begin with; else ``""``."""
    if key:
        return key
    match = OWN_UID.match(uid)
    return match.group(1) if match else ""


def _first(parts: Sequence[VEvent]) -> VEvent:
    """The part that speaks for the object: its first master, else its first exception."""
    for part in parts:
        if part.recurrence_id is None:
            return part
    return parts[0] if parts else VEvent()


def _series(group: list[VEvent], found: list[str]) -> list[list[VEvent]]:
    """Each master with its exceptions; exceptions without a master (an invitation to one day) stand alone."""
    if len(group) == 1 and group[0].start is not None:
        return [group]
    masters = [part for part in group if part.recurrence_id is None and part.start is not None]
    if any(part.recurrence_id is None and part.start is None for part in group):
        found.append(Problem.NO_START)
    overrides = sorted((part for part in group if part.recurrence_id is not None), key=lambda part: part.sequence)
    if not masters:
        return [[part] for part in overrides]
    if group[0].uid and len(masters) > 1:
        found.append(Problem.SEVERAL_MASTERS)
        newest = max(part.sequence for part in masters)
        masters = [part for part in masters if part.sequence == newest]
    return [[masters[0], *overrides], *([master] for master in masters[1:])]


def _occurrences(
    parts: list[VEvent], window: Period, zone: tzinfo, keep_text: bool, found: list[str]
) -> list[Occurrence]:
    head, overrides = parts[0], parts[1:]
    if head.recurrence_id is not None:
        overrides, start = parts, head.recurrence_id
    elif head.start is not None:
        start = head.start
    else:
        return []
    if not (overrides or head.rules or head.rdates):  # as most are; `expand` would come to the same
        begin, end, all_day, sane = span(start, head.end, head.duration, zone)
        if not sane:
            found.append(END_BEFORE_START)
        state, title, categories = _words(head, head, keep_text)
        alone = Occurrence(Period(begin, end), state, all_day, "", title, categories)
        return [alone] if touches(begin, end, window) else []
    expansion = _expansion(head, start, overrides, window, zone)
    found.extend(expansion.problems)
    shown = [_words(part, head, keep_text) for part in (*overrides, head)]  # -1 is the master
    return [
        Occurrence(Period(begin, end), shown[source][0], all_day, recurrence_id, shown[source][1], shown[source][2])
        for begin, end, all_day, recurrence_id, source in expansion.instances
    ]


def _expansion(head: VEvent, start: When, overrides: list[VEvent], window: Period, zone: tzinfo) -> Expansion:
    series = Series(
        start,
        head.end,
        head.duration,
        tuple(head.rules),
        tuple(head.rdates),
        tuple(head.exdates),
        tuple(
            Override(part.recurrence_id, part.start, part.end, part.duration, part.this_and_future)
            for part in overrides
            if part.recurrence_id is not None
        ),
    )
    return expand(series, window, zone)


def _words(part: VEvent, master: VEvent, keep_text: bool) -> tuple[Busy, str, tuple[str, ...]]:
    """Busy, title and categories of one part, taking from the master what it doesn't say itself (PROVIDERS E2)."""
    state = busy(
        master.status if part.status is None else part.status,
        master.transp if part.transp is None else part.transp,
        master.busystatus if part.busystatus is None and part.transp is None else part.busystatus,
        master.partstat if part.partstat is None else part.partstat,
        part.hosted or master.hosted,
    )
    if not keep_text:
        return state, "", ()
    title = master.summary if part.summary is None else part.summary
    categories = master.categories if part.categories is None else part.categories
    return state, title or "", categories or ()


def _distinct(occurrences: list[Occurrence]) -> Iterable[Occurrence]:
    """No recurrence_id twice: of several masters or UIDs in one resource, the later get a number added."""
    seen: set[str] = set()
    for occurrence in occurrences:
        name, number = occurrence.recurrence_id, 1
        while name in seen:
            number += 1
            name = f"{occurrence.recurrence_id}~{number}"
        seen.add(name)
        if number == 1:
            yield occurrence
        else:
            yield Occurrence(
                occurrence.period, occurrence.busy, occurrence.all_day, name, occurrence.title, occurrence.categories
            )
