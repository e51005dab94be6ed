from __future__ import annotations

import smtplib
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from time import monotonic

import pytest

from connectors.errors import Unreachable
from connectors.mail import lmtp
from connectors.mail.lmtp import LmtpInbound
from connectors.mail.mailbox import open_inbound
from tests.support.listening import Listening

RAW = b"Subject: x\r\n\r\n.dot\r\n..\r\nhello\r\n"


class Server:
    def __init__(self) -> None:
        inbound = open_inbound("lmtp://127.0.0.1:0")
        assert isinstance(inbound, LmtpInbound)
        self.inbound = inbound
        self.heard = Listening(inbound)

    def client(self) -> smtplib.LMTP:
        host, port = self.inbound.address()
        return smtplib.LMTP(host, port, local_hostname="mx.example", timeout=10)

    def raw(self, *lines: bytes) -> bytes:
        """Everything the server says to these lines, sent at once."""
        with socket.create_connection(self.inbound.address(), timeout=10) as line:
            line.sendall(b"".join(lines))
            line.shutdown(socket.SHUT_WR)
            said = b""
            while chunk := line.recv(4096):
                said += chunk
            return said


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    with server.heard:
        server.inbound.address()
        yield server


def test_a_message_is_handed_over_with_its_recipients_and_unstuffed(server: Server) -> None:
    with server.client() as client:
        assert client.sendmail("a@a.example", ["bookings+t1@svc.example"], RAW) == {}
    (mail,) = server.heard.wait_for(1)
    assert (mail.raw, mail.recipients, mail.cursor) == (RAW, ("bookings+t1@svc.example",), "")
    assert mail.id == f"lmtp:{mail.digest}"


def test_it_is_accepted_only_when_it_was_stored(server: Server) -> None:
    server.heard.fail = 2
    with server.client() as client:
        for _ in range(2):
            with pytest.raises(smtplib.SMTPDataError) as refused:
                client.sendmail("a@a.example", ["b@svc.example"], RAW)
            assert refused.value.smtp_code == 451
        client.sendmail("a@a.example", ["b@svc.example"], RAW)
    assert len(set(server.heard.offered)) == 1
    assert len(server.heard.mails) == 1


def test_there_is_one_answer_for_each_recipient(server: Server) -> None:
    said = server.raw(
        b"LHLO mx\r\nMAIL FROM:<>\r\nRCPT TO:<a@svc.example>\r\nRCPT TO:<b@svc.example>\r\nDATA\r\nhi\r\n.\r\nQUIT\r\n"
    )
    lines = said.decode().split("\r\n")
    after = lines[lines.index("354 Go ahead") + 1 :]
    assert after == ["250 2.0.0 Stored", "250 2.0.0 Stored", "221 2.0.0 Bye", ""]
    (mail,) = server.heard.wait_for(1)
    assert mail.recipients == ("a@svc.example", "b@svc.example")


def test_several_messages_in_one_dialogue_do_not_mix(server: Server) -> None:
    with server.client() as client:
        for number in range(5):
            client.sendmail("a@a.example", [f"r{number}@svc.example"], RAW + b"%d\r\n" % number)
    assert [mail.recipients for mail in server.heard.mails] == [(f"r{number}@svc.example",) for number in range(5)]
    assert len({mail.id for mail in server.heard.mails}) == 5


def test_many_connections_are_handled_one_message_at_a_time(server: Server) -> None:
    def deliver(number: int) -> None:
        with server.client() as client:
            client.sendmail("a@a.example", ["b@svc.example"], RAW + b"%d\r\n" % number)

    with ThreadPoolExecutor(8) as pool:
        for job in [pool.submit(deliver, number) for number in range(24)]:
            job.result()
    assert len({mail.id for mail in server.heard.mails}) == 24


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"EHLO mx\r\n", b"500"),
        (b"HELO mx\r\n", b"500"),
        (b"LHLO\r\n", b"500"),
        (b"MAIL FROM:<a@b>\r\n", b"503"),
        (b"LHLO mx\r\nMAIL FROM: nonsense\r\n", b"501"),
        (b"LHLO mx\r\nMAIL FROM:<a@b> SIZE=99999999999\r\n", b"552"),
        (b"LHLO mx\r\nMAIL FROM:<a@b>\r\nMAIL FROM:<a@b>\r\n", b"503"),
        (b"LHLO mx\r\nRCPT TO:<a@b>\r\n", b"503"),
        (b"LHLO mx\r\nMAIL FROM:<a@b>\r\nRCPT TO:<nobody>\r\n", b"501"),
        (b"LHLO mx\r\nMAIL FROM:<a@b>\r\nDATA\r\n", b"503"),
        (b"LHLO mx\r\nMAIL FROM:<a@b> SIZE=5 BODY=8BITMIME SMTPUTF8\r\n", b"250 2.1.0"),
        (b"LHLO mx\r\nMAIL FROM:<a@b>\r\nRSET\r\nRCPT TO:<a@b>\r\n", b"503"),
        (b"NOOP\r\n", b"250"),
        (b"VRFY x\r\n", b"252"),
        (b"\xff\xfe\r\n", b"500"),
        (b"\r\n", b"500"),
    ],
)
def test_the_order_of_commands_is_kept(server: Server, line: bytes, code: bytes) -> None:
    said = server.raw(line)
    assert said.startswith(b"220 ")
    assert said.strip().split(b"\r\n")[-1].startswith(code)
    assert server.heard.mails == []


def test_a_line_that_breaks_off_in_a_message_stores_nothing(server: Server) -> None:
    start = b"LHLO mx\r\nMAIL FROM:<a@b>\r\nRCPT TO:<a@svc.example>\r\nDATA\r\n"
    assert server.raw(start + b"half a mess").endswith(b"354 Go ahead\r\n")
    assert server.raw(start + b"whole lines\r\n").endswith(b"354 Go ahead\r\n")
    assert server.heard.offered == []


def test_too_much_is_refused_and_the_dialogue_goes_on(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lmtp, "MAX_OCTETS", 1000)
    with server.client() as client:
        client.docmd("LHLO", "mx")
        client.mail("a@b.example")
        client.rcpt("a@svc.example")
        assert client.data(b"x\r\n" * 1000)[0] == 552
        client.sendmail("a@b.example", ["a@svc.example"], b"short\r\n")
    assert [mail.raw for mail in server.heard.mails] == [b"short\r\n"]


def test_too_many_recipients_are_refused_one_by_one(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lmtp, "MAX_RECIPIENTS", 2)
    said = server.raw(b"LHLO mx\r\nMAIL FROM:<a@b>\r\n", *(b"RCPT TO:<%d@svc.example>\r\n" % n for n in range(3)))
    assert [line[:3] for line in said.split(b"\r\n")[-4:-1]] == [b"250", b"250", b"452"]


def test_an_endless_line_ends_the_dialogue(server: Server) -> None:
    said = b""
    with suppress(ConnectionError):
        said = server.raw(b"x" * (lmtp.LONGEST_LINE + 10))
    assert said in (b"", b"220 LMTP ready\r\n")
    assert server.raw(b"NOOP\r\n").endswith(b"250 2.0.0 OK\r\n")


def test_too_many_connections_are_sent_away(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lmtp, "MAX_CONNECTIONS", 1)
    with server.client(), pytest.raises(smtplib.SMTPConnectError) as refused:
        server.client()
    assert refused.value.smtp_code == 421


def test_it_stops_at_once_with_clients_on_the_line() -> None:
    server = Server()
    with server.heard:
        idle = socket.create_connection(server.inbound.address(), timeout=10)
        idle.recv(100)
        started = monotonic()
    assert monotonic() - started < 5
    idle.close()
    with pytest.raises(Unreachable):
        server.inbound.address(timeout=0.01)


def test_a_message_that_is_being_stored_is_answered_before_the_end() -> None:
    storing, go_on = threading.Event(), threading.Event()
    inbound = open_inbound("lmtp://127.0.0.1:0")
    assert isinstance(inbound, LmtpInbound)
    stop = threading.Event()

    def handle(mail: object) -> None:
        storing.set()
        go_on.wait(10)

    thread = threading.Thread(target=inbound.run, args=(handle, stop))
    thread.start()
    client = smtplib.LMTP(*inbound.address(), local_hostname="mx.example", timeout=10)
    with client, ThreadPoolExecutor(1) as pool:
        answer = pool.submit(client.sendmail, "a@b.example", ["a@svc.example"], RAW)
        assert storing.wait(10)
        stop.set()
        go_on.set()
        assert answer.result(10) == {}
    thread.join(10)
    assert not thread.is_alive()


def test_a_taken_port_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        inbound = open_inbound(f"lmtp://127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(Unreachable):
            inbound.run(lambda mail: None, threading.Event())
