"""Letters as values."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from datetime import datetime

import pytest

from booking import client_words, operator_words
from booking.letters import About
from tests.support.practice import matter_at


def test_everything_a_letter_can_be_about_is_written_for_somebody() -> None:
    assert set(client_words.WRITERS) | set(operator_words.WRITERS) == set(About)


def test_a_matter_without_a_time_says_so(now: datetime) -> None:
    matter = matter_at(now)
    assert matter.at.start == now
    with pytest.raises(ValueError, match="needs a time"):
        _ = replace(matter, period=None).at
    with pytest.raises(FrozenInstanceError):
        matter.name = "Jon"  # type: ignore[misc]
