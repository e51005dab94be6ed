"""How a story ends, in words that neither the product nor its tables know: what is expected and what is seen are both
said in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta

TODAY = datetime(2027, 1, 11, 6, 0, tzinfo=UTC)
"""A Monday, early in the morning: when each story begins."""
TIMES = {
    "ten": datetime(2027, 1, 14, 9, 0, tzinfo=UTC),
    "one": datetime(2027, 1, 14, 12, 0, tzinfo=UTC),
}
"""The two starts of the stories, named after the operator's clock in Budapest."""
LENGTH = timedelta(minutes=50)
LANGUAGES = {"kata": "hu", "emil": "de", "otto": "en", "lena": "fr", "vera": "es", "anna": "it"}
"""Who reads what. Kata is whom the story is about, Anna the operator; Emil and Otto are in the group, Lena was there
before, Vera waits."""
TITLES = {
    "en": "Consultation", "hu": "Konzultáció", "de": "Beratung", "fr": "Entretien", "es": "Consulta", "it": "Consulenza",
}  # fmt: skip
"""What the service is called in each language."""


@dataclass(frozen=True, slots=True)
class Booked:
    """One booking. at: of `TIMES`."""

    status: str
    at: str
    revision: int


@dataclass(frozen=True, slots=True)
class Shown:
    """One event in the operator's calendar. names: whom anything in it names. guests: whom a server might mail."""

    at: str
    title: str
    names: tuple[str, ...] = ()
    guests: int = 0


@dataclass(frozen=True, slots=True)
class Told:
    """One mail. about: which. calendar: METHOD and SEQUENCE of the invitation in it, ``""`` without one; its UID is that of
    the reader's booking. language: of what stands in it."""

    about: str
    calendar: str
    language: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """Everything that a cell demands.

    bookings: by client. line: status of each place in line. seats: start → taken, of all that is taken. events: what is
    in the calendar, all of it. mails: by reader, in order. timelines: of each client's booking, ``what ← cause``.
    """

    bookings: Mapping[str, Booked]
    line: Mapping[str, str]
    seats: Mapping[str, int]
    events: tuple[Shown, ...]
    mails: Mapping[str, tuple[Told, ...]]
    timelines: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def differences(self, seen: Outcome) -> list[str]:
        """What was expected and isn't, line by line; empty if all is as it should be."""
        found = []
        for each in fields(self):
            wanted, there = getattr(self, each.name), getattr(seen, each.name)
            if isinstance(wanted, Mapping):
                keys = [key for key in {**wanted, **there} if wanted.get(key) != there.get(key)]
                found += [f"{each.name} of {k}:\n  expected {wanted.get(k)}\n  seen     {there.get(k)}" for k in keys]
            elif wanted != there:
                found.append(f"{each.name}:\n  expected {wanted}\n  seen     {there}")
        return found
