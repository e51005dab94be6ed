"""One operator's account at an emulated Google or Microsoft, in the same words for both: settings, hands, and a look inside."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import httpx

from connectors.model import Calendar, Period
from connectors.protocol import Endpoints
from tests.support.foreign import Foreign, Operator
from tests.support.google import OPERATOR as BEN
from tests.support.google import GoogleOperator, GoogleWorld, google_world
from tests.support.microsoft import CLIENT_ID, MicrosoftOperator, MicrosoftWorld, microsoft_world
from tests.support.microsoft import OPERATOR as CHLOE

BERLIN = ZoneInfo("Europe/Berlin")


@dataclass(frozen=True)
class Living:
    """An event as its owner sees it. guests: address → answer, in lower case."""

    href: str
    period: Period
    title: str
    guests: dict[str, str]


@dataclass
class Account:
    """primary: the default calendar; second: another one. hands: the operator in their other app."""

    provider: str
    email: str
    endpoints: Endpoints
    settings: dict[str, str]
    primary: Calendar
    second: Calendar
    hands: Operator
    world: GoogleWorld | MicrosoftWorld

    @property
    def control(self) -> Any:
        """The emulator's control, untyped."""
        return self.world.control

    def living(self, calendar: Calendar) -> list[Living]:
        """Every living event of a calendar, in order of start; a series is one."""
        if self.provider == "google":
            found = [_google(r) for r in self.control.events(calendar.href) if not r.get("recurringEventId")]
        else:
            rows = self.control.state()["accounts"][0]["events"]
            found = [_graph(row) for row in rows if row["calendar"] == calendar.href]
        return sorted(found, key=lambda event: event.period)

    def at(self, calendar: Calendar, start: datetime) -> Living:
        """The one event that starts there."""
        found = [event for event in self.living(calendar) if event.period.start == start]
        assert len(found) == 1, found
        return found[0]

    def block(self, calendar: Calendar, start: datetime, end: datetime, **more: Any) -> str:
        """An event of the operator's own."""
        return self.hands.add(calendar, Foreign("Private matter", start, end, **more))

    def mails(self, to: str) -> list[str]:
        """Kinds of the mails that the provider itself sent there: ``request``, ``update``, ``cancel``."""
        alike = {"invitation": "request", "cancellation": "cancel"}
        kinds = [str(mail["kind"]) for mail in self.control.mails() if mail["to"].lower() == to]
        return [alike.get(kind, kind) for kind in kinds]

    def answer(self, calendar: Calendar, href: str, guest: str, answer: str) -> None:
        """A guest answers. answer: ``declined`` or ``accepted``."""
        if self.provider == "google":
            self.control.answer(calendar.href, href, guest, answer)
        else:
            self.control.decline(href, guest, answer)

    def revoke(self) -> None:
        """The person takes our access away."""
        if self.provider == "google":
            self.control.revoke(self.email)
        else:
            self.control.revoke()

    def forbid_push(self) -> None:
        """Our address isn't good enough to be called."""
        if self.provider == "google":
            self.control.push(allow_http=False)
        else:
            self.control.set_switch("http_hooks", False)

    def deny(self, denied: bool) -> None:
        """What the person presses on the consent page."""
        if self.provider == "google":
            self.control.consent(denied=denied)
        else:
            self.control.login(denied=denied)

    def grant_less(self, less: bool) -> None:
        """They untick the calendar on the consent page."""
        if self.provider == "google":
            self.control.consent(scopes=["openid", "email"] if less else None)
        else:
            self.control.login(scopes="User.Read" if less else "")

    def open_channels(self) -> int:
        """How many channels the provider has open."""
        if self.provider == "google":
            return len(self.control.channels())
        return len(self.world.emulator._running._app.store.subscriptions)  # type: ignore[union-attr]


@contextmanager
def account_at(provider: str, **switches: Any) -> Iterator[Account]:
    """A fresh account; nothing unexpected may have happened at its end."""
    if provider == "google":
        with google_world() as google:
            google.control.rules(**switches)
            settings = {
                "GOOGLE_CLIENT_ID": google.emulator.client_id,
                "GOOGLE_CLIENT_SECRET": google.emulator.client_secret,
                "GOOGLE_API_ROOT": google.emulator.base_url,
                "GOOGLE_OAUTH_ROOT": google.emulator.base_url,
            }
            yield Account(
                "google", BEN, google.endpoints, settings, google.calendar, google.team, GoogleOperator(google), google
            )
        return
    with microsoft_world(strict=False, **switches) as graph:
        settings = {
            "MICROSOFT_CLIENT_ID": CLIENT_ID,
            "MICROSOFT_CLIENT_SECRET": "secret",
            "MICROSOFT_GRAPH_ROOT": graph.emulator.graph_root,
            "MICROSOFT_AUTHORITY": graph.emulator.authority,
        }
        yield Account(
            "microsoft",
            CHLOE,
            graph.endpoints,
            settings,
            graph.primary,
            graph.calendar,
            MicrosoftOperator(graph),
            graph,
        )


def go_through_consent(link: str, choose: Callable[[str], dict[str, str]] | None = None) -> httpx.Response:
    """What the operator's browser does with a link: open it, press the button, consent, come back; then choose roles.

    choose: calendar page → form fields beside the ticket. Returns the last page.
    """
    with httpx.Client(trust_env=False, follow_redirects=True, timeout=60) as browser:
        page = browser.get(link)
        assert page.status_code == 200, page.text
        ticket = httpx.URL(link).params["ticket"]
        page = browser.post(link.partition("?")[0], data={"ticket": ticket})
        if choose is None or page.status_code != 200:
            return page
        return browser.post(str(page.url).partition("?")[0], data={"ticket": ticket, **choose(page.text)})


def _google(row: dict[str, Any]) -> Living:
    guests = {a["email"].lower(): a.get("responseStatus", "needsAction") for a in row.get("attendees", ())}
    return Living(row["id"], Period(_instant(row["start"]), _instant(row["end"])), row.get("summary", ""), guests)


def _graph(row: dict[str, Any]) -> Living:
    guests = {a["emailAddress"]["address"].lower(): a["status"]["response"] for a in row.get("attendees") or ()}
    start, end = (datetime.fromisoformat(row[name]["dateTime"]).replace(tzinfo=UTC) for name in ("start", "end"))
    return Living(row["id"], Period(start, end), str(row["subject"]), guests)


def _instant(value: dict[str, str]) -> datetime:
    if "date" in value:
        return datetime.fromisoformat(value["date"]).replace(tzinfo=BERLIN).astimezone(UTC)
    moment = datetime.fromisoformat(value["dateTime"])
    zone = ZoneInfo(value.get("timeZone", "UTC"))
    return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)


HOUR = timedelta(hours=1)
