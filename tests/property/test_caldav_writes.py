"""Whatever breaks while two workers push the same booking to a CalDAV server: one event of ours, at the wanted time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.caldav.connector import CalDavConnector
from connectors.emulators import faults
from connectors.emulators.proxy import FaultProxy
from connectors.errors import Gone
from connectors.model import Calendar, Entry, Period
from connectors.protocol import Credentials
from tests.support.caldav_bench import TRUSTED
from tests.support.caldav_operator import OWNER, CalDavWorld, radicale_world, xandikos_world
from tests.support.servers import HERE
from tests.support.two_workers import TwoWorkers

WINDOW = Period(datetime(2027, 1, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC))
START = datetime(2027, 3, 22, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)
KEY = "slprop0001"
TIMEOUT = 0.5

FAULTS: dict[str, Callable[[], faults.Action]] = {
    "commit then close": faults.commit_then_close,
    "commit then 500": faults.commit_then_status,
    "commit then 503": lambda: faults.commit_then_status(503),
    "commit then hang": lambda: faults.commit_then_hang(2 * TIMEOUT),
    "reset": faults.close_before_commit,
    "hang": lambda: faults.hang_before_commit(2 * TIMEOUT),
    "cut off": faults.truncate_body,
    "garbage": faults.garbage,
    "login page": faults.html,
    "429": lambda: faults.status(429, retry_after=0),
    "500": lambda: faults.status(500),
    "502": lambda: faults.status(502, b"<html>bad gateway</html>"),
    "503": lambda: faults.status(503, retry_after=0),
    "no etag": faults.strip_etag,
    "weak etag": faults.weak_etag,
}
QUICK = [name for name in FAULTS if "hang" not in name]


class Account:
    """One account behind a fault proxy; `fresh` gives an empty calendar."""

    def __init__(self, world: CalDavWorld, proxy: FaultProxy) -> None:
        self.world, self.proxy = world, proxy

    def connect(self) -> CalDavConnector:
        """A worker's connector, through the proxy."""
        credentials = Credentials("caldav", self.proxy.url, OWNER, self.world.operator.secret)
        return CalDavConnector(credentials, HERE, timeout=TIMEOUT)

    @contextmanager
    def fresh(self) -> Iterator[tuple[Calendar, TwoWorkers]]:
        """The calendar as it is beside the proxy, and two workers behind it."""
        self.proxy.clear()
        with self.world.calendar("Europe/Berlin") as direct:
            seen = replace(direct, href=self.proxy.through(direct.href))
            path = "/" + direct.href.split("/", 3)[3]
            yield direct, TwoWorkers(self.connect, seen, f"{path}{KEY}.ics", WINDOW, TRUSTED)
        self.proxy.clear()

    def check(self, direct: Calendar, wanted: Entry | None) -> None:
        """What a neutral reader finds in the calendar."""
        self.proxy.clear()
        with self.world.connect() as reader:
            found = reader.changes(direct, None, WINDOW, dict, quirks=TRUSTED).changed
        if wanted is None:
            assert found == ()
            return
        (event,) = found
        assert event.own_key == KEY
        assert [(o.period, o.title) for o in event.occurrences] == [(wanted.period, wanted.title)]


@pytest.fixture(scope="module", params=[radicale_world, xandikos_world], ids=["radicale", "xandikos"])
def account(request: pytest.FixtureRequest) -> Iterator[Account]:
    with request.param() as world, FaultProxy(world.server.url) as proxy:
        yield Account(world, proxy)


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


@pytest.mark.parametrize("times", [1, 2, 3])
@pytest.mark.parametrize("step", ["create", "update", "delete"])
@pytest.mark.parametrize("fault", FAULTS)
def test_each_write_fault(account: Account, fault: str, step: str, times: int) -> None:
    with account.fresh() as (direct, workers):
        if step != "create":
            workers.together(entry())
        wanted = {"create": entry(), "update": entry(2), "delete": None}[step]
        rule = account.proxy.add(FAULTS[fault](), method="PUT|DELETE", count=times)
        workers.together(wanted)
        assert rule.applied >= 1, "the fault was met"
        account.check(direct, wanted)


plans = st.lists(
    st.tuples(st.sampled_from(QUICK), st.sampled_from(["GET", "PUT", "DELETE"]), st.integers(1, 4), st.integers(1, 3)),
    max_size=4,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(plan=plans, shifts=st.lists(st.integers(1, 5), max_size=3), ends_deleted=st.booleans())
def test_any_mixture_of_faults(
    account: Account, plan: list[tuple[str, str, int, int]], shifts: list[int], ends_deleted: bool
) -> None:
    with account.fresh() as (direct, workers):
        for fault, method, nth, count in plan:
            account.proxy.add(FAULTS[fault](), method=method, nth=nth, count=count)
        wanted: Entry | None = entry()
        workers.together(wanted)
        for shift in shifts:
            wanted = entry(shift)
            workers.together(wanted)
        if ends_deleted:
            wanted = None
            workers.together(None)
        account.check(direct, wanted)


@pytest.mark.parametrize("fault", QUICK)
def test_an_event_that_the_operator_deleted_is_never_updated_back_to_life(account: Account, fault: str) -> None:
    with account.fresh() as (direct, workers):
        workers.together(entry())
        account.world.operator.delete(direct, workers.href)
        account.proxy.add(FAULTS[fault](), method="PUT", count=2)
        with workers.open_connector() as connector:
            for _ in range(4):
                try:
                    connector.update(workers.calendar, entry(2), workers.href, '"known"', quirks=TRUSTED)
                except Gone:
                    break
                except Exception:
                    continue
        account.check(direct, None)
