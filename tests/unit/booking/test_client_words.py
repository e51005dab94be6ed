"""Every letter to a client, in every language."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date, datetime

import pytest

from booking.client_letter import ClientLetter
from booking.client_words import WRITERS, client_body
from booking.i18n import LANGUAGES
from booking.letters import About
from booking.rules import Wish
from booking.stationery import Body, write
from tests.support.practice import TERMS, matter_at, offering_with

WISH = Wish(None, date(2026, 11, 23), date(2026, 12, 4), 0b10101, (540, 720))


def letter_about(about: About, now: datetime, language: str = "en", **changes: object) -> tuple[Body, str, str]:
    matter = matter_at(now, language, wish=WISH, position=3, accept="auto", **changes)
    letter = ClientLetter(matter, TERMS)
    body = client_body(about, letter)
    return body, *write(body, letter.reader)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("about", list(WRITERS))
def test_every_letter_is_written_in_every_language(about: About, language: str, now: datetime) -> None:
    body, text, html = letter_about(about, now, language)
    english, _, _ = letter_about(about, now)
    assert body.subject
    assert "\n" not in body.subject
    for rendered in (body.subject, text, html):
        assert not re.search(r"%\(\w+\)|\{\{|\{%|%s|None\b", rendered)
    assert f'<html lang="{language}" dir="{"rtl" if language == "ar" else "ltr"}">' in html
    if language != "en":
        # What is said differs from the English; only names, places and numbers may be the same.
        assert body.heading != english.heading
        assert body.subject != english.subject
        assert not set(body.paragraphs) & set(english.paragraphs)
        assert not {action.label for action in body.actions} & {action.label for action in english.actions}
    for link in re.findall(r"https://book\S+", text):
        assert f"/{language}/" in link


@pytest.mark.parametrize("about", [about for about in WRITERS if about not in (About.WAITLISTED, About.LEFT_LINE)])
def test_times_are_on_both_clocks(about: About, now: datetime) -> None:
    _, text, html = letter_about(about, now)
    for rendered in (text, html):
        assert "07:00–07:50 (New York)" in rendered
        assert "13:00–13:50 (Budapest)" in rendered
    _, text, _ = letter_about(about, now, zone="Europe/Vienna")
    assert "13:00–13:50 (Vienna)" in text
    assert "Budapest" not in text


def test_service_texts_fall_back_to_the_main_ones(now: datetime) -> None:
    assert "Konzultáció" in letter_about(About.BOOKED, now, "hu")[0].subject
    assert "Consultation" in letter_about(About.BOOKED, now, "de")[0].subject
    assert "الشارع الرئيسي" in letter_about(About.BOOKED, now, "ar")[1]


def test_what_happens_to_the_calendar_is_said_as_it_is(now: datetime) -> None:
    invited = letter_about(About.BOOKED, now, method="REQUEST")[1]
    assert "The attached invitation puts it into your calendar." in invited
    native = letter_about(About.BOOKED, now, native=True)[1]
    assert "attached" not in native
    assert "Anna Kovács in a separate mail" in native
    assert "takes it out" in letter_about(About.CANCELLED_BY_OPERATOR, now, method="CANCEL")[1]
    assert "attached" not in letter_about(About.CANCELLED_BY_OPERATOR, now)[1]


def test_a_promotion_reads_as_an_invitation(now: datetime) -> None:
    body, text, _ = letter_about(About.PROMOTED, now, method="REQUEST")
    assert body.heading == "A place has become free and is yours"
    assert "cancelled" not in text.lower()


def test_pending_says_why_and_until_when(now: datetime) -> None:
    asked = letter_about(About.PENDING, now)[1]
    assert "Anna Kovács will answer it by Monday, 23 November 2026, 05:00 at the latest" in asked
    assert "will answer it soon" in letter_about(About.PENDING, now, until=None)[1]
    assert "usually takes a minute" in letter_about(About.PENDING, now, waits_for="fresh")[1]
    assert "will answer it by" in letter_about(About.PENDING, now, waits_for="approval,fresh")[1]


def test_links_to_change_end_with_the_right_to(now: datetime) -> None:
    for about in (About.BOOKED, About.MOVED, About.PROMOTED, About.REMINDER):
        assert "/en/b/kata-token#cancel" in letter_about(about, now)[1]
        late = letter_about(about, now, changeable=False)[1]
        assert "#cancel" not in late
        assert "#reschedule" not in late
        assert "/en/b/kata-token" in late


def test_a_move_leads_to_another_time_with_one_click(now: datetime) -> None:
    body, _, _ = letter_about(About.MOVED, now)
    assert [action.url for action in body.actions if action.main] == ["https://book.example/en/b/kata-token#reschedule"]


def test_a_reminder_asks_for_confirmation_once(now: datetime) -> None:
    assert "#confirm" in letter_about(About.REMINDER, now)[1]
    assert "#confirm" not in letter_about(About.REMINDER, now, attendance_confirmed=True)[1]


def test_an_offer_is_answered_on_its_page(now: datetime) -> None:
    body, text, _ = letter_about(About.OFFER, now)
    assert [action.url.partition("/w/")[2] for action in body.actions] == ["kata-token#accept", "kata-token#decline"]
    assert "until Monday, 23 November 2026, 05:00" in text


def test_a_place_in_line_tells_what_it_is_for(now: datetime) -> None:
    _, text, _ = letter_about(About.WAITLISTED, now, period=None)
    assert "You are waiting for: 23 November 2026 – 4 December 2026" in text
    assert "Mon, Wed and Fri" in text
    assert "09:00 – 12:00" in text
    assert "Your place in line: 3" in text
    assert "we book it for you" in text
    matter = replace(matter_at(now), period=None, accept="ask", wish=Wish(now, date(2026, 11, 23), date(2026, 11, 23)))
    letter = ClientLetter(matter, TERMS)
    text, _ = write(client_body(About.WAITLISTED, letter), letter.reader)
    assert "You are waiting for: Monday, 23 November 2026\n    07:00–07:30 (New York)" in text
    assert "you decide" in text
    assert "place in line:" not in text.replace("See your place in line:", "")


def test_an_expired_offer_tells_whether_one_still_waits(now: datetime) -> None:
    assert "You stay on the waiting list." in letter_about(About.OFFER_EXPIRED, now, waiting=True)[1]
    gone = letter_about(About.OFFER_EXPIRED, now)[1]
    assert "no longer on the waiting list" in gone
    assert "https://book.example/en/anna/consultation" in gone


def test_link_and_seats_are_shown_where_there_are_any(now: datetime) -> None:
    online = offering_with(link="https://meet.example/anna", place="", price="")
    _, text, html = letter_about(About.BOOKED, now, offering=online, seats=3)
    assert "Online: https://meet.example/anna" in text
    assert '<a class="link" href="https://meet.example/anna"' in html
    assert "Places: 3" in text
    assert "Where:" not in text
    assert "Price:" not in text


@pytest.mark.parametrize("about", sorted(set(About) - set(WRITERS)))
def test_the_rest_is_never_told(about: About, now: datetime) -> None:
    with pytest.raises(ValueError, match="never told"):
        letter_about(about, now)


@pytest.mark.parametrize(("about", "missing"), [(About.PROPOSAL, "proposed"), (About.OFFER, "until")])
def test_half_a_matter_is_refused(about: About, missing: str, now: datetime) -> None:
    with pytest.raises(ValueError, match="needs"):
        letter_about(about, now, **{missing: None})
