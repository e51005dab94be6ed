"""Calendar objects as other apps write them, whole and broken."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.ical import objects as ical
from connectors.ical.objects import parse_feed, parse_object
from connectors.model import Busy, Event, Occurrence, Period

DATA = Path(__file__).parents[3] / "data" / "ical"
BERLIN = ZoneInfo("Europe/Berlin")
YEAR = Period(datetime(2027, 1, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC))
OWNER = frozenset({"owner@example.org"})


def read(name: str, **changes: object) -> Event:
    return parsed((DATA / f"{name}.ics").read_bytes(), **changes)


def parsed(raw: bytes, **changes: object) -> Event:
    given_ = {"href": "/cal/x.ics", "etag": '"1"', "window": YEAR, "timezone": "Europe/Berlin", **changes}
    return parse_object(raw, **given_)  # type: ignore[arg-type]


def vevent(*lines: str) -> bytes:
    body = ["BEGIN:VCALENDAR", "VERSION:2.0", "BEGIN:VEVENT", "UID:x", *lines, "END:VEVENT", "END:VCALENDAR", ""]
    return "\r\n".join(body).encode()


def local(occurrence: Occurrence) -> str:
    start, end = occurrence.period.start.astimezone(BERLIN), occurrence.period.end.astimezone(BERLIN)
    return f"{start:%m-%d %H:%M} to {end:%m-%d %H:%M}"


# as apps write them


def test_a_single_event_of_thunderbird() -> None:
    event = read("thunderbird-single")
    assert (event.href, event.etag, event.problem) == ("/cal/x.ics", '"1"', "")
    assert event.uid == "0f3c9f0e-6b5b-4a6f-9a86-7d2a0c5f4c11"
    (found,) = event.occurrences
    assert local(found) == "03-10 14:30 to 03-10 15:15"
    assert (found.busy, found.all_day, found.recurrence_id) == (Busy.BUSY, False, "")
    assert found.title == "Zahnarzt, Kontrolle; Hauptstraße 5"
    assert found.categories == ("Gesundheit", "Termin, privat")
    assert not event.recurring
    assert not event.own_key


def test_text_is_left_out_where_it_is_not_wanted() -> None:
    (found,) = read("thunderbird-single", keep_text=False).occurrences
    assert (found.title, found.categories) == ("", ())


def test_a_weekly_series_of_google_with_exceptions() -> None:
    event = read("google-weekly-with-exceptions")
    assert event.recurring
    assert event.sequence == 1
    assert [(local(o), o.busy, o.recurrence_id) for o in event.occurrences] == [
        ("03-22 09:00 to 03-22 10:00", Busy.BUSY, "20270322T080000Z"),
        ("03-30 14:00 to 03-30 15:00", Busy.BUSY, "20270329T070000Z"),
        ("04-12 09:00 to 04-12 10:00", Busy.BUSY, "20270412T070000Z"),
        ("04-19 09:00 to 04-19 10:00", Busy.NONE, "20270419T070000Z"),
        ("04-26 09:00 to 04-26 10:00", Busy.BUSY, "20270426T070000Z"),
    ]
    assert event.occurrences[1].title == "Jour fixe (verschoben)"
    assert not event.cancelled


def test_a_windows_zone_with_its_vtimezone() -> None:
    event = read("outlook-windows-zone")
    assert event.problem == ""
    assert [o.period.start.hour for o in event.occurrences] == [7, 7, 7, 6, 6, 6]
    assert {o.title for o in event.occurrences} == {"Rufbereitschaft"}


def test_a_windows_zone_by_its_name_alone() -> None:
    event = read("windows-zone-without-vtimezone")
    assert event.problem == ""
    assert event.occurrences[0].period.start == datetime(2027, 6, 1, 16, tzinfo=UTC)


def test_a_zone_that_only_the_object_knows() -> None:
    event = read("custom-zone")
    assert event.problem == ""
    starts = [o.period.start for o in event.occurrences]
    assert [(s.month, s.hour, s.minute) for s in starts[:4]] == [(6, 5, 0), (7, 5, 0), (8, 5, 0), (9, 5, 0)]
    assert [(s.month, s.hour, s.minute) for s in starts[5:]] == [(11, 5, 30), (12, 5, 30)]


def test_two_objects_may_mean_different_zones_by_one_name() -> None:
    other = (DATA / "custom-zone.ics").read_bytes().replace(b"+0330", b"-0800").replace(b"+0400", b"-0700")
    first = read("custom-zone").occurrences[0].period.start
    second = parsed(other).occurrences[0].period.start
    assert second - first == timedelta(hours=11)
    assert read("custom-zone").occurrences[0].period.start == first


def test_a_global_tzid_ends_in_a_known_name() -> None:
    event = read("evolution-global-zone")
    assert event.problem == ""
    assert event.occurrences[0].period.start == datetime(2027, 3, 2, 13, tzinfo=UTC)


def test_an_unknown_zone_means_the_calendars_and_is_told() -> None:
    event = read("unknown-zone")
    assert event.problem == "unknown-zone"
    assert local(event.occurrences[0]) == "03-02 10:00 to 03-02 11:00"


def test_an_all_day_series_of_apple() -> None:
    event = read("apple-all-day-yearly")
    (found,) = event.occurrences
    assert (found.all_day, found.busy, found.recurrence_id) == (True, Busy.FREE, "20270228")
    assert local(found) == "02-28 00:00 to 03-01 00:00"


def test_floating_and_all_day_are_read_in_the_calendars_zone() -> None:
    raw = vevent("DTSTART:20270301T090000", "DTEND:20270301T100000")
    assert parsed(raw, timezone="America/New_York").occurrences[0].period.start == datetime(2027, 3, 1, 14, tzinfo=UTC)
    assert parsed(raw, timezone="Eastern Standard Time").occurrences[0].period.start.hour == 14
    assert parsed(raw, timezone="").occurrences[0].period.start.hour == 9
    day = vevent("DTSTART;VALUE=DATE:20270301")
    assert parsed(day, timezone="Asia/Tokyo").occurrences[0].period.start == datetime(2027, 2, 28, 15, tzinfo=UTC)


def test_an_unanswered_invitation_by_the_email_parameter() -> None:
    assert read("apple-invitation", own_addresses=OWNER).occurrences[0].busy is Busy.UNANSWERED
    assert read("apple-invitation").occurrences[0].busy is Busy.BUSY
    assert read("apple-invitation", own_addresses=frozenset({"boss@example.com"})).occurrences[0].busy is Busy.BUSY
    assert read("apple-invitation", own_addresses=OWNER).attendees == (), "guests of others are not kept"


def test_exceptions_without_their_master() -> None:
    event = read("exception-without-master")
    assert event.problem == ""
    assert event.recurring
    assert [(o.recurrence_id, o.period.start.hour, o.busy, o.title) for o in event.occurrences] == [
        ("20270302T090000Z", 10, Busy.BUSY, "Second"),
        ("20270309T090000Z", 9, Busy.TENTATIVE, "Third"),
    ]


def test_this_and_future() -> None:
    event = read("this-and-future")
    assert [(local(o), o.title) for o in event.occurrences] == [
        ("03-01 09:00 to 03-01 10:00", "Before"),
        ("03-08 09:00 to 03-08 10:00", "Before"),
        ("03-16 11:00 to 03-16 13:00", "After"),
        ("03-23 11:00 to 03-23 13:00", "After"),
    ]


def test_rdates_with_periods() -> None:
    event = read("rdate-periods")
    assert [(o.period.start.day, o.period.duration) for o in event.occurrences] == [
        (1, timedelta(hours=1)),
        (2, timedelta(hours=3)),
        (3, timedelta(hours=2)),
        (4, timedelta(hours=1)),
    ]


def test_tasks_and_journals_take_no_time() -> None:
    event = read("todo-and-journal")
    assert (event.occurrences, event.problem) == ((), "")


def test_our_own_event_is_known() -> None:
    event = read("own-booking")
    assert event.own_key == "sl0a1b2c3d4e5f6g7h8i9jklmnopqrstuv"
    without = (DATA / "own-booking.ics").read_bytes().replace(b"X-SLOTLEDGER-KEY", b"X-OTHER")
    assert parsed(without).own_key == event.own_key, "by the UID where a server drops X-properties"
    assert parsed(without.replace(b"UID:sl", b"UID:xl")).own_key == ""


def test_lower_case_and_blanks_are_forgiven() -> None:
    event = read("lower-case-and-odd-blanks")
    assert [(local(o), o.busy) for o in event.occurrences] == [("03-01 09:00 to 03-01 10:00", Busy.TENTATIVE)]


def test_working_elsewhere_is_free() -> None:
    assert [o.busy for o in read("elsewhere-and-free").occurrences] == [Busy.FREE]


# broken


@pytest.mark.parametrize(
    ("name", "problem", "busy"),
    [
        ("two-uids", "several-uids", ["03-01 10:00 to 03-01 11:00", "03-02 10:00 to 03-02 11:00"]),
        ("no-uid", "no-uid", ["03-01 10:00 to 03-01 11:00"]),
        ("end-before-start", "end-before-start", ["03-01 10:00 to 03-01 10:00"]),
        ("bad-rule", "bad-rule", ["03-01 10:00 to 03-01 11:00"]),
        ("endless-secondly", "rule-too-frequent", ["01-01 01:00 to 01-01 01:00"]),
        ("bad-dtstart", "bad-property,no-start", []),
        ("bad-exdate-in-good-series", "bad-property", ["03-01 10:00 to 03-01 11:00", "03-03 10:00 to 03-03 11:00"]),
        ("truncated", "unreadable", ["03-01 10:00 to 03-01 11:00"]),
        ("html-error-page", "unreadable", []),
    ],
)
def test_what_is_broken_is_told_and_what_can_be_read_is_busy(name: str, problem: str, busy: list[str]) -> None:
    event = read(name)
    assert event.problem == problem
    assert [local(o) for o in event.occurrences] == busy
    assert all(o.busy is Busy.BUSY for o in event.occurrences)


def test_an_endless_secondly_rule_is_busy_to_the_windows_end() -> None:
    (found,) = read("endless-secondly").occurrences
    assert found.period.end == YEAR.end


def test_of_two_masters_the_newer_counts_and_of_equals_both() -> None:
    raw = (DATA / "two-uids.ics").read_bytes().replace(b"UID:two", b"UID:one")
    both = parsed(raw)
    assert both.problem == "several-masters"
    assert len(both.occurrences) == 2
    assert len({o.recurrence_id for o in both.occurrences}) == 2
    newer = parsed(raw.replace(b"UID:one", b"UID:one\r\nSEQUENCE:3", 1))
    assert [o.period.start.day for o in newer.occurrences] == [1]


def test_a_second_value_of_a_property_that_comes_once_is_left_alone() -> None:
    event = parsed(vevent("DTSTART:20270301T090000Z", "DTSTART:20270501T090000Z", "DURATION:PT1H"))
    assert [o.period.start.month for o in event.occurrences] == [3]


def test_properties_of_alarms_are_not_the_events() -> None:
    alarm = ["BEGIN:VALARM", "TRIGGER:-PT5M", "DURATION:PT9H", "SUMMARY:Alarm", "UID:alarm", "END:VALARM"]
    event = parsed(vevent(*alarm, "DTSTART:20270301T090000Z", "SUMMARY:Event"))
    assert event.uid == "x"
    assert event.occurrences[0].title == "Event"
    assert event.occurrences[0].period.duration == timedelta(0)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x00" * 1000,
        b"\xff\xfe" + "BEGIN:VCALENDAR".encode("utf-16-le"),
        b"END:VEVENT\r\nEND:VCALENDAR\r\n",
        b"BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n" * 10,
        b"BEGIN:VEVENT\r\n" * 2000,
        b"BEGIN:VCALENDAR\r\n" + b"BEGIN:VEVENT\r\n" * 3000 + b"UID:x\r\n",
        vevent("DTSTART:99991231T235959Z", "DURATION:P9999W", "RRULE:FREQ=DAILY"),
        vevent("DTSTART:00010101T000000Z", "DURATION:-P9999W", "RRULE:FREQ=YEARLY"),
        vevent("DTSTART:00010101", "RRULE:FREQ=DAILY;COUNT=999999999;BYDAY=MO"),
        vevent("DTSTART:20270101T000000Z", "RRULE:FREQ=DAILY;BYHOUR=" + ",".join(["1"] * 5000)),
        vevent("DTSTART:20270101T000000Z", *(f"RRULE:FREQ=DAILY;COUNT={n}" for n in range(1, 3000))),
        vevent("DTSTART:20270101T000000Z", "EXDATE:" + ",".join(["20270102T000000Z"] * 50_000)),
        vevent("DTSTART:20270101T000000Z", *["EXDATE;TZID=Europe/Berlin:20270102T000000"] * 20_000),
        vevent("DTSTART:20270101T000000Z", *['ATTENDEE;CN="x":mailto:a@b.c'] * 20_000),
        vevent("DTSTART:20270101T000000Z", "SUMMARY:" + "x" * 1_000_000),
        vevent("DTSTART:20270101T000000Z", "ATTACH:" + "\r\n ".join(["QUJD" * 18] * 20_000)),
        vevent("SUMMARY" + ";X=" * 3000, "DTSTART" + ';X="' * 3000 + ":20270101T000000Z"),
        b"BEGIN:VCALENDAR\r\n" + b"\r\n" * 200_000 + b"END:VCALENDAR\r\n",
        b"BEGIN:VCALENDAR\r\nBEGIN:VTIMEZONE\r\nTZID:Evil\r\nBEGIN:STANDARD\r\nDTSTART:00010101T000000\r\n"
        b"TZOFFSETFROM:+0100\r\nTZOFFSETTO:+0200\r\nRRULE:FREQ=SECONDLY\r\nEND:STANDARD\r\nEND:VTIMEZONE\r\n"
        b"BEGIN:VEVENT\r\nUID:x\r\nDTSTART;TZID=Evil:20270101T000000\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n",
    ],
    ids=range(20),
)
def test_hostile_objects_end_soon_and_raise_nothing(raw: bytes) -> None:
    began = time.process_time()
    event = parsed(raw, own_addresses=OWNER)
    assert time.process_time() - began < 1.0  # our own time: machines are shared
    assert isinstance(event, Event)


def test_more_than_the_limit_is_not_read() -> None:
    assert parsed(b"x" * (ical.MAX_BYTES + 1)).problem == "too-large"


LINES = st.sampled_from(
    [
        line
        for path in sorted(DATA.glob("*.ics"))
        for line in path.read_bytes().replace(b"\r\n ", b"").decode().splitlines()
    ]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(LINES, max_size=40))
def test_any_lines_in_any_order_raise_nothing(lines: list[str]) -> None:
    raw = "\r\n".join(lines).encode()
    event = parsed(raw, own_addresses=OWNER)
    names = [o.recurrence_id for o in event.occurrences]
    assert len(set(names)) == len(names)
    parse_feed(raw, window=YEAR)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300), st.integers(0, 400), st.sampled_from(sorted(DATA.glob("*.ics"))))
def test_any_damage_raises_nothing(noise: bytes, at: int, path: Path) -> None:
    raw = path.read_bytes()
    parsed(raw[:at] + noise + raw[at + len(noise) :])
    parsed(raw[:at])


# feeds


def feed(raw: bytes, **changes: object) -> dict[str, Event]:
    return {event.href: event for event in parse_feed(raw, window=YEAR, **changes)}  # type: ignore[arg-type]


def test_a_feed_holds_one_event_for_each_uid() -> None:
    raw = (DATA / "published-feed.ics").read_bytes()
    events = feed(raw)
    assert [local(o) for o in events["feed-1"].occurrences] == ["03-01 19:00 to 03-01 21:00"]
    assert [o.period.start.day for o in events["feed-2"].occurrences] == [3, 11, 17]
    assert events["feed-3"].occurrences[0].period.start == datetime(2027, 3, 31, 22, tzinfo=UTC)
    assert set(events) == {"feed-1", "feed-2", "feed-3"}
    assert (ical.feed_name(raw), ical.feed_zone(raw)) == ("Club, evenings", "Europe/Berlin")
    assert feed(raw, timezone="UTC")["feed-1"].occurrences[0].period.start.hour == 19


def test_the_etag_of_a_feeds_event_follows_its_text_alone() -> None:
    raw = (DATA / "published-feed.ics").read_bytes()
    before = feed(raw)
    stamped = feed(raw.replace(b"DTSTAMP:20261101", b"DTSTAMP:20270101"))
    assert {href: e.etag for href, e in stamped.items()} == {href: e.etag for href, e in before.items()}
    changed = feed(raw.replace(b"Course (Thursday)", b"Course (Friday)"))
    assert changed["feed-2"].etag != before["feed-2"].etag
    assert changed["feed-1"].etag == before["feed-1"].etag


def test_nameless_events_of_a_feed_stay_apart() -> None:
    two = (DATA / "two-uids.ics").read_bytes().replace(b"UID:one\r\n", b"").replace(b"UID:two\r\n", b"")
    events = feed(two)
    assert len(events) == 2
    assert all(href.startswith("no-uid-") and event.problem == "no-uid" for href, event in events.items())
    assert set(feed(two)) == set(events)


def test_a_broken_event_of_a_feed_leaves_the_others() -> None:
    raw = (DATA / "published-feed.ics").read_bytes().replace(b"DTSTART:20270301T190000", b"DTSTART:tonight")
    events = feed(raw)
    assert events["feed-1"].problem == "bad-property,no-start"
    assert len(events["feed-2"].occurrences) == 3
