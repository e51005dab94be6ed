"""The SSRF guard: which addresses are open internet, which are private, and that a name is looked up once."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence

import httpcore
import pytest

from connectors.addresses import GuardedBackend, check, is_private, is_public, resolve, within
from connectors.errors import AddressRefused

PUBLIC = ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::"]
PRIVATE = ["127.0.0.1", "127.9.9.9", "10.1.2.3", "192.168.1.1", "172.16.0.1", "::1", "fd00::1", "::ffff:127.0.0.1"]
NEITHER = [
    "0.0.0.0",
    "::",
    "169.254.169.254",
    "fe80::1",
    "fe80::1%eth0",
    "224.0.0.1",
    "ff02::1",
    "255.255.255.255",
    "240.0.0.1",
    "100.64.0.1",
    "::ffff:169.254.169.254",
]
PRIVATE_IN_DISGUISE = ["64:ff9b::7f00:1", "2002:7f00:1::", "64:ff9b::a00:1"]


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses(address: str) -> None:
    assert is_public(address)
    assert not is_private(address)


@pytest.mark.parametrize("address", PRIVATE + PRIVATE_IN_DISGUISE)
def test_private_addresses(address: str) -> None:
    assert is_private(address)
    assert not is_public(address)


@pytest.mark.parametrize("address", NEITHER)
def test_addresses_that_are_never_called(address: str) -> None:
    assert not is_public(address)
    assert not is_private(address)


def test_one_bad_address_spoils_a_name() -> None:
    check("good.test", ["8.8.8.8", "1.1.1.1"], public=True, private=False)
    with pytest.raises(AddressRefused):
        check("mixed.test", ["8.8.8.8", "127.0.0.1"], public=True, private=False)
    with pytest.raises(AddressRefused):
        check("plain.test", ["8.8.8.8"], public=False, private=True)


@pytest.mark.parametrize(
    ("host", "domain", "expected"),
    [
        ("icloud.com", "icloud.com", True),
        ("p1.icloud.com", "icloud.com", True),
        ("evilicloud.com", "icloud.com", False),
    ],
)
def test_within_a_domain(host: str, domain: str, expected: bool) -> None:
    assert within(host, domain) is expected


@pytest.fixture
def listener() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_name_is_resolved_once_and_the_checked_address_is_called(listener: int) -> None:
    asked: list[str] = []

    def rebinding(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["169.254.169.254"]

    stream = GuardedBackend(public=False, private=True, resolve=rebinding).connect_tcp("calendar.test", listener, 5.0)
    assert stream.get_extra_info("server_addr") == ("127.0.0.1", listener)
    assert asked == ["calendar.test"]
    stream.close()


def test_the_next_address_is_tried_when_one_does_not_answer(listener: int) -> None:
    backend = GuardedBackend(public=False, private=True, resolve=lambda host, port: ["127.0.0.2", "127.0.0.1"])
    stream = backend.connect_tcp("calendar.test", listener, 5.0)
    assert stream.get_extra_info("server_addr")[0] == "127.0.0.1"
    stream.close()


def test_a_name_without_address_is_no_refusal() -> None:
    def unknown(host: str, port: int) -> Sequence[str]:
        raise socket.gaierror("unknown")

    with pytest.raises(httpcore.ConnectError):
        GuardedBackend(public=True, private=False, resolve=unknown).connect_tcp("no.test", 443, 1.0)


@pytest.mark.parametrize("text", ["127.0.0.1", "2130706433", "0x7f.1", "017700000001"])
def test_odd_spellings_of_loopback_are_seen_through(text: str) -> None:
    assert all(is_private(address) for address in resolve(text, 80))
