"""Published busy times (RFC 5545 §3.6.4) as events of a feed."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from connectors.ical.freebusy import MOST, as_events
from connectors.ical.objects import parse_feed
from connectors.model import Busy, Event, Period

YEAR = Period(datetime(2027, 1, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC))


def feed(*lines: str, after: str = "") -> bytes:
    inside = "\r\n".join(lines)
    text = f"BEGIN:VCALENDAR\r\nBEGIN:VFREEBUSY\r\nUID:f\r\n{inside}\r\nEND:VFREEBUSY\r\n{after}END:VCALENDAR\r\n"
    return text.encode()


def times(events: list[Event]) -> list[tuple[str, str, Busy]]:
    return [
        (f"{o.period.start:%m-%dT%H:%M}", f"{o.period.end:%m-%dT%H:%M}", o.busy)
        for event in events
        for o in event.occurrences
    ]


def test_periods_are_busy_each_in_its_own_way() -> None:
    raw = feed(
        "FREEBUSY:20270310T100000Z/20270310T110000Z,20270311T100000Z/PT90M",
        'freebusy;FBTYPE="BUSY-UNAVAILABLE":20270312T100000Z/PT1H',
        "FREEBUSY;X-A=1;FBTYPE=X-PRIVATE:20270313T100000Z/PT1H",
        "FREEBUSY;FBTYPE=BUSY-TENTATIVE:20270314T100000Z/PT1H",
        "FREEBUSY;FBTYPE=FREE:20270315T100000Z/PT1H",
    )
    events = parse_feed(raw, window=YEAR)
    assert times(events) == [
        ("03-10T10:00", "03-10T11:00", Busy.BUSY),
        ("03-11T10:00", "03-11T11:30", Busy.BUSY),
        ("03-12T10:00", "03-12T11:00", Busy.BUSY),
        ("03-13T10:00", "03-13T11:00", Busy.BUSY),
        ("03-14T10:00", "03-14T11:00", Busy.TENTATIVE),
    ]
    assert len({event.href for event in events}) == 5
    assert not any(event.problem for event in events)


def test_the_same_period_keeps_its_name_and_etag() -> None:
    line = "FREEBUSY:20270310T100000Z/PT1H"
    (before,) = parse_feed(feed(line, line), window=YEAR)
    more = parse_feed(feed("DTSTAMP:20270301T000000Z", "FREEBUSY:20270309T100000Z/PT1H", line), window=YEAR)
    assert (before.href, before.etag) in {(event.href, event.etag) for event in more}


def test_events_beside_them_stay_events() -> None:
    other = "BEGIN:VEVENT\r\nUID:a\r\nDTSTART:20270401T100000Z\r\nDTEND:20270401T110000Z\r\nEND:VEVENT\r\n"
    events = parse_feed(feed("FREEBUSY:20270310T100000Z/PT1H", after=other), window=YEAR)
    assert [event.href for event in events][-1] == "a"
    assert len(events) == 2


@pytest.mark.parametrize("line", ["FREEBUSY:", "FREEBUSY", "FREEBUSY:nonsense", "FREEBUSY:/", "FREEBUSY;:x/y", "x"])
def test_nonsense_stops_nothing(line: str) -> None:
    events = parse_feed(feed(line, "FREEBUSY:20270310T100000Z/PT1H"), window=YEAR)
    assert times(events) == [("03-10T10:00", "03-10T11:00", Busy.BUSY)]


def test_there_is_an_end() -> None:
    periods = ",".join(f"2027{n:08d}" for n in range(MOST + 5))
    lines = ["BEGIN:VFREEBUSY", f"FREEBUSY:{periods}", "END:VFREEBUSY"]
    assert sum(line == "BEGIN:VEVENT" for line in as_events(lines)) == MOST
