"""The owner's other app on a CalDAV server: plain HTTP, none of the connector's code; tokens expire on the disk."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote, urlsplit

import httpx
from dulwich.objects import Tree
from dulwich.repo import Repo

from connectors.caldav.connector import CalDavConnector
from connectors.emulators.radicale import RunningServer
from connectors.model import Calendar, Href
from connectors.protocol import Connector, Credentials
from tests.support.foreign import Foreign, annotations_in, as_ical, with_annotations, with_times
from tests.support.servers import HERE, OtherClient, radicale, xandikos

OWNER = "owner@example.org"


@dataclass
class CalDavOperator:
    """See `tests.support.foreign.Operator`. username, secret: as the server knows them."""

    username: str
    secret: str
    forget_tokens: Callable[[], None]

    def _client(self, calendar: Calendar) -> httpx.Client:
        parts = urlsplit(calendar.href)
        root = f"{parts.scheme}://{parts.netloc}"
        return httpx.Client(auth=(self.username, self.secret), base_url=root, trust_env=False, verify=False, timeout=30)

    def _get(self, calendar: Calendar, href: Href) -> bytes:
        with self._client(calendar) as client:
            return client.get(quote(href)).raise_for_status().content

    def _put(self, calendar: Calendar, href: Href, raw: bytes) -> None:
        with self._client(calendar) as client:
            client.put(quote(href), content=raw, headers={"Content-Type": "text/calendar"}).raise_for_status()

    def add(self, calendar: Calendar, event: Foreign) -> Href:
        """Under a name that the app chooses."""
        uid = str(uuid.uuid4())
        href = f"{_path(calendar)}{uid.upper()}.ics"
        self._put(calendar, href, as_ical(event, uid, OWNER))
        return href

    def replace(self, calendar: Calendar, href: Href, event: Foreign) -> None:
        """The same UID and name."""
        raw = self._get(calendar, href).replace(b"\r\n", b"\n")
        uid = raw.partition(b"\nUID:")[2].partition(b"\n")[0].decode()
        self._put(calendar, href, as_ical(event, uid, OWNER, sequence=1))

    def move(self, calendar: Calendar, href: Href, start: datetime, end: datetime) -> None:
        """Only the times are written anew."""
        raw = self._get(calendar, href).replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        self._put(calendar, href, with_times(raw, start, end))

    def delete(self, calendar: Calendar, href: Href) -> None:
        """Without any precondition."""
        with self._client(calendar) as client:
            client.delete(quote(href)).raise_for_status()

    def move_to(self, calendar: Calendar, href: Href, other: Calendar) -> None:
        """As most apps do it: stored there under a new name, then deleted here."""
        self._put(other, f"{_path(other)}{uuid.uuid4()}.ics", self._get(calendar, href))
        self.delete(calendar, href)

    def annotate(self, calendar: Calendar, href: Href) -> None:
        """An alarm, a colour, a comment."""
        self._put(calendar, href, with_annotations(self._get(calendar, href)))

    def annotations(self, calendar: Calendar, href: Href) -> object:
        """Which of them are still there."""
        return annotations_in(self._get(calendar, href).replace(b"\n ", b"").replace(b"\r ", b""))

    def copies(self, calendar: Calendar, entry_key: str) -> int:
        """By reading every object."""
        lister = OtherClient(calendar.href, self.username, self.secret)
        objects = [lister.get(quote(name)) or b"" for name in lister.names()]
        lister.close()
        return sum(f"X-SLOTLEDGER-KEY:{entry_key}\n".encode() in raw.replace(b"\r\n", b"\n") for raw in objects)

    def expire_tokens(self) -> None:
        """The server's own memory of them is removed."""
        self.forget_tokens()

    def add_broken(self, calendar: Calendar) -> None:
        """In a zone that nobody knows: servers store it."""
        raw = as_ical(Foreign("Odd", datetime(2027, 3, 3, 9), datetime(2027, 3, 3, 10)), "odd", OWNER)
        self._put(calendar, f"{_path(calendar)}odd.ics", raw.replace(b"TZID=None", b"TZID=Mars/Olympus"))


def _path(calendar: Calendar) -> str:
    return urlsplit(calendar.href).path.replace("%40", "@")


@dataclass
class CalDavWorld:
    """A server with one account, for a whole module. Calendars are made as they are needed."""

    server: RunningServer
    operator: CalDavOperator
    made: int = 0

    @contextmanager
    def calendar(self, timezone: str) -> Iterator[Calendar]:
        """A new, empty one, as our connector lists it; deleted afterwards."""
        self.made += 1
        name = f"cal{self.made}"
        self.server.make_calendar(self.operator.username, name, timezone=timezone)
        with self.connect() as connector:
            calendar = next(found for found in connector.calendars() if found.href.endswith(f"/{name}/"))
        yield calendar
        client = OtherClient(calendar.href, self.operator.username, self.operator.secret)
        client.delete_calendar()
        client.close()

    def connect(self) -> Connector:
        """A connector of its own for the account."""
        return CalDavConnector(Credentials("caldav", self.server.url, OWNER, self.operator.secret), HERE)


@contextmanager
def radicale_world() -> Iterator[CalDavWorld]:
    """Radicale; its tokens are files."""
    with radicale({OWNER: "secret"}) as server:

        def forget() -> None:
            for token in server.folder.glob("collections/**/.Radicale.cache/sync-token/*"):
                token.unlink()

        yield CalDavWorld(server, CalDavOperator(OWNER, "secret", forget))


@contextmanager
def xandikos_world() -> Iterator[CalDavWorld]:
    """Xandikos; its tokens are git trees, and what is not of the present is swept away."""
    with xandikos() as server:

        def forget() -> None:
            for git in server.folder.glob("dav/alice/calendars/*/.git"):
                with Repo(str(git.parent)) as repo:
                    head = repo[repo.head()]
                    for name in list(repo.object_store):
                        if isinstance(repo[name], Tree) and name != head.tree:  # type: ignore[attr-defined]
                            (git / "objects" / name[:2].decode() / name[2:].decode()).unlink()

        yield CalDavWorld(server, CalDavOperator("alice", "", forget))
