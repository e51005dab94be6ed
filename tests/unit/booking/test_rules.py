"""What people type, and what may be done with it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest

from booking.errors import Invalid, TooLate
from booking.rules import (
    Client,
    Wish,
    answers_of,
    client_of,
    fits,
    is_zone,
    may_change,
    operator_move_fits,
    said,
    seats_of,
    wish_of,
)
from booking.services import FormField, ServiceSpec
from connectors.model import Period

NOW = datetime(2027, 1, 11, 6, 0, tzinfo=UTC)  # a Monday
KATA = {"name": "Kata Nagy", "email": "kata@example.org", "timezone": "Europe/Budapest", "language": "hu"}


def wrong(call: Any, *given: Any, **more: Any) -> list[tuple[str, str]]:
    """Which fields are refused, and as what."""
    with pytest.raises(Invalid) as refused:
        call(*given, **more)
    assert all(e.detail for e in refused.value.errors)
    return [(e.field, e.code) for e in refused.value.errors]


# --- people -------------------------------------------------------------------------------------------------------


def test_a_person_is_taken_as_typed_but_for_the_edges() -> None:
    assert client_of(KATA, zone="UTC") == Client("Kata Nagy", "kata@example.org", "Europe/Budapest", "hu")
    typed = {"name": "  Kata\r\n\tNagy\x00 ", "email": " Kata.N+x@EXAMPLE.Org ", "language": "hu-HU"}
    assert client_of(typed, zone="Europe/Paris") == Client("Kata   Nagy", "Kata.N+x@example.org", "Europe/Paris", "hu")
    assert client_of({"name": "李", "email": "李@例え.jp"}, zone="UTC").language == "en"


@pytest.mark.parametrize(
    "email",
    ["", "kata", "kata@", "@example.org", "a b@example.org", "a@b@c", "<a@b>", "a@b,c@d", "a@.org", "a@x..org", "a@x.org.",
     "a\x00b@example.org", "a@exa\x01mple.org", "a\x7f@x.org", "a\ud800@x.org", "x" * 65 + "@example.org", "a@" + "x" * 260, 'a"b@x.org',
     "a@x.org\nBcc: c@d.org"],
)  # fmt: skip
def test_no_mail_address(email: str) -> None:
    assert wrong(client_of, KATA | {"email": email}, zone="UTC") == [("client.email", "not_an_address")]


def test_every_wrong_field_is_named_at_once() -> None:
    nobody = {"name": " \t", "email": None, "timezone": "Mars/Olympus", "language": "tlh"}
    assert wrong(client_of, nobody, zone="UTC") == [
        ("client.name", "required"), ("client.email", "not_an_address"), ("client.timezone", "unknown_timezone"),
        ("client.language", "unknown_language"),
    ]  # fmt: skip
    assert wrong(client_of, {}, zone="UTC", path="")[0] == ("name", "required")
    assert wrong(client_of, KATA | {"name": "x" * 201}, zone="UTC") == [("client.name", "required")]


@pytest.mark.parametrize(
    "zone", ["Europe/berlin", "../../etc/passwd", "right/Europe/Berlin", "localtime", "GMT+1", "", "a\x00b"]
)
def test_no_zone(zone: str) -> None:
    assert not is_zone(zone)


def test_free_text_holds_nothing_that_a_text_must_not_hold() -> None:
    assert said(" a\x00b\r\nc\ud83d\u2028d\x85 ") == "a b  c  d"
    assert said(None) == ""
    assert said("x" * 50, 10) == "x" * 10
    assert said("Grüße 👍 سلام") == "Grüße 👍 سلام"


# --- answers ------------------------------------------------------------------------------------------------------

FIELDS = (
    FormField(name="note"),
    FormField(name="phone", type="phone", required=True),
    FormField(name="size", type="choice", choices=("S", "L")),
    FormField(name="age", type="number"),
    FormField(name="agree", type="consent", required=True),
)
GOOD = {"phone": "+36 1 234-5678", "agree": True}


def test_answers_are_kept_by_their_kind() -> None:
    given = {**GOOD, "note": " hello\x00 ", "size": "L", "age": "41", "agree": "on"}
    assert answers_of(given, FIELDS) == {
        "note": "hello", "phone": "+36 1 234-5678", "size": "L", "age": 41, "agree": True,
    }  # fmt: skip
    assert answers_of(GOOD, FIELDS) == {"phone": "+36 1 234-5678", "agree": True}
    assert answers_of({**GOOD, "age": 1.5}, FIELDS)["age"] == 1.5
    assert answers_of({**GOOD, "age": 0}, FIELDS)["age"] == 0


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("phone", "", "required"), ("phone", None, "required"), ("phone", "\x00", "required"), ("phone", "call me", "not_a_phone_number"),
        ("phone", "1", "not_a_phone_number"), ("size", "XL", "unknown_choice"), ("age", "old", "not_a_number"), ("age", "nan", "not_a_number"),
        ("age", "1.e999", "not_a_number"), ("age", "-1.0e999", "not_a_number"), ("age", [1], "not_a_number"), ("agree", False, "required"),
        ("agree", "no", "required"), ("note", "x" * 2001, "too_long"), ("colour", "red", "unknown_field"),
    ],
)  # fmt: skip
def test_answers_that_are_none(name: str, value: object, code: str) -> None:
    assert wrong(answers_of, {**GOOD, name: value}, FIELDS) == [(f"answers.{name}", code)]


def test_a_consent_that_is_not_needed_may_be_left_out() -> None:
    field = FormField(name="news", type="consent")
    assert answers_of({}, (field,)) == {"news": False}
    assert answers_of({"news": "yes"}, (field,)) == {"news": True}


# --- seats and windows --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seats", [0, -1, 4, True, "2", 1.0, None])
def test_no_number_of_seats(seats: object) -> None:
    assert wrong(seats_of, seats, ServiceSpec(title="x", capacity=3)) == [("seats", "out_of_range")]


def test_seats_up_to_the_capacity() -> None:
    assert [seats_of(n, ServiceSpec(title="x", capacity=3)) for n in (1, 3)] == [1, 3]


def test_the_window_of_a_client_closes_at_its_minute() -> None:
    spec = ServiceSpec(title="x", cancel_until_minutes=60)
    start = NOW + timedelta(hours=2)
    may_change(spec, start, NOW + timedelta(minutes=60) - timedelta(microseconds=1))
    with pytest.raises(TooLate):
        may_change(spec, start, NOW + timedelta(minutes=60))


def test_an_operators_move_must_lead_ahead_and_into_free_time() -> None:
    def period(start: float, end: float) -> Period:
        return Period(NOW + timedelta(hours=start), NOW + timedelta(hours=end))

    def why(start: float, end: float, *, lasted: float = 1, all_clear: bool = True) -> str:
        return operator_move_fits(NOW, period(start, end), lasted=timedelta(hours=lasted), all_clear=all_clear)

    assert why(1, 2) == ""
    assert why(1, 2, all_clear=False) == "overlap"
    assert why(0, 1) == "past"
    assert why(1, 1) == "past"
    assert [why(9, 9 + hours) for hours in (8, 22.5, 23, 24, 25, 48)] == ["", "", *["all_day"] * 4]
    assert why(9, 9 + 24, lasted=24) == ""


# --- wishes -------------------------------------------------------------------------------------------------------


def wish(zone: str = "Europe/Berlin", **given: Any) -> Wish:
    return wish_of({k.rstrip("_"): v for k, v in given.items()}, zone=zone, now=NOW)


def test_a_wish_for_one_start_knows_its_day_where_the_operator_is() -> None:
    start = datetime(2027, 1, 12, 15, 30, tzinfo=UTC)
    assert wish("Asia/Tokyo", start=start) == Wish(start, date(2027, 1, 13), date(2027, 1, 13))
    assert wish("UTC", start="2027-01-12T15:30:00Z").start == start


@pytest.mark.parametrize(
    "start",
    ["soon", "2027-01-12T15:30:00", "", 5, datetime(2027, 1, 12), datetime(9999, 12, 31, 23, 59, tzinfo=UTC),
     datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14)))],
)  # fmt: skip
def test_no_instant(start: object) -> None:
    assert wrong(wish, start=start) == [("wish.start", "not_an_instant")]


def test_nobody_waits_for_yesterday() -> None:
    assert wrong(wish, start=NOW) == [("wish.start", "in_the_past")]
    days = {"from_": "2026-12-01", "to": "2026-12-02"}
    assert wrong(wish, start=NOW + timedelta(days=1), **days) == [("wish.start", "either_or")]
    assert wrong(wish, from_="2027-01-01", to="2027-01-10") == [("wish.to", "out_of_range")]
    assert wish(from_="2027-01-01", to="2027-01-11").last == date(2027, 1, 11)


def test_a_wish_for_days() -> None:
    asked = wish(from_="2027-01-12", to="2027-01-20", weekdays=[1, 3, 3], between=["09:00", "24:00"])
    assert asked == Wish(None, date(2027, 1, 12), date(2027, 1, 20), 0b101, (540, 1440))
    assert wish(from_="2027-01-12", to="2027-01-12") == Wish(None, date(2027, 1, 12), date(2027, 1, 12), 127, (0, 1440))
    assert wish(from_="2027-01-12", to="2027-01-12", weekdays=[]).weekdays == 127


@pytest.mark.parametrize(
    ("given", "field", "code"),
    [
        ({}, "wish.from", "not_a_date"),
        ({"from_": "tomorrow", "to": "2027-01-12"}, "wish.from", "not_a_date"),
        ({"from_": "2027-01-12"}, "wish.to", "not_a_date"),
        ({"from_": "2027-01-12", "to": "2027-01-11"}, "wish.to", "out_of_range"),
        ({"from_": "2027-01-12", "to": "2028-06-01"}, "wish.to", "out_of_range"),
        ({"weekdays": [0]}, "wish.weekdays", "out_of_range"),
        ({"weekdays": [8]}, "wish.weekdays", "out_of_range"),
        ({"weekdays": [1.0]}, "wish.weekdays", "out_of_range"),
        ({"weekdays": ["mon"]}, "wish.weekdays", "out_of_range"),
        ({"weekdays": [True]}, "wish.weekdays", "out_of_range"),
        ({"weekdays": "1"}, "wish.weekdays", "out_of_range"),
        ({"between": ["12:00", "09:00"]}, "wish.between", "not_a_range"),
        ({"between": ["09:00", "09:00"]}, "wish.between", "not_a_range"),
        ({"between": ["09:00"]}, "wish.between", "not_a_range"),
        ({"between": ["09:00", "12:00", "13:00"]}, "wish.between", "not_a_range"),
        ({"between": ["9:00", "12:00"]}, "wish.between", "not_a_range"),
        ({"between": ["09:75", "12:00"]}, "wish.between", "not_a_range"),
        ({"between": ["09:00", "24:30"]}, "wish.between", "not_a_range"),
        ({"between": ["-1:00", "12:00"]}, "wish.between", "not_a_range"),
        ({"between": [540, 600]}, "wish.between", "not_a_range"),
        ({"between": "0912"}, "wish.between", "not_a_range"),
    ],
)
def test_no_wish(given: dict[str, Any], field: str, code: str) -> None:
    days = {} if {"from_", "to"} & set(given) or not given else {"from_": "2027-01-12", "to": "2027-01-20"}
    assert wrong(wish, **days, **given) == [(field, code)]


def test_what_fits_a_wish_is_asked_on_the_operators_wall() -> None:
    zone = "America/New_York"
    mornings = Wish(None, date(2027, 1, 12), date(2027, 1, 20), 0b10, (540, 720))  # Tuesdays from nine to noon
    tuesday = datetime(2027, 1, 12, 14, 0, tzinfo=UTC)  # nine o'clock there
    assert fits(mornings, tuesday, zone)
    assert not fits(mornings, tuesday - timedelta(minutes=1), zone)
    assert fits(mornings, tuesday + timedelta(hours=3) - timedelta(minutes=1), zone)
    assert not fits(mornings, tuesday + timedelta(hours=3), zone)
    assert not fits(mornings, tuesday + timedelta(days=1), zone)
    assert fits(mornings, tuesday + timedelta(days=7), zone)
    assert not fits(mornings, tuesday + timedelta(days=14), zone)
    one = Wish(tuesday, tuesday.date(), tuesday.date())
    assert fits(one, tuesday, zone)
    assert not fits(one, tuesday + timedelta(hours=1), zone)
