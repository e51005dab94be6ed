from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from connectors.emulators.certificate import self_made_certificate
from connectors.emulators.mailbox import Fault, SmtpCatcher, Stage
from connectors.errors import ConnectorError, NeedsReconnect, Permanent, Refused, Temporary, Unreachable
from connectors.mail.imip import compose, open_outgoing
from connectors.mail.outgoing import OutcomeUnknown, Outgoing, Receipt, RecipientRefused
from connectors.mail.smtp import MESSAGES_PER_CONNECTION, SmtpOutgoing
from connectors.mail.url import MailURL
from tests.unit.connectors.mail.test_imip import MAIL

RAW = compose(MAIL)


@contextmanager
def opened(url: str) -> Iterator[Outgoing]:
    outgoing = open_outgoing(url)
    try:
        yield outgoing
    finally:
        outgoing.close()


def impatient(url: str, **options: float) -> SmtpOutgoing:
    return SmtpOutgoing(MailURL.parse(url, schemes={"smtp": 25}, options=("tls",)), **options)  # type: ignore[arg-type]


def send(outgoing: Outgoing, raw: bytes = RAW, recipient: str = MAIL.recipient) -> Receipt:
    return outgoing.send(raw, sender=MAIL.sender, recipient=recipient)


def test_a_message_arrives_as_it_was_composed() -> None:
    with SmtpCatcher() as catcher, opened(catcher.url) as outgoing:
        assert send(outgoing) == Receipt("250 2.0.0 Kept")
        (caught,) = catcher.messages
        assert (caught.raw, caught.sender, caught.recipients) == (RAW, MAIL.sender, (MAIL.recipient,))
        assert caught.message_id == MAIL.message_id


def test_dots_at_the_start_of_lines_survive() -> None:
    raw = b"Message-ID: <a@b>\r\n\r\n.\r\n..\r\n.x\r\nlast line without an end"
    with SmtpCatcher() as catcher, opened(catcher.url) as outgoing:
        send(outgoing, raw)
        assert catcher.messages[0].raw == raw + b"\r\n"


def test_one_connection_serves_many_messages_of_a_thread_and_each_thread_has_its_own() -> None:
    with SmtpCatcher() as catcher, opened(catcher.url) as outgoing:
        for _ in range(10):
            send(outgoing)
        assert catcher.connections == 1
        meet = threading.Barrier(3)

        def work() -> None:
            meet.wait(10)
            for _ in range(5):
                send(outgoing)

        with ThreadPoolExecutor(3) as pool:
            for job in [pool.submit(work) for _ in range(3)]:
                job.result()
        assert catcher.connections == 4
        assert catcher.count(MAIL.message_id) == 25


def test_a_connection_is_renewed_after_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MESSAGES_PER_CONNECTION > 10
    monkeypatch.setattr("connectors.mail.smtp.MESSAGES_PER_CONNECTION", 3)
    with SmtpCatcher() as catcher, opened(catcher.url) as outgoing:
        for _ in range(7):
            send(outgoing)
        assert catcher.connections == 3


def test_a_line_that_died_between_messages_is_replaced_unseen() -> None:
    catcher = SmtpCatcher()
    with catcher, opened(catcher.url) as outgoing:
        send(outgoing)
        catcher.stop()
        catcher.start()
        assert send(outgoing).reply == "250 2.0.0 Kept"
        assert len(catcher.messages) == 2


FAULTS: dict[str, tuple[Fault, type[ConnectorError], int | None, int]] = {
    "sender refused": (Fault(Stage.MAIL, reply="550 5.7.1 no"), Refused, 550, 0),
    "sender deferred": (Fault(Stage.MAIL, reply="451 4.7.1 later"), Temporary, 451, 0),
    "recipient refused": (Fault(Stage.RCPT, reply="550 5.1.1 no"), RecipientRefused, 550, 0),
    "recipient deferred": (Fault(Stage.RCPT, reply="450 4.2.0 later"), Temporary, 450, 0),
    "shutting down": (Fault(Stage.RCPT, reply="421 4.3.2 bye"), Temporary, 421, 0),
    "data refused": (Fault(Stage.DATA, reply="554 5.5.1 no"), Refused, 554, 0),
    "message refused": (Fault(Stage.ACCEPT, reply="554 5.7.1 spam"), Refused, 554, 0),
    "message too big": (Fault(Stage.ACCEPT, reply="552 5.3.4 too big"), Refused, 552, 0),
    "address refused late": (Fault(Stage.ACCEPT, reply="550 5.1.1 no such user"), RecipientRefused, 550, 0),
    "mailbox full for good": (Fault(Stage.RCPT, reply="552 5.2.2 full"), RecipientRefused, 552, 0),
    "relaying refused": (Fault(Stage.RCPT, reply="554 5.7.1 Relay access denied"), Refused, 554, 0),
    "login wanted": (Fault(Stage.MAIL, reply="530 5.7.0 log in first"), NeedsReconnect, 530, 0),
    "message deferred": (Fault(Stage.ACCEPT, reply="452 4.3.1 full"), Temporary, 452, 0),
    "line lost at MAIL": (Fault(Stage.MAIL, drop=True), Unreachable, None, 0),
    "line lost at RCPT": (Fault(Stage.RCPT, drop=True), Unreachable, None, 0),
    "line lost at DATA": (Fault(Stage.DATA, drop=True), Unreachable, None, 0),
    "line lost before acceptance": (Fault(Stage.ACCEPT, drop=True), OutcomeUnknown, None, 0),
    "line lost after acceptance": (Fault(Stage.ANSWER, drop=True), OutcomeUnknown, None, 1),
    "death after acceptance": (Fault(Stage.ANSWER, die=True), OutcomeUnknown, None, 1),
}


@pytest.mark.parametrize(("fault", "kind", "status", "kept"), FAULTS.values(), ids=FAULTS)
@pytest.mark.parametrize("warm", [False, True], ids=["first message", "later message"])
def test_every_way_to_fail_has_its_class_and_the_next_attempt_works(
    fault: Fault, kind: type[ConnectorError], status: int | None, kept: int, warm: bool
) -> None:
    catcher = SmtpCatcher()
    with catcher, opened(catcher.url) as outgoing:
        if warm:
            send(outgoing, RAW.replace(MAIL.message_id.encode(), b"<before@svc.example>"))
        catcher.script(Fault(**{**vars(fault), "times": 1}))
        with pytest.raises(ConnectorError) as raised:
            send(outgoing)
        assert type(raised.value) is kind
        assert raised.value.status == status
        assert catcher.count(MAIL.message_id) == kept
        if fault.die:
            catcher.stop()
            catcher.start()
        send(outgoing)
        assert catcher.count(MAIL.message_id) == kept + 1
        assert len({caught.raw for caught in catcher.messages if caught.message_id == MAIL.message_id}) == 1


def test_only_one_address_is_refused() -> None:
    with SmtpCatcher() as catcher, opened(catcher.url) as outgoing:
        catcher.refuse_recipient("gone@b.example")
        with pytest.raises(RecipientRefused, match=r"550 5\.1\.1 No such user"):
            send(outgoing, recipient="gone@b.example")
        send(outgoing, recipient="here@b.example")
        assert catcher.connections == 1  # a refusal doesn't spoil the line


def test_a_slow_answer_after_the_message_leaves_the_outcome_open() -> None:
    with SmtpCatcher() as catcher:
        catcher.script(Fault(Stage.ANSWER, delay=1.5))
        outgoing = impatient(catcher.url, timeout=5, final_timeout=0.2)
        with pytest.raises(OutcomeUnknown):
            send(outgoing)
        assert catcher.count(MAIL.message_id) == 1
        send(outgoing)
        outgoing.close()


def test_a_slow_answer_before_the_message_leaves_no_doubt() -> None:
    with SmtpCatcher() as catcher:
        catcher.script(Fault(Stage.RCPT, delay=1.5))
        outgoing = impatient(catcher.url, timeout=0.2)
        with pytest.raises(Unreachable) as raised:
            send(outgoing)
        assert not isinstance(raised.value, OutcomeUnknown)
        outgoing.close()


def test_nobody_listening() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        with opened(f"smtp://127.0.0.1:{free.getsockname()[1]}") as outgoing, pytest.raises(Unreachable):
            send(outgoing)


@contextmanager
def scripted(*answers: bytes) -> Iterator[str]:
    """A server that says these lines whatever it hears, then hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            line, _ = listener.accept()
            with line, suppress(OSError):
                for answer in answers:
                    line.sendall(answer)
                    line.recv(4096)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"smtp://127.0.0.1:{listener.getsockname()[1]}"
        thread.join(10)


@pytest.mark.parametrize(
    "answers",
    [
        [b"554 go away\r\n"],
        [b"421 busy\r\n"],
        [b"\xff\xff\xff\r\n"],
        [b"220 hi\r\n", b"500 what\r\n", b"500 what\r\n"],
        [b""],
    ],
    ids=["refused", "busy", "noise", "no EHLO", "silence"],
)
def test_a_server_that_does_not_want_us_is_tried_again(answers: list[bytes]) -> None:
    with scripted(*answers) as url:
        outgoing = impatient(url, timeout=1)
        with pytest.raises(Temporary):
            send(outgoing)
        outgoing.close()


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
def test_encrypted_lines_check_the_certificate(tls: str) -> None:
    with SmtpCatcher(tls=tls) as catcher:
        with opened(catcher.url) as outgoing:
            send(outgoing)
            assert catcher.messages[0].encrypted
        distrustful = catcher.url.replace(f"cafile={catcher.ca_file}", "").replace("?&", "?").rstrip("?")
        with opened(distrustful) as outgoing, pytest.raises(Unreachable, match="certificate"):
            send(outgoing)
        other = SmtpCatcher(tls=tls)
        wrong = catcher.url.replace(str(catcher.ca_file), str(other.ca_file))
        with opened(wrong) as outgoing, pytest.raises(Unreachable, match="certificate"):
            send(outgoing)
        assert len(catcher.messages) == 1


def test_a_certificate_for_another_name_is_refused(tmp_path: Path) -> None:
    made = self_made_certificate(tmp_path, names=("other.example",), addresses=())
    with SmtpCatcher(tls="implicit", certificate=made) as catcher, opened(catcher.url) as outgoing:
        with pytest.raises(Unreachable, match="certificate"):
            send(outgoing)
        assert catcher.messages == []


def test_starttls_that_is_wanted_is_demanded() -> None:
    with SmtpCatcher() as catcher:
        url = catcher.url.replace("tls=none", "tls=starttls")
        with opened(url) as outgoing, pytest.raises(Unreachable, match="STARTTLS"):
            send(outgoing)
        assert catcher.messages == []


def test_login() -> None:
    with SmtpCatcher(login=("user@x", "p/w: ")) as catcher:
        good = catcher.url.replace("user@x:p/w: ", "user%40x:p%2Fw%3A%20")
        with opened(good) as outgoing:
            send(outgoing)
        with opened(good.replace("p%2F", "q%2F")) as outgoing, pytest.raises(NeedsReconnect) as raised:
            send(outgoing)
        assert raised.value.status == 535
        assert "q/w" not in str(raised.value)
        with opened(good.replace("user%40x:p%2Fw%3A%20@", "")) as outgoing, pytest.raises(NeedsReconnect):
            send(outgoing)
        with opened(good.replace("p%2F", "%C3%A9")) as outgoing, pytest.raises(NeedsReconnect, match="ASCII"):
            send(outgoing)
        assert len(catcher.messages) == 1


def test_a_server_without_login_refuses_one() -> None:
    with SmtpCatcher() as catcher, opened(catcher.url.replace("//", "//u:p@")) as outgoing:
        with pytest.raises((NeedsReconnect, Permanent)):
            send(outgoing)
        assert catcher.messages == []


def test_addresses_outside_ascii() -> None:
    with SmtpCatcher() as catcher, opened(catcher.url) as outgoing:
        send(outgoing, recipient="用户@例え.example")
        assert catcher.messages[0].recipients == ("用户@xn--r8jz45g.example",)
        send(outgoing)
    with SmtpCatcher(smtputf8=False) as catcher, opened(catcher.url) as outgoing:
        with pytest.raises(RecipientRefused, match="SMTPUTF8"):
            send(outgoing, recipient="用户@例え.example")
        send(outgoing, recipient="user@例え.example")
        assert catcher.messages[0].recipients == ("user@xn--r8jz45g.example",)


def test_an_address_cannot_carry_a_command() -> None:
    with SmtpCatcher() as catcher, opened(catcher.url) as outgoing:
        for evil in ("a@b.example>\r\nRCPT TO:<c@d.example", "a@b.example> SIZE=1", ""):
            with pytest.raises(ValueError):
                send(outgoing, recipient=evil)
        assert catcher.messages == []


def test_closing_twice_and_sending_again(tmp_path: Path) -> None:
    with SmtpCatcher(folder=tmp_path / "kept") as catcher:
        outgoing = open_outgoing(catcher.url)
        send(outgoing)
        outgoing.close()
        outgoing.close()
        send(outgoing)
        outgoing.close()
        assert catcher.connections == 2
        assert [path.read_bytes() for path in sorted((tmp_path / "kept").iterdir())] == [RAW, RAW]
