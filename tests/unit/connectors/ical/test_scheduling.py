from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from time import monotonic

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.ical import itip
from connectors.ical.itip import Counter, Method, OrganizerMessage, Refresh, Reply
from connectors.ical.scheduling import MAX_BYTES, MAX_COMMENT, Unreadable, method_of, parse
from connectors.model import PartStat, Period
from tests.unit.connectors.ical.test_itip import INVITATION, START


def message(*lines: str, method: str = "REPLY", uid: str = "1") -> bytes:
    event = [
        "BEGIN:VEVENT",
        f"UID:{uid}",
        "DTSTAMP:20270104T080000Z",
        "ATTENDEE;PARTSTAT=ACCEPTED:mailto:a@b.example",
        *lines,
        "END:VEVENT",
    ]
    return "\r\n".join(["BEGIN:VCALENDAR", "VERSION:2.0", f"METHOD:{method}", *event, "END:VCALENDAR", ""]).encode()


@pytest.mark.parametrize(
    ("write", "method"),
    [
        (itip.request, "REQUEST"),
        (itip.cancel, "CANCEL"),
        (itip.publish, "PUBLISH"),
        (itip.decline_counter, "DECLINECOUNTER"),
    ],
)
def test_what_we_write_is_read_back(write, method: str) -> None:
    found = parse(write(INVITATION))
    assert isinstance(found, OrganizerMessage)
    assert (found.method, found.uid, found.sequence, found.dtstamp) == (method, INVITATION.uid, 0, INVITATION.dtstamp)
    assert (found.period, found.organizer) == (INVITATION.period, INVITATION.organizer.email)
    assert method_of(found) is Method(method)


def test_a_reply_without_organizer_sequence_and_time() -> None:
    found = parse(message())
    assert isinstance(found, Reply)
    assert (found.uid, found.sequence, found.organizer, found.period) == ("1", 0, "", None)
    assert (found.attendee.email, found.attendee.partstat) == ("a@b.example", PartStat.ACCEPTED)
    assert method_of(found) is Method.REPLY


@pytest.mark.parametrize("uri", ["urn:uuid:1b4e", "/123456/principal/", "invalid:nomail"])
def test_the_address_may_stand_beside_another_uri(uri: str) -> None:
    raw = message().replace(
        b";PARTSTAT=ACCEPTED:mailto:a@b.example", f";EMAIL=A@b.example;PARTSTAT=DECLINED:{uri}".encode()
    )
    found = parse(raw)
    assert isinstance(found, Reply)
    assert (found.attendee.email, found.attendee.partstat) == ("a@b.example", PartStat.DECLINED)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["DTSTART:20270110T090000Z", "DTEND:20270110T095000Z"], Period(START, datetime(2027, 1, 10, 9, 50, tzinfo=UTC))),
        (["DTSTART;TZID=Europe/Vienna:20270110T100000", "DURATION:PT50M"], Period(START, datetime(2027, 1, 10, 9, 50, tzinfo=UTC))),
        (["DTSTART;TZID=Eastern Standard Time:20270110T040000", "DURATION:PT50M"], Period(START, datetime(2027, 1, 10, 9, 50, tzinfo=UTC))),
        (["DTSTART;VALUE=DATE:20270110", "DTEND;VALUE=DATE:20270111"], None),
        (["DTSTART:20270110T090000", "DTEND:20270110T095000"], None),
        (["DTSTART:20270110T090000Z", "DTEND:20270110T080000Z"], None),
        (["DTSTART:20270110T090000Z", "DURATION:-PT5M"], None),
        (["DTSTART:garbage"], None),
        ([], None),
    ],
)  # fmt: skip
def test_a_proposed_time_is_an_instant_or_nothing(lines: list[str], expected: Period | None) -> None:
    found = parse(message(*lines, method="COUNTER"))
    assert isinstance(found, Counter)
    assert found.proposed == expected


def test_refresh_needs_no_time() -> None:
    assert isinstance(parse(message(method="REFRESH")), Refresh)


@pytest.mark.parametrize(
    ("sender", "expected"),
    [("b@b.example", "b@b.example"), ("", "c@b.example"), ("nobody@b.example", "c@b.example")],
)
def test_of_several_attendees_the_sender_answers_else_who_has_answered(sender: str, expected: str) -> None:
    ics = message().replace(
        b"ATTENDEE;PARTSTAT=ACCEPTED:mailto:a@b.example",
        b"ATTENDEE:mailto:a@b.example\r\nATTENDEE:mailto:b@b.example\r\nATTENDEE;PARTSTAT=declined:mailto:c@b.example",
    )
    found = parse(ics, sender=sender)
    assert isinstance(found, Reply)
    assert found.attendee.email == expected


@pytest.mark.parametrize("partstat", ["X-MAYBE", "", "COMPLETED"])
def test_an_unknown_partstat_needs_action(partstat: str) -> None:
    found = parse(message().replace(b"PARTSTAT=ACCEPTED", f"PARTSTAT={partstat}".encode()))
    assert isinstance(found, Reply)
    assert found.attendee.partstat is PartStat.NEEDS_ACTION


def test_comments_are_joined_cleaned_and_cut() -> None:
    found = parse(message("COMMENT:one\\ntwo\x07", "COMMENT;LANGUAGE=de:" + "x" * 9000))
    assert isinstance(found, Reply)
    assert found.comment.startswith("one\ntwo\nxxx")
    assert len(found.comment) == MAX_COMMENT


def test_a_single_instance_is_told_apart() -> None:
    found = parse(message("RECURRENCE-ID;TZID=Europe/Vienna:20270110T100000"))
    assert isinstance(found, Reply)
    assert found.recurrence_id == "20270110T090000Z"


def test_broken_numbers_and_times_are_as_if_absent() -> None:
    found = parse(message("SEQUENCE:many").replace(b"DTSTAMP:20270104T080000Z", b"DTSTAMP:soon"))
    assert isinstance(found, Reply)
    assert (found.sequence, found.dtstamp) == (0, None)


@pytest.mark.parametrize(
    "ics",
    [
        b"",
        b"\x00\xff\xfe",
        b"BEGIN:VCALENDAR\r\n",
        b"BEGIN:VCALENDAR\r\nMETHOD:REPLY\r\nEND:VCALENDAR\r\n",
        message(method="SHOUT"),
        message(uid=""),
        message().replace(b"ATTENDEE;PARTSTAT=ACCEPTED:mailto:a@b.example\r\n", b""),
        message().replace(b"mailto:a@b.example", b"mailto:nobody"),
        message("X-PAD:" + "x" * MAX_BYTES),
        message("END:VEVENT", "BEGIN:VEVENT", "UID:2"),
        message(*["END:VEVENT\r\nBEGIN:VEVENT\r\nUID:1"] * 6),
        b"BEGIN:VCALENDAR\r\n" * 10_000,
        b"METHOD:REPLY\r\n" + b"BEGIN:VEVENT\r\nUID:1\r\nEND:VEVENT\r\n",
    ],
)
def test_what_is_no_message_is_unreadable(ics: bytes) -> None:
    with pytest.raises(Unreadable):
        parse(ics)


@settings(deadline=None)  # the machine may be busy
@given(st.binary(max_size=400), st.integers(0, 400))
def test_noise_is_unreadable_or_a_value(noise: bytes, at: int) -> None:
    ics = message("COMMENT:x", "DTSTART:20270110T090000Z")
    for candidate in (noise, ics[:at] + noise + ics[at:], ics[:at] + ics[at + len(noise) :]):
        try:
            method_of(parse(candidate))
        except Unreadable:
            continue


@pytest.mark.parametrize(
    "filler",
    ["X-A;" + ";".join(f"P{i}=v" for i in range(20_000)) + ":x", "\r\n".join(["X-A:y"] * 35_000), "X-A:" + "\\;" * 100_000,
     "COMMENT:" + "\r\n ".join(["z" * 70] * 3_000), "X-A;P=" + ",".join(['"a"'] * 40_000) + ":x"],
    ids=["parameters", "properties", "escapes", "folds", "values"],
)  # fmt: skip
def test_a_message_at_the_size_limit_is_read_in_seconds(filler: str) -> None:
    started = monotonic()
    with contextlib.suppress(Unreadable):
        parse(message(filler))
    assert monotonic() - started < 20
