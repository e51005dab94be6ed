"""When to try again, or to give up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from connectors import errors
from connectors.errors import ConnectorError, NeedsReconnect, Permanent, SyncTokenExpired, Temporary, Throttled
from ledger.backoff import FIRST, GIVE_UP_AFTER, LONGEST, NotYet, next_attempt

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def classes(root: type[ConnectorError]) -> list[type[ConnectorError]]:
    return [root, *(found for child in root.__subclasses__() for found in classes(child))]


def wait(error: BaseException, attempt: int = 1, spread: float = 0.5) -> float | None:
    again = next_attempt(error, attempt, NOW, spread=spread)
    return None if again is None else (again - NOW).total_seconds()


@pytest.mark.parametrize("kind", classes(ConnectorError))
def test_the_class_alone_decides(kind: type[ConnectorError]) -> None:
    error = kind("it failed")
    if issubclass(kind, Temporary):
        assert wait(error) == FIRST.total_seconds()
    elif issubclass(kind, NeedsReconnect):
        assert wait(error) == LONGEST.total_seconds()
    else:  # Permanent, SyncTokenExpired out of place, and the bare root
        assert wait(error) is None


def test_the_tree_has_no_class_that_was_forgotten_here() -> None:
    # Other modules may hang more specific ones below; the tree itself is in one file.
    own = {c for c in classes(ConnectorError) if c.__module__ == errors.__name__}
    assert {c.__name__ for c in own} == {
        c.__name__ for c in vars(errors).values() if isinstance(c, type) and issubclass(c, ConnectorError)
    }
    assert issubclass(SyncTokenExpired, ConnectorError)
    assert not issubclass(SyncTokenExpired, Temporary | Permanent)


def test_the_wait_doubles_up_to_half_an_hour_and_never_shrinks() -> None:
    waits = [wait(Temporary("x"), n) for n in range(1, GIVE_UP_AFTER)]
    assert waits[:5] == [2, 4, 8, 16, 32]
    assert waits == sorted(waits, key=float)
    assert waits[-1] == LONGEST.total_seconds()
    assert sum(float(w or 0) for w in waits) < 20 * 3600


def test_waiting_rows_do_not_march_in_step() -> None:
    assert wait(Temporary("x"), 3, spread=0.0) == 8 * 0.75
    assert wait(Temporary("x"), 3, spread=1.0) == 8 * 1.25


@pytest.mark.parametrize(("said", "waited"), [(90.0, 90.0), (0.0, 1.0), (-5.0, 1.0), (1e9, 6 * 3600.0)])
def test_a_provider_that_names_a_time_is_believed_within_reason(said: float, waited: float) -> None:
    assert wait(Throttled("slow down", retry_after=said)) == waited
    assert wait(Throttled("slow down", retry_after=said), attempt=9) == waited


def test_throttled_without_a_time_is_like_any_other() -> None:
    assert wait(Throttled("slow down"), 2) == 4


def test_everything_ends_some_day() -> None:
    for error in (Temporary("x"), Throttled("x", retry_after=5), NeedsReconnect("x"), ValueError("x")):
        assert wait(error, GIVE_UP_AFTER) is None
    assert wait(Temporary("x"), GIVE_UP_AFTER - 1) is not None


def test_a_mistake_of_ours_is_tried_a_few_times_only() -> None:
    assert [wait(ValueError("x"), n) is None for n in (1, 7, 8, 9)] == [False, False, True, True]


def test_what_is_not_yet_is_no_failure_however_often() -> None:
    for attempt in (1, GIVE_UP_AFTER, 10 * GIVE_UP_AFTER):
        assert wait(NotYet("not read yet", timedelta(seconds=2)), attempt) == 2
