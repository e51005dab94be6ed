"""One gettext catalogue for pages and mails; days, times and zones as CLDR writes them.

Catalogues are read from the ``.po`` files, each when its language is first asked for; nothing is compiled beforehand.
English is what stands in the code. Placeholders are ``%(name)s``, as Jinja's i18n extension has them, so a percent sign
in a text is written twice. ``make i18n`` gathers the texts and fails while one of them has no translation.
"""

from __future__ import annotations

import gettext as _gettext
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from babel import Locale, dates
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context, select_autoescape
from jinja2.runtime import Context

from booking.services import LANGUAGES

__all__ = ["LANGUAGES", "Reader", "catalog", "direction", "environment", "marked", "pick"]

DEFAULT = "en"
LOCALES = Path(__file__).parent / "locales"
# English for readers everywhere: 24 hours, day before month.
_CLDR = {"en": "en_GB"}
_FSI, _PDI = "\u2068", "\u2069"


def marked(text: str) -> str:
    """The text itself: marks a constant for translation where it is written; translate it where it is shown."""
    return text


@lru_cache(maxsize=len(LANGUAGES))
def catalog(language: str) -> _gettext.NullTranslations:
    """The texts of a language: ``gettext``, ``ngettext``, ``pgettext``. A text without a translation stays English.

    Raises KeyError for a language that isn't shipped.
    """
    if language not in LANGUAGES:
        raise KeyError(language)
    if language == DEFAULT:
        return _gettext.NullTranslations()
    with po_path(language).open("rb") as file:
        read = read_po(file, locale=language, domain="messages")
    compiled = BytesIO()
    write_mo(compiled, read)
    compiled.seek(0)
    return _gettext.GNUTranslations(compiled)


def po_path(language: str) -> Path:
    """Where the texts of a language are kept."""
    return LOCALES / language / "LC_MESSAGES" / "messages.po"


def pick(wanted: str | Iterable[str], offered: Iterable[str] = LANGUAGES, default: str = DEFAULT) -> str:
    """The first wanted language that is offered. wanted: an Accept-Language header (RFC 9110 §12.5.4) or tags in order.

    ``de-AT`` is content with ``de``; without a match it is `default`, or the first one offered where that is not among them.
    """
    choices = list(offered)
    for tag in _by_quality(wanted) if isinstance(wanted, str) else wanted:
        language = tag.strip().lower().replace("_", "-").split("-")[0]
        if language in choices:
            return language
    return default if default in choices or not choices else choices[0]


def _by_quality(header: str) -> list[str]:
    found: list[tuple[float, int, str]] = []
    for place, part in enumerate(header[:1000].split(",")):
        tag, _, parameters = part.partition(";")
        name, _, value = parameters.strip().partition("=")
        try:
            quality = float(value) if name.strip().lower() == "q" else 1.0
        except ValueError:
            quality = 0.0
        if tag.strip() and quality > 0:
            found.append((-quality, place, tag))
    return [tag for _, _, tag in sorted(found)]


def direction(language: str) -> str:
    """``ltr`` or ``rtl``."""
    return "rtl" if locale(language).character_order == "right-to-left" else "ltr"


@lru_cache(maxsize=len(LANGUAGES))
def locale(language: str) -> Locale:
    """CLDR's rules for a language."""
    return Locale.parse(_CLDR.get(language, language))


@lru_cache(maxsize=1024)
def zone_of(name: str) -> ZoneInfo:
    """The zone of that IANA name; UTC where the time-zone data no longer has it."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")


def language_name(language: str) -> str:
    """The language's own name for itself, to choose it by."""
    return locale(language).get_language_name(language) or language


def format_day(instant: datetime, zone: str, language: str) -> str:
    """``Monday 23 November 2026``, on the wall calendar of that zone."""
    return dates.format_date(instant.astimezone(zone_of(zone)), "full", locale(language))


def format_short_day(instant: datetime, zone: str, language: str) -> str:
    """``Mon 23 Nov``, where the year is plain."""
    return dates.format_skeleton("MMMEd", instant.astimezone(zone_of(zone)), locale=locale(language))


def format_time(instant: datetime, zone: str, language: str) -> str:
    """``14:00``."""
    return dates.format_time(instant, "short", zone_of(zone), locale(language))


def format_range(start: datetime, end: datetime, zone: str, language: str) -> str:
    """``14:00–14:50``, the hours alone."""
    rules, where = locale(language), zone_of(zone)
    skeleton = "hm" if "h" in str(rules.time_formats["short"].pattern) else "Hm"
    return dates.format_interval(start.astimezone(where), end.astimezone(where), skeleton, locale=rules)


def format_moment(instant: datetime, zone: str, language: str) -> str:
    """``Monday 23 November 2026, 14:00``."""
    return _joined(format_day(instant, zone, language), format_time(instant, zone, language), language)


def format_brief(instant: datetime, zone: str, language: str) -> str:
    """``Mon 23 Nov, 14:00``, for subjects and lists."""
    return _joined(format_short_day(instant, zone, language), format_time(instant, zone, language), language)


def _joined(day: str, time: str, language: str) -> str:
    return str(locale(language).datetime_formats["medium"]).replace("{1}", day).replace("{0}", time)


def zone_label(instant: datetime, zone: str, language: str) -> str:
    """The zone as its city, ``Budapest``; with the offset in the hour that the clock shows twice."""
    where = zone_of(zone)
    city = dates.get_timezone_location(where, locale(language), return_city=True)
    local = instant.astimezone(where)
    if local.replace(fold=0).utcoffset() != local.replace(fold=1).utcoffset():
        return f"{city}, {dates.get_timezone_gmt(local, 'long', locale(language))}"
    return city


def same_clock(instant: datetime, one: str, other: str) -> bool:
    """Do the clocks of both zones show the same at that instant?"""
    return instant.astimezone(zone_of(one)).utcoffset() == instant.astimezone(zone_of(other)).utcoffset()


def format_both(start: datetime, end: datetime, zone: str, home: str, language: str) -> tuple[str, ...]:
    """A period for somebody in `zone` with a service in `home`: the day, the hours there, and where the clocks differ
    the hours at home, with their day if that differs too."""
    lines = [
        format_day(start, zone, language),
        f"{format_range(start, end, zone, language)} ({zone_label(start, zone, language)})",
    ]
    if not same_clock(start, zone, home):
        hours = format_range(start, end, home, language)
        if start.astimezone(zone_of(zone)).date() != start.astimezone(zone_of(home)).date():
            hours = _joined(format_short_day(start, home, language), hours, language)
        lines.append(f"{hours} ({zone_label(start, home, language)})")
    return tuple(lines)


class Reader:
    """Somebody who reads: texts in their language, times on their clock."""

    def __init__(self, language: str, zone: str) -> None:
        self.language = language if language in LANGUAGES else DEFAULT
        self.zone = zone
        self.direction = direction(self.language)
        self._texts = catalog(self.language)

    def gettext(self, text: str, /, **values: object) -> str:
        """The translation with its placeholders filled. In a right-to-left text each value keeps its own direction."""
        return self._texts.gettext(text) % self._isolated(values)

    def ngettext(self, one: str, many: str, count: int, /, **values: object) -> str:
        """The form for that number, which is ``%(num)s`` in the text."""
        return self._texts.ngettext(one, many, count) % self._isolated({"num": count, **values})

    def _isolated(self, values: dict[str, object]) -> dict[str, object]:
        if self.direction == "ltr":
            return values
        return {name: f"{_FSI}{value}{_PDI}" if isinstance(value, str) else value for name, value in values.items()}

    def moment(self, instant: datetime) -> str:
        """Day and time."""
        return format_moment(instant, self.zone, self.language)

    def brief(self, instant: datetime) -> str:
        """Short day and time."""
        return format_brief(instant, self.zone, self.language)

    def when(self, start: datetime, end: datetime, home: str) -> tuple[str, ...]:
        """`format_both` for this reader."""
        return format_both(start, end, self.zone, home, self.language)


def environment(*folders: Path) -> Environment:
    """Templates of those folders, in every language: render them with ``language``. HTML is escaped, a missing value
    is an error. ``_``, ``gettext``, ``ngettext``, ``pgettext`` and ``{% trans %}`` as in Jinja's i18n extension; the
    ``format_*`` functions here, `direction` and `zone_label` by their names."""
    made = Environment(
        loader=FileSystemLoader([str(folder) for folder in folders]),
        autoescape=select_autoescape(["html", "svg", "xml"]),
        extensions=["jinja2.ext.i18n"],
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    extension: Any = made
    extension.install_gettext_callables(
        _of_reader("gettext"),
        _of_reader("ngettext"),
        newstyle=True,
        pgettext=_of_reader("pgettext"),
        npgettext=_of_reader("npgettext"),
    )
    for function in (
        direction, format_both, format_brief, format_day, format_moment, format_range, format_short_day, format_time,
        language_name, same_clock, zone_label,
    ):  # fmt: skip
        made.globals[function.__name__] = function
    return made


def _of_reader(name: str) -> Callable[..., str]:
    """The catalogue's function of that name, for the language that the template is rendered in."""

    @pass_context
    def speak(context: Context, *texts: Any) -> str:
        translated: str = getattr(catalog(context["language"]), name)(*texts)
        return translated

    return speak
