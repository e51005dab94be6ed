"""What the outbox holds: the same value after a trip through JSON, and a key that is only its own."""

from __future__ import annotations

import json
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import get_type_hints

import pytest

from ledger.messages import (
    KINDS,
    LookForEvent,
    Message,
    NoShowTagged,
    PullCalendar,
    PushEvent,
    RemoteCancellation,
    RemoteMove,
    SendMail,
    SweepEvent,
    TimeFreed,
    from_body,
    to_body,
)
from ledger.pauses import AUTOMATIONS

AT = datetime(2027, 1, 11, 9, 0, 0, 5, tzinfo=UTC)


def example(kind: type[Message], number: int = 1) -> Message:
    """One of that kind, each field different from its neighbours and from those of another number."""
    made = {
        datetime: lambda n: AT + timedelta(hours=n),
        int: lambda n: n,
        str: lambda n: f"text{n}",
        bool: lambda n: n > 15,
    }
    hints = get_type_hints(kind)
    return kind(**{f.name: made[hints[f.name]](number * 10 + i) for i, f in enumerate(fields(kind))})


@pytest.mark.parametrize("kind", KINDS.values())
def test_every_kind_survives_json(kind: type[Message]) -> None:
    message = example(kind)
    body = json.loads(json.dumps(to_body(message)))
    assert from_body(kind.__name__, body) == message
    assert type(from_body(kind.__name__, body)) is kind


@pytest.mark.parametrize("kind", KINDS.values())
def test_a_key_is_the_same_for_the_same_and_another_for_every_other_value(kind: type[Message]) -> None:
    one, other = example(kind, 1), example(kind, 2)
    assert one.key == example(kind, 1).key
    names = [f.name for f in fields(kind)]
    for name in names:
        changed = kind(**{n: getattr(other if n == name else one, n) for n in names})
        assert changed.key != one.key, name


def test_no_two_kinds_share_a_key() -> None:
    assert len({example(kind).key.partition(":")[0] for kind in KINDS.values()}) == len(KINDS)
    assert all(KINDS[name] is kind and name == kind.__name__ for name, kind in KINDS.items())


def test_every_automation_is_one_that_can_be_paused() -> None:
    assert {kind.automation for kind in KINDS.values()} - {""} <= set(AUTOMATIONS)


def test_lines_say_who_waits_for_whom() -> None:
    assert RemoteCancellation(1, 7).line == RemoteMove(1, 7, 2, AT, AT).line == "facts:7"
    assert PullCalendar(3).line == "calendar:3"
    assert PushEvent(1, 1).line == PushEvent(1, 2).line
    assert SendMail("b", 0, "booked", "client").line == SendMail("b", 1, "moved", "client").line
    assert SendMail("b", 0, "booked", "client").line != SendMail("b", 0, "booked", "operator").line
    assert TimeFreed(1).line != TimeFreed(2).line
    assert NoShowTagged(1, 7).line != RemoteCancellation(1, 7).line  # it may wait for the start
    assert SweepEvent(1).line != PushEvent(1, 1).line  # it is planned for later
    assert LookForEvent(1, AT, 1).line == LookForEvent(1, AT, 1).key  # nobody waits for anybody


def test_an_instant_is_one_whatever_its_zone_says() -> None:
    body = to_body(LookForEvent(1, AT, 1))
    assert body == {"slot_event_id": 1, "missing_since": "2027-01-11T09:00:00.000005+00:00", "look": 1}


def test_a_kind_of_another_version_is_not_guessed() -> None:
    with pytest.raises(KeyError):
        from_body("SendPigeon", {})
