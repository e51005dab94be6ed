"""Every mail to an operator, in every language, and the words in their calendar."""

from __future__ import annotations

import re
from datetime import datetime

import pytest

from booking.i18n import LANGUAGES
from booking.letters import About
from booking.operator_words import WRITERS, OperatorLetter, calendar_words, operator_body
from booking.stationery import Body, write
from tests.support.practice import TERMS, matter_at, offering_with


def mail_about(about: About, now: datetime, language: str = "en", **changes: object) -> tuple[Body, str, str]:
    letter = OperatorLetter(matter_at(now, language, **changes), TERMS)
    body = operator_body(about, letter)
    return body, *write(body, letter.reader)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("about", list(WRITERS))
def test_every_mail_is_written_in_every_language(about: About, language: str, now: datetime) -> None:
    body, text, html = mail_about(about, now, language)
    english, _, _ = mail_about(about, now)
    assert "\n" not in body.subject
    for rendered in (body.subject, text, html):
        assert not re.search(r"%\(\w+\)|\{\{|\{%|%s|None\b", rendered)
    assert f'dir="{"rtl" if language == "ar" else "ltr"}"' in html
    if language != "en":
        assert body.heading != english.heading
        assert not set(body.paragraphs) & set(english.paragraphs)
        assert body.actions[0].label != english.actions[0].label


@pytest.mark.parametrize("about", list(WRITERS))
def test_who_what_when_and_where_to_go(about: About, now: datetime) -> None:
    body, text, html = mail_about(about, now)
    assert "Kata Nagy" in body.subject
    assert "13:00–13:50 (Budapest)" in text
    assert "07:00–07:50 (New York)" in text
    assert 'href="mailto:kata@example.org"' in html
    assert "Phone: +36 1 234 5678" in text
    assert "First time: yes" in text
    assert "https://book.example/operator/bookings/b1" in text
    # The client's own key opens their page: it is not the operator's to have.
    assert "kata-token" not in text + html


def test_a_question_is_asked_in_the_operators_words(now: datetime) -> None:
    assert "Telefon: +36" in mail_about(About.BOOKED, now, "de")[1]
    assert "Phone: +36" in mail_about(About.BOOKED, now, "it")[1]


def test_pending_asks_only_where_there_is_something_to_decide(now: datetime) -> None:
    assert "decline by Monday, 23 November 2026, 11:00" in mail_about(About.PENDING, now)[1]
    assert "Please confirm or decline; until" in mail_about(About.PENDING, now, until=None)[1]
    checking = mail_about(About.PENDING, now, waits_for="fresh")[1]
    assert "decline" not in checking
    assert "read afresh" in checking


def test_the_reason_is_shown_where_one_was_given(now: datetime) -> None:
    assert "Reason: I am ill" in mail_about(About.CANCELLED_BY_CLIENT, now, reason="I am\nill")[1]
    assert "Reason" not in mail_about(About.CANCELLED_BY_CLIENT, now)[1]


@pytest.mark.parametrize("about", sorted(set(About) - set(WRITERS)))
def test_the_rest_is_never_told(about: About, now: datetime) -> None:
    with pytest.raises(ValueError, match="never told"):
        mail_about(about, now)


@pytest.mark.parametrize("about", [About.PROPOSAL, About.COUNTER])
def test_a_proposal_needs_its_time(about: About, now: datetime) -> None:
    with pytest.raises(ValueError, match="needs a time"):
        mail_about(about, now, proposed=None)


def test_one_persons_event_names_them(now: datetime) -> None:
    matter = matter_at(now)
    words = calendar_words(matter.offering, [matter], 1, TERMS)
    assert words.title == "Consultation: Kata Nagy"
    assert words.description.splitlines()[:4] == [
        "Client: Kata Nagy", "Mail address: kata@example.org", "Phone: +36 1 234 5678", "First time: yes",
    ]  # fmt: skip
    assert words.location == "Main street 1"
    assert words.url == "https://book.example/operator/bookings/b1"
    assert "kata-token" not in words.description


def test_a_groups_event_counts_and_names_only_where_asked_to(now: datetime) -> None:
    guests = [matter_at(now, seats=2), matter_at(now, name="Jon Little", email="jon@example.org")]
    counted = calendar_words(offering_with(capacity=8), guests, 8, TERMS)
    assert counted.title == "Consultation (3/8)"
    assert not re.search("Kata|Jon|@", counted.title + counted.description)
    named = calendar_words(offering_with(capacity=8, names_in_event=True), guests, 8, TERMS)
    assert named.description.splitlines()[:2] == ["Kata Nagy (2)", "Jon Little"]
    assert "@" not in named.description


def test_the_event_speaks_the_operators_language(now: datetime) -> None:
    matter = matter_at(now, "en", offering=offering_with("hu"))
    words = calendar_words(matter.offering, [matter], 1, TERMS)
    assert words.title == "Konzultáció: Kata Nagy"
    assert words.description.startswith("Ügyfél: Kata Nagy")


def test_an_event_without_guests_still_has_words(now: datetime) -> None:
    words = calendar_words(offering_with(place="", link="https://meet.example/a"), [], 1, TERMS)
    assert words.title == "Consultation"
    assert words.location == "https://meet.example/a"


REVIEWS = (
    "failed_address:booked", "reply:old_time", "late_decline:too_late", "reply:delegated", "reply:unclear_time",
    "reply:no_address", "something:else",
)  # fmt: skip


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_asks_for_a_decision_says_why(language: str, now: datetime) -> None:
    said = [mail_about(About.REVIEW, now, language, asks=asks)[0].paragraphs for asks in REVIEWS]
    assert len(set(said)) == len(REVIEWS)
    assert all("Kata Nagy" in paragraph for (paragraph,) in said)
    if language != "en":
        english = {mail_about(About.REVIEW, now, asks=asks)[0].paragraphs for asks in REVIEWS}
        assert not english & set(said)
