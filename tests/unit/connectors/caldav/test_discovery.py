"""From what a person types to calendars, on a real server, and where credentials must not go."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from connectors.caldav.dav import Dav
from connectors.caldav.discovery import (
    Start,
    as_calendar,
    discover,
    is_event_calendar,
    is_writable,
    starts,
    timezone_of,
)
from connectors.emulators import faults
from connectors.emulators.proxy import FaultProxy
from connectors.emulators.radicale import RunningServer
from connectors.errors import AddressRefused, BadAnswer, NeedsReconnect, Refused, Throttled, Unreachable
from connectors.transport import Http, Response
from connectors.webdav import Resource, parse_multistatus
from tests.support.servers import radicale


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with radicale() as running:
        running.make_calendar("anna", "busy", title="Büsy", timezone="Europe/Berlin", color="#00ff00")
        running.make_calendar("anna", "book")
        yield running


@pytest.fixture
def proxy(server: RunningServer) -> Iterator[FaultProxy]:
    with FaultProxy(server.url) as running:
        yield running


def dav(secret: str = "secret") -> Dav:
    return Dav(Http(allow_private=True, timeout=5), "anna", secret)


def names(url: str) -> list[str]:
    return sorted(calendar.name for calendar in discover(dav(), url, "anna").calendars)


# --- where to begin ------------------------------------------------------------------------------------------------------


def test_a_url_is_tried_first_then_its_server() -> None:
    assert starts("https://dav.test/anna/", "") == [
        Start("https://dav.test/anna/"),
        Start("https://dav.test/.well-known/caldav"),
        Start("https://dav.test/"),
    ]
    assert starts(" https://dav.test ", "")[0] == Start("https://dav.test/.well-known/caldav")


@pytest.mark.parametrize(
    ("url", "username"), [("example.org", ""), ("anna@example.org", "x"), ("", "anna@example.org")]
)
def test_a_domain_may_name_its_server(url: str, username: str) -> None:
    assert starts(url, username) == [
        Start("https://example.org/.well-known/caldav", delegating=True),
        Start("https://example.org/"),
    ]


def test_a_domain_with_a_path() -> None:
    assert starts("example.org/dav/", "")[0] == Start("https://example.org/dav/")


def test_known_services_need_no_search() -> None:
    assert starts("", "anna@me.com") == [Start("https://caldav.icloud.com/")]


@pytest.mark.parametrize("url", ["https://apidata.googleusercontent.com/caldav/v2/", "anna@gmail.com", "outlook.com"])
def test_services_with_a_sign_in_of_their_own_are_refused_with_a_hint(url: str) -> None:
    with pytest.raises(Refused, match="sign-in"):
        starts(url, "")


@pytest.mark.parametrize(("url", "username"), [("", ""), ("", "anna"), ("localhost", "")])
def test_nothing_to_begin_with(url: str, username: str) -> None:
    with pytest.raises(AddressRefused):
        starts(url, username)


# --- on a real server ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["", "anna/", "anna", ".well-known/caldav", "anna/busy/", "no/such/place/"])
def test_every_address_of_a_server_leads_to_the_calendars(server: RunningServer, path: str) -> None:
    assert names(server.url + path) == ["Büsy", "book"]


def test_what_is_told_about_a_calendar(server: RunningServer) -> None:
    (busy,) = (c for c in discover(dav(), server.url, "anna").calendars if c.name == "Büsy")
    assert busy.href == f"{server.url}anna/busy/"
    assert (busy.timezone, busy.color, busy.writable, busy.transparent) == ("Europe/Berlin", "#00ff00", True, False)


def test_a_calendar_is_enough_where_nothing_leads_further(server: RunningServer, proxy: FaultProxy) -> None:
    proxy.add(faults.change_body(lambda body: body.replace(b"current-user-principal", b"nothing")), method="PROPFIND")
    assert names(proxy.url + "anna/busy/") == ["Büsy"]


def test_wrong_credentials_are_tried_once(proxy: FaultProxy) -> None:
    with pytest.raises(NeedsReconnect):
        discover(dav("wrong"), proxy.url + "anna/", "anna")
    assert len(proxy.log) == 1


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (faults.html(), BadAnswer),
        (faults.garbage(), BadAnswer),
        (faults.empty_listing(), BadAnswer),
        (faults.status(404), BadAnswer),
        (faults.status(405), BadAnswer),
        (faults.status(403), Refused),
        (faults.status(429, retry_after=3), Throttled),
        (faults.close_before_commit(), Unreachable),
    ],
)
def test_what_is_said_when_there_is_no_way(proxy: FaultProxy, fault: faults.Action, error: type[Exception]) -> None:
    proxy.add(fault)
    with pytest.raises(error):
        discover(dav(), proxy.url + "anna/", "anna")


@pytest.mark.parametrize("named", [b"current-user-principal", b"calendar-home-set"])
def test_credentials_are_not_carried_to_a_host_that_the_server_names(
    server: RunningServer, proxy: FaultProxy, named: bytes
) -> None:
    stranger = server.url.replace("127.0.0.1", "localhost").encode()

    def elsewhere(body: bytes) -> bytes:
        head, found, tail = body.partition(b"<" + named)
        if not found:
            head, found, tail = body.partition(b":" + named)
        return head + found + tail.replace(b"href>/", b"href>" + stranger, 1) if found else body

    proxy.add(faults.change_body(elsewhere), method="PROPFIND")
    with pytest.raises(AddressRefused, match="localhost"):
        discover(dav(), proxy.url + "anna/", "anna")


def test_the_well_known_address_is_asked_without_credentials(proxy: FaultProxy) -> None:
    assert names(proxy.url) == ["Büsy", "book"]
    asked = [seen for seen in proxy.log if seen.path == "/.well-known/caldav"]
    assert asked
    assert not any("Authorization" in seen.headers for seen in asked)


def test_addresses_of_the_user_are_found(proxy: FaultProxy) -> None:
    def with_addresses(body: bytes) -> bytes:
        return body.replace(
            b"<C:calendar-user-address-set />",
            b"<C:calendar-user-address-set><href>mailto:Anna@Example.org</href><href>/anna/</href>"
            b"</C:calendar-user-address-set>",
        ).replace(
            b"<C:calendar-user-address-set><href>/anna/</href>",
            b"<C:calendar-user-address-set><href>mailto:Anna@Example.org</href><href>/anna/</href>",
        )

    proxy.add(faults.change_body(with_addresses), method="PROPFIND")
    assert discover(dav(), proxy.url, "anna").addresses == {"anna@example.org"}


# --- one collection ------------------------------------------------------------------------------------------------------


def resource(props: str) -> Resource:
    body = (
        '<d:multistatus xmlns:d="DAV:" xmlns:c="urn:ietf:params:xml:ns:caldav" xmlns:n="http://nextcloud.com/ns"'
        ' xmlns:cs="http://calendarserver.org/ns/"><d:response><d:href>/a/cal</d:href><d:propstat><d:prop>'
        f"{props}</d:prop><d:status>HTTP/1.1 200 OK</d:status></d:propstat></d:response></d:multistatus>"
    )
    return parse_multistatus(Response(207, httpx.Headers(), body.encode(), "https://dav.test/a/")).resources[0]


KIND = "<d:resourcetype><d:collection/><c:calendar/>{}</d:resourcetype>"
TAKES = "<c:supported-calendar-component-set>{}</c:supported-calendar-component-set>"


@pytest.mark.parametrize(
    ("props", "expected"),
    [
        (KIND.format(""), True),
        (KIND.format("") + TAKES.format('<c:comp name="VTODO"/><c:comp name="vevent"/>'), True),
        (KIND.format("") + TAKES.format(""), True),
        (KIND.format("") + TAKES.format('<c:comp name="VTODO"/>'), False),
        ("<d:resourcetype><d:collection/></d:resourcetype>", False),
        (KIND.format("<n:trash-bin/>"), False),
        (KIND.format("<n:deleted-calendar/>"), False),
        (KIND.format("<cs:subscribed/>"), False),
        (KIND.format("<c:schedule-inbox/>"), False),
        ("", False),
    ],
)
def test_which_collections_are_calendars_of_a_person(props: str, expected: bool) -> None:
    assert is_event_calendar(resource(props)) is expected


@pytest.mark.parametrize(
    ("granted", "expected"),
    [
        (None, True),
        ("<d:privilege><d:all/></d:privilege>", True),
        ("<d:privilege><d:read/></d:privilege><d:privilege><d:write/></d:privilege>", True),
        ("<d:privilege><d:bind/></d:privilege><d:privilege><d:write-content/></d:privilege>", True),
        ("<d:privilege><d:write-content/></d:privilege>", False),
        ("<d:privilege><d:read/></d:privilege><d:privilege><d:write-properties/></d:privilege>", False),
        ("", False),
    ],
)
def test_who_may_write(granted: str | None, expected: bool) -> None:
    props = "" if granted is None else f"<d:current-user-privilege-set>{granted}</d:current-user-privilege-set>"
    assert is_writable(resource(props)) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("BEGIN:VTIMEZONE\r\nTZID:Europe/Berlin\r\nEND:VTIMEZONE", "Europe/Berlin"),
        ("BEGIN:VTIMEZONE\nTZID:/freeassociation.sourceforge.net/Europe/Paris\nEND:VTIMEZONE", "Europe/Paris"),
        ("BEGIN:VTIMEZONE\nTZID:Mitteleuropa\nX-LIC-LOCATION:Europe/Vienna\nEND:VTIMEZONE", "Europe/Vienna"),
        ("BEGIN:VTIMEZONE\nTZID:Mars/Olympus\nEND:VTIMEZONE", ""),
        ("", ""),
    ],
)
def test_the_zone_of_a_calendar(text: str, expected: str) -> None:
    assert timezone_of(resource(f"<c:calendar-timezone>{text}</c:calendar-timezone>")) == expected


def test_a_calendar_without_a_name_is_called_by_its_path() -> None:
    opaque = resource(KIND.format("") + "<c:schedule-calendar-transp><c:transparent/></c:schedule-calendar-transp>")
    calendar = as_calendar(opaque, "https://dav.test/a/")
    assert (calendar.href, calendar.name, calendar.transparent) == ("https://dav.test/a/cal/", "cal", True)
