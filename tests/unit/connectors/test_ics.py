"""Feeds from a real server on this machine."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from connectors.errors import (
    AddressRefused,
    BadAnswer,
    CalendarGone,
    Gone,
    NeedsReconnect,
    Refused,
    ServerFault,
    Throttled,
    Unreachable,
)
from connectors.ics import IcsConnector
from connectors.model import Calendar, ChangeSet, Entry, Event, Period, Quirks, SyncToken
from connectors.protocol import Credentials, Endpoints

FEED = (Path(__file__).parents[2] / "data" / "ical" / "published-feed.ics").read_bytes()
YEAR = Period(datetime(2027, 1, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC))
ENTRY = Entry("slx", "slx@x", "d:1:0", Period(YEAR.start, YEAR.end), "Ada")


class Site:
    """What the server answers next, and what it was asked."""

    def __init__(self) -> None:
        self.content, self.status = FEED, 200
        self.headers: dict[str, str] = {}
        self.etags = self.modified = True
        self.delay = 0.0
        self.asked: list[dict[str, str]] = []

    @property
    def etag(self) -> str:
        return f'"{hashlib.sha256(self.content).hexdigest()[:8]}"'


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.fixture
def url(site: Site) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.asked.append({name.lower(): value for name, value in self.headers.items()})
            headers = dict(site.headers)
            status = site.status
            if site.etags:
                headers["ETag"] = site.etag
                if self.headers.get("If-None-Match") == site.etag:
                    status = 304
            elif site.modified:
                headers["Last-Modified"] = "Mon, 02 Nov 2026 10:00:00 GMT"
                if self.headers.get("If-Modified-Since") == headers["Last-Modified"]:
                    status = 304
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            content = site.content if status != 304 else b""
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            for start in range(0, len(content), 200):
                time.sleep(site.delay)
                try:
                    self.wfile.write(content[start : start + 200])
                    self.wfile.flush()
                except OSError:
                    return

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/club.ics"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def connector(url: str) -> Iterator[IcsConnector]:
    with IcsConnector(Credentials("ics", url), Endpoints(allow_private_networks=True)) as connector:
        yield connector


@pytest.fixture
def calendar(connector: IcsConnector) -> Calendar:
    (calendar,) = connector.calendars()
    return calendar


def pull(
    connector: IcsConnector, calendar: Calendar, since: SyncToken | None = None, known: dict[str, Event] | None = None
) -> ChangeSet:
    etags = {href: event.etag for href, event in (known or {}).items()}
    return connector.changes(calendar, since, YEAR, lambda: etags, quirks=Quirks())


def by_href(changes: ChangeSet) -> dict[str, Event]:
    return {event.href: event for event in changes.changed}


def test_a_feed_is_one_calendar_that_can_not_be_written(calendar: Calendar, url: str) -> None:
    assert calendar == Calendar(url, "Club, evenings", "Europe/Berlin", writable=False)


def test_a_feed_without_a_name_has_its_hosts(site: Site, connector: IcsConnector) -> None:
    site.content = FEED.replace(b"X-WR-CALNAME", b"X-OTHER").replace(b"X-WR-TIMEZONE", b"X-ZONE")
    (calendar,) = connector.calendars()
    assert (calendar.name, calendar.timezone) == ("127.0.0.1", "")


def test_the_first_pull_brings_all(connector: IcsConnector, calendar: Calendar) -> None:
    changes = pull(connector, calendar)
    assert changes.listed == {"feed-1", "feed-2", "feed-3"} == set(by_href(changes))
    assert by_href(changes)["feed-1"].occurrences[0].period.start.hour == 18
    assert changes.token is not None
    assert changes.token.kind == "feed"


@pytest.mark.parametrize("etags", [True, False])
def test_nothing_changed_is_one_request_without_a_body(
    site: Site, connector: IcsConnector, calendar: Calendar, etags: bool
) -> None:
    site.etags = etags
    first = pull(connector, calendar)
    site.asked.clear()
    second = pull(connector, calendar, first.token, by_href(first))
    assert second == ChangeSet(token=first.token)
    (asked,) = site.asked
    assert ("if-none-match" in asked) == etags
    assert ("if-modified-since" in asked) != etags


def test_a_server_without_conditions_costs_the_body_but_nothing_comes_as_changed(
    site: Site, connector: IcsConnector, calendar: Calendar
) -> None:
    site.etags = site.modified = False
    first = pull(connector, calendar)
    assert pull(connector, calendar, first.token, by_href(first)).changed == ()
    site.content = FEED.replace(b"DTSTAMP:20261101", b"DTSTAMP:20261102")  # as feeds do that are made at each request
    stamped = pull(connector, calendar, first.token, by_href(first))
    assert stamped.changed == ()
    assert stamped.listed == {"feed-1", "feed-2", "feed-3"}


def test_only_what_changed_comes_and_what_is_missing_is_absent(
    site: Site, connector: IcsConnector, calendar: Calendar
) -> None:
    first = pull(connector, calendar)
    start = FEED.index(b"BEGIN:VEVENT")
    end = FEED.index(b"BEGIN:VEVENT", start + 1)
    site.content = (FEED[:start] + FEED[end:]).replace(b"20270311T190000", b"20270312T190000")
    second = pull(connector, calendar, first.token, by_href(first))
    assert set(by_href(second)) == {"feed-2"}
    assert second.listed == {"feed-2", "feed-3"}
    assert second.removed == ()
    again = pull(connector, calendar, second.token, by_href(first) | by_href(second))
    assert again == ChangeSet(token=second.token)


@pytest.mark.parametrize("value", ["", "no json", "[]", '{"etag": "x"}'])
def test_a_token_that_makes_no_sense_is_as_good_as_none(
    connector: IcsConnector, calendar: Calendar, value: str
) -> None:
    assert len(pull(connector, calendar, SyncToken("feed", value)).changed) == 3
    assert len(pull(connector, calendar, SyncToken("other", value)).changed) == 3


@pytest.mark.parametrize(
    "content",
    [b"", b"<html>Log in</html>", FEED[:-20], FEED[: len(FEED) // 2], b"BEGIN:VCALENDAR\r\n"],
)
def test_what_is_no_whole_feed_proves_nothing(
    site: Site, connector: IcsConnector, calendar: Calendar, content: bytes
) -> None:
    site.content = content
    with pytest.raises(BadAnswer):
        pull(connector, calendar)


def test_an_empty_calendar_is_a_whole_feed(site: Site, connector: IcsConnector, calendar: Calendar) -> None:
    site.content = b"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nEND:VCALENDAR\r\n\r\n"
    assert pull(connector, calendar).listed == frozenset()


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, NeedsReconnect),
        (403, CalendarGone),
        (404, CalendarGone),
        (410, CalendarGone),
        (429, Throttled),
        (500, ServerFault),
        (503, ServerFault),
        (204, BadAnswer),
        (400, Refused),
    ],
)
def test_statuses(site: Site, connector: IcsConnector, calendar: Calendar, status: int, error: type[Exception]) -> None:
    site.status, site.content = status, b""
    with pytest.raises(error):
        pull(connector, calendar)


def test_a_redirect_is_followed(site: Site, connector: IcsConnector, calendar: Calendar, url: str) -> None:
    site.status, site.headers = 302, {"Location": url}
    with pytest.raises(BadAnswer):  # in circles
        pull(connector, calendar)
    assert len(site.asked) > 3


def test_throttled_says_how_long(site: Site, connector: IcsConnector, calendar: Calendar) -> None:
    site.status, site.headers = 429, {"Retry-After": "17"}
    with pytest.raises(Throttled) as caught:
        pull(connector, calendar)
    assert caught.value.retry_after == 17


def test_size_and_time_are_limited(site: Site, url: str, calendar: Calendar) -> None:
    here = Endpoints(allow_private_networks=True)
    with IcsConnector(Credentials("ics", url), here, max_bytes=len(FEED) - 1) as small, pytest.raises(BadAnswer):
        pull(small, calendar)
    with IcsConnector(Credentials("ics", url), here, max_bytes=len(FEED)) as enough:
        assert len(pull(enough, calendar).changed) == 3
    site.delay = 0.3
    with IcsConnector(Credentials("ics", url), here, timeout=0.5, total=0.7) as hasty, pytest.raises(Unreachable):
        pull(hasty, calendar)


def test_private_addresses_are_refused_unless_allowed(url: str, calendar: Calendar) -> None:
    with IcsConnector(Credentials("ics", url), Endpoints()) as connector, pytest.raises(AddressRefused):
        connector.calendars()


def test_webcal_means_https() -> None:
    connector = IcsConnector(Credentials("ics", "webcal://127.0.0.1:1/x.ics"), Endpoints())
    with pytest.raises(AddressRefused, match=r"127\.0\.0\.1"):
        connector.calendars()
    with pytest.raises(AddressRefused):
        IcsConnector(Credentials("ics", "file:///etc/passwd"), Endpoints()).calendars()


def test_credentials_are_sent_if_given(site: Site, url: str) -> None:
    with IcsConnector(Credentials("ics", url, "anna", "secret"), Endpoints(allow_private_networks=True)) as connector:
        connector.calendars()
    assert site.asked[0]["authorization"].startswith("Basic ")


def test_fetch_and_find(site: Site, connector: IcsConnector, calendar: Calendar) -> None:
    assert connector.fetch(calendar, "feed-2", YEAR).uid == "feed-2"
    with pytest.raises(Gone):
        connector.fetch(calendar, "feed-9", YEAR)
    found = connector.find([calendar], "key", "feed-3", YEAR)
    assert found is not None
    assert (found.calendar, found.event.uid) == (calendar.href, "feed-3")
    assert connector.find([calendar], "key", "feed-9", YEAR) is None
    site.status = 404
    with pytest.raises(CalendarGone):
        connector.fetch(calendar, "feed-2", YEAR)


def test_nothing_can_be_written(site: Site, connector: IcsConnector, calendar: Calendar) -> None:
    site.asked.clear()
    with pytest.raises(Refused):
        connector.create(calendar, ENTRY, quirks=Quirks())
    with pytest.raises(Refused):
        connector.update(calendar, ENTRY, "feed-1", "", quirks=Quirks())
    with pytest.raises(Refused):
        connector.delete(calendar, "feed-1")
    with pytest.raises(Refused):
        connector.selftest(calendar, write=True)
    assert site.asked == []


def test_what_the_selftest_says(site: Site, connector: IcsConnector, calendar: Calendar) -> None:
    assert connector.selftest(calendar, write=False).sync_token == "trusted"
    site.etags = False
    assert connector.selftest(calendar, write=False).sync_token == "trusted"
    site.modified = False
    assert connector.selftest(calendar, write=False).sync_token == "absent"


def test_progress_is_told(connector: IcsConnector, calendar: Calendar) -> None:
    told: list[tuple[int, int]] = []
    connector.changes(
        calendar, None, YEAR, dict, quirks=Quirks(), progress=lambda done, total: told.append((done, total))
    )
    assert told == [(3, 3)]
