from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import icalendar
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.ical.contentline import (
    address,
    component,
    content_line,
    escape,
    fold,
    from_mailto,
    mailto,
    one_line,
    parameter,
    plain_text,
    utc,
)

ANY_TEXT = st.text(st.characters(codec="utf-16"), max_size=300) | st.text(max_size=300)


@settings(deadline=None)  # the machine may be busy
@given(ANY_TEXT)
def test_a_folded_line_keeps_its_characters_whole_and_its_parts_short(text: str) -> None:
    line = "X-A:" + escape(text)
    folded = fold(line)
    parts = folded.removesuffix(b"\r\n").split(b"\r\n")
    assert all(len(part) <= 75 for part in parts)
    assert all(part.decode() for part in parts)  # every part is UTF-8 by itself
    assert b"".join([parts[0], *(part[1:] for part in parts[1:])]).decode() == line


@settings(deadline=None)  # the machine may be busy
@given(ANY_TEXT, ANY_TEXT)
def test_no_text_can_leave_its_own_property(text: str, name: str) -> None:
    made = component(
        "VEVENT",
        [
            content_line("UID", "1"),
            content_line("DESCRIPTION", escape(text)),
            content_line("ATTENDEE", "mailto:a@b.example", {"CN": name}),
        ],
    )
    event = icalendar.Event.from_ical(made)
    assert sorted(event) == ["ATTENDEE", "DESCRIPTION", "UID"]
    assert event["DESCRIPTION"] == plain_text(text)
    assert set(event["ATTENDEE"].params) <= {"CN"}
    assert str(event["ATTENDEE"]) == "mailto:a@b.example"
    # Readers that know more line ends than the RFC find no more lines either.
    assert len(made.decode().splitlines()) == made.count(b"\r\n")


def test_line_ends_of_every_kind_become_one_escaped_newline() -> None:
    assert escape("a\r\nb\rc\nd\u2028e\x85f;g,h\\i") == "a\\nb\\nc\\nd\\ne\\nf\\;g\\,h\\\\i"


def test_one_line_keeps_right_to_left_text_and_drops_overrides() -> None:
    assert one_line("  שלום\r\n\t\u202eevil\u202c  \x00 عالم ") == "שלום evil عالم"


def test_a_parameter_is_quoted_where_it_must_be() -> None:
    assert parameter("Meier") == "Meier"
    assert parameter('Dr. "M"; Meier, A: x^y') == '"Dr. M; Meier, A: x^^y"'


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "a",
        "a@",
        "@b",
        "a b@c",
        "a@b\r\nBcc: x@y",
        "a@b,c@d",
        "<a@b>",
        "a@b>c",
        "a@b c",
        "a\u2028@b",
        "a@b@c",
        "a@..",
        "a@b.",
        "a@.b",
        "x" * 65 + "@b",
    ],
)
def test_what_is_no_address_is_refused(bad: str) -> None:
    with pytest.raises(ValueError):
        address(bad)


def test_an_address_keeps_its_local_part_and_lowers_its_domain() -> None:
    assert address("O'Brien+x@Example.ORG") == "O'Brien+x@example.org"
    assert mailto("a%b?c@x.org") == "mailto:a%25b%3Fc@x.org"
    assert mailto("büro@Müller.example") == "mailto:büro@xn--mller-kva.example"
    assert from_mailto("MAILTO:A%25b%3Fc@X.org") == "a%b?c@x.org"
    assert from_mailto("mailto:a@b.org?subject=x") == "a@b.org"
    assert from_mailto("urn:uuid:1") == ""


def test_times_are_utc_in_whole_seconds() -> None:
    assert utc(datetime(2027, 1, 10, 10, 0, 0, 999, tzinfo=timezone(timedelta(hours=1)))) == "20270110T090000Z"
    assert utc(datetime(2027, 1, 10, tzinfo=UTC)) == "20270110T000000Z"
    with pytest.raises(ValueError):
        utc(datetime(2027, 1, 10))


def test_a_raw_line_end_or_a_strange_parameter_name_is_refused() -> None:
    with pytest.raises(ValueError):
        content_line("URL", "https://x\r\nATTENDEE:mailto:a@b")
    with pytest.raises(ValueError):
        content_line("X", "y", {"CN:mailto": "z"})
