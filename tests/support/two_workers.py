"""Two workers push the same booking at once, each a reconciler without memory, as the outbox runs them."""

from __future__ import annotations

import threading
from collections.abc import Callable

from connectors.errors import BadAnswer, Temporary
from connectors.model import Calendar, Entry, Href, Period, Quirks
from connectors.protocol import Connector

ATTEMPTS = 40


class TwoWorkers:
    """open_connector: for each worker its own. href: where an entry of ours lives once it was created."""

    def __init__(
        self, open_connector: Callable[[], Connector], calendar: Calendar, href: Href, window: Period, quirks: Quirks
    ) -> None:
        self.open_connector, self.calendar, self.href = open_connector, calendar, href
        self.window, self.quirks = window, quirks

    def attempt(self, connector: Connector, wanted: Entry | None) -> None:
        """One run of a handler: make the calendar agree with what is wanted, as far as one attempt goes."""
        if wanted is None:
            connector.delete(self.calendar, self.href)
            return
        written = connector.create(self.calendar, wanted, quirks=self.quirks)
        if not written.adopted:
            return
        there = connector.fetch(self.calendar, written.href, self.window)
        if [(o.period, o.title) for o in there.occurrences] != [(wanted.period, wanted.title)]:
            connector.update(self.calendar, wanted, written.href, there.etag, quirks=self.quirks)

    def reconcile(self, connector: Connector, wanted: Entry | None, failed: list[str]) -> None:
        """Attempts until one succeeds; ``failed`` gets the names of the passing errors."""
        for _ in range(ATTEMPTS):
            try:
                self.attempt(connector, wanted)
                return
            except (Temporary, BadAnswer) as error:  # as `sync.facts.patient` has it
                failed.append(type(error).__name__)
        raise AssertionError(f"never done: {failed}")

    def together(self, wanted: Entry | None) -> list[str]:
        """Both at once. Returns the temporary errors that they met; any other error fails the test."""
        gate = threading.Barrier(2)
        failed: list[str] = []
        broken: list[BaseException] = []

        def work() -> None:
            try:
                with self.open_connector() as connector:
                    gate.wait(10)
                    self.reconcile(connector, wanted, failed)
            except BaseException as error:
                broken.append(error)

        threads = [threading.Thread(target=work) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert not broken, broken
        return failed
