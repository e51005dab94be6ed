"""Nothing leaves this machine: connections, datagrams and look-ups beyond loopback are refused before anything is sent.

Python imports a module of this name by itself when it starts, so every child that has this folder on its PYTHONPATH is
guarded, too. It sees what Python's own sockets do, in whatever library, and not what libraries in C do by themselves.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import sys
from collections.abc import Callable, MutableMapping
from functools import wraps
from pathlib import Path
from typing import Any

_TO_AN_ADDRESS = {"socket.connect", "socket.sendto", "socket.sendmsg"}
_OF_A_NAME = {"socket.getaddrinfo", "socket.gethostbyname"}
_HERE = {"localhost", "localhost.localdomain", socket.gethostname()}


def install() -> None:
    """Guard this process from now on; there is no way back. What is refused raises OSError."""
    sys.addaudithook(_guard)
    for name in ("connect", "connect_ex", "sendto"):  # these look a name up before they tell the hook
        setattr(socket.socket, name, _checked(getattr(socket.socket, name)))


def guard_children(environment: MutableMapping[str, str]) -> None:
    """Guard every Python that is started with this environment. Repeatable."""
    here = str(Path(__file__).parent)
    others = [part for part in environment.get("PYTHONPATH", "").split(os.pathsep) if part and part != here]
    environment["PYTHONPATH"] = os.pathsep.join([here, *others])


def _guard(event: str, given: tuple[Any, ...]) -> None:
    if event in _TO_AN_ADDRESS:  # connect_ex says ``socket.connect``, too
        _check(*given)
    elif event in _OF_A_NAME and not _needs_no_asking(given[0]):
        raise socket.gaierror(socket.EAI_NONAME, f"a test tried to look up {given[0]!r}")


def _checked(real: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(real)
    def checked(self: socket.socket, *given: Any) -> Any:
        if given:
            _check(self, given[-1])  # the address is the last one of each
        return real(self, *given)

    return checked


def _check(sock: socket.socket, address: Any) -> None:
    if sock.family in (socket.AF_INET, socket.AF_INET6) and isinstance(address, tuple) and not _is_here(address[0]):
        raise OSError(f"a test tried to reach {address[0]}")


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host in _HERE


def _needs_no_asking(host: object) -> bool:
    """Not even a number is sent anywhere to find out what it means."""
    name = host.decode("ascii", "replace") if isinstance(host, bytes) else str(host or "")
    if not name or name in _HERE:
        return True
    try:
        ipaddress.IPv6Address(name)
    except ValueError:
        try:
            socket.inet_aton(name)  # every way to write a number: 127.1, 2130706433
        except (OSError, UnicodeError):
            return False
    return True


if __name__ == "sitecustomize":
    install()
