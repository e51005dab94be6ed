"""Writes MIME messages as pure ASCII (RFC 2045 to 2047, RFC 5322), the same bytes for the same values for ever.

The standard library's generator draws random boundaries and folds headers differently from release to release; a message
that is sent again after a crash has to be the very same one.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256

from connectors.ical.contentline import ascii_domain, one_line, plain_text

LINE = 76
"""Characters a written line holds at most where it can be broken (RFC 2045 §6.7, RFC 2047 §2)."""

_WORD_OCTETS = 36  # 48 in base64, 60 as a word: fits behind "Reply-To: " in one line
_HEADER_NAME = re.compile(r"[A-Za-z0-9-]{1,60}")
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]*")
_TOKEN = re.compile(r"[A-Za-z0-9!#$&.+^_-]+")


def encoded_words(text: str) -> list[str]:
    """Encoded words of RFC 2047, base64 in UTF-8, each of whole characters and short enough to follow a header's name."""
    words: list[str] = []
    chunk = b""
    for character in text:
        octets = character.encode("utf-8", "replace")
        if len(chunk) + len(octets) > _WORD_OCTETS:
            words.append(_word(chunk))
            chunk = b""
        chunk += octets
    return [*words, _word(chunk)] if chunk else words


def _word(chunk: bytes) -> str:
    return f"=?utf-8?b?{base64.b64encode(chunk).decode('ascii')}?="


def unstructured(text: str) -> list[str]:
    """A free text as tokens between which a header may be folded."""
    value = one_line(text)
    # A word that only looks encoded would be decoded by the reader; and no token may be longer than a line.
    if value.isascii() and "=?" not in value and all(len(token) < LINE for token in value.split(" ")):
        return value.split(" ")
    return encoded_words(value)


def mailbox(email: str, name: str = "") -> list[str]:
    """``name <email>`` as tokens. The domain goes out as ASCII (IDNA). Raises ValueError for no real address."""
    spec = f"<{ascii_domain(email)}>"
    shown = one_line(name)
    if not shown:
        return [spec]
    if _ATOMS.fullmatch(shown) and "=?" not in shown and len(shown) < LINE:
        return [*shown.split(" "), spec]
    if shown.isascii() and "=?" not in shown and len(shown) < LINE - 10:
        quoted = shown.replace("\\", "\\\\").replace('"', '\\"')
        return [f'"{quoted}"', spec]
    return [*encoded_words(shown), spec]


def header(name: str, tokens: Sequence[str]) -> bytes:
    """One header field, folded before the token that would make its line longer than 76 characters, never before the
    first: some readers lose a value that starts on the second line."""
    if not _HEADER_NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not a header name")
    line, lines = f"{name}:", []
    for token in tokens:
        if any(character < " " or character == "\x7f" for character in token):
            raise ValueError(f"{name} holds a control character")
        if len(line) + 1 + len(token) > LINE and line != f"{name}:":
            lines.append(line)
            line = ""
        line += " " + token
    lines.append(line)
    return "\r\n".join(lines).encode("utf-8") + b"\r\n"


def content_type(media: str, parameters: Mapping[str, str] | None = None) -> bytes:
    """A Content-Type field; parameter values are tokens or go quoted."""
    tokens = [media]
    for key, value in (parameters or {}).items():
        tokens[-1] += ";"
        tokens.append(f"{key}={value}" if _TOKEN.fullmatch(value) else f'{key}="{value}"')
    return header("Content-Type", tokens)


def text_part(media: str, text: str) -> bytes:
    """A part of text in UTF-8: quoted-printable, or base64 where that is shorter."""
    lines = plain_text(text).removesuffix("\n") + "\n"
    quoted = binascii.b2a_qp(lines.encode("utf-8"), istext=True)
    encoded = base64.encodebytes(lines.replace("\n", "\r\n").encode("utf-8"))
    encoding, body = ("quoted-printable", quoted) if len(quoted) <= len(encoded) else ("base64", encoded)
    return (
        content_type(media, {"charset": "utf-8"})
        + header("Content-Transfer-Encoding", [encoding])
        + b"\r\n"
        + body.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    )


def binary_part(media: str, parameters: Mapping[str, str], octets: bytes, *, filename: str = "") -> bytes:
    """A part in base64; with a file name it is an attachment."""
    disposition = header("Content-Disposition", ["attachment;", f'filename="{filename}"']) if filename else b""
    return (
        content_type(media, parameters)
        + header("Content-Transfer-Encoding", ["base64"])
        + disposition
        + b"\r\n"
        + base64.encodebytes(octets).replace(b"\n", b"\r\n")
    )


def multipart(subtype: str, seed: str, parts: Iterable[bytes]) -> bytes:
    """A multipart entity. seed: unique to the message and this entity in it; the boundary follows from it."""
    # "=_" can stand in no quoted-printable or base64 line, so no part holds the boundary (RFC 2045 §6.7).
    boundary = "=_" + sha256(f"{subtype}:{seed}".encode()).hexdigest()[:40]
    mark = b"--" + boundary.encode("ascii")
    return (
        content_type(f"multipart/{subtype}", {"boundary": boundary})
        + b"\r\n"
        + b"".join(mark + b"\r\n" + part + b"\r\n" for part in parts)
        + mark
        + b"--\r\n"
    )
