"""No text is shipped without its translations."""

from __future__ import annotations

import ast
import gettext
from pathlib import Path

import pytest
from babel.messages import Catalog

from booking import catalogues, i18n
from booking.catalogues import ROOT, SOURCES


@pytest.fixture
def locales(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two languages in an empty folder, one with two plural forms, one with six."""
    monkeypatch.setattr(catalogues, "LANGUAGES", ("en", "de", "ar"))
    monkeypatch.setattr(catalogues, "po_path", lambda language: tmp_path / f"{language}.po")
    monkeypatch.setattr(catalogues, "TEMPLATE", tmp_path / "messages.pot")
    return tmp_path


def texts(*ids: str | tuple[str, str]) -> Catalog:
    found = Catalog(charset="utf-8")
    for each in ids:
        found.add(each)
    return found


def test_every_text_is_translated_into_every_language() -> None:
    assert list(catalogues.problems(catalogues.gathered())) == []


def test_the_stored_template_is_what_the_sources_say() -> None:
    with catalogues.TEMPLATE.open("rb") as file:
        stored = {m.id for m in catalogues.read_po(file) if m.id}
    assert stored == {m.id for m in catalogues.gathered() if m.id}, "run `make i18n`"


def test_every_shipped_language_has_its_file() -> None:
    assert {path.parts[-3] for path in i18n.LOCALES.glob("*/LC_MESSAGES/messages.po")} == set(i18n.LANGUAGES) - {"en"}


def test_updating_twice_changes_nothing(locales: Path) -> None:
    catalogues.update()
    first = {path.name: path.read_bytes() for path in locales.iterdir()}
    catalogues.update()
    assert {path.name: path.read_bytes() for path in locales.iterdir()} == first
    assert set(first) == {"messages.pot", "de.po", "ar.po"}


def test_no_mark_is_torn_off_its_word_in_french(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogues, "LANGUAGES", ("en", "fr"))
    monkeypatch.setattr(catalogues, "po_path", lambda language: tmp_path / f"{language}.po")
    monkeypatch.setattr(catalogues, "TEMPLATE", tmp_path / "messages.pot")
    monkeypatch.setattr(catalogues, "gathered", lambda: texts("Where?", ("one: %(num)s", "many: %(num)s")))
    plural = (
        'msgid "one: %(num)s"\nmsgid_plural "many: %(num)s"\nmsgstr[0] "un : %(num)s"\nmsgstr[1] "« ceux » : %(num)s"'
    )
    (tmp_path / "fr.po").write_text(f'msgid "Where?"\nmsgstr "Où ? Là, à 9:00"\n\n{plural}', encoding="utf-8")
    catalogues.update()
    stored = catalogues.read("fr")
    assert stored["Where?"].string == "Où\u00a0? Là, à 9:00"
    assert stored["one: %(num)s"].string == ("un\u00a0: %(num)s", "«\u00a0ceux\u00a0»\u00a0: %(num)s")


def test_a_new_text_is_missing_in_french_and_breaks_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(catalogues, "LANGUAGES", ("en", "fr"))
    monkeypatch.setattr(catalogues, "po_path", lambda language: tmp_path / f"{language}.po")
    monkeypatch.setattr(catalogues, "TEMPLATE", tmp_path / "messages.pot")
    monkeypatch.setattr(catalogues, "gathered", lambda: texts("Where?", ("one: %(num)s", "many: %(num)s")))
    assert catalogues.main() == 1
    assert "fr: missing: 'Where?'" in capsys.readouterr().err


def test_what_is_missing_fails(locales: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert catalogues.main() == 1
    assert "de: missing: 'Your booking is confirmed'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("stored", "complaint"),
    [
        ('msgid "Hi %(name)s"\nmsgstr ""', "missing"),
        ('#, fuzzy\nmsgid "Hi %(name)s"\nmsgstr "Hallo %(name)s"', "fuzzy"),
        ('msgid "Hi %(name)s"\nmsgstr "Hallo"', "other placeholders"),
        ('msgid "Hi %(name)s"\nmsgstr "Hallo %(nmae)s"', "other placeholders"),
        ('msgid "Hi %(name)s"\nmsgstr "Hallo %(name)s, 100 %"', "lone percent"),
    ],
)
def test_what_is_wrong_is_named(locales: Path, stored: str, complaint: str) -> None:
    good = stored if "fuzzy" in stored else 'msgid "Hi %(name)s"\nmsgstr "x %(name)s"'
    (locales / "de.po").write_text(stored, encoding="utf-8")
    (locales / "ar.po").write_text(good.replace("#, fuzzy\n", ""), encoding="utf-8")
    found = list(catalogues.problems(texts("Hi %(name)s")))
    assert len(found) == 1
    assert found[0].startswith("de: ")
    assert complaint in found[0]


def test_each_language_needs_all_its_plural_forms(locales: Path) -> None:
    two = 'msgid "one seat"\nmsgid_plural "%(num)s seats"\nmsgstr[0] "a"\nmsgstr[1] "b %(num)s"'
    for language in ("de", "ar"):
        (locales / f"{language}.po").write_text(two, encoding="utf-8")
    found = list(catalogues.problems(texts(("one seat", "%(num)s seats"))))
    assert [each.partition(":")[0] for each in found] == ["ar"]


def test_no_text_hides_in_an_f_string() -> None:
    """Before Python 3.12 an f-string is one token: what is translated inside is never gathered."""
    hidden = []
    for package in SOURCES:
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.JoinedStr):
                    hidden += [f"{path.name}:{node.lineno}" for call in ast.walk(node) if _translates(call)]
    assert hidden == []


def _translates(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call):
        return False
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    return name in {"_", "gettext", "ngettext", "pgettext", "npgettext", "marked"}


@pytest.mark.parametrize("language", [language for language in i18n.LANGUAGES if language != "en"])
def test_numbers_share_a_form_where_cldr_says_so(language: str) -> None:
    choose = gettext.c2py(catalogues.read(language).plural_expr)
    rule = i18n.locale(language).plural_form
    forms: dict[str, set[int]] = {}
    for number in range(1000):
        forms.setdefault(rule(number), set()).add(choose(number))
    assert all(len(found) == 1 for found in forms.values()), forms
    assert len(forms) == len(set.union(*forms.values())) == catalogues.read(language).num_plurals


def test_arabic_counts() -> None:
    said = [
        i18n.catalog("ar").ngettext("%(num)s seat", "%(num)s seats", n) % {"num": n} for n in (1, 2, 3, 11, 100, 103)
    ]
    assert said == ["مكان واحد", "مكانان", "3 أماكن", "11 مكانًا", "100 مكان", "103 أماكن"]
