from __future__ import annotations

import pytest

from connectors import mention


@pytest.mark.parametrize(
    "text",
    [
        "kata@x.org",
        "To: Kata <KATA@x.org>, imre@x.org",
        "mailto:kata@x.org",
        "write to 'kata@x.org'.",
        "Kata\\nkata@x.org\\nlater",
        "it was kata@x.org.",
    ],
)
def test_an_address_is_found_in_a_text(text: str) -> None:
    assert mention.names(text, "kata@x.org")


@pytest.mark.parametrize(
    "text",
    [
        "anna.kata@x.org",
        "anna-kata@x.org",
        "anna+kata@x.org",
        "o'kata@x.org",
        "xkata@x.org",
        "kata@x.organic",
        "kata@x.org.example",
        "kata@x.org-and-more.example",
        "kata@xyorg",
    ],
)
def test_a_longer_address_is_somebody_elses(text: str) -> None:
    assert not mention.names(text, "kata@x.org")
