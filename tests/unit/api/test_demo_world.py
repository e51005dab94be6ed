"""The demo's events say the same to every provider."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import icalendar
import pytest

from api.demo_world import (
    CALENDARS,
    OPERATORS,
    PROVIDERS,
    SERVICES,
    DemoEvent,
    as_google,
    as_graph,
    as_ical,
    events_of,
)
from booking.services import parse

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
EVENTS = [event for slug in OPERATORS for events in events_of(slug, NOW).values() for event in events]


def test_everybody_has_an_account_calendars_and_services() -> None:
    assert OPERATORS.keys() == PROVIDERS.keys() == CALENDARS.keys() == SERVICES.keys()
    assert sorted(PROVIDERS.values()) == ["caldav", "google", "microsoft"]
    for services in SERVICES.values():
        for spec in services.values():
            parse(spec)
    for slug in OPERATORS:
        assert events_of(slug, NOW).keys() <= CALENDARS[slug].keys()


def test_the_weeks_hold_what_makes_calendars_hard() -> None:
    assert any(e.rule for e in EVENTS)
    assert any(e.all_day for e in EVENTS)
    assert any(e.tentative for e in EVENTS)
    assert any(e.free for e in EVENTS)
    assert len({e.zone for e in EVENTS}) > 3


def test_each_event_has_a_key_that_every_provider_takes() -> None:
    keys = [e.key for e in EVENTS if not e.key.startswith("demochloe")]  # Graph makes its own
    assert all(re.fullmatch(r"[a-v0-9]{5,64}", key) for key in keys)
    assert len({e.key for e in EVENTS}) == len(EVENTS)


@pytest.mark.parametrize("event", EVENTS, ids=lambda e: e.key)
def test_an_object_and_a_resource_are_at_the_same_time(event: DemoEvent) -> None:
    (parsed,) = icalendar.Calendar.from_ical(as_ical(event)).walk("VEVENT")
    resource = as_google(event)
    for mine, theirs, name in (("DTSTART", "start", event.start), ("DTEND", "end", event.end)):
        value: Any = parsed.decoded(mine)
        if event.all_day:
            assert value == name
            assert resource[theirs] == {"date": str(name)}
        else:
            assert isinstance(name, datetime)
            assert value == name.replace(tzinfo=ZoneInfo(event.zone))
            assert resource[theirs] == {"dateTime": name.isoformat(), "timeZone": event.zone}
    assert (str(parsed.get("RRULE") is not None), str(parsed["SUMMARY"])) == (str(bool(event.rule)), event.title)
    assert resource.get("recurrence", []) == ([f"RRULE:{event.rule}"] if event.rule else [])


def test_weekly_rules_are_written_for_graph() -> None:
    found = {e.title: as_graph(e) for e in EVENTS if PROVIDERS["chloe"] and e.key.startswith("demochloe")}
    therapy = found["Physiotherapy"]["recurrence"]
    assert therapy["pattern"] == {
        "type": "weekly", "interval": 1, "daysOfWeek": ["tuesday"], "firstDayOfWeek": "monday",
    }  # fmt: skip
    assert therapy["range"] == {"type": "numbered", "startDate": "2026-11-24", "numberOfOccurrences": 20}
    assert found["Workshop in Lyon"]["all_day"] is True
    assert found["Maybe choir"]["show_as"] == "tentative"
    endless = next(as_graph(e) for e in EVENTS if "BYDAY" in e.rule)["recurrence"]
    assert endless["pattern"]["daysOfWeek"] == ["monday", "wednesday", "friday"]
    assert endless["range"]["type"] == "noEnd"
    monthly = next(e for e in EVENTS if "MONTHLY" in e.rule)
    with pytest.raises(ValueError, match="weekly"):
        as_graph(monthly)
