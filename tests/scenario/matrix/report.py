"""The matrix as a page to read: ``python -m tests.scenario.matrix.report RESULTS PAGE``.

RESULTS: what pytest wrote with ``--junitxml``. The page says the same for the same cells and expectations, whenever and
wherever it is written; a cell that failed or wasn't run is marked, and the command fails.
"""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from itertools import product
from pathlib import Path

from tests.scenario.matrix.axes import (
    EVERY,
    LIVED,
    Arrangement,
    Automation,
    Cell,
    Ending,
    Kind,
    Provider,
    senseless,
)
from tests.scenario.matrix.expectation import expected
from tests.scenario.matrix.outcome import LANGUAGES, TIMES, Outcome, Told

PASSED, FAILED, NOT_RUN = "✓", "**✗**", "**not run**"
_AUTOMATION = {Automation.RUNNING: "running", Automation.PAUSED: "paused, resumed"}


def results(junit: Path) -> dict[str, str]:
    """Cell's name → mark, of those that were run."""
    found = {}
    for case in ET.parse(junit).iter("testcase"):
        name = case.get("name", "")
        if name.startswith("test_cell["):
            wrong = any(child.tag in ("failure", "error", "skipped") for child in case)
            found[name.removeprefix("test_cell[").removesuffix("]")] = FAILED if wrong else PASSED
    return found


def page(marks: Mapping[str, str]) -> str:
    """The whole page. marks: `results`, or any other mark for each cell's name."""
    reasons = list(dict.fromkeys(filter(None, map(senseless, EVERY))))
    notes = {reason: f"—{mark}" for reason, mark in zip(reasons, "¹²³", strict=False)}
    parts = [_head(marks), *(f"{note.removeprefix('—')} {reason}.\n" for reason, note in notes.items())]
    for kind, arrangement in product(Kind, Arrangement):
        parts.append(_table(kind, arrangement, marks, notes))
    return "\n".join(parts)


def _head(marks: Mapping[str, str]) -> str:
    passed = sum(1 for cell in LIVED if marks.get(cell.name) == PASSED)
    people = ", ".join(f"{who.title()} {language}" for who, language in LANGUAGES.items())
    times = ", ".join(f"*{name}* is {start:%Y-%m-%d %H:%M} UTC" for name, start in TIMES.items())
    return f"""# The completion matrix

Written by `make scenarios`; not by hand. {len(EVERY)} cells, {len(LIVED)} of them can be lived, {passed} passed; the other
{len(EVERY) - len(LIVED)} say why nobody can live them.

Each cell is one story in a deployment of its own: bookings through the real doors, the real workers' handlers, the real
connectors against a Radicale server and the emulated Google and Microsoft, mails as they were handed over, clients'
answers as Gmail sends them. Time is moved, never waited for. What a cell demands is computed from its coordinates alone
(`tests/scenario/matrix/expectation.py`) and compared with what is there (`observation.py`):

* every booking: status, time, revision; every place in line; the seats taken at every start;
* the operator's calendar: exactly these events, their times, title, whom they name, and that nobody is invited by them;
* every mail, by reader and in order: what it is about, METHOD and SEQUENCE of its invitation, that its UID is that of the
  reader's own booking, and the language of header and words;
* every booking's timeline: what happened and why, and every mail that was handed over.

*Paused, resumed*: each change of the story happens under a pause of all automation. Inside, nothing automatic leaves the
outbox, the calendar stays as it is, nobody is told but of what they did themselves, a freed seat is neither shown to nor
had by a stranger, and the preview names what waits. After resuming, the cell must end as if there had been no pause: the
demands are the same.

Kata is whom the story is about. Emil is in her group before her, Otto in the one she goes to; Lena had the seat that
Kata waits for; Vera waits for Kata's. Languages: {people} (the operator). {times}. Without a calendar there are no events,
and the operator moves one booking at the desk: of a group the others stay. An event that is dragged takes its whole group
along, also where moves are proposed: several people can't be asked one by one. A no-show is marked by a tag on the event,
and at the desk where there is none or where it is one of a group.
"""


def _table(kind: Kind, arrangement: Arrangement, marks: Mapping[str, str], notes: Mapping[str, str]) -> str:
    lines = [
        f"## {kind.capitalize()}, {arrangement}\n",
        f"| ending | automation | {' | '.join(Provider)} | demanded |",
        f"|---|---|{'---|' * len(Provider)}---|",
    ]
    for ending, automation in product(Ending, Automation):
        cells = [Cell(kind, arrangement, provider, ending, automation) for provider in Provider]
        shown = [notes.get(senseless(cell)) or marks.get(cell.name, NOT_RUN) for cell in cells]
        first = automation is Automation.RUNNING
        demanded = _demanded(expected(cells[0])) if first else "the same"
        lines.append(f"| {ending if first else ''} | {_AUTOMATION[automation]} | {' | '.join(shown)} | {demanded} |")
    return "\n".join([*lines, ""])


def _demanded(outcome: Outcome) -> str:
    """A cell's demands in short; without a calendar the same but for the events."""
    people = [
        f"{who.title()} {booked.status.replace('_', ' ')} ({booked.at}, r{booked.revision})"
        for who, booked in outcome.bookings.items()
    ]
    events = [f"“{event.title}” at {event.at}" for event in outcome.events] or ["no event"]
    mails = [f"{who.title()}: {', '.join(map(_mail, told))}" for who, told in outcome.mails.items()]
    return "; ".join(people) + f". Calendar: {', '.join(events)}. Mails: {'; '.join(mails)}."


def _mail(told: Told) -> str:
    return told.about.replace("_", " ") + (f" [{told.calendar}]" if told.calendar else "")


def main(junit: str, target: str) -> int:
    """Write the page; 1 if anything failed or is missing."""
    marks = results(Path(junit))
    Path(target).write_text(page(marks), encoding="utf-8")
    wrong = [cell.name for cell in LIVED if marks.get(cell.name) != PASSED]
    for name in wrong:
        print(f"not green: {name}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
