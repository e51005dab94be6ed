"""Finding an object by UID, on servers whose queries lie in either direction."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from connectors.caldav import search as caldav_search
from connectors.caldav.changes import Reader
from connectors.caldav.search import find_uid
from connectors.emulators import faults
from connectors.emulators.radicale import RunningServer
from connectors.errors import BadAnswer, CalendarGone, ServerFault, Throttled, Unreachable
from connectors.model import Event
from tests.support.caldav_bench import Bench, bench_on
from tests.support.servers import WINDOW, ics, radicale


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with radicale() as running:
        yield running


@pytest.fixture
def bench(server: RunningServer) -> Iterator[Bench]:
    with bench_on(server) as made:
        made.fill(8)
        made.other.put("odd-name.ics", ics("wanted-" + "long" * 30))
        yield made


WANTED = "wanted-" + "long" * 30


def find(bench: Bench, uid: str = WANTED) -> Event | None:
    return find_uid(bench.dav, bench.calendar, uid, Reader(bench.dav, bench.calendar, WINDOW, frozenset()))


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> None:
    """What counts as too many to read them all."""
    monkeypatch.setattr(caldav_search, "BATCH", 4)


def nothing_found(body: bytes) -> bytes:
    return re.sub(rb"<response>.*</response>", b"", body, flags=re.S)


def test_a_query_that_finds_it_is_enough(bench: Bench) -> None:
    event = find(bench)
    assert event is not None
    assert event.href == bench.href("odd-name.ics")
    assert event.etag
    assert len(bench.proxy.log) == 1


@pytest.mark.usefixtures("many")
def test_nothing_counts_once_the_query_has_found_something_else(bench: Bench) -> None:
    assert find(bench, "nowhere") is None
    assert bench.asked() == ["REPORT", "PROPFIND", "REPORT", "REPORT"]
    read = bench.proxy.log[2].body.count(b"<d:href>")
    assert read == 3


@pytest.mark.usefixtures("many")
def test_a_query_that_never_finds_anything_is_not_believed(bench: Bench) -> None:
    bench.proxy.add(faults.change_body(nothing_found), method="REPORT", body=b"calendar-query")
    event = find(bench)
    assert event is not None
    assert event.href == bench.href("odd-name.ics")
    assert find(bench, "nowhere") is None


@pytest.mark.parametrize("code", [400, 403, 405, 500, 501, 507])
def test_where_queries_are_refused_everything_is_read(bench: Bench, code: int) -> None:
    bench.proxy.add(faults.status(code), method="REPORT", body=b"calendar-query")
    event = find(bench)
    assert event is not None
    assert event.href == bench.href("odd-name.ics")
    assert find(bench, "nowhere") is None


def test_a_server_that_answers_with_everything_is_checked_here(bench: Bench) -> None:
    def ignore_filter(exchange: faults.Exchange) -> None:
        exchange.body = re.sub(rb"<c:prop-filter.*</c:prop-filter>", b"", exchange.body)
        exchange.reply(exchange.forward())

    bench.proxy.add(ignore_filter, method="REPORT", body=b"calendar-query")
    event = find(bench)
    assert event is not None
    assert event.uid == WANTED
    assert find(bench, "wanted") is None


def test_a_part_of_a_uid_is_another_uid(bench: Bench) -> None:
    assert find(bench, WANTED[:-1]) is None
    assert find(bench, WANTED.upper()) is None


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (faults.status(404), CalendarGone),
        (faults.status(429), Throttled),
        (faults.status(502), ServerFault),
        (faults.html(), BadAnswer),
        (faults.empty_listing(), BadAnswer),
        (faults.truncate_body(), Unreachable),
        (faults.close_before_commit(), Unreachable),
    ],
)
def test_no_answer_is_not_told_as_nowhere(bench: Bench, fault: faults.Action, error: type[Exception]) -> None:
    bench.proxy.add(fault)
    with pytest.raises(error):
        find(bench, "nowhere")


def test_a_deleted_calendar_holds_no_proof(bench: Bench) -> None:
    bench.other.delete_calendar()
    with pytest.raises(CalendarGone):
        find(bench, "nowhere")
