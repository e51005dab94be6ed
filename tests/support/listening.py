"""Runs an `Inbound` in a thread and gathers what it hands over."""

from __future__ import annotations

import threading
from collections.abc import Callable

from connectors.errors import ConnectorError
from connectors.mail.mailbox import Inbound, IncomingMail


class Listening:
    """A context manager. mails: what was taken. states: what `on_state` heard. fail: raise instead of taking, so often."""

    def __init__(self, inbound: Inbound, cursor: str = "", fail: int = 0) -> None:
        self.mails: list[IncomingMail] = []
        self.offered: list[str] = []
        self.states: list[ConnectorError | None] = []
        self.fail = fail
        self._inbound = inbound
        self._cursor = cursor
        self._stop = threading.Event()
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run)
        self.error: BaseException | None = None

    @property
    def cursor(self) -> str:
        """The last cursor, as its caller would have stored it."""
        return next((mail.cursor for mail in reversed(self.mails)), self._cursor)

    def _run(self) -> None:
        try:
            self._inbound.run(self._take, self._stop, self._cursor, self._heard)
        except BaseException as error:
            self.error = error

    def _take(self, mail: IncomingMail) -> None:
        with self._changed:
            self.offered.append(mail.id)
            self._changed.notify_all()
            if self.fail:
                self.fail -= 1
                raise RuntimeError("the database is away")
            self.mails.append(mail)

    def _heard(self, state: ConnectorError | None) -> None:
        with self._changed:
            self.states.append(state)
            self._changed.notify_all()

    def until(self, condition: Callable[[Listening], bool], timeout: float = 15) -> None:
        """Wait for something. Raises TimeoutError with what there is."""
        with self._changed:
            if not self._changed.wait_for(lambda: condition(self), timeout):
                raise TimeoutError(f"offered {self.offered}, states {self.states}, error {self.error!r}")

    def wait_for(self, number: int, timeout: float = 15) -> list[IncomingMail]:
        """The mails, as soon as there are so many."""
        self.until(lambda now: len(now.mails) >= number, timeout)
        return list(self.mails)

    def __enter__(self) -> Listening:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join(15)
        assert not self._thread.is_alive(), "it didn't stop when asked to"
