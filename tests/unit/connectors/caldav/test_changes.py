"""Pulls: complete or an error, cheap where nothing happened, right whatever the server does to tokens and batches."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from connectors.caldav import changes as caldav_changes
from connectors.emulators import faults
from connectors.emulators.radicale import RunningServer
from connectors.errors import (
    BadAnswer,
    CalendarGone,
    NeedsReconnect,
    ServerFault,
    SyncTokenExpired,
    Throttled,
    Unreachable,
)
from connectors.model import Quirks, SyncToken
from tests.support.caldav_bench import TRUSTED, Bench, bench_on
from tests.support.servers import MONDAY, WINDOW, ics, radicale

UNTRUSTED = Quirks("untrusted")


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with radicale() as running:
        yield running


@pytest.fixture
def bench(server: RunningServer) -> Iterator[Bench]:
    with bench_on(server) as made:
        yield made


def no_ctag(body: bytes) -> bytes:
    return body.replace(b"getctag", b"gotctag")


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caldav_changes, "BATCH", 16)


# --- what it costs -------------------------------------------------------------------------------------------------------


def test_nothing_changed_is_one_small_request(bench: Bench) -> None:
    bench.fill(3)
    token = bench.pull().token
    bench.proxy.forget_log()
    changes = bench.pull(token)
    assert (changes.changed, changes.removed, changes.listed, changes.token) == ((), (), None, token)
    (seen,) = bench.proxy.log
    assert seen.up <= 650
    assert seen.down <= 450


def test_one_change_is_two_requests(bench: Bench) -> None:
    bench.fill(3)
    token = bench.pull().token
    bench.proxy.forget_log()
    bench.other.put("new.ics", ics("new"))
    assert [event.uid for event in bench.pull(token).changed] == ["new"]
    assert len(bench.proxy.log) == 2


def test_an_unchanged_ctag_is_one_request(bench: Bench) -> None:
    bench.fill(3)
    token = bench.pull(quirks=UNTRUSTED).token
    assert token is not None
    assert token.kind == "ctag"
    bench.proxy.forget_log()
    assert bench.pull(token, UNTRUSTED).listed is None
    assert bench.asked() == ["PROPFIND"]


def test_a_changed_ctag_loads_only_what_differs(bench: Bench) -> None:
    hrefs = bench.fill(3)
    first = bench.pull(quirks=UNTRUSTED)
    known = {event.href: event.etag for event in first.changed}
    bench.other.put("e001.ics", ics("e1", MONDAY, summary="Changed"))
    bench.other.delete("e002.ics")
    bench.proxy.forget_log()
    changes = bench.pull(first.token, UNTRUSTED, known)
    assert [event.href for event in changes.changed] == [bench.href("e001.ics")]
    assert changes.listed == hrefs - {bench.href("e002.ics")}
    assert changes.removed == ()
    assert bench.asked() == ["PROPFIND", "PROPFIND", "REPORT"]


def test_without_a_ctag_the_etags_are_the_state(bench: Bench) -> None:
    bench.fill(2)
    bench.proxy.add(faults.change_body(no_ctag), method="PROPFIND")
    first = bench.pull(quirks=UNTRUSTED)
    assert first.token is not None
    assert first.token.kind == "etags"
    known = {event.href: event.etag for event in first.changed}
    again = bench.pull(first.token, UNTRUSTED, known)
    assert (again.changed, again.listed, again.token) == ((), frozenset(known), first.token)
    bench.other.delete("e000.ics")
    assert bench.pull(first.token, UNTRUSTED, known).listed == {bench.href("e001.ics")}


@pytest.mark.parametrize("quirks", [TRUSTED, UNTRUSTED])
@pytest.mark.usefixtures("small_batches")
def test_progress_is_told_per_batch(bench: Bench, quirks: Quirks) -> None:
    bench.fill(20)
    told: list[tuple[int, int]] = []
    bench.connector.changes(
        bench.calendar,
        None,
        WINDOW,
        dict,
        quirks=quirks,
        progress=lambda done, total: told.append((done, total)),
    )
    assert told == [(16, 20), (20, 20)]


# --- tokens --------------------------------------------------------------------------------------------------------------


def test_a_token_with_a_precondition_is_expired_at_once(bench: Bench) -> None:
    bench.proxy.forget_log()
    with pytest.raises(SyncTokenExpired):
        bench.pull(SyncToken("sync", "http://radicale.org/ns/sync/" + "0" * 64))
    assert bench.asked() == ["REPORT"]


@pytest.mark.parametrize("code", [400, 403, 409, 410, 412, 500, 507])
def test_a_token_refused_in_other_words_is_expired_if_another_is_not(bench: Bench, code: int) -> None:
    token = bench.pull().token
    assert token is not None
    bench.fill(1)
    bench.proxy.add(faults.status(code), method="REPORT", body=re.escape(token.value.encode()))
    with pytest.raises(SyncTokenExpired):
        bench.pull(token)
    assert len(bench.pull().changed) == 1


@pytest.mark.parametrize("code", [500, 502, 503, 504, 507])
def test_a_server_that_fails_is_not_an_expired_token(bench: Bench, code: int) -> None:
    token = bench.pull().token
    bench.fill(1)
    bench.proxy.add(faults.status(code), method="REPORT")
    for since in (token, None):
        with pytest.raises(ServerFault):
            bench.pull(since)


def test_a_passing_failure_at_the_newest_token_is_not_an_expiry(bench: Bench) -> None:
    token = bench.pull().token
    bench.proxy.add(faults.status(500), method="REPORT", count=1)
    with pytest.raises(ServerFault):
        bench.pull(token)


@pytest.mark.parametrize(
    ("code", "error"), [(401, NeedsReconnect), (403, CalendarGone), (404, CalendarGone), (429, Throttled)]
)
def test_lost_access_is_not_an_expired_token(bench: Bench, code: int, error: type[Exception]) -> None:
    token = bench.pull().token
    bench.fill(1)
    bench.proxy.add(faults.status(code))
    for since, quirks in ((token, TRUSTED), (None, TRUSTED), (None, UNTRUSTED)):
        with pytest.raises(error):
            bench.pull(since, quirks)


def test_a_deleted_calendar_is_gone_and_not_empty(bench: Bench) -> None:
    bench.fill(2)
    token = bench.pull().token
    bench.other.delete_calendar()
    for since, quirks in ((token, TRUSTED), (None, TRUSTED), (None, UNTRUSTED), (SyncToken("ctag", "x"), UNTRUSTED)):
        with pytest.raises(CalendarGone):
            bench.pull(since, quirks)


def test_a_token_of_another_kind_leads_to_a_comparison(bench: Bench) -> None:
    hrefs = bench.fill(2)
    ctag = bench.pull(quirks=UNTRUSTED)
    known = {event.href: event.etag for event in ctag.changed}
    now_trusted = bench.pull(ctag.token, TRUSTED, known)
    assert (now_trusted.changed, now_trusted.listed) == ((), hrefs)
    assert now_trusted.token is not None
    assert now_trusted.token.kind == "sync"
    assert bench.pull(now_trusted.token).changed == ()
    no_longer = bench.pull(now_trusted.token, UNTRUSTED, known)
    assert (no_longer.changed, no_longer.listed) == ((), hrefs)


def test_a_sync_answer_without_a_token_is_not_taken(bench: Bench) -> None:
    bench.proxy.add(faults.empty_listing(), method="REPORT")
    with pytest.raises(BadAnswer):
        bench.pull()


# --- listings ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 3, 10])
def test_pages_are_followed_to_the_end(bench: Bench, size: int) -> None:
    hrefs = bench.fill(10)
    token = SyncToken("sync", (bench.pull().token or SyncToken("", "")).value)
    bench.proxy.add(faults.truncate_sync(size), method="REPORT", body=b"sync-collection")
    first = bench.pull()
    assert first.listed == hrefs
    assert {event.href for event in first.changed} == hrefs
    assert first.token == token
    for n in range(6):
        bench.other.delete(f"e{n:03}.ics")
    bench.other.put("new.ics", ics("new"))
    changes = bench.pull(first.token)
    assert set(changes.removed) == {bench.href(f"e{n:03}.ics") for n in range(6)}
    assert [event.uid for event in changes.changed] == ["new"]


def test_pages_without_end_are_an_error(bench: Bench) -> None:
    body = (
        f'<multistatus xmlns="DAV:"><response><href>{bench.path}</href><status>HTTP/1.1 507 Full</status></response>'
        "<sync-token></sync-token><sync-token>same</sync-token></multistatus>"
    ).replace("<sync-token></sync-token>", "")
    bench.proxy.add(faults.status(207, body.encode()), method="REPORT")
    with pytest.raises(BadAnswer, match="end"):
        bench.pull()


def test_any_4xx_removes(bench: Bench) -> None:
    bench.fill(2)
    token = bench.pull().token
    bench.other.delete("e000.ics")
    bench.proxy.add(faults.teapot(), method="REPORT")
    assert bench.pull(token).removed == (bench.href("e000.ics"),)


@pytest.mark.parametrize("quirks", [TRUSTED, UNTRUSTED])
@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (faults.html(), BadAnswer),
        (faults.html(207), BadAnswer),
        (faults.garbage(), BadAnswer),
        (faults.empty_listing(), BadAnswer),
        (faults.status(204), BadAnswer),
        (faults.truncate_body(), Unreachable),
        (faults.truncate_body(0.7, honest_length=False), Unreachable),
        (faults.close_before_commit(), Unreachable),
    ],
)
def test_a_listing_is_complete_or_an_error(
    bench: Bench, quirks: Quirks, fault: faults.Action, error: type[Exception]
) -> None:
    bench.fill(3)
    bench.proxy.add(fault)
    with pytest.raises(error):
        bench.pull(quirks=quirks)


def test_a_listing_of_another_collection_is_an_error(bench: Bench) -> None:
    bench.fill(2)
    elsewhere = bench.path.encode()
    bench.proxy.add(
        faults.change_body(lambda body: body.replace(b"<href>" + elsewhere + b"e", b"<href>/anna/other/e")),
        method="REPORT",
    )
    with pytest.raises(BadAnswer, match="another collection"):
        bench.pull()


def test_the_collection_itself_and_its_folders_are_no_members(bench: Bench) -> None:
    hrefs = bench.fill(1)
    extra = (
        f"<response><href>{bench.path}</href><propstat><prop><getetag>x</getetag></prop><status>HTTP/1.1 200 OK</status>"
        f"</propstat></response><response><href>{bench.path}folder/</href><propstat><prop/><status>HTTP/1.1 200 OK"
        "</status></propstat></response></multistatus>"
    ).encode()
    bench.proxy.add(
        faults.change_body(lambda body: body.replace(b"</multistatus>", extra)),
        method="REPORT",
        body=b"sync-collection",
    )
    assert bench.pull().listed == hrefs


def test_hrefs_are_compared_decoded(bench: Bench) -> None:
    bench.fill(2)
    first = bench.pull(quirks=UNTRUSTED)
    known = {event.href: event.etag for event in first.changed}
    bench.other.put("new.ics", ics("new"))
    odd = bench.proxy.url.encode() + bench.path[1:].encode().replace(b"anna", b"%61nna") + b"%65"
    bench.proxy.add(
        faults.change_body(lambda body: body.replace(b"<href>" + bench.path.encode() + b"e", b"<href>" + odd)),
        method="PROPFIND|REPORT",
    )
    changes = bench.pull(first.token, UNTRUSTED, known)
    assert [event.uid for event in changes.changed] == ["new"]
    assert changes.listed == {*known, bench.href("new.ics")}


# --- objects -------------------------------------------------------------------------------------------------------------


def refuse_more_than(size: int, code: int) -> faults.Action:
    def act(exchange: faults.Exchange) -> None:
        if exchange.body.count(b"<d:href>") > size:
            exchange.reply(faults.Answer(code))
        else:
            exchange.reply(exchange.forward())

    return act


@pytest.mark.parametrize("code", [400, 403, 413, 500, 507])
@pytest.mark.parametrize("size", [1, 6])
@pytest.mark.usefixtures("small_batches")
def test_batches_halve_until_they_are_taken(bench: Bench, size: int, code: int) -> None:
    hrefs = bench.fill(20)
    bench.proxy.add(refuse_more_than(size, code), method="REPORT", body=b"multiget")
    changes = bench.pull()
    assert {event.href for event in changes.changed} == hrefs
    assert changes.listed == hrefs


@pytest.mark.usefixtures("small_batches")
def test_a_size_that_is_refused_is_not_tried_again(bench: Bench) -> None:
    bench.fill(30)
    bench.proxy.add(refuse_more_than(5, 400), method="REPORT", body=b"multiget")
    bench.pull()
    sizes = [seen.body.count(b"<d:href>") for seen in bench.proxy.log if b"multiget" in seen.body]
    assert sizes == [16, 8, 4, 4, 4, 4, 4, 4, 4, 2]


@pytest.mark.usefixtures("small_batches")
def test_one_object_that_spoils_a_batch_comes_alone_and_the_rest_in_batches(bench: Bench) -> None:
    hrefs = bench.fill(32)
    bench.proxy.add(faults.status(500), method="REPORT", body=b"e005.ics")
    changes = bench.pull()
    assert {event.href for event in changes.changed} == hrefs
    assert bench.asked().count("GET") == 1
    sizes = [seen.body.count(b"<d:href>") for seen in bench.proxy.log if b"multiget" in seen.body]
    assert sizes == [16, 8, 4, 4, 2, 1, 1, 2, 8, 16]


def test_a_server_without_multiget_is_asked_for_each(bench: Bench) -> None:
    hrefs = bench.fill(12)
    bench.proxy.add(faults.status(501), method="REPORT", body=b"multiget")
    assert {event.href for event in bench.pull().changed} == hrefs
    assert bench.asked().count("GET") == 12
    assert bench.asked().count("REPORT") < 10


def test_what_a_multiget_leaves_out_is_asked_for_singly(bench: Bench) -> None:
    hrefs = bench.fill(5)

    def forgetful(body: bytes) -> bytes:
        return re.sub(rb"<response><href>[^<]*e003\.ics.*?</response>", b"", body, flags=re.S)

    bench.proxy.add(faults.change_body(forgetful), method="REPORT", body=b"multiget")
    assert {event.href for event in bench.pull().changed} == hrefs
    assert bench.asked().count("GET") == 1


def test_an_object_that_is_not_shown_to_us_is_told_as_a_problem(bench: Bench) -> None:
    bench.fill(3)
    bench.proxy.add(faults.status(403), method="REPORT", body=b"multiget.*e001")
    bench.proxy.add(faults.status(403), method="GET", path="e001")
    events = {event.href: event for event in bench.pull().changed}
    assert "403" in events[bench.href("e001.ics")].problem
    assert not events[bench.href("e002.ics")].problem


def test_what_vanishes_while_it_is_read_is_not_listed(bench: Bench) -> None:
    hrefs = bench.fill(3)
    token = bench.pull().token
    bench.other.put("e000.ics", ics("e0", MONDAY, summary="Changed"))

    def vanish(exchange: faults.Exchange) -> None:
        if "e000.ics" in bench.other.names():
            bench.other.delete("e000.ics")
        exchange.reply(exchange.forward())

    bench.proxy.add(vanish, method="REPORT", body=b"multiget")
    changes = bench.pull(token)
    assert (changes.changed, changes.removed) == ((), (bench.href("e000.ics"),))
    bench.other.put("e000.ics", ics("e0"))
    assert bench.pull().listed == hrefs - {bench.href("e000.ics")}


def test_a_server_that_hangs_up_on_every_multiget_is_unreachable(bench: Bench) -> None:
    bench.fill(50)
    bench.proxy.add(faults.close_before_commit(), method="REPORT", body=b"multiget")
    with pytest.raises(Unreachable):
        bench.pull()
    assert len(bench.proxy.log) <= 8


def test_a_dead_server_is_not_asked_for_ever(bench: Bench) -> None:
    bench.fill(50)
    bench.proxy.add(faults.status(500), method="REPORT|GET", body=b"multiget|^$")
    with pytest.raises(ServerFault):
        bench.pull()
    assert len(bench.proxy.log) <= 12


def test_a_todo_in_the_calendar_takes_no_time(bench: Bench) -> None:
    bench.fill(1)
    todo = b"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nBEGIN:VTODO\r\nUID:t\r\nDTSTAMP:20260101T000000Z\r\nSUMMARY:T\r\nEND:VTODO\r\nEND:VCALENDAR\r\n"
    bench.other.put("todo.ics", todo)
    assert sum(len(event.occurrences) for event in bench.pull().changed) == 1


def test_times_of_another_calendar_zone_and_the_owners_answer(bench: Bench) -> None:
    bench.other.put(
        "i.ics",
        ics("i", MONDAY, "ORGANIZER:mailto:x@y.test", "ATTENDEE;PARTSTAT=DECLINED:mailto:anna@home.test"),
    )
    quirks = Quirks("trusted", extra={"addresses": "anna@home.test"})
    (event,) = bench.pull(quirks=quirks).changed
    assert [occurrence.busy for occurrence in event.occurrences] == ["free"]
    (event,) = bench.pull().changed
    assert [occurrence.busy for occurrence in event.occurrences] == ["busy"]
