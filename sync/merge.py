"""(known rows, ChangeSet) → LedgerDelta. Pure.

Diffed, never wiped: a period that is still there is left alone, whatever came again. Events of ours never become
busy time; whether they moved is judged later, against the wish as it is when the facts are written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum

from connectors.model import Attendee, Busy, ChangeSet, ETag, Event, Href, Period
from ledger.availability import OpenPeriod, seats_in
from sync.tags import says_no_show

CLOCK_SKEW = timedelta(seconds=10)
"""How far the clocks of two workers may differ."""


@dataclass(frozen=True, slots=True)
class CalendarRules:
    """What a calendar's events mean (PRODUCT, calendar-native operation). transparent: the whole calendar is."""

    busy: bool = False
    availability: bool = False
    bookings: bool = False
    transparent: bool = False
    all_day_blocks: bool = True
    tentative_blocks: bool = True
    unanswered_blocks: bool = True

    @property
    def keeps_foreign(self) -> bool:
        """May anything be stored about events that aren't ours?"""
        return self.busy or self.availability or self.bookings


@dataclass(frozen=True, slots=True)
class KnownEvent:
    """A remote object as the ledger has it. busy, openings: period → row id; freed ones left out."""

    id: int
    href: Href
    etag: ETag
    slot_event_id: int | None = None
    problem: str = ""
    busy: Mapping[Period, int] = field(default_factory=dict)
    openings: Mapping[OpenPeriod, int] = field(default_factory=dict)

    def takes_part_after(self, now: datetime) -> bool:
        """Has it any busy or open time ahead?"""
        return any(p.end > now for p in self.busy) or any(o.period.end > now for o in self.openings)


@dataclass(frozen=True, slots=True)
class OwnEvent:
    """A slot's event. here: it lives in the calendar being merged. wish: where we want it; pushed: where we put it last."""

    id: int
    slot_id: int
    key: str
    uid: str
    here: bool
    href: Href
    etag: ETag
    wanted: bool
    state: str
    version: int
    wish: Period
    pushed: Period | None
    confirmed_at: datetime | None
    missing_since: datetime | None
    title: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """An event of ours as it was read. period: None if it could not be told. no_show: the operator tagged it so; None
    likewise."""

    slot_event_id: int
    href: Href
    etag: ETag
    uid: str
    period: Period | None
    cancelled: bool = False
    problem: str = ""
    known: bool = False  # read at this very etag before
    guests: tuple[Attendee, ...] = ()  # whom the operator's account invited for us
    no_show: bool | None = None


@dataclass(frozen=True, slots=True)
class EventDelta:
    """What one foreign object adds and takes. row_id: None for a new one. before: busy periods with their row ids.
    copy_of: slot whose event it is a copy of."""

    href: Href
    etag: ETag
    uid: str
    problem: str
    row_id: int | None
    rewritten: bool
    busy_added: tuple[Period, ...] = ()
    busy_removed: tuple[int, ...] = ()
    openings_added: tuple[OpenPeriod, ...] = ()
    openings_removed: tuple[int, ...] = ()
    before: tuple[tuple[Period, int], ...] = ()
    copy_of: int | None = None

    @property
    def changes_time(self) -> bool:
        """Does it open or close anything?"""
        return bool(self.busy_added or self.busy_removed or self.openings_added or self.openings_removed)


@dataclass(frozen=True, slots=True)
class LedgerDelta:
    """Everything that one pull changes. gone: rows whose object is no more. vanished: ids of slot events not there."""

    events: tuple[EventDelta, ...] = ()
    gone: tuple[KnownEvent, ...] = ()
    seen: tuple[Seen, ...] = ()
    vanished: tuple[int, ...] = ()

    @property
    def is_news(self) -> bool:
        """Does it say anything that wasn't known?"""
        return bool(self.events or self.gone or self.vanished or any(not one.known for one in self.seen))

    @property
    def changes_time(self) -> bool:
        """Must the operator's lock be taken?"""
        return any(e.changes_time for e in self.events) or any(k.busy or k.openings for k in self.gone)


def merge(
    known: Mapping[Href, KnownEvent],
    changes: ChangeSet,
    rules: CalendarRules,
    own: Sequence[OwnEvent],
    window: Period,
) -> LedgerDelta:
    """What a ChangeSet means for the ledger.

    known: at least the rows that the ChangeSet touches; all of the calendar where it lists everything. own: events of
    ours that live in this calendar (likewise), and others whose key occurs in it; none that are gone.
    """
    changed = {event.href: event for event in changes.changed}
    missing = missing_hrefs(known, changes, own)
    ours = _ours(changed, own, changes)
    by_key = {event.key: event for event in own}
    events: list[EventDelta] = []
    seen: list[Seen] = []
    for href, event in changed.items():
        row = known.get(href)
        if href in ours:
            seen.append(seen_as(event, ours[href], row))
            if row is not None and (row.busy or row.openings):  # it was taken for a copy until now
                events.append(_delta(event, row, frozenset(), frozenset()))
        elif rules.keeps_foreign:
            copy_of = by_key[event.own_key].slot_id if event.own_key in by_key else None
            delta = _foreign(event, row, rules, window, copy_of)
            if delta.rewritten or delta.changes_time:
                events.append(delta)
    found = {one.id for one in ours.values()}
    lost = {one.href: one.id for one in own if one.here and one.href and one.id not in found and one.href in missing}
    gone = [row for href, row in known.items() if href in missing and href not in lost]
    return LedgerDelta(tuple(events), tuple(gone), tuple(seen), tuple(lost.values()))


def missing_hrefs(known: Iterable[Href], changes: ChangeSet, own: Iterable[OwnEvent] = ()) -> frozenset[Href]:
    """Hrefs that the ChangeSet says are gone: named as removed, or known and not listed."""
    changed = {event.href for event in changes.changed}
    missing = set(changes.removed)
    if changes.listed is not None:
        hrefs = {*known, *(one.href for one in own if one.here and one.href)}
        missing |= hrefs - changes.listed
    return frozenset(missing - changed)


def busy_periods(event: Event, rules: CalendarRules, window: Period) -> frozenset[Period]:
    """The time that an event takes under a calendar's rules (PROVIDERS E2)."""
    if not rules.busy or rules.transparent or event.cancelled:
        return frozenset()
    blocks = {
        Busy.BUSY: True,
        Busy.TENTATIVE: rules.tentative_blocks,
        Busy.UNANSWERED: rules.unanswered_blocks,
    }
    return frozenset(
        one.period
        for one in event.occurrences
        if blocks.get(one.busy, False) and (rules.all_day_blocks or not one.all_day) and one.period.overlaps(window)
    )


def open_periods(event: Event, rules: CalendarRules, window: Period) -> frozenset[OpenPeriod]:
    """The hours that an event opens. In a calendar that also counts as busy only free (transparent) events do.

    An invitation that nobody answered, or a tentative event, opens nothing: somebody else may have put it there.
    """
    if not rules.availability or event.cancelled:
        return frozenset()
    opens = (Busy.FREE,) if rules.busy else (Busy.FREE, Busy.BUSY)
    result = set()
    for one in event.occurrences:
        if one.busy in opens and one.period.overlaps(window):
            label = " ".join([one.title, *one.categories]).strip().lower()
            result.add(OpenPeriod(one.period, label, seats_in(label)))
    return frozenset(result)


class Verdict(Enum):
    """What seeing an event of ours tells."""

    SAME = "same"
    MOVED = "moved"
    CANCELLED = "cancelled"
    UNSURE = "unsure"  # it may have been read before our own last write: look again


def judge(own: OwnEvent, seen: Seen, read_after: datetime | None = None) -> Verdict:
    """Did the operator move it? read_after: an instant before it was read; None if nothing was written since then.

    Times that we wished or wrote ourselves are no move, and nothing is told while a write's answer is unknown: that
    write asks for its etag and finds out.
    """
    if seen.cancelled:
        return Verdict.CANCELLED
    if seen.known or seen.problem or not own.wanted or own.state == "sent" or own.pushed is None:
        return Verdict.SAME
    if (seen.etag and seen.etag == own.etag) or seen.period in (own.wish, own.pushed):
        return Verdict.SAME
    raced = read_after is not None and own.confirmed_at is not None and own.confirmed_at > read_after - CLOCK_SKEW
    if seen.period is None or raced:
        return Verdict.UNSURE
    return Verdict.MOVED


def seen_as(event: Event, own: OwnEvent, row: KnownEvent | None = None) -> Seen:
    """How an event of ours was read. Of one that was made a series, the occurrence that we know counts, else the first."""
    periods = sorted(one.period for one in event.occurrences)
    ours = [p for p in periods if p in (own.wish, own.pushed)]
    period = next(iter(ours or periods), None)
    known = row is not None and row.slot_event_id == own.id and bool(event.etag) and row.etag == event.etag
    words = [one for one in event.occurrences if one.period == period] if not event.problem else []
    tagged = any(says_no_show(one.title, one.categories, own.title) for one in words) if words else None
    return Seen(
        own.id,
        event.href,
        event.etag,
        event.uid,
        period,
        event.cancelled,
        event.problem,
        known,
        event.attendees,
        tagged,
    )


def _ours(changed: Mapping[Href, Event], own: Sequence[OwnEvent], changes: ChangeSet) -> dict[Href, OwnEvent]:
    """Which changed objects are *the* event of a slot (PROVIDERS F1): the stored href; before there is one, or when
    it has gone in the same breath, the key. Any other object with our key is a copy."""
    result = {one.href: one for one in own if one.here and one.href in changed}
    absent = missing_hrefs((), changes, own)
    for one in own:
        if not one.here or one.href in result or (one.href and one.href not in absent):
            continue
        candidates = [event for event in changed.values() if event.own_key == one.key and event.href not in result]
        same_uid = [event for event in candidates if event.uid == one.uid]
        chosen = same_uid if one.href else (same_uid or candidates)
        if chosen:
            result[chosen[0].href] = one
    return result


def _foreign(
    event: Event, row: KnownEvent | None, rules: CalendarRules, window: Period, copy_of: int | None
) -> EventDelta:
    busy, openings = busy_periods(event, rules, window), open_periods(event, rules, window)
    if event.problem:
        # What can't be read in full opens nothing: the time it took stays taken, and no hours are opened by it.
        before = row.busy if row is not None and rules.busy and not rules.transparent else ()
        busy |= frozenset(period for period in before if period.overlaps(window))
        openings = frozenset(row.openings if row is not None and rules.availability else ())
    return _delta(event, row, busy, openings, copy_of)


def _delta(
    event: Event,
    row: KnownEvent | None,
    busy: frozenset[Period],
    openings: frozenset[OpenPeriod],
    copy_of: int | None = None,
) -> EventDelta:
    had = row or KnownEvent(0, event.href, "")
    rewritten = row is None or (row.etag, row.problem, row.slot_event_id) != (event.etag, event.problem, None)
    return EventDelta(
        event.href,
        event.etag,
        event.uid,
        event.problem,
        row.id if row is not None else None,
        rewritten,
        tuple(sorted(busy - had.busy.keys())),
        tuple(had.busy[p] for p in sorted(had.busy.keys() - busy)),
        tuple(sorted(openings - had.openings.keys(), key=lambda o: (o.period, o.label))),
        tuple(had.openings[o] for o in had.openings.keys() - openings),
        tuple(had.busy.items()),
        copy_of,
    )
