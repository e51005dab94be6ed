"""Writes that end in every way a network can think of: one event, the right one, and an error that says what is known."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from connectors.caldav.connector import CalDavConnector
from connectors.emulators import faults
from connectors.emulators.radicale import RunningServer
from connectors.errors import (
    BadAnswer,
    CalendarGone,
    Conflict,
    Gone,
    NeedsReconnect,
    Refused,
    ServerFault,
    Temporary,
    Throttled,
    Unreachable,
)
from connectors.model import Entry, Quirks, Written
from connectors.protocol import Connector, Endpoints
from connectors.transport import Http
from tests.support.caldav_bench import TRUSTED, Bench, bench_on
from tests.support.servers import MONDAY, WINDOW, credentials, entry, ics, radicale

OVERWRITES = Quirks("trusted", if_none_match=False)


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with radicale() as running:
        yield running


@pytest.fixture
def bench(server: RunningServer) -> Iterator[Bench]:
    with bench_on(server) as made:
        yield made


def impatient(bench: Bench) -> CalDavConnector:
    """The connector with a short time-out; the fault decides what is lost, not the clock."""
    connector = CalDavConnector(credentials(bench.proxy.url), Endpoints(allow_private_networks=True))
    connector._dav._http = Http(allow_private=True, timeout=0.5)
    return connector


def written(bench: Bench, made: Entry | None = None) -> Written:
    return bench.connector.create(bench.calendar, made or entry(), quirks=TRUSTED)


def test_it_is_a_connector(bench: Bench) -> None:
    connector: Connector = bench.connector
    with connector as entered:
        assert entered is connector


# --- create --------------------------------------------------------------------------------------------------------------


def test_a_create_is_one_request_under_our_own_name(bench: Bench) -> None:
    done = written(bench)
    assert (done.href, done.adopted) == (bench.href("booking1.ics"), False)
    assert bench.asked() == ["PUT"]
    (seen,) = bench.proxy.log
    assert seen.headers["If-None-Match"] == "*"
    assert seen.headers["Content-Type"] == "text/calendar; charset=utf-8"
    assert bench.connector.fetch(bench.calendar, done.href, WINDOW).etag == done.etag


@pytest.mark.parametrize("failures", [1, 2])
@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (faults.commit_then_close(), Unreachable),
        (faults.commit_then_hang(), Unreachable),
        (faults.hang_before_commit(), Unreachable),
        (faults.close_before_commit(), Unreachable),
        (faults.commit_then_status(500), ServerFault),
        (faults.commit_then_status(502), ServerFault),
        (faults.status(503, retry_after=9), Throttled),
        (faults.status(429), Throttled),
    ],
)
def test_repeated_after_any_failure_a_create_leaves_one_event(
    bench: Bench, fault: faults.Action, error: type[Temporary], failures: int
) -> None:
    bench.proxy.add(fault, method="PUT", count=failures)
    connector = impatient(bench)
    for _ in range(failures):
        with pytest.raises(error):
            connector.create(bench.calendar, entry(), quirks=TRUSTED)
    done = connector.create(bench.calendar, entry(), quirks=TRUSTED)
    assert bench.other.names() == {"booking1.ics"}
    event = bench.connector.fetch(bench.calendar, done.href, WINDOW)
    assert (event.etag, event.own_key) == (done.etag, "booking1")


@pytest.mark.parametrize("fault", [faults.strip_etag(), faults.weak_etag()])
def test_an_etag_that_the_server_does_not_vouch_for_is_asked_for(bench: Bench, fault: faults.Action) -> None:
    bench.proxy.add(fault, method="PUT")
    done = written(bench)
    assert bench.asked() == ["PUT", "GET"]
    assert done.etag == bench.connector.fetch(bench.calendar, done.href, WINDOW).etag
    bench.connector.update(bench.calendar, entry(title="Other"), done.href, done.etag, quirks=TRUSTED)


def test_etags_that_no_object_tells_are_asked_for_as_a_property(bench: Bench) -> None:
    bench.proxy.add(faults.strip_etag())
    done = written(bench)
    assert bench.asked() == ["PUT", "GET", "PROPFIND"]
    assert done.etag.startswith('"')
    bench.connector.update(bench.calendar, entry(title="Other"), done.href, done.etag, quirks=TRUSTED)


def test_weak_etags_all_over_still_guard(bench: Bench) -> None:
    bench.proxy.add(faults.weak_etag())
    done = written(bench)
    assert done.etag.startswith("W/")
    again = bench.connector.update(bench.calendar, entry(title="Mine"), done.href, done.etag, quirks=TRUSTED)
    assert not any(seen.headers.get("If-Match", "").startswith("W/") for seen in bench.proxy.log)
    bench.other.put("booking1.ics", ics("booking1@slotledger.test"))
    with pytest.raises(Conflict):
        bench.connector.update(bench.calendar, entry(title="Mine"), done.href, again.etag, quirks=TRUSTED)
    with pytest.raises(Conflict):
        bench.connector.delete(bench.calendar, done.href, again.etag)
    bench.connector.delete(bench.calendar, done.href, bench.connector.fetch(bench.calendar, done.href, WINDOW).etag)
    assert bench.other.names() == set()


def test_a_server_that_ignores_if_none_match_is_looked_at_first_and_afterwards(bench: Bench) -> None:
    bench.proxy.add(faults.drop_header("If-None-Match"), method="PUT")
    first = bench.connector.create(bench.calendar, entry(), quirks=OVERWRITES)
    assert bench.asked() == ["GET", "PUT", "GET"]
    bench.other.put("booking1.ics", ics("booking1@slotledger.test", summary="Edited by the operator"))
    again = bench.connector.create(bench.calendar, entry(), quirks=OVERWRITES)
    assert (again.href, again.adopted) == (first.href, True)
    assert b"Edited by the operator" in (bench.other.get("booking1.ics") or b"")


@pytest.mark.parametrize("quirks", [TRUSTED, OVERWRITES])
def test_a_stranger_under_our_name_is_left_alone(bench: Bench, quirks: Quirks) -> None:
    bench.other.put("booking1.ics", ics("somebody-else"))
    with pytest.raises(Conflict):
        bench.connector.create(bench.calendar, entry(), quirks=quirks)
    assert b"somebody-else" in (bench.other.get("booking1.ics") or b"")


def test_our_uid_under_another_name_is_adopted(bench: Bench) -> None:
    bench.other.put("moved-by-app.ics", ics("booking1@slotledger.test"))
    done = written(bench)
    assert (done.href, done.adopted) == (bench.href("moved-by-app.ics"), True)
    assert bench.other.names() == {"moved-by-app.ics"}


@pytest.mark.parametrize("code", [403, 409, 412])
def test_a_conflict_that_names_its_object_is_followed(bench: Bench, code: int) -> None:
    bench.other.put("there.ics", ics("booking1@slotledger.test"))
    named = (
        '<d:error xmlns:d="DAV:" xmlns:c="urn:ietf:params:xml:ns:caldav"><c:no-uid-conflict>'
        f"<d:href>{bench.path}there.ics</d:href></c:no-uid-conflict></d:error>"
    )
    bench.proxy.add(faults.status(code, named.encode()), method="PUT")
    assert written(bench).href == bench.href("there.ics")
    assert "REPORT" not in bench.asked()


def test_a_conflict_with_another_calendar_is_said_so(bench: Bench) -> None:
    named = (
        b'<d:error xmlns:d="DAV:" xmlns:c="urn:ietf:params:xml:ns:caldav"><c:unique-scheduling-object-resource>'
        b"<d:href>/anna/other/x.ics</d:href></c:unique-scheduling-object-resource></d:error>"
    )
    bench.proxy.add(faults.status(403, named), method="PUT")
    with pytest.raises(Conflict, match="another calendar"):
        written(bench)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (faults.status(400), Refused),
        (faults.status(403), Refused),
        (faults.status(404), Refused),
        (faults.status(413), Refused),
        (faults.status(401), NeedsReconnect),
        (faults.status(405), BadAnswer),
        (faults.redirect("http://localhost/"), BadAnswer),
        (faults.status(507), ServerFault),
    ],
)
def test_a_create_that_is_not_taken(bench: Bench, fault: faults.Action, error: type[Exception]) -> None:
    bench.proxy.add(fault, method="PUT")
    with pytest.raises(error):
        written(bench)
    assert bench.other.names() == set()


def test_a_create_in_a_calendar_that_is_gone(bench: Bench) -> None:
    bench.other.delete_calendar()
    with pytest.raises(CalendarGone):
        written(bench)


def test_stored_and_not_to_be_seen_is_a_fault_of_the_server(bench: Bench) -> None:
    bench.proxy.add(faults.strip_etag(), method="PUT")
    bench.proxy.add(faults.status(404), method="GET")
    with pytest.raises(ServerFault):
        written(bench)


# --- update --------------------------------------------------------------------------------------------------------------


def test_an_update_sends_the_etag_it_has_read(bench: Bench) -> None:
    done = written(bench)
    bench.proxy.forget_log()
    after = bench.connector.update(bench.calendar, entry(title="Later", sequence=1), done.href, "", quirks=TRUSTED)
    assert bench.asked() == ["GET", "PUT"]
    assert bench.proxy.log[1].headers["If-Match"] == done.etag
    assert after.etag != done.etag
    assert b"SUMMARY:Later" in (bench.other.get("booking1.ics") or b"")


def test_a_change_between_reading_and_writing_is_a_conflict(bench: Bench) -> None:
    done = written(bench)

    def meanwhile(exchange: faults.Exchange) -> None:
        bench.other.put("booking1.ics", ics("booking1@slotledger.test", summary="Meanwhile"))
        exchange.reply(exchange.forward())

    bench.proxy.add(meanwhile, method="PUT")
    with pytest.raises(Conflict):
        bench.connector.update(bench.calendar, entry(title="Later"), done.href, done.etag, quirks=TRUSTED)
    assert b"Meanwhile" in (bench.other.get("booking1.ics") or b"")


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (faults.commit_then_close(), Unreachable),
        (faults.commit_then_status(500), ServerFault),
        (faults.close_before_commit(), Unreachable),
    ],
)
def test_repeated_after_a_failure_an_update_ends_as_wanted(
    bench: Bench, fault: faults.Action, error: type[Exception]
) -> None:
    done = written(bench)
    bench.proxy.add(fault, method="PUT", count=1)
    later = entry(title="Later", sequence=1)
    with pytest.raises(error):
        bench.connector.update(bench.calendar, later, done.href, done.etag, quirks=TRUSTED)
    now = bench.connector.fetch(bench.calendar, done.href, WINDOW)
    bench.connector.update(bench.calendar, later, done.href, now.etag, quirks=TRUSTED)
    assert bench.other.names() == {"booking1.ics"}
    assert b"SUMMARY:Later" in (bench.other.get("booking1.ics") or b"")


@pytest.mark.parametrize(
    ("code", "error"), [(404, Gone), (409, Conflict), (412, Conflict), (423, Conflict), (403, Refused)]
)
def test_what_a_refused_update_means(bench: Bench, code: int, error: type[Exception]) -> None:
    done = written(bench)
    bench.proxy.add(faults.status(code), method="PUT")
    with pytest.raises(error):
        bench.connector.update(bench.calendar, entry(), done.href, done.etag, quirks=TRUSTED)


def test_an_update_in_a_calendar_that_is_gone_is_not_told_as_gone(bench: Bench) -> None:
    done = written(bench)
    bench.other.delete_calendar()
    with pytest.raises(CalendarGone):
        bench.connector.update(bench.calendar, entry(), done.href, done.etag, quirks=TRUSTED)


# --- delete --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [404, 410])
def test_deleting_what_is_not_there_is_success(bench: Bench, code: int) -> None:
    bench.proxy.add(faults.status(code), method="DELETE")
    bench.connector.delete(bench.calendar, bench.href("booking1.ics"), '"etag"')


def test_a_delete_with_an_etag_sends_it(bench: Bench) -> None:
    done = written(bench)
    bench.connector.delete(bench.calendar, done.href, done.etag)
    assert bench.proxy.log[-1].headers["If-Match"] == done.etag
    assert bench.other.names() == set()


def test_412_for_something_that_is_gone_is_success(bench: Bench) -> None:
    bench.proxy.add(faults.status(412), method="DELETE")
    bench.connector.delete(bench.calendar, bench.href("booking1.ics"), '"etag"')


@pytest.mark.parametrize(
    ("code", "error"), [(403, Refused), (412, Conflict), (500, ServerFault), (401, NeedsReconnect)]
)
def test_what_a_refused_delete_means(bench: Bench, code: int, error: type[Exception]) -> None:
    done = written(bench)
    bench.proxy.add(faults.status(code), method="DELETE")
    with pytest.raises(error):
        bench.connector.delete(bench.calendar, done.href, done.etag)
    assert bench.other.names() == {"booking1.ics"}


def test_a_refusal_inside_a_multistatus_counts(bench: Bench) -> None:
    done = written(bench)
    body = (
        f'<multistatus xmlns="DAV:"><response><href>{done.href}</href><status>HTTP/1.1 423 Locked</status></response>'
        "</multistatus>"
    )
    bench.proxy.add(faults.status(207, body.encode()), method="DELETE")
    with pytest.raises(Refused):
        bench.connector.delete(bench.calendar, done.href)


# --- fetch and find ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (faults.status(401), NeedsReconnect),
        (faults.status(403), Refused),
        (faults.status(429), Throttled),
        (faults.status(500), ServerFault),
        (faults.html(), BadAnswer),
        (faults.garbage(200), BadAnswer),
        (faults.close_before_commit(), Unreachable),
        (faults.truncate_body(), Unreachable),
    ],
)
def test_an_error_is_never_told_as_absence(bench: Bench, fault: faults.Action, error: type[Exception]) -> None:
    done = written(bench)
    bench.proxy.add(fault, method="GET")
    for look in (
        lambda: bench.connector.fetch(bench.calendar, done.href, WINDOW),
        lambda: bench.connector.find([bench.calendar], "booking1", "booking1@slotledger.test", WINDOW),
    ):
        with pytest.raises(error) as caught:
            look()
        assert not isinstance(caught.value, Gone)


@pytest.mark.parametrize("fault", [faults.status(404), faults.status(403), faults.empty_listing()])
def test_gone_is_said_only_while_the_calendar_answers(bench: Bench, fault: faults.Action) -> None:
    with pytest.raises(Gone):
        bench.connector.fetch(bench.calendar, bench.href("never.ics"), WINDOW)
    bench.proxy.add(fault, method="PROPFIND")
    with pytest.raises(CalendarGone):
        bench.connector.fetch(bench.calendar, bench.href("never.ics"), WINDOW)


def test_a_cancelled_event_is_there_and_cancelled(bench: Bench) -> None:
    bench.other.put("booking1.ics", ics("booking1@slotledger.test", MONDAY, "STATUS:CANCELLED"))
    assert bench.connector.fetch(bench.calendar, bench.href("booking1.ics"), WINDOW).cancelled


def test_away_and_back(bench: Bench) -> None:
    done = written(bench)
    bench.proxy.away()
    with pytest.raises(Unreachable):
        bench.connector.fetch(bench.calendar, done.href, WINDOW)
    bench.proxy.back()
    assert bench.connector.fetch(bench.calendar, done.href, WINDOW).uid == "booking1@slotledger.test"


def test_find_prefers_our_own_name_and_then_asks_for_the_uid(bench: Bench) -> None:
    second, other = bench.second_calendar()
    both = [bench.calendar, second]
    done = written(bench)
    found = bench.connector.find(both, "booking1", "booking1@slotledger.test", WINDOW)
    assert found is not None
    assert (found.calendar, found.event.href, found.event.etag) == (bench.calendar.href, done.href, done.etag)
    assert bench.asked()[1:] == ["GET"]

    other.put("any-name.ics", bench.other.get("booking1.ics") or b"")
    bench.other.delete("booking1.ics")
    found = bench.connector.find(both, "booking1", "booking1@slotledger.test", WINDOW)
    assert found is not None
    assert found.calendar == second.href
    assert found.event.href.endswith("/any-name.ics")
    other.delete("any-name.ics")
    assert bench.connector.find(both, "booking1", "booking1@slotledger.test", WINDOW) is None
    other.close()


def test_hrefs_with_odd_characters_are_written_and_read(bench: Bench) -> None:
    bench.other.put("gr%C3%B6%C3%9Fe%20%252F&x.ics", ics("odd"))
    (event,) = bench.pull().changed
    assert event.href == bench.href("größe %252F&x.ics")
    assert bench.connector.fetch(bench.calendar, event.href, WINDOW).etag == event.etag
    bench.connector.delete(bench.calendar, event.href, event.etag)
    assert bench.other.names() == set()


def test_secrets_do_not_appear_in_errors(bench: Bench) -> None:
    connector = CalDavConnector(credentials(bench.proxy.url, "anna", "hunter2secret"), Endpoints(True))
    with pytest.raises(NeedsReconnect) as caught:
        connector.calendars()
    assert "hunter2secret" not in repr(caught.value) + str(caught.value.detail)
