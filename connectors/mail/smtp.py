"""Outgoing mail by SMTP (RFC 5321): one connection for each thread, kept open, reset between messages."""

from __future__ import annotations

import contextlib
import re
import smtplib
import ssl
import threading
from collections.abc import Iterator

from connectors.errors import NeedsReconnect, Refused, Temporary, Unreachable
from connectors.ical.contentline import ascii_domain
from connectors.mail.outgoing import OutcomeUnknown, Receipt, RecipientRefused
from connectors.mail.smtp_answers import Stage, refusal
from connectors.mail.url import MailURL

MESSAGES_PER_CONNECTION = 100
"""After so many a connection is closed and opened again: servers count, and clusters balance."""


class SmtpOutgoing:
    """An `Outgoing` over ``smtp://`` or ``smtps://``.

    timeout: seconds for connecting and for each command. final_timeout: seconds for the answer after the message, when
    the server may be scanning it. hostname: what we call ourselves in EHLO; the machine's name if empty.
    """

    def __init__(self, url: MailURL, *, timeout: float = 30, final_timeout: float = 120, hostname: str = "") -> None:
        self._url = url
        self._timeout = timeout
        self._final_timeout = final_timeout
        self._hostname = hostname or None
        self._context = url.tls_context() if url.tls != "none" else None
        self._local = threading.local()
        self._open: set[_Session] = set()
        self._lock = threading.Lock()

    def send(self, raw: bytes, *, sender: str, recipient: str) -> Receipt:
        """Hand one message over, on this thread's connection; see `Outgoing.send`."""
        envelope = ascii_domain(sender), ascii_domain(recipient)
        session = self._session()
        try:
            receipt = session.deliver(raw, *envelope, final_timeout=self._final_timeout)
        except (Temporary, NeedsReconnect):
            self._drop(session)
            raise
        except Refused:
            raise  # the dialogue is intact; the reset before the next message clears it
        except BaseException:
            self._drop(session)
            raise
        if session.messages >= MESSAGES_PER_CONNECTION:
            self._drop(session, farewell=True)
        return receipt

    def close(self) -> None:
        """QUIT every connection, those of other threads too; call it when nobody is sending."""
        with self._lock:
            sessions, self._open = self._open, set()
        for session in sessions:
            session.quit()

    def _session(self) -> _Session:
        """This thread's connection, known to be alive, or a new one."""
        session: _Session | None = getattr(self._local, "session", None)
        with self._lock:
            usable = session is not None and session in self._open
        if session is not None and usable:
            if session.reset():
                return session
            self._drop(session)
        with _translated():
            session = _Session(self._url, self._context, self._timeout, self._hostname)
        self._hostname = session.smtp.local_hostname  # looking our own name up can take a resolver's time-out
        with self._lock:
            self._open.add(session)
        self._local.session = session
        return session

    def _drop(self, session: _Session, *, farewell: bool = False) -> None:
        with self._lock:
            self._open.discard(session)
        self._local.session = None
        if farewell:
            session.quit()
        else:
            session.smtp.close()


class _Session:
    """One connection, greeted, encrypted and logged in."""

    def __init__(self, url: MailURL, context: ssl.SSLContext | None, timeout: float, hostname: str | None) -> None:
        self.messages = 0
        self.smtp: smtplib.SMTP
        if url.tls == "implicit":
            self.smtp = smtplib.SMTP_SSL(url.host, url.port, local_hostname=hostname, timeout=timeout, context=context)
        else:
            self.smtp = smtplib.SMTP(url.host, url.port, local_hostname=hostname, timeout=timeout)
        try:
            self._prepare(url, context)
        except BaseException:
            self.smtp.close()
            raise

    def _prepare(self, url: MailURL, context: ssl.SSLContext | None) -> None:
        self.smtp.ehlo_or_helo_if_needed()
        if url.tls == "starttls":
            if not self.smtp.has_extn("starttls"):
                raise Unreachable(
                    "the server offers no STARTTLS, and mail isn't sent in the clear (tls=none allows it)"
                )
            code, reply = self.smtp.starttls(context=context)
            if code != 220:
                raise Unreachable(f"STARTTLS refused: {_reply(code, reply)}", status=code)
            self.smtp.ehlo_or_helo_if_needed()
        if url.username:
            if not (url.username.isascii() and url.password.isascii()):
                raise NeedsReconnect("login: user name and password can only be ASCII here")
            self.smtp.login(url.username, url.password)

    def reset(self) -> bool:
        """RSET; False if the line is dead."""
        try:
            return self.smtp.docmd("RSET")[0] == 250
        except (OSError, smtplib.SMTPException):
            return False

    def quit(self) -> None:
        """Leave politely, if anybody still listens."""
        with contextlib.suppress(OSError, smtplib.SMTPException):
            self.smtp.quit()
        self.smtp.close()

    def deliver(self, raw: bytes, sender: str, recipient: str, *, final_timeout: float) -> Receipt:
        """MAIL, RCPT, DATA. Raises the classes of `Outgoing.send`."""
        with _translated():
            options = self._options(raw, sender, recipient)
            _expect(self.smtp.mail(sender, options), Stage.SENDER)
            _expect(self.smtp.rcpt(recipient), Stage.RECIPIENT)
            _expect(self.smtp.docmd("DATA"), Stage.MESSAGE, wanted=354)
        return self._data(raw, final_timeout)

    def _options(self, raw: bytes, sender: str, recipient: str) -> list[str]:
        self.smtp.ehlo_or_helo_if_needed()
        if not (sender.isascii() and recipient.isascii()):
            if not self.smtp.has_extn("smtputf8"):
                raise RecipientRefused("the server takes no addresses outside ASCII (SMTPUTF8)")
            # smtplib encodes commands by this attribute; it sets it itself only in sendmail().
            self.smtp.command_encoding = "utf-8"
            return ["SMTPUTF8", "BODY=8BITMIME"]
        self.smtp.command_encoding = "ascii"
        if raw.isascii():
            return []
        if not self.smtp.has_extn("8bitmime"):
            raise Refused("the server takes no 8-bit messages (8BITMIME)")
        return ["BODY=8BITMIME"]

    def _data(self, raw: bytes, final_timeout: float) -> Receipt:
        body = re.sub(rb"(?m)^\.", b"..", raw)
        try:
            if self.smtp.sock is not None:
                self.smtp.sock.settimeout(final_timeout)
            # In one write: a dot in a packet of its own would wait for the delayed acknowledgement of the text. If the
            # write fails, its end, the dot, can't have arrived.
            self.smtp.send((body if body.endswith(b"\r\n") else body + b"\r\n") + b".\r\n")
        except (OSError, smtplib.SMTPException) as error:
            raise Unreachable("the line broke while the message was sent") from error
        # From here on the server may have taken the message over, whatever becomes of the line.
        try:
            code, reply = self.smtp.getreply()
        except (OSError, smtplib.SMTPException) as error:
            raise OutcomeUnknown("the line broke before the message was acknowledged") from error
        if self.smtp.sock is not None:
            self.smtp.sock.settimeout(self.smtp.timeout)
        self.messages += 1
        _expect((code, reply), Stage.MESSAGE)
        return Receipt(_reply(code, reply))


def _reply(code: int, reply: bytes | str) -> str:
    text = reply.decode("utf-8", "replace") if isinstance(reply, bytes) else reply
    return f"{code} {' '.join(text.split())}"[:500]


def _expect(answer: tuple[int, bytes], stage: Stage, *, wanted: int = 250) -> None:
    code, reply = answer
    if code == wanted or (wanted == 250 and code == 251):
        return
    if code == -1:
        raise Unreachable("the line broke")
    raise refusal(stage, code, _reply(code, reply))


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """What smtplib and the socket raise before the message went out, as our errors; nothing was taken over yet."""
    try:
        yield
    except smtplib.SMTPAuthenticationError as error:
        kind = NeedsReconnect if error.smtp_code >= 500 else Temporary
        raise kind(f"login: {_reply(error.smtp_code, error.smtp_error)}", status=error.smtp_code) from error
    except smtplib.SMTPNotSupportedError as error:
        raise NeedsReconnect(f"login: {error}") from error
    except smtplib.SMTPResponseException as error:
        raise Temporary(_reply(error.smtp_code, error.smtp_error), status=error.smtp_code) from error
    except ssl.SSLCertVerificationError as error:
        raise Unreachable(f"the server's certificate is not accepted: {error.verify_message}") from error
    except TimeoutError as error:
        raise Unreachable("no answer in time") from error
    except smtplib.SMTPServerDisconnected as error:
        raise Unreachable("the line broke") from error
    except (OSError, smtplib.SMTPException) as error:
        raise Unreachable(f"no connection: {getattr(error, 'strerror', None) or type(error).__name__}") from error
