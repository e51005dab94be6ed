"""Links that put an appointment into a web calendar."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

from booking.calendar_links import LONGEST, Appointment, add_links
from connectors.model import Period

START = datetime(2026, 11, 30, 9, tzinfo=UTC)
ABOUT = Appointment(
    "Consultation – Anna & Co", Period(START, START + timedelta(minutes=50)), "Main street 1", "https://b/x"
)
FILE = "https://book.example/api/v1/bookings/t/invite.ics"


def asked(url: str) -> tuple[str, dict[str, str]]:
    parts = urlsplit(url)
    return parts.netloc, {name: value for name, (value,) in parse_qs(parts.query).items()}


def test_each_calendar_gets_it_in_its_own_words() -> None:
    google, personal, work, file = (url for _, url in add_links(ABOUT, FILE))
    host, said = asked(google)
    assert (host, said["action"], said["text"]) == ("calendar.google.com", "TEMPLATE", "Consultation – Anna & Co")
    assert said["dates"] == "20261130T090000Z/20261130T095000Z"
    assert (said["location"], said["details"]) == ("Main street 1", "https://b/x")
    for url, where in ((personal, "outlook.live.com"), (work, "outlook.office.com")):
        host, said = asked(url)
        assert (host, said["subject"], said["body"]) == (where, "Consultation – Anna & Co", "https://b/x")
        assert (said["startdt"], said["enddt"]) == ("2026-11-30T09:00:00Z", "2026-11-30T09:50:00Z")
        assert "+" not in url  # Outlook would show it
    assert file == FILE


def test_links_stay_short_and_leave_out_what_is_empty() -> None:
    long = Appointment("ا" * 5000, ABOUT.period)
    for _, url in add_links(long, FILE):
        assert len(url) < 6 * LONGEST + 400
        assert "location" not in asked(url)[1]


def test_nobody_but_the_appointment_is_in_them() -> None:
    assert all("@" not in url and "%40" not in url for _, url in add_links(ABOUT, FILE))
