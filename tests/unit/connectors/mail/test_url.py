from __future__ import annotations

import pytest

from connectors.mail.url import MailURL, is_loopback

SMTP = {"smtp": 25, "smtps": 465}


def parse(url: str) -> MailURL:
    return MailURL.parse(url, schemes=SMTP, options=("tls", "cafile"))


def test_user_and_password_are_decoded_and_the_password_is_not_shown() -> None:
    url = parse("smtp://me%40x.example:p%2Fw%3A%20@mail.example:587?tls=starttls")
    assert (url.username, url.password, url.host, url.port, url.tls) == (
        "me@x.example",
        "p/w: ",
        "mail.example",
        587,
        "starttls",
    )
    assert "p/w" not in repr(url)


@pytest.mark.parametrize(
    ("url", "tls", "port"),
    [
        ("smtp://mail.example", "starttls", 25),
        ("smtp://127.0.0.1", "none", 25),
        ("smtp://[::1]:2525", "none", 2525),
        ("smtp://localhost?tls=starttls", "starttls", 25),
        ("smtp://mail.example?tls=none", "none", 25),
        ("smtps://mail.example", "implicit", 465),
    ],
)
def test_encryption_is_the_rule_outside_the_machine(url: str, tls: str, port: int) -> None:
    assert (parse(url).tls, parse(url).port) == (tls, port)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "smtp:",
        "smtp://",
        "http://x",
        "smtp://x:99999",
        "smtp://x?tls=maybe",
        "smtps://x?tls=none",
        "smtp://x?ttl=1",
        "smtp://[x",
    ],
)
def test_a_bad_url_is_refused_without_its_secret(url: str) -> None:
    with pytest.raises(ValueError, match=r"^(?!.*hunter2)"):
        parse(url.replace("://", "://u:hunter2@", 1) if "://x" in url else url)


def test_loopback_is_told_by_what_is_written() -> None:
    assert is_loopback("127.8.0.1")
    assert is_loopback("LocalHost")
    assert not is_loopback("localhost.example")
