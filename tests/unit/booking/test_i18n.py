"""Languages, and days, times and zones in them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from jinja2 import UndefinedError

from booking import i18n
from booking.i18n import LANGUAGES, Reader

START = datetime(2026, 11, 23, 13, 0, tzinfo=UTC)
END = START + timedelta(minutes=50)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_speaks_for_itself(language: str) -> None:
    said = i18n.catalog(language).gettext("Your booking is confirmed")
    assert (said == "Your booking is confirmed") == (language == "en")
    assert i18n.catalog(language) is i18n.catalog(language)
    assert i18n.language_name(language)


def test_a_language_that_is_not_shipped_has_no_catalogue() -> None:
    with pytest.raises(KeyError):
        i18n.catalog("xx")


@pytest.mark.parametrize(
    ("wanted", "offered", "expected"),
    [
        ("hu,en;q=0.8", LANGUAGES, "hu"),
        ("en;q=0.5, de-AT;q=0.9", LANGUAGES, "de"),
        ("xx, fr;q=0.1", LANGUAGES, "fr"),
        ("ar;q=0, it", LANGUAGES, "it"),
        ("es;q=nonsense, it;q=0.2", LANGUAGES, "it"),
        ("*", LANGUAGES, "en"),
        ("", LANGUAGES, "en"),
        ("pt", ("de", "fr"), "de"),
        (["pt", "FR_ca"], LANGUAGES, "fr"),
        ("a" * 5000, LANGUAGES, "en"),
    ],
)
def test_pick_takes_the_best_that_is_offered(wanted: str | list[str], offered: tuple[str, ...], expected: str) -> None:
    assert i18n.pick(wanted, offered) == expected


def test_arabic_alone_is_written_from_right_to_left() -> None:
    assert {language for language in LANGUAGES if i18n.direction(language) == "rtl"} == {"ar"}


@pytest.mark.parametrize(
    ("language", "day", "hours"),
    [
        ("en", "Monday, 23 November 2026", "14:00–14:50"),
        ("hu", "2026. november 23., hétfő", "14:00–14:50"),
        ("de", "Montag, 23. November 2026", "14:00–14:50 Uhr"),
        ("es", "lunes, 23 de noviembre de 2026", "14:00–14:50"),
        ("it", "lunedì 23 novembre 2026", "14:00–14:50"),
        ("ar", "الاثنين، 23 نوفمبر 2026", "2:00–2:50 م"),
    ],
)
def test_days_and_hours_are_written_as_the_language_does(language: str, day: str, hours: str) -> None:
    assert i18n.format_day(START, "Europe/Budapest", language) == day
    assert i18n.format_range(START, END, "Europe/Budapest", language) == hours


def test_both_clocks_are_shown_where_they_differ() -> None:
    assert i18n.format_both(START, END, "America/New_York", "Europe/Budapest", "en") == (
        "Monday, 23 November 2026",
        "08:00–08:50 (New York)",
        "14:00–14:50 (Budapest)",
    )
    assert i18n.format_both(START, END, "Europe/Vienna", "Europe/Budapest", "en") == (
        "Monday, 23 November 2026",
        "14:00–14:50 (Vienna)",
    )


def test_the_other_day_is_named_where_it_is_another_day_at_home() -> None:
    late = datetime(2026, 11, 23, 23, 30, tzinfo=UTC)
    lines = i18n.format_both(late, late + timedelta(minutes=50), "America/New_York", "Europe/Budapest", "en")
    assert lines[-1] == "Tue 24 Nov, 00:30–01:20 (Budapest)"


def test_the_hour_that_comes_twice_is_told_apart() -> None:
    first = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)  # 02:30 summer time
    second = first + timedelta(hours=1)  # 02:30 again
    labels = [i18n.zone_label(instant, "Europe/Budapest", "en") for instant in (first, second)]
    assert i18n.format_time(first, "Europe/Budapest", "en") == i18n.format_time(second, "Europe/Budapest", "en")
    assert labels == ["Budapest, GMT+02:00", "Budapest, GMT+01:00"]
    assert i18n.zone_label(first - timedelta(hours=1), "Europe/Budapest", "en") == "Budapest"
    # In the hour that is left out in spring no instant falls, and nothing is said.
    assert i18n.zone_label(datetime(2026, 3, 29, 1, 30, tzinfo=UTC), "Europe/Budapest", "en") == "Budapest"


def test_zones_that_agree_for_half_a_year_are_compared_at_the_instant() -> None:
    summer = datetime(2026, 7, 1, tzinfo=UTC)
    assert i18n.same_clock(START, "Europe/London", "Africa/Abidjan")
    assert not i18n.same_clock(summer, "Europe/London", "Africa/Abidjan")


@pytest.mark.parametrize("name", ["Nowhere/Atlantis", "../../etc/passwd", ""])
def test_a_zone_that_is_gone_is_utc(name: str) -> None:
    assert str(i18n.zone_of(name)) == "UTC"
    assert i18n.format_time(START, name, "en") == "13:00"


def test_a_reader_keeps_each_value_in_its_own_direction() -> None:
    assert Reader("ar", "UTC").gettext("%(client)s has cancelled.", client="Anna").count("\u2068Anna\u2069") == 1
    assert Reader("en", "UTC").gettext("%(client)s has cancelled.", client="Anna") == "Anna has cancelled."
    assert Reader("xx", "UTC").language == "en"


def test_a_reader_counts() -> None:
    reader = Reader("en", "UTC")
    assert reader.ngettext("%(num)s day", "%(num)s days", 1) == "1 day"
    assert reader.ngettext("%(num)s day", "%(num)s days", 5) == "5 days"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "page.html").write_text(
        "{{ _('Hello %(name)s,', name=name) }}|{% trans %}New time{% endtrans %}|{{ direction(language) }}|"
        "{{ format_time(at, 'Europe/Budapest', language) }}",
        encoding="utf-8",
    )
    (tmp_path / "note.txt").write_text("{{ _('Hello %(name)s,', name=name) }}", encoding="utf-8")
    (tmp_path / "hole.html").write_text("{{ nothing }}", encoding="utf-8")
    return tmp_path


def test_one_environment_speaks_every_language(folder: Path) -> None:
    pages = i18n.environment(folder)
    rendered = {lang: pages.get_template("page.html").render(language=lang, name="<b>", at=START) for lang in LANGUAGES}
    assert rendered["en"] == "Hello &lt;b&gt;,|New time|ltr|14:00"
    assert rendered["hu"] == "Tisztelt &lt;b&gt;!|Új időpont|ltr|14:00"
    assert rendered["ar"].endswith("|موعد جديد|rtl|2:00 م")
    assert len(set(rendered.values())) == len(LANGUAGES)


def test_only_html_is_escaped_and_a_hole_is_an_error(folder: Path) -> None:
    pages = i18n.environment(folder)
    assert pages.get_template("note.txt").render(language="en", name="<b>") == "Hello <b>,"
    with pytest.raises(UndefinedError):
        pages.get_template("hole.html").render(language="en")
