from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import icalendar
import pytest
import vobject

from connectors.ical.itip import (
    Counter,
    EventStatus,
    Invitation,
    Organizer,
    Reply,
    Standing,
    cancel,
    decline_counter,
    publish,
    request,
    standing,
)
from connectors.model import Attendee, PartStat, Period

AT = datetime(2027, 1, 4, 8, 30, 15, tzinfo=UTC)
START = datetime(2027, 1, 10, 9, 0, tzinfo=UTC)
INVITATION = Invitation(
    uid="bk4f0c2a9e71@svc.example",
    sequence=0,
    dtstamp=AT,
    created=AT,
    period=Period(START, START + timedelta(minutes=50)),
    summary="Beratung bei Praxis Müller",
    organizer=Organizer("bookings+k7q2m4@svc.example", "Praxis Müller"),
    attendee=Attendee("clara@posteo.example", "שרה כהן"),
    description="Bitte Unterlagen mitbringen.\nLink: https://svc.example/de/b/x?a=1&b=2; danke",
    location="Hauptstraße 1, Wien",
    url="https://svc.example/de/b/x?a=1,2;3",
)
EVERY = {"request": request, "cancel": cancel, "publish": publish, "decline_counter": decline_counter}


def event_of(ics: bytes) -> icalendar.Event:
    (event,) = icalendar.Calendar.from_ical(ics).walk("VEVENT")
    assert isinstance(event, icalendar.Event)
    return event


@pytest.mark.parametrize("write", EVERY.values(), ids=EVERY)
def test_every_message_keeps_the_rules_of_the_wire(write) -> None:
    ics = write(INVITATION)
    assert ics == write(replace(INVITATION))  # the same value, the same bytes
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)", ics)
    assert all(len(line) <= 75 for line in ics.split(b"\r\n"))
    event = event_of(ics)
    assert event.errors == []
    for name in ("DTSTAMP", "DTSTART", "DTEND", "CREATED", "LAST-MODIFIED"):
        assert event[name].dt.utcoffset() == timedelta(0)
        assert re.search(rb"(?m)^%s:\d{8}T\d{6}Z\r$" % name.encode(), ics), f"{name} is not in UTC"
    assert event["UID"] == INVITATION.uid
    assert str(event["ORGANIZER"]) == "mailto:bookings+k7q2m4@svc.example"
    assert ics.count(b"BEGIN:VEVENT") == 1


@pytest.mark.parametrize(
    ("write", "method", "status", "busy"),
    [(request, "REQUEST", "CONFIRMED", "BUSY"), (cancel, "CANCEL", "CANCELLED", "FREE"),
     (publish, "PUBLISH", "CONFIRMED", "BUSY"), (decline_counter, "DECLINECOUNTER", "CONFIRMED", "BUSY")],
)  # fmt: skip
def test_method_status_and_busy_time(write, method: str, status: str, busy: str) -> None:
    ics = write(INVITATION)
    assert icalendar.Calendar.from_ical(ics)["METHOD"] == method
    event = event_of(ics)
    assert event["STATUS"] == status
    assert event["TRANSP"] == ("TRANSPARENT" if busy == "FREE" else "OPAQUE")
    assert event["X-MICROSOFT-CDO-BUSYSTATUS"] == busy
    assert event["X-MICROSOFT-CDO-INTENDEDSTATUS"] == busy


def test_two_independent_parsers_read_the_same() -> None:
    ics = request(INVITATION)
    ours, theirs = event_of(ics), vobject.readOne(ics.decode()).vevent
    assert str(ours["SUMMARY"]) == theirs.summary.value == INVITATION.summary
    assert str(ours["DESCRIPTION"]) == theirs.description.value == INVITATION.description
    assert str(ours["LOCATION"]) == theirs.location.value == INVITATION.location
    assert str(ours["URL"]) == theirs.url.value == INVITATION.url
    assert ours["DTSTART"].dt == theirs.dtstart.value == START
    assert ours["ATTENDEE"].params["CN"] == theirs.attendee.params["CN"][0] == "שרה כהן"
    assert ours["ATTENDEE"].params["RSVP"] == theirs.attendee.params["RSVP"][0] == "TRUE"
    assert theirs.attendee.value == "mailto:clara@posteo.example"


def test_organizer_line_is_the_same_in_every_message_of_one_uid() -> None:
    later = replace(
        INVITATION, sequence=3, dtstamp=AT + timedelta(days=2), status=EventStatus.TENTATIVE, summary="Anders",
        period=Period(START + timedelta(days=1), START + timedelta(days=1, hours=1)),
    )  # fmt: skip
    lines = {
        line
        for ics in (request(INVITATION), request(later), cancel(later), decline_counter(later))
        for line in ics.replace(b"\r\n ", b"").split(b"\r\n")
        if line.startswith(b"ORGANIZER")
    }
    assert len(lines) == 1


def test_a_moved_appointment_keeps_its_uid_and_raises_its_sequence() -> None:
    moved = event_of(request(replace(INVITATION, sequence=1)))
    assert (moved["UID"], moved["SEQUENCE"]) == (INVITATION.uid, 1)
    assert event_of(cancel(replace(INVITATION, sequence=2)))["SEQUENCE"] == 2


def test_cancel_names_the_attendee_and_asks_nothing() -> None:
    event = event_of(cancel(replace(INVITATION, comment="Leider krank")))
    assert str(event["ATTENDEE"]) == "mailto:clara@posteo.example"
    assert "RSVP" not in event["ATTENDEE"].params
    assert event["COMMENT"] == "Leider krank"


def test_publish_has_no_attendee() -> None:
    assert "ATTENDEE" not in event_of(publish(INVITATION))


def test_tentative_is_told_to_exchange_too() -> None:
    event = event_of(request(replace(INVITATION, status=EventStatus.TENTATIVE)))
    assert (event["STATUS"], event["X-MICROSOFT-CDO-BUSYSTATUS"]) == ("TENTATIVE", "TENTATIVE")


@pytest.mark.parametrize("field", ["summary", "description", "location", "url", "comment"])
@pytest.mark.parametrize("end", ["\r\n", "\n", "\r", "\x85", "\u2028", "\u2029", "\x0b", "\x0c", "\x00\r\n"])
def test_no_field_can_inject_a_property(field: str, end: str) -> None:
    evil = f"x{end}ATTENDEE:mailto:evil@x.example{end}METHOD:CANCEL{end}END:VEVENT"
    ics = request(replace(INVITATION, **{field: evil}))
    assert event_of(ics)["ATTENDEE"] == "mailto:clara@posteo.example"
    assert icalendar.Calendar.from_ical(ics)["METHOD"] == "REQUEST"
    assert sum(line.startswith("ATTENDEE") for line in ics.decode().splitlines()) == 1


@pytest.mark.parametrize(
    "name", ['x";X-EVIL=1:mailto:evil@x.example', "x\r\nATTENDEE:mailto:evil@x", "a;b,c:d", "^n^'"]
)
def test_no_name_can_inject_a_parameter(name: str) -> None:
    invitation = replace(
        INVITATION, attendee=Attendee("a@b.example", name), organizer=Organizer("bookings+t@svc.example", name)
    )
    event = event_of(request(invitation))
    assert set(event["ATTENDEE"].params) == {"CUTYPE", "ROLE", "PARTSTAT", "RSVP", "CN"}
    assert set(event["ORGANIZER"].params) == {"CN"}
    assert str(event["ATTENDEE"]) == "mailto:a@b.example"


@pytest.mark.parametrize(
    "wrong",
    [
        {"uid": ""},
        {"uid": "a\r\nb"},
        {"sequence": -1},
        {"dtstamp": datetime(2027, 1, 1)},
        {"period": Period(START, START)},
        {"attendee": Attendee("not an address")},
        {"organizer": Organizer("a@b, c@d")},
    ],
)
def test_values_no_client_could_read_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        replace(INVITATION, **wrong)


def reply(sequence: int, seconds: int | None) -> Reply:
    at = None if seconds is None else AT + timedelta(seconds=seconds)
    return Reply("u", sequence, at, Attendee("a@b", partstat=PartStat.ACCEPTED))


@pytest.mark.parametrize(
    ("answer", "last", "expected"),
    [
        (reply(1, 0), None, Standing.FRESH),
        (reply(1, 0), 0, Standing.REPEATED),
        (reply(1, -1), 0, Standing.REPEATED),
        (reply(1, 1), 0, Standing.FRESH),
        (reply(0, 99), None, Standing.OLD_TIME),
        (reply(2, 1), 0, Standing.FRESH),
        (reply(1, None), None, Standing.FRESH),
        (reply(1, None), 0, Standing.REPEATED),
        (Counter("u", 0, AT, Attendee("a@b"), None), None, Standing.OLD_TIME),
    ],
)
def test_order_of_answers(answer: Reply | Counter, last: int | None, expected: Standing) -> None:
    known = None if last is None else AT + timedelta(seconds=last)
    assert standing(answer, sequence=1, last=known) is expected
