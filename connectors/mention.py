"""Where a text names a mail address, and not a longer one that it stands in: ``anna.kata@x.org`` doesn't name ``kata@x.org``."""

from __future__ import annotations

import re

ADDRESS = r"(?<!\\)\w[\w.+%'-]{0,63}@\w[\w.-]*"
"""Somebody's address, as the source of a regular expression."""
# Escaped line ends (\n) of calendar and JSON texts are no letters of the address; a quote may open it or be in it.
_BEFORE = r"(?:(?<=\\n)|(?<![\w+%-])(?<!\w[.']))"
_AFTER = r"(?!\w|[.-]\w)"


def of(address: str) -> str:
    """Source of a regular expression that finds this address; to be compiled with ``re.IGNORECASE``."""
    return f"{_BEFORE}{re.escape(address)}{_AFTER}"


def names(text: str, address: str) -> bool:
    """Does the text name this address, whatever its case?"""
    return re.search(of(address), text, re.IGNORECASE) is not None
