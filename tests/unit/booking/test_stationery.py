"""One design, twice: what the HTML says, the plain text says."""

from __future__ import annotations

import re

import pytest
from lxml import html as lxml_html

from booking.i18n import LANGUAGES, Reader
from booking.stationery import Action, Body, Fact, courteous_name, one_line, subject, write

BODY = Body(
    subject="About <you>",
    heading="Heading & more",
    greeting="Hello Kata,",
    paragraphs=("First <b>paragraph</b>.", "Second."),
    facts=(Fact("When", ("Monday", "14:00", "08:00"), strong=2), Fact("Online", ("https://x.example/a?b&c",), href="https://x.example/a?b&c")),
    actions=(Action("Do it", "https://book.example/do?a=1&b=2", main=True), Action("Or not", "https://book.example/not")),
    footer=("Why this came.",),
    accent="wait",
)  # fmt: skip
PIECES = ["Heading & more", "Hello Kata,", "First <b>paragraph</b>.", "Second.", "When", "Monday", "14:00", "08:00",
          "https://x.example/a?b&c", "Do it", "Or not", "Why this came."]  # fmt: skip


@pytest.mark.parametrize("language", LANGUAGES)
def test_both_say_everything(language: str) -> None:
    text, html = write(BODY, Reader(language, "UTC"))
    shown = lxml_html.document_fromstring(html.encode()).text_content()
    for piece in PIECES:
        assert piece in text
        assert piece in shown
    links = re.findall(r"^https://book\S+$", text, re.MULTILINE)
    tree = lxml_html.document_fromstring(html.encode())
    assert links == ["https://book.example/do?a=1&b=2", "https://book.example/not"]
    assert [a.get("href") for a in tree.iter("a")] == ["https://x.example/a?b&c", *links]
    assert tree.get("lang") == language
    assert tree.get("dir") == ("rtl" if language == "ar" else "ltr")


def test_what_people_typed_stays_text() -> None:
    _, html = write(BODY, Reader("en", "UTC"))
    assert "<b>paragraph" not in html
    assert "About &lt;you&gt;" in html


def test_nothing_is_loaded_from_elsewhere() -> None:
    _, html = write(BODY, Reader("en", "UTC"))
    assert not re.search(r"<(img|script|link|iframe|table)\b|url\(|@import|\bsrc=", html)
    assert '<meta name="color-scheme" content="light dark">' in html
    assert "@media (prefers-color-scheme: dark)" in html


def test_empty_parts_leave_no_holes() -> None:
    text, html = write(Body("S", "H", "", ("P",)), Reader("en", "UTC"))
    assert text == "H\n\nP\n"
    assert "<a " not in html


def test_subjects_are_one_short_line() -> None:
    assert subject("a\r\nBcc: x@example.org\u2028b\x00 \u2068c\u2069") == "a Bcc: x@example.org b c"
    assert len(subject("x" * 400)) == 150
    assert one_line(" a\t\tb\n") == "a b"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Kata  Nagy", "Kata Nagy"),
        ("Dr. J. R. Smith", "Dr. J. R. Smith"),
        ("Win money: https://evil.example", ""),
        ("see evil.example", ""),
        ("www evil", "www evil"),
        ("WWW.EVIL", ""),
        ("a@b", ""),
        ("x" * 81, ""),
    ],
)
def test_advertisements_are_not_greeted(name: str, shown: str) -> None:
    assert courteous_name(name) == shown
