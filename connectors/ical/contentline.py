"""Content lines as RFC 5545 §3.1 writes them: escaped, quoted, folded at 75 octets, safe against injection."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from urllib.parse import unquote

FOLD_AT = 75
"""Octets a physical line may hold, its CRLF not counted (RFC 5545 §3.1)."""

# Everything some reader takes for a line end: str.splitlines() knows more of them than RFC 5545 does.
_LINE_ENDS = re.compile("\r\n|[\r\n\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029]")
_CONTROLS = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\ufeff]")
# Overrides and embeddings can make one field swallow what is displayed after it; plain RTL text needs none of them.
_BIDI_CONTROLS = re.compile("[\u202a-\u202e\u2066-\u2069]")
_BLANKS = re.compile(r"[ \t]+")
_ATEXT = r"[^\s@<>()\[\]\\,;:\"\x00-\x20\x7f-\xa0]"
_LABEL = _ATEXT.replace("@", "@.")
_ADDRESS = re.compile(rf"{_ATEXT}{{1,64}}@(?=.{{1,255}}$){_LABEL}+(?:\.{_LABEL}+)*")
_PARAMETER_NAME = re.compile(r"[A-Z0-9-]+")


def plain_text(text: str) -> str:
    """Text of many lines without control characters; line ends of every kind become LF, tabs a blank."""
    unified = _LINE_ENDS.sub("\n", text)
    cleaned = _CONTROLS.sub("", unified).replace("\t", " ")
    return cleaned.encode("utf-8", "replace").decode("utf-8")


def one_line(text: str) -> str:
    """Text of one line without control characters, line ends and direction overrides; runs of blanks become one."""
    return _BLANKS.sub(" ", _BIDI_CONTROLS.sub("", plain_text(text)).replace("\n", " ")).strip()


def address(email: str) -> str:
    """The bare mail address, local part untouched, domain lower-case. Raises ValueError for anything else,
    so that no address can carry a second header, parameter or recipient."""
    if not _ADDRESS.fullmatch(email):  # \s there covers the Unicode line ends too
        raise ValueError("not a mail address")
    local, _, domain = email.rpartition("@")
    return f"{local}@{domain.lower()}"


def ascii_domain(email: str) -> str:
    """The address with its domain in ASCII (IDNA). Raises ValueError where that can't be."""
    local, _, domain = address(email).rpartition("@")
    try:
        return f"{local}@{domain if domain.isascii() else domain.encode('idna').decode('ascii')}"
    except UnicodeError:
        raise ValueError("not a mail address") from None


def mailto(email: str) -> str:
    """A ``mailto:`` URI (RFC 6068), percent-encoded no further than it must be: clients compare it literally, and with
    the address that the mail went to, so its domain is in ASCII here as there."""
    return "mailto:" + re.sub(r"[%?#]", lambda hit: f"%{ord(hit.group()):02X}", ascii_domain(email))


def from_mailto(uri: str) -> str:
    """The lower-case address in a ``mailto:`` URI or bare address, ``""`` where there is none."""
    bare = uri.strip()
    if bare[:7].lower() == "mailto:":
        bare = unquote(bare[7:].partition("?")[0])
    bare = bare.strip().strip("<>").lower()
    return bare if _ADDRESS.fullmatch(bare) else ""


def escape(text: str) -> str:
    """A TEXT value (RFC 5545 §3.3.11)."""
    escaped = plain_text(text).replace("\\", "\\\\").replace(";", "\\;").replace(",", "\\,")
    return escaped.replace("\n", "\\n")


def parameter(text: str) -> str:
    """A parameter value: quoted where it must be, carets by RFC 6868, double quotes taken out (not every client
    decodes ``^'``)."""
    value = one_line(text).replace('"', "").replace("^", "^^").strip()
    return f'"{value}"' if re.search(r"[:;,]", value) else value


def utc(instant: datetime) -> str:
    """A DATE-TIME in UTC (RFC 5545 §3.3.5 form 2), whole seconds. Raises ValueError for a naive one."""
    if instant.tzinfo is None:
        raise ValueError("a naive datetime has no place in a message")
    return instant.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")


def fold(line: str) -> bytes:
    """One logical line as bytes with CRLF, folded at 75 octets between characters."""
    octets = line.encode("utf-8", "replace")
    folded: list[bytes] = []
    while len(octets) > (room := FOLD_AT if not folded else FOLD_AT - 1):
        cut = room
        while octets[cut] & 0xC0 == 0x80:  # never inside a character
            cut -= 1
        folded.append(octets[:cut])
        octets = octets[cut:]
    folded.append(octets)
    return b"\r\n ".join(folded) + b"\r\n"


def content_line(name: str, value: str, parameters: Mapping[str, str] | None = None) -> bytes:
    """``NAME;PARAM=value:value`` folded. value: already in its wire form; a line end left in it raises ValueError."""
    if _LINE_ENDS.search(value) or _CONTROLS.search(value):
        raise ValueError(f"{name} holds a control character")
    shown: list[str] = [name]
    for key, raw in (parameters or {}).items():
        if not _PARAMETER_NAME.fullmatch(key):
            raise ValueError(f"{key!r} is not a parameter name")
        if wire := parameter(raw):
            shown.append(f"{key}={wire}")
    return fold(";".join(shown) + ":" + value)


def component(name: str, lines: Iterable[bytes]) -> bytes:
    """``BEGIN:NAME`` … ``END:NAME`` around lines that are folded already."""
    return fold(f"BEGIN:{name}") + b"".join(lines) + fold(f"END:{name}")
