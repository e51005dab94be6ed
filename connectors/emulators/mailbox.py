"""A mail server that keeps what it is sent, and fails on script: SMTP on a free port of 127.0.0.1, in a thread."""

from __future__ import annotations

import asyncio
import email
import shutil
import socket
import ssl
import tempfile
import threading
import weakref
from collections.abc import Awaitable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from connectors.emulators.certificate import Certificate, self_made_certificate


class Stage(StrEnum):
    """Where in the dialogue a fault strikes."""

    MAIL = "mail"  # MAIL FROM was sent
    RCPT = "rcpt"  # RCPT TO was sent
    DATA = "data"  # DATA was sent, no text yet
    ACCEPT = "accept"  # the whole message was received and is not kept
    ANSWER = "answer"  # the message is kept, the client hasn't heard of it


@dataclass
class Fault:
    """One scripted failure.

    address: strikes only for this sender (MAIL) or recipient (RCPT), any if empty. times: how often, None for ever.
    delay: seconds to wait first. reply: answer this line instead. drop: close the line without an answer. die: stop the
    whole server without an answer. With none of the three it is a delay alone.
    """

    stage: Stage
    reply: str = ""
    drop: bool = False
    die: bool = False
    delay: float = 0.0
    times: int | None = 1
    address: str = ""


@dataclass(frozen=True)
class Caught:
    """One accepted message with its envelope. encrypted: it came over TLS."""

    raw: bytes
    sender: str
    recipients: tuple[str, ...]
    message_id: str
    encrypted: bool = False


class SmtpCatcher:
    """The server; a context manager. It may be stopped and started again, on the same port.

    folder: also write each message there as ``NNNNNN.eml``. tls: ``""``, ``starttls`` or ``implicit``; `ca_file` then is
    the authority to trust. certificate: show this one instead of a new one. login: demand this user name and password. smtputf8: take addresses outside ASCII.
    """

    def __init__(
        self,
        *,
        folder: Path | None = None,
        tls: str = "",
        login: tuple[str, str] | None = None,
        smtputf8: bool = True,
        certificate: Certificate | None = None,
    ) -> None:
        self.host = "127.0.0.1"
        self.port = 0
        self.messages: list[Caught] = []
        self.faults: list[Fault] = []
        self.connections = 0
        self._folder = folder
        self._tls = tls
        self._login = login
        self._smtputf8 = smtputf8
        self._changed = threading.Condition()
        self._controller: _Controller | None = None
        self._certificate = certificate
        if tls and certificate is None:
            secrets = Path(tempfile.mkdtemp(prefix="catcher-"))
            weakref.finalize(self, shutil.rmtree, secrets, True)
            self._certificate = self_made_certificate(secrets)

    @property
    def url(self) -> str:
        """A MAIL_URL for it."""
        user = f"{self._login[0]}:{self._login[1]}@" if self._login else ""
        scheme = "smtps" if self._tls == "implicit" else "smtp"
        options = [f"cafile={self.ca_file}"] if self._tls else []
        if scheme == "smtp":
            options.append(f"tls={self._tls or 'none'}")
        return f"{scheme}://{user}{self.host}:{self.port}?{'&'.join(options)}"

    @property
    def wants_login(self) -> bool:
        """Does it refuse mail from strangers?"""
        return self._login is not None

    @property
    def ca_file(self) -> Path:
        """The certificate to trust."""
        if self._certificate is None:
            raise ValueError("this server speaks no TLS")
        return self._certificate.certificate

    def start(self) -> SmtpCatcher:
        """Listen; returns when connections are taken."""
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((self.host, self.port))
        self.port = listener.getsockname()[1]
        context = None
        if self._certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self._certificate.certificate, self._certificate.key)
        self._controller = _Controller(self, listener, context, self._tls, self._login, self._smtputf8)
        self._controller.start()
        self.connections = 0  # the controller tries the door once itself
        return self

    def stop(self) -> None:
        """Close every line and the listener; idempotent. What was caught stays."""
        controller, self._controller = self._controller, None
        if controller is not None:
            controller.stop(no_assert=True)

    def __enter__(self) -> SmtpCatcher:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def count(self, message_id: str) -> int:
        """How often a message with this Message-ID was accepted."""
        with self._changed:
            return sum(caught.message_id == message_id for caught in self.messages)

    def wait_for(self, number: int, timeout: float = 10.0) -> list[Caught]:
        """The messages, as soon as there are so many. Raises TimeoutError."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.messages) >= number, timeout):
                raise TimeoutError(f"{len(self.messages)} of {number} messages came")
            return list(self.messages)

    def script(self, *faults: Fault) -> None:
        """Let these happen, each at its stage, in this order."""
        with self._changed:
            self.faults += faults

    def refuse_sender(self, code: int = 550, *, times: int | None = None) -> None:
        """Answer MAIL with a refusal."""
        self.script(Fault(Stage.MAIL, reply=f"{code} 5.7.1 Sender refused", times=times))

    def refuse_recipient(self, address: str = "", code: int = 550, *, times: int | None = None) -> None:
        """Answer RCPT with a refusal, for one address or all."""
        self.script(Fault(Stage.RCPT, reply=f"{code} 5.1.1 No such user", times=times, address=address))

    def defer(self, times: int = 1, code: int = 451) -> None:
        """Answer the next RCPTs with "later"."""
        self.script(Fault(Stage.RCPT, reply=f"{code} 4.7.1 Greylisted, try again", times=times))

    def drop_before_data(self, times: int = 1) -> None:
        """Hang up when DATA is announced."""
        self.script(Fault(Stage.DATA, drop=True, times=times))

    def drop_before_acceptance(self, times: int = 1) -> None:
        """Receive the whole message, don't keep it, hang up."""
        self.script(Fault(Stage.ACCEPT, drop=True, times=times))

    def drop_after_acceptance(self, times: int = 1) -> None:
        """Keep the message and hang up: the client never hears that it was accepted."""
        self.script(Fault(Stage.ANSWER, drop=True, times=times))

    def die_after_acceptance(self) -> None:
        """Keep the message and stop the whole server before answering; `stop` and `start` bring it back."""
        self.script(Fault(Stage.ANSWER, die=True))

    def _strike(self, stage: Stage, *addresses: str) -> Fault | None:
        """The fault due now, counted."""
        with self._changed:
            for fault in self.faults:
                if fault.stage is stage and fault.times != 0 and (not fault.address or fault.address in addresses):
                    fault.times = None if fault.times is None else fault.times - 1
                    return fault
        return None

    def _keep(self, session: Session, envelope: Envelope) -> None:
        raw = bytes(envelope.original_content or b"")
        caught = Caught(
            raw=raw,
            sender=str(envelope.mail_from or ""),
            recipients=tuple(envelope.rcpt_tos),
            message_id=str(email.message_from_bytes(raw).get("Message-ID", "")).strip(),
            encrypted=session.ssl is not None or self._tls == "implicit",
        )
        with self._changed:
            self.messages.append(caught)
            if self._folder is not None:
                self._folder.mkdir(parents=True, exist_ok=True)
                (self._folder / f"{len(self.messages):06d}.eml").write_bytes(raw)
            self._changed.notify_all()


class _Controller(Controller):
    """Listens on a socket that is bound already, so that the port is known and free."""

    def __init__(
        self,
        catcher: SmtpCatcher,
        listener: socket.socket,
        context: ssl.SSLContext | None,
        tls: str,
        login: tuple[str, str] | None,
        smtputf8: bool,
    ) -> None:
        self.catcher = catcher
        self.listener = listener
        self.dialogues: set[_Dialogue] = set()
        options: dict[str, Any] = {"enable_SMTPUTF8": smtputf8, "server_hostname": "catcher.invalid"}
        if tls == "starttls":
            options |= {"tls_context": context, "require_starttls": True}
        if login:
            options |= {"authenticator": _authenticator(login), "auth_require_tls": False}
        super().__init__(
            _Hooks(catcher, self),
            hostname=catcher.host,
            port=catcher.port,
            ssl_context=context if tls == "implicit" else None,
            **options,
        )

    def factory(self) -> SMTP:
        return _Dialogue(self, **self.SMTP_kwargs)

    def _create_server(self) -> Awaitable[asyncio.AbstractServer]:
        return self.loop.create_server(self._factory_invoker, sock=self.listener, ssl=self.ssl_context)

    def cancel_tasks(self, stop_loop: bool = True) -> None:
        self.hang_up()
        # One turn of the loop later the lines are closed for good and their tasks cancelled.
        self.loop.call_later(0.02, super().cancel_tasks, stop_loop)

    def fall_silent(self) -> None:
        """As a killed process: no listener, no lines, no last words."""
        if self.server is not None:
            self.server.close()
        self.hang_up()

    def hang_up(self) -> None:
        """Cut every line."""
        for dialogue in list(self.dialogues):
            dialogue.cut()


class _Dialogue(SMTP):
    def __init__(self, controller: _Controller, **options: Any) -> None:
        self.controller = controller
        super().__init__(controller.handler, loop=controller.loop, **options)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if self not in self.controller.dialogues:  # STARTTLS makes the same connection a second time
            self.controller.dialogues.add(self)
            self.controller.catcher.connections += 1
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self.controller.dialogues.discard(self)
        super().connection_lost(error)

    def cut(self) -> None:
        """Close the line at once, unsent bytes and all."""
        if isinstance(self.transport, asyncio.WriteTransport):
            self.transport.abort()

    async def smtp_DATA(self, arg: str) -> None:
        reply = await self.controller.handler.suffer(self, Stage.DATA)
        if reply:
            await self.push(reply)
        else:
            await super().smtp_DATA(arg)


class _Hooks:
    def __init__(self, catcher: SmtpCatcher, controller: _Controller) -> None:
        self.catcher = catcher
        self.controller = controller

    async def suffer(self, server: _Dialogue, stage: Stage, *addresses: str) -> str:
        """What the script wants: an answer, ``""`` for none; a dropped line ends the dialogue here."""
        fault = self.catcher._strike(stage, *addresses)
        if fault is None:
            return ""
        if fault.delay:
            await asyncio.sleep(fault.delay)
        if fault.die:
            self.controller.fall_silent()
        elif fault.drop:
            server.cut()
        if fault.die or fault.drop:
            await asyncio.Event().wait()  # until the closing line cancels the dialogue
        return fault.reply

    async def handle_MAIL(
        self, server: _Dialogue, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if reply := await self.suffer(server, Stage.MAIL, address):
            return reply
        if self.catcher.wants_login and not session.authenticated:
            return "530 5.7.0 Authentication required"
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 OK"

    async def handle_RCPT(
        self, server: _Dialogue, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if reply := await self.suffer(server, Stage.RCPT, address):
            return reply
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server: _Dialogue, session: Session, envelope: Envelope) -> str:
        if reply := await self.suffer(server, Stage.ACCEPT, *envelope.rcpt_tos):
            return reply
        self.catcher._keep(session, envelope)
        if reply := await self.suffer(server, Stage.ANSWER, *envelope.rcpt_tos):
            return reply
        return "250 2.0.0 Kept"


def _authenticator(login: tuple[str, str]) -> Any:
    wanted = LoginPassword(login[0].encode(), login[1].encode())

    def check(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
        return AuthResult(success=data == wanted, handled=False)

    return check
