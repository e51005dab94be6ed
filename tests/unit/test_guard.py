"""No test reaches anything but loopback, and neither do the processes that it starts."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.support.guard.sitecustomize import guard_children
from tests.support.service import Service

ELSEWHERE = ("192.0.2.1", 9)  # TEST-NET-1: nobody is there
ELSEWHERE_6 = ("2001:db8::1", 9, 0, 0)
TRY = """
import socket, sys
try:
    socket.socket().connect(("192.0.2.1", 9))
except OSError as error:
    sys.exit(str(error))
"""


def on(kind: socket.SocketKind, act: Callable[[socket.socket], object], family: int = socket.AF_INET) -> None:
    with socket.socket(family, kind) as one:
        one.settimeout(0.1)
        act(one)


@pytest.mark.parametrize(
    "act",
    [
        lambda: on(socket.SOCK_STREAM, lambda s: s.connect(ELSEWHERE)),
        lambda: on(socket.SOCK_STREAM, lambda s: s.connect_ex(ELSEWHERE)),
        lambda: on(socket.SOCK_STREAM, lambda s: s.connect(ELSEWHERE_6), socket.AF_INET6),
        lambda: on(socket.SOCK_DGRAM, lambda s: s.connect(ELSEWHERE)),
        lambda: on(socket.SOCK_DGRAM, lambda s: s.sendto(b"x", ELSEWHERE)),
        lambda: on(socket.SOCK_DGRAM, lambda s: s.sendto(b"x", 0, ELSEWHERE)),
        lambda: on(socket.SOCK_DGRAM, lambda s: s.sendmsg([b"x"], [], 0, ELSEWHERE)),
        lambda: on(socket.SOCK_STREAM, lambda s: s.connect(("dav.example.org", 443))),
        lambda: on(socket.SOCK_STREAM, lambda s: s.connect_ex(("dav.example.org", 443))),
        lambda: on(socket.SOCK_DGRAM, lambda s: s.sendto(b"x", ("dav.example.org", 443))),
        lambda: socket.create_connection(("dav.example.org", 443), timeout=0.1),
        lambda: socket.create_connection(ELSEWHERE, timeout=0.1),
        lambda: socket.gethostbyname("dav.example.org"),
    ],
)
def test_what_leads_outside_is_refused(act: Callable[[], object]) -> None:
    with pytest.raises(OSError, match="a test tried to"):
        act()


def test_a_library_is_refused_as_well() -> None:
    with pytest.raises(httpx.ConnectError, match="a test tried to look up"):
        httpx.get("https://dav.example.org/", trust_env=False, timeout=0.1)


def test_loopback_is_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as here:
        assert here.getpeername() == server.getsockname()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mute:
        mute.bind(("127.0.0.1", 0))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            assert other.sendto(b"x", mute.getsockname()) == 1
    assert socket.getaddrinfo("localhost", 80)


def tried(environment: dict[str, str]) -> str:
    done = subprocess.run([sys.executable, "-c", TRY], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done
    return done.stderr.strip()


def test_a_child_is_guarded_too(tmp_path: Path) -> None:
    assert tried(dict(os.environ)) == "a test tried to reach 192.0.2.1"
    service = Service(tmp_path, "embedded", "sqlite:///x", "")
    assert tried(service.environment) == "a test tried to reach 192.0.2.1"


def test_what_is_on_the_path_stays() -> None:
    environment = {"PYTHONPATH": os.pathsep.join(["/one", "/two"])}
    for _ in range(2):
        guard_children(environment)
    guard, *others = environment["PYTHONPATH"].split(os.pathsep)
    assert others == ["/one", "/two"]
    assert (Path(guard) / "sitecustomize.py").is_file()
