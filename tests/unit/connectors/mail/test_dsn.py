from __future__ import annotations

import email

import pytest

from connectors.mail.dsn import Bounce, from_notice, from_report, is_report
from tests.support.eml import MAIL_FROM, SENT, TAG, load


def report_of(raw: bytes) -> Bounce | None:
    message = email.message_from_bytes(raw)
    assert is_report(message)
    return from_report(message)


def test_a_permanent_failure() -> None:
    bounce = report_of(load("bounce_permanent"))
    assert bounce is not None
    assert (bounce.message_id, bounce.recipient) == (SENT, "clara.clinet@gmail.example")
    assert (bounce.status, bounce.permanent) == ("5.1.1", True)
    assert bounce.diagnostic.startswith("550-5.1.1 The email account")
    assert "\n" not in bounce.diagnostic
    assert f"bookings+{TAG}@svc.example" in bounce.returned_to
    assert MAIL_FROM in bounce.returned_to


def test_a_delay_is_not_a_failure() -> None:
    bounce = report_of(load("bounce_delayed"))
    assert bounce is not None
    assert (bounce.message_id, bounce.status, bounce.permanent) == (SENT, "4.2.2", False)


def test_a_success_is_no_bounce() -> None:
    assert report_of(load("report_of_success")) is None


@pytest.mark.parametrize(
    ("action", "status", "expected"),
    [
        ("failed", "", ("5.0.0", True)),
        ("FAILED", "4.4.7", ("4.4.7", True)),
        ("", "5.7.1", ("5.7.1", True)),
        ("", "4.7.1", ("4.7.1", False)),
        ("delayed", "", ("4.0.0", False)),
        ("", "", ("5.0.0", True)),
    ],
)
def test_action_decides_before_status(action: str, status: str, expected: tuple[str, bool]) -> None:
    raw = load("bounce_permanent")
    raw = raw.replace(b"Action: failed", f"Action: {action}".encode()).replace(
        b"Status: 5.1.1", f"Status: {status}".encode()
    )
    raw = raw.replace(b"550-5.1.1 The", b"The")
    bounce = report_of(raw)
    assert bounce is not None
    assert (bounce.status, bounce.permanent) == expected


def test_of_several_recipients_the_failed_one_counts() -> None:
    raw = load("bounce_permanent").replace(
        b"Final-Recipient: rfc822; clara.clinet@gmail.example",
        b"Final-Recipient: rfc822; fine@gmail.example\r\nAction: relayed\r\nStatus: 2.0.0\r\n\r\n"
        b"Final-Recipient: rfc822; clara.clinet@gmail.example",
    )
    bounce = report_of(raw)
    assert bounce is not None
    assert (bounce.recipient, bounce.status) == ("clara.clinet@gmail.example", "5.1.1")


def test_a_notice_without_a_report_names_who_failed() -> None:
    message = email.message_from_bytes(load("bounce_notice"))
    assert not is_report(message)
    assert from_notice(message) == Bounce(SENT, "clara@gone.example", "5.0.0", permanent=True)
    assert from_notice(email.message_from_bytes(load("vacation"))) is None


def test_a_report_with_nothing_in_it_still_is_one() -> None:
    bounce = report_of(b"Content-Type: multipart/report; report-type=delivery-status; boundary=x\r\n\r\n--x--\r\n")
    assert bounce in (None, Bounce("", "", "5.0.0", permanent=True))
