"""The fast way gives exactly what the library's way gives, or leaves it to the library."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.ical import objects as ical
from connectors.ical.scan import scan
from connectors.model import Event, Period

DATA = Path(__file__).parents[3] / "data" / "ical"
YEAR = Period(datetime(2027, 1, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC))
OWNER = frozenset({"owner@example.org"})


def parsed(raw: bytes) -> Event:
    return ical.parse_object(raw, href="/x", etag='"1"', window=YEAR, timezone="Europe/Berlin", own_addresses=OWNER)


def by_the_library(raw: bytes) -> Event:
    with mock.patch.object(ical, "scan", return_value=None):
        return parsed(raw)


def assert_same(raw: bytes) -> bool:
    """Both ways agree; was it scanned?"""
    plain = scan(raw, OWNER)
    if plain is not None:
        assert parsed(raw) == by_the_library(raw)
    return plain is not None


SCANNED = [
    "apple-all-day-yearly",
    "bad-rule",
    "elsewhere-and-free",
    "end-before-start",
    "endless-secondly",
    "own-booking",
    "thunderbird-single",
]


@pytest.mark.parametrize("path", sorted(DATA.glob("*.ics")), ids=lambda path: path.stem)
def test_the_data_files(path: Path) -> None:
    assert assert_same(path.read_bytes()) == (path.stem in SCANNED)


def test_line_ends_folds_and_a_missing_last_one() -> None:
    raw = (DATA / "thunderbird-single.ics").read_bytes()
    for variant in (
        raw,
        raw.replace(b"\r\n", b"\n"),
        raw.rstrip(),
        raw.replace(b"Zahnarzt", b"Zahn\r\n arzt"),
        raw.replace(b"Zahnarzt", b"Zahn\r\n\tarzt"),
        raw.replace(b"DTSTART;TZID", b"DTSTART;TZ\r\n ID"),
        raw.replace("straße".encode(), b"stra\xc3\r\n \x9fe"),  # folded inside a character
    ):
        assert assert_same(variant) or b"\xc3\r\n" in variant


HEADS = [
    "",
    ";TZID=Europe/Berlin",
    ";TZID=America/New_York",
    ";VALUE=DATE",
    ";TZID=Mars/Base",
    ';TZID="Europe/Berlin"',
    ";VALUE=DATE-TIME",
    ";X-A=1",
    ";TZID=Europe/Berlin;X-A=b",
]
WHENS = [
    "20270301T090000",
    "20270301T093000Z",
    "20270328T023000",
    "20271031T023000",
    "20270301",
    "20270302T100000",
    "20270230",
    "2027-03-01",
    "20270301T240000",
    "",
    "20270301T090000 ",
    "２０２７0301",
]
RULES = [
    "FREQ=DAILY;COUNT=5",
    "FREQ=WEEKLY;BYDAY=MO,WE",
    "FREQ=MONTHLY;BYMONTHDAY=-1",
    "FREQ=YEARLY",
    "FREQ=DAILY;UNTIL=20270320",
    "FREQ=SOMETIMES",
    "FREQ=HOURLY",
    "freq=weekly;count=2",
    "",
]
TEXTS = [
    "Plain",
    "A\\, b\\; c\\nd",
    "back\\\\slash",
    "tail\\",
    "x:y;z",
    "Ünïcode 😀",
    "",
    "  blanks  ",
    "a,b\\,c,,d",
    'q"uote"',
    "line\u2028sep",
    "tab\tinside",
]
NAMES = ["UID", "SUMMARY", "CATEGORIES", "DESCRIPTION", "X-OTHER", "X-SLOTLEDGER-KEY"]
STATES = [
    "STATUS:TENTATIVE",
    "STATUS:CANCELLED",
    "STATUS;X-A=b:confirmed",
    "TRANSP:TRANSPARENT",
    "transp:opaque",
    "X-MICROSOFT-CDO-BUSYSTATUS:OOF",
    "X-MICROSOFT-CDO-BUSYSTATUS:",
    "SEQUENCE:3",
    "SEQUENCE:-1",
    "SEQUENCE:+2",
    "SEQUENCE:x",
    "SEQUENCE: 4",
    "CLASS:PRIVATE",
]
PEOPLE = [
    "ATTENDEE;PARTSTAT=DECLINED:mailto:owner@example.org",
    "ATTENDEE:mailto:Other@Example.org",
    "ATTENDEE;PARTSTAT=TENTATIVE:mailto:owner%40example.org",
    'ORGANIZER;CN="Ow: ner":MAILTO:OWNER@example.org',
]
ODD = [
    "BEGIN:VALARM\r\nTRIGGER:-PT5M\r\nEND:VALARM",
    "BEGIN:X-COMP\r\nDTSTART:20270101\r\nEND:X-COMP",
    "RECURRENCE-ID:20270301T090000Z",
    "RDATE:20270501T090000Z",
    "END:VEVENT\r\nBEGIN:VEVENT",
    " folded",
    "no colon",
    "SUMMARY ;X=1:y",
    "DTSTART : 20270301T090000Z",
    "\u00a0X:1",
    "2X:1",
    "DURATION:PT1H30M",
    "DURATION:P1W",
    "DURATION:-PT5M",
    "DURATION:1H",
    "DURATION:P",
    "DURATION;VALUE=DURATION:PT2H",
    "SUMMARY;LANGUAGE=en:Late",
]


@st.composite
def objects(draw) -> bytes:  # type: ignore[no-untyped-def]
    lines = (
        [f"UID:{draw(st.sampled_from(['x', 'sl' + 'a' * 24 + '@d', '', 'x y']))}"] if draw(st.integers(0, 9)) else []
    )
    zoned = st.builds(str.__add__, st.sampled_from(HEADS), st.sampled_from(WHENS).map(lambda when: f":{when}"))
    easy = st.sampled_from([";TZID=Europe/Berlin:20270301T090000", ":20270301T090000Z", ";VALUE=DATE:20270301"])
    either = st.one_of(easy, zoned)
    pieces = [f"DTSTART{draw(either)}"]
    if draw(st.booleans()):
        pieces.append(f"DTEND{draw(st.one_of(either, st.just(':20270301T100000Z')))}")
    if draw(st.booleans()):
        pieces.append(f"RRULE:{draw(st.sampled_from(RULES))}")
    pieces += [f"EXDATE{draw(either)}" for _ in range(draw(st.integers(0, 2)))]
    pieces += [f"{draw(st.sampled_from(NAMES))}:{draw(st.sampled_from(TEXTS))}" for _ in range(draw(st.integers(0, 3)))]
    pieces += draw(st.lists(st.sampled_from(STATES), max_size=3))
    if draw(st.integers(0, 3)) == 0:
        pieces += draw(st.lists(st.sampled_from(PEOPLE + ODD), max_size=2))
    lines += draw(st.permutations(pieces))
    body = ["BEGIN:VCALENDAR", "VERSION:2.0", "BEGIN:VEVENT", *lines, "END:VEVENT", "END:VCALENDAR", ""]
    return draw(st.sampled_from(["\r\n", "\r\n", "\n"])).join(body).encode()


SEEN = {True: 0, False: 0}


@settings(max_examples=600, deadline=None)
@given(objects())
def test_generated_objects(raw: bytes) -> None:
    SEEN[assert_same(raw)] += 1


def test_generated_objects_were_of_both_kinds() -> None:
    if not sum(SEEN.values()):
        test_generated_objects()
    assert SEEN[True] > 50
    assert SEEN[False] > 50


PLAIN = [path for path in sorted(DATA.glob("*.ics")) if path.stem in SCANNED]


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(PLAIN), st.integers(0, 900), st.integers(0, 4), st.binary(max_size=4))
def test_damaged_objects(path: Path, at: int, cut: int, noise: bytes) -> None:
    raw = path.read_bytes()
    assert_same(raw[:at] + noise + raw[at + cut :])


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(PLAIN),
    st.integers(0, 900),
    st.sampled_from(
        [
            "\r\n ",
            "\n\t",
            "\r\n\r\n ",
            "\r",
            "\x0b",
            "\x85",
            "\u2028",
            "\r\n",
            ";",
            ":",
            '"',
            "\\",
            ",",
            " ",
            "\x00",
            "\ufeff",
            "^n",
        ]
    ),
)
def test_signs_that_mean_something(path: Path, at: int, sign: str) -> None:
    raw = path.read_bytes()
    assert_same(raw[:at] + sign.encode() + raw[at:])


def test_big_objects_are_left_to_the_library() -> None:
    raw = (DATA / "thunderbird-single.ics").read_bytes()
    assert scan(raw.replace(b"TRANSP:OPAQUE", b"X-BIG:" + b"x" * 70_000), OWNER) is None
    assert scan(raw.replace(b"TRANSP:OPAQUE", b"X-MANY:1\r\n" * 300 + b"TRANSP:OPAQUE"), OWNER) is None
