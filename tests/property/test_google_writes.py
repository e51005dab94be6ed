"""Whatever breaks while two workers push the same booking: one live event with our key, at the wanted time, and no mail.

The workers are reconcilers without memory of their own, as the outbox runs them: look, create or update or delete, try
again on anything temporary.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.errors import Conflict, Gone
from connectors.model import Entry, Period, Quirks
from tests.support.google import OPERATOR, GoogleWorld, google_world
from tests.support.two_workers import TwoWorkers

WINDOW = Period(datetime(2027, 1, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC))
START = datetime(2027, 3, 22, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)
TIMEOUT = 0.4
KEY = "slprop0001"
QUIRKS = Quirks()

FAULTS: list[dict[str, object]] = [
    {"action": "commit_then_close"},
    {"action": "commit_then_reset"},
    {"action": "commit_then_hang", "seconds": 2 * TIMEOUT},
    {"action": "commit_then_error", "name": "internalError"},
    {"action": "commit_then_error", "name": "backendError"},
    {"action": "garbage"},
    {"action": "truncate"},
    {"action": "close"},
    {"action": "reset"},
    {"action": "hang", "seconds": 2 * TIMEOUT},
    {"action": "error", "name": "backendError"},
    {"action": "error", "name": "rateLimitExceeded"},
    {"action": "error", "name": "tooManyRequests"},
    {"action": "error", "name": "conditionNotMet"},
    {"action": "status", "code": 502, "body": "<html>bad gateway</html>"},
]
WRITES = "POST|PATCH|DELETE"


@pytest.fixture(scope="module")
def world() -> Iterator[GoogleWorld]:
    with google_world() as world:
        yield world


def entry(shift: int = 0) -> Entry:
    start = START + shift * HOUR
    return Entry(
        key=KEY,
        uid=f"{KEY}@slots.example",
        marker=f"d:{shift}:0",
        period=Period(start, start + HOUR),
        title=f"Visit {shift}",
        sequence=shift,
    )


def workers(world: GoogleWorld) -> TwoWorkers:
    return TwoWorkers(lambda: world.connect(timeout=TIMEOUT), world.calendar, KEY, WINDOW, QUIRKS)


def together(world: GoogleWorld, wanted: Entry | None) -> None:
    workers(world).together(wanted)
    for connector in world.opened:
        connector.close()
    world.opened.clear()


def check(world: GoogleWorld, wanted: Entry | None) -> None:
    stored = world.control.events(OPERATOR, cancelled=True)
    living = [e for e in stored if e["status"] != "cancelled"]
    marked = [e for e in stored if e.get("extendedProperties", {}).get("private", {}).get("slotledger") == KEY]
    assert len(marked) == len(stored) == 1, "never a second one, not even a deleted one"
    assert len(living) == (0 if wanted is None else 1)
    if wanted is not None:
        assert datetime.fromisoformat(living[0]["start"]["dateTime"]) == wanted.period.start
        assert datetime.fromisoformat(living[0]["end"]["dateTime"]) == wanted.period.end
        assert (living[0]["id"], living[0]["summary"]) == (KEY, wanted.title)
    assert world.control.mails() == []


def prepare(world: GoogleWorld, step: str) -> Entry | None:
    """An empty calendar, or one with an earlier state of the booking; returns what is wanted now."""
    world.refill()
    if step == "create":
        return entry()
    google = world.connect()
    google.create(world.calendar, entry(), quirks=QUIRKS)
    world.control.clear_requests()
    return entry(2) if step == "update" else None


@pytest.mark.parametrize("times", [1, 2, 3])
@pytest.mark.parametrize("step", ["create", "update", "delete"])
@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: "-".join(str(v) for v in f.values())[:40])
def test_each_write_fault(world: GoogleWorld, fault: dict[str, object], step: str, times: int) -> None:
    wanted = prepare(world, step)
    for method in WRITES.split("|"):
        world.control.fault(**fault, method=method, path="/events", count=times)
    together(world, wanted)
    assert sum(f["hits"] for f in world.control.faults()) >= 1, "the fault was met"
    check(world, wanted)


plans = st.lists(
    st.tuples(
        st.sampled_from([f for f in FAULTS if "hang" not in str(f["action"])]),
        st.sampled_from(["GET", *WRITES.split("|")]),
        st.integers(1, 4),
        st.integers(1, 3),
    ),
    max_size=4,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(plan=plans, shifts=st.lists(st.integers(1, 5), max_size=3), ends_deleted=st.booleans())
def test_any_mixture_of_faults(
    world: GoogleWorld,
    plan: list[tuple[dict[str, object], str, int, int]],
    shifts: list[int],
    ends_deleted: bool,
) -> None:
    world.refill()
    for fault, method, nth, count in plan:
        world.control.fault(**fault, method=method, path="/events", nth=nth, count=count)
    wanted: Entry | None = entry()
    together(world, wanted)
    for shift in shifts:
        wanted = entry(shift)
        together(world, wanted)
    if ends_deleted:
        wanted = None
        together(world, wanted)
    check(world, wanted)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(fault=st.sampled_from([f for f in FAULTS if "hang" not in str(f["action"])]), when=st.integers(1, 3))
def test_what_the_operator_deleted_meanwhile_stays_deleted(
    world: GoogleWorld, fault: dict[str, object], when: int
) -> None:
    prepare(world, "update")
    world.control.delete(OPERATOR, KEY)
    world.control.fault(**fault, method="POST", path="/events", nth=1, count=when)
    google = world.connect(timeout=TIMEOUT)
    with pytest.raises(Gone):
        workers(world).reconcile(google, entry(2), [])
    check(world, None)


def test_an_operators_move_between_two_attempts_is_a_conflict(world: GoogleWorld) -> None:
    prepare(world, "update")
    google = world.connect()
    before = google.fetch(world.calendar, KEY, WINDOW)
    world.control.move_time(OPERATOR, KEY, START + 9 * HOUR, START + 10 * HOUR)
    with pytest.raises(Conflict):
        google.update(world.calendar, replace(entry(2)), KEY, before.etag, quirks=QUIRKS)
    (stored,) = world.control.events(OPERATOR)
    assert datetime.fromisoformat(stored["start"]["dateTime"]) == START + 9 * HOUR
