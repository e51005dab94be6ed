"""What an operator says about an appointment by tagging its event in their calendar. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

_NO_SHOW = re.compile(r"(?<![\w-])#?no[-_ ]?show(?![\w-])", re.IGNORECASE)


def says_no_show(title: str, categories: Iterable[str], ours: str = "") -> bool:
    """Is the event tagged ``no-show``, by a category or in its title? ours: the title that we gave it, whose own words
    are no tag."""
    if any(_NO_SHOW.fullmatch(name.strip()) for name in categories):
        return True
    return len(_NO_SHOW.findall(title)) > len(_NO_SHOW.findall(ours))
