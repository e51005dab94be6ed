"""Zones by name, and zones that an object describes, against zoneinfo."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.ical.rrule import BadRule
from connectors.ical.zones import ObjectZone, Observance, named_zone

HOUR = timedelta(hours=1)


def zone_of_berlin() -> ObjectZone:
    return ObjectZone(
        "Berlin by hand",
        [
            Observance(datetime(1981, 3, 29, 2), HOUR, 2 * HOUR, "FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU"),
            Observance(datetime(1996, 10, 27, 3), 2 * HOUR, HOUR, "FREQ=YEARLY;BYMONTH=10;BYDAY=-1SU"),
        ],
    )


OURS, THEIRS = zone_of_berlin(), ZoneInfo("Europe/Berlin")
changes = [
    datetime(2027, 3, 28, 1),
    datetime(2027, 10, 31, 1),
    datetime(2027, 3, 28, 2, 30),
    datetime(2027, 10, 31, 2, 30),
]
near = st.tuples(st.sampled_from(changes), st.integers(-7200, 7200)).map(lambda p: p[0] + timedelta(seconds=p[1]))
moments = st.one_of(near, st.datetimes(datetime(2000, 1, 1), datetime(2037, 1, 1)))


@given(moments, st.integers(0, 1))
def test_local_times_as_zoneinfo_reads_them(moment: datetime, fold: int) -> None:
    moment = moment.replace(fold=fold, microsecond=0)
    assert OURS.utcoffset(moment) == moment.replace(tzinfo=THEIRS).utcoffset()
    ours, theirs = moment.replace(tzinfo=OURS).astimezone(UTC), moment.replace(tzinfo=THEIRS).astimezone(UTC)
    assert ours == theirs


@given(moments)
def test_instants_as_zoneinfo_reads_them(moment: datetime) -> None:
    instant = moment.replace(tzinfo=UTC, microsecond=0)
    ours, theirs = instant.astimezone(OURS), instant.astimezone(THEIRS)
    assert (ours.replace(tzinfo=None), ours.fold) == (theirs.replace(tzinfo=None), theirs.fold)
    assert ours.astimezone(UTC) == instant


def test_one_observance_is_a_fixed_zone() -> None:
    zone = ObjectZone("fixed", [Observance(datetime(1970, 1, 1), 3 * HOUR, 3 * HOUR)])
    for year in (1960, 2027, 2150):
        assert datetime(year, 6, 1, tzinfo=zone).utcoffset() == 3 * HOUR
    assert zone.tzname(None) == "fixed"
    assert zone.dst(None) == timedelta(0)
    assert zone.utcoffset(None) == timedelta(0)


def test_rdates_and_until() -> None:
    zone = ObjectZone(
        "odd",
        [
            Observance(datetime(2020, 1, 1), HOUR, 2 * HOUR, rdates=(datetime(2027, 1, 1),)),
            Observance(datetime(2019, 7, 1), 2 * HOUR, HOUR, "FREQ=YEARLY;UNTIL=20210701T000000Z"),
        ],
    )
    assert datetime(2026, 12, 31, tzinfo=zone).utcoffset() == HOUR
    assert datetime(2027, 12, 31, tzinfo=zone).utcoffset() == 2 * HOUR
    day = ObjectZone("day", [Observance(datetime(2019, 7, 1), HOUR, 2 * HOUR, "FREQ=YEARLY;UNTIL=20210701")])
    assert datetime(2030, 1, 1, tzinfo=day).utcoffset() == 2 * HOUR


@pytest.mark.parametrize("rule", ["FREQ=SECONDLY", "FREQ=DAILY", "FREQ=WEEKLY", "never"])
def test_rules_that_no_zone_has_are_refused(rule: str) -> None:
    with pytest.raises(BadRule):
        ObjectZone("evil", [Observance(datetime(1970, 1, 1), HOUR, 2 * HOUR, rule)])


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("Europe/Berlin", "Europe/Berlin"),
        ("/freeassociation.sourceforge.net/Europe/Berlin", "Europe/Berlin"),
        ("/mozilla.org/20050126_1/America/Argentina/Buenos_Aires", "America/Argentina/Buenos_Aires"),
        ("Etc/GMT+5", "Etc/GMT+5"),
    ],
)
def test_names(name: str, key: str) -> None:
    assert str(named_zone(name)) == key


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Berlin",
        "europe/berlin",
        "localtime",
        "posixrules",
        "../../etc/passwd",
        "/etc/passwd",
        "\x00",
        "W. Europe Standard Time",
    ],
)
def test_what_is_no_name(name: str) -> None:
    assert named_zone(name) is None


def test_utc_is_pythons_own() -> None:
    assert named_zone("UTC") is UTC
    assert named_zone("Z") is UTC
