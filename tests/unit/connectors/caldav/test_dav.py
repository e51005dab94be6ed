"""One account's requests: statuses become errors, Digest where it is wanted, addresses of members."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from connectors.caldav.dav import Dav, collection_path, collection_url, member_url, object_url
from connectors.emulators import faults
from connectors.emulators.proxy import Answer, Exchange, FaultProxy
from connectors.emulators.radicale import RunningServer
from connectors.errors import BadAnswer, CalendarGone, NeedsReconnect, Refused, ServerFault
from connectors.transport import Http
from connectors.webdav import DAV
from tests.support.servers import calendar, radicale


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with radicale() as running:
        running.make_calendar("anna", "cal")
        yield running


@pytest.fixture
def proxy(server: RunningServer) -> Iterator[FaultProxy]:
    with FaultProxy(server.url) as running:
        yield running


@pytest.fixture
def dav() -> Iterator[Dav]:
    opened = Dav(Http(allow_private=True, timeout=5), "anna", "secret")
    yield opened
    opened.close()


@pytest.mark.parametrize(
    ("code", "error"),
    [(403, CalendarGone), (404, CalendarGone), (410, CalendarGone), (401, NeedsReconnect), (500, ServerFault)],
)
def test_a_collection_that_cannot_be_read(proxy: FaultProxy, dav: Dav, code: int, error: type[Exception]) -> None:
    proxy.add(faults.status(code))
    with pytest.raises(error):
        dav.propfind(proxy.url + "anna/cal/", 0, DAV + "getetag")


def test_a_status_inside_a_multistatus_counts(proxy: FaultProxy, dav: Dav) -> None:
    body = (
        b'<multistatus xmlns="DAV:"><response><href>/anna/cal/</href>'
        b"<status>HTTP/1.1 404 Not Found</status></response></multistatus>"
    )
    proxy.add(faults.status(207, body))
    with pytest.raises(CalendarGone):
        dav.propfind(proxy.url + "anna/cal/", 1, DAV + "getetag")


def test_objects_are_asked_for_unpacked_and_listings_packed(proxy: FaultProxy, dav: Dav) -> None:
    assert dav.get(proxy.url + "anna/cal/none.ics") is None
    dav.propfind(proxy.url + "anna/cal/", 0, DAV + "getetag")
    assert [seen.headers["Accept-Encoding"] for seen in proxy.log] == ["identity", "gzip"]


@pytest.mark.parametrize(
    ("fault", "error"), [(faults.html(), BadAnswer), (faults.garbage(200), BadAnswer), (faults.status(403), Refused)]
)
def test_only_icalendar_is_an_object(proxy: FaultProxy, dav: Dav, fault: faults.Action, error: type[Exception]) -> None:
    proxy.add(fault)
    with pytest.raises(error):
        dav.get(proxy.url + "anna/cal/x.ics")


def test_digest_is_used_where_only_digest_is_offered(proxy: FaultProxy, dav: Dav) -> None:
    def wants_digest(exchange: Exchange) -> None:
        if exchange.headers.get("Authorization", "").startswith("Digest"):
            exchange.reply(Answer(201))
        else:
            exchange.reply(Answer(401, [("WWW-Authenticate", 'Digest realm="r", nonce="n", qop="auth"')]))

    proxy.add(wants_digest)
    assert dav.put(proxy.url + "x.ics", b"x", {}).status == 201
    assert dav.put(proxy.url + "x.ics", b"x", {}).status == 201


def test_a_server_that_sends_invitations_says_so(proxy: FaultProxy, dav: Dav) -> None:
    assert not dav.scheduling
    proxy.add(lambda exchange: exchange.reply(Answer(404, [("DAV", "1, calendar-access, calendar-auto-schedule")])))
    dav.get(proxy.url + "x.ics")
    assert dav.scheduling


def test_where_members_are() -> None:
    here = calendar("https://dav.test:8443/anna%40test/b%20c")
    assert collection_url(here) == "https://dav.test:8443/anna%40test/b%20c/"
    assert collection_path(here) == "/anna@test/b c/"
    assert member_url(here, "key") == ("/anna@test/b c/key.ics", "https://dav.test:8443/anna@test/b%20c/key.ics")
    assert object_url(here, "/anna@test/b c/é%2F.ics") == "https://dav.test:8443/anna@test/b%20c/%C3%A9%2F.ics"
    for foreign in ("/anna@test/other/x.ics", "/etc/passwd", ""):
        with pytest.raises(BadAnswer):
            object_url(here, foreign)
