"""What letters to clients have in common."""

from __future__ import annotations

from datetime import date, datetime

import pytest

from booking.client_letter import ClientLetter, calendar_text
from booking.rules import Wish
from booking.services import Texts
from tests.support.practice import TERMS, matter_at, offering_with


def letter(now: datetime, **changes: object) -> ClientLetter:
    return ClientLetter(matter_at(now, **changes), TERMS)  # type: ignore[arg-type]


def test_the_greeting_needs_a_decent_name(now: datetime) -> None:
    assert letter(now).compose("S", "H").greeting == "Hello Kata Nagy,"
    assert letter(now, name="Buy at evil.example").compose("S", "H").greeting == "Hello,"


def test_names_and_titles_stay_in_their_line(now: datetime) -> None:
    odd = letter(now, offering=offering_with(title="Two\nlines"))
    assert odd.service == "Two lines"
    assert odd.facts()[0].lines == ("Two lines",)


def test_empty_sentences_are_left_out(now: datetime) -> None:
    assert letter(now).compose("S", "H", "", "Said.", "").paragraphs == ("Said.",)


@pytest.mark.parametrize(
    ("wish", "lines"),
    [
        (Wish(None, date(2026, 11, 23), date(2026, 11, 23)), ("23 November 2026",)),
        (Wish(None, date(2026, 11, 23), date(2026, 11, 24), 127, (0, 1440)), ("23 November 2026 – 24 November 2026",)),
        (Wish(None, date(2026, 11, 23), date(2026, 11, 23), 0b1000001), ("23 November 2026", "Mon and Sun")),
        (
            Wish(None, date(2026, 11, 23), date(2026, 11, 23), 127, (1080, 1440)),
            ("23 November 2026", "18:00 – 00:00 (Budapest)"),
        ),
    ],
)
def test_a_wish_is_written_out(wish: Wish, lines: tuple[str, ...], now: datetime) -> None:
    assert letter(now).wish(wish) == lines
    at_home = tuple(line.removesuffix(" (Budapest)") for line in lines)
    assert letter(now, zone="Europe/Vienna").wish(wish) == at_home


def test_a_wish_for_one_start_is_on_both_clocks(now: datetime) -> None:
    day = now.date()
    lines = letter(now, period=None).wish(Wish(now, day, day))
    assert lines[1:] == ("07:00–07:30 (New York)", "13:00–13:30 (Budapest)")


def test_an_invitation_can_be_taken_by_hand(now: datetime) -> None:
    (aside,) = letter(now, method="REQUEST").compose("S", "H").asides
    assert [name for name, _ in aside.links][-1] == "iCalendar (.ics)"
    assert aside.links[-1][1].endswith("/api/v1/bookings/kata-token/invite.ics")
    assert letter(now, method="CANCEL").compose("S", "H").asides == ()
    assert letter(now).compose("S", "H").asides == ()


def test_the_calendar_entry_tells_how_to_change_it() -> None:
    said = calendar_text("de", Texts(description="Bring a towel."), "https://meet.example/a", "https://book.example/b")
    assert said == "Bring a towel.\n\nOnline:\nhttps://meet.example/a\n\nÄndern oder absagen:\nhttps://book.example/b"
    assert calendar_text("en", Texts(), "", "https://b") == "Change or cancel:\nhttps://b"
