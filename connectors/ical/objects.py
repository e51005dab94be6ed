"""iCalendar objects (RFC 5545) to neutral `Event` values and back; nothing here raises on what a calendar holds.

The content lines and values are read by the icalendar library; components, zones and recurrence are ours, because an
object's VTIMEZONE must not change another one's, a broken line must not hide the rest, and time must stay bounded.
Problem codes: `connectors/ical/vevent.py`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache

from icalendar.parser import Contentline, Contentlines, Parameters
from icalendar.prop import vDate, vDatetime, vDuration, vInt, vPeriod, vUTCOffset

from connectors.ical.contentline import from_mailto
from connectors.ical.entry import render_entry, update_entry
from connectors.ical.freebusy import as_events
from connectors.ical.scan import scan
from connectors.ical.values import When, texts, unescape
from connectors.ical.vevent import Problem, VEvent, event
from connectors.ical.windows import windows_zone
from connectors.ical.zones import ObjectZone, Observance, named_zone
from connectors.model import Event, PartStat, Period

__all__ = ["calendar_zone", "feed_name", "feed_zone", "parse_feed", "parse_object", "render_entry", "update_entry"]

MAX_BYTES = 10 * 1024 * 1024
"""The biggest resource that is read; feeds have their own limit."""
MAX_LINES = 2_000
"""Wanted lines read of one object: a series with 200 exceptions. The library needs up to 0.1 ms for each;
five times as many EXDATE and RDATE values."""
MAX_FEED_LINES = 200_000
"""Wanted lines read of one feed."""
MAX_LINE = 100_000
"""Characters read of one line."""

# The library's readers, typed here because it doesn't type them.
_unfold: Callable[[str], list[str]] = Contentlines.from_ical
_line: Callable[[str], Contentline] = Contentline
_read_date: Callable[[str], date] = vDate.from_ical
_read_time: Callable[[str], datetime] = vDatetime.from_ical
_read_duration: Callable[[str], timedelta] = vDuration.from_ical
_read_period: Callable[[str], tuple[datetime, datetime | timedelta]] = vPeriod.from_ical
_read_offset: Callable[[str], timedelta] = vUTCOffset.from_ical

_NAME = re.compile(r"[ \t]*([A-Za-z0-9-]+)[ \t]*[:;]")
_TIMED = frozenset({"DTSTART", "DTEND", "RECURRENCE-ID"})
_TEXTS = {"STATUS": "status", "TRANSP": "transp", "X-MICROSOFT-CDO-BUSYSTATUS": "busystatus"}
_WANTED = frozenset(
    {*_TIMED, *_TEXTS, "UID", "DURATION", "RRULE", "RDATE", "EXDATE", "SEQUENCE", "SUMMARY", "CATEGORIES"}
    | {"X-SLOTLEDGER-KEY", "ATTENDEE", "ORGANIZER"}
)


def parse_object(
    raw: bytes,
    *,
    href: str,
    etag: str,
    window: Period,
    timezone: str,
    own_addresses: frozenset[str] = frozenset(),
    keep_text: bool = True,
) -> Event:
    """One calendar resource as one `Event` with its occurrences inside ``window``. Never raises on content.

    timezone: the calendar's IANA zone, for floating times and all-day days; UTC where it isn't known. own_addresses:
    the owner's, lower-case, to find the own PARTSTAT. keep_text: fill title and categories. What is wrong is said in
    ``problem``, what can be read is busy; an object without VEVENT has no occurrences.
    """
    try:
        if len(raw) > MAX_BYTES:
            return Event(href, etag, "", problem=Problem.TOO_LARGE)
        zone = calendar_zone(timezone)
        plain = scan(raw, own_addresses)
        if plain is not None:
            return event((plain,), href=href, etag=etag, window=window, zone=zone, keep_text=keep_text)
        reader = _Reader(zone, own_addresses, MAX_LINES)
        parts = reader.read(_lines(raw))
        return event(
            parts,
            href=href,
            etag=etag,
            window=window,
            zone=reader.zone,
            keep_text=keep_text,
            problems=reader.problems,
        )
    except (ValueError, ArithmeticError, LookupError, TypeError, AttributeError, RecursionError):
        return Event(href, etag, "", problem=Problem.UNREADABLE)  # the promise of this function, whatever they send


def parse_feed(
    raw: bytes,
    *,
    window: Period,
    timezone: str = "",
    own_addresses: frozenset[str] = frozenset(),
    keep_text: bool = True,
) -> list[Event]:
    """Every UID of a feed as one `Event`: href is the UID, etag a digest of what it says. Never raises on content.

    The busy periods of a VFREEBUSY come as events, too. timezone: the calendar's IANA zone; where it is ``""`` the feed's own X-WR-TIMEZONE counts. VEVENTs without a UID
    come as one event each, named by their digest.
    """
    reader = _Reader(calendar_zone(timezone or feed_zone(raw)), own_addresses, MAX_FEED_LINES)
    lines = _lines(raw)
    if b"VFREEBUSY" in raw.upper():
        lines = list(as_events(lines))
    groups: dict[str, list[VEvent]] = {}
    digests: dict[str, bytes] = {}
    for part, source in reader.read_each(lines):
        digest = hashlib.sha256(source).digest()
        name = part.uid or f"no-uid-{digest.hex()[:32]}"
        groups.setdefault(name, []).append(part)
        digests[name] = hashlib.sha256(digests.get(name, b"") + digest).digest()
    events = []
    for name, parts in groups.items():
        etag = f'"{digests[name].hex()[:32]}"'
        try:
            found = event(parts, href=name, etag=etag, window=window, zone=reader.zone, keep_text=keep_text)
        except (ValueError, ArithmeticError, LookupError, TypeError, AttributeError):
            found = Event(name, etag, parts[0].uid, problem=Problem.UNREADABLE)
        events.append(found)
    return events


@lru_cache(maxsize=256)
def calendar_zone(name: str) -> tzinfo:
    """The zone of a calendar by its IANA or Windows name; UTC where it isn't known."""
    return named_zone(name) or named_zone(windows_zone(name)) or UTC


def _lines(raw: bytes) -> list[str]:
    """Unfolded content lines. Text that isn't UTF-8 keeps its ASCII."""
    text = raw.decode("utf-8-sig", "replace")
    if "\r" in text and "\n" not in text:
        text = text.replace("\r", "\n")
    return list(_unfold(text))


def feed_zone(raw: bytes) -> str:
    """X-WR-TIMEZONE of a feed, ``""`` if it has none."""
    return _head(raw, "X-WR-TIMEZONE")


def feed_name(raw: bytes) -> str:
    """X-WR-CALNAME of a feed, else its NAME (RFC 7986), ``""`` if it has none."""
    return _head(raw, "X-WR-CALNAME") or _head(raw, "NAME")


def _head(raw: bytes, name: str) -> str:
    """A property of the first VCALENDAR itself, before its components."""
    head = re.split(rb"(?im)^BEGIN:V(?!CALENDAR)", raw[:100_000], maxsplit=1)[0]
    for line in _lines(head):
        found = _NAME.match(line)
        if found and found.group(1).upper() == name:
            return unescape(line.partition(":")[2]).strip()
    return ""


class _Reader:
    """Reads the VEVENTs out of content lines, with the zones that the same object defines."""

    def __init__(self, zone: tzinfo, own_addresses: frozenset[str], lines: int) -> None:
        self.zone, self.own, self.lines = zone, own_addresses, lines
        self.problems: list[str] = []
        self.defined: dict[str, tuple[str, ...]] = {}
        self.left = 5 * lines

    def read(self, lines: list[str]) -> list[VEvent]:
        """All VEVENTs of one resource."""
        return [part for part, _ in self.read_each(lines)]

    def read_each(self, lines: list[str]) -> Iterator[tuple[VEvent, bytes]]:
        """Each VEVENT with what it says, for a digest; zones may be defined before or after it."""
        found: list[list[str]] = []
        self.problems.extend([] if _components(lines, found, self.defined) else [Problem.UNREADABLE])
        for component in found:
            said = [line for line in component if line[:7].upper() != "DTSTAMP"]  # feeds set it at each download
            yield self._vevent(component), "\n".join(said).encode("utf-8", "replace")

    def _vevent(self, lines: list[str]) -> VEvent:
        part = VEvent()
        seen: set[str] = set()
        for line in lines:
            match = _NAME.match(line)
            name = match.group(1).upper() if match else ""
            if name not in _WANTED or (name in ("ATTENDEE", "ORGANIZER") and not self._may_be_own(line)):
                continue
            self.lines -= 1
            if self.lines < 0:
                part.problems.append(Problem.TOO_LARGE)
                break
            if len(line) > MAX_LINE:
                line = line[:MAX_LINE]
                part.problems.append(Problem.TOO_LARGE)
            try:
                _, parameters, value = _line(line).raw_parts()
                self._property(part, name, parameters, value.strip(), first=name not in seen)
            except (ValueError, OverflowError, KeyError, TypeError, AssertionError):
                part.problems.append(Problem.BAD_PROPERTY)
            seen.add(name)
        return part

    def _property(self, part: VEvent, name: str, parameters: Parameters, value: str, *, first: bool) -> None:
        if name in ("RDATE", "EXDATE", "RRULE", "ATTENDEE", "CATEGORIES"):
            self._repeatable(part, name, parameters, value)
        elif name == "ORGANIZER":
            part.hosted = part.hosted or from_mailto(value) in self.own
        elif not first:
            return  # a property that may come once: the first counts
        elif name in _TIMED:
            moment = self._when(parameters, value, part)
            setattr(part, name.lower().replace("-", "_").removeprefix("dt"), moment)
            if name == "RECURRENCE-ID":
                part.this_and_future = str(parameters.get("RANGE", "")).upper() == "THISANDFUTURE"
        elif name in _TEXTS:
            setattr(part, _TEXTS[name], value.upper())
        elif name == "DURATION":
            part.duration = _read_duration(value)
        elif name == "SEQUENCE":
            part.sequence = max(int(vInt.from_ical(value)), 0)
        elif name == "SUMMARY":
            part.summary = unescape(value)
        elif name == "UID":
            part.uid = unescape(value)
        elif name == "X-SLOTLEDGER-KEY":
            part.key = value

    def _repeatable(self, part: VEvent, name: str, parameters: Parameters, value: str) -> None:
        if name == "RRULE":
            part.rules.append(value)
        elif name == "CATEGORIES":
            part.categories = (part.categories or ()) + texts(value)
        elif name == "ATTENDEE":
            self._answer(part, parameters, value)
        else:
            values = [text.strip() for text in value.split(",") if text.strip()]
            self.left -= len(values)
            if self.left < 0:
                part.problems.append(Problem.TOO_LARGE)
                return
            zone = self._tzid(parameters, part)
            for text in values:
                if name == "EXDATE":
                    part.exdates.append(_when(text, zone))
                elif "/" in text:
                    part.rdates.append(_period(text, zone))
                else:
                    part.rdates.append(_when(text, zone))

    def _answer(self, part: VEvent, parameters: Parameters, value: str) -> None:
        """PARTSTAT of the calendar's owner, whose address may stand in a parameter beside a urn:uuid."""
        if self.own.isdisjoint({from_mailto(value), from_mailto(str(parameters.get("EMAIL", "")))}):
            return
        try:
            part.partstat = PartStat(str(parameters.get("PARTSTAT", "NEEDS-ACTION")).upper())
        except ValueError:
            part.partstat = PartStat.NEEDS_ACTION  # RFC 5545 §3.2.12: what isn't known counts as that

    def _may_be_own(self, line: str) -> bool:
        lower = line.lower()
        return "%" in lower or any(address in lower for address in self.own)

    def _when(self, parameters: Parameters, value: str, part: VEvent) -> When:
        return _when(value, self._tzid(parameters, part))

    def _tzid(self, parameters: Parameters, part: VEvent) -> tzinfo | None:
        """The zone that a TZID parameter means: IANA name, the object's VTIMEZONE, Windows name; else floating."""
        if "TZID" not in parameters:
            return None
        tzid = parameters["TZID"]
        tzid = str(tzid).strip() if not isinstance(tzid, list) else ",".join(map(str, tzid))
        zone = named_zone(tzid) or self._defined(tzid) or named_zone(windows_zone(tzid))
        if zone is None:
            part.problems.append(Problem.UNKNOWN_ZONE)
        return zone

    def _defined(self, tzid: str) -> tzinfo | None:
        source = self.defined.get(tzid)
        return _object_zone(source) if source else None


def _components(lines: Iterable[str], found: list[list[str]], zones: dict[str, tuple[str, ...]]) -> bool:
    """Own lines of each VEVENT, without those of components inside it, and of each VTIMEZONE by TZID with them.
    False if this is no calendar, or one that stops in the middle; what was there until then is kept."""
    stack: list[str] = []
    current: list[str] = []
    calendar = False
    for line in lines:
        start = line[:6].upper()
        if start == "BEGIN:":
            name = line[6:].strip().upper()
            calendar = calendar or name == "VCALENDAR"
            stack.append(name)
            if name in ("VEVENT", "VTIMEZONE"):
                current = []
                if name == "VEVENT":
                    found.append(current)
            elif "VTIMEZONE" in stack:
                current.append(line)
        elif start[:4] == "END:":
            name = line[4:].strip().upper()
            if name not in stack:
                continue
            while stack and stack.pop() != name:
                pass
            if "VTIMEZONE" in stack:
                current.append(line)
            elif name == "VTIMEZONE":
                zones[_zone_name(current)] = tuple(current)
        elif stack and (stack[-1] == "VEVENT" or "VTIMEZONE" in stack):
            current.append(line)
    return calendar and not stack


def _zone_name(lines: list[str]) -> str:
    for line in lines:
        if line[:5].upper() in ("TZID:", "TZID;"):
            return line[line.index(":") + 1 :].strip()
    return ""


@lru_cache(maxsize=256)
def _object_zone(lines: tuple[str, ...]) -> tzinfo | None:
    """The zone that VTIMEZONE lines describe, None if they don't. Kept by their text: many objects carry the same."""
    observances: list[Observance] = []
    values: dict[str, str] = {}
    for line in lines[:200]:
        start = line[:4].upper()
        if start == "BEGI":
            values = {}
        elif start == "END:" and values:
            try:
                observances.append(_observance(values))
            except (ValueError, KeyError):
                return None
        else:
            head, _, value = line.partition(":")
            name = head.partition(";")[0].strip().upper()
            values[name] = f"{values[name]},{value}" if name == "RDATE" and name in values else value.strip()
    try:
        return ObjectZone(_zone_name(list(lines)), observances) if observances else None
    except (ValueError, OverflowError, LookupError):
        return None


def _observance(values: dict[str, str]) -> Observance:
    start = _read_time(values["DTSTART"])
    rdates = [_read_time(text.strip()) for text in values.get("RDATE", "").split(",") if text.strip()]
    return Observance(
        start.replace(tzinfo=None),
        _read_offset(values["TZOFFSETFROM"]),
        _read_offset(values["TZOFFSETTO"]),
        values.get("RRULE", ""),
        tuple(rdate.replace(tzinfo=None) for rdate in rdates),
    )


def _when(text: str, zone: tzinfo | None) -> When:
    if len(text) == 8:
        return _read_date(text)
    moment = _read_time(text)
    if moment.tzinfo is not None:
        return moment.replace(tzinfo=UTC)
    return moment.replace(tzinfo=zone)


def _period(text: str, zone: tzinfo | None) -> tuple[When, When | timedelta]:
    start, end = _read_period(text)
    if isinstance(end, timedelta):
        return _zoned(start, zone), end
    return _zoned(start, zone), _zoned(end, zone)


def _zoned(moment: datetime, zone: tzinfo | None) -> datetime:
    return moment.replace(tzinfo=UTC if moment.tzinfo is not None else zone)
