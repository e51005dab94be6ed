"""The demo's calendar accounts: a real CalDAV server, an emulated Google and an emulated Microsoft, filled and connected."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import httpx
import sqlalchemy as sa

from api.demo_world import CALENDARS, OPERATORS, PROVIDERS, as_google, as_graph, as_ical, events_of
from api.serving import free_port
from connectors.emulators import google, microsoft
from connectors.emulators.radicale import RunningServer, start_radicale
from connectors.protocol import Credentials
from ledger.db import Tx
from ledger.tables import Calendar, Connection
from sync import consents, listing, tickets
from workers.world import World

CALDAV_PORT, GOOGLE_PORT, MICROSOFT_PORT = 5232, 5242, 5252
MICROSOFT_CLIENT = "11111111-2222-3333-4444-555555555555"


@dataclass(frozen=True, slots=True)
class Servers:
    """All three, running. urls: of the CalDAV calendars, by operator and role."""

    caldav: RunningServer
    google: google.RunningEmulator
    microsoft: microsoft.RunningEmulator
    urls: Mapping[str, Mapping[str, str]]

    @property
    def settings(self) -> dict[str, str]:
        """What a deployment must know to use the emulators."""
        return {
            "SLOTLEDGER_GOOGLE_CLIENT_ID": self.google.client_id,
            "SLOTLEDGER_GOOGLE_CLIENT_SECRET": self.google.client_secret,
            "SLOTLEDGER_GOOGLE_API_ROOT": self.google.base_url,
            "SLOTLEDGER_GOOGLE_OAUTH_ROOT": self.google.base_url,
            "SLOTLEDGER_MICROSOFT_CLIENT_ID": MICROSOFT_CLIENT,
            "SLOTLEDGER_MICROSOFT_CLIENT_SECRET": "emulated-secret",
            "SLOTLEDGER_MICROSOFT_GRAPH_ROOT": self.microsoft.graph_root,
            "SLOTLEDGER_MICROSOFT_AUTHORITY": self.microsoft.authority,
        }


def start_servers(home: Path, passwords: Mapping[str, str], stack: ExitStack, *, caldav_url: str = "") -> Servers:
    """Start all three; a taken port gives way. They end with `stack` and keep what they hold in `home`.

    caldav_url: where the CalDAV server was the last time; it goes there again if it can.
    """
    mine = {slug: password for slug, password in passwords.items() if PROVIDERS[slug] == "caldav"}
    caldav = start_radicale(home / "caldav", mine, free_port(urlsplit(caldav_url).port or CALDAV_PORT))
    stack.callback(caldav.stop)
    ben = google.start_google(free_port(GOOGLE_PORT), path=home / "google.json")
    stack.callback(ben.stop)
    people = [(_about(slug)) for slug, provider in PROVIDERS.items() if provider == "microsoft"]
    chloe = microsoft.start_microsoft(free_port(MICROSOFT_PORT), path=home / "microsoft.json", accounts=people)
    stack.callback(chloe.stop)
    urls = {
        slug: {
            role: caldav.make_calendar(slug, role, title=title, timezone=OPERATORS[slug]["timezone"])
            for role, title in CALENDARS[slug].items()
        }
        for slug in mine
    }
    return Servers(caldav, ben, chloe, urls)


def _about(slug: str) -> tuple[str, str, str]:
    operator = OPERATORS[slug]
    return operator["email"], operator["name"], operator["timezone"]


def connect(world: World, servers: Servers, slug: str, operator_id: int) -> None:
    """Fill an operator's calendars, connect their account and say what each calendar is for. Repeatable."""
    provider, now = PROVIDERS[slug], world.clock()
    fill = {"caldav": _fill_caldav, "google": _fill_google, "microsoft": _fill_microsoft}[provider]
    roles = fill(servers, slug, now)
    if provider == "caldav":
        credentials = Credentials("caldav", servers.caldav.url, slug, servers.caldav.users[slug])
        connection_id = world.accounts.connect(operator_id, credentials, now=now)
    else:
        connection_id = _consent(world, provider, operator_id, now)
    with world.database.reading() as tx:
        rows = listing.calendars(tx, connection_id=connection_id)
    for row in rows:
        if row["url"] in roles:
            world.accounts.assign(row["id"], **{roles[row["url"]]: True}, now=now)


def relocate(tx: Tx, url: str) -> None:
    """The CalDAV server had to give way: the same calendars are at another address now."""
    query = sa.select(Connection.id, Connection.url).where(Connection.provider == "caldav", Connection.url != url)
    for connection_id, before in tx.execute(query).all():
        moved = sa.func.replace(Calendar.href, before, url)
        tx.execute(sa.update(Calendar).where(Calendar.connection_id == connection_id).values(href=moved))
        tx.execute(sa.update(Connection).where(Connection.id == connection_id).values(url=url))


def _consent(world: World, provider: str, operator_id: int, now: datetime) -> int:
    """What an operator does with a link in their browser, without the browser: the emulators consent by themselves."""
    with world.database.transaction() as tx:
        flow_id = tickets.issue(tx, operator_id=operator_id, provider=provider, now=now)
        ticket = tickets.link(tx, world.vault, flow_id, "").partition("ticket=")[2]
        flow = tickets.read(tx, world.vault, ticket, provider, now=now)
    begun = consents.begin(world.accounts, flow, redirect_uri=f"{world.settings.base_url}/connect/{provider}/callback")
    answer = httpx.get(begun.url, trust_env=False, timeout=20)
    query = dict(parse_qsl(urlsplit(answer.headers["location"]).query))
    _, connection_id = consents.finish(world.accounts, provider, query, begun.session, now=now)
    return connection_id


def _fill_caldav(servers: Servers, slug: str, now: datetime) -> dict[str, str]:
    """Calendar → role. Idempotent by UID and href. Raises httpx.HTTPError."""
    urls, password = servers.urls[slug], servers.caldav.users[slug]
    with httpx.Client(trust_env=False, auth=(slug, password), timeout=20) as client:
        for role, events in events_of(slug, now).items():
            for event in events:
                client.put(
                    f"{urls[role]}{event.key}.ics",
                    content=as_ical(event),
                    headers={"Content-Type": "text/calendar; charset=utf-8"},
                ).raise_for_status()
    return {url: role for role, url in urls.items()}


def _fill_google(servers: Servers, slug: str, now: datetime) -> dict[str, str]:
    """Calendar → role; the default calendar blocks time. Idempotent by the events' ids."""
    email, name, zone = _about(slug)
    control = servers.google.control
    control.seed(people=[{"email": email, "name": name, "timezone": zone}])
    roles = {email: "busy"}
    for role, title in CALENDARS[slug].items():
        calendar = email if role == "busy" else f"{role}.{slug}@group.calendar.google.com"
        events = [as_google(event) for event in events_of(slug, now).get(role, ())]
        control.seed(calendars=[{"id": calendar, "owner": email, "summary": title, "timezone": zone, "events": events}])
        roles[calendar] = role
    return roles


def _fill_microsoft(servers: Servers, slug: str, now: datetime) -> dict[str, str]:
    """Calendar → role; the default calendar blocks time. Idempotent by the calendars' names."""
    email, control = _about(slug)[0], servers.microsoft.control
    (state,) = control.state(email)["accounts"]
    known = {calendar["name"]: calendar["id"] for calendar in state["calendars"]}
    default = next(calendar["id"] for calendar in state["calendars"] if calendar["isDefaultCalendar"])
    filled = {event["calendar"] for event in state["events"]}
    roles = {}
    for role, title in CALENDARS[slug].items():
        calendar = default if role == "busy" else known.get(title) or control.add_calendar(title, email)
        roles[calendar] = role
        if calendar not in filled:
            for event in events_of(slug, now).get(role, ()):
                control.create_event(account=email, calendar=calendar, **as_graph(event))
    return roles
