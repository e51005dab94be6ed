"""Links and addresses that follow from two settings."""

from __future__ import annotations

import pytest

from booking.terms import Terms
from connectors.mail import imip

TERMS = Terms("https://book.example", "Bookings@Book.Example")


def test_links_lead_to_the_pages_of_the_interface() -> None:
    assert TERMS.service_url("hu", "anna", "first session") == "https://book.example/hu/anna/first%20session"
    assert TERMS.manage_url("ar", "a/b") == "https://book.example/ar/b/a%2Fb"
    assert TERMS.manage_url("ar", "ab", "cancel") == "https://book.example/ar/b/ab#cancel"
    assert TERMS.waitlist_url("en", "ab", "accept") == "https://book.example/en/w/ab#accept"
    assert TERMS.invite_url("ab") == "https://book.example/api/v1/bookings/ab/invite.ics"
    assert TERMS.operator_url("b1") == "https://book.example/operator/bookings/b1"
    assert TERMS.operator_url() == "https://book.example/operator/"


@pytest.mark.parametrize("mail_from", ["bookings@book.example", "Bookings@Book.Example", "termine@bücher.example"])
def test_organizer_is_the_address_that_replies_are_read_by(mail_from: str) -> None:
    terms = Terms("https://x", mail_from)
    organizer = terms.organizer("0123456789abcdef0123456789abcdef")
    assert organizer == imip.organizer_address(mail_from, "0123456789abcdef0123456789abcdef")
    assert imip.tag_of(organizer, mail_from) == "0123456789abcdef0123456789abcdef"
    assert terms.domain.isascii()
    assert organizer.endswith("@" + terms.domain)
