"""The mailbox where clients' answers arrive: read by one process of the deployment, each mail one transaction."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta

import sqlalchemy as sa

from booking.replies import scope_of_fact
from connectors.errors import ConnectorError, NeedsReconnect
from connectors.mail.imip_incoming import Incoming, Kind, parse_incoming
from connectors.mail.mailbox import Inbound, IncomingMail, open_inbound
from ledger import observe
from ledger.messages import MailFact
from ledger.observe import Event
from ledger.settings import BadSettings
from sync import replies
from workers.leader import Leadership, mailbox_lock
from workers.world import World

LOOK_EVERY = 1.0
"""Seconds between two looks whether we still lead."""
LOST_AFTER = timedelta(minutes=15)
"""A mailbox that can't be read for so long is a review; one that refuses the login is at once."""
AGAIN_AFTER = 5.0
"""Seconds before a mailbox that couldn't be opened at all is tried again; lost ones reconnect by themselves."""


class InboundMailbox:
    """Two threads: one reads the mailbox that INBOUND_MAIL_URL names, one sees to it that only the leader does.

    Without that setting, nothing. Raises `BadSettings` for a URL that names no mailbox.
    """

    def __init__(self, world: World, *, leadership: Leadership | None = None) -> None:
        self._world = world
        self._url = world.settings.inbound_mail_url
        self._mailbox = replies.mailbox_key(self._url)
        try:
            self._inbound: Inbound | None = open_inbound(self._url) if self._url else None
        except ValueError as error:
            raise BadSettings(f"SLOTLEDGER_INBOUND_MAIL_URL can't be used: {error}") from None
        self._leadership = leadership or mailbox_lock(world.database)
        self._stopping = threading.Event()
        self._lost_at: datetime | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Read from now on, as soon as and as long as nobody else does."""
        if self._inbound is not None:
            self._thread = threading.Thread(target=self._lead, args=(self._inbound,), name="mailbox", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End within about two seconds, and let others read. Repeatable."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout=10)
            self._thread = None
        self._leadership.resign()

    def take(self, mail: IncomingMail) -> None:
        """Store one mail, the cursor behind it and what it says.

        Raises only where the ledger can't be written now; the same mail comes again then.
        """
        authserv_id = self._inbound.authserv_id if self._inbound is not None else ""
        mail_from = self._world.settings.mail_from
        incoming = parse_incoming(mail.raw, mail_from, recipients=mail.recipients, authserv_id=authserv_id)
        try:
            fact = self._record(mail, incoming)
        except (sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.TimeoutError):
            raise
        except Exception as error:  # a stranger's mail must not stop all that come after it
            observe.log.error(Event.REPLY_REJECTED, mail=incoming.digest, error=type(error).__name__)
            fact = self._record(mail, Incoming(Kind.UNREADABLE, incoming.digest, "it could not be stored"))
        observe.log.info(
            Event.MAIL_TAKEN, mail=incoming.digest, kind=str(incoming.kind), reason=incoming.reason,
            verdict=str(incoming.verdict), fact=type(fact).__name__ if fact is not None else "",
        )  # fmt: skip

    def _record(self, mail: IncomingMail, incoming: Incoming) -> MailFact | None:
        now = self._world.clock()
        with self._world.database.transaction() as tx:
            return replies.record(
                tx, incoming, mailbox=self._mailbox, cursor=mail.cursor, scope_of=scope_of_fact, now=now
            )

    # --- threads ------------------------------------------------------------------------------------------------

    def _lead(self, inbound: Inbound) -> None:
        reader: threading.Thread | None = None
        ended = threading.Event()
        while not self._stopping.is_set():
            leads = self._leads()
            if leads and (reader is None or not reader.is_alive()):
                ended = threading.Event()
                reader = threading.Thread(target=self._read, args=(inbound, ended), name="mailbox-reader", daemon=True)
                reader.start()
            elif not leads and reader is not None:
                ended.set()
                reader.join()  # another process may read already: the same mail is taken once all the same
                reader = None
            self._stopping.wait(LOOK_EVERY)
        ended.set()
        if reader is not None:
            reader.join(timeout=8)

    def _leads(self) -> bool:
        try:
            return self._leadership.leads()
        except Exception as error:
            observe.log.error(Event.MAILBOX_LOST, error=type(error).__name__)
            return False

    def _read(self, inbound: Inbound, ended: threading.Event) -> None:
        try:
            with self._world.database.reading() as tx:
                cursor = replies.cursor_of(tx, self._mailbox)
            inbound.run(self.take, ended, cursor, self._on_state)
        except ConnectorError as error:  # it can't be opened at all
            self._on_state(error)
            ended.wait(AGAIN_AFTER)
        except Exception as error:
            observe.log.error(Event.MAILBOX_LOST, error=type(error).__name__)
            ended.wait(AGAIN_AFTER)
        finally:
            observe.mailbox_open.set(0)

    def _on_state(self, error: ConnectorError | None) -> None:
        now = self._world.clock()
        if error is None:
            self._lost_at = None
            observe.log.info(Event.MAILBOX_OPENED)
        else:
            self._lost_at = self._lost_at or now
            observe.log.warning(Event.MAILBOX_LOST, error=type(error).__name__, code=error.code)
        observe.mailbox_open.set(error is None)
        with self._world.database.transaction() as tx:
            if error is None:
                replies.mailbox_found(tx, now=now)
            elif isinstance(error, NeedsReconnect) or (self._lost_at and now - self._lost_at >= LOST_AFTER):
                replies.mailbox_lost(tx, str(error), now=now)
