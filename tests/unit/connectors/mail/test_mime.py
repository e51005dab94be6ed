from __future__ import annotations

import email
import re
from email import policy
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.utils import parseaddr

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.ical.contentline import ascii_domain, one_line, plain_text
from connectors.mail.mime import (
    binary_part,
    content_type,
    header,
    mailbox,
    multipart,
    text_part,
    unstructured,
)

ANY_TEXT = st.text(st.characters(codec="utf-8"), max_size=200)


def parsed(raw: bytes) -> EmailMessage:
    message = email.message_from_bytes(raw, policy=policy.default)
    assert isinstance(message, EmailMessage)
    return message


@settings(deadline=None)  # the machine may be busy
@given(ANY_TEXT)
def test_a_subject_comes_back_as_it_was_in_short_ascii_lines(text: str) -> None:
    raw = header("Subject", unstructured(text))
    assert raw.isascii()
    assert all(len(line) <= 76 for line in raw.removesuffix(b"\r\n").split(b"\r\n"))
    assert all(line[:1] in (b" ", b"S") for line in raw.removesuffix(b"\r\n").split(b"\r\n"))
    value = email.message_from_bytes(raw + b"\r\n")["Subject"]
    assert str(make_header(decode_header(value.replace("\r\n", "")))) == one_line(text)


@settings(deadline=None)  # the machine may be busy
@given(ANY_TEXT)
def test_a_name_never_changes_the_address(name: str) -> None:
    raw = header("To", mailbox("clara@posteo.example", name))
    assert raw.isascii()
    assert raw.count(b"\r\n") == len(re.findall(rb"\r\n(?= )", raw)) + 1
    value = email.message_from_bytes(raw + b"\r\n")["To"]
    shown, address = parseaddr(value.replace("\r\n", ""))
    assert address == "clara@posteo.example"
    assert str(make_header(decode_header(shown))) == one_line(name)


@pytest.mark.parametrize(
    "name", ["Müller, Hans; Dr. <x@y.example>", 'A "B" C', "=?utf-8?q?Evil?=", "a@b.example,", "(x)", "\\"]
)
def test_awkward_names_survive(name: str) -> None:
    message = parsed(header("To", mailbox("a@b.example", name)) + b"\r\n")
    (found,) = message["To"].addresses
    assert (found.display_name, found.addr_spec) == (name, "a@b.example")


@pytest.mark.parametrize("name", ["X\r\nBcc", "X:", "", "X Y", "Ü"])
def test_a_header_name_is_a_name(name: str) -> None:
    with pytest.raises(ValueError):
        header(name, ["x"])


def test_a_token_with_a_line_end_is_refused() -> None:
    with pytest.raises(ValueError):
        header("X-A", ["x\r\nBcc: y"])


@settings(deadline=None)  # the machine may be busy
@given(ANY_TEXT)
def test_a_text_part_holds_the_text(text: str) -> None:
    raw = text_part("text/plain", text)
    assert raw.isascii()
    assert not re.search(rb"(?<!\r)\n", raw)
    assert all(len(line) <= 78 for line in raw.split(b"\r\n"))
    wanted = plain_text(text).removesuffix("\n") + "\n"
    payload = email.message_from_bytes(raw).get_payload(decode=True)
    assert isinstance(payload, bytes)
    assert payload.decode().replace("\r\n", "\n").rstrip("\n") == wanted.rstrip("\n")


@settings(deadline=None)  # the machine may be busy
@given(st.binary(max_size=300))
def test_a_binary_part_holds_the_octets(octets: bytes) -> None:
    raw = binary_part("application/ics", {"name": "invite.ics"}, octets, filename="invite.ics")
    message = email.message_from_bytes(raw)
    assert message.get_payload(decode=True) == octets
    assert message.get_filename() == "invite.ics"


def test_parameters_are_quoted_where_they_must_be() -> None:
    assert content_type("multipart/mixed", {"boundary": "=_1"}) == b'Content-Type: multipart/mixed; boundary="=_1"\r\n'
    assert content_type("text/plain", {"charset": "utf-8"}) == b"Content-Type: text/plain; charset=utf-8\r\n"


def test_a_multipart_is_bounded_by_what_no_part_can_hold() -> None:
    inner = text_part("text/plain", "--=_0\n=_ boundary")
    raw = multipart("mixed", "seed", [inner, text_part("text/html", "<p>ü")])
    message = parsed(raw)
    assert message.defects == []
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]
    assert raw == multipart("mixed", "seed", [inner, text_part("text/html", "<p>ü")])
    assert raw != multipart("mixed", "other", [inner, text_part("text/html", "<p>ü")])


def test_a_domain_goes_out_as_ascii() -> None:
    assert ascii_domain("büro@müller.example") == "büro@xn--mller-kva.example"
    with pytest.raises(ValueError):
        ascii_domain("a@..")
