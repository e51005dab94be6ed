"""`Entry` to the VEVENT that we store (PROVIDERS C4), and into one that its owner has worked on since. Pure.

No METHOD, ORGANIZER or ATTENDEE: a calendar server that schedules would mail invitations of its own. All times are
UTC, all stamps come from the entry, so the same entry gives the same bytes.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator

from connectors.ical.contentline import component, content_line, escape, fold, one_line, utc
from connectors.ical.vevent import own_key
from connectors.model import Entry

PRODID = "-//Slotledger//Slotledger//EN"
_FOLDED = re.compile(r"(\r\n|\n|\r)[ \t]")
_TEXTS = ("SUMMARY", "DESCRIPTION", "LOCATION", "URL")
_OURS = frozenset(
    {"DTSTAMP", "LAST-MODIFIED", "SEQUENCE", "DTSTART", "DTEND", "DURATION", "STATUS", "X-MICROSOFT-CDO-ALLDAYEVENT"}
    | {"X-SLOTLEDGER-KEY", "X-SLOTLEDGER-MARKER", "X-SLOTLEDGER-WROTE"}
)


def render_entry(entry: Entry) -> bytes:
    """The calendar object of an entry; the same bytes for the same entry."""
    lines = [
        content_line("UID", escape(one_line(entry.uid))),
        content_line("CREATED", utc(entry.created_at)),
        *_our_lines(entry),
        *(_text_line(name, text) for name, text in _texts(entry).items() if text),
        content_line("TRANSP", "OPAQUE"),
        content_line("CLASS", "PRIVATE"),
        *_categories(entry),
    ]
    head = [content_line("VERSION", "2.0"), content_line("PRODID", PRODID), content_line("CALSCALE", "GREGORIAN")]
    return component("VCALENDAR", [*head, component("VEVENT", lines)])


def update_entry(raw: bytes, entry: Entry) -> bytes:
    """The same object with our times, texts and stamps in it, and all that its owner added kept.

    Title, description, location and URL are replaced as long as they are as we wrote them; a text that the owner has
    changed stays (X-SLOTLEDGER-WROTE holds digests of ours; where a server lost it, ours replace). TRANSP, CLASS,
    CATEGORIES, alarms, colours and unknown properties stay. An object without a VEVENT is written anew.
    """
    lines = _unfolded(raw)
    where = _our_component(lines, entry)
    if where is None:
        return render_entry(entry)
    first, last = where
    kept: list[str] = []
    texts, wrote = _texts(entry), _wrote(lines[first:last])
    present: set[str] = set()
    depth = 0
    for line in lines[first:last]:
        name = _name(line)
        depth += {"BEGIN": 1, "END": -1}.get(name, 0)
        if depth or name == "END":
            kept.append(line)
        elif name in _TEXTS:
            if name not in present and not _is_ours(name, line, wrote):
                kept.append(line)
                texts.pop(name, None)
            present.add(name)
        elif name not in _OURS:
            present.add(name)
            kept.append(line)
    new = [*_our_lines(entry), *(_text_line(name, text) for name, text in texts.items() if text)]
    if "CATEGORIES" not in present:
        new.extend(_categories(entry))
    if "UID" not in present:
        new.append(content_line("UID", escape(one_line(entry.uid))))
    # ours first: alarms must come after all properties (RFC 5545 §3.6.1)
    return b"".join([*map(fold, lines[:first]), *new, *map(fold, [*kept, *lines[last:]])])


def _our_lines(entry: Entry) -> list[bytes]:
    return [
        content_line("DTSTAMP", utc(entry.updated_at)),
        content_line("LAST-MODIFIED", utc(entry.updated_at)),
        content_line("SEQUENCE", str(entry.sequence)),
        content_line("DTSTART", utc(entry.period.start)),
        content_line("DTEND", utc(entry.period.end)),
        content_line("STATUS", "CONFIRMED"),
        content_line("X-SLOTLEDGER-KEY", one_line(entry.key)),
        content_line("X-SLOTLEDGER-MARKER", escape(one_line(entry.marker))),
        content_line("X-SLOTLEDGER-WROTE", _digests(entry)),
    ]


def _texts(entry: Entry) -> dict[str, str]:
    return {
        "SUMMARY": one_line(entry.title),
        "DESCRIPTION": entry.description,
        "LOCATION": one_line(entry.location),
        "URL": one_line(entry.url),
    }


def _text_line(name: str, text: str) -> bytes:
    return content_line(name, text if name == "URL" else escape(text))


def _categories(entry: Entry) -> Iterator[bytes]:
    words = [escape(one_line(word)) for word in entry.categories if one_line(word)]
    if words:
        yield content_line("CATEGORIES", ",".join(words))


def _digests(entry: Entry) -> str:
    """``SUMMARY=…`` of each text that we write, so that an update can tell whether it is still ours."""
    digests = [f"{name}={_digest(_text_value(_text_line(name, text)))}" for name, text in _texts(entry).items() if text]
    return "/".join(digests) or "NONE"


def _text_value(line: bytes) -> str:
    return _unfolded(line)[0].partition(":")[2]


def _digest(value: str) -> str:
    """Of a text as it stands in the object; servers may trim it or escape it more or less than we do."""
    bare = re.sub(r"\\[nN]|\\|\s", "", value)
    return hashlib.sha256(bare.encode("utf-8", "replace")).hexdigest()[:16]


def _is_ours(name: str, line: str, wrote: dict[str, str] | None) -> bool:
    if wrote is None:
        return True
    value = line.partition(":")[2] if '"' not in line.partition(":")[0] else line.rpartition('":')[2]
    return wrote.get(name) == _digest(value)


def _wrote(lines: list[str]) -> dict[str, str] | None:
    for line in lines:
        if _name(line) == "X-SLOTLEDGER-WROTE":
            pairs = (pair.partition("=") for pair in line.partition(":")[2].split("/"))
            return {name.strip(): value.strip() for name, _, value in pairs}
    return None


def _name(line: str) -> str:
    return re.split("[:;]", line, maxsplit=1)[0].strip().upper()


def _unfolded(raw: bytes) -> list[str]:
    text = _FOLDED.sub("", raw.decode("utf-8-sig", "replace"))
    return [line for line in re.split(r"\r\n|\n|\r", text) if line.strip()]


def _our_component(lines: list[str], entry: Entry) -> tuple[int, int] | None:
    """Where our VEVENT's inner lines begin and end: the one with our key or UID, else the first; never an exception."""
    found: list[tuple[int, int]] = []
    start = None
    for number, line in enumerate(lines):
        upper = line.strip().upper()
        if upper == "BEGIN:VEVENT":
            start = number + 1
        elif upper == "END:VEVENT" and start is not None:
            if not any(_name(inner) == "RECURRENCE-ID" for inner in lines[start:number]):
                found.append((start, number))
            start = None
    for first, last in found:
        values = {_name(line): line.partition(":")[2].strip() for line in lines[first:last]}
        uid = values.get("UID", "")
        if uid == entry.uid or own_key(values.get("X-SLOTLEDGER-KEY", ""), uid) == entry.key:
            return first, last
    return found[0] if found else None
