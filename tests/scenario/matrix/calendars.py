"""The operator's calendar app in each provider's world: it drags, deletes and reads, and knows nothing of our connectors."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from connectors.emulators.radicale import RunningServer
from connectors.model import Period
from connectors.protocol import Credentials, Endpoints
from tests.scenario.matrix.axes import Provider
from tests.support.caldav_operator import CalDavOperator
from tests.support.google import OPERATOR as GOOGLE_ACCOUNT
from tests.support.microsoft import CLIENT_ID
from tests.support.provider_accounts import account_at
from tests.support.servers import OtherClient
from tests.support.service import field_of

_names = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Seen:
    """One living event. text: everything that can be read in it. guests: how many are invited by it."""

    href: str
    period: Period
    title: str
    text: str
    guests: int


class App(Protocol):
    """One operator's calendar for one story."""

    credentials: Credentials | None
    endpoints: Endpoints
    calendar: str
    """What our connector calls the collection, or the end of it."""

    def events(self) -> list[Seen]:
        """All that is in it, in order of start."""
        ...

    def drag(self, event: Seen, to: Period) -> None:
        """To another time."""
        ...

    def delete(self, event: Seen) -> None:
        """For good."""
        ...

    def tag(self, event: Seen, word: str) -> None:
        """Write a word behind its title."""
        ...


class NoCalendar:
    """Nothing is connected."""

    credentials = None
    endpoints = Endpoints()
    calendar = ""

    def events(self) -> list[Seen]:
        """Nothing."""
        return []

    def drag(self, event: Seen, to: Period) -> None:
        """Nobody can."""
        raise NotImplementedError

    def delete(self, event: Seen) -> None:
        """Nobody can."""
        raise NotImplementedError

    def tag(self, event: Seen, word: str) -> None:
        """Nobody can."""
        raise NotImplementedError


class CalDavApp:
    """A collection of its own on a Radicale that all stories share; each story has its own account there."""

    def __init__(self, server: RunningServer, account: str) -> None:
        (self.username, secret), *_ = server.users.items()
        self.calendar = account
        self.url = server.make_calendar(self.username, account, timezone="Europe/Budapest")
        self.credentials = Credentials("caldav", server.url, self.username, secret)
        self.endpoints = Endpoints(allow_private_networks=True)
        self.client = OtherClient(self.url, self.username, secret)
        self._hands = CalDavOperator(self.username, secret, lambda: None)

    def events(self) -> list[Seen]:
        """Read object by object."""
        found = []
        for name in self.client.names():
            raw = self.client.get(name) or b""
            period = Period(_stamp(raw, "DTSTART"), _stamp(raw, "DTEND"))
            text = raw.decode().replace("\r\n ", "").replace("\n ", "")
            found.append(Seen(name, period, field_of(raw, "SUMMARY"), text, text.count("\nATTENDEE")))
        return sorted(found, key=lambda event: event.period)

    def drag(self, event: Seen, to: Period) -> None:
        """Only the times are written anew."""
        path = self.url.removeprefix(self._root())
        self._hands.move(_Where(self.url), f"{path}{event.href}", to.start, to.end)  # type: ignore[arg-type]

    def delete(self, event: Seen) -> None:
        """DELETE."""
        self.client.delete(event.href)

    def tag(self, event: Seen, word: str) -> None:
        """PUT."""
        raw = (self.client.get(event.href) or b"").decode().replace("\r\n ", "").replace("\n ", "")
        self.client.put(event.href, raw.replace(event.title, f"{event.title} {word}", 1).encode())

    def close(self) -> None:
        """The collection goes, so that the next story's account lists only its own."""
        self.client.delete_calendar()
        self.client.close()

    def _root(self) -> str:
        scheme, _, rest = self.url.partition("://")
        return f"{scheme}://{rest.partition('/')[0]}"


@dataclass(frozen=True)
class _Where:
    href: str


class EmulatedApp:
    """A fresh account at Google or Microsoft; its default calendar."""

    def __init__(self, account: Any) -> None:
        self._account = account
        self.calendar = account.primary.href
        self.endpoints = account.endpoints
        control = account.control
        if account.provider == "google":
            secret = json.dumps(control.grant(GOOGLE_ACCOUNT, None))
        else:
            secret = control.grant(CLIENT_ID, scope="Calendars.ReadWrite User.Read")
        self.credentials = Credentials(account.provider, secret=secret)

    def events(self) -> list[Seen]:
        """By the emulator's control."""
        account = self._account
        living = account.living(account.primary)
        return [Seen(e.href, e.period, e.title, self._text(e.href), len(e.guests)) for e in living]

    def _text(self, href: str) -> str:
        control = self._account.control
        if self._account.provider == "google":
            return json.dumps(control.event(self.calendar, href), default=str, ensure_ascii=False)
        rows = control.state()["accounts"][0]["events"]
        return json.dumps(next(row for row in rows if row["id"] == href), default=str, ensure_ascii=False)

    def drag(self, event: Seen, to: Period) -> None:
        """In the app."""
        self._account.hands.move(self._account.primary, event.href, to.start, to.end)

    def delete(self, event: Seen) -> None:
        """In the app."""
        self._account.hands.delete(self._account.primary, event.href)

    def tag(self, event: Seen, word: str) -> None:
        """In the app."""
        title, control = f"{event.title} {word}", self._account.control
        if self._account.provider == "google":
            control.edit(self.calendar, event.href, summary=title)
        else:
            control.set_fields(event.href, {"subject": title})


@contextmanager
def app_at(provider: Provider, radicale: Callable[[], RunningServer]) -> Iterator[App]:
    """The operator's app for one story. radicale: the server that is shared, started when somebody asks for it."""
    if provider is Provider.NONE:
        yield NoCalendar()
    elif provider is Provider.CALDAV:
        app = CalDavApp(radicale(), f"story{next(_names)}")
        try:
            yield app
        finally:
            app.close()
    else:
        at: AbstractContextManager[Any] = account_at(provider.name.lower())
        with at as account:
            yield EmulatedApp(account)


def _stamp(raw: bytes, name: str) -> datetime:
    """An instant as our events carry it: UTC, or local with a TZID."""
    value = field_of(raw, name)
    parameters, _, stamp = value.rpartition(":")
    moment = datetime.strptime(stamp.rstrip("Z"), "%Y%m%dT%H%M%S")
    zone = parameters.partition("TZID=")[2].partition(";")[0] or "UTC"
    return moment.replace(tzinfo=ZoneInfo(zone)).astimezone(ZoneInfo("UTC"))
