"""Which addresses may be called: the SSRF guard, below the connection pool and so on every hop.

The guard sits where the socket is opened: a name is resolved once, every address it has is checked, and the
socket goes to a checked address. There is no second look-up that could answer otherwise (DNS rebinding), while
``Host``, SNI and the certificate check keep the name that was asked for.
"""

from __future__ import annotations

import ipaddress
import math
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import httpcore

from connectors.errors import AddressRefused

Resolve = Callable[[str, int], Sequence[str]]
"""``(host, port)`` → its addresses as text; raises OSError where there are none."""
IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def resolve(host: str, port: int) -> Sequence[str]:
    """The addresses of a host by the system's resolver, in its order, each once."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def within(host: str, domain: str) -> bool:
    """Is this host the domain itself or below it? Both in lower case."""
    return host == domain or host.endswith("." + domain)


def literal(host: str) -> Sequence[str]:
    """The addresses of a host as far as they are known without asking anybody: of one that is an address, in any of the
    spellings that resolvers take (``127.1``, ``2130706433``), and of ``localhost``."""
    name = host.lower().removesuffix(".")
    if within(name, "localhost"):
        return ["127.0.0.1"]
    if ":" in name:
        return [name]
    try:
        return [socket.inet_ntoa(socket.inet_aton(name))]
    except (OSError, ValueError):
        return []


def _address(text: str) -> IPAddress:
    """The address meant by this text: of an IPv6 one that stands for an IPv4 one (mapped, 6to4, NAT64), that one."""
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def is_public(text: str) -> bool:
    """Is this an address of the open internet?"""
    address = _address(text)
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


def is_private(text: str) -> bool:
    """Is this loopback or a private network (RFC 1918, RFC 4193)? Link-local (cloud metadata) never counts."""
    address = _address(text)
    if address.is_link_local or address.is_multicast or address.is_unspecified:
        return False
    return address.is_loopback or (address.is_private and not address.is_reserved)


def check(host: str, found: Sequence[str], *, public: bool, private: bool) -> None:
    """Raises `AddressRefused` unless each of the addresses is of an allowed kind; one bad one spoils the name."""
    for text in found:
        if (public and is_public(text)) or (private and is_private(text)):
            continue
        kind = "private" if not is_public(text) else "public"
        raise AddressRefused(f"{host} has a {kind} address that may not be called this way")


class _Clock(threading.local):
    """When the exchange of this thread must be over; blocking I/O happens in the calling thread."""

    deadline: float = math.inf

    def left(self, timeout: float | None) -> float:
        """Seconds for the next wait: the time-out of one step, cut by what is left of the whole."""
        return min(math.inf if timeout is None else timeout, self.deadline - time.monotonic())


CLOCK = _Clock()


class TimedStream(httpcore.NetworkStream):
    """A stream that also ends at the thread's deadline, so that a peer can't drip for ever."""

    def __init__(self, inner: httpcore.NetworkStream) -> None:
        self._inner = inner

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """As the wrapped one. Raises httpcore.ReadTimeout at the deadline."""
        if (left := CLOCK.left(timeout)) <= 0:
            raise httpcore.ReadTimeout("the whole exchange took too long")
        return self._inner.read(max_bytes, left)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """As the wrapped one. Raises httpcore.WriteTimeout at the deadline."""
        if (left := CLOCK.left(timeout)) <= 0:
            raise httpcore.WriteTimeout("the whole exchange took too long")
        self._inner.write(buffer, left)

    def close(self) -> None:
        """Close the socket."""
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        """TLS over the same socket; the certificate is checked against the name that was asked for."""
        return TimedStream(self._inner.start_tls(ssl_context, server_hostname, CLOCK.left(timeout)))

    def get_extra_info(self, info: str) -> Any:
        """Passed through."""
        return self._inner.get_extra_info(info)


class GuardedBackend(httpcore.NetworkBackend):
    """Opens sockets only to checked addresses. public, private: which kinds are allowed."""

    def __init__(self, *, public: bool, private: bool, resolve: Resolve = resolve) -> None:
        self._inner = httpcore.SyncBackend()
        self._public, self._private, self._resolve = public, private, resolve

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """The first address that answers. Raises `AddressRefused`, httpcore.ConnectError, httpcore.ConnectTimeout."""
        try:
            found = self._resolve(host, port)
        except (OSError, UnicodeError) as exc:
            raise httpcore.ConnectError(f"{host} can't be resolved") from exc
        check(host, found, public=self._public, private=self._private)
        failure: Exception = httpcore.ConnectError(f"{host} has no address")
        for text in found:
            if (left := CLOCK.left(timeout)) <= 0:
                raise httpcore.ConnectTimeout("the whole exchange took too long")
            try:
                return TimedStream(self._inner.connect_tcp(text, port, left, local_address, socket_options))
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as exc:
                failure = exc
        raise failure
