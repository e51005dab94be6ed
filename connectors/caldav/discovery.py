"""From what a person types to the calendars of an account (RFC 6764, RFC 5397, RFC 4791 §6.2.1).

Credentials go to the address that was given, and further only where `may_share_credentials` allows it; the one
exception is a bare domain or mail address, whose own /.well-known/caldav may name another host over https (RFC
6764 §6). SRV records are not asked for: the standard library can't.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

import httpx

from connectors.caldav.dav import Dav
from connectors.caldav.quirks import SIBLINGS, service_at, service_of_mail
from connectors.errors import (
    AddressRefused,
    BadAnswer,
    ConnectorError,
    Gone,
    NeedsReconnect,
    Refused,
    Temporary,
)
from connectors.ical.zones import named_zone
from connectors.model import Calendar
from connectors.transport import may_share_credentials
from connectors.webdav import APPLE, CAL, CS, DAV, Resource, encoded_href, normal_href

WELL_KNOWN = "/.well-known/caldav"

_CALENDAR_PROPS = (
    DAV + "resourcetype",
    DAV + "displayname",
    CAL + "supported-calendar-component-set",
    CAL + "schedule-calendar-transp",
    DAV + "current-user-privilege-set",
    CAL + "calendar-timezone",
    APPLE + "calendar-color",
)
# Collections that hold events and are no calendar of a person.
_NOT_A_CALENDAR = frozenset(
    {
        CAL + "schedule-inbox",
        CAL + "schedule-outbox",
        CS + "subscribed",
        CS + "dropbox-home",
        CS + "notification",
        "{http://nextcloud.com/ns}trash-bin",
        "{http://nextcloud.com/ns}deleted-calendar",
    }
)
_TZID = re.compile(r"^(?:TZID|X-LIC-LOCATION)(?:;[^:\r\n]*)?:(.+?)\s*$", re.M | re.I)


@dataclass(frozen=True, slots=True)
class Account:
    """What discovery found. addresses: the mail addresses of the calendar user, lower-case (RFC 6638 §2.4.1)."""

    calendars: tuple[Calendar, ...]
    addresses: frozenset[str]


@dataclass(frozen=True, slots=True)
class Start:
    """An address to begin at. delegating: may it hand over to any host (a domain that speaks for itself)?"""

    url: str
    delegating: bool = False


def starts(url: str, username: str) -> list[Start]:
    """Where to begin, best first, for a URL, a bare domain or a mail address; without any, for the user's name.

    Raises `Refused` for services that are connected in another way, `AddressRefused` if there is nothing to try.
    """
    given = url.strip() or username.strip()
    if "://" in given:
        parts = urlsplit(given)
        if refusal := service_at(parts.hostname or "").refusal:
            raise Refused(refusal)
        root = f"{parts.scheme}://{parts.netloc}"
        found = [given] if parts.path.strip("/") else []
        return [Start(u) for u in dict.fromkeys([*found, root + WELL_KNOWN, root + "/"])]
    domain, _, path = given.rpartition("@")[2].partition("/")
    if "." not in domain.strip("."):
        raise AddressRefused("an address of the calendar server is needed")
    service = service_of_mail(domain)
    if refusal := service.refusal or service_at(domain).refusal:
        raise Refused(refusal)
    if service.url:
        return [Start(service.url)]
    own = [Start(f"https://{domain}/{path}")] if path else []
    return [*own, Start(f"https://{domain}{WELL_KNOWN}", delegating=True), Start(f"https://{domain}/")]


def discover(dav: Dav, url: str, username: str) -> Account:
    """All event calendars of an account. Raises `NeedsReconnect`, `BadAnswer` if no way leads to calendars."""
    failures: list[ConnectorError] = []
    for start in starts(url, username):
        try:
            return _from(dav, start)
        except (NeedsReconnect, Temporary, BadAnswer, Gone, Refused, AddressRefused) as exc:
            failures.append(exc)
            if isinstance(exc, NeedsReconnect | Temporary | AddressRefused) and not start.delegating:
                break  # the server itself is away or does not want us: its other paths are no better
    raise _weightiest(failures)


def _weightiest(failures: list[ConnectorError]) -> ConnectorError:
    """The failure that says most about what to do next."""
    for kind in (NeedsReconnect, AddressRefused, Temporary, Refused):
        for exc in failures:
            if isinstance(exc, kind):
                return exc
    return BadAnswer("no calendars were found there")


def _from(dav: Dav, start: Start) -> Account:
    base = start.url
    if base.endswith(WELL_KNOWN):
        base = dav.place(base)
        if not base:
            raise Gone("nothing at " + WELL_KNOWN)
        if not start.delegating:
            _allow(start.url, base)
    return _Walk(dav, base).account()


def _allow(given: str, found: str) -> str:
    if not may_share_credentials(httpx.URL(given), httpx.URL(found), SIBLINGS):
        host = urlsplit(found).hostname
        raise AddressRefused(f"the server hands over to {host}; give that address if it is meant")
    return found


class _Walk:
    """The way from one address to the calendars of its user."""

    def __init__(self, dav: Dav, base: str) -> None:
        self._dav, self._base = dav, base

    def account(self) -> Account:
        found = self._dav.propfind(self._base, 0, DAV + "current-user-principal", *_CALENDAR_PROPS, collection=False)
        here = found.of(normal_href(found.url)) or next(iter(found.resources), None)
        if here is None:
            raise BadAnswer("the server says nothing about that address")
        principals = here.hrefs(DAV + "current-user-principal")
        calendars: dict[str, Calendar] = {}
        addresses: frozenset[str] = frozenset()
        if principals:
            homes, addresses = self._principal(self._url(found.url, principals[0]))
            for home in homes:
                calendars.update(self._members(home))
        elif not is_event_calendar(here):
            calendars.update(self._members(found.url))
        if is_event_calendar(here):
            calendars.setdefault(here.href.rstrip("/"), as_calendar(here, found.url))
        return Account(tuple(calendars.values()), addresses)

    def _principal(self, url: str) -> tuple[list[str], frozenset[str]]:
        found = self._dav.propfind(
            url, 0, CAL + "calendar-home-set", CAL + "calendar-user-address-set", collection=False
        )
        homes: list[str] = []
        addresses: set[str] = set()
        for resource in found.resources:
            homes += [self._url(found.url, href) for href in resource.hrefs(CAL + "calendar-home-set")]
            named = resource.hrefs(CAL + "calendar-user-address-set")
            addresses |= {a[7:].lower() for a in named if a.lower().startswith("mailto:")}
        if not homes:
            raise BadAnswer("this user has no calendar home")
        return homes, frozenset(addresses)

    def _members(self, home: str) -> Iterator[tuple[str, Calendar]]:
        found = self._dav.propfind(home, 1, *_CALENDAR_PROPS, collection=False)
        for resource in found.resources:
            if is_event_calendar(resource):
                yield resource.href.rstrip("/"), as_calendar(resource, found.url)

    def _url(self, base: str, href: str) -> str:
        return _allow(self._base, urljoin(base, href))


def is_event_calendar(resource: Resource) -> bool:
    """Is this a calendar collection of a person that takes events?"""
    kinds = resource.children(DAV + "resourcetype")
    if CAL + "calendar" not in kinds or kinds & _NOT_A_CALENDAR:
        return False
    components = resource.props.get(CAL + "supported-calendar-component-set")
    if components is None or len(components) == 0:
        return True
    return any((comp.get("name") or "").upper() == "VEVENT" for comp in components.iter(CAL + "comp"))


def is_writable(resource: Resource) -> bool:
    """May events be added and changed there (RFC 3744 §3.12)? Servers that don't say are believed to allow it."""
    if DAV + "current-user-privilege-set" not in resource.props:
        return True
    granted = resource.children(DAV + "current-user-privilege-set")
    return bool(granted & {DAV + "all", DAV + "write"}) or granted >= {DAV + "bind", DAV + "write-content"}


def timezone_of(resource: Resource) -> str:
    """The IANA name of a calendar's zone, ``""`` if it has none or names an unknown one."""
    for name in _TZID.findall(resource.text(CAL + "calendar-timezone")):
        if (zone := named_zone(name)) is not None:
            return str(zone)
    return ""


def as_calendar(resource: Resource, base: str) -> Calendar:
    """The neutral calendar of a collection. base: URL of the request that listed it."""
    href = resource.href if resource.href.endswith("/") else resource.href + "/"
    name = resource.text(DAV + "displayname")
    return Calendar(
        href=urljoin(base, encoded_href(href)),
        name=name or href.rstrip("/").rpartition("/")[2],
        timezone=timezone_of(resource),
        writable=is_writable(resource),
        transparent=CAL + "transparent" in resource.children(CAL + "schedule-calendar-transp"),
        color=resource.text(APPLE + "calendar-color"),
    )
