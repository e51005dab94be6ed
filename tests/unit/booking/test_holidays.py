"""Public holidays close a day, unless somebody says that it is open."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from booking.errors import Invalid
from booking.holidays import PublicHolidays, is_known
from booking.services import parse
from ledger.db import Database
from tests.support.desk import Desk


def test_countries_and_their_parts() -> None:
    assert [is_known(place) for place in ("HU", "DE", "DE-BY", "US-CA")] == [True] * 4
    assert [is_known(place) for place in ("", "XX", "hu", "DE-", "DE-XX", "Hungary")] == [False] * 6
    assert date(2027, 10, 23) in PublicHolidays("HU")
    assert date(2027, 10, 22) not in PublicHolidays("HU")
    assert date(2027, 1, 6) in PublicHolidays("DE-BY")
    assert date(2027, 1, 6) not in PublicHolidays("DE")
    assert "2027-10-23" not in PublicHolidays("HU")


@pytest.mark.parametrize("wrong", ["XX", "hungary", "DE-XX"])
def test_an_unknown_country_is_named(wrong: str) -> None:
    with pytest.raises(Invalid) as error:
        parse({"title": "Talk", "holidays": wrong})
    assert [e.field for e in error.value.errors] == ["holidays"]


def test_the_day_is_closed_unless_it_has_an_override(sqlite: Database) -> None:
    spec: dict[str, Any] = {"holidays": "HU", "hours": {"mon": ["08:00-10:00"]}, "horizon_days": 90}
    desk = Desk(sqlite).open(talk=spec, open_then={**spec, "overrides": {"2027-03-15": ["09:00-10:00"]}}, always={**spec, "holidays": ""})  # fmt: skip
    desk.now = desk.at(6, 56)  # 8 March; Monday the 15th is a holiday
    days = {
        service: [s.date().isoformat() for s in desk.starts(service)] for service in ("talk", "open-then", "always")
    }
    assert days["talk"] == ["2027-03-08"] * 2 + ["2027-03-22"] * 2
    assert days["open-then"] == ["2027-03-08"] * 2 + ["2027-03-15"] + ["2027-03-22"] * 2
    assert days["always"] == ["2027-03-08"] * 2 + ["2027-03-15"] * 2 + ["2027-03-22"] * 2
