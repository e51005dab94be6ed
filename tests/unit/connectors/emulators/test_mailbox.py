from __future__ import annotations

import smtplib
from pathlib import Path

import pytest

from connectors.emulators.mailbox import Fault, SmtpCatcher, Stage

MESSAGE = b"Message-ID: <1@x.example>\r\nSubject: x\r\n\r\nhello\r\n"


def deliver(catcher: SmtpCatcher, recipient: str = "b@b.example") -> None:
    with smtplib.SMTP(catcher.host, catcher.port, local_hostname="test.example", timeout=10) as client:
        client.sendmail("a@a.example", [recipient], MESSAGE)


def test_it_keeps_what_it_accepts(tmp_path: Path) -> None:
    with SmtpCatcher(folder=tmp_path) as catcher:
        deliver(catcher)
        deliver(catcher)
        assert catcher.count("<1@x.example>") == 2
        assert catcher.count("<2@x.example>") == 0
        (first, _) = catcher.wait_for(2)
        assert (first.raw, first.sender, first.recipients, first.encrypted) == (
            MESSAGE,
            "a@a.example",
            ("b@b.example",),
            False,
        )
        assert sorted(path.name for path in tmp_path.iterdir()) == ["000001.eml", "000002.eml"]
        with pytest.raises(TimeoutError):
            catcher.wait_for(3, timeout=0.05)


def test_it_comes_back_on_the_same_port_with_what_it_kept() -> None:
    catcher = SmtpCatcher()
    with catcher:
        deliver(catcher)
        port = catcher.port
    catcher.stop()
    with catcher:
        assert catcher.port == port
        deliver(catcher)
        assert len(catcher.messages) == 2


def test_faults_strike_in_order_as_often_as_told_and_only_where_told() -> None:
    with SmtpCatcher() as catcher:
        catcher.defer(times=2)
        catcher.refuse_recipient("b@b.example", times=1)
        codes = []
        for _ in range(4):
            try:
                deliver(catcher)
                codes.append(250)
            except smtplib.SMTPRecipientsRefused as error:
                codes.append(error.recipients["b@b.example"][0])
        assert codes == [451, 451, 550, 250]
        catcher.refuse_recipient("gone@b.example")
        deliver(catcher)
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            deliver(catcher, "gone@b.example")
        catcher.refuse_sender()
        with pytest.raises(smtplib.SMTPSenderRefused):
            deliver(catcher)


@pytest.mark.parametrize(
    ("method", "kept"),
    [("drop_before_data", 0), ("drop_before_acceptance", 0), ("drop_after_acceptance", 1), ("die_after_acceptance", 1)],
)
def test_lines_break_where_they_are_told_to(method: str, kept: int) -> None:
    with SmtpCatcher() as catcher:
        getattr(catcher, method)()
        with pytest.raises((smtplib.SMTPServerDisconnected, ConnectionError)):
            deliver(catcher)
        assert len(catcher.messages) == kept
        if method == "die_after_acceptance":
            with pytest.raises(ConnectionError):
                deliver(catcher)
            catcher.stop()
            catcher.start()
        deliver(catcher)
        assert len(catcher.messages) == kept + 1


def test_a_delay_alone_changes_nothing() -> None:
    with SmtpCatcher() as catcher:
        catcher.script(Fault(Stage.MAIL, delay=0.05))
        deliver(catcher)
        assert len(catcher.messages) == 1


def test_without_tls_there_is_no_authority_to_trust() -> None:
    with pytest.raises(ValueError, match="no TLS"):
        _ = SmtpCatcher().ca_file


def test_it_takes_nothing_in_the_clear_where_it_wants_starttls() -> None:
    with SmtpCatcher(tls="starttls") as catcher:
        with pytest.raises(smtplib.SMTPResponseException) as refused:
            deliver(catcher)
        assert refused.value.smtp_code == 530
        assert catcher.messages == []


def test_it_takes_nothing_from_strangers_where_it_wants_a_login() -> None:
    with SmtpCatcher(login=("u", "p")) as catcher, pytest.raises(smtplib.SMTPSenderRefused):
        deliver(catcher)
