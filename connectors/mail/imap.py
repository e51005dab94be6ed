"""Incoming mail from an IMAP folder (RFC 9051), read by UID and never changed; IDLE where the server has it (RFC 2177)."""

from __future__ import annotations

import contextlib
import re
import ssl
import threading
from collections.abc import Iterator
from typing import Any

from imapclient import IMAPClient
from imapclient.exceptions import CapabilityError, IMAPClientAbortError, IMAPClientError, LoginError

from connectors.errors import BadAnswer, ConnectorError, NeedsReconnect, Unreachable
from connectors.mail.incoming import Handle, IncomingMail, OnState
from connectors.mail.url import MailURL

MAX_OCTETS = 10 * 1024 * 1024
"""Of a larger message the first `BEGINNING` octets are read: enough to say whose it is, not enough to act on."""
BEGINNING = 256 * 1024
BATCH = 20
"""Messages asked for at once."""
IDLE_SECONDS = 60
"""An IDLE is renewed, and the folder searched again, after so long: routers forget quiet lines."""
FIRST_IDLE_SECONDS = 3
"""The first IDLE after a connection or a message is shorter: a server that only begins to watch the folder with the IDLE
(Dovecot, by inotify) can miss what comes in that very moment, and mail seldom comes alone."""
SLICE_SECONDS = 0.5
BACKOFF_SECONDS = (1.0, 2.0, 5.0, 15.0, 60.0)

_CURSOR = re.compile(r"([0-9]{1,10}):([0-9]{1,10})")


class ImapInbound:
    """An `Inbound` over ``imap://`` or ``imaps://``.

    The cursor is ``UIDVALIDITY:UID`` of the last message. If the folder was rebuilt, UIDVALIDITY differs, and everything
    in it is read again under new ids; the caller knows old messages by their digest.
    """

    def __init__(self, url: MailURL, *, timeout: float = 30) -> None:
        self._url = url
        self._timeout = timeout
        self._folder = url.path or "INBOX"
        self._context = url.tls_context() if url.tls != "none" else None
        self.authserv_id = url.options.get("authserv", "")
        poll = url.options.get("poll", "30")
        if not re.fullmatch(r"[0-9]{1,5}", poll) or int(poll) < 1:
            raise ValueError("poll= is a number of seconds, at least 1")
        self._poll = int(poll)

    def run(self, handle: Handle, stop: threading.Event, cursor: str = "", on_state: OnState | None = None) -> None:
        """See `Inbound.run`."""
        position = _Position(cursor)
        patience = _Patience()
        while not stop.is_set():
            try:
                with self._opened() as client:
                    validity = self._select(client)
                    if on_state is not None:
                        on_state(None)
                    for _ in self._listen(client, validity, position, handle, stop):
                        patience.restore()
            except ConnectorError as error:
                if on_state is not None and not stop.is_set():
                    on_state(error)
            except _HandlerFailed:
                pass  # told by whoever handles; the message comes again
            stop.wait(patience.spend())

    @contextlib.contextmanager
    def _opened(self) -> Iterator[IMAPClient]:
        with _translated():
            client = IMAPClient(
                self._url.host,
                self._url.port,
                ssl=self._url.tls == "implicit",
                ssl_context=self._context if self._url.tls == "implicit" else None,
                timeout=self._timeout,
            )
        try:
            with _translated():
                if self._url.tls == "starttls":
                    client.starttls(ssl_context=self._context)
                client.login(self._url.username, self._url.password)
            yield client
        finally:
            with contextlib.suppress(OSError, IMAPClientError):
                client.logout()
            with contextlib.suppress(OSError, IMAPClientError):
                client.shutdown()

    def _select(self, client: IMAPClient) -> int:
        with _translated():
            answer: dict[bytes, Any] = client.select_folder(self._folder, readonly=True)
        validity = answer.get(b"UIDVALIDITY")
        if not isinstance(validity, int):
            raise BadAnswer("the folder has no UIDVALIDITY; its messages can't be told apart")
        return validity

    def _listen(
        self, client: IMAPClient, validity: int, position: _Position, handle: Handle, stop: threading.Event
    ) -> Iterator[None]:
        """Read what is new, yield, wait for more; ends when ``stop`` is set."""
        with _translated():
            can_idle = bool(client.has_capability("IDLE"))
        patience = FIRST_IDLE_SECONDS
        while not stop.is_set():
            # Until a search finds nothing and its answer announced nothing: what came in meanwhile is not told again in an IDLE.
            while (self._read(client, validity, position, handle, stop) or _announced(client)) and not stop.is_set():
                patience = FIRST_IDLE_SECONDS
            yield
            if stop.is_set():
                return
            with _translated():
                if can_idle:
                    _idle(client, stop, patience)
                    patience = IDLE_SECONDS
                else:
                    stop.wait(self._poll)
                    client.noop()

    def _read(
        self, client: IMAPClient, validity: int, position: _Position, handle: Handle, stop: threading.Event
    ) -> bool:
        """Hand over every message behind the position, oldest first. Was there any?"""
        after = position.uid_in(validity)
        with _translated():
            # "n:*" always holds the last message, even if its UID is below n (RFC 9051 §6.4.8).
            waiting = sorted(uid for uid in client.search(["UID", f"{after + 1}:*"]) if uid > after)
        for start in range(0, len(waiting), BATCH):
            batch = waiting[start : start + BATCH]
            with _translated():
                sizes = client.fetch(batch, ["RFC822.SIZE"])
            for uid in batch:
                if stop.is_set():
                    return True
                size = sizes.get(uid, {}).get(b"RFC822.SIZE", 0)
                raw = self._fetch(client, uid, size)
                if raw is not None:
                    mail = IncomingMail(id=f"imap:{validity}:{uid}", raw=raw, cursor=f"{validity}:{uid}")
                    try:
                        handle(mail)
                    except Exception as error:
                        raise _HandlerFailed from error
                position.advance(validity, uid)
        return bool(waiting)

    def _fetch(self, client: IMAPClient, uid: int, size: int) -> bytes | None:
        """The message without marking it as seen; None if somebody has expunged it meanwhile."""
        section = "BODY.PEEK[]" if size <= MAX_OCTETS else f"BODY.PEEK[]<0.{BEGINNING}>"
        with _translated():
            answer = client.fetch([uid], [section]).get(uid, {})
        raw = next((value for key, value in answer.items() if key.startswith(b"BODY[]")), None)
        return raw if isinstance(raw, bytes) else None


class _HandlerFailed(Exception):
    """Whoever handles the message couldn't; it will be offered again."""


class _Patience:
    """How long to wait before the next attempt: longer each time, until the folder was read through once."""

    def __init__(self) -> None:
        self._failures = 0

    def spend(self) -> float:
        self._failures += 1
        return BACKOFF_SECONDS[min(self._failures, len(BACKOFF_SECONDS)) - 1]

    def restore(self) -> None:
        self._failures = 0


class _Position:
    """Where reading goes on: behind this UID of this incarnation of the folder."""

    def __init__(self, cursor: str) -> None:
        found = _CURSOR.fullmatch(cursor)
        self._validity, self._uid = (int(found.group(1)), int(found.group(2))) if found else (0, 0)

    def uid_in(self, validity: int) -> int:
        """The last UID read, 0 in a folder that was rebuilt."""
        return self._uid if validity == self._validity else 0

    def advance(self, validity: int, uid: int) -> None:
        """This message is done with."""
        self._validity, self._uid = validity, uid


def _announced(client: IMAPClient) -> bool:
    """Did an answer since the last question speak of new messages (RFC 9051 §7.4.1)? imapclient keeps that to itself."""
    return client._imap.untagged_responses.pop("EXISTS", None) is not None


def _idle(client: IMAPClient, stop: threading.Event, seconds: float) -> None:
    """Wait until the server speaks of something, ``stop`` is set, or the IDLE is due for renewal."""
    client.idle()
    try:
        if _announced(client):  # between the question and the server's "+"
            return
        for _ in range(int(seconds / SLICE_SECONDS)):
            if stop.is_set() or client.idle_check(timeout=SLICE_SECONDS):
                return
    finally:
        client.idle_done()


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except LoginError as error:
        # imapclient calls every failure of LOGIN so, a broken line too.
        if isinstance(error.__context__, IMAPClientAbortError):
            raise Unreachable("the line broke at the login") from error
        raise NeedsReconnect("the mailbox refuses the login") from error
    except CapabilityError as error:
        raise Unreachable("the server offers no STARTTLS (tls=none allows it)") from error
    except ssl.SSLCertVerificationError as error:
        raise Unreachable(f"the server's certificate is not accepted: {error.verify_message}") from error
    except IMAPClientAbortError as error:
        raise Unreachable("the line broke") from error
    except IMAPClientError as error:
        raise Unreachable(f"the mailbox answers: {str(error)[:200]}") from error
    except OSError as error:
        raise Unreachable(f"no connection: {getattr(error, 'strerror', None) or type(error).__name__}") from error
    except Exception as error:  # imapclient meets odd answers with whatever its parsing raises
        raise BadAnswer(f"the server's answer can't be understood: {type(error).__name__}") from error
