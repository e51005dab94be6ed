"""What CalDAV services do differently: a table with source and date, and nothing else.

A server that anyone may run is found out by the self-test (`CalDavConnector.selftest`), whatever it calls itself.
The table holds only hosted services, known by their host, and of them only what a probe can't see or shouldn't
have to find out.

What servers are known for, and which line of code answers it (sources: probes of python-caldav's
``compatibility_hints`` of October 2026, own probes of November 2026 where marked *):

=========================  ==================================================  =====================================
server                     does                                                answered by
=========================  ==================================================  =====================================
Radicale 3.9 *             400 to chunked PUT, HTTP/1.0, 409 for a second UID  Content-Length; look up by UID
Xandikos 0.4.10 *          412 for a wrong token and for a second UID          precondition read before the status
Xandikos < 0.4.10, CCS     500 for a malformed token                           asked again with a fresh token
DAViCal, SOGo, OX,         207 for a wrong token                               self-test → ``untrusted``, etags
Stalwart, Purelymail
SOGo, Zimbra               overwrite in spite of If-None-Match                 probe → look before and after a PUT
Infomaniak                 418 for a removed member                            any 4xx is removed
iCloud                     lists the collection as its own member; moves       own href dropped; siblings
                           between pNN hosts
Bedework                   ETag ``%22…%22`` on PUT                             decoded
GMX                        weak ETag on PUT                                    read again after writing
Apache mod_deflate         ``-gzip`` in the ETag of a packed answer            single objects are asked for unpacked
=========================  ==================================================  =====================================
"""

from __future__ import annotations

from dataclasses import dataclass

from connectors.addresses import within


@dataclass(frozen=True, slots=True)
class Service:
    """One hosted service.

    hosts: domains of its servers, sub-domains included. mail: domains of its addresses. url: where discovery
    starts. sync_token: overrides a self-test that says better, ``""`` does not. uid_search: does a search by UID
    find everything at once. refusal: why CalDAV is not the way in, for a person. hint: what a person must know.
    """

    name: str
    hosts: tuple[str, ...]
    mail: tuple[str, ...] = ()
    url: str = ""
    sync_token: str = ""
    uid_search: bool = True
    refusal: str = ""
    hint: str = ""
    source: str = ""


SERVICES: tuple[Service, ...] = (
    Service(
        "iCloud",
        hosts=("icloud.com",),
        mail=("icloud.com", "me.com", "mac.com"),
        url="https://caldav.icloud.com/",
        uid_search=False,
        hint="iCloud wants an app-specific password",
        source="compatibility_hints 3.6.0, probed 2026-10-14: text filters found nothing",
    ),
    Service(
        "Fastmail",
        hosts=("fastmail.com",),
        mail=("fastmail.com", "fastmail.fm"),
        url="https://caldav.fastmail.com/",
        hint="Fastmail wants an app password",
        source="Fastmail help, 2026-11",
    ),
    Service(
        "GMX",
        hosts=("caldav.gmx.net",),
        mail=("gmx.net", "gmx.de", "gmx.at", "gmx.ch"),
        url="https://caldav.gmx.net/",
        sync_token="absent",  # noqa: S106
        source="compatibility_hints 3.6.0, sync-token: ungraceful",
    ),
    Service(
        "WEB.DE",
        hosts=("caldav.web.de",),
        mail=("web.de",),
        url="https://caldav.web.de/",
        sync_token="absent",  # noqa: S106
        source="the same software as GMX",
    ),
    Service(
        "Posteo",
        hosts=("posteo.de",),
        mail=("posteo.de", "posteo.net", "posteo.eu", "posteo.org"),
        url="https://posteo.de:8443/",
        sync_token="absent",  # noqa: S106
        source="compatibility_hints 3.6.0, sync-token: ungraceful",
    ),
    Service(
        "Robur",
        hosts=("calendar.robur.coop",),
        url="https://calendar.robur.coop/principals/",
        sync_token="absent",  # noqa: S106
        uid_search=False,
        source="compatibility_hints 3.6.0, search.text and sync-token",
    ),
    Service(
        "Purelymail",
        hosts=("purelymail.com",),
        mail=("purelymail.com",),
        url="https://purelymail.com/webdav/",
        sync_token="untrusted",  # noqa: S106
        uid_search=False,
        source="compatibility_hints 3.6.0; its search index lags 25–180 s",
    ),
    Service(
        "mailbox.org",
        hosts=("dav.mailbox.org",),
        mail=("mailbox.org",),
        url="https://dav.mailbox.org/",
        sync_token="untrusted",  # noqa: S106
        source="compatibility_hints 3.6.0 for OX, sync-token.invalid-token: broken",
    ),
    Service(
        "Yahoo",
        hosts=("caldav.calendar.yahoo.com",),
        mail=("yahoo.com",),
        url="https://caldav.calendar.yahoo.com/",
        sync_token="absent",  # noqa: S106
        hint="Yahoo wants an app password",
        source="compatibility_hints 3.6.0, sync-token: unsupported",
    ),
    Service(
        "Infomaniak",
        hosts=("sync.infomaniak.com",),
        mail=("ik.me", "etik.com"),
        url="https://sync.infomaniak.com/",
        source="compatibility_hints 3.6.0, sync-token.delete: 418",
    ),
    Service(
        "Google",
        hosts=("google.com", "googleapis.com", "googleusercontent.com"),
        mail=("gmail.com", "googlemail.com"),
        refusal="Google calendars are connected with Google's own sign-in, not by CalDAV",
        source="developers.google.com/calendar/caldav/v2/guide: OAuth only, no If-None-Match",
    ),
    Service(
        "Microsoft",
        hosts=("outlook.com", "office365.com", "office.com", "live.com"),
        mail=("outlook.com", "hotmail.com", "live.com", "msn.com"),
        refusal="Microsoft calendars are connected with Microsoft's own sign-in; they don't speak CalDAV",
        source="no CalDAV at outlook.office365.com, 2026-11",
    ),
)

SIBLINGS = frozenset({"icloud.com"})
"""Domains whose hosts hand accounts to each other (PROVIDERS: iCloud's pNN-caldav hosts, which also change)."""

GENERIC = Service("CalDAV", hosts=())
"""A server that nothing is known about."""


def service_at(host: str) -> Service:
    """The service a host belongs to, else `GENERIC`."""
    host = host.lower().removesuffix(".")
    return next((s for s in SERVICES if any(within(host, domain) for domain in s.hosts)), GENERIC)


def service_of_mail(domain: str) -> Service:
    """The service that gives out addresses of this domain, else `GENERIC`."""
    domain = domain.lower().removesuffix(".")
    return next((s for s in SERVICES if domain in s.mail), GENERIC)


def weaker(a: str, b: str) -> str:
    """The weaker of two judgements about sync tokens; ``""`` judges nothing."""
    order = ("absent", "untrusted", "trusted")
    return min((x for x in (a, b) if x), key=order.index, default="absent")
