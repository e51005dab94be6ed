"""Rows of Graph to neutral events, and entries to bodies."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from connectors.microsoft import events as graph_events
from connectors.microsoft.events import (
    BOOKING_KEY,
    attendees,
    busy,
    changes_of,
    may_be_ours,
    moment,
    new_event,
    own_key,
    period_of,
    recurrence_id,
    series,
    single,
    transaction_id,
    zone_named,
)
from connectors.model import Attendee, Busy, Entry, PartStat, Period

BERLIN = ZoneInfo("Europe/Berlin")
START = datetime(2027, 3, 1, 10, tzinfo=UTC)
HOUR = timedelta(hours=1)


def entry(**changes: Any) -> Entry:
    values: dict[str, Any] = {
        "key": "abc12345",
        "uid": "abc12345@x",
        "marker": "d:1:0",
        "period": Period(START, START + HOUR),
        "title": "Yoga",
        "description": "Bring a mat",
    }
    return Entry(**{**values, **changes})


def row(**changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "@odata.etag": 'W/"1"',
        "id": "AAk",
        "iCalUId": "0400",
        "type": "singleInstance",
        "subject": "Lunch",
        "showAs": "busy",
        "isAllDay": False,
        "isCancelled": False,
        "isOrganizer": True,
        "sensitivity": "normal",
        "start": {"dateTime": "2027-03-01T10:00:00.0000000", "timeZone": "UTC"},
        "end": {"dateTime": "2027-03-01T11:00:00.0000000", "timeZone": "UTC"},
    }
    return {**values, **changes}


def day(first: str, last: str, **changes: Any) -> dict[str, Any]:
    return row(
        isAllDay=True,
        start={"dateTime": f"{first}T00:00:00.0000000", "timeZone": "UTC"},
        end={"dateTime": f"{last}T00:00:00.0000000", "timeZone": "UTC"},
        **changes,
    )


def invited(answer: str, **changes: Any) -> dict[str, Any]:
    return row(isOrganizer=False, responseStatus={"response": answer, "time": "0001-01-01T00:00:00Z"}, **changes)


@pytest.mark.parametrize(
    ("shown", "taken"),
    [
        (row(isCancelled=True, showAs="busy"), Busy.NONE),
        (invited("declined", showAs="busy"), Busy.FREE),
        (invited("declined", showAs="oof"), Busy.FREE),
        (invited("declined", isCancelled=True), Busy.NONE),
        (row(showAs="free"), Busy.FREE),
        (row(showAs="workingElsewhere"), Busy.FREE),
        (row(showAs="oof"), Busy.BUSY),
        (row(showAs="tentative"), Busy.TENTATIVE),
        (invited("tentativelyAccepted"), Busy.TENTATIVE),
        (invited("notResponded"), Busy.UNANSWERED),
        (invited("notResponded", showAs="tentative"), Busy.TENTATIVE),
        (invited("notResponded", showAs="free"), Busy.FREE),
        (invited("accepted"), Busy.BUSY),
        (invited("none"), Busy.BUSY),
        (row(showAs="unknown"), Busy.BUSY),
        (row(showAs=None), Busy.BUSY),
        (row(responseStatus={"response": "notResponded"}), Busy.BUSY),  # an organizer answers nobody
        (row(showAs="FREE"), Busy.FREE),
    ],
)
def test_busy(shown: dict[str, Any], taken: Busy) -> None:
    assert busy(shown) is taken


def test_zones_by_any_name() -> None:
    assert zone_named("W. Europe Standard Time") == BERLIN
    assert zone_named("Europe/Berlin") == BERLIN
    assert zone_named("tzone://Microsoft/Utc") is UTC
    assert zone_named("tzone://Microsoft/Custom") is None


def test_moments() -> None:
    assert moment({"dateTime": "2027-07-01T10:00:00.1234567", "timeZone": "UTC"}).microsecond == 123456
    summer = {"dateTime": "2027-07-01T12:00:00.0000000", "timeZone": "W. Europe Standard Time"}
    assert moment(summer) == datetime(2027, 7, 1, 10, tzinfo=UTC)
    with pytest.raises(ValueError, match="zone"):
        moment({"dateTime": "2027-07-01T12:00:00", "timeZone": "tzone://Microsoft/Custom"})


def test_all_day_ignores_the_label_and_takes_the_calendars_zone() -> None:
    fair = day("2027-03-27", "2027-03-29")
    wanted = Period(datetime(2027, 3, 27, tzinfo=BERLIN), datetime(2027, 3, 29, tzinfo=BERLIN))
    assert period_of(fair, BERLIN) == (wanted, "")
    assert wanted.duration == timedelta(hours=47), "the clocks change on the 28th"
    assert period_of({**fair, "originalStartTimeZone": "W. Europe Standard Time"}, None) == (wanted, "")
    assert period_of({**fair, "originalStartTimeZone": "tzone://Microsoft/Custom"}, None)[0].start.hour == 0


def test_an_event_that_ends_before_it_starts_takes_no_time() -> None:
    odd = row(end={"dateTime": "2027-03-01T09:00:00.0000000", "timeZone": "UTC"})
    event = single(odd, BERLIN)
    assert event.problem
    assert event.occurrences[0].period == Period(START, START)


@pytest.mark.parametrize(
    "start", [None, {}, {"dateTime": "soon"}, {"dateTime": "2027-01-01T00:00:00", "timeZone": "?"}]
)
def test_what_cannot_be_read_is_a_problem(start: Any) -> None:
    event = single(row(start=start), BERLIN)
    assert event.problem
    assert event.occurrences == ()
    assert event.href == "AAk"


def test_titles_of_private_events_stay_there_unless_they_are_ours() -> None:
    private = row(sensitivity="private", transactionId=transaction_id("abc12345"))
    assert single(private, BERLIN).occurrences[0].title == ""
    assert single(private, BERLIN, "abc12345").occurrences[0].title == "Lunch"
    assert single(row(), BERLIN).occurrences[0].title == "Lunch"


def test_our_key_needs_our_transaction() -> None:
    held = [{"id": BOOKING_KEY, "value": "abc12345"}]
    assert own_key(row(singleValueExtendedProperties=held, transactionId=transaction_id("abc12345"))) == "abc12345"
    assert own_key(row(singleValueExtendedProperties=held)) == "", "a copy"
    assert own_key(row(singleValueExtendedProperties=held, transactionId=transaction_id("other"))) == ""
    assert own_key(row()) == ""
    assert may_be_ours(row(transactionId=transaction_id("abc12345")))
    assert not may_be_ours(row(transactionId="7E163156-7762-4BEB-A1C6-729EA81755A7"))
    assert not may_be_ours(row(transactionId="anything"))
    assert not may_be_ours(row())


MASTER = row(id="M", type="seriesMaster", subject="Team", showAs="tentative", categories=["work"])


def part(hour: str, kind: str = "occurrence", **changes: Any) -> dict[str, Any]:
    values = {
        "id": f"{kind}{hour}",
        "type": kind,
        "seriesMasterId": "M",
        "start": {"dateTime": f"{hour}:00:00.0000000", "timeZone": "UTC"},
        "end": {"dateTime": f"{hour}:30:00.0000000", "timeZone": "UTC"},
    }
    return {**values, **changes}


def test_a_minimal_occurrence_inherits_from_its_master() -> None:
    event = series(MASTER, [part("2027-03-01T10"), part("2027-03-08T10")], BERLIN)
    assert (event.href, event.recurring) == ("M", True)
    assert [o.recurrence_id for o in event.occurrences] == ["20270301T100000Z", "20270308T100000Z"]
    assert {(o.busy, o.title, o.categories) for o in event.occurrences} == {(Busy.TENTATIVE, "Team", ("work",))}


def test_an_exception_keeps_its_name_when_it_moves() -> None:
    moved = part("2027-03-09T15", "exception", originalStart="2027-03-08T10:00:00Z", showAs="free")
    event = series(MASTER, [part("2027-03-01T10"), moved], BERLIN)
    assert [o.recurrence_id for o in event.occurrences] == ["20270301T100000Z", "20270308T100000Z"]
    assert [o.busy for o in event.occurrences] == [Busy.TENTATIVE, Busy.FREE]


def test_an_all_day_series_is_named_by_days() -> None:
    master = day("2027-03-25", "2027-03-26", id="M", type="seriesMaster")
    found = day("2027-04-01", "2027-04-02", type="occurrence")
    assert recurrence_id(found, master, BERLIN) == "20270401"
    moved = day("2027-04-03", "2027-04-04", type="exception", originalStart="2027-03-31T22:00:00Z")
    assert recurrence_id(moved, master, BERLIN) == "20270401"


def test_one_unreadable_occurrence_does_not_hide_the_others() -> None:
    event = series(MASTER, [part("2027-03-01T10"), {**part("2027-03-08T10"), "start": None}], BERLIN)
    assert event.problem
    assert len(event.occurrences) == 1


def test_a_new_event_mails_nobody() -> None:
    body = new_event(entry())
    assert "attendees" not in body
    assert body["sensitivity"] == "private"
    assert body["responseRequested"] is False
    assert body["start"] == {"dateTime": "2027-03-01T10:00:00", "timeZone": "UTC"}
    assert body["transactionId"] == transaction_id("abc12345")
    assert body["singleValueExtendedProperties"] == [{"id": BOOKING_KEY, "value": "abc12345"}]


def test_a_new_event_of_the_native_voice() -> None:
    body = new_event(
        entry(attendees=(Attendee("ada@x.org", "Ada"),), conference=True, location="Room", url="https://s/1")
    )
    assert body["attendees"] == [{"type": "required", "emailAddress": {"address": "ada@x.org", "name": "Ada"}}]
    assert (body["isOnlineMeeting"], body["onlineMeetingProvider"]) == (True, "teamsForBusiness")
    assert (body["responseRequested"], body["sensitivity"]) == (True, "normal")
    assert body["body"]["content"] == "Bring a mat\n\nhttps://s/1"
    assert body["location"] == {"displayName": "Room"}


def current(**changes: Any) -> dict[str, Any]:
    html = "<html><head><style>p{}</style></head><body><div>Bring&nbsp;a<br>mat</div></body></html>"
    return row(subject="Yoga", body={"contentType": "html", "content": html}, **changes)


def test_nothing_changed_means_nothing_sent() -> None:
    assert changes_of(entry(), current()) == {}


@pytest.mark.parametrize(
    ("changes", "held", "sent"),
    [
        ({"title": "Pilates"}, {}, {"subject"}),
        ({"period": Period(START + HOUR, START + 2 * HOUR)}, {}, {"start", "end"}),
        ({"location": "Room"}, {}, {"location"}),
        ({"location": "Room"}, {"location": {"displayName": "Room"}}, set()),
        ({}, {"location": {"displayName": "his own"}}, set()),
        ({"description": "Bring two mats"}, {}, {"body"}),
        ({"description": "Bring two mats"}, {"isOnlineMeeting": True}, set()),
        ({"categories": ("no-show",)}, {"categories": ["his"]}, {"categories"}),
        ({}, {"categories": ["his"]}, set()),
        ({}, {"isAllDay": True}, {"start", "end", "isAllDay"}),
        ({}, {"start": None}, {"start", "end"}),
        ({"conference": True}, {}, {"isOnlineMeeting", "onlineMeetingProvider"}),
        ({"conference": True}, {"isOnlineMeeting": True}, set()),
        ({"attendees": (Attendee("ada@x.org"),)}, {}, {"attendees"}),
        (
            {"attendees": (Attendee("ada@x.org"),)},
            {"attendees": [{"emailAddress": {"address": "Ada@x.org"}, "type": "required"}]},
            set(),
        ),
    ],
)
def test_only_what_differs_is_sent(changes: dict[str, Any], held: dict[str, Any], sent: set[str]) -> None:
    body = changes_of(entry(**changes), current(**held))
    assert body.keys() == sent
    assert "transactionId" not in body
    if "categories" in body:
        assert body["categories"] == ["his", "no-show"]


def test_guests_and_their_answers() -> None:
    told = row(
        attendees=[
            {"type": "required", "status": {"response": "declined"}, "emailAddress": {"address": "A@x", "name": "A"}},
            {"type": "optional", "status": {"response": "tentativelyAccepted"}, "emailAddress": {"address": "b@x"}},
            {"type": "required", "status": {"response": "none"}, "emailAddress": {"address": "c@x"}},
            {"type": "resource", "emailAddress": {"address": "room@x"}},
            {"type": "required", "emailAddress": {}},
        ]
    )
    assert attendees(told) == (
        Attendee("a@x", "A", PartStat.DECLINED),
        Attendee("b@x", "", PartStat.TENTATIVE),
        Attendee("c@x", "", PartStat.NEEDS_ACTION),
    )
    assert single(told, BERLIN).attendees == ()
    assert len(single(told, BERLIN, "abc12345").attendees) == 3


def test_span_takes_the_first_that_can_be_placed() -> None:
    found = graph_events.span([row(start=None), row()], None, HOUR)
    assert found == Period(START - HOUR, START + 2 * HOUR)
    assert graph_events.span([row(start=None)], None, HOUR) is None
