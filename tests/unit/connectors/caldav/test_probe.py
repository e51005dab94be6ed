"""The self-test finds out what is wrong with a server, and leaves nothing behind whatever happens."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from connectors.caldav import probe as caldav_probe
from connectors.emulators import faults
from connectors.emulators.radicale import RunningServer
from connectors.errors import BadAnswer, CalendarGone, NeedsReconnect, Refused, ServerFault, Throttled, Unreachable
from connectors.model import Quirks
from tests.support.caldav_bench import Bench, bench_on
from tests.support.servers import radicale


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with radicale() as running:
        yield running


@pytest.fixture
def bench(server: RunningServer) -> Iterator[Bench]:
    with bench_on(server) as made:
        yield made


def test_a_good_server(bench: Bench) -> None:
    found = bench.connector.selftest(bench.calendar, write=True)
    assert (found.sync_token, found.if_none_match, found.etag_on_put) == ("trusted", True, True)
    assert found.notes == ()
    assert float(found.extra["deletion_shows_seconds"]) < 1
    assert bench.other.names() == set()


def test_without_permission_nothing_is_written(bench: Bench) -> None:
    found = bench.connector.selftest(bench.calendar, write=False)
    assert (found.sync_token, found.if_none_match, found.etag_on_put) == ("trusted", None, None)
    assert not {"PUT", "DELETE"} & set(bench.asked())


def read_only(bench: Bench) -> Quirks:
    return bench.connector.selftest(bench.calendar, write=False)


def test_a_server_that_accepts_any_token_is_not_trusted(bench: Bench) -> None:
    bench.proxy.add(faults.accept_bad_token(), method="REPORT")
    found = read_only(bench)
    assert found.sync_token == "untrusted"
    assert any("never issued" in note for note in found.notes)


def test_a_server_that_accepts_numbers_as_tokens_is_not_trusted(bench: Bench) -> None:
    bench.proxy.add(faults.accept_bad_token(), method="REPORT", body=b"0" * 40)
    assert read_only(bench).sync_token == "untrusted"


@pytest.mark.parametrize("code", [400, 409, 412, 500, 507])
def test_a_token_may_be_refused_in_many_words(bench: Bench, code: int) -> None:
    bench.proxy.add(faults.status(code), method="REPORT", body=b"x-invalid|" + b"0" * 40)
    assert read_only(bench).sync_token == "trusted"


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (faults.status(401), NeedsReconnect),
        (faults.status(429), Throttled),
        (faults.status(503), ServerFault),
        (faults.status(503, retry_after=1), Throttled),
        (faults.close_before_commit(), Unreachable),
    ],
)
def test_trouble_is_not_taken_for_a_refused_token(bench: Bench, fault: faults.Action, error: type[Exception]) -> None:
    bench.proxy.add(fault, method="REPORT", body=b"x-invalid")
    with pytest.raises(error):
        read_only(bench)


@pytest.mark.parametrize("fault", [faults.status(403), faults.status(501), faults.html(), faults.empty_listing()])
def test_a_server_without_sync_collection(bench: Bench, fault: faults.Action) -> None:
    bench.proxy.add(fault, method="REPORT")
    assert read_only(bench).sync_token == "absent"


@pytest.mark.parametrize(("hidden", "way"), [((b"sync-token",), "ctag"), ((b"sync-token", b"getctag"), "etags")])
def test_a_server_without_tokens(bench: Bench, hidden: tuple[bytes, ...], way: str) -> None:
    def hide(body: bytes) -> bytes:
        for name in hidden:
            body = body.replace(name, b"x" + name)
        return body

    bench.proxy.add(faults.change_body(hide), method="PROPFIND")
    found = read_only(bench)
    assert found.sync_token == "absent"
    assert any(way in note for note in found.notes)


def test_if_none_match_that_is_ignored(bench: Bench) -> None:
    bench.proxy.add(faults.drop_header("If-None-Match"), method="PUT")
    found = bench.connector.selftest(bench.calendar, write=True)
    assert found.if_none_match is False
    assert bench.other.names() == set()


@pytest.mark.parametrize("fault", [faults.strip_etag(), faults.weak_etag()])
def test_an_etag_that_is_not_vouched_for(bench: Bench, fault: faults.Action) -> None:
    bench.proxy.add(fault, method="PUT")
    assert bench.connector.selftest(bench.calendar, write=True).etag_on_put is False


def test_a_deletion_that_shows_late(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caldav_probe, "_DELETION_WAIT", 0.6)
    monkeypatch.setattr(caldav_probe, "_DELETION_STEP", 0.1)
    kept: list[faults.Answer] = []

    def remember(exchange: faults.Exchange) -> None:
        answer = exchange.forward()
        if answer.status == 200:
            kept.append(answer)
        exchange.reply(kept[-1] if kept else answer)

    bench.proxy.add(remember, method="GET")
    found = bench.connector.selftest(bench.calendar, write=True)
    assert float(found.extra["deletion_shows_seconds"]) >= 0.6
    assert any("visible" in note for note in found.notes)


@pytest.mark.parametrize(
    ("fault", "method", "error"),
    [
        (faults.status(403), "PUT", Refused),
        (faults.commit_then_status(500), "PUT", ServerFault),
        (faults.commit_then_close(), "PUT", Unreachable),
        (faults.html(), "GET", BadAnswer),
        (faults.status(404), "GET", BadAnswer),
        (faults.close_before_commit(), "GET", Unreachable),
    ],
)
def test_the_probe_never_stays(bench: Bench, fault: faults.Action, method: str, error: type[Exception]) -> None:
    bench.proxy.add(fault, method=method)
    with pytest.raises(error):
        bench.connector.selftest(bench.calendar, write=True)
    assert bench.other.names() == set()


def test_the_probe_is_deleted_again_if_deleting_fails_once(bench: Bench) -> None:
    bench.proxy.add(faults.status(500), method="DELETE", count=1)
    with pytest.raises(ServerFault):
        bench.connector.selftest(bench.calendar, write=True)
    assert bench.other.names() == set()


def test_a_calendar_that_is_gone(bench: Bench) -> None:
    bench.other.delete_calendar()
    with pytest.raises(CalendarGone):
        bench.connector.selftest(bench.calendar, write=True)


def test_who_sends_invitations_and_whose_calendar_it_is(bench: Bench) -> None:
    def scheduling(exchange: faults.Exchange) -> None:
        answer = exchange.forward().unpacked()
        answer.headers.append(("DAV", "1, calendar-auto-schedule"))
        own = b"<C:calendar-user-address-set>"
        exchange.reply(answer.with_body(answer.body.replace(own, own + b"<href>mailto:Anna@home.test</href>")))

    bench.proxy.add(scheduling, method="PROPFIND")
    found = read_only(bench)
    assert found.extra["auto_schedule"] == "yes"
    assert found.extra["addresses"] == "anna@home.test"
