"""Windows zone names."""

from __future__ import annotations

from connectors.ical.windows import windows_zone


def test_known_and_unknown_names() -> None:
    assert windows_zone("W. Europe Standard Time") == "Europe/Berlin"
    assert windows_zone("Pacific Standard Time") == "America/Los_Angeles"
    assert windows_zone("Europe/Berlin") == ""
    assert windows_zone("") == ""
