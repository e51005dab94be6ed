"""A calendar on a real Radicale, our connector in front of it through a fault proxy, another app beside it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from connectors.caldav.connector import CalDavConnector
from connectors.caldav.dav import Dav
from connectors.emulators.proxy import FaultProxy
from connectors.emulators.radicale import RunningServer
from connectors.model import Calendar, ChangeSet, Quirks, SyncToken
from connectors.transport import Http
from tests.support.servers import HERE, MONDAY, WINDOW, OtherClient, calendar, credentials, ics

TRUSTED = Quirks("trusted", if_none_match=True, etag_on_put=True)
_names = itertools.count()


class Bench:
    """url: of the calendar through the proxy; other: of the same beside it."""

    def __init__(self, server: RunningServer, proxy: FaultProxy) -> None:
        direct = server.make_calendar("anna", f"bench{next(_names)}", timezone="Europe/Berlin")
        self.server, self.proxy = server, proxy
        self.url = proxy.through(direct)
        self.path = "/" + self.url.split("/", 3)[3]
        self.calendar: Calendar = calendar(self.url, timezone="Europe/Berlin")
        self.other = OtherClient(direct)
        self.connector = CalDavConnector(credentials(proxy.url), HERE)
        self.dav = Dav(Http(allow_private=True, timeout=5), "anna", "secret")

    def fill(self, count: int, name: str = "e") -> set[str]:
        """So many objects of an hour, written where the server keeps them, which is faster than PUT; their hrefs."""
        folder = self.server.folder / "collections" / "collection-root" / "anna" / self.path.split("/")[-2]
        names = [f"{name}{n:03}.ics" for n in range(count)]
        for n, file in enumerate(names):
            (folder / file).write_bytes(ics(f"{name}{n}", MONDAY + timedelta(hours=n)))
        return {self.href(file) for file in names}

    def second_calendar(self) -> tuple[Calendar, OtherClient]:
        """Another calendar of the account, with its other app."""
        direct = self.server.make_calendar("anna", f"bench{next(_names)}")
        return calendar(self.proxy.through(direct)), OtherClient(direct)

    def pull(
        self, since: SyncToken | None = None, quirks: Quirks = TRUSTED, known: dict[str, str] | None = None
    ) -> ChangeSet:
        """Through the proxy."""
        return self.connector.changes(self.calendar, since, WINDOW, lambda: known or {}, quirks=quirks)

    def href(self, name: str) -> str:
        """Of an object by its file name."""
        return self.path + name

    def asked(self) -> list[str]:
        """Methods that came by, in order."""
        return [seen.method for seen in self.proxy.log]


@contextmanager
def bench_on(server: RunningServer) -> Iterator[Bench]:
    """With a calendar and a proxy of its own."""
    with FaultProxy(server.url) as proxy:
        bench = Bench(server, proxy)
        try:
            yield bench
        finally:
            bench.connector.close()
            bench.other.close()
