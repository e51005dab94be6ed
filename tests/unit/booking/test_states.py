"""Every pair of status and event: the table of INTERFACE §4 in full."""

from __future__ import annotations

from itertools import product

import pytest

from booking.errors import NotPossible
from booking.states import LIVE, Happening, Status, after

ALLOWED = {
    ("pending", "confirm"): "confirmed",
    ("pending", "decline"): "declined",
    ("pending", "expire"): "expired",
    ("pending", "cancel"): "cancelled",
    ("pending", "move"): "pending",
    ("confirmed", "cancel"): "cancelled",
    ("confirmed", "move"): "confirmed",
    ("confirmed", "complete"): "completed",
    ("confirmed", "no_show"): "no_show",
    ("completed", "no_show"): "no_show",
    ("no_show", "undo_no_show"): "confirmed",
}


@pytest.mark.parametrize(("status", "happening"), list(product(Status, Happening)))
def test_the_table(status: Status, happening: Happening) -> None:
    expected = ALLOWED.get((status.value, happening.value))
    if expected is not None:
        assert after(status.value, happening) is Status(expected)
        return
    with pytest.raises(NotPossible, match=status.value):
        after(status.value, happening)


def test_only_the_living_hold_seats() -> None:
    assert {s.value for s in LIVE} == {"pending", "confirmed"}
    assert {to for (_, happening), to in ALLOWED.items() if happening == "cancel"} == {"cancelled"}


def test_a_word_that_is_no_status_is_a_mistake_of_ours() -> None:
    with pytest.raises(ValueError, match="lost"):
        after("lost", Happening.CANCEL)
