from __future__ import annotations

import socket
import ssl
import threading
from pathlib import Path

import pytest

from connectors.emulators.certificate import self_made_certificate


def greet(tmp_path: Path, ask_for: str, **made_for: tuple[str, ...]) -> None:
    """One handshake with a server that shows the certificate."""
    made = self_made_certificate(tmp_path, **made_for)
    shown = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    shown.load_cert_chain(made.certificate, made.key)
    ours, theirs = socket.socketpair()
    trusting = ssl.create_default_context(cafile=str(made.certificate))

    def serve() -> None:
        try:
            shown.wrap_socket(theirs, server_side=True).close()
        except (ssl.SSLError, OSError):
            theirs.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        trusting.wrap_socket(ours, server_hostname=ask_for).close()
    finally:
        ours.close()
        thread.join(10)


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_it_is_accepted_for_the_machine_itself(tmp_path: Path, name: str) -> None:
    greet(tmp_path, name)


def test_it_is_refused_for_another_name(tmp_path: Path) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        greet(tmp_path, "127.0.0.1", names=("other.example",), addresses=())


def test_its_key_is_for_its_owner_alone(tmp_path: Path) -> None:
    assert self_made_certificate(tmp_path).key.stat().st_mode & 0o077 == 0
