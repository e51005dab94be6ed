"""The reference Connector keeps its own contract, with and without sync tokens."""

from __future__ import annotations

import pytest

from connectors.memory import MemoryConnector
from connectors.memory_server import MemoryServer
from connectors.model import Calendar, Href
from connectors.protocol import Connector, Credentials
from tests.contract.suite import ConnectorContract, Opener
from tests.support.foreign import Foreign, annotations_in, as_ical, with_annotations, with_times


class MemoryOperator:
    """The owner's other app, which writes iCalendar objects."""

    def __init__(self, server: MemoryServer) -> None:
        self.server = server
        self.made = 0

    def add(self, calendar: Calendar, event: Foreign) -> Href:
        self.made += 1
        return self.server.put(calendar, as_ical(event, f"foreign-{self.made}@elsewhere"))

    def replace(self, calendar: Calendar, href: Href, event: Foreign) -> None:
        raw = self.server.raw(calendar, href)
        uid = raw.partition(b"UID:")[2].partition(b"\r\n")[0].decode()
        self.server.put(calendar, as_ical(event, uid, sequence=1), href)

    def move(self, calendar: Calendar, href: Href, start, end) -> None:  # type: ignore[no-untyped-def]
        self.server.put(calendar, with_times(self.server.raw(calendar, href), start, end), href)

    def delete(self, calendar: Calendar, href: Href) -> None:
        self.server.remove(calendar, href)

    def move_to(self, calendar: Calendar, href: Href, other: Calendar) -> None:
        self.server.move_to(calendar, href, other)

    def annotate(self, calendar: Calendar, href: Href) -> None:
        self.server.put(calendar, with_annotations(self.server.raw(calendar, href)), href)

    def annotations(self, calendar: Calendar, href: Href) -> object:
        return annotations_in(self.server.raw(calendar, href))

    def copies(self, calendar: Calendar, entry_key: str) -> int:
        hrefs = self.server.hrefs(calendar)
        return sum(f"X-SLOTLEDGER-KEY:{entry_key}\r\n".encode() in self.server.raw(calendar, href) for href in hrefs)

    def expire_tokens(self) -> None:
        self.server.expire_tokens()

    def add_broken(self, calendar: Calendar) -> None:
        self.server.put(calendar, b"BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nUID:broken\r\nDTSTART:when it suits\r\nEND")


class TestMemory(ConnectorContract):
    sync_tokens = True

    @pytest.fixture
    def server(self) -> MemoryServer:
        return MemoryServer(sync_tokens=self.sync_tokens, own_addresses=frozenset({"owner@example.org"}))

    @pytest.fixture
    def calendar(self, server: MemoryServer) -> Calendar:
        return server.add_calendar("work", self.zone)

    @pytest.fixture
    def other_calendar(self, server: MemoryServer, calendar: Calendar) -> Calendar:
        return server.add_calendar("private", self.zone)

    @pytest.fixture
    def operator(self, server: MemoryServer) -> MemoryOperator:
        return MemoryOperator(server)

    @pytest.fixture
    def open_connector(self, server: MemoryServer) -> Opener:
        def opened() -> Connector:
            return MemoryConnector(Credentials("memory"), server=server)

        return opened


class TestMemoryWithoutTokens(TestMemory):
    sync_tokens = False
