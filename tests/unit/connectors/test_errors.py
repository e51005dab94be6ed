"""The error tree decides by class what is worth a retry."""

from __future__ import annotations

import pickle

import pytest

from connectors import errors
from connectors.errors import ConnectorError, Permanent, Temporary, Throttled

CLASSES = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, ConnectorError)]


def test_the_tree_is_the_one_in_its_docstring() -> None:
    for value in CLASSES:
        assert value.__name__ in (errors.__doc__ or "")


def test_codes_are_unique_and_stable() -> None:
    codes = {value.code: value.__name__ for value in CLASSES}
    assert len(codes) == len(CLASSES)
    assert codes["throttled"] == "Throttled"
    assert codes["sync_token_expired"] == "SyncTokenExpired"


@pytest.mark.parametrize("name", ["Unreachable", "ServerFault", "Throttled", "Conflict"])
def test_temporary(name: str) -> None:
    assert issubclass(getattr(errors, name), Temporary)


@pytest.mark.parametrize("name", ["Refused", "Gone", "CalendarGone", "BadAnswer", "AddressRefused"])
def test_permanent(name: str) -> None:
    assert issubclass(getattr(errors, name), Permanent)


@pytest.mark.parametrize("name", ["NeedsReconnect", "SyncTokenExpired"])
def test_neither(name: str) -> None:
    assert not issubclass(getattr(errors, name), Temporary | Permanent)


def test_a_missing_calendar_is_no_missing_event() -> None:
    assert not issubclass(errors.CalendarGone, errors.Gone)
    assert not issubclass(errors.Gone, errors.CalendarGone)


@pytest.mark.parametrize("value", CLASSES)
def test_the_docstring_is_the_message_unless_there_is_a_better_one(value: type[ConnectorError]) -> None:
    assert str(value()) == value.__doc__
    assert value("because", status=404).detail == "because"
    assert value("because", status=404).status == 404
    assert str(value("because")) == "because"
    assert str(pickle.loads(pickle.dumps(value("because")))) == "because"


def test_throttled_says_how_long() -> None:
    assert Throttled(retry_after=30.0).retry_after == 30.0
    assert Throttled().retry_after is None
