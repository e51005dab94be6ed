"""When to believe that something is gone."""

from __future__ import annotations

from datetime import timedelta

import pytest

from sync.suspicion import Shrinkage, doubt, may_cancel, second_look_at, too_many_gone
from tests.support.practices import NOON


@pytest.mark.parametrize(
    ("shrinkage", "doubtful"),
    [
        (Shrinkage(known=3, removed=0, absent=3, left=0), False),
        (Shrinkage(known=4, removed=0, absent=4, left=0), True),
        (Shrinkage(known=4, removed=4, absent=0, left=0), True),
        (Shrinkage(known=4, removed=4, absent=0, left=1), False),
        (Shrinkage(known=20, removed=10, absent=0, left=10), False),
        (Shrinkage(known=20, removed=11, absent=0, left=9), True),
        (Shrinkage(known=22, removed=5, absent=6, left=11), False),
        (Shrinkage(known=21, removed=5, absent=6, left=10), True),
        (Shrinkage(known=500, removed=100, absent=20, left=380), False),
        (Shrinkage(known=500, removed=0, absent=21, left=479), True),
        (Shrinkage(known=0, removed=0, absent=0, left=0), False),
    ],
)
def test_doubt(shrinkage: Shrinkage, doubtful: bool) -> None:
    assert bool(doubt(shrinkage)) is doubtful


@pytest.mark.parametrize(
    ("future", "missing", "braked"),
    [(1, 1, False), (3, 3, False), (4, 4, True), (15, 3, False), (15, 4, True), (20, 4, False), (20, 5, True), (100, 20, False), (100, 21, True)],
)  # fmt: skip
def test_the_bulk_brake(future: int, missing: int, braked: bool) -> None:
    assert too_many_gone(future, missing) is braked


def test_looks() -> None:
    grace = timedelta(seconds=60)
    assert second_look_at(NOON, 1, grace) == NOON + grace
    assert second_look_at(NOON, 2, grace) is None
    assert second_look_at(NOON, 1, timedelta()) is None


def test_only_what_lies_ahead_is_cancelled() -> None:
    assert may_cancel(NOON + timedelta(seconds=1), NOON)
    assert not may_cancel(NOON, NOON)
