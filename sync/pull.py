"""One calendar: token → changes → ledger and facts, in one commit (P4).

Read – close – call – write. What was read before the call is merged outside of any transaction; the writing one begins
by making sure that nobody else has pulled or re-ruled the calendar meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from connectors.errors import BadAnswer, ConnectorError, Gone, Permanent, SyncTokenExpired, Temporary
from connectors.model import ChangeSet, Href, Period, Progress, SyncToken
from connectors.protocol import Connector
from ledger import outbox, reviews
from ledger.backoff import NotYet, next_attempt
from ledger.claims import after_operators, lock_operator
from ledger.db import Tx
from ledger.messages import PullCalendar
from ledger.outbox import Leased
from ledger.tables import Calendar, OutboxMessage, SlotEvent
from sync import hints, mirror
from sync.accounts import RARELY, STALE_AFTER, Accounts
from sync.errors import Disabled, NotFound
from sync.facts import ask_for_look, report_answers, report_missing, report_move, report_tag, withdraw_moves
from sync.merge import (
    CalendarRules,
    KnownEvent,
    LedgerDelta,
    OwnEvent,
    Seen,
    Verdict,
    busy_periods,
    judge,
    merge,
    missing_hrefs,
    open_periods,
)
from sync.roles import ROLES, RULES, unreadable
from sync.stored import calendar_of, quirks_of, token_of, tz_version
from sync.suspicion import Shrinkage, doubt

BEFORE, AHEAD = timedelta(days=1), timedelta(days=400)
"""What a full listing covers, around now."""
MUST_REACH = timedelta(days=200)
"""When less of the window is ahead, everything is listed again."""
UNREADABLE_AFTER = 3
"""So many refusals in a row, and not read for longer than `STALE_AFTER`: nobody but a human mends that."""
_GUARDED = ("token_kind", "token_value", "pulled_at", "transparent", "timezone", *ROLES, *RULES)


LONGEST_READ = timedelta(seconds=10)
"""So long before a pull was written it may have read the calendar; what we wrote there in between it couldn't see."""


@dataclass(frozen=True, slots=True)
class PullResult:
    """What a pull did. changed, gone: objects. full: everything was listed. doubt: why a loss was not believed."""

    calendar_id: int
    changed: int = 0
    gone: int = 0
    full: bool = False
    doubt: str = ""


@dataclass(frozen=True, slots=True)
class _Learned:
    """What was found out before the writing transaction. token: None keeps the old one."""

    changes: ChangeSet
    known: Mapping[Href, KnownEvent]
    own: tuple[OwnEvent, ...]
    window: Period
    full: bool
    started: datetime
    doubt: str = ""


def pull_calendar(
    accounts: Accounts, leased: Leased, *, clock: Callable[[], datetime], progress: Progress | None = None
) -> None:
    """Handle a `PullCalendar`. Raises ConnectorError after noting it at the calendar; nothing else changes then."""
    assert isinstance(leased.message, PullCalendar)
    try:
        _pull(accounts, leased.message.calendar_id, clock, progress, leased)
    except (NotFound, Disabled):
        with accounts.database.transaction() as tx:
            outbox.settle(tx, leased, now=clock())


def pull(
    accounts: Accounts, calendar_id: int, *, clock: Callable[[], datetime], progress: Progress | None = None
) -> PullResult:
    """Pull one calendar now, by the same path. Raises ConnectorError, `NotFound`, `Disabled`, `NotYet` (just pulled)."""
    return _pull(accounts, calendar_id, clock, progress, None)


def _pull(
    accounts: Accounts,
    calendar_id: int,
    clock: Callable[[], datetime],
    progress: Progress | None,
    leased: Leased | None,
) -> PullResult:
    with accounts.database.reading() as tx:
        row = tx.execute(sa.select(Calendar.__table__).where(Calendar.id == calendar_id)).one_or_none()
    if row is None:
        raise NotFound(f"no calendar {calendar_id}")
    try:
        with accounts.open(row.connection_id) as connector:
            learned = _learn(accounts, connector, row, clock, progress)
    except ConnectorError as error:
        _note_failure(accounts, row, error, clock())
        raise
    return _write(accounts, row, learned, clock(), leased)


def _learn(
    accounts: Accounts, connector: Connector, row: Any, clock: Callable[[], datetime], progress: Progress | None
) -> _Learned:
    """Everything that needs the network."""
    started = clock()
    fresh = Period(started - BEFORE, started + AHEAD)
    full = _must_list(row, started)
    window = fresh if full else Period(row.window_start, row.window_end)

    def known_etags() -> Mapping[Href, str]:
        if full:
            return {}  # everything is wanted again, changed or not
        with accounts.database.reading() as tx:
            return mirror.known_etags(tx, row.id)

    calendar, quirks = calendar_of(row), quirks_of(row.quirks)
    since = None if full else token_of(row)
    try:
        changes = connector.changes(calendar, since, window, known_etags, quirks=quirks, progress=progress)
    except SyncTokenExpired:
        if full:
            raise BadAnswer("the server calls a token expired that it was not given") from None
        full, window = True, fresh
        changes = connector.changes(calendar, None, window, known_etags, quirks=quirks, progress=progress)
    learned = _Learned(changes, {}, (), window, full, started)
    listed = changes.listed
    if not (full or changes.changed or changes.removed or listed is None) and listed >= known_etags().keys():
        return replace(learned, changes=replace(changes, listed=None))  # it says only that nothing has changed
    if changes.changed or changes.removed or changes.listed is not None:
        learned = _with_known(accounts, row, learned)
        learned = _verified(accounts, connector, row, learned)
    return learned


def _must_list(row: Any, now: datetime) -> bool:
    """Never read, rules changed (`roles.FORGOTTEN`), window running out, other time-zone data?"""
    return (
        row.pulled_at is None
        or row.window_start is None
        or row.window_end is None
        or row.window_end - now < MUST_REACH
        or row.tz_version != tz_version()
    )


def _with_known(accounts: Accounts, row: Any, learned: _Learned) -> _Learned:
    """The rows that this ChangeSet is about: all where it lists everything, else only those that it touches."""
    changes = learned.changes
    touched = None if changes.listed is not None else [*(e.href for e in changes.changed), *changes.removed]
    keys = [event.own_key for event in changes.changed if event.own_key]
    with accounts.database.reading() as tx:
        known = mirror.known_events(tx, row.id, touched)
        own = mirror.own_events(tx, row.id, hrefs=touched, keys=keys, ends_after=learned.window.start)
    return replace(learned, known=known, own=tuple(own))


def _verified(accounts: Accounts, connector: Connector, row: Any, learned: _Learned) -> _Learned:
    """Believe a loss only where it is plausible, and mere absence only after asking for the object itself (P5)."""
    changes, now = learned.changes, learned.started
    own = {one.href for one in learned.own if one.here and one.href}
    missing = missing_hrefs(learned.known, changes, learned.own)
    losing = [
        learned.known[href]
        for href in sorted(missing - own)
        if href in learned.known and learned.known[href].takes_part_after(now)
    ]
    absent = [known for known in losing if known.href not in changes.removed]
    why = doubt(_shrinkage(accounts, row, learned, len(losing), len(absent)))
    if why and not row.shrink_accepted:
        return replace(learned, changes=replace(changes, removed=(), listed=None, token=None), doubt=why)
    if len(absent) > 0 and not (why and row.shrink_accepted):
        _ask_for_each(connector, row, absent, learned.window, now)
    return learned


def _shrinkage(accounts: Accounts, row: Any, learned: _Learned, losing: int, absent: int) -> Shrinkage:
    if losing <= 3:  # too few to be suspicious: not worth counting the others
        return Shrinkage(losing, losing - absent, absent, 1)
    if learned.changes.listed is not None:
        known = sum(1 for event in learned.known.values() if event.takes_part_after(learned.started))
    else:
        with accounts.database.reading() as tx:
            known = mirror.events_with_time_ahead(tx, row.id, learned.started)
    new = sum(1 for event in learned.changes.changed if event.href not in learned.known)
    return Shrinkage(known, losing - absent, absent, known - losing + new)


def _ask_for_each(connector: Connector, row: Any, absent: list[KnownEvent], window: Period, now: datetime) -> None:
    """Each must be gone, or have left the window. Raises `BadAnswer` if one is there: then the listing lied."""
    calendar, rules = calendar_of(row), rules_of(row)
    for known in absent:
        try:
            event = connector.fetch(calendar, known.href, window)
        except Gone:
            continue
        times = [*busy_periods(event, rules, window), *(o.period for o in open_periods(event, rules, window))]
        if event.problem or any(period.end > now for period in times):
            raise BadAnswer("the listing left out an event that exists")


def rules_of(row: Any) -> CalendarRules:
    """The rules of a row of `ledger.tables.Calendar`."""
    return CalendarRules(
        row.busy,
        row.availability,
        row.bookings,
        row.transparent,
        row.all_day_blocks,
        row.tentative_blocks,
        row.unanswered_blocks,
    )


def _write(accounts: Accounts, row: Any, learned: _Learned, now: datetime, leased: Leased | None) -> PullResult:
    """Facts, ledger and token in one commit."""
    delta = merge(learned.known, learned.changes, rules_of(row), learned.own, learned.window)
    with accounts.database.transaction() as tx:
        if delta.changes_time:
            lock_operator(tx, row.operator_id)
        _guard(tx, row)
        mirror.apply(tx, operator_id=row.operator_id, calendar_id=row.id, delta=delta, now=now)
        _write_own(tx, row.id, delta, learned.started, now)
        if learned.changes.listed is None:
            _miss_echoes(tx, row, delta, now)
        token = learned.changes.token if not learned.doubt else None
        tx.execute(sa.update(Calendar).where(Calendar.id == row.id).values(**_state(row, learned, token, now)))
        if learned.doubt:
            reviews.ask(
                tx,
                "calendar_emptied",
                f"calendar_emptied:{row.id}",
                now=now,
                operator_id=row.operator_id,
                connection_id=row.connection_id,
                detail={"calendar_id": row.id, "calendar": row.name, "why": learned.doubt},
            )
        if delta.is_news and not learned.full:
            hints.note_pull(tx, row.id, since=row.pulled_at, now=now)
        accounts.note_success(tx, row.connection_id, now=now)
        if row.failures:
            _discard_parked(tx, row.id)
            reviews.settle(tx, unreadable(row.id), by="read again", now=now)
        if leased is not None:
            outbox.settle(tx, leased, now=now)
    return PullResult(row.id, len(delta.events) + len(delta.seen), len(delta.gone), learned.full, learned.doubt)


def _guard(tx: Tx, row: Any) -> None:
    """Lock the calendar's row and make sure that it is as it was read. Raises `NotYet`."""
    after_operators(tx, "calendar")
    query = sa.select(Calendar.__table__).where(Calendar.id == row.id).with_for_update(key_share=True)
    current = tx.execute(query).one_or_none()
    if current is None or any(getattr(current, name) != getattr(row, name) for name in _GUARDED):
        raise NotYet("the calendar was changed or pulled meanwhile", timedelta(seconds=1))


def _write_own(tx: Tx, calendar_id: int, delta: LedgerDelta, started: datetime, now: datetime) -> None:
    """Judge what was seen of our own events by their state now."""
    for seen in delta.seen:
        row = _own_row(tx, seen.slot_event_id)
        if row is not None and row.state != "gone":
            _see(tx, calendar_id, row, seen, started, now)
    for event_id in delta.vanished:
        row = _own_row(tx, event_id)
        if row is not None and row.calendar_id == calendar_id:
            report_missing(tx, row, now=now)


def _miss_echoes(tx: Tx, row: Any, delta: LedgerDelta, now: datetime) -> None:
    """What we put there since the last pull must be among the changes. Where it isn't, it may have been deleted again
    already: a server whose token is a hash of its content (Xandikos) then says that nothing has changed at all, and one
    that forgets what came and went (RFC 6578 §3.5.2) doesn't name it. Asked for once, by the time of our write."""
    if row.pulled_at is None:
        return
    told = {seen.slot_event_id for seen in delta.seen} | set(delta.vanished)
    event = SlotEvent
    ours = tx.execute(
        sa.select(event.__table__).where(
            event.calendar_id == row.id,
            event.wanted,
            event.state == "confirmed",
            event.missing_since.is_(None),
            event.confirmed_at > row.pulled_at - LONGEST_READ,
            event.ends_at > now,
        )
    )
    for own in ours.all():
        if own.id not in told:
            ask_for_look(tx, own, own.confirmed_at, now=now)


def _see(tx: Tx, calendar_id: int, row: Any, seen: Seen, started: datetime, now: datetime) -> None:
    own = mirror.own_event(row, calendar_id)
    verdict = judge(own, seen, started)
    if verdict is Verdict.CANCELLED:
        report_missing(tx, row, now=now)
        return
    if verdict is Verdict.MOVED and seen.period is not None:
        report_move(tx, row, seen.period, now=now)
    elif verdict is Verdict.SAME and not seen.known and seen.period in (own.wish, own.pushed):
        withdraw_moves(tx, row, now=now)
    elif verdict is Verdict.UNSURE:
        ask_for_look(tx, row, now, now=now)
    if seen.guests:  # also at a known etag: it may be that of our own last write, with an answer nobody has looked at
        report_answers(tx, row, seen.guests, now=now)
    report_tag(tx, row, seen.no_show, now=now)
    values: dict[str, Any] = {}
    if own.missing_since is not None:
        values["missing_since"] = None
    if own.href != seen.href and (own.href or own.state == "sent"):
        values |= {"href": seen.href, "etag": ""}
    if values:
        tx.execute(sa.update(SlotEvent).where(SlotEvent.id == own.id).values(**values))
    mirror.remember_own(tx, calendar_id, seen.href, seen.etag, seen.uid, own.id, seen.problem)


def _own_row(tx: Tx, event_id: int) -> Any:
    return tx.execute(sa.select(SlotEvent.__table__).where(SlotEvent.id == event_id)).one_or_none()


def _state(row: Any, learned: _Learned, token: SyncToken | None, now: datetime) -> dict[str, Any]:
    """What the calendar's row says after a pull."""
    values: dict[str, Any] = {"failures": 0, "last_error": learned.doubt}
    if learned.doubt:
        return values  # neither the token nor the freshness moves: we don't know what is true
    values["pulled_at"] = now
    if token is not None:
        values |= {"token_kind": token.kind, "token_value": token.value}
    elif row.token_kind and learned.full:
        values |= {"token_kind": "", "token_value": ""}
    if learned.full:
        values |= {"window_start": learned.window.start, "window_end": learned.window.end, "tz_version": tz_version()}
    if row.shrink_accepted:
        values["shrink_accepted"] = False
    return values


def _note_failure(accounts: Accounts, row: Any, error: ConnectorError, now: datetime) -> None:
    """A failed pull changes nothing but this: how often, why, and when it is tried again."""
    failures = row.failures + 1
    # What sounds final may be a passing fault of whatever stands before the server, as with a write (`facts.patient`).
    passing = error if isinstance(error, Temporary) else Temporary()
    again = next_attempt(passing, failures, now) or now + RARELY
    due_at = max(row.due_at or again, again)
    with accounts.database.transaction() as tx:
        tx.execute(
            sa.update(Calendar)
            .where(Calendar.id == row.id)
            .values(failures=failures, last_error=f"{error.code}: {error.detail}"[:500], due_at=due_at)
        )
        accounts.note_failure(tx, row.connection_id, error, now=now)
        _discard_parked(tx, row.id)
        lately = row.pulled_at is not None and now - row.pulled_at <= STALE_AFTER
        if isinstance(error, Permanent) and failures >= UNREADABLE_AFTER and not lately and _counts(row):
            reviews.ask(
                tx,
                "calendar_unreadable",
                unreadable(row.id),
                now=now,
                operator_id=row.operator_id,
                connection_id=row.connection_id,
                detail={"calendar_id": row.id, "calendar": row.name, "why": f"{error.code}: {error.detail}"[:500]},
            )


def _counts(row: Any) -> bool:
    return any(getattr(row, role) for role in ROLES)


def _discard_parked(tx: Tx, calendar_id: int) -> None:
    """Pulls that were given up ask for nobody any more: this one came after them."""
    row = OutboxMessage
    tx.execute(
        sa.update(row).where(row.key == PullCalendar(calendar_id).key, row.state == "parked").values(state="discarded")
    )
