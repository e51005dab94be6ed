"""``make i18n``: gather every text of code and templates, carry it into each language, complain about what is missing.

What is written depends on the texts alone (no dates, no line numbers), so running it again changes nothing.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

from babel.messages import Catalog, Message
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

from booking.i18n import DEFAULT, LANGUAGES, LOCALES, po_path

ROOT = Path(__file__).parent.parent
SOURCES = ("booking", "api")
"""Packages whose texts people read."""
TEMPLATE = LOCALES / "messages.pot"
_METHODS = [("**.py", "python"), ("**/templates/**.html", "jinja2"), ("**/templates/**.txt", "jinja2")]
_OPTIONS = {"**/templates/**": {"trimmed": "true", "silent": "false"}}
_KEYWORDS: dict[str, tuple[int | tuple[int, str], ...] | None] = {
    "_": None,
    "gettext": None,
    "marked": None,
    "ngettext": (1, 2),
    "pgettext": ((1, "c"), 2),
    "npgettext": ((1, "c"), 2, 3),
}
# CLDR's plural categories in its order (zero, one, two, few, many, other), for numbers below a million.
_PLURALS = {
    "hu": (2, "(n != 1)"),
    "de": (2, "(n != 1)"),
    "fr": (2, "(n > 1)"),
    "es": (2, "(n != 1)"),
    "it": (2, "(n != 1)"),
    "ar": (6, "(n==0 ? 0 : n==1 ? 1 : n==2 ? 2 : n%100>=3 && n%100<=10 ? 3 : n%100>=11 ? 4 : 5)"),
}
_BEFORE_MARK = {"fr": re.compile(r"(?<=\S) (?=[:;?!»])|(?<=«) ")}
"""Blanks that a language writes at its marks of punctuation, and that must not break the line."""
_PLACEHOLDER = re.compile(r"%\((\w+)\)[sd]")


def gathered() -> Catalog:
    """Every text that asks for translation, with the files it stands in."""
    found = Catalog(domain="messages", project="Slotledger", charset="utf-8", fuzzy=False, header_comment="")
    for package in SOURCES:
        for file, _, text, comments, context in extract_from_dir(
            ROOT / package, _METHODS, _OPTIONS, keywords=_KEYWORDS, comment_tags=("NOTE:",), strip_comment_tags=True
        ):
            if text and text != ("", ""):
                where = [(f"{package}/{Path(file).as_posix()}", 0)]
                found.add(text, None, where, auto_comments=comments, context=context)
    return found


def read(language: str) -> Catalog:
    """The stored translations, an empty catalogue where there are none."""
    path = po_path(language)
    stored = path.read_bytes() if path.exists() else _head(language)
    return read_po(BytesIO(stored), locale=language, domain="messages")


def _head(language: str) -> bytes:
    lines = ['msgid ""', 'msgstr ""', '"Content-Type: text/plain; charset=utf-8\\n"']
    if language:
        count, expression = _PLURALS[language]
        lines += [f'"Language: {language}\\n"', f'"Plural-Forms: nplurals={count}; plural={expression};\\n"']
    return "\n".join(lines).encode() + b"\n\n"


def problems(found: Catalog) -> Iterator[str]:
    """One line for each text that a language lacks, is unsure of (fuzzy), or fills with other placeholders."""
    for language in LANGUAGES:
        if language == DEFAULT:
            continue
        stored = read(language)
        for wanted in found:
            if wanted.id:
                yield from (f"{language}: {trouble}" for trouble in _trouble(wanted, stored))


def _trouble(wanted: Message, stored: Catalog) -> Iterator[str]:
    known = stored.get(wanted.id, wanted.context)
    forms = [] if known is None else list(known.string) if isinstance(known.string, tuple) else [known.string]
    originals = [str(text) for text in (wanted.id if isinstance(wanted.id, list | tuple) else [wanted.id])]
    title = repr(originals[0])
    if known is None or not forms or not all(forms):
        yield f"missing: {title}"
        return
    if known.fuzzy:
        yield f"fuzzy: {title}"
    if isinstance(wanted.id, tuple) and len(forms) != stored.num_plurals:
        yield f"has {len(forms)} of {stored.num_plurals} plural forms: {title}"
    allowed = {name for original in originals for name in _PLACEHOLDER.findall(original)}
    for form in forms:
        used = set(_PLACEHOLDER.findall(form))
        # "One seat" may leave out the number; nothing else may be left out, and nothing added.
        optional = {"num"} if isinstance(wanted.id, tuple) else set()
        if used - allowed or allowed - used - optional:
            yield f"has other placeholders: {title}"
        if re.search(r"%(?!\(\w+\)[sd]|%)", form):
            yield f"has a lone percent sign: {title}"


def update() -> None:
    """Write the template, and carry new texts into each language (empty) and unused ones out."""
    found = gathered()
    TEMPLATE.parent.mkdir(parents=True, exist_ok=True)
    _write(TEMPLATE, found)
    for language in LANGUAGES:
        if language != DEFAULT:
            stored = read(language)
            stored.update(found, no_fuzzy_matching=True, update_header_comment=False)
            stored.obsolete.clear()
            _keep_together(stored, language)
            _write(po_path(language), stored)


def _keep_together(stored: Catalog, language: str) -> None:
    """Blanks before marks as they have to be, whatever was typed."""
    blank = _BEFORE_MARK.get(language)
    if blank is None:
        return
    for message in stored:
        forms = message.string
        if isinstance(forms, str):
            message.string = blank.sub("\u00a0", forms)
        elif forms:  # a text that has just come has none yet
            message.string = tuple(blank.sub("\u00a0", form) for form in forms)


def _write(path: Path, catalogue: Catalog) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    written = BytesIO()
    write_po(written, catalogue, width=0, omit_header=True, include_lineno=False, sort_by_file=True)
    path.write_bytes(_head(str(catalogue.locale or "")) + written.getvalue().lstrip())


def main() -> int:
    """Update everything; 1 if a text is missing or fuzzy."""
    update()
    troubles = list(problems(gathered()))
    sys.stderr.writelines(f"{trouble}\n" for trouble in troubles)
    return 1 if troubles else 0


if __name__ == "__main__":
    sys.exit(main())
