"""The questions of a booking form: what may be asked, how it is said in each language, and which answers are taken."""

from __future__ import annotations

from typing import Any

import pytest

from booking.errors import Invalid
from booking.rules import answers_of, consents_of
from booking.services import FormField, parse
from ledger.db import Database
from tests.support.desk import Desk, person
from tests.support.doors import Doors, open_doors

FIELDS: list[dict[str, Any]] = [
    {"name": "topic", "label": {"en": "Topic", "hu": "Téma"}, "help": {"en": "In a few words"}, "max_length": 10},
    {"name": "when", "type": "choice", "choices": ["am", "pm"], "choice_labels": {"en": {"am": "Morning"}, "hu": {"am": "Délelőtt", "pm": "Délután"}}},
    {"name": "age", "type": "number", "min": 18, "max": 120, "required": True},
    {"name": "phone", "type": "phone"},
    {"name": "terms", "type": "consent", "required": True, "label": {"en": "I agree to the terms", "de": "Ich stimme zu"}},
]  # fmt: skip
GOOD: dict[str, Any] = {"topic": "Knee", "when": "am", "age": 40, "phone": "+36 1 234 5678", "terms": True}


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"type": "choice"}, "fields.0"),
        ({"type": "text", "choices": ["a"]}, "fields.0"),
        ({"type": "choice", "choices": ["a", "a"]}, "fields.0"),
        ({"type": "choice", "choices": ["a", ""]}, "fields.0"),
        ({"type": "choice", "choices": ["a"], "choice_labels": {"en": {"b": "B"}}}, "fields.0"),
        ({"type": "choice", "choices": ["a"], "choice_labels": {"xx": {"a": "A"}}}, "fields.0.choice_labels"),
        ({"type": "text", "min": 1}, "fields.0"),
        ({"type": "number", "min": 2, "max": 1}, "fields.0"),
        ({"type": "number", "max_length": 5}, "fields.0"),
        ({"type": "text", "max_length": 2001}, "fields.0.max_length"),
        ({"type": "text", "max_length": 0}, "fields.0.max_length"),
        ({"help": {"xx": "?"}}, "fields.0.help"),
        ({"label": {"xx": "?"}}, "fields.0.label"),
        ({"name": "Bad Name"}, "fields.0.name"),
        ({"type": "date"}, "fields.0.type"),
    ],
)
def test_a_question_that_cant_be_asked_is_named(wrong: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as error:
        parse({"title": "Talk", "fields": [{"name": "topic", **wrong}]})
    assert [e.field for e in error.value.errors] == [field]


def test_words_fall_back_to_english_then_to_any_then_to_the_name() -> None:
    field = FormField.model_validate(FIELDS[1])
    assert [field.choice_in("am", language) for language in ("hu", "en", "de")] == ["Délelőtt", "Morning", "Morning"]
    assert [field.choice_in("pm", language) for language in ("hu", "en", "de")] == ["Délután", "Délután", "Délután"]
    assert (field.label_in("de"), field.help_in("de")) == ("When", "")
    plain = FormField(name="first_time", type="choice", choices=("yes", "no"))
    assert (plain.label_in("hu"), plain.choice_in("no", "hu")) == ("First time", "no")
    assert FormField(name="a", label={"de": "Frage", "fr": "Question"}).label_in("hu") == "Frage"


@pytest.mark.parametrize(
    ("name", "answer", "code"),
    [
        ("topic", "a" * 11, "too_long"),
        ("when", "Morning", "unknown_choice"),
        ("age", 17, "out_of_range"),
        ("age", "121", "out_of_range"),
        ("age", "many", "not_a_number"),
        ("age", "", "required"),
        ("age", "nan", "not_a_number"),
        ("phone", "call me", "not_a_phone_number"),
        ("terms", False, "required"),
        ("terms", "no", "required"),
        ("size", "XL", "unknown_field"),
    ],
)
def test_a_wrong_answer_is_named(name: str, answer: Any, code: str) -> None:
    fields = parse({"title": "Talk", "fields": FIELDS}).fields
    with pytest.raises(Invalid) as error:
        answers_of({**GOOD, name: answer}, fields)
    assert [(e.field, e.code) for e in error.value.errors] == [(f"answers.{name}", code)]
    assert answers_of(GOOD, fields) == GOOD
    assert answers_of({"age": "18", "terms": "on"}, fields) == {"age": 18, "terms": True}


def test_a_consent_is_kept_with_its_words_and_time(database: Database) -> None:
    desk = Desk(database).open(talk={"fields": FIELDS})
    booked = desk.book(desk.at(9), answers=GOOD, client={**person("kata"), "language": "de"})
    assert desk.view(booked)["consents"] == {"terms": {"text": "Ich stimme zu", "at": "2027-01-11T06:00:00+00:00"}}
    fields = parse({"title": "Talk", "fields": FIELDS}).fields
    assert consents_of({"terms": False}, fields, "en", desk.now) == {}
    assert consents_of({"terms": True}, fields, "hu", desk.now)["terms"]["text"] == "I agree to the terms"


# --- the doors ----------------------------------------------------------------------------------------------------


@pytest.fixture
def doors(sqlite: Database) -> Doors:
    return open_doors(sqlite, talk={"fields": FIELDS})


def test_the_form_says_and_checks_what_it_may_be_answered_with(doors: Doors) -> None:
    page = doors.client.get("/en/anna/talk?start=2027-01-11T09:00:00Z").text
    for part in (
        'maxlength="10"', 'min="18" max="120"', '<option value="am">Morning</option>', '<option value="pm">Délután</option>',
        'aria-describedby="help-topic"', '<p class="soft" id="help-topic">In a few words</p>', "I agree to the terms",
    ):  # fmt: skip
        assert part in page, part
    assert '<option value="am">Délelőtt</option>' in doors.client.get("/hu/anna/talk?start=2027-01-11T09:00:00Z").text


def test_the_form_comes_back_with_what_was_wrong_and_books_without_script(doors: Doors) -> None:
    sent = {"start": "2027-01-11T09:00:00+00:00", "name": "Kata", "email": "kata@example.org", "answer_topic": "a" * 11,
            "answer_when": "pm", "answer_age": "7", "answer_phone": "x"}  # fmt: skip
    back = doors.client.post("/en/anna/talk", data=sent)
    assert back.status_code == 422
    for name in ("topic", "age", "phone", "terms"):
        assert f'id="wrong-answers-{name}"' in back.text
    assert 'aria-describedby="help-topic wrong-answers-topic"' in back.text
    assert '<option value="pm" selected>' in back.text
    good = {**sent, "answer_topic": "Knee", "answer_age": "18", "answer_phone": "", "answer_terms": "yes"}
    done = doors.client.post("/en/anna/talk", data=good)
    assert done.status_code == 303
    view = doors.client.get("/api/v1/bookings/" + done.headers["location"].rsplit("/", 1)[1]).json()
    assert view["answers"] == {"topic": "Knee", "when": "pm", "age": 18, "terms": True}
    assert view["consents"]["terms"]["text"] == "I agree to the terms"


def test_the_api_names_the_answers(doors: Doors) -> None:
    body = {"start": "2027-01-11T09:00:00Z", "client": person("kata"), "answers": {"age": 7}}
    wrong = doors.client.post("/api/v1/operators/anna/services/talk/bookings", json=body)
    assert [e["field"] for e in wrong.json()["errors"]] == ["answers.age", "answers.terms"]
    fields = doors.client.get("/api/v1/operators/anna/services/talk").json()["fields"]
    assert (fields[2]["min"], fields[2]["max"], fields[0]["max_length"]) == (18, 120, 10)
