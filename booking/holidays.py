"""Public holidays, as the ``holidays`` library knows them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import lru_cache

import holidays


@dataclass(frozen=True, slots=True)
class PublicHolidays:
    """The days on which a country, or a part of it, is closed. place: ``HU``, ``DE-BY``."""

    place: str

    def __contains__(self, day: object) -> bool:
        """Is that day one of them?"""
        return isinstance(day, date) and day in _days(self.place, day.year)


def is_known(place: str) -> bool:
    """Does the library know that country, and that part of it?"""
    country, _, part = place.partition("-")
    known = _parts()
    return country in known and (part in known[country] if part else "-" not in place)


@lru_cache(maxsize=1)
def _parts() -> dict[str, frozenset[str]]:
    countries = holidays.list_supported_countries(include_aliases=False)
    return {country: frozenset(parts) for country, parts in countries.items()}


@lru_cache(maxsize=1024)
def _days(place: str, year: int) -> frozenset[date]:
    country, _, part = place.partition("-")
    return frozenset(holidays.country_holidays(country, subdiv=part or None, years=year))
