"""How every mail looks: one design, once as HTML and once as plain text, both written from the same `Body`."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from jinja2 import Environment

from booking.i18n import Reader, environment

FOLDER = Path(__file__).parent / "templates" / "mail"
_BLANKS = re.compile(r"\s+")
_ADDRESS_LIKE = re.compile(r"[/\\@<>]|www\.|\w\.\w", re.IGNORECASE)
_ISOLATES = re.compile("[\u2066-\u2069]")


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing to know: a label and its lines. href: what a single line links to. strong: how many lines stand out."""

    label: str
    lines: tuple[str, ...]
    href: str = ""
    strong: int = 1


@dataclass(frozen=True, slots=True)
class Action:
    """Something the reader can do, as a link. main: the one that is drawn as a filled button."""

    label: str
    url: str
    main: bool = False


@dataclass(frozen=True, slots=True)
class Aside:
    """Small links below, for the few who need them. label: ``""`` where they speak for themselves."""

    label: str
    links: tuple[tuple[str, str], ...]
    """``(name, url)``"""


@dataclass(frozen=True, slots=True)
class Body:
    """What a mail says, in the reader's language. accent: ``good``, ``wait``, ``bad`` or ``plain``, the mood of its mark."""

    subject: str
    heading: str
    greeting: str
    paragraphs: tuple[str, ...]
    facts: tuple[Fact, ...] = ()
    actions: tuple[Action, ...] = ()
    asides: tuple[Aside, ...] = ()
    footer: tuple[str, ...] = ()
    accent: str = "plain"


def one_line(text: str) -> str:
    """A text of one line without control characters: fit for a subject, a name, a label."""
    kept = "".join(c for c in text if unicodedata.category(c) not in {"Cc", "Cs"} or c.isspace())
    return _BLANKS.sub(" ", kept).strip()


def subject(text: str) -> str:
    """One line, no marks of direction, at most 150 characters."""
    plain = one_line(_ISOLATES.sub("", text))
    return plain if len(plain) <= 150 else plain[:149].rstrip() + "…"


def courteous_name(name: str) -> str:
    """The name to greet somebody by, ``""`` where it looks like an advertisement: anybody may type anything there and
    have it mailed to a stranger."""
    plain = one_line(name)
    return "" if len(plain) > 80 or _ADDRESS_LIKE.search(plain) else plain


def write(body: Body, reader: Reader) -> tuple[str, str]:
    """``(text, html)``, saying the same."""
    values = {"body": body, "language": reader.language, "dir": reader.direction}
    text = _templates().get_template("letter.txt").render(values)
    html = _templates().get_template("letter.html").render(values)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n", html


@lru_cache(maxsize=1)
def _templates() -> Environment:
    return environment(FOLDER)
