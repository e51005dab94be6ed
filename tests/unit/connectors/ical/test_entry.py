"""What we store, and what is left of it and of the owner's work after an update."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import icalendar
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.ical.objects import parse_object, render_entry, update_entry
from connectors.model import Attendee, Busy, Entry, Event, Period

T0 = datetime(2027, 3, 1, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)
YEAR = Period(datetime(2027, 1, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC))
KEY = "sl" + "0a1b2c3d4e" * 3
ENTRY = Entry(
    key=KEY,
    uid=f"{KEY}@slots.example",
    marker="prod;1:slot,7:0",
    period=Period(T0, T0 + HOUR),
    title="Ada; Lovelace, first visit",
    description="Phone: 0123\nhttps://slots.example/m/abc",
    location="Room 3\r\nATTENDEE:mailto:evil@example.org",
    url="https://slots.example/m/abc?x=1;y=2,3",
    sequence=4,
    created_at=T0 - 48 * HOUR,
    updated_at=T0 - 24 * HOUR,
    categories=("Slots", "a,b"),
    attendees=(Attendee("client@example.org"),),
)


def read(raw: bytes) -> Event:
    return parse_object(raw, href="/x", etag='"1"', window=YEAR, timezone="UTC")


def lines(raw: bytes) -> list[str]:
    return raw.replace(b"\r\n ", b"").decode().split("\r\n")


def test_what_is_stored() -> None:
    assert lines(render_entry(ENTRY)) == [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        "PRODID:-//Slotledger//Slotledger//EN",
        "CALSCALE:GREGORIAN",
        "BEGIN:VEVENT",
        f"UID:{KEY}@slots.example",
        "CREATED:20270227T090000Z",
        "DTSTAMP:20270228T090000Z",
        "LAST-MODIFIED:20270228T090000Z",
        "SEQUENCE:4",
        "DTSTART:20270301T090000Z",
        "DTEND:20270301T100000Z",
        "STATUS:CONFIRMED",
        f"X-SLOTLEDGER-KEY:{KEY}",
        "X-SLOTLEDGER-MARKER:prod\\;1:slot\\,7:0",
        lines(render_entry(ENTRY))[15],
        "SUMMARY:Ada\\; Lovelace\\, first visit",
        "DESCRIPTION:Phone: 0123\\nhttps://slots.example/m/abc",
        "LOCATION:Room 3 ATTENDEE:mailto:evil@example.org",
        "URL:https://slots.example/m/abc?x=1;y=2,3",
        "TRANSP:OPAQUE",
        "CLASS:PRIVATE",
        "CATEGORIES:Slots,a\\,b",
        "END:VEVENT",
        "END:VCALENDAR",
        "",
    ]
    assert render_entry(ENTRY) == render_entry(replace(ENTRY))


def test_the_bytes_are_good_icalendar() -> None:
    raw = render_entry(replace(ENTRY, title="Ω" * 100))
    assert all(len(line) <= 75 for line in raw.split(b"\r\n"))
    assert b"METHOD" not in raw
    (event,) = icalendar.Calendar.from_ical(raw).walk("VEVENT")
    assert not event.errors
    assert str(event["SUMMARY"]) == "Ω" * 100
    assert event["DTSTART"].dt == T0
    assert "ATTENDEE" not in event
    assert "ORGANIZER" not in event


def test_reading_it_back() -> None:
    event = read(render_entry(ENTRY))
    assert (event.own_key, event.uid, event.sequence, event.problem) == (KEY, ENTRY.uid, 4, "")
    (found,) = event.occurrences
    assert (found.period, found.busy, found.title) == (ENTRY.period, Busy.BUSY, ENTRY.title)
    assert found.categories == ENTRY.categories


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=60)


@settings(max_examples=150, deadline=None)
@given(TEXT, TEXT, TEXT)
def test_any_text_may_be_stored_and_changed(title: str, description: str, location: str) -> None:
    entry = replace(ENTRY, title=title, description=description, location=location)
    raw = render_entry(entry)
    names = [line.partition(":")[0] for line in lines(raw)]
    assert names.count("BEGIN") == names.count("END") == 2
    assert sorted(lines(update_entry(raw, entry))) == sorted(lines(raw))
    assert sorted(lines(update_entry(render_entry(ENTRY), entry))) == sorted(lines(raw))


LATER = replace(ENTRY, period=Period(T0 + 24 * HOUR, T0 + 25 * HOUR), title="Moved", description="New", sequence=5)

THEIRS = """\
COLOR:teal
X-APPLE-TRAVEL-DURATION;VALUE=DURATION:PT15M
COMMENT:bring the keys
BEGIN:VALARM
ACTION:DISPLAY
TRIGGER:-PT15M
DESCRIPTION:Get the room ready
SUMMARY:Alarm
END:VALARM
END:VEVENT""".replace("\n", "\r\n").encode()


def edited(raw: bytes) -> bytes:
    return raw.replace(b"END:VEVENT", THEIRS)


def test_an_update_changes_ours_and_keeps_theirs() -> None:
    raw = edited(render_entry(ENTRY)).replace(b"TRANSP:OPAQUE", b"TRANSP:TRANSPARENT").replace(b"Slots,", b"Mine,")
    after = update_entry(raw, LATER)
    event = read(after)
    assert [o.period for o in event.occurrences] == [LATER.period]
    assert (event.occurrences[0].title, event.sequence) == ("Moved", 5)
    assert event.occurrences[0].busy is Busy.FREE, "the owner's choice"
    assert event.occurrences[0].categories == ("Mine", "a,b")
    text = lines(after)
    assert "DESCRIPTION:New" in text
    for line in THEIRS.decode().split("\r\n"):
        assert line in text
    assert text.index("COMMENT:bring the keys") < text.index("BEGIN:VALARM") > text.index("DTSTART:20270302T090000Z")
    assert len([line for line in text if line.startswith(("DTSTART", "DTEND", "X-SLOTLEDGER-KEY"))]) == 3
    assert update_entry(after, LATER) == after


def test_a_text_that_the_owner_has_changed_stays() -> None:
    raw = render_entry(ENTRY).replace(b"DESCRIPTION:Phone: 0123", b"DESCRIPTION:Allergic to nuts! Phone: 0123")
    after = read_text(update_entry(raw, LATER))
    assert after["DESCRIPTION"] == "Allergic to nuts! Phone: 0123\\nhttps://slots.example/m/abc"
    assert after["SUMMARY"] == "Moved"
    again = read_text(update_entry(update_entry(raw, LATER), replace(LATER, description="Newer", title="Again")))
    assert again["DESCRIPTION"] == after["DESCRIPTION"]
    assert again["SUMMARY"] == "Again"


def read_text(raw: bytes) -> dict[str, str]:
    return {line.partition(":")[0]: line.partition(":")[2] for line in lines(raw)}


def test_servers_may_trim_and_escape_their_own_way() -> None:
    raw = render_entry(ENTRY)
    for variant in (
        raw.replace(b"\\;", b";"),
        raw.replace(b"\\n", b"\\N"),
        raw.replace(b"first visit", b"first visit "),
        raw.replace(b"\r\n", b"\n"),
        raw.replace(b"SUMMARY:", b'SUMMARY;LANGUAGE=de;X-A="b:c":'),
    ):
        after = read_text(update_entry(variant, LATER))
        assert after["SUMMARY"] == "Moved", variant
        assert after["DESCRIPTION"] == "New"


def test_where_our_notes_were_lost_our_texts_replace() -> None:
    lost = b"\r\n".join(
        line for line in render_entry(ENTRY).replace(b"\r\n ", b"").split(b"\r\n") if not line.startswith(b"X-")
    )
    after = read_text(update_entry(lost, LATER))
    assert (after["SUMMARY"], after["DESCRIPTION"], after["X-SLOTLEDGER-KEY"]) == ("Moved", "New", KEY)


def test_an_owner_who_made_it_all_day_gets_our_times_again() -> None:
    raw = render_entry(ENTRY).replace(b"DTSTART:20270301T090000Z", b"DTSTART;VALUE=DATE:20270301")
    raw = raw.replace(b"DTEND:20270301T100000Z", b"DURATION:P1D\r\nX-MICROSOFT-CDO-ALLDAYEVENT:TRUE")
    (found,) = read(update_entry(raw, LATER)).occurrences
    assert (found.all_day, found.period) == (False, LATER.period)
    assert b"ALLDAYEVENT" not in update_entry(raw, LATER)


def test_a_cancelled_event_of_ours_is_confirmed_by_an_update() -> None:
    raw = render_entry(ENTRY).replace(b"STATUS:CONFIRMED", b"STATUS:CANCELLED")
    assert read(raw).cancelled
    assert not read(update_entry(raw, LATER)).cancelled


@pytest.mark.parametrize(
    "raw", [b"", b"<html>", b"BEGIN:VCALENDAR\r\nBEGIN:VTODO\r\nUID:x\r\nEND:VTODO\r\nEND:VCALENDAR\r\n"]
)
def test_an_object_without_our_event_is_written_anew(raw: bytes) -> None:
    assert update_entry(raw, ENTRY) == render_entry(ENTRY)


def test_exceptions_and_other_events_of_the_object_are_left_alone() -> None:
    other = b"BEGIN:VEVENT\r\nUID:other\r\nDTSTART:20270601T090000Z\r\nEND:VEVENT\r\n"
    exception = (
        b"BEGIN:VEVENT\r\nUID:"
        + ENTRY.uid.encode()
        + b"\r\nRECURRENCE-ID:20270308T090000Z\r\nDTSTART:20270309T090000Z\r\nEND:VEVENT\r\n"
    )
    raw = render_entry(ENTRY).replace(b"BEGIN:VEVENT", other + exception + b"BEGIN:VEVENT", 1)
    after = update_entry(raw, LATER)
    assert other in after
    assert b"DTSTART:20270309T090000Z" in after
    assert b"DTSTART:20270302T090000Z" in after
    assert b"DTSTART:20270301T090000Z" not in after


def test_an_entry_without_texts() -> None:
    bare = replace(ENTRY, title="", description="", location="", url="", categories=())
    raw = render_entry(bare)
    assert b"SUMMARY" not in raw.replace(b"WROTE", b"")
    assert read(update_entry(raw, ENTRY)).occurrences[0].title == ENTRY.title
    assert update_entry(render_entry(ENTRY), bare).count(b"SUMMARY:") == 0
