from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from time import monotonic

import pytest

from connectors.errors import BadAnswer, NeedsReconnect, Unreachable
from connectors.mail import imap
from connectors.mail.imap import ImapInbound
from connectors.mail.mailbox import open_inbound
from tests.support.imapd import ImapServer
from tests.support.listening import Listening


@pytest.fixture
def server() -> Iterator[ImapServer]:
    with ImapServer() as server:
        yield server


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imap, "SLICE_SECONDS", 0.05)
    monkeypatch.setattr(imap, "BACKOFF_SECONDS", (0.05, 0.1))


def body(number: int) -> bytes:
    return f"Subject: {number}\r\n\r\nMail {number} – schön\r\n".encode()


def listening(server: ImapServer, cursor: str = "", *, fail: int = 0, url: str = "") -> Listening:
    return Listening(open_inbound(url or server.url), cursor, fail)


def asked(server: ImapServer, verb: str, times: int) -> None:
    deadline = monotonic() + 10
    while server.folder.asked(verb) < times:
        assert monotonic() < deadline, f"{verb} was asked {server.folder.asked(verb)} times"
        threading.Event().wait(0.02)


def test_what_is_there_comes_in_order_and_what_arrives_later_too(server: ImapServer) -> None:
    for number in (1, 2, 3):
        server.folder.deliver(body(number))
    with listening(server) as heard:
        assert [mail.raw for mail in heard.wait_for(3)] == [body(1), body(2), body(3)]
        started = monotonic()
        server.folder.deliver(body(4))
        assert heard.wait_for(4)[-1].raw == body(4)
        assert monotonic() - started < 5
    assert [mail.id for mail in heard.mails] == ["imap:1:1", "imap:1:2", "imap:1:3", "imap:1:4"]
    assert [mail.cursor for mail in heard.mails] == ["1:1", "1:2", "1:3", "1:4"]
    assert heard.states == [None]


def test_nothing_in_the_folder_is_changed(server: ImapServer) -> None:
    server.folder.deliver(body(1))
    with listening(server) as heard:
        heard.wait_for(1)
    assert server.folder.asked("EXAMINE") == 1
    assert {command.split(" ")[0].upper() for command in server.folder.commands} <= {
        "CAPABILITY", "LOGIN", "EXAMINE", "UID", "IDLE", "LOGOUT",
    }  # fmt: skip
    assert all(
        "PEEK" in command or "RFC822.SIZE" in command for command in server.folder.commands if "FETCH" in command
    )


def test_reading_goes_on_behind_the_cursor(server: ImapServer) -> None:
    for number in range(1, 6):
        server.folder.deliver(body(number))
    with listening(server, "1:3") as heard:
        assert [mail.id for mail in heard.wait_for(2)] == ["imap:1:4", "imap:1:5"]
    with listening(server, heard.cursor) as again:
        server.folder.deliver(body(6))
        assert [mail.id for mail in again.wait_for(1)] == ["imap:1:6"]


def test_the_last_message_is_not_read_twice_because_star_always_means_it(server: ImapServer) -> None:
    server.folder.deliver(body(1))
    with listening(server, "1:1") as heard:
        heard.until(lambda now: now.states == [None])
        server.folder.deliver(body(2))
        heard.wait_for(1)
    assert heard.offered == ["imap:1:2"]


def test_reading_twice_gives_the_same_ids(server: ImapServer) -> None:
    for number in range(1, 30):
        server.folder.deliver(body(number))
    runs = []
    for _ in range(2):
        with listening(server) as heard:
            runs.append([(mail.id, mail.digest) for mail in heard.wait_for(29)])
    assert runs[0] == runs[1]


def test_a_rebuilt_folder_is_read_anew_and_the_digest_tells_what_is_known(server: ImapServer) -> None:
    server.folder.deliver(body(1))
    server.folder.deliver(body(2))
    with listening(server) as before:
        before.wait_for(2)
    server.folder.rebuild(validity=7)
    server.folder.deliver(body(3))
    with listening(server, before.cursor) as after:
        assert [mail.id for mail in after.wait_for(3)] == ["imap:7:1", "imap:7:2", "imap:7:3"]
    known = {mail.digest for mail in before.mails}
    assert [mail.raw for mail in after.mails if mail.digest not in known] == [body(3)]


def test_a_message_that_could_not_be_stored_comes_again_before_any_later_one(server: ImapServer) -> None:
    server.folder.deliver(body(1))
    server.folder.deliver(body(2))
    with listening(server, fail=3) as heard:
        heard.wait_for(2)
    assert heard.offered == ["imap:1:1"] * 4 + ["imap:1:2"]


@pytest.mark.parametrize("at", ["LOGIN", "EXAMINE", "UID SEARCH", "UID FETCH", "IDLE"])
def test_a_lost_line_loses_nothing(server: ImapServer, at: str) -> None:
    server.folder.deliver(body(1))
    server.folder.deliver(body(2))
    server.folder.drop_on.append(at)
    with listening(server) as heard:
        heard.wait_for(2)
        heard.until(lambda now: any(state is not None for state in now.states))
        server.folder.deliver(body(3))
        heard.wait_for(3)
    assert heard.offered == ["imap:1:1", "imap:1:2", "imap:1:3"]
    assert isinstance(next(state for state in heard.states if state is not None), Unreachable)
    assert heard.states[-1] is None


def test_a_line_that_is_cut_while_waiting_is_opened_again(server: ImapServer) -> None:
    with listening(server) as heard:
        heard.until(lambda now: now.states == [None])
        server.hang_up()
        server.folder.deliver(body(1))
        heard.wait_for(1)


def test_without_idle_the_folder_is_polled(server: ImapServer) -> None:
    server.folder.can_idle = False
    with listening(server, url=server.url + "?poll=1") as heard:
        heard.until(lambda now: now.states == [None])
        server.folder.deliver(body(1))
        heard.wait_for(1)
        asked(server, "NOOP", 1)
    assert server.folder.asked("IDLE") == 0


def test_an_idle_is_renewed_in_time(server: ImapServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imap, "IDLE_SECONDS", 0.2)
    with listening(server) as heard:
        heard.until(lambda now: now.states == [None])
        asked(server, "IDLE", 3)


def test_a_refused_login_is_told_and_tried_again(server: ImapServer) -> None:
    server.folder.deliver(body(1))
    good = server.url
    server.folder.password = "changed"
    with listening(server, url=good) as heard:
        heard.until(lambda now: any(isinstance(state, NeedsReconnect) for state in now.states))
        server.folder.password = "secret"
        heard.wait_for(1)
    assert "secret" not in str(heard.states)


def test_of_a_huge_message_only_the_beginning_is_read(server: ImapServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imap, "MAX_OCTETS", 1000)
    monkeypatch.setattr(imap, "BEGINNING", 100)
    server.folder.deliver(body(1) + b"x" * 2000)
    server.folder.deliver(body(2))
    with listening(server) as heard:
        first, second = heard.wait_for(2)
    assert first.raw == (body(1) + b"x" * 2000)[:100]
    assert second.raw == body(2)


def test_a_message_expunged_meanwhile_is_passed_over(server: ImapServer) -> None:
    for number in (1, 2, 3):
        server.folder.deliver(body(number))
    server.folder.expunged.add(2)
    with listening(server) as heard:
        heard.wait_for(2)
    assert heard.offered == ["imap:1:1", "imap:1:3"]


def test_what_arrives_while_another_is_handled_is_not_left_lying(server: ImapServer) -> None:
    server.folder.deliver(body(1))
    server.folder.arriving.append(body(2))
    with listening(server) as heard:
        heard.wait_for(2, timeout=10)
    assert heard.offered == ["imap:1:1", "imap:1:2"]


def test_what_was_announced_to_nobody_is_found_by_the_next_search(
    server: ImapServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imap, "IDLE_SECONDS", 0.5)
    server.folder.arriving.append(body(1))  # announced at the end of a search that didn't find it
    with listening(server) as heard:
        heard.wait_for(1, timeout=10)


@pytest.mark.parametrize("answer", ["nonsense", "1e5"])
def test_an_odd_answer_does_not_end_the_listening(server: ImapServer, answer: str) -> None:
    server.folder.deliver(body(1))
    server.folder.validity = answer  # type: ignore[assignment]
    with listening(server) as heard:
        heard.until(lambda now: any(isinstance(state, BadAnswer) for state in now.states))
        server.folder.validity = 5
        heard.wait_for(1)
    assert heard.offered == ["imap:5:1"]


@pytest.mark.parametrize("cursor", ["", "garbage", "1", "1:x", "99999999999:1"])
def test_a_cursor_that_says_nothing_starts_at_the_beginning(server: ImapServer, cursor: str) -> None:
    server.folder.deliver(body(1))
    with listening(server, cursor) as heard:
        assert heard.wait_for(1)[0].id == "imap:1:1"


def test_nobody_listening_is_told() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        with Listening(open_inbound(f"imap://u:p@127.0.0.1:{free.getsockname()[1]}")) as heard:
            heard.until(lambda now: isinstance(next(iter(now.states), None), Unreachable))


@pytest.mark.parametrize("scheme", ["imaps", "starttls"])
def test_encryption_that_is_wanted_is_demanded(server: ImapServer, scheme: str) -> None:
    server.folder.deliver(body(1))
    url = server.url.replace("imap:", "imaps:") if scheme == "imaps" else server.url + "?tls=starttls"
    with listening(server, url=url) as heard:
        heard.until(lambda now: isinstance(next(iter(now.states), None), Unreachable))
    assert heard.offered == []
    assert server.folder.asked("LOGIN") == 0


def test_the_tls_context_checks_names() -> None:
    inbound = open_inbound("imaps://u:p@mail.example")
    assert isinstance(inbound, ImapInbound)
    assert inbound._context is not None
    assert inbound._context.check_hostname
    assert inbound._context.verify_mode is ssl.CERT_REQUIRED


def test_the_first_idle_is_short_because_a_server_may_begin_to_watch_late(
    server: ImapServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imap, "FIRST_IDLE_SECONDS", 0.1)
    with listening(server) as heard:
        heard.until(lambda now: now.states == [None])
        asked(server, "IDLE", 2)
