"""A real Dovecot with one user, ``bookings``, where it is installed; started for a test and ended by it."""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import smtplib
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

DOVECOT = shutil.which("dovecot") or next(
    (path for path in ("/usr/sbin/dovecot", "/usr/local/sbin/dovecot") if os.access(path, os.X_OK)), None
)
MISSING = "no dovecot here (Debian: dovecot-imapd, dovecot-lmtpd)"
needs_dovecot = pytest.mark.skipif(DOVECOT is None and not os.environ.get("CI"), reason=MISSING)
"""Says so where it is missing; in CI the test fails then (ARCHITECTURE, convention 6)."""

CONFIGURATION = """
base_dir = {base}/run
state_dir = {base}/state
log_path = {base}/log
protocols = imap lmtp
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
default_login_user = {login}
default_internal_user = {user}
default_internal_group = {group}
mail_location = maildir:{base}/mail/%n
mail_uid = {uid}
mail_gid = {gid}
first_valid_uid = 0
first_valid_gid = 0
auth_username_format = %n
recipient_delimiter = +
lda_mailbox_autocreate = yes
passdb {{
  driver = static
  args = password=secret
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={base}/mail/%n
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service anvil {{
  chroot =
}}
service lmtp {{
  user = {user}
  inet_listener lmtp {{
    port = {lmtp}
  }}
}}
"""


@dataclass
class Dovecot:
    """A running server with one user, ``bookings``."""

    imap: int
    lmtp: int
    base: Path

    @property
    def url(self) -> str:
        """Its folder, for us."""
        return f"imap://bookings:secret@127.0.0.1:{self.imap}/INBOX"

    def deliver(self, raw: bytes, recipient: str) -> None:
        """Hand it a message as a mail server would."""
        with smtplib.LMTP("127.0.0.1", self.lmtp, local_hostname="mx.example", timeout=20) as client:
            client.sendmail("clara@posteo.example", [recipient], raw)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def accounts() -> tuple[pwd.struct_passwd, str]:
    """Who the mail belongs to, and who logs in. Dovecot refuses to do either as root."""
    me = pwd.getpwuid(os.getuid())
    if me.pw_uid != 0:
        return me, me.pw_name
    return pwd.getpwnam("nobody"), "nobody"


def complaints(process: subprocess.Popen[bytes], base: Path) -> str:
    said = process.stdout.read().decode() if process.poll() is not None and process.stdout else ""
    log = base / "log"
    return said + (log.read_text() if log.exists() else "")


def wait_until_it_greets(process: subprocess.Popen[bytes], server: Dovecot) -> None:
    deadline = time.monotonic() + 20
    while True:
        with suppress(OSError), socket.create_connection(("127.0.0.1", server.imap), timeout=2) as line:
            if line.recv(100).startswith(b"* OK"):
                return
        alive = process.poll() is None and time.monotonic() < deadline
        assert alive, f"dovecot is installed but doesn't work: {complaints(process, server.base)}"
        time.sleep(0.05)


@contextmanager
def running() -> Iterator[Dovecot]:
    """A running one. Raises AssertionError with its complaints where it doesn't start."""
    assert DOVECOT is not None, MISSING
    # Not pytest's own folder: nobody but its owner may enter that.
    base = Path(tempfile.mkdtemp(prefix="dovecot-"))
    base.chmod(0o755)
    (base / "mail").mkdir()
    owner, login = accounts()
    os.chown(base / "mail", owner.pw_uid, owner.pw_gid)
    server = Dovecot(free_port(), free_port(), base)
    places = {
        "base": base,
        "imap": server.imap,
        "lmtp": server.lmtp,
        "login": login,
        "user": owner.pw_name,
        "group": grp.getgrgid(owner.pw_gid).gr_name,
        "uid": owner.pw_uid,
        "gid": owner.pw_gid,
    }
    configuration = base / "dovecot.conf"
    configuration.write_text(CONFIGURATION.format(**places))
    process = subprocess.Popen(
        [DOVECOT, "-F", "-c", str(configuration)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        wait_until_it_greets(process, server)
        yield server
    finally:
        process.terminate()
        process.wait(20)
        if process.stdout:
            process.stdout.close()
        shutil.rmtree(base, ignore_errors=True)
