"""Reads scheduling messages (RFC 5546) into the values of `connectors/ical/itip.py`; everything here came from strangers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta

import icalendar

from connectors.ical.contentline import from_mailto, one_line, plain_text
from connectors.ical.itip import Counter, Message, Method, OrganizerMessage, Refresh, Reply
from connectors.model import Attendee, PartStat, Period

MAX_BYTES = 256 * 1024
MAX_EVENTS = 5
MAX_COMMENT = 2000
"""Characters kept of a comment."""


class Unreadable(ValueError):
    """It is no scheduling message."""


def parse(ics: bytes, *, sender: str = "") -> Message:
    """The scheduling message in a ``text/calendar`` body.

    sender: lower-case From address; decides who answers where a client lists several attendees. Of several VEVENTs the
    first counts; they must share a UID. Raises `Unreadable` for everything that isn't such a message, or is too big.
    """
    if len(ics) > MAX_BYTES:
        raise Unreadable(f"the calendar part has {len(ics)} octets")
    if len(re.findall(rb"(?im)^BEGIN:VEVENT", ics)) > MAX_EVENTS:
        raise Unreadable("too many events")
    calendar, event = _read(ics)
    try:
        method = Method(one_line(str(calendar.get("METHOD", ""))).upper())
    except ValueError:
        raise Unreadable("no METHOD that is known") from None
    uid = one_line(_first(event, "UID"))
    if not uid:
        raise Unreadable("no UID")
    sequence, dtstamp = _sequence(event), _instant(event, "DTSTAMP")
    attendee, organizer = _attendee(event, sender), from_mailto(_first(event, "ORGANIZER"))
    if method not in (Method.REPLY, Method.COUNTER, Method.REFRESH):
        return OrganizerMessage(
            method=method,
            uid=uid,
            sequence=sequence,
            dtstamp=dtstamp,
            attendee=attendee,
            organizer=organizer,
            period=_period(event),
            status=one_line(_first(event, "STATUS")).upper(),
        )
    if attendee is None:
        raise Unreadable("nobody answers: no ATTENDEE")
    if method is Method.REFRESH:
        return Refresh(uid=uid, dtstamp=dtstamp, attendee=attendee, organizer=organizer)
    comment, recurrence_id = _comment(event), _recurrence_id(event)
    if method is Method.COUNTER:
        return Counter(uid, sequence, dtstamp, attendee, _period(event), organizer, comment, recurrence_id)
    return Reply(uid, sequence, dtstamp, attendee, organizer, comment, _period(event), recurrence_id)


def _read(ics: bytes) -> tuple[icalendar.Component, icalendar.Component]:
    try:
        calendars = icalendar.Calendar.from_ical(ics, multiple=True)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
        raise Unreadable(f"no iCalendar: {type(error).__name__}") from error
    calendar = next((found for found in calendars if found.name == "VCALENDAR"), None)
    if calendar is None:
        raise Unreadable("no VCALENDAR")
    events = calendar.walk("VEVENT")
    if not events:
        raise Unreadable("no VEVENT")
    if len({_first(event, "UID") for event in events}) > 1:
        raise Unreadable("several UIDs in one message")
    return calendar, events[0]


def _all(event: icalendar.Component, name: str) -> list[object]:
    value = event.get(name)
    return [] if value is None else list(value) if isinstance(value, list) else [value]


def _first(event: icalendar.Component, name: str) -> str:
    values = _all(event, name)
    return str(values[0]) if values else ""


def _sequence(event: icalendar.Component) -> int:
    digits = _first(event, "SEQUENCE").strip()
    return int(digits) if re.fullmatch(r"[0-9]{1,9}", digits) else 0


def _decoded(value: object, name: str) -> object:
    """An attribute of a property value; None of a value that icalendar couldn't read, which raises at every touch."""
    try:
        return getattr(value, name, None)
    except ValueError:
        return None


def _day_or_time(event: icalendar.Component, name: str) -> date | None:
    for value in _all(event, name):
        moment = _decoded(value, "dt")
        if isinstance(moment, date):
            return moment
    return None


def _instant(event: icalendar.Component, name: str) -> datetime | None:
    moment = _day_or_time(event, name)
    if isinstance(moment, datetime) and moment.tzinfo is not None:
        try:
            return moment.astimezone(UTC)
        except (OverflowError, ValueError):
            return None
    return None


def _period(event: icalendar.Component) -> Period | None:
    """What DTSTART, DTEND and DURATION say, where that is a span between instants."""
    start, end = _instant(event, "DTSTART"), _instant(event, "DTEND")
    if start is None:
        return None
    if end is None:
        lengths = [_decoded(value, "dt") for value in _all(event, "DURATION")]
        length = lengths[0] if lengths else None
        if not isinstance(length, timedelta):
            return None
        try:
            end = start + length
        except OverflowError:
            return None
    return Period(start, end) if start < end else None


def _recurrence_id(event: icalendar.Component) -> str:
    moment = _day_or_time(event, "RECURRENCE-ID")
    if isinstance(moment, datetime):
        return moment.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ") if moment.tzinfo else moment.strftime("%Y%m%dT%H%M%S")
    return moment.strftime("%Y%m%d") if moment else ""


def _comment(event: icalendar.Component) -> str:
    # Outlook writes the note into DESCRIPTION too, but there the whole invitation may stand: COMMENT alone is an answer.
    return "\n".join(plain_text(str(value)) for value in _all(event, "COMMENT"))[:MAX_COMMENT].strip()


def _attendee(event: icalendar.Component, sender: str) -> Attendee | None:
    """Who answers: the only attendee, else the one who sent it, else the first who has answered at all."""
    found: list[Attendee] = []
    for value in _all(event, "ATTENDEE"):
        parameters = _decoded(value, "params")
        if not isinstance(parameters, Mapping):
            parameters = {}
        # CalDAV servers write a principal or a urn: there, and the address beside it (RFC 7986 §6.2).
        email = from_mailto(str(value)) or from_mailto(str(parameters.get("EMAIL", "")))
        if not email:
            continue
        try:
            partstat = PartStat(str(parameters.get("PARTSTAT", PartStat.NEEDS_ACTION)).strip().upper())
        except ValueError:
            partstat = PartStat.NEEDS_ACTION  # RFC 5545 §3.2.12: what isn't known is treated as NEEDS-ACTION
        found.append(Attendee(email=email, name=one_line(str(parameters.get("CN", ""))), partstat=partstat))
    by_sender = [attendee for attendee in found if sender and attendee.email == sender.lower()]
    answered = [attendee for attendee in found if attendee.partstat is not PartStat.NEEDS_ACTION]
    return next(iter(by_sender or answered or found), None)


def method_of(message: Message) -> Method:
    """The METHOD a value came from."""
    if isinstance(message, OrganizerMessage):
        return message.method
    return (
        Method.REPLY
        if isinstance(message, Reply)
        else Method.COUNTER
        if isinstance(message, Counter)
        else Method.REFRESH
    )
