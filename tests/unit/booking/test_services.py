"""The shape of ``service.toml``: its defaults, and one clear answer to each mistake."""

from __future__ import annotations

import re
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from booking.errors import Invalid
from booking.services import FormField, ServiceSpec, parse, parse_toml, rules

DOCUMENTED = """
title = "Consultation"
duration_minutes = 50
capacity = 1
confirmation = "instant"
start_every_minutes = 60
buffer_before_minutes = 0
buffer_after_minutes = 10
notice_minutes = 240
horizon_days = 60
cancel_until_minutes = 0
operator_moves = "follow"
cancellation_grace_seconds = 60
max_staleness_minutes = 15
place = "Main street 1"
calendar_openings = false
[hours]
mon = ["09:00-12:00", "13:00-17:00"]
tue = ["09:00-17:00"]
[overrides]
"2026-12-24" = []
[waitlist]
accept = ["auto", "ask"]
offer_minutes = 30
auto_lead_minutes = 120
[texts.hu]
title = "Konzultáció"
[[fields]]
name = "phone"
type = "phone"
required = false
"""


def wrong(**values: Any) -> list[str]:
    with pytest.raises(Invalid) as refused:
        parse({"title": "x", **values})
    return [e.field for e in refused.value.errors]


def test_the_documented_file_is_read() -> None:
    spec = parse_toml(DOCUMENTED)
    assert (spec.title, spec.duration, spec.mode) == ("Consultation", timedelta(minutes=50), "individual")
    assert spec.hours["mon"] == ("09:00-12:00", "13:00-17:00")
    assert spec.overrides == {date(2026, 12, 24): ()}
    assert spec.text("hu").title == "Konzultáció"
    assert spec.text("hu").place == spec.text("de").place == "Main street 1"
    assert spec.fields[0].name == "phone"


def test_a_title_is_enough() -> None:
    spec = parse({"title": " Talk "})
    assert (spec.title, spec.duration_minutes, spec.capacity, spec.confirmation) == ("Talk", 30, 1, "instant")
    assert (spec.notice_minutes, spec.horizon_days, spec.max_staleness_minutes) == (240, 60, 15)
    assert spec.waitlist.accept == ("auto", "ask")
    assert parse({"title": "x", "capacity": 2}).mode == "group"


def test_what_is_stored_is_read_back_as_it_was() -> None:
    spec = parse_toml(DOCUMENTED)
    assert parse(spec.to_json()) == spec


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"title": ""}, "title"),
        ({"title": "  "}, "title"),
        ({"duration_minutes": 0}, "duration_minutes"),
        ({"duration_minutes": 1441}, "duration_minutes"),
        ({"capacity": 0}, "capacity"),
        ({"confirmation": "later"}, "confirmation"),
        ({"colour": "red"}, "colour"),
        ({"hours": {"monday": []}}, "hours"),
        ({"hours": {"mon": ["9-12"]}}, "hours.mon"),
        ({"hours": {"mon": ["09:00-09:00"]}}, "hours.mon"),
        ({"hours": {"mon": ["24:00-25:00"]}}, "hours.mon"),
        ({"hours": {"mon": ["12:60-13:00"]}}, "hours.mon"),
        ({"hours": {"mon": ["22:00-24:30"]}}, "hours.mon"),
        ({"overrides": {"2026-12-24": ["x"]}}, "overrides.2026-12-24"),
        ({"overrides": {"Christmas": []}}, "overrides.Christmas.[key]"),
        ({"texts": {"tlh": {}}}, "texts"),
        ({"texts": {"de": {"titel": "x"}}}, "texts.de.titel"),
        ({"link": "javascript:alert(1)"}, "link"),
        ({"waitlist": {"accept": ["maybe"]}}, "waitlist.accept.0"),
        ({"fields": [{"name": "Phone"}]}, "fields.0.name"),
        ({"fields": [{"name": "a"}, {"name": "a"}]}, "fields"),
        ({"fields": [{"name": "a", "type": "choice"}]}, "fields.0"),
        ({"fields": [{"name": "a", "choices": ["x"]}]}, "fields.0"),
    ],
)
def test_every_mistake_is_named_by_its_field(values: dict[str, Any], field: str) -> None:
    assert wrong(**values) == [field]


def test_several_mistakes_are_named_at_once() -> None:
    assert set(wrong(capacity=0, notice_minutes=-1)) == {"capacity", "notice_minutes"}


def test_a_file_that_is_no_toml() -> None:
    with pytest.raises(Invalid) as refused:
        parse_toml("title = ")
    assert refused.value.errors[0].code == "not_toml"


def test_rules_speak_of_minutes_of_the_day() -> None:
    spec = parse(
        {
            "title": "Talk",
            "hours": {"fri": ["22:00-02:00", "09:00 – 12:00"], "sun": ["00:00-24:00"]},
            "duration_minutes": 50,
        }
    )
    made = rules(3, "talk", spec, "Europe/Berlin")
    assert made.hours == {4: ((540, 720), (1320, 1560)), 6: ((0, 1440),)}
    assert (made.service_id, made.timezone, made.every) == (3, "Europe/Berlin", timedelta(minutes=50))
    assert rules(3, "talk", parse({"title": "x", "start_every_minutes": 15}), "UTC").every == timedelta(minutes=15)


def test_an_opening_may_call_a_service_by_any_of_its_names() -> None:
    yoga = ServiceSpec.model_validate(
        {"title": "Morning Yoga", "texts": {"fr": {"title": "Yoga du Matin"}, "de": {"place": "x"}}}
    )
    talk = ServiceSpec(title="Talk")
    made = rules(1, "morning-yoga", yoga, "UTC", [("talk", talk)])
    assert made.labels == {"morning-yoga", "morning yoga", "yoga du matin"}
    assert made.rivals == {"talk"}
    assert rules(1, "x", talk, "UTC").rivals == frozenset()


def test_the_page_about_services_names_every_key_and_its_example_is_one() -> None:
    page = (Path(__file__).parents[3] / "docs" / "services.md").read_text(encoding="utf-8")
    example = page.split("```toml\n")[1].split("```")[0]
    spec = parse_toml(example)
    assert (spec.durations, spec.team, spec.holidays, len(spec.fields)) == ((30, 50), ("anna", "ben"), "HU", 4)
    for model in (ServiceSpec, FormField):
        for key in model.model_fields:
            assert re.search(rf"^\[*{key}\b", example, re.MULTILINE), key


def test_unknown_languages_are_named() -> None:
    assert parse({"title": "Talk", "languages": ["hu", "de", "hu"]}).languages == ("hu", "de")
    with pytest.raises(Invalid) as error:
        parse({"title": "Talk", "languages": ["hu", "xx"]})
    assert [e.field for e in error.value.errors] == ["languages"]


@pytest.mark.parametrize(
    ("texts", "operator", "reader", "spoken"),
    [
        ({}, "de", "de", "de"),
        ({}, "de", "fr", "de"),
        ({"hu": {"title": "Konzultáció"}}, "hu", "hu", "hu"),
        ({"hu": {"title": "Konzultáció"}}, "hu", "fr", "en"),
        ({"fr": {"description": "Cinquante minutes"}}, "en", "fr", "en"),
        ({"fr": {"title": "Entretien", "description": "Cinquante minutes"}}, "en", "fr", "fr"),
    ],
)
def test_the_language_of_the_words_is_known(texts: dict[str, Any], operator: str, reader: str, spoken: str) -> None:
    assert parse({"title": "Talk", "texts": texts}).speaks(reader, operator) == spoken


def test_a_title_without_its_description_is_half_translated() -> None:
    spec = parse({"title": "Talk", "description": "Fifty minutes", "texts": {"fr": {"title": "Entretien"}}})
    assert spec.speaks("fr", "en") == "en"
