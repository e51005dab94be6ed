"""WebDAV's wire format: multistatus, preconditions, hrefs, errors (RFC 4918, RFC 6578, the reports of RFC 4791).

No I/O: bodies are built and answers are read here; `connectors/caldav/connector.py` sends them.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import lru_cache
from urllib.parse import quote, urlsplit
from xml.sax.saxutils import escape

from lxml import etree

from connectors.errors import (
    BadAnswer,
    CalendarGone,
    Conflict,
    ConnectorError,
    Gone,
    NeedsReconnect,
    Refused,
    ServerFault,
    Throttled,
    Unreachable,
)
from connectors.model import ETag, Href
from connectors.transport import Response

DAV = "{DAV:}"
CAL = "{urn:ietf:params:xml:ns:caldav}"
CS = "{http://calendarserver.org/ns/}"
APPLE = "{http://apple.com/ns/ical/}"

_HREF, _PROP, _PROPSTAT, _STATUS = DAV + "href", DAV + "prop", DAV + "propstat", DAV + "status"

XML_HEADERS = {"Content-Type": "application/xml; charset=utf-8", "Accept-Encoding": "gzip"}

_DECLARED = (
    'xmlns:d="DAV:" xmlns:c="urn:ietf:params:xml:ns:caldav" '
    'xmlns:cs="http://calendarserver.org/ns/" xmlns:ic="http://apple.com/ns/ical/"'
)
_ROOT = re.compile(rb"\s*(?:<\?xml[^>]*>\s*)?<((?:[\w.-]+:)?(?:multistatus|error))\b")
_STATUS_LINE = re.compile(r"HTTP/\d(?:\.\d)?\s+(\d{3})")
_ESCAPES = re.compile(r"(?:%[0-9A-Fa-f]{2})+")
_KEPT = re.compile(r"[/%\x00-\x1f\x7f]")


# --- hrefs -----------------------------------------------------------------------------------------------------------


def _decoded(run: re.Match[str]) -> str:
    try:
        text = bytes.fromhex(run.group().replace("%", "")).decode()
    except UnicodeDecodeError:
        return run.group().upper()
    return _KEPT.sub(lambda m: f"%{ord(m.group()):02X}", text)


def normal_href(href: str, base: str = "/") -> Href:
    """The identity of a resource on its server: its path, decoded and normalised; a trailing slash is kept.

    Servers differ in what they escape (``%40``), in absolute and relative hrefs and in doubled slashes. What
    would change its meaning when decoded (``%2F``, ``%25``, control characters) stays, so that `encoded_href`
    leads back to the same resource. base: path of the request, for servers that answer with relative hrefs.
    """
    path = urlsplit(href.strip()).path if "://" in href or href.startswith("//") else href.strip().partition("?")[0]
    if not path.startswith("/"):
        path = posixpath.join(posixpath.dirname(base), path)
    if "%" in path:
        path = _ESCAPES.sub(_decoded, path)
    if "//" in path or "/." in path:
        path = posixpath.normpath("/" + path.lstrip("/")) + ("/" if path.endswith("/") else "")
    return path


def encoded_href(href: Href) -> str:
    """The path of a request for an href."""
    return quote(href, safe="/%:@!$&'()*+,;=~")


# --- answers ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Resource:
    """One ``response`` of a multistatus. status: of the whole resource, 0 if it only has properties. props: found ones."""

    href: Href
    status: int
    props: Mapping[str, etree._Element]

    @property
    def etag(self) -> ETag:
        """Its getetag, ``""`` if it was not told."""
        return self.text(DAV + "getetag")

    def text(self, name: str) -> str:
        """The text of a property, stripped; ``""`` if it is absent."""
        found = self.props.get(name)
        return (found.text or "").strip() if found is not None else ""

    def hrefs(self, name: str) -> list[str]:
        """The hrefs in a property, as the server wrote them."""
        found = self.props.get(name)
        if found is None:
            return []
        return [href.text.strip() for href in found.iter(DAV + "href") if href.text and href.text.strip()]

    def children(self, name: str) -> frozenset[str]:
        """The names of all elements inside a property."""
        found = self.props.get(name)
        return frozenset() if found is None else frozenset(str(e.tag) for e in found.iterdescendants(etree.Element))


@dataclass(frozen=True, slots=True)
class MultiStatus:
    """A 207 answer. url: where it came from. sync_token: as the server wrote it, ``""`` if there is none."""

    resources: tuple[Resource, ...]
    url: str
    sync_token: str = ""

    def of(self, href: Href) -> Resource | None:
        """What is said about one resource, with or without its trailing slash."""
        wanted = href.rstrip("/")
        return next((r for r in self.resources if r.href.rstrip("/") == wanted), None)


def parse_xml(content: bytes) -> etree._Element:
    """The root of an XML answer, read without entities, DTD or network.

    Raises `Unreachable` if it ends early, `BadAnswer` if it is anything else than XML.
    """
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(content, parser)
    except etree.XMLSyntaxError as exc:
        begun = _ROOT.match(content)
        if begun and not content.rstrip().endswith(b"</" + begun.group(1) + b">"):
            raise Unreachable("the answer ended early") from exc
        raise BadAnswer("the answer is no XML") from exc
    except ValueError as exc:
        raise BadAnswer("the answer is no XML") from exc
    if root.getroottree().docinfo.internalDTD is not None:
        raise BadAnswer("the answer brings a document type of its own")
    return root


@lru_cache(maxsize=64)
def _status(line: str) -> int:
    found = _STATUS_LINE.search(line)
    return int(found.group(1)) if found else 0


def _resources(response: etree._Element, base: str) -> Iterator[Resource]:
    """The resources of a ``response``: one, or several that share a status. Written for speed: it runs per object."""
    hrefs: list[str] = []
    props: dict[str, etree._Element] = {}
    status = 0
    for part in response:
        if part.tag == _HREF:
            hrefs.append(part.text or "")
        elif part.tag == _STATUS:
            status = _status(part.text or "")
        elif part.tag == _PROPSTAT:
            found, code = None, 0
            for inner in part:
                if inner.tag == _PROP:
                    found = inner
                elif inner.tag == _STATUS:
                    code = _status(inner.text or "")
            if found is not None and 200 <= code < 300:
                for prop in found:
                    props[str(prop.tag)] = prop
    for href in hrefs:
        if href and not href.isspace():
            yield Resource(normal_href(href, base), status, props)


def parse_multistatus(response: Response) -> MultiStatus:
    """A 207 answer read in full. Raises `BadAnswer` or `Unreachable`."""
    if response.status != 207:
        raise BadAnswer(f"status {response.status} where 207 is due", status=response.status)
    root = parse_xml(response.content)
    if root.tag != DAV + "multistatus":
        raise BadAnswer("the answer is no multistatus")
    base = urlsplit(response.url).path
    resources = tuple(r for element in root.iterfind(DAV + "response") for r in _resources(element, base))
    token = root.find(DAV + "sync-token")
    return MultiStatus(resources, response.url, (token.text or "").strip() if token is not None else "")


def preconditions(response: Response) -> Mapping[str, etree._Element]:
    """The failed preconditions named in the body of an error (RFC 4918 §16), by name; empty where there are none."""
    if b"error" not in response.content:
        return {}
    try:
        root = parse_xml(response.content)
    except ConnectorError:
        return {}
    error = root if root.tag == DAV + "error" else root.find(".//" + DAV + "error")
    return {} if error is None else {str(child.tag): child for child in error.iterchildren(etree.Element)}


def retry_after(response: Response) -> float | None:
    """Seconds to wait (RFC 9110 §10.2.3); a date is read against the answer's own Date, so no clock is asked."""
    value = response.headers.get("retry-after", "").strip()
    if value.isdigit():
        return float(value)
    try:
        wanted = parsedate_to_datetime(value)
        return max(0.0, (wanted - parsedate_to_datetime(response.headers["date"])).total_seconds())
    except (KeyError, ValueError, TypeError):
        return None


def failure(response: Response, *, collection: bool = False) -> ConnectorError:
    """The error that a status of 300 and more stands for. collection: was it reading of a whole calendar?"""
    status = response.status
    host = urlsplit(response.url).hostname or ""
    if status == 401:
        return NeedsReconnect(f"{host} does not accept these credentials", status=status)
    if status == 429 or (status == 503 and "retry-after" in response.headers):
        return Throttled(f"{host} asks for fewer calls", status=status, retry_after=retry_after(response))
    if status >= 500 or status in (408, 425):
        return ServerFault(f"{host} failed with status {status}", status=status)
    if collection and status in (403, 404, 410):
        return CalendarGone(f"{host} shows no such calendar", status=status)
    if status in (404, 410):
        return Gone(f"{host} has no such object", status=status)
    if status in (412, 423):
        return Conflict(f"{host} holds a different version", status=status)
    if status in (405, 501) or status < 400:
        return BadAnswer(f"{host} answers {status}; it does not speak CalDAV there", status=status)
    reason = ", ".join(name.rpartition("}")[2] for name in preconditions(response))
    return Refused(f"{host} refuses with status {status}" + (f": {reason}" if reason else ""), status=status)


def is_page(response: Response) -> bool:
    """Did a web page come instead of an answer? A login or gateway in between says 200 to anything, a write too."""
    return bool(response.content) and response.headers.get("content-type", "").startswith("text/html")


# --- requests --------------------------------------------------------------------------------------------------------


def propfind(*names: str) -> bytes:
    """The body of a PROPFIND for properties in Clark notation."""
    return f"<d:propfind {_DECLARED}>{_prop(names)}</d:propfind>".encode()


def sync_collection(token: str) -> bytes:
    """The body of a sync-collection REPORT (RFC 6578 §3.2); the empty token asks for everything."""
    return (
        f'<d:sync-collection xmlns:d="DAV:"><d:sync-token>{escape(token)}</d:sync-token>'
        "<d:sync-level>1</d:sync-level><d:prop><d:getetag/></d:prop></d:sync-collection>"
    ).encode()


def calendar_multiget(hrefs: Iterable[Href]) -> bytes:
    """The body of a calendar-multiget REPORT (RFC 4791 §7.9)."""
    listed = "".join(f"<d:href>{escape(encoded_href(href))}</d:href>" for href in hrefs)
    return (
        '<c:calendar-multiget xmlns:d="DAV:" xmlns:c="urn:ietf:params:xml:ns:caldav">'
        f"<d:prop><d:getetag/><c:calendar-data/></d:prop>{listed}</c:calendar-multiget>"
    ).encode()


def uid_query(uid: str) -> bytes:
    """The body of a calendar-query REPORT for one UID (RFC 4791 §7.8.6); servers may answer with more."""
    return (
        '<c:calendar-query xmlns:d="DAV:" xmlns:c="urn:ietf:params:xml:ns:caldav">'
        "<d:prop><d:getetag/><c:calendar-data/></d:prop>"
        '<c:filter><c:comp-filter name="VCALENDAR"><c:comp-filter name="VEVENT"><c:prop-filter name="UID">'
        f'<c:text-match collation="i;octet">{escape(uid)}</c:text-match>'
        "</c:prop-filter></c:comp-filter></c:comp-filter></c:filter></c:calendar-query>"
    ).encode()


def quoted(etag: ETag) -> ETag:
    """An ETag as it must be sent back: Bedework escapes its quotes in the header (``%22…%22``)."""
    return etag.replace("%22", '"') if etag.startswith("%22") else etag


def same_etag(a: ETag, b: ETag) -> bool:
    """Do two etags name the same version, weakly compared (RFC 9110 §8.8.3.2)?"""
    return quoted(a).removeprefix("W/") == quoted(b).removeprefix("W/")


def if_match(etag: ETag) -> Mapping[str, str]:
    """The condition "still this version"; none for a weak etag, which never matches (RFC 9110 §13.1.1)."""
    return {"If-Match": quoted(etag)} if etag and not etag.startswith("W/") else {}


_PREFIXES = {DAV: "d", CAL: "c", CS: "cs", APPLE: "ic"}


def _prop(names: Iterable[str]) -> str:
    parts = (name.rpartition("}") for name in names)
    return "<d:prop>" + "".join(f"<{_PREFIXES[space + '}']}:{local}/>" for space, _, local in parts) + "</d:prop>"
