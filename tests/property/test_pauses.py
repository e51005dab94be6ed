"""A pause holds effects, not facts (P10): the same days, with pauses of any scope in between and without, end alike.

Wherever time allows it. It doesn't where somebody acts on what they could see only because of the pause, or too late:

* a stranger who asks for a seat that is kept is refused, though without the pause nobody might have wanted it;
* a time to which an event was dragged can be booked by somebody else while the move is held; it ends in a review then;
* who joins or leaves the line during the pause is or isn't served at its end;
* an offer, a request or an appointment whose time runs out during the pause has run out, and nobody is reminded of what
  was cancelled or moved before its reminder was free to go;
* where pauses hold some frees and let others pass, those who wait for any of several times are served in the order in
  which the seats come free, and may get each other's.

The days below keep clear of exactly these: each start is the matter of one change, those who wait wish for one start
(or for any, where all promotion is paused or none), a jump of the clock comes before everything else, and reminders of
what is changed afterwards are not compared. Seen red with `_keep` left out of `seats_freed`, with a `resume` that leaves
its items, and with a `discard` of everything.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from booking.errors import SlotTaken
from ledger.messages import TimeFreed
from ledger.outbox import Scope, append
from ledger.tables import Busy, Calendar, Connection, RemoteEvent
from tests.support.databases import migrated
from tests.support.desk import MONDAY
from tests.support.twins import WAITING, Paused, Practice

STARTS = tuple(MONDAY.replace(hour=hour) + timedelta(days=day) for day in (1, 2) for hour in (8, 9))
TARGETS = tuple(start + timedelta(days=7) for start in STARTS)
"""A week later nobody is, and nobody wants to be there: each start has its own time to be moved to."""
AUTOMATIONS = ("cancel", "move", "promote", "no_show", "remind", "push")
BY_HAND = ("client cancels", "operator cancels", "client moves")
FACTS = {"is deleted": "cancel", "is declined": "cancel", "is dragged": "move", "is free again": "promote"}


@dataclass(frozen=True, slots=True)
class Start:
    """What is at one start. there: how many have booked. behind: how many wait for it, and whether they are asked."""

    service: str
    there: int
    behind: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Days:
    """A plan for both practices. jump: hours that pass first. changes: ``(start, what)``. pauses: each with the change
    before which it begins, and that before which it ends."""

    starts: dict[datetime, Start]
    anytime: tuple[str, ...]
    jump: int
    changes: tuple[tuple[datetime, str], ...]
    pauses: tuple[tuple[Paused, int, int], ...]


LEADS_TO = {**FACTS, **dict.fromkeys(BY_HAND, "promote")}
"""The automation that a change asks for first; a seat that comes free by it asks for another."""


@st.composite
def starts_drawn(draw: st.DrawFn) -> dict[datetime, Start]:
    """Full starts, most with a line behind them; some are taken by foreign events instead."""
    found = {}
    for at in STARTS:
        service = draw(st.sampled_from(["talk", "talk", "group", "busy"]))
        there = {"talk": 1, "group": 2, "busy": 0}[service]
        behind = draw(st.lists(st.sampled_from(["auto", "ask"]), max_size=2))
        found[at] = Start(service, there, tuple(behind))
    return found


@st.composite
def days_drawn(draw: st.DrawFn) -> Days:
    """Any day, but for what the module's words leave out."""
    starts = draw(starts_drawn())
    wide = draw(st.booleans())
    changes = []
    for at in draw(st.lists(st.sampled_from(STARTS), unique=True, min_size=1)):
        kinds = ["is free again"] if starts[at].service == "busy" else [*BY_HAND, *FACTS][:-1]
        changes.append((at, draw(st.sampled_from(kinds))))
    if wide:  # time that was freed twice is one turn of the line: with those who want any time, only one
        freed = [change for change in changes if change[1] == "is free again"]
        changes = [change for change in changes if change not in freed[1:]]
    pauses = draw(st.lists(_pauses(starts, changes, wide=wide), min_size=1, max_size=3))
    anytime = tuple(draw(st.lists(st.sampled_from(["auto", "ask"]), max_size=2))) if wide else ()
    return Days(starts, anytime, draw(st.sampled_from([0, 0, 3])), tuple(changes), tuple(pauses))


@st.composite
def _pauses(
    draw: st.DrawFn, starts: dict[datetime, Start], changes: list[tuple[datetime, str]], *, wide: bool
) -> tuple[Paused, int, int]:
    """One that has to do with a change; wide: of everything, over all changes."""
    if wide:
        return Paused(draw(st.sampled_from(["global", "operator"])), "", AUTOMATIONS), 0, len(changes)
    number = draw(st.integers(0, len(changes) - 1))
    at, what = changes[number]
    kinds = ["global", "operator", "service", "slot", "booking"][: 5 if starts[at].there else 3]
    scope = draw(st.sampled_from(kinds))
    service = "talk" if starts[at].service == "busy" else starts[at].service
    target = {"service": service, "slot": name(at, 0), "booking": name(at, 0)}.get(scope, "")
    automations = {LEADS_TO[what], *draw(st.lists(st.sampled_from(AUTOMATIONS), max_size=3))}
    begins, ends = draw(st.integers(0, number)), draw(st.integers(number + 1, len(changes)))
    return Paused(scope, target, tuple(sorted(automations))), begins, ends


def name(at: datetime, number: int, role: str = "Booked") -> str:
    """Somebody who belongs to a start."""
    return f"{role}{at:%d%H}N{number}"


# --- living a plan --------------------------------------------------------------------------------------------------


@contextmanager
def practice(days: Days) -> Iterator[Practice]:
    """On its Monday morning, with everybody in their places."""
    with tempfile.TemporaryDirectory() as folder, migrated("sqlite", Path(folder)) as database:
        made = Practice(database)
        made.open(talk={"hours": HOURS}, group={"capacity": 2, "hours": HOURS})
        calendar = _calendar(made)
        for at, start in days.starts.items():
            for number in range(start.there):
                who = name(at, number)
                made.bookings[who] = made.book(at, who, start.service)
            if start.service == "busy":
                _foreign(made, calendar, at)
            for number, accept in enumerate(start.behind):
                service = "talk" if start.service == "busy" else start.service
                who = name(at, number, "Waiting")
                made.places[who] = made.join(who, {"start": at}, service, accept)
        for number, accept in enumerate(days.anytime):
            who = f"Anytime{number}"
            wish = {"from": f"{STARTS[0]:%Y-%m-%d}", "to": f"{STARTS[-1]:%Y-%m-%d}"}
            made.places[who] = made.join(who, wish, "talk", accept)
        made.work()
        yield made


HOURS = {day: ["08:00-12:00"] for day in ("mon", "tue", "wed", "thu")}


def _calendar(made: Practice) -> int:
    with made.database.transaction() as tx:
        owner, now = made.operator_id, made.now
        values = {"operator_id": owner, "provider": "memory", "state_since": now, "created_at": now}
        connection = tx.execute(sa.insert(Connection).values(**values).returning(Connection.id)).scalar_one()
        values = {"connection_id": connection, "operator_id": owner, "href": "c", "bookings": True, "pulled_at": now}
        return int(tx.execute(sa.insert(Calendar).values(**values).returning(Calendar.id)).scalar_one())


def _foreign(made: Practice, calendar: int, at: datetime) -> None:
    with made.database.transaction() as tx:
        event = tx.execute(
            sa.insert(RemoteEvent).values(calendar_id=calendar, href=f"{at}").returning(RemoteEvent.id)
        ).scalar_one()
        values = {"operator_id": made.operator_id, "calendar_id": calendar, "remote_event_id": event}
        tx.execute(sa.insert(Busy).values(**values, starts_at=at, ends_at=at + timedelta(hours=1)))


def change(made: Practice, at: datetime, what: str) -> None:
    """One change, and all that the workers may do about it."""
    who, to = name(at, 0), TARGETS[STARTS.index(at)]
    match what:
        case "client cancels" | "operator cancels":
            made.cancel(made.bookings[who], what.partition(" ")[0])
        case "client moves":
            made.reschedule(made.bookings[who], to)
        case "is deleted":
            made.deleted(who)
        case "is declined":
            made.declined(who)
        case "is dragged":
            made.dragged(who, to)
        case "is free again":
            with made.database.transaction() as tx:
                tx.execute(sa.update(Busy).where(Busy.starts_at == at).values(freed=True))
                append(tx, TimeFreed(made.operator_id), now=made.now, scope=Scope(operator_id=made.operator_id))
    made.work()


def settled(made: Practice, days: Days) -> dict[str, Any]:
    """How it stands when what looks again after a while has looked again."""
    for _ in range(3):
        made.now += timedelta(seconds=61)
        made.work()
    standing = made.standing()
    changed = {f"{name(at, n)} to client" for at, _ in days.changes for n in range(days.starts[at].there)}
    for reader in changed & standing["mails"].keys():
        standing["mails"][reader] = [mail for mail in standing["mails"][reader] if mail[0] != "reminder"]
    return standing


# --- an oracle of scopes, by reading in Python ----------------------------------------------------------------------


def concerned(paused: Paused, days: Days, at: datetime, who: str) -> bool:
    """Is this booking, or this start, in the pause's scope?"""
    start = days.starts[at]
    service = "talk" if start.service == "busy" else start.service
    own = start.there > 0 and paused.target in [name(at, n) for n in range(start.there)]
    return {
        "global": True,
        "operator": True,
        "service": paused.target == service,
        "slot": own,
        "booking": paused.target == who,
    }[paused.scope]


def held(open_ones: list[Paused], days: Days, at: datetime, automation: str, who: str) -> bool:
    """Does one of these pauses hold that automation there?"""
    return any(automation in p.automations and concerned(p, days, at, who) for p in open_ones)


# --- the promise ----------------------------------------------------------------------------------------------------

MANY = settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)


@pytest.mark.timeout(900)
@MANY
@given(days_drawn())
def test_pause_changes_resume_ends_as_without_a_pause(days: Days) -> None:
    note(f"{days}")
    with practice(days) as plain:
        plain.now += timedelta(hours=days.jump)
        plain.work()
        for at, what in days.changes:
            change(plain, at, what)
        wanted = settled(plain, days)
    with practice(days) as made:
        open_ones: dict[int, Paused] = {}
        _turn_pauses(made, days, 0, open_ones)
        made.now += timedelta(hours=days.jump)
        made.work()
        for index, (at, what) in enumerate(days.changes):
            if index:
                _turn_pauses(made, days, index, open_ones)
            before = made.live()
            change(made, at, what)
            _acted_only_out_of_scope(made, days, at, what, list(open_ones.values()), before)
        _turn_pauses(made, days, len(days.changes), open_ones)
        assert not open_ones
        assert settled(made, days) == wanted


def _turn_pauses(made: Practice, days: Days, index: int, open_ones: dict[int, Paused]) -> None:
    """Those that end before this change end, with what they previewed; those that begin here begin."""
    for pause_id in list(open_ones):
        if index in [ends for paused, _, ends in days.pauses if paused is open_ones[pause_id]]:
            _resume(made, pause_id)
            del open_ones[pause_id]
    for paused, begins, ends in days.pauses:
        if begins == index < ends:
            open_ones[made.pause(paused)] = paused


def _resume(made: Practice, pause_id: int) -> None:
    """What the preview says would run is exactly what then runs."""
    named, before = made.preview(pause_id), made.automated()
    made.resume(pause_id)
    made.work()
    after = made.automated()
    ran = {i for i, row in before.items() if row.state in WAITING and after[i].state not in WAITING}
    # A turn of the line looks whether it may; where the promotion of a service is still paused it looks again later.
    looked = {i for i, row in before.items() if row.kind == "TimeFreed"}
    assert ran - looked == {i for i, would in named.items() if would} - looked
    assert list(named) == sorted(named)


def _acted_only_out_of_scope(
    made: Practice, days: Days, at: datetime, what: str, open_ones: list[Paused], before: dict[str, Any]
) -> None:
    """A fact in scope changes nothing; a seat that came free in scope is neither given on nor to be had."""
    who, start, after = name(at, 0), days.starts[at], made.live()
    everybody = [name(at, n) for n in range(start.there)]
    if what in FACTS and what != "is free again":
        of_all = everybody if what != "is declined" else [who]  # an event is everybody's in the slot
        if any(held(open_ones, days, at, FACTS[what], each) for each in of_all):
            assert {w: after.get(w) for w in everybody} == {w: before.get(w) for w in everybody}
            return
    if held(open_ones, days, at, "promote", who) and (start.there or start.behind):  # else nobody's turn is awaited
        waiting = {name(at, n, "Waiting") for n in range(len(start.behind))}
        assert not waiting & after.keys(), "promoted while that was paused"
        service = "talk" if start.service == "busy" else start.service
        assert at not in made.starts(service), "shown to strangers while it was kept"
        with pytest.raises(SlotTaken):
            made.book(at, "stranger", service)


@pytest.mark.timeout(900)
@MANY
@given(days_drawn(), st.data())
def test_discarding_drops_exactly_what_is_named(days: Days, data: st.DataObject) -> None:
    with practice(days) as made:
        pause_id = made.pause(Paused("operator", "", AUTOMATIONS))
        for at, what in days.changes:
            change(made, at, what)
        named, before = made.preview(pause_id), made.automated()
        dropped = (
            set(data.draw(st.lists(st.sampled_from(list(named)), unique=True), label="dropped")) if named else set()
        )
        made.resume(pause_id, sorted(dropped))
        made.work()
        after = made.automated()
        assert {i for i in before if after[i].state == "discarded"} == dropped
        assert not [i for i in named if i not in dropped and after[i].state in WAITING and _is_due(before[i], made)]
        for i in dropped:
            if before[i].kind == "PromoteWaitlist":  # it is nobody's any more, so it is everybody's
                assert not _kept(made, before[i].body["holder"])


def _is_due(row: Any, made: Practice) -> bool:
    return bool(row.not_before <= made.now)


def _kept(made: Practice, holder: str) -> bool:
    with made.database.reading() as tx:
        return tx.execute(sa.text("SELECT 1 FROM seat WHERE holder = :h"), {"h": holder}).first() is not None
