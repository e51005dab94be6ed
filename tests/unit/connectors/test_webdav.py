"""Hrefs, multistatus, preconditions and errors, from what servers send and what attackers would."""

from __future__ import annotations

from urllib.parse import quote, unquote

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors import errors
from connectors.transport import Response
from connectors.webdav import (
    CAL,
    DAV,
    calendar_multiget,
    encoded_href,
    failure,
    if_match,
    normal_href,
    parse_multistatus,
    parse_xml,
    preconditions,
    propfind,
    quoted,
    retry_after,
    same_etag,
    sync_collection,
    uid_query,
)

URL = "https://dav.test/anna/cal/"


def answer(body: bytes | str = b"", status: int = 207, **headers: str) -> Response:
    content = body.encode() if isinstance(body, str) else body
    return Response(status, httpx.Headers({k.replace("_", "-"): v for k, v in headers.items()}), content, URL)


def multistatus(inner: str) -> Response:
    return answer(f'<d:multistatus xmlns:d="DAV:" xmlns:c="urn:ietf:params:xml:ns:caldav">{inner}</d:multistatus>')


# --- hrefs ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("href", "expected"),
    [
        ("/anna/cal/x.ics", "/anna/cal/x.ics"),
        ("https://dav.test/anna/cal/x.ics", "/anna/cal/x.ics"),
        ("https://dav.test:8443/anna%40test/x.ics?a=b", "/anna@test/x.ics"),
        ("/anna%40test/cal/", "/anna@test/cal/"),
        ("//anna//cal//x.ics", "/cal/x.ics"),
        ("/anna//cal/./y/../x.ics", "/anna/cal/x.ics"),
        ("  /a/x.ics\n", "/a/x.ics"),
        ("x.ics", "/anna/cal/x.ics"),
        ("/cal/M%C3%A9%20x.ics", "/cal/Mé x.ics"),
        ("/cal/a%2fb%25.ics", "/cal/a%2Fb%25.ics"),
        ("/cal/%ff.ics", "/cal/%FF.ics"),
        ("/cal/a%0d%0ab.ics", "/cal/a%0D%0Ab.ics"),
    ],
)
def test_one_resource_has_one_href(href: str, expected: str) -> None:
    assert normal_href(href, "/anna/cal/") == expected


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_an_href_leads_back_to_the_same_resource(name: str) -> None:
    sent = "/cal/" + quote(name, safe="")
    if name in (".", ".."):
        return
    href = normal_href(sent)
    assert unquote(encoded_href(href)) == unquote(sent)
    assert normal_href(encoded_href(href)) == href


# --- answers -------------------------------------------------------------------------------------------------------------


def test_a_multistatus_is_read() -> None:
    found = parse_multistatus(
        multistatus(
            '<d:response><d:href>/anna/cal/a%40b.ics</d:href><d:propstat><d:prop><d:getetag> "1" </d:getetag></d:prop>'
            "<d:status>HTTP/1.1 200 OK</d:status></d:propstat><d:propstat><d:prop><c:calendar-data/></d:prop>"
            "<d:status>HTTP/1.1 404 Not Found</d:status></d:propstat></d:response>"
            "<d:response><d:href>/anna/cal/gone.ics</d:href><d:status>HTTP/1.1 418 I'm a teapot</d:status></d:response>"
            "<d:sync-token> urn:1 </d:sync-token>"
        )
    )
    first, second = found.resources
    assert (first.href, first.status, first.etag) == ("/anna/cal/a@b.ics", 0, '"1"')
    assert CAL + "calendar-data" not in first.props
    assert (second.href, second.status, second.etag) == ("/anna/cal/gone.ics", 418, "")
    assert found.sync_token == "urn:1"
    assert found.of("/anna/cal/gone.ics/") is second


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"hello",
        b"\x00\x01\xfe",
        b"<html><p>log in</html>",
        b"<html xmlns='http://www.w3.org/1999/xhtml'/>",
        b'<?xml version="1.0" encoding="no-such"?><a/>',
        b'<!DOCTYPE d [<!ENTITY x SYSTEM "file:///etc/passwd">]><multistatus xmlns="DAV:">&x;</multistatus>',
        b'<!DOCTYPE d [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]><multistatus xmlns="DAV:">&b;</multistatus>',
    ],
)
def test_anything_else_is_a_bad_answer(body: bytes) -> None:
    with pytest.raises(errors.BadAnswer):
        parse_multistatus(answer(body))


@pytest.mark.parametrize("status", [200, 204, 302, 404])
def test_another_status_than_207_is_no_multistatus(status: int) -> None:
    with pytest.raises(errors.BadAnswer):
        parse_multistatus(answer(b'<multistatus xmlns="DAV:"/>', status))


def test_an_answer_that_ends_early_is_temporary_wherever_it_is_cut() -> None:
    whole = multistatus("<d:response><d:href>/a</d:href><d:status>HTTP/1.1 404 x</d:status></d:response>").content
    for cut in range(whole.index(b" xmlns"), len(whole)):
        with pytest.raises(errors.Unreachable):
            parse_xml(whole[:cut])


def test_preconditions_are_found_alone_and_inside() -> None:
    alone = answer('<d:error xmlns:d="DAV:"><d:valid-sync-token/></d:error>', 403)
    assert set(preconditions(alone)) == {DAV + "valid-sync-token"}
    conflict = answer(
        '<d:error xmlns:d="DAV:" xmlns:c="urn:ietf:params:xml:ns:caldav"><c:no-uid-conflict><d:href>/x.ics</d:href>'
        "</c:no-uid-conflict></d:error>",
        409,
    )
    (found,) = preconditions(conflict)[CAL + "no-uid-conflict"]
    assert found.text == "/x.ics"
    assert preconditions(answer(b"<html>error</html>", 500)) == {}
    assert preconditions(answer(b"error <<", 500)) == {}


# --- errors --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "error", "of_a_calendar"),
    [
        (301, errors.BadAnswer, errors.BadAnswer),
        (400, errors.Refused, errors.Refused),
        (401, errors.NeedsReconnect, errors.NeedsReconnect),
        (403, errors.Refused, errors.CalendarGone),
        (404, errors.Gone, errors.CalendarGone),
        (405, errors.BadAnswer, errors.BadAnswer),
        (408, errors.ServerFault, errors.ServerFault),
        (409, errors.Refused, errors.Refused),
        (410, errors.Gone, errors.CalendarGone),
        (412, errors.Conflict, errors.Conflict),
        (423, errors.Conflict, errors.Conflict),
        (429, errors.Throttled, errors.Throttled),
        (500, errors.ServerFault, errors.ServerFault),
        (503, errors.ServerFault, errors.ServerFault),
        (507, errors.ServerFault, errors.ServerFault),
    ],
)
def test_what_a_status_means(status: int, error: type[Exception], of_a_calendar: type[Exception]) -> None:
    assert type(failure(answer(status=status))) is error
    assert type(failure(answer(status=status), collection=True)) is of_a_calendar
    assert failure(answer(status=status)).status == status


def test_no_address_of_a_person_is_in_an_error() -> None:
    assert "anna" not in str(failure(answer(status=500)))


def test_how_long_to_wait() -> None:
    date = "Sun, 22 Nov 2026 22:00:00 GMT"
    assert retry_after(answer(Retry_After="30")) == 30.0
    assert retry_after(answer(Retry_After="Sun, 22 Nov 2026 22:01:30 GMT", Date=date)) == 90.0
    assert retry_after(answer(Retry_After="Sun, 22 Nov 2026 21:00:00 GMT", Date=date)) == 0.0
    for odd in ("", "soon", "-5", "Sun, 22 Nov 2026 22:01:30 GMT"):
        assert retry_after(answer(Retry_After=odd)) is None
    throttled = failure(answer(status=503, Retry_After="7"))
    assert isinstance(throttled, errors.Throttled)
    assert throttled.retry_after == 7.0


# --- requests ------------------------------------------------------------------------------------------------------------


def test_bodies_are_well_formed_whatever_they_carry() -> None:
    nasty = "a<b>&\"']]>é"
    assert parse_xml(propfind(DAV + "getetag", CAL + "calendar-data")).tag == DAV + "propfind"
    token = parse_xml(sync_collection(nasty)).find(DAV + "sync-token")
    assert token is not None
    assert token.text == nasty
    match = parse_xml(uid_query(nasty)).find(".//" + CAL + "text-match")
    assert match is not None
    assert match.text == nasty
    href = parse_xml(calendar_multiget(["/cal/a&b é.ics"])).find(DAV + "href")
    assert href is not None
    assert href.text == "/cal/a&b%20%C3%A9.ics"


def test_etags() -> None:
    assert quoted("%22abc%22") == '"abc"'
    assert quoted('"a%22b"') == '"a%22b"'
    assert same_etag('W/"a"', '"a"')
    assert same_etag("%22a%22", '"a"')
    assert not same_etag('"a"', '"b"')
    assert if_match('"a"') == {"If-Match": '"a"'}
    assert if_match("bare") == {"If-Match": "bare"}
    assert if_match('W/"a"') == {}
    assert if_match("") == {}
